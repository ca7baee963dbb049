//! Runs of `tekton.dev/v1beta1`, turned into v1 in place as Tekton's own conversion does. What v1 has no place
//! for (`PipelineResources`, bundles, embedded statuses of `TaskRuns`) is not carried over there either; it stays
//! in the JSON, where no reading finds it and no encoding writes it.

use serde_json::{Map, Value};

use super::Kind;

/// Turns a run into v1.
pub(super) fn convert(kind: Kind, run: &mut Value) {
    let Some(run) = run.as_object_mut() else { return };
    run.insert("apiVersion".to_owned(), "tekton.dev/v1".into());
    if let Some(spec) = member(run, "spec") {
        match kind {
            Kind::TaskRun => task_run_spec(spec),
            Kind::PipelineRun => pipeline_run_spec(spec),
        }
    }
    if let Some(status) = member(run, "status") {
        match kind {
            Kind::TaskRun => task_run_status(status),
            Kind::PipelineRun => {
                rename(status, "pipelineResults", "results");
                within(status, "pipelineSpec", pipeline_spec);
            }
        }
    }
}

fn task_run_spec(spec: &mut Map<String, Value>) {
    within(spec, "taskSpec", task_spec);
    overrides(spec);
}

fn pipeline_run_spec(spec: &mut Map<String, Value>) {
    let mut template = Map::new();
    for name in ["podTemplate", "serviceAccountName"] {
        if let Some(value) = spec.remove(name) {
            template.insert(name.to_owned(), value);
        }
    }
    spec.insert("taskRunTemplate".to_owned(), template.into());
    if let Some(timeout) = spec.remove("timeout").filter(|timeout| !timeout.is_null()) {
        spec.insert("timeouts".to_owned(), Map::from_iter([("pipeline".to_owned(), timeout)]).into());
    }
    within(spec, "pipelineSpec", pipeline_spec);
    each(spec, "taskRunSpecs", |task| {
        rename(task, "taskServiceAccountName", "serviceAccountName");
        rename(task, "taskPodTemplate", "podTemplate");
        overrides(task);
    });
}

fn task_run_status(status: &mut Map<String, Value>) {
    rename(status, "taskResults", "results");
    within(status, "taskSpec", task_spec);
    each(status, "retriesStatus", task_run_status);
}

fn overrides(spec: &mut Map<String, Value>) {
    rename(spec, "stepOverrides", "stepSpecs");
    rename(spec, "sidecarOverrides", "sidecarSpecs");
    each(spec, "stepSpecs", container);
    each(spec, "sidecarSpecs", container);
}

fn pipeline_spec(spec: &mut Map<String, Value>) {
    for tasks in ["tasks", "finally"] {
        each(spec, tasks, |task| {
            within(task, "taskSpec", task_spec);
            within(task, "pipelineSpec", pipeline_spec);
        });
    }
}

fn task_spec(spec: &mut Map<String, Value>) {
    each(spec, "steps", container);
    each(spec, "sidecars", container);
    within(spec, "stepTemplate", container);
}

fn container(container: &mut Map<String, Value>) {
    rename(container, "resources", "computeResources");
}

fn rename(object: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = object.remove(from) {
        object.insert(to.to_owned(), value);
    }
}

fn member<'a>(object: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    object.get_mut(name).and_then(Value::as_object_mut)
}

fn within(object: &mut Map<String, Value>, name: &str, convert: impl FnOnce(&mut Map<String, Value>)) {
    if let Some(value) = member(object, name) {
        convert(value);
    }
}

fn each(object: &mut Map<String, Value>, name: &str, convert: impl Fn(&mut Map<String, Value>)) {
    let entries = object.get_mut(name).and_then(Value::as_array_mut);
    entries.into_iter().flatten().filter_map(Value::as_object_mut).for_each(convert);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_taskrun_becomes_one_of_v1() {
        let mut run = json!({"apiVersion": "tekton.dev/v1beta1",
            "spec": {"taskSpec": {"steps": [{"name": "s", "resources": {"limits": {"cpu": "1"}}}],
                    "stepTemplate": {"resources": {}}},
                "stepOverrides": [{"name": "s", "resources": {}}]},
            "status": {"taskResults": [{"name": "r"}], "retriesStatus": [{"taskResults": []}],
                "taskSpec": {"sidecars": [{"resources": {}}]}}});
        convert(Kind::TaskRun, &mut run);
        assert_eq!(
            run,
            json!({"apiVersion": "tekton.dev/v1",
                "spec": {"taskSpec": {"steps": [{"name": "s", "computeResources": {"limits": {"cpu": "1"}}}],
                        "stepTemplate": {"computeResources": {}}},
                    "stepSpecs": [{"name": "s", "computeResources": {}}]},
                "status": {"results": [{"name": "r"}], "retriesStatus": [{"results": []}],
                    "taskSpec": {"sidecars": [{"computeResources": {}}]}}})
        );
    }

    #[test]
    fn a_pipelinerun_becomes_one_of_v1() {
        let mut run = json!({
            "spec": {"serviceAccountName": "builder", "podTemplate": {"nodeSelector": {"a": "b"}}, "timeout": "1h",
                "pipelineSpec": {"tasks": [{"taskSpec": {"steps": [{"resources": {}}]}}],
                    "finally": [{"pipelineSpec": {"tasks": [{"taskSpec": {"sidecars": [{"resources": {}}]}}]}}]},
                "taskRunSpecs": [{"taskServiceAccountName": "x", "taskPodTemplate": {}, "sidecarOverrides": [{}]}]},
            "status": {"pipelineResults": [{"name": "r", "value": "v"}]}});
        convert(Kind::PipelineRun, &mut run);
        assert_eq!(
            run,
            json!({"apiVersion": "tekton.dev/v1",
                "spec": {"taskRunTemplate": {"serviceAccountName": "builder", "podTemplate": {"nodeSelector": {"a": "b"}}},
                    "timeouts": {"pipeline": "1h"},
                    "pipelineSpec": {"tasks": [{"taskSpec": {"steps": [{"computeResources": {}}]}}],
                        "finally": [{"pipelineSpec": {"tasks": [{"taskSpec": {"sidecars": [{"computeResources": {}}]}}]}}]},
                    "taskRunSpecs": [{"serviceAccountName": "x", "podTemplate": {}, "sidecarSpecs": [{}]}]},
                "status": {"results": [{"name": "r", "value": "v"}]}})
        );
    }

    #[test]
    fn shapes_that_nobody_expects_are_left_alone() {
        for mut run in [
            json!({"spec": [], "status": "x"}),
            json!({"spec": {"taskSpec": 5, "stepOverrides": {}}}),
            json!([]),
        ] {
            convert(Kind::TaskRun, &mut run);
            convert(Kind::PipelineRun, &mut run);
        }
    }
}
