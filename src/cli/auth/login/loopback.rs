//! The one address of this machine that a browser comes back to after a login (RFC 8252 §7.3).
//!
//! Guarantees: it listens on the loopback address only, and only until the answer is there; an answer without the
//! right `state` is refused and changes nothing, so that a page which guesses the port can neither log its own user in
//! nor end the login. The code is in no log: nothing here writes one.

use std::future::IntoFuture as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Html;
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderName, REFERRER_POLICY};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;

use crate::credential::Redacted;

const PATH: &str = "/callback";
/// How long a browser may take to read the page.
const PARTING: Duration = Duration::from_secs(1);

/// A listener.
pub(super) struct Loopback {
    listener: TcpListener,
    redirect: String,
}

/// Why no code came back.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum LoopbackError {
    /// Nowhere to listen.
    #[error("cannot listen on 127.0.0.1:{port}")]
    Listen {
        /// The port that was wanted; 0 is any.
        port: u16,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The listener broke.
    #[error("the listener for the browser ended")]
    Ended(#[source] Option<std::io::Error>),
    /// The person or the issuer said no.
    #[error("the login was refused: {0}")]
    Refused(String),
}

/// What the browser brings.
#[derive(Default)]
struct Returned {
    state: String,
    code: String,
    error: Option<String>,
    description: String,
}

struct Expected {
    state: String,
    answers: mpsc::Sender<Result<Redacted, LoopbackError>>,
}

impl Loopback {
    pub(super) async fn listen(port: u16) -> Result<Self, LoopbackError> {
        let failed = |source| LoopbackError::Listen { port, source };
        let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, redirect: format!("http://{address}{PATH}") })
    }

    /// The address for the browser.
    pub(super) fn redirect(&self) -> &str {
        &self.redirect
    }

    /// The code that comes back with this `state`. The caller limits the time.
    pub(super) async fn returned(self, state: &str) -> Result<Redacted, LoopbackError> {
        let (answers, mut answer) = mpsc::channel(1);
        let expected = Arc::new(Expected { state: state.to_owned(), answers });
        let routes = Router::new().route(PATH, get(take)).with_state(expected);
        let stop = CancellationToken::new();
        let serving =
            axum::serve(self.listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
        let mut serving = pin!(serving.into_future());
        tokio::select! {
            served = &mut serving => Err(LoopbackError::Ended(served.err())),
            outcome = answer.recv() => {
                stop.cancel();
                // The page is served before the listener ends.
                let _ = tokio::time::timeout(PARTING, serving).await;
                outcome.unwrap_or(Err(LoopbackError::Ended(None)))
            }
        }
    }
}

impl Returned {
    fn read(query: &str) -> Self {
        let mut returned = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            match &*name {
                "state" => returned.state = value,
                "code" => returned.code = value,
                "error" => returned.error = Some(value),
                "error_description" => returned.description = value,
                _ => {}
            }
        }
        returned
    }
}

/// What the browser shows.
type Page = (StatusCode, [(HeaderName, &'static str); 2], Html<&'static str>);

async fn take(State(expected): State<Arc<Expected>>, RawQuery(query): RawQuery) -> Page {
    let returned = Returned::read(&query.unwrap_or_default());
    if returned.state != expected.state {
        return page(StatusCode::BAD_REQUEST, "This is not the login that hallmark waits for.");
    }
    let (answer, shown) = match returned.error {
        Some(error) => {
            let text = format!("{error} {}", returned.description);
            let text = text.trim().chars().filter(|character| !character.is_control()).take(256).collect();
            (Err(LoopbackError::Refused(text)), "The login was refused. You may close this page.")
        }
        None if returned.code.is_empty() => {
            return page(StatusCode::BAD_REQUEST, "The answer has no code.");
        }
        None => (Ok(Redacted::from(returned.code)), "You are logged in. You may close this page."),
    };
    // A second answer changes nothing.
    let _ = expected.answers.try_send(answer);
    page(StatusCode::OK, shown)
}

fn page(status: StatusCode, text: &'static str) -> Page {
    (status, [(CACHE_CONTROL, "no-store"), (REFERRER_POLICY, "no-referrer")], Html(text))
}
