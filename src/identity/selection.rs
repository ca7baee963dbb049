//! Looks which sources of identity tokens are there, takes one, and logs which and why
//! (credentials specification §9.1). The decision itself is `provider`'s.
//!
//! Must not: read the environment; its values come with [`Surroundings`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::ambient::Ambient;
use super::file::{TokenFile, USUAL_PLACE};
use super::google::{self, GoogleToken};
use super::job::{Buildkite, Github, Job, JobToken};
use super::provider::{Presence, Provider, choose};
use super::request::RequestedToken;
use super::spiffe::{USUAL_PLACES, WorkloadApi};
use super::stale::Staleness;
use super::{Error, TokenSource};
use crate::client::cloud::Web;

/// What the process was started with and where it runs.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// `SIGSTORE_ID_TOKEN`.
    pub token: Option<Zeroizing<String>>,
    /// `SPIFFE_ENDPOINT_SOCKET`.
    pub spiffe_endpoint: Option<String>,
    /// A job of GitHub Actions that may ask for tokens.
    pub github: Option<Github>,
    /// A job of Buildkite.
    pub buildkite: Option<Buildkite>,
    /// Google Cloud, as far as the environment says.
    pub google: google::Variables,
    /// Whether this machine is one of Google Cloud.
    pub on_google: bool,
    /// Told of a Workload API whose socket refuses.
    pub stale: Arc<Staleness>,
    /// The way to those that are asked over the network.
    pub web: Option<Web>,
    /// The agent's own service account, where there is a cluster.
    pub account: Option<RequestedToken>,
}

/// Where identity tokens come from. Chosen when the first one is wanted, and looked for again until there is one;
/// what was chosen stays, since another source would sign in another name.
pub struct Selection {
    configured: Option<Provider>,
    file: Option<PathBuf>,
    surroundings: Surroundings,
    chosen: OnceCell<Arc<dyn TokenSource>>,
}

impl Selection {
    /// `configured` is `signers.x509.fulcio.provider`, `file` is `signers.x509.identity.token.file`.
    pub fn new(configured: Option<Provider>, file: Option<PathBuf>, surroundings: Surroundings) -> Self {
        Self { configured, file, surroundings, chosen: OnceCell::new() }
    }

    /// The source.
    pub async fn source(&self) -> Result<&Arc<dyn TokenSource>, Error> {
        let choose = async || select(self.configured, self.file.as_deref(), &self.surroundings);
        self.chosen.get_or_try_init(choose).await
    }
}

/// The source that the settings ask for, or the first that is there.
pub fn select(
    configured: Option<Provider>,
    file: Option<&Path>,
    surroundings: &Surroundings,
) -> Result<Arc<dyn TokenSource>, Error> {
    let choice = choose(configured, file.is_some(), |provider| match provider {
        // Whoever names it says that it is there.
        Provider::Google if configured == Some(provider) => Presence::There(google_place(surroundings)),
        provider => presence(provider, file, surroundings),
    })?;
    tracing::info!(provider = %choice.provider, "identity tokens come from {}", choice.reason);
    Ok(match choice.provider {
        Provider::Environment => Arc::new(Ambient::new(surroundings.token.clone().unwrap_or_default())),
        Provider::Spiffe => {
            let place = workload_api(surroundings).unwrap_or_default();
            Arc::new(WorkloadApi::at(&place).telling(&surroundings.stale))
        }
        Provider::Filesystem => Arc::new(TokenFile::usual()),
        Provider::CustomPath => Arc::new(TokenFile::at(file.unwrap_or(Path::new(USUAL_PLACE)))),
        Provider::Kubernetes => match &surroundings.account {
            Some(account) => Arc::new(account.clone()),
            None => return Err(Error::Absent { provider: Provider::Kubernetes, reason: NO_CLUSTER }),
        },
        provider => return asked(provider, surroundings),
    })
}

/// The sources that are services of somebody else.
fn asked(provider: Provider, surroundings: &Surroundings) -> Result<Arc<dyn TokenSource>, Error> {
    let absent = |reason| Error::Absent { provider, reason };
    let web = surroundings.web.clone().ok_or_else(|| absent("HTTP cannot be set up"))?;
    let google = surroundings.google.clone();
    Ok(match provider {
        Provider::Github => {
            let job = surroundings.github.clone().ok_or_else(|| absent(NO_GITHUB))?;
            Arc::new(JobToken::of(Job::Github(job), web))
        }
        Provider::Buildkite => {
            let job = surroundings.buildkite.clone().ok_or_else(|| absent(NO_BUILDKITE))?;
            Arc::new(JobToken::of(Job::Buildkite(job), web))
        }
        Provider::GoogleImpersonate => {
            let account = google.account.clone().ok_or_else(|| absent(NO_ACCOUNT))?;
            Arc::new(GoogleToken::of_account(google, account, web))
        }
        _ => Arc::new(GoogleToken::of_machine(google, web)),
    })
}

const NO_CLUSTER: &str = "there is no cluster to ask";
const NO_GITHUB: &str = "this is no job of GitHub Actions that may ask for a token";
const NO_BUILDKITE: &str = "this is no job of Buildkite";
const NO_ACCOUNT: &str = "GOOGLE_SERVICE_ACCOUNT_NAME is not set";

fn presence(provider: Provider, file: Option<&Path>, surroundings: &Surroundings) -> Presence {
    let there_if = |place: Option<String>, absent| place.map_or(Presence::Absent(absent), Presence::There);
    match provider {
        Provider::Environment => {
            let set = surroundings.token.is_some().then(|| "SIGSTORE_ID_TOKEN".to_owned());
            there_if(set, "SIGSTORE_ID_TOKEN is not set")
        }
        Provider::Spiffe => {
            let place = workload_api(surroundings);
            there_if(place, "SPIFFE_ENDPOINT_SOCKET is not set and no Workload API is mounted")
        }
        Provider::Filesystem => {
            let mounted = Path::new(USUAL_PLACE).exists().then(|| USUAL_PLACE.to_owned());
            there_if(mounted, "no token is mounted at /var/run/sigstore/cosign/oidc-token")
        }
        Provider::CustomPath => there_if(
            file.map(|file| file.display().to_string()),
            "signers.x509.identity.token.file is not set",
        ),
        Provider::Kubernetes => {
            there_if(surroundings.account.as_ref().map(|_| "the API server".to_owned()), NO_CLUSTER)
        }
        Provider::Github => {
            there_if(surroundings.github.as_ref().map(|_| "GitHub Actions".to_owned()), NO_GITHUB)
        }
        Provider::Buildkite => {
            there_if(surroundings.buildkite.as_ref().map(|_| "Buildkite's agent".to_owned()), NO_BUILDKITE)
        }
        Provider::Google => {
            let there = surroundings.on_google || surroundings.google.credentials.metadata_host.is_some();
            there_if(there.then(|| google_place(surroundings)), "this is no machine of Google Cloud")
        }
        Provider::GoogleImpersonate => there_if(surroundings.google.account.clone(), NO_ACCOUNT),
    }
}

/// A file is taken before the machine, as Google's own libraries do.
fn google_place(surroundings: &Surroundings) -> String {
    let file = surroundings.google.credentials.credentials.as_ref();
    file.map_or_else(
        || "the Google metadata server".to_owned(),
        |file| format!("{}, which GOOGLE_APPLICATION_CREDENTIALS names", file.display()),
    )
}

/// Where the Workload API is: where somebody says, else where it usually is mounted.
fn workload_api(surroundings: &Surroundings) -> Option<String> {
    let named = surroundings.spiffe_endpoint.clone().filter(|endpoint| !endpoint.is_empty());
    named.or_else(|| mounted(&USUAL_PLACES.map(PathBuf::from)))
}

fn mounted(places: &[PathBuf]) -> Option<String> {
    places.iter().find(|place| place.exists()).map(|place| place.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::super::token::tests::{claims, token};
    use super::*;

    fn provider(
        configured: Option<Provider>,
        file: Option<&Path>,
        surroundings: &Surroundings,
    ) -> Result<Provider, String> {
        select(configured, file, surroundings)
            .map(|source| source.provider())
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_chosen_source_is_the_one_that_answers() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, token(&claims())).unwrap();
        let source = select(None, Some(&file), &Surroundings::default()).unwrap();
        assert_eq!(source.provider(), Provider::CustomPath);
        assert_eq!(source.token("sigstore").await.unwrap().claims().audience, ["sigstore"]);
    }

    #[test]
    fn the_environment_comes_before_the_workload_api_and_that_before_anything_mounted() {
        let spiffe = Surroundings { spiffe_endpoint: Some("/agent.sock".into()), ..Surroundings::default() };
        assert_eq!(provider(None, None, &spiffe), Ok(Provider::Spiffe));
        let both = Surroundings { token: Some(Zeroizing::new("t".into())), ..spiffe.clone() };
        assert_eq!(provider(None, None, &both), Ok(Provider::Environment));
        assert_eq!(provider(None, Some(Path::new("/t")), &both), Ok(Provider::CustomPath));
        assert_eq!(provider(Some(Provider::Spiffe), None, &both), Ok(Provider::Spiffe));
    }

    #[test]
    fn a_job_is_taken_where_there_is_one_and_a_configured_one_that_is_not_there_is_never_replaced() {
        let job = Github { endpoint: "https://github.test/".into(), access: "canary".into() };
        let web = Web::new(crate::client::registry::Registry::new().unwrap(), Arc::default());
        let github = Surroundings { github: Some(job), web: Some(web), ..Surroundings::default() };
        assert_eq!(provider(None, None, &github), Ok(Provider::Github));
        let tokened = Surroundings { token: Some(Zeroizing::new("t".into())), ..github.clone() };
        assert_eq!(provider(None, None, &tokened), Ok(Provider::Environment));
        assert_eq!(provider(Some(Provider::Github), None, &tokened), Ok(Provider::Github));
        assert_eq!(provider(Some(Provider::Google), None, &tokened), Ok(Provider::Google));
        for (missing, reason) in [
            (Provider::Buildkite, NO_BUILDKITE),
            (Provider::GoogleImpersonate, NO_ACCOUNT),
            (Provider::Kubernetes, NO_CLUSTER),
        ] {
            let error = provider(Some(missing), None, &tokened).unwrap_err();
            assert_eq!(error, format!("provider {missing} is configured but not there: {reason}"));
        }
    }

    #[test]
    fn the_first_usual_place_that_exists_is_taken_be_it_file_or_directory() {
        let folder = tempfile::tempdir().unwrap();
        let places = ["a/api.sock", "csi", "c/agent.sock"].map(|place| folder.path().join(place));
        assert_eq!(mounted(&places), None);
        std::fs::create_dir(&places[1]).unwrap();
        assert_eq!(mounted(&places), Some(places[1].display().to_string()));
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(&places[0], "").unwrap();
        assert_eq!(mounted(&places), Some(places[0].display().to_string()));
        let empty = Surroundings { spiffe_endpoint: Some(String::new()), ..Surroundings::default() };
        assert_eq!(workload_api(&empty), mounted(&USUAL_PLACES.map(PathBuf::from)));
    }
}
