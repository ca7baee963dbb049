//! What earlier attempts at a run stored where the store cannot always be asked for it (`archivista`, `grafeas`), as the
//! run's annotations tell it. Pure.
//!
//! The outcome tells it, and is cut at 4 KiB. What does not fit there has an annotation of its own, [`STORED`], that is
//! written only then: the names that stores gave, by a hash of what each is about.
//!
//! Guarantees: [`STORED`] has at most 32 KiB, and no more than the API server takes on one run; it says how many names it
//! has no room for. Those are looked for in the store. Must not: be trusted; what is named is read and verified.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::artifact::Artifact;
use crate::artifact::digest::Digest;
use crate::tekton::OUTCOME;
use crate::tekton::record::OutcomeEntry;

/// The annotation with the names that the outcome has no room for.
pub const STORED: &str = "chains.tekton.dev/stored";

/// What names and what they are about are joined by.
pub(super) const ABOUT: &str = ", about ";

/// Names of 40 bytes with their keys: some four hundred.
const MOST: usize = 32 * 1024;
/// What the API server takes on one object, and what is kept free for the names of annotations.
const LIMIT: usize = 256 * 1024 - 4 * 1024;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Remembered(Arc<Vec<Kept>>);

#[derive(Debug)]
enum Kept {
    /// Out of the outcome.
    Whole { store: String, artifact: String, digest: String, reference: String },
    /// Out of the other annotation.
    Named { store: String, key: String, name: String },
}

/// The names in one store.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct StoreNames {
    store: String,
    /// How all of them begin.
    prefix: String,
    names: BTreeMap<String, String>,
    /// Those for which there was no room.
    #[serde(skip_serializing_if = "is_zero")]
    more: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Remembered {
    /// Out of the annotations of the run.
    pub(super) fn of(annotations: &BTreeMap<String, String>) -> Self {
        let outcome = annotations.get(OUTCOME).and_then(|text| serde_json::from_str::<Vec<Value>>(text).ok());
        let stored =
            annotations.get(STORED).and_then(|text| serde_json::from_str::<Vec<StoreNames>>(text).ok());
        let kept = whole(outcome.unwrap_or_default()).into_iter();
        Self(Arc::new(kept.chain(stored.into_iter().flatten().flat_map(named)).collect()))
    }

    /// What `store` calls its record of `artifact` that is about `about`, with that.
    pub(super) fn name(&self, store: &str, artifact: &Artifact, about: &str) -> Option<String> {
        let (artifact, digest) = artifact.told();
        self.find(store, (&artifact, &digest), about)
    }

    fn find(&self, store: &str, artifact: (&str, &str), about: &str) -> Option<String> {
        let wanted = key(artifact, about);
        self.0.iter().find_map(|kept| match kept {
            Kept::Whole { store: of, artifact: named, digest, reference } => {
                let same = of == store && (named.as_str(), digest.as_str()) == artifact;
                let is_it = same && split(reference).is_some_and(|(_, rest)| rest == about);
                is_it.then(|| reference.clone())
            }
            Kept::Named { store: of, key, name } => {
                (of == store && *key == wanted).then(|| format!("{name}{ABOUT}{about}"))
            }
        })
    }
}

/// The annotation that `entries` need beside `new`, which has their outcome, on a run that carries `present`.
pub fn annotation(
    entries: &[OutcomeEntry],
    new: &BTreeMap<String, String>,
    present: &BTreeMap<String, String>,
) -> Option<String> {
    let stored: Vec<_> = entries.iter().filter(|entry| is_there(entry.result)).filter_map(pair).collect();
    let outcome = new.get("outcome").map(|text| BTreeMap::from([(OUTCOME.to_owned(), text.clone())]));
    let told = Remembered::of(&outcome.unwrap_or_default());
    let is_told = |(entry, (_, about)): &(&OutcomeEntry, (&str, &str))| {
        told.find(&entry.store, (&entry.artifact, &entry.digest), about).is_some()
    };
    if stored.iter().all(is_told) {
        return None;
    }
    let size = |all: &BTreeMap<String, String>| {
        all.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    };
    let room = MOST.min(LIMIT.saturating_sub(size(new) + size(present)));
    Some(fitted(&stored, room))
}

/// As many of them as there is room for.
fn fitted(stored: &[(&OutcomeEntry, (&str, &str))], room: usize) -> String {
    let mut by_store: BTreeMap<&str, BTreeMap<String, &str>> = BTreeMap::new();
    for (entry, (name, about)) in stored {
        let names = by_store.entry(&entry.store).or_default();
        names.insert(key((&entry.artifact, &entry.digest), about), name);
    }
    // The braces, the fields' names and a number, of every store before any name.
    let frames = by_store.iter().map(|(store, names)| 64 + store.len() + quoted(common(names)));
    let mut left = room.saturating_sub(frames.sum());
    let told = by_store.into_iter().map(|(store, names)| {
        let prefix = common(&names);
        let mut told =
            StoreNames { store: store.to_owned(), prefix: prefix.to_owned(), ..StoreNames::default() };
        for (key, name) in &names {
            let rest = name.strip_prefix(prefix).unwrap_or(name);
            let takes = quoted(key) + quoted(rest) + 2;
            if takes > left {
                told.more += 1;
                continue;
            }
            left -= takes;
            told.names.insert(key.clone(), rest.to_owned());
        }
        told
    });
    let told: Vec<StoreNames> = told.collect();
    serde_json::to_string(&told).unwrap_or_default()
}

/// What `text` takes as JSON.
fn quoted(text: &str) -> usize {
    Value::from(text).to_string().len()
}

/// How all of them begin.
fn common<'a>(names: &BTreeMap<String, &'a str>) -> &'a str {
    let mut values = names.values();
    let Some(first) = values.next() else { return "" };
    values.fold(first, |prefix, name| {
        let same = prefix.char_indices().zip(name.chars()).take_while(|((_, one), other)| one == other);
        let end = same.last().map_or(0, |((at, c), _)| at + c.len_utf8());
        prefix.get(..end).unwrap_or_default()
    })
}

fn whole(outcome: Vec<Value>) -> Vec<Kept> {
    let kept = outcome.into_iter().filter_map(|entry| {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        is_there(&text("result")).then(|| Kept::Whole {
            store: text("store"),
            artifact: text("artifact"),
            digest: text("digest"),
            reference: text("reference"),
        })
    });
    kept.collect()
}

fn named(names: StoreNames) -> impl Iterator<Item = Kept> {
    let StoreNames { store, prefix, names, .. } = names;
    let kept = move |(key, rest)| Kept::Named { store: store.clone(), key, name: format!("{prefix}{rest}") };
    names.into_iter().map(kept)
}

fn is_there(result: &str) -> bool {
    matches!(result, "stored" | "present")
}

/// An entry of a store that gives names, with the name and what that is about.
fn pair(entry: &OutcomeEntry) -> Option<(&OutcomeEntry, (&str, &str))> {
    split(&entry.reference).map(|parts| (entry, parts))
}

/// Names have no such words in them; what they are about might.
fn split(reference: &str) -> Option<(&str, &str)> {
    reference.split_once(ABOUT)
}

/// Sixteen letters: enough to tell apart what one run built.
fn key((artifact, digest): (&str, &str), about: &str) -> String {
    let hash = Digest::of(format!("{artifact}\n{digest}\n{about}").as_bytes()).hex();
    hash.chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::artifact::RunArtifact;
    use crate::tekton::Kind as RunKind;
    use crate::tekton::record;

    fn run() -> Artifact {
        Artifact::Run(RunArtifact {
            kind: RunKind::TaskRun,
            namespace: "ci".to_owned(),
            name: "build".to_owned(),
            uid: "u".to_owned(),
        })
    }

    #[test]
    fn what_an_outcome_says_was_stored_is_remembered_by_store_artifact_and_subject() {
        let artifact = run();
        let entry = |store: &str, reference: &str, result: &str| json!({"artifact": artifact.to_string(), "store": store, "reference": reference, "result": result});
        let outcome = json!([
            entry("grafeas", "projects/p/occurrences/1, about a@sha256:0", "present"),
            entry("grafeas", "projects/p/occurrences/2, about b@sha256:0", "stored"),
            entry("grafeas", "projects/p/occurrences/3, about c@sha256:0", "failed"),
            "rubbish",
        ]);
        let remembered = |text: String| Remembered::of(&BTreeMap::from([(OUTCOME.to_owned(), text)]));
        let known = remembered(outcome.to_string());
        let name = |store: &str, about: &str| known.name(store, &artifact, about);
        let first = Some("projects/p/occurrences/1, about a@sha256:0".to_owned());
        assert_eq!(name("grafeas", "a@sha256:0"), first);
        assert_eq!(name("grafeas", "c@sha256:0"), None, "it is not there");
        assert_eq!(name("archivista", "a@sha256:0"), None);
        assert_eq!(name("grafeas", "sha256:0"), None, "a part is no subject");
        for text in ["", "{}", "[", "[[]]"] {
            assert_eq!(remembered(text.to_owned()).name("grafeas", &artifact, ""), None);
        }
    }

    /// One entry for each of `count` images at each of two stores, as a run with that many has.
    fn entries(count: usize) -> Vec<OutcomeEntry> {
        let of = |store: &str, number: usize| {
            let about = format!("registry.test/team/app-{number}@sha256:{number:064x}");
            let name = match store {
                "grafeas" => {
                    format!("projects/my-project/occurrences/{number:08x}-0000-4000-8000-000000000000")
                }
                _ => format!("archivista at archivista.test, gitoid {number:064x}"),
            };
            OutcomeEntry {
                artifact: run().to_string(),
                store: store.to_owned(),
                reference: format!("{name}{ABOUT}{about}"),
                result: "stored",
                ..OutcomeEntry::default()
            }
        };
        (0..count).flat_map(|number| [of("archivista", number), of("grafeas", number)]).collect()
    }

    fn written(entries: &[OutcomeEntry], present: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let new = BTreeMap::from([("outcome".to_owned(), record::outcome(entries))]);
        let stored = annotation(entries, &new, present);
        let outcome = (OUTCOME.to_owned(), new["outcome"].clone());
        stored.into_iter().map(|text| (STORED.to_owned(), text)).chain([outcome]).collect()
    }

    fn known(entries: &[OutcomeEntry], annotations: &BTreeMap<String, String>) -> usize {
        let remembered = Remembered::of(annotations);
        let is_known = |entry: &&OutcomeEntry| {
            let (_, about) = split(&entry.reference).unwrap();
            remembered.name(&entry.store, &run(), about).as_ref() == Some(&entry.reference)
        };
        entries.iter().filter(is_known).count()
    }

    #[test]
    fn what_the_outcome_holds_needs_no_other_annotation() {
        let few = entries(3);
        let annotations = written(&few, &BTreeMap::new());
        assert!(!annotations.contains_key(STORED));
        assert_eq!(known(&few, &annotations), 6);
    }

    #[test]
    fn of_two_hundred_images_every_name_is_remembered_though_the_outcome_is_cut() {
        let many = entries(200);
        let annotations = written(&many, &BTreeMap::new());
        assert!(annotations[OUTCOME].contains("not-shown"));
        assert!(annotations[STORED].len() <= MOST, "{}", annotations[STORED].len());
        assert_eq!(known(&many, &annotations), 400);
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let check = |present: &BTreeMap<String, String>, most: usize| {
            let many = entries(2000);
            let annotations = written(&many, present);
            let stored = &annotations[STORED];
            assert!(stored.len() <= most, "{} of {most}", stored.len());
            let names: Vec<StoreNames> = serde_json::from_str(stored).unwrap();
            let (held, more) =
                names.iter().fold((0, 0), |(held, more), one| (held + one.names.len(), more + one.more));
            assert_eq!(held + more, many.len());
            held
        };
        assert!(check(&BTreeMap::new(), MOST) > 400);
        // Kubernetes takes no more on one object.
        let present = BTreeMap::from([("payload".to_owned(), "x".repeat(LIMIT - 10_000))]);
        assert!((1..400).contains(&check(&present, 10_000)));
    }

    #[test]
    fn rubbish_in_the_annotation_is_no_memory() {
        for text in ["", "{}", "[{}]", "[{\"names\":7}]", "[{\"store\":\"grafeas\",\"names\":{\"x\":\"y\"}}]"]
        {
            let annotations = BTreeMap::from([(STORED.to_owned(), text.to_owned())]);
            assert_eq!(Remembered::of(&annotations).name("grafeas", &run(), "a"), None);
        }
    }

    #[test]
    fn names_share_what_they_begin_with() {
        let of = |all: &[&'static str]| {
            common(&all.iter().map(|name| ((*name).to_owned(), *name)).collect()).to_owned()
        };
        assert_eq!(of(&["a/b/1", "a/b/2"]), "a/b/");
        assert_eq!(of(&["äb", "äc", "ä"]), "ä");
        assert_eq!(of(&["x"]), "x");
        assert_eq!(of(&["a", "b"]), "");
    }
}
