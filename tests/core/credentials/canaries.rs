//! No secret is said, at any level, by the controller or by the command line.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::Named;
use crate::agent::{Agent, SOON, stopped_well};
use crate::main_path::TO_REGISTRY;
use crate::support::{Authentication, Cosign, Crane, Distribution, Hallmark, PushedImage, TokenUser};

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_said_in_a_log_line_at_trace_an_event_an_annotation_or_an_error() {
    let builder = TokenUser::new("builder", "canary-right-password").push("team/");
    let reader = TokenUser::new("reader", "canary-reader-password").pull("team/");
    let registry = Distribution::start(Authentication::Token(vec![builder.clone(), reader.clone()])).await;
    let access = registry.access(None);
    let mut agent = Agent::prepare("secrets", &access, TO_REGISTRY).await;
    let cosign = Cosign::new(&access);
    let pair = cosign.generate_key_pair("pair").await;
    agent.use_cosign_key(&pair);
    agent.secret("push", &access, &builder).await;
    agent.secret("pull", &access, &reader).await;
    agent.secret("wrong", &access, &TokenUser::new("builder", "canary-wrong-password")).await;
    create_broken_secrets(&agent, &access.host).await;

    let pushing = Crane::new(&registry.access(Some(builder.login())));
    let image = pushing.push_random_image("team/app").await;
    let hallmark = agent.start().await;
    let all = ["identity", "token", "broken", "half", "wrong", "pull", "push"];
    let named = Named { account_secrets: &all, ..Named::default() };
    agent.build_with("signed", &named, &access, &[&image]).await;
    assert_eq!(agent.mark("signed", SOON).await, "true");
    let named = Named { account_secrets: &all[..6], ..Named::default() };
    agent.build_with("refused", &named, &access, &[&image]).await;
    agent.event(&["RegistryAuthFailed", "/wrong"]).await;

    let mut said = stopped_well(hallmark);
    let traced = said.iter().filter(|line| line.contains(r#""level":"TRACE""#)).count();
    assert!(traced > 100, "TRACE is on: {traced}");
    said.extend(agent.event_objects().await.iter().map(|event| serde_json::to_string(event).unwrap()));
    for run in ["signed", "refused"] {
        said.push(serde_json::to_string(&agent.annotations(run).await).unwrap());
    }
    let named =
        |secret: &str| said.iter().any(|line| line.contains(&format!("{}/{secret}", agent.namespace)));
    assert!(
        all.iter().all(|secret| named(secret)),
        "every Secret is spoken of, so that this test sees what is said"
    );
    said.extend(command_line(&agent, &registry, &image).await);

    let key = std::fs::read_to_string(&pair.private).unwrap();
    let key_lines = key.lines().filter(|line| !line.starts_with("-----"));
    let canaries = ["canary", pair.password].map(str::to_owned);
    let secrets = key_lines.map(str::to_owned).chain(canaries).flat_map(|secret| spellings(&secret));
    // What token servers, and the API server for service accounts, give out: a JWT begins with {".
    for secret in secrets.chain(["eyJ".to_owned()]) {
        let found = said.iter().find(|line| line.contains(&secret));
        assert!(found.is_none(), "{secret:?} is said in {}", found.unwrap());
    }
}

/// Secrets with every field that may hold something secret, and some that are damaged.
async fn create_broken_secrets(agent: &Agent, host: &str) {
    let identity = json!({"auths": {host: {"identitytoken": "canary-identity-token"}}}).to_string();
    let token = json!({"auths": {host: {"registrytoken": "canary-registry-token"}}}).to_string();
    let half = json!({"auths": {host: {"auth": "canary-no-base64"}}}).to_string();
    let kind = "kubernetes.io/dockerconfigjson";
    for (name, kind, content) in [
        ("identity", kind, identity.as_str()),
        ("token", kind, &token),
        ("half", kind, &half),
        ("broken", "Opaque", "{\"auths\": {\"canary-no-json"),
    ] {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": kind,
            "metadata": {"name": name, "namespace": agent.namespace}, "stringData": {".dockerconfigjson": content}});
        agent.cluster.create(&secret).await;
    }
}

/// Everything that the command line says at TRACE about a run whose only credential has the wrong password.
async fn command_line(agent: &Agent, registry: &Distribution, image: &PushedImage) -> Vec<String> {
    let home = tempfile::tempdir().unwrap();
    let login = Some(("builder".to_owned(), "canary-wrong-password".to_owned()));
    let access = registry.access(login);
    let manifests = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": "wrong"}, "stringData": {".dockerconfigjson": access.docker_config()}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"},
            "secrets": [{"name": "wrong"}]},
        {"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": "build", "namespace": "ci"}, "spec": {},
            "status": {"conditions": [{"type": "Succeeded", "status": "True"}], "results": [
                {"name": "IMAGE_URL", "type": "string", "value": image.repository},
                {"name": "IMAGE_DIGEST", "type": "string", "value": image.digest}]}},
    ]});
    let file = home.path().join("run.json");
    std::fs::write(&file, manifests.to_string()).unwrap();
    let (file, keys) = (file.to_str().unwrap(), agent.keys().to_str().unwrap());
    let ca = access.ca.unwrap();
    let environment = [("SSL_CERT_FILE", ca.to_str().unwrap())];
    let arguments = ["sign", "-f", file, "--key", keys, "-o", "json", "--log", "trace"];
    let finished = Hallmark::run(&arguments, &environment).await;
    assert_eq!(finished.code, Some(3), "{}", finished.stderr.lines().last().unwrap_or_default());
    assert!(finished.stderr.contains("ci/wrong"), "the Secret is named");
    finished.stdout.lines().chain(finished.stderr.lines()).map(str::to_owned).collect()
}

/// A secret as it stands, and what of it is seen in any base64 of any text around it.
fn spellings(secret: &str) -> Vec<String> {
    let mut spellings = vec![secret.to_owned()];
    for before in 0..3 {
        // Characters that also depend on what is before or after are left out.
        let (from, to) = ((before * 8_usize).div_ceil(6), (before + secret.len()) * 8 / 6);
        let text = format!("{}{secret}", "x".repeat(before));
        spellings.push(STANDARD_NO_PAD.encode(&text)[from..to].to_owned());
        spellings.push(URL_SAFE_NO_PAD.encode(&text)[from..to].to_owned());
    }
    spellings
}

#[test]
fn a_secret_is_found_in_the_base64_of_whatever_surrounds_it() {
    for surrounded in ["builder:canary!", "a:canary", "ab:canary, and more", "canary"] {
        let encoded = STANDARD_NO_PAD.encode(surrounded);
        assert!(spellings("canary").iter().any(|spelling| encoded.contains(spelling)), "{surrounded}");
    }
    assert!(
        !spellings("canary")
            .iter()
            .any(|spelling| STANDARD_NO_PAD.encode("canoe and ferry").contains(spelling))
    );
}
