//! The commands of the binary, one file each. The only layer that talks to a person: it may print, every
//! layer below may not.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this layer is the one that talks to a person"
)]

pub mod auth;
pub mod completions;
pub mod config;
pub mod controller;
pub mod credential_helper;
pub mod creds;
pub mod demo;
pub mod doctor;
mod environment;
pub mod explain;
pub mod identity;
pub mod keys;
pub mod man;
pub mod manifests;
mod output;
pub mod payload;
pub mod policy;
mod private_file;
mod progress;
pub mod provenance;
pub mod refresh;
mod registries;
pub mod retry;
mod runs;
mod serving;
pub mod sign;
pub mod status;
mod style;
mod surveyed;
pub mod tree;
pub mod verify;
pub mod webhook;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

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
    /// Keep annotated pull secrets filled with short-lived registry tokens.
    Refresh(refresh::Arguments),
    /// Sign completed runs from manifest files, without a cluster.
    Sign(sign::Arguments),
    /// Show what would be signed, without signing it.
    Payload(payload::Arguments),
    /// Verify that images are signed, or attested, by whom they should be.
    Verify(Box<verify::Arguments>),
    /// Show what hangs on an image: signatures, attestations and other referrers, and who signed them.
    Tree(Box<tree::Arguments>),
    /// Print how an image was built, as its attestations say it.
    Provenance(Box<provenance::Arguments>),
    /// Try policies on images.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Admit only images that ClusterImagePolicies admit: the admission webhook.
    Webhook(Box<webhook::Arguments>),
    /// Look into the credentials of runs.
    #[command(subcommand)]
    Creds(creds::Command),
    /// Log in to registries with short-lived tokens and pull tokens.
    #[command(subcommand)]
    Auth(auth::Command),
    /// Speak the protocol of docker's credential helpers, as docker-credential-hallmark does.
    #[command(disable_help_flag = true)]
    CredentialHelper(credential_helper::Arguments),
    /// Show the whole way from a completed run to a verified signature, on this machine alone.
    Demo(demo::Arguments),
    /// Make, show and replace signing keys.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Show in whose name this process could sign without a key.
    Identity(identity::Arguments),
    /// Check an installation: settings, keys, rights, servers and registries, each with what to do.
    Doctor(Box<doctor::Arguments>),
    /// Show how many runs are signed, wait or were given up, why, and which replicas work.
    Status(status::Arguments),
    /// Say why a run is or is not signed, and what to do.
    Explain(explain::Arguments),
    /// Have runs that were given up tried again.
    Retry(retry::Retry),
    /// Have signed runs signed with the keys of now, beside the signatures that are there.
    Resign(retry::Resign),
    /// Print completions for a shell.
    Completions(completions::Arguments),
    /// Write a manual page for each command.
    Man(man::Arguments),
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
    /// The command line of this process. Called by the name of a credential helper, it is one; called as a plugin of
    /// kubectl, its help says so.
    pub fn of_process() -> Self {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let command = called(arguments.first());
        let matches = command.get_matches_from(meant(arguments));
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// Runs the command and says how it ended.
    pub async fn run(self) -> ExitCode {
        let (filter, format) = match &self.command {
            Command::Controller(_) | Command::Refresh(_) | Command::Webhook(_) => ("info", LogFormat::Json),
            // A person is reading: only what needs attention.
            _ => ("error", LogFormat::Text),
        };
        let (format, filter) = (self.log_format.unwrap_or(format), self.log.as_deref().unwrap_or(filter));
        let (traces, trouble) = environment::traces();
        telemetry::start(format, filter, self.log.is_some(), traces.as_ref());
        if let Some(error) = trouble {
            tracing::warn!("there are no traces: {}", chain(&error));
        }
        let exit = Box::pin(self.command.run()).await;
        if let Some(traces) = traces {
            traces.end().await;
        }
        exit.into()
    }
}

impl Command {
    async fn run(self) -> Exit {
        match self {
            Self::Controller(arguments) => controller::run(arguments).await,
            Self::Refresh(arguments) => refresh::run(arguments).await,
            Self::Sign(arguments) => sign::run(arguments).await,
            Self::Payload(arguments) => payload::run(&arguments),
            Self::Verify(arguments) => verify::run(*arguments).await,
            Self::Tree(arguments) => tree::run(*arguments).await,
            Self::Provenance(arguments) => provenance::run(*arguments).await,
            Self::Policy(command) => policy::run(command).await,
            Self::Webhook(arguments) => webhook::run(*arguments).await,
            Self::Creds(command) => creds::run(command).await,
            Self::Auth(command) => auth::run(command).await,
            Self::CredentialHelper(arguments) => credential_helper::run(arguments).await,
            Self::Demo(arguments) => demo::run(arguments).await,
            Self::Keys(command) => keys::run(command).await,
            Self::Identity(arguments) => identity::run(arguments).await,
            Self::Doctor(arguments) => doctor::run(*arguments).await,
            Self::Status(arguments) => status::run(arguments).await,
            Self::Explain(arguments) => explain::run(arguments).await,
            Self::Retry(arguments) => retry::retry(arguments).await,
            Self::Resign(arguments) => retry::resign(arguments).await,
            Self::Completions(arguments) => completions::run(&arguments, Cli::command()),
            Self::Man(arguments) => man::run(&arguments, Cli::command()),
            Self::Config(command) => config::run(&command),
        }
    }
}

/// The command line under the name by which a person calls it.
fn called(program: Option<&OsString>) -> clap::Command {
    let program = program.map(Path::new).and_then(Path::file_stem);
    match program {
        Some(name) if name == "kubectl-hallmark" => Cli::command().bin_name("kubectl hallmark"),
        _ => Cli::command(),
    }
}

/// `docker-credential-hallmark get` means `hallmark credential-helper get`.
fn meant(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let program = arguments.first().map(Path::new).and_then(Path::file_name);
    if program.is_some_and(|name| name.to_string_lossy().starts_with("docker-credential-")) {
        arguments.splice(..1, ["hallmark".into(), "credential-helper".into()]);
    }
    arguments
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

/// There is no cluster to talk to.
fn fail_to_connect(error: &dyn std::error::Error) -> Exit {
    eprintln!("hallmark: give --kubeconfig FILE, or run in a pod with a service account");
    refuse(error, Exit::Failed)
}

fn exit_of(error: &dyn Diagnose) -> Exit {
    match (error.class(), error.label()) {
        (Class::Temporary, _) => Exit::Temporary,
        (_, "registry_denied" | "registry_rejected") => Exit::Denied,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_credential_helper_makes_it_one_and_every_verb_reaches_it() {
        for verb in ["get", "list", "--version", "-v", "nonsense"] {
            let arguments = ["/usr/local/bin/docker-credential-hallmark", verb].map(OsString::from).to_vec();
            let cli = Cli::try_parse_from(meant(arguments)).unwrap();
            assert!(matches!(cli.command, Command::CredentialHelper(_)), "{verb}");
        }
        let arguments = ["/usr/bin/hallmark", "config", "reference"].map(OsString::from).to_vec();
        assert_eq!(meant(arguments.clone()), arguments);
    }

    /// What runs until it is stopped tells its state as metrics and logs; the others write what another program asks for.
    const WITHOUT_JSON: [&str; 6] =
        ["controller", "refresh", "webhook", "credential-helper", "completions", "man"];

    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, bool)>) {
        for child in command.get_subcommands() {
            let path = format!("{path}{}", child.get_name());
            let values = child.get_arguments().find(|argument| argument.get_id() == "output");
            let values = values.map(clap::Arg::get_possible_values).unwrap_or_default();
            let has_json = values.iter().any(|value| value.matches("json", false));
            if !child.has_subcommands() || child.get_arguments().any(clap::Arg::is_required_set) {
                found.push((path.clone(), has_json));
            }
            leaves(child, &format!("{path} "), found);
        }
    }

    #[test]
    fn every_command_that_prints_for_people_prints_json_too() {
        let page = include_str!("../docs/output.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
        let documented: Vec<&str> =
            rows.flat_map(|row| row.split(", `")).map(|name| name.trim_end_matches('`')).collect();
        let mut found = Vec::new();
        leaves(&Cli::command(), "", &mut found);
        assert!(found.len() > 30, "{found:?}");
        for (path, has_json) in found {
            let expected = !WITHOUT_JSON.contains(&path.as_str());
            assert_eq!(has_json, expected, "hallmark {path}: --output json");
            assert_eq!(documented.contains(&path.as_str()), expected, "hallmark {path} in docs/output.md");
        }
    }

    #[test]
    fn a_plugin_of_kubectl_calls_itself_so() {
        for (program, usage) in [
            ("/usr/local/bin/kubectl-hallmark", "Usage: kubectl hallmark explain"),
            ("/usr/local/bin/hallmark", "Usage: hallmark explain"),
        ] {
            let program = OsString::from(program);
            let help = called(Some(&program)).try_get_matches_from([program, "explain".into(), "-h".into()]);
            assert!(help.unwrap_err().to_string().contains(usage), "{usage}");
        }
    }
}
