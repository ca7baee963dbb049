//! A document as a tree of fields that know their path: every mistake is noted where it is, and reading goes on, so
//! that an author sees all of them at once. A decoder that stops at the first mistake could not do that.

use serde_json::{Map, Value};

use super::finding::{Notes, Problem};

/// A field that is there.
#[derive(Debug, Clone)]
pub(super) struct Field<'v> {
    pub(super) path: String,
    value: &'v Value,
}

/// The fields of an object.
#[derive(Debug, Clone)]
pub(super) struct Fields<'v> {
    pub(super) path: String,
    map: &'v Map<String, Value>,
}

impl<'v> Field<'v> {
    pub(super) fn root(path: &str, value: &'v Value) -> Self {
        Self { path: path.to_owned(), value }
    }

    /// As an object that has no fields but `known`.
    pub(super) fn fields(self, known: &[&str], notes: &mut Notes) -> Option<Fields<'v>> {
        let Some(map) = self.value.as_object() else {
            notes.error(&self.path, Problem::Type("an object"));
            return None;
        };
        for name in map.keys().filter(|name| !known.contains(&name.as_str())) {
            let name: String = name.chars().take(100).collect();
            notes.error(&below(&self.path, &name), Problem::Unknown);
        }
        Some(Fields { path: self.path, map })
    }

    pub(super) fn items(self, notes: &mut Notes) -> Vec<Self> {
        let Some(items) = self.value.as_array() else {
            notes.error(&self.path, Problem::Type("a list"));
            return Vec::new();
        };
        let item = |(n, value)| Self { path: format!("{}[{n}]", self.path), value };
        items.iter().enumerate().map(item).collect()
    }

    /// As text that is not empty.
    pub(super) fn text(&self, notes: &mut Notes) -> Option<&'v str> {
        match self.value.as_str() {
            Some("") => notes.error(&self.path, Problem::Missing),
            Some(text) => return Some(text),
            None => notes.error(&self.path, Problem::Type("text")),
        }
        None
    }

    /// As text, for fields where an empty one means something.
    pub(super) fn maybe_empty_text(&self, notes: &mut Notes) -> Option<String> {
        let text = self.value.as_str();
        if text.is_none() {
            notes.error(&self.path, Problem::Type("text"));
        }
        text.map(str::to_owned)
    }

    /// As an object whose fields have names of somebody else's choice.
    pub(super) fn any_fields(self, notes: &mut Notes) -> Option<Fields<'v>> {
        let map = self.value.as_object();
        if map.is_none() {
            notes.error(&self.path, Problem::Type("an object"));
        }
        Some(Fields { path: self.path, map: map? })
    }

    pub(super) fn flag(&self, notes: &mut Notes) -> Option<bool> {
        let flag = self.value.as_bool();
        if flag.is_none() {
            notes.error(&self.path, Problem::Type("true or false"));
        }
        flag
    }

    /// One of several words.
    pub(super) fn word<T: Copy>(
        &self,
        words: &[(&str, T)],
        allowed: &'static str,
        notes: &mut Notes,
    ) -> Option<T> {
        let text = self.text(notes)?;
        let known = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if known.is_none() {
            let found = text.chars().take(100).collect();
            notes.error(&self.path, Problem::NotOneOf { found, allowed });
        }
        known
    }
}

impl<'v> Fields<'v> {
    /// A field; null and nothing are the same.
    pub(super) fn get(&self, name: &str) -> Option<Field<'v>> {
        let value = self.map.get(name).filter(|value| !value.is_null())?;
        Some(Field { path: below(&self.path, name), value })
    }

    /// A field that must be there.
    pub(super) fn require(&self, name: &str, notes: &mut Notes) -> Option<Field<'v>> {
        let field = self.get(name);
        if field.is_none() {
            notes.error(&below(&self.path, name), Problem::Missing);
        }
        field
    }

    /// Text, where it is there.
    pub(super) fn text(&self, name: &str, notes: &mut Notes) -> Option<String> {
        Some(self.get(name)?.text(notes)?.to_owned())
    }

    /// The items of a list, where it is there.
    pub(super) fn items(&self, name: &str, notes: &mut Notes) -> Vec<Field<'v>> {
        self.get(name).map(|field| field.items(notes)).unwrap_or_default()
    }

    /// Every text of an object of texts.
    pub(super) fn texts(&self, notes: &mut Notes) -> Vec<(String, String)> {
        let names: Vec<&String> = self.map.keys().collect();
        let text = |name: &String| Some((name.clone(), self.get(name)?.maybe_empty_text(notes)?));
        names.into_iter().filter_map(text).collect()
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
