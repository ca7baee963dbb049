//! Tekton's own artifacts API: `status.artifacts` of a `TaskRun`, and `inputs` and `outputs` of its steps. Chains
//! does not read it (Chains specification §3.7); here a `buildOutput` is a subject, another output a
//! by-product and an input a dependency.

use std::collections::BTreeMap;

use serde_json::Value;

use super::image::{Image, Repository};
use crate::tekton::TaskRun;
use crate::tekton::fields::Fields;

/// One value of an artifact that Tekton reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Structured<'a> {
    /// Name of the artifact.
    pub(crate) name: &'a str,
    pub(crate) uri: &'a str,
    pub(crate) digest: BTreeMap<&'a str, &'a str>,
    /// Whether it is what the run was for.
    pub(crate) build_output: bool,
}

/// What the run used.
pub(crate) fn inputs(run: &TaskRun) -> impl Iterator<Item = Structured<'_>> {
    reported(run, "inputs")
}

/// What the run made.
pub(crate) fn outputs(run: &TaskRun) -> impl Iterator<Item = Structured<'_>> {
    reported(run, "outputs")
}

impl Structured<'_> {
    /// The image, if it is one that can be signed: its location names a registry, and it has a sha256 digest.
    pub(crate) fn image(&self) -> Option<Image> {
        let digest = format!("sha256:{}", self.digest.get("sha256")?).parse().ok()?;
        let (host, _) = self.uri.split_once('/')?;
        if !host.contains(['.', ':']) && host != "localhost" {
            return None;
        }
        Some(Image { repository: Repository::parse(self.uri).ok()?, digest })
    }
}

fn reported<'a>(run: &'a TaskRun, direction: &'static str) -> impl Iterator<Item = Structured<'a>> {
    let steps = run.steps().flat_map(move |step| step.0.list(direction));
    steps.chain(run.0.status().child("artifacts").list(direction)).flat_map(values)
}

fn values(artifact: &Value) -> impl Iterator<Item = Structured<'_>> {
    let (name, build_output) = (artifact.text("name"), artifact.child("buildOutput") == &Value::Bool(true));
    artifact
        .list("values")
        .iter()
        .map(move |value| Structured {
            name,
            uri: value.text("uri"),
            digest: value.texts("digest").filter(|(_, hex)| !hex.is_empty()).collect(),
            build_output,
        })
        .filter(|value| !value.uri.is_empty() && !value.digest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const HEX: &str = "05f95b26ed10668b7183c1e2da98610e91372fa9f510046d4ce5812addad86b5";

    fn run() -> TaskRun {
        let value = |uri| json!([{"uri": uri, "digest": {"sha256": HEX}}]);
        TaskRun::from_value(json!({"status": {
            "steps": [{"name": "s", "inputs": [{"name": "source", "values": value("git:src")}],
                "outputs": [{"name": "image", "buildOutput": true, "values": value("r.io/app:v1")}]}],
            "artifacts": {"outputs": [{"name": "log", "values": [{"uri": "r.io/log", "digest": {"sha256": HEX}},
                {"uri": "", "digest": {"sha256": HEX}}, {"uri": "x"}]}]}}}))
        .unwrap()
    }

    #[test]
    fn steps_come_before_the_run_and_incomplete_values_are_left_out() {
        let run = run();
        let outputs: Vec<_> =
            outputs(&run).map(|output| (output.name, output.uri, output.build_output)).collect();
        assert_eq!(outputs, [("image", "r.io/app:v1", true), ("log", "r.io/log", false)]);
        assert_eq!(inputs(&run).map(|input| input.uri).collect::<Vec<_>>(), ["git:src"]);
    }

    #[test]
    fn only_locations_in_a_registry_are_images() {
        for (uri, image) in [
            ("r.io/app:v1", Some("r.io/app")),
            ("localhost/app", Some("localhost/app")),
            ("app/app", None),
            ("pkg:oci/app", None),
            ("https://r.io/app", None),
            ("app", None),
        ] {
            let digest = BTreeMap::from([("sha256", HEX)]);
            let structured = Structured { name: "", uri, digest, build_output: true };
            assert_eq!(
                structured.image().map(|image| image.repository.to_string()).as_deref(),
                image,
                "{uri}"
            );
        }
    }
}
