//! Token services by name, as `providers.toml` has them (credentials specification §6.8). Pure; the file holds no
//! secret, so its mistakes are told with what stands there.

mod clouds;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use url::Url;

pub use clouds::CloudForm;

use crate::client::http::admit;

/// The provider that an annotation means which names none.
pub const DEFAULT: &str = "chainguard";
/// Where registry tokens of Chainguard come from.
pub const CHAINGUARD_ISSUER: &str = "https://issuer.enforce.dev";
const CHAINGUARD_API: &str = "https://console-api.enforce.dev";
/// A larger file is not read.
pub const LARGEST: u64 = 256 * 1024;

/// A token service and what becomes of its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Its name in the file.
    pub name: String,
    /// How it is asked.
    pub form: Form,
    /// Where it is asked; of a cloud the registry, since that has several services for it.
    pub endpoint: Url,
    /// Where identities are made and deleted; only Chainguard's services have that.
    pub api: Option<Url>,
    /// The audience that identity tokens for it must have.
    pub subject_audience: String,
    /// The file with the identity token, where it is another than usual.
    pub subject_token_file: Option<PathBuf>,
    /// What the agent itself assumes to serve runs (§1.2, source 10); without it no run is served.
    pub agent_identity: Option<String>,
    /// The audience that is asked for, where it is not the registry.
    pub audience: Option<String>,
    /// Rights that are asked for.
    pub scope: Option<String>,
    /// The registries that its tokens open.
    pub registries: Vec<String>,
    /// The user name that goes with its tokens.
    pub username: String,
    /// The field of a docker config that its tokens are written to.
    pub write_as: WriteAs,
    /// Plain HTTP is allowed and certificates are not verified: for tests.
    pub insecure: bool,
}

/// How a token service is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `POST /sts/exchange`.
    Chainguard(Style),
    /// The grant of RFC 8693.
    Rfc8693 {
        /// Parameter `resource`.
        resource: Option<String>,
        /// Parameter `subject_token_type`.
        subject_type: String,
        /// Parameter `requested_token_type`.
        requested_type: String,
    },
    /// The services of a cloud.
    Cloud(CloudForm),
}

/// Where the parameters of Chainguard's exchange go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// Into the query.
    #[default]
    Query,
    /// Into a JSON body.
    Json,
}

/// The field of a docker config that a token is written to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WriteAs {
    /// `auth`, which everybody reads.
    #[default]
    Auth,
    /// `identitytoken`, which the kubelet does not read.
    IdentityToken,
    /// `registrytoken`, which the kubelet does not read.
    RegistryToken,
}

/// Every provider that can be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Providers(BTreeMap<String, Arc<Provider>>);

/// Why `providers.toml` is not used.
#[derive(Debug, thiserror::Error)]
pub enum ProvidersError {
    /// Not the TOML that was expected.
    #[error("it cannot be read")]
    Malformed(#[source] Box<toml::de::Error>),
    /// A provider that makes no sense.
    #[error("provider {name:?}: {reason}")]
    Provider {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: Reason,
    },
}

/// What is wrong with a provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Not one of ours.
    #[error("kind {0:?} is not in this build; known: chainguard, rfc8693, ecr, gcp, acr")]
    Kind(String),
    /// A key that this kind needs.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Tokens of the registry are for one registry each.
    #[error("registries must be one: its tokens open no other")]
    Registries,
    /// A key that only another kind has.
    #[error("{0} means nothing for this kind")]
    Unused(&'static str),
    /// No address to send a token to.
    #[error("{key} {value:?} cannot be used: {why}")]
    Address {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Default for Providers {
    /// Chainguard alone.
    fn default() -> Self {
        let row = Row { kind: "chainguard".to_owned(), ..Row::default() };
        let chainguard = row.provider(DEFAULT).ok();
        Self(chainguard.into_iter().map(|provider| (DEFAULT.to_owned(), Arc::new(provider))).collect())
    }
}

impl Providers {
    /// Reads `providers.toml`. Chainguard is there even if the file does not name it.
    pub fn parse(text: &str) -> Result<Self, ProvidersError> {
        let document: Document =
            toml::from_str(text).map_err(|error| ProvidersError::Malformed(Box::new(error)))?;
        let mut providers = Self::default();
        for (name, row) in document.providers {
            let provider = row
                .provider(&name)
                .map_err(|reason| ProvidersError::Provider { name: name.clone(), reason })?;
            providers.0.insert(name, Arc::new(provider));
        }
        Ok(providers)
    }

    /// The one of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Provider>> {
        self.0.get(name)
    }

    /// The first whose tokens open `registry`.
    pub fn of_registry(&self, registry: &str) -> Option<&Arc<Provider>> {
        self.0.values().find(|provider| provider.registries.iter().any(|known| known == registry))
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.0.values()
    }

    /// Their names, for messages.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        names.join(", ")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    providers: BTreeMap<String, Row>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Row {
    kind: String,
    issuer: Option<String>,
    api: Option<String>,
    token_url: Option<String>,
    subject_audience: Option<String>,
    subject_token_file: Option<PathBuf>,
    agent_identity: Option<String>,
    role_arn: Option<String>,
    impersonate: Option<String>,
    client_id: Option<String>,
    tenant: Option<String>,
    audience: Option<String>,
    resource: Option<String>,
    scope: Option<String>,
    subject_token_type: Option<String>,
    requested_token_type: Option<String>,
    style: Option<Style>,
    registries: Option<Vec<String>>,
    username: Option<String>,
    write_as: WriteAs,
    insecure: bool,
}

impl Row {
    fn provider(self, name: &str) -> Result<Provider, Reason> {
        match self.kind.as_str() {
            "chainguard" => self.chainguard(name),
            "rfc8693" => self.rfc8693(name),
            "ecr" => self.ecr(name),
            "gcp" => self.gcp(name),
            "acr" => self.acr(name),
            other => Err(Reason::Kind(other.to_owned())),
        }
    }

    fn chainguard(self, name: &str) -> Result<Provider, Reason> {
        let strange = [
            ("token-url", self.token_url.is_some()),
            ("resource", self.resource.is_some()),
            ("subject-token-type", self.subject_token_type.is_some()),
            ("requested-token-type", self.requested_token_type.is_some()),
        ];
        none_of(strange)?;
        self.no_cloud()?;
        let written = self.issuer.as_deref().unwrap_or(CHAINGUARD_ISSUER);
        // The public SDK takes a bare host too.
        let address = if written.contains("://") { written.to_owned() } else { format!("https://{written}") };
        let issuer = address_of("issuer", &address, self.insecure)?;
        let usual = if written == CHAINGUARD_ISSUER { CHAINGUARD_API } else { address.as_str() };
        let api = address_of("api", self.api.as_deref().unwrap_or(usual), self.insecure)?;
        let mut endpoint = issuer.clone();
        endpoint.set_path(&format!("{}/sts/exchange", issuer.path().trim_end_matches('/')));
        let form = Form::Chainguard(self.style.unwrap_or_default());
        let registries = self.registries.clone().unwrap_or_else(|| vec!["cgr.dev".to_owned()]);
        Ok(self.finish(name, form, endpoint, Some(api), registries, "_token"))
    }

    fn rfc8693(self, name: &str) -> Result<Provider, Reason> {
        none_of([
            ("issuer", self.issuer.is_some()),
            ("api", self.api.is_some()),
            ("style", self.style.is_some()),
        ])?;
        self.no_cloud()?;
        let written = self.token_url.as_deref().ok_or(Reason::Missing("token-url"))?;
        let endpoint = address_of("token-url", written, self.insecure)?;
        let registries = self.registries.clone().filter(|registries| !registries.is_empty());
        let registries = registries.ok_or(Reason::Missing("registries"))?;
        let or = |value: &Option<String>, usual: &str| value.clone().unwrap_or_else(|| usual.to_owned());
        let form = Form::Rfc8693 {
            resource: self.resource.clone(),
            subject_type: or(&self.subject_token_type, "urn:ietf:params:oauth:token-type:jwt"),
            requested_type: or(&self.requested_token_type, "urn:ietf:params:oauth:token-type:access_token"),
        };
        Ok(self.finish(name, form, endpoint, None, registries, "oauth2accesstoken"))
    }

    fn finish(
        self,
        name: &str,
        form: Form,
        endpoint: Url,
        api: Option<Url>,
        registries: Vec<String>,
        username: &str,
    ) -> Provider {
        let host = endpoint.host_str().unwrap_or_default().to_owned();
        Provider {
            name: name.to_owned(),
            form,
            endpoint,
            api,
            subject_audience: self.subject_audience.unwrap_or(host),
            subject_token_file: self.subject_token_file,
            agent_identity: self.agent_identity,
            audience: self.audience,
            scope: self.scope,
            registries,
            username: self.username.unwrap_or_else(|| username.to_owned()),
            write_as: self.write_as,
            insecure: self.insecure,
        }
    }
}

fn none_of<const N: usize>(keys: [(&'static str, bool); N]) -> Result<(), Reason> {
    keys.into_iter().find(|(_, set)| *set).map_or(Ok(()), |(key, _)| Err(Reason::Unused(key)))
}

/// An address that a token may be sent to.
fn address_of(key: &'static str, value: &str, insecure: bool) -> Result<Url, Reason> {
    let refused = |why| Reason::Address { key, value: value.to_owned(), why };
    let url = Url::parse(value).map_err(|_| refused("it is no URL"))?;
    admit(&url).map_err(|_| refused("it leads to an inner address that must not be used"))?;
    match url.scheme() {
        "https" => {}
        "http" if insecure => {}
        "http" => return Err(refused("tokens are not sent over plain HTTP")),
        _ => return Err(refused("it is neither https nor http")),
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        let value = "(with a password or query)".to_owned();
        return Err(Reason::Address { key, value, why: "it is more than an address" });
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Arc<Provider> {
        let name = text.split(['.', ']']).nth(1).unwrap();
        Arc::clone(Providers::parse(text).unwrap().named(name).unwrap())
    }

    fn refused(text: &str) -> String {
        crate::error::chain(&Providers::parse(text).unwrap_err())
    }

    #[test]
    fn chainguard_is_there_without_any_file() {
        let providers = Providers::default();
        let chainguard = providers.named(DEFAULT).unwrap();
        assert_eq!(chainguard.endpoint.as_str(), "https://issuer.enforce.dev/sts/exchange");
        assert_eq!(chainguard.subject_audience, "issuer.enforce.dev");
        assert_eq!((chainguard.username.as_str(), chainguard.write_as), ("_token", WriteAs::Auth));
        assert_eq!(providers.of_registry("cgr.dev"), Some(chainguard));
        assert_eq!(providers.of_registry("cgr.dev.example"), None);
        assert_eq!(providers, Providers::parse("").unwrap());
    }

    #[test]
    fn an_issuer_may_be_a_bare_host_or_lie_below_a_path() {
        let at = |issuer: &str| {
            of(&format!("[providers.chainguard]\nkind = \"chainguard\"\nissuer = \"{issuer}\""))
                .endpoint
                .to_string()
        };
        assert_eq!(at("issuer.example"), "https://issuer.example/sts/exchange");
        assert_eq!(
            at("https://issuer.example:8443/below/"),
            "https://issuer.example:8443/below/sts/exchange"
        );
    }

    #[test]
    fn a_generic_service_has_the_defaults_of_the_standard() {
        let sts = of("[providers.sts]\nkind = \"rfc8693\"\ntoken-url = \"https://sts.example/token\"\n\
                      registries = [\"r.example\"]\nwrite-as = \"identitytoken\"");
        let Form::Rfc8693 { subject_type, requested_type, .. } = &sts.form else { panic!("{sts:?}") };
        assert!(subject_type.ends_with(":jwt") && requested_type.ends_with(":access_token"));
        assert_eq!((sts.username.as_str(), sts.write_as), ("oauth2accesstoken", WriteAs::IdentityToken));
        assert_eq!(sts.subject_audience, "sts.example");
    }

    #[test]
    fn mistakes_are_named_with_their_provider() {
        let provider = |rest: &str| refused(&format!("[providers.p]\n{rest}"));
        for (rest, told) in [
            ("kind = \"exec\"", "kind \"exec\" is not in this build"),
            ("kind = \"ecr\"", "registries is missing"),
            ("kind = \"ecr\"\nregistries = [\"r\"]\nissuer = \"x\"", "issuer means nothing for this kind"),
            ("kind = \"ecr\"\nregistries = [\"r\"]\ntenant = \"x\"", "tenant means nothing for this kind"),
            ("kind = \"gcp\"\nregistries = [\"r\"]", "audience is missing"),
            ("kind = \"acr\"\nregistries = [\"r\"]", "tenant is missing"),
            ("kind = \"acr\"\ntenant = \"t\"\nregistries = [\"r\", \"s\"]", "registries must be one"),
            ("kind = \"chainguard\"\nrole-arn = \"x\"", "role-arn means nothing for this kind"),
            ("kind = \"rfc8693\"\nregistries = [\"r\"]", "token-url is missing"),
            ("kind = \"rfc8693\"\ntoken-url = \"https://s/t\"", "registries is missing"),
            ("kind = \"chainguard\"\ntoken-url = \"https://s/t\"", "token-url means nothing for this kind"),
            ("kind = \"chainguard\"\nissuer = \"http://s\"", "tokens are not sent over plain HTTP"),
            ("kind = \"chainguard\"\nissuer = \"https://169.254.169.254\"", "inner address"),
            ("kind = \"chainguard\"\nissuer = \"ftp://s\"", "neither https nor http"),
        ] {
            let text = provider(rest);
            assert!(text.starts_with("provider \"p\": ") && text.contains(told), "{text}");
        }
        assert!(provider("kind = \"chainguard\"\ncolour = 1").contains("colour"));
        assert!(!provider("kind = \"chainguard\"\nissuer = \"https://u:canary@h\"").contains("canary"));
    }

    #[test]
    fn plain_http_needs_a_word_of_the_operator() {
        let text = "[providers.p]\nkind = \"chainguard\"\nissuer = \"http://127.0.0.1:1\"\ninsecure = true";
        assert_eq!(of(text).endpoint.as_str(), "http://127.0.0.1:1/sts/exchange");
    }
}
