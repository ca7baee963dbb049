//! From where a token of Vault or `OpenBao` comes: from whoever set it, out of a file, or for a JWT (Chains specification
//! §5.3).
//!
//! Guarantees: files with tokens and JWTs are read anew for each login, since whoever projects them replaces them; they are
//! read up to 64 KiB, and never shown.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Failure, failure};
use crate::client::vault::{Error, Lease, Vault};
use crate::config;
use crate::credential::Redacted;
use crate::error::{About, Class, Diagnose};
use crate::identity::TokenSource as _;
use crate::identity::spiffe::WorkloadApi;

/// Where JWT authentication is mounted when nobody says.
const USUAL_PATH: &str = "jwt";
/// A token or JWT is never longer.
const LARGEST_FILE: u64 = 64 * 1024;

/// What the environment says of Vault; the ConfigMap comes first.
#[derive(Debug, Clone, Default)]
pub struct VaultVariables {
    /// `VAULT_ADDR` or `BAO_ADDR`.
    pub address: Option<String>,
    /// `VAULT_TOKEN` or `BAO_TOKEN`.
    pub token: Option<Redacted>,
    /// `~/.vault-token`, which `vault login` writes.
    pub token_file: Option<PathBuf>,
    /// `VAULT_NAMESPACE` or `BAO_NAMESPACE`.
    pub namespace: Option<String>,
    /// `TRANSIT_SECRET_ENGINE_PATH`.
    pub mount: Option<String>,
}

/// From where a token comes.
pub(super) enum Login {
    /// It is given.
    Token(Redacted),
    /// It lies in a file.
    File(PathBuf),
    /// It is got for a JWT.
    Jwt { path: String, role: String, source: Jwt },
}

/// From where a JWT comes.
pub(super) enum Jwt {
    File(PathBuf),
    Svid { source: WorkloadApi, audience: String },
}

/// Why there is no token to begin with.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoLogin {
    /// Nothing says how to log in.
    #[error("nothing says how to log in to Vault")]
    Unset,
    /// SPIRE's SVIDs are for an audience and a role.
    #[error("{0} is not set, which logging in to Vault with a SPIFFE identity needs")]
    Incomplete(&'static str),
    /// The file cannot be read.
    #[error("cannot read {}, which {key} names", file.display())]
    File {
        key: &'static str,
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Nothing is in the file.
    #[error("{} is empty, which {key} names", file.display())]
    Empty { key: &'static str, file: PathBuf },
}

impl Diagnose for NoLogin {
    fn class(&self) -> Class {
        match self {
            Self::File { source, .. } if source.kind() != ErrorKind::NotFound => Class::Temporary,
            _ => Class::Misconfigured,
        }
    }

    fn label(&self) -> &'static str {
        "kms_login"
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unset => Some(
                "set signers.kms.auth.oidc.role (and .path), signers.kms.auth.token-path, or \
                 signers.kms.auth.spire.sock"
                    .to_owned(),
            ),
            Self::Incomplete(key) => Some(format!("set {key}")),
            Self::File { .. } | Self::Empty { .. } => None,
        }
    }

    fn about(&self) -> Option<About> {
        match self {
            Self::File { file, .. } | Self::Empty { file, .. } => {
                Some(About { kind: "file", name: file.display().to_string() })
            }
            Self::Unset | Self::Incomplete(_) => None,
        }
    }
}

const TOKEN_KEY: &str = "signers.kms.auth.token-path";
const JWT_KEY: &str = "signers.kms.auth.oidc.token-path";

impl Login {
    /// A SPIFFE identity beats a token, and a token beats a JWT, as in Chains; the environment comes last.
    pub(super) fn of(settings: &config::Kms, surroundings: &VaultVariables) -> Result<Self, NoLogin> {
        let path = || settings.oidc_path.clone().unwrap_or_else(|| USUAL_PATH.to_owned());
        if let Some(socket) = &settings.spire_socket {
            let missing = |key| move || NoLogin::Incomplete(key);
            let audience = settings.spire_audience.clone();
            let audience = audience.ok_or_else(missing("signers.kms.auth.spire.audience"))?;
            let role = settings.oidc_role.clone().ok_or_else(missing("signers.kms.auth.oidc.role"))?;
            let source = Jwt::Svid { source: WorkloadApi::at(socket), audience };
            return Ok(Self::Jwt { path: path(), role, source });
        }
        if let Some(file) = &settings.token_path {
            return Ok(Self::File(file.clone()));
        }
        if !settings.token.reveal().is_empty() {
            return Ok(Self::Token(Redacted::from(settings.token.reveal())));
        }
        if let Some(role) = settings.oidc_role.clone() {
            let source = Jwt::File(settings.oidc_token_path.clone());
            return Ok(Self::Jwt { path: path(), role, source });
        }
        if let Some(token) = &surroundings.token {
            return Ok(Self::Token(token.clone()));
        }
        let kept = surroundings.token_file.clone().filter(|file| file.exists());
        kept.map(Self::File).ok_or(NoLogin::Unset)
    }

    /// A token, as it is now.
    pub(super) async fn lease(&self, vault: &Vault) -> Result<Lease, Failure> {
        match self {
            Self::Token(token) => given(vault, token.clone()).await,
            Self::File(path) => given(vault, file(TOKEN_KEY, path).await.map_err(failure)?).await,
            Self::Jwt { path, role, source } => {
                let jwt = match source {
                    Jwt::File(path) => file(JWT_KEY, path).await.map_err(failure)?,
                    Jwt::Svid { source, audience } => {
                        let token = source.token(audience).await.map_err(failure)?;
                        Redacted::from(token.reveal())
                    }
                };
                vault.login(path, role, &jwt).await.map_err(failure)
            }
        }
    }
}

/// A token that somebody else got. One that may not be asked about is taken to live for ever.
async fn given(vault: &Vault, token: Redacted) -> Result<Lease, Failure> {
    match vault.look_up(&token).await {
        Err(Error::Denied { .. }) => Ok(Lease { token, lasts: None, renewable: false }),
        lease => lease.map_err(failure),
    }
}

async fn file(key: &'static str, path: &Path) -> Result<Redacted, NoLogin> {
    use tokio::io::AsyncReadExt as _;
    let unread = |source| NoLogin::File { key, file: path.to_owned(), source };
    let mut content = Zeroizing::new(Vec::with_capacity(8 * 1024));
    let opened = tokio::fs::File::open(path).await.map_err(unread)?;
    opened.take(LARGEST_FILE).read_to_end(&mut content).await.map_err(unread)?;
    let secret = Redacted::from(content.trim_ascii());
    if secret.is_empty() {
        return Err(NoLogin::Empty { key, file: path.to_owned() });
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Secret};

    fn login(change: impl Fn(&mut config::Kms), surroundings: &VaultVariables) -> String {
        let mut settings = Config::default().signers.kms;
        change(&mut settings);
        match Login::of(&settings, surroundings) {
            Ok(Login::Token(token)) => format!("token {}", token.expose_text()),
            Ok(Login::File(file)) => format!("file {}", file.display()),
            Ok(Login::Jwt { path, role, source: Jwt::File(file) }) => {
                format!("{} at {path} as {role}", file.display())
            }
            Ok(Login::Jwt { path, role, source: Jwt::Svid { audience, .. } }) => {
                format!("SVID for {audience} at {path} as {role}")
            }
            Err(error) => format!("{error}; {}", error.hint().unwrap_or_default()),
        }
    }

    #[test]
    fn a_spiffe_identity_beats_tokens_and_those_beat_a_jwt_and_that_beats_the_environment() {
        let around = VaultVariables { token: Some("around".into()), ..VaultVariables::default() };
        let role = |kms: &mut config::Kms| kms.oidc_role = Some("r".into());
        assert_eq!(login(|_| (), &around), "token around");
        let own = "/var/run/secrets/kubernetes.io/serviceaccount/token";
        assert_eq!(login(role, &around), format!("{own} at jwt as r"));
        let kubernetes = |kms: &mut config::Kms| {
            role(kms);
            kms.oidc_path = Some("kubernetes".into());
        };
        assert_eq!(login(kubernetes, &around), format!("{own} at kubernetes as r"));
        let token = |kms: &mut config::Kms| {
            kubernetes(kms);
            kms.token = Secret::new("set");
        };
        assert_eq!(login(token, &around), "token set");
        let file = |kms: &mut config::Kms| {
            token(kms);
            kms.token_path = Some("/f".into());
        };
        assert_eq!(login(file, &around), "file /f");
        let spire = |kms: &mut config::Kms| {
            file(kms);
            (kms.spire_socket, kms.spire_audience) = (Some("unix:///s".into()), Some("vault".into()));
        };
        assert_eq!(login(spire, &around), "SVID for vault at kubernetes as r");
    }

    #[test]
    fn what_is_missing_is_named() {
        let none = VaultVariables::default();
        assert!(login(|_| (), &none).contains("signers.kms.auth.oidc.role"));
        let socket = |kms: &mut config::Kms| kms.spire_socket = Some("unix:///s".into());
        assert!(login(socket, &none).starts_with("signers.kms.auth.spire.audience is not set"));
    }

    #[tokio::test]
    async fn a_file_is_read_without_the_line_break_at_its_end_and_an_empty_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "s.canary\n").unwrap();
        assert_eq!(file("k", &path).await.unwrap(), Redacted::from("s.canary"));
        std::fs::write(&path, " \n").unwrap();
        let error = file("k", &path).await.unwrap_err();
        assert!(error.to_string().contains("is empty, which k names"), "{error}");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(file("k", &path).await.unwrap_err().class(), Class::Misconfigured);
    }
}
