//! `hallmark provenance`: the statements that say how an image was built; only verified ones, where somebody is
//! trusted.

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use super::output::Output;
use super::progress::Progress;
use super::tree::summary::{Summary, printable};
use super::verify::{AccessOptions, Named, SignerOptions};
use super::{Exit, refuse};
use crate::policy::check::{Flaw, Statement, unverified_statement};
use crate::policy::material::{Kind, Place};
use crate::policy::predicate;
use crate::policy::reference::Reference;

/// Print how an image was built, as its attestations say it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark provenance registry.example/team/app:v1 --key cosign.pub
  hallmark provenance registry.example/team/app:v1 --key cosign.pub --type spdx -o json

With a signer only statements that it signed are printed; without one every statement is, as a claim.

Exit codes: 0 printed; 2 usage; 3 there is none, or not authorised to look; 4 it could not be decided.")]
pub struct Arguments {
    /// The image, by tag or digest.
    #[arg(value_name = "IMAGE")]
    image: Reference,

    #[command(flatten)]
    signers: SignerOptions,

    /// The predicate type, where another than SLSA's provenance is meant.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,

    #[command(flatten)]
    access: AccessOptions,

    /// What to print.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// A statement with whoever signed it.
struct Stated {
    place: Place,
    signer: Option<String>,
    statement: Statement,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    place: String,
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<&'a str>,
    predicate_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
    #[serde(borrow)]
    statement: &'a RawValue,
}

/// Runs the command.
pub async fn run(arguments: Arguments) -> Exit {
    let stated = match stated(&arguments).await {
        Ok(stated) => stated,
        Err(exit) => return exit,
    };
    let printed = match arguments.output {
        Output::Text => stated.iter().try_for_each(text),
        Output::Json => json(&stated),
    };
    match printed {
        Ok(()) => Exit::Ok,
        Err(error) => refuse(&error, Exit::Failed),
    }
}

async fn stated(arguments: &Arguments) -> Result<Vec<Stated>, Exit> {
    let access = arguments.access.open(Named::default()).await?;
    let trusted = arguments.signers.trusted(access.trust(), arguments.access.registries()).await?;
    let progress = Progress::of(format!("reading what hangs on {}", arguments.image.written()));
    let (image, attached) = progress.during(access.attached(&arguments.image)).await?;
    let (mut stated, mut flaws) = (Vec::new(), Vec::new());
    for found in attached.into_iter().flat_map(|attached| attached.found) {
        if !found.content.as_ref().is_ok_and(|material| material.kind() == Kind::Attestation) {
            continue;
        }
        let read = match (&trusted, &found.content) {
            (Some(trusted), _) => access.check(&found, &image, trusted).and_then(|verified| {
                let statement = verified.statement.ok_or(Flaw::NotAnEnvelope)?;
                Ok((Some(verified.by.to_string()), statement))
            }),
            (None, Ok(material)) => {
                unverified_statement(material, &image.digest).map(|statement| (None, statement))
            }
            (None, Err(flaw)) => Err(flaw.clone()),
        };
        match read {
            Ok((signer, statement)) if arguments.wants(&statement) => {
                stated.push(Stated { place: found.place, signer, statement });
            }
            Ok(_) => {}
            Err(flaw) => flaws.push(format!("{}: {flaw}", found.place)),
        }
    }
    if !stated.is_empty() {
        return Ok(stated);
    }
    eprintln!(
        "hallmark: no {} for {image}",
        if trusted.is_some() { "verified provenance" } else { "provenance" }
    );
    for flaw in flaws {
        eprintln!("  {}", printable(&flaw));
    }
    Err(Exit::Denied)
}

impl Arguments {
    fn wants(&self, statement: &Statement) -> bool {
        match &self.kind {
            Some(kind) => predicate::uri(kind) == statement.predicate_type,
            None => predicate::is_provenance(&statement.predicate_type),
        }
    }
}

fn text(stated: &Stated) -> Result<(), serde_json::Error> {
    let signer = stated.signer.as_deref().map(|signer| format!("signed by {}", printable(signer)));
    eprintln!(
        "{}: {}",
        stated.place,
        signer.as_deref().unwrap_or("not verified: name a signer with --key or --certificate-identity")
    );
    for line in Summary::of(&stated.statement).iter().flat_map(Summary::lines) {
        eprintln!("  {line}");
    }
    let value: serde_json::Value = serde_json::from_slice(&stated.statement.bytes)?;
    println!("{value:#}");
    Ok(())
}

fn json(stated: &[Stated]) -> Result<(), serde_json::Error> {
    let shown = stated.iter().map(|one| {
        Ok(Shown {
            place: one.place.to_string(),
            verified: one.signer.is_some(),
            signer: one.signer.as_deref(),
            predicate_type: &one.statement.predicate_type,
            summary: Summary::of(&one.statement),
            statement: serde_json::from_slice(&one.statement.bytes)?,
        })
    });
    println!("{}", serde_json::to_string_pretty(&shown.collect::<Result<Vec<_>, serde_json::Error>>()?)?);
    Ok(())
}
