//! Which key of which service: the URI in `signers.kms.kmsref` (Chains specification §5.3). Pure.

use std::fmt;
use std::str::FromStr;

use crate::error::{Class, Diagnose};

/// A key of a key management service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// Of the transit engine of Vault or `OpenBao`, by its name.
    Vault {
        /// `hashivault://` or `openbao://`.
        scheme: &'static str,
        /// The name.
        key: String,
    },
    /// Of AWS KMS.
    Aws {
        /// Host and port, where it is not the one of the region.
        endpoint: Option<String>,
        /// Its id, its ARN, `alias/NAME` or the ARN of an alias.
        id: String,
    },
    /// Of Google Cloud KMS.
    Google {
        /// `projects/…/locations/…/keyRings/…/cryptoKeys/…`.
        name: String,
        /// The number of its version.
        version: Option<String>,
    },
    /// Of Azure Key Vault or a managed HSM.
    Azure {
        /// The host of the vault.
        vault: String,
        /// The name.
        key: String,
        /// Its version.
        version: Option<String>,
    },
    /// Of a PKCS #11 module.
    Pkcs11(String),
}

/// Why a text is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReferenceError {
    /// Nothing is set.
    #[error("signers.kms.kmsref names no key")]
    Missing,
    /// A service that is not in this build.
    #[error("signers.kms.kmsref {0:?} is of a key management service that is not in this build")]
    Scheme(String),
    /// Not written as keys of the service are.
    #[error("signers.kms.kmsref {text:?} names no key: write it as {form}")]
    Form {
        /// What was written.
        text: String,
        /// How keys of this service are written.
        form: &'static str,
    },
}

impl Diagnose for ReferenceError {
    fn class(&self) -> Class {
        Class::Misconfigured
    }

    fn label(&self) -> &'static str {
        "kms_address"
    }

    fn hint(&self) -> Option<String> {
        let known = [VAULT, BAO, AWS, GOOGLE, AZURE].join(", ");
        match self {
            Self::Missing | Self::Scheme(_) => Some(format!("set signers.kms.kmsref to one of {known}")),
            Self::Form { .. } => None,
        }
    }
}

const VAULT: &str = "hashivault://KEY";
const BAO: &str = "openbao://KEY";
const AWS: &str = "awskms://[ENDPOINT]/ID, where ID is a key id, alias/NAME or an ARN of KMS";
const GOOGLE: &str = "gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K[/cryptoKeyVersions/NUMBER]";
const AZURE: &str = "azurekms://NAME.vault.azure.net/KEY[/VERSION]";

/// What keys of a service begin with, how they are written, and who reads the rest.
type Service = (&'static str, &'static str, fn(&str) -> Option<Reference>);

const SERVICES: [Service; 5] = [
    ("hashivault://", VAULT, |key| vault("hashivault://", key)),
    ("openbao://", BAO, |key| vault("openbao://", key)),
    ("awskms://", AWS, aws),
    ("gcpkms://", GOOGLE, google),
    ("azurekms://", AZURE, azure),
];

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let shown = || text.chars().take(200).collect();
        if text.starts_with("pkcs11:") {
            return Ok(Self::Pkcs11(text.to_owned()));
        }
        let found =
            SERVICES.into_iter().find_map(|(scheme, form, of)| Some((text.strip_prefix(scheme)?, form, of)));
        let (rest, form, of) = found.ok_or_else(|| ReferenceError::Scheme(shown()))?;
        of(rest).ok_or_else(|| ReferenceError::Form { text: shown(), form })
    }
}

fn vault(scheme: &'static str, key: &str) -> Option<Reference> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let inner = |c: char| is_word(c) || matches!(c, '-' | '.');
    let good = key.starts_with(is_word) && key.ends_with(is_word) && key.chars().all(inner);
    good.then(|| Reference::Vault { scheme, key: key.to_owned() })
}

fn aws(text: &str) -> Option<Reference> {
    let (endpoint, id) = text.split_once('/')?;
    let is_host = endpoint.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':'));
    let is_name = |name: &str| is_part(name, "-_/") && !name.starts_with('/');
    let is_local = |id: &str| id.strip_prefix("alias/").map_or_else(|| is_part(id, "-"), is_name);
    let good = match id.strip_prefix("arn:") {
        Some(arn) => match arn.splitn(5, ':').collect::<Vec<_>>().as_slice() {
            [partition, "kms", region, account, resource] => {
                let resource = resource.strip_prefix("key/").is_some_and(|id| is_part(id, "-"))
                    || resource.strip_prefix("alias/").is_some_and(is_name);
                is_part(partition, "-") && is_part(region, "-") && is_part(account, "") && resource
            }
            _ => false,
        },
        None => is_local(id),
    };
    let endpoint = Some(endpoint.to_owned()).filter(|endpoint| !endpoint.is_empty());
    (is_host && good).then(|| Reference::Aws { endpoint, id: id.to_owned() })
}

fn google(text: &str) -> Option<Reference> {
    let parts: Vec<&str> = text.split('/').collect();
    let (key, version) = parts.split_at_checked(8)?;
    let ["projects", project, "locations", location, "keyRings", ring, "cryptoKeys", name] = key else {
        return None;
    };
    let good = is_part(project, "-_.:") && [location, ring, name].iter().all(|part| is_part(part, "-_"));
    let version = match version {
        [] => None,
        ["cryptoKeyVersions" | "versions", number] if is_number(number) => Some((*number).to_owned()),
        _ => return None,
    };
    good.then(|| Reference::Google { name: key.join("/"), version })
}

fn azure(text: &str) -> Option<Reference> {
    let mut parts = text.split('/');
    let (vault, key, version) = (parts.next()?, parts.next()?, parts.next().filter(|part| !part.is_empty()));
    let good =
        is_part(vault, "-.") && is_part(key, "-") && version.is_none_or(|version| is_part(version, ""));
    let whole = good && parts.next().is_none();
    let (vault, key, version) = (vault.to_ascii_lowercase(), key.to_owned(), version.map(str::to_owned));
    whole.then_some(Reference::Azure { vault, key, version })
}

fn is_number(text: &str) -> bool {
    (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A part of a name that can be nothing else in an address: letters, digits and some more.
fn is_part(text: &str, more: &str) -> bool {
    let is_of_part = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
    !text.is_empty() && text.len() <= 300 && text.chars().all(is_of_part) && !text.contains("..")
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vault { scheme, key } => write!(f, "{scheme}{key}"),
            Self::Aws { endpoint, id } => {
                write!(f, "awskms://{}/{id}", endpoint.as_deref().unwrap_or_default())
            }
            Self::Google { name, version: None } => write!(f, "gcpkms://{name}"),
            Self::Google { name, version: Some(number) } => {
                write!(f, "gcpkms://{name}/cryptoKeyVersions/{number}")
            }
            Self::Azure { vault, key, version: None } => write!(f, "azurekms://{vault}/{key}"),
            Self::Azure { vault, key, version: Some(version) } => {
                write!(f, "azurekms://{vault}/{key}/{version}")
            }
            // Never its attributes: a PIN may be among them.
            Self::Pkcs11(uri) => f.write_str(uri.split_once('?').map_or(uri, |(path, _)| path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KMS_SCHEMES;

    const GCP: &str = "gcpkms://projects/example.com:p/locations/global/keyRings/r/cryptoKeys/k";

    #[test]
    fn keys_of_every_service_are_read_and_shown_alike() {
        for text in [
            "hashivault://k",
            "openbao://team-1.release_2",
            "awskms:///alias/team/release",
            "awskms:///1234abcd-12ab-34cd-56ef-1234567890ab",
            "awskms://kms.us-east-1.amazonaws.com/mrk-0123",
            "awskms://localhost:4566/arn:aws:kms:us-east-2:111122223333:key/1234abcd-12ab",
            "awskms:///arn:aws-cn:kms:cn-north-1:111122223333:alias/release",
            GCP,
            &format!("{GCP}/cryptoKeyVersions/12"),
            "azurekms://team.vault.azure.net/release",
            "azurekms://team.managedhsm.azure.net/release/0123456789abcdef",
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
            assert!(KMS_SCHEMES.iter().any(|scheme| text.starts_with(scheme)));
        }
        let short: Reference = format!("{GCP}/versions/12").parse().unwrap();
        assert_eq!(short, format!("{GCP}/cryptoKeyVersions/12").parse().unwrap());
    }

    #[test]
    fn what_is_no_key_of_its_service_is_told_with_the_form_that_it_has() {
        let wrong = |text: &str| text.parse::<Reference>().unwrap_err();
        for text in ["file:///k", "k", "", "azurekms:x"] {
            assert_eq!(wrong(text), ReferenceError::Scheme(text.to_owned()));
            assert!(wrong(text).hint().unwrap().contains("hashivault://KEY"));
        }
        for text in [
            "hashivault://",
            "hashivault://a/b",
            "hashivault://-a",
            "hashivault://a.",
            "openbao://a b",
            "awskms://",
            "awskms://k",
            "awskms:///",
            "awskms:///alias/",
            "awskms:///alias//k",
            "awskms:///a/b",
            "awskms://evil@host/k",
            "awskms:///arn:aws:s3:us-east-1:111122223333:key/k",
            "awskms:///arn:aws:kms:us-east-1:111122223333:k",
            "gcpkms://projects/p",
            &format!("{GCP}/cryptoKeyVersions/x"),
            &format!("{GCP}/cryptoKeyVersions/"),
            &format!("{GCP}/cryptoKeyVersions/1/2"),
            &GCP.replace("global", "a?b"),
            &GCP.replace("global", ".."),
            "azurekms://team.vault.azure.net",
            "azurekms://team.vault.azure.net:1/k",
            "azurekms://team.vault.azure.net/k/v/w",
            "azurekms://a@b/k",
        ] {
            let error = wrong(text);
            assert!(matches!(error, ReferenceError::Form { .. }), "{text}: {error}");
            assert!(error.to_string().contains("write it as"), "{error}");
        }
    }

    #[test]
    fn a_pin_is_not_shown() {
        let reference: Reference = "pkcs11:token=t;object=k?pin-value=canary".parse().unwrap();
        assert_eq!(reference.to_string(), "pkcs11:token=t;object=k");
    }
}
