//! What was asked of which service, and what to do when it refuses that: each vendor has its own names for rights, keys and
//! commands.

use std::fmt;

use url::Url;

/// Whose service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    /// Amazon's.
    Aws,
    /// Google's.
    Google,
    /// Microsoft's.
    Azure,
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// The versions of a key.
    List,
    /// The public half of a key.
    Read,
    /// A signature.
    Sign,
}

/// One thing that was asked; all of it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Of whose service.
    pub vendor: Vendor,
    /// What was asked.
    pub operation: Operation,
    /// The URI of the key.
    pub key: String,
    /// Its host.
    pub(super) host: String,
    /// The same as runs wait for it.
    pub(super) origin: String,
}

impl Asked {
    pub(super) fn of(vendor: Vendor, address: &Url, operation: Operation, key: &str) -> Self {
        let name = address.host_str().unwrap_or_default();
        let host = address.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        let origin = address.origin().ascii_serialization();
        Self { vendor, operation, key: key.to_owned(), host, origin }
    }

    pub(super) fn service(&self) -> String {
        let name = match self.vendor {
            Vendor::Aws => "AWS KMS",
            Vendor::Google => "Google Cloud KMS",
            Vendor::Azure => "Azure Key Vault",
        };
        format!("{name} at {}", self.host)
    }

    pub(super) fn what(&self) -> String {
        match self.operation {
            Operation::List => format!("list the versions of {}", self.key),
            Operation::Read => format!("read the public half of {}", self.key),
            Operation::Sign => format!("sign with {}", self.key),
        }
    }

    pub(super) fn permission(&self) -> &'static str {
        match (self.vendor, self.operation) {
            (Vendor::Aws, _) => {
                "allow kms:GetPublicKey and kms:Sign on this key, in its key policy and in a policy of the agent's identity"
            }
            (Vendor::Google, Operation::List) => {
                "grant the agent's identity roles/cloudkms.viewer on the key, or name the version: …/cryptoKeyVersions/1"
            }
            (Vendor::Google, _) => "grant the agent's identity roles/cloudkms.signerVerifier on the key",
            (Vendor::Azure, _) => {
                "give the agent's identity the role Key Vault Crypto User on the vault, or an access policy with get and sign; \
                 see that the vault's firewall lets it in"
            }
        }
    }

    pub(super) fn making(&self) -> &'static str {
        match self.vendor {
            Vendor::Aws => {
                "see that id, region and account are right, or make one: aws kms create-key --key-usage SIGN_VERIFY \
                 --key-spec ECC_NIST_P256"
            }
            Vendor::Google => {
                "see that project, location, key ring and key are right, or make one: gcloud kms keys create KEY \
                 --purpose asymmetric-signing --default-algorithm ec-sign-p256-sha256"
            }
            Vendor::Azure => {
                "see that vault, key and version are right, or make one: az keyvault key create --kty EC --curve P-256 \
                 --ops sign verify"
            }
        }
    }

    pub(super) fn enabling(&self) -> &'static str {
        match self.vendor {
            Vendor::Aws => {
                "enable it: aws kms enable-key; one that is to be deleted: aws kms cancel-key-deletion"
            }
            Vendor::Google => "enable a version: gcloud kms keys versions enable",
            Vendor::Azure => {
                "enable it: az keyvault key set-attributes --enabled true; see that it has not expired"
            }
        }
    }

    pub(super) fn another(&self) -> &'static str {
        match self.vendor {
            Vendor::Aws => {
                "use a key with usage SIGN_VERIFY and spec ECC_NIST_P256, P384 or P521, or RSA_2048 to RSA_4096"
            }
            Vendor::Google => {
                "use a key with purpose asymmetric-signing and algorithm ec-sign-p256-sha256, ec-sign-p384-sha384 or \
                 rsa-sign-pkcs1-…"
            }
            Vendor::Azure => "use a key of type EC (P-256, P-384, P-521) or RSA that is allowed to sign",
        }
    }

    pub(super) fn identity(&self) -> &'static str {
        match self.vendor {
            Vendor::Aws => "see that the agent's role or access key is current, and that the clock is right",
            Vendor::Google => "see that the agent's service account is enabled, and that the clock is right",
            Vendor::Azure => {
                "see that the vault is of the tenant of the agent's identity, and that the clock is right"
            }
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.service(), self.what())
    }
}
