//! The commands of the binary, one file each. The only layer that talks to a person: it may print, every
//! layer below may not.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this layer is the one that talks to a person"
)]

pub mod config;
pub mod controller;
pub mod creds;
pub mod demo;
mod environment;
pub mod identity;
pub mod manifests;
pub mod payload;
mod registries;
pub mod sign;
mod style;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::{Class, Diagnose, chain};
use crate::telemetry::{self, LogFormat};

/// Signs what Tekton builds and pushes the signatures to the registry.
#[derive(Debug, Parser)]
#[command(name = "hallmark", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,

    /// What is logged, for example "info" or "hallmark=debug,warn".
    #[arg(long, global = true, env = "HALLMARK_LOG", value_name = "FILTER")]
    log: Option<String>,

    /// How log lines look.
    #[arg(long, global = true, env = "HALLMARK_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch TaskRuns and PipelineRuns and sign what they build.
    Controller(controller::Arguments),
    /// Sign completed runs from manifest files, without a cluster.
    Sign(sign::Arguments),
    /// Show what would be signed, without signing it.
    Payload(payload::Arguments),
    /// Look into the credentials of runs.
    #[command(subcommand)]
    Creds(creds::Command),
    /// Show the whole way from a completed run to a verified signature, on this machine alone.
    Demo(demo::Arguments),
    /// Show in whose name this process could sign without a key.
    Identity(identity::Arguments),
    /// Check a ConfigMap, or print the reference of its keys.
    #[command(subcommand)]
    Config(config::Command),
}

/// How a command ended; the same for every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Ok = 0,
    /// Something failed for good.
    Failed = 1,
    /// The command was not understood.
    Usage = 2,
    /// A credential or a right is missing.
    Denied = 3,
    /// It may work later, or could not be decided.
    Temporary = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Cli {
    /// Runs the command and says how it ended.
    pub async fn run(self) -> ExitCode {
        let (filter, format) = match &self.command {
            Command::Controller(_) => ("info", LogFormat::Json),
            // A person is reading: only what needs attention.
            _ => ("error", LogFormat::Text),
        };
        telemetry::logs(self.log_format.unwrap_or(format), self.log.as_deref().unwrap_or(filter));
        match self.command {
            Command::Controller(arguments) => controller::run(arguments).await,
            Command::Sign(arguments) => sign::run(arguments).await,
            Command::Payload(arguments) => payload::run(&arguments),
            Command::Creds(command) => creds::run(command).await,
            Command::Demo(arguments) => demo::run(arguments).await,
            Command::Identity(arguments) => identity::run(arguments).await,
            Command::Config(command) => config::run(&command),
        }
        .into()
    }
}

/// Prints why a command failed, and what to do; the exit code follows from the error.
fn fail(error: &dyn Diagnose) -> Exit {
    let mut shown: Vec<String> = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        if !shown.iter().any(|text| text.contains(&error.to_string())) {
            shown.push(error.to_string());
        }
        cause = error.source();
    }
    eprintln!("hallmark: {}", shown.join(": "));
    if let Some(hint) = error.hint() {
        eprintln!("  {hint}");
    }
    exit_of(error)
}

/// Prints why a command failed, for errors that nobody can retry.
fn refuse(error: &dyn std::error::Error, exit: Exit) -> Exit {
    eprintln!("hallmark: {}", chain(error));
    exit
}

fn exit_of(error: &dyn Diagnose) -> Exit {
    match (error.class(), error.label()) {
        (Class::Temporary, _) => Exit::Temporary,
        (_, "registry_denied" | "registry_rejected") => Exit::Denied,
        _ => Exit::Failed,
    }
}
