//! From Chains to Hallmark and back on one cluster, as `docs/install.md` says: three releases applied over each other, a
//! hundred runs signed after each.

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures::StreamExt as _;
use kube::api::ListParams;
use serde_json::Value;

use crate::chains::{self, Chains};
use crate::installed::{SOON, SYSTEM, apply_release, fill, fixture, start_agent};
use crate::support::{Cluster, Completion, Cosign, Crane, Finished, PlainRegistry, PushedImage, eventually};

/// Runs that each signs.
const RUNS: usize = 100;

struct World {
    cluster: Cluster,
    registry: PlainRegistry,
    namespace: String,
}

impl World {
    /// A hundred runs that have just completed, each with an image of its own.
    async fn completed(&self, prefix: &str) -> Vec<PushedImage> {
        let build = async |number: usize| {
            let name = format!("{prefix}-{number}");
            let image = self.registry.put_image(&format!("team/{name}")).await;
            let completion = Completion::success().image("", &image.repository, &image.digest);
            self.cluster.completed_task_run(&self.namespace, &name, &completion).await;
            image
        };
        futures::stream::iter(0..RUNS).map(build).buffer_unordered(4).collect().await
    }

    /// Waits until `count` runs are marked; answers all of them by name with their versions.
    async fn signed(&self, count: usize, log: impl Fn() -> String) -> BTreeMap<String, String> {
        let runs = self.cluster.task_runs(&self.namespace).await;
        let signed = async || {
            let items = runs.list(&ListParams::default()).await.unwrap().items;
            let marked = |run: &kube::api::DynamicObject| {
                let annotations = run.metadata.annotations.as_ref();
                annotations.and_then(|all| all.get("chains.tekton.dev/signed")).cloned()
            };
            let marks: Vec<String> = items.iter().filter_map(marked).collect();
            assert!(marks.iter().all(|mark| mark == "true"), "{marks:?}\n{}", log());
            let finalizers: Vec<_> =
                items.iter().filter_map(|run| run.metadata.finalizers.as_ref()).collect();
            (marks.len() == count && finalizers.is_empty()).then(|| {
                let versions = items.iter().map(|run| {
                    (run.metadata.name.clone().unwrap(), run.metadata.resource_version.clone().unwrap())
                });
                versions.collect()
            })
        };
        eventually(&format!("{count} runs are signed, and no finalizer is left"), SOON, signed).await
    }

    /// What is the user's: settings and keys.
    async fn of_the_user(&self) -> (Value, Value) {
        let got = async |kind: &str, name: &str| {
            self.cluster.got(&[kind, name, "-n", SYSTEM]).await["data"].clone()
        };
        (got("configmap", "chains-config").await, got("secret", "signing-secrets").await)
    }

    /// Whether the service account may do this.
    async fn may(&self, verb: &str, resource: &str) -> bool {
        let account = format!("system:serviceaccount:{SYSTEM}:tekton-chains-controller");
        let asked = ["auth", "can-i", verb, resource, "--all-namespaces", "--as", &account];
        self.cluster.kubectl(&asked, "").await.stdout.trim() == "yes"
    }

    /// Signature and statement of every image, in one command each, and one layer under each tag.
    async fn verified_once(&self, images: &[PushedImage]) {
        let (access, key) = (self.registry.access(), PathBuf::from(fixture("p256.pub")));
        let references: Vec<String> = images.iter().map(PushedImage::by_digest).collect();
        let cosign = Cosign::new(&access);
        let both = [&["verify"][..], &["verify-attestation", "--type", "slsaprovenance"]];
        for command in both {
            verified(cosign.verify_all(command, &key, &references).await, images.len());
        }
        let crane = Crane::new(&access);
        for image in images {
            for suffix in ["sig", "att"] {
                let manifest = crane.manifest(&image.cosign_tag(suffix)).await.unwrap();
                assert_eq!(manifest["layers"].as_array().unwrap().len(), 1, "{}.{suffix}", image.repository);
            }
        }
    }
}

fn verified(finished: Finished, count: usize) {
    let finished = finished.succeeded();
    let said =
        finished.stderr.matches("The signatures were verified against the specified public key").count();
    assert_eq!(said, count, "{}", finished.stderr);
}

fn unchanged(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) {
    let touched: Vec<_> = before.iter().filter(|(name, version)| after.get(*name) != Some(version)).collect();
    assert!(touched.is_empty(), "signed before, and written again: {touched:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_then_hallmark_then_chains_sign_a_hundred_runs_each_and_nothing_twice() {
    let cluster = Cluster::start().await;
    let namespace = cluster.namespace("team").await;
    let world = World { cluster, registry: PlainRegistry::start().await, namespace };
    let cluster = &world.cluster;

    chains::apply_release(cluster).await;
    fill(cluster).await;
    let mine = world.of_the_user().await;
    let chains = Chains::start(cluster).await;
    let mut images = world.completed("before").await;
    let first = world.signed(RUNS, || chains.log()).await;
    assert!(world.may("delete", "taskruns.tekton.dev").await && world.may("list", "secrets").await);
    chains.stop();

    let said = apply_release(cluster).await.stdout;
    assert!(said.contains("deployment.apps/tekton-chains-controller configured"), "{said}");
    assert_eq!(world.of_the_user().await, mine);
    for (verb, resource) in [("delete", "taskruns.tekton.dev"), ("list", "secrets"), ("create", "pods")] {
        assert!(!world.may(verb, resource).await, "{verb} {resource} is still granted");
    }
    let keys = tempfile::tempdir().unwrap();
    let hallmark = start_agent(cluster, keys.path(), None).await;
    images.extend(world.completed("during").await);
    let second = world.signed(2 * RUNS, || hallmark.lines().join("\n")).await;
    unchanged(&first, &second);
    assert!(hallmark.terminate().0.success());

    chains::apply_release(cluster).await;
    assert_eq!(world.of_the_user().await, mine);
    let chains = Chains::start(cluster).await;
    images.extend(world.completed("after").await);
    let third = world.signed(3 * RUNS, || chains.log()).await;
    unchanged(&second, &third);
    chains.stop();
    world.verified_once(&images).await;
}
