//! `hallmark config`: what the ConfigMap `chains-config` and the registry configuration file may say, and whether
//! they do.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use jiff::Timestamp;

use super::manifests::Manifests;
use super::{Exit, environment, refuse};
use crate::config::{self, Config, Finding, Problem};
use crate::credential::files::registry_config;
use crate::credential::registry_config::Severity;

/// Check a ConfigMap, or print the reference of its keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the manifest of a ConfigMap: every mistake at once. Exits with 1 when Chains would refuse it.
    #[command(
        after_help = "Example:\n  kubectl get configmap chains-config -n tekton-chains -o yaml | hallmark config check -"
    )]
    Check {
        /// The manifest, or - for standard input.
        #[arg(required_unless_present = "registries")]
        file: Option<PathBuf>,

        /// A registry configuration file in TOML to check as well.
        #[arg(long, value_name = "FILE")]
        registries: Option<PathBuf>,
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
        Command::Check { file, registries } => {
            let checked = registries.as_deref().map_or(Exit::Ok, check_registries);
            let file = file.as_deref().map_or(Exit::Ok, check_file);
            if checked == Exit::Ok { file } else { checked }
        }
    }
}

/// The configuration in the manifest of a ConfigMap.
pub(super) fn configured(file: &Path) -> Result<Config, Exit> {
    let manifests = Manifests::read(&[file.to_owned()]).map_err(|error| refuse(&error, Exit::Usage))?;
    let Some(data) = manifests.config_map() else {
        eprintln!("hallmark: there is no ConfigMap in {}", file.display());
        return Err(Exit::Usage);
    };
    let parsed = Config::parse(&data);
    for warning in &parsed.warnings {
        eprintln!("warning: {warning}");
    }
    parsed.config.map_err(|findings| {
        for finding in findings {
            eprintln!("hallmark: {}: {finding}", file.display());
        }
        Exit::Usage
    })
}

fn check_file(file: &Path) -> Exit {
    match Manifests::read(&[file.to_owned()]) {
        Ok(manifests) => check(&manifests),
        Err(error) => refuse(&error, Exit::Usage),
    }
}

/// Every finding with its place; warnings alone are no failure.
fn check_registries(file: &Path) -> Exit {
    let reading = match registry_config(file, &environment::proxies(), Timestamp::now()) {
        Ok(reading) => reading,
        Err(error) => return refuse(&error, Exit::Failed),
    };
    for finding in &reading.findings {
        let severity = if finding.severity() == Severity::Error { "error" } else { "warning" };
        println!("{severity}: {}: {finding}", file.display());
    }
    match reading.config {
        Some(config) => {
            println!("ok: {} registries", config.names().count());
            Exit::Ok
        }
        None => Exit::Failed,
    }
}

/// What a good setting that does not do is called.
pub(super) fn cannot_be_used(finding: &Finding) -> &'static str {
    if finding.problem == Problem::NotInThisBuild { "not in this build" } else { "cannot be used" }
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
                println!("{}: {finding}", cannot_be_used(&finding));
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
