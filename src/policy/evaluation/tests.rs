//! Every combination of policies, authorities, modes and results that §8.2 speaks of, on made-up results.

use std::sync::Arc;

use super::*;
use crate::artifact::image::Repository;
use crate::error::{Class, Diagnose};
use crate::policy::authority::{Key, SecretName, Signer};
use crate::policy::check::{Signer as SignedBy, Statement};
use crate::policy::material::Manifest;

#[derive(Debug, thiserror::Error)]
#[error("the registry said {label}")]
struct Registry {
    class: Class,
    label: &'static str,
}

impl Diagnose for Registry {
    fn class(&self) -> Class {
        self.class
    }

    fn label(&self) -> &'static str {
        self.label
    }
}

fn registry(class: Class, label: &'static str) -> Obstacle {
    Obstacle::Registry(Arc::new(Registry { class, label }))
}

fn checked(result: Result<Option<&str>, Flaw>) -> Checked {
    let repository = Repository::parse("registry.test/app").unwrap();
    let place = Place { repository, manifest: Manifest::Tag("sha256-1.sig".into()), layer: 1 };
    let by = SignedBy::Key { id: "SHA256:k".into() };
    let statement = |kind: &str| Statement {
        predicate_type: kind.to_owned(),
        predicate: serde_json::Value::Null,
        bytes: Vec::new(),
    };
    Checked { place, result: result.map(|kind| Verified { by, at: None, statement: kind.map(statement) }) }
}

fn wants(attestations: &[&str]) -> Demand {
    let attestation = |kind: &&str| Attestation { name: (*kind).into(), predicate_type: (*kind).into() };
    Demand::Signed(Box::new(Signed {
        signer: Signer::Key(Key::Secret(SecretName { name: "k".into(), namespace: None })),
        source: None,
        attestations: attestations.iter().map(attestation).collect(),
        log: None,
        timestamp: None,
        format: None,
    }))
}

#[expect(clippy::unnecessary_wraps, reason = "what was looked at may fail as well")]
fn good() -> Looked {
    Ok(vec![checked(Ok(None))])
}

#[expect(clippy::unnecessary_wraps, reason = "what was looked at may fail as well")]
fn bad() -> Looked {
    Ok(vec![checked(Err(Flaw::NoCertificate))])
}

fn away() -> Looked {
    Err(registry(Class::Temporary, "registry_away"))
}

fn signature(looked: Looked) -> Answer {
    answer(&wants(&[]), looked)
}

fn verdict(policies: Vec<(Mode, Vec<Looked>)>) -> Verdict {
    let policies = policies.into_iter().zip(0..).map(|((mode, looked), n)| PolicyVerdict {
        policy: format!("policy-{n}"),
        mode,
        authorities: looked
            .into_iter()
            .zip(0..)
            .map(|(looked, n)| AuthorityVerdict {
                authority: format!("authority-{n}"),
                answer: signature(looked),
            })
            .collect(),
    });
    Verdict { policies: policies.collect(), no_match: NoMatch::Deny }
}

#[test]
fn no_signatures_not_authorised_and_not_decided_are_three_answers() {
    let told = |answer: &Answer| (answer.standing(), answer.reason().unwrap().code());
    assert_eq!(told(&signature(Ok(vec![]))), (Standing::Refused, "NoSignatures"));
    let denied = signature(Err(registry(Class::Misconfigured, "registry_denied")));
    assert_eq!(told(&denied), (Standing::Refused, "RegistryAuthFailed"));
    assert_eq!(told(&signature(away())), (Standing::Undecided, "RegistryUnavailable"));
    let broken = signature(Err(registry(Class::Misconfigured, "registry_answer")));
    assert_eq!(told(&broken), (Standing::Undecided, "RegistryFailed"));
    assert_eq!(
        told(&signature(Err(Obstacle::NoTrustRoot("x".into())))),
        (Standing::Undecided, "NoTrustRoot")
    );
}

#[test]
fn one_good_signature_among_bad_ones_is_enough() {
    let mixed = vec![checked(Err(Flaw::NotBase64)), checked(Ok(None)), checked(Err(Flaw::Entry))];
    assert!(matches!(signature(Ok(mixed)), Answer::Satisfied(good) if good.len() == 1));
}

#[test]
fn a_layer_that_may_be_read_later_leaves_it_undecided() {
    assert_eq!(signature(bad()).standing(), Standing::Refused);
    let later = Flaw::Unreadable { reason: "x".into(), temporary: true };
    let looked = Ok(vec![checked(Err(Flaw::NoCertificate)), checked(Err(later))]);
    assert_eq!(signature(looked).standing(), Standing::Undecided);
    let gone = Flaw::Unreadable { reason: "x".into(), temporary: false };
    assert_eq!(signature(Ok(vec![checked(Err(gone))])).standing(), Standing::Refused);
}

#[test]
fn every_listed_attestation_must_be_there() {
    let demand = wants(&["provenance", "spdx"]);
    let both = vec![checked(Ok(Some("spdx"))), checked(Ok(Some("provenance")))];
    assert!(matches!(answer(&demand, Ok(both)), Answer::Satisfied(good) if good.len() == 2));
    let one = answer(&demand, Ok(vec![checked(Ok(Some("provenance")))]));
    let reason = one.reason().unwrap().to_string();
    assert_eq!(reason, "no verified attestation of type spdx among 1 attestation: one has type provenance");
    assert_eq!(answer(&demand, Ok(vec![])).reason().unwrap().code(), "NoAttestation");
    let unverified = answer(&demand, Ok(vec![checked(Err(Flaw::NoCertificate))]));
    assert_eq!(unverified.standing(), Standing::Refused);
}

#[test]
fn a_static_authority_asks_for_nothing() {
    assert_eq!(answer(&Demand::Static(Static::Pass), away()).standing(), Standing::Satisfied);
    let fail = Demand::Static(Static::Fail { message: Some("not here".into()) });
    let failed = answer(&fail, good());
    assert_eq!(failed.standing(), Standing::Refused);
    assert!(failed.reason().unwrap().to_string().ends_with("not here"));
}

#[test]
fn all_policies_must_be_satisfied_and_any_authority_satisfies_one() {
    let enforce = Mode::Enforce;
    assert!(verdict(vec![(enforce, vec![bad(), good()])]).admits());
    assert!(verdict(vec![(enforce, vec![good()]), (enforce, vec![good()])]).admits());
    let one_fails = verdict(vec![(enforce, vec![good()]), (enforce, vec![bad(), away()])]);
    assert!(!one_fails.admits());
    assert_eq!(one_fails.standing(), Standing::Undecided);
    assert_eq!(one_fails.denials().len(), 2, "each authority of the policy that fails says why");
    assert!(one_fails.denials()[0].starts_with("policy-1: authority-0: it has no certificate"));
}

#[test]
fn a_refusal_is_worse_than_not_knowing() {
    let worst = verdict(vec![(Mode::Enforce, vec![away()]), (Mode::Enforce, vec![bad()])]);
    assert_eq!(worst.standing(), Standing::Refused);
    let better = verdict(vec![(Mode::Enforce, vec![away(), bad()])]);
    assert_eq!(better.standing(), Standing::Undecided, "any authority may still satisfy the policy");
}

#[test]
fn a_warning_policy_never_softens_an_enforced_one_in_any_order() {
    for round in 0..100 {
        let mut policies = vec![(Mode::Warn, vec![bad()]), (Mode::Enforce, vec![bad()])];
        policies.rotate_left(round % 2);
        let verdict = verdict(policies);
        assert!(!verdict.admits());
        assert_eq!((verdict.denials().len(), verdict.warnings().len()), (1, 1));
    }
    let warned = verdict(vec![(Mode::Warn, vec![bad()])]);
    assert!(warned.admits() && warned.denials().is_empty() && warned.warnings().len() == 1);
}

#[test]
fn everything_but_an_explicit_pass_denies() {
    let obstacles = [
        registry(Class::Temporary, "registry_away"),
        registry(Class::Misconfigured, "registry_denied"),
        registry(Class::Permanent, "registry_forbidden"),
        Obstacle::NoSecret { name: "s".into() },
        Obstacle::SecretContent { name: "s".into(), wanted: "a key" },
        Obstacle::NoTrustRoot("x".into()),
        Obstacle::NotInThisBuild("x".into()),
        Obstacle::NoPullSecret { index: 0, name: "x".into(), namespaces: vec!["a".into()] },
        Obstacle::Unusable(Vec::new()),
        Obstacle::OutOfTime,
    ];
    for obstacle in obstacles {
        let shown = obstacle.to_string();
        assert!(!verdict(vec![(Mode::Enforce, vec![Err(obstacle)])]).admits(), "{shown}");
    }
    assert!(!verdict(vec![(Mode::Enforce, vec![])]).admits(), "a policy without authorities passes nobody");
}

#[test]
fn the_operator_says_what_becomes_of_an_image_without_a_policy() {
    let without = |no_match| Verdict { policies: Vec::new(), no_match };
    assert!(!without(NoMatch::Deny).admits());
    assert_eq!(without(NoMatch::Deny).denials(), ["no policy governs the image"]);
    assert!(without(NoMatch::Warn).admits());
    assert_eq!(without(NoMatch::Warn).warnings(), ["no policy governs the image"]);
    assert!(without(NoMatch::Allow).admits() && without(NoMatch::Allow).warnings().is_empty());
}
