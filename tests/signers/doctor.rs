//! What `hallmark doctor` says of a key in Vault: it signs with it, in the agent's name.

use crate::inside::Inside;
use crate::support::Vault;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_signs_is_ok_and_one_that_may_only_be_read_is_not() {
    let vault = Vault::start().await;
    vault.key("release", "ecdsa-p256").await;
    vault.policy("release").await;
    let reading =
        serde_json::json!({"policy": "path \"transit/keys/release\" { capabilities = [\"read\"] }"});
    vault.write("sys/policies/acl/reads", reading).await;
    let config = [
        ("artifacts.taskrun.signer", "kms"),
        ("signers.kms.kmsref", "hashivault://release"),
        ("signers.kms.auth.address", vault.url.as_str()),
    ];
    let Some(inside) = Inside::start("kms-doctor", &config).await else { return };
    let says = async |policy: &str| {
        let token = vault.token(policy, "1h").await;
        let mut lines = inside.says("kms", &[("VAULT_TOKEN", &token)]).await;
        assert_eq!(lines.len(), 1, "{lines:#?}");
        lines.remove(0)
    };
    let [state, found, _] = says("release").await;
    assert_eq!(state, "ok", "{found}");
    assert!(found.starts_with("hashivault://release is ECDSA P-256 SHA256:"), "{found}");
    assert!(found.ends_with(", and signs"), "{found}");
    assert_eq!(vault.count("update", "transit/sign/release/sha2-256"), 1);
    let [state, found, remedy] = says("reads").await;
    assert_eq!(state, "failed", "{found}");
    assert!(
        found.contains("permission denied") && remedy.contains("transit/sign/release"),
        "{found}: {remedy}"
    );

    vault.kill();
    let [state, found, _] = inside.says("kms", &[("VAULT_TOKEN", "canary")]).await.remove(0);
    assert!(state == "failed" && found.contains("Vault at 127.0.0.1"), "{found}");
    let [state, _, remedy] = inside.outside("kms").await.remove(0);
    assert_eq!((state.as_str(), remedy.as_str()), ("unchecked", "run doctor in the controller's pod"));
}
