//! Everything that admissions are decided by, at one moment: policies, the Secrets of their keys, settings, and what was
//! verified under exactly these. Pure.
//!
//! # Guarantees
//!
//! - A policy with mistakes is not passed over: it denies, or warns if it says so itself, what its globs govern; when
//!   they cannot be read, every image.
//! - What was verified is forgotten with the snapshot, unless the next one has the same policy, the same texts of its
//!   Secrets, and the same settings and roots: no change is outlived by it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::verdicts::Verdicts;
use crate::config::{Config, NoMatch};
use crate::policy::authority::{Authority, Demand, Key, Keyless, Root, SecretName, Signed, Signer, Static};
use crate::policy::evaluation::{Answer, AuthorityVerdict, Obstacle, PolicyVerdict, Reason};
use crate::policy::finding::Finding;
use crate::policy::glob::Glob;
use crate::policy::reference::Reference;
use crate::policy::trust::Trust;
use crate::policy::workload::Workload;
use crate::policy::{ClusterImagePolicy, Mode, Rules};

/// What admissions are decided by.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// Every policy, sound or not.
    pub(super) policies: Vec<Held>,
    /// Whom to trust, with the keys in Secrets.
    pub(super) trust: Trust,
    /// Settings.
    pub(super) config: Config,
    /// What becomes of an image without any policy.
    pub(super) no_match: NoMatch,
    /// What was verified under it.
    pub(super) verdicts: Verdicts,
}

/// A policy as it lies in the cluster.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// Its name.
    pub(super) name: String,
    /// What its failure leads to.
    pub(super) mode: Mode,
    /// The policy, or what is known of one with mistakes.
    pub(super) policy: Result<ClusterImagePolicy, Broken>,
}

/// A policy with mistakes.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    /// What it governs; everything where that cannot be told.
    globs: Option<Vec<Glob>>,
    findings: Vec<Finding>,
}

impl Held {
    /// Reads a manifest of the cluster.
    pub(super) fn read(document: &Value, rules: &Rules) -> Self {
        let reading = ClusterImagePolicy::read(document, rules);
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let mode = if text("/spec/mode") == Mode::Warn.name() { Mode::Warn } else { Mode::Enforce };
        let name = text("/metadata/name").to_owned();
        let broken = || Broken { globs: globs(document), findings: reading.notes.errors };
        Self { name, mode, policy: reading.policy.ok_or_else(broken) }
    }

    /// Whether it has a say.
    pub(super) fn governs(&self, image: &Reference, workload: &Workload<'_>) -> bool {
        match &self.policy {
            Ok(policy) => policy.governs(image).is_some() && policy.selects(workload),
            Err(Broken { globs: Some(globs), .. }) => globs.iter().any(|glob| glob.matches(image)),
            Err(Broken { globs: None, .. }) => true,
        }
    }

    /// Whether it asks about content, which only a digest names.
    pub(super) fn needs_digest(&self) -> bool {
        let passes = |one: &Authority| matches!(one.demand, Demand::Static(Static::Pass));
        let signed = |one: &Authority| matches!(one.demand, Demand::Signed(_));
        self.policy.as_ref().is_ok_and(|policy| {
            policy.authorities.iter().any(signed) && !policy.authorities.iter().any(passes)
        })
    }

    /// What it answers when `obstacle` stands in its way as a whole.
    pub(super) fn undecided(&self, obstacle: Obstacle) -> PolicyVerdict {
        let answer = Answer::Undecided(Reason::Obstacle(obstacle));
        let authorities = vec![AuthorityVerdict { authority: "every authority".to_owned(), answer }];
        PolicyVerdict { policy: self.name.clone(), mode: self.mode, authorities }
    }
}

impl Broken {
    /// What is wrong with it.
    pub(super) fn obstacle(&self) -> Obstacle {
        Obstacle::Unusable(self.findings.clone())
    }
}

/// The globs of a policy that is broken elsewhere.
fn globs(document: &Value) -> Option<Vec<Glob>> {
    let listed = document.pointer("/spec/images")?.as_array().filter(|listed| !listed.is_empty())?;
    listed.iter().map(|item| Glob::parse(item.get("glob")?.as_str()?).ok()).collect()
}

/// The Secrets that hold keys and authorities of policies.
pub(super) fn key_secrets<'p>(policies: impl Iterator<Item = &'p Held>) -> BTreeSet<String> {
    let sound = policies.filter_map(|held| held.policy.as_ref().ok());
    let named = sound.flat_map(signed).filter_map(|signed| match &signed.signer {
        Signer::Key(Key::Secret(SecretName { name, .. }))
        | Signer::Keyless(Keyless { root: Root::Secret(SecretName { name, .. }), .. }) => Some(name.clone()),
        _ => None,
    });
    named.collect()
}

/// The Secrets that open the sources of a policy.
pub(super) fn pull_secrets(policy: &ClusterImagePolicy) -> BTreeSet<&str> {
    let sources = signed(policy).filter_map(|signed| signed.source.as_ref());
    sources.flat_map(|source| source.pull_secrets.iter().map(String::as_str)).collect()
}

fn signed(policy: &ClusterImagePolicy) -> impl Iterator<Item = &Signed> {
    policy.authorities.iter().filter_map(|authority| match &authority.demand {
        Demand::Signed(signed) => Some(&**signed),
        Demand::Static(_) => None,
    })
}

/// `policy.no-match`, or what policy-controller's ConfigMap says where that is not set; a word that is none denies.
pub(super) fn no_match(
    config: &Config,
    own: &BTreeMap<String, String>,
    controllers: &BTreeMap<String, String>,
) -> NoMatch {
    if own.contains_key("policy.no-match") {
        return config.policy.no_match;
    }
    match controllers.get("no-match-policy").map(String::as_str) {
        Some("warn") => NoMatch::Warn,
        Some("allow") => NoMatch::Allow,
        _ => NoMatch::Deny,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::evaluation::Verdict;

    fn held(spec: &Value) -> Held {
        let document = json!({"apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy",
            "metadata": {"name": "p"}, "spec": spec});
        Held::read(&document, &Rules::default())
    }

    fn governs(held: &Held, image: &str) -> bool {
        let labels = BTreeMap::new();
        let pods = Workload { group: "", version: "v1", resource: "pods", labels: &labels };
        held.governs(&image.parse().unwrap(), &pods)
    }

    #[test]
    fn a_policy_with_mistakes_governs_what_its_globs_say_and_everything_when_they_say_nothing() {
        let broken = held(&json!({"images": [{"glob": "a.test/**"}], "authorities": []}));
        assert!(
            broken.policy.is_err() && governs(&broken, "a.test/app:1") && !governs(&broken, "b.test/app:1")
        );
        for images in [json!([{"glob": "gcr.io/$project/*"}]), json!([]), json!(null), json!([{"glob": 1}])] {
            let broken = held(&json!({"images": images, "authorities": [{"static": {"action": "pass"}}]}));
            assert!(broken.policy.is_err() && governs(&broken, "b.test/app:1"), "{broken:?}");
            let verdict = broken.undecided(broken.policy.as_ref().unwrap_err().obstacle());
            assert!(!Verdict { policies: vec![verdict], no_match: NoMatch::Allow }.admits());
        }
    }

    #[test]
    fn a_broken_policy_warns_only_if_it_says_so_itself() {
        for (mode, expected) in [("warn", Mode::Warn), ("Warn", Mode::Enforce), ("", Mode::Enforce)] {
            let broken = held(&json!({"images": [{"glob": "**"}], "mode": mode, "authorities": []}));
            assert_eq!(broken.mode, expected, "{mode}");
        }
    }

    #[test]
    fn a_digest_is_needed_unless_a_static_authority_passes() {
        let policy =
            |authorities: Value| held(&json!({"images": [{"glob": "**"}], "authorities": authorities}));
        let key = json!({"key": {"secretRef": {"name": "cosign-pub"}}});
        let pass = json!({"static": {"action": "pass"}});
        assert!(policy(json!([key])).needs_digest());
        assert!(!policy(json!([key, pass])).needs_digest());
        assert!(!policy(json!([pass])).needs_digest());
        assert!(!policy(json!([{"static": {"action": "fail"}}])).needs_digest());
    }

    #[test]
    fn the_secrets_of_a_policy_are_known_by_what_they_hold() {
        let all = held(&json!({"images": [{"glob": "**"}], "authorities": [
            {"key": {"secretRef": {"name": "cosign-pub"}}, "source": [{"oci": "a.test",
                "signaturePullSecrets": [{"name": "regcreds"}, {"name": "more"}]}]},
            {"keyless": {"ca-cert": {"secretRef": {"name": "roots"}},
                "identities": [{"issuer": "i", "subject": "s"}]}}]}));
        assert_eq!(key_secrets([&all].into_iter()), ["cosign-pub", "roots"].map(str::to_owned).into());
        assert_eq!(pull_secrets(all.policy.as_ref().unwrap()), ["regcreds", "more"].into());
    }

    #[test]
    fn the_settings_of_policy_controller_count_where_ours_are_silent() {
        let map = |key: &str, word: &str| BTreeMap::from([(key.to_owned(), word.to_owned())]);
        let decided = |own: &BTreeMap<String, String>, controllers: &BTreeMap<String, String>| {
            no_match(&Config::parse(own).config.unwrap(), own, controllers)
        };
        let none = BTreeMap::new();
        assert_eq!(decided(&none, &none), NoMatch::Deny);
        assert_eq!(decided(&none, &map("no-match-policy", "allow")), NoMatch::Allow);
        assert_eq!(decided(&none, &map("no-match-policy", "whatever")), NoMatch::Deny);
        assert_eq!(decided(&map("policy.no-match", "warn"), &map("no-match-policy", "allow")), NoMatch::Warn);
        assert_eq!(decided(&map("policy.no-match", "deny"), &map("no-match-policy", "allow")), NoMatch::Deny);
    }
}
