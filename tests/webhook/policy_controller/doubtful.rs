//! Policies that somebody refuses.

use serde_json::{Value, json};

/// What it is called here, its `spec`, and whether Hallmark and policy-controller take it.
type Doubtful = (&'static str, Value, bool, bool);

/// All of them, with this public key where one is wanted.
pub(super) fn all(key: &str) -> Vec<Doubtful> {
    let refused = [shapes(key), keys(key), identities(), places(key), attestations(key)].concat();
    let refused = refused.into_iter().map(|(name, spec)| (name, spec, false, false));
    refused.chain(differing(key)).collect()
}

fn images() -> Value {
    json!([{"glob": "registry.example.com/**"}])
}

fn of(authority: &Value) -> Value {
    json!({"images": images(), "authorities": [authority]})
}

fn identified(identity: &Value) -> Value {
    of(&json!({"keyless": {"url": "https://f.test", "identities": [identity]}}))
}

fn shapes(key: &str) -> Vec<(&'static str, Value)> {
    let authorities = json!([{"key": {"data": key}}]);
    vec![
        ("no images", json!({"images": [], "authorities": authorities})),
        ("no authorities", json!({"images": images(), "authorities": []})),
        (
            "a placeholder in a glob",
            json!({"images": [{"glob": "gcr.io/$project/*"}], "authorities": authorities}),
        ),
        (
            "a regular expression as a glob",
            json!({"images": [{"glob": "[a-z]*"}], "authorities": authorities}),
        ),
        ("an unknown mode", json!({"images": images(), "mode": "ask", "authorities": authorities})),
        ("an unknown field", json!({"images": images(), "moed": "warn", "authorities": authorities})),
        ("an unknown static action", of(&json!({"static": {"action": "maybe"}}))),
    ]
}

fn keys(key: &str) -> Vec<(&'static str, Value)> {
    let identity = json!({"issuer": "i", "subject": "s"});
    let both = json!({"key": {"data": key}, "keyless": {"url": "https://f.test", "identities": [identity]}});
    vec![
        ("key and keyless", of(&both)),
        ("neither key nor keyless", of(&json!({"name": "a"}))),
        ("a key that is none", of(&json!({"key": {"data": "rubbish"}}))),
        ("two kinds of key", of(&json!({"key": {"data": key, "kms": "gcpkms://k"}}))),
        ("an unknown hash", of(&json!({"key": {"data": key, "hashAlgorithm": "md5"}}))),
    ]
}

fn identities() -> Vec<(&'static str, Value)> {
    vec![
        (
            "issuer by name and pattern",
            identified(&json!({"issuer": "i", "issuerRegExp": "i", "subject": "s"})),
        ),
        ("no identities", of(&json!({"keyless": {"url": "https://f.test"}}))),
        ("an identity without a subject", identified(&json!({"issuer": "i"}))),
        ("a broken pattern", identified(&json!({"issuerRegExp": "(", "subject": "s"}))),
    ]
}

fn places(key: &str) -> Vec<(&'static str, Value)> {
    let with = |source: Value| of(&json!({"key": {"data": key}, "source": source}));
    vec![
        (
            "static with a source",
            of(&json!({"static": {"action": "pass"}, "source": [{"oci": "registry.example.com/a"}]})),
        ),
        ("two sources", with(json!([{"oci": "registry.example.com/a"}, {"oci": "registry.example.com/b"}]))),
        ("a pattern as a source", with(json!([{"oci": "registry.example.com/*"}]))),
        ("a pull secret without a name", with(json!([{"signaturePullSecrets": [{}]}]))),
    ]
}

fn attestations(key: &str) -> Vec<(&'static str, Value)> {
    let with = json!({"key": {"data": key}, "attestations": [{"name": "a"}]});
    vec![("an attestation without a type", of(&with))]
}

/// Where the answers are not the same, and a policy that nobody doubts.
fn differing(key: &str) -> Vec<Doubtful> {
    let one = json!({"data": key});
    let twice = json!([{"name": "a", "predicateType": "custom"}, {"name": "a", "predicateType": "custom"}]);
    let cue = json!([{"name": "a", "predicateType": "custom",
        "policy": {"type": "cue", "data": "predicateType: \"x\""}}]);
    let image = json!([{"oci": "registry.example.com/$image"}]);
    vec![
        ("a whole one", of(&json!({"key": one})), true, true),
        ("two attestations of one name", of(&json!({"key": one, "attestations": twice})), false, true),
        ("$image in a source", of(&json!({"key": one, "source": image})), true, false),
        ("another hash", of(&json!({"key": {"data": key, "hashAlgorithm": "sha512"}})), false, true),
        ("CUE in an attestation", of(&json!({"key": one, "attestations": cue})), false, true),
    ]
}
