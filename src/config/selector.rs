//! Label selectors as `kubectl -l` and the API server take them: equality, sets, existence and comparison.
//!
//! Guarantees: the same texts are taken with the same meaning as by Kubernetes' own parser, and refused otherwise,
//! so that a selector which is tried with `kubectl get -l` does here what it does there; the cost is that of the
//! text. Must not: know what is selected.

use std::collections::{BTreeMap, BTreeSet};

/// Selects by labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSelector {
    text: String,
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    Exists,
    Absent,
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Above(i64),
    Below(i64),
}

impl LabelSelector {
    /// Whether a thing with these labels is selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| requirement.holds(labels.get(&requirement.key)))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Reads a selector, or says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut words = Words { rest: text };
        let mut requirements = Vec::new();
        loop {
            match (words.peek(), requirements.is_empty()) {
                (Word::End, true) => break,
                (Word::Text(_) | Word::Symbol("!"), _) => requirements.push(words.requirement()?),
                (found, _) => return Err(format!("{found} stands where a label should")),
            }
            match words.next() {
                Word::End => break,
                Word::Symbol(",") => {}
                found => return Err(format!("{found} stands where \",\" or the end should")),
            }
            if words.peek() == Word::End {
                return Err("a label is missing after the last \",\"".into());
            }
        }
        Ok(Self { text: text.to_owned(), requirements })
    }
}

impl Requirement {
    fn holds(&self, value: Option<&String>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.operator {
            Operator::Exists => value.is_some(),
            Operator::Absent => value.is_none(),
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            // A label that is missing is not among them.
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Above(limit) => number().is_some_and(|number| number > *limit),
            Operator::Below(limit) => number().is_some_and(|number| number < *limit),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word<'a> {
    End,
    Symbol(&'static str),
    Text(&'a str),
}

impl std::fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::End => f.write_str("the end"),
            Self::Symbol(symbol) => write!(f, "{symbol:?}"),
            Self::Text(text) => write!(f, "{:?}", super::finding::cut(text)),
        }
    }
}

/// Longer symbols before those that they begin with.
const SYMBOLS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"];

#[derive(Clone, Copy)]
struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn peek(self) -> Word<'a> {
        let mut ahead = self;
        ahead.next()
    }

    fn next(&mut self) -> Word<'a> {
        let is_space = |c| matches!(c, ' ' | '\t' | '\r' | '\n');
        self.rest = self.rest.trim_start_matches(is_space);
        if self.rest.is_empty() {
            return Word::End;
        }
        if let Some((symbol, rest)) =
            SYMBOLS.iter().find_map(|symbol| Some((*symbol, self.rest.strip_prefix(symbol)?)))
        {
            self.rest = rest;
            return Word::Symbol(symbol);
        }
        let ends = |c| is_space(c) || matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<');
        let (text, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        Word::Text(text)
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = self.peek() == Word::Symbol("!");
        if absent {
            self.next();
        }
        let key = match self.next() {
            Word::Text(key) if is_key(key) => key.to_owned(),
            found => return Err(format!("{found} is no label")),
        };
        let operator = if absent { Operator::Absent } else { self.operator()? };
        Ok(Requirement { key, operator })
    }

    fn operator(&mut self) -> Result<Operator, String> {
        if matches!(self.peek(), Word::End | Word::Symbol(",")) {
            return Ok(Operator::Exists);
        }
        match self.next() {
            Word::Symbol("=" | "==") => Ok(Operator::In([self.value()?].into())),
            Word::Symbol("!=") => Ok(Operator::NotIn([self.value()?].into())),
            Word::Symbol(">") => Ok(Operator::Above(self.number()?)),
            Word::Symbol("<") => Ok(Operator::Below(self.number()?)),
            Word::Text("in") => Ok(Operator::In(self.values()?)),
            Word::Text("notin") => Ok(Operator::NotIn(self.values()?)),
            found => Err(format!("{found} stands where =, !=, in or notin should")),
        }
    }

    /// One value, which may be empty.
    fn value(&mut self) -> Result<String, String> {
        match self.peek() {
            Word::End | Word::Symbol(",") => Ok(String::new()),
            Word::Text(value) if is_value(value) => {
                self.next();
                Ok(value.to_owned())
            }
            found => Err(format!("{found} is no value of a label")),
        }
    }

    fn number(&mut self) -> Result<i64, String> {
        let value = self.value()?;
        value.parse().map_err(|_| format!("{value:?} is no whole number"))
    }

    /// `(a, b)`; an empty item stands for the empty value, but there must be one.
    fn values(&mut self) -> Result<BTreeSet<String>, String> {
        let mut values = BTreeSet::new();
        if self.next() != Word::Symbol("(") {
            return Err("\"(\" is missing before the values".into());
        }
        if self.peek() == Word::Symbol(")") {
            return Err("there is no value between \"(\" and \")\"".into());
        }
        loop {
            match self.peek() {
                Word::Symbol("," | ")") => {
                    values.insert(String::new());
                }
                Word::Text(value) if is_value(value) => {
                    values.insert(value.to_owned());
                    self.next();
                }
                found => return Err(format!("{found} is no value of a label")),
            }
            match self.next() {
                Word::Symbol(")") => return Ok(values),
                Word::Symbol(",") => {}
                found => return Err(format!("{found} stands where \",\" or \")\" should")),
            }
        }
    }
}

/// `name` or `domain/name`.
fn is_key(key: &str) -> bool {
    let domain_part = |part: &str| {
        part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    match key.split_once('/') {
        Some((domain, name)) => domain.len() <= 253 && domain.split('.').all(domain_part) && is_name(name),
        None => is_name(key),
    }
}

fn is_value(value: &str) -> bool {
    value.is_empty() || is_name(value)
}

fn is_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    name.len() <= 63 && name.bytes().all(inner) && edge(name.bytes().next()) && edge(name.bytes().last())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a run with the labels `a=1`, `team=x`, `n=7`, `empty=` is selected.
    fn selects(text: &str) -> bool {
        let labels = [("a", "1"), ("team", "x"), ("n", "7"), ("empty", ""), ("b.example/c", "d")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        LabelSelector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).matches(&labels)
    }

    #[test]
    fn selectors_mean_what_they_mean_to_kubernetes() {
        for text in [
            "",
            " ",
            "a",
            "a=1",
            "a==1",
            "a = 1 , team=x",
            "a!=2",
            "missing!=1",
            "!missing",
            "! missing",
            "team in (x,y)",
            "team in ( y , x )",
            "team notin (y,z)",
            "missing notin (y)",
            "b.example/c=d",
            "empty",
            "empty=",
            "empty in (,)",
            "empty in (x,)",
            "empty==,a",
            "n>6",
            "n<8",
            "!in,!notin",
            "a in (1),team notin (a,b),!missing,n>3",
            "team\tin\n(x)",
            "a notin (notin)",
        ] {
            assert!(selects(text), "{text}");
        }
        for text in [
            "a=2",
            "missing",
            "missing=",
            "missing=1",
            "!a",
            "a!=1",
            "team in (y)",
            "team notin (x)",
            "missing in (a)",
            "a,missing",
            "n>7",
            "n<7",
            "missing>1",
            "missing<1",
            "team>1",
            "empty!=",
            "empty notin (,)",
            "a in (,)",
        ] {
            assert!(!selects(text), "{text}");
        }
    }

    #[test]
    fn what_kubernetes_refuses_is_refused_with_the_place() {
        for (text, said) in [
            ("a,", "a label is missing after the last \",\""),
            (",a", "\",\" stands where a label should"),
            ("a b", "\"b\" stands where =, !=, in or notin should"),
            ("a in", "\"(\" is missing"),
            ("a in x", "\"(\" is missing"),
            ("a in ()", "no value between"),
            ("a in (x", "the end stands where"),
            ("a in (x y)", "\"y\" stands where"),
            ("a=b=c", "\"=\" stands where \",\" or the end should"),
            ("a===b", "\"=\" is no value of a label"),
            ("a=1 b=2", "\"b\" stands where \",\" or the end should"),
            ("!a=1", "\"=\" stands where"),
            ("!", "the end is no label"),
            ("!!a", "\"!\" is no label"),
            ("n>-1", "\"-1\" is no value"),
            ("B.example/c", "is no label"),
            ("a>x", "\"x\" is no whole number"),
            ("a>", "\"\" is no whole number"),
            ("-a=1", "\"-a\" is no label"),
            ("a=-b", "\"-b\" is no value"),
            ("A.b/c/d=1", "is no label"),
            ("/a=1", "is no label"),
            ("a/=1", "is no label"),
            ("ä=1", "is no label"),
            ("a=(b)", "\"(\" is no value"),
            ("a)", "\")\" stands where"),
        ] {
            let error = LabelSelector::parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        let long = "a".repeat(64);
        assert!(LabelSelector::parse(&long).is_err() && LabelSelector::parse(&format!("a={long}")).is_err());
    }

    #[test]
    fn a_hostile_selector_costs_no_more_than_its_size() {
        for text in ["(".repeat(1 << 20), "a,".repeat(1 << 19), format!("a in ({})", "x,".repeat(1 << 19))] {
            let parsed = LabelSelector::parse(&text);
            assert!(parsed.map_or_else(|error| error.len() < 512, |parsed| parsed.requirements.len() == 1));
        }
    }
}
