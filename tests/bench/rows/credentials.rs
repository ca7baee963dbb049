//! What the credentials of a run cost: the objects that are read for it, the tokens that are fetched, and what the
//! registry is asked, for the first run of a service account, its second, and many at once. The registry is
//! distribution with token authentication. The account names two Secrets for it: the first may only pull.
//!
//! Every count is one of those who were asked: the API server's audit log, the token server, the registry's log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{Api, DynamicObject};
use serde_json::json;
use tokio::time::sleep;

use crate::figures::Must::{AtMost, Nothing};
use crate::figures::{Measured, Row};
use crate::marks::Marks;
use crate::measure::{AFTER, Bench, LIMIT};
use crate::program::{Key, Program};
use crate::release;
use crate::support::{Access, Authentication, Completion, Crane, Distribution, PushedImage, TokenUser};
use crate::world::World;

/// Runs that complete at once, in so many repositories.
const RUNS: usize = 60;
const REPOSITORIES: usize = 4;
/// Longer than a reading of a service account may be shared, so that the second run is one of its own.
const APART: Duration = Duration::from_secs(3);

/// One situation: its counts, each of one run.
type Counts = [Measured; 7];

static FIRST: Counts = [
    Measured(70, "first run of an account: reads of its pod", "", AtMost(1.0)),
    Measured(71, "first run of an account: reads of the account", "", AtMost(1.0)),
    Measured(72, "first run of an account: reads of its two Secrets", "", AtMost(2.0)),
    Measured(73, "first run of an account: API requests", "", Nothing),
    Measured(74, "first run of an account: tokens", "", Nothing),
    Measured(75, "first run of an account: registry requests", "", Nothing),
    Measured(76, "first run of an account: refused pushes", "", AtMost(1.0)),
];
static SECOND: Counts = [
    Measured(80, "its second run: reads of its pod", "", AtMost(1.0)),
    Measured(81, "its second run: reads of the account", "", AtMost(1.0)),
    Measured(82, "its second run: reads of its two Secrets", "", AtMost(0.0)),
    Measured(83, "its second run: API requests", "", Nothing),
    Measured(84, "its second run: tokens", "", AtMost(0.0)),
    Measured(85, "its second run: registry requests", "", Nothing),
    Measured(86, "its second run: refused pushes", "", AtMost(0.0)),
];
static MANY: Counts = [
    Measured(90, "60 runs at once, of each: reads of its pod", "", AtMost(1.0)),
    Measured(91, "60 runs at once, of each: reads of the account", "", AtMost(1.0)),
    Measured(92, "60 runs at once, of each: reads of its two Secrets", "", AtMost(0.0)),
    Measured(93, "60 runs at once, of each: API requests", "", Nothing),
    Measured(94, "60 runs at once, of each: tokens", "", Nothing),
    Measured(95, "60 runs at once, of each: registry requests", "", Nothing),
    Measured(96, "60 runs at once, of each: refused pushes", "", Nothing),
];
static TWICE: Measured =
    Measured(97, "tokens of the login that serves, for one repository and right: most", "", AtMost(1.0));

pub async fn measure(bench: &mut Bench<'_>, program: &Program) {
    let stage = Stage::prepare(bench.world).await;
    let more = ["--system-namespace", &stage.settings];
    let running = program.start_with(bench.world, Key::Pem, &stage.namespace, &more);
    for (counts, name, images) in [
        (&FIRST, "first", &stage.images[..1]),
        (&SECOND, "second", &stage.images[1..2]),
        (&MANY, "many", &stage.images[2..]),
    ] {
        sleep(APART).await;
        let before = stage.asked(program);
        stage.run(name, images).await;
        sleep(AFTER).await;
        let asked = stage.asked(program).since(&before);
        eprintln!("  {name}: {asked:?}");
        for (measured, count) in counts.iter().zip(asked.counts()) {
            bench.add(Row::Of(measured), program, count as f64 / images.len() as f64);
        }
    }
    running.stop();
    bench.add(Row::Of(&TWICE), program, stage.asked(program).most_tokens() as f64);
}

/// A registry with its users, a namespace whose account knows both of them, and images.
struct Stage<'a> {
    world: &'a World,
    registry: Distribution,
    tokens_before: usize,
    log_before: usize,
    /// Of the runs, and of `chains-config`.
    namespace: String,
    settings: String,
    runs: Api<DynamicObject>,
    marks: Marks,
    images: Vec<PushedImage>,
    _folder: tempfile::TempDir,
}

impl<'a> Stage<'a> {
    async fn prepare(world: &'a World) -> Self {
        let reader = TokenUser::new("reader", "reads only").pull("team/");
        let builder = TokenUser::new("builder", "may push").push("team/");
        let users = vec![reader.clone(), builder.clone()];
        let registry = Distribution::start(Authentication::Token(users)).await;
        let cluster = world.cluster;
        let (namespace, settings) = (cluster.namespace("runs").await, cluster.namespace("settings").await);
        let access = |user: &TokenUser| registry.access(Some(user.login()));
        cluster.registry_secret(&namespace, "pull", &access(&reader)).await;
        cluster.registry_secret(&namespace, "push", &access(&builder)).await;
        cluster.set_pull_secrets(&namespace, "default", &["pull"]).await;
        cluster.set_secrets(&namespace, "default", &["push"]).await;
        let folder = tempfile::tempdir().unwrap();
        configure(world, &settings, &registry, folder.path()).await;
        let images = push(&access(&builder)).await;
        let runs = cluster.task_runs(&namespace).await;
        let marks = Marks::follow(runs.clone()).await;
        let (tokens_before, log_before) = (registry.asked().len(), registry.log().len());
        Self {
            world,
            registry,
            tokens_before,
            log_before,
            namespace,
            settings,
            runs,
            marks,
            images,
            _folder: folder,
        }
    }

    /// Runs that have built these images complete at once; answers when all are marked.
    async fn run(&self, prefix: &str, images: &[PushedImage]) {
        for number in 0..images.len() {
            self.world.running(&self.runs, &self.namespace, &format!("{prefix}-{number}")).await;
        }
        let signed = self.marks.count();
        let complete = async |(number, image): (usize, &PushedImage)| {
            let name = format!("{prefix}-{number}");
            let completion = Completion::success().image("", &image.repository, &image.digest).pod(&name);
            self.world.cluster.complete(&self.namespace, &name, &completion).await;
        };
        futures::stream::iter(images.iter().enumerate())
            .map(complete)
            .buffer_unordered(16)
            .collect::<()>()
            .await;
        self.marks.last_of(signed + images.len(), LIMIT).await;
    }

    /// Everything that was asked so far on behalf of the runs.
    fn asked(&self, program: &Program) -> Asked {
        let user = program.user();
        let audited = self.world.cluster.audited(|event| {
            event.user.username == user
                && event.object_ref.namespace == self.namespace
                && !matches!(event.verb.as_str(), "list" | "watch")
        });
        let mut api = BTreeMap::new();
        for event in &audited {
            *api.entry(format!("{} {}", event.verb, event.object_ref.resource)).or_default() += 1;
        }
        let mut tokens = BTreeMap::new();
        for asked in &self.registry.asked()[self.tokens_before..] {
            *tokens.entry(format!("{} {}", asked.user, asked.scope)).or_default() += 1;
        }
        let log = self.registry.log();
        let requests = log[self.log_before..].lines().filter(|line| line.contains(" /v2/"));
        let mut registry = BTreeMap::new();
        for line in requests {
            let refused = [" 401 ", " 403 "].iter().any(|status| line.contains(&format!("\"{status}")));
            let kind = match (refused, line.contains("\"POST ")) {
                (true, true) => "refused push",
                (true, false) => "challenge",
                (false, _) => "answered",
            };
            *registry.entry(kind.to_owned()).or_default() += 1;
        }
        Asked { api, tokens, registry }
    }
}

/// Who was asked for what, and how often.
struct Asked {
    api: BTreeMap<String, usize>,
    tokens: BTreeMap<String, usize>,
    registry: BTreeMap<String, usize>,
}

impl Asked {
    fn since(mut self, before: &Self) -> Self {
        for (ours, theirs) in [
            (&mut self.api, &before.api),
            (&mut self.tokens, &before.tokens),
            (&mut self.registry, &before.registry),
        ] {
            for (kind, count) in theirs {
                *ours.get_mut(kind).unwrap() -= count;
            }
            ours.retain(|_, count| *count > 0);
        }
        self
    }

    /// In the order of [`Counts`].
    fn counts(&self) -> [usize; 7] {
        let read = |kind: &str| self.api.get(&format!("get {kind}")).copied().unwrap_or_default();
        [
            read("pods"),
            read("serviceaccounts"),
            read("secrets"),
            self.api.values().sum(),
            self.tokens.values().sum(),
            self.registry.values().sum(),
            self.registry.get("refused push").copied().unwrap_or_default(),
        ]
    }

    /// Of the builder; a token that was refused is not kept, and runs that try it at once each fetch one.
    fn most_tokens(&self) -> usize {
        let serving = self.tokens.iter().filter(|(asked, _)| asked.starts_with("builder "));
        serving.map(|(_, count)| *count).max().unwrap_or_default()
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        for (kind, count) in self.api.iter().chain(&self.tokens).chain(&self.registry) {
            write!(text, "{count} × {kind}, ")?;
        }
        f.write_str(text.trim_end_matches(", "))
    }
}

/// `chains-config` as the other rows have it, and a registry configuration that trusts the registry.
async fn configure(world: &World, settings: &str, registry: &Distribution, folder: &std::path::Path) {
    let file = folder.join("registries.toml");
    let table = format!("[registries.\".\"]\nca-certs = '''\n{}'''\n", registry.ca_pem());
    std::fs::write(&file, table).unwrap();
    release::grant(world.cluster, settings).await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "chains-config", "namespace": settings},
        "data": {"artifacts.taskrun.format": "slsa/v1", "artifacts.taskrun.storage": "oci",
            "artifacts.oci.storage": "oci", "registry.config-file": file}});
    world.cluster.create(&map).await;
}

/// An image for each run, each pushed from a home of its own.
async fn push(access: &Access) -> Vec<PushedImage> {
    // The first two runs have the same repository.
    let repository = |number: usize| format!("team/app-{}", number.saturating_sub(1) % REPOSITORIES);
    let pushed = async |number| Crane::new(access).push_random_image(&repository(number)).await;
    futures::stream::iter(0..RUNS + 2).map(pushed).buffered(4).collect().await
}
