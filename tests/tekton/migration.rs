//! From Chains to Hallmark, back, and to Hallmark again on one cluster, as `docs/install.md` says: releases applied over
//! each other, a hundred runs signed by each of the first three agents. Ten runs begin before each change and end after it.
//!
//! Chains holds every run that it has looked at, marked or not, and lets go only of one that is deleted (its version 0.28):
//! what it leaves behind is stated here as a fact, and that Hallmark takes it away.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{DeleteParams, DynamicObject, ListParams};
use serde_json::Value;

use crate::chains::{self, Chains};
use crate::installed::{SYSTEM, apply_release, fill, fixture, start_agent};
use crate::support::{
    Cluster, Completion, Cosign, Finished, Hallmark, PlainRegistry, PushedImage, binary, eventually,
};

/// Runs that each signs.
const RUNS: usize = 100;
/// Of these, such as the agent before has seen begin.
const UNDER_WAY: usize = 10;
/// Chains takes its time.
const PATIENCE: Duration = Duration::from_mins(5);
const HELD: &str = "chains.tekton.dev/taskrun";

struct World {
    cluster: Cluster,
    registry: PlainRegistry,
    namespace: String,
    images: Vec<PushedImage>,
}

/// What Chains' tools and ours wrote on a run.
type Written = BTreeMap<String, String>;

impl World {
    /// `count` runs that have begun.
    async fn begun(&self, prefix: &str, count: usize) {
        let begin = async |number: usize| {
            self.cluster.create_task_run(&self.namespace, &format!("{prefix}-{number}")).await;
        };
        futures::stream::iter(0..count).map(begin).buffer_unordered(4).collect::<()>().await;
    }

    /// They end, each with an image of its own.
    async fn ended(&mut self, prefix: &str, numbers: std::ops::Range<usize>) {
        let end = async |number: usize| {
            let name = format!("{prefix}-{number}");
            let image = self.registry.put_image(&format!("team/{name}")).await;
            let completion = Completion::success().image("", &image.repository, &image.digest);
            self.cluster.complete(&self.namespace, &name, &completion).await;
            image
        };
        let images: Vec<_> = futures::stream::iter(numbers).map(end).buffer_unordered(4).collect().await;
        self.images.extend(images);
    }

    /// A hundred runs end: those that began before and new ones. Then some begin for the next agent.
    async fn a_hundred(&mut self, prefix: &str, under_way: Option<&str>, next: &str) {
        let new = under_way.map_or(RUNS, |_| RUNS - UNDER_WAY);
        if let Some(under_way) = under_way {
            self.ended(under_way, 0..UNDER_WAY).await;
        }
        self.begun(prefix, new).await;
        self.ended(prefix, 0..new).await;
        self.begun(next, UNDER_WAY).await;
    }

    async fn runs(&self) -> Vec<DynamicObject> {
        self.cluster.task_runs(&self.namespace).await.list(&ListParams::default()).await.unwrap().items
    }

    /// Waits until `count` runs are marked; what was written on each, by name.
    async fn signed(&self, count: usize, log: impl Fn() -> String) -> BTreeMap<String, Written> {
        let signed = async || {
            let marked: BTreeMap<String, Written> = self.runs().await.iter().filter_map(written).collect();
            let is_signed = |written: &Written| written["chains.tekton.dev/signed"] == "true";
            assert!(marked.values().all(is_signed), "{marked:#?}\n{}", log());
            (marked.len() == count).then_some(marked)
        };
        eventually(&format!("{count} runs are signed"), PATIENCE, signed).await
    }

    /// Waits until these runs and no others are held.
    async fn only_held(&self, expected: &str, wanted: impl Fn(&str) -> bool) {
        eventually(&format!("held is {expected}"), PATIENCE, async || {
            let runs = self.runs().await;
            let is_right = |run: &DynamicObject| {
                let finalizers = run.metadata.finalizers.clone().unwrap_or_default();
                finalizers == if wanted(run.metadata.name.as_ref().unwrap()) { vec![HELD] } else { vec![] }
            };
            runs.iter().all(is_right).then_some(())
        })
        .await;
    }

    /// A deletion comes to its end.
    async fn deleted(&mut self, name: &str) {
        let runs = self.cluster.task_runs(&self.namespace).await;
        runs.delete(name, &DeleteParams::default()).await.unwrap();
        let gone = async || runs.get_opt(name).await.unwrap().is_none().then_some(());
        eventually(&format!("{name} is gone"), PATIENCE, gone).await;
    }

    /// What is the user's: settings with a label, keys, levels of the log.
    async fn of_the_user(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for object in ["configmap/chains-config", "secret/signing-secrets", "configmap/config-logging"] {
            let got = self.cluster.got(&[object, "-n", SYSTEM]).await;
            all.push(got["data"].clone());
            all.push(got["metadata"]["labels"]["example.com/team"].clone());
        }
        all
    }

    /// Whether the service account may do this.
    async fn may(&self, verb: &str, resource: &str) -> bool {
        let account = format!("system:serviceaccount:{SYSTEM}:tekton-chains-controller");
        let asked = ["auth", "can-i", verb, resource, "--all-namespaces", "--as", &account];
        self.cluster.kubectl(&asked, "").await.stdout.trim() == "yes"
    }

    /// Signature and statement of every image, in one command each, and one layer under each tag.
    async fn verified_once(&self) {
        let (access, key) = (self.registry.access(), PathBuf::from(fixture("p256.pub")));
        let references: Vec<String> = self.images.iter().map(PushedImage::by_digest).collect();
        let cosign = Cosign::new(&access);
        let both = [&["verify"][..], &["verify-attestation", "--type", "slsaprovenance"]];
        for command in both {
            verified(cosign.verify_all(command, &key, &references).await, references.len());
        }
        for image in &self.images {
            for suffix in ["sig", "att"] {
                assert_eq!(self.registry.layers(image, suffix).await, 1, "{}.{suffix}", image.repository);
            }
        }
    }

    /// Requests that wrote signatures or statements.
    fn writes(&self) -> usize {
        let tags = |request: &String| request.starts_with("PUT ") && request.contains("/manifests/sha256-");
        self.registry.requests().iter().filter(|request| tags(request)).count()
    }

    async fn hallmark(&self, keys: &tempfile::TempDir) -> Hallmark {
        start_agent(&self.cluster, keys.path(), None).await
    }
}

/// Name and annotations of a marked run.
fn written(run: &DynamicObject) -> Option<(String, Written)> {
    let mut all = run.metadata.annotations.clone()?;
    all.retain(|key, _| key.starts_with("chains.tekton.dev/"));
    all.contains_key("chains.tekton.dev/signed").then(|| (run.metadata.name.clone().unwrap(), all))
}

fn verified(finished: Finished, count: usize) {
    let finished = finished.succeeded();
    let said =
        finished.stderr.matches("The signatures were verified against the specified public key").count();
    assert_eq!(said, count, "{}", finished.stderr);
}

fn unchanged(before: &BTreeMap<String, Written>, after: &BTreeMap<String, Written>) {
    let touched: Vec<_> = before.iter().filter(|(name, all)| after.get(*name) != Some(all)).collect();
    assert!(touched.is_empty(), "signed before, and written again: {touched:?}");
}

/// What users have changed after they installed Chains.
async fn change(cluster: &Cluster) {
    fill(cluster).await;
    let label = ["label", "-n", SYSTEM, "configmap/chains-config", "example.com/team=supply-chain"];
    cluster.kubectl(&label, "").await.succeeded();
    let level = r#"{"data": {"loglevel.watcher": "debug"}}"#;
    let patch = ["patch", "-n", SYSTEM, "configmap/config-logging", "--type=merge", "-p", level];
    cluster.kubectl(&patch, "").await.succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_hallmark_and_chains_sign_a_hundred_runs_each_and_nothing_twice_and_no_finalizer_stays() {
    let cluster = Cluster::start().await;
    let namespace = cluster.namespace("team").await;
    let registry = PlainRegistry::start().await;
    let mut world = World { cluster, registry, namespace, images: Vec::new() };

    let theirs = chains::apply_release(&world.cluster).await.stdout;
    change(&world.cluster).await;
    let mine = world.of_the_user().await;
    let first = by_chains(&mut world).await;
    taken_over(&world.cluster, &theirs).await;
    let second = by_hallmark(&mut world, &mine, &first).await;
    let third = by_chains_again(&mut world, &mine, &second).await;
    tidied_by_hallmark(&mut world, &mine, third).await;
    world.verified_once().await;
}

async fn by_chains(world: &mut World) -> BTreeMap<String, Written> {
    let chains = Chains::start(&world.cluster).await;
    world.a_hundred("chains", None, "chains-to-hallmark").await;
    let first = world.signed(RUNS, || chains.log()).await;
    assert!(world.may("delete", "taskruns.tekton.dev").await && world.may("list", "secrets").await);
    world.only_held("every run, signed or under way", |_| true).await;
    chains.stop();
    first
}

/// Our release takes the place of theirs: nothing of their rights stays beside ours.
async fn taken_over(cluster: &Cluster, theirs: &str) {
    let ours = apply_release(cluster).await.stdout;
    assert!(ours.contains("deployment.apps/tekton-chains-controller configured"), "{ours}");
    let rights = theirs.lines().filter(|line| line.contains("rbac") || line.contains("serviceaccount"));
    let names: Vec<&str> = rights.filter_map(|line| line.split(' ').next()).collect();
    assert!(names.len() > 8, "{theirs}");
    for name in names {
        let kept =
            ours.lines().any(|line| line.starts_with(&format!("{name} ")) && !line.ends_with(" created"));
        assert!(kept, "{name} of Chains stays beside ours:\n{ours}");
    }
}

async fn by_hallmark(
    world: &mut World,
    mine: &[Value],
    first: &BTreeMap<String, Written>,
) -> BTreeMap<String, Written> {
    assert_eq!(world.of_the_user().await, mine);
    for (verb, resource) in [("delete", "taskruns.tekton.dev"), ("list", "secrets"), ("create", "pods")] {
        assert!(!world.may(verb, resource).await, "{verb} {resource} is still granted");
    }
    let keys = tempfile::tempdir().unwrap();
    let hallmark = world.hallmark(&keys).await;
    world.a_hundred("hallmark", Some("chains-to-hallmark"), "hallmark-to-chains").await;
    let second = world.signed(2 * RUNS, || hallmark.lines().join("\n")).await;
    unchanged(first, &second);
    world.only_held("what is under way", |name| name.starts_with("hallmark-to-chains")).await;
    assert!(hallmark.terminate().0.success());
    second
}

async fn by_chains_again(
    world: &mut World,
    mine: &[Value],
    second: &BTreeMap<String, Written>,
) -> BTreeMap<String, Written> {
    chains::apply_release(&world.cluster).await;
    assert_eq!(world.of_the_user().await, mine);
    let chains = Chains::start(&world.cluster).await;
    world.a_hundred("again", Some("hallmark-to-chains"), "chains-to-nobody").await;
    let mut third = world.signed(3 * RUNS, || chains.log()).await;
    unchanged(second, &third);
    world.only_held("every run again", |_| true).await;
    // What Hallmark has held, Chains lets go.
    for name in ["chains-0", "hallmark-0", "hallmark-to-chains-0", "again-0"] {
        world.deleted(name).await;
        third.remove(name);
    }
    chains.stop();
    third
}

async fn tidied_by_hallmark(world: &mut World, mine: &[Value], mut third: BTreeMap<String, Written>) {
    let before = world.writes();
    apply_release(&world.cluster).await;
    assert_eq!(world.of_the_user().await, mine);
    let keys = tempfile::tempdir().unwrap();
    let hallmark = world.hallmark(&keys).await;
    world.only_held("what is under way", |name| name.starts_with("chains-to-nobody")).await;
    world.deleted("chains-to-nobody-0").await;
    for name in ["chains-1", "again-1"] {
        world.deleted(name).await;
        third.remove(name);
    }
    let last = world.signed(third.len(), || hallmark.lines().join("\n")).await;
    unchanged(&third, &last);
    assert_eq!(world.writes(), before, "nothing was signed in this part");
    uninstalled(world).await;
    assert!(hallmark.terminate().0.success());
    // Nobody is there any more, and nothing is held back.
    world.deleted("hallmark-1").await;
}

/// As `docs/install.md` says.
async fn uninstalled(world: &mut World) {
    let page = std::fs::read_to_string("docs/install.md").unwrap();
    let chapter = page.split("## Uninstalling").nth(1).unwrap().split("```").nth(1).unwrap();
    let commands: Vec<&str> = chapter.lines().filter(|line| line.starts_with("kubectl ")).collect();
    let kubeconfig = world.cluster.kubeconfig("admin");
    let run = async |line: &str| {
        let mut shell = std::process::Command::new("sh");
        let tools = binary("kubectl").parent().unwrap().display().to_string();
        shell.args(["-c", line]).env("KUBECONFIG", &kubeconfig).env("PATH", format!("{tools}:/usr/bin:/bin"));
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let [never, held] = commands[..] else { panic!("{commands:?}") };
    run(never).await;
    let names = run(held).await;
    assert_eq!(names.lines().count(), UNDER_WAY - 1, "{names}");
    assert!(names.lines().all(|line| line.contains("chains-to-nobody") && line.contains(HELD)), "{names}");
    world.ended("chains-to-nobody", 1..UNDER_WAY).await;
    eventually("nothing is held", PATIENCE, async || run(held).await.is_empty().then_some(())).await;
}
