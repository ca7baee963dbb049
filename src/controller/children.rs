//! The TaskRuns of a PipelineRun, as the API server has them now (Chains specification §2.5).
//!
//! Guarantees: a child is a TaskRun that the status of the PipelineRun names **and** that the PipelineRun owns, by
//! uid: nobody else puts a task into its statement by a name or a label. One list by label finds them all; by name
//! only those are asked for that it misses, and a bounded number of those. Must not: judge whether they have ended.

use std::collections::HashSet;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::runs::{RunError, Runs, path};
use crate::tekton::head::RunKey;
use crate::tekton::{Kind, Run, TaskRun};

/// A page of whole TaskRuns is a few megabytes.
const PAGE: usize = 250;
/// A longer name is no value of a label; Tekton makes none.
const LONGEST_LABEL: usize = 63;
/// Children that the list misses have lost their label or are gone; more than these are not asked for.
const MOST_BY_NAME: usize = 256;
const AT_ONCE: usize = 8;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(default)]
    items: Vec<Box<RawValue>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PageMetadata {
    #[serde(rename = "continue")]
    next: String,
}

/// What tells whose a TaskRun is; read alone, so that a stranger's that cannot be read as a whole is none of ours.
#[derive(Deserialize)]
struct Head {
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    owner_references: Option<Vec<Owner>>,
}

#[derive(Deserialize)]
struct Owner {
    #[serde(default)]
    uid: String,
}

impl Runs {
    /// The children of `run`, whose key is `owner`, as far as they exist; a TaskRun has none.
    pub(super) async fn children(&self, owner: &RunKey, run: &Run) -> Result<Vec<TaskRun>, RunError> {
        let mut wanted: HashSet<&str> = run.task_runs().collect();
        let mut children = self.labelled(owner, &mut wanted).await?;
        let missed: Vec<_> =
            wanted.into_iter().take(MOST_BY_NAME).map(|name| self.named(owner, name)).collect();
        let missed: Vec<Option<TaskRun>> =
            stream::iter(missed).buffer_unordered(AT_ONCE).try_collect().await?;
        children.extend(missed.into_iter().flatten());
        Ok(children)
    }

    /// Those with the label of their PipelineRun; takes them out of `wanted`.
    async fn labelled(&self, owner: &RunKey, wanted: &mut HashSet<&str>) -> Result<Vec<TaskRun>, RunError> {
        let path = path(Kind::TaskRun, Some(&owner.namespace));
        let (mut found, mut next) = (Vec::new(), String::new());
        while !wanted.is_empty() && owner.name.len() <= LONGEST_LABEL {
            let selector = format!("tekton.dev/pipelineRun={}", owner.name);
            let query: String = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("labelSelector", &selector)
                .append_pair("limit", &PAGE.to_string())
                .append_pair("continue", &next)
                .finish();
            let Some(page) = self.lookup(&format!("{path}?{query}")).await? else { break };
            let page: Page = serde_json::from_str(&page)?;
            for child in page.items {
                let head: Head = serde_json::from_str(child.get())?;
                if head.is_owned_by(&owner.uid) && wanted.remove(head.name()) {
                    found.push(read(child.get())?);
                }
            }
            next = page.metadata.next;
            if next.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    async fn named(&self, owner: &RunKey, name: &str) -> Result<Option<TaskRun>, RunError> {
        let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let path = format!("{}/{name}", path(Kind::TaskRun, Some(&owner.namespace)));
        let Some(text) = self.lookup(&path).await? else { return Ok(None) };
        let head: Head = serde_json::from_str(&text)?;
        head.is_owned_by(&owner.uid).then(|| read(&text)).transpose()
    }
}

fn read(text: &str) -> Result<TaskRun, RunError> {
    Ok(TaskRun::from_value(serde_json::from_str::<Value>(text).map_err(RunError::Child)?)?)
}

impl Head {
    fn name(&self) -> &str {
        self.metadata.as_ref().map_or("", |metadata| &metadata.name)
    }

    fn is_owned_by(&self, uid: &str) -> bool {
        let owners = self.metadata.as_ref().and_then(|metadata| metadata.owner_references.as_ref());
        owners.is_some_and(|owners| owners.iter().any(|owner| owner.uid == uid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_child_is_owned_by_uid_and_not_by_name() {
        let child =
            head(r#"{"metadata": {"name": "a", "ownerReferences": [{"name": "release", "uid": "1"}]}}"#);
        assert!(child.is_owned_by("1") && !child.is_owned_by("release"));
        for orphan in ["{}", r#"{"metadata": {"ownerReferences": []}}"#, r#"{"metadata": null}"#] {
            assert!(!head(orphan).is_owned_by("1") && head(orphan).name().is_empty());
        }
    }

    #[test]
    fn whose_a_child_is_can_be_read_where_the_child_cannot() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let text =
            format!(r#"{{"metadata":{{"name":"a","ownerReferences":[{{"uid":"1"}}]}},"spec":{deep}}}"#);
        let page: Page = serde_json::from_str(&format!(r#"{{"items":[{text}]}}"#)).unwrap();
        assert!(head(page.items[0].get()).is_owned_by("1"));
        let error = read(&text).unwrap_err();
        assert!(error.is_unreadable_child(), "{error:?}");
        assert!(crate::error::chain(&error).contains("recursion limit"));
    }
}
