//! The agent on a real cluster: a namespace of its own with `chains-config`, `signing-secrets` and runs, watched
//! by a `hallmark controller` of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Event};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::release;
use crate::support::{
    Access, Cluster, Completion, Cosign, Crane, Hallmark, KeyPair, PushedImage, eventually,
};

/// How long a test waits for a signature before it fails.
pub const SOON: Duration = Duration::from_secs(30);

/// A namespace with everything that a controller needs.
pub struct Agent {
    pub cluster: &'static Cluster,
    pub namespace: String,
    pub public_key: PathBuf,
    keys: tempfile::TempDir,
    ca: Option<PathBuf>,
}

impl Agent {
    /// Prepares a namespace whose runs push to `access` with the credentials of the `default` service account.
    pub async fn prepare(prefix: &str, access: &Access, config: &[(&str, &str)]) -> Self {
        let cluster = Cluster::shared().await;
        let namespace = cluster.namespace(prefix).await;
        let keys = tempfile::tempdir().unwrap();
        let fixture = |name: &str| format!("{}/tests/fixtures/keys/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::copy(fixture("p256.pem"), keys.path().join("x509.pem")).unwrap();
        release::grant(cluster, &namespace).await;
        let agent =
            Self { cluster, namespace, public_key: fixture("p256.pub").into(), keys, ca: access.ca.clone() };
        agent.configure(config).await;
        if access.login.is_some() {
            agent.cluster.registry_secret(&agent.namespace, "push", access).await;
            agent.cluster.set_secrets(&agent.namespace, "default", &["push"]).await;
        }
        agent
    }

    /// Writes the ConfigMap.
    pub async fn configure(&self, config: &[(&str, &str)]) {
        let data: BTreeMap<&str, &str> = config.iter().copied().collect();
        let maps = Api::<ConfigMap>::namespaced(self.cluster.client().await, &self.namespace);
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chains-config"}, "data": data});
        maps.patch("chains-config", &PatchParams::apply("test").force(), &Patch::Apply(map)).await.unwrap();
    }

    /// Replaces the signing keys by those of a pair that cosign made.
    pub fn use_cosign_key(&mut self, pair: &KeyPair) {
        std::fs::remove_file(self.keys.path().join("x509.pem")).unwrap();
        std::fs::copy(&pair.private, self.keys.path().join("cosign.key")).unwrap();
        std::fs::write(self.keys.path().join("cosign.password"), pair.password).unwrap();
        self.public_key.clone_from(&pair.public);
    }

    /// Folder of the signing keys.
    pub fn keys(&self) -> &std::path::Path {
        self.keys.path()
    }

    /// Starts a controller with the service account and the rights of `release.yaml`, at the log level that shows
    /// the most.
    pub async fn start(&self) -> Hallmark {
        self.start_with(&[]).await
    }

    /// The same, with more arguments.
    pub async fn start_with(&self, more: &[&str]) -> Hallmark {
        let kubeconfig =
            self.cluster.service_account_kubeconfig("tekton-chains", "tekton-chains-controller").await;
        self.start_as(&kubeconfig, more)
    }

    /// The same with the rights of somebody else.
    pub fn start_as(&self, kubeconfig: &std::path::Path, more: &[&str]) -> Hallmark {
        self.start_in(kubeconfig, more, &[])
    }

    /// The same with these variables in its environment.
    pub fn start_in(
        &self,
        kubeconfig: &std::path::Path,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> Hallmark {
        let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let (kubeconfig, keys) = (text(kubeconfig), text(self.keys.path()));
        let mut arguments =
            vec!["controller", "--namespace", &self.namespace, "--system-namespace", &self.namespace];
        // A container that restarts keeps the name of its pod.
        if !more.contains(&"--replica") {
            arguments.extend(["--replica", "agent"]);
        }
        arguments.extend(["--kubeconfig", &kubeconfig, "--signing-secrets", &keys]);
        arguments.extend(["--health-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"]);
        // One that follows config-logging has no level of its own.
        if !more.contains(&"--config-logging") {
            arguments.extend(["--log", "trace"]);
        }
        arguments.extend(more);
        let ca = self.ca.as_deref().map(text).unwrap_or_default();
        let mut environment = environment.to_vec();
        if !ca.is_empty() {
            environment.push(("SSL_CERT_FILE", &ca));
        }
        Hallmark::start(&arguments, &environment)
    }

    /// Creates a TaskRun and completes it with one image.
    pub async fn build(&self, name: &str, access: &Access, image: &PushedImage) {
        let completion = Completion::success().image("", &repository(access, image), &image.digest);
        self.cluster.completed_task_run(&self.namespace, name, &completion).await;
    }

    /// Waits for the mark of a TaskRun.
    pub async fn mark(&self, name: &str, limit: Duration) -> String {
        self.cluster.annotation(&self.namespace, name, "chains.tekton.dev/signed", limit).await
    }

    /// The outcome of a TaskRun, as soon as there is one.
    pub async fn outcome(&self, name: &str, limit: Duration) -> Vec<Value> {
        let text = self.cluster.annotation(&self.namespace, name, "chains.tekton.dev/outcome", limit).await;
        serde_json::from_str(&text).unwrap()
    }

    /// cosign accepts signature and provenance of an image.
    pub async fn cosign_accepts(&self, access: &Access, image: &PushedImage) {
        let cosign = Cosign::new(access);
        cosign.verify(&self.public_key, &image.by_digest()).await.succeeded();
        cosign.verify_attestation(&self.public_key, "slsaprovenance", &image.by_digest()).await.succeeded();
    }

    /// How many layers the tag of an image has.
    pub async fn layers(access: &Access, image: &PushedImage, suffix: &str) -> usize {
        let manifest = Crane::new(access).manifest(&image.cosign_tag(suffix)).await;
        manifest.map_or(0, |manifest| manifest["layers"].as_array().unwrap().len())
    }

    /// Every Event on objects of the namespace, as `reason: message`.
    pub async fn events(&self) -> Vec<String> {
        let shown = |event: Event| {
            format!("{}: {}", event.reason.unwrap_or_default(), event.message.unwrap_or_default())
        };
        self.event_objects().await.into_iter().map(shown).collect()
    }

    /// The same, whole.
    pub async fn event_objects(&self) -> Vec<Event> {
        let events = Api::<Event>::namespaced(self.cluster.client().await, &self.namespace);
        events.list(&ListParams::default()).await.unwrap().items
    }

    /// Waits for an Event that holds every one of these texts.
    pub async fn event(&self, texts: &[&str]) -> String {
        let started = Instant::now();
        loop {
            let events = self.events().await;
            // A remedy begins a sentence there.
            let has = |event: &String, text: &str| event.to_lowercase().contains(&text.to_lowercase());
            if let Some(event) = events.iter().find(|event| texts.iter().all(|text| has(event, text))) {
                return event.clone();
            }
            assert!(started.elapsed() < SOON, "no Event has all of {texts:?}: {events:#?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Every annotation of a TaskRun of this agent's.
    pub async fn annotations(&self, name: &str) -> BTreeMap<String, String> {
        let runs = self.cluster.task_runs(&self.namespace).await;
        runs.get(name).await.unwrap().metadata.annotations.unwrap_or_default()
    }

    /// The names and marks of all TaskRuns.
    pub async fn marks(&self) -> BTreeMap<String, Option<String>> {
        let runs = self.cluster.task_runs(&self.namespace).await.list(&ListParams::default()).await.unwrap();
        let mark = |run: DynamicObject| {
            let mark = run.metadata.annotations.and_then(|mut all| all.remove("chains.tekton.dev/signed"));
            (run.metadata.name.unwrap(), mark)
        };
        runs.into_iter().map(mark).collect()
    }

    /// Waits until every TaskRun is marked, and fails unless all marks are `true`.
    pub async fn all_signed(&self, limit: Duration) {
        let marks = eventually("every run is marked", limit, async || {
            let marks = self.marks().await;
            marks.values().all(Option::is_some).then_some(marks)
        })
        .await;
        let wrong: Vec<_> = marks.iter().filter(|(_, mark)| mark.as_deref() != Some("true")).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

/// The image's repository as a result names it.
pub fn repository(_access: &Access, image: &PushedImage) -> String {
    image.by_digest().split('@').next().unwrap().to_owned()
}

/// The controller stops by itself when it is asked to.
pub fn stopped_well(hallmark: Hallmark) -> Vec<String> {
    let (status, lines): (ExitStatus, _) = hallmark.terminate();
    assert!(status.success(), "{status}: {}", lines.join("\n"));
    lines
}
