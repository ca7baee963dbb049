//! Signing without a key: tokens of the real kube-apiserver, certificates of a real Fulcio, cosign as the judge.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::agent::{Agent, SOON, repository};
use crate::support::{
    Access, Completion, Cosign, Crane, Door, Finished, Fulcio, Hallmark, Identity, Layout, OfflineCosign,
    PlainRegistry, Pod, PushedImage, RekorTiles, TimestampServer, eventually,
};

pub const NAME: &str =
    "https://kubernetes.io/namespaces/tekton-chains/serviceaccounts/tekton-chains-controller";

/// An agent that signs in the name of its service account.
pub struct Keyless {
    pub agent: Agent,
    pub fulcio: Fulcio,
    pub door: Door,
    pub registry: PlainRegistry,
    token: tempfile::TempDir,
}

impl Keyless {
    pub async fn prepare(prefix: &str, more: &[(&str, &str)]) -> Self {
        let registry = PlainRegistry::start().await;
        let agent = Agent::prepare(prefix, &registry.access(), &[]).await;
        agent.cluster.lets_anybody_read_the_keys_of_its_issuer().await;
        let fulcio = Fulcio::start(agent.cluster).await;
        let door = Door::before(&fulcio.url).await;
        let token = tempfile::tempdir().unwrap();
        let keyless = Self { agent, fulcio, door, registry, token };
        keyless.mount("sigstore").await;
        keyless.configure(more).await;
        // Without keys, so that nothing else can have signed.
        std::fs::remove_file(keyless.agent.keys().join("x509.pem")).unwrap();
        keyless
    }

    pub async fn configure(&self, more: &[(&str, &str)]) {
        let file = self.token_file();
        let mut config = vec![
            ("artifacts.taskrun.storage", "oci,tekton"),
            ("signers.x509.fulcio.enabled", "true"),
            ("signers.x509.fulcio.address", &self.door.url),
            ("signers.x509.identity.token.file", &file),
        ];
        config.extend(more);
        self.agent.configure(&config).await;
    }

    pub fn token_file(&self) -> String {
        self.token.path().join("token").to_str().unwrap().to_owned()
    }

    /// As the kubelet does it.
    pub async fn mount(&self, audience: &str) {
        let token = self.agent.cluster.token_for("tekton-chains", "tekton-chains-controller", audience).await;
        std::fs::write(self.token_file(), token).unwrap();
    }

    pub fn access(&self) -> Access {
        self.registry.access()
    }

    pub async fn build(&self, name: &str) -> PushedImage {
        let image = Crane::new(&self.access()).push_random_image(name).await;
        self.agent.build(name, &self.access(), &image).await;
        image
    }

    pub async fn accepts(&self, name: &str, image: &PushedImage) -> bool {
        let (cosign, issuer) = (Cosign::new(&self.access()), self.agent.cluster.issuer());
        let who = Identity { root: &self.fulcio.root, name, issuer: &issuer };
        let image = image.by_digest();
        let signature = cosign.verify_identity(&who, &image).await.code == Some(0);
        let attestation = cosign.verify_attestation_identity(&who, "slsaprovenance", &image).await;
        assert_eq!(signature, attestation.code == Some(0), "{}", attestation.stderr);
        signature
    }

    /// Takes the mark of a run away: what a crash right before the last write looks like.
    async fn unmark(&self, run: &str) {
        let runs = self.agent.cluster.task_runs(&self.agent.namespace).await;
        let nothing = json!({"metadata": {"annotations":
            {"chains.tekton.dev/signed": null, "chains.tekton.dev/outcome": null}}});
        runs.patch(run, &PatchParams::default(), &Patch::Merge(nothing)).await.unwrap();
    }

    pub async fn waits_because(&self, run: &str, texts: &[&str]) {
        let told = async || {
            let annotations = self.agent.annotations(run).await;
            assert_eq!(annotations.get("chains.tekton.dev/signed"), None);
            let outcome = annotations.get("chains.tekton.dev/outcome")?;
            texts.iter().all(|text| outcome.contains(text)).then_some(())
        };
        eventually(&format!("the outcome says {texts:?}"), SOON, told).await;
    }
}

#[tokio::test]
async fn what_the_agent_signs_in_the_name_of_its_service_account_cosign_accepts() {
    let keyless = Keyless::prepare("keyless", &[]).await;
    let hallmark = keyless.agent.start().await;
    let image = keyless.build("app").await;
    assert_eq!(keyless.agent.mark("app", SOON).await, "true");
    assert!(keyless.accepts(NAME, &image).await);
    assert!(!keyless.accepts(&NAME.replace("tekton-chains-controller", "default"), &image).await);
    assert_eq!(keyless.fulcio.issued().await, 1, "one certificate for everything that a run signs");
    let annotations = keyless.agent.annotations("app").await;
    let certificates = annotations.iter().filter(|(name, _)| name.starts_with("chains.tekton.dev/cert-"));
    assert!(certificates.clone().count() == 1 && certificates.clone().all(|(_, text)| text.len() > 500));
    let token = std::fs::read_to_string(keyless.token_file()).unwrap();
    let signature = token.rsplit('.').next().unwrap().to_owned();
    assert!(!hallmark.terminate().1.concat().contains(&signature), "the token is printed nowhere");
}

#[tokio::test]
async fn a_token_that_the_api_server_makes_signs_once_the_role_of_the_documentation_allows_it() {
    let keyless = Keyless::prepare("requested", &[]).await;
    let address = keyless.door.url.clone();
    keyless
        .agent
        .configure(&[
            ("artifacts.taskrun.storage", "oci"),
            ("signers.x509.fulcio.enabled", "true"),
            ("signers.x509.fulcio.address", &address),
            ("signers.x509.fulcio.provider", "kubernetes"),
        ])
        .await;
    let cluster = keyless.agent.cluster;
    let kubeconfig = cluster.service_account_kubeconfig("tekton-chains", "tekton-chains-controller").await;
    let mut read: Value = serde_json::from_slice(&std::fs::read(&kubeconfig).unwrap()).unwrap();
    let reached = read["clusters"][0]["cluster"].as_object_mut().unwrap();
    reached.remove("certificate-authority");
    let authority = base64::prelude::BASE64_STANDARD.encode(cluster.ca_pem());
    reached.insert("certificate-authority-data".into(), authority.into());
    std::fs::write(&kubeconfig, read.to_string()).unwrap();
    // Who it is, it reads in the token that every pod has.
    let (own, namespace) = (keyless.token_file(), keyless.agent.namespace.clone());
    let mounts = [
        (Path::new(&own), "/var/run/secrets/kubernetes.io/serviceaccount/token"),
        (&kubeconfig, "/kubeconfig"),
        (keyless.agent.keys(), "/keys"),
    ];
    let pod = match Pod::start(&mounts).await {
        Ok(pod) => pod,
        Err(reason) => return println!("skipped: no mount namespace here: {reason}"),
    };
    let arguments = ["controller", "--namespace", &namespace, "--system-namespace", &namespace];
    let places = ["--replica", "agent", "--kubeconfig", "/kubeconfig", "--signing-secrets", "/keys"];
    let ports = ["--health-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"];
    let _hallmark = pod.start_hallmark(&[&arguments[..], &places, &ports].concat(), &[]);
    let image = keyless.build("app").await;
    keyless.waits_because("app", &["serviceaccounts/token"]).await;
    assert_eq!(Agent::layers(&keyless.access(), &image, "sig").await, 0);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/keyless.md")).unwrap();
    let role = page
        .split("```yaml\n")
        .find_map(|part| part.split_once("```").filter(|(yaml, _)| yaml.contains("own-token")));
    for object in serde_saphyr::from_multiple::<Value>(role.unwrap().0).unwrap() {
        cluster.create(&object).await;
    }
    assert_eq!(keyless.agent.mark("app", 2 * SOON).await, "true");
    assert!(keyless.accepts(NAME, &image).await);
}

#[tokio::test]
async fn a_run_whose_signatures_are_in_place_costs_no_certificate() {
    let keyless = Keyless::prepare("resumed", &[]).await;
    let before = keyless.agent.start().await;
    let image = keyless.build("app").await;
    keyless.agent.mark("app", SOON).await;
    before.kill();
    keyless.unmark("app").await;
    let _hallmark = keyless.agent.start().await;
    assert_eq!(keyless.agent.mark("app", SOON).await, "true");
    let results: Vec<Value> = keyless.agent.outcome("app", SOON).await;
    assert!(results.iter().all(|entry| entry["result"] == "present"), "{results:?}");
    assert!(results.iter().all(|entry| entry["signer"] == NAME), "{results:?}");
    assert_eq!(keyless.fulcio.issued().await, 1);
    assert_eq!(Agent::layers(&keyless.access(), &image, "sig").await, 1);
    assert_eq!(Agent::layers(&keyless.access(), &image, "att").await, 1);
}

#[tokio::test]
async fn runs_share_a_certificate_where_that_is_allowed() {
    let keyless = Keyless::prepare("shared", &[("signers.x509.fulcio.certificate-reuse", "true")]).await;
    let _hallmark = keyless.agent.start().await;
    for name in ["first", "second", "third"] {
        let image = keyless.build(name).await;
        assert_eq!(keyless.agent.mark(name, SOON).await, "true");
        assert!(keyless.accepts(NAME, &image).await);
    }
    assert_eq!(keyless.fulcio.issued().await, 1);
}

#[tokio::test]
async fn a_token_for_somebody_else_is_never_sent_and_its_replacement_signs() {
    let keyless = Keyless::prepare("audience", &[]).await;
    keyless.mount("somebody-else").await;
    let _hallmark = keyless.agent.start().await;
    keyless.build("app").await;
    keyless.waits_because("app", &["somebody-else", "sigstore"]).await;
    assert_eq!(keyless.door.count(), 0);
    keyless.mount("sigstore").await;
    assert_eq!(keyless.agent.mark("app", 2 * SOON).await, "true");
}

/// A log and a timestamp authority, and a trust root of both and of Fulcio.
pub struct Witnesses {
    pub rekor: RekorTiles,
    pub timestamps: TimestampServer,
    pub root: PathBuf,
    _cosign: OfflineCosign,
}

impl Witnesses {
    pub async fn start(fulcio: &Fulcio) -> Self {
        let (rekor, timestamps) = (RekorTiles::start().await, TimestampServer::start().await);
        let (cosign, from) = (OfflineCosign::new(), "start-time=2024-01-01T00:00:00Z");
        let (key, chain) = (rekor.key.display(), timestamps.chain.display());
        let services = [
            trusting(fulcio),
            ("rekor", format!("url={},public-key={key},{from},origin=localhost", rekor.url)),
            ("tsa", format!("url={},certificate-chain={chain}", timestamps.url)),
        ];
        let root = cosign.trusted_root(&services).await;
        Self { rekor, timestamps, root, _cosign: cosign }
    }

    /// The key id of the log, as a trust root by cosign has it.
    fn log_id(&self) -> String {
        let root: Value = serde_json::from_slice(&std::fs::read(&self.root).unwrap()).unwrap();
        let id =
            base64::prelude::BASE64_STANDARD.decode(root["tlogs"][0]["logId"]["keyId"].as_str().unwrap());
        hex::encode(id.unwrap())
    }

    /// The settings that name them.
    pub fn settings(&self) -> Vec<(&str, &str)> {
        vec![
            ("transparency.enabled", "true"),
            ("transparency.url", &self.rekor.url),
            ("transparency.version", "2"),
            ("timestamp.url", &self.timestamps.url),
            ("signers.x509.trusted-root", self.root.to_str().unwrap()),
        ]
    }
}

#[tokio::test]
async fn bundles_with_log_entry_and_timestamp_are_accepted_by_cosign_offline() {
    let keyless = Keyless::prepare("bundles", &[]).await;
    let witnesses = Witnesses::start(&keyless.fulcio).await;
    let layout = [("storage.oci.also-bundle", "true")];
    keyless.configure(&[&witnesses.settings()[..], &layout].concat()).await;
    let _hallmark = keyless.agent.start().await;
    let image = keyless.build("app").await;
    assert_eq!(keyless.agent.mark("app", SOON).await, "true");

    let issuer = keyless.agent.cluster.issuer();
    let cosign = Cosign::new(&keyless.access());
    let judge = async |name: &str, layout| {
        let who = Identity { root: &witnesses.root, name, issuer: &issuer };
        let (signature, attestation) = cosign.verify_witnessed(&who, layout, &image.by_digest()).await;
        assert_eq!(signature.code, attestation.code, "{}\n{}", signature.stderr, attestation.stderr);
        signature
    };
    judge(NAME, Layout::Bundles).await.succeeded();
    judge(NAME, Layout::Tags).await.succeeded();
    judge("https://kubernetes.io/namespaces/x/serviceaccounts/y", Layout::Bundles).await.failed();
    let entry = keyless.agent.annotations("app").await["chains.tekton.dev/transparency"].clone();
    assert!(entry.starts_with(&format!("{}?logIndex=", witnesses.rekor.url)), "{entry}");
    let outcome = keyless.agent.outcome("app", SOON).await;
    let logs: Vec<&str> = outcome.iter().filter_map(|one| one["log"].as_str()).collect();
    let key = witnesses.log_id();
    assert!(logs.iter().any(|log| log.contains(&entry) && log.contains(&key)), "{key} is not in {logs:?}");
}

/// Fulcio, as the maker of a trust root takes it.
pub fn trusting(fulcio: &Fulcio) -> (&'static str, String) {
    ("fulcio", format!("url={},certificate-chain={}", fulcio.url, fulcio.root.display()))
}

/// What `hallmark verify` says of an image, for one identity and trust root.
#[derive(Clone, Copy)]
struct Judge<'a> {
    image: &'a str,
    name: &'a str,
    issuer: &'a str,
    root: &'a Path,
}

impl Judge<'_> {
    async fn asked(&self, command: &str, more: &[&str]) -> Finished {
        let root = self.root.to_str().unwrap();
        let identity = ["--certificate-identity", self.name, "--certificate-oidc-issuer", self.issuer];
        let arguments = [&[command, self.image, "--trusted-root", root][..], &identity, more].concat();
        Hallmark::run(&arguments, &[]).await
    }

    /// Signature and provenance are accepted both.
    async fn accepts(&self, more: &[&str]) {
        self.asked("verify", more).await.succeeded();
        self.asked("verify", &[&["--type", "slsaprovenance"], more].concat()).await.succeeded();
    }

    /// Both are refused for this reason; exit code 3.
    async fn refuses(&self, more: &[&str], code: &str) {
        for kind in [&[][..], &["--type", "slsaprovenance"]] {
            let finished = self.asked("verify", &[&["-o", "json"], kind, more].concat()).await;
            assert_eq!(finished.code, Some(3), "{}{}", finished.stdout, finished.stderr);
            assert!(finished.stdout.contains(code), "{code} is not in {}", finished.stdout);
        }
    }
}

#[tokio::test]
async fn what_the_agent_signs_in_its_name_hallmark_verifies_in_each_layout() {
    let keyless = Keyless::prepare("verified", &[]).await;
    let witnesses = Witnesses::start(&keyless.fulcio).await;
    let (strangers, issuer) = (Fulcio::start(keyless.agent.cluster).await, keyless.agent.cluster.issuer());
    let (cosign, other_cosign) = (OfflineCosign::new(), OfflineCosign::new());
    let unwitnessed = cosign.trusted_root(&[trusting(&keyless.fulcio)]).await;
    let strange = other_cosign.trusted_root(&[trusting(&strangers)]).await;
    for (run, encoding) in [("tags", "dsse"), ("bundles", "sigstore-bundle")] {
        let layout = [("storage.oci.encoding-format", encoding)];
        keyless.configure(&[&witnesses.settings()[..], &layout].concat()).await;
        let hallmark = keyless.agent.start().await;
        let image = keyless.build(run).await.by_digest();
        assert_eq!(keyless.agent.mark(run, SOON).await, "true");
        hallmark.terminate();

        let judge = Judge { image: &image, name: NAME, issuer: &issuer, root: &witnesses.root };
        judge.accepts(&[]).await;
        Judge { name: "https://kubernetes.io/namespaces/x/serviceaccounts/y", ..judge }
            .refuses(&[], "IdentityMismatch")
            .await;
        Judge { issuer: "https://elsewhere.test", ..judge }.refuses(&[], "IdentityMismatch").await;
        Judge { root: &strange, ..judge }.refuses(&["--insecure-ignore-tlog"], "UntrustedCertificate").await;
        // Log and timestamp authority are unknown there: nothing that counts proves the time.
        let unproven = Judge { root: &unwitnessed, ..judge };
        unproven.refuses(&[], if run == "tags" { "TimestampInvalid" } else { "NoProofOfTime" }).await;
        unproven.accepts(&["--insecure-ignore-tlog"]).await;

        let tree = judge.asked("tree", &[]).await.succeeded().stdout;
        assert!(tree.matches(NAME).count() >= 2, "signature and provenance name who signed: {tree}");
        let stranger = Judge { issuer: "https://elsewhere.test", ..judge };
        let refused = stranger.asked("tree", &[]).await.stdout;
        assert!(refused.contains("who is none of"), "{refused}");
    }
}

#[tokio::test]
async fn fulcio_without_a_log_or_a_timestamp_is_told_by_event_and_by_config_check() {
    let keyless = Keyless::prepare("unproven", &[]).await;
    let _hallmark = keyless.agent.start().await;
    let told = "nobody can verify a signature after its certificate has expired";
    let events = Api::<Event>::namespaced(keyless.agent.cluster.client().await, &keyless.agent.namespace);
    eventually("an Event tells it", SOON, async || {
        let events = events.list(&ListParams::default()).await.unwrap().items;
        let mut messages =
            events.into_iter().filter(|event| event.involved_object.kind.as_deref() == Some("ConfigMap"));
        messages.any(|event| event.message.unwrap_or_default().contains(told)).then_some(())
    })
    .await;
    let file = keyless.token.path().join("config.yaml");
    for (more, tells) in [(json!({}), true), (json!({"timestamp.url": "https://tsa.test"}), false)] {
        let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chains-config"},
            "data": {"signers.x509.fulcio.enabled": "true"}});
        map["data"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        std::fs::write(&file, map.to_string()).unwrap();
        let checked = Hallmark::run(&["config", "check", file.to_str().unwrap()], &[]).await;
        let printed = format!("{}{}", checked.stdout, checked.stderr);
        assert_eq!(printed.contains(told), tells, "{printed}");
    }
}

#[tokio::test]
async fn the_command_line_signs_in_the_name_of_a_token_too() {
    let keyless = Keyless::prepare("command", &[]).await;
    let (crane, access) = (Crane::new(&keyless.access()), keyless.access());
    let image = crane.push_random_image("app").await;
    let completion = Completion::success().image("", &repository(&access, &image), &image.digest);
    let run = keyless.agent.cluster.completed_task_run(&keyless.agent.namespace, "app", &completion).await;
    let file = keyless.token.path().join("run.json");
    std::fs::write(&file, serde_json::to_string(&run).unwrap()).unwrap();
    let token = keyless.token_file();
    let arguments = ["sign", "-f", file.to_str().unwrap(), "--identity-token", &token];
    Hallmark::run(&[&arguments[..], &["--fulcio-url", &keyless.fulcio.url]].concat(), &[]).await.succeeded();
    assert!(keyless.accepts(NAME, &image).await);
    // The same by what is there, with nothing said about where.
    let text = std::fs::read_to_string(&token).unwrap();
    let ambient = [&arguments[..3], &["--fulcio-url", &keyless.fulcio.url]].concat();
    let again = Hallmark::run(&ambient, &[("SIGSTORE_ID_TOKEN", &text)]).await.succeeded();
    assert!(again.stdout.contains("present") || again.stdout.contains("stored"), "{}", again.stdout);
    let unnamed = Hallmark::run(&arguments[..3], &[]).await.failed();
    assert!(unnamed.stderr.contains("name a key by --key, or sign without one"), "{}", unnamed.stderr);
}
