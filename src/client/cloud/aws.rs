//! AWS: keys of an identity, from STS, the container endpoint or the instance metadata (version 2 alone), and the
//! password of ECR that they buy (credentials specification §1.6).
//!
//! Every address is given: which one is asked, `credential::cloud::ecr` decides.

mod keys;
pub mod sign;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use jiff::Timestamp;
use reqwest::RequestBuilder;
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

pub use keys::{Keys, container, instance};

use super::{Attempt, Error, FORM, Web, ask, encoded, form, json, secret};
use crate::credential::{Login, Redacted};
use sign::{Request, Scope};

/// A role, and the name of the session that one has in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// `arn:aws:iam::…:role/…`.
    pub arn: String,
    /// What the audit log of the account shows.
    pub session: String,
}

/// STS of one region.
#[derive(Debug, Clone)]
pub struct Sts {
    /// Its address.
    pub endpoint: Url,
    /// The region that requests are signed for.
    pub region: String,
}

/// ECR of one region.
#[derive(Debug, Clone)]
pub struct Ecr {
    /// Its address.
    pub endpoint: Url,
    /// The region that requests are signed for.
    pub region: String,
    /// ECR Public, which has an API of its own.
    pub public: bool,
}

/// A password for a registry.
pub struct RegistryLogin {
    /// Name and password.
    pub login: Login,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Sts {
    /// Keys for `role`, which a token of somebody whom the role trusts opens.
    pub async fn with_web_identity(&self, web: &Web, role: &Role, token: &Redacted) -> Result<Keys, Error> {
        let what = format!("AssumeRoleWithWebIdentity for role {}", role.arn);
        let remedy = "see that the role exists, that its trust policy allows sts:AssumeRoleWithWebIdentity for this \
                      service account, and that the cluster's issuer is an identity provider of the account";
        let attempt = Attempt::at(&self.endpoint, "AWS STS", what, remedy);
        let token_text = Zeroizing::new(token.expose_text().trim().to_owned());
        let fields = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", VERSION),
            ("RoleArn", &role.arn),
            ("RoleSessionName", &role.session),
            ("WebIdentityToken", &token_text),
        ];
        let request = form(web.to(&self.endpoint)?.post(self.endpoint.clone()), &fields);
        let body = ask(&attempt, request, &[token]).await?;
        Keys::of_xml(&body).ok_or_else(|| attempt.malformed())
    }

    /// Keys for `role`, for whom `keys` are.
    pub async fn with_keys(
        &self,
        web: &Web,
        role: &Role,
        keys: &Keys,
        now: Timestamp,
    ) -> Result<Keys, Error> {
        let what = format!("AssumeRole for role {}", role.arn);
        let remedy = "see that the role of registry.cloud.aws.role-arn exists, that its trust policy names the agent's \
                      own role, and that this one may do sts:AssumeRole";
        let attempt = Attempt::at(&self.endpoint, "AWS STS", what, remedy);
        let body = encoded(&[
            ("Action", "AssumeRole"),
            ("Version", VERSION),
            ("RoleArn", &role.arn),
            ("RoleSessionName", &role.session),
        ]);
        let scope = Scope { region: &self.region, service: "sts" };
        let request = signed(web, &self.endpoint, scope, keys, &[("content-type", FORM)], body, now)?;
        let body = ask(&attempt, request, &keys.secrets()).await?;
        Keys::of_xml(&body).ok_or_else(|| attempt.malformed())
    }
}

impl Ecr {
    /// A password for the registries of the region, for whom `keys` are: `whose`.
    pub async fn login(
        &self,
        web: &Web,
        keys: &Keys,
        whose: &str,
        now: Timestamp,
    ) -> Result<RegistryLogin, Error> {
        let (service, target, permission) = if self.public {
            ("ecr-public", "SpencerFrontendService.GetAuthorizationToken", PUBLIC_REMEDY)
        } else {
            ("ecr", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken", REMEDY)
        };
        let what = format!("GetAuthorizationToken in {} for {whose}", self.region);
        let attempt = Attempt::at(&self.endpoint, "AWS ECR", what, permission);
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        let scope = Scope { region: &self.region, service };
        let request = signed(web, &self.endpoint, scope, keys, &headers, "{}".to_owned(), now)?;
        let body = ask(&attempt, request, &keys.secrets()).await?;
        let answer: Answer = json(&attempt, &body)?;
        answer.login().ok_or_else(|| attempt.malformed())
    }
}

/// A signed POST.
pub(super) fn signed(
    web: &Web,
    endpoint: &Url,
    scope: Scope<'_>,
    keys: &Keys,
    headers: &[(&str, &str)],
    body: String,
    now: Timestamp,
) -> Result<RequestBuilder, Error> {
    let signed = sign::sign(
        &Request { method: "POST", url: endpoint, headers, body: body.as_bytes() },
        keys,
        scope,
        now,
    );
    let mut request = web.to(endpoint)?.post(endpoint.clone()).header(AUTHORIZATION, &*signed.authorization);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    for (name, value) in &signed.headers {
        request = request.header(*name, &**value);
    }
    debug_assert!(headers.iter().any(|(name, _)| *name == CONTENT_TYPE.as_str()));
    Ok(request.body(body))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    authorization_data: OneOrMany,
}

/// ECR has a list, ECR Public one.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Authorization),
    Many(Vec<Authorization>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    #[serde(deserialize_with = "secret")]
    authorization_token: Redacted,
    expires_at: f64,
}

impl Answer {
    fn login(self) -> Option<RegistryLogin> {
        let authorization = match self.authorization_data {
            OneOrMany::One(one) => one,
            OneOrMany::Many(many) => many.into_iter().next()?,
        };
        let decoded =
            Zeroizing::new(BASE64_STANDARD.decode(authorization.authorization_token.expose()).ok()?);
        let (username, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        let login = Login { username: username.to_owned(), password: Redacted::from(password) };
        let since_1970 = jiff::SignedDuration::try_from_secs_f64(authorization.expires_at).ok()?;
        let expires_at = Timestamp::from_duration(since_1970).ok()?;
        Some(RegistryLogin { login, expires_at }).filter(|it| !it.login.password.is_empty())
    }
}

const VERSION: &str = "2011-06-15";
const REMEDY: &str = "allow ecr:GetAuthorizationToken on resource * for this identity; its keys must be current and the clock right";
const PUBLIC_REMEDY: &str =
    "allow ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken on resource * for this identity";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(String, i64)> {
        let login = serde_json::from_str::<Answer>(text).ok()?.login()?;
        assert_eq!(login.login.username, "AWS");
        Some((login.login.password.expose_text().into_owned(), login.expires_at.as_second()))
    }

    #[test]
    fn the_answers_of_both_kinds_of_ecr_are_a_name_and_a_password() {
        let one = r#"{"authorizationToken":"QVdTOnA6cQ==","expiresAt":1.7E9,"proxyEndpoint":"https://x"}"#;
        let expected = Some(("p:q".to_owned(), 1_700_000_000));
        assert_eq!(read(&format!(r#"{{"authorizationData":[{one}]}}"#)), expected);
        assert_eq!(read(&format!(r#"{{"authorizationData":{one}}}"#)), expected);
    }

    #[test]
    fn an_answer_without_a_password_is_none() {
        for data in [
            "[]",
            r#"{"authorizationToken":"QVdTOg==","expiresAt":1}"#,
            r#"{"authorizationToken":"QVdT","expiresAt":1}"#,
            r#"{"authorizationToken":"!","expiresAt":1}"#,
            r#"{"authorizationToken":"QVdTOnA=","expiresAt":1e300}"#,
            "null",
        ] {
            assert_eq!(read(&format!(r#"{{"authorizationData":{data}}}"#)), None, "{data}");
        }
    }
}
