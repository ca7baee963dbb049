//! An identity token of the agent's own service account, asked of the API server (`TokenRequest`): keyless signing
//! without a volume in the Deployment (credentials specification §9.1).
//!
//! Needs `create` on `serviceaccounts/token` for that one service account. Must not: ask for the token of another.

use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use zeroize::Zeroizing;

use super::provider::Provider;
use super::token::{IdentityToken, TokenError};
use super::{Error, TokenSource};

/// The shortest that the API server grants.
const LIFETIME_SECONDS: i64 = 600;
const TIMEOUT: Duration = Duration::from_secs(10);

/// A service account whose tokens the API server makes.
#[derive(Clone)]
pub struct RequestedToken {
    client: Client,
    namespace: String,
    name: String,
    timeout: Duration,
}

impl RequestedToken {
    /// The tokens of service account `name` in `namespace`.
    pub fn of(client: Client, namespace: &str, name: &str) -> Self {
        Self { client, namespace: namespace.to_owned(), name: name.to_owned(), timeout: TIMEOUT }
    }

    async fn request(&self, audience: &str) -> Result<Zeroizing<String>, Error> {
        let spec = TokenRequestSpec {
            audiences: vec![audience.to_owned()],
            expiration_seconds: Some(LIFETIME_SECONDS),
            ..TokenRequestSpec::default()
        };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let accounts = Api::<ServiceAccount>::namespaced(self.client.clone(), &self.namespace);
        let parameters = PostParams::default();
        let made = accounts.create_token_request(&self.name, &parameters, &request);
        let made = match tokio::time::timeout(self.timeout, made).await {
            Ok(made) => made.map_err(|error| self.failed(&error))?,
            Err(_) => return Err(self.error("the API server does not answer".to_owned(), true)),
        };
        let nothing = TokenError::Malformed("the API server returned none");
        let token = made.status.map(|status| Zeroizing::new(status.token));
        token.ok_or(Error::Token { provider: Provider::Kubernetes, reason: nothing })
    }

    fn failed(&self, error: &kube::Error) -> Error {
        match error {
            kube::Error::Api(status) => {
                let temporary = status.code == 429 || status.code >= 500;
                self.error(format!("{} {}", status.code, status.message), temporary)
            }
            other => self.error(crate::error::chain(other), true),
        }
    }

    fn error(&self, reason: String, temporary: bool) -> Error {
        Error::Request { account: format!("{}/{}", self.namespace, self.name), reason, temporary }
    }
}

#[async_trait]
impl TokenSource for RequestedToken {
    fn provider(&self) -> Provider {
        Provider::Kubernetes
    }

    async fn token(&self, audience: &str) -> Result<IdentityToken, Error> {
        let text = self.request(audience).await?;
        IdentityToken::parse(&text).map_err(|reason| Error::Token { provider: Provider::Kubernetes, reason })
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::Path;
    use axum::routing::post;
    use http::StatusCode;
    use serde_json::{Value, json};

    use super::super::token::tests::{claims, now, token};
    use super::*;
    use crate::error::{Class, Diagnose as _};

    /// An API server that answers requests for tokens of `ci/agent` only.
    async fn server(status: StatusCode, answer: fn(Value) -> Value) -> RequestedToken {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let handler = move |Path((namespace, name)): Path<(String, String)>, body: String| async move {
            assert_eq!((namespace.as_str(), name.as_str()), ("ci", "agent"));
            (status, answer(serde_json::from_str(&body).unwrap()).to_string())
        };
        let path = "/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token";
        let routes = Router::new().route(path, post(handler));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        #[expect(clippy::disallowed_methods, reason = "the server ends with the test's runtime")]
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let client = Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
        RequestedToken::of(client, "ci", "agent")
    }

    #[tokio::test]
    async fn the_token_is_asked_for_with_the_audience_of_fulcio() {
        let source = server(StatusCode::CREATED, |request| {
            assert_eq!(request["spec"]["audiences"], json!(["sigstore"]));
            assert_eq!(request["spec"]["expirationSeconds"], 600);
            let status = json!({"token": token(&claims()), "expirationTimestamp": "2030-01-01T00:00:00Z"});
            json!({"metadata": {}, "spec": request["spec"], "status": status})
        })
        .await;
        source.token("sigstore").await.unwrap().check("sigstore", now()).unwrap();
    }

    #[tokio::test]
    async fn a_missing_permission_is_said_with_the_verb_and_the_object() {
        let source = server(StatusCode::FORBIDDEN, |_| {
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403,
                   "reason": "Forbidden", "message": "cannot create resource serviceaccounts/token"})
        })
        .await;
        let error = source.token("sigstore").await.unwrap_err();
        assert_eq!(error.class(), Class::Misconfigured);
        assert_eq!(error.hint().unwrap(), "allow create on serviceaccounts/token of ci/agent");
        assert!(error.to_string().contains("403 cannot create resource"), "{error}");
    }

    #[tokio::test]
    async fn an_api_server_that_is_busy_or_away_will_come_back() {
        let source = server(StatusCode::SERVICE_UNAVAILABLE, |_| {
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 503,
                   "reason": "ServiceUnavailable", "message": "later"})
        })
        .await;
        // The client of kube repeats such requests by itself.
        let source = RequestedToken { timeout: Duration::from_millis(300), ..source };
        assert_eq!(source.token("sigstore").await.unwrap_err().class(), Class::Temporary);
        let config = kube::Config::new("http://127.0.0.1:9".parse().unwrap());
        let away = RequestedToken { client: Client::try_from(config).unwrap(), ..source };
        assert_eq!(away.token("sigstore").await.unwrap_err().class(), Class::Temporary);
    }
}
