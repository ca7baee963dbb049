//! `hallmark verify`: whether images are signed by whom they should be (credentials specification §8.6).
//!
//! What the options ask for is made into a policy, so that the command and admission come to the same answer by the
//! same way.

mod access;
pub(super) mod output;
mod policies;
mod signers;

use std::path::PathBuf;

use clap::Args;

use super::Exit;
use super::output::Output;
use super::progress::Progress;
use crate::config::NoMatch;
use crate::policy::ClusterImagePolicy;
use crate::policy::evaluation::Standing;
use crate::policy::predicate;
use crate::policy::reference::Reference;
use crate::policy::verification::Outcome;

pub(super) use access::{Access, AccessOptions};
pub(super) use policies::{Named, PolicyFile};
pub(super) use signers::SignerOptions;

/// Verify that images are signed, or attested, by whom they should be.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark verify registry.example/team/app:v1 --key cosign.pub
  hallmark verify registry.example/team/app:v1 --key cosign.pub --type slsaprovenance
  hallmark verify registry.example/team/app:v1 --trusted-root trusted_root.json \\
    --certificate-identity https://kubernetes.io/namespaces/tekton-chains/serviceaccounts/tekton-chains-controller \\
    --certificate-oidc-issuer https://kubernetes.default.svc.cluster.local
  hallmark verify registry.example/team/app:v1 --key hashivault://hallmark
  hallmark verify registry.example/team/app:v1 --policy policy.yaml -o json

Exit codes: 0 verified; 2 usage; 3 not verified, or not authorised to look; 4 it could not be decided.")]
pub struct Arguments {
    /// The images, by tag or digest.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<Reference>,

    #[command(flatten)]
    signers: SignerOptions,

    /// Attestations of this predicate type instead of a signature: a short name such as slsaprovenance, or a URI.
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "policy")]
    types: Vec<String>,

    /// Manifests of ClusterImagePolicies, with the Secrets of keys and the trust roots that they name.
    #[arg(long, value_name = "FILE", conflicts_with = "signer")]
    policy: Vec<PathBuf>,

    #[command(flatten)]
    access: AccessOptions,

    /// What to print.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// An image with what became of it.
pub(super) struct Verified {
    pub(super) reference: Reference,
    pub(super) outcome: Outcome,
}

/// Runs the command.
pub async fn run(arguments: Arguments) -> Exit {
    match verify(&arguments).await {
        Ok(verified) => {
            match arguments.output {
                Output::Text => output::text(&verified),
                Output::Json => output::json(&verified),
            }
            exit(&verified)
        }
        Err(exit) => exit,
    }
}

async fn verify(arguments: &Arguments) -> Result<Vec<Verified>, Exit> {
    let (policies, named) = if arguments.policy.is_empty() {
        let types: Vec<&str> = arguments.types.iter().map(|name| predicate::uri(name)).collect();
        (vec![arguments.signers.policy(&types, arguments.access.registries()).await?], Named::default())
    } else {
        let file = PolicyFile::read(&arguments.policy)?.sound()?;
        (file.policies, file.named)
    };
    let access = arguments.access.open(named).await?;
    Ok(verify_all(&access, &arguments.images, &policies).await)
}

/// One image after the other.
pub(super) async fn verify_all(
    access: &Access,
    images: &[Reference],
    policies: &[ClusterImagePolicy],
) -> Vec<Verified> {
    let progress = Progress::of_many("verifying", images.len());
    let work = async {
        let mut verified = Vec::new();
        for reference in images {
            let outcome = access.verifier().verify(reference, policies, NoMatch::Deny).await;
            verified.push(Verified { reference: reference.clone(), outcome });
            progress.step();
        }
        verified
    };
    progress.during(work).await
}

/// The worst of all images.
pub(super) fn exit(verified: &[Verified]) -> Exit {
    let worst = verified.iter().map(|one| one.outcome.verdict.standing()).max();
    match worst.unwrap_or(Standing::Satisfied) {
        Standing::Satisfied => Exit::Ok,
        Standing::Undecided => Exit::Temporary,
        Standing::Refused => Exit::Denied,
    }
}
