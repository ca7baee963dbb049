//! Signing with keys of a real Vault: every kind of key, bursts in which tokens end, a server that is restarted, and what
//! a person reads when it refuses.

use std::time::Duration;

use serde_json::json;

use crate::agent::{Agent, SOON, repository, stopped_well};
use crate::support::{
    Access, Completion, Cosign, Crane, Finished, Hallmark, Issuer, PlainRegistry, PushedImage, Vault,
};

const KEY: &str = "release";
const LONG: Duration = Duration::from_mins(2);

/// `hallmark sign` of a run that built `image`, with a key of `vault`.
async fn sign(vault: &Vault, token: &str, key: &str, access: &Access, image: &PushedImage) -> Finished {
    let text = |name: &str, value: &str| json!({"name": name, "type": "string", "value": value});
    let results = [text("IMAGE_URL", &repository(access, image)), text("IMAGE_DIGEST", &image.digest)];
    let run = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": "build", "namespace": "ci", "uid": "u"},
        "spec": {}, "status": {"conditions": [{"type": "Succeeded", "status": "True"}], "results": results}});
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.json");
    std::fs::write(&file, run.to_string()).unwrap();
    let arguments = ["sign", "-f", file.to_str().unwrap(), "--key", key];
    Hallmark::run(&arguments, &[("VAULT_ADDR", &vault.url), ("VAULT_TOKEN", token)]).await
}

async fn verify(vault: &Vault, token: &str, key: &str, image: &PushedImage) -> Finished {
    let around = [("VAULT_ADDR", vault.url.as_str()), ("VAULT_TOKEN", token)];
    Hallmark::run(&["verify", &image.by_digest(), "--key", key], &around).await
}

async fn public(vault: &Vault, token: &str, key: &str) -> Finished {
    let around = [("VAULT_ADDR", vault.url.as_str()), ("VAULT_TOKEN", token)];
    Hallmark::run(&["keys", "public", "--key", key], &around).await
}

#[tokio::test(flavor = "multi_thread")]
async fn cosign_verifies_what_every_kind_of_key_signed() {
    let (vault, registry) = (Vault::start().await, PlainRegistry::start().await);
    let (access, folder) = (registry.access(), tempfile::tempdir().unwrap());
    let (crane, cosign) = (Crane::new(&access), Cosign::new(&access));
    for kind in ["ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "rsa-2048"] {
        vault.key(kind, kind).await;
        vault.policy(kind).await;
        let token = vault.token(kind, "1h").await;
        let key = format!("hashivault://{kind}");
        let image = crane.push_random_image(kind).await;
        sign(&vault, &token, &key, &access, &image).await.succeeded();
        let file = folder.path().join(kind);
        std::fs::write(&file, public(&vault, &token, &key).await.succeeded().stdout).unwrap();
        cosign.verify(&file, &image.by_digest()).await.succeeded();
        cosign.verify_attestation(&file, "slsaprovenance", &image.by_digest()).await.succeeded();
        verify(&vault, &token, &key, &image).await.succeeded();
    }
}

/// Settings of an agent whose everything is signed by Vault.
fn by_vault<'a>(vault: &'a Vault, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut config = vec![
        ("artifacts.taskrun.storage", "oci"),
        ("artifacts.taskrun.signer", "kms"),
        ("artifacts.oci.signer", "kms"),
        ("signers.kms.kmsref", "hashivault://release"),
        ("signers.kms.auth.address", vault.url.as_str()),
    ];
    config.extend(more);
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_end_in_the_middle_of_a_burst_lose_nothing_and_the_key_is_read_once() {
    let (vault, registry) = (Vault::start().await, PlainRegistry::start().await);
    vault.key(KEY, "ecdsa-p256").await;
    vault.policy(KEY).await;
    let cluster = crate::support::Cluster::shared().await;
    cluster.lets_anybody_read_the_keys_of_its_issuer().await;
    // Two seconds, and renewed once at most.
    let role = json!({"token_policies": [KEY], "token_ttl": "2s", "token_max_ttl": "3s"});
    vault.trust("jwt", &Issuer::of(cluster), "/openid/v1/jwks", &role).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwt");
    let jwt = cluster.token_for("tekton-chains", "tekton-chains-controller", "vault").await;
    std::fs::write(&file, jwt).unwrap();

    let access = registry.access();
    let login = [
        ("signers.kms.auth.oidc.role", "chains"),
        ("signers.kms.auth.oidc.token-path", file.to_str().unwrap()),
    ];
    let agent = Agent::prepare("burst", &access, &by_vault(&vault, &login)).await;
    let image = Crane::new(&access).push_random_image("app").await;
    let hallmark = agent.start().await;
    let completion = Completion::success().image("", &repository(&access, &image), &image.digest);
    for number in 0..40 {
        agent.cluster.completed_task_run(&agent.namespace, &format!("build-{number}"), &completion).await;
        if number == 20 {
            // Now they are not only old but revoked.
            vault.write("sys/leases/revoke-prefix/auth/jwt/login", json!({})).await;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    agent.all_signed(LONG).await;
    let asked = |operation: &str, path: &str| vault.count(operation, path);
    let (logins, renewals) = (asked("update", "auth/jwt/login"), asked("update", "auth/token/renew-self"));
    assert!((2..40).contains(&logins), "{logins} logins, {renewals} renewals");
    assert_eq!(asked("read", "transit/keys/release"), 1, "one public key for all runs");
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_is_away_and_comes_back_sealed_is_waited_for() {
    let (vault, registry) = (Vault::start().await, PlainRegistry::start().await);
    vault.key(KEY, "ecdsa-p256").await;
    vault.policy(KEY).await;
    let token = vault.token(KEY, "1h").await;
    let access = registry.access();
    let (crane, cosign) = (Crane::new(&access), Cosign::new(&access));
    let agent =
        Agent::prepare("away", &access, &by_vault(&vault, &[("signers.kms.auth.token", &token)])).await;
    let hallmark = agent.start().await;
    let before = crane.push_random_image("before").await;
    agent.build("before", &access, &before).await;
    assert_eq!(agent.mark("before", SOON).await, "true");

    vault.kill();
    let during = crane.push_random_image("during").await;
    agent.build("during", &access, &during).await;
    agent.event(&["cannot reach Vault at 127.0.0.1", "Tried again as soon as http://127.0.0.1"]).await;
    vault.start_again().await;
    let sealed = crane.push_random_image("sealed").await;
    agent.build("sealed", &access, &sealed).await;
    agent.event(&["Vault at 127.0.0.1", "is sealed", "vault operator unseal"]).await;
    vault.unseal().await;
    agent.all_signed(LONG).await;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("public");
    std::fs::write(&file, public(&vault, &token, "openbao://release").await.succeeded().stdout).unwrap();
    for image in [&before, &during, &sealed] {
        cosign.verify(&file, &image.by_digest()).await.succeeded();
        assert_eq!(Agent::layers(&access, image, "sig").await, 1, "signed once");
    }
    assert!(hallmark.lines().iter().all(|line| !line.contains(&token)), "no token in the log");
    stopped_well(hallmark);
}

#[tokio::test]
async fn what_vault_refuses_is_told_with_its_remedy() {
    let vault = Vault::start().await;
    vault.key(KEY, "ecdsa-p256").await;
    vault.key("symmetric", "aes256-gcm96").await;
    vault.policy("other").await;
    let stranger = vault.token("other", "1h").await;
    let told = |finished: Finished, texts: &[&str]| {
        for text in texts {
            assert!(finished.stderr.contains(text), "{text:?} in {}", finished.stderr);
        }
    };
    let refused = public(&vault, &stranger, "hashivault://release").await.failed();
    told(refused, &["does not let this token read key release", "\"update\" on transit/sign/release/*"]);
    let missing = public(&vault, &vault.root, "hashivault://missing").await.failed();
    told(missing, &["has no key missing in transit", "vault write -f transit/keys/missing type=ecdsa-p256"]);
    let symmetric = public(&vault, &vault.root, "hashivault://symmetric").await.failed();
    told(symmetric, &["of type aes256-gcm96", "ecdsa-p256"]);
    let elsewhere = [
        ("VAULT_ADDR", vault.url.as_str()),
        ("VAULT_TOKEN", &vault.root),
        ("TRANSIT_SECRET_ENGINE_PATH", "team/transit"),
    ];
    let unmounted = Hallmark::run(&["keys", "public", "--key", "hashivault://release"], &elsewhere).await;
    told(unmounted.failed(), &["vault secrets enable transit", "TRANSIT_SECRET_ENGINE_PATH"]);

    vault.write("sys/quotas/rate-limit/few", json!({"path": "transit", "rate": 1, "interval": "1h"})).await;
    public(&vault, &vault.root, "hashivault://release").await.succeeded();
    let throttled = public(&vault, &vault.root, "hashivault://release").await;
    assert_eq!(throttled.code, Some(4), "it may work later");
    told(throttled, &["asks for patience", "rate limit quota"]);

    vault.write("sys/seal", json!({})).await;
    let sealed = public(&vault, &vault.root, "hashivault://release").await;
    assert_eq!(sealed.code, Some(4));
    told(sealed, &["is sealed", "vault operator unseal"]);
    vault.kill();
    let away = public(&vault, &vault.root, "hashivault://release").await;
    assert_eq!(away.code, Some(4));
    told(away, &["cannot reach Vault at 127.0.0.1"]);
}
