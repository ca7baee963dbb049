//! Logs, metrics and traces: set up once at the edge, declared in one place each.

pub mod metrics;
pub mod traces;

use std::sync::OnceLock;

use clap::ValueEnum;
use tracing::Metadata;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};

use traces::Traces;

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// Changes the filter of the logs that are running.
type Reload = Box<dyn Fn(EnvFilter) + Send + Sync>;

static RELOAD: OnceLock<(Reload, String)> = OnceLock::new();

/// Sends logs to standard error, and spans to `traces`. `filter` is in the syntax of `tracing` (`info`,
/// `hallmark=debug`); what cannot be read is treated as `info`. One that is `fixed` was asked for on the command line and
/// stays.
pub fn start(format: LogFormat, filter: &str, fixed: bool, traces: Option<&Traces>) {
    let (level, handle) = reload::Layer::new(read(filter));
    let lines = match format {
        LogFormat::Json => {
            if !fixed {
                let reload = move |filter| drop(handle.reload(filter));
                let _ = RELOAD.set((Box::new(reload), filter.to_owned()));
            }
            fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed()
        }
        LogFormat::Text => fmt::layer().with_target(false).with_writer(std::io::stderr).boxed(),
    };
    let spans = traces.map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(is_traced))
    });
    // Lines are events alone: spans are there for traces, and cost nothing where nobody traces.
    let lines = lines.with_filter(level.and(filter_fn(is_line).with_max_level_hint(LevelFilter::TRACE)));
    // A second call, as in tests, finds a subscriber in place and changes nothing.
    let _ = Registry::default().with(lines).with(spans).try_init();
}

fn is_line(metadata: &Metadata<'_>) -> bool {
    metadata.is_event()
}

/// Whether a span is one of the steps that people want to see: those of this program, and no events.
fn is_traced(metadata: &Metadata<'_>) -> bool {
    metadata.is_span()
        && metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
        && *metadata.level() <= tracing::Level::INFO
}

/// Filters the logs of an agent by another filter from now on, or by that of its start again.
pub fn follow_level(filter: Option<&str>) {
    if let Some((reload, first)) = RELOAD.get() {
        reload(read(filter.unwrap_or(first)));
    }
}

fn read(filter: &str) -> EnvFilter {
    EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"))
}
