//! What a person and a program read of a verdict.

use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::artifact::digest::Digest;
use crate::artifact::image::{Image as Pinned, Repository};
use crate::cli::Exit;
use crate::cli::verify::exit;
use crate::config::NoMatch;
use crate::error::{Class, Diagnose};
use crate::policy::Mode;
use crate::policy::check::{Flaw, Verified as Good};
use crate::policy::evaluation::{Obstacle, Verdict};
use crate::policy::material::{Manifest, Place};
use crate::policy::verification::Outcome;

#[derive(Debug, thiserror::Error)]
#[error("cannot read: the registry is away")]
struct Away;

impl Diagnose for Away {
    fn class(&self) -> Class {
        Class::Temporary
    }

    fn label(&self) -> &'static str {
        "registry_away"
    }

    fn hint(&self) -> Option<String> {
        Some("wait".to_owned())
    }
}

fn checked(result: Result<Good, Flaw>) -> Checked {
    let repository = Repository::parse("registry.test/app").unwrap();
    Checked { place: Place { repository, manifest: Manifest::Tag("sha256-1.sig".into()), layer: 2 }, result }
}

fn by(names: &str) -> Checked {
    let by = Signer::Identity { names: vec![names.into()], issuer: "https://i.test".into() };
    let at = Some(jiff::Timestamp::UNIX_EPOCH);
    checked(Ok(Good { by, at, statement: None }))
}

fn verified(policies: Vec<(&str, Mode, Answer)>) -> Verified {
    let policies = policies.into_iter().map(|(policy, mode, answer)| PolicyVerdict {
        policy: policy.to_owned(),
        mode,
        authorities: vec![AuthorityVerdict { authority: "ours".to_owned(), answer }],
    });
    let verdict = Verdict { policies: policies.collect(), no_match: NoMatch::Deny };
    let reference: crate::policy::reference::Reference = "registry.test/app:v1".parse().unwrap();
    let image = Pinned { repository: reference.repository().clone(), digest: Digest::of(b"x") };
    Verified { reference, outcome: Outcome { image: Some(image), verdict } }
}

fn shown(one: &Verified) -> String {
    chapter(one, Style::PLAIN).replace(&Digest::of(b"x").to_string(), "sha256:x")
}

#[test]
fn a_good_image_says_who_signed_it_and_since_when_that_is_proved() {
    let one = verified(vec![(COMMAND_LINE, Mode::Enforce, Answer::Satisfied(vec![by("a@x.test")]))]);
    assert_eq!(
        shown(&one),
        "registry.test/app@sha256:x: verified\n  ✓ ours\n    ✓ tag sha256-1.sig layer 2\n        \
         signed by a@x.test of issuer https://i.test, not later than 1970-01-01T00:00:00Z"
    );
    assert_eq!(exit(&[one]), Exit::Ok);
}

#[test]
fn a_bad_image_says_what_is_wrong_with_each_signature() {
    let reason = Reason::NoneVerifies(vec![checked(Err(Flaw::NoCertificate))]);
    let one = verified(vec![("p", Mode::Enforce, Answer::Refused(reason))]);
    assert_eq!(
        shown(&one),
        "registry.test/app@sha256:x: not verified\n  policy p (enforce): not verified\n  ✗ ours\n      \
         NoCertificate: the signature does not count\n    \
         ✗ tag sha256-1.sig layer 2\n        \
         NoCertificate: it has no certificate: it was signed with a key"
    );
    assert_eq!(exit(&[one]), Exit::Denied);
}

#[test]
fn a_place_is_short_beside_its_image_and_whole_elsewhere() {
    let digest = Digest::of(b"x");
    let (image, other) = ("registry.test/app", "registry.test/signatures");
    let place = |repository: &str, manifest: Manifest| {
        let repository = Repository::parse(repository).unwrap();
        Place { repository, manifest, layer: 1 }.beside(&Repository::parse(image).unwrap())
    };
    let hex: String = digest.hex().chars().take(12).collect();
    let tag = Manifest::Tag(format!("sha256-{}.att", digest.hex()));
    assert_eq!(place(image, tag.clone()), format!("tag sha256-{hex}….att layer 1"));
    assert_eq!(place(other, tag), format!("{other}: tag sha256-{hex}….att layer 1"));
    assert_eq!(place(image, Manifest::Referrer(digest)), format!("referrer sha256:{hex}… layer 1"));
}

#[test]
fn what_could_not_be_decided_says_what_to_do() {
    let answer = Answer::Undecided(Reason::Obstacle(Obstacle::Registry(Arc::new(Away))));
    let one = verified(vec![(COMMAND_LINE, Mode::Enforce, answer)]);
    assert!(
        shown(&one).ends_with("RegistryUnavailable: cannot read: the registry is away\n      wait"),
        "{}",
        shown(&one)
    );
    assert_eq!(exit(&[one]), Exit::Temporary);
}

#[test]
fn a_policy_that_only_warns_is_told_and_lets_pass() {
    let one = verified(vec![
        ("w", Mode::Warn, Answer::Refused(Reason::NoSignatures)),
        ("e", Mode::Enforce, Answer::Satisfied(vec![by("a")])),
    ]);
    assert!(
        shown(&one)
            .starts_with("registry.test/app@sha256:x: passes with warnings\n  policy w (warn): not verified")
    );
    let json = serde_json::to_value(image(&one)).unwrap();
    assert_eq!(json["result"], "warned");
    assert_eq!(json["warnings"], serde_json::json!(["w: ours: no signatures found"]));
    assert_eq!(exit(&[one]), Exit::Ok);
}

#[test]
fn the_json_has_the_same_in_fields() {
    let one = verified(vec![("p", Mode::Enforce, Answer::Satisfied(vec![by("a@x.test")]))]);
    let json: Value = serde_json::to_value(image(&one)).unwrap();
    let signature = &json["policies"][0]["authorities"][0]["signatures"][0];
    assert_eq!(signature["identities"][0], "a@x.test");
    assert_eq!(signature["issuer"], "https://i.test");
    assert_eq!(signature["signedAt"], "1970-01-01T00:00:00Z");
    assert_eq!(json["result"], "verified");
    assert!(json["policies"][0]["authorities"][0].get("reason").is_none());
}

#[test]
fn no_name_in_a_certificate_steers_the_terminal() {
    let one = verified(vec![(COMMAND_LINE, Mode::Enforce, Answer::Satisfied(vec![by("a\u{1b}[2Jb\r")]))]);
    assert!(shown(&one).contains("signed by a[2Jb of"), "{}", shown(&one));
}

#[test]
fn the_worst_image_decides_how_the_command_ends() {
    let good = || verified(vec![("p", Mode::Enforce, Answer::Satisfied(Vec::new()))]);
    let bad = verified(vec![("p", Mode::Enforce, Answer::Refused(Reason::NoSignatures))]);
    let away = verified(vec![(
        "p",
        Mode::Enforce,
        Answer::Undecided(Reason::Obstacle(Obstacle::NoTrustRoot("x".into()))),
    )]);
    assert_eq!(exit(&[good(), away]), Exit::Temporary);
    assert_eq!(exit(&[good(), bad]), Exit::Denied);
    assert_eq!(exit(&[verified(Vec::new())]), Exit::Denied, "no policy governs it");
}
