//! A key that stays in a real Vault, for Hallmark and for Chains in the same run: both log in with a token of their service
//! account and sign with the same key. What each asks of Vault is counted by Vault's own audit log.
//!
//! Guarantees: both have the same settings; one image of each program is judged by cosign, so that nothing is measured
//! that did not sign.

use std::collections::BTreeMap;

use kube::api::ListParams;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::keyless::{NAMESPACE, asked_of_api, configure};
use crate::figures::Must::{AtMost, Nothing};
use crate::figures::{Measured, Row};
use crate::marks::Marks;
use crate::measure::{AFTER, Bench, LIMIT};
use crate::program::{Key, Program};
use crate::support::{Cosign, Issuer, Vault};
use crate::world::World;

const KEY: &str = "release";

static RATE: Measured = Measured(100, "key in Vault: runs per second", "1/s", Nothing);
static CPU: Measured = Measured(101, "key in Vault: CPU per run", "ms", Nothing);
static PEAK: Measured = Measured(102, "key in Vault: peak memory", "MiB", Nothing);
static API: Measured = Measured(103, "key in Vault: API requests per run", "", AtMost(3.0));
static ASKED: Measured = Measured(104, "key in Vault: requests to Vault per run", "", Nothing);
static LOGINS: Measured = Measured(105, "key in Vault: logins per run", "", Nothing);
static READS: Measured = Measured(106, "key in Vault: reads of the public key per run", "", Nothing);
static SIGNATURES: Measured = Measured(107, "key in Vault: signatures per run", "", Nothing);

pub async fn measure(bench: &mut Bench<'_>, programs: &[Program], rounds: usize) {
    let vault = Vault::start().await;
    vault.key(KEY, "ecdsa-p256").await;
    vault.policy(KEY).await;
    let cluster = bench.world.cluster;
    cluster.lets_anybody_read_the_keys_of_its_issuer().await;
    let role = json!({"token_policies": [KEY], "token_ttl": "1h"});
    vault.trust("jwt", &Issuer::of(cluster), "/openid/v1/jwks", &role).await;
    for round in 1..=rounds {
        for program in programs.iter().filter(|program| !matches!(program, Program::Chains { tuned: false }))
        {
            eprintln!("round {round}: key in Vault: {program:?}");
            with(bench, program, &vault).await;
        }
    }
}

async fn with(bench: &mut Bench<'_>, program: &Program, vault: &Vault) {
    let (world, count) = (bench.world, bench.scale.runs);
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let text = world.cluster.token_for(NAMESPACE, program.service_account(), "vault").await;
    std::fs::write(&token, text).unwrap();
    let mut settings: BTreeMap<&str, Value> = BTreeMap::from([
        ("artifacts.taskrun.signer", json!("kms")),
        ("artifacts.oci.signer", json!("kms")),
        ("signers.kms.kmsref", json!(format!("hashivault://{KEY}"))),
        ("signers.kms.auth.address", json!(vault.url)),
        ("signers.kms.auth.oidc.path", json!("jwt")),
        ("signers.kms.auth.oidc.role", json!("chains")),
        ("signers.kms.auth.oidc.token-path", json!(token)),
    ]);
    configure(world, &settings).await;

    let namespace = world.completed_runs(count).await;
    let marks = Marks::follow(world.cluster.task_runs(&namespace).await).await;
    let before = asked(vault);
    let running = program.start(world, Key::Pem, &namespace);
    let took = marks.last_of(count, LIMIT).await.duration_since(running.started);
    // Work that is left over from the last marks counts as requests and CPU.
    sleep(AFTER).await;
    let (cpu, peak) = (running.cpu(), running.peak_memory());
    running.stop();
    let runs = count as f64;
    bench.add(Row::Of(&RATE), program, runs / took.as_secs_f64());
    bench.add(Row::Of(&CPU), program, cpu / runs);
    bench.add(Row::Of(&PEAK), program, peak);
    bench.add(Row::Of(&API), program, asked_of_api(world, program, &namespace) / runs);
    let rows = [&ASKED, &LOGINS, &READS, &SIGNATURES];
    for (row, (after, before)) in rows.into_iter().zip(asked(vault).into_iter().zip(before)) {
        bench.add(Row::Of(row), program, (after - before) as f64 / runs);
    }
    judge(world, &namespace, vault).await;
    for value in settings.values_mut() {
        *value = Value::Null;
    }
    configure(world, &settings).await;
}

/// All requests; logins; reads of the key; signatures.
fn asked(vault: &Vault) -> [usize; 4] {
    let count = |operation, path: String| vault.count(operation, &path);
    [
        vault.requests(),
        count("update", "auth/jwt/login".to_owned()),
        count("read", format!("transit/keys/{KEY}")),
        count("update", format!("transit/sign/{KEY}/sha2-256")),
    ]
}

/// cosign accepts what was signed for a run, with the key as Vault itself shows it.
async fn judge(world: &World, namespace: &str, vault: &Vault) {
    let runs = world.cluster.task_runs(namespace).await;
    let run = runs.list(&ListParams::default().limit(1)).await.unwrap().items.remove(0);
    let text = |number: usize| run.data["status"]["results"][number]["value"].as_str().unwrap();
    let image = format!("{}@{}", text(0), text(1));
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("release.pub");
    std::fs::write(&key, format!("{}\n", vault.public_key(KEY).await)).unwrap();
    let cosign = Cosign::new(&world.registry.access());
    cosign.verify(&key, &image).await.succeeded();
    cosign.verify_attestation(&key, "slsaprovenance", &image).await.succeeded();
}
