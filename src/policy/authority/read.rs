//! Reads `spec.authorities`: every mistake is noted with its path.

use super::{
    Attestation, Authority, Demand, Format, Key, Keyless, Log, Root, SecretName, Signed, Signer, Static,
    TrustRootName,
};
use crate::policy::Rules;
use crate::policy::field::{Field, Fields};
use crate::policy::finding::{Notes, Problem};
use crate::policy::identity::{Identity, Matcher};
use crate::policy::predicate;
use crate::policy::source::Source;
use crate::signature::public_key::PublicKey;
use crate::signature::trusted_root::TrustedRoot;

const FIELDS: &[&str] = &[
    "name",
    "key",
    "keyless",
    "static",
    "source",
    "ctlog",
    "attestations",
    "rfc3161timestamp",
    "signatureFormat",
];
const ACTIONS: &[(&str, bool)] = &[("pass", true), ("fail", false)];
const HASHES: &[(&str, bool)] = &[("sha256", true), ("sha224", false), ("sha384", false), ("sha512", false)];
const FORMATS: &[(&str, Format)] = &[("legacy", Format::Legacy), ("bundle", Format::Bundle)];

pub(in crate::policy) fn authorities(spec: &Fields<'_>, rules: &Rules, notes: &mut Notes) -> Vec<Authority> {
    let items = spec.require("authorities", notes).map(|field| field.items(notes));
    if items.as_ref().is_some_and(Vec::is_empty) {
        notes.error("spec.authorities", Problem::Empty);
    }
    let mut authorities: Vec<Authority> = Vec::new();
    for (index, item) in items.into_iter().flatten().enumerate() {
        let path = item.path.clone();
        let Some(authority) = authority(item, index, rules, notes) else { continue };
        if authorities.iter().any(|other| other.name == authority.name) {
            notes.error(&format!("{path}.name"), Problem::Duplicate(authority.name.clone()));
        }
        authorities.push(authority);
    }
    authorities
}

fn authority(item: Field<'_>, index: usize, rules: &Rules, notes: &mut Notes) -> Option<Authority> {
    let fields = item.fields(FIELDS, notes)?;
    let name = fields.text("name", notes).unwrap_or_else(|| format!("authority-{index}"));
    let (key, keyless, fixed) = (fields.get("key"), fields.get("keyless"), fields.get("static"));
    let demand = match (key, keyless, fixed) {
        (Some(key), None, None) => signed(&fields, Signer::Key(read_key(key, rules, notes)?), notes),
        (None, Some(field), None) => {
            signed(&fields, Signer::Keyless(read_keyless(field, rules, notes)?), notes)
        }
        (None, None, Some(field)) => Demand::Static(read_static(&fields, field, notes)?),
        _ => {
            notes.error(&fields.path, Problem::ExactlyOne("key, keyless and static"));
            return None;
        }
    };
    Some(Authority { name, demand })
}

fn read_static(fields: &Fields<'_>, field: Field<'_>, notes: &mut Notes) -> Option<Static> {
    for name in ["attestations", "source", "ctlog", "rfc3161timestamp", "signatureFormat"] {
        if let Some(other) = fields.get(name) {
            notes.error(&other.path, Problem::Excluded("static"));
        }
    }
    let fields = field.fields(&["action", "message"], notes)?;
    let message = fields.text("message", notes);
    let passes = fields.require("action", notes)?.word(ACTIONS, "pass, fail", notes)?;
    Some(if passes { Static::Pass } else { Static::Fail { message } })
}

fn signed(fields: &Fields<'_>, signer: Signer, notes: &mut Notes) -> Demand {
    let timestamp = fields.get("rfc3161timestamp");
    let timestamp = timestamp.and_then(|field| field.fields(&["trustRootRef"], notes));
    let format = fields.get("signatureFormat");
    Demand::Signed(Box::new(Signed {
        signer,
        source: Source::read(fields, notes),
        attestations: attestations(fields, notes),
        log: fields.get("ctlog").and_then(|field| read_log(field, notes)),
        timestamp: timestamp
            .map(|field| TrustRootName(field.text("trustRootRef", notes).unwrap_or_default())),
        format: format.and_then(|field| field.word(FORMATS, "legacy, bundle", notes)),
    }))
}

fn read_log(field: Field<'_>, notes: &mut Notes) -> Option<Log> {
    let fields = field.fields(&["url", "trustRootRef"], notes)?;
    let trust_root = fields.text("trustRootRef", notes).map(TrustRootName);
    Some(Log { url: fields.text("url", notes), trust_root })
}

fn attestations(fields: &Fields<'_>, notes: &mut Notes) -> Vec<Attestation> {
    let mut attestations: Vec<Attestation> = Vec::new();
    for item in fields.items("attestations", notes) {
        let Some(fields) = item.fields(&["name", "predicateType", "policy"], notes) else { continue };
        if let Some(policy) = fields.get("policy") {
            let what = "CUE and Rego are not evaluated in this build; predicateType alone is";
            notes.error(&policy.path, Problem::Unsupported(what));
        }
        let name = fields.require("name", notes).and_then(|name| name.text(notes).map(str::to_owned));
        let kind = fields.require("predicateType", notes).and_then(|kind| kind.text(notes));
        let (Some(name), Some(kind)) = (name, kind) else { continue };
        if attestations.iter().any(|other| other.name == name) {
            notes.error(&format!("{}.name", fields.path), Problem::Duplicate(name.clone()));
        }
        attestations.push(Attestation { name, predicate_type: predicate::uri(kind).to_owned() });
    }
    attestations
}

fn read_key(field: Field<'_>, rules: &Rules, notes: &mut Notes) -> Option<Key> {
    let fields = field.fields(&["secretRef", "data", "kms", "hashAlgorithm"], notes)?;
    if let Some(hash) = fields.get("hashAlgorithm")
        && hash.word(HASHES, "sha256, sha224, sha384, sha512", notes) == Some(false)
    {
        notes.error(&hash.path, Problem::Unsupported("signatures by keys are over sha256 in this build"));
    }
    match (fields.get("data"), fields.get("secretRef"), fields.get("kms")) {
        (Some(field), None, None) => {
            let key = PublicKey::from_pem(field.text(notes)?);
            if key.is_none() {
                notes.error(&field.path, Problem::Pem("a PUBLIC KEY of ECDSA, Ed25519 or RSA in PEM"));
            }
            key.map(Key::Public)
        }
        (None, Some(field), None) => secret(field, rules, notes).map(Key::Secret),
        (None, None, Some(field)) => Some(Key::Kms(field.text(notes)?.to_owned())),
        _ => {
            notes.error(&fields.path, Problem::ExactlyOne("data, secretRef and kms"));
            None
        }
    }
}

fn secret(field: Field<'_>, rules: &Rules, notes: &mut Notes) -> Option<SecretName> {
    let fields = field.fields(&["name", "namespace"], notes)?;
    let namespace = fields.text("namespace", notes);
    if let (Some(found), Some(own)) = (&namespace, &rules.controller_namespace)
        && found != own
    {
        notes.error(&format!("{}.namespace", fields.path), Problem::OtherNamespace(own.clone()));
    }
    let name = fields.require("name", notes)?.text(notes)?.to_owned();
    Some(SecretName { name, namespace })
}

fn read_keyless(field: Field<'_>, rules: &Rules, notes: &mut Notes) -> Option<Keyless> {
    let known = ["url", "ca-cert", "identities", "trustRootRef", "insecureIgnoreSCT"];
    let fields = field.fields(&known, notes)?;
    let identities = identities(&fields, rules, notes);
    let ignore_sct = fields.get("insecureIgnoreSCT").and_then(|flag| flag.flag(notes)).unwrap_or_default();
    let (url, certificates) = (fields.text("url", notes), fields.get("ca-cert"));
    let named = fields.text("trustRootRef", notes).map(TrustRootName);
    let root = match (url, certificates, named) {
        (None, Some(field), None) => read_authorities(field, rules, notes)?,
        (_, Some(field), _) => {
            notes.error(&field.path, Problem::Excluded("url and trustRootRef"));
            return None;
        }
        (_, None, Some(named)) => Root::Named(named),
        (Some(url), None, None) => Root::Fulcio(url.trim_end_matches('/').to_owned()),
        (None, None, None) => Root::Configured,
    };
    Some(Keyless { root, identities, ignore_sct })
}

fn read_authorities(field: Field<'_>, rules: &Rules, notes: &mut Notes) -> Option<Root> {
    let fields = field.fields(&["data", "secretRef"], notes)?;
    match (fields.get("data"), fields.get("secretRef")) {
        (Some(field), None) => {
            let roots = TrustedRoot::of_pem(field.text(notes)?);
            roots
                .map_err(|_| notes.error(&field.path, Problem::Pem("certificates in PEM")))
                .ok()
                .map(Box::new)
                .map(Root::Authorities)
        }
        (None, Some(field)) => secret(field, rules, notes).map(Root::Secret),
        _ => {
            notes.error(&fields.path, Problem::ExactlyOne("data and secretRef"));
            None
        }
    }
}

fn identities(fields: &Fields<'_>, rules: &Rules, notes: &mut Notes) -> Vec<Identity> {
    let items = fields.require("identities", notes).map(|field| field.items(notes));
    if items.as_ref().is_some_and(Vec::is_empty) {
        notes.error(&format!("{}.identities", fields.path), Problem::Empty);
    }
    let identities = items.into_iter().flatten().filter_map(|item| {
        let fields = item.fields(&["issuer", "issuerRegExp", "subject", "subjectRegExp"], notes)?;
        let issuer = matcher(&fields, "issuer", "issuerRegExp", "issuer and issuerRegExp", rules, notes);
        let subject = matcher(&fields, "subject", "subjectRegExp", "subject and subjectRegExp", rules, notes);
        Some(Identity { issuer: issuer?, subject: subject? })
    });
    identities.collect()
}

fn matcher(
    fields: &Fields<'_>,
    exact: &str,
    pattern: &str,
    both: &'static str,
    rules: &Rules,
    notes: &mut Notes,
) -> Option<Matcher> {
    match (fields.get(exact), fields.get(pattern)) {
        (Some(name), None) => Some(Matcher::Exact(name.text(notes)?.to_owned())),
        (None, Some(field)) => match Matcher::pattern(field.text(notes)?, rules.anchor_regexes) {
            Ok(matcher) => {
                let anchored = rules.anchor_regexes;
                let doubt = matcher.doubt().filter(|doubt| !anchored || *doubt != Problem::Unanchored);
                if let Some(doubt) = doubt {
                    notes.warn(&field.path, doubt);
                }
                Some(matcher)
            }
            Err(problem) => {
                notes.error(&field.path, problem);
                None
            }
        },
        _ => {
            notes.error(&fields.path, Problem::ExactlyOne(both));
            None
        }
    }
}
