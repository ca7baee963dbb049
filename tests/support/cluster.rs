//! etcd and kube-apiserver with Tekton's CRDs: everything of a cluster that Hallmark talks to. There is no
//! controller manager and no kubelet, so the test plays them: it makes `default` service accounts and
//! completes runs through their status.

mod audit;
mod kubectl;
mod secret;
mod task_run;

pub use audit::Audited;
pub use task_run::Completion;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::binary::{apiserver, binary, installed};
use super::http_client;
use super::pki::{Authority, Identity, key_pair, rsa_key_pair};
use super::process::{Server, StartFailure, eventually, free_port, start};

const AUDIT_POLICY: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy",
    "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}"#;

/// A running control plane.
pub struct Cluster {
    authority: Authority,
    url: String,
    etcd: String,
    names: AtomicU32,
    // Dropped from the top: the API server goes before what it needs.
    _apiserver: Server,
    _etcd: Server,
    folder: TempDir,
}

/// Whether service account tokens are signed by RSA: what kubeadm makes, and the only ones that Tekton Chains takes.
static BY_RSA: AtomicBool = AtomicBool::new(false);

impl Cluster {
    /// Clusters that start from now on sign tokens by RSA.
    pub fn sign_by_rsa() {
        BY_RSA.store(true, Ordering::Relaxed);
    }

    /// The one cluster of this test binary. Tests keep apart by namespaces: [`Cluster::namespace`].
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// A cluster of a test's own, for what would disturb others.
    pub async fn start() -> Self {
        let cluster = Self::without_tekton().await;
        cluster.install_tekton("tekton-crds").await;
        cluster
    }

    /// A cluster that knows no kind of Tekton's.
    pub async fn without_tekton() -> Self {
        start(Self::attempt).await
    }

    async fn attempt() -> Result<Self, StartFailure> {
        let folder = tempfile::tempdir().unwrap();
        let (etcd, etcd_url) = start_etcd(folder.path()).await?;
        let authority = Authority::new(folder.path());
        let (apiserver, url) = start_apiserver(folder.path(), &authority, &etcd_url).await?;
        let names = AtomicU32::new(0);
        Ok(Self { authority, url, etcd: etcd_url, names, _apiserver: apiserver, _etcd: etcd, folder })
    }

    /// Makes Tekton's kinds known, as a folder of the cache defines them.
    pub async fn install_tekton(&self, definitions_of: &str) {
        let client = self.client().await;
        let kind = resource("apiextensions.k8s.io/v1", "CustomResourceDefinition");
        let definitions = Api::<DynamicObject>::all_with(client, &kind);
        for file in fs::read_dir(installed(definitions_of)).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            let mut definition: Value = serde_saphyr::from_str(&text).unwrap();
            // No webhook runs that could convert.
            definition["spec"].as_object_mut().unwrap().remove("conversion");
            let definition = serde_json::from_value(definition).unwrap();
            definitions.create(&PostParams::default(), &definition).await.unwrap();
        }
        eventually("Tekton's kinds are served", std::time::Duration::from_mins(1), async || {
            let listed = definitions.list(&ListParams::default()).await.ok()?;
            listed.items.iter().all(established).then_some(())
        })
        .await;
    }

    /// The API server's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// etcd's URL, for what would take too long through the API server.
    pub fn etcd(&self) -> &str {
        &self.etcd
    }

    /// A client with every right, on the runtime that asks.
    pub async fn client(&self) -> kube::Client {
        // Fails only when it is installed already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig("admin")).unwrap();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        kube::Client::try_from(config.unwrap()).unwrap()
    }

    /// A kubeconfig with a client certificate of `user`. `admin` has every right, others what RBAC gives.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{user}.kubeconfig"));
        if !path.exists() {
            let group = (user == "admin").then_some("system:masters");
            let Identity { certificate, key } = self.authority.user(user, group);
            let credential = json!({"client-certificate": certificate, "client-key": key});
            self.write_kubeconfig(&path, &credential);
        }
        path
    }

    /// The issuer of its service account tokens.
    pub fn issuer(&self) -> String {
        self.url.replace("127.0.0.1", "localhost")
    }

    /// The certificate behind its own.
    pub fn ca_pem(&self) -> String {
        self.authority.pem()
    }

    /// A token of a service account, as a pod of it would have.
    pub async fn token(&self, namespace: &str, account: &str) -> String {
        self.requested_token(namespace, account, Vec::new()).await
    }

    /// A token of a service account for somebody else than the API server.
    pub async fn token_for(&self, namespace: &str, account: &str, audience: &str) -> String {
        self.requested_token(namespace, account, vec![audience.to_owned()]).await
    }

    async fn requested_token(&self, namespace: &str, account: &str, audiences: Vec<String>) -> String {
        let accounts = Api::<ServiceAccount>::namespaced(self.client().await, namespace);
        let spec = TokenRequestSpec { expiration_seconds: Some(3600), audiences, ..Default::default() };
        let request = TokenRequest { spec, ..Default::default() };
        let answer = accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap();
        answer.status.unwrap().token
    }

    /// A kubeconfig with a token of a service account.
    pub async fn service_account_kubeconfig(&self, namespace: &str, account: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{namespace}-{account}-{}.kubeconfig", self.next_name()));
        self.write_kubeconfig(&path, &json!({"token": self.token(namespace, account).await}));
        path
    }

    fn write_kubeconfig(&self, path: &Path, credential: &Value) {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster":
                {"server": self.url, "certificate-authority": self.authority.certificate()}}],
            "users": [{"name": "test", "user": credential}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        // Written beside and renamed, since tests in parallel may read it.
        let beside = path.with_extension(format!("new{}", self.next_name()));
        fs::write(&beside, kubeconfig.to_string()).unwrap();
        fs::rename(beside, path).unwrap();
    }

    /// A new namespace with its `default` service account.
    pub async fn namespace(&self, prefix: &str) -> String {
        let name = format!("{prefix}-{}", self.next_name());
        self.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await;
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": name}});
        self.create(&account).await;
        name
    }

    /// As clusters that Fulcio or Vault trusts allow it; they ask without a credential.
    pub async fn lets_anybody_read_the_keys_of_its_issuer(&self) {
        let rbac = "rbac.authorization.k8s.io";
        let role = json!({"apiGroup": rbac, "kind": "ClusterRole", "name": "system:service-account-issuer-discovery"});
        let everybody = json!({"apiGroup": rbac, "kind": "Group", "name": "system:unauthenticated"});
        let binding = json!({"apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding",
            "metadata": {"name": "issuer-discovery"}, "roleRef": role, "subjects": [everybody]});
        match self.try_create(&binding).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            created => drop(created.unwrap()),
        }
    }

    /// Creates any object; a `metadata.namespace` says where.
    pub async fn create(&self, object: &Value) -> DynamicObject {
        self.try_create(object).await.unwrap_or_else(|error| panic!("cannot create {object}: {error}"))
    }

    /// Creates any object that the API server may refuse.
    pub async fn try_create(&self, object: &Value) -> kube::Result<DynamicObject> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let kind = resource(&text(&object["apiVersion"]), &text(&object["kind"]));
        let client = self.client().await;
        let api = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(client, namespace, &kind),
            None => Api::all_with(client, &kind),
        };
        api.create(&PostParams::default(), &serde_json::from_value(object.clone()).unwrap()).await
    }

    fn next_name(&self) -> u32 {
        self.names.fetch_add(1, Ordering::Relaxed)
    }
}

/// What the API calls this kind; the plural is regular for every kind that tests use.
fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = kube::core::GroupVersionKind::gvk(group, version, kind);
    ApiResource::from_gvk(&kind)
}

fn established(definition: &DynamicObject) -> bool {
    let conditions = definition.data["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Established" && c["status"] == "True"))
}

async fn start_etcd(folder: &Path) -> Result<(Server, String), StartFailure> {
    let (client, peer) = (free_port(), free_port());
    let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let mut command = Command::new(binary("etcd"));
    command
        .arg("--data-dir")
        .arg(folder.join("etcd"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        // Room for the runs of a benchmark; the data need not outlive the machine.
        .args(["--quota-backend-bytes=8589934592", "--unsafe-no-fsync"]);
    let mut etcd = Server::spawn("etcd", &mut command, folder);
    let (http, health) = (http_client(None), format!("{client}/health"));
    etcd.ready(async || http.get(&health).send().await.is_ok_and(|a| a.status() == 200)).await?;
    Ok((etcd, client))
}

async fn start_apiserver(
    folder: &Path,
    authority: &Authority,
    etcd: &str,
) -> Result<(Server, String), StartFailure> {
    let port = free_port();
    let make = if BY_RSA.load(Ordering::Relaxed) { rsa_key_pair } else { key_pair };
    let (serving, (private, public)) = (authority.server("apiserver"), make(folder, "service-accounts"));
    let policy = folder.join("audit-policy.json");
    fs::write(&policy, AUDIT_POLICY).unwrap();
    let file = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
    let mut command = Command::new(apiserver());
    command
        .args([format!("--etcd-servers={etcd}"), format!("--secure-port={port}")])
        .args(["--bind-address=127.0.0.1", "--endpoint-reconciler-type=none"])
        .args(["--service-cluster-ip-range=10.96.0.0/24", "--authorization-mode=RBAC"])
        .arg(file("tls-cert-file", &serving.certificate))
        .arg(file("tls-private-key-file", &serving.key))
        .arg(file("client-ca-file", &authority.certificate()))
        .arg(file("service-account-key-file", &public))
        .arg(file("service-account-signing-key-file", &private))
        .arg(format!("--service-account-issuer=https://localhost:{port}"))
        .arg(format!("--service-account-jwks-uri=https://localhost:{port}/openid/v1/jwks"))
        .arg(format!("--api-audiences=https://localhost:{port},kubernetes"))
        .arg("--anonymous-auth=true")
        .arg(file("audit-policy-file", &policy))
        .arg(file("audit-log-path", &audit::log_path(folder)))
        .arg(file("cert-dir", &folder.join("certificates")));
    let mut apiserver = Server::spawn("kube-apiserver", &mut command, folder);
    let url = format!("https://127.0.0.1:{port}");
    let (http, ready) = (http_client(Some(&authority.pem())), format!("{url}/readyz"));
    apiserver.ready(async || http.get(&ready).send().await.is_ok_and(|a| a.status() == 200)).await?;
    Ok((apiserver, url))
}
