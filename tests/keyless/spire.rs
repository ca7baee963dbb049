//! SPIFFE identities from a real SPIRE: every way of mounting the Workload API, and an agent that goes away.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::sync::OnceCell;

use crate::support::{Cluster, Finished, Fulcio, Hallmark, Issuer, Pod, Spire};

/// Where the stock installation mounts the token of the service account.
const TOKEN: &str = "/var/run/sigstore/cosign/oidc-token";

/// SPIRE with this process registered, and its SPIFFE ID, for tests that leave the agent alone.
pub async fn shared() -> &'static (Spire, String) {
    static SHARED: OnceCell<(Spire, String)> = OnceCell::const_new();
    SHARED
        .get_or_init(async || {
            let spire = Spire::start().await;
            let id = spire.register("ns/tekton-chains/sa/tekton-chains-controller").await;
            (spire, id)
        })
        .await
}

/// `hallmark identity` in a pod with these mounts; `None`, and why on the terminal, where no pod can be made.
async fn pod(test: &str, mounts: &[(&Path, &str)]) -> Option<Pod> {
    Pod::start(mounts)
        .await
        .inspect_err(|reason| println!("{test} skipped: no mount namespace here: {reason}"))
        .ok()
}

#[track_caller]
fn speaks_as(finished: Finished, id: &str) {
    let finished = finished.succeeded();
    for line in ["provider     spiffe".to_owned(), format!("subject      {id}"), format!("identity     {id}")]
    {
        assert!(
            finished.stdout.lines().any(|printed| printed == line),
            "no {line:?} in\n{}",
            finished.stdout
        );
    }
}

#[tokio::test]
async fn a_jwt_svid_gets_a_certificate_with_the_spiffe_id_as_its_name() {
    let (spire, id) = shared().await;
    let token = spire.jwt_svid("sigstore").await;
    let header = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header["alg"], "ES256", "SPIRE's default, which the peer cannot use");

    let fulcio = Fulcio::trusting(&[spire.issuer()]).await;
    let socket = spire.socket().display().to_string();
    let environment = [("SPIFFE_ENDPOINT_SOCKET", socket.as_str())];
    let finished = Hallmark::run(&["identity", "--fulcio", &fulcio.url], &environment).await.succeeded();
    let certified = format!("certificate  {id} by issuer {}", spire.issuer().url);
    assert!(finished.stdout.contains(&certified), "{}", finished.stdout);
    speaks_as(finished, id);
}

#[tokio::test]
async fn every_form_of_the_endpoint_reaches_the_agent() {
    let (spire, id) = shared().await;
    let (socket, directory) = (spire.socket().display().to_string(), spire.socket_directory());
    for form in [
        socket.clone(),
        format!("unix:{socket}"),
        format!("unix://{socket}"),
        directory.display().to_string(),
        format!("unix://{}", directory.display()),
    ] {
        println!("{form}");
        speaks_as(Hallmark::run(&["identity"], &[("SPIFFE_ENDPOINT_SOCKET", &form)]).await, id);
    }
}

#[tokio::test]
async fn the_socket_and_its_directory_are_found_wherever_documents_mount_them() {
    const SOCKET: &str = "/run/spire/sockets/agent.sock";
    let (spire, id) = shared().await;
    let (file, directory) = (spire.socket(), spire.socket_directory());
    for (place, source, variable) in [
        (SOCKET, &file, Some(SOCKET)),
        (SOCKET, &file, None),
        ("/tmp/spire-agent/public/api.sock", &file, None),
        ("/elsewhere/of-ours.sock", &file, Some("unix:///elsewhere/of-ours.sock")),
        ("/run/spire/sockets", &directory, Some(SOCKET)),
        ("/run/spire/sockets", &directory, Some("/run/spire/sockets")),
        ("/run/spire/sockets", &directory, None),
        ("/spiffe-workload-api", &directory, None),
    ] {
        println!("{place} with variable {variable:?}");
        let Some(pod) = pod("mounting the Workload API", &[(source.as_path(), place)]).await else { return };
        let environment = variable.map(|value| ("SPIFFE_ENDPOINT_SOCKET", value));
        speaks_as(pod.hallmark(&["identity"], environment.as_slice()).await, id);
    }
}

#[tokio::test]
async fn a_socket_mounted_beside_a_token_decides_who_signs() {
    let (spire, id) = shared().await;
    let cluster = Cluster::shared().await;
    let (folder, namespace) = (tempfile::tempdir().unwrap(), cluster.namespace("both").await);
    let token = folder.path().join("oidc-token");
    std::fs::write(&token, cluster.token_for(&namespace, "default", "sigstore").await).unwrap();
    let fulcio = Fulcio::trusting(&[Issuer::of(cluster), spire.issuer()]).await;

    let (token, directory) = ((token.as_path(), TOKEN), spire.socket_directory());
    let Some(both) = pod("token and socket", &[token, (&directory, "/spiffe-workload-api")]).await else {
        return;
    };
    let finished = both.hallmark(&["identity", "--fulcio", &fulcio.url], &[]).await.succeeded();
    assert!(finished.stdout.contains(&format!("certificate  {id} by issuer")), "{}", finished.stdout);

    let only_token = pod("token alone", &[token]).await.unwrap();
    let finished = only_token.hallmark(&["identity"], &[]).await.succeeded();
    assert!(finished.stdout.contains("provider     filesystem"), "{}", finished.stdout);
    let named = both.hallmark(&["identity", "--provider", "filesystem"], &[]).await.succeeded();
    assert!(named.stdout.contains("system:serviceaccount:"), "{}", named.stdout);
}

#[tokio::test]
async fn a_directory_shows_the_new_socket_of_a_restarted_agent_and_a_mounted_file_is_told_to_be_stale() {
    let spire = Spire::start().await;
    let id = spire.register("restarted").await;
    let (file, directory) = (spire.socket(), spire.socket_directory());
    let mounts = [(file.as_path(), "/run/spire/sockets/agent.sock"), (&directory, "/spiffe-workload-api")];
    let Some(pod) = pod("a stale socket", &mounts).await else { return };
    let by_file = [("SPIFFE_ENDPOINT_SOCKET", "/run/spire/sockets/agent.sock")];
    let by_directory = [("SPIFFE_ENDPOINT_SOCKET", "/spiffe-workload-api")];
    speaks_as(pod.hallmark(&["identity"], &by_file).await, &id);

    spire.restart_agent().await;
    speaks_as(pod.hallmark(&["identity"], &by_directory).await, &id);
    let stale = pod.hallmark(&["identity"], &by_file).await.failed();
    assert!(stale.stderr.contains("mount its directory"), "{}", stale.stderr);
}

#[tokio::test]
async fn a_workload_without_an_entry_is_told_so_and_speaks_once_it_has_one() {
    let spire = Spire::start().await;
    let socket = spire.socket().display().to_string();
    let environment = [("SPIFFE_ENDPOINT_SOCKET", socket.as_str())];
    let started = Instant::now();
    let refused = Hallmark::run(&["identity"], &environment).await.failed();
    assert!(refused.stderr.contains("no registration entry for this workload"), "{}", refused.stderr);
    assert!(refused.stderr.contains("spire-server entry create"), "{}", refused.stderr);
    assert!(started.elapsed() < Duration::from_secs(5), "tried again and again: {:?}", started.elapsed());
    let id = spire.register("late").await;
    speaks_as(Hallmark::run(&["identity"], &environment).await, &id);
}

#[tokio::test]
async fn a_jwt_svid_that_names_no_issuer_is_sent_to_nobody_and_told_with_the_setting_that_is_missing() {
    let spire = Spire::start_without_issuer().await;
    let id = spire.register("nameless").await;
    let socket = spire.socket().display().to_string();
    let nobody = ["identity", "--fulcio", "http://127.0.0.1:1"];
    let refused = Hallmark::run(&nobody, &[("SPIFFE_ENDPOINT_SOCKET", &socket)]).await.failed();
    for text in ["provider spiffe cannot be used: it has no iss", &id, "set jwt_issuer in spire-server"] {
        assert!(refused.stderr.contains(text), "no {text:?} in\n{}", refused.stderr);
    }
}

#[tokio::test]
async fn the_registration_that_the_documentation_shows_is_one_that_spire_takes() {
    let (spire, _) = shared().await;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/keyless.md")).unwrap();
    let page = page.replace("example.org", "hallmark.test").replace("\\\n", " ");
    let command = page.lines().find_map(|line| line.trim().strip_prefix("spire-server ")).unwrap();
    let created = spire.server(&command.split_whitespace().collect::<Vec<_>>()).await.succeeded();
    assert!(created.stdout.contains("k8s:sa:tekton-chains-controller"), "{}", created.stdout);
}

#[tokio::test]
async fn an_agent_killed_and_restarted_during_a_hundred_fetches_loses_none() {
    let spire = Spire::start().await;
    let id = spire.register("steady").await;
    let directory = spire.socket_directory().display().to_string();
    let done = AtomicBool::new(false);
    let fetches = async {
        for _ in 0..100 {
            speaks_as(Hallmark::run(&["identity"], &[("SPIFFE_ENDPOINT_SOCKET", &directory)]).await, &id);
        }
        done.store(true, Ordering::Relaxed);
    };
    let restarts = async {
        let mut restarts = 0;
        while !done.load(Ordering::Relaxed) {
            spire.kill_agent();
            tokio::time::sleep(Duration::from_secs(1)).await;
            spire.restart_agent().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            restarts += 1;
        }
        restarts
    };
    let ((), restarts) = tokio::join!(fetches, restarts);
    println!("{restarts} restarts");
    assert!(restarts > 1, "the agent was there all the time");
}
