//! `hallmark policy test`: which policies govern an image, and, if asked, what each answers.
//!
//! Without `--online` no registry is contacted.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::output::Output;
use super::style::Style;
use super::verify::{self, AccessOptions, PolicyFile, Verified};
use super::{Exit, refuse};
use crate::policy::authority::Demand;
use crate::policy::finding::Finding;
use crate::policy::glob::Glob;
use crate::policy::reference::Reference;
use crate::policy::{ClusterImagePolicy, Reading};

/// Try policies on images.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show which policies govern images, and with --online what each answers.
    Test(Box<Test>),
}

/// What is tried.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark policy test policy.yaml registry.example/team/app:v1
  hallmark policy test policy.yaml registry.example/team/app:v1 --online --trusted-root trusted_root.json

Exit codes: 0 every policy can be used, and with --online every image passes; 2 a policy cannot be used;
3 an image is denied; 4 it could not be decided.")]
pub struct Test {
    /// Manifests of ClusterImagePolicies.
    #[arg(value_name = "POLICY")]
    policy: PathBuf,

    /// The images, by tag or digest.
    #[arg(value_name = "IMAGE")]
    images: Vec<Reference>,

    /// Ask the registries as well.
    #[arg(long)]
    online: bool,

    #[command(flatten)]
    access: AccessOptions,

    /// What to print.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

#[derive(Serialize)]
struct Report<'a> {
    policies: Vec<Loaded<'a>>,
    images: Vec<Governed<'a>>,
}

#[derive(Serialize)]
struct Loaded<'a> {
    policy: &'a str,
    usable: bool,
    errors: &'a [Finding],
    warnings: &'a [Finding],
}

#[derive(Serialize)]
struct Governed<'a> {
    image: &'a str,
    policies: Vec<Governing<'a>>,
}

/// A policy that governs an image.
#[derive(Serialize)]
struct Governing<'a> {
    policy: &'a str,
    mode: &'static str,
    glob: String,
    /// Where its authorities look for signatures.
    places: Vec<String>,
}

/// Runs the command.
pub async fn run(command: Command) -> Exit {
    let Command::Test(arguments) = command;
    let file = match PolicyFile::read(std::slice::from_ref(&arguments.policy)) {
        Ok(file) => file,
        Err(exit) => return exit,
    };
    let usable = file.readings.iter().all(|(_, reading)| reading.policy.is_some());
    let policies: Vec<_> = file.readings.iter().filter_map(|(_, reading)| reading.policy.clone()).collect();
    if !arguments.online || !usable {
        let images = arguments.images.iter().map(|image| governed(image, &policies)).collect();
        let policies = file.readings.iter().map(|(name, reading)| loaded(name, reading)).collect();
        print(&Report { policies, images }, arguments.output);
        return if usable { Exit::Ok } else { Exit::Usage };
    }
    match online(&arguments, file).await {
        Ok(verified) => {
            match arguments.output {
                Output::Text => verify::output::text(&verified),
                Output::Json => verify::output::json(&verified),
            }
            verify::exit(&verified)
        }
        Err(exit) => exit,
    }
}

async fn online(arguments: &Test, file: PolicyFile) -> Result<Vec<Verified>, Exit> {
    let sound = file.sound()?;
    let access = arguments.access.open(sound.named).await?;
    Ok(verify::verify_all(&access, &arguments.images, &sound.policies).await)
}

fn loaded<'a>(name: &'a str, reading: &'a Reading) -> Loaded<'a> {
    let (errors, warnings) = (&reading.notes.errors, &reading.notes.warnings);
    Loaded { policy: name, usable: reading.policy.is_some(), errors, warnings }
}

fn governed<'a>(image: &'a Reference, policies: &'a [ClusterImagePolicy]) -> Governed<'a> {
    let governing = policies.iter().filter_map(|policy| {
        let glob = policy.governs(image)?;
        let places = places(policy, image, glob);
        Some(Governing { policy: &policy.name, mode: policy.mode.name(), glob: glob.to_string(), places })
    });
    Governed { image: image.written(), policies: governing.collect() }
}

fn places(policy: &ClusterImagePolicy, image: &Reference, glob: &Glob) -> Vec<String> {
    let place = |demand: &Demand| match demand {
        Demand::Static(_) => "nowhere: it is static".to_owned(),
        Demand::Signed(signed) => {
            let place = signed.source.as_ref().and_then(|source| source.place.as_ref());
            let repository = place.map(|place| place.of(image.repository(), glob));
            match repository {
                None => image.repository().to_string(),
                Some(Ok(repository)) => repository.to_string(),
                Some(Err(error)) => format!("nowhere: {error}"),
            }
        }
    };
    let mut places: Vec<String> = policy.authorities.iter().map(|one| place(&one.demand)).collect();
    places.dedup();
    places
}

fn print(report: &Report<'_>, output: Output) {
    if output == Output::Json {
        match serde_json::to_string_pretty(report) {
            Ok(text) => println!("{text}"),
            Err(error) => {
                refuse(&error, Exit::Failed);
            }
        }
        return;
    }
    for policy in &report.policies {
        println!("policy {}: {}", policy.policy, if policy.usable { "usable" } else { "cannot be used" });
        for finding in policy.errors {
            println!("  error: {finding}");
        }
        for finding in policy.warnings {
            println!("  warning: {finding}");
        }
    }
    let rows = report.images.iter().flat_map(|image| {
        let row = |policy: &Governing<'_>| {
            let columns = [image.image, policy.policy, policy.mode, &policy.glob, &policy.places.join(", ")];
            columns.map(str::to_owned).to_vec()
        };
        let mut rows: Vec<Vec<String>> = image.policies.iter().map(row).collect();
        if rows.is_empty() {
            rows.push([image.image, "none", "-", "-", "-"].map(str::to_owned).to_vec());
        }
        rows
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        println!(
            "\n{}",
            Style::of_stdout().table(0, &["IMAGE", "POLICY", "MODE", "GLOB", "SIGNATURES AT"], rows)
        );
    }
}
