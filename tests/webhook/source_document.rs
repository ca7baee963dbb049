//! The four policies of the source document: as they stand they are accepted, or say that a placeholder is to be replaced;
//! with the names of the test servers they admit and deny.

use serde_json::json;

use crate::world::{World, denied, kubectl};

const PRIVATE_REGISTRY: &str = "images-from-private-registry-are-signed";
const PRIVATE_NAMESPACE: &str = "images-from-private-namespace-are-signed";

fn document(name: &str) -> String {
    let file = format!("{}/tests/fixtures/policies/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(file).unwrap()
}

#[tokio::test]
async fn as_they_stand_two_are_accepted_and_two_ask_for_a_name() {
    let world = World::shared().await;
    let apply = ["apply", "--dry-run=server", "-f", "-"];
    for name in [PRIVATE_REGISTRY, PRIVATE_NAMESPACE] {
        let applied = kubectl(world.cluster, &apply, &document(name)).await.succeeded();
        assert!(applied.stderr.contains("MatchesEverything"), "{}", applied.stderr);
    }
    for name in ["gcr-is-signed", "ecr-is-signed"] {
        let asked = kubectl(world.cluster, &apply, &document(name)).await;
        denied(&asked, &["replace the placeholder", "spec.images[0].glob"]);
    }
}

#[tokio::test]
async fn with_the_names_of_the_servers_they_admit_and_deny() {
    let world = World::shared().await;
    let namespace = world.namespace("source").await;
    let at_home = |text: String, name: &str| {
        let text = text.replace("https://fulcio.sigstore.dev", &world.fulcio.url);
        text.replace("name: images", &format!("name: {name}-images"))
    };
    for (name, path, policy) in [
        (
            "registry",
            "team/source-registry",
            document(PRIVATE_REGISTRY)
                .replace("registry.example.com/*", &format!("{}/team/source-registry/*", world.host()))
                .replace("registry.example.com", &world.host()),
        ),
        (
            "namespace",
            "team/source-namespace",
            document(PRIVATE_NAMESPACE)
                .replace("privatenamespace/*", &format!("{}/team/source-namespace/*", world.host()))
                .replace(
                    "index.docker.io/privatenamespace",
                    &format!("{}/team/source-namespace", world.host()),
                ),
        ),
        (
            "gcr",
            "team/source-gcr",
            document("gcr-is-signed")
                .replace("gcr.io/$your-gcp-project", &format!("{}/team/source-gcr", world.host())),
        ),
        (
            "ecr",
            "team/source-ecr",
            document("ecr-is-signed").replace(
                "$aws_account_id.dkr.ecr.us-west-2.amazonaws.com",
                &format!("{}/team/source-ecr", world.host()),
            ),
        ),
    ] {
        let policy = at_home(policy, name)
            .replace("gcr-is-signed", "source-gcr")
            .replace("ecr-is-signed", "source-ecr");
        crate::world::apply(world.cluster, &policy).await;
        let (good, bad) =
            (world.signed(&format!("{path}/good")).await, world.image(&format!("{path}/bad")).await);
        if matches!(name, "gcr" | "ecr") {
            // Without a Secret in the policy the workload's own credentials open the registry.
            world.cluster.registry_secret(&namespace, name, &world.reading()).await;
            world.cluster.set_pull_secrets(&namespace, "default", &[name]).await;
        }
        let admitted = world.run(&namespace, &good.by_digest()).await;
        World::admitted(admitted);
        denied(&world.run(&namespace, &bad.by_digest()).await, &["NoSignatures"]);
        let by_key = world.image(&format!("{path}/by-key")).await;
        world.sign(&by_key, &json!({}), &["--key", &crate::world::key("p256.pem")]).await;
        denied(&world.run(&namespace, &by_key.by_digest()).await, &[&by_key.digest]);
    }
}
