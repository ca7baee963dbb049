//! The few lines of a provenance that a person looks for first. Pure; every text is cut and fit for a terminal.

use serde::Serialize;
use serde_json::Value;

use crate::policy::check::Statement;
use crate::policy::predicate;

/// How something was built, in short.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Summary {
    /// Who built it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) builder: Option<String>,
    /// How.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) build_type: Option<String>,
    /// From what: the first source that is no image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) source: Option<String>,
    /// How many things went into it.
    pub(in crate::cli) materials: usize,
    /// From when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) started: Option<String>,
    /// To when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) finished: Option<String>,
}

impl Summary {
    /// Of a provenance of any version; nothing for other statements.
    pub(in crate::cli) fn of(statement: &Statement) -> Option<Self> {
        if !predicate::is_provenance(&statement.predicate_type) {
            return None;
        }
        let predicate = &statement.predicate;
        let first = |paths: [&str; 2]| paths.iter().find_map(|path| text(predicate.pointer(path)));
        let materials = ["/materials", "/buildDefinition/resolvedDependencies"];
        let materials = materials.iter().find_map(|path| predicate.pointer(path).and_then(Value::as_array));
        let materials = materials.map(Vec::as_slice).unwrap_or_default();
        Some(Self {
            builder: first(["/builder/id", "/runDetails/builder/id"]),
            build_type: first(["/buildType", "/buildDefinition/buildType"]),
            source: source(materials),
            materials: materials.len(),
            started: first(["/metadata/buildStartedOn", "/runDetails/metadata/startedOn"]),
            finished: first(["/metadata/buildFinishedOn", "/runDetails/metadata/finishedOn"]),
        })
    }

    /// The lines for a person.
    pub(in crate::cli) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(builder) = &self.builder {
            lines.push(format!("built by {builder}"));
        }
        if let Some(kind) = &self.build_type {
            lines.push(format!("as {kind}"));
        }
        if let Some(source) = &self.source {
            lines.push(format!("from {source}"));
        }
        if let (Some(started), Some(finished)) = (&self.started, &self.finished) {
            lines.push(format!("from {started} to {finished}"));
        }
        if self.materials > 0 {
            lines.push(format!("of {} materials", self.materials));
        }
        lines
    }
}

/// The first that came out of version control.
fn source(materials: &[Value]) -> Option<String> {
    let source = materials.iter().find_map(|material| {
        let uri = text(material.get("uri")).filter(|uri| uri.starts_with("git") || uri.contains(".git"))?;
        Some((uri, material))
    });
    let (uri, material) = source?;
    let digest = material.get("digest").and_then(Value::as_object);
    let digest = digest.and_then(|digest| text(digest.values().next()));
    Some(digest.map_or_else(|| uri.clone(), |digest| format!("{uri}@{digest}")))
}

fn text(value: Option<&Value>) -> Option<String> {
    value?.as_str().filter(|text| !text.is_empty()).map(printable)
}

/// Foreign text on one line.
pub(in crate::cli) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn statement(kind: &str, predicate: Value) -> Statement {
        Statement { predicate_type: kind.to_owned(), predicate, bytes: Vec::new() }
    }

    #[test]
    fn both_versions_of_provenance_say_the_same() {
        let old = json!({"builder": {"id": "b"}, "buildType": "t",
            "materials": [{"uri": "oci://x"}, {"uri": "git+https://h/r", "digest": {"sha1": "c0"}}],
            "metadata": {"buildStartedOn": "1", "buildFinishedOn": "2"}});
        let new = json!({"runDetails": {"builder": {"id": "b"}, "metadata": {"startedOn": "1", "finishedOn": "2"}},
            "buildDefinition": {"buildType": "t",
                "resolvedDependencies": [{"uri": "oci://x"}, {"uri": "git+https://h/r", "digest": {"sha1": "c0"}}]}});
        let old = Summary::of(&statement("https://slsa.dev/provenance/v0.2", old)).unwrap();
        assert_eq!(Some(&old), Summary::of(&statement("https://slsa.dev/provenance/v1", new)).as_ref());
        assert_eq!(
            old.lines(),
            ["built by b", "as t", "from git+https://h/r@c0", "from 1 to 2", "of 2 materials"]
        );
    }

    #[test]
    fn other_statements_have_no_summary_and_rubbish_has_an_empty_one() {
        assert_eq!(Summary::of(&statement("https://spdx.dev/Document", json!({}))), None);
        let rubbish = json!({"builder": 7, "materials": {}, "metadata": []});
        let summary = Summary::of(&statement("https://slsa.dev/provenance/v0.2", rubbish)).unwrap();
        assert_eq!((summary.clone(), summary.lines().len()), (Summary::default(), 0));
    }

    #[test]
    fn no_text_of_a_stranger_steers_the_terminal() {
        let evil = json!({"builder": {"id": "\u{1b}[31mred\r\n"}});
        let summary = Summary::of(&statement("https://slsa.dev/provenance/v0.2", evil)).unwrap();
        assert_eq!(summary.builder.as_deref(), Some("[31mred"));
    }
}
