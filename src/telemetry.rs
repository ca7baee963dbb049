//! Logs and metrics: set up once at the edge, declared in one place each.

pub mod metrics;

use std::sync::OnceLock;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

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

/// Sends logs to standard error. `filter` is in the syntax of `tracing` (`info`, `hallmark=debug`); what cannot be
/// read is treated as `info`. One that is `fixed` was asked for on the command line and stays.
pub fn logs(format: LogFormat, filter: &str, fixed: bool) {
    let builder = tracing_subscriber::fmt().with_env_filter(read(filter)).with_writer(std::io::stderr);
    // A second call, as in tests, finds a subscriber in place and changes nothing.
    let _ = match format {
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let handle = builder.reload_handle();
            if !fixed {
                let reload = move |filter| drop(handle.reload(filter));
                let _ = RELOAD.set((Box::new(reload), filter.to_owned()));
            }
            builder.try_init()
        }
        LogFormat::Text => builder.with_target(false).try_init(),
    };
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
