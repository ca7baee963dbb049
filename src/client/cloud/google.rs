//! Google Cloud: access tokens from the metadata server, from a key of a service account, from a federated identity and
//! from the login of a person (credentials specification §1.6).
//!
//! Every address is given: which one is asked, `credential::cloud::google` decides.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::{Attempt, Error, Web, ask, form, json, optional_secret, secret};
use crate::credential::Redacted;

/// An access token.
pub struct AccessToken {
    /// The token.
    pub token: Redacted,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What a token is asked with.
pub enum Grant<'a> {
    /// A statement that a service account has signed.
    Assertion(&'a Redacted),
    /// A token of somebody whom a pool trusts.
    Federated {
        /// That token.
        subject: &'a Redacted,
        /// Its kind.
        kind: &'a str,
        /// The provider of the pool.
        audience: &'a str,
    },
    /// The login of a person.
    Refresh {
        /// The program that the person has logged in to.
        client: &'a str,
        /// Its secret.
        secret: &'a Redacted,
        /// What it was given.
        token: &'a Redacted,
    },
}

impl Grant<'_> {
    fn secrets(&self) -> Vec<&Redacted> {
        match self {
            Self::Assertion(token) | Self::Federated { subject: token, .. } => vec![token],
            Self::Refresh { secret, token, .. } => vec![secret, token],
        }
    }
}

/// A token of the machine's own service account.
pub async fn machine(web: &Web, endpoint: &Url, now: Timestamp) -> Result<AccessToken, Error> {
    let remedy = "bind a Google service account to the agent's (Workload Identity), or give the machine one";
    let what = "a token of the default service account".to_owned();
    let attempt = Attempt::at(endpoint, "the Google metadata server", what, remedy);
    let mut address = endpoint.clone();
    address.set_path("/computeMetadata/v1/instance/service-accounts/default/token");
    let request = web.metadata(&attempt, endpoint).await?.get(address).header("Metadata-Flavor", "Google");
    let body = ask(&attempt, request, &[]).await?;
    json::<Answer>(&attempt, &body)?.token(now).ok_or_else(|| attempt.malformed())
}

/// A token of `whose`, from the token service at `endpoint`.
pub async fn token(
    web: &Web,
    endpoint: &Url,
    grant: &Grant<'_>,
    whose: &str,
    now: Timestamp,
) -> Result<AccessToken, Error> {
    let remedy = match grant {
        Grant::Assertion(_) => "see that the service account and its key exist, and that the clock is right",
        Grant::Federated { .. } => "see that the pool's provider trusts the issuer and audience of the token",
        Grant::Refresh { .. } => "log in anew: gcloud auth application-default login",
    };
    let attempt = Attempt::at(endpoint, "the Google token service", format!("a token for {whose}"), remedy);
    let texts: Vec<_> = grant.secrets().into_iter().map(Redacted::expose_text).collect();
    let text = |n: usize| texts.get(n).map(AsRef::as_ref).unwrap_or_default();
    let fields = match grant {
        Grant::Assertion(_) => {
            vec![("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", text(0))]
        }
        Grant::Federated { kind, audience, .. } => vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("audience", audience),
            ("scope", SCOPE),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token_type", kind),
            ("subject_token", text(0)),
        ],
        Grant::Refresh { client, .. } => vec![
            ("grant_type", "refresh_token"),
            ("client_id", client),
            ("client_secret", text(0)),
            ("refresh_token", text(1)),
        ],
    };
    let request = form(web.to(endpoint)?.post(endpoint.clone()), &fields);
    let body = ask(&attempt, request, &grant.secrets()).await?;
    json::<Answer>(&attempt, &body)?.token(now).ok_or_else(|| attempt.malformed())
}

/// A token of the service account that `endpoint` names, for whom `own` may impersonate.
pub async fn impersonated(web: &Web, endpoint: &Url, own: &AccessToken) -> Result<AccessToken, Error> {
    let remedy = "grant the federated identity roles/iam.workloadIdentityUser on the service account";
    let account = endpoint.path().rsplit('/').next().unwrap_or_default();
    let account = account.split(':').next().unwrap_or_default();
    let what = format!("a token for service account {account}");
    let attempt = Attempt::at(endpoint, "Google IAM Credentials", what, remedy);
    let request = web.to(endpoint)?.post(endpoint.clone()).bearer_auth(own.token.expose_text());
    let request = request.header(http::header::CONTENT_TYPE, "application/json");
    let request = request.body(json!({"scope": [SCOPE], "lifetime": "3600s"}).to_string());
    let body = ask(&attempt, request, &[&own.token]).await?;
    let answer: Impersonated = json(&attempt, &body)?;
    let token = AccessToken { token: answer.access_token, expires_at: answer.expire_time };
    Some(token).filter(|token| !token.token.is_empty()).ok_or_else(|| attempt.malformed())
}

/// What tokens are for.
pub const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

#[derive(Deserialize)]
struct Answer {
    #[serde(default, deserialize_with = "optional_secret")]
    access_token: Option<Redacted>,
    expires_in: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Impersonated {
    #[serde(deserialize_with = "secret")]
    access_token: Redacted,
    expire_time: Timestamp,
}

impl Answer {
    fn token(self, now: Timestamp) -> Option<AccessToken> {
        let token = self.access_token.filter(|token| !token.is_empty())?;
        let seconds = self.expires_in.filter(|seconds| *seconds > 0)?;
        let expires_at = now.checked_add(SignedDuration::from_secs(seconds)).ok()?;
        Some(AccessToken { token, expires_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_without_an_end_is_none() {
        let read = |text: &str| serde_json::from_str::<Answer>(text).unwrap().token(Timestamp::UNIX_EPOCH);
        let token = read(r#"{"access_token":"t","expires_in":60,"token_type":"Bearer"}"#).unwrap();
        assert_eq!((token.token, token.expires_at.as_second()), ("t".into(), 60));
        for text in [
            "{}",
            r#"{"access_token":"","expires_in":60}"#,
            r#"{"access_token":"t"}"#,
            r#"{"access_token":"t","expires_in":0}"#,
            r#"{"access_token":"t","expires_in":9223372036854775807}"#,
        ] {
            assert!(read(text).is_none(), "{text}");
        }
    }
}
