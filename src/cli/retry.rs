//! `hallmark retry` and `hallmark resign`: take the mark off runs, so that the controller takes them up again.
//!
//! # Guarantees
//!
//! - Of a run nothing is touched but its mark and the count of its attempts. What the next attempt finds in place it
//!   leaves there: a run that is signed anew with another key keeps its old signatures and gets the missing ones.
//! - Needs `get` and `patch` on the runs that are named, and nothing else.
//! - A controller passes over the events of a run that it has finished a moment ago, so the mark is taken off after
//!   that moment.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::output::OutputOption;
use super::runs::{self, Seen};
use super::surveyed::{self, Names, Place};
use super::{Exit, refuse};
use crate::controller::queue::SETTLING;
use crate::error::chain;
use crate::tekton::head::Mark;

/// Which runs were given up.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark retry build-1 build-2 -n ci
  kubectl hallmark retry pipelinerun release-7 -n ci

Exit codes: 0 the marks are off; 1 a run is not marked as failed, or there is none; 2 usage; 3 a right is missing;
4 the API server cannot be reached.")]
pub struct Retry {
    #[command(flatten)]
    names: Names,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    output: OutputOption,
}

/// Which runs are to be signed with the keys of now.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark resign build-1 -n ci
  kubectl hallmark resign pipelinerun release-7 -n ci

Exit codes: 0 the marks are off; 1 a run is not marked, or there is none; 2 usage; 3 a right is missing; 4 the API
server cannot be reached.")]
pub struct Resign {
    #[command(flatten)]
    names: Names,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    output: OutputOption,
}

/// Has runs that were given up tried again.
pub async fn retry(arguments: Retry) -> Exit {
    let Retry { names, place, output } = arguments;
    unmark(&names, &place, output, |mark| match mark {
        Some(Mark::Failed) => Ok(()),
        Some(Mark::True) => Err("is signed; hallmark resign signs it with the keys of now"),
        None => {
            Err("carries no mark, so the controller has not given it up; hallmark explain says why it waits")
        }
    })
    .await
}

/// Has runs signed with the keys of now, beside what is in place.
pub async fn resign(arguments: Resign) -> Exit {
    let Resign { names, place, output } = arguments;
    unmark(&names, &place, output, |mark| match mark {
        Some(Mark::True | Mark::Failed) => Ok(()),
        None => {
            Err("carries no mark, so the controller has not signed it; hallmark explain says why it waits")
        }
    })
    .await
}

async fn unmark(
    names: &Names,
    place: &Place,
    output: OutputOption,
    may: impl Fn(Option<Mark>) -> Result<(), &'static str>,
) -> Exit {
    let runs = async { names.seen(&place.client().await?).await };
    let runs = match runs.await {
        Ok(runs) => runs,
        Err(exit) => return exit,
    };
    let client = match place.client().await {
        Ok(client) => client,
        Err(exit) => return exit,
    };
    let (mut worst, mut reports) = (Exit::Ok, Vec::new());
    for seen in runs {
        let key = seen.head.key(seen.kind);
        let refused = match may(seen.head.mark()) {
            Ok(()) => {
                wait(&seen).await;
                runs::unmark(&client, &seen).await.err().map(|error| {
                    worst = refuse(&error, surveyed::exit(&error));
                    chain(&error)
                })
            }
            Err(reason) => {
                eprintln!("hallmark: {key} {reason}");
                worst = Exit::Failed;
                Some(reason.to_owned())
            }
        };
        reports.push(report(&seen, refused.as_deref()));
        // At once: the next run may have to be waited for.
        if refused.is_none() && !output.is_json() {
            println!("{key}: its mark is off; the controller takes it up");
        }
    }
    output.print("", &Value::Array(reports));
    worst
}

fn report(seen: &Seen, refused: Option<&str>) -> Value {
    let key = seen.head.key(seen.kind);
    json!({"kind": key.kind.as_str(), "namespace": key.namespace, "name": key.name,
        "unmarked": refused.is_none(), "reason": refused})
}

/// Until the controller takes an event of this run for a new one.
async fn wait(seen: &Seen) {
    let left = left(seen.written_at, Timestamp::now());
    if !left.is_zero() {
        eprintln!("{} was finished a moment ago: waiting {} s", seen.head.key(seen.kind), left.as_secs());
        tokio::time::sleep(left).await;
    }
}

/// The API server notes whole seconds, and the controller counts from when it has reported what it wrote, which takes its
/// time where the API server has much to do.
const MORE: Duration = Duration::from_secs(5);

fn left(written_at: Option<Timestamp>, now: Timestamp) -> Duration {
    let Some(written_at) = written_at else { return Duration::ZERO };
    let moment = SETTLING + MORE;
    // A clock that is behind makes it wait no longer than that.
    let passed = Duration::try_from(now.duration_since(written_at)).unwrap_or_default();
    moment.saturating_sub(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_was_finished_a_moment_ago_is_waited_for_and_others_are_not() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let at = |text: &str| left(Some(text.parse().unwrap()), now);
        assert_eq!(at("2026-01-01T00:00:50Z") + Duration::from_secs(10), SETTLING + MORE);
        assert_eq!(at("2026-01-01T00:00:00Z"), Duration::ZERO);
        assert_eq!(at("2026-01-01T01:00:00Z"), SETTLING + MORE, "another clock");
        assert_eq!(left(None, now), Duration::ZERO, "Chains wrote it");
    }
}
