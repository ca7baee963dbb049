//! Manifests from files: YAML or JSON, several documents a file, lists as `kubectl get -o yaml` prints them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::credential::objects::Objects;
use crate::tekton::{MalformedRun, Run, TaskRun};

/// Larger files are not read.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// Every object of the files, in their order.
#[derive(Debug)]
pub struct Manifests {
    objects: Vec<(PathBuf, Value)>,
}

/// Why manifests cannot be used; names the file.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Missing, unreadable, too large.
    #[error("cannot read {file}")]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Whoever reads it the second time finds nothing.
    #[error("standard input can be read once, and - stands for it {0} times: put one of them into a file")]
    StandardInput(usize),
    /// Not YAML.
    #[error("{file} is neither YAML nor JSON: {reason}")]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Line and column.
        reason: String,
    },
    /// YAML, but no Kubernetes object.
    #[error("{file}: document {number} is no Kubernetes object: it has no kind")]
    NoKind {
        /// The file.
        file: PathBuf,
        /// Which document, counted from 1.
        number: usize,
    },
    /// An object of the right kind with the wrong content.
    #[error("{file}: {kind} {name} cannot be read: {reason}")]
    Object {
        /// The file.
        file: PathBuf,
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// What is wrong with it; for Secrets only where.
        reason: String,
    },
}

impl Manifests {
    /// Reads files; `-` is standard input.
    pub fn read(files: &[PathBuf]) -> Result<Self, ManifestError> {
        once(files)?;
        let mut objects = Vec::new();
        for file in files {
            let text =
                text(file).map_err(|source| ManifestError::Unreadable { file: file.clone(), source })?;
            for (document, number) in documents(file, &text)?.into_iter().zip(1..) {
                collect(file, number, document, &mut objects)?;
            }
        }
        Ok(Self { objects })
    }

    /// The runs, each with its manifest. What has no kind and is in the files is a run ([`collect`]).
    pub fn runs(&self) -> Result<Vec<(Run, Value)>, ManifestError> {
        let runs = self.of(|kind| matches!(kind, "TaskRun" | "PipelineRun" | ""));
        runs.map(|(file, value)| {
            let run = Run::from_value(value.clone()).map_err(|error| malformed_run(file, value, &error))?;
            Ok((run, value.clone()))
        })
        .collect()
    }

    /// The TaskRuns that a PipelineRun made.
    pub fn children(&self, pipeline_run: &Run) -> Result<Vec<TaskRun>, ManifestError> {
        let metadata = pipeline_run.metadata();
        let belongs = |value: &&(PathBuf, Value)| {
            let label = value.1.pointer("/metadata/labels/tekton.dev~1pipelineRun").and_then(Value::as_str);
            let namespace = value.1.pointer("/metadata/namespace").and_then(Value::as_str);
            label == Some(&metadata.name) && namespace.is_none_or(|namespace| namespace == metadata.namespace)
        };
        let children = self.of(|kind| kind == "TaskRun").filter(belongs);
        children
            .map(|(file, value)| {
                TaskRun::from_value(value.clone()).map_err(|error| malformed_run(file, value, &error))
            })
            .collect()
    }

    /// What runs refer to.
    pub fn objects(&self) -> Result<Objects, ManifestError> {
        Ok(Objects {
            pods: self.all("Pod")?,
            accounts: self.all("ServiceAccount")?,
            secrets: self.all("Secret")?,
            registries: Arc::default(),
            clouds: Arc::default(),
        })
    }

    /// The data of the first ConfigMap.
    pub fn config_map(&self) -> Option<BTreeMap<String, String>> {
        let (_, value) = self.of(|kind| kind == "ConfigMap").next()?;
        let data = value.get("data").and_then(Value::as_object);
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some(
            data.map(|data| data.iter().map(|(key, value)| (key.clone(), text(value))).collect())
                .unwrap_or_default(),
        )
    }

    /// The objects of one kind, as they were read.
    pub fn of_kind<'m>(&'m self, wanted: &'m str) -> impl Iterator<Item = &'m Value> {
        self.of(move |kind| kind == wanted).map(|(_, value)| value)
    }

    fn of(&self, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = &(PathBuf, Value)> {
        self.objects.iter().filter(move |(_, value)| wanted(kind_of(value)))
    }

    fn all<K: DeserializeOwned>(&self, kind: &str) -> Result<Vec<K>, ManifestError> {
        let objects = self.of(|found| found == kind);
        objects
            .map(|(file, value)| {
                let read = serde_json::from_value(value.clone());
                // The decoder's message may repeat what it could not decode, which in a Secret is the secret.
                read.map_err(|_| ManifestError::Object {
                    file: file.clone(),
                    kind: kind.to_owned(),
                    name: name_of(value),
                    reason: "a field has the wrong type (data must be base64)".to_owned(),
                })
            })
            .collect()
    }
}

fn text(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = if is_standard_input(file) {
        std::io::stdin().take(MAX_FILE + 1).read_to_string(&mut text)?
    } else {
        std::fs::File::open(file)?.take(MAX_FILE + 1).read_to_string(&mut text)?
    };
    if read as u64 > MAX_FILE {
        return Err(std::io::Error::other(format!("larger than {MAX_FILE} bytes")));
    }
    Ok(text)
}

/// JSON is tried first: it is the faster and the stricter reading of the same text.
fn documents(file: &Path, text: &str) -> Result<Vec<Value>, ManifestError> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(vec![value]);
    }
    serde_saphyr::from_multiple(text).map_err(|error| {
        let location = error.location().map(|at| format!("line {}, column {}", at.line(), at.column()));
        // The parser shows the text around a mistake, which may be a password.
        ManifestError::Malformed {
            file: file.to_owned(),
            reason: location.unwrap_or_else(|| "at its end".to_owned()),
        }
    })
}

fn collect(
    file: &Path,
    number: usize,
    document: Value,
    objects: &mut Vec<(PathBuf, Value)>,
) -> Result<(), ManifestError> {
    if document.is_null() {
        return Ok(());
    }
    if let Some(items) = document.get("items").and_then(Value::as_array) {
        for item in items {
            collect(file, number, item.clone(), objects)?;
        }
        return Ok(());
    }
    // Runs are told by their shape where nobody wrote down their kind, as in the items of some lists.
    let shaped_as_run = document.get("spec").is_some() && document.get("status").is_some();
    if kind_of(&document).is_empty() && !shaped_as_run {
        return Err(ManifestError::NoKind { file: file.to_owned(), number });
    }
    objects.push((file.to_owned(), document));
    Ok(())
}

fn is_standard_input(file: &Path) -> bool {
    file == Path::new("-")
}

/// Refuses standard input more than once among all `files` that one command is given.
pub fn once<'f>(files: impl IntoIterator<Item = &'f PathBuf>) -> Result<(), ManifestError> {
    match files.into_iter().filter(|file| is_standard_input(file)).count() {
        0 | 1 => Ok(()),
        times => Err(ManifestError::StandardInput(times)),
    }
}

fn kind_of(value: &Value) -> &str {
    value.get("kind").and_then(Value::as_str).unwrap_or_default()
}

fn name_of(value: &Value) -> String {
    value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("without a name").to_owned()
}

fn malformed_run(file: &Path, value: &Value, error: &MalformedRun) -> ManifestError {
    let (kind, name, reason) = (kind_of(value).to_owned(), name_of(value), crate::error::chain(error));
    ManifestError::Object { file: file.to_owned(), kind, name, reason }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(text: &str) -> Result<Manifests, ManifestError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Manifests::read(&[file.path().to_owned()])
    }

    #[test]
    fn documents_and_lists_are_read_alike() {
        let documents = "kind: TaskRun\nmetadata: {name: a}\n---\nkind: TaskRun\nmetadata: {name: b}\n---\n";
        let list = "apiVersion: v1\nkind: List\nitems:\n- kind: TaskRun\n  metadata: {name: a}\n- kind: TaskRun\n  metadata: {name: b}\n";
        let json = r#"{"kind":"List","items":[{"kind":"TaskRun","metadata":{"name":"a"}},{"kind":"TaskRun","metadata":{"name":"b"}}]}"#;
        for text in [documents, list, json] {
            let runs = read(text).unwrap().runs().unwrap();
            let names: Vec<_> = runs.iter().map(|(run, _)| run.metadata().name.clone()).collect();
            assert_eq!(names, ["a", "b"], "{text}");
        }
    }

    #[test]
    fn a_mistake_is_told_by_its_place_and_not_by_its_text() {
        let error = read("kind: Secret\nstringData: {password: [hunter2\n").unwrap_err();
        assert!(error.to_string().contains("line"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        let manifests = read("kind: Secret\nmetadata: {name: s}\ndata: {password: 'hunter2!'}\n").unwrap();
        let error = manifests.objects().err().unwrap();
        assert!(error.to_string().contains("Secret s"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_number() {
        let error = read("kind: Pod\n---\njust: text\n").unwrap_err();
        assert!(error.to_string().contains("document 2"), "{error}");
    }

    #[test]
    fn a_run_without_a_kind_is_told_by_its_shape() {
        let text = "spec: {}\nstatus: {pipelineSpec: {}}\n---\nspec: {}\nstatus: {taskSpec: {}}\n";
        let kinds: Vec<_> = read(text).unwrap().runs().unwrap().iter().map(|(run, _)| run.kind()).collect();
        assert_eq!(kinds, [crate::tekton::Kind::PipelineRun, crate::tekton::Kind::TaskRun]);
    }

    #[test]
    fn values_of_a_config_map_that_are_no_text_keep_their_spelling() {
        let manifests = read("kind: ConfigMap\ndata: {a: 'x', b: true, c: 3}\n").unwrap();
        let data = manifests.config_map().unwrap();
        assert_eq!((data["a"].as_str(), data["b"].as_str(), data["c"].as_str()), ("x", "true", "3"));
    }
}
