//! `docker-credential-hallmark` on a workload of SPIFFE: the JWT-SVID of a real SPIRE is what it exchanges.

use std::process::Command;

use serde_json::Value;

use crate::spire::shared;
use crate::support::{Cluster, FakeSts, Finished, Known, Spire, http_client, run};

const REGISTRY: &str = "registry.example";

async fn keys(spire: &Spire) -> Value {
    let issuer = spire.issuer();
    let answer = http_client(Some(&issuer.ca_pem)).get(format!("{}/keys", issuer.url)).send().await.unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_workload_of_spiffe_gets_a_registry_token_for_its_svid() {
    let (spire, id) = shared().await;
    let sts = FakeSts::start(Cluster::shared().await).await;
    let issuer = spire.issuer().url;
    sts.trusts(&issuer, keys(spire).await);
    sts.knows("org/workload", Known::person(&issuer, id, "issuer.enforce.dev", 3600));
    sts.knows(
        "org/other",
        Known::person(&issuer, "spiffe://hallmark.test/other", "issuer.enforce.dev", 3600),
    );

    let home = tempfile::tempdir().unwrap();
    let providers = home.path().join("providers.toml");
    let provider = format!(
        "[providers.chainguard]\nkind = \"chainguard\"\nissuer = \"{}\"\nregistries = [\"{REGISTRY}\"]\n\
         subject-audience = \"issuer.enforce.dev\"\n",
        sts.url
    );
    std::fs::write(&providers, provider).unwrap();
    let get = async |identity: &str, socket: &str| -> Finished {
        let script = format!("printf %s {REGISTRY} | \"$0\" credential-helper get");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_hallmark")]).env_clear();
        command.env("PATH", "/usr/bin:/bin").env("HOME", home.path()).env("SSL_CERT_FILE", sts.ca());
        command.env("HALLMARK_PROVIDERS", &providers).env("HALLMARK_IDENTITY", identity);
        command.env("HALLMARK_IDENTITY_PROVIDER", "spiffe").env("SPIFFE_ENDPOINT_SOCKET", socket);
        run(command).await
    };
    let socket = spire.socket().display().to_string();
    let got: Value = serde_json::from_str(&get("org/workload", &socket).await.succeeded().stdout).unwrap();
    assert_eq!(got["Username"], "_token");
    assert!(
        sts.canaries().iter().any(|token| got["Secret"] == token.as_str()),
        "it is the token that was granted"
    );
    assert_eq!(sts.log().last().unwrap().subject, *id, "the SVID was verified by SPIRE's own keys");

    let refused = get("org/other", &socket).await.failed();
    assert!(refused.stdout.contains("403") && refused.stdout.contains(id.as_str()), "{}", refused.stdout);
    let away = get("org/nobody", "unix:/nowhere/agent.sock").await.failed();
    assert!(away.stdout.contains("SPIFFE Workload API"), "{}", away.stdout);
}
