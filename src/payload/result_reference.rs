//! Which tasks of a pipeline a task waits for because it uses their results: `$(tasks.NAME.results.RESULT)` in
//! its params, its matrix, its `when` and, of an embedded task, its steps and sidecars.

use serde_json::Value;

use crate::tekton::fields::Fields;

/// Names of the tasks whose results `task` uses, in the order of their use, repetitions included.
pub(super) fn tasks_used(task: &Value) -> Vec<&str> {
    let mut texts: Vec<&str> = Vec::new();
    let matrix = task.child("matrix");
    let included = matrix.list("include").iter().map(|include| include.list("params"));
    for params in [task.list("params"), matrix.list("params")].into_iter().chain(included) {
        for param in params {
            add_texts(param.child("value"), &mut texts);
        }
    }
    for condition in task.list("when") {
        texts.extend([condition.text("input"), condition.text("cel")]);
        add_texts(condition.child("values"), &mut texts);
    }
    let embedded = task.child("taskSpec");
    for container in embedded.list("steps").iter().chain(embedded.list("sidecars")) {
        add_container(container, &mut texts);
    }
    texts.into_iter().flat_map(references).filter_map(task_of).collect()
}

fn add_container<'a>(container: &'a Value, texts: &mut Vec<&'a str>) {
    texts.extend(
        ["name", "image", "imagePullPolicy", "script", "workingDir"].map(|name| container.text(name)),
    );
    add_texts(container.child("command"), texts);
    add_texts(container.child("args"), texts);
    for variable in container.list("env") {
        texts.push(variable.text("value"));
        for source in ["secretKeyRef", "configMapKeyRef"] {
            let source = variable.child("valueFrom").child(source);
            texts.extend([source.text("key"), source.text("name")]);
        }
    }
}

fn add_texts<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(list) => texts.extend(list.iter().filter_map(Value::as_str)),
        Value::Object(object) => texts.extend(object.values().filter_map(Value::as_str)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What stands in each `$(…)` of a text, if it is the path of a variable.
fn references(text: &str) -> impl Iterator<Item = &str> {
    text.split("$(").skip(1).filter_map(|tail| {
        let end =
            tail.find(|c: char| !(c.is_ascii_alphanumeric() || "_.-".contains(c))).filter(|end| *end > 0)?;
        let (path, rest) = tail.split_at_checked(end)?;
        let index = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let closed = match index {
            Some((index, rest)) => is_index(index) && rest.starts_with(')'),
            None => rest.starts_with(')'),
        };
        closed.then_some(path)
    })
}

fn is_index(text: &str) -> bool {
    text == "*" || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
}

/// The task in `tasks.NAME.results.RESULT` or `tasks.NAME.results.RESULT.KEY`.
fn task_of(path: &str) -> Option<&str> {
    let mut parts = path.splitn(6, '.');
    let (of, task, results) = (parts.next()?, parts.next()?, parts.next()?);
    let more = parts.count();
    ((of == "tasks" || of == "finally") && results == "results" && (1..=2).contains(&more)).then_some(task)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_place_of_a_reference_is_searched() {
        let task = json!({
            "params": [{"value": "x $(tasks.a.results.r) $(tasks.b.results.r[1])"}, {"value": ["$(tasks.c.results.r[*])"]},
                {"value": {"k": "$(tasks.d.results.r.key)"}}],
            "matrix": {"params": [{"value": ["$(tasks.e.results.r)"]}],
                "include": [{"params": [{"value": "$(tasks.f.results.r)"}]}]},
            "when": [{"input": "$(tasks.g.results.r)", "values": ["$(tasks.h.results.r)"]}, {"cel": "'$(tasks.i.results.r)'"}],
            "taskSpec": {"steps": [{"script": "$(tasks.j.results.r)", "args": ["$(tasks.k.results.r)"],
                "env": [{"value": "$(finally.l.results.r)"}, {"valueFrom": {"secretKeyRef": {"name": "$(tasks.m.results.r)"}}}]}],
                "sidecars": [{"image": "$(tasks.n.results.r)"}]}});
        assert_eq!(tasks_used(&task).concat(), "abcdefghijklmn");
    }

    #[test]
    fn other_variables_are_no_references_to_tasks() {
        for text in [
            "$(params.a)",
            "$(tasks.a.status)",
            "$(tasks.a.results)",
            "$(tasks.a.results.b.c.d)",
            "tasks.a.results.r",
            "$(tasks.a.results.r",
            "$(tasks.a.results.r[x])",
            "$(tasks.\u{fc}.results.r)",
            "$()",
            "$(steps.a.results.r)",
        ] {
            assert_eq!(tasks_used(&json!({"params": [{"value": text}]})), [""; 0], "{text}");
        }
    }
}
