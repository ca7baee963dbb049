//! The shape of the source, as a test: which module may use which, who may open sockets, how long a
//! function and a file may be, and that every file says what it is for. [`rules`] holds the table.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "layers/bad_inputs.rs"]
mod bad_inputs;
#[path = "layers/rules.rs"]
mod rules;
#[path = "layers/source.rs"]
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use rules::{check, check_header};

/// The files below `folder`, as `(path from the root of the project, text)`.
fn files(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_source_keeps_the_rules() {
    let violations = check(&files("src"));
    let lines: Vec<_> = violations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} violations:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn every_test_file_says_what_it_is_for() {
    let violations: Vec<_> =
        files("tests").iter().filter_map(|(file, text)| check_header(file, text)).collect();
    let lines: Vec<_> = violations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

#[test]
fn every_failure_story_names_a_test_that_exists_or_says_that_it_is_still_to_come() {
    let stories = include_str!("../docs/failure-stories.md");
    let sources: Vec<_> = ["src", "tests"].into_iter().flat_map(files).collect();
    let mut open = 0;
    for number in 1..=20 {
        let row = stories.lines().find(|line| line.starts_with(&format!("| {number} |")));
        let cells: Vec<&str> =
            row.unwrap_or_else(|| panic!("story {number} is missing")).split('|').collect();
        let test = cells[4].trim().trim_matches('`');
        if test.is_empty() {
            assert!(cells[3].contains("still to come"), "story {number} has neither test nor reason");
            open += 1;
            continue;
        }
        let declared = format!("fn {test}(");
        assert!(sources.iter().any(|(_, text)| text.contains(&declared)), "story {number}: no test {test}");
    }
    assert!(open <= 4, "{open} stories without a test");
}
