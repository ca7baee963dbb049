//! Identity tokens from whoever runs the process: GitHub Actions, Buildkite, Google Cloud (credentials specification
//! §9.1).
//!
//! Every address is given: which one is asked, `identity::{job, google}` decide. What comes back is text; whoever uses it
//! reads it as a token.

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

use super::google::AccessToken;
use super::{Attempt, Error, Web, ask, form, json, secret};
use crate::credential::Redacted;

/// A token of this job of GitHub Actions; `endpoint` and `access` are what the runner gave it.
pub async fn of_github(
    web: &Web,
    endpoint: &Url,
    access: &Redacted,
    audience: &str,
) -> Result<Redacted, Error> {
    let remedy = "give the job permissions: id-token: write";
    let attempt = Attempt::at(endpoint, "GitHub Actions", format!("a token for {audience}"), remedy);
    let mut address = endpoint.clone();
    address.query_pairs_mut().append_pair("audience", audience);
    let request = web.to(endpoint)?.get(address).header(ACCEPT, "application/json; api-version=2.0");
    let request = request.header(AUTHORIZATION, authorization("bearer", access));
    let body = ask(&attempt, request, &[access]).await?;
    json::<Value>(&attempt, &body).map(|answer| answer.value)
}

/// A token of `job` of Buildkite, from the API that its agent speaks.
pub async fn of_buildkite(
    web: &Web,
    endpoint: &Url,
    job: &str,
    access: &Redacted,
    audience: &str,
) -> Result<Redacted, Error> {
    let remedy = "see that the agent is one of this job, and that its version knows OIDC tokens";
    let attempt = Attempt::at(endpoint, "Buildkite", format!("a token for {audience}"), remedy);
    let mut address = endpoint.clone();
    if let Ok(mut path) = address.path_segments_mut() {
        path.pop_if_empty().extend(["jobs", job, "oidc", "tokens"]);
    }
    let request = web.to(endpoint)?.post(address).header(CONTENT_TYPE, "application/json");
    let request = request.header(AUTHORIZATION, authorization("Token", access));
    let body = ask(&attempt, request.body(json!({ "audience": audience }).to_string()), &[access]).await?;
    json::<Token>(&attempt, &body).map(|answer| answer.token)
}

/// A token of the machine's own service account of Google Cloud.
pub async fn of_machine(web: &Web, endpoint: &Url, audience: &str) -> Result<Redacted, Error> {
    let remedy = "bind a Google service account to the agent's (Workload Identity), or give the machine one";
    let what = format!("a token for {audience}");
    let attempt = Attempt::at(endpoint, "the Google metadata server", what, remedy);
    let mut address = endpoint.clone();
    address.set_path("/computeMetadata/v1/instance/service-accounts/default/identity");
    address.query_pairs_mut().append_pair("audience", audience).append_pair("format", "full");
    let request = web.metadata(&attempt, endpoint).await?.get(address).header("Metadata-Flavor", "Google");
    let body = ask(&attempt, request, &[]).await?;
    std::str::from_utf8(&body).map(Redacted::from).map_err(|_| attempt.malformed())
}

/// A token of the service account `account` of Google Cloud, from the token service at `endpoint`, for `assertion`, which
/// its key has signed and which names the audience.
pub async fn of_key(
    web: &Web,
    endpoint: &Url,
    account: &str,
    assertion: &Redacted,
    audience: &str,
) -> Result<Redacted, Error> {
    let remedy = "see that the service account and its key exist, and that the clock is right";
    let what = format!("a token of service account {account} for {audience}");
    let attempt = Attempt::at(endpoint, "the Google token service", what, remedy);
    let text = assertion.expose_text();
    let fields =
        [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", text.as_ref())];
    let request = form(web.to(endpoint)?.post(endpoint.clone()), &fields);
    let body = ask(&attempt, request, &[assertion]).await?;
    json::<IdToken>(&attempt, &body).map(|answer| answer.id_token)
}

/// A token of the service account `account` of Google Cloud, at the `endpoint` that makes them for it, for `own`, who may
/// impersonate it.
pub async fn of_impersonated(
    web: &Web,
    endpoint: &Url,
    account: &str,
    own: &AccessToken,
    audience: &str,
) -> Result<Redacted, Error> {
    let remedy = "grant the agent's identity roles/iam.serviceAccountTokenCreator on the service account";
    let what = format!("a token of service account {account} for {audience}");
    let attempt = Attempt::at(endpoint, "Google IAM Credentials", what, remedy);
    let request = web.to(endpoint)?.post(endpoint.clone()).header(CONTENT_TYPE, "application/json");
    let request = request.header(AUTHORIZATION, authorization("Bearer", &own.token));
    let request = request.body(json!({"audience": audience, "includeEmail": true}).to_string());
    let body = ask(&attempt, request, &[&own.token]).await?;
    json::<Token>(&attempt, &body).map(|answer| answer.token)
}

/// Marked, so that no log of headers shows it. What is no header is sent empty, and refused by whoever reads it.
fn authorization(scheme: &str, token: &Redacted) -> HeaderValue {
    let text = Zeroizing::new(format!("{scheme} {}", token.expose_text().as_ref()));
    let mut value = HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

#[derive(Deserialize)]
struct Value {
    #[serde(deserialize_with = "secret")]
    value: Redacted,
}

#[derive(Deserialize)]
struct Token {
    #[serde(deserialize_with = "secret")]
    token: Redacted,
}

#[derive(Deserialize)]
struct IdToken {
    #[serde(deserialize_with = "secret")]
    id_token: Redacted,
}
