//! Google Cloud: a machine, a key, a federated identity and a person; what each is granted, and why not.

use std::path::PathBuf;

use hallmark::credential::cloud::{Surroundings, google};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::clouds::Clouds;
use super::support::{Finished, run};

const GAR: &str = "europe-west1-docker.pkg.dev";
const POOL: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k8s";

fn google(clouds: &Clouds, credentials: Option<PathBuf>) -> Surroundings {
    let metadata_host = clouds.url.strip_prefix("http://").map(str::to_owned);
    let google = google::Variables { credentials, metadata_host, ..google::Variables::default() };
    Surroundings { google, ..Surroundings::default() }
}

fn document(clouds: &Clouds, document: &Value) -> Surroundings {
    google(clouds, Some(clouds.file("credentials.json", &document.to_string())))
}

async fn key(clouds: &Clouds) -> Surroundings {
    let private = clouds.post("/_service_key", Value::Null).await;
    let email = "push@project.iam.gserviceaccount.com";
    let uri = format!("{}/google/token", clouds.url);
    let key = json!({"type": "service_account", "client_email": email, "private_key": private, "private_key_id": "k1", "token_uri": uri});
    document(clouds, &key)
}

async fn federated(clouds: &Clouds, account: &str) -> Surroundings {
    let claims = json!({"sub": "system:serviceaccount:tekton-chains:c", "aud": POOL, "exp": Timestamp::now().as_second() + 600});
    let token = json!({"id_token": clouds.token(claims).await}).to_string();
    let file = clouds.file("subject.json", &token);
    let impersonate = format!("{}/google/serviceAccounts/{account}:generateAccessToken", clouds.url);
    document(
        clouds,
        &json!({
            "type": "external_account", "audience": POOL, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": format!("{}/google/sts", clouds.url), "service_account_impersonation_url": impersonate,
            "credential_source": {"file": file, "format": {"type": "json", "subject_token_field_name": "id_token"}},
        }),
    )
}

#[tokio::test]
async fn each_identity_is_a_password_that_serves_until_shortly_before_its_end() {
    let Some(clouds) = Clouds::start() else { return };
    let of_key = key(&clouds).await;
    let identity = clouds.identity(&of_key, None);
    let (name, password) = identity.secret(GAR).await;
    assert_eq!(name, "oauth2accesstoken");
    assert_eq!(identity.secret(GAR).await.1, password, "it is remembered");
    let federated = federated(&clouds, "push@project.iam").await;
    clouds.identity(&federated, None).secret("gcr.io").await;
    clouds.identity(&google(&clouds, None), None).secret("eu.gcr.io").await;
    let person = json!({"type": "authorized_user", "client_id": "c", "client_secret": "canary-client", "refresh_token": "canary-refresh", "token_uri": format!("{}/google/token", clouds.url)});
    clouds.identity(&document(&clouds, &person), None).secret(GAR).await;
    let whose: Vec<_> = clouds.log("google").await.iter().map(|line| line["whose"].clone()).collect();
    assert_eq!(
        whose,
        ["push@project.iam.gserviceaccount.com", "federated", "push@project.iam", "machine", "person"]
    );
}

#[tokio::test]
async fn a_token_of_two_seconds_is_renewed() {
    let Some(clouds) = Clouds::start() else { return };
    clouds.control(json!({"ttl": 2})).await;
    let identity = clouds.identity(&google(&clouds, None), None);
    let first = identity.secret(GAR).await;
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    assert_ne!(identity.secret(GAR).await, first);
}

#[tokio::test]
async fn a_statement_with_one_byte_changed_is_refused() {
    let Some(clouds) = Clouds::start() else { return };
    clouds.control(json!({"tamper": "body"})).await;
    for surroundings in [key(&clouds).await, federated(&clouds, "push@project.iam").await] {
        let (code, detail) = clouds.identity(&surroundings, None).problem(GAR).await;
        assert_eq!(code, "CloudDenied", "{detail}");
        assert!(detail.contains("400 invalid_grant: "), "{detail}");
    }
    assert_eq!(clouds.log("google").await.len(), 0);
}

#[tokio::test]
async fn each_refusal_is_told_with_the_clouds_own_words_and_a_remedy() {
    let Some(clouds) = Clouds::start() else { return };
    let (code, detail) =
        clouds.identity(&federated(&clouds, "none@project.iam").await, None).problem(GAR).await;
    assert_eq!(code, "CloudDenied");
    let said = "refused a token for service account none@project.iam: 403 PERMISSION_DENIED: Permission 'iam.serviceAccounts.getAccessToken' denied; grant the federated identity roles/iam.workloadIdentityUser";
    assert!(detail.contains(said), "{detail}");
    for (status, code) in [(404, "CloudDenied"), (429, "CloudUnavailable"), (503, "CloudUnavailable")] {
        clouds.control(json!({"fail": {"google": [status, "no service account", {}]}})).await;
        let problem = clouds.identity(&google(&clouds, None), None).problem(GAR).await;
        assert_eq!(problem.0, code);
        assert!(problem.1.contains(&format!("{status} no service account")), "{}", problem.1);
    }
    let mut nobody = google(&clouds, None);
    nobody.google.metadata_host = Some("127.0.0.1:1".into());
    let (code, detail) = clouds.identity(&nobody, None).problem(GAR).await;
    assert_eq!(code, "CloudUnavailable");
    assert!(detail.contains("GOOGLE_APPLICATION_CREDENTIALS is not set"), "{detail}");
}

/// `hallmark identity` by what a file of Google holds.
async fn identity(clouds: &Clouds, surroundings: &Surroundings) -> Finished {
    let credentials = surroundings.google.credentials.as_ref().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hallmark"));
    command.args(["identity", "--provider", "google-workload-identity", "--registry-config"]);
    command.arg(clouds.registries()).env_clear().env("GOOGLE_APPLICATION_CREDENTIALS", credentials);
    run(command).await
}

#[tokio::test]
async fn the_key_of_a_service_account_and_whom_a_federated_identity_impersonates_have_identity_tokens() {
    let Some(clouds) = Clouds::start() else { return };
    // One after the other: both are the same file.
    for is_key in [true, false] {
        let (surroundings, account) = if is_key {
            (key(&clouds).await, "push@project.iam.gserviceaccount.com")
        } else {
            (federated(&clouds, "push@project.iam").await, "push@project.iam")
        };
        let finished = identity(&clouds, &surroundings).await.succeeded();
        let said = ["provider     google-workload-identity", "issuer       https://accounts.google.com"];
        let who = format!("identity     {account}");
        for line in [said[0], said[1], "audience     sigstore", &who] {
            assert!(finished.stdout.lines().any(|one| one == line), "no {line:?} in {}", finished.stdout);
        }
    }
}

#[tokio::test]
async fn identity_tokens_that_google_refuses_are_told_with_its_words_and_whose_file_can_have_none() {
    let Some(clouds) = Clouds::start() else { return };
    let refused = identity(&clouds, &federated(&clouds, "none@project.iam").await).await.failed();
    assert!(refused.stderr.contains("iam.serviceAccounts.getOpenIdToken"), "{}", refused.stderr);
    let person = json!({"type": "authorized_user", "client_id": "c", "client_secret": "canary-client", "refresh_token": "canary-refresh"});
    let person = identity(&clouds, &document(&clouds, &person)).await.failed();
    assert!(person.stderr.contains("its file is of no service account"), "{}", person.stderr);
    clouds.control(json!({"tamper": "body"})).await;
    let tampered = identity(&clouds, &key(&clouds).await).await.failed();
    assert!(tampered.stderr.contains("400 invalid_grant"), "{}", tampered.stderr);
    for finished in [refused, person, tampered] {
        assert!(!finished.stderr.contains("canary"), "{}", finished.stderr);
    }
}
