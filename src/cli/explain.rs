//! `hallmark explain`: why a run is or is not signed, from what is written on it, its Events, and what the controller
//! would decide about it now; and what to do.
//!
//! Guarantees: the decision is the controller's own (`controller::decide`), made of the settings in force; nothing is
//! changed.

mod output;
mod verdict;

use clap::Args;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client};

use self::verdict::{Circumstances, Verdict};
use super::Exit;
use super::output::Output;
use super::runs::Seen;
use super::surveyed::{Names, Place};
use crate::controller::decide::decide;

/// Events of one run that are read; the API server keeps them for an hour.
const EVENTS: u32 = 50;

/// Which run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark explain build-1 -n ci
  kubectl hallmark explain pipelinerun release-7 -n ci
  hallmark explain taskrun/build-1 -n ci -o json

Exit codes: 0 it is signed, or will be without anybody's help; 1 it is not, and somebody has to do something, or
there is no such run; 2 usage; 3 it may not be read; 4 the API server cannot be reached.")]
pub struct Arguments {
    #[command(flatten)]
    names: Names,

    #[command(flatten)]
    place: Place,

    /// What to print.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// One run, explained.
struct Explained {
    seen: Seen,
    verdict: Verdict,
    events: Vec<Event>,
    now: Timestamp,
}

/// Runs the command.
pub async fn run(arguments: Arguments) -> Exit {
    match explain(&arguments).await {
        Ok(explained) => {
            match arguments.output {
                Output::Text => print!("{}", output::text(&explained, super::style::Style::of_stdout())),
                Output::Json => println!("{:#}", output::json(&explained)),
            }
            let settled = explained.iter().all(|one| one.verdict.settled);
            if settled { Exit::Ok } else { Exit::Failed }
        }
        Err(exit) => exit,
    }
}

async fn explain(arguments: &Arguments) -> Result<Vec<Explained>, Exit> {
    let (client, now) = (arguments.place.client().await?, Timestamp::now());
    let runs = arguments.names.seen(&client).await?;
    let config = arguments.place.config(&client).await;
    let watched = arguments.place.watched(&client).await;
    let replicas = arguments.place.replicas(&client, now).await.ok();
    let alive = replicas.map(|all| all.iter().filter(|replica| replica.alive).count());
    let mut explained = Vec::new();
    for seen in runs {
        let decision = decide(&seen.head, &config.clone().unwrap_or_default(), &watched, now);
        let known = Circumstances { decision, alive, configured: config.is_some() };
        let verdict = Verdict::of(&seen, &known);
        let events = events(&client, &seen).await;
        explained.push(Explained { seen, verdict, events, now });
    }
    Ok(explained)
}

/// Those of the agent, oldest first; without the right to list them there are none.
async fn events(client: &Client, seen: &Seen) -> Vec<Event> {
    let key = seen.head.key(seen.kind);
    let of_run = ListParams::default().fields(&format!("involvedObject.uid={}", key.uid)).limit(EVENTS);
    let listed = Api::<Event>::namespaced(client.clone(), &key.namespace).list(&of_run).await;
    let mut events = listed.map(|list| list.items).unwrap_or_default();
    let ours = |event: &Event| {
        let source = event.source.as_ref().and_then(|source| source.component.as_deref());
        source == Some("hallmark") || event.reporting_component.as_deref() == Some("hallmark")
    };
    events.retain(ours);
    events.sort_by_key(|event| event.last_timestamp.as_ref().map(|at| at.0));
    events
}
