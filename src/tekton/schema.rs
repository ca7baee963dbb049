//! The shapes of Tekton's own types, read from `schema.txt`, which `hack/tekton-schema` writes from the types
//! themselves: which fields there are, in which order they are written, and which are left out when empty.

use std::collections::HashMap;
use std::sync::LazyLock;

/// How a value is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Bool,
    Number,
    Time,
    Duration,
    Quantity,
    NumberOrText,
    Param,
    /// JSON of any kind, kept as it is.
    Raw,
    Pointer(Box<Shape>),
    List(Box<Shape>),
    Map(Box<Shape>),
    /// Index of a structure in the schema.
    Struct(usize),
}

/// A field of a structure.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) omit_empty: bool,
    pub(super) shape: Shape,
}

/// A type with fields.
#[derive(Debug)]
pub(super) struct Structure {
    pub(super) name: &'static str,
    pub(super) fields: Vec<Field>,
}

static STRUCTURES: LazyLock<Vec<Structure>> = LazyLock::new(|| parse(include_str!("schema.txt")));

/// The structure at `index`.
pub(super) fn structure(index: usize) -> Option<&'static Structure> {
    STRUCTURES.get(index)
}

/// The shape of the type called `name`; JSON of any kind if there is none.
pub(super) fn shape(name: &str) -> Shape {
    STRUCTURES.iter().position(|structure| structure.name == name).map_or(Shape::Raw, Shape::Struct)
}

fn parse(text: &'static str) -> Vec<Structure> {
    let lines = || text.lines().filter(|line| !line.starts_with('#'));
    let names: HashMap<&str, usize> =
        lines().enumerate().filter_map(|(index, line)| Some((line.split(' ').next()?, index))).collect();
    lines()
        .map(|line| {
            let mut words = line.split(' ');
            let name = words.next().unwrap_or_default();
            Structure { name, fields: words.filter_map(|word| field(word, &names)).collect() }
        })
        .collect()
}

fn field(word: &'static str, names: &HashMap<&str, usize>) -> Option<Field> {
    let (name, kind) = word.split_once('=')?;
    let shape = shape_of(kind, names);
    let stripped = name.strip_suffix('?');
    Some(Field { name: stripped.unwrap_or(name), omit_empty: stripped.is_some(), shape })
}

fn shape_of(kind: &str, names: &HashMap<&str, usize>) -> Shape {
    let inner = |kind| Box::new(shape_of(kind, names));
    if let Some(kind) = kind.strip_prefix('*') {
        return Shape::Pointer(inner(kind));
    }
    if let Some(kind) = kind.strip_prefix("[]") {
        return Shape::List(inner(kind));
    }
    if let Some(kind) = kind.strip_prefix("{}") {
        return Shape::Map(inner(kind));
    }
    match kind {
        "string" => Shape::Text,
        "bool" => Shape::Bool,
        "number" => Shape::Number,
        "time" => Shape::Time,
        "duration" => Shape::Duration,
        "quantity" => Shape::Quantity,
        "intstr" => Shape::NumberOrText,
        "param" => Shape::Param,
        name => names.get(name).copied().map_or(Shape::Raw, Shape::Struct),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_schema_is_understood() {
        for word in include_str!("schema.txt")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .flat_map(|line| line.split(' ').skip(1))
        {
            let kind = word.split_once('=').unwrap().1;
            let names =
                STRUCTURES.iter().enumerate().map(|(index, structure)| (structure.name, index)).collect();
            let known = kind.ends_with("raw") || !format!("{:?}", shape_of(kind, &names)).contains("Raw");
            assert!(known, "{word}");
        }
    }

    #[test]
    fn fields_keep_their_order_and_their_marks() {
        let Shape::Struct(index) = shape("PipelineResult") else { panic!("no PipelineResult") };
        let fields: Vec<_> =
            structure(index).unwrap().fields.iter().map(|field| (field.name, field.omit_empty)).collect();
        assert_eq!(fields, [("name", false), ("type", true), ("description", false), ("value", false)]);
        assert_eq!(shape("NoSuchType"), Shape::Raw);
    }
}
