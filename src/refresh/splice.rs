//! One member of a JSON document replaced, added or removed, and every other byte left as it is: docker configs
//! belong to somebody else, with an order, an indentation and fields that we do not know. Pure.
//!
//! Guarantees: the result is JSON when the document was; the member is found as Go finds it (the last of its name,
//! else one that differs in case only); errors repeat nothing of the document.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Why a document cannot be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The position of the first error; the parser's message is left out, as it may repeat content.
    #[error("not valid JSON at line {line}, column {column}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// Some other JSON where members should be.
    #[error("not a JSON object where one should be")]
    NotAnObject,
}

/// The member at `path`, as it is written.
pub fn find<'a>(text: &'a str, path: &[&str]) -> Result<Option<&'a str>, Malformed> {
    let [name, rest @ ..] = path else { return Ok(Some(text)) };
    match Object::read(text)?.member(name) {
        Some(member) => find(member.value.get(), rest),
        None => Ok(None),
    }
}

/// The document with `value`, which is JSON, at `path`; objects on the way are made where they are missing.
pub fn set(text: &str, path: &[&str], value: &str) -> Result<String, Malformed> {
    let [name, rest @ ..] = path else { return Ok(value.to_owned()) };
    let object = Object::read(text)?;
    match object.member(name) {
        Some(member) => {
            let (start, end) = object.span(member);
            let inner = set(member.value.get(), rest, value)?;
            Ok(format!("{}{inner}{}", object.before(start), object.after(end)))
        }
        None => Ok(object.with(name, &nested(rest, value))),
    }
}

/// The document without the member at `path`.
pub fn remove(text: &str, path: &[&str]) -> Result<String, Malformed> {
    let [name, rest @ ..] = path else { return Ok(text.to_owned()) };
    let object = Object::read(text)?;
    let Some(member) = object.member(name) else { return Ok(text.to_owned()) };
    if rest.is_empty() {
        return remove(&object.without(member), path);
    }
    let (start, end) = object.span(member);
    let inner = remove(member.value.get(), rest)?;
    Ok(format!("{}{inner}{}", object.before(start), object.after(end)))
}

/// `text` as a JSON string.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn nested(path: &[&str], value: &str) -> String {
    path.iter().rev().fold(value.to_owned(), |inner, name| format!("{{{}:{inner}}}", quoted(name)))
}

/// A JSON object whose members know where they stand.
struct Object<'a> {
    text: &'a str,
    members: Vec<Member<'a>>,
}

struct Member<'a> {
    name: String,
    value: &'a RawValue,
}

impl<'a> Object<'a> {
    fn read(text: &'a str) -> Result<Self, Malformed> {
        // What `kubectl create secret` without content, and Go for an empty map, write.
        if matches!(text.trim(), "" | "null") {
            return Ok(Self { text: "{}", members: Vec::new() });
        }
        match serde_json::from_str::<Members<'a>>(text) {
            Ok(Members(members)) => Ok(Self { text, members }),
            Err(error) if error.is_data() => Err(Malformed::NotAnObject),
            Err(error) => Err(Malformed::Syntax { line: error.line(), column: error.column() }),
        }
    }

    fn member(&self, name: &str) -> Option<&Member<'a>> {
        let mut backwards = self.members.iter().rev();
        let exact = backwards.find(|member| member.name == name);
        exact.or_else(|| self.members.iter().rev().find(|member| member.name.eq_ignore_ascii_case(name)))
    }

    /// Where the value of a member begins and ends.
    fn span(&self, member: &Member<'_>) -> (usize, usize) {
        let value = member.value.get();
        let start = value.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        (start, start + value.len())
    }

    fn before(&self, position: usize) -> &'a str {
        self.text.get(..position).unwrap_or_default()
    }

    fn after(&self, position: usize) -> &'a str {
        self.text.get(position..).unwrap_or_default()
    }

    /// With one member more, set as the others are.
    fn with(&self, name: &str, value: &str) -> String {
        let open = self.text.find('{').map_or(0, |brace| brace + 1);
        let inside = self.after(open);
        let Some(last) = self.members.last() else {
            return format!("{}{}:{value}{}", self.before(open), quoted(name), inside.trim_start());
        };
        let lead = inside.split('"').next().unwrap_or_default();
        let colon = if lead.contains('\n') { ": " } else { ":" };
        let (_, end) = self.span(last);
        format!("{},{lead}{}{colon}{value}{}", self.before(end), quoted(name), self.after(end))
    }

    /// Without one of its members, and without the comma that it needed.
    fn without(&self, member: &Member<'_>) -> String {
        let (start, end) = self.span(member);
        let previous =
            self.members.iter().map(|other| self.span(other).1).filter(|other| *other < start).max();
        if let Some(previous) = previous {
            return format!("{}{}", self.before(previous), self.after(end));
        }
        let open = self.text.find('{').map_or(0, |brace| brace + 1);
        let rest = self.after(end).trim_start();
        match rest.strip_prefix(',') {
            Some(rest) => format!("{}{rest}", self.before(open)),
            None => format!("{}{rest}", self.before(open)),
        }
    }
}

struct Members<'a>(Vec<Member<'a>>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'de>, M::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
            members.push(Member { name, value });
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKER: &str = "{\n\t\"auths\": {\n\t\t\"a.example\": {\n\t\t\t\"auth\": \"QQ==\"\n\t\t}\n\t},\n\t\"psFormat\": \"x\"\n}\n";

    #[test]
    fn a_member_that_is_there_is_replaced_and_nothing_else() {
        let changed = set(DOCKER, &["auths", "a.example"], "5").unwrap();
        assert_eq!(changed, DOCKER.replace("{\n\t\t\t\"auth\": \"QQ==\"\n\t\t}", "5"));
        assert_eq!(
            set(r#"{ "a" :1 , "a": 2}"#, &["a"], "3").unwrap(),
            r#"{ "a" :1 , "a": 3}"#,
            "as Go reads it"
        );
        assert_eq!(set(r#"{"Auths":{}}"#, &["auths", "r"], "1").unwrap(), r#"{"Auths":{"r":1}}"#);
    }

    #[test]
    fn a_member_that_is_missing_is_added_as_the_others_are_written() {
        let changed = set(DOCKER, &["auths", "b.example"], "5").unwrap();
        assert_eq!(changed, DOCKER.replace("\t\t}\n\t},", "\t\t},\n\t\t\"b.example\": 5\n\t},"));
        let compact = r#"{"auths":{"a":{"auth":"x"}}}"#;
        assert_eq!(set(compact, &["auths", "b"], "5").unwrap(), r#"{"auths":{"a":{"auth":"x"},"b":5}}"#);
        for empty in ["", "  ", "{}", "null", r#"{"auths":{}}"#, r#"{"auths":null}"#] {
            assert_eq!(set(empty, &["auths", "r"], "5").unwrap(), r#"{"auths":{"r":5}}"#, "{empty:?}");
        }
    }

    #[test]
    fn what_was_added_can_be_taken_away_again() {
        for text in [DOCKER, r#"{"auths":{"a":{"auth":"x"}}}"#, r#"{"x":1,"auths":{"a":2,"b":3}}"#] {
            let added = set(text, &["auths", "new"], r#"{"auth":"y"}"#).unwrap();
            assert_eq!(remove(&added, &["auths", "new"]).unwrap(), text);
        }
        assert_eq!(remove(r#"{"a":1,"b":2,"a":3}"#, &["a"]).unwrap(), r#"{"b":2}"#);
        assert_eq!(remove(r#"{ "a":1 }"#, &["a"]).unwrap(), "{}");
        assert_eq!(remove(DOCKER, &["auths", "other"]).unwrap(), DOCKER);
    }

    #[test]
    fn names_are_escaped_and_found_escaped() {
        let added = set("{}", &["a\"b\\"], "1").unwrap();
        assert_eq!(added, r#"{"a\"b\\":1}"#);
        assert_eq!(find(&added, &["a\"b\\"]).unwrap(), Some("1"));
        assert_eq!(find(r#"{"\u0061":[1, 2]}"#, &["a"]).unwrap(), Some("[1, 2]"));
    }

    #[test]
    fn what_is_no_object_is_left_alone() {
        for (text, refused) in [
            ("[]", Malformed::NotAnObject),
            (r#"{"auths":5}"#, Malformed::NotAnObject),
            (r#"{"auths":"canary"}"#, Malformed::NotAnObject),
            ("{", Malformed::Syntax { line: 1, column: 1 }),
            (r#"{"a":1} canary"#, Malformed::Syntax { line: 1, column: 9 }),
        ] {
            let error = set(text, &["auths", "r"], "5").unwrap_err();
            assert_eq!(error, refused, "{text}");
            assert!(!error.to_string().contains("canary"));
        }
    }

    #[test]
    fn whatever_is_changed_stays_json() {
        let values = ["null", "{}", "[1]", "\"}{\\\"\"", "{\"a\":{\"b\":1}}"];
        for outer in values {
            for inner in values {
                let text = format!("{{ \"x\":{outer} ,\n\"y\" : {inner} }}");
                let Ok(changed) = set(&text, &["x", "a", "n"], inner) else { continue };
                let value: serde_json::Value = serde_json::from_str(&changed).unwrap();
                assert_eq!(value["x"]["a"]["n"], serde_json::from_str::<serde_json::Value>(inner).unwrap());
                assert!(changed.ends_with(&format!("\n\"y\" : {inner} }}")), "{changed}");
            }
        }
    }
}
