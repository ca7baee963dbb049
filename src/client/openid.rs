//! A person's login at an OpenID Connect provider: the authorization code flow with PKCE (RFC 7636, RFC 8252) where
//! there is a browser, the device flow (RFC 8628) where there is none, refreshing, and ending it (RFC 7009) where that is
//! offered (credentials specification §7.2).
//!
//! # Guarantees
//!
//! - Codes and tokens go to addresses that the issuer itself has published, by https, and to nobody else: no redirect
//!   is followed.
//! - An answer is read up to 64 KiB within 15 s. What a provider said reaches errors cut, on one line and without what
//!   was sent.
//! - An identity token leaves here only when it is this issuer's, for this client, not ended, and, where a nonce went
//!   out, the answer to it.
//!
//! # Assumptions
//!
//! Signatures of identity tokens are not verified: they come from the token endpoint itself, over TLS, which OpenID
//! Connect Core §3.1.3.7 takes for enough; and whoever they are exchanged at verifies them.

pub mod attempt;
mod error;
mod granted;

use std::time::Duration;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use reqwest::{Client, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use attempt::Attempt;
pub use error::Error;
pub use granted::Granted;

use super::answer;
use super::http::{Clients, Transport, admit, body};
use crate::credential::registry_config::RegistryConfig;
use crate::credential::{Credential, Redacted};

const LARGEST_ANSWER: usize = 64 * 1024;
const TIMEOUT: Duration = Duration::from_secs(15);
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// A person who takes longer begins again.
const LONGEST_DEVICE: Duration = Duration::from_mins(15);
const SLOWEST_POLL: Duration = Duration::from_mins(1);

/// Who logs people in, and as which of its clients we ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// The issuer, as its tokens name it.
    pub issuer: String,
    /// A public client: it has no secret.
    pub client: String,
}

/// A provider whose addresses are known.
pub struct OpenId {
    relation: Relation,
    endpoints: Endpoints,
    client: Client,
}

/// Where it is asked.
struct Endpoints {
    authorization: Url,
    token: Url,
    device: Option<Url>,
    revocation: Option<Url>,
    /// What it knows, where it says so.
    scopes: Option<Vec<String>>,
}

/// What an issuer publishes about itself.
#[derive(Deserialize)]
struct Published {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    device_authorization_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    scopes_supported: Option<Vec<String>>,
}

/// What a person types on another machine.
pub struct Device {
    /// Where.
    pub address: Url,
    /// What.
    pub user_code: String,
    /// When it is too late.
    pub expires_in: Duration,
    /// How long to wait between two questions.
    pub interval: Duration,
    code: Redacted,
}

/// How far a person is.
pub enum Progress {
    /// Not yet.
    Pending,
    /// Not yet, and we ask too often.
    Slower,
    /// Logged in.
    Done(Granted),
}

impl OpenId {
    /// Asks the issuer of `relation` for its addresses.
    pub async fn discover(
        relation: Relation,
        clients: &Clients,
        registries: &RegistryConfig,
    ) -> Result<Self, Error> {
        let issuer = secure(&relation.issuer)?;
        let table = registries.table_for(issuer.host_str().unwrap_or_default());
        let trust = table.map(|table| table.trust.clone()).unwrap_or_default();
        let client = clients.of(&Transport::new(registries, trust)).map_err(Error::Setup)?;
        let mut address = issuer.clone();
        if let Ok(mut path) = address.path_segments_mut() {
            path.pop_if_empty().extend([".well-known", "openid-configuration"]);
        }
        let sent = client.get(address).timeout(TIMEOUT).send().await;
        let response = sent.map_err(|error| Error::away(&issuer, error.without_url()))?;
        let (status, body) = read(&issuer, response).await?;
        if status != StatusCode::OK {
            return Err(Error::of_status(&issuer, status, &answer::shown(&body, &Credential::Anonymous)));
        }
        let published: Published = parsed(&issuer, &body)?;
        if published.issuer.trim_end_matches('/') != relation.issuer.trim_end_matches('/') {
            return Err(Error::OtherIssuer { asked: relation.issuer, told: published.issuer });
        }
        let endpoints = Endpoints {
            authorization: secure(&published.authorization_endpoint)?,
            token: secure(&published.token_endpoint)?,
            device: published.device_authorization_endpoint.as_deref().map(secure).transpose()?,
            revocation: published.revocation_endpoint.as_deref().map(secure).transpose()?,
            scopes: published.scopes_supported,
        };
        // Tokens name the issuer as it names itself.
        let relation = Relation { issuer: published.issuer, ..relation };
        Ok(Self { relation, endpoints, client })
    }

    /// Where a person's browser goes; it comes back to `redirect`.
    pub fn authorization(&self, redirect: &str, attempt: &Attempt) -> Url {
        let mut address = self.endpoints.authorization.clone();
        address
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.relation.client)
            .append_pair("redirect_uri", redirect)
            .append_pair("scope", &self.scope())
            .append_pair("state", attempt.state())
            .append_pair("nonce", attempt.nonce())
            .append_pair("code_challenge", &attempt.challenge())
            .append_pair("code_challenge_method", "S256");
        address
    }

    /// The tokens for the code that the browser brought back.
    pub async fn redeem(
        &self,
        code: &Redacted,
        redirect: &str,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<Granted, Error> {
        let (code, sent) = (code.expose_text(), Credential::RegistryToken(code.clone()));
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", redirect),
            ("code_verifier", attempt.verifier()),
        ];
        let answer = self.ask(&self.endpoints.token, &form, &sent).await?;
        granted::read(&answer, &self.relation, Some(attempt.nonce()), now)
    }

    /// New tokens for a refresh token.
    pub async fn refresh(&self, token: &Redacted, now: Timestamp) -> Result<Granted, Error> {
        let (text, sent) = (token.expose_text(), Credential::RegistryToken(token.clone()));
        let form = [("grant_type", "refresh_token"), ("refresh_token", &text)];
        let answer = self.ask(&self.endpoints.token, &form, &sent).await?;
        let granted = granted::read(&answer, &self.relation, None, now)?;
        // Providers that do not rotate refresh tokens send none.
        Ok(Granted { refresh_token: granted.refresh_token.or_else(|| Some(token.clone())), ..granted })
    }

    /// Ends a refresh token, and with it the login (RFC 7009); answers whether the provider offers that.
    pub async fn revoke(&self, token: &Redacted) -> Result<bool, Error> {
        let Some(endpoint) = &self.endpoints.revocation else { return Ok(false) };
        let (text, sent) = (token.expose_text(), Credential::RegistryToken(token.clone()));
        let form = [("token", &*text), ("token_type_hint", "refresh_token")];
        // A token that it does not know has ended as well, and is answered in the same way.
        self.ask(endpoint, &form, &sent).await?;
        Ok(true)
    }

    /// Begins a login on another machine.
    pub async fn device(&self) -> Result<Device, Error> {
        let endpoint = self.endpoints.device.as_ref();
        let endpoint = endpoint.ok_or_else(|| Error::NoDevice { issuer: self.relation.issuer.clone() })?;
        let answer = self.ask(endpoint, &[("scope", &self.scope())], &Credential::Anonymous).await?;
        let answer: DeviceAnswer = parsed(endpoint, &answer)?;
        let address = secure(answer.address.as_ref().unwrap_or(&answer.plain_address))?;
        Ok(Device {
            address,
            user_code: answer.user_code.chars().filter(|c| !c.is_control()).take(64).collect(),
            expires_in: seconds(answer.expires_in).min(LONGEST_DEVICE),
            interval: seconds(answer.interval.unwrap_or(5.0)).clamp(Duration::from_secs(1), SLOWEST_POLL),
            code: Redacted::from(answer.device_code),
        })
    }

    /// Whether the person is through.
    pub async fn poll(&self, device: &Device, now: Timestamp) -> Result<Progress, Error> {
        let (code, sent) = (device.code.expose_text(), Credential::RegistryToken(device.code.clone()));
        let form = [("grant_type", DEVICE_GRANT), ("device_code", &code)];
        match self.ask(&self.endpoints.token, &form, &sent).await {
            Ok(answer) => granted::read(&answer, &self.relation, None, now).map(Progress::Done),
            Err(Error::Refused { code, .. }) if code == "authorization_pending" => Ok(Progress::Pending),
            Err(Error::Refused { code, .. }) if code == "slow_down" => Ok(Progress::Slower),
            Err(error) => Err(error),
        }
    }

    /// A refresh token is asked for where the provider knows that scope, or does not say what it knows.
    fn scope(&self) -> String {
        let supported = self.endpoints.scopes.as_ref();
        let knows = |scope: &str| supported.is_none_or(|supported| supported.iter().any(|one| one == scope));
        let more = ["email", "profile", "offline_access"].into_iter().filter(|scope| knows(scope));
        std::iter::once("openid").chain(more).collect::<Vec<_>>().join(" ")
    }

    async fn ask(
        &self,
        endpoint: &Url,
        form: &[(&str, &str)],
        sent: &Credential,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut body = Serializer::new(String::new());
        body.extend_pairs(form).append_pair("client_id", &self.relation.client);
        let request = self.client.post(endpoint.clone()).timeout(TIMEOUT);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body.finish());
        let response = request.send().await.map_err(|error| Error::away(endpoint, error.without_url()))?;
        let (status, body) = read(endpoint, response).await?;
        match status {
            StatusCode::OK => Ok(body),
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
                let answer = format!("{} {}", status.as_u16(), answer::shown(&body, sent));
                Err(Error::Refused { host: error::host(endpoint), code: refusal.error, answer })
            }
            status => Err(Error::of_status(endpoint, status, &answer::shown(&body, sent))),
        }
    }
}

#[derive(Deserialize)]
struct DeviceAnswer {
    device_code: String,
    user_code: String,
    #[serde(rename = "verification_uri", alias = "verification_url")]
    plain_address: String,
    #[serde(rename = "verification_uri_complete")]
    address: Option<String>,
    expires_in: f64,
    interval: Option<f64>,
}

#[derive(Deserialize, Default)]
struct Refusal {
    #[serde(default)]
    error: String,
}

async fn read(address: &Url, response: Response) -> Result<(StatusCode, Zeroizing<Vec<u8>>), Error> {
    let status = response.status();
    let body = body(response, LARGEST_ANSWER).await.map_err(|error| Error::away(address, error))?;
    Ok((status, Zeroizing::new(body.to_vec())))
}

fn parsed<T: DeserializeOwned>(address: &Url, body: &[u8]) -> Result<T, Error> {
    // The parser's own message may repeat a secret.
    serde_json::from_slice(body).map_err(|_| Error::Unexpected { host: error::host(address) })
}

/// An address to which secrets may go.
fn secure(text: &str) -> Result<Url, Error> {
    let refused = |why| Error::Address { address: text.chars().take(200).collect(), why };
    let address = Url::parse(text).map_err(|_| refused("it is no address"))?;
    if address.scheme() != "https" {
        return Err(refused("a login goes by https only"));
    }
    if !address.username().is_empty() || address.password().is_some() {
        return Err(Error::Address { address: error::host(&address), why: "it holds a password" });
    }
    admit(&address).map_err(|_| refused("nobody's provider is at such an address"))?;
    Ok(address)
}

fn seconds(count: f64) -> Duration {
    Duration::try_from_secs_f64(count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    #[test]
    fn secrets_of_a_login_go_by_https_to_addresses_that_a_provider_can_have() {
        assert!(secure("https://login.example/realm").is_ok());
        for (address, why) in [
            ("http://login.example", "https only"),
            ("login.example", "no address"),
            ("https://169.254.169.254/", "nobody's provider"),
            ("https://user:canary@login.example", "a password"),
        ] {
            let error = secure(address).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("canary"), "{error}");
        }
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn openid(revocation: Option<Url>) -> OpenId {
        let relation = Relation { issuer: "https://login.example".into(), client: "hallmark".into() };
        let endpoints = Endpoints {
            authorization: url("https://login.example/auth?tenant=1"),
            token: url("https://login.example/token"),
            device: None,
            revocation,
            scopes: Some(vec!["openid".into(), "email".into()]),
        };
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let registries = RegistryConfig::of_environment(crate::credential::registry_config::Proxies::none());
        let transport = Transport::new(&registries, crate::credential::registry_config::Trust::System);
        OpenId { relation, endpoints, client: Clients::default().of(&transport).unwrap() }
    }

    #[test]
    fn of_an_attempt_the_challenge_alone_goes_to_the_browser() {
        let openid = openid(None);
        let attempt = Attempt::new().unwrap();
        let address = openid.authorization("http://127.0.0.1:1/callback", &attempt);
        let query = |name: &str| {
            address.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
        };
        assert_eq!(query("tenant").as_deref(), Some("1"), "what stood there stays");
        assert_eq!(query("scope").as_deref(), Some("openid email"), "no scope that it does not know");
        assert_eq!(query("code_challenge"), Some(attempt.challenge()));
        assert_eq!(query("code_challenge_method").as_deref(), Some("S256"));
        assert!(!address.as_str().contains(attempt.verifier()));
        assert_ne!(Attempt::new().unwrap().state(), attempt.state());
    }
    /// A provider that ends tokens, answers as it is told, and remembers what it was asked.
    async fn provider(status: u16, body: &'static str) -> (Url, Arc<Mutex<Vec<String>>>, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = url(&format!("http://{}/revoke", listener.local_addr().unwrap()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let app = axum::Router::new().fallback(move |form: String| async move {
            log.lock().unwrap().push(form);
            (StatusCode::from_u16(status).unwrap(), body)
        });
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
        (address, asked, serving)
    }

    #[tokio::test]
    async fn a_refresh_token_is_ended_where_the_provider_offers_that() {
        let (address, asked, _serving) = provider(200, "").await;
        assert!(openid(Some(address)).revoke(&Redacted::from("canary")).await.unwrap());
        assert_eq!(*asked.lock().unwrap(), ["token=canary&token_type_hint=refresh_token&client_id=hallmark"]);
        assert!(!openid(None).revoke(&Redacted::from("canary")).await.unwrap());
    }

    #[tokio::test]
    async fn a_provider_that_does_not_end_a_token_is_told_in_its_words_and_without_the_token() {
        let refusal = r#"{"error":"unsupported_token_type","error_description":"canary is none of ours"}"#;
        let (address, _, _serving) = provider(400, refusal).await;
        let error = openid(Some(address)).revoke(&Redacted::from("canary")).await.unwrap_err().to_string();
        assert!(error.contains("unsupported_token_type") && !error.contains("canary"), "{error}");
    }
}
