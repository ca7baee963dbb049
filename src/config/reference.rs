//! The reference of all keys as Markdown and for programs, made from the table.
//!
//! Guarantees: what is printed is what is parsed; `docs/configuration.md` is this text (a test compares them).
//! Must not: know any key.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Config;
use super::key::{Key, SECTIONS};

/// The reference of all keys.
pub fn reference() -> String {
    let mut page = String::from(INTRODUCTION);
    let mut default = Config::default();
    for section in SECTIONS {
        // Writing to a String cannot fail.
        let _ = write!(
            page,
            "\n## {}\n\n| Key | Default | Allowed | Meaning |\n|---|---|---|---|\n",
            section.title
        );
        for key in section.keys {
            page.push_str(&row(key, &mut default));
        }
    }
    page
}

/// The same for programs: an array with an object for each key.
pub fn reference_for_programs() -> Value {
    let mut default = Config::default();
    let keys = SECTIONS.iter().flat_map(|section| section.keys.iter().map(|key| (section.title, key)));
    let keys = keys.map(|(section, key)| {
        json!({"key": key.name, "section": section, "default": key.field.text(&mut default),
            "allowed": key.field.accepts(), "ofChains": key.of_chains,
            "meaning": key.doc})
    });
    keys.collect()
}

fn row(key: &Key, default: &mut Config) -> String {
    let default = match key.field.text(default) {
        text if text.is_empty() => "–".into(),
        text => format!("`{text}`"),
    };
    let own = if key.of_chains { "" } else { " ⁺" };
    format!("| `{}`{own} | {default} | {} | {} |\n", key.name, key.field.accepts(), key.doc)
}

const INTRODUCTION: &str = "\
# Configuration

<!-- Made by `hallmark config reference`; change the table in src/config/key.rs instead. -->

Hallmark reads the ConfigMap `chains-config` in its own namespace, the one that Tekton Chains reads, and takes up
changes without a restart. All keys are optional. Keys marked ⁺ are Hallmark's own: Chains passes over them.

- A value that is not allowed rejects the ConfigMap as a whole, with every mistake named at once, and the last good
  one stays in force. At start-up without a good one the agent is alive but not ready and signs nothing.
- An unknown key, a boolean that is none, and any other word in `transparency.enabled` or `policy.no-match` leave the
  default in place, as in Chains, with a warning that says so.
- Words are exact and case sensitive. Items of a list are separated by commas. Booleans are `true` and `false`, and
  `1`, `t`, `T`, `TRUE`, `True`, `0`, `f`, `F`, `FALSE`, `False`. Durations have units: `90s`, `1h30m`, `300ms`.
- What is *not in this build* is recognised: a storage, signer, log or encoding of that kind fails the artifacts that
  ask for it and no others; another key of that kind has no effect. Both are reported.
- Keys whose names begin with `_`, such as `_example`, are comments.

`hallmark config check FILE` says all of this about a ConfigMap before it is applied.
";

#[cfg(test)]
mod tests {
    use super::super::key;
    use super::*;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");

    /// After a change of the table: `HALLMARK_BLESS=1 cargo test --lib config::reference`, then read the diff.
    #[test]
    fn the_page_in_docs_is_the_reference() {
        if std::env::var_os("HALLMARK_BLESS").is_some() {
            std::fs::write(PAGE, reference()).unwrap();
        }
        assert!(
            std::fs::read_to_string(PAGE).unwrap() == reference(),
            "docs/configuration.md is not up to date"
        );
    }

    #[test]
    fn every_key_is_in_it_once_with_default_and_allowed_values() {
        let page = reference();
        for key in key::all() {
            assert_eq!(page.matches(&format!("\n| `{}`", key.name)).count(), 1, "{}", key.name);
        }
        assert!(page.contains(
            "| `signing.concurrency` ⁺ | `16` | 1 to 256 | How many runs are worked on at the same time. |"
        ));
        assert!(page.contains(
            "| `storage.docdb.mongo-server-url-dir` | – | path | Folder with a file `MONGO_SERVER_URL` that has the URL; beats the key before. |"
        ));
        assert!(page.contains("| `artifacts.oci.signer` | `x509` | `x509`, `kms`, `none` |"));
    }

    #[test]
    fn programs_read_every_key_too() {
        let keys = reference_for_programs();
        assert_eq!(keys.as_array().unwrap().len(), key::all().count());
        let key = keys.as_array().unwrap().iter().find(|key| key["key"] == "signing.concurrency").unwrap();
        assert_eq!(
            *key,
            json!({"key": "signing.concurrency", "section": key["section"], "default": "16",
                "allowed": "1 to 256", "ofChains": false,
                "meaning": "How many runs are worked on at the same time."})
        );
    }

    #[test]
    fn every_row_has_four_cells() {
        for line in reference().lines().filter(|line| line.starts_with('|')) {
            assert_eq!(line.matches('|').count(), 5, "{line}");
        }
    }
}
