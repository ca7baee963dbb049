//! The identity token of a job of GitHub Actions or Buildkite, asked of whoever runs it (credentials specification §9.1).
//!
//! The command line reads the variables that the runner sets; here are only their values. They are bearer credentials:
//! they go over TLS, or to this machine, and nowhere else.

use async_trait::async_trait;
use url::{Host, Url};

use super::provider::Provider;
use super::token::IdentityToken;
use super::{Error, TokenSource};
use crate::client::cloud::{self, Web, identity};
use crate::credential::Redacted;
use crate::error::Diagnose as _;

/// Where Buildkite's agents ask, unless the job says otherwise.
const BUILDKITE: &str = "https://agent.buildkite.com/v3";

/// What GitHub gives a job that may ask for tokens.
#[derive(Clone)]
pub struct Github {
    /// `ACTIONS_ID_TOKEN_REQUEST_URL`.
    pub endpoint: String,
    /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
    pub access: Redacted,
}

/// What Buildkite gives a job.
#[derive(Clone)]
pub struct Buildkite {
    /// `BUILDKITE_AGENT_ENDPOINT`, when it is set.
    pub endpoint: Option<String>,
    /// `BUILDKITE_JOB_ID`.
    pub job: String,
    /// `BUILDKITE_AGENT_ACCESS_TOKEN`.
    pub access: Redacted,
}

/// A job.
#[derive(Clone)]
pub enum Job {
    /// Of GitHub Actions.
    Github(Github),
    /// Of Buildkite.
    Buildkite(Buildkite),
}

/// A job, and the way to whoever runs it.
pub struct JobToken {
    job: Job,
    web: Web,
}

impl JobToken {
    /// The tokens of `job`.
    pub fn of(job: Job, web: Web) -> Self {
        Self { job, web }
    }

    async fn ask(&self, audience: &str) -> Result<Redacted, Error> {
        let failed = |error| service(self.provider(), error);
        match &self.job {
            Job::Github(job) => {
                let endpoint = address(self.provider(), &job.endpoint, "ACTIONS_ID_TOKEN_REQUEST_URL")?;
                identity::of_github(&self.web, &endpoint, &job.access, audience).await.map_err(failed)
            }
            Job::Buildkite(job) => {
                let text = job.endpoint.as_deref().unwrap_or(BUILDKITE);
                let endpoint = address(self.provider(), text, "BUILDKITE_AGENT_ENDPOINT")?;
                let asked = identity::of_buildkite(&self.web, &endpoint, &job.job, &job.access, audience);
                asked.await.map_err(failed)
            }
        }
    }
}

/// The address that a variable holds, if it may be sent a bearer credential.
pub(super) fn address(provider: Provider, text: &str, variable: &'static str) -> Result<Url, Error> {
    let refused = |reason| Error::Variable { provider, variable, reason };
    let url = Url::parse(text).map_err(|_| refused("it is no URL"))?;
    let near = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return Err(refused("it names no host")),
    };
    let sound = url.scheme() == "https" || (url.scheme() == "http" && near);
    if sound { Ok(url) } else { Err(refused("a credential is sent over https alone")) }
}

/// What a service said, as an error of identity tokens.
pub(super) fn service(provider: Provider, error: cloud::Error) -> Error {
    Error::Service { provider, class: error.class(), hint: error.hint(), source: Box::new(error) }
}

#[async_trait]
impl TokenSource for JobToken {
    fn provider(&self) -> Provider {
        match self.job {
            Job::Github(_) => Provider::Github,
            Job::Buildkite(_) => Provider::Buildkite,
        }
    }

    async fn token(&self, audience: &str) -> Result<IdentityToken, Error> {
        let text = self.ask(audience).await?;
        let provider = self.provider();
        IdentityToken::parse(text.expose_text().as_ref()).map_err(|reason| Error::Token { provider, reason })
    }
}

#[cfg(test)]
pub(super) mod tests;
