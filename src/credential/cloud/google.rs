//! The identity of the process in Google Cloud, for Artifact Registry and Container Registry (credentials specification
//! §1.6): what `GOOGLE_APPLICATION_CREDENTIALS` names, else the metadata server.
//!
//! The file is the operator's, and so are the addresses in it; they need TLS unless they are of this machine.

mod identity;

use std::path::PathBuf;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

use super::{Failure, Granted, address, file, may_carry_secrets};
use crate::client::cloud::Web;
use crate::client::cloud::google::{self, AccessToken, Grant};
use crate::credential::{Credential, Login, Redacted};

pub use identity::identity_token;

/// The variables that the SDKs of Google know too; an empty one is none.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    /// `GOOGLE_APPLICATION_CREDENTIALS`.
    pub credentials: Option<PathBuf>,
    /// `GCE_METADATA_HOST`: host and port.
    pub metadata_host: Option<String>,
    /// `CLOUDSDK_API_ENDPOINT_OVERRIDES_STS`.
    pub sts_endpoint: Option<String>,
    /// `CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS`.
    pub iam_credentials_endpoint: Option<String>,
}

/// The identity.
pub(super) struct Google {
    variables: Variables,
    web: Web,
}

/// What the file holds.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Document {
    ServiceAccount {
        client_email: String,
        private_key: Hidden,
        #[serde(default)]
        private_key_id: String,
        #[serde(default = "token_service")]
        token_uri: String,
    },
    ExternalAccount {
        audience: String,
        subject_token_type: String,
        token_url: String,
        service_account_impersonation_url: Option<String>,
        credential_source: Subject,
    },
    AuthorizedUser {
        client_id: String,
        client_secret: Hidden,
        refresh_token: Hidden,
        #[serde(default = "token_service")]
        token_uri: String,
    },
}

/// Where the token of a federated identity lies.
#[derive(Deserialize)]
struct Subject {
    file: Option<PathBuf>,
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
    subject_token_field_name: Option<String>,
}

/// A secret in the file.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Hidden(Redacted);

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl Google {
    pub(super) fn new(variables: Variables, web: Web) -> Self {
        Self { variables, web }
    }

    pub(super) async fn credential(&self, registry: &str, now: Timestamp) -> Result<Granted, Failure> {
        Ok(granted(self.access_token(registry, now).await?, now))
    }

    /// What Google grants to whom `subject` is for `provider`, or to `account` that this one may act as; the identity
    /// of the process counts for nothing.
    pub(super) async fn federated(
        &self,
        provider: &str,
        account: Option<&str>,
        subject: &Redacted,
        now: Timestamp,
    ) -> Result<Granted, Failure> {
        const STS: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_STS";
        let sts = self.variables.sts_endpoint.as_deref().unwrap_or("https://sts.googleapis.com/");
        let endpoint = joined(STS, sts, "v1/token")?;
        let kind = "urn:ietf:params:oauth:token-type:jwt";
        let grant = Grant::Federated { subject, kind, audience: provider };
        let whose = format!("the identity of {provider}");
        let own = google::token(&self.web, &endpoint, &grant, &whose, now).await?;
        let Some(account) = account else { return Ok(granted(own, now)) };
        let token = google::impersonated(&self.web, &self.impersonation(account)?, &own).await?;
        Ok(granted(token, now))
    }

    fn impersonation(&self, account: &str) -> Result<Url, Failure> {
        const IAM: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS";
        if !is_account(account) {
            let wrong = "it is no e-mail address of a service account";
            return Err(Failure::Unusable { variable: "the Google service account", wrong });
        }
        let usual = "https://iamcredentials.googleapis.com/";
        let iam = self.variables.iam_credentials_endpoint.as_deref().unwrap_or(usual);
        joined(IAM, iam, &format!("v1/projects/-/serviceAccounts/{account}:generateAccessToken"))
    }

    /// `whose` is for the message that there is no identity.
    async fn access_token(&self, whose: &str, now: Timestamp) -> Result<AccessToken, Failure> {
        match &self.variables.credentials {
            Some(path) => self.of_document(&file(VARIABLE, path).await?, now).await,
            None => self.of_machine(whose, now).await,
        }
    }

    async fn of_machine(&self, registry: &str, now: Timestamp) -> Result<AccessToken, Failure> {
        let endpoint = metadata_server(&self.variables)?;
        google::machine(&self.web, &endpoint, now).await.map_err(|error| match error {
            error @ crate::client::cloud::Error::Away { .. } => {
                Failure::NoIdentity { registry: registry.to_owned(), looked: LOOKED, source: Some(error) }
            }
            error => error.into(),
        })
    }

    async fn of_document(&self, content: &Redacted, now: Timestamp) -> Result<AccessToken, Failure> {
        let document = serde_json::from_slice(content.expose()).map_err(|_| unusable(NO_DOCUMENT))?;
        match document {
            Document::ServiceAccount { client_email, private_key, private_key_id, token_uri } => {
                let endpoint = trusted(&token_uri)?;
                let claims = json!({
                    "iss": client_email, "scope": google::SCOPE, "aud": token_uri,
                    "iat": now.as_second(), "exp": now.as_second() + 3600,
                });
                let assertion = signed(&claims, &private_key_id, &private_key.0)?;
                let whose = format!("service account {client_email}");
                let grant = Grant::Assertion(&assertion);
                Ok(google::token(&self.web, &endpoint, &grant, &whose, now).await?)
            }
            Document::ExternalAccount {
                audience,
                subject_token_type: kind,
                token_url,
                service_account_impersonation_url: account,
                credential_source: source,
            } => {
                let endpoint = trusted(&token_url)?;
                let subject = source.token().await?;
                let grant = Grant::Federated { subject: &subject, kind: &kind, audience: &audience };
                let whose = format!("the identity of {audience}");
                let own = google::token(&self.web, &endpoint, &grant, &whose, now).await?;
                let Some(account) = account else { return Ok(own) };
                Ok(google::impersonated(&self.web, &trusted(&account)?, &own).await?)
            }
            Document::AuthorizedUser { client_id, client_secret, refresh_token, token_uri } => {
                let endpoint = trusted(&token_uri)?;
                let (client, secret, token) = (client_id.as_str(), &client_secret.0, &refresh_token.0);
                let grant = Grant::Refresh { client, secret, token };
                Ok(google::token(&self.web, &endpoint, &grant, "the user who has logged in", now).await?)
            }
        }
    }
}

/// An access token of the process, for what is no registry.
pub async fn access_token(variables: &Variables, web: &Web, now: Timestamp) -> Result<AccessToken, Failure> {
    let google = Google { variables: variables.clone(), web: web.clone() };
    google.access_token("Google Cloud", now).await
}

/// Where the machine is asked: by address, since the name resolves to one that no registry may lead to.
pub fn metadata_server(variables: &Variables) -> Result<Url, Failure> {
    let host = variables.metadata_host.as_deref().filter(|host| *host != "metadata.google.internal");
    let endpoint = format!("http://{}", host.unwrap_or("169.254.169.254"));
    let wrong = "it is no host";
    Url::parse(&endpoint).map_err(|_| Failure::Unusable { variable: "GCE_METADATA_HOST", wrong })
}

impl Subject {
    async fn token(&self) -> Result<Redacted, Failure> {
        let path = self.file.as_ref().ok_or_else(|| unusable(NO_FILE))?;
        let content = file(VARIABLE, path).await?;
        match &self.format {
            Some(Format { kind, subject_token_field_name: Some(name) }) if kind == "json" => {
                let object: serde_json::Value =
                    serde_json::from_slice(content.expose()).map_err(|_| unusable(NO_FIELD))?;
                let token = object.get(name).and_then(serde_json::Value::as_str);
                token.map(Redacted::from).ok_or_else(|| unusable(NO_FIELD))
            }
            _ => Ok(content),
        }
    }
}

fn granted(token: AccessToken, now: Timestamp) -> Granted {
    let login = Login { username: "oauth2accesstoken".to_owned(), password: token.token };
    Granted::until(Credential::Basic(login), now, token.expires_at)
}

/// A path below an address that a variable holds.
fn joined(variable: &'static str, base: &str, path: &str) -> Result<Url, Failure> {
    let url = address(variable, &format!("{}/{path}", base.trim_end_matches('/')))?;
    let wrong = "without TLS it may only name this machine";
    if may_carry_secrets(&url) { Ok(url) } else { Err(Failure::Unusable { variable, wrong }) }
}

/// Whether it is an e-mail address that cannot be anything else in a path.
fn is_account(text: &str) -> bool {
    let is_of_address = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    text.len() <= 254
        && text.split_once('@').is_some_and(|(name, domain)| {
            [name, domain].iter().all(|part| !part.is_empty() && part.bytes().all(is_of_address))
        })
}

/// The address, if it may be sent secrets.
fn trusted(text: &str) -> Result<Url, Failure> {
    let address = Url::parse(text).map_err(|_| unusable(NO_TLS))?;
    if may_carry_secrets(&address) { Ok(address) } else { Err(unusable(NO_TLS)) }
}

/// A JSON Web Token, signed by RS256.
fn signed(claims: &serde_json::Value, key_id: &str, key: &Redacted) -> Result<Redacted, Failure> {
    let encoded = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": key_id});
    let text = format!("{}.{}", encoded(&header), encoded(claims));
    let frame = pem::parse(key.expose()).map_err(|_| unusable(NO_KEY))?;
    let content = Zeroizing::new(frame.into_contents());
    let pair = RsaKeyPair::from_pkcs8(&content).map_err(|_| unusable(NO_KEY))?;
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_| unusable(NO_KEY))?;
    Ok(Redacted::from(format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))))
}

fn token_service() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

fn unusable(wrong: &'static str) -> Failure {
    Failure::Unusable { variable: VARIABLE, wrong }
}

const VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const LOOKED: &str = "GOOGLE_APPLICATION_CREDENTIALS is not set, and there is no metadata server";
const NO_DOCUMENT: &str =
    "its file is no service_account, external_account or authorized_user with all their fields";
const NO_FILE: &str = "only a credential_source that is a file is supported";
const NO_FIELD: &str = "the file of its credential_source has no such field";
const NO_TLS: &str = "an address in its file is not https";
const NO_KEY: &str = "its private_key is no RSA key in PKCS #8";

#[cfg(test)]
mod tests;
