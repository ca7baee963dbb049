//! Values of params and results: text, a list of texts, or an object of texts. Whatever else somebody wrote
//! there is its own JSON as text, which is how Tekton decodes it.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::fields::Fields;

/// The value of a param or a result, borrowed from its run.
#[derive(Debug, Clone, PartialEq)]
pub enum ParamValue<'a> {
    /// Text, or any JSON that is neither of the others.
    Text(Cow<'a, str>),
    /// A list that holds texts only.
    List(&'a [Value]),
    /// An object that holds texts only.
    Object(&'a Map<String, Value>),
}

/// A named result of a run or of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct RunResult<'a> {
    /// Its name, by which type hints are found.
    pub name: &'a str,
    /// What the task wrote.
    pub value: ParamValue<'a>,
}

impl<'a> ParamValue<'a> {
    /// Reads a value as Tekton does.
    pub fn of(value: &'a Value) -> Self {
        match value {
            Value::String(text) => Self::Text(Cow::Borrowed(text)),
            Value::Array(list) if list.iter().all(is_text) => Self::List(list),
            Value::Object(object) if object.values().all(is_text) => Self::Object(object),
            Value::Null => Self::Text(Cow::Borrowed("")),
            other => Self::Text(Cow::Owned(other.to_string())),
        }
    }

    /// The text; empty for lists and objects.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::List(_) | Self::Object(_) => "",
        }
    }

    /// A property of an object; empty if there is none.
    pub fn property(&self, name: &str) -> &str {
        match self {
            Self::Object(object) => object.get(name).and_then(Value::as_str).unwrap_or_default(),
            Self::Text(_) | Self::List(_) => "",
        }
    }

    /// Every text in it, objects in the order of their keys.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let (text, list, object) = match self {
            Self::Text(text) => (Some(text.as_ref()), None, None),
            Self::List(list) => (None, Some(list.iter()), None),
            Self::Object(object) => (None, None, Some(object.values())),
        };
        text.into_iter().chain(
            list.into_iter()
                .flatten()
                .chain(object.into_iter().flatten())
                .map(|value| value.as_str().unwrap_or_default()),
        )
    }
}

impl<'a> RunResult<'a> {
    /// Reads an entry of a list of results or params.
    pub fn of(entry: &'a Value) -> Self {
        Self { name: entry.text("name"), value: ParamValue::of(entry.child("value")) }
    }
}

/// Go decodes `null` into an empty text.
fn is_text(value: &Value) -> bool {
    value.is_string() || value.is_null()
}

impl Serialize for ParamValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => {
                serializer.collect_seq(list.iter().map(|value| value.as_str().unwrap_or_default()))
            }
            Self::Object(object) => {
                let mut map = serializer.serialize_map(Some(object.len()))?;
                for (key, value) in *object {
                    map.serialize_entry(key, value.as_str().unwrap_or_default())?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_written_as_tekton_would_write_them_again() {
        for (value, written) in [
            (json!("text\n"), json!("text\n")),
            (json!(null), json!("")),
            (json!(5), json!("5")),
            (json!(true), json!("true")),
            (json!(["a", null]), json!(["a", ""])),
            (json!([1, 2]), json!("[1,2]")),
            (json!({"uri": "u", "digest": null}), json!({"digest": "", "uri": "u"})),
            (json!({"deep": {"er": "x"}}), json!("{\"deep\":{\"er\":\"x\"}}")),
        ] {
            assert_eq!(serde_json::to_value(ParamValue::of(&value)).unwrap(), written, "{value}");
        }
    }

    #[test]
    fn only_text_has_text_and_only_objects_have_properties() {
        let object = json!({"uri": "u"});
        assert_eq!(ParamValue::of(&object).property("uri"), "u");
        assert_eq!(ParamValue::of(&object).text(), "");
        assert_eq!(ParamValue::of(&json!(["a"])).text(), "");
        assert_eq!(ParamValue::of(&json!("a")).property("uri"), "");
    }

    #[test]
    fn every_text_of_a_value_is_found() {
        for (value, texts) in [
            (json!("a"), vec!["a"]),
            (json!(["a", "b"]), vec!["a", "b"]),
            (json!({"y": "2", "x": "1"}), vec!["1", "2"]),
        ] {
            assert_eq!(ParamValue::of(&value).texts().collect::<Vec<_>>(), texts);
        }
    }
}
