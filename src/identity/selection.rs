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
use super::provider::{Presence, Provider, choose};
use super::request::RequestedToken;
use super::spiffe::{USUAL_PLACES, WorkloadApi};
use super::{Error, TokenSource};

/// What the process was started with and where it runs.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// `SIGSTORE_ID_TOKEN`.
    pub token: Option<Zeroizing<String>>,
    /// `SPIFFE_ENDPOINT_SOCKET`.
    pub spiffe_endpoint: Option<String>,
    /// A job of GitHub Actions that may ask for tokens (`ACTIONS_ID_TOKEN_REQUEST_URL`).
    pub in_github: bool,
    /// A job of Buildkite (`BUILDKITE_AGENT_ACCESS_TOKEN`).
    pub in_buildkite: bool,
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
    let choice = choose(configured, file.is_some(), |provider| presence(provider, file, surroundings))?;
    tracing::info!(provider = %choice.provider, "identity tokens come from {}", choice.reason);
    Ok(match choice.provider {
        Provider::Environment => Arc::new(Ambient::new(surroundings.token.clone().unwrap_or_default())),
        Provider::Spiffe => Arc::new(WorkloadApi::at(&workload_api(surroundings).unwrap_or_default())),
        Provider::Filesystem => Arc::new(TokenFile::usual()),
        Provider::CustomPath => Arc::new(TokenFile::at(file.unwrap_or(Path::new(USUAL_PLACE)))),
        Provider::Kubernetes => match &surroundings.account {
            Some(account) => Arc::new(account.clone()),
            None => return Err(Error::Absent { provider: Provider::Kubernetes, reason: NO_CLUSTER }),
        },
        provider => return Err(Error::Absent { provider, reason: NOT_BUILT }),
    })
}

const NO_CLUSTER: &str = "there is no cluster to ask";
const NOT_BUILT: &str = "it is not in this build";

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
        Provider::Github if surroundings.in_github => Presence::Absent(NOT_BUILT),
        Provider::Buildkite if surroundings.in_buildkite => Presence::Absent(NOT_BUILT),
        Provider::Github => Presence::Absent("this is no job of GitHub Actions that may ask for a token"),
        Provider::Buildkite => Presence::Absent("this is no job of Buildkite"),
        Provider::Google | Provider::GoogleImpersonate => Presence::Absent(NOT_BUILT),
    }
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
    fn what_is_not_in_this_build_is_refused_by_name_and_never_replaced() {
        let jobs = Surroundings {
            in_github: true,
            in_buildkite: true,
            token: Some(Zeroizing::new("t".into())),
            ..Surroundings::default()
        };
        for missing in [Provider::Github, Provider::Buildkite, Provider::Google, Provider::GoogleImpersonate]
        {
            let error = provider(Some(missing), None, &jobs).unwrap_err();
            assert_eq!(
                error,
                format!("provider {missing} is configured but not there: it is not in this build")
            );
        }
        assert!(provider(Some(Provider::Kubernetes), None, &jobs).unwrap_err().contains("no cluster"));
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
