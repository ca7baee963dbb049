//! Azure: access tokens of Entra ID, for a federated identity or the managed one of a machine, and the refresh token of
//! a registry that they buy (credentials specification §1.6).
//!
//! Every address is given: which one is asked, `credential::cloud::entra` decides.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use url::Url;

use super::{Attempt, Error, Web, ask, form, json, optional_secret};
use crate::credential::{Redacted, jwt};

/// An access token of Entra ID.
pub struct AccessToken {
    /// The token.
    pub token: Redacted,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A refresh token of a registry: an identity token in the words of docker.
pub struct RefreshToken {
    /// The token.
    pub token: Redacted,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// An application of Entra ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// The tenant that it is in.
    pub tenant: String,
    /// Its client id.
    pub client: String,
}

impl Application {
    /// A token for `resource`, in exchange for `assertion`, a token of somebody whom the application trusts.
    pub async fn token(
        &self,
        web: &Web,
        authority: &Url,
        resource: &str,
        assertion: &Redacted,
        now: Timestamp,
    ) -> Result<AccessToken, Error> {
        let remedy = "see that the application (or managed identity) exists in the tenant and has a federated \
                      credential for the issuer, subject and audience of this service account's token";
        let what = format!("a token for application {} of tenant {}", self.client, self.tenant);
        let attempt = Attempt::at(authority, "Entra ID", what, remedy);
        let (text, scope) = (assertion.expose_text(), format!("{resource}/.default"));
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", self.client.as_str()),
            ("scope", &scope),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", text.trim()),
        ];
        let address = below(authority, &format!("{}/oauth2/v2.0/token", self.tenant));
        let request = form(web.to(&address)?.post(address), &fields);
        let body = ask(&attempt, request, &[assertion]).await?;
        json::<Answer>(&attempt, &body)?.token(now).ok_or_else(|| attempt.malformed())
    }
}

/// A token for `resource` of the managed identity of the machine; `client` says which, where it has several.
pub async fn machine(
    web: &Web,
    endpoint: &Url,
    resource: &str,
    client: Option<&str>,
    now: Timestamp,
) -> Result<AccessToken, Error> {
    let remedy = "give the machine a managed identity; AZURE_CLIENT_ID says which, where it has several";
    let what = match client {
        Some(client) => format!("a token of managed identity {client}"),
        None => "a token of the managed identity".to_owned(),
    };
    let attempt = Attempt::at(endpoint, "the Azure instance metadata", what, remedy);
    let mut address = below(endpoint, "metadata/identity/oauth2/token");
    address
        .query_pairs_mut()
        .extend_pairs([("api-version", "2018-02-01"), ("resource", resource)])
        .extend_pairs(client.map(|client| ("client_id", client)));
    let request = web.metadata(&attempt, endpoint).await?.get(address).header("Metadata", "true");
    let body = ask(&attempt, request, &[]).await?;
    json::<Answer>(&attempt, &body)?.token(now).ok_or_else(|| attempt.malformed())
}

/// The refresh token of the registry at `endpoint` for whom `token` is: `whose`.
pub async fn exchange(
    web: &Web,
    endpoint: &Url,
    tenant: Option<&str>,
    token: &AccessToken,
    whose: &str,
    now: Timestamp,
) -> Result<RefreshToken, Error> {
    let remedy = "grant the identity AcrPush (to read only: AcrPull) on the registry, and see that the registry is of \
                  the identity's tenant";
    let attempt =
        Attempt::at(endpoint, "the registry", format!("the exchange of a token for {whose}"), remedy);
    let service = endpoint.host_str().unwrap_or_default();
    let text = token.token.expose_text();
    let mut fields = vec![("grant_type", "access_token"), ("service", service), ("access_token", &*text)];
    fields.extend(tenant.map(|tenant| ("tenant", tenant)));
    let request = form(web.to_registry(service)?.post(below(endpoint, "oauth2/exchange")), &fields);
    let body = ask(&attempt, request, &[&token.token]).await?;
    let exchanged: Exchanged = json(&attempt, &body)?;
    exchanged.token(now).ok_or_else(|| attempt.malformed())
}

/// What tokens for registries are for; one name in every cloud.
pub const REGISTRIES: &str = "https://containerregistry.azure.net";
/// The refresh token of a registry, where it does not say so itself.
const USUAL: SignedDuration = SignedDuration::from_hours(3);

fn below(address: &Url, path: &str) -> Url {
    let mut address = address.clone();
    let path = format!("{}/{path}", address.path().trim_end_matches('/'));
    address.set_path(&path);
    address
}

/// The seconds are a number at Entra ID and a text at the metadata service.
#[derive(Deserialize)]
struct Answer {
    #[serde(default, deserialize_with = "optional_secret")]
    access_token: Option<Redacted>,
    expires_in: Option<Seconds>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(i64),
    Text(String),
}

#[derive(Deserialize)]
struct Exchanged {
    #[serde(default, deserialize_with = "optional_secret")]
    refresh_token: Option<Redacted>,
}

impl Answer {
    fn token(self, now: Timestamp) -> Option<AccessToken> {
        let token = self.access_token.filter(|token| !token.is_empty())?;
        let seconds = match self.expires_in? {
            Seconds::Number(seconds) => seconds,
            Seconds::Text(text) => text.parse().ok()?,
        };
        let expires_at = now.checked_add(SignedDuration::from_secs(seconds)).ok()?;
        Some(AccessToken { token, expires_at }).filter(|token| token.expires_at > now)
    }
}

impl Exchanged {
    fn token(self, now: Timestamp) -> Option<RefreshToken> {
        let token = self.refresh_token.filter(|token| !token.is_empty())?;
        let usual = now.checked_add(USUAL).ok()?;
        let expires_at = jwt::unverified_expiry(token.expose()).map_or(usual, |claimed| claimed.min(usual));
        Some(RefreshToken { token, expires_at }).filter(|token| token.expires_at > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_without_an_end_is_none_and_seconds_may_be_a_text() {
        let read = |text: &str| {
            let token = serde_json::from_str::<Answer>(text).ok()?.token(Timestamp::UNIX_EPOCH)?;
            Some((token.token, token.expires_at.as_second()))
        };
        let expected = Some(("t".into(), 60));
        assert_eq!(read(r#"{"access_token":"t","expires_in":60}"#), expected);
        assert_eq!(read(r#"{"access_token":"t","expires_in":"60","not_before":"0"}"#), expected);
        for text in [
            "{}",
            r#"{"access_token":"","expires_in":60}"#,
            r#"{"access_token":"t"}"#,
            r#"{"access_token":"t","expires_in":"soon"}"#,
            r#"{"access_token":"t","expires_in":0}"#,
            r#"{"access_token":"t","expires_in":9223372036854775807}"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_refresh_token_ends_when_it_says_so_and_after_three_hours_at_the_latest() {
        let read = |text: &str| {
            let body = format!(r#"{{"refresh_token":"{text}"}}"#);
            let token = serde_json::from_str::<Exchanged>(&body).unwrap().token(Timestamp::UNIX_EPOCH)?;
            Some(token.expires_at.as_second())
        };
        assert_eq!(read("opaque"), Some(3 * 3600));
        assert_eq!(read("e30.eyJleHAiOjYwfQ.c2ln"), Some(60));
        assert_eq!(read("e30.eyJleHAiOjk5OTk5fQ.c2ln"), Some(3 * 3600));
        assert_eq!(read("e30.eyJleHAiOjB9.c2ln"), None, "it has ended");
        assert_eq!(read(""), None);
    }

    #[test]
    fn a_path_is_added_to_the_one_that_an_address_has() {
        let at = |base: &str| below(&Url::parse(base).unwrap(), "a/b").to_string();
        assert_eq!(at("https://login.example"), "https://login.example/a/b");
        assert_eq!(at("https://login.example/x/"), "https://login.example/x/a/b");
    }
}
