//! The groups of settings: what each field decides. Defaults stand in [`super::default`], keys in [`super::key`].
//!
//! Guarantees: fields are typed so that a bad state cannot be written; secrets do not print. Must not: know
//! how a setting is spelt.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::choice::{
    BuildType, ControllerCredentials, Encoding, Finalizers, NoMatch, Outcomes, PullSecretNamespace, Upload,
};
use super::key_policy::KeyPolicy;
use super::pubsub::PubSubStorage;
use super::secret::Secret;
use super::selector::LabelSelector;
use crate::artifact::image::Repository;

/// What provenance says about the builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Identity of the builder.
    pub builder_id: String,
    /// Build type of SLSA v1.0 provenance.
    pub build_type: BuildType,
    /// Whether a PipelineRun's statement looks into its TaskRuns for artifacts.
    pub deep_inspection: bool,
}

/// Settings of the storages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageSettings {
    /// Registries.
    pub oci: OciStorage,
    /// Google Cloud Storage.
    pub gcs: GcsStorage,
    /// S3, and what speaks as it does.
    pub s3: S3Storage,
    /// Azure Blob Storage.
    pub azure: AzureStorage,
    /// Document databases.
    pub docdb: DocdbStorage,
    /// Google Container Analysis.
    pub grafeas: GrafeasStorage,
    /// Publish and subscribe.
    pub pubsub: PubSubStorage,
    /// Archivista: the server.
    pub archivista_url: Option<String>,
}

/// Settings of the registry storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciStorage {
    /// The one repository for all signatures, instead of each image's own.
    pub repository: Option<Repository>,
    /// TLS certificates are not verified, and plain HTTP is allowed.
    pub insecure: bool,
    /// How signatures lie there.
    pub encoding: Encoding,
    /// Both encodings at once.
    pub also_bundle: bool,
    /// The image must be there before it is signed.
    pub require_image: bool,
}

impl OciStorage {
    /// Whether signatures lie under cosign's tags.
    pub fn keeps_tags(&self) -> bool {
        self.encoding == Encoding::Dsse
    }

    /// Whether signatures lie in bundles.
    pub fn keeps_bundles(&self) -> bool {
        self.encoding == Encoding::SigstoreBundle || self.also_bundle
    }
}

/// Settings of Google Cloud Storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcsStorage {
    /// The bucket.
    pub bucket: Option<String>,
    /// Where Cloud Storage is reached.
    pub endpoint: String,
}

/// Settings of the S3 storage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3Storage {
    /// The bucket.
    pub bucket: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// Where another server than AWS is reached.
    pub endpoint: Option<String>,
}

/// Settings of Azure Blob Storage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AzureStorage {
    /// The storage account.
    pub account: Option<String>,
    /// The container.
    pub container: Option<String>,
    /// Where the account is reached, when not in the public cloud.
    pub endpoint: Option<String>,
}

/// Settings of the document database storage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocdbStorage {
    /// URL of the collection.
    pub url: Secret,
    /// Where `DynamoDB` or Firestore is reached.
    pub endpoint: Option<String>,
    /// URL of the MongoDB server.
    pub mongo_server_url: Secret,
    /// Folder whose file `MONGO_SERVER_URL` has that URL.
    pub mongo_server_url_dir: Option<PathBuf>,
    /// File that has that URL.
    pub mongo_server_url_path: Option<PathBuf>,
}

impl DocdbStorage {
    /// Whether the collection is of `MongoDB` and this build has nothing to reach that with.
    pub fn is_foreign(&self) -> bool {
        !cfg!(feature = "mongodb") && self.url.reveal().trim().starts_with("mongo:")
    }
}

/// Settings of the Container Analysis storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrafeasStorage {
    /// The project.
    pub project_id: Option<String>,
    /// Prefix of the notes' names.
    pub note_id: Option<String>,
    /// Text of the notes.
    pub note_hint: String,
    /// Where Container Analysis is reached.
    pub endpoint: String,
}

/// Settings of the signers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signers {
    /// Certificates for keyless signing.
    pub fulcio: Fulcio,
    /// Key management services.
    pub kms: Kms,
}

/// Settings of keyless signing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the ConfigMap, and says yes or no")]
pub struct Fulcio {
    /// Sign with certificates instead of the key in the Secret.
    pub enabled: bool,
    /// The certificate authority.
    pub address: String,
    /// Issuer of the identity token.
    pub issuer: String,
    /// The one source of identity tokens; all are tried otherwise.
    pub provider: Option<String>,
    /// File with the identity token.
    pub token_file: Option<PathBuf>,
    /// The token may be sent over plain HTTP to a host outside the cluster.
    pub allow_http: bool,
    /// One certificate serves several runs while it is valid.
    pub certificate_reuse: bool,
    /// File with the trust root, instead of the mirror.
    pub trusted_root: Option<PathBuf>,
    /// Mirror of the trust root.
    pub tuf_mirror_url: String,
    /// File with the root that trust in the mirror begins with.
    pub tuf_root: Option<PathBuf>,
    /// Directory in which what the mirror said is kept.
    pub tuf_cache: Option<PathBuf>,
    /// The mirror names the services that sign, too.
    pub tuf_signing_config: bool,
}

/// Settings of key management services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kms {
    /// The key.
    pub key: Option<String>,
    /// Address of Vault.
    pub address: Option<String>,
    /// Token for Vault.
    pub token: Secret,
    /// File with the token; it beats [`Kms::token`].
    pub token_path: Option<PathBuf>,
    /// Where Vault's JWT authentication is mounted.
    pub oidc_path: Option<String>,
    /// Role to log in as.
    pub oidc_role: Option<String>,
    /// File with the JWT.
    pub oidc_token_path: PathBuf,
    /// Socket of the SPIFFE Workload API.
    pub spire_socket: Option<String>,
    /// Audience of the SVID.
    pub spire_audience: Option<String>,
}

/// Settings of the transparency log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transparency {
    /// What is written to it.
    pub upload: Upload,
    /// The log.
    pub url: String,
    /// Version of the log's API: 1 or 2.
    pub version: usize,
    /// File with a Sigstore SigningConfig that names logs and timestamp authorities.
    pub signing_config: Option<PathBuf>,
}

/// How runs are worked off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signing {
    /// How long an attempt is repeated before the run is marked `failed`.
    pub retry_window: Duration,
    /// When a run carries a finalizer.
    pub finalizers: Finalizers,
    /// How many runs are worked on at the same time.
    pub concurrency: usize,
    /// Which key signs for which namespace.
    pub key_policy: KeyPolicy,
}

/// What is signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Label selector in the form that `kubectl -l` takes.
    pub label_selector: Option<LabelSelector>,
    /// Runs that completed longer ago are left alone.
    pub max_age: Option<Duration>,
    /// Runs with another outcome are left alone.
    pub outcomes: Outcomes,
    /// The manifests that an image index lists are signed too.
    pub index_children: bool,
}

/// How registries are met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// TOML file with credentials, proxies and authorities.
    pub config_file: Option<PathBuf>,
    /// Credentials tried for one target in one attempt.
    pub max_candidates: usize,
    /// Whether the agent's own credentials serve runs.
    pub controller_credentials: ControllerCredentials,
    /// Which they serve, with [`ControllerCredentials::Allowlist`].
    pub allow: BTreeSet<AllowedPair>,
    /// The cloud role of the run's own service account is a credential.
    pub run_identity: bool,
    /// Hosts that may be sent a password in an OAuth 2 form.
    pub oauth_password_grant: BTreeSet<RegistryHost>,
    /// AWS role that the agent takes on for ECR.
    pub aws_role_arn: Option<String>,
    /// Provider of the Google workload identity pool that trusts tokens of the cluster.
    pub gcp_provider: Option<String>,
}

/// Runs of these namespaces may use the agent's credentials for these repositories.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AllowedPair {
    /// Glob over namespaces.
    pub namespace: String,
    /// Glob over repositories, host included.
    pub repository: String,
}

/// A registry host in its canonical form, with its port if it has one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegistryHost(pub(super) String);

impl RegistryHost {
    /// `host[:port]`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for RegistryHost {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Pull secrets that are kept fresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    /// Whether this process does it.
    pub enabled: bool,
    /// Names of the Secrets.
    pub secret_names: BTreeSet<String>,
}

/// Admission.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// What happens to an image that no policy names.
    pub no_match: NoMatch,
    /// Where pull secrets are looked up.
    pub pull_secret_namespace: PullSecretNamespace,
    /// Regular expressions of identities match whole texts.
    pub anchor_regexes: bool,
}
