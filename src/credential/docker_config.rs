//! Docker configs, as Secrets carry them and as files hold them: entries and problems (credentials specification §2).
//!
//! Total: whatever the bytes are, the result is entries and problems, and one bad entry never hides a good one.
//! No problem repeats a value: parser messages are reduced to line and column, keys lose userinfo and query.
//!
//! Must not execute or look up anything that a document names; helpers named in a file are handed to the caller,
//! those named in a Secret are problems (R8).

pub(in crate::credential) mod auth;
mod document;
mod field;
mod reader;

use std::collections::BTreeMap;

use self::reader::Reader;
use super::{Entry, Location, Problem, SecretRef, Source};

/// A Secret as the API server returned it; values are already decoded from base64.
#[derive(Clone, Copy)]
pub struct Secret<'a> {
    /// Which one.
    pub reference: &'a SecretRef,
    /// `type`; empty means `Opaque`.
    pub kind: &'a str,
    /// `data`.
    pub data: &'a BTreeMap<String, Vec<u8>>,
    /// `metadata.annotations`.
    pub annotations: &'a BTreeMap<String, String>,
}

/// What a Secret or file had to offer.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Usable entries, in the byte order of their keys.
    pub entries: Vec<Entry>,
    /// Defects.
    pub problems: Vec<Problem>,
    /// Credential helpers that the document names.
    pub helpers: Helpers,
}

/// Credential helpers named by a docker config.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Helpers {
    /// `credsStore`: for every registry.
    pub default: Option<String>,
    /// `credHelpers`: by registry.
    pub by_registry: BTreeMap<String, String>,
}

/// Reads a Secret of any type (§2.1).
pub fn read_secret(source: &Source, secret: &Secret<'_>) -> Reading {
    let mut reader = Reader::new(source, Location::Secret(secret.reference.clone()));
    match secret.kind {
        "kubernetes.io/dockerconfigjson" => reader.docker_config(secret),
        "kubernetes.io/dockercfg" => reader.legacy_docker_config(secret),
        "kubernetes.io/basic-auth" => reader.basic_auth(secret),
        "" | "Opaque" => reader.opaque(secret),
        kind if KNOWN_TO_BE_OTHER.contains(&kind) => {}
        kind => reader.unsupported(format!("type {kind:?} holds no registry credentials")),
    }
    reader.refuse_helpers();
    reader.finish()
}

/// Reads a docker or podman file or `DOCKER_AUTH_CONFIG`; helpers are returned, not run.
pub fn read_document(source: &Source, location: Location, content: &[u8]) -> Reading {
    let mut reader = Reader::new(source, location);
    reader.file(content);
    reader.finish()
}

/// Types that service accounts list for good reasons and that have nothing to do with registries.
const KNOWN_TO_BE_OTHER: [&str; 4] = [
    "kubernetes.io/service-account-token",
    "kubernetes.io/ssh-auth",
    "kubernetes.io/tls",
    "bootstrap.kubernetes.io/token",
];

#[cfg(test)]
mod tests;
