//! The handbook: texts that it quotes are texts that the code prints, and files that it links are there.

use crate::{files, read, root};

/// Source as it prints: without the breaks and escapes inside its texts.
fn joined(source: &str) -> String {
    let source = source.replace("\\\"", "\"");
    let mut lines = source.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| text + line.trim_start())
}

/// The parts of a quoted text that are no names of the reader's own.
fn fragments(quoted: &str) -> Vec<&str> {
    quoted.split('…').map(str::trim).filter(|part| part.len() > 3).collect()
}

/// The first cells of the tables whose head says that they are texts.
fn quoted(page: &str) -> Vec<&str> {
    let mut texts = Vec::new();
    let mut of_texts = false;
    for line in page.lines() {
        if !line.starts_with('|') {
            of_texts = false;
        } else if line.starts_with("| text |") {
            of_texts = true;
        } else if of_texts && let Some(cell) = line.strip_prefix("| `") {
            texts.push(cell.split('`').next().unwrap());
        }
    }
    texts
}

#[test]
fn every_text_that_troubleshooting_quotes_is_one_that_the_code_prints() {
    let sources: Vec<String> = files(&root().join("src"), "rs")
        .iter()
        .map(|path| joined(&std::fs::read_to_string(path).unwrap()))
        .collect();
    let page = read("docs/troubleshooting.md");
    let quoted = quoted(&page);
    assert!(quoted.len() >= 40, "only {} texts", quoted.len());
    for text in quoted {
        let parts = fragments(text);
        assert!(!parts.is_empty(), "{text} quotes nothing");
        let printed = sources.iter().any(|source| parts.iter().all(|part| source.contains(part)));
        assert!(printed, "nothing prints {text:?} any more: {parts:?}");
    }
}

#[test]
fn a_text_that_nobody_prints_would_be_found() {
    let page =
        "| text | cause | remedy |\n|---|---|---|\n| `a … text` | x | y |\n\n| other |\n| `not this` |\n";
    assert_eq!(quoted(page), ["a … text"]);
    assert_eq!(fragments("cannot … at …: no such host"), ["cannot", ": no such host"]);
    assert_eq!(joined("\"one \\\n     two \\\"three\\\"\""), "\"one two \"three\"\"");
}

#[test]
fn every_file_that_the_handbook_links_is_there() {
    for page in files(&root().join("docs"), "md") {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap()) {
            let outside = link.is_empty() || link.starts_with("http");
            assert!(outside || page.parent().unwrap().join(link).exists(), "{}: {link}", page.display());
        }
    }
}

#[test]
fn the_exit_codes_of_the_handbook_are_all_there_are() {
    let page = read("docs/troubleshooting.md");
    let codes = page.split("## Exit codes").nth(1).unwrap();
    for code in 0..=4 {
        assert!(codes.contains(&format!("\n| {code} | ")), "{code}");
    }
    let source = read("src/cli.rs");
    let declared = source.split("pub enum Exit {").nth(1).unwrap().split('}').next().unwrap();
    assert_eq!(declared.matches(" = ").count(), 5, "a new exit code belongs into the handbook");
}
