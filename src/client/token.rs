//! From a challenge and a credential to what stands in the `Authorization` header (credentials specification
//! §5.2 to §5.6).
//!
//! Guarantees: a credential is sent to the realm and the registry only, after both the realm and each redirect were
//! judged; answers are read up to 64 KiB; every failure has the host, what it said, and an outcome code.
//!
//! Assumptions: the clients that are passed in follow no redirects, resolve names to addresses that [`AddressClass`]
//! admits, and have time-outs.
//!
//! Caveats: a token is no proof of a right, as services hand out tokens with fewer rights than asked for. Nothing is
//! retried or cached here; whoever calls keeps the result under candidate, registry and scopes.

mod conversation;
mod error;
mod realm;
mod reply;
pub mod response;

use std::fmt;
use std::net::IpAddr;

use http::HeaderValue;
use jiff::Timestamp;
use url::Url;
use zeroize::Zeroizing;

use self::conversation::Exchange;
pub use self::error::TokenError;
use super::address::AddressClass;
use super::challenge::{Challenge, Scheme};
use super::http::SetupError;
use crate::credential::{Credential, Login, Redacted, jwt};

/// A right in a repository that a token is wanted for; never more than is needed (§5.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// The repository without its registry.
    pub path: String,
    /// Writing as well as reading.
    pub push: bool,
}

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub struct TokenRequest<'a> {
    /// The challenges of the registry in order of appearance.
    pub challenges: &'a [Challenge],
    /// The registry, `host[:port]`.
    pub registry: &'a str,
    /// Whether the registry itself is reached without TLS, which allows the same for its realm.
    pub registry_is_plain_http: bool,
    /// The address the registry was reached at, when known: its realm may lie in the same kind of network.
    pub registry_address: Option<IpAddr>,
    /// The rights.
    pub scopes: &'a [Scope],
    /// The credential.
    pub credential: &'a Credential,
    /// Whether `registry.oauth-password-grant` lists the registry (§5.4).
    pub password_grant: bool,
}

/// What a request to the registry carries.
#[derive(Debug, Clone)]
pub struct Authorization {
    /// The value of `Authorization`, marked sensitive.
    pub header: HeaderValue,
    /// When it stops being of use; never for a name and password.
    pub expires_at: Option<Timestamp>,
    /// When the next one is to be fetched.
    pub refresh_at: Option<Timestamp>,
    /// A new identity token that replaces the one in use, in memory only (§5.4).
    pub identity_token: Option<Redacted>,
}

/// The client for a URL that a registry, reached at an address of the class, has named: its TLS settings are those
/// of its own host, and it reaches no deeper than the registry.
pub type Dial<'a> = dyn Fn(&Url, AddressClass) -> Result<reqwest::Client, SetupError> + Sync + 'a;

/// Answers the first challenge that can be answered, with one credential.
pub async fn exchange(
    dial: &Dial<'_>,
    request: &TokenRequest<'_>,
    now: Timestamp,
) -> Result<Authorization, TokenError> {
    if let Credential::RegistryToken(token) = request.credential {
        return ready_made(token, request.registry, now);
    }
    if let Credential::ToFetch(_) = request.credential {
        return Err(TokenError::NotSendable { registry: request.registry.to_owned() });
    }
    match Challenge::first_usable(request.challenges) {
        Some(challenge) if challenge.scheme == Scheme::Bearer => {
            Exchange::new(dial, request, challenge, now)?.run().await
        }
        challenge => name_and_password(request, challenge.is_some()),
    }
}

/// The host of the token service that [`exchange`] would ask, if it would ask any.
pub fn service(request: &TokenRequest<'_>) -> Option<String> {
    if let Credential::RegistryToken(_) | Credential::ToFetch(_) = request.credential {
        return None;
    }
    let challenge = Challenge::first_usable(request.challenges)?;
    let realm = challenge.realm().filter(|_| challenge.scheme == Scheme::Bearer)?;
    Url::parse(realm).ok().as_ref().map(realm::host_of)
}

/// A registry token is sent as it is, unless it says itself that it has expired (§2.5).
fn ready_made(token: &Redacted, registry: &str, now: Timestamp) -> Result<Authorization, TokenError> {
    let expires_at = jwt::unverified_expiry(token.expose());
    if let Some(at) = expires_at.filter(|at| *at <= now) {
        return Err(TokenError::Expired { registry: registry.to_owned(), at });
    }
    let header = header("Bearer", token.expose().trim_ascii());
    let header = header.ok_or_else(|| TokenError::NotSendable { registry: registry.to_owned() })?;
    Ok(Authorization { header, expires_at, refresh_at: None, identity_token: None })
}

/// Basic goes with every request; tried without a usable challenge too, if there is something to try (§5.1).
fn name_and_password(request: &TokenRequest<'_>, asked_for: bool) -> Result<Authorization, TokenError> {
    let registry = || request.registry.to_owned();
    match login_of(request.credential) {
        Some(login) => {
            let header = header("Basic", login.encoded().as_bytes())
                .ok_or_else(|| TokenError::NotSendable { registry: registry() })?;
            Ok(Authorization { header, expires_at: None, refresh_at: None, identity_token: None })
        }
        None if asked_for => Err(TokenError::Rejected401 {
            host: registry(),
            answer: "401 asks for name and password, and there is none".to_owned(),
        }),
        None => Err(TokenError::NoChallenge { registry: registry() }),
    }
}

/// The credential as name and password; an identity token without these goes under the name `<token>` (§5.4).
fn login_of(credential: &Credential) -> Option<Login> {
    match credential {
        Credential::Anonymous | Credential::RegistryToken(_) | Credential::ToFetch(_) => None,
        Credential::Basic(login) | Credential::IdentityToken { fallback: Some(login), .. } => {
            Some(login.clone())
        }
        Credential::IdentityToken { token, fallback: None } => {
            Some(Login { username: TOKEN_USER.to_owned(), password: token.clone() })
        }
    }
}

fn header(scheme: &str, secret: &[u8]) -> Option<HeaderValue> {
    let mut value = Zeroizing::new(Vec::with_capacity(scheme.len() + 1 + secret.len()));
    value.extend_from_slice(scheme.as_bytes());
    value.push(b' ');
    value.extend_from_slice(secret);
    let mut header = HeaderValue::from_bytes(&value).ok()?;
    header.set_sensitive(true);
    Some(header)
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "repository:{}:{}", self.path, if self.push { "pull,push" } else { "pull" })
    }
}

/// Stands where a user name should be when the password is an identity token.
const TOKEN_USER: &str = "<token>";

#[cfg(test)]
mod tests;
