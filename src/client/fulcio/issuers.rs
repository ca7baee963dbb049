//! Which tokens a Fulcio takes, by its own word: `GET /api/v2/configuration` (credentials specification §9.1).
//!
//! Fulcio answers a token of an unknown issuer with a sentence that names nothing. Read beforehand, its list of
//! issuers says which one is missing, and the token need not be sent.
//!
//! Guarantees: total; a list that does not decode refuses nobody. Must not: be taken for a permission, Fulcio decides.

use serde::Deserialize;

use crate::identity::AUDIENCE;

/// More issuers than any Fulcio has; the rest is not looked at.
const MAX_ISSUERS: usize = 1000;

/// The issuers that a Fulcio is configured with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Issuers {
    issuers: Vec<Issuer>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Issuer {
    #[serde(rename = "issuerUrl")]
    exact: String,
    #[serde(rename = "wildcardIssuerUrl")]
    pattern: String,
    audience: String,
}

impl Issuers {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Whether tokens of `issuer` are taken; so are all when there is no list.
    pub(super) fn know(&self, issuer: &str) -> bool {
        self.issuers.is_empty() || self.named(issuer).next().is_some()
    }

    /// The audience that tokens of `issuer` must have, when it is another than ours.
    pub(super) fn other_audience(&self, issuer: &str) -> Option<&str> {
        let mut audiences = self.named(issuer).map(|issuer| issuer.audience.as_str()).peekable();
        let first = *audiences.peek()?;
        audiences.all(|audience| audience != AUDIENCE && !audience.is_empty()).then_some(first)
    }

    /// For a person: what is configured, cut.
    pub(super) fn shown(&self) -> String {
        let names =
            self.issuers.iter().take(10).map(|issuer| issuer.name().chars().take(200).collect::<String>());
        let more = self.issuers.len().saturating_sub(10);
        let rest = (more > 0).then(|| format!("{more} more"));
        names.chain(rest).collect::<Vec<_>>().join(", ")
    }

    fn named(&self, issuer: &str) -> impl Iterator<Item = &Issuer> {
        self.issuers.iter().take(MAX_ISSUERS).filter(move |known| known.covers(issuer))
    }
}

impl Issuer {
    fn name(&self) -> &str {
        if self.exact.is_empty() { &self.pattern } else { &self.exact }
    }

    fn covers(&self, issuer: &str) -> bool {
        if self.pattern.is_empty() { self.exact == issuer } else { matches(&self.pattern, issuer) }
    }
}

/// `*` stands for one or more letters, digits, `-` and `_`; everything else for itself. A star takes as much as it can
/// and gives back what the rest needs, at most the length of a label times the number of stars.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    let run = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).count();
    (1..=run).rev().any(|length| rest.get(length..).is_some_and(|rest| matches(after, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuers(json: &str) -> Issuers {
        Issuers::read(json.as_bytes()).unwrap()
    }

    #[test]
    fn the_public_patterns_for_clusters_match_as_fulcio_matches_them() {
        let eks = "https://oidc.eks.*.amazonaws.com/id/*";
        assert!(matches(eks, "https://oidc.eks.us-west-2.amazonaws.com/id/ABC"));
        assert!(!matches(eks, "https://oidc.eks.us-west-2.amazonaws.com/id/A/B"));
        assert!(!matches(eks, "https://oidc.eks.cn-north-1.amazonaws.com.cn/id/A"));
        let gke = "https://container.googleapis.com/v1/projects/*/locations/*/clusters/*";
        assert!(matches(gke, "https://container.googleapis.com/v1/projects/p/locations/l/clusters/c"));
        assert!(!matches(
            gke,
            "https://container.googleapis.com/v1/projects/domain.com:p/locations/l/clusters/c"
        ));
        let (plain, slash) = ("https://oidc.prod-aks.azure.com/*", "https://oidc.prod-aks.azure.com/*/");
        assert!(matches(plain, "https://oidc.prod-aks.azure.com/id"));
        assert!(!matches(plain, "https://oidc.prod-aks.azure.com/id/"));
        assert!(matches(slash, "https://oidc.prod-aks.azure.com/id/"));
    }

    #[test]
    fn an_issuer_that_is_missing_is_told_with_those_that_are_there() {
        let known = issuers(
            r#"{"issuers":[{"issuerUrl":"https://a.test","audience":"sigstore"},{"wildcardIssuerUrl":"https://*.b.test","audience":"sigstore"}]}"#,
        );
        assert!(
            known.know("https://a.test") && known.know("https://x.b.test") && !known.know("https://c.test")
        );
        assert_eq!(known.shown(), "https://a.test, https://*.b.test");
        assert_eq!(known.other_audience("https://a.test"), None);
    }

    #[test]
    fn another_audience_is_named_and_an_empty_list_refuses_nobody() {
        let other = issuers(r#"{"issuers":[{"issuerUrl":"https://a.test","audience":"corp"}]}"#);
        assert_eq!(other.other_audience("https://a.test"), Some("corp"));
        assert!(issuers("{}").know("https://a.test"));
        assert!(Issuers::read(b"<html>").is_none());
    }

    #[test]
    fn many_stars_cost_little() {
        let pattern = "*-".repeat(6) + "!";
        assert!(!matches(&pattern, &"a-".repeat(60)));
    }
}
