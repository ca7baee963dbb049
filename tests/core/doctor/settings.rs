//! What doctor says of settings and keys.

use serde_json::{Value, json};

use super::{Installation, fixture, is};

#[tokio::test]
async fn a_missing_config_map_is_named_and_its_creation_told() {
    let installation = Installation::new("doctor-map", |object| {
        if is(object, "ConfigMap", "chains-config") {
            *object = Value::Null;
        }
    })
    .await;
    installation.has_only("config", "there is no ConfigMap", "kubectl create configmap chains-config").await;
}

#[tokio::test]
async fn a_bad_value_is_named_with_the_one_that_was_meant() {
    let installation = Installation::new("doctor-value", |object| {
        if is(object, "ConfigMap", "chains-config") {
            object["data"] = json!({"artifacts.oci.storage": "ocl"});
        }
    })
    .await;
    installation.has_only("config", "artifacts.oci.storage: \"ocl\"", "did you mean \"oci\"?").await;
}

#[tokio::test]
async fn a_missing_key_is_named_and_how_to_make_one() {
    let installation = Installation::new("doctor-key", |object| {
        if is(object, "Secret", "signing-secrets") {
            object.as_object_mut().unwrap().remove("stringData");
        }
    })
    .await;
    installation.has_only("keys", "no signing key", "cosign generate-key-pair").await;
}

#[tokio::test]
async fn a_wrong_password_is_named_and_not_shown() {
    let installation = Installation::new("doctor-password", |object| {
        if is(object, "Secret", "signing-secrets") {
            object["stringData"] = json!({"cosign.key": fixture("cosign.key"), "cosign.password": "canary"});
        }
    })
    .await;
    installation.has_only("keys", "the password in cosign.password is wrong", "").await;
    let finished = installation.run_as("admin", &[], &[]).await;
    assert!(!format!("{}{}", finished.stdout, finished.stderr).contains("canary"));
}
