//! Steps and sidecars of a `TaskRun` as its status reports them, with their definitions.

use serde_json::Value;

use super::TaskRun;
use super::document::RefSource;
use super::fields::Fields;
use super::param::RunResult;

/// One step of a `TaskRun` that was run, or was to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a>(pub(crate) &'a Value);

impl<'a> Step<'a> {
    pub(crate) fn name(self) -> &'a str {
        self.0.text("name")
    }

    /// The image that ran, as the container runtime writes it; empty if the step never ran.
    pub(crate) fn image_id(self) -> &'a str {
        self.0.text("imageID")
    }

    /// Results of its `StepAction`.
    pub(crate) fn results(self) -> impl Iterator<Item = RunResult<'a>> {
        self.0.list("results").iter().map(RunResult::of)
    }

    /// Where its `StepAction` was fetched from.
    pub(crate) fn ref_source(self) -> Option<RefSource<'a>> {
        RefSource::within(self.0)
    }
}

impl TaskRun {
    pub(crate) fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        self.0.status().list("steps").iter().map(Step)
    }

    /// Images of the steps, then of the sidecars, as the container runtime writes them.
    pub(crate) fn image_ids(&self) -> impl Iterator<Item = &str> {
        self.steps()
            .map(Step::image_id)
            .chain(self.0.status().list("sidecars").iter().map(|sidecar| sidecar.text("imageID")))
    }

    /// Definitions of the steps, from the task that was run.
    pub(crate) fn step_definitions(&self) -> &[Value] {
        self.0.status().child("taskSpec").list("steps")
    }

    /// Params of the task with a default.
    pub(crate) fn param_defaults(&self) -> impl Iterator<Item = RunResult<'_>> {
        defaults(self.0.status().child("taskSpec"))
    }
}

/// Params of a task or pipeline with their defaults, where they have one.
pub(crate) fn defaults(definition: &Value) -> impl Iterator<Item = RunResult<'_>> {
    definition.list("params").iter().filter_map(|param| {
        let value = super::param::ParamValue::of(param.field("default")?);
        Some(RunResult { name: param.text("name"), value })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn images_of_steps_come_before_those_of_sidecars() {
        let run = TaskRun::from_value(json!({"status": {
            "sidecars": [{"imageID": "c"}], "steps": [{"imageID": "a"}, {"imageID": "b"}]}}))
        .unwrap();
        assert_eq!(run.image_ids().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn params_without_a_default_have_none() {
        let run = TaskRun::from_value(json!({"status": {"taskSpec": {"params": [
            {"name": "a"}, {"name": "b", "default": "x"}, {"name": "c", "default": null}]}}}))
        .unwrap();
        assert_eq!(run.param_defaults().map(|param| param.name).collect::<Vec<_>>(), ["b"]);
    }
}
