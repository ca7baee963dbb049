//! Names with digests, without repetitions: what is named again with a digest in common is the same thing and
//! adds its other digests to the first (Chains specification §3.3). Subjects and materials are both such.

use std::collections::{BTreeMap, HashMap};

use super::Subject;

/// The things in the order of their first naming.
#[derive(Debug, Default)]
pub(super) struct Merged {
    entries: Vec<Subject>,
    places: HashMap<(String, String, String), usize>,
}

impl Merged {
    /// Adds a thing with its digests by algorithm.
    pub(super) fn add<K: Into<String>, V: Into<String>>(
        &mut self,
        name: &str,
        digest: impl IntoIterator<Item = (K, V)>,
    ) {
        let digest: BTreeMap<String, String> =
            digest.into_iter().map(|(algorithm, hex)| (algorithm.into(), hex.into())).collect();
        let keys: Vec<_> =
            digest.iter().map(|(algorithm, hex)| (name.to_owned(), algorithm.clone(), hex.clone())).collect();
        let known = keys.iter().filter_map(|key| self.places.get(key)).min().copied();
        let place = known.unwrap_or(self.entries.len());
        match self.entries.get_mut(place) {
            Some(entry) => entry.digest.extend(digest),
            None => self.entries.push(Subject { name: name.to_owned(), digest }),
        }
        for key in keys {
            self.places.entry(key).or_insert(place);
        }
    }

    /// Adds everything of `other`.
    pub(super) fn append(&mut self, other: Self) {
        for entry in other.entries {
            self.add(&entry.name, entry.digest);
        }
    }

    pub(super) fn into_entries(self) -> Vec<Subject> {
        self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_in_common_makes_two_entries_one() {
        let mut merged = Merged::default();
        merged.add("a", [("sha256", "1")]);
        merged.add("b", [("sha256", "1")]);
        merged.add("a", [("sha256", "2")]);
        merged.add("a", [("sha1", "9"), ("sha256", "1")]);
        merged.add("a", [("sha1", "9")]);
        let entries = merged.into_entries();
        assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["a", "b", "a"]);
        assert_eq!(
            entries[0].digest,
            BTreeMap::from([("sha1".into(), "9".into()), ("sha256".into(), "1".into())])
        );
    }

    #[test]
    fn an_entry_without_a_digest_equals_no_other() {
        let mut merged = Merged::default();
        merged.add("a", [("", ""); 0]);
        merged.add("a", [("", ""); 0]);
        assert_eq!(merged.into_entries().len(), 2);
    }
}
