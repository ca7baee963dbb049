//! Collects the entries and problems of one Secret or file (credentials specification §2.1, §2.6).
//!
//! Each defect becomes a problem at the place where it is found, and reading goes on.

use std::sync::Arc;

use base64::Engine as _;
use zeroize::Zeroizing;

use super::document::{self, Document, Shape};
use super::{Helpers, Reading, Secret, auth, field};
use crate::credential::matching::{Key, shown};
use crate::credential::{Credential, Entry, Location, Problem, ProblemCode, Source};

/// Collects entries and problems of one place.
pub(super) struct Reader<'a> {
    source: &'a Source,
    location: Location,
    reading: Reading,
    empty_entries: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source, location: Location) -> Self {
        Self { source, location, reading: Reading::default(), empty_entries: Vec::new() }
    }

    pub(super) fn finish(self) -> Reading {
        self.reading
    }

    /// `kubernetes.io/dockerconfigjson`.
    pub(super) fn docker_config(&mut self, secret: &Secret<'_>) {
        self.data_key(secret, DOCKER_CONFIG_JSON, Shape::Config);
    }

    /// `kubernetes.io/dockercfg`.
    pub(super) fn legacy_docker_config(&mut self, secret: &Secret<'_>) {
        self.data_key(secret, DOCKER_CFG, Shape::Legacy);
    }

    /// A docker or podman file.
    pub(super) fn file(&mut self, content: &[u8]) {
        self.document(content, Shape::Config);
    }

    fn problem(&mut self, code: ProblemCode, detail: impl Into<String>) {
        self.reading.problems.push(Problem {
            source: self.source.clone(),
            location: self.location.clone(),
            code,
            detail: detail.into(),
        });
    }

    fn data_key(&mut self, secret: &Secret<'_>, key: &str, shape: Shape) {
        match secret.data.get(key).filter(|content| !content.trim_ascii().is_empty()) {
            Some(content) => self.document(content, shape),
            None => self.problem(ProblemCode::KeyMissing, format!("data has no {key:?}, or it is empty")),
        }
    }

    /// The first docker config in an `Opaque` Secret.
    pub(super) fn opaque(&mut self, secret: &Secret<'_>) {
        const KEYS: [(&str, Shape); 3] = [
            (DOCKER_CONFIG_JSON, Shape::Config),
            ("config.json", Shape::Config),
            (DOCKER_CFG, Shape::Legacy),
        ];
        let Some((key, shape)) = KEYS.into_iter().find(|(key, _)| secret.data.contains_key(*key)) else {
            return self.unsupported("an Opaque secret without a docker config in it".to_owned());
        };
        self.problem(
            ProblemCode::OpaqueType,
            format!("{key:?} was read, but kubelet ignores type Opaque: recreate it as kubernetes.io/dockerconfigjson"),
        );
        self.data_key(secret, key, shape);
    }

    /// Only a list of pull secrets is a claim that the Secret is for a registry (§2.1, last row).
    pub(super) fn unsupported(&mut self, detail: String) {
        if self.source.lists_pull_secrets() {
            self.problem(ProblemCode::UnsupportedType, detail);
        }
    }

    /// `kubernetes.io/basic-auth`: the registries stand in annotations, ordered by value.
    pub(super) fn basic_auth(&mut self, secret: &Secret<'_>) {
        let mut registries: Vec<&str> = secret
            .annotations
            .iter()
            .filter(|(name, _)| name.starts_with("tekton.dev/docker-"))
            .map(|(_, registry)| registry.as_str())
            .collect();
        if registries.is_empty() {
            return;
        }
        registries.sort_unstable();
        let Some(username) = self.basic_auth_field(secret, "username") else { return };
        let Some(password) = self.basic_auth_field(secret, "password") else { return };
        let login = match auth::login(username, password) {
            Ok(login) => login,
            Err(malformed) => return self.problem(ProblemCode::MalformedAuth, malformed.to_string()),
        };
        let credential = Arc::new(Credential::from_login(login));
        for registry in registries {
            self.entry(registry, &credential);
        }
    }

    fn basic_auth_field<'s>(&mut self, secret: &Secret<'s>, name: &str) -> Option<&'s [u8]> {
        let Some(value) = secret.data.get(name) else {
            self.problem(ProblemCode::KeyMissing, format!("data has no {name:?}"));
            return None;
        };
        let trimmed = value.strip_suffix(b"\r\n").or_else(|| value.strip_suffix(b"\n"));
        if trimmed.is_some() {
            self.problem(
                ProblemCode::TrimmedNewline,
                format!("a newline at the end of {name:?} was dropped"),
            );
        }
        Some(trimmed.unwrap_or(value))
    }

    fn document(&mut self, content: &[u8], shape: Shape) {
        let unwrapped = unwrap_base64(content);
        if unwrapped.is_some() {
            self.problem(ProblemCode::DoubleEncoded, "the content is base64 once more; it was decoded");
        }
        let content = unwrapped.as_deref().map_or(content, Vec::as_slice);
        let document = match Document::parse(content, shape) {
            Ok(document) => document,
            Err(malformed) => return self.problem(malformed.code(), malformed.to_string()),
        };
        if document.shape != shape {
            self.problem(ProblemCode::LegacyShape, shape.mismatch());
        }
        if document.helpers.is_none() {
            self.problem(
                ProblemCode::MalformedEntry,
                "credsStore must be a text and credHelpers an object of texts; both were ignored",
            );
        }
        self.reading.helpers = document.helpers.unwrap_or_default();
        let named_helper = self.reading.helpers != Helpers::default();
        if document.entries.is_empty() && !named_helper {
            self.problem(ProblemCode::NoEntries, "the docker config has no entries");
        }
        for (key, value) in &document.entries {
            self.document_entry(key, value.get());
        }
        self.reading
            .entries
            .sort_by(|left, right| left.key.document_order().cmp(&right.key.document_order()));
        if !named_helper {
            self.report_empty_entries();
        }
    }

    fn document_entry(&mut self, key: &str, value: &str) {
        let fields = match field::Fields::parse(value) {
            Ok(fields) => fields,
            Err(malformed) => {
                return self.entry_problem(ProblemCode::MalformedEntry, key, &malformed.to_string());
            }
        };
        let resolved = fields.resolve();
        if let Some(malformed) = resolved.malformed {
            self.entry_problem(ProblemCode::MalformedAuth, key, &malformed.to_string());
        }
        match resolved.credential {
            Some(credential) => {
                self.entry(key, &Arc::new(credential));
            }
            None if resolved.malformed.is_none() => self.empty_entries.push(shown(key)),
            None => {}
        }
    }

    /// Adds an entry if its key is sound, with what is odd about it.
    fn entry(&mut self, key: &str, credential: &Arc<Credential>) {
        let key = match Key::parse(key) {
            Ok(key) => key,
            Err(invalid) => return self.problem(ProblemCode::InvalidKey, invalid.to_string()),
        };
        if key.is_broad() {
            self.problem(
                ProblemCode::BroadGlob,
                format!("key \"{key}\" also matches registries of other people: name the domain"),
            );
        }
        if auth::is_suspicious_json_key(credential) {
            self.problem(
                ProblemCode::SuspiciousJSONKey,
                format!("entry \"{key}\": the password of _json_key is not a Google key with client_email"),
            );
        }
        self.reading.entries.push(Entry {
            source: self.source.clone(),
            location: self.location.clone(),
            key,
            credential: Arc::clone(credential),
        });
    }

    fn entry_problem(&mut self, code: ProblemCode, key: &str, detail: &str) {
        self.problem(code, format!("entry \"{}\": {detail}", shown(key)));
    }

    fn report_empty_entries(&mut self) {
        for key in std::mem::take(&mut self.empty_entries) {
            self.problem(ProblemCode::EmptyEntry, format!("entry \"{key}\" has neither password nor token"));
        }
    }

    /// Nothing that a tenant's Secret names is ever executed (R8); say which mistake it probably is.
    pub(super) fn refuse_helpers(&mut self) {
        let helpers = std::mem::take(&mut self.reading.helpers);
        let store_only = self.reading.entries.is_empty() || !self.empty_entries.is_empty();
        if helpers.default.is_some() && store_only {
            self.problem(
                ProblemCode::CredsStoreInSecret,
                "was copied from a workstation whose passwords live in the OS keychain; \
                 create it with kubectl create secret docker-registry",
            );
        } else if helpers.default.is_some() {
            self.problem(ProblemCode::HelperInSecret, "credsStore in a secret is never executed");
        }
        if !helpers.by_registry.is_empty() {
            self.problem(ProblemCode::HelperInSecret, "credHelpers in a secret are never executed");
        }
        if helpers.default.is_none() {
            self.report_empty_entries();
        }
    }
}

/// The JSON inside content that somebody encoded once too often (§2.6 row 13).
fn unwrap_base64(content: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if content.len() > document::LARGEST * 2 || content.trim_ascii_start().first() == Some(&b'{') {
        return None;
    }
    let compact: Zeroizing<Vec<u8>> =
        Zeroizing::new(content.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect());
    let decoded = Zeroizing::new(auth::STANDARD_ANY_PADDING.decode(&*compact).ok()?);
    (decoded.trim_ascii_start().first() == Some(&b'{')).then_some(decoded)
}

const DOCKER_CONFIG_JSON: &str = ".dockerconfigjson";
const DOCKER_CFG: &str = ".dockercfg";
