//! Ten faults that a person meets, each made for real and then mended by what its Event says, and by nothing else. What the
//! Events say is printed, to be read.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::agent::{Agent, SOON};
use crate::signing::Keyless;
use crate::support::{
    Access, Authentication, Completion, Crane, Distribution, Fulcio, Hallmark, Issuer, OfflineCosign,
    Passage, PlainRegistry, PushedImage, RekorTiles, Spire, TokenUser, http_client,
};

const TO_REGISTRY: &[(&str, &str)] = &[("artifacts.taskrun.storage", "oci")];

/// Waits for the Event, which has cause and remedy, and shows it.
async fn told(agent: &Agent, reason: &str, cause: &str, remedy: &str) {
    let event = agent.event(&[reason, cause, remedy]).await;
    println!("\n{event}\n");
    assert!(!["Status {", "Error {", "Error:", ".."].iter().any(|raw| event.contains(raw)), "{event}");
}

async fn image_at(registry: &PlainRegistry) -> PushedImage {
    Crane::new(&registry.access()).push_random_image("team/app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn fulcio_is_away_and_comes_back() {
    let keyless = Keyless::prepare("away", &[]).await;
    keyless.door.set(Passage::Shut);
    let _hallmark = keyless.agent.start().await;
    keyless.build("app").await;
    told(&keyless.agent, "SigningFailed", "cannot reach Fulcio at 127.0.0.1", "Tried again as soon as").await;
    keyless.door.set(Passage::Open);
    assert_eq!(keyless.agent.mark("app", 2 * SOON).await, "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_for_another_audience() {
    let keyless = Keyless::prepare("audience", &[]).await;
    keyless.mount("somebody-else").await;
    let _hallmark = keyless.agent.start().await;
    keyless.build("app").await;
    told(&keyless.agent, "SigningFailed", "it is not for audience \"sigstore\"", "set audience: sigstore")
        .await;
    keyless.mount("sigstore").await;
    assert_eq!(keyless.agent.mark("app", 2 * SOON).await, "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn spire_knows_no_entry_for_the_agent() {
    let spire = Spire::start().await;
    let registry = PlainRegistry::start().await;
    let agent = Agent::prepare("svid", &registry.access(), &[]).await;
    agent.cluster.lets_anybody_read_the_keys_of_its_issuer().await;
    let fulcio = Fulcio::trusting(&[spire.issuer(), Issuer::of(agent.cluster)]).await;
    let keyless = [("signers.x509.fulcio.enabled", "true"), ("signers.x509.fulcio.address", &fulcio.url)];
    agent.configure(&[TO_REGISTRY, &keyless].concat()).await;
    let account = agent.cluster.service_account_kubeconfig("tekton-chains", "tekton-chains-controller").await;
    let socket = spire.socket_directory().display().to_string();
    let _hallmark = agent.start_in(&account, &[], &[("SPIFFE_ENDPOINT_SOCKET", &socket)]);
    agent.build("app", &registry.access(), &image_at(&registry).await).await;
    told(&agent, "SigningFailed", "has no registration entry for this workload", "spire-server entry create")
        .await;
    spire.register("late").await;
    assert_eq!(agent.mark("app", 2 * SOON).await, "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_credential_may_pull_and_not_push() {
    let reader = TokenUser::new("reader", "r").pull("team/");
    let builder = TokenUser::new("builder", "b").push("team/");
    let registry = Distribution::start(Authentication::Token(vec![reader.clone(), builder.clone()])).await;
    let agent = Agent::prepare("pull-only", &registry.access(None), TO_REGISTRY).await;
    let image = Crane::new(&registry.access(Some(builder.login()))).push_random_image("team/app").await;
    agent.cluster.registry_secret(&agent.namespace, "pull", &registry.access(Some(reader.login()))).await;
    agent.cluster.set_pull_secrets(&agent.namespace, "default", &["pull"]).await;
    let _hallmark = agent.start().await;
    agent.build("app", &registry.access(None), &image).await;
    let remedy = "the secrets of the run's service account need one for";
    told(&agent, "RegistryAuthFailed", "valid but may not push", remedy).await;
    agent.cluster.registry_secret(&agent.namespace, "push", &registry.access(Some(builder.login()))).await;
    agent.cluster.set_secrets(&agent.namespace, "default", &["push"]).await;
    assert_eq!(agent.mark("app", 2 * SOON).await, "true");
}

/// Somebody between the agent and a registry, who makes what no registry of the tests makes.
struct Between {
    host: String,
    strict: Arc<AtomicBool>,
    _task: JoinSet<()>,
}

#[derive(Clone)]
struct Behind {
    registry: String,
    strict: Arc<AtomicBool>,
    http: reqwest::Client,
    answer: fn(&Method, bool, bool, &str) -> Option<Response>,
}

impl Between {
    /// `answer` gets method, whether there is a credential, whether the object is there, and the path.
    async fn before(
        registry: &PlainRegistry,
        answer: fn(&Method, bool, bool, &str) -> Option<Response>,
    ) -> Self {
        let strict = Arc::new(AtomicBool::new(true));
        let behind = Behind {
            registry: registry.host().to_owned(),
            strict: Arc::clone(&strict),
            http: http_client(None),
            answer,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let mut task = JoinSet::new();
        let service = Router::new().fallback(passed).with_state(behind);
        task.spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { host, strict, _task: task }
    }

    fn access(&self, login: Option<(&str, &str)>) -> Access {
        let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
        Access { host: self.host.clone(), ca: None, login }
    }
}

async fn passed(State(behind): State<Behind>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().unwrap().as_str();
    let url = format!("http://{}{path}", behind.registry);
    if behind.strict.load(Ordering::Relaxed) {
        let is_there = behind.http.head(&url).send().await.is_ok_and(|answer| answer.status() == 200);
        let known = parts.headers.contains_key("authorization");
        if let Some(answer) = (behind.answer)(&parts.method, known, is_there, path) {
            return answer;
        }
    }
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let mut headers = parts.headers.clone();
    headers.remove("host");
    let sent = behind.http.request(parts.method, url).headers(headers).body(body).send().await.unwrap();
    let mut answer = Response::builder().status(sent.status());
    for (name, value) in sent.headers().iter().filter(|(name, _)| *name != "transfer-encoding") {
        let value =
            value.to_str().unwrap().replace(&behind.registry, parts.headers["host"].to_str().unwrap());
        answer = answer.header(name, value);
    }
    answer.body(Body::from(sent.bytes().await.unwrap())).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_asks_for_authentication_without_saying_how() {
    let registry = PlainRegistry::start().await;
    let odd = |_: &Method, known: bool, _: bool, _: &str| {
        (!known).then(|| (StatusCode::UNAUTHORIZED, "who are you?").into_response())
    };
    let between = Between::before(&registry, odd).await;
    let image = PushedImage { repository: format!("{}/team/app", between.host), ..image_at(&registry).await };
    let agent = Agent::prepare("odd", &between.access(None), TO_REGISTRY).await;
    let _hallmark = agent.start().await;
    agent.build("app", &between.access(None), &image).await;
    told(&agent, "SigningFailed", "asks for authentication without saying how", "attach a secret for").await;
    agent.cluster.registry_secret(&agent.namespace, "push", &between.access(Some(("user", "word")))).await;
    agent.cluster.set_secrets(&agent.namespace, "default", &["push"]).await;
    assert_eq!(agent.mark("app", 2 * SOON).await, "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_keeps_tags_immutable() {
    let registry = PlainRegistry::start().await;
    // As Amazon's registry answers.
    let immutable = |method: &Method, _: bool, is_there: bool, path: &str| {
        let overwrites = method == Method::PUT && is_there && path.contains("/manifests/sha256-");
        let message = "The image tag already exists in the 'team/app' repository and cannot be overwritten because \
                       the tag is immutable.";
        let body = json!({"errors": [{"code": "TAG_INVALID", "message": message}]}).to_string();
        overwrites.then(|| (StatusCode::BAD_REQUEST, body).into_response())
    };
    let between = Between::before(&registry, immutable).await;
    let image = PushedImage { repository: format!("{}/team/app", between.host), ..image_at(&registry).await };
    let agent = Agent::prepare("immutable", &between.access(None), TO_REGISTRY).await;
    let _hallmark = agent.start().await;
    agent.build("first", &between.access(None), &image).await;
    assert_eq!(agent.mark("first", SOON).await, "true");
    agent.build("second", &between.access(None), &image).await;
    told(&agent, "SigningFailed", "the tag is immutable", "exempt tags that begin with sha256-").await;
    between.strict.store(false, Ordering::Relaxed);
    assert_eq!(agent.mark("second", 2 * SOON).await, "true");
}

/// A log of version 2 proves one signature once, and RSA signs the same way each time.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_the_signature_already() {
    let (registry, rekor, cosign) =
        (PlainRegistry::start().await, RekorTiles::start().await, OfflineCosign::new());
    let key = rekor.key.display();
    let service =
        format!("url={},public-key={key},start-time=2024-01-01T00:00:00Z,origin=localhost", rekor.url);
    let root = cosign.trusted_root(&[("rekor", service)]).await;
    let logged = [
        ("transparency.enabled", "true"),
        ("transparency.url", &rekor.url),
        ("transparency.version", "2"),
        ("signers.x509.trusted-root", root.to_str().unwrap()),
    ];
    let agent = Agent::prepare("logged", &registry.access(), &[TO_REGISTRY, &logged].concat()).await;
    let key = |name: &str| {
        let from = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys").join(name);
        std::fs::copy(from, agent.keys().join("x509.pem")).unwrap();
    };
    key("rsa2048.pem");
    let _hallmark = agent.start().await;
    let image = image_at(&registry).await;
    agent.build("first", &registry.access(), &image).await;
    assert_eq!(agent.mark("first", SOON).await, "true");
    let tag = image.cosign_tag("sig");
    Crane::new(&registry.access()).run(&["delete", &tag]).await.succeeded();
    agent.build("second", &registry.access(), &image).await;
    told(&agent, "SigningFailed", "has this very signature already", "sign with a key of type ECDSA P-256")
        .await;
    key("p256.pem");
    assert_eq!(agent.mark("second", 2 * SOON).await, "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_has_a_value_that_is_none() {
    let registry = PlainRegistry::start().await;
    let agent = Agent::prepare("setting", &registry.access(), TO_REGISTRY).await;
    let hallmark = agent.start().await;
    hallmark.line("replicas that share the work", SOON).await;
    agent.configure(&[("artifacts.taskrun.storage", "oic")]).await;
    told(&agent, "", "artifacts.taskrun.storage", "oci").await;
    agent.configure(TO_REGISTRY).await;
    agent.build("app", &registry.access(), &image_at(&registry).await).await;
    assert_eq!(agent.mark("app", SOON).await, "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_the_agent_lacks_a_verb() {
    let registry = PlainRegistry::start().await;
    let agent = Agent::prepare("verb", &registry.access(), TO_REGISTRY).await;
    let kubeconfig = limited(&agent, &["get", "list", "watch"]).await;
    let _hallmark = agent.start_as(&kubeconfig, &[]);
    agent.build("app", &registry.access(), &image_at(&registry).await).await;
    told(&agent, "RightMissing", "cannot patch resource \"taskruns\"", "apply release.yaml again").await;
    limited(&agent, &["get", "list", "watch", "patch"]).await;
    assert_eq!(agent.mark("app", 2 * SOON).await, "true");
}

/// An account with the rights of an agent in one namespace, of those on runs these alone.
async fn limited(agent: &Agent, verbs: &[&str]) -> PathBuf {
    let (name, group) = ("limited", "rbac.authorization.k8s.io");
    let metadata = json!({"name": name, "namespace": agent.namespace});
    let rules = json!([
        {"apiGroups": ["tekton.dev"], "resources": ["taskruns", "pipelineruns"], "verbs": verbs},
        {"apiGroups": [""], "resources": ["pods", "serviceaccounts", "secrets", "configmaps"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
            "verbs": ["create", "patch", "list", "delete"]},
    ]);
    let subject = json!({"kind": "ServiceAccount", "name": name, "namespace": agent.namespace});
    let role = json!({"apiGroup": group, "kind": "Role", "name": name});
    for (version, kind, more) in [
        ("v1".to_owned(), "ServiceAccount", json!({})),
        (format!("{group}/v1"), "Role", json!({"rules": rules})),
        (format!("{group}/v1"), "RoleBinding", json!({"subjects": [subject], "roleRef": role})),
    ] {
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": metadata});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        apply(agent, &object).await;
    }
    agent.cluster.service_account_kubeconfig(&agent.namespace, name).await
}

async fn apply(agent: &Agent, object: &Value) {
    let (version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let client = agent.cluster.client().await;
    let api: Api<DynamicObject> = Api::namespaced_with(client, &agent.namespace, &resource);
    api.patch("limited", &PatchParams::apply("test").force(), &Patch::Apply(object)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_writes_a_digest_that_is_none() {
    let registry = PlainRegistry::start().await;
    let agent = Agent::prepare("digest", &registry.access(), TO_REGISTRY).await;
    let _hallmark: Hallmark = agent.start().await;
    let image = image_at(&registry).await;
    let run = async |name: &str, digest: &str| {
        let completion = Completion::success().image("", &image.repository, digest);
        agent.cluster.completed_task_run(&agent.namespace, name, &completion).await;
    };
    run("wrong", image.digest.strip_prefix("sha256:").unwrap()).await;
    told(&agent, "UnusableResult", "result IMAGE_DIGEST", "sha256:<64 lower-case").await;
    assert_eq!(agent.mark("wrong", SOON).await, "failed");
    run("right", &image.digest).await;
    assert_eq!(agent.mark("right", SOON).await, "true");
}
