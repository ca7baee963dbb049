//! Several writers at one digest lose nothing: the runs of two pipelines, a TaskRun and its PipelineRun, two replicas,
//! and a repository that all signatures share.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use serde_json::Value;

use crate::agent::{Agent, stopped_well};
use crate::pipeline_run::fixture::{End, reference};
use crate::support::{
    Access, Authentication, Completion, Cosign, Crane, Distribution, PushedImage, eventually,
};

const ROUNDS: usize = 50;
const LONG: Duration = Duration::from_mins(4);
const CONFIG: [(&str, &str); 3] = [
    ("artifacts.taskrun.storage", "oci"),
    ("artifacts.pipelinerun.storage", "oci"),
    // Which run a statement is about can be told by its uid in this format alone.
    ("artifacts.taskrun.format", "slsa/v2alpha4"),
];

impl Agent {
    /// A PipelineRun and its one TaskRun, both still running; answers the uid of the PipelineRun.
    async fn begin(&self, name: &str) -> String {
        let uid = self.create_pipeline_run(name).await;
        self.create_child(name, &uid, "build").await;
        uid
    }

    /// Ends the TaskRun and the PipelineRun, one right after the other, both with the same image.
    async fn end(&self, name: &str, image: &PushedImage) {
        let task = format!("{name}-build");
        let completion = Completion::success().image("", &image.repository, &image.digest);
        self.cluster.complete(&self.namespace, &task, &completion).await;
        let end = End::well(&[reference("TaskRun", &task, "build")])
            .result("IMAGE_URL", &image.repository)
            .result("IMAGE_DIGEST", &image.digest);
        self.end_pipeline_run(name, end).await;
    }

    /// Waits until every run of the namespace is marked `true`.
    async fn everything_signed(&self) {
        self.all_signed(LONG).await;
        let runs = self.pipeline_runs().await;
        let marks = eventually("every PipelineRun is marked", LONG, async || {
            let all = runs.list(&kube::api::ListParams::default()).await.unwrap().items;
            let mark = |run: kube::api::DynamicObject| {
                run.metadata.annotations.and_then(|mut all| all.remove("chains.tekton.dev/signed"))
            };
            all.into_iter().map(mark).collect::<Option<Vec<_>>>()
        })
        .await;
        assert!(marks.iter().all(|mark| mark == "true"), "{marks:?}");
    }
}

/// The statements under a tag, one text each; two that are equal count once.
async fn statements(access: &Access, repository: &str, tag: &str) -> BTreeSet<String> {
    let crane = Crane::new(access);
    let Some(manifest) = crane.manifest(&format!("{repository}:{tag}")).await else { return BTreeSet::new() };
    let layers = manifest["layers"].as_array().unwrap().clone();
    let blobs = layers.iter().map(async |layer| {
        let blob = format!("{repository}@{}", layer["digest"].as_str().unwrap());
        let envelope = crane.run(&["blob", &blob]).await.succeeded().stdout;
        let envelope: Value = serde_json::from_str(&envelope).unwrap();
        String::from_utf8(STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()).unwrap()
    });
    join_all(blobs).await.into_iter().collect()
}

fn tag_of(image: &PushedImage, suffix: &str) -> String {
    image.cosign_tag(suffix).rsplit_once(':').unwrap().1.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pipelines_that_build_one_digest_at_the_same_moment_lose_no_attestation_in_fifty_rounds() {
    let registry = Distribution::start(Authentication::None).await;
    let access = registry.access(None);
    let crane = Crane::new(&access);
    let agent = Agent::prepare("writers", &access, &CONFIG).await;
    // Replicas of one installation: they know of each other, and share the runs of a pipeline.
    let replicas = ["a", "b"].map(|replica| ["--replica", replica]);
    let processes = [agent.start_with(&replicas[0]).await, agent.start_with(&replicas[1]).await];
    for process in &processes {
        process.line("\"replicas\":2", LONG).await;
    }
    let mut images = Vec::new();
    for round in 0..ROUNDS {
        let (image, names) =
            (crane.push_random_image("app").await, ["x", "y"].map(|which| format!("round-{round}-{which}")));
        join_all(names.iter().map(|name| agent.begin(name))).await;
        join_all(names.iter().map(|name| agent.end(name, &image))).await;
        images.push(image);
    }
    agent.everything_signed().await;
    for image in &images {
        // Two TaskRuns and two PipelineRuns.
        let stated = statements(&access, &image.repository, &tag_of(image, "att")).await;
        assert_eq!(stated.len(), 4, "{}", image.by_digest());
        assert!(Agent::layers(&access, image, "sig").await >= 1);
    }
    let cosign = Cosign::new(&access);
    cosign.verify(&agent.public_key, &images[ROUNDS - 1].by_digest()).await.succeeded();
    for process in processes {
        stopped_well(process);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_repository_keeps_what_others_put_there_and_takes_the_signatures_of_all() {
    let registry = Distribution::start(Authentication::None).await;
    let access = registry.access(None);
    let shared = format!("{}/signatures", access.host);
    let config = [&CONFIG[..], &[("storage.oci.repository", shared.as_str())]].concat();
    let mut agents = [
        Agent::prepare("shared-a", &access, &config).await,
        Agent::prepare("shared-b", &access, &config).await,
    ];
    let cosign = Cosign::new(&access);
    agents[1].use_cosign_key(&cosign.generate_key_pair("other").await);
    let (crane, processes) = (Crane::new(&access), [agents[0].start().await, agents[1].start().await]);
    let image = crane.push_random_image("app").await;
    // What somebody else signed before, moved to the repository that is shared.
    let (beside, moved) = (image.cosign_tag("sig"), format!("{shared}:{}", tag_of(&image, "sig")));
    cosign.sign(&cosign.generate_key_pair("foreign").await.private, &image).await.succeeded();
    crane.run(&["copy", &beside, &moved]).await.succeeded();
    let foreign = signatures(&access, &moved).await;
    // Installations that do not know of each other meet at a tag that is there already.
    agents[0].begin("first").await;
    agents[0].end("first", &image).await;
    agents[0].everything_signed().await;
    for round in 0..5 {
        let name = format!("round-{round}");
        join_all(agents.iter().map(|agent| agent.begin(&name))).await;
        join_all(agents.iter().map(|agent| agent.end(&name, &image))).await;
    }
    for agent in &agents {
        agent.everything_signed().await;
    }
    let stated = statements(&access, &shared, &tag_of(&image, "att")).await;
    assert_eq!(stated.len(), 2 + 5 * 4);
    let there = signatures(&access, &moved).await;
    assert!(there.is_superset(&foreign), "what was there before is still there");
    assert!(there.len() >= foreign.len() + 2, "and one by each key: {there:?}");
    assert_eq!(crane.manifest(&image.cosign_tag("att")).await, None, "nothing beside the image itself");
    assert_eq!(signatures(&access, &beside).await, foreign);
    for process in processes {
        stopped_well(process);
    }
}

/// The signatures under a tag, as text each.
async fn signatures(access: &Access, reference: &str) -> BTreeSet<String> {
    let manifest = Crane::new(access).manifest(reference).await.unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    layers
        .iter()
        .map(|layer| layer["annotations"]["dev.cosignproject.cosign/signature"].to_string())
        .collect()
}
