//! `docker-credential-hallmark get`: how long docker waits for a token that is kept, and what many helpers at once cost
//! at the token service. A whole process each time, as docker starts it.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use crate::figures::Must::AtMost;
use crate::figures::{Measured, Row, percentile};
use crate::measure::{Bench, milliseconds};
use crate::program::Program;
use crate::support::{FakeSts, Known};

const REGISTRY: &str = "registry.example";
const IDENTITY: &str = "org/bench";
const TIMES: usize = 200;
const AT_ONCE: usize = 50;

static MEDIAN: Measured = Measured(100, "helper: a kept token, median", "ms", AtMost(20.0));
static TAIL: Measured = Measured(101, "helper: a kept token, p95", "ms", AtMost(20.0));
static EXCHANGES: Measured = Measured(102, "50 helpers at once: exchanges", "", AtMost(1.0));

pub async fn measure(bench: &mut Bench<'_>, program: &Program) {
    let (cluster, sts) = (bench.world.cluster, FakeSts::start(bench.world.cluster).await);
    let namespace = cluster.namespace("helper").await;
    sts.knows(IDENTITY, Known::account(cluster, &namespace, "default", 3600));
    let home = tempfile::tempdir().unwrap();
    let provider = format!(
        "[providers.chainguard]\nkind = \"chainguard\"\nissuer = \"{}\"\nregistries = [\"{REGISTRY}\"]\n\
         subject-audience = \"issuer.enforce.dev\"\n",
        sts.url
    );
    std::fs::write(home.path().join("providers.toml"), provider).unwrap();
    let token = cluster.token_for(&namespace, "default", "issuer.enforce.dev").await;
    std::fs::write(home.path().join("token"), token).unwrap();

    let together: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let command = helper(program, &home, &sts);
            tokio::task::spawn_blocking(move || get(command))
        })
        .collect();
    for one in together {
        one.await.unwrap();
    }
    bench.add(Row::Of(&EXCHANGES), program, sts.count(IDENTITY) as f64);
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let command = helper(program, &home, &sts);
        let started = Instant::now();
        get(command);
        times.push(milliseconds(started, Instant::now()));
    }
    bench.add(Row::Of(&MEDIAN), program, percentile(&times, 50));
    bench.add(Row::Of(&TAIL), program, percentile(&times, 95));
}

fn helper(program: &Program, home: &TempDir, sts: &FakeSts) -> Command {
    let file = |name: &str| home.path().join(name);
    let mut command = Command::new(program.binary());
    command.args(["credential-helper", "get"]).env_clear().env("HOME", home.path());
    command.env("HALLMARK_PROVIDERS", file("providers.toml")).env("HALLMARK_IDENTITY", IDENTITY);
    command.env("HALLMARK_IDENTITY_TOKEN", file("token")).env("SSL_CERT_FILE", sts.ca());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn get(mut command: Command) {
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(REGISTRY.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
