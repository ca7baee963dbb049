//! The overlay's own Deployment, as a kubelet would run it: its command line, its environment and its mounts, in a root
//! with nothing else, with the rights of its service account. There is no kubelet here, so the test is one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec, Volume};
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::{Pod, eventually};
use crate::world::World;

const NAMESPACE: &str = "pull-secret-updater";
const OWN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The Deployment as the API server took it.
async fn deployment(world: &World) -> PodSpec {
    let deployments = Api::<Deployment>::namespaced(world.cluster.client().await, NAMESPACE);
    deployments.get("controller").await.unwrap().spec.unwrap().template.spec.unwrap()
}

/// Writes what a volume holds; answers its folder.
async fn filled(world: &World, account: &str, volume: &Volume) -> PathBuf {
    let folder = world.folder.path().join(format!("volume-{}", volume.name));
    std::fs::create_dir(&folder).unwrap();
    if let Some(projected) = &volume.projected {
        for source in projected.sources.iter().flatten() {
            let token = source.service_account_token.as_ref().expect("a token, and nothing else");
            let audience = token.audience.as_deref().expect("a token for somebody else than the API server");
            let made = world.cluster.token_for(NAMESPACE, account, audience).await;
            std::fs::write(folder.join(&token.path), made).unwrap();
        }
    } else if let Some(map) = &volume.config_map {
        let maps =
            Api::<k8s_openapi::api::core::v1::ConfigMap>::namespaced(world.cluster.client().await, NAMESPACE);
        for (name, text) in maps.get(&map.name).await.unwrap().data.unwrap_or_default() {
            std::fs::write(folder.join(name), text).unwrap();
        }
    } else {
        panic!("the kubelet of this test does not know how to fill {volume:?}");
    }
    folder
}

/// The value of a variable, as the kubelet gives it.
fn value(variable: &EnvVar) -> String {
    if let Some(value) = &variable.value {
        return value.clone();
    }
    let field = variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref()).unwrap();
    match field.field_path.as_str() {
        "metadata.namespace" => NAMESPACE.to_owned(),
        "metadata.name" => "controller-0".to_owned(),
        other => panic!("{other}"),
    }
}

/// What every pod has of its own account.
async fn own(world: &World, account: &str) -> PathBuf {
    let folder = world.folder.path().join("own");
    std::fs::create_dir(&folder).unwrap();
    for (name, content) in [
        ("token", world.cluster.token(NAMESPACE, account).await),
        ("ca.crt", world.cluster.ca_pem()),
        ("namespace", NAMESPACE.to_owned()),
    ] {
        std::fs::write(folder.join(name), content).unwrap();
    }
    folder
}

/// The image of every other part of the release.
fn image_of_the_release() -> String {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/release.yaml")).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let deployment = documents.into_iter().find(|document| document["kind"] == "Deployment").unwrap();
    deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_deployment_of_the_overlay_fills_a_secret_as_it_stands() {
    let world = World::start().await;
    let pod = deployment(&world).await;
    let account = pod.service_account_name.as_deref().unwrap();
    assert_eq!(account, "controller", "the subject that users have made identities for");
    let [container] = &pod.containers[..] else { panic!("one container: {:?}", pod.containers) };
    assert_eq!(container.image.as_deref(), Some(image_of_the_release().as_str()));
    assert_eq!(container.command, None, "the image's own");

    // Settings of this test: where the token service is.
    let providers = std::fs::read_to_string(world.providers()).unwrap();
    let patch = Patch::Merge(json!({"data": {"providers.toml": providers}}));
    let maps =
        Api::<k8s_openapi::api::core::v1::ConfigMap>::namespaced(world.cluster.client().await, NAMESPACE);
    maps.patch("updater-config", &PatchParams::default(), &patch).await.unwrap();

    let mut folders = BTreeMap::new();
    for volume in pod.volumes.iter().flatten() {
        folders.insert(volume.name.clone(), filled(&world, account, volume).await);
    }
    let (own, ca) = (own(&world, account).await, world.sts.ca());
    let mut mounts: Vec<(&Path, &str)> = vec![(&own, OWN), (&ca, "/authorities.pem")];
    for mount in container.volume_mounts.iter().flatten() {
        mounts.push((&folders[&mount.name], &mount.mount_path));
    }
    let running = match Pod::start(&mounts).await {
        Ok(pod) => pod,
        Err(reason) => return println!("the overlay, skipped: no mount namespace here: {reason}"),
    };
    let started = start(&world, &running, container);

    let tenant = world.tenant("overlay", 3600).await;
    tenant.create_pull_secret("{}").await;
    let filled = async || tenant.token().await;
    let log = || started.log_text();
    eventually("the Secret is filled", Duration::from_secs(30), filled).await;
    assert_eq!(tenant.exchanges(), 1, "{}", log());
    let subject = world.sts.log().into_iter().find(|one| one.identity == tenant.identity).unwrap().subject;
    assert_eq!(subject, format!("system:serviceaccount:{NAMESPACE}:controller"));
    let user = format!("system:serviceaccount:{NAMESPACE}:controller");
    let refused =
        world.cluster.audited(|event| event.user.username == user && event.response_status.code == 403);
    assert!(refused.is_empty(), "its rights are enough: {refused:?}");
    assert!(started.terminate().success());
}

/// The program with the command line and the environment of the container. Only its addresses are others: those of
/// the image are the machine's.
fn start(world: &World, pod: &Pod, container: &Container) -> crate::support::Server {
    let (host, port) = world.cluster.url().trim_start_matches("https://").rsplit_once(':').unwrap();
    let mut environment = vec![
        ("KUBERNETES_SERVICE_HOST".to_owned(), host.to_owned()),
        ("KUBERNETES_SERVICE_PORT".to_owned(), port.to_owned()),
        ("SSL_CERT_FILE".to_owned(), "/authorities.pem".to_owned()),
    ];
    environment
        .extend(container.env.iter().flatten().map(|variable| (variable.name.clone(), value(variable))));
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut arguments: Vec<&str> = container.args.iter().flatten().map(String::as_str).collect();
    assert_eq!(arguments, ["refresh"]);
    arguments.extend(["--health-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"]);
    pod.start_program("/hallmark", &arguments, &environment)
}
