//! Parts of a run written as Tekton's own types write them (Chains specification §4.3): unknown fields are
//! dropped, fields that are never left out are written even when empty, durations and times take their one
//! form, and fields come in the order of the types. What has an unexpected JSON type is kept as it is.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

use super::fields::{ABSENT, Fields};
use super::param::ParamValue;
use super::schema::{self, Field, Shape, Structure};

/// Types of Tekton that statements hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// A whole `TaskRun`.
    TaskRun,
    /// The `spec` of a `TaskRun`.
    TaskRunSpec,
    /// The `spec` of a `PipelineRun`.
    PipelineRunSpec,
    /// A reference to a task.
    TaskRef,
    /// A result of a `TaskRun`.
    TaskRunResult,
    /// The feature flags of Tekton that applied to a run.
    FeatureFlags,
}

/// A value to be written as Tekton writes it.
#[derive(Debug, Clone)]
pub(crate) struct Encoded<'a> {
    shape: Shape,
    value: &'a Value,
}

impl<'a> Encoded<'a> {
    pub(crate) fn new(of: Type, value: &'a Value) -> Self {
        let name = match of {
            Type::TaskRun => "TaskRun",
            Type::TaskRunSpec => "TaskRunSpec",
            Type::PipelineRunSpec => "PipelineRunSpec",
            Type::TaskRef => "TaskRef",
            Type::TaskRunResult => "TaskRunResult",
            Type::FeatureFlags => "FeatureFlags",
        };
        Self { shape: schema::shape(name), value }
    }
}

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Part { shape: &self.shape, value: self.value }.serialize(serializer)
    }
}

#[derive(Clone, Copy)]
struct Part<'a> {
    shape: &'a Shape,
    value: &'a Value,
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.shape, self.value) {
            (Shape::Pointer(_) | Shape::List(_) | Shape::Map(_) | Shape::Time | Shape::Raw, Value::Null) => {
                serializer.serialize_unit()
            }
            (Shape::Pointer(inner), value) => Part { shape: inner, value }.serialize(serializer),
            (Shape::List(inner), Value::Array(entries)) => {
                let mut list = serializer.serialize_seq(Some(entries.len()))?;
                for value in entries {
                    list.serialize_element(&Part { shape: inner, value })?;
                }
                list.end()
            }
            (Shape::Map(inner), Value::Object(entries)) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, &Part { shape: inner, value })?;
                }
                map.end()
            }
            (Shape::Struct(index), Value::Object(_) | Value::Null) => {
                write_structure(schema::structure(*index), self.value, serializer)
            }
            (Shape::Text, Value::Null) => serializer.serialize_str(""),
            (Shape::Bool, Value::Null) => serializer.serialize_bool(false),
            (Shape::Number | Shape::NumberOrText, Value::Null) => serializer.serialize_u64(0),
            (Shape::Duration, Value::Null) => serializer.serialize_str("0s"),
            (Shape::Quantity, Value::Null) => serializer.serialize_str("0"),
            (Shape::Quantity, Value::String(text)) => {
                serializer.serialize_str(&super::quantity::normal(text))
            }
            (Shape::Quantity, Value::Number(number)) => {
                serializer.serialize_str(&super::quantity::normal(&number.to_string()))
            }
            (Shape::Time, Value::String(text)) => serializer.serialize_str(&seconds(text)),
            (Shape::Duration, Value::String(text)) => {
                serializer.serialize_str(&super::duration::normal(text))
            }
            (Shape::Param, value) => ParamValue::of(value).serialize(serializer),
            (_, value) => value.serialize(serializer),
        }
    }
}

fn write_structure<S: Serializer>(
    structure: Option<&Structure>,
    value: &Value,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    for field in structure.into_iter().flat_map(|structure| &structure.fields) {
        let value = member(structure, field, value);
        if !(field.omit_empty && is_empty(&field.shape, value)) {
            map.serialize_entry(field.name, &Part { shape: &field.shape, value })?;
        }
    }
    map.end()
}

/// Feature flags were once written with the names of Go's fields, so case does not count in them.
fn member<'a>(structure: Option<&Structure>, field: &Field, value: &'a Value) -> &'a Value {
    let exact = value.child(field.name);
    if exact.is_null() && structure.is_some_and(|structure| structure.name == "FeatureFlags") {
        let mut members = value.as_object().into_iter().flatten();
        return members
            .find(|(key, _)| key.eq_ignore_ascii_case(field.name))
            .map_or(&ABSENT, |(_, value)| value);
    }
    exact
}

/// What Go's `omitempty` takes for empty.
fn is_empty(shape: &Shape, value: &Value) -> bool {
    match (shape, value) {
        (_, Value::Null) => true,
        (Shape::Pointer(_), _) => false,
        (_, Value::String(text)) => text.is_empty(),
        (_, Value::Bool(flag)) => !flag,
        (_, Value::Number(number)) => number.as_f64() == Some(0.0),
        (_, Value::Array(entries)) => entries.is_empty(),
        (Shape::Map(_), Value::Object(entries)) => entries.is_empty(),
        (_, Value::Object(_)) => false,
    }
}

/// Kubernetes keeps times to the second, in UTC.
fn seconds(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(of: Type, value: &Value) -> Value {
        serde_json::to_value(Encoded::new(of, value)).unwrap()
    }

    #[test]
    fn fields_that_are_never_left_out_are_written_when_absent() {
        assert_eq!(written(Type::TaskRunSpec, &json!({})), json!({"serviceAccountName": ""}));
        assert_eq!(written(Type::PipelineRunSpec, &json!({})), json!({"taskRunTemplate": {}}));
        assert_eq!(written(Type::TaskRef, &json!(null)), json!({}));
    }

    #[test]
    fn an_embedded_task_carries_the_fields_of_custom_tasks() {
        let spec = json!({"pipelineSpec": {"tasks": [{"name": "a", "taskSpec": {"steps": [{"name": "s"}]}}],
            "results": [{"name": "r", "value": "v"}]}});
        assert_eq!(
            written(Type::PipelineRunSpec, &spec),
            json!({"taskRunTemplate": {}, "pipelineSpec": {
                "tasks": [{"name": "a", "taskSpec": {"spec": null, "metadata": {},
                    "steps": [{"name": "s", "computeResources": {}}]}}],
                "results": [{"name": "r", "description": "", "value": "v"}]}})
        );
    }

    #[test]
    fn unknown_fields_are_dropped_and_empty_ones_left_out() {
        let spec = json!({"unknown": 1, "params": [], "retries": 0, "status": "", "serviceAccountName": "a",
            "timeout": "1h", "podTemplate": {"securityContext": {"runAsUser": 0, "runAsNonRoot": false}}});
        assert_eq!(
            written(Type::TaskRunSpec, &spec),
            json!({"serviceAccountName": "a", "timeout": "1h0m0s",
                "podTemplate": {"securityContext": {"runAsUser": 0, "runAsNonRoot": false}}})
        );
    }

    #[test]
    fn quantities_are_text_in_their_one_form() {
        let spec = json!({"computeResources": {"requests": {"cpu": 1, "memory": " 1024Mi"}}});
        assert_eq!(
            written(Type::TaskRunSpec, &spec),
            json!({"serviceAccountName": "", "computeResources": {"requests": {"cpu": "1", "memory": "1Gi"}}})
        );
    }

    #[test]
    fn feature_flags_are_read_in_any_case_and_written_without_zero_values() {
        let flags = json!({"EnableAPIFields": "beta", "maxResultSize": 4096, "AwaitSidecarReadiness": false, "Odd": 1});
        assert_eq!(
            written(Type::FeatureFlags, &flags),
            json!({"enableAPIFields": "beta", "maxResultSize": 4096})
        );
    }

    #[test]
    fn times_are_in_utc_and_to_the_second() {
        let run = json!({"metadata": {"creationTimestamp": "2026-01-02T03:04:05.678+02:00"}});
        let written = written(Type::TaskRun, &run);
        assert_eq!(written["metadata"], json!({"creationTimestamp": "2026-01-02T01:04:05Z"}));
        assert_eq!(written["status"], json!({"podName": ""}));
    }

    #[test]
    fn fields_come_in_the_order_of_the_type() {
        let result = json!({"value": "v", "type": "string", "name": "n"});
        let text = serde_json::to_string(&Encoded::new(Type::TaskRunResult, &result)).unwrap();
        assert_eq!(text, r#"{"name":"n","type":"string","value":"v"}"#);
    }

    #[test]
    fn a_value_of_an_unexpected_type_is_kept() {
        let spec = json!({"params": "none", "timeout": 5, "taskRef": []});
        assert_eq!(
            written(Type::TaskRunSpec, &spec),
            json!({"params": "none", "serviceAccountName": "", "taskRef": [], "timeout": 5})
        );
    }
}
