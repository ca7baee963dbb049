//! Equality of statements, and where it ends.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// The order of subjects is random in the peer where there are several pairs of results.
pub fn normal(mut statement: Value) -> Value {
    if let Some(subjects) = statement.get_mut("subject").and_then(Value::as_array_mut) {
        subjects.sort_by_key(ToString::to_string);
    }
    statement
}

/// Adds the paths at which two values differ.
pub fn differences(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let keys: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
            for key in keys {
                let (ours, theirs) = (ours.get(key), theirs.get(key));
                let none = json!("<absent>");
                differences(&format!("{path}.{key}"), ours.unwrap_or(&none), theirs.unwrap_or(&none), found);
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                differences(&format!("{path}[{index}]"), ours, theirs, found);
            }
        }
        _ if ours != theirs => found.push(format!("{path}\n    ours   {ours}\n    theirs {theirs}")),
        _ => {}
    }
}
