//! An identity token as its holder sees it: the text, and claims that are read without trust.
//!
//! Nothing is verified here, whatever algorithm signed it (RS256, ES256, `EdDSA`, …): Fulcio does that. The claims
//! serve to refuse locally what Fulcio would refuse without a reason, to say which token failed, and to know what
//! the certificate must say (credentials specification §9.1, §9.2).
//!
//! Guarantees: the text is bounded, wiped from memory and in no `Debug` or error; texts out of claims are cut and
//! have no control characters before anybody reads them.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::provider::Provider;

/// A token that ends sooner is not sent: it could be late when Fulcio looks at it.
const MARGIN: SignedDuration = SignedDuration::from_secs(30);
/// No issuer makes longer ones.
pub const MAX_TOKEN: usize = 32 * 1024;
/// How much of a claim is shown.
const LONGEST_CLAIM: usize = 200;

/// A token with its claims.
#[derive(Clone)]
pub struct IdentityToken {
    text: Zeroizing<String>,
    claims: UnverifiedClaims,
}

/// What the token says about itself; Fulcio verifies it, we do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedClaims {
    /// Who issued it; SPIRE leaves it out unless it is told not to.
    pub issuer: Option<String>,
    /// For whom it speaks.
    pub subject: String,
    /// To whom it may be shown.
    pub audience: Vec<String>,
    /// When it ends.
    pub expiry: Timestamp,
    /// The mail address, when the issuer vouches for it.
    pub email: Option<String>,
}

/// Why a token is not sent. Holds claims and never the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a JSON Web Token.
    #[error("it is no JSON Web Token: {0}")]
    Malformed(&'static str),
    /// It has ended, or will before it arrives.
    #[error("it expired or is about to at {now}: {claims}")]
    Expired {
        /// Whose.
        claims: Box<UnverifiedClaims>,
        /// When it was looked at.
        now: Timestamp,
    },
    /// It is meant for somebody else.
    #[error("it is not for audience {wanted:?}: {claims}")]
    Audience {
        /// Whose.
        claims: Box<UnverifiedClaims>,
        /// Whom it would have to be for.
        wanted: String,
    },
    /// It does not say who issued it.
    #[error("it has no iss: {0}")]
    NoIssuer(Box<UnverifiedClaims>),
}

impl TokenError {
    /// What to do about it, at the source that gave it.
    pub fn hint(&self, provider: Provider) -> Option<String> {
        match (self, provider) {
            (Self::NoIssuer(_), Provider::Spiffe) => {
                Some("JWT-SVID has no iss; set jwt_issuer in spire-server".to_owned())
            }
            (Self::Audience { wanted, .. }, Provider::Filesystem | Provider::CustomPath) => {
                Some(format!("set audience: {wanted} in the projected serviceAccountToken volume"))
            }
            (Self::Expired { .. }, _) => {
                Some("see that the clocks agree and that the token is renewed".to_owned())
            }
            _ => None,
        }
    }
}

impl IdentityToken {
    /// Reads a token; white space around it does not count, as editors and `echo` leave some.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() > MAX_TOKEN {
            return Err(TokenError::Malformed("it is longer than 32 KiB"));
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [header, payload, signature] = parts.as_slice() else {
            return Err(TokenError::Malformed("it has not three parts"));
        };
        if header.is_empty() || signature.is_empty() {
            return Err(TokenError::Malformed("one of its parts is empty"));
        }
        let decoded = BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('='));
        let decoded =
            Zeroizing::new(decoded.map_err(|_| TokenError::Malformed("its claims are not base64url"))?);
        let claims: Claims = serde_json::from_slice(&decoded)
            .map_err(|_| TokenError::Malformed("its claims are no JSON object with sub, aud and exp"))?;
        Ok(Self { text: Zeroizing::new(text.to_owned()), claims: claims.try_into()? })
    }

    /// What it says about itself.
    pub fn claims(&self) -> &UnverifiedClaims {
        &self.claims
    }

    /// The token, for the request that sends it and nothing else.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Whether Fulcio can accept it now, as far as its holder can tell.
    pub fn check(&self, audience: &str, now: Timestamp) -> Result<(), TokenError> {
        let claims = || Box::new(self.claims.clone());
        if self.claims.issuer.is_none() {
            return Err(TokenError::NoIssuer(claims()));
        }
        if !self.claims.audience.iter().any(|one| one == audience) {
            return Err(TokenError::Audience { claims: claims(), wanted: audience.to_owned() });
        }
        if self.claims.expiry.duration_since(now) <= MARGIN {
            return Err(TokenError::Expired { claims: claims(), now });
        }
        Ok(())
    }
}

impl UnverifiedClaims {
    /// What the proof of possession is a signature over: the mail address, where the issuer vouches for one.
    pub fn challenge(&self) -> &str {
        self.email.as_deref().unwrap_or(&self.subject)
    }

    /// The name that the certificate must carry, where the token alone decides that: a Kubernetes service account,
    /// a SPIFFE ID or a mail address. `None` for others, whose name Fulcio makes by templates of its own.
    pub fn identity(&self) -> Option<String> {
        if self.subject.starts_with("spiffe://") {
            return Some(self.subject.clone());
        }
        if let Some(account) = self.subject.strip_prefix("system:serviceaccount:") {
            let (namespace, name) = account.split_once(':')?;
            return Some(format!("https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{name}"));
        }
        self.email.clone()
    }
}

/// For a person: bounded, on one line.
impl fmt::Display for UnverifiedClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuer = self.issuer.as_deref().map_or_else(|| "none".to_owned(), shown);
        let audience = shown(&self.audience.join(" "));
        write!(f, "iss {issuer}, sub {}, aud {audience}, exp {}", shown(&self.subject), self.expiry)
    }
}

impl fmt::Debug for IdentityToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityToken({})", self.claims)
    }
}

fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_CLAIM).collect()
}

/// The claims as they stand in the token.
#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    sub: String,
    aud: OneOrMany,
    exp: f64,
    email: Option<String>,
    #[serde(default)]
    email_verified: Option<Flag>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Some issuers write booleans as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Flag {
    Bool(bool),
    Text(String),
}

impl TryFrom<Claims> for UnverifiedClaims {
    type Error = TokenError;

    fn try_from(claims: Claims) -> Result<Self, TokenError> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a fraction of a second does not count; `as` saturates"
        )]
        let expiry = Timestamp::from_second(claims.exp as i64);
        let verified = match claims.email_verified {
            Some(Flag::Bool(verified)) => verified,
            Some(Flag::Text(text)) => text == "true",
            None => false,
        };
        Ok(Self {
            issuer: claims.iss.filter(|issuer| !issuer.is_empty()),
            subject: claims.sub,
            audience: match claims.aud {
                OneOrMany::One(one) => vec![one],
                OneOrMany::Many(many) => many,
            },
            expiry: expiry.map_err(|_| TokenError::Malformed("its exp is no time"))?,
            email: claims.email.filter(|_| verified),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A token with these claims; its signature is nobody's.
    pub(crate) fn token(claims: &Value) -> String {
        token_by("RS256", claims)
    }

    fn token_by(algorithm: &str, claims: &Value) -> String {
        let encoded = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2lnbmF0dXJl", encoded(&json!({"alg": algorithm})), encoded(claims))
    }

    pub(crate) fn now() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    pub(crate) fn claims() -> Value {
        json!({"iss": "https://issuer.test", "sub": "system:serviceaccount:ci:agent", "aud": ["sigstore"], "exp": 1_700_000_600})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    fn checked(claims: &Value) -> Result<(), TokenError> {
        IdentityToken::parse(&token(claims)).unwrap().check("sigstore", now())
    }

    #[test]
    fn tokens_of_every_algorithm_are_read_alike() {
        for algorithm in ["RS256", "ES256", "ES384", "EdDSA", "PS256"] {
            let token = IdentityToken::parse(&token_by(algorithm, &claims())).unwrap();
            assert_eq!(token.claims().issuer.as_deref(), Some("https://issuer.test"));
            token.check("sigstore", now()).unwrap();
        }
    }

    #[test]
    fn an_audience_may_be_text_or_a_list() {
        assert_eq!(checked(&with("aud", json!("sigstore"))), Ok(()));
        assert_eq!(checked(&with("aud", json!(["other", "sigstore"]))), Ok(()));
        assert!(matches!(checked(&with("aud", json!("sigstore.test"))), Err(TokenError::Audience { .. })));
        assert!(matches!(checked(&with("aud", json!([]))), Err(TokenError::Audience { .. })));
    }

    #[test]
    fn a_token_in_its_last_thirty_seconds_is_not_sent() {
        for (exp, good) in [(31, true), (30, false), (0, false), (-600, false)] {
            let result = checked(&with("exp", json!(1_700_000_000 + exp)));
            assert_eq!(result.is_ok(), good, "{exp}: {result:?}");
        }
        assert_eq!(checked(&with("exp", json!(1_700_000_600.5))), Ok(()));
    }

    #[test]
    fn a_token_without_an_issuer_is_refused_with_the_remedy_for_spire() {
        for none in [json!(null), json!("")] {
            let error = checked(&with("iss", none)).unwrap_err();
            assert_eq!(
                error.hint(Provider::Spiffe).unwrap(),
                "JWT-SVID has no iss; set jwt_issuer in spire-server"
            );
            assert_eq!(error.hint(Provider::Filesystem), None);
        }
    }

    #[test]
    fn an_error_names_issuer_subject_audience_and_expiry() {
        let error = checked(&with("aud", json!(["kubernetes", "vault"]))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "it is not for audience \"sigstore\": iss https://issuer.test, sub system:serviceaccount:ci:agent, \
             aud kubernetes vault, exp 2023-11-14T22:23:20Z"
        );
        assert!(error.hint(Provider::Filesystem).unwrap().contains("audience: sigstore"));
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_repeated() {
        let canary = "canary-canary";
        let texts = [
            canary.to_owned(),
            format!("{canary}.{canary}"),
            format!("{canary}.{canary}.{canary}.{canary}"),
            format!("{canary}.!{canary}!.{canary}"),
            format!(".{}.{canary}", token(&claims()).split('.').nth(1).unwrap()),
            token(&json!({"sub": canary})),
            token(&json!([canary])),
            token(&with("exp", json!(1e300))),
            "x".repeat(MAX_TOKEN + 1),
        ];
        for text in texts {
            let error = IdentityToken::parse(&text).unwrap_err();
            assert!(matches!(error, TokenError::Malformed(_)), "{error}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
    }

    #[test]
    fn a_token_does_not_print() {
        let text = token(&claims());
        let token = IdentityToken::parse(&format!("\n {text}\n")).unwrap();
        assert_eq!(token.reveal(), text);
        let printed = format!("{token:?} {:#?}", Some(&token));
        assert!(!printed.contains("c2lnbmF0dXJl") && !printed.contains("eyJ"), "{printed}");
        assert!(printed.contains("sub system:serviceaccount:ci:agent"));
    }

    #[test]
    fn claims_are_cut_and_on_one_line_before_they_are_shown() {
        let token = IdentityToken::parse(&token(&with("sub", json!("a\nb".repeat(500))))).unwrap();
        let shown = token.claims().to_string();
        assert!(!shown.contains('\n') && shown.len() < 400, "{shown}");
    }

    #[test]
    fn the_name_in_the_certificate_follows_from_the_token_where_it_can() {
        let identity = |claims: &Value| {
            let token = IdentityToken::parse(&token(claims)).unwrap();
            (token.claims().identity(), token.claims().challenge().to_owned())
        };
        let account = "https://kubernetes.io/namespaces/ci/serviceaccounts/agent";
        assert_eq!(identity(&claims()), (Some(account.into()), "system:serviceaccount:ci:agent".into()));
        let spiffe = "spiffe://example.test/ns/ci/sa/agent";
        assert_eq!(identity(&with("sub", json!(spiffe))), (Some(spiffe.into()), spiffe.into()));
        let mut mail = with("sub", json!("1234"));
        mail["email"] = json!("a@example.test");
        assert_eq!(identity(&mail), (None, "1234".into()), "not vouched for");
        for verified in [json!(true), json!("true")] {
            mail["email_verified"] = verified;
            assert_eq!(identity(&mail), (Some("a@example.test".into()), "a@example.test".into()));
        }
        assert_eq!(identity(&with("sub", json!("repo:a/b:ref:c"))), (None, "repo:a/b:ref:c".into()));
        assert_eq!(identity(&with("sub", json!("system:serviceaccount:x"))).0, None);
    }
}
