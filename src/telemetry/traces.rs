//! Traces: what happened to each run and how long each step took, sent to a collector by OTLP over HTTP, if
//! `OTEL_EXPORTER_OTLP_ENDPOINT` names one.
//!
//! # Guarantees
//!
//! - Without a collector nothing is recorded, and requests carry no `traceparent`.
//! - A collector that is away holds nobody up: spans are dropped once their queue is full, and that they cannot be sent is
//!   logged once until they can again.
//! - Only Hallmark's own spans leave the process: names of runs, images, stores and signers, causes of failures by their
//!   bounded labels; no events, no headers, no bodies.
//!
//! # Assumptions
//!
//! The library reads the other variables of the OpenTelemetry specification by itself: headers, resource attributes,
//! sampler, limits and delays of the batch.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;

use crate::client::http::{Clients, SetupError, Transport, body};
use crate::credential::registry_config::RegistryConfig;

/// One batch; the specification's default.
const PATIENCE: Duration = Duration::from_secs(10);
/// A collector answers with next to nothing.
const LARGEST_ANSWER: usize = 64 * 1024;
/// What is still there when the process ends has so long to leave.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No client for the collector.
    #[error("cannot set up the client for traces")]
    Client(#[from] SetupError),
    /// The variables do not fit together.
    #[error("the variables OTEL_EXPORTER_OTLP_… cannot be used")]
    Settings(#[from] ExporterBuildError),
}

/// Traces that are being sent.
#[derive(Debug, Clone)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends traces to `collector`, from within the runtime that does so, as those of `service`.
    pub fn start(collector: &str, service: Option<String>, config: &RegistryConfig) -> Result<Self, Error> {
        let client = Clients::default().of(&Transport::to(collector, config))?;
        let sender = Sender { client, runtime: Handle::current(), away: AtomicBool::new(false) };
        let exporter = SpanExporter::builder().with_http().with_http_client(sender).build()?;
        let resource = Resource::builder_empty()
            .with_service_name("hallmark")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_detector(Box::new(EnvResourceDetector::new()));
        let resource = match service {
            Some(name) => resource.with_service_name(name),
            None => resource,
        };
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build());
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        Ok(Self(provider.build()))
    }

    /// What makes spans.
    pub fn tracer(&self) -> SdkTracer {
        self.0.tracer("hallmark")
    }

    /// Sends what is left.
    pub async fn end(self) {
        let ended = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(FAREWELL)).await;
        if let Ok(Err(error)) = ended {
            tracing::debug!(%error, "the last traces were not sent");
        }
    }
}

/// Sends batches by the clients of this process, whose time-outs, proxies and authorities count here too.
#[derive(Debug)]
struct Sender {
    client: reqwest::Client,
    /// Batches are sent from a thread of the library, which belongs to no runtime.
    runtime: Handle,
    away: AtomicBool,
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut request = reqwest::Request::try_from(request)?;
        *request.timeout_mut() = Some(PATIENCE);
        let host = request.url().host_str().unwrap_or_default().to_owned();
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            // An address may hold a password.
            answered(client.execute(request).await.map_err(reqwest::Error::without_url)?).await
        });
        let answer = sent.await?;
        self.note(&host, &answer);
        answer
    }
}

impl Sender {
    /// Says so when a collector goes away, and when it is there again.
    fn note(&self, host: &str, answer: &Result<Response<Bytes>, HttpError>) {
        let trouble = match answer {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(response.status().to_string()),
            Err(error) => Some(crate::error::chain(error.as_ref())),
        };
        let was_away = self.away.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(trouble) if !was_away => tracing::warn!(host, trouble, "traces cannot be sent"),
            None if was_away => tracing::info!(host, "traces are sent again"),
            _ => {}
        }
    }
}

async fn answered(response: reqwest::Response) -> Result<Response<Bytes>, HttpError> {
    let (status, headers) = (response.status(), response.headers().clone());
    let mut answer = Response::new(body(response, LARGEST_ANSWER).await?);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    Ok(answer)
}
