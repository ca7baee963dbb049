//! What joins a row of the table to a field of [`Config`]: the type of the setting comes from the field.
//!
//! Guarantees: a text is taken whole or not at all. Must not: know any key.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::Config;
use super::choice::Choice;
use super::finding::{Problem, Refusal};
use super::value::{Value, listed, one_of};

/// A setting that can be read into the configuration and written back.
pub(super) trait Field: Sync {
    /// Takes the text, or leaves the configuration as it is.
    fn set(&self, config: &mut Config, text: &str) -> Result<(), Refusal>;

    /// The value in effect, as it would be written.
    fn text(&self, config: &mut Config) -> String;

    /// What may be written, for the reference.
    fn accepts(&self) -> String;

    /// Whether a bad value is passed over with a warning.
    fn passed_over(&self) -> bool {
        false
    }
}

/// A field that takes every value of its type.
pub(super) struct Any<V: 'static>(pub(super) fn(&mut Config) -> &mut V);

/// A set that takes only some words of its type, and what an empty one means.
pub(super) struct Words<C: 'static>(
    pub(super) fn(&mut Config) -> &mut BTreeSet<C>,
    pub(super) &'static [C],
    pub(super) &'static str,
);

/// What an empty set of storages means.
pub(super) const DISABLES: &str = "; empty disables the artifact";

/// A number within limits.
pub(super) struct Count(pub(super) fn(&mut Config) -> &mut usize, pub(super) RangeInclusive<usize>);

impl<V: Value> Field for Any<V> {
    fn set(&self, config: &mut Config, text: &str) -> Result<(), Refusal> {
        *self.0(config) = V::read(text)?;
        Ok(())
    }

    fn text(&self, config: &mut Config) -> String {
        self.0(config).text()
    }

    fn accepts(&self) -> String {
        V::accepts()
    }

    fn passed_over(&self) -> bool {
        V::PASSED_OVER
    }
}

impl<C: Choice + Ord + Sync> Field for Words<C> {
    fn set(&self, config: &mut Config, text: &str) -> Result<(), Refusal> {
        *self.0(config) = match text {
            "" => BTreeSet::new(),
            _ => text.split(',').map(|word| one_of(word.trim(), self.1)).collect::<Result<_, _>>()?,
        };
        Ok(())
    }

    fn text(&self, config: &mut Config) -> String {
        self.0(config).text()
    }

    fn accepts(&self) -> String {
        format!("list of {}{}", listed(self.1), self.2)
    }
}

impl Field for Count {
    fn set(&self, config: &mut Config, text: &str) -> Result<(), Refusal> {
        let count = text.parse().ok().filter(|count| self.1.contains(count)).ok_or_else(|| {
            let remedy = format!("write a number from {} to {}", self.1.start(), self.1.end());
            Refusal::new(Problem::NotCount, remedy)
        })?;
        *self.0(config) = count;
        Ok(())
    }

    fn text(&self, config: &mut Config) -> String {
        self.0(config).to_string()
    }

    fn accepts(&self) -> String {
        format!("{} to {}", self.1.start(), self.1.end())
    }
}

#[cfg(test)]
mod tests {
    use super::super::choice::Storage;
    use super::*;

    #[test]
    fn a_field_is_set_whole_or_not_at_all() {
        let mut config = Config::default();
        let field = Words(|c| &mut c.pipelinerun.storage, Storage::OF_CHAINS, DISABLES);
        assert!(field.set(&mut config, "oci,s3").is_err());
        assert_eq!(field.text(&mut config), "tekton");
        field.set(&mut config, "oci, tekton").unwrap();
        assert_eq!(field.text(&mut config), "tekton,oci");
        field.set(&mut config, "").unwrap();
        assert_eq!(field.text(&mut config), "");
    }

    #[test]
    fn a_count_stays_within_its_limits() {
        let mut config = Config::default();
        let field = Count(|c| &mut c.signing.concurrency, 1..=256);
        for text in ["0", "257", "-1", "", "1.0", " 1", "99999999999999999999999"] {
            let refusal = field.set(&mut config, text).unwrap_err();
            assert_eq!(refusal.remedy, "write a number from 1 to 256", "{text}");
        }
        field.set(&mut config, "256").unwrap();
        assert_eq!(field.text(&mut config), "256");
    }

    #[test]
    fn booleans_are_passed_over_when_bad_and_texts_are_never_bad() {
        assert!(Any(|c: &mut Config| &mut c.storage.oci.insecure).passed_over());
        assert!(!Any(|c: &mut Config| &mut c.provenance.builder_id).passed_over());
        assert!(!Words(|c| &mut c.taskrun.storage, Storage::ALL, DISABLES).passed_over());
    }
}
