//! `TrustRoot` (`policy.sigstore.dev/v1alpha1`): certificate authorities, logs and timestamp authorities under a name that
//! policies refer to as `trustRootRef`, written out or as a TUF repository that has them. The fields are those of
//! policy-controller. Pure: a repository is followed by [`super::repositories`].
//!
//! # Guarantees
//!
//! - A key or certificate that does not decode, and a field that is not known, makes the object unusable; what is wrong is
//!   said with its path.
//! - Nobody in it is limited in time beyond the own time of certificates: the object has no fields for that.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use url::Url;

use super::field::{Field, Fields};
use super::finding::{Notes, Problem};
use crate::signature::trusted_root::archive::{Archive, ArchiveError};
use crate::signature::trusted_root::repository::{Place, Repository, TARGET, TARGETS};
use crate::signature::trusted_root::{KnownLog, TrustedRoot};

/// The name of the kind in URLs.
pub const PLURAL: &str = "trustroots";

/// What became of a manifest.
#[derive(Debug, Clone)]
pub struct TrustRootObject {
    /// Its name.
    pub name: String,
    /// Whom it trusts, when there is no error.
    pub content: Option<Content>,
    /// Errors.
    pub notes: Notes,
}

/// Whom it trusts.
#[derive(Debug, Clone)]
pub enum Content {
    /// Written in the object.
    Keys(Arc<TrustedRoot>),
    /// In a TUF repository, which the object names or holds.
    Repository(Repository),
}

const VERSIONS: &[(&str, ())] = &[("policy.sigstore.dev/v1alpha1", ())];
const KINDS: &[(&str, ())] = &[("TrustRoot", ())];
/// policy-controller takes these; the logs that exist use the first.
const HASHES: &[(&str, ())] =
    &[("sha256", ()), ("sha-256", ()), ("sha384", ()), ("sha-384", ()), ("sha512", ()), ("sha-512", ())];
/// Instances of each kind, as in a `trusted_root.json`.
const MOST: usize = 64;

impl TrustRootObject {
    /// Reads a manifest.
    pub fn read(document: &Value) -> Self {
        let mut notes = Notes::default();
        let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        if name.is_empty() {
            notes.error("metadata.name", Problem::Missing);
        }
        let content = read(document, &mut notes).filter(|_| notes.errors.is_empty());
        Self { name: name.to_owned(), content, notes }
    }
}

fn read(document: &Value, notes: &mut Notes) -> Option<Content> {
    let known = ["apiVersion", "kind", "metadata", "spec", "status"];
    let fields = Field::root("", document).fields(&known, notes)?;
    if let Some(version) = fields.require("apiVersion", notes) {
        version.word(VERSIONS, "policy.sigstore.dev/v1alpha1", notes).unwrap_or_default();
    }
    if let Some(kind) = fields.require("kind", notes) {
        kind.word(KINDS, "TrustRoot", notes).unwrap_or_default();
    }
    let spec = fields.require("spec", notes)?.fields(&["sigstoreKeys", "remote", "repository"], notes)?;
    let kinds = ["sigstoreKeys", "remote", "repository"].into_iter().filter_map(|name| spec.get(name));
    if kinds.count() != 1 {
        notes.error("spec", Problem::ExactlyOne("sigstoreKeys, remote and repository"));
        return None;
    }
    if let Some(field) = spec.get("remote") {
        return remote(&field.fields(&["root", "mirror", "targets", "trustedRootTarget"], notes)?, notes);
    }
    if let Some(field) = spec.get("repository") {
        return archive(&field.fields(&["root", "mirrorFS", "targets", "trustedRootTarget"], notes)?, notes);
    }
    let known = ["certificateAuthorities", "tLogs", "ctLogs", "timestampAuthorities"];
    let root = keys(&spec.get("sigstoreKeys")?.fields(&known, notes)?, notes)?;
    Some(Content::Keys(Arc::new(root)))
}

/// A repository that is served.
fn remote(fields: &Fields<'_>, notes: &mut Notes) -> Option<Content> {
    let (root, targets, target) = common(fields, notes);
    let field = fields.require("mirror", notes)?;
    let address = field.text(notes)?.to_owned();
    let is_address = Url::parse(&address).is_ok_and(|url| {
        matches!(url.scheme(), "https" | "http") && url.username().is_empty() && url.password().is_none()
    });
    if !is_address {
        notes.error(&field.path, Problem::Type("an address with https or http, without a password"));
        return None;
    }
    Some(Content::Repository(Repository { root: root?, target, place: Place::Mirror { address, targets } }))
}

/// A repository that the object holds.
fn archive(fields: &Fields<'_>, notes: &mut Notes) -> Option<Content> {
    let (root, targets, target) = common(fields, notes);
    let field = fields.require("mirrorFS", notes)?;
    let content = bytes(&field, notes)?;
    match Archive::read(&content, &targets) {
        Ok(archive) => {
            let place = Place::Archive(Arc::new(archive));
            Some(Content::Repository(Repository { root: root?, target, place }))
        }
        Err(error) => {
            let wanted = match error {
                ArchiveError::Malformed(_) => "a tar.gz of a TUF repository, in base64",
                ArchiveError::TooLarge => "of at most 1,024 files and 8 MiB, unpacked",
            };
            notes.error(&field.path, Problem::Type(wanted));
            None
        }
    }
}

/// The first root, the folder of the targets, and the target that is the trust root.
fn common(fields: &Fields<'_>, notes: &mut Notes) -> (Option<Vec<u8>>, String, String) {
    let root = fields.require("root", notes).and_then(|field| {
        let root = bytes(&field, notes)?;
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&root).is_ok();
        if !is_json {
            notes.error(&field.path, Problem::Type("a root.json, in base64"));
        }
        is_json.then_some(root)
    });
    // Empty and missing are the same to policy-controller.
    let mut text = |name, usual: &str| {
        let text = fields.get(name).and_then(|field| field.maybe_empty_text(notes));
        text.filter(|text| !text.is_empty()).unwrap_or_else(|| usual.to_owned())
    };
    let (targets, target) = (text("targets", TARGETS), text("trustedRootTarget", TARGET));
    (root, targets, target)
}

fn bytes(field: &Field<'_>, notes: &mut Notes) -> Option<Vec<u8>> {
    let decoded = BASE64_STANDARD.decode(field.text(notes)?).ok();
    if decoded.is_none() {
        notes.error(&field.path, Problem::Type("base64"));
    }
    decoded
}

fn keys(fields: &Fields<'_>, notes: &mut Notes) -> Option<TrustedRoot> {
    let (authorities, stamps) = ("certificateAuthorities", "timestampAuthorities");
    let mut root = TrustedRoot::default();
    for (path, chain) in chains(fields, authorities, notes) {
        if root.trust_authority(&chain).is_err() {
            notes.error(&path, Problem::Pem(CHAIN));
        }
    }
    for (path, chain) in chains(fields, stamps, notes) {
        if root.trust_timestamps(chain).is_err() {
            notes.error(&path, Problem::Pem(CHAIN));
        }
    }
    if root.authorities().is_empty() && !root.knows_timestamps() && notes.errors.is_empty() {
        notes.error(&fields.path, Problem::Missing);
        return None;
    }
    for log in logs(fields, "tLogs", notes) {
        root.trust_log(log);
    }
    for log in logs(fields, "ctLogs", notes) {
        root.trust_certificate_log(log);
    }
    Some(root)
}

const CHAIN: &str = "certificates in PEM, in base64, those of authorities, the root last";

/// The chains of authorities, in DER, each with the path of its field.
fn chains(fields: &Fields<'_>, name: &str, notes: &mut Notes) -> Vec<(String, Vec<Vec<u8>>)> {
    let mut chains = Vec::new();
    for item in items(fields, name, notes) {
        let Some(authority) = item.fields(&["subject", "uri", "certChain"], notes) else { continue };
        if let Some(subject) = authority.get("subject") {
            subject.fields(&["organization", "commonName"], notes);
        }
        let _ = authority.get("uri").and_then(|uri| uri.maybe_empty_text(notes));
        let Some(field) = authority.require("certChain", notes) else { continue };
        let Some(blocks) = pems(&field, "CERTIFICATE", CHAIN, notes) else { continue };
        chains.push((field.path.clone(), blocks));
    }
    chains
}

fn logs(fields: &Fields<'_>, name: &str, notes: &mut Notes) -> Vec<KnownLog> {
    let mut logs: Vec<KnownLog> = Vec::new();
    for item in items(fields, name, notes) {
        let Some(log) = item.fields(&["baseURL", "hashAlgorithm", "publicKey"], notes) else { continue };
        let url = log.text("baseURL", notes).unwrap_or_default();
        if let Some(hash) = log.get("hashAlgorithm") {
            hash.word(HASHES, "sha256, sha384, sha512", notes).unwrap_or_default();
        }
        let Some(field) = log.require("publicKey", notes) else { continue };
        let wanted = "one public key in PEM, in base64, of a kind that logs have";
        let Some(blocks) = pems(&field, "PUBLIC KEY", wanted, notes) else { continue };
        match blocks.as_slice() {
            [der] => match KnownLog::of_der(&url, der) {
                Ok(log) if logs.iter().any(|other| other.id() == log.id()) => {
                    notes.error(&field.path, Problem::Duplicate(url));
                }
                Ok(log) => logs.push(log),
                Err(_) => notes.error(&field.path, Problem::Pem(wanted)),
            },
            _ => notes.error(&field.path, Problem::Pem(wanted)),
        }
    }
    logs
}

fn items<'v>(fields: &Fields<'v>, name: &str, notes: &mut Notes) -> Vec<Field<'v>> {
    let mut items = fields.items(name, notes);
    if items.len() > MOST {
        notes.error(&format!("{}.{name}", fields.path), Problem::Type("a list of at most 64"));
        items.truncate(MOST);
    }
    items
}

/// The contents of a text of PEM in base64, which all have this tag.
fn pems(field: &Field<'_>, tag: &str, wanted: &'static str, notes: &mut Notes) -> Option<Vec<Vec<u8>>> {
    let text = field.text(notes)?;
    let read = BASE64_STANDARD.decode(text).ok().and_then(|bytes| pem::parse_many(bytes).ok());
    let blocks = read.filter(|blocks| !blocks.is_empty() && blocks.iter().all(|block| block.tag() == tag));
    if blocks.is_none() {
        notes.error(&field.path, Problem::Pem(wanted));
    }
    Some(blocks?.into_iter().map(pem::Pem::into_contents).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::signature::certificate::tests::authority;
    use crate::signature::entry::made_log::MadeLog;

    pub(crate) fn object(keys: &Value) -> Value {
        json!({"apiVersion": "policy.sigstore.dev/v1alpha1", "kind": "TrustRoot", "metadata": {"name": "ours"},
            "spec": {"sigstoreKeys": keys}})
    }

    fn encoded(text: &str) -> String {
        BASE64_STANDARD.encode(text)
    }

    pub(crate) fn keys(authority: &str, log: &str) -> Value {
        let subject = json!({"organization": "o", "commonName": "c"});
        json!({"certificateAuthorities": [{"subject": subject, "uri": "https://fulcio.test", "certChain": encoded(authority)}],
            "tLogs": [{"baseURL": "https://rekor.test", "hashAlgorithm": "sha-256", "publicKey": encoded(log)}],
            "ctLogs": [{"baseURL": "https://ct.test", "hashAlgorithm": "sha-256", "publicKey": encoded(log)}],
            "timestampAuthorities": [{"subject": subject, "uri": "https://tsa.test", "certChain": encoded(authority)}]})
    }

    fn errors(document: &Value) -> Vec<String> {
        let read = TrustRootObject::read(document);
        assert!(read.content.is_none());
        read.notes.errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn keys_and_certificates_become_a_trust_root() {
        let read = TrustRootObject::read(&object(&keys(
            &authority().pem(),
            &MadeLog::v1("https://rekor.test").key_pem(),
        )));
        assert_eq!(read.notes.errors, []);
        let Some(Content::Keys(root)) = read.content else { panic!("keys") };
        assert_eq!((read.name.as_str(), root.authorities().len(), root.logs().len()), ("ours", 1, 1));
        assert_eq!((root.certificate_logs().len(), root.knows_timestamps()), (1, true));
        assert_eq!(root.logs()[0].url(), "https://rekor.test");
    }

    #[test]
    fn mistakes_are_told_with_their_path() {
        let mut bad = keys("rubbish", "rubbish");
        bad["tLogs"][0]["publickey"] = json!("");
        bad["certificateAuthorities"][0]["certChain"] = json!("not base64");
        let told = errors(&object(&bad));
        assert!(
            told[0].starts_with("spec.sigstoreKeys.certificateAuthorities[0].certChain: must be"),
            "{told:?}"
        );
        assert!(
            told[1].starts_with("spec.sigstoreKeys.timestampAuthorities[0].certChain: must be"),
            "{told:?}"
        );
        assert_eq!(told[2], "spec.sigstoreKeys.tLogs[0].publickey: unknown field");
        assert!(
            told[3].starts_with("spec.sigstoreKeys.tLogs[0].publicKey: must be one public key"),
            "{told:?}"
        );
        assert_eq!(errors(&object(&json!({}))), ["spec.sigstoreKeys: missing"]);
    }

    #[test]
    fn one_log_twice_is_refused() {
        let log = MadeLog::v1("https://rekor.test").key_pem();
        let mut twice = keys(&authority().pem(), &log);
        let one = twice["tLogs"][0].clone();
        twice["tLogs"].as_array_mut().unwrap().push(one);
        let told = errors(&object(&twice));
        assert!(told[0].starts_with("spec.sigstoreKeys.tLogs[1].publicKey:"), "{told:?}");
    }

    fn with(kind: &str, fields: Value) -> Value {
        let mut document = object(&json!(null));
        document["spec"][kind] = fields;
        document
    }

    #[test]
    fn a_repository_is_read_with_the_names_that_it_has_unless_others_are_given() {
        let root = encoded("{}");
        let mirror = "https://tuf.test/mirror";
        let read =
            TrustRootObject::read(&with("remote", json!({"root": root, "mirror": mirror, "targets": ""})));
        let Some(Content::Repository(repository)) = read.content else { panic!("{:?}", read.notes) };
        let usual = Place::Mirror { address: mirror.into(), targets: "targets".into() };
        assert_eq!(repository, Repository { root: b"{}".into(), target: TARGET.into(), place: usual });
        let named = json!({"root": root, "mirror": mirror, "targets": "t", "trustedRootTarget": "ours.json"});
        let Some(Content::Repository(repository)) = TrustRootObject::read(&with("remote", named)).content
        else {
            panic!("it is a repository")
        };
        let named = Place::Mirror { address: mirror.into(), targets: "t".into() };
        assert_eq!((repository.target.as_str(), repository.place), ("ours.json", named));
    }

    #[test]
    fn a_repository_with_mistakes_is_told_with_their_path_and_so_is_more_than_one_kind() {
        for (kind, fields, said) in [
            (
                "remote",
                json!({"root": "e30=", "mirror": "tuf.test"}),
                "spec.remote.mirror: must be an address",
            ),
            (
                "remote",
                json!({"root": "e30=", "mirror": "https://a:canary@tuf.test"}),
                "spec.remote.mirror: must be an",
            ),
            (
                "remote",
                json!({"root": "!", "mirror": "https://tuf.test"}),
                "spec.remote.root: must be base64",
            ),
            (
                "remote",
                json!({"root": "bm8=", "mirror": "https://tuf.test"}),
                "spec.remote.root: must be a root.json",
            ),
            ("remote", json!({"mirror": "https://tuf.test"}), "spec.remote.root: missing"),
            (
                "remote",
                json!({"root": "e30=", "mirror": "https://tuf.test", "mirrorFS": ""}),
                "spec.remote.mirrorFS: unknown",
            ),
            ("repository", json!({"root": "e30="}), "spec.repository.mirrorFS: missing"),
            (
                "repository",
                json!({"root": "e30=", "mirrorFS": "bm8="}),
                "spec.repository.mirrorFS: must be a tar.gz",
            ),
        ] {
            let told = errors(&with(kind, fields));
            assert!(told[0].starts_with(said) && !told[0].contains("canary"), "{told:?}");
        }
        let mut both = with("remote", json!({}));
        both["spec"]["repository"] = json!({});
        assert_eq!(errors(&both), ["spec: exactly one of sigstoreKeys, remote and repository must be set"]);
    }
}
