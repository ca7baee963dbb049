//! Policies as people write them: the four of the source document, good ones, and every mistake with its path.

use serde_json::{Value, json};

use super::*;
use crate::artifact::image::Repository;
use crate::policy::authority::{Demand, Key, Root, Signer, Static};

fn seed(name: &str) -> Reading {
    let file = format!("{}/tests/fixtures/policies/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let document: Value = serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    ClusterImagePolicy::read(&document, &Rules::default())
}

fn policy(spec: &Value) -> Value {
    json!({"apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy",
        "metadata": {"name": "p"}, "spec": spec})
}

fn with_authority(authority: &Value) -> Value {
    policy(&json!({"images": [{"glob": "**"}], "authorities": [authority]}))
}

fn read(document: &Value) -> ClusterImagePolicy {
    let reading = ClusterImagePolicy::read(document, &Rules::default());
    reading.policy.unwrap_or_else(|| panic!("{:?}", reading.notes.errors))
}

fn errors_under(document: &Value, rules: &Rules) -> Vec<String> {
    let reading = ClusterImagePolicy::read(document, rules);
    assert_eq!(reading.policy.is_none(), !reading.notes.errors.is_empty(), "a mistake makes it unusable");
    reading.notes.errors.iter().map(ToString::to_string).collect()
}

fn errors(document: &Value) -> Vec<String> {
    errors_under(document, &Rules::default())
}

fn public_key() -> String {
    std::fs::read_to_string(format!("{}/tests/fixtures/keys/p256.pub", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn identity() -> Value {
    json!({"issuer": "https://i.test", "subject": "a@x.test"})
}

#[test]
fn the_policies_of_the_source_document_load_or_ask_for_their_placeholder() {
    let registry = seed("images-from-private-registry-are-signed");
    let policy = registry.policy.unwrap();
    assert_eq!(policy.mode, Mode::Enforce);
    let Demand::Signed(signed) = &policy.authorities[0].demand else { panic!() };
    let source = signed.source.as_ref().unwrap();
    assert_eq!(source.pull_secrets, ["regcreds"]);
    let image = Repository::parse("registry.example.com/app").unwrap();
    let place = source.place.as_ref().unwrap().of(&image, &policy.images[0]).unwrap();
    assert_eq!(place, image, "a bare registry means the image's own path there");
    assert_eq!(
        registry.notes.warnings.len(),
        2,
        "both patterns match everybody: {:?}",
        registry.notes.warnings
    );

    let namespace = seed("images-from-private-namespace-are-signed").policy.unwrap();
    let Demand::Signed(signed) = &namespace.authorities[0].demand else { panic!() };
    let image = Repository::parse("privatenamespace/app").unwrap();
    let place = signed.source.as_ref().unwrap().place.as_ref().unwrap();
    assert_eq!(place.of(&image, &namespace.images[0]).unwrap(), image);

    for name in ["gcr-is-signed", "ecr-is-signed"] {
        let reading = seed(name);
        let errors: Vec<String> = reading.notes.errors.iter().map(ToString::to_string).collect();
        assert!(reading.policy.is_none());
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with("spec.images[0].glob: replace the placeholder in "), "{errors:?}");
    }
}

#[test]
fn every_field_of_an_authority_is_read() {
    let policy = read(&with_authority(&json!({
        "name": "release", "key": {"data": public_key(), "hashAlgorithm": "sha256"},
        "source": [{"oci": "sigs.example/all", "signaturePullSecrets": [{"name": "a"}, {"name": "b"}], "tagPrefix": "x-"}],
        "ctlog": {"url": "https://rekor.test", "trustRootRef": "own"},
        "attestations": [{"name": "built", "predicateType": "slsaprovenance"}],
        "rfc3161timestamp": {"trustRootRef": "own"}, "signatureFormat": "bundle"})));
    let authority = &policy.authorities[0];
    let Demand::Signed(signed) = &authority.demand else { panic!() };
    assert_eq!(authority.name, "release");
    assert!(matches!(&signed.signer, Signer::Key(Key::Public(key)) if key.to_pem() == public_key()));
    assert_eq!(signed.source.as_ref().unwrap().pull_secrets, ["a", "b"]);
    assert_eq!(signed.source.as_ref().unwrap().tag_prefix.as_deref(), Some("x-"));
    assert_eq!(signed.log.as_ref().unwrap().url.as_deref(), Some("https://rekor.test"));
    assert_eq!(signed.attestations[0].predicate_type, "https://slsa.dev/provenance/v0.2");
    assert_eq!(signed.timestamp.as_ref().unwrap().0, "own");
    assert_eq!(signed.format, Some(crate::policy::authority::Format::Bundle));
}

#[test]
fn keyless_authorities_say_whose_certificates_count() {
    let root = |keyless: Value| {
        let policy = read(&with_authority(&json!({"keyless": keyless})));
        let Demand::Signed(signed) = &policy.authorities[0].demand else { panic!() };
        let Signer::Keyless(keyless) = &signed.signer else { panic!() };
        keyless.root.clone()
    };
    let fulcio = root(json!({"url": "https://fulcio.sigstore.dev/", "identities": [identity()]}));
    assert!(matches!(fulcio, Root::Fulcio(url) if url == "https://fulcio.sigstore.dev"));
    assert!(matches!(root(json!({"identities": [identity()]})), Root::Configured));
    assert!(matches!(root(json!({"trustRootRef": "own", "identities": [identity()]})), Root::Named(_)));
    let secret = json!({"ca-cert": {"secretRef": {"name": "ca"}}, "identities": [identity()]});
    assert!(matches!(root(secret), Root::Secret(_)));
}

#[test]
fn static_authorities_pass_or_fail() {
    let demand =
        |fixed: Value| read(&with_authority(&json!({"static": fixed}))).authorities[0].demand.clone();
    assert!(matches!(demand(json!({"action": "pass"})), Demand::Static(Static::Pass)));
    let fail = demand(json!({"action": "fail", "message": "not here"}));
    assert!(matches!(fail, Demand::Static(Static::Fail { message: Some(text) }) if text == "not here"));
}

#[test]
fn names_of_authorities_are_counted_and_modes_are_two() {
    let policy = read(&policy(&json!({"images": [{"glob": "**"}], "mode": "warn",
        "authorities": [{"static": {"action": "pass"}}, {"static": {"action": "pass"}}]})));
    assert_eq!(policy.mode, Mode::Warn);
    let names: Vec<_> = policy.authorities.iter().map(|authority| authority.name.as_str()).collect();
    assert_eq!(names, ["authority-0", "authority-1"]);
}

#[test]
fn all_mistakes_are_told_at_once_with_their_paths() {
    let identities = json!([identity(), {"issuer": "i", "issuerRegExp": "i", "subjectRegExp": "("}]);
    let document = json!({"apiVersion": "policy.sigstore.dev/v2", "kind": "Policy", "metadata": {}, "spec": {
    "mode": "audit", "policy": {"type": "cue"}, "modus": "warn",
    "images": [{"glob": "a+b"}, {"regex": "x"}, "x"],
    "authorities": [
        {"keyless": {"identities": identities},
         "source": [{"oci": "registry.example.com/*", "signaturePullSecrets": [{}]}, {}],
         "attestations": [{"predicateType": "spdx", "name": "a", "policy": {"type": "rego"}}]},
        {"key": {"data": "x"}, "static": {"action": "pass"}},
        {"static": {"action": "maybe"}, "source": [{"oci": "a/b"}]},
        {"key": {"data": "not a key"}, "name": "k"},
        {"key": {"secretRef": {"name": "s"}, "hashAlgorithm": "sha512"}, "name": "k"},
        {}
    ]}});
    insta_like(
        &errors(&document),
        &[
            "apiVersion: \"policy.sigstore.dev/v2\" is not one of policy.sigstore.dev/v1alpha1 and policy.sigstore.dev/v1beta1",
            "kind: \"Policy\" is not one of ClusterImagePolicy",
            "metadata.name: missing",
            "spec.modus: unknown field",
            "spec.policy: UnsupportedField: CUE and Rego are not evaluated in this build; use attestations[].predicateType",
            "spec.mode: \"audit\" is not one of enforce, warn",
            "spec.images[0].glob: \"a+b\" is no glob",
            "spec.images[1].regex: unknown field",
            "spec.images[1].glob: missing",
            "spec.images[2]: must be an object",
            "spec.authorities[0].keyless.identities[1]: exactly one of issuer and issuerRegExp must be set",
            "spec.authorities[0].keyless.identities[1].subjectRegExp: regex is invalid: unclosed group",
            "spec.authorities[0].source: only single source is supported",
            "spec.authorities[0].source[0].signaturePullSecrets[0].name: missing",
            "spec.authorities[0].source[0].oci: must name a repository, not a pattern",
            "spec.authorities[0].attestations[0].policy: UnsupportedField: CUE and Rego",
            "spec.authorities[1]: exactly one of key, keyless and static must be set",
            "spec.authorities[2].source: cannot be set together with static",
            "spec.authorities[2].static.action: \"maybe\" is not one of pass, fail",
            "spec.authorities[3].key.data: must be a PUBLIC KEY",
            "spec.authorities[4].key.hashAlgorithm: UnsupportedField: ",
            "spec.authorities[5]: exactly one of key, keyless and static must be set",
        ],
    );
}

/// Each line begins as expected, in order.
#[track_caller]
fn insta_like(found: &[String], expected: &[&str]) {
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found:?} does not begin with {expected:?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn what_must_be_there_and_is_not_is_missing() {
    assert_eq!(
        errors(&json!({})),
        ["apiVersion: missing", "kind: missing", "metadata.name: missing", "spec: missing"]
    );
    assert_eq!(errors(&policy(&json!({}))), ["spec.images: missing", "spec.authorities: missing"]);
    assert_eq!(
        errors(&policy(&json!({"images": [], "authorities": []}))),
        ["spec.images: at least one is required", "spec.authorities: at least one is required"]
    );
    assert_eq!(
        errors(&with_authority(&json!({"keyless": {"identities": []}}))),
        ["spec.authorities[0].keyless.identities: at least one is required"]
    );
    assert_eq!(
        errors(&with_authority(&json!({"keyless": {"identities": [{"issuer": ""}]}}))),
        [
            "spec.authorities[0].keyless.identities[0].issuer: missing",
            "spec.authorities[0].keyless.identities[0]: exactly one of subject and subjectRegExp must be set",
        ]
    );
    assert_eq!(errors(&json!([])), [": must be an object"]);
}

#[test]
fn secrets_of_other_namespaces_and_names_that_stand_twice_are_refused() {
    let rules = Rules { controller_namespace: Some("cosign-system".into()), ..Rules::default() };
    let key = |namespace: &str| json!({"key": {"secretRef": {"name": "s", "namespace": namespace}}});
    assert_eq!(errors_under(&with_authority(&key("cosign-system")), &rules), [""; 0]);
    assert_eq!(
        errors_under(&with_authority(&key("team-a")), &rules),
        [
            "spec.authorities[0].key.secretRef.namespace: must be the namespace of the controller, cosign-system"
        ]
    );
    let fixed = json!({"name": "a", "static": {"action": "pass"}});
    let twice = policy(&json!({"images": [{"glob": "**"}], "authorities": [fixed, fixed]}));
    assert_eq!(errors(&twice), ["spec.authorities[1].name: \"a\" is the name of another authority too"]);
}

#[test]
fn doubts_are_warnings_and_anchoring_takes_one_away() {
    let authority = json!({"keyless": {"identities": [
        {"issuerRegExp": ".*", "subjectRegExp": "https://github.com/org/"}]}});
    let document = policy(&json!({"images": [{"glob": "ghcr.io/a/b"}], "authorities": [authority]}));
    let warnings = |rules: &Rules| -> Vec<String> {
        let reading = ClusterImagePolicy::read(&document, rules);
        assert!(reading.policy.is_some());
        let texts = reading.notes.warnings.iter().map(ToString::to_string);
        texts.map(|text| text.split(": ").take(2).collect::<Vec<_>>().join(": ")).collect()
    };
    let identity = "spec.authorities[0].keyless.identities[0]";
    let everybody = format!("{identity}.issuerRegExp: MatchesEverything");
    let glob = "spec.images[0].glob: GlobWithoutTag".to_owned();
    let unanchored = format!("{identity}.subjectRegExp: UnanchoredRegex");
    assert_eq!(warnings(&Rules::default()), [glob.clone(), everybody.clone(), unanchored]);
    assert_eq!(warnings(&Rules { anchor_regexes: true, ..Rules::default() }), [glob, everybody]);
}
