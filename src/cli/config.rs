//! `hallmark config`: what the ConfigMap `chains-config` may say, and whether one does.

use std::path::PathBuf;

use clap::Subcommand;

use super::manifests::Manifests;
use super::{Exit, refuse};
use crate::config::{self, Config};

/// Check a ConfigMap, or print the reference of its keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the manifest of a ConfigMap: every mistake at once. Exits with 1 when Chains would refuse it.
    #[command(
        after_help = "Example:\n  kubectl get configmap chains-config -n tekton-chains -o yaml | hallmark config check -"
    )]
    Check {
        /// The manifest, or - for standard input.
        file: PathBuf,
    },
    /// Print every key with its default and meaning, as Markdown.
    Reference,
}

/// Runs the command.
pub fn run(command: &Command) -> Exit {
    match command {
        Command::Reference => {
            print!("{}", config::reference());
            Exit::Ok
        }
        Command::Check { file } => match Manifests::read(std::slice::from_ref(file)) {
            Ok(manifests) => check(&manifests),
            Err(error) => refuse(&error, Exit::Usage),
        },
    }
}

fn check(manifests: &Manifests) -> Exit {
    let Some(data) = manifests.config_map() else {
        eprintln!("hallmark: there is no ConfigMap in the file");
        return Exit::Usage;
    };
    let parsed = Config::parse(&data);
    for warning in &parsed.warnings {
        println!("warning: {warning}");
    }
    match parsed.config {
        Ok(config) => {
            for finding in config.unsupported() {
                println!("not in this build: {finding}");
            }
            println!("ok: {} keys", data.len());
            Exit::Ok
        }
        Err(findings) => {
            for finding in &findings {
                println!("error: {finding}");
            }
            Exit::Failed
        }
    }
}
