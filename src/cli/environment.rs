//! The settings that a process gets from its environment and that have no option of their own: proxies, the files of
//! docker and podman, identities in clouds, the collector of traces.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::client::cloud::Web;
use crate::client::registry::Registry;
use crate::client::store::MONGO_SERVER_URL;
use crate::config::Secret;
use crate::credential::files::docker::Surroundings;
use crate::credential::registry_config::{Proxies, RegistryConfig};
use crate::credential::{Redacted, cloud};
use crate::identity;
use crate::identity::job::{Buildkite, Github};
use crate::identity::request::RequestedToken;
use crate::identity::token::IdentityToken;
use crate::signature::kms;
use crate::storage::remote;
use crate::telemetry::traces::{self, Traces};

/// The proxies of the process, as most programs read them. What is no proxy is passed over with a warning.
pub(super) fn proxies() -> Proxies {
    proxies_of(&variable)
}

/// Where docker and podman keep their files.
pub(super) fn surroundings() -> Surroundings {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let path = |name: &str| set(name).map(PathBuf::from);
    Surroundings {
        docker_auth_config: set("DOCKER_AUTH_CONFIG").map(Zeroizing::new),
        docker_config: path("DOCKER_CONFIG"),
        home: path("HOME"),
        registry_auth_file: path("REGISTRY_AUTH_FILE"),
        runtime_directory: path("XDG_RUNTIME_DIR"),
        config_directory: path("XDG_CONFIG_HOME"),
        search_path: set("PATH").map(Into::into),
        uid: std::fs::metadata("/proc/self").ok().map(|own| own.uid()),
    }
}

/// Who the process is in clouds.
pub(super) fn clouds() -> cloud::Surroundings {
    cloud::Surroundings { aws: aws(), google: google(), azure: azure() }
}

fn google() -> cloud::google::Variables {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    cloud::google::Variables {
        credentials: set("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from),
        metadata_host: set("GCE_METADATA_HOST"),
        sts_endpoint: set("CLOUDSDK_API_ENDPOINT_OVERRIDES_STS"),
        iam_credentials_endpoint: set("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS"),
    }
}

fn azure() -> cloud::entra::Variables {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    cloud::entra::Variables {
        client_id: set("AZURE_CLIENT_ID"),
        tenant_id: set("AZURE_TENANT_ID"),
        federated_token_file: set("AZURE_FEDERATED_TOKEN_FILE").map(PathBuf::from),
        authority_host: set("AZURE_AUTHORITY_HOST"),
        metadata_endpoint: set("AZURE_POD_IDENTITY_AUTHORITY_HOST"),
    }
}

fn aws() -> cloud::ecr::Variables {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let (path, secret) = (|name| set(name).map(PathBuf::from), |name| set(name).map(Redacted::from));
    cloud::ecr::Variables {
        access_key_id: set("AWS_ACCESS_KEY_ID"),
        secret_access_key: secret("AWS_SECRET_ACCESS_KEY"),
        session_token: secret("AWS_SESSION_TOKEN"),
        role_arn: set("AWS_ROLE_ARN"),
        role_session_name: set("AWS_ROLE_SESSION_NAME"),
        web_identity_token_file: path("AWS_WEB_IDENTITY_TOKEN_FILE"),
        container_full_uri: set("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        container_relative_uri: set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        container_token: secret("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        container_token_file: path("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        metadata_endpoint: set("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
        metadata_disabled: set("AWS_EC2_METADATA_DISABLED")
            .is_some_and(|text| text.eq_ignore_ascii_case("true")),
        region: set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION")),
        endpoint: set("AWS_ENDPOINT_URL"),
        endpoint_ecr: set("AWS_ENDPOINT_URL_ECR"),
        endpoint_ecr_public: set("AWS_ENDPOINT_URL_ECR_PUBLIC"),
        endpoint_sts: set("AWS_ENDPOINT_URL_STS"),
        endpoint_kms: set("AWS_ENDPOINT_URL_KMS"),
    }
}

/// What is said of stores.
pub(super) fn stores() -> remote::Surroundings {
    remote::Surroundings {
        clouds: clouds(),
        mongo_server_url: variable(MONGO_SERVER_URL).map(|url| Secret::new(&url)),
        authorities: variable("SSL_CERT_FILE").filter(|file| !file.is_empty()).map(PathBuf::from),
    }
}

/// What is said of key management services.
pub(super) fn kms() -> kms::Surroundings {
    kms::Surroundings { vault: vault(), clouds: clouds() }
}

/// What is said of Vault and `OpenBao`, whose own command line reads the same variables.
fn vault() -> kms::VaultVariables {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let either = |name: &str| set(&format!("VAULT_{name}")).or_else(|| set(&format!("BAO_{name}")));
    kms::VaultVariables {
        address: either("ADDR"),
        token: either("TOKEN").map(Redacted::from),
        token_file: set("HOME").map(|home| PathBuf::from(home).join(".vault-token")),
        namespace: either("NAMESPACE"),
        mount: set("TRANSIT_SECRET_ENGINE_PATH"),
    }
}

/// Where traces go, by the variables of OpenTelemetry; nowhere without a collector. What is wrong with them keeps nobody
/// from signing.
pub(super) fn traces() -> (Option<Traces>, Option<traces::Error>) {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let disabled = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || set("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    let collector = set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| set("OTEL_EXPORTER_OTLP_ENDPOINT"));
    let Some(collector) = collector.filter(|_| !disabled) else { return (None, None) };
    let config = RegistryConfig::of_environment(proxies());
    match Traces::start(&collector, set("OTEL_SERVICE_NAME"), &config) {
        Ok(traces) => (Some(traces), None),
        Err(error) => (None, Some(error)),
    }
}

/// Where Hallmark keeps what belongs to a person.
#[derive(Debug, Clone)]
pub(super) struct Folders {
    /// Settings and stored credentials.
    pub(super) config: PathBuf,
    /// Tokens that end by themselves.
    pub(super) cache: PathBuf,
    /// Docker's own folder.
    pub(super) docker: PathBuf,
}

/// Nothing without a home.
pub(super) fn folders() -> Option<Folders> {
    let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = path("HOME");
    let below =
        |set: Option<PathBuf>, usual: &str| set.or_else(|| home.as_ref().map(|home| home.join(usual)));
    Some(Folders {
        config: below(path("XDG_CONFIG_HOME"), ".config")?.join("hallmark"),
        cache: below(path("XDG_CACHE_HOME"), ".cache")?.join("hallmark"),
        docker: below(path("DOCKER_CONFIG"), ".docker")?,
    })
}

/// What stands in for the settings of the credential helper.
pub(super) struct HelperVariables {
    /// `HALLMARK_IDENTITY`.
    pub(super) identity: Option<String>,
    /// `HALLMARK_IDENTITY_TOKEN`: a file.
    pub(super) token_file: Option<PathBuf>,
    /// `HALLMARK_IDENTITY_PROVIDER`: a name.
    pub(super) identity_provider: Option<String>,
    /// `HALLMARK_PROVIDERS`: a file.
    pub(super) providers: Option<PathBuf>,
}

/// The variables of the credential helper, which docker gives no arguments.
pub(super) fn helper() -> HelperVariables {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    HelperVariables {
        identity: set("HALLMARK_IDENTITY"),
        token_file: set("HALLMARK_IDENTITY_TOKEN").map(PathBuf::from),
        identity_provider: set("HALLMARK_IDENTITY_PROVIDER"),
        providers: set("HALLMARK_PROVIDERS").map(PathBuf::from),
    }
}

/// Where programs are looked for.
pub(super) fn search_path() -> Vec<PathBuf> {
    variable("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// Where the files of a TUF mirror are kept (`TUF_ROOT`), as for Chains and cosign.
pub(super) fn trust_cache() -> Option<PathBuf> {
    variable("TUF_ROOT").filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Where a pod finds the token of its own service account.
const OWN_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Whether this process is a pod with a service account.
pub(super) fn is_pod() -> bool {
    std::path::Path::new(OWN_TOKEN).exists()
}

/// Where identity tokens may come from; `cluster` can make those of the process's own service account.
pub(super) fn identities(cluster: Option<&kube::Client>) -> identity::selection::Surroundings {
    identities_by(cluster, &Arc::new(RegistryConfig::of_environment(proxies())))
}

/// The same, those that are asked over the network reached as `registries` says.
pub(super) fn identities_by(
    cluster: Option<&kube::Client>,
    registries: &Arc<RegistryConfig>,
) -> identity::selection::Surroundings {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    identity::selection::Surroundings {
        token: set("SIGSTORE_ID_TOKEN").map(Zeroizing::new),
        spiffe_endpoint: set("SPIFFE_ENDPOINT_SOCKET"),
        github: github(),
        buildkite: buildkite(),
        google: identity::google::Variables {
            credentials: google(),
            account: set("GOOGLE_SERVICE_ACCOUNT_NAME"),
            iam_endpoint: set("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS"),
        },
        on_google: is_on_google(),
        stale: Arc::default(),
        web: Registry::new().ok().map(|registry| Web::new(registry, Arc::clone(registries))),
        account: cluster.and_then(own_account),
    }
}

fn github() -> Option<Github> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let (endpoint, access) = (set("ACTIONS_ID_TOKEN_REQUEST_URL")?, set("ACTIONS_ID_TOKEN_REQUEST_TOKEN")?);
    Some(Github { endpoint, access: access.into() })
}

fn buildkite() -> Option<Buildkite> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let (job, access) = (set("BUILDKITE_JOB_ID")?, set("BUILDKITE_AGENT_ACCESS_TOKEN")?);
    Some(Buildkite { endpoint: set("BUILDKITE_AGENT_ENDPOINT"), job, access: access.into() })
}

/// By the name that the firmware of its machines has, as Google's own libraries tell.
fn is_on_google() -> bool {
    let name = std::fs::read_to_string("/sys/class/dmi/id/product_name");
    name.is_ok_and(|name| name.trim().starts_with("Google"))
}

/// The service account that this process runs as, by the name that its token carries.
fn own_account(cluster: &kube::Client) -> Option<RequestedToken> {
    let token = IdentityToken::parse(&std::fs::read_to_string(OWN_TOKEN).ok()?).ok()?;
    let account = token.claims().subject.strip_prefix("system:serviceaccount:")?;
    let (namespace, name) = account.split_once(':')?;
    Some(RequestedToken::of(cluster.clone(), namespace, name))
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads them")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn proxies_of(variable: &dyn Fn(&str) -> Option<String>) -> Proxies {
    let either = |name: &str| variable(name).or_else(|| variable(&name.to_lowercase())).unwrap_or_default();
    let mut proxies = Proxies::none();
    for (name, set) in [
        ("HTTP_PROXY", Proxies::set_http as fn(&mut Proxies, &str) -> _),
        ("HTTPS_PROXY", Proxies::set_https),
    ] {
        if let Err(malformed) = set(&mut proxies, &either(name)) {
            tracing::warn!("{name} is not used: {malformed}");
        }
    }
    proxies.set_bypass(&either("NO_PROXY"));
    proxies
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn proxy(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let read = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        proxies_of(&read).of(&Url::parse(url).unwrap()).map(Url::to_string)
    }

    #[test]
    fn both_spellings_count_and_rubbish_does_not() {
        let url = "https://registry.test/";
        assert_eq!(proxy(&[("HTTPS_PROXY", "p:1")], url).as_deref(), Some("http://p:1/"));
        assert_eq!(proxy(&[("https_proxy", "p:1")], url).as_deref(), Some("http://p:1/"));
        assert_eq!(proxy(&[("https_proxy", "p:1"), ("no_proxy", ".test")], url), None);
        assert_eq!(proxy(&[("HTTPS_PROXY", "socks5://p")], url), None);
        assert_eq!(proxy(&[("http_proxy", "p:1")], "http://registry.test/").as_deref(), Some("http://p:1/"));
        assert_eq!(proxy(&[], url), None);
    }
}
