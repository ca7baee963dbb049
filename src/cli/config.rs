//! `hallmark config`: what the ConfigMap `chains-config` and the registry configuration file may say, and whether
//! they do.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::manifests::Manifests;
use super::output::OutputOption;
use super::{Exit, environment, refuse};
use crate::config::{self, Config, Finding, Problem};
use crate::credential::files::registry_config;
use crate::credential::registry_config;

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

        /// What to print.
        #[command(flatten)]
        output: OutputOption,
    },
    /// Print every key with its default and meaning, as Markdown.
    Reference(OutputOption),
}

/// What was found in one file.
#[derive(Serialize)]
struct Checked {
    file: PathBuf,
    /// How many keys, or registries, it has; nothing when it cannot be used.
    count: Option<usize>,
    findings: Vec<Found>,
    #[serde(skip)]
    unit: &'static str,
}

/// One finding.
#[derive(Serialize)]
struct Found {
    severity: Severity,
    message: String,
}

/// What a finding means for what the file asks for.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Error,
    Warning,
    /// A good setting of something that this build has not.
    Unsupported,
    /// A good setting that does nothing.
    Unusable,
}

impl Severity {
    /// Of a setting that is good in itself and without effect.
    pub(super) fn of(finding: &Finding) -> Self {
        if finding.problem == Problem::NotInThisBuild { Self::Unsupported } else { Self::Unusable }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Unsupported => "not in this build",
            Self::Unusable => "cannot be used",
        })
    }
}

/// Runs the command.
pub fn run(command: &Command) -> Exit {
    match command {
        Command::Reference(output) => {
            output.print(config::reference(), &config::reference_for_programs());
            Exit::Ok
        }
        Command::Check { file, registries, output } => {
            let registries = registries.as_deref().map(check_registries);
            let checked = registries.into_iter().chain(file.as_deref().map(check_file));
            let (all, exits): (Vec<_>, Vec<_>) = checked.map(ended).unzip();
            let all: Vec<Checked> = all.into_iter().flatten().collect();
            output.print(all.iter().map(text).collect::<String>(), &json!(all));
            exits.into_iter().find(|exit| *exit != Exit::Ok).unwrap_or(Exit::Ok)
        }
    }
}

fn ended(checked: Result<Checked, Exit>) -> (Option<Checked>, Exit) {
    match checked {
        Ok(checked) => {
            let exit = if checked.count.is_some() { Exit::Ok } else { Exit::Failed };
            (Some(checked), exit)
        }
        Err(exit) => (None, exit),
    }
}

fn text(checked: &Checked) -> String {
    let findings = checked.findings.iter().map(|found| format!("{}: {}\n", found.severity, found.message));
    let ok = checked.count.map(|count| format!("ok: {count} {}\n", checked.unit));
    findings.chain(ok).collect()
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

fn check_file(file: &Path) -> Result<Checked, Exit> {
    let manifests = Manifests::read(&[file.to_owned()]).map_err(|error| refuse(&error, Exit::Usage))?;
    let Some(data) = manifests.config_map() else {
        eprintln!("hallmark: there is no ConfigMap in the file");
        return Err(Exit::Usage);
    };
    let parsed = Config::parse(&data);
    let found = |severity| move |finding: &Finding| Found { severity, message: finding.to_string() };
    let mut findings: Vec<Found> = parsed.warnings.iter().map(found(Severity::Warning)).collect();
    let count = match parsed.config {
        Ok(config) => {
            findings.extend(config.unsupported().iter().map(|finding| found(Severity::of(finding))(finding)));
            Some(data.len())
        }
        Err(mistakes) => {
            findings.extend(mistakes.iter().map(found(Severity::Error)));
            None
        }
    };
    Ok(Checked { file: file.to_owned(), count, findings, unit: "keys" })
}

/// Every finding with its place; warnings alone are no failure.
fn check_registries(file: &Path) -> Result<Checked, Exit> {
    let reading = registry_config(file, &environment::proxies(), Timestamp::now());
    let reading = reading.map_err(|error| refuse(&error, Exit::Failed))?;
    let found = |finding: &registry_config::Finding| Found {
        severity: match finding.severity() {
            registry_config::Severity::Error => Severity::Error,
            registry_config::Severity::Warning => Severity::Warning,
        },
        message: format!("{}: {finding}", file.display()),
    };
    Ok(Checked {
        file: file.to_owned(),
        count: reading.config.map(|config| config.names().count()),
        findings: reading.findings.iter().map(found).collect(),
        unit: "registries",
    })
}
