//! Lenient readings of JSON: a member that is absent, `null` or of another type reads as empty, as Go's zero
//! values do for Tekton itself. No reading here can fail, and none copies.

use serde_json::Value;

/// What stands for a value that is not there.
pub(crate) static ABSENT: Value = Value::Null;

/// Readings of a JSON object by the name of a member.
pub(crate) trait Fields {
    /// The member, unless it is absent or `null`.
    fn field(&self, name: &str) -> Option<&Value>;

    /// The member, or `null`.
    fn child(&self, name: &str) -> &Value {
        self.field(name).unwrap_or(&ABSENT)
    }

    /// The text of the member, or `""`.
    fn text(&self, name: &str) -> &str {
        self.field(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The entries of the list, or none.
    fn list(&self, name: &str) -> &[Value] {
        self.field(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The texts of a map from text to text, in the order of its keys.
    fn texts(&self, name: &str) -> impl Iterator<Item = (&str, &str)> {
        self.field(name)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
    }
}

impl Fields for Value {
    fn field(&self, name: &str) -> Option<&Value> {
        self.get(name).filter(|value| !value.is_null())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_absent_null_or_of_another_type_reads_as_empty() {
        let value = json!({"null": null, "number": 5, "list": ["a"], "map": {"b": "2", "a": null}});
        assert_eq!(value.field("null"), None);
        assert_eq!(value.child("gone"), &Value::Null);
        assert_eq!(value.text("number"), "");
        assert!(value.list("map").is_empty());
        assert_eq!(value.list("list").len(), 1);
        assert_eq!(value.texts("map").collect::<Vec<_>>(), [("a", ""), ("b", "2")]);
        assert_eq!(json!([1]).text("anything"), "");
    }
}
