//! One HTTP exchange with a registry: time-outs, short retries of what passes by itself, redirects without
//! credentials, and errors that tell "away" from "not trusted" from "no".

use std::time::{Duration, Instant};

use ::http::header::{AUTHORIZATION, LOCATION};
use ::http::{HeaderMap, HeaderValue, Method, StatusCode};
use backon::{ExponentialBuilder, Retryable as _};
use bytes::Bytes;
use jiff::Timestamp;
use reqwest::{Client, Response};
use tracing::Instrument as _;
use tracing::field::Empty;
use url::Url;

use super::error::Error;
use super::route::Routes;
use crate::client::address::AddressClass;
use crate::client::http::{self as dial, Clients, ForbiddenAddress, Passage, Service, SetupError, Silent};
use crate::client::retry_after::retry_after;
use crate::credential::registry_config::Trust;

/// Redirects that are followed for one request.
const MAX_REDIRECTS: usize = 10;
/// A longer `Retry-After` is not waited for here: the run comes back when the time has come.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Sends the requests of one session over the connections of the process.
#[derive(Clone, Copy)]
pub(super) struct Wire<'a> {
    pub(super) clients: &'a Clients,
    pub(super) routes: &'a Routes,
    /// Whether requests are kept from hosts that are away; what a host is asked to learn about it is not.
    pub(super) guarded: bool,
}

/// One request; it can be sent again.
#[derive(Clone)]
pub(super) struct Request {
    /// "push the signature of registry/app": completes "cannot …".
    pub action: String,
    pub method: Method,
    /// The registry: credentials go to no other origin.
    pub home: Url,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Wire<'_> {
    /// Sends a request and returns any answer below 500 other than 408 and 429.
    pub(super) async fn send(
        &self,
        request: &Request,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Error> {
        let policy = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(300))
            .with_max_delay(MAX_WAIT)
            .with_max_times(3)
            .with_jitter();
        (|| self.follow(request, authorization))
            .retry(policy)
            .when(passes_soon)
            .adjust(|error, delay| match error {
                Error::Throttled { after: Some(after), .. } => Some(*after),
                _ => delay,
            })
            .await
    }

    /// `response` with the words that it lacks: a HEAD that is not allowed is repeated as GET (§5.6). One that was not
    /// even let in is not, as that would be another wrong password.
    pub(super) async fn worded(
        &self,
        request: &Request,
        authorization: &HeaderValue,
        response: Response,
    ) -> Response {
        if request.method != Method::HEAD || response.status() != StatusCode::FORBIDDEN {
            return response;
        }
        let again = Request { method: Method::GET, ..request.clone() };
        match self.send(&again, Some(authorization)).await {
            Ok(worded) if worded.status() == StatusCode::FORBIDDEN => worded,
            _ => response,
        }
    }

    /// Sends a request and follows redirects of those that only read.
    async fn follow(
        &self,
        request: &Request,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Error> {
        let mut url = request.url.clone();
        for _ in 0..MAX_REDIRECTS {
            // Credentials go to the registry's own host only (credentials specification §5.1).
            let authorization = authorization.filter(|_| url.origin() == request.home.origin());
            let span = tracing::info_span!(
                "request",
                otel.kind = "client",
                http.request.method = request.method.as_str(),
                server.address = host_of(&url),
                http.response.status_code = Empty,
            );
            let response = self.once(request, &url, authorization).instrument(span).await?;
            if !response.status().is_redirection() || !is_read(&request.method) {
                return Ok(response);
            }
            url = self.redirected(request, &url, &response)?;
        }
        Err(malformed(request, "more than 10 redirects"))
    }

    async fn once(
        &self,
        request: &Request,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Error> {
        let mut headers = request.headers.clone();
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        dial::admit(url).map_err(|source| forbidden(request, source))?;
        let client = self.clients.of(&self.routes.away(url, &request.home)).map_err(Error::Setup)?;
        headers.extend(dial::trace_context());
        let sent = client.request(request.method.clone(), url.clone()).headers(headers);
        let passage = self.enter(request, url)?;
        let response = match sent.body(request.body.clone()).send().await {
            Ok(response) => {
                if let Some(passage) = passage {
                    passage.answered();
                }
                response
            }
            Err(error) => {
                let error = unreachable_host(&request.action, url, error);
                if let Some(passage) = passage.filter(|_| is_away(&error)) {
                    passage.failed();
                }
                return Err(error);
            }
        };
        tracing::Span::current().record("http.response.status_code", response.status().as_u16());
        let action = || request.action.clone();
        match response.status() {
            StatusCode::TOO_MANY_REQUESTS => Err(Error::Throttled {
                action: action(),
                host: host_of(url),
                after: retry_after(response.headers(), Timestamp::now()),
            }),
            status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                let host = host_of(url);
                Err(Error::Unavailable { action: action(), host, status: Some(status), source: None })
            }
            _ => Ok(response),
        }
    }
}

impl Wire<'_> {
    fn enter(&self, request: &Request, url: &Url) -> Result<Option<Passage>, Error> {
        if !self.guarded {
            return Ok(None);
        }
        let host = host_of(url);
        match self.clients.circuits().enter(Service::Registry, &host, Instant::now()) {
            Ok(passage) => Ok(Some(passage)),
            Err(Silent) => Err(silent(request.action.clone(), host)),
        }
    }

    /// Leaves TLS only where nobody asked for any.
    fn redirected(&self, request: &Request, from: &Url, response: &Response) -> Result<Url, Error> {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let target = location.and_then(|location| from.join(location).ok());
        let target = target.ok_or_else(|| malformed(request, "a redirect without a usable Location"))?;
        let insecure = self.routes.home(&host_of(&request.home)).trust == Trust::Insecure;
        if from.scheme() == "https" && target.scheme() != "https" && !insecure {
            return Err(malformed(request, "a redirect from https to http"));
        }
        Ok(target)
    }

    /// The client for a token service that a registry at an address of class `from` named.
    pub(super) fn realm_client(
        &self,
        realm: &Url,
        home: &Url,
        from: AddressClass,
    ) -> Result<Client, SetupError> {
        self.clients.of(&self.routes.away(realm, home).named_from(from))
    }
}

/// A connection that was refused is not tried again at once: the controller probes the host for all runs.
fn passes_soon(error: &Error) -> bool {
    match error {
        Error::Throttled { after, .. } => after.is_none_or(|after| after <= MAX_WAIT),
        Error::Unavailable { status, source, .. } => {
            status.is_some()
                || source.as_ref().is_some_and(|error| !error.is_connect() && !error.is_timeout())
        }
        _ => false,
    }
}

/// A host that was not reached, or did not answer in time. One that broke off was there.
pub(super) fn is_away(error: &Error) -> bool {
    match error {
        Error::Unavailable { source: Some(source), .. } => dial::is_away(source),
        _ => false,
    }
}

/// Nothing was sent, since the host answers nobody.
pub(super) fn silent(action: String, host: String) -> Error {
    Error::Unavailable { action, host, status: None, source: None }
}

fn is_read(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

fn forbidden(request: &Request, source: ForbiddenAddress) -> Error {
    Error::Forbidden { action: request.action.clone(), source }
}

fn malformed(request: &Request, reason: &'static str) -> Error {
    Error::Malformed { action: request.action.clone(), host: host_of(&request.url), reason }
}

/// `host[:port]`, as messages and probes name it.
pub(super) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Sorts a failure below HTTP: a TLS failure needs a person, everything else passes.
pub(super) fn unreachable_host(action: &str, url: &Url, error: reqwest::Error) -> Error {
    let (action, host, source) = (action.to_owned(), host_of(url), error.without_url());
    if let Some(forbidden) = dial::cause::<ForbiddenAddress>(&source) {
        Error::Forbidden { action, source: forbidden.clone() }
    } else if dial::cause::<rustls::Error>(&source).is_some() {
        Error::Tls { action, host, source }
    } else {
        Error::Unavailable { action, host, status: None, source: Some(source) }
    }
}
