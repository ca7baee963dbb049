//! Traces as a collector gets them: OTLP over HTTP, in protobuf, decoded by the types of the protocol's own crate.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::agent::{Agent, SOON, stopped_well};
use crate::main_path::TO_REGISTRY;
use crate::support::{Authentication, Crane, Distribution, Hallmark, TokenUser, eventually};

/// Receives traces, and is a registry that has nothing; keeps what came.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<(String, Span)>>>,
    received: Arc<Mutex<Vec<u8>>>,
    headers: Arc<Mutex<Vec<HeaderMap>>>,
    parents: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    async fn start(&self) -> SocketAddr {
        let (collector, registry) = (self.clone(), self.clone());
        let traces = post(move |headers: HeaderMap, body: Bytes| {
            collector.take(headers, &body);
            std::future::ready(())
        });
        let anything = move |request: Request| std::future::ready(registry.note(&request));
        let router = Router::new().route("/v1/traces", traces).fallback(anything);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        #[expect(clippy::disallowed_methods, reason = "the server ends with the test's runtime")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn take(&self, headers: HeaderMap, body: &[u8]) {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        self.headers.lock().unwrap().push(headers);
        self.received.lock().unwrap().extend_from_slice(body);
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        for resource in request.resource_spans {
            let of = attributes(&resource.resource.unwrap_or_default().attributes);
            let service = of.get("service.name").cloned().unwrap_or_default();
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.spans.lock().unwrap().extend(spans.map(|span| (service.clone(), span)));
        }
    }

    fn note(&self, request: &Request) -> StatusCode {
        let parent = request.headers().get("traceparent").map(|parent| parent.to_str().unwrap().to_owned());
        self.parents.lock().unwrap().push(parent.unwrap_or_default());
        StatusCode::NOT_FOUND
    }

    fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().iter().map(|(_, span)| span.clone()).collect()
    }

    /// The span of a run's attempt, as soon as it is there.
    async fn run(&self, name: &str) -> Span {
        let is_run = |span: &Span| attributes(&span.attributes).get("run.name").is_some_and(|n| n == name);
        eventually(&format!("a trace of {name}"), SOON, async || self.spans().into_iter().find(is_run)).await
    }

    /// What is part of `span`, by name, and of that again.
    fn within(&self, span: &Span) -> Vec<Span> {
        let children: Vec<Span> =
            self.spans().into_iter().filter(|child| child.parent_span_id == span.span_id).collect();
        let below = children.iter().flat_map(|child| self.within(child)).collect::<Vec<_>>();
        children.into_iter().chain(below).collect()
    }
}

fn attributes(all: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> BTreeMap<String, String> {
    let text = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(answer)) => answer.to_string(),
        other => format!("{other:?}"),
    };
    let pair = |pair: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        (pair.key.clone(), text(pair.value.clone().and_then(|value| value.value)))
    };
    all.iter().map(pair).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_run_is_one_trace_with_its_steps_and_without_a_secret() {
    let builder = TokenUser::new("builder", "canary-password").push("team/");
    let registry = Distribution::start(Authentication::Token(vec![builder.clone()])).await;
    let access = registry.access(Some(builder.login()));
    let image = Crane::new(&access).push_random_image("team/app").await;
    let agent = Agent::prepare("traces", &access, TO_REGISTRY).await;
    let collector = Collector::default();
    let address = format!("http://{}", collector.start().await);
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", address.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=ours"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ];
    let account = "tekton-chains-controller";
    let kubeconfig = agent.cluster.service_account_kubeconfig("tekton-chains", account).await;
    let hallmark = agent.start_in(&kubeconfig, &[], &environment);
    agent.build("build", &access, &image).await;
    assert_eq!(agent.mark("build", SOON).await, "true");
    let run = collector.run("build").await;
    stopped_well(hallmark);

    let of_run = attributes(&run.attributes);
    assert_eq!((of_run["run.kind"].as_str(), of_run["run.complete"].as_str()), ("TaskRun", "true"));
    assert_eq!(of_run["run.namespace"], agent.namespace);
    let steps = collector.within(&run);
    assert!(steps.iter().all(|step| step.trace_id == run.trace_id));
    let names: Vec<_> = steps.iter().map(|step| step.name.as_str()).collect();
    for step in ["look", "sign", "record", "store", "mark", "request"] {
        assert!(names.contains(&step), "{step} is not in {names:?}");
    }
    let put = steps.iter().map(|step| attributes(&step.attributes));
    let mut put = put.filter(|of| of.get("http.request.method").is_some_and(|method| method == "PUT"));
    assert!(put.any(|of| of["http.response.status_code"] == "201"));
    assert_eq!(collector.spans.lock().unwrap()[0].0, "hallmark");
    assert_eq!(collector.headers.lock().unwrap()[0]["x-tenant"], "ours");
    let received = String::from_utf8_lossy(&collector.received.lock().unwrap()).into_owned();
    for secret in ["canary", "Bearer", "Basic ", "eyJ"] {
        assert!(!received.contains(secret), "{secret} was sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_is_told_the_trace_and_a_failure_says_its_cause() {
    let collector = Collector::default();
    let address = collector.start().await;
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run.json");
    let image = serde_json::json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun",
        "metadata": {"name": "build", "namespace": "ci", "uid": "u"}, "spec": {},
        "status": {"conditions": [{"type": "Succeeded", "status": "True"}], "results": [
            {"name": "IMAGE_URL", "value": format!("{address}/app")},
            {"name": "IMAGE_DIGEST", "value": format!("sha256:{}", "a".repeat(64))}]}});
    std::fs::write(&run, image.to_string()).unwrap();
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/p256.pem");
    let arguments = ["sign", "-f", run.to_str().unwrap(), "--key", key];
    Hallmark::run(&arguments, &[]).await.failed();
    assert!(collector.parents.lock().unwrap().iter().all(String::is_empty), "told without being asked to");

    let endpoint = format!("http://{address}/v1/traces");
    let off = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &*endpoint), ("OTEL_SDK_DISABLED", "true")];
    Hallmark::run(&arguments, &off).await.failed();
    assert!(collector.spans().is_empty());

    collector.parents.lock().unwrap().clear();
    Hallmark::run(&arguments, &off[..1]).await.failed();
    let span = collector.run("build").await;
    let status = span.status.clone().unwrap();
    assert_eq!((status.code, attributes(&span.attributes)["run.complete"].as_str()), (2, "false"));
    assert!(!status.message.is_empty() && !status.message.contains(' '), "{status:?}");
    let trace = hex::encode(&span.trace_id);
    let parents = collector.parents.lock().unwrap().clone();
    assert!(!parents.is_empty());
    for parent in parents {
        let words: Vec<&str> = parent.split('-').collect();
        assert_eq!((words.len(), words[0], words[1]), (4, "00", trace.as_str()), "{parent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_or_cannot_be_named_keeps_nobody_from_signing() {
    let registry = crate::support::PlainRegistry::start().await;
    let access = registry.access();
    let image = registry.put_image("app").await;
    let agent = Agent::prepare("no-collector", &access, TO_REGISTRY).await;
    let account = "tekton-chains-controller";
    let kubeconfig = agent.cluster.service_account_kubeconfig("tekton-chains", account).await;
    for (name, endpoint, said) in [
        ("away", "http://127.0.0.1:1", "traces cannot be sent"),
        ("unnamed", "not an address", "there are no traces"),
    ] {
        let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "100")];
        let hallmark = agent.start_in(&kubeconfig, &[], &environment);
        agent.build(name, &access, &image).await;
        assert_eq!(agent.mark(name, SOON).await, "true");
        hallmark.line(said, SOON).await;
        stopped_well(hallmark);
    }
}
