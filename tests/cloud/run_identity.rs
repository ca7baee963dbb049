//! `registry.run-identity`: a run's own service account, known to a cloud by a token that a real kube-apiserver makes and
//! `PyJWT` verifies by that server's own key. Nothing of the agent's own identity takes part.

use std::path::PathBuf;

use hallmark::artifact::image::Repository;
use hallmark::client::cloud::Web;
use hallmark::client::registry::Registry;
use hallmark::credential::Keychain;
use hallmark::credential::cloud::account::{Accounts, Defaults};
use hallmark::credential::cloud::federation::Federation;
use hallmark::credential::cloud::{Surroundings, ecr, entra, google};
use hallmark::credential::kubernetes::{Cluster as Reader, Reuse};
use hallmark::credential::named::RunReferences;
use hallmark::credential::{Credential, Fetcher, Problem};
use serde_json::{Value, json};

use super::clouds::{Clouds, ECR, ROLE};
use super::support::{Cluster, Finished, run};

const POOL: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k8s";
const TENANT: &str = "72f988bf-0000-0000-0000-000000000000";
const CLIENT: &str = "11111111-2222-3333-4444-555555555555";
const RBAC: &str = "rbac.authorization.k8s.io/v1";

struct World {
    cluster: &'static Cluster,
    clouds: Clouds,
    namespace: String,
}

impl World {
    /// A service account `builder` with these annotations, whose tokens the clouds trust.
    async fn new(annotations: Value) -> Option<Self> {
        let clouds = Clouds::start()?;
        let cluster = Cluster::shared().await;
        let namespace = cluster.namespace("cloud").await;
        let builder = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "builder", "namespace": namespace, "annotations": annotations}});
        cluster.create(&builder).await;
        let client = cluster.client().await;
        let keys = http::Request::get("/openid/v1/jwks").body(Vec::new()).unwrap();
        let keys: Value = client.request(keys).await.unwrap();
        let subject = format!("system:serviceaccount:{namespace}:builder");
        clouds.control(json!({"issuer": keys["keys"][0], "subjects": [subject]})).await;
        Some(Self { cluster, clouds, namespace })
    }

    async fn accounts(&self) -> Accounts {
        let url = &self.clouds.url;
        let surroundings = Surroundings {
            aws: ecr::Variables {
                endpoint_ecr: Some(format!("{url}/ecr/")),
                endpoint_sts: Some(format!("{url}/sts/")),
                ..ecr::Variables::default()
            },
            google: google::Variables {
                sts_endpoint: Some(format!("{url}/google")),
                iam_credentials_endpoint: Some(format!("{url}/google")),
                ..google::Variables::default()
            },
            azure: entra::Variables {
                authority_host: Some(format!("{url}/azure")),
                ..entra::Variables::default()
            },
        };
        let web = Web::new(Registry::new().unwrap(), self.clouds.registry_config());
        let defaults = Defaults { google_provider: Some(POOL.into()), azure_tenant: None };
        Accounts::new(self.cluster.client().await, Federation::new(&surroundings, &web), defaults)
    }

    async fn keychain(&self, accounts: &Accounts) -> Keychain {
        let references = RunReferences {
            namespace: self.namespace.clone(),
            service_account: "builder".to_owned(),
            pod: None,
            template: Vec::new(),
            children: Vec::new(),
        };
        let reader = Reader::new(self.cluster.client().await);
        reader.keychain(&references, Some(accounts), Reuse::Nothing).await.unwrap()
    }

    /// What the run's own account is granted for a registry.
    async fn granted(&self, accounts: &Accounts, registry: &str) -> Result<Credential, Problem> {
        let repository = Repository::parse(&format!("{registry}/team/app")).unwrap();
        let keychain = self.keychain(accounts).await;
        let serves = |one: &&Fetcher| one.key(&repository).is_some();
        keychain.fetchers.iter().find(serves).expect("no cloud serves it").fetch(&repository).await
    }

    /// `creds explain --probe` with `registry.run-identity`, as somebody with the rights of `kubeconfig`.
    async fn explain(&self, kubeconfig: PathBuf) -> Finished {
        let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: chains-config}\ndata: {registry.run-identity: 'true'}\n";
        let config = self.clouds.file("config.yaml", config);
        let image = format!("{ECR}/team/app:1");
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hallmark"));
        command.args(["creds", "explain", "-n", &self.namespace, "--service-account", "builder", "--probe"]);
        command.args(["--image", &image, "--operation", "pull", "--system-namespace", &self.namespace]);
        command.arg("--config").arg(config).arg("--kubeconfig").arg(kubeconfig);
        command.arg("--registry-config").arg(self.clouds.registries());
        command.env_clear().envs([
            ("AWS_ENDPOINT_URL_ECR", format!("{}/ecr/", self.clouds.url)),
            ("AWS_ENDPOINT_URL_STS", format!("{}/sts/", self.clouds.url)),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]);
        run(command).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runs_own_account_is_granted_what_its_role_may_and_many_runs_are_one_token() {
    let Some(world) = World::new(json!({"eks.amazonaws.com/role-arn": ROLE})).await else { return };
    let accounts = world.accounts().await;
    let Credential::Basic(first) = world.granted(&accounts, ECR).await.unwrap() else { panic!("a password") };
    assert!(first.password.expose_text().starts_with("canary-ecr-"));
    let all = futures::future::join_all((0..8).map(|_| world.granted(&accounts, ECR))).await;
    assert!(all.into_iter().all(|one| one.unwrap() == Credential::Basic(first.clone())));
    assert_eq!(world.clouds.log("sts").await.len(), 1, "attempts share what was granted");
    assert_eq!(world.clouds.log("ecr").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_annotations_of_google_and_azure_mean_what_they_mean_there() {
    let annotations = json!({"iam.gke.io/gcp-service-account": "push@project.iam",
        "azure.workload.identity/client-id": CLIENT, "azure.workload.identity/tenant-id": TENANT});
    let Some(world) = World::new(annotations).await else { return };
    let accounts = world.accounts().await;
    world.granted(&accounts, "gcr.io").await.unwrap();
    let whose: Vec<_> = world.clouds.log("google").await.iter().map(|line| line["whose"].clone()).collect();
    assert_eq!(whose, ["federated", "push@project.iam"]);
    let granted = world.granted(&accounts, "team.azurecr.io").await.unwrap();
    assert!(matches!(granted, Credential::IdentityToken { .. }));
    let subject = format!("system:serviceaccount:{}:builder", world.namespace);
    assert_eq!(world.clouds.log("entra").await[0]["whose"], subject);
    assert_eq!(world.keychain(&accounts).await.fetchers.len(), 2, "and nothing for AWS");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_names_the_account_and_what_to_grant_where_its_token_may_not_be_made() {
    let Some(world) = World::new(json!({"eks.amazonaws.com/role-arn": ROLE})).await else { return };
    let namespace = &world.namespace;
    let admin = world.cluster.kubeconfig("admin");
    let good = world.explain(admin).await.succeeded();
    let accepted = format!("Accepted: serviceAccount.cloud {namespace}/builder ({ECR})");
    assert!(good.stdout.contains(&accepted), "{}", good.stdout);
    assert!(!format!("{}{}", good.stdout, good.stderr).contains("canary"), "{}", good.stdout);

    let agent = json!({"name": "agent", "namespace": namespace});
    let reads =
        json!([{"apiGroups": [""], "resources": ["serviceaccounts", "secrets", "pods"], "verbs": ["get"]}]);
    let subjects = json!([{"kind": "ServiceAccount", "name": "agent", "namespace": namespace}]);
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "agent"});
    for object in [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": agent}),
        json!({"apiVersion": RBAC, "kind": "Role", "metadata": agent, "rules": reads}),
        json!({"apiVersion": RBAC, "kind": "RoleBinding", "metadata": agent, "subjects": subjects, "roleRef": role}),
    ] {
        world.cluster.create(&object).await;
    }
    let limited = world.cluster.service_account_kubeconfig(namespace, "agent").await;
    let told = world.explain(limited.clone()).await.failed();
    let said = format!("serviceAccount.cloud, service account {namespace}/builder: CloudDenied: ");
    let remedy = format!("allow create on serviceaccounts/token of {namespace}/builder");
    assert!(told.stdout.contains(&said) && told.stdout.contains(&remedy), "{}", told.stdout);

    // The rule of config/components/run-identity, bound to this agent.
    let component = include_str!("../../config/components/run-identity/clusterrole.yaml");
    let mut right: Value = serde_saphyr::from_str(component).unwrap();
    right["metadata"]["name"] = json!(format!("run-identity-{namespace}"));
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": right["metadata"]["name"]});
    world.cluster.create(&right).await;
    let binding = json!({"apiVersion": RBAC, "kind": "ClusterRoleBinding",
        "metadata": {"name": right["metadata"]["name"]}, "subjects": subjects, "roleRef": role});
    world.cluster.create(&binding).await;
    let allowed =
        super::support::eventually("the right counts", std::time::Duration::from_secs(20), async || {
            let explained = world.explain(limited.clone()).await;
            explained.stdout.contains(&accepted).then_some(explained)
        });
    allowed.await;
}
