//! An authority of a policy: who must have signed, and where the signatures lie (credentials specification §8.1).

pub(super) mod read;

use super::identity::Identity;
use super::source::Source;
use crate::signature::public_key::PublicKey;
use crate::signature::trusted_root::TrustedRoot;

/// One authority.
#[derive(Debug, Clone)]
pub struct Authority {
    /// Its name; `authority-<index>` where its author gave none.
    pub name: String,
    /// What it asks for.
    pub demand: Demand,
}

/// What an authority asks for.
#[derive(Debug, Clone)]
pub enum Demand {
    /// Nothing: it passes or fails by itself.
    Static(Static),
    /// A signature, or attestations.
    Signed(Box<Signed>),
}

/// An answer without a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Static {
    /// Every image passes.
    Pass,
    /// No image passes.
    Fail {
        /// Why, in the words of the policy's author.
        message: Option<String>,
    },
}

/// What must be there, and by whom.
#[derive(Debug, Clone)]
pub struct Signed {
    /// Whose signature counts.
    pub signer: Signer,
    /// Where signatures lie; beside the image without it.
    pub source: Option<Source>,
    /// Attestations of which every one must be there; without any, a signature must.
    pub attestations: Vec<Attestation>,
    /// The log that must have the signature.
    pub log: Option<Log>,
    /// A timestamp by one of these authorities must be there.
    pub timestamp: Option<TrustRootName>,
    /// In which form signatures are stored; both without it.
    pub format: Option<Format>,
}

/// Whose signature counts.
#[derive(Debug, Clone)]
pub enum Signer {
    /// That of a key.
    Key(Key),
    /// That of an identity with a certificate.
    Keyless(Keyless),
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// In the policy.
    Public(PublicKey),
    /// In a Secret.
    Secret(SecretName),
    /// In a key management service.
    Kms(String),
}

/// A Secret that a policy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretName {
    /// Its name.
    pub name: String,
    /// Its namespace, where the policy says it.
    pub namespace: Option<String>,
}

/// A certificate for one of some identities.
#[derive(Debug, Clone)]
pub struct Keyless {
    /// Whose certificates count.
    pub root: Root,
    /// Whose names count; at least one.
    pub identities: Vec<Identity>,
    /// Whether a certificate counts that is in no log of certificates.
    pub ignore_sct: bool,
}

/// Whose certificates count.
#[derive(Debug, Clone)]
pub enum Root {
    /// Those of the configured trust root.
    Configured,
    /// Those of the Fulcio at this URL.
    Fulcio(String),
    /// Those of a TrustRoot object.
    Named(TrustRootName),
    /// Those under these authorities.
    Authorities(Box<TrustedRoot>),
    /// Those under the authorities in a Secret.
    Secret(SecretName),
}

/// The name of a TrustRoot object; empty for the configured one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustRootName(pub String);

/// `ctlog`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Where it is.
    pub url: Option<String>,
    /// Whose keys it has.
    pub trust_root: Option<TrustRootName>,
}

/// An attestation that must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// What the policy calls it.
    pub name: String,
    /// Its predicate type, as a URI.
    pub predicate_type: String,
}

/// In which form signatures are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// cosign's tags.
    Legacy,
    /// Sigstore bundles as referrers.
    Bundle,
}
