//! Decisions about Secrets, as the API server would return them.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::super::held::{CONTENT, TYPE};
use super::super::request::{PREFIX, short_hash};
use super::*;

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn at(seconds: i64) -> String {
    (now() + SignedDuration::from_secs(seconds)).to_string()
}

/// A Secret with a token and what was noted about it.
struct Case {
    kind: &'static str,
    content: Option<String>,
    annotations: Vec<(&'static str, String)>,
    immutable: bool,
}

impl Case {
    fn new(content: &str) -> Self {
        let annotations = vec![("identity", "uid".to_owned())];
        Self { kind: TYPE, content: Some(content.to_owned()), annotations, immutable: false }
    }

    fn with_token(token: &str) -> Self {
        Self::new(&config(token))
    }

    fn noted(mut self, token: &str, refreshed: i64, expires: i64) -> Self {
        self.annotations.extend([
            ("token-hash", short_hash(token.as_bytes())),
            ("refreshed-at", at(refreshed)),
            ("expires-at", at(expires)),
            ("status", "Ready".to_owned()),
        ]);
        self
    }

    fn annotation(mut self, name: &'static str, value: &str) -> Self {
        self.annotations.retain(|(other, _)| *other != name);
        self.annotations.push((name, value.to_owned()));
        self
    }

    fn decide(&self) -> Decision {
        let annotations: serde_json::Map<String, Value> =
            self.annotations.iter().map(|(name, value)| (format!("{PREFIX}{name}"), json!(value))).collect();
        let mut secret = json!({"type": self.kind, "immutable": self.immutable,
            "metadata": {"uid": "u-1", "resourceVersion": "7", "annotations": annotations}});
        if let Some(content) = &self.content {
            secret["data"] = json!({CONTENT: BASE64_STANDARD.encode(content)});
        }
        decide(&Held::of(serde_json::from_value(secret).unwrap()), &Providers::default(), now())
    }

    fn cause(&self) -> Cause {
        match self.decide() {
            Decision::Exchange(work) => work.cause,
            other => panic!("{other:?}"),
        }
    }

    fn refused(&self) -> Reason {
        match self.decide() {
            Decision::Refuse(reason, _) => reason,
            other => panic!("{other:?}"),
        }
    }

    fn is_fresh(&self) -> bool {
        matches!(self.decide(), Decision::Fresh { .. })
    }
}

fn config(token: &str) -> String {
    let auth = BASE64_STANDARD.encode(format!("_token:{token}"));
    json!({"auths": {"cgr.dev": {"auth": auth}}}).to_string()
}

fn jwt(expires: i64) -> String {
    let claims = json!({"exp": 1_700_000_000 + expires});
    format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()))
}

#[test]
fn a_secret_that_nobody_annotated_is_ignored_and_one_that_lost_its_annotation_is_released() {
    let mut case = Case::new("{}");
    case.annotations.clear();
    assert_eq!(case.decide(), Decision::Ignore);
    assert_eq!(case.annotation("status", "Ready").decide(), Decision::Release);
    assert_eq!(Case::new("{}").annotation("identity", "  ").decide(), Decision::Ignore);
}

#[test]
fn an_empty_secret_needs_a_token_whatever_empty_looks_like() {
    for content in ["{}", "", "null", r#"{"auths":{}}"#, r#"{"auths":{"other":{"auth":"dTpw"}}}"#] {
        assert_eq!(Case::new(content).cause(), Cause::Missing, "{content}");
    }
    let without_data = Case { content: None, ..Case::new("") };
    assert_eq!(without_data.cause(), Cause::Missing);
}

#[test]
fn a_token_that_was_noted_is_fresh_without_asking_anybody() {
    assert!(Case::with_token("opaque").noted("opaque", -60, 3540).is_fresh());
    assert_eq!(Case::with_token("opaque").noted("opaque", -3500, 100).cause(), Cause::Due);
    assert_eq!(Case::with_token("opaque").noted("opaque", -7200, -3600).cause(), Cause::Due);
}

#[test]
fn a_token_that_somebody_else_made_is_fresh_by_its_own_claim() {
    assert!(Case::with_token(&jwt(3500)).is_fresh());
    assert_eq!(Case::with_token(&jwt(60)).cause(), Cause::Due);
    assert_eq!(Case::with_token("password").cause(), Cause::Missing, "no expiry, so no token of ours");
}

#[test]
fn a_changed_annotation_and_an_edited_token_need_a_new_one() {
    let noted = || Case::with_token("t").noted("t", -60, 3540);
    assert_eq!(noted().annotation("request-hash", "00000000").cause(), Cause::Changed);
    let hash = Request {
        identity: "uid".into(),
        provider: "chainguard".into(),
        registries: None,
        audience: None,
        scope: None,
        role_arn: None,
        buffer: None,
        account: None,
        overwrite: false,
    };
    assert!(noted().annotation("request-hash", &hash.fingerprint()).is_fresh());
    assert_eq!(Case::with_token("edited").noted("t", -60, 3540).cause(), Cause::Edited);
    assert_eq!(Case::new("{}").noted("t", -60, 3540).cause(), Cause::Edited);
}

#[test]
fn two_writers_that_undo_each_other_do_not_exchange_without_end() {
    let Decision::Fresh { until, .. } = Case::with_token("edited").noted("t", -10, 3590).decide() else {
        panic!("it waits")
    };
    assert_eq!(until.duration_since(now()).as_secs(), 20);
    let short = Case::with_token("edited").noted("t", -10, 0);
    assert_eq!(short.cause(), Cause::Edited, "half of a short life has passed");
}

#[test]
fn a_secret_that_cannot_be_filled_is_told_and_costs_no_exchange() {
    let opaque = Case { kind: "Opaque", content: None, ..Case::new("") };
    assert_eq!(opaque.refused(), Reason::WrongType);
    assert_eq!(Case { immutable: true, ..Case::new("{}") }.refused(), Reason::Immutable);
    assert_eq!(Case::new("{}").annotation("provider", "nobody").refused(), Reason::UnknownProvider);
    assert_eq!(Case::new("{}").annotation("buffer", "soon").refused(), Reason::InvalidAnnotation);
    for content in ["[]", "text", r#"{"auths":5}"#] {
        assert_eq!(Case::new(content).refused(), Reason::MalformedExisting, "{content}");
        assert_eq!(Case::new(content).annotation("overwrite", "true").cause(), Cause::Missing);
    }
}

#[test]
fn a_work_knows_when_what_is_there_ends() {
    let Decision::Exchange(work) = Case::with_token("t").noted("t", -3500, 100).decide() else { panic!() };
    assert_eq!(work.expires_at.unwrap().duration_since(now()).as_secs(), 100);
    assert_eq!((work.request.identity.as_str(), work.provider.name.as_str()), ("uid", "chainguard"));
}
