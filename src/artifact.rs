//! What a completed run built: the run itself, about which there is a statement, and the images that its
//! results name (Chains specification §3). Finding them is total: no run, however odd, fails it.
//!
//! Images of a `PipelineRun`'s results are artifacts too, which they are not in Chains, unless a child's results
//! name the same digest: then they are signed with the child.

pub mod digest;
pub(crate) mod hint;
pub mod image;
pub(crate) mod named;
pub(crate) mod structured;
pub mod unusable;

use std::collections::HashSet;
use std::fmt;

use crate::tekton::completed::CompletedRun;
use crate::tekton::param::RunResult;
use crate::tekton::{Kind, Run, TaskRun};
use image::Image;
pub use unusable::Unusable;

/// Something that is signed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Artifact {
    /// An image that the run built.
    Image(Image),
    /// The run itself.
    Run(RunArtifact),
}

/// A run, named so that its statement can be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunArtifact {
    /// Which kind of run.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What tells it from others of that name.
    pub uid: String,
}

/// Everything that there is to sign of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifacts {
    /// The run.
    pub run: RunArtifact,
    /// Images, each once, in the order of the results.
    pub images: Vec<Image>,
    /// Results that name an image and cannot be used.
    pub unusable: Vec<Unusable>,
}

impl Artifacts {
    /// What `completed` built.
    pub fn of(completed: &CompletedRun) -> Self {
        let results: Vec<RunResult<'_>> = completed.run().document().results().collect();
        let mut seen = HashSet::new();
        let images = match completed.run() {
            Run::Task(run) => task_images(run, &results).filter(|image| seen.insert(image.clone())).collect(),
            Run::Pipeline(_) => {
                let elsewhere: HashSet<_> = completed.children().iter().flat_map(digests).collect();
                let own = signable(&results).filter(|image| !elsewhere.contains(&image.digest));
                own.filter(|image| seen.insert(image.clone())).collect()
            }
        };
        Self { run: RunArtifact::of(completed.run()), images, unusable: unusable::unusable(&results) }
    }

    /// The run, then its images.
    pub fn all(&self) -> impl Iterator<Item = Artifact> {
        let images = self.images.iter().cloned().map(Artifact::Image);
        std::iter::once(Artifact::Run(self.run.clone())).chain(images)
    }
}

impl Artifact {
    /// Its name, and its digest if it has one, as the outcome of a run tells them.
    pub fn told(&self) -> (String, String) {
        match self {
            Self::Image(image) => (image.repository.to_string(), image.digest.to_string()),
            Self::Run(run) => (run.to_string(), String::new()),
        }
    }

    /// The short name under which signatures are stored (Chains specification §2.7).
    pub fn short_key(&self) -> String {
        match self {
            Self::Image(image) => image.digest.hex().chars().take(12).collect(),
            Self::Run(run) => run.short_key(),
        }
    }
}

impl RunArtifact {
    /// Names `run`.
    pub fn of(run: &Run) -> Self {
        let metadata = run.metadata();
        Self {
            kind: run.kind(),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
            uid: metadata.uid.clone(),
        }
    }

    /// The short name under which the statement is stored.
    pub fn short_key(&self) -> String {
        format!("{}-{}", self.kind.as_str().to_lowercase(), self.uid)
    }
}

impl fmt::Display for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(image) => write!(f, "image {image}"),
            Self::Run(run) => write!(f, "{run}"),
        }
    }
}

impl fmt::Display for RunArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}

fn signable(results: &[RunResult<'_>]) -> impl Iterator<Item = Image> {
    hint::images(results).into_iter().filter_map(|named| named.image.ok())
}

fn task_images(run: &TaskRun, results: &[RunResult<'_>]) -> impl Iterator<Item = Image> {
    let structured = structured::outputs(run).filter(|output| output.build_output);
    signable(results).chain(structured.filter_map(|output| output.image()))
}

fn digests(child: &TaskRun) -> Vec<digest::Digest> {
    let results: Vec<_> = child.0.results().collect();
    task_images(child, &results).map(|image| image.digest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const A: &str = "05f95b26ed10668b7183c1e2da98610e91372fa9f510046d4ce5812addad86b5";
    const B: &str = "586789aa031fafc7d78a5393cdc772e0b55107ea54bb8bcf3f2cdac6c6da51ee";

    fn run(kind: &str, results: &Value) -> Value {
        json!({"kind": kind, "metadata": {"name": "one", "namespace": "build", "uid": "1-2-3"},
            "status": {"conditions": [{"type": "Succeeded", "status": "True"}], "results": results}})
    }

    fn of(run: Value, children: Vec<Value>) -> Artifacts {
        let children = children.into_iter().map(|child| TaskRun::from_value(child).unwrap()).collect();
        Artifacts::of(&CompletedRun::prove(Run::from_value(run).unwrap(), children).unwrap())
    }

    fn images(names: &[(&str, &str)]) -> Value {
        let list: Vec<_> = names.iter().map(|(name, hex)| format!("{name}@sha256:{hex}")).collect();
        json!([{"name": "IMAGES", "value": list.join(",")}])
    }

    #[test]
    fn the_artifacts_of_a_taskrun_are_itself_and_its_images() {
        let found = of(run("TaskRun", &images(&[("r.io/a1", A), ("R.io/a1", A), ("r.io/b1", B)])), vec![]);
        let keys: Vec<_> =
            found.images.iter().map(|image| Artifact::Image(image.clone()).short_key()).collect();
        assert_eq!(keys, ["05f95b26ed10", "586789aa031f"]);
        assert_eq!(Artifact::Run(found.run.clone()).short_key(), "taskrun-1-2-3");
        assert_eq!(found.run.to_string(), "TaskRun build/one");
        assert_eq!(Artifact::Image(found.images[0].clone()).to_string(), format!("image r.io/a1@sha256:{A}"));
    }

    #[test]
    fn a_pipelinerun_leaves_to_its_children_what_they_name() {
        let child = run("TaskRun", &images(&[("r.io/child", A)]));
        let found = of(run("PipelineRun", &images(&[("r.io/a1", A), ("r.io/b1", B)])), vec![child]);
        assert_eq!(found.images.iter().map(|image| image.repository.path()).collect::<Vec<_>>(), ["b1"]);
        assert_eq!(found.run.short_key(), "pipelinerun-1-2-3");
    }

    #[test]
    fn build_outputs_of_the_artifacts_api_are_images_too() {
        let mut task = run("TaskRun", &images(&[("r.io/a1", A)]));
        task["status"]["artifacts"] = json!({"outputs": [
            {"name": "x", "buildOutput": true, "values": [{"uri": "r.io/b1", "digest": {"sha256": B}}]},
            {"name": "y", "values": [{"uri": "r.io/c1", "digest": {"sha256": B}}]}]});
        let found = of(task, vec![]);
        assert_eq!(
            found.images.iter().map(|image| image.repository.path()).collect::<Vec<_>>(),
            ["a1", "b1"]
        );
    }

    #[test]
    fn a_reference_with_a_scheme_is_told_of_and_never_an_image() {
        let found = of(run("TaskRun", &images(&[("oci://r.io/a1", A)])), vec![]);
        assert_eq!(found.images, []);
        assert_eq!(found.unusable[0].reason.remedy(), "remove the scheme");
    }

    #[test]
    fn a_hostile_run_is_searched_in_the_time_of_its_size() {
        let names: Vec<_> = (0..4000)
            .flat_map(|n| {
                let name = format!("\u{202e}{}IMAGE", n % 2000);
                [
                    json!({"name": format!("{name}_URL"), "value": "r.io/\u{0}"}),
                    json!({"name": format!("{name}_DIGEST"), "value": A}),
                ]
            })
            .collect();
        let found = of(run("TaskRun", &Value::Array(names)), vec![]);
        assert_eq!((found.images.len(), found.unusable.len()), (0, 64));
    }
}
