//! Signing in the name of a SPIFFE ID: identities of a real SPIRE, certificates of a real Fulcio that trusts its
//! discovery provider, cosign as the judge.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::agent::{Agent, SOON, repository};
use crate::support::{
    Access, Cluster, Completion, Cosign, Crane, Fulcio, Hallmark, Identity, Issuer, PlainRegistry, Pod,
    PushedImage, Spire,
};

/// Where the stock installation mounts the token of the service account.
const TOKEN: &str = "/var/run/sigstore/cosign/oidc-token";

/// SPIRE, a Fulcio that trusts it and the cluster, and a registry.
struct World {
    spire: Spire,
    /// In whose name is signed.
    id: String,
    fulcio: Fulcio,
    registry: PlainRegistry,
    cluster: &'static Cluster,
}

impl World {
    async fn start(path: &str) -> Self {
        let (spire, cluster) = (Spire::start().await, Cluster::shared().await);
        cluster.lets_anybody_read_the_keys_of_its_issuer().await;
        let id = spire.register(path).await;
        let fulcio = Fulcio::trusting(&[spire.issuer(), Issuer::of(cluster)]).await;
        Self { id, fulcio, registry: PlainRegistry::start().await, cluster, spire }
    }

    fn access(&self) -> Access {
        self.registry.access()
    }

    /// An agent that finds no key and asks the Fulcio.
    async fn agent(&self, prefix: &str) -> Agent {
        let config = [
            ("artifacts.taskrun.storage", "oci,tekton"),
            ("signers.x509.fulcio.enabled", "true"),
            ("signers.x509.fulcio.address", self.fulcio.url.as_str()),
        ];
        let agent = Agent::prepare(prefix, &self.access(), &config).await;
        std::fs::remove_file(agent.keys().join("x509.pem")).unwrap();
        agent
    }

    /// The controller, with the directory of the socket named by the variable.
    async fn controller(&self, agent: &Agent) -> Hallmark {
        let account =
            self.cluster.service_account_kubeconfig("tekton-chains", "tekton-chains-controller").await;
        let directory = self.spire.socket_directory().display().to_string();
        agent.start_in(&account, &[], &[("SPIFFE_ENDPOINT_SOCKET", &directory)])
    }

    /// Whether cosign accepts both signature and provenance of `image` as those of `name`.
    async fn accepts(&self, name: &str, image: &PushedImage) -> bool {
        let cosign = Cosign::new(&self.access());
        let issuer = self.spire.issuer().url;
        let who = Identity { root: &self.fulcio.root, name, issuer: &issuer };
        let image = image.by_digest();
        let signature = cosign.verify_identity(&who, &image).await;
        let attestation = cosign.verify_attestation_identity(&who, "slsaprovenance", &image).await;
        let accepted = signature.code == Some(0);
        assert_eq!(accepted, attestation.code == Some(0), "{}\n{}", signature.stderr, attestation.stderr);
        accepted
    }
}

#[tokio::test]
async fn what_the_agent_signs_as_a_workload_cosign_accepts_by_its_spiffe_id() {
    let world = World::start("ns/tekton-chains/sa/tekton-chains-controller").await;
    let agent = world.agent("spiffe").await;
    let hallmark = world.controller(&agent).await;
    let image = Crane::new(&world.access()).push_random_image("app").await;
    agent.build("app", &world.access(), &image).await;
    assert_eq!(agent.mark("app", SOON).await, "true");
    assert!(world.accepts(&world.id, &image).await);
    assert!(!world.accepts("spiffe://hallmark.test/ns/ci/sa/somebody-else", &image).await);
    assert!(!world.accepts(&world.id.replace("hallmark.test", "elsewhere.test"), &image).await);
    assert_eq!(world.fulcio.issued().await, 1, "one certificate for everything that a run signs");
    let results = agent.outcome("app", SOON).await;
    assert!(results.iter().all(|entry| entry["signer"] == world.id.as_str()), "{results:?}");
    hallmark.line("identity tokens come from", SOON).await;
}

#[tokio::test]
async fn an_agent_of_spire_killed_and_restarted_during_a_hundred_runs_loses_none() {
    const RUNS: usize = 100;
    let world = World::start("steady").await;
    let agent = world.agent("restarts").await;
    let _hallmark = world.controller(&agent).await;
    let (crane, access) = (Crane::new(&world.access()), world.access());
    let done = AtomicBool::new(false);
    let restarts = async {
        let mut restarts = 0;
        while !done.load(Ordering::Relaxed) {
            world.spire.kill_agent();
            tokio::time::sleep(Duration::from_secs(1)).await;
            world.spire.restart_agent().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            restarts += 1;
        }
        restarts
    };
    let runs = async {
        let mut images = Vec::with_capacity(RUNS);
        for number in 0..RUNS {
            let name = format!("run-{number}");
            let image = crane.push_random_image(&name).await;
            agent.build(&name, &access, &image).await;
            images.push(image);
        }
        agent.all_signed(4 * SOON).await;
        done.store(true, Ordering::Relaxed);
        images
    };
    let (restarts, images) = tokio::join!(restarts, runs);
    println!("{restarts} restarts, {} certificates", world.fulcio.issued().await);
    assert!(restarts > 1, "the agent of SPIRE was there all the time");
    for image in &images {
        assert_eq!(Agent::layers(&access, image, "sig").await, 1, "{}", image.by_digest());
        assert_eq!(Agent::layers(&access, image, "att").await, 1, "{}", image.by_digest());
    }
    for image in images.iter().step_by(RUNS / 4) {
        assert!(world.accepts(&world.id, image).await);
    }
}

#[tokio::test]
async fn with_token_and_socket_both_mounted_what_is_signed_carries_the_spiffe_id() {
    let world = World::start("both").await;
    let (folder, access) = (tempfile::tempdir().unwrap(), world.access());
    let namespace = world.cluster.namespace("mounted").await;
    let token = folder.path().join("oidc-token");
    std::fs::write(&token, world.cluster.token_for(&namespace, "default", "sigstore").await).unwrap();
    let image = Crane::new(&access).push_random_image("app").await;
    let completion = Completion::success().image("", &repository(&access, &image), &image.digest);
    let run = world.cluster.completed_task_run(&namespace, "app", &completion).await;
    let file = folder.path().join("run.json");
    std::fs::write(&file, serde_json::to_string(&run).unwrap()).unwrap();

    // As the documentation adds the mount: beside the token, with no variable at all.
    let directory = world.spire.socket_directory();
    let mounts: [(&Path, &str); 3] =
        [(&token, TOKEN), (&directory, "/spiffe-workload-api"), (&file, "/run.json")];
    let pod = match Pod::start(&mounts).await {
        Ok(pod) => pod,
        Err(reason) => return println!("token and socket skipped: no mount namespace here: {reason}"),
    };
    let sign = ["sign", "-f", "/run.json", "--fulcio-url", &world.fulcio.url];
    pod.hallmark(&sign, &[]).await.succeeded();
    assert!(world.accepts(&world.id, &image).await);
}
