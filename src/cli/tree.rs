//! `hallmark tree`: what hangs on an image, who signed each and when, with a summary of the provenance.
//!
//! Without a signer on the command line nothing is verified, and everything that is shown is said to be a claim.

mod output;
pub(super) mod summary;

use clap::Args;

use super::Exit;
use super::output::Output;
use super::progress::Progress;
use super::verify::{AccessOptions, Named, SignerOptions};
use crate::artifact::image::Image;
use crate::policy::check::{Flaw, Statement, Verified, unverified_statement};
use crate::policy::material::{Found, Kind};
use crate::policy::reference::Reference;
use crate::policy::verification::Attached;

/// Show what hangs on an image: signatures, attestations and other referrers, and who signed them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark tree registry.example/team/app:v1
  hallmark tree registry.example/team/app:v1 --key cosign.pub
  hallmark tree registry.example/team/app:v1 -o json

Exit codes: 0 shown; 2 usage; 3 no such image, or not authorised to look; 4 it could not be decided.")]
pub struct Arguments {
    /// The image, by tag or digest.
    #[arg(value_name = "IMAGE")]
    image: Reference,

    #[command(flatten)]
    signers: SignerOptions,

    #[command(flatten)]
    access: AccessOptions,

    /// What to print.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// An image with everything that hangs on it.
struct Tree {
    image: Image,
    branches: Vec<Branch>,
}

struct Branch {
    attached: Attached,
    leaves: Vec<Leaf>,
}

/// One signature or attestation.
struct Leaf {
    found: Found,
    /// The result of its check, where somebody is trusted.
    checked: Option<Result<Verified, Flaw>>,
    /// What it says, verified or not.
    statement: Option<Statement>,
}

/// Runs the command.
pub async fn run(arguments: Arguments) -> Exit {
    let tree = match grow(&arguments).await {
        Ok(tree) => tree,
        Err(exit) => return exit,
    };
    match arguments.output {
        Output::Text => output::text(&tree),
        Output::Json => output::json(&tree),
    }
    Exit::Ok
}

async fn grow(arguments: &Arguments) -> Result<Tree, Exit> {
    let access = arguments.access.open(Named::default()).await?;
    let trusted = arguments.signers.trusted(access.trust(), arguments.access.registries()).await?;
    let progress = Progress::of(format!("reading what hangs on {}", arguments.image.written()));
    let (image, attached) = progress.during(access.attached(&arguments.image)).await?;
    let branches = attached.into_iter().map(|attached| {
        let leaves = attached.found.iter().map(|found| {
            let checked = trusted.as_ref().map(|trusted| access.check(found, &image, trusted));
            Leaf { found: found.clone(), checked, statement: claimed(found, &image) }
        });
        Branch { leaves: leaves.collect(), attached }
    });
    Ok(Tree { branches: branches.collect(), image })
}

fn claimed(found: &Found, image: &Image) -> Option<Statement> {
    let material = found.content.as_ref().ok().filter(|material| material.kind() == Kind::Attestation)?;
    unverified_statement(material, &image.digest).ok()
}
