//! Without a key: certificates of a real Fulcio that trusts the cluster's tokens, for Hallmark and for Chains in the same
//! run; alone, and with a log. What each asks of each server is counted.
//!
//! Guarantees: both have the same settings, but for those that Chains has not; one image of each program is judged by
//! cosign, so that nothing is measured that did not sign.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::counted::Counted;
use crate::figures::Must::{AtMost, Nothing};
use crate::figures::{Measured, Must, Row};
use crate::marks::Marks;
use crate::measure::{AFTER, Bench, LIMIT};
use crate::program::{Key, Program};
use crate::support::{Cosign, Fulcio, Identity, RekorTiles, RekorV1, TimestampServer};
use crate::world::World;

pub(super) const NAMESPACE: &str = "tekton-chains";

/// One way of signing: settings of `chains-config`, the servers that it asks, and its rows.
struct Way<'a> {
    /// What its rows are called.
    name: &'static str,
    /// The number of its first row.
    first: u8,
    settings: Vec<(&'static str, String)>,
    fulcio: &'a Service,
    /// A log, a timestamp authority.
    witnesses: Vec<(&'static str, &'a Counted)>,
    /// More than Chains can do.
    ours_alone: bool,
}

/// A Fulcio, and the way to it.
struct Service {
    fulcio: Fulcio,
    counted: Counted,
}

/// Fulcio alone: what is measured is the certificate.
pub async fn alone(bench: &mut Bench<'_>, programs: &[Program], rounds: usize) {
    let service = Service::start(bench.world).await;
    let way = |name, first, settings, ours_alone| Way {
        name,
        first,
        settings,
        fulcio: &service,
        witnesses: Vec::new(),
        ours_alone,
    };
    let reuse = vec![("signers.x509.fulcio.certificate-reuse", "true".to_owned())];
    let ways = [way("keyless", 60, Vec::new(), false), way("keyless, certificate reused", 70, reuse, true)];
    measure(bench, programs, &ways, rounds).await;
}

/// The same with a log: Rekor v1 for both, and what Chains has not: Rekor v2 with a timestamp authority.
pub async fn logged(bench: &mut Bench<'_>, programs: &[Program], rounds: usize) {
    let service = Service::start(bench.world).await;
    let (old, new, stamps) =
        (RekorV1::start().await, RekorTiles::start().await, TimestampServer::start().await);
    let (path, stamps_host) = ("/api/v1/timestamp", stamps.url.trim_end_matches("/api/v1/timestamp"));
    let (old, new) = (Counted::before(&old.url).await, Counted::before(&new.url).await);
    let stamps = Counted::before(stamps_host).await;
    let on =
        |url: &str| vec![("transparency.enabled", "true".to_owned()), ("transparency.url", url.to_owned())];
    let mut tiles = on(&new.url);
    tiles.push(("transparency.version", "2".to_owned()));
    tiles.push(("timestamp.url", format!("{}{path}", stamps.url)));
    let ways = [
        Way {
            name: "keyless with Rekor v1",
            first: 80,
            settings: on(&old.url),
            fulcio: &service,
            witnesses: vec![("log", &old)],
            ours_alone: false,
        },
        Way {
            name: "keyless with Rekor v2 and timestamps",
            first: 90,
            settings: tiles,
            fulcio: &service,
            witnesses: vec![("log", &new), ("timestamp authority", &stamps)],
            ours_alone: true,
        },
    ];
    measure(bench, programs, &ways, rounds).await;
}

async fn measure(bench: &mut Bench<'_>, programs: &[Program], ways: &[Way<'_>], rounds: usize) {
    for round in 1..=rounds {
        for way in ways {
            for program in programs.iter().filter(|program| way.takes(program)) {
                eprintln!("round {round}: {}: {program:?}", way.name);
                way.measure(bench, program).await;
            }
        }
    }
}

impl Service {
    async fn start(world: &World) -> Self {
        let rbac = "rbac.authorization.k8s.io";
        let role = json!({"apiGroup": rbac, "kind": "ClusterRole", "name": "system:service-account-issuer-discovery"});
        let everybody = json!({"apiGroup": rbac, "kind": "Group", "name": "system:unauthenticated"});
        let binding = json!({"apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding",
            "metadata": {"name": "issuer-discovery"}, "roleRef": role, "subjects": [everybody]});
        match world.cluster.try_create(&binding).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            created => drop(created.unwrap()),
        }
        let fulcio = Fulcio::start(world.cluster).await;
        let counted = Counted::before(&fulcio.url).await;
        Self { fulcio, counted }
    }
}

impl Way<'_> {
    fn takes(&self, program: &Program) -> bool {
        match program {
            Program::Hallmark(_) => true,
            Program::Chains { tuned } => *tuned && !self.ours_alone,
        }
    }

    async fn measure(&self, bench: &mut Bench<'_>, program: &Program) {
        let (world, count) = (bench.world, bench.scale.runs);
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        let text = world.cluster.token_for(NAMESPACE, program.service_account(), "sigstore").await;
        std::fs::write(&token, text).unwrap();
        let mut settings: BTreeMap<&str, Value> =
            self.settings.iter().map(|(key, value)| (*key, json!(value))).collect();
        settings.insert("signers.x509.fulcio.enabled", json!("true"));
        settings.insert("signers.x509.fulcio.address", json!(self.fulcio.counted.url));
        settings.insert("signers.x509.identity.token.file", json!(token));
        configure(world, &settings).await;

        let namespace = world.completed_runs(count).await;
        let marks = Marks::follow(world.cluster.task_runs(&namespace).await).await;
        let before = self.asked(world).await;
        let running = program.start(world, Key::Pem, &namespace);
        let took = marks.last_of(count, LIMIT).await.duration_since(running.started);
        // Work that is left over from the last marks counts as requests and CPU.
        sleep(AFTER).await;
        let (cpu, peak) = (running.cpu(), running.peak_memory());
        running.stop();
        let runs = count as f64;
        bench.add(self.row(0, "runs per second", "1/s", Nothing), program, runs / took.as_secs_f64());
        bench.add(self.row(1, "CPU per run", "ms", Nothing), program, cpu / runs);
        bench.add(self.row(2, "peak memory", "MiB", Nothing), program, peak);
        let api = asked_of_api(world, program, &namespace);
        bench.add(self.row(3, "API requests per run", "", AtMost(3.0)), program, api / runs);
        let after = self.asked(world).await;
        for (number, ((what, before), (_, after))) in (4..).zip(before.iter().zip(&after)) {
            let row = self.row(number, &format!("{what} per run"), "", Nothing);
            bench.add(row, program, (after - before) as f64 / runs);
        }
        self.judge(world, program, &namespace).await;
        for value in settings.values_mut() {
            *value = Value::Null;
        }
        configure(world, &settings).await;
    }

    /// What the servers other than the API server were asked so far.
    async fn asked(&self, world: &World) -> Vec<(String, usize)> {
        let mut asked = vec![
            ("registry requests".to_owned(), world.registry.request_count()),
            ("Fulcio requests".to_owned(), self.fulcio.counted.count()),
            ("certificates".to_owned(), self.fulcio.fulcio.issued().await),
        ];
        asked.extend(self.witnesses.iter().map(|(name, way)| (format!("{name} requests"), way.count())));
        asked
    }

    /// A few texts for the whole time of the process.
    fn row(&self, number: u8, what: &str, unit: &'static str, must: Must) -> Row {
        let name = Box::leak(format!("{}: {what}", self.name).into_boxed_str());
        Row::Of(Box::leak(Box::new(Measured(self.first + number, name, unit, must))))
    }

    /// cosign accepts what the program signed for a run, in its own name.
    async fn judge(&self, world: &World, program: &Program, namespace: &str) {
        let runs = world.cluster.task_runs(namespace).await;
        let run = runs.list(&ListParams::default().limit(1)).await.unwrap().items.remove(0);
        let text = |number: usize| run.data["status"]["results"][number]["value"].as_str().unwrap();
        let image = format!("{}@{}", text(0), text(1));
        let name = format!(
            "https://kubernetes.io/namespaces/{NAMESPACE}/serviceaccounts/{}",
            program.service_account()
        );
        let issuer = world.cluster.issuer();
        let who = Identity { root: &self.fulcio.fulcio.root, name: &name, issuer: &issuer };
        let cosign = Cosign::new(&world.registry.access());
        cosign.verify_identity(&who, &image).await.succeeded();
        cosign.verify_attestation_identity(&who, "slsaprovenance", &image).await.succeeded();
    }
}

pub(super) async fn configure(world: &World, settings: &BTreeMap<&str, Value>) {
    let maps = Api::<ConfigMap>::namespaced(world.cluster.client().await, NAMESPACE);
    let patch = Patch::Merge(json!({ "data": settings }));
    maps.patch("chains-config", &PatchParams::default(), &patch).await.unwrap();
}

/// Requests about objects of the namespace; lists and watches are not of any one run.
pub(super) fn asked_of_api(world: &World, program: &Program, namespace: &str) -> f64 {
    let user = program.user();
    let asked = world.cluster.audited(|event| {
        event.user.username == user
            && event.object_ref.namespace == namespace
            && !matches!(event.verb.as_str(), "list" | "watch")
    });
    asked.len() as f64
}
