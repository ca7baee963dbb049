//! How the text of a ConfigMap becomes a value of each type, and how that value is written back.
//!
//! Guarantees: what Chains accepts is accepted with the same meaning (Chains specification §1.1, "General parse
//! rules"): words exact and case sensitive, lists split on commas and trimmed, booleans as Go's `ParseBool`,
//! durations as Go's `ParseDuration`. Writing a value and reading it again gives the same value, except for
//! secrets, which are never written. Must not: know any key.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::choice::Choice;
use super::duration;
use super::finding::{Problem, Refusal, cut, nearest};
use super::secret::Secret;
use super::{AllowedPair, LabelSelector, RegistryHost};
use crate::artifact::image::Repository;

/// A type that a setting can have.
pub(super) trait Value: Sized {
    /// Whether a bad value leaves the default in place with a warning, because Chains passes over it.
    const PASSED_OVER: bool = false;

    fn read(text: &str) -> Result<Self, Refusal>;

    /// The text that [`Value::read`] takes for this value.
    fn text(&self) -> String;

    /// What may be written, for the reference.
    fn accepts() -> String;
}

impl Value for bool {
    const PASSED_OVER: bool = true;

    fn read(text: &str) -> Result<Self, Refusal> {
        match text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
            _ => Err(Refusal::new(Problem::NotBoolean, "write \"true\" or \"false\"")),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn accepts() -> String {
        "`true`, `false`".into()
    }
}

impl Value for String {
    fn read(text: &str) -> Result<Self, Refusal> {
        Ok(text.to_owned())
    }

    fn text(&self) -> String {
        self.clone()
    }

    fn accepts() -> String {
        "text".into()
    }
}

impl Value for Secret {
    fn read(text: &str) -> Result<Self, Refusal> {
        Ok(Self::new(text))
    }

    fn text(&self) -> String {
        if self.reveal().is_empty() { String::new() } else { "(hidden)".into() }
    }

    fn accepts() -> String {
        "text, never shown".into()
    }
}

impl Value for PathBuf {
    fn read(text: &str) -> Result<Self, Refusal> {
        Ok(text.into())
    }

    fn text(&self) -> String {
        self.display().to_string()
    }

    fn accepts() -> String {
        "path".into()
    }
}

impl Value for Duration {
    fn read(text: &str) -> Result<Self, Refusal> {
        duration::parse(text).filter(|duration| !duration.is_zero()).ok_or_else(|| {
            Refusal::new(Problem::NotDuration, "write it with units, such as 90s, 1h30m or 24h")
        })
    }

    fn text(&self) -> String {
        duration::written(*self)
    }

    fn accepts() -> String {
        "duration".into()
    }
}

impl Value for Repository {
    fn read(text: &str) -> Result<Self, Refusal> {
        text.parse().map_err(|error| {
            Refusal::new(Problem::NotRepository(error), "example: registry.example/signatures")
        })
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn accepts() -> String {
        "repository".into()
    }
}

impl<C: Choice> Value for C {
    const PASSED_OVER: bool = C::PASSED_OVER;

    fn read(text: &str) -> Result<Self, Refusal> {
        one_of(text, C::ALL)
    }

    fn text(&self) -> String {
        self.word().to_owned()
    }

    fn accepts() -> String {
        listed(C::ALL)
    }
}

/// No value and the empty text are one, as in Chains.
impl<V: Value + Optional> Value for Option<V> {
    fn read(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() && V::MAY_BE_EMPTY { Ok(None) } else { V::read(text).map(Some) }
    }

    fn text(&self) -> String {
        self.as_ref().map(V::text).unwrap_or_default()
    }

    fn accepts() -> String {
        V::accepts()
    }
}

/// A type whose setting may be left out.
pub(super) trait Optional {
    /// Whether the empty text leaves it out too; a closed set has no empty word and refuses it.
    const MAY_BE_EMPTY: bool = true;
}
impl Optional for String {}
impl Optional for PathBuf {}
impl Optional for Duration {}
impl Optional for Repository {}
impl Optional for LabelSelector {}
impl<C: Choice> Optional for C {
    const MAY_BE_EMPTY: bool = false;
}

/// Items between commas; the bare empty text is the empty set.
impl<V: Value + Ord> Value for BTreeSet<V> {
    fn read(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() {
            Ok(Self::new())
        } else {
            text.split(',').map(|item| V::read(item.trim())).collect()
        }
    }

    fn text(&self) -> String {
        self.iter().map(V::text).collect::<Vec<_>>().join(",")
    }

    fn accepts() -> String {
        format!("list of {}", V::accepts())
    }
}

impl Value for LabelSelector {
    fn read(text: &str) -> Result<Self, Refusal> {
        Self::parse(text).map_err(|wrong| {
            Refusal::new(
                Problem::NotSelector(wrong),
                "write it as for `kubectl get -l`, such as \"team=a,env in (test, prod),!draft\"",
            )
        })
    }

    fn text(&self) -> String {
        self.as_str().to_owned()
    }

    fn accepts() -> String {
        "label selector".into()
    }
}

impl Value for RegistryHost {
    fn read(text: &str) -> Result<Self, Refusal> {
        Repository::parse(&format!("{text}/any/path"))
            .ok()
            .filter(|repository| repository.path() == "any/path")
            .map(|repository| Self(repository.registry().to_owned()))
            .ok_or_else(|| Refusal::new(Problem::NotHost(cut(text)), "example: registry.example:5000"))
    }

    fn text(&self) -> String {
        self.0.clone()
    }

    fn accepts() -> String {
        "registry hosts".into()
    }
}

impl Value for AllowedPair {
    fn read(text: &str) -> Result<Self, Refusal> {
        match text.split_once('=') {
            Some((namespace, repository)) if !namespace.is_empty() && !repository.is_empty() => {
                Ok(Self { namespace: namespace.trim().into(), repository: repository.trim().into() })
            }
            _ => Err(Refusal::new(Problem::NotPair(cut(text)), "example: team-*=registry.example/team/**")),
        }
    }

    fn text(&self) -> String {
        format!("{}={}", self.namespace, self.repository)
    }

    fn accepts() -> String {
        "`namespace-glob=repository-glob`".into()
    }
}

/// Reads one word of a closed set, or of the part of it that a key takes.
pub(super) fn one_of<C: Choice>(text: &str, allowed: &[C]) -> Result<C, Refusal> {
    allowed.iter().copied().find(|choice| choice.word() == text).ok_or_else(|| {
        let words = || allowed.iter().map(|choice| choice.word());
        let remedy = match nearest(text, words()) {
            _ if text.is_empty() => "remove the empty item, such as the one behind a trailing comma".into(),
            Some(word) => format!("did you mean {word:?}?"),
            None => format!("use one of {}", words().collect::<Vec<_>>().join(", ")),
        };
        Refusal::new(Problem::NotAllowed(cut(text)), remedy)
    })
}

/// The words of a closed set as the reference shows them.
pub(super) fn listed<C: Choice>(allowed: &[C]) -> String {
    allowed.iter().map(|choice| format!("`{}`", choice.word())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::choice::{PubSubProvider, RunFormat, Storage, Upload};
    use super::*;

    fn refused<V: Value + std::fmt::Debug>(text: &str) -> String {
        let finding = V::read(text).unwrap_err().of("k", None);
        format!("{}; {}", finding.problem, finding.remedy)
    }

    #[test]
    fn booleans_are_those_of_go() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert!(bool::read(text).unwrap(), "{text}");
        }
        for text in ["0", "f", "F", "FALSE", "false", "False"] {
            assert!(!bool::read(text).unwrap(), "{text}");
        }
        for text in ["", "yes", "tRUE", " true", "true\n", "2", "on"] {
            assert_eq!(refused::<bool>(text), r#"not a boolean; write "true" or "false""#, "{text}");
        }
    }

    #[test]
    fn a_duration_is_above_zero() {
        assert_eq!(Duration::read("90s").unwrap().text(), "1m30s");
        for text in ["0s", "0", "", "-5m"] {
            assert!(refused::<Duration>(text).contains("write it with units"), "{text}");
        }
    }

    #[test]
    fn words_are_exact_and_a_slip_gets_a_suggestion() {
        assert_eq!(RunFormat::read("slsa/v1").unwrap(), RunFormat::SlsaV1);
        assert_eq!(
            refused::<RunFormat>("SLSA/v1"),
            r#""SLSA/v1" is not an allowed value; did you mean "slsa/v1"?"#
        );
        assert_eq!(
            refused::<RunFormat>("spdx"),
            r#""spdx" is not an allowed value; use one of in-toto, slsa/v1, slsa/v2alpha3, slsa/v2alpha4"#
        );
        assert!(refused::<RunFormat>(" in-toto").contains(r#"did you mean "in-toto"?"#));
        assert_eq!(Upload::read("manual").unwrap(), Upload::Manual);
        const { assert!(<Upload as Value>::PASSED_OVER && !<RunFormat as Value>::PASSED_OVER) };
    }

    #[test]
    fn sets_are_split_trimmed_and_without_empty_items() {
        type Set = BTreeSet<Storage>;
        assert_eq!(Set::read("").unwrap(), Set::new());
        assert_eq!(Set::read("oci, tekton ,oci").unwrap(), Set::from([Storage::Oci, Storage::Tekton]));
        assert_eq!(Set::read("oci,tekton").unwrap().text(), "tekton,oci");
        for text in ["oci,", " ", ",", "oci,,tekton"] {
            assert!(refused::<Set>(text).contains("empty item"), "{text}");
        }
        let any = BTreeSet::<String>::read("a.example/x, b").unwrap();
        assert_eq!(any, BTreeSet::from(["a.example/x".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn an_empty_text_is_no_value_but_no_word() {
        assert_eq!(Option::<String>::read("").unwrap(), None);
        assert_eq!(Option::<Repository>::read("").unwrap(), None);
        assert_eq!(Option::<PubSubProvider>::read("kafka").unwrap(), Some(PubSubProvider::Kafka));
        assert!(Option::<PubSubProvider>::read("").is_err());
    }

    #[test]
    fn repositories_and_hosts_say_what_is_wrong_with_them() {
        assert_eq!(Repository::read("Registry.example/sig").unwrap().text(), "registry.example/sig");
        assert!(refused::<Repository>("https://registry.example/sig").contains("remove the scheme"));
        assert_eq!(RegistryHost::read("Registry.example:5000").unwrap().text(), "registry.example:5000");
        assert_eq!(RegistryHost::read("docker.io").unwrap().as_str(), "index.docker.io");
        for text in ["", "registry", "registry.example/path", "https://registry.example"] {
            assert!(refused::<RegistryHost>(text).contains("is not a registry host"), "{text}");
        }
    }

    #[test]
    fn pairs_have_two_sides() {
        let pair = AllowedPair::read("team-*=registry.example/team/**").unwrap();
        assert_eq!(
            (pair.namespace.as_str(), pair.repository.as_str()),
            ("team-*", "registry.example/team/**")
        );
        assert_eq!(AllowedPair::read(&pair.text()).unwrap(), pair);
        for text in ["", "team", "=x", "team="] {
            assert!(refused::<AllowedPair>(text).contains("is not a pair"), "{text}");
        }
    }

    #[test]
    fn secrets_are_taken_but_not_written() {
        let secret = Secret::read("canary").unwrap();
        assert_eq!((secret.reveal(), secret.text().as_str()), ("canary", "(hidden)"));
        assert_eq!(Secret::default().text(), "");
    }
}
