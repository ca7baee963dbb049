//! What is signed: the payload of an image, and the in-toto statement of a run (Chains specification §4).
//!
//! Payloads are made of the run alone. The same run gives the same bytes however often it is asked for, which
//! is how a retry finds out that its work is done already.

mod go_json;
mod image_statement;
mod material;
mod merged;
mod result_reference;
mod simple_signing;
mod slsa_v0_2;
mod slsa_v1;
mod subject;
#[cfg(test)]
mod test_runs;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::artifact::image::{Image, Repository};
use crate::artifact::{Artifact, RunArtifact};
use crate::error::{Class, Diagnose};
use crate::tekton::completed::CompletedRun;
pub use image_statement::{IMAGE_PREDICATE, image_statement};
pub use simple_signing::simple_signing;

/// In which form an artifact is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// cosign's payload for images.
    SimpleSigning,
    /// cosign's statement about an image, which stands for that payload in bundles.
    ImageStatement,
    /// SLSA provenance v0.2; `in-toto` and `slsa/v1` mean this alike.
    InToto,
    /// SLSA provenance v1.0 with every result as a by-product.
    SlsaV2Alpha3,
    /// SLSA provenance v1.0 with build artifacts alone as subjects, and `StepActions`.
    SlsaV2Alpha4,
}

/// The two ways to fill in SLSA provenance v1.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BuildType {
    /// What verifiers of any build system understand.
    Slsa,
    /// That, and Tekton's own: labels, annotations, `TaskRuns` whole.
    SlsaTekton,
}

/// What statements say beside what the run says.
#[derive(Debug, Clone)]
pub struct Provenance {
    /// Who builds: `builder.id`.
    pub builder_id: String,
    /// How SLSA v1.0 is filled in: `builddefinition.buildtype`.
    pub build_type: BuildType,
    /// Whether a `PipelineRun`'s statement looks into its `TaskRuns`.
    pub deep_inspection: bool,
}

/// What is signed for one artifact.
#[derive(Debug, Clone)]
pub struct Payload {
    /// What it is about.
    pub artifact: Artifact,
    /// Its form.
    pub format: Format,
    /// Type of the bytes.
    pub media_type: &'static str,
    /// Type of the predicate, for statements.
    pub predicate_type: Option<&'static str>,
    /// What it vouches for.
    pub subjects: Vec<Subject>,
    /// What the signature is over.
    pub bytes: Vec<u8>,
}

/// A thing that a statement vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// Its name: a repository without tag, or a location.
    pub name: String,
    /// Its digests by algorithm.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: BTreeMap<String, String>,
}

/// Why there is no payload.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The format is none for runs.
    #[error("format {} describes images, not runs", .0.as_str())]
    NotForRuns(Format),
    /// The JSON could not be written.
    #[error("cannot write the payload as JSON")]
    Json(#[from] serde_json::Error),
}

impl Diagnose for Error {
    fn class(&self) -> Class {
        Class::Permanent
    }

    fn label(&self) -> &'static str {
        "payload_creation"
    }
}

impl Format {
    /// As the `ConfigMap` writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SimpleSigning => "simplesigning",
            Self::ImageStatement => "cosign/sign/v1",
            Self::InToto => "in-toto",
            Self::SlsaV2Alpha3 => "slsa/v2alpha3",
            Self::SlsaV2Alpha4 => "slsa/v2alpha4",
        }
    }

    /// Reads the `ConfigMap`'s text.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "simplesigning" => Some(Self::SimpleSigning),
            "in-toto" | "slsa/v1" => Some(Self::InToto),
            "slsa/v2alpha3" => Some(Self::SlsaV2Alpha3),
            "slsa/v2alpha4" => Some(Self::SlsaV2Alpha4),
            _ => None,
        }
    }
}

impl BuildType {
    /// The URI that names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slsa => "https://tekton.dev/chains/v2/slsa",
            Self::SlsaTekton => "https://tekton.dev/chains/v2/slsa-tekton",
        }
    }

    /// Reads the URI.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Slsa, Self::SlsaTekton].into_iter().find(|build_type| build_type.as_str() == text)
    }
}

impl Subject {
    /// The image to whose repository the statement belongs. A name is one only if it says in which registry:
    /// any other word could be the name of a file as well.
    pub fn image(&self) -> Option<Image> {
        let digest = format!("sha256:{}", self.digest.get("sha256")?).parse().ok()?;
        let (host, _) = self.name.split_once('/')?;
        let explicit = host.contains(['.', ':']) || host == "localhost";
        let repository = Repository::parse(&self.name).ok().filter(|_| explicit)?;
        Some(Image { repository, digest })
    }
}

impl Payload {
    /// The images that it vouches for, each once.
    pub fn images(&self) -> Vec<Image> {
        let mut images: Vec<Image> = match &self.artifact {
            Artifact::Image(image) => vec![image.clone()],
            Artifact::Run(_) => self.subjects.iter().filter_map(Subject::image).collect(),
        };
        images.sort();
        images.dedup();
        images
    }
}

/// The statement of a run.
pub fn statement(
    completed: &CompletedRun,
    format: Format,
    provenance: &Provenance,
) -> Result<Payload, Error> {
    let executed = completed.executed_tasks();
    let inspected = if provenance.deep_inspection { executed.as_slice() } else { &[] };
    let subjects = subject::subjects(completed, format, inspected).into_entries();
    let (predicate_type, bytes) = match format {
        Format::SimpleSigning | Format::ImageStatement => return Err(Error::NotForRuns(format)),
        Format::InToto => {
            let predicate = slsa_v0_2::predicate(completed, provenance, &executed);
            (
                slsa_v0_2::PREDICATE_TYPE,
                written(
                    "https://in-toto.io/Statement/v0.1",
                    slsa_v0_2::PREDICATE_TYPE,
                    &subjects,
                    &predicate,
                )?,
            )
        }
        Format::SlsaV2Alpha3 | Format::SlsaV2Alpha4 => {
            let predicate = slsa_v1::predicate(completed, format, provenance, &executed)?;
            (
                slsa_v1::PREDICATE_TYPE,
                written("https://in-toto.io/Statement/v1", slsa_v1::PREDICATE_TYPE, &subjects, &predicate)?,
            )
        }
    };
    Ok(Payload {
        artifact: Artifact::Run(RunArtifact::of(completed.run())),
        format,
        media_type: "application/vnd.in-toto+json",
        predicate_type: Some(predicate_type),
        subjects,
        bytes,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statement<'a, P> {
    #[serde(rename = "_type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    subject: &'a [Subject],
    predicate_type: &'static str,
    predicate: &'a P,
}

fn written<P: Serialize>(
    kind: &'static str,
    predicate_type: &'static str,
    subject: &[Subject],
    predicate: &P,
) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Statement { kind, subject, predicate_type, predicate })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Artifacts;
    use crate::tekton::{Run, TaskRun};
    use serde_json::{Value, json};
    use test_runs::{HEX, OTHER, children, completed, pipeline_run, provenance, stated, task_run};

    const FORMATS: [Format; 3] = [Format::InToto, Format::SlsaV2Alpha3, Format::SlsaV2Alpha4];

    #[test]
    fn the_statement_of_a_taskrun_has_these_bytes() {
        let completed = completed(task_run("t", "one", "r.io/app:v1"), vec![]);
        let payload = statement(&completed, Format::InToto, &provenance(BuildType::Slsa, false)).unwrap();
        let expected = format!(
            r#"{{"_type":"https://in-toto.io/Statement/v0.1","subject":[{{"name":"r.io/app","digest":{{"sha256":"{HEX}"}}}}],"predicateType":"https://slsa.dev/provenance/v0.2","predicate":{{"builder":{{"id":"https://builder.example"}},"buildType":"tekton.dev/v1/TaskRun","invocation":{{"configSource":{{}},"parameters":{{"how":["fast"],"who":"me"}},"environment":{{"labels":{{"tekton.dev/pipelineTask":"one"}}}}}},"buildConfig":{{"steps":[{{"entryPoint":"make all","arguments":["-j"],"environment":{{"container":"make","image":"oci://r.io/tool@sha256:{OTHER}"}},"annotations":null}}]}},"metadata":{{"buildStartedOn":"2026-01-02T03:04:05Z","buildFinishedOn":"2026-01-02T03:05:05Z","completeness":{{"parameters":false,"environment":false,"materials":false}},"reproducible":false}},"materials":[{{"uri":"oci://r.io/tool","digest":{{"sha256":"{OTHER}"}}}}]}}}}"#
        );
        assert_eq!(String::from_utf8(payload.bytes).unwrap(), expected);
        assert_eq!(payload.media_type, "application/vnd.in-toto+json");
        assert_eq!(payload.predicate_type, Some("https://slsa.dev/provenance/v0.2"));
        assert_eq!(payload.artifact.short_key(), "taskrun-uid-t");
        assert_eq!(payload.subjects[0].image().unwrap().to_string(), format!("r.io/app@sha256:{HEX}"));
    }

    #[test]
    fn what_signing_writes_on_a_run_changes_no_statement() {
        let marked = |mut run: Value, mark: bool| {
            if mark {
                run["metadata"]["resourceVersion"] = "9".into();
                run["metadata"]["managedFields"] = json!([{"manager": "x"}]);
                run["metadata"]["finalizers"] = json!(["chains.tekton.dev/taskrun"]);
                run["metadata"]["annotations"] =
                    json!({"chains.tekton.dev/signed": "true", "chains.tekton.dev/payload-x": "eA=="});
            } else {
                run["metadata"]["finalizers"] = json!([]);
            }
            run
        };
        for format in FORMATS {
            let state = |mark| {
                let children = children().into_iter().map(|child| marked(child, mark)).collect();
                stated(
                    marked(pipeline_run(), mark),
                    children,
                    format,
                    &provenance(BuildType::SlsaTekton, true),
                )
            };
            assert_eq!(state(false), state(true), "{}", format.as_str());
        }
    }

    #[test]
    fn children_in_another_order_make_the_same_bytes() {
        let bytes = |children| {
            let completed = completed(pipeline_run(), children);
            statement(&completed, Format::SlsaV2Alpha4, &provenance(BuildType::SlsaTekton, true))
                .unwrap()
                .bytes
        };
        assert_eq!(bytes(children()), bytes(children().into_iter().rev().collect()));
    }

    #[test]
    fn a_run_of_nothing_can_be_stated() {
        for kind in ["TaskRun", "PipelineRun"] {
            let run =
                json!({"kind": kind, "status": {"conditions": [{"type": "Succeeded", "status": "False"}]}});
            for format in FORMATS {
                let statement = stated(run.clone(), vec![], format, &provenance(BuildType::SlsaTekton, true));
                assert_eq!(statement.get("subject"), None);
            }
        }
    }

    #[test]
    fn the_format_for_images_states_no_run() {
        let completed = completed(task_run("t", "one", "r.io/app"), vec![]);
        let error =
            statement(&completed, Format::SimpleSigning, &provenance(BuildType::Slsa, false)).unwrap_err();
        assert_eq!(error.to_string(), "format simplesigning describes images, not runs");
    }

    #[test]
    fn formats_and_build_types_are_read_as_they_are_written() {
        for format in FORMATS.into_iter().chain([Format::SimpleSigning]) {
            assert_eq!(Format::parse(format.as_str()), Some(format));
        }
        assert_eq!(Format::parse("slsa/v1"), Some(Format::InToto));
        assert_eq!(Format::parse("slsa/v2alpha2"), None);
        for build_type in [BuildType::Slsa, BuildType::SlsaTekton] {
            assert_eq!(BuildType::parse(build_type.as_str()), Some(build_type));
        }
        assert_eq!(BuildType::parse("slsa"), None);
    }

    #[test]
    fn only_subjects_in_a_named_registry_are_images() {
        for (name, algorithm, image) in [
            ("r.io/app:v1", "sha256", true),
            ("localhost:5000/app", "sha256", true),
            ("r.io/app", "SHA256", false),
            ("app", "sha256", false),
            ("pkg:maven/a/b@1", "sha256", false),
            ("https://r.io/app", "sha256", false),
        ] {
            let subject = Subject { name: name.into(), digest: [(algorithm.into(), HEX.into())].into() };
            assert_eq!(subject.image().is_some(), image, "{name}");
        }
    }

    /// Puts every odd value in the place of every part of a run, one at a time.
    fn with_each_part_replaced(run: &Value, mut tried: impl FnMut(Value)) {
        let odd = [
            json!(null),
            json!(-1.5e300),
            json!("\u{0}@:/$(tasks.\u{202e}"),
            json!([[null]]),
            json!({"": {"name": 1}}),
        ];
        let mut paths = vec![String::new()];
        while let Some(path) = paths.pop() {
            let escaped = |key: &str| format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
            match run.pointer(&path) {
                Some(Value::Object(parts)) => paths.extend(parts.keys().map(|key| escaped(key))),
                Some(Value::Array(parts)) => {
                    paths.extend((0..parts.len()).map(|index| format!("{path}/{index}")));
                }
                _ => {}
            }
            for value in &odd {
                let mut run = run.clone();
                *run.pointer_mut(&path).unwrap() = value.clone();
                tried(run);
            }
        }
    }

    #[test]
    fn no_part_of_a_run_that_is_odd_stops_its_statement() {
        let mut stated = 0;
        let mut state = |run: Run, children: Vec<TaskRun>| {
            let completed = CompletedRun::suppose(run, children);
            let _ = Artifacts::of(&completed);
            for format in FORMATS {
                statement(&completed, format, &provenance(BuildType::SlsaTekton, true)).unwrap();
                stated += 1;
            }
        };
        let pipeline = Run::from_value(pipeline_run()).unwrap();
        with_each_part_replaced(&task_run("pipe-one", "one", "r.io/app"), |run| {
            if let Ok(child) = TaskRun::from_value(run.clone()) {
                state(pipeline.clone(), vec![child]);
            }
            let _ = Run::from_value(run).map(|run| state(run, vec![]));
        });
        let children: Vec<_> =
            children().into_iter().map(|child| TaskRun::from_value(child).unwrap()).collect();
        with_each_part_replaced(&pipeline_run(), |run| {
            let _ = Run::from_value(run).map(|run| state(run, children.clone()));
        });
        assert!(stated > 2000, "{stated}");
    }

    #[test]
    fn a_hostile_run_costs_no_more_than_its_size() {
        let mut run = task_run("t", "one", "r.io/app");
        let digest = format!("sha256:{HEX}");
        let results: Vec<_> = (0..4000)
            .map(|n| match n % 4 {
                0 => json!({"name": "same-ARTIFACT_OUTPUTS", "value": {"uri": format!("\u{202e}u{n}"), "digest": digest}}),
                1 => json!({"name": format!("{n}-ARTIFACT_URI"), "value": "same"}),
                2 => json!({"name": format!("{}-ARTIFACT_DIGEST", n - 1), "value": format!("sha1:{n:040x}")}),
                _ => json!({"name": "IMAGES", "value": "\u{0}".repeat(200)}),
            })
            .collect();
        run["status"]["results"] = results.into();
        run["status"]["steps"] =
            (0..4000).map(|_| json!({"name": "same", "imageID": format!("r.io/x@{digest}")})).collect();
        let mut pipeline = pipeline_run();
        let tasks: Vec<_> = (0..4000).map(|_| json!({"name": "one", "runAfter": ["one"]})).collect();
        pipeline["status"]["pipelineSpec"]["tasks"] = tasks.into();
        for format in FORMATS {
            let size = run.to_string().len() + pipeline.to_string().len();
            let completed = completed(pipeline.clone(), vec![run.clone()]);
            let bytes =
                statement(&completed, format, &provenance(BuildType::SlsaTekton, true)).unwrap().bytes;
            assert!(bytes.len() < 6 * size, "{} for {size}", bytes.len());
        }
    }
}
