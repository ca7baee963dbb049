//! Pull secrets that clouds fill: `hallmark refresh` with providers of the kinds `ecr`, `gcp` and `acr`, on a real
//! kube-apiserver whose tokens `PyJWT` verifies by that server's own keys (credentials specification §6.8).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::{Value, json};

use super::clouds::{Clouds, ECR, ROLE};
use super::support::{Cluster, Hallmark, eventually};

const PREFIX: &str = "pull-secret-updater.chainguard.dev/";
const POOL: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k8s";
const TENANT: &str = "72f988bf-0000-0000-0000-000000000000";
const CLIENT: &str = "11111111-2222-3333-4444-555555555555";
const ACR: &str = "team.azurecr.io";
const SOON: Duration = Duration::from_secs(20);

struct World {
    cluster: &'static Cluster,
    clouds: Clouds,
    namespace: String,
}

impl World {
    async fn new() -> Option<Self> {
        let clouds = Clouds::start()?;
        let cluster = Cluster::shared().await;
        let namespace = cluster.namespace("filled").await;
        let keys = http::Request::get("/openid/v1/jwks").body(Vec::new()).unwrap();
        let keys: Value = cluster.client().await.request(keys).await.unwrap();
        let subject = format!("system:serviceaccount:{namespace}:default");
        clouds.control(json!({"issuer": keys["keys"][0], "subjects": [subject]})).await;
        Some(Self { cluster, clouds, namespace })
    }

    /// The updater, with a provider of each kind; the one of ECR has a token file of its own.
    async fn updater(&self) -> Hallmark {
        let token = self.cluster.token_for(&self.namespace, "default", "sts.amazonaws.com").await;
        let token = self.clouds.file("aws-token", &token);
        let providers = format!(
            "[providers.ecr]\nkind = \"ecr\"\nregistries = [\"{ECR}\"]\nsubject-token-file = \"{}\"\n\
             [providers.gar]\nkind = \"gcp\"\nregistries = [\"gcr.io\", \"eu.gcr.io\"]\naudience = \"{POOL}\"\n\
             [providers.acr]\nkind = \"acr\"\nregistries = [\"{ACR}\"]\ntenant = \"{TENANT}\"\n",
            token.display()
        );
        let providers = self.clouds.file("providers.toml", &providers).display().to_string();
        let kubeconfig = self.cluster.kubeconfig("admin").display().to_string();
        let registries = self.clouds.registries().display().to_string();
        let addresses = ["--health-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"];
        let mut arguments = vec!["refresh", "--kubeconfig", &kubeconfig, "--providers", &providers];
        arguments.extend(["--registry-config", &registries, "--secret-name", &self.namespace]);
        arguments.extend([
            "--system-namespace",
            &self.namespace,
            "--service-accounts",
            "--log",
            "hallmark=trace",
        ]);
        arguments.extend(addresses);
        let url = &self.clouds.url;
        let variables = [
            ("AWS_ENDPOINT_URL_ECR", format!("{url}/ecr/")),
            ("AWS_ENDPOINT_URL_STS", format!("{url}/sts/")),
            ("CLOUDSDK_API_ENDPOINT_OVERRIDES_STS", format!("{url}/google/")),
            ("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS", format!("{url}/google/")),
            ("AZURE_AUTHORITY_HOST", format!("{url}/azure/")),
        ];
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let updater = Hallmark::start(&arguments, &variables);
        updater.line("watching Secrets", Duration::from_secs(30)).await;
        updater
    }

    /// One Secret a namespace has the name that is watched; each test has its own.
    async fn ask(&self, annotations: &[(&str, &str)]) {
        let annotations: serde_json::Map<String, Value> =
            annotations.iter().map(|(name, value)| (format!("{PREFIX}{name}"), json!(value))).collect();
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": self.namespace, "namespace": self.namespace, "annotations": annotations},
            "stringData": {".dockerconfigjson": "{}"}});
        self.cluster.create(&secret).await;
    }

    async fn secret(&self) -> Secret {
        let secrets = Api::<Secret>::namespaced(self.cluster.client().await, &self.namespace);
        secrets.get(&self.namespace).await.unwrap()
    }

    /// The status, once it is this one.
    async fn says(&self, status: &str) -> String {
        let found = async || {
            let annotations = self.secret().await.metadata.annotations.unwrap_or_default();
            let said = annotations.get(&format!("{PREFIX}status"))?;
            (said == status)
                .then(|| annotations.get(&format!("{PREFIX}message")).cloned().unwrap_or_default())
        };
        eventually(&format!("the Secret says {status}"), SOON, found).await
    }

    /// User and password for a registry, as everybody reads them.
    async fn login(&self, registry: &str) -> (String, String) {
        let content = self.secret().await.data.unwrap().remove(".dockerconfigjson").unwrap();
        let config: Value = serde_json::from_slice(&content.0).unwrap();
        let auth = STANDARD.decode(config["auths"][registry]["auth"].as_str().unwrap()).unwrap();
        let login = String::from_utf8(auth).unwrap();
        let (user, password) = login.split_once(':').unwrap();
        (user.to_owned(), password.to_owned())
    }
}

/// Nothing of a token may be in what the updater says.
fn silent(updater: Hallmark) {
    let (status, lines) = updater.terminate();
    assert!(status.success());
    assert!(lines.iter().all(|line| !line.contains("canary")), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_of_aws_fills_a_secret_and_one_that_is_refused_is_told_there() {
    let Some(world) = World::new().await else { return };
    let updater = world.updater().await;
    world.ask(&[("identity", "arn:aws:iam::123456789012:role/none"), ("provider", "ecr")]).await;
    let message = world.says("ExchangeDenied").await;
    assert!(message.contains("role/none: 403 AccessDenied"), "{message}");
    let secrets = Api::<Secret>::namespaced(world.cluster.client().await, &world.namespace);
    let better = json!({"metadata": {"annotations": {format!("{PREFIX}role-arn"): ROLE}}});
    let patch = kube::api::Patch::Merge(&better);
    secrets.patch(&world.namespace, &kube::api::PatchParams::default(), &patch).await.unwrap();
    world.says("Ready").await;
    let (user, password) = world.login(ECR).await;
    assert_eq!(user, "AWS");
    assert!(password.starts_with("canary-ecr-"), "the password of ECR");
    assert_eq!(world.clouds.log("sts").await[0]["role"], ROLE);
    silent(updater);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_google_fills_a_secret_for_every_registry_of_its_provider() {
    let Some(world) = World::new().await else { return };
    let updater = world.updater().await;
    world.ask(&[("identity", "push@project.iam"), ("provider", "gar"), ("service-account", "default")]).await;
    world.says("Ready").await;
    let (user, password) = world.login("gcr.io").await;
    assert_eq!(user, "oauth2accesstoken");
    assert_eq!(world.login("eu.gcr.io").await, (user, password));
    let whose: Vec<_> = world.clouds.log("google").await.iter().map(|line| line["whose"].clone()).collect();
    assert_eq!(whose, ["federated", "push@project.iam"]);
    silent(updater);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_of_azure_fills_a_secret_that_is_renewed_before_its_token_ends() {
    let Some(world) = World::new().await else { return };
    world.clouds.control(json!({"ttl": 8})).await;
    let updater = world.updater().await;
    world.ask(&[("identity", CLIENT), ("provider", "acr"), ("service-account", "default")]).await;
    world.says("Ready").await;
    let (user, first) = world.login(ACR).await;
    assert_eq!(user, "00000000-0000-0000-0000-000000000000");
    let renewed = async || (world.login(ACR).await.1 != first).then_some(());
    eventually("the token is replaced", SOON, renewed).await;
    silent(updater);
}
