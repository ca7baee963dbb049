//! The tasks of a `PipelineRun` that were run, in the order of its pipeline (Chains specification §3.6).

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::completed::CompletedRun;
use super::fields::Fields;
use super::{Run, TaskRun};

/// Label by which a `TaskRun` names its task in the pipeline.
const PIPELINE_TASK: &str = "tekton.dev/pipelineTask";

/// A task of a pipeline with one `TaskRun` that ran it; a matrix or a retry makes several.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExecutedTask<'a> {
    /// Its definition in the pipeline.
    pub(crate) definition: &'a Value,
    /// Whether it is one of the `finally` tasks.
    pub(crate) finally: bool,
    pub(crate) run: &'a TaskRun,
}

impl Run {
    /// The pipeline that was run; `null` if it never was known.
    pub(crate) fn pipeline_definition(&self) -> &Value {
        self.document().status().child("pipelineSpec")
    }
}

impl TaskRun {
    /// The task of the pipeline that this run is of.
    pub(crate) fn pipeline_task(&self) -> Option<&str> {
        self.metadata().labels.get(PIPELINE_TASK).map(String::as_str)
    }
}

impl CompletedRun {
    /// Tasks that were run to their end, those of the pipeline before those of `finally`.
    pub(crate) fn executed_tasks(&self) -> Vec<ExecutedTask<'_>> {
        let spec = self.run().pipeline_definition();
        let mut runs: HashMap<&str, Vec<&TaskRun>> = HashMap::new();
        for child in self.children().iter().filter(|child| child.0.status().field("completionTime").is_some())
        {
            if let Some(task) = child.pipeline_task() {
                runs.entry(task).or_default().push(child);
            }
        }
        let tasks = |name, finally| spec.list(name).iter().map(move |definition| (definition, finally));
        let mut seen = HashSet::new();
        tasks("tasks", false)
            .chain(tasks("finally", true))
            .filter(|(definition, _)| seen.insert(definition.text("name")))
            .flat_map(|(definition, finally)| {
                let runs = runs.get(definition.text("name")).map_or(&[][..], Vec::as_slice);
                runs.iter().map(move |run| ExecutedTask { definition, finally, run })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn child(name: &str, task: &str, ended: bool) -> TaskRun {
        let end = if ended { json!("2026-01-02T03:04:05Z") } else { json!(null) };
        TaskRun::from_value(json!({"metadata": {"name": name, "labels": {PIPELINE_TASK: task}}, "status": {"completionTime": end}}))
            .unwrap()
    }

    fn executed(spec: &Value, children: Vec<TaskRun>) -> Vec<(String, bool)> {
        let run = Run::from_value(json!({"kind": "PipelineRun", "status": {"pipelineSpec": spec}})).unwrap();
        let completed = CompletedRun::suppose(run, children);
        let tasks = completed.executed_tasks();
        tasks.iter().map(|task| (task.run.metadata().name.clone(), task.finally)).collect()
    }

    #[test]
    fn the_pipeline_gives_the_order_and_a_matrix_gives_several() {
        let spec = json!({"tasks": [{"name": "b"}, {"name": "a"}], "finally": [{"name": "z"}]});
        let children = vec![
            child("z1", "z", true),
            child("a1", "a", true),
            child("b1", "b", true),
            child("b2", "b", true),
            child("b3", "b", false),
            child("x1", "x", true),
        ];
        assert_eq!(
            executed(&spec, children),
            [("b1", false), ("b2", false), ("a1", false), ("z1", true)]
                .map(|(name, finally)| (name.to_owned(), finally))
        );
    }

    #[test]
    fn a_task_that_is_named_twice_is_taken_once() {
        let spec = json!({"tasks": [{"name": "a"}, {"name": "a"}]});
        assert_eq!(executed(&spec, vec![child("a1", "a", true)]).len(), 1);
    }

    #[test]
    fn without_a_pipeline_there_are_no_tasks() {
        assert_eq!(executed(&json!(null), vec![child("a1", "a", true)]), []);
    }
}
