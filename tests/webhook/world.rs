//! One installation for all tests: applied with kubectl as users do, only that the API server reaches the webhook by URL,
//! since no network of Services is here. Tests keep apart by repositories and namespaces.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{OnceCell, RwLock};

use crate::support::{
    Access, Authentication, Cluster, Crane, Distribution, Finished, Fulcio, Hallmark, OfflineCosign,
    PushedImage, TimestampServer, TokenUser, binary, eventually,
};

/// Long enough for a machine under load, and no test waits so long when all is well.
pub const SOON: Duration = Duration::from_secs(30);
/// Where the documentation of policies puts their Secrets.
pub const SYSTEM: &str = "cosign-system";

pub struct World {
    pub cluster: &'static Cluster,
    pub registry: Distribution,
    pub fulcio: Fulcio,
    pub hallmark: Hallmark,
    /// Held to write by who changes the settings, to read by who counts on what was verified under them.
    pub settings: RwLock<()>,
    timestamp: TimestampServer,
    root: PathBuf,
    signer: String,
    writer: TokenUser,
    reader: TokenUser,
    _cosign: OfflineCosign,
}

/// The file of a key among the fixtures.
pub fn key(name: &str) -> String {
    format!("{}/tests/fixtures/keys/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub fn public_key(name: &str) -> String {
    fs::read_to_string(key(name)).unwrap()
}

impl World {
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<World> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        let cluster = Cluster::shared().await;
        let writer = TokenUser::new("writer", "w-password").push("team/").push("signatures/");
        let reader = TokenUser::new("reader", "r-password").pull("team/").pull("signatures/");
        let users = vec![writer.clone(), reader.clone()];
        let registry = Distribution::start(Authentication::Token(users)).await;
        let signer = cluster.namespace("signer").await;
        issuer_is_public(cluster).await;
        let (fulcio, timestamp, cosign) =
            (Fulcio::start(cluster).await, TimestampServer::start().await, OfflineCosign::new());
        let services = [
            ("fulcio", format!("url={},certificate-chain={}", fulcio.url, fulcio.root.display())),
            ("tsa", format!("url={},certificate-chain={}", timestamp.url, timestamp.chain.display())),
        ];
        let root = cosign.trusted_root(&services).await;
        let manifests =
            kubectl(cluster, &["kustomize", "config/overlays/webhook"], "").await.succeeded().stdout;
        apply(cluster, &without_webhooks(&manifests)).await;
        let hallmark = start_webhook(cluster, &registry, &root, &["--address", "127.0.0.1:0"]).await;
        apply(cluster, &webhooks_at(&manifests, &address(&hallmark).await)).await;
        let world = Self {
            cluster,
            registry,
            fulcio,
            hallmark,
            settings: RwLock::new(()),
            timestamp,
            root,
            signer,
            writer,
            reader,
            _cosign: cosign,
        };
        cluster.registry_secret(SYSTEM, "regcreds", &world.reading()).await;
        world
    }

    /// Another replica; it has the same certificate.
    pub async fn replica(&self) -> Hallmark {
        start_webhook(self.cluster, &self.registry, &self.root, &["--address", "127.0.0.1:0"]).await
    }

    pub async fn address_of(&self, hallmark: &Hallmark) -> String {
        address(hallmark).await
    }

    pub fn reading(&self) -> Access {
        self.registry.access(Some(self.reader.login()))
    }

    pub fn writing(&self) -> Access {
        self.registry.access(Some(self.writer.login()))
    }

    /// The certificates of the timestamp authority.
    pub fn timestamps(&self) -> &Path {
        &self.timestamp.chain
    }

    pub fn host(&self) -> String {
        self.registry.host()
    }

    /// In whose name images are signed without a key.
    pub fn name(&self) -> String {
        format!("https://kubernetes.io/namespaces/{}/serviceaccounts/default", self.signer)
    }

    /// A namespace that has opted in.
    pub async fn namespace(&self, prefix: &str) -> String {
        let name = self.cluster.namespace(prefix).await;
        let label = ["label", "namespace", &name, "policy.sigstore.dev/include=true"];
        kubectl(self.cluster, &label, "").await.succeeded();
        // The API server knows it from a watch of its own.
        eventually("the namespace is governed", SOON, async || {
            let asked = self.create(&pod(&name, "probe", "nobody.test/probe:1"), &["--dry-run=server"]).await;
            (asked.code != Some(0) && asked.stderr.contains("no policy governs")).then_some(())
        })
        .await;
        name
    }

    pub async fn image(&self, repository: &str) -> PushedImage {
        Crane::new(&self.writing()).push_random_image(repository).await
    }

    /// An image that the key p256 has signed.
    pub async fn signed_by_key(&self, repository: &str) -> PushedImage {
        let image = self.image(repository).await;
        self.sign(&image, &json!({}), &["--key", &key("p256.pem")]).await;
        image
    }

    /// An image that the service account has signed without a key.
    pub async fn signed(&self, repository: &str) -> PushedImage {
        let image = self.image(repository).await;
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        fs::write(&token, self.cluster.token_for(&self.signer, "default", "sigstore").await).unwrap();
        let settings = json!({"signers.x509.fulcio.enabled": "true", "signers.x509.fulcio.address": self.fulcio.url,
            "signers.x509.identity.token.file": token, "signers.x509.trusted-root": self.root,
            "timestamp.url": self.timestamp.url, "artifacts.taskrun.storage": "oci"});
        self.sign(&image, &settings, &[]).await;
        image
    }

    /// Signs a run that built `image`, with the login of the writer as its own.
    pub async fn sign(&self, image: &PushedImage, settings: &Value, more: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        let (run, config) = (folder.path().join("run.json"), folder.path().join("config.json"));
        let documents = json!([
            {"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "spec": {},
                "metadata": {"name": "build", "namespace": "ci", "uid": "u"},
                "status": {"conditions": [{"type": "Succeeded", "status": "True"}], "results": [
                    {"name": "IMAGE_URL", "type": "string", "value": image.repository},
                    {"name": "IMAGE_DIGEST", "type": "string", "value": image.digest}]}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "secrets": [{"name": "push"}],
                "metadata": {"name": "default", "namespace": "ci"}},
            {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
                "metadata": {"name": "push", "namespace": "ci"},
                "stringData": {".dockerconfigjson": self.writing().docker_config()}}]);
        fs::write(&run, json!({"apiVersion": "v1", "kind": "List", "items": documents}).to_string()).unwrap();
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chains-config"},
            "data": settings});
        fs::write(&config, map.to_string()).unwrap();
        let mut arguments = vec!["sign", "-f", run.to_str().unwrap()];
        if settings.as_object().is_some_and(|settings| !settings.is_empty()) {
            arguments.extend(["--config", config.to_str().unwrap()]);
        }
        arguments.extend(more);
        let ca = self.reading().ca.unwrap();
        let environment = [("SSL_CERT_FILE", ca.to_str().unwrap())];
        Hallmark::run(&arguments, &environment).await.succeeded();
    }

    /// An authority of a policy: the service account without a key, with the Secret of the documentation.
    pub fn keyless(&self) -> Value {
        let identity = json!({"issuer": self.cluster.issuer(), "subject": self.name()});
        json!({"keyless": {"url": self.fulcio.url, "identities": [identity]}, "source": Self::source("regcreds")})
    }

    /// An authority of a policy: a key of the fixtures.
    pub fn by_key(name: &str) -> Value {
        json!({"key": {"data": public_key(name)}, "source": Self::source("regcreds")})
    }

    pub fn source(secret: &str) -> Value {
        json!([{"signaturePullSecrets": [{"name": secret}]}])
    }

    /// Applies a policy for `glob` below the registry; it is in force when this returns.
    pub async fn policy(&self, name: &str, glob: &str, authorities: Value) {
        let spec = json!({"images": [{"glob": glob}], "authorities": authorities});
        self.policy_of(name, &spec).await.succeeded();
    }

    pub async fn policy_of(&self, name: &str, spec: &Value) -> Finished {
        let policy = json!({"apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy",
            "metadata": {"name": name}, "spec": spec});
        let applied = kubectl(self.cluster, &["apply", "-f", "-"], &policy.to_string()).await;
        // Longer than the webhook takes to hear of it.
        tokio::time::sleep(Duration::from_secs(2)).await;
        applied
    }

    pub async fn create(&self, object: &Value, more: &[&str]) -> Finished {
        kubectl(self.cluster, &[&["create", "-o", "json", "-f", "-"], more].concat(), &object.to_string())
            .await
    }

    /// The pod as it was admitted.
    #[track_caller]
    pub fn admitted(finished: Finished) -> Value {
        serde_json::from_str(&finished.succeeded().stdout).unwrap()
    }

    pub async fn run(&self, namespace: &str, image: &str) -> Finished {
        self.create(&pod(namespace, "", image), &[]).await
    }
}

/// Denied, with every one of these texts.
#[track_caller]
pub fn denied(finished: &Finished, texts: &[&str]) {
    assert_ne!(finished.code, Some(0), "admitted: {}", finished.stdout);
    for text in texts {
        assert!(finished.stderr.contains(text), "{text:?} is not in {}", finished.stderr);
    }
}

/// A pod of one container; without a name it gets one.
pub fn pod(namespace: &str, name: &str, image: &str) -> Value {
    let mut metadata = json!({"namespace": namespace, "generateName": "pod-"});
    if !name.is_empty() {
        metadata["name"] = json!(name);
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": {"automountServiceAccountToken": false, "containers": [{"name": "app", "image": image}]}})
}

/// kubectl with every right, `input` on its standard input.
pub async fn kubectl(cluster: &Cluster, arguments: &[&str], input: &str) -> Finished {
    let mut command = Command::new(binary("kubectl"));
    command.arg("--kubeconfig").arg(cluster.kubeconfig("admin")).args(arguments);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (shown, input) = (format!("kubectl {arguments:?}"), input.to_owned());
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    });
    let output = output.await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    Finished { command: shown, code: output.status.code(), stdout, stderr }
}

pub async fn apply(cluster: &Cluster, manifests: &str) {
    kubectl(cluster, &["apply", "-f", "-"], manifests).await.succeeded();
    // Longer than the webhook takes to hear of it.
    tokio::time::sleep(Duration::from_secs(2)).await;
}

fn is_webhook(document: &str) -> bool {
    document.contains("kind: MutatingWebhookConfiguration")
        || document.contains("kind: ValidatingWebhookConfiguration")
}

fn without_webhooks(manifests: &str) -> String {
    manifests.split("\n---\n").filter(|document| !is_webhook(document)).collect::<Vec<_>>().join("\n---\n")
}

/// The configurations with a URL in place of the Service.
fn webhooks_at(manifests: &str, address: &str) -> String {
    let documents = manifests.split("\n---\n").filter(|document| is_webhook(document));
    let documents = documents.map(|document| {
        let mut document: Value = serde_saphyr::from_str(document).unwrap();
        for webhook in document["webhooks"].as_array_mut().unwrap() {
            let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap().to_owned();
            webhook["clientConfig"] = json!({"url": format!("https://{address}{path}")});
        }
        document
    });
    json!({"apiVersion": "v1", "kind": "List", "items": documents.collect::<Vec<_>>()}).to_string()
}

/// With the rights of its own service account, and no others.
async fn start_webhook(cluster: &Cluster, registry: &Distribution, root: &Path, more: &[&str]) -> Hallmark {
    let kubeconfig = cluster.service_account_kubeconfig(SYSTEM, "hallmark-webhook").await;
    let arguments = [
        &["webhook", "--kubeconfig", kubeconfig.to_str().unwrap(), "--host", "127.0.0.1"][..],
        &["--health-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"],
        &["--trusted-root", root.to_str().unwrap()],
        more,
    ];
    let ca = registry.access(None).ca.unwrap();
    Hallmark::start(&arguments.concat(), &[("SSL_CERT_FILE", ca.to_str().unwrap())])
}

async fn address(hallmark: &Hallmark) -> String {
    let line = hallmark.line("--address", SOON).await;
    let line: Value = serde_json::from_str(&line).unwrap();
    let bound = line.get("bound").or_else(|| line["fields"].get("bound"));
    bound.unwrap_or_else(|| panic!("no address in {line}")).as_str().unwrap().to_owned()
}

/// As clusters that Fulcio trusts allow it; it asks without a credential.
async fn issuer_is_public(cluster: &Cluster) {
    let rbac = "rbac.authorization.k8s.io";
    let role =
        json!({"apiGroup": rbac, "kind": "ClusterRole", "name": "system:service-account-issuer-discovery"});
    let everybody = json!({"apiGroup": rbac, "kind": "Group", "name": "system:unauthenticated"});
    cluster
        .create(&json!({"apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding",
            "metadata": {"name": "issuer-discovery"}, "roleRef": role, "subjects": [everybody]}))
        .await;
}

/// How long something took.
pub async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let started = Instant::now();
    let done = work.await;
    (done, started.elapsed())
}
