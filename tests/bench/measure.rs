//! What is measured, and how: one function a situation, each with a namespace of its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::arguments::Scale;
use crate::figures::{Figures, Row, percentile};
use crate::marks::Marks;
use crate::program::{Key, Program};
use crate::world::World;

/// A run that is not marked within this time ends the benchmark.
pub const LIMIT: Duration = Duration::from_mins(3);
/// Until a program that has nothing to do has come to rest.
const REST: Duration = Duration::from_secs(3);
/// Until a program has finished what follows the mark, such as removing its finalizer.
pub const AFTER: Duration = Duration::from_secs(2);
/// Longer than a program takes to notice a new run, so that runs come one at a time.
const PAUSE: Duration = Duration::from_millis(60);

/// One benchmark.
pub struct Bench<'a> {
    pub world: &'a World,
    pub scale: Scale,
    pub figures: Figures,
}

impl Bench<'_> {
    /// CPU of a program that finds nothing to do, in milliseconds.
    pub async fn start_cost(&self, program: &Program) -> f64 {
        let namespace = self.world.cluster.namespace("start-cost").await;
        let running = program.start(self.world, Key::Pem, &namespace);
        sleep(REST).await;
        let cost = running.cpu();
        running.stop();
        cost
    }

    /// Everything that is measured in each round.
    pub async fn round(&mut self, program: &Program) {
        self.many(program, Key::Pem, self.scale.runs).await;
        self.many(program, Key::Cosign, self.slow_runs(program)).await;
        self.idle_then_single(program, Key::Pem).await;
        self.idle_then_single(program, Key::Cosign).await;
        let namespace = self.world.cluster.namespace("start").await;
        self.starts(program, &namespace, Row::Start).await;
        let size = std::fs::metadata(program.binary()).unwrap().len();
        self.add(Row::Binary, program, size as f64 / 1e6);
    }

    /// Chains derives the key of `cosign.key` once a run, at an eighth of a second.
    fn slow_runs(&self, program: &Program) -> usize {
        if matches!(program, Program::Chains { .. }) { self.scale.slow_runs } else { self.scale.runs }
    }

    /// Completed runs that were there before the program: throughput, CPU, peak memory and requests.
    async fn many(&mut self, program: &Program, key: Key, count: usize) {
        let namespace = self.world.completed_runs(count).await;
        let marks = Marks::follow(self.world.cluster.task_runs(&namespace).await).await;
        let asked = self.world.registry.request_count();
        let running = program.start(self.world, key, &namespace);
        let took = marks.last_of(count, LIMIT).await.duration_since(running.started);
        // Work that is left over from the last marks counts as requests and CPU.
        sleep(AFTER).await;
        let (cpu, peak, memory) = (running.cpu(), running.peak_memory(), running.memory());
        running.stop();
        let (cpu, count) = (cpu / count as f64, count as f64);
        let rate = count / took.as_secs_f64();
        match key {
            Key::Pem => {
                self.add(Row::Rate, program, rate);
                self.add(Row::Cpu, program, cpu);
                self.add(Row::Peak, program, peak);
                self.add(Row::After, program, memory);
                let asked = self.world.registry.request_count() - asked;
                self.add(Row::RegistryRequests, program, asked as f64 / count);
                self.requests(program, &namespace, count);
            }
            Key::Cosign => {
                self.add(Row::CosignRate, program, rate);
                self.add(Row::CosignCpu, program, cpu);
                self.add(Row::CosignPeak, program, peak);
                self.add(Row::CosignAfter, program, memory);
            }
        }
    }

    /// What the API server was asked about the runs of a namespace; lists and watches are not of any one run.
    fn requests(&mut self, program: &Program, namespace: &str, count: f64) {
        let user = program.user();
        let asked = self.world.cluster.audited(|event| {
            event.user.username == user
                && event.object_ref.namespace == namespace
                && !matches!(event.verb.as_str(), "list" | "watch")
        });
        let mut kinds = BTreeMap::<_, usize>::new();
        for event in &asked {
            *kinds.entry(format!("{} {}", event.verb, event.object_ref.resource)).or_default() += 1;
        }
        eprintln!("  asked of the API server: {kinds:?}");
        let writes = asked.iter().filter(|event| event.verb != "get").count();
        self.add(Row::ApiRequests, program, asked.len() as f64 / count);
        self.add(Row::ApiWrites, program, writes as f64 / count);
    }

    /// Nothing to do; then runs that complete one at a time.
    async fn idle_then_single(&mut self, program: &Program, key: Key) {
        let namespace = self.world.cluster.namespace("single").await;
        let runs = self.world.cluster.task_runs(&namespace).await;
        let marks = Marks::follow(runs.clone()).await;
        let running = program.start(self.world, key, &namespace);
        sleep(REST).await;
        if matches!(key, Key::Pem) {
            self.add(Row::Idle, program, running.memory());
        }
        let mut times = Vec::new();
        for number in 0..self.scale.single {
            let name = format!("run-{number}");
            let status = self.world.completion(&name).await;
            self.world.running(&runs, &namespace, &name).await;
            sleep(PAUSE).await;
            let completed = self.world.complete(&runs, &name, &status).await;
            times.push(milliseconds(completed, marks.of(&name, LIMIT).await));
        }
        running.stop();
        let (median, tail) = match key {
            Key::Pem => (Row::Single, Row::SingleTail),
            Key::Cosign => (Row::CosignSingle, Row::CosignSingleTail),
        };
        self.add(median, program, percentile(&times, 50));
        self.add(tail, program, percentile(&times, 95));
    }

    /// From the start of the process to the mark of a run that completes right after it.
    async fn starts(&mut self, program: &Program, namespace: &str, row: Row) {
        let runs = self.world.cluster.task_runs(namespace).await;
        let marks = Marks::follow(runs.clone()).await;
        for number in 0..self.scale.starts {
            let name = format!("{}-{number}", program.name().replace([',', ' '], "-"));
            let status = self.world.completion(&name).await;
            self.world.running(&runs, namespace, &name).await;
            let running = program.start(self.world, Key::Pem, namespace);
            self.world.complete(&runs, &name, &status).await;
            let marked = marks.of(&name, LIMIT).await;
            self.add(row, program, milliseconds(running.started, marked));
            running.stop();
        }
    }

    /// Signed runs in any number are in the cluster: memory and start.
    pub async fn beside_signed_runs(&mut self, program: &Program) {
        let namespace = self.world.signed_runs(self.scale.signed).await;
        let running = program.start(self.world, Key::Pem, &namespace);
        sleep(REST * 2).await;
        self.add(Row::BesideSigned, program, running.memory());
        self.add(Row::BesideSignedPeak, program, running.peak_memory());
        running.stop();
        self.starts(program, &namespace, Row::StartBesideSigned).await;
    }

    /// Notes a value.
    pub fn add(&mut self, row: Row, program: &Program, value: f64) {
        self.figures.add(row, program.name(), value);
    }
}

/// The time between two moments.
pub fn milliseconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1000.0
}
