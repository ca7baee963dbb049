//! Whose tokens may assume an identity, from the options of the source documents. Pure.

use std::collections::BTreeMap;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::client::exchange::identities::{ClaimMatch, Identity, Static};

/// The issuer of GitHub's tokens for workflows.
const GITHUB: &str = "https://token.actions.githubusercontent.com";
/// Keys that are given by hand are good for so long, as pull tokens are.
const USUAL_EXPIRATION: SignedDuration = SignedDuration::from_hours(720);

/// Whose tokens.
#[derive(Debug, Args)]
pub(super) struct RuleOptions {
    /// Issuer of the tokens.
    #[arg(long, value_name = "URL")]
    identity_issuer: Option<String>,

    /// Their subject.
    #[arg(long, value_name = "SUBJECT", conflicts_with = "subject_pattern")]
    subject: Option<String>,

    /// Their subject as a regular expression; anchor it by ^ and $.
    #[arg(long, value_name = "REGEX")]
    subject_pattern: Option<String>,

    /// The issuer's key set as JSON, for an issuer that the service cannot reach.
    #[arg(long, value_name = "JWKS", conflicts_with = "subject_pattern")]
    issuer_keys: Option<String>,

    /// With --issuer-keys: when the identity ends; 30 days from now without it.
    #[arg(long, value_name = "TIME")]
    identity_expiration: Option<Timestamp>,
}

/// Which workflows of GitHub Actions.
#[derive(Debug, Args)]
pub(super) struct GithubOptions {
    /// Repository of the workflow.
    #[arg(long, value_name = "ORG/REPO")]
    pub(super) github_repo: String,

    /// Ref that the workflow runs on, such as refs/heads/main; without it, any.
    #[arg(long, value_name = "REF")]
    pub(super) github_ref: Option<String>,
}

/// A rule as the service has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Keys(Static),
    Claims(ClaimMatch),
}

/// Options that make no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RuleError {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error(
        "--issuer-keys is no JSON object with keys: give the output of kubectl get --raw /openid/v1/jwks"
    )]
    Keys,
    #[error("--identity-issuer {0:?} is no https address")]
    Issuer(String),
    #[error("--github-repo {0:?} is not written ORG/REPO")]
    Repository(String),
    #[error("--identity-expiration is given without --issuer-keys")]
    Expiration,
    #[error("identity {0:?} is not known by an issuer, so that only its name and description can be changed")]
    Other(String),
}

impl Rule {
    /// The two fields of an identity, of which one is set.
    pub(super) fn parts(self) -> (Option<Static>, Option<ClaimMatch>) {
        match self {
            Self::Keys(keys) => (Some(keys), None),
            Self::Claims(claims) => (None, Some(claims)),
        }
    }
}

impl RuleOptions {
    /// The rule of a new identity.
    pub(super) fn made(self, now: Timestamp) -> Result<Rule, RuleError> {
        let issuer = self.identity_issuer.ok_or(RuleError::Missing("--identity-issuer"))?;
        if !issuer.starts_with("https://") {
            return Err(RuleError::Issuer(issuer));
        }
        let Some(keys) = self.issuer_keys else {
            if self.identity_expiration.is_some() {
                return Err(RuleError::Expiration);
            }
            if self.subject.is_none() && self.subject_pattern.is_none() {
                return Err(RuleError::Missing("--subject or --subject-pattern"));
            }
            return Ok(Rule::Claims(ClaimMatch {
                issuer: Some(issuer),
                subject: self.subject,
                subject_pattern: self.subject_pattern,
                ..ClaimMatch::default()
            }));
        };
        let usual = || now.saturating_add(USUAL_EXPIRATION).unwrap_or(Timestamp::MAX);
        Ok(Rule::Keys(Static {
            issuer,
            subject: self.subject.ok_or(RuleError::Missing("--subject"))?,
            issuer_keys: checked(keys)?,
            expiration: self.identity_expiration.unwrap_or_else(usual),
            rest: BTreeMap::new(),
        }))
    }

    /// Changes what is given, and leaves the rest.
    pub(super) fn change(&self, identity: &mut Identity) -> Result<(), RuleError> {
        let given = [&self.identity_issuer, &self.subject, &self.subject_pattern, &self.issuer_keys];
        if given.iter().all(|option| option.is_none()) && self.identity_expiration.is_none() {
            return Ok(());
        }
        match (&mut identity.fixed, &mut identity.claim_match) {
            (Some(keys), _) => self.change_keys(keys),
            (None, Some(claims)) => self.change_claims(claims),
            (None, None) => Err(RuleError::Other(identity.id.clone())),
        }
    }

    fn change_keys(&self, keys: &mut Static) -> Result<(), RuleError> {
        if self.subject_pattern.is_some() {
            return Err(RuleError::Missing("--subject"));
        }
        if let Some(issuer) = &self.identity_issuer {
            keys.issuer.clone_from(issuer);
        }
        if let Some(subject) = &self.subject {
            keys.subject.clone_from(subject);
        }
        if let Some(given) = &self.issuer_keys {
            keys.issuer_keys = checked(given.clone())?;
        }
        if let Some(expiration) = self.identity_expiration {
            keys.expiration = expiration;
        }
        Ok(())
    }

    fn change_claims(&self, claims: &mut ClaimMatch) -> Result<(), RuleError> {
        if self.issuer_keys.is_some() || self.identity_expiration.is_some() {
            return Err(RuleError::Expiration);
        }
        // Of an exact text and a pattern the service takes one.
        if let Some(issuer) = &self.identity_issuer {
            (claims.issuer, claims.issuer_pattern) = (Some(issuer.clone()), None);
        }
        if self.subject.is_some() || self.subject_pattern.is_some() {
            (claims.subject, claims.subject_pattern) = (self.subject.clone(), self.subject_pattern.clone());
        }
        Ok(())
    }
}

impl GithubOptions {
    /// The rule for these workflows.
    pub(super) fn made(&self) -> Result<Rule, RuleError> {
        let refused = || RuleError::Repository(self.github_repo.clone());
        let (owner, name) = self.github_repo.split_once('/').ok_or_else(refused)?;
        let is_name = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        if !is_name(owner) || !is_name(name) {
            return Err(refused());
        }
        let subject = format!("repo:{owner}/{name}:");
        let (exact, pattern) = match &self.github_ref {
            Some(name) => (Some(format!("{subject}ref:{name}")), None),
            None => (None, Some(format!("^{}.*$", regex::escape(&subject)))),
        };
        Ok(Rule::Claims(ClaimMatch {
            issuer: Some(GITHUB.to_owned()),
            subject: exact,
            subject_pattern: pattern,
            ..ClaimMatch::default()
        }))
    }
}

/// A key set as it was given, once it looks like one.
fn checked(keys: String) -> Result<String, RuleError> {
    let parsed: Option<Value> = serde_json::from_str(&keys).ok();
    let has_keys = parsed
        .as_ref()
        .and_then(|parsed| parsed.get("keys")?.as_array())
        .is_some_and(|keys| !keys.is_empty());
    if has_keys { Ok(keys) } else { Err(RuleError::Keys) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    fn options() -> RuleOptions {
        RuleOptions {
            identity_issuer: Some("https://issuer.example".into()),
            subject: Some("system:serviceaccount:a:b".into()),
            subject_pattern: None,
            issuer_keys: None,
            identity_expiration: None,
        }
    }

    #[test]
    fn keys_make_an_identity_that_ends_and_an_issuer_alone_one_that_does_not() {
        let keys = RuleOptions { issuer_keys: Some(r#"{"keys":[{}]}"#.into()), ..options() };
        let Rule::Keys(made) = keys.made(now()).unwrap() else { panic!("no keys") };
        assert_eq!(made.expiration.duration_since(now()), USUAL_EXPIRATION);
        let Rule::Claims(made) = options().made(now()).unwrap() else { panic!("no claims") };
        assert_eq!(made.issuer.as_deref(), Some("https://issuer.example"));
    }

    #[test]
    fn half_a_rule_is_refused_with_the_option_that_is_missing() {
        let refused = |options: RuleOptions| options.made(now()).unwrap_err().to_string();
        assert_eq!(
            refused(RuleOptions { identity_issuer: None, ..options() }),
            "--identity-issuer is missing"
        );
        let nobody = RuleOptions { subject: None, ..options() };
        assert_eq!(refused(nobody), "--subject or --subject-pattern is missing");
        let plain = RuleOptions { identity_issuer: Some("http://i".into()), ..options() };
        assert!(refused(plain).contains("no https address"));
        for keys in ["", "{}", "{\"keys\":[]}", "[1]"] {
            assert!(
                refused(RuleOptions { issuer_keys: Some(keys.into()), ..options() })
                    .contains("/openid/v1/jwks")
            );
        }
    }

    #[test]
    fn a_workflow_is_known_by_its_ref_or_by_its_repository_and_by_no_name_that_begins_alike() {
        let github = |repo: &str, on: Option<&str>| {
            let made = GithubOptions { github_repo: repo.into(), github_ref: on.map(Into::into) }.made();
            made.map(|rule| rule.parts().1.unwrap())
        };
        let main = github("o/r.s", Some("refs/heads/main")).unwrap();
        assert_eq!(main.subject.as_deref(), Some("repo:o/r.s:ref:refs/heads/main"));
        let any = regex::Regex::new(&github("o/r.s", None).unwrap().subject_pattern.unwrap()).unwrap();
        assert!(any.is_match("repo:o/r.s:pull_request"));
        assert!(!any.is_match("repo:o/rxs:pull_request") && !any.is_match("x repo:o/r.s:a"));
        for wrong in ["o", "o/", "/r", "o/r/s", "o/r:x", ""] {
            assert!(github(wrong, None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_change_leaves_what_is_not_named() {
        let claims = ClaimMatch {
            issuer: Some("https://i".into()),
            subject: Some("old".into()),
            rest: BTreeMap::from([("audience".into(), "a".into())]),
            ..ClaimMatch::default()
        };
        let mut identity = Identity {
            id: "org/id".into(),
            name: "n".into(),
            description: String::new(),
            created_at: None,
            fixed: None,
            claim_match: Some(claims.clone()),
        };
        let nothing = RuleOptions { identity_issuer: None, subject: None, ..options() };
        nothing.change(&mut identity).unwrap();
        assert_eq!(identity.claim_match, Some(claims.clone()));
        let pattern = RuleOptions { subject_pattern: Some("^new$".into()), ..nothing };
        pattern.change(&mut identity).unwrap();
        let expected = ClaimMatch { subject: None, subject_pattern: Some("^new$".into()), ..claims };
        assert_eq!(identity.claim_match, Some(expected));
        identity.claim_match = None;
        assert_eq!(pattern.change(&mut identity), Err(RuleError::Other("org/id".into())));
    }
}
