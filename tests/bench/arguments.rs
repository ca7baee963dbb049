//! The command line of the benchmark, as `hack/bench` passes it on.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Measures Hallmark, and Tekton Chains beside it.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Fewer rounds and fewer runs: under five minutes.
    #[arg(long)]
    pub quick: bool,
    /// The binary of Hallmark.
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_hallmark"))]
    pub hallmark: PathBuf,
    /// Measures Chains too.
    #[arg(long)]
    pub peer: bool,
    /// Measures the admission webhook, and nothing else.
    #[arg(long)]
    pub admissions: bool,
    /// Writes the figures as JSON lines.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Delay in front of the registry: round trip, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay: u64,
    /// How long the row `soak` takes, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    soak: u64,
    /// How many signed runs are in the cluster for the rows that say so.
    #[arg(long, value_name = "NUMBER")]
    signed: Option<usize>,
    /// Measures only these situations, Hallmark alone but for the keyless ones and Vault; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub row: Vec<Situation>,
    /// How often each program is measured.
    #[arg(long, value_name = "NUMBER")]
    rounds: Option<usize>,
}

/// What takes long, or disturbs everything else, and is measured only when it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Situation {
    /// Old runs in the cluster, signed and unsigned, and fresh completions for a minute.
    Backlog,
    /// 1, 2 and 4 replicas: what each signs.
    Replicas,
    /// Four replicas, one of them killed every ten seconds for two minutes.
    Chaos,
    /// From the death of a replica to the marks of the runs that it would have signed.
    FailOver,
    /// A registry that takes connections and answers nothing, beside a healthy one.
    Silent,
    /// Ten minutes at half of the rate: memory and open files.
    Soak,
    /// 100, 1,000 and 10,000 runs that wait.
    Growth,
    /// 50,000 signed runs of 10 KiB, then 10,000 of 50 KiB.
    Crowd,
    /// A registry with token authentication: what is read and asked for the credentials of a run.
    Credentials,
    /// The credential helper: a token that is kept, and many helpers at once.
    Helper,
    /// Certificates of a real Fulcio, beside Chains.
    Keyless,
    /// The same with a log: Rekor v1 beside Chains; Rekor v2 with timestamps.
    KeylessLogged,
    /// A key in a real Vault, beside Chains.
    Vault,
}

impl Situation {
    /// Whether Chains is measured too.
    pub fn is_compared(self) -> bool {
        matches!(self, Self::Keyless | Self::KeylessLogged | Self::Vault)
    }
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Completed runs to be signed at once.
    pub runs: usize,
    /// The same for a program that derives its key once a run.
    pub slow_runs: usize,
    /// Runs signed one at a time.
    pub single: usize,
    /// Starts of the process.
    pub starts: usize,
    /// Signed runs that are only there.
    pub signed: usize,
}

impl Arguments {
    /// How much of everything.
    pub fn scale(&self) -> Scale {
        let (slow_runs, starts, signed) = if self.quick { (60, 3, 1_000) } else { (300, 5, 5_000) };
        Scale { runs: 300, slow_runs, single: 50, starts, signed: self.signed.unwrap_or(signed) }
    }

    /// How often.
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { 3 })
    }

    /// Seconds that a soak takes; the issue of scale asks for ten minutes.
    pub fn soak(&self) -> Duration {
        Duration::from_secs(self.soak)
    }

    /// Before the registry.
    pub fn delay(&self) -> Duration {
        Duration::from_millis(self.delay)
    }
}
