//! The source document's own steps, literally, on a fresh install of the overlay.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Cosign, Crane, Hallmark, binary, block};
use crate::world::{NAME, Running, SOON, World, finished, text};

/// Runs a script as the document has it, with kubectl in the `PATH` and `namespace` as the current one.
async fn run(running: &Running, namespace: &str, script: &str) {
    let folder = tempfile::tempdir().unwrap();
    let admin = std::fs::read(running.world.cluster.kubeconfig("admin")).unwrap();
    let mut kubeconfig: Value = serde_json::from_slice(&admin).unwrap();
    kubeconfig["contexts"][0]["context"]["namespace"] = json!(namespace);
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig.to_string()).unwrap();
    let path = format!("{}:/usr/bin:/bin", binary("kubectl").parent().unwrap().display());
    let mut command = Command::new("sh");
    command.args(["-ec", script]).env("PATH", path).env("KUBECONFIG", &file).env("HOME", folder.path());
    finished(command).await.succeeded();
}

#[tokio::test]
async fn the_commands_of_the_document_give_a_secret_that_opens_the_registry() {
    let running = Running::shared().await;
    let world = &running.world;
    let tenant = world.tenant("document", 3600).await;
    let script = block("docs/short-lived.md", "kubectl annotate secret pull-secret ");
    let script = script.replace("<identity-UID>", &tenant.identity);
    assert!(script.contains("kubectl create secret generic pull-secret"), "{script}");
    run(running, &tenant.namespace, &format!("{script}\nkubectl get secret pull-secret -oyaml")).await;
    tenant.another_token(None, SOON).await;

    let writer = world.registry.access(Some(("writer".to_owned(), "w".to_owned())));
    let image = Crane::new(&writer).push_random_image("team/app").await;
    Crane::new(&world.registry.access(None)).run(&["manifest", &image.by_digest()]).await.failed();
    let by_secret = world.access(&tenant.config().await);
    assert!(Crane::new(&by_secret).manifest(&image.by_digest()).await.is_some());
    let cosign = Cosign::new(&writer);
    let key = cosign.generate_key_pair("key").await;
    cosign.sign(&key.private, &image).await.succeeded();
    Cosign::new(&by_secret).verify(&key.public, &image.by_digest()).await.succeeded();
}

#[tokio::test]
async fn a_right_on_another_name_is_all_that_another_name_needs() {
    let running = Running::shared().await;
    let tenant = running.world.tenant("named", 3600).await;
    tenant.create("regcred", "kubernetes.io/dockerconfigjson", Some("{}"), true).await;
    let role = block("docs/short-lived.md", "name: pull-secret-updater-regcred");
    let bind = block("docs/short-lived.md", "kubectl create clusterrolebinding");
    let script = format!("kubectl apply -f - <<'EOF'\n{role}EOF\n{bind}");
    run(running, &tenant.namespace, &script).await;
    // Rights are reviewed once a minute.
    crate::support::eventually("regcred is filled", Duration::from_secs(90), async || {
        let secret = tenant.secrets.get("regcred").await.unwrap();
        (secret.data.unwrap()[".dockerconfigjson"].0.len() > 2).then_some(())
    })
    .await;
    assert!(tenant.secrets.get_opt(NAME).await.unwrap().is_none(), "nothing is created");
}

#[tokio::test]
async fn the_signing_controller_fills_secrets_when_it_is_told_to() {
    let world = World::start().await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tekton-chains"}});
    world.cluster.create(&namespace).await;
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "chains-config", "namespace": "tekton-chains"},
        "data": {"refresh.enabled": "true", "artifacts.oci.signer": "none", "artifacts.taskrun.signer": "none"}});
    world.cluster.create(&config).await;
    let tenant = world.tenant("inside", 3600).await;
    tenant.create_pull_secret("{}").await;
    let (kubeconfig, token, providers) =
        (world.cluster.kubeconfig("admin"), world.token_file(), world.providers());
    let arguments = [
        "controller",
        "--kubeconfig",
        text(&kubeconfig),
        "--health-address",
        "127.0.0.1:0",
        "--metrics-address",
        "127.0.0.1:0",
        "--refresh-token-file",
        text(&token),
        "--refresh-providers",
        text(&providers),
    ];
    let ca = world.sts.ca();
    let controller = Hallmark::start(&arguments, &[("SSL_CERT_FILE", text(&ca))]);
    tenant.another_token(None, Duration::from_secs(30)).await;
    assert_eq!(tenant.exchanges(), 1);
    assert!(controller.terminate().0.success());
}
