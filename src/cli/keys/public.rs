//! `hallmark keys public`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::secret::{Name, Place};
use crate::cli::config::configured;
use crate::cli::output::OutputOption;
use crate::cli::registries::RegistryOptions;
use crate::cli::sign::material::{keyring, of_a_service};
use crate::cli::{Exit, environment, fail, refuse};
use crate::client::http::Clients;
use crate::config;
use crate::signature::key::keyring::KeyRing;
use crate::signature::kms::Kms;
use crate::signature::public_key::PublicKey;

/// Whose public key.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark keys public --secret tekton-chains/signing-secrets > cosign.pub
  hallmark keys public --key keys/cosign.key
  hallmark keys public --key hashivault://hallmark
  hallmark keys public --key awskms:///alias/hallmark

The keys come as PEM, the main one first: during a rotation there are two. A key of Vault or OpenBao is reached by
VAULT_ADDR and VAULT_TOKEN, or as the signers.kms keys of --config say; a key of AWS, Google or Azure by the identity that
this process has there.

Exit codes: 0 printed; 1 there is no key, or it cannot be read; 2 usage; 4 the server that has it cannot be reached.")]
pub struct Arguments {
    /// A PEM or cosign.key file, a directory with the files of the Secret, or a key of a key management service:
    /// `hashivault://NAME`, `awskms://…`, `gcpkms://…`, `azurekms://…`.
    #[arg(long, value_name = "FILE|URI", required_unless_present_any = ["secret", "config"])]
    key: Option<PathBuf>,

    /// The Secret with the keys.
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with = "key")]
    secret: Option<Name>,

    /// ConfigMap file with the keys signers.kms.*; without --key, signers.kms.kmsref is the key.
    #[arg(long, value_name = "FILE", conflicts_with = "secret")]
    config: Option<PathBuf>,

    /// Password of a cosign.key.
    #[arg(long, env = "COSIGN_PASSWORD", hide_env_values = true, hide = true)]
    password: Option<String>,

    #[command(flatten)]
    registries: RegistryOptions,

    /// Kubeconfig file; without it $KUBECONFIG, then the pod's own service account.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    #[command(flatten)]
    output: OutputOption,
}

/// Prints the public keys.
pub(super) async fn run(arguments: Arguments) -> Exit {
    let output = arguments.output;
    match keys(arguments).await {
        Ok(keys) => {
            let pems: Vec<String> = keys.iter().map(PublicKey::to_pem).collect();
            output.print(pems.concat(), &json!({"publicKeys": pems}));
            Exit::Ok
        }
        Err(exit) => exit,
    }
}

/// The main one first.
async fn keys(arguments: Arguments) -> Result<Vec<PublicKey>, Exit> {
    if let Some(secret) = arguments.secret {
        let place = Place { secret, kubeconfig: arguments.kubeconfig };
        let stored = place.read().await?;
        return of_files(place.secret.to_string(), stored.files).await;
    }
    match (&arguments.key, &arguments.config) {
        (Some(key), _) if of_a_service(key).is_none() => keyring(key, arguments.password.as_deref())
            .map(|ring| of_ring(&ring))
            .map_err(|error| fail(&error)),
        (key, config) => of_service(key.as_deref(), config.as_deref(), &arguments.registries).await,
    }
}

/// The key of a key management service.
async fn of_service(
    key: Option<&Path>,
    file: Option<&Path>,
    registries: &RegistryOptions,
) -> Result<Vec<PublicKey>, Exit> {
    let config = file.map(configured).transpose()?.unwrap_or_default();
    let named = key.map(|key| key.to_string_lossy().into_owned());
    let settings =
        config::Kms { key: named.or(config.signers.kms.key.clone()), ..config.signers.kms.clone() };
    Ok(vec![public_key(&settings, registries).await?])
}

/// The public half of a key that a key management service has.
///
/// # Errors
///
/// It is none of a service that is known, or the service cannot be reached or refuses; what is wrong has been printed.
pub(in crate::cli) async fn public_key(
    settings: &config::Kms,
    registries: &RegistryOptions,
) -> Result<PublicKey, Exit> {
    let registries = registries.read().map_err(|error| fail(&error))?;
    let kms = Kms::of(settings, &registries, &Clients::default(), &environment::kms());
    kms.map_err(|error| fail(&error))?.public_key().await.map_err(|error| fail(&error))
}

async fn of_files(place: String, files: BTreeMap<String, Vec<u8>>) -> Result<Vec<PublicKey>, Exit> {
    // Decrypting a key takes its time.
    match tokio::task::spawn_blocking(move || KeyRing::import(&place, &files)).await {
        Ok(Ok(ring)) => Ok(of_ring(&ring)),
        Ok(Err(error)) => Err(fail(&error)),
        Err(error) => Err(refuse(&error, Exit::Failed)),
    }
}

fn of_ring(ring: &KeyRing) -> Vec<PublicKey> {
    ring.keys().iter().map(|key| key.public_key().clone()).collect()
}
