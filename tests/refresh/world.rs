//! What the tests of the updater share: a cluster with the overlay installed, a token service, a registry behind
//! tokens, and the updater with its own service account's token and rights.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::support::{
    Access, Authentication, Cluster, Distribution, FakeSts, Finished, Hallmark, Known, TokenUser, binary,
    eventually,
};

pub const PREFIX: &str = "pull-secret-updater.chainguard.dev/";
pub const NAME: &str = "pull-secret";
/// How long a Secret may take until it is filled.
pub const SOON: Duration = Duration::from_secs(5);

/// See the module.
pub struct World {
    pub cluster: Cluster,
    pub sts: FakeSts,
    pub registry: Distribution,
    pub folder: TempDir,
}

/// A World with the updater running, for tests that keep apart by namespaces.
pub struct Running {
    pub world: World,
    pub updater: Hallmark,
}

impl Running {
    /// The one of this test binary.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Running> = OnceCell::const_new();
        SHARED
            .get_or_init(async || {
                let world = World::start().await;
                let updater = world.updater(&[]).await;
                Self { world, updater }
            })
            .await
    }
}

impl World {
    pub async fn start() -> Self {
        let cluster = Cluster::start().await;
        let overlay = concat!(env!("CARGO_MANIFEST_DIR"), "/config/overlays/pull-secret-updater");
        kubectl(&cluster.kubeconfig("admin"), &["apply", "-k", overlay]).await.succeeded();
        let sts = FakeSts::start(&cluster).await;
        let writer = TokenUser::new("writer", "w").push("team/");
        let reader = TokenUser::judged(sts.judge()).pull("team/");
        let registry = Distribution::start(Authentication::Token(vec![writer, reader])).await;
        let world = Self { cluster, sts, registry, folder: tempfile::tempdir().unwrap() };
        world.write_providers();
        world.write_token().await;
        world
    }

    /// Providers: Chainguard's exchange at the fake service, for the registry.
    fn write_providers(&self) {
        let (issuer, registry) = (&self.sts.url, self.registry.host());
        let text = format!(
            "[providers.chainguard]\nkind = \"chainguard\"\nissuer = \"{issuer}\"\nregistries = [\"{registry}\"]\n\
             subject-audience = \"issuer.enforce.dev\"\n\
             [providers.sts]\nkind = \"rfc8693\"\ntoken-url = \"{issuer}/token\"\nregistries = [\"{registry}\"]\n"
        );
        std::fs::write(self.providers(), text).unwrap();
    }

    /// The token that the kubelet would mount as the overlay says.
    pub async fn write_token(&self) {
        let token = self.cluster.token_for("pull-secret-updater", "controller", "issuer.enforce.dev").await;
        let beside = self.folder.path().join("beside");
        std::fs::write(&beside, token).unwrap();
        std::fs::rename(beside, self.token_file()).unwrap();
    }

    pub fn token_file(&self) -> PathBuf {
        self.folder.path().join("oidc-token")
    }

    pub fn providers(&self) -> PathBuf {
        self.folder.path().join("providers.toml")
    }

    /// `hallmark refresh` as its own service account, ready.
    pub async fn updater(&self, more: &[&str]) -> Hallmark {
        let account = self.cluster.service_account_kubeconfig("pull-secret-updater", "controller").await;
        self.updater_as(&account, more).await
    }

    pub async fn updater_as(&self, kubeconfig: &Path, more: &[&str]) -> Hallmark {
        let (providers, token) = (self.providers(), self.token_file());
        let mut arguments =
            vec!["refresh", "--kubeconfig", text(kubeconfig), "--providers", text(&providers)];
        arguments.extend(["--token-file", text(&token)]);
        arguments.extend(["--health-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"]);
        arguments.extend(more);
        let ca = self.sts.ca();
        let updater = Hallmark::start(&arguments, &[("SSL_CERT_FILE", text(&ca))]);
        updater.line("watching Secrets", Duration::from_secs(30)).await;
        updater
    }

    /// A namespace with an identity that the updater may assume.
    pub async fn tenant(&self, prefix: &str, ttl: i64) -> Tenant<'_> {
        let namespace = self.cluster.namespace(prefix).await;
        let identity = format!("org/{namespace}");
        self.sts.knows(&identity, Known::account(&self.cluster, "pull-secret-updater", "controller", ttl));
        let client = self.cluster.client().await;
        let secrets = Api::namespaced(client.clone(), &namespace);
        Tenant { world: self, namespace, identity, secrets, client }
    }

    /// How often the updater has read the Secret of a tenant.
    pub fn reads_of(&self, tenant: &Tenant<'_>) -> usize {
        let account = "system:serviceaccount:pull-secret-updater:controller";
        let read = self.cluster.audited(|event| {
            event.user.username == account
                && event.verb == "get"
                && event.object_ref.resource == "secrets"
                && event.object_ref.namespace == tenant.namespace
        });
        read.len()
    }

    /// How somebody reaches the registry by the login in a docker config.
    pub fn access(&self, config: &Value) -> Access {
        let auth = config["auths"][self.registry.host()]["auth"].as_str().expect("an entry for the registry");
        let login = String::from_utf8(STANDARD.decode(auth).unwrap()).unwrap();
        let (user, password) = login.split_once(':').unwrap();
        self.registry.access(Some((user.to_owned(), password.to_owned())))
    }
}

/// One namespace and its Secret.
pub struct Tenant<'a> {
    pub world: &'a World,
    pub namespace: String,
    pub identity: String,
    pub secrets: Api<Secret>,
    pub client: kube::Client,
}

impl Tenant<'_> {
    /// Creates a Secret with this content; annotated unless `identity` is false.
    pub async fn create(&self, name: &str, kind: &str, content: Option<&str>, annotated: bool) {
        let identity =
            if annotated { json!({format!("{PREFIX}identity"): self.identity}) } else { json!({}) };
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "type": kind,
            "metadata": {"name": name, "namespace": self.namespace, "annotations": identity}});
        if let Some(content) = content {
            secret["stringData"] = json!({".dockerconfigjson": content});
        }
        self.world.cluster.create(&secret).await;
    }

    /// The Secret of the source document.
    pub async fn create_pull_secret(&self, content: &str) {
        self.create(NAME, "kubernetes.io/dockerconfigjson", Some(content), true).await;
    }

    pub async fn secret(&self) -> Secret {
        self.secrets.get(NAME).await.unwrap()
    }

    pub async fn version(&self) -> String {
        self.secret().await.metadata.resource_version.unwrap()
    }

    pub async fn content(&self) -> String {
        String::from_utf8(self.secret().await.data.unwrap()[".dockerconfigjson"].0.clone()).unwrap()
    }

    pub async fn config(&self) -> Value {
        serde_json::from_str(&self.content().await).unwrap()
    }

    /// The token in the Secret, if there is one.
    pub async fn token(&self) -> Option<String> {
        let config = self.config().await;
        config["auths"][self.world.registry.host()]["auth"].as_str().map(str::to_owned)
    }

    /// A token in the Secret that is another one than `old`.
    pub async fn another_token(&self, old: Option<&str>, limit: Duration) -> String {
        let other = async || self.token().await.filter(|token| Some(token.as_str()) != old);
        eventually(&format!("{} has another token", self.namespace), limit, other).await
    }

    pub async fn annotation(&self, name: &str) -> Option<String> {
        self.secret().await.metadata.annotations?.remove(&format!("{PREFIX}{name}"))
    }

    pub async fn annotate(&self, name: &str, value: Option<&str>) {
        let patch = json!({"metadata": {"annotations": {format!("{PREFIX}{name}"): value}}});
        self.secrets.patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// The first Event with this reason.
    pub async fn event(&self, reason: &str, limit: Duration) -> Event {
        eventually(&format!("an Event {reason} in {}", self.namespace), limit, async || {
            self.events().await.into_iter().find(|event| event.reason.as_deref() == Some(reason))
        })
        .await
    }

    pub async fn events(&self) -> Vec<Event> {
        let api = Api::<Event>::namespaced(self.client.clone(), &self.namespace);
        api.list(&ListParams::default()).await.unwrap().items
    }

    pub fn exchanges(&self) -> usize {
        self.world.sts.count(&self.identity)
    }
}

/// The real kubectl.
pub async fn kubectl(kubeconfig: &Path, arguments: &[&str]) -> Finished {
    let mut command = Command::new(binary("kubectl"));
    command.arg("--kubeconfig").arg(kubeconfig).args(arguments);
    finished(command).await
}

pub async fn finished(mut command: Command) -> Finished {
    let line = format!("{command:?}");
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Finished {
        command: line,
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
