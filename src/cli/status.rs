//! `hallmark status`: how many runs are signed, wait or were given up, why, and who works on them.
//!
//! Guarantees: runs are read page by page and counted, so that memory does not grow with their number; nothing is
//! changed. What may not be read is said to be unknown.

mod count;
mod output;

use clap::Args;
use jiff::Timestamp;

use self::count::Counts;
pub(super) use self::output::age;
use super::output::Output;
use super::progress::Progress;
use super::surveyed::{self, Place, Replica};
use super::{Exit, refuse, runs};
use crate::tekton::Kind;

/// How runs stand.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark status
  kubectl hallmark status -n ci -o json

Exit codes: 0 every run is signed or waits its turn; 1 runs were given up, or wait and nobody works on them;
2 usage; 3 runs may not be listed; 4 the API server cannot be reached.")]
pub struct Arguments {
    /// Runs of this namespace only.
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    #[command(flatten)]
    place: Place,

    /// What to print.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// What was seen.
struct Status {
    counts: Counts,
    /// Nothing when Leases may not be listed.
    replicas: Option<Vec<Replica>>,
    now: Timestamp,
}

/// Runs the command.
pub async fn run(arguments: Arguments) -> Exit {
    match survey(&arguments).await {
        Ok(status) => {
            match arguments.output {
                Output::Text => print!("{}", output::text(&status, super::style::Style::of_stdout())),
                Output::Json => println!("{:#}", output::json(&status)),
            }
            status.exit()
        }
        Err(exit) => exit,
    }
}

async fn survey(arguments: &Arguments) -> Result<Status, Exit> {
    let (client, now) = (arguments.place.client().await?, Timestamp::now());
    let config = arguments.place.config(&client).await.unwrap_or_default();
    let watched = arguments.place.watched(&client).await;
    let (progress, mut counts) = (Progress::of("counting runs"), Counts::default());
    for kind in [Kind::TaskRun, Kind::PipelineRun] {
        let look = |seen: runs::Seen| {
            counts.add(&seen, &config, &watched, now);
            progress.step();
        };
        let listed = progress.during(runs::each(&client, kind, arguments.namespace.as_deref(), look)).await;
        listed.map_err(|error| refuse(&error, surveyed::exit(&error)))?;
    }
    let replicas = arguments.place.replicas(&client, now).await.ok();
    Ok(Status { counts, replicas, now })
}

impl Status {
    /// How many controllers live, where that may be known.
    fn alive(&self) -> Option<usize> {
        Some(self.replicas.as_ref()?.iter().filter(|replica| replica.alive).count())
    }

    fn exit(&self) -> Exit {
        let stuck = self.counts.waiting() > 0 && self.alive() == Some(0);
        if self.counts.failed() > 0 || stuck { Exit::Failed } else { Exit::Ok }
    }
}
