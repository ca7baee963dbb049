//! Signing without a key: tokens of the real kube-apiserver, certificates of a real Fulcio, cosign as the judge.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::agent::{Agent, SOON, repository};
use crate::anybody_may_read_the_keys_of_the_issuer;
use crate::support::{
    Access, Cluster, Completion, Cosign, Crane, Door, Finished, Fulcio, Hallmark, Identity, Layout, MadeLog,
    OfflineCosign, PlainRegistry, Pod, PushedImage, RekorTiles, RekorV1, TimestampServer, TufRepository,
    eventually, run as run_to_end,
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
        anybody_may_read_the_keys_of_the_issuer(agent.cluster).await;
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
    async fn mount(&self, audience: &str) {
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
    timestamps: TimestampServer,
    root: PathBuf,
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

/// The services of a SigningConfig: beside the real ones there is one whose time is over, one of an older version by the
/// same operator, and one of tomorrow.
async fn services(keyless: &Keyless, witnesses: &Witnesses, cosign: &OfflineCosign) -> PathBuf {
    let service = |url: &str, version: u32, operator: &str, more: &str| {
        format!("url={url},api-version={version},start-time=2024-01-01T00:00:00Z,operator={operator}{more}")
    };
    let (nobody, over) = ("http://127.0.0.1:1", ",end-time=2024-02-01T00:00:00Z");
    let services = [
        ("fulcio", service(nobody, 1, "earlier.test", over)),
        ("fulcio", service(&keyless.door.url, 1, "hallmark.test", "")),
        ("rekor", service(nobody, 1, "hallmark.test", "")),
        ("rekor", service(&witnesses.rekor.url, 2, "hallmark.test", "")),
        ("rekor", service(nobody, 9, "tomorrow.test", "")),
        ("tsa", service(nobody, 1, "earlier.test", over)),
        ("tsa", service(&witnesses.timestamps.url, 1, "hallmark.test", "")),
    ];
    cosign.signing_config(&services).await
}

/// An agent that gets its trust root from a mirror, and the names of its services from there too or from a file.
struct Mirrored {
    keyless: Keyless,
    witnesses: Witnesses,
    cosign: OfflineCosign,
    mirror: TufRepository,
    cache: tempfile::TempDir,
}

impl Mirrored {
    async fn prepare(prefix: &str) -> Self {
        let keyless = Keyless::prepare(prefix, &[]).await;
        let witnesses = Witnesses::start(&keyless.fulcio).await;
        let (cosign, mirror) = (OfflineCosign::new(), TufRepository::start().await);
        Self { keyless, witnesses, cosign, mirror, cache: tempfile::tempdir().unwrap() }
    }

    /// Nothing but `more` names a service.
    async fn configure(&self, more: &[(&str, &str)]) {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (token, cache) = (self.keyless.token_file(), text(self.cache.path()));
        let first = text(&self.mirror.first_root());
        let mut settings = vec![
            ("artifacts.taskrun.storage", "oci"),
            ("storage.oci.also-bundle", "true"),
            ("signers.x509.fulcio.enabled", "true"),
            ("signers.x509.identity.token.file", token.as_str()),
            ("signers.x509.tuf.mirror.url", &self.mirror.url),
            ("signers.x509.tuf.root", &first),
            ("signers.x509.tuf.cache", &cache),
            ("transparency.enabled", "true"),
        ];
        settings.extend(more);
        self.keyless.agent.configure(&settings).await;
    }

    /// A run is signed with all the services, and cosign accepts it.
    async fn signs(&self, run: &str) {
        let (keyless, witnesses) = (&self.keyless, &self.witnesses);
        let image = keyless.build(run).await;
        assert_eq!(keyless.agent.mark(run, SOON).await, "true");
        let issuer = keyless.agent.cluster.issuer();
        let who = Identity { root: &witnesses.root, name: NAME, issuer: &issuer };
        let judge = Cosign::new(&keyless.access());
        let (signature, attestation) =
            judge.verify_witnessed(&who, Layout::Bundles, &image.by_digest()).await;
        signature.succeeded();
        attestation.succeeded();
        let entry = keyless.agent.annotations(run).await["chains.tekton.dev/transparency"].clone();
        assert!(entry.starts_with(&format!("{}?logIndex=", witnesses.rekor.url)), "{entry}");
    }
}

#[tokio::test]
async fn services_of_a_signing_config_and_the_trust_root_of_a_mirror_sign_what_cosign_accepts() {
    let world = Mirrored::prepare("chosen").await;
    world.mirror.publish(&world.witnesses.root, 1).await;
    let chosen = services(&world.keyless, &world.witnesses, &world.cosign).await;
    world.configure(&[("transparency.signing-config", chosen.to_str().unwrap())]).await;
    let hallmark = world.keyless.agent.start().await;
    world.signs("app").await;

    // A certificate that the mirror's root does not know is refused before anything is stored.
    let keyless = &world.keyless;
    let (strangers, other) = (Fulcio::start(keyless.agent.cluster).await, OfflineCosign::new());
    world.mirror.publish(&other.trusted_root(&[trusting(&strangers)]).await, 2).await;
    hallmark.terminate();
    let _hallmark = keyless.agent.start().await;
    let image = keyless.build("refused").await;
    keyless.waits_because("refused", &["Fulcio"]).await;
    assert_eq!(Agent::layers(&keyless.access(), &image, "sig").await, 0);
}

#[tokio::test]
async fn the_signing_config_of_a_mirror_names_the_services_and_one_that_is_not_there_is_told() {
    let world = Mirrored::prepare("mirrored").await;
    world.mirror.publish(&world.witnesses.root, 1).await;
    world.configure(&[("signers.x509.tuf.signing-config", "true")]).await;
    let hallmark = world.keyless.agent.start().await;
    let image = world.keyless.build("waits").await;
    world.keyless.waits_because("waits", &["TUF mirror", "signing_config.v0.2.json"]).await;
    assert_eq!(Agent::layers(&world.keyless.access(), &image, "sig").await, 0);
    hallmark.terminate();

    let chosen = services(&world.keyless, &world.witnesses, &world.cosign).await;
    world.mirror.publish_so(&world.witnesses.root, &json!({"version": 2, "services": chosen})).await;
    let _hallmark = world.keyless.agent.start().await;
    assert_eq!(world.keyless.agent.mark("waits", 2 * SOON).await, "true");
    world.signs("app").await;
}

#[tokio::test]
#[ignore = "needs hack/install rekor-v1; run by hack/test rekor-v1"]
async fn entries_of_a_real_rekor_v1_are_accepted_by_cosign_offline_in_both_layouts() {
    let keyless = Keyless::prepare("rekor-v1", &[]).await;
    let (rekor, cosign) = (RekorV1::start().await, OfflineCosign::new());
    let listed =
        format!("url={},public-key={},start-time=2024-01-01T00:00:00Z", rekor.url, rekor.key.display());
    let root = cosign.trusted_root(&[trusting(&keyless.fulcio), ("rekor", listed)]).await;
    keyless
        .configure(&[
            ("storage.oci.also-bundle", "true"),
            ("transparency.enabled", "true"),
            ("transparency.url", &rekor.url),
            ("signers.x509.trusted-root", root.to_str().unwrap()),
        ])
        .await;
    let _hallmark = keyless.agent.start().await;
    let image = keyless.build("app").await;
    assert_eq!(keyless.agent.mark("app", SOON).await, "true");
    let entry = keyless.agent.annotations("app").await["chains.tekton.dev/transparency"].clone();
    assert!(entry.starts_with(&format!("{}/api/v1/log/entries?logIndex=", rekor.url)), "{entry}");
    drop(rekor);

    let issuer = keyless.agent.cluster.issuer();
    let judge = Cosign::new(&keyless.access());
    for layout in [Layout::Bundles, Layout::Tags] {
        let judged = async |name: &str| {
            let who = Identity { root: &root, name, issuer: &issuer };
            judge.verify_logged(&who, layout, &image.by_digest()).await
        };
        let (signature, attestation) = judged(NAME).await;
        signature.succeeded();
        attestation.succeeded();
        let (signature, attestation) = judged("https://kubernetes.io/namespaces/x/serviceaccounts/y").await;
        signature.failed();
        attestation.failed();
    }
}

/// Fulcio, as the maker of a trust root takes it.
fn trusting(fulcio: &Fulcio) -> (&'static str, String) {
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
#[ignore = "needs hack/install rekor-v1 ct-log; run by hack/test rekor-v1"]
async fn the_sct_of_a_real_certificate_log_is_accepted_and_that_of_another_is_not() {
    let cluster = Cluster::shared().await;
    anybody_may_read_the_keys_of_the_issuer(cluster).await;
    let (fulcio, log) = Fulcio::logged(cluster).await;
    let (access, registry) = {
        let registry = PlainRegistry::start().await;
        (registry.access(), registry)
    };
    let agent = Agent::prepare("logged", &access, &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let text = cluster.token_for("tekton-chains", "tekton-chains-controller", "sigstore").await;
    std::fs::write(&token, text).unwrap();
    let other = folder.path().join("other.pub");
    std::fs::write(&other, MadeLog::v1("https://other.test").key_pem()).unwrap();
    for (run, key, good) in [("known", &log.key, true), ("strange", &other, false)] {
        let cosign = OfflineCosign::new();
        let listed = format!("url={},public-key={},start-time=2024-01-01T00:00:00Z", log.url, key.display());
        let root = cosign.trusted_root(&[trusting(&fulcio), ("ctfe", listed)]).await;
        agent
            .configure(&[
                ("artifacts.taskrun.storage", "oci"),
                ("signers.x509.fulcio.enabled", "true"),
                ("signers.x509.fulcio.address", &fulcio.url),
                ("signers.x509.identity.token.file", token.to_str().unwrap()),
                ("signers.x509.trusted-root", root.to_str().unwrap()),
            ])
            .await;
        let hallmark = agent.start().await;
        let image = Crane::new(&access).push_random_image(run).await;
        agent.build(run, &access, &image).await;
        if !good {
            let outcome = agent.outcome(run, SOON).await;
            assert!(
                outcome.iter().all(|one| one["reason"].as_str().unwrap().contains("unknown log")),
                "{outcome:?}"
            );
            assert_eq!(registry.layers(&image, "sig").await, 0);
            continue;
        }
        assert_eq!(agent.mark(run, SOON).await, "true");
        // cosign checks the SCT too, when it is not told to leave it out.
        let issuer = cluster.issuer();
        let by_digest = image.by_digest();
        let root = root.to_str().unwrap();
        let whose = ["--certificate-identity", NAME, "--certificate-oidc-issuer", &issuer];
        let arguments =
            [&["verify", &by_digest, "--trusted-root", root, "--insecure-ignore-tlog"][..], &whose];
        let mut judge = cosign.reaching_nobody(&arguments.concat());
        judge.arg("--allow-http-registry").env("NO_PROXY", "127.0.0.1");
        run_to_end(judge).await.succeeded();
        Hallmark::run(&arguments.concat(), &[]).await.succeeded();
        hallmark.terminate();
    }
}

#[tokio::test]
async fn with_transparency_manual_only_a_run_that_asks_for_it_is_logged() {
    let keyless = Keyless::prepare("manual", &[]).await;
    let witnesses = Witnesses::start(&keyless.fulcio).await;
    keyless
        .configure(
            &[
                &witnesses.settings()[..],
                &[("transparency.enabled", "manual"), ("storage.oci.also-bundle", "true")],
            ]
            .concat(),
        )
        .await;
    let _hallmark = keyless.agent.start().await;
    let (cluster, namespace, access) = (keyless.agent.cluster, &keyless.agent.namespace, keyless.access());
    for (run, asks) in [("asks", true), ("silent", false)] {
        let image = Crane::new(&access).push_random_image(run).await;
        cluster.create_task_run(namespace, run).await;
        let wish =
            json!({"metadata": {"annotations": {"chains.tekton.dev/transparency-upload": asks.to_string()}}});
        let runs = cluster.task_runs(namespace).await;
        runs.patch(run, &PatchParams::default(), &Patch::Merge(wish)).await.unwrap();
        let completion = Completion::success().image("", &repository(&access, &image), &image.digest);
        cluster.complete(namespace, run, &completion).await;
        assert_eq!(keyless.agent.mark(run, SOON).await, "true");
        let annotations = keyless.agent.annotations(run).await;
        assert_eq!(annotations.contains_key("chains.tekton.dev/transparency"), asks, "{annotations:?}");
        // cosign wants an entry in a bundle, whatever timestamp is in it.
        let issuer = cluster.issuer();
        let who = Identity { root: &witnesses.root, name: NAME, issuer: &issuer };
        let judged = Cosign::new(&access).verify_witnessed(&who, Layout::Bundles, &image.by_digest()).await;
        assert_eq!((judged.0.code == Some(0), judged.1.code == Some(0)), (asks, asks), "{}", judged.0.stderr);
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
