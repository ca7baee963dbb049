//! placeholder
pub(super) fn convert(_: super::Kind, _: &mut serde_json::Value) {}
