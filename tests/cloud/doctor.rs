//! `hallmark doctor --cloud`: the exchange was successful, or what the cloud itself said.

use std::process::Command;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::clouds::{Clouds, ECR, ROLE};
use super::support::run;

/// What it says of the cloud, and how it ends; there is no cluster.
async fn doctor(arguments: &[&str], variables: &[(&str, &str)]) -> (Value, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallmark"));
    command.args(["doctor", "-o", "json", "--kubeconfig", "/nonexistent"]).args(arguments);
    command.env_clear().envs(variables.iter().copied());
    let finished = run(command).await;
    let printed = format!("{}{}", finished.stdout, finished.stderr);
    assert!(!printed.contains("canary") && !printed.contains("eyJ"), "{printed}");
    let report: Value = serde_json::from_str(&finished.stdout).unwrap();
    let lines = report["checks"].as_array().unwrap_or_else(|| panic!("{report}"));
    let cluster = lines.iter().find(|line| line["check"] == "cluster").unwrap();
    assert_eq!(cluster["state"], "unchecked", "{report}");
    (lines.iter().find(|line| line["check"] == "cloud").unwrap().clone(), finished.code)
}

#[tokio::test]
async fn aws_grants_a_credential_to_a_service_account_or_says_why_not() {
    let Some(clouds) = Clouds::start() else { return };
    let claims = json!({"sub": "system:serviceaccount:tekton-chains:tekton-chains-controller",
        "aud": "sts.amazonaws.com", "exp": Timestamp::now().as_second() + 600});
    let token = clouds.file("token", &clouds.token(claims).await).display().to_string();
    let (ecr, sts) = (format!("{}/ecr/", clouds.url), format!("{}/sts/", clouds.url));
    let mut variables = vec![
        ("AWS_ENDPOINT_URL_ECR", ecr.as_str()),
        ("AWS_ENDPOINT_URL_STS", &sts),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &token),
        ("AWS_ROLE_ARN", ROLE),
    ];
    let image = format!("{ECR}/team/app");
    let asked = ["--cloud", "aws", "--image", &image];
    let (line, code) = doctor(&asked, &variables).await;
    assert_eq!((line["state"].as_str(), code), (Some("ok"), Some(0)), "{line}");
    assert_eq!(line["found"], format!("AWS: the exchange for {ECR} was successful"));
    assert_eq!(clouds.log("ecr").await.len(), 1);

    variables[3].1 = "arn:aws:iam::123456789012:role/none";
    let (line, code) = doctor(&asked, &variables).await;
    assert_eq!((line["state"].as_str(), code), (Some("failed"), Some(3)), "{line}");
    let said = line["found"].as_str().unwrap();
    assert!(said.contains("role/none: 403 AccessDenied: Not authorized to perform"), "{said}");
}

#[tokio::test]
async fn google_grants_a_credential_to_a_machine_or_says_why_not() {
    let Some(clouds) = Clouds::start() else { return };
    let host = clouds.url.strip_prefix("http://").unwrap().to_owned();
    let variables = [("GCE_METADATA_HOST", host.as_str())];
    let (line, code) = doctor(&["--cloud", "gcp"], &variables).await;
    assert_eq!((line["state"].as_str(), code), (Some("ok"), Some(0)), "{line}");
    assert_eq!(line["found"], "Google Cloud: the exchange for gcr.io was successful");

    clouds.control(json!({"fail": {"google": [404, "no service account", {}]}})).await;
    let (line, code) = doctor(&["--cloud", "gcp"], &variables).await;
    assert_eq!((line["state"].as_str(), code), (Some("failed"), Some(3)), "{line}");
    assert!(line["found"].as_str().unwrap().contains("404 no service account"), "{line}");
    let (line, code) = doctor(&["--cloud", "gcp"], &[("GCE_METADATA_HOST", "127.0.0.1:1")]).await;
    assert_eq!((line["state"].as_str(), code), (Some("failed"), Some(4)), "{line}");
}
