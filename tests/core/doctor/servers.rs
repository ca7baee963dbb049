//! What doctor says of Fulcio and registries.

use super::{Installation, lines, only};
use crate::support::{Authentication, Cluster, Crane, Distribution, Fulcio, TokenUser};

#[tokio::test]
async fn a_fulcio_that_is_away_is_named() {
    let installation = Installation::keyless("doctor-away", "http://127.0.0.1:9", "sigstore").await;
    let (lines, code) = installation.report(&[]).await;
    only(&lines, "fulcio", "127.0.0.1:9", "can be reached from the controller's pod");
    assert_eq!(code, Some(4), "it may pass");
}

#[tokio::test]
async fn a_token_for_another_audience_is_named_before_anybody_sees_it() {
    let fulcio = Fulcio::start(Cluster::shared().await).await;
    let installation = Installation::keyless("doctor-audience", &fulcio.url, "vault").await;
    installation.has_only("identity", "is for audience \"vault\"", "set audience: sigstore").await;

    let installation = Installation::keyless("doctor-file", &fulcio.url, "sigstore").await;
    let token = installation.cluster.token(&installation.namespace, "tekton-chains-controller").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &token).unwrap();
    let finished = installation
        .run_as("admin", &["-o", "json", "--token-file", file.path().to_str().unwrap()], &[])
        .await;
    only(&lines(&finished), "identity", "it is not for audience \"sigstore\"", "set audience: sigstore");
    assert!(!finished.stdout.contains(&token) && !finished.stderr.contains(&token), "the token is not shown");
}

#[tokio::test]
async fn a_fulcio_of_other_issuers_is_told_by_its_own_word() {
    let other = crate::support::Issuer {
        url: "https://issuer.test".to_owned(),
        ca_pem: Cluster::shared().await.ca_pem(),
        kind: crate::support::Kind::Kubernetes,
    };
    let fulcio = Fulcio::trusting(&[other]).await;
    let installation = Installation::keyless("doctor-issuer", &fulcio.url, "sigstore").await;
    installation
        .has_only("fulcio", "is not configured for the issuer of the identity token", "oidc-issuers")
        .await;
}

#[tokio::test]
async fn a_registry_that_refuses_is_named_with_the_credential_that_is_missing() {
    let builder = TokenUser::new("builder", "canary-b").push("team/");
    let reader = TokenUser::new("reader", "canary-r").pull("team/");
    let registry = Distribution::start(Authentication::Token(vec![builder.clone(), reader.clone()])).await;
    Crane::new(&registry.access(Some(builder.login()))).push_random_image("team/app").await;
    let installation = Installation::new("doctor-registry", |_| {}).await;
    let (cluster, namespace) = (installation.cluster, &installation.namespace);
    cluster.registry_secret(namespace, "reads", &registry.access(Some(reader.login()))).await;
    cluster.set_secrets(namespace, "default", &["reads"]).await;

    let access = registry.access(None);
    let (image, ca) = (format!("{}/team/app", access.host), access.ca.clone().unwrap());
    let asked = ["-n", namespace, "--service-account", "default", "--image", &image, "-o", "json"];
    let environment = [("SSL_CERT_FILE", ca.to_str().unwrap())];
    let finished = installation.run_as("admin", &asked, &environment).await;
    let lines = lines(&finished);
    only(&lines, "registry", "no credential was accepted", "may not push");
    assert_eq!(finished.code, Some(3));
    assert!(lines.iter().any(|line| line.is("ok") && line.says("accepted", "")), "it may read");
    assert!(!format!("{}{}", finished.stdout, finished.stderr).contains("canary"));

    cluster.registry_secret(namespace, "pushes", &registry.access(Some(builder.login()))).await;
    cluster.set_secrets(namespace, "default", &["reads", "pushes"]).await;
    installation.run_as("admin", &asked, &environment).await.succeeded();
}
