//! Answers of the peer that were recorded, so that every test run has some: one for each shape of run, format and
//! build type in `tests/fixtures/statements`, made by `hack/oracle` (v0.28.1) from runs of the generator.

use std::path::Path;

use serde_json::Value;

use crate::comparison::{differences, normal};
use crate::oracle::{ours, without_step_actions};

#[test]
fn recorded_runs_are_stated_as_the_peer_stated_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/statements");
    let (mut compared, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let recorded: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let (statement, images) = ours(&recorded);
        let mut found = Vec::new();
        let theirs = normal(recorded["statement"].clone());
        differences("", &normal(without_step_actions(statement)), &theirs, &mut found);
        if recorded["run"]["kind"] == "TaskRun" {
            differences("images", &images.into(), &recorded["images"], &mut found);
        }
        if !found.is_empty() {
            wrong.push(format!("{}\n{}", path.display(), found.join("\n")));
        }
        compared += 1;
    }
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared >= 12, "only {compared} recorded");
}

#[test]
fn a_statement_that_says_something_else_is_found_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/statements");
    for entry in std::fs::read_dir(folder).unwrap() {
        let recorded: Value = serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        let mut altered = recorded["statement"].clone();
        altered["predicate"]["added"] = true.into();
        let mut found = Vec::new();
        differences("", &normal(altered), &normal(recorded["statement"].clone()), &mut found);
        assert_eq!(found.len(), 1);
    }
}
