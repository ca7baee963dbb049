//! `hallmark keys generate`.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::secret::{COSIGN_KEY, COSIGN_PASSWORD, COSIGN_PUB, Name, Place, Stored, X509};
use crate::cli::output::OutputOption;
use crate::cli::{Exit, fail, private_file, refuse};
use crate::signature::key::generated::GeneratedKey;

/// More is no password.
const LONGEST_PASSWORD: u64 = 4096;

/// Where the pair goes, and what it is encrypted by.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark keys generate --secret tekton-chains/signing-secrets
  hallmark keys generate --directory keys
  COSIGN_PASSWORD=... hallmark keys generate --directory keys

The pair is ECDSA P-256, encrypted as cosign does it: cosign signs with cosign.key and verifies with cosign.pub.
Without a password one is made; in a Secret it lies beside the key, else it is written to cosign.password.

Exit codes: 0 the pair is there; 1 there is a key already, or it cannot be written; 2 usage; 4 the API server cannot be
reached.")]
pub struct Arguments {
    /// Write the pair into this Secret; cosign.pub is printed.
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with = "directory")]
    secret: Option<Name>,

    /// Write cosign.key, cosign.pub and cosign.password into this directory.
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    directory: PathBuf,

    /// Password of the key; without it one is made.
    #[arg(long, env = "COSIGN_PASSWORD", hide_env_values = true, hide = true)]
    password: Option<String>,

    /// Read the password from standard input, byte for byte.
    #[arg(long, conflicts_with = "password")]
    password_stdin: bool,

    /// Kubeconfig file; without it $KUBECONFIG, then the pod's own service account.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    #[command(flatten)]
    output: OutputOption,
}

/// The three files.
struct Pair {
    key: Zeroizing<String>,
    password: Zeroizing<Vec<u8>>,
    public: String,
}

/// Makes a key pair.
pub(super) async fn run(arguments: Arguments) -> Exit {
    let password = match password(&arguments) {
        Ok(password) => password,
        Err(error) => return refuse(&error, Exit::Failed),
    };
    let output = arguments.output;
    match arguments.secret {
        Some(secret) => {
            into_secret(&Place { secret, kubeconfig: arguments.kubeconfig }, password, output).await
        }
        None => into_directory(&arguments.directory, password, output).await,
    }
}

async fn into_secret(place: &Place, password: Zeroizing<Vec<u8>>, output: OutputOption) -> Exit {
    let stored = match place.read().await {
        Ok(stored) => stored,
        Err(exit) => return exit,
    };
    if let Some(file) = holds_a_key(&stored) {
        eprintln!("hallmark: Secret {} has a signing key already: {file}", place.secret);
        eprintln!("  replace it without a gap: hallmark keys rotate --secret {}", place.secret);
        return Exit::Failed;
    }
    let Some(pair) = pair(password).await else { return no_randomness() };
    let bytes = |text: &str| Some(Zeroizing::new(text.as_bytes().to_vec()));
    let changes = vec![
        (COSIGN_KEY, bytes(&pair.key)),
        (COSIGN_PASSWORD, Some(pair.password.clone())),
        (COSIGN_PUB, bytes(&pair.public)),
    ];
    match stored.change(changes).await {
        Ok(()) => {
            eprintln!("Secret {} has a new key; what verifies with it:", place.secret);
            let told = json!({"secret": place.secret.to_string(), "publicKey": pair.public});
            output.print(&pair.public, &told);
            Exit::Ok
        }
        Err(error) => fail(&error),
    }
}

/// A file of the Secret that signs.
fn holds_a_key(stored: &Stored) -> Option<&str> {
    let is_key =
        |name: &&String| name.as_str() == COSIGN_KEY || name.as_str() == X509 || name.starts_with("x509-");
    stored.files.keys().filter(|name| stored.has(name)).find(is_key).map(String::as_str)
}

async fn into_directory(directory: &Path, password: Zeroizing<Vec<u8>>, output: OutputOption) -> Exit {
    let names = [COSIGN_KEY, COSIGN_PASSWORD, COSIGN_PUB];
    if let Some(file) = names.into_iter().map(|name| directory.join(name)).find(|path| path.exists()) {
        eprintln!("hallmark: {} is there already, and is not overwritten", file.display());
        return Exit::Failed;
    }
    let Some(pair) = pair(password).await else { return no_randomness() };
    // Always text: it was made here, or came from a variable; from standard input it may not be.
    let Ok(password) = std::str::from_utf8(&pair.password) else {
        eprintln!("hallmark: a password for files must be text");
        return Exit::Failed;
    };
    let contents: [&str; 3] = [&pair.key, password, &pair.public];
    let paths = names.map(|name| directory.join(name));
    for (path, content) in paths.iter().zip(contents) {
        if let Err(error) = private_file::write(path, content) {
            eprintln!("hallmark: cannot write {}", path.display());
            return refuse(&error, Exit::Failed);
        }
    }
    let lines: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    output.print(lines.join("\n") + "\n", &json!({"files": paths, "publicKey": pair.public}));
    Exit::Ok
}

/// Encrypting takes its time, on purpose.
async fn pair(password: Zeroizing<Vec<u8>>) -> Option<Pair> {
    let made = tokio::task::spawn_blocking(move || {
        let key = GeneratedKey::new()?;
        Some(Pair { key: key.to_cosign(&password)?, public: key.public_key().to_pem(), password })
    });
    made.await.ok().flatten()
}

fn no_randomness() -> Exit {
    eprintln!("hallmark: cannot make a key: the system yields no randomness");
    Exit::Failed
}

fn password(arguments: &Arguments) -> std::io::Result<Zeroizing<Vec<u8>>> {
    if let Some(password) = &arguments.password {
        return Ok(Zeroizing::new(password.as_bytes().to_vec()));
    }
    let mut content = Zeroizing::new(Vec::with_capacity(256));
    if arguments.password_stdin {
        if std::io::stdin().is_terminal() {
            eprintln!("the password is read to the end of the input; it is shown while you type");
        }
        std::io::stdin().take(LONGEST_PASSWORD).read_to_end(&mut content)?;
        return Ok(content);
    }
    let mut random = Zeroizing::new([0; 24]);
    let unrandom = |_| std::io::Error::other("the system yields no randomness");
    SystemRandom::new().fill(random.as_mut()).map_err(unrandom)?;
    content.extend_from_slice(Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(*random)).as_bytes());
    Ok(content)
}
