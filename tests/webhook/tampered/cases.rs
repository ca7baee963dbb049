//! The cases: what is changed about a good artifact, and who says what of it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::artifact::{Artifact, Base, CERTIFICATE, CHAIN, ENTRY, IN_TOTO, SIGNATURE, STAMP, payload};
use super::forge::{By, Forge, Leaf, Word, new_key};

pub struct Case {
    /// What was changed.
    pub what: &'static str,
    pub base: Base,
    pub leaf: Leaf,
    pub change: fn(&mut Artifact, &Forge),
    /// The code that Hallmark gives.
    pub code: &'static str,
    /// A part of its reason.
    pub says: &'static str,
    /// Why cosign accepts it, where it does.
    pub cosign_accepts: Option<&'static str>,
}

const fn case(
    what: &'static str,
    base: Base,
    code: &'static str,
    says: &'static str,
    change: fn(&mut Artifact, &Forge),
) -> Case {
    Case { what, base, leaf: Leaf::GOOD, change, code, says, cosign_accepts: None }
}

impl Case {
    const fn leaf(self, leaf: Leaf) -> Self {
        Self { leaf, ..self }
    }

    const fn cosign_accepts(self, why: &'static str) -> Self {
        Self { cosign_accepts: Some(why), ..self }
    }
}

fn as_it_is(_: &mut Artifact, _: &Forge) {}

/// A character of base64 in the middle becomes another.
fn other_character(text: &str) -> String {
    let middle = text.len() / 2;
    let other = if text.as_bytes()[middle] == b'A' { "B" } else { "A" };
    format!("{}{other}{}", &text[..middle], &text[middle + 1..])
}

/// The entry beside the signature, as JSON, becomes another.
fn edit_entry(artifact: &mut Artifact, change: impl FnOnce(&mut Value)) {
    let mut entry = serde_json::from_str(&artifact.annotation(ENTRY)).unwrap();
    change(&mut entry);
    artifact.annotate(ENTRY, entry.to_string());
}

fn twice(text: &str, field: &str, first: &str) -> String {
    let name = format!("\"{field}\":");
    assert!(text.contains(&name), "{field} is not in {text}");
    text.replacen(&name, &format!("{name}{first},{name}"), 1)
}

/// A byte of the second half of a certificate, which is its signature, becomes another.
fn other_signature_of_authority(pem: &str) -> String {
    let mut der = pem::parse(pem).unwrap().into_contents();
    let last = der.len() - 5;
    der[last] ^= 1;
    pem::encode(&pem::Pem::new("CERTIFICATE", der))
}

#[rustfmt::skip]
pub const CASES: &[Case] = &[
    // Payload and signature.
    case("payload: a field added", Base::Key, "SignatureMismatch", "the content was changed", |a, _| a.rewrite(|text| text.replace("\"optional\":null", "\"optional\":{\"a\":1}"))),
    case("payload: white space added", Base::Key, "SignatureMismatch", "the content was changed", |a, _| a.rewrite(|text| text + " ")),
    case("payload: truncated", Base::Key, "SignatureMismatch", "the content was changed", |a, _| a.rewrite(|text| text[..60].to_owned())),
    case("payload: truncated, then signed", Base::Key, "MalformedPayload", "it does not decode", |a, _| { let text = payload(&a.image); a.sign(&text[..60]); }),
    case("payload: of another type, signed", Base::Key, "MalformedPayload", "critical.type", |a, _| { let text = payload(&a.image); a.sign(&text.replace("cosign container image signature", "atomic container signature")); }).cosign_accepts("it does not look at the type of the payload"),
    case("digest: in capital letters, signed", Base::Key, "OtherImage", "it was made for another image", |a, _| { let text = payload(&a.image); a.sign(&text.replace(&a.image.digest, &a.image.digest.to_uppercase())); }),
    case("digest: none, signed", Base::Key, "OtherImage", "it was made for another image", |a, _| { let text = payload(&a.image); a.sign(&text.replace(&a.image.digest, "")); }),
    case("duplicated field: two digests in the payload, signed", Base::Key, "MalformedPayload", "names a field twice", |a, _| {
        let text = twice(&payload(&a.image), "docker-manifest-digest", &json!(a.next.digest).to_string());
        a.sign(&text);
    }).cosign_accepts("it takes the last of two fields"),
    case("duplicated field: two images in the payload, signed", Base::Key, "MalformedPayload", "names a field twice", |a, _| {
        let text = twice(&payload(&a.image), "image", &json!({"docker-manifest-digest": a.next.digest}).to_string());
        a.sign(&text);
    }).cosign_accepts("it takes the last of two fields"),
    case("payload: huge, signed", Base::Key, "Unreadable", "larger than", |a, _| { let text = payload(&a.image); a.sign(&text.replace("\"optional\":null", &format!("\"optional\":{{\"a\":\"{}\"}}", "a".repeat(300_000)))); }).cosign_accepts("it reads up to 128 MiB"),
    case("signature: one character another", Base::Key, "SignatureMismatch", "the signature does not verify", |a, _| { let text = other_character(&a.annotation(SIGNATURE)); a.annotate(SIGNATURE, text); }),
    case("signature: truncated", Base::Key, "SignatureMismatch", "the signature does not verify", |a, _| { let bytes = a.signature(); a.annotate(SIGNATURE, BASE64_STANDARD.encode(&bytes[..30])); }),
    case("signature: no base64", Base::Key, "MalformedLayer", "not base64", |a, _| a.annotate(SIGNATURE, "!")),
    case("signature: empty", Base::Key, "MalformedLayer", "no annotation with a signature", |a, _| a.annotate(SIGNATURE, "")),
    case("signature: left out", Base::Key, "MalformedLayer", "no annotation with a signature", |a, _| drop(a.annotations.remove(SIGNATURE))),
    case("signature: by another key", Base::Key, "SignatureMismatch", "somebody else signed it", |a, _| {
        let bytes = new_key().sign_now(&a.content).unwrap();
        a.annotate(SIGNATURE, BASE64_STANDARD.encode(bytes));
    }),
    // Image and tag.
    case("other image's signature under the tag of this one", Base::Key, "OtherImage", "it was made for another image", |a, _| { let text = payload(&a.next); a.sign(&text); }),
    case("tag moved to an image without a signature", Base::Key, "NoSignatures", "no signatures found", |a, _| a.asked = format!("{}:latest", a.image.repository)),
    case("tag moved, the old signature copied to the new image", Base::Key, "OtherImage", "it was made for another image", |a, _| { a.asked = format!("{}:latest", a.image.repository); a.hung_on = a.next.clone(); }),
    // Manifest.
    case("manifest: truncated", Base::Key, "Unreadable", "the manifest does not decode", |a, _| a.manifest = |manifest| manifest.to_string()[..150].to_owned()),
    case("manifest: the layer is another blob", Base::Key, "SignatureMismatch", "the content was changed", |a, _| a.manifest = |mut manifest| { manifest["layers"][0]["digest"] = manifest["config"]["digest"].clone(); manifest["layers"][0]["size"] = json!(2); manifest.to_string() }),
    case("manifest: the layer is not there", Base::Key, "Unreadable", "404", |a, _| a.there = false),
    case("duplicated field: two lists of layers in the manifest", Base::Key, "Unreadable", "the manifest does not decode", |a, _| a.manifest = |manifest| twice(&manifest.to_string(), "layers", "[]")).cosign_accepts("it takes the last of two fields"),
    case("manifest: huge, 1,001 layers", Base::Key, "Unreadable", "more than 1,000 layers", |a, _| a.manifest = |mut manifest| { let layer = manifest["layers"][0].clone(); manifest["layers"] = json!(vec![layer; 1001]); manifest.to_string() }),
    case("manifest: huge, 5 MiB", Base::Key, "Unreadable", "larger than", |a, _| a.manifest = |mut manifest| { manifest["annotations"] = json!({"a": "a".repeat(5 << 20)}); manifest.to_string() }).cosign_accepts("it reads larger manifests"),
    case("layer: of another media type", Base::Key, "MalformedLayer", "media type", |a, _| a.media_type = "text/plain".into()).cosign_accepts("it does not look at the type of the layer"),
    // Attestation.
    case("attestation: the statement changed", Base::Attested, "SignatureMismatch", "the content was changed", |a, _| a.edit(|envelope| {
        let text = String::from_utf8(BASE64_STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()).unwrap();
        envelope["payload"] = json!(BASE64_STANDARD.encode(text.replace("buildDefinition", "buildDefinitely")));
    })),
    case("attestation: of another image", Base::Attested, "OtherImage", "it was made for another image", |a, _| { let next = a.next.clone(); a.attest_about(&next); }),
    case("attestation: the type of the payload changed", Base::Attested, "SignatureMismatch", "the content was changed", |a, _| a.edit(|envelope| { assert_eq!(envelope["payloadType"], IN_TOTO); envelope["payloadType"] = json!("text/plain"); })),
    case("attestation: no signature in the envelope", Base::Attested, "MalformedLayer", "the envelope holds no signature", |a, _| a.edit(|envelope| envelope["signatures"] = json!([]))),
    case("duplicated field: two payloads in the envelope", Base::Attested, "MalformedLayer", "no DSSE envelope", |a, _| a.rewrite(|text| twice(&text, "payload", "\"e30=\""))).cosign_accepts("it takes the last of two fields"),
    // Certificate and chain.
    case("certificate: of somebody else", Base::Logged, "IdentityMismatch", "serviceaccounts/other", as_it_is).leaf(Leaf { name: "https://kubernetes.io/namespaces/ci/serviceaccounts/other", ..Leaf::GOOD }),
    case("certificate: of another issuer", Base::Logged, "IdentityMismatch", "https://other.test", as_it_is).leaf(Leaf { issuer: "https://other.test", ..Leaf::GOOD }),
    case("certificate: the signature of its authority changed", Base::Logged, "LogEntryInvalid", "it has another key or certificate", |a, _| { let text = other_signature_of_authority(&a.annotation(CERTIFICATE)); a.annotate(CERTIFICATE, text); }),
    case("certificate: the signature of its authority changed, then logged", Base::Logged, "UntrustedCertificate", "does not come from an authority", |a, f| {
        let text = other_signature_of_authority(&a.annotation(CERTIFICATE));
        a.log(f, &text, true);
        a.annotate(CERTIFICATE, text);
    }),
    case("certificate: of the same name for another key", Base::Logged, "SignatureMismatch", "the signature does not verify", |a, f| {
        let (text, _) = f.certificate(&new_key(), &Leaf::GOOD, Forge::then());
        a.annotate(CERTIFICATE, text);
    }),
    case("certificate: left out", Base::Logged, "NoCertificate", "it has no certificate", |a, _| drop(a.annotations.remove(CERTIFICATE))),
    case("certificate: truncated", Base::Logged, "MalformedCertificate", "it is not PEM", |a, _| { let text = a.annotation(CERTIFICATE)[..200].to_owned(); a.annotate(CERTIFICATE, text); }),
    case("certificate: for servers", Base::Logged, "UntrustedCertificate", "does not come from an authority", as_it_is).leaf(Leaf { for_servers: true, ..Leaf::GOOD }),
    case("certificate: at its end before it signed", Base::Logged, "CertificateNotValid", "the certificate is valid from", as_it_is).leaf(Leaf { before: 1200, ..Leaf::GOOD }),
    case("certificate: huge", Base::Logged, "MalformedCertificate", "larger than any", |a, _| { let text = a.annotation(CERTIFICATE).repeat(400); a.annotate(CERTIFICATE, text); }).cosign_accepts("it takes the first of many certificates"),
    case("chain: of a strange authority that comes along", Base::Logged, "UntrustedCertificate", "does not come from an authority", as_it_is).leaf(Leaf { by: By::Stranger, ..Leaf::GOOD }),
    case("chain: an authority between ended long before", Base::Logged, "UntrustedCertificate", "does not come from an authority", as_it_is).leaf(Leaf { by: By::Ended, ..Leaf::GOOD }),
    case("chain: rubbish beside the certificate", Base::Logged, "MalformedCertificate", "the chain beside it is not PEM", |a, _| a.annotate(CHAIN, "-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")),
    case("wrong trust root", Base::Logged, "UntrustedCertificate", "does not come from an authority", |a, _| a.wrong_root = true),
    // Signed certificate timestamp.
    case("SCT: left out", Base::Logged, "SctInvalid", "holds no signed certificate timestamp", as_it_is).leaf(Leaf { word: Word::Missing, ..Leaf::GOOD }),
    case("SCT: of an unknown log", Base::Logged, "SctInvalid", "of unknown logs", as_it_is).leaf(Leaf { word: Word::OfStranger, ..Leaf::GOOD }),
    case("SCT: about another certificate", Base::Logged, "SctInvalid", "timestamp does not verify", as_it_is).leaf(Leaf { word: Word::OfAnother, ..Leaf::GOOD }),
    case("SCT: rubbish", Base::Logged, "SctInvalid", "do not decode", as_it_is).leaf(Leaf { word: Word::Rubbish, ..Leaf::GOOD }),
    // Log entry.
    case("entry: left out", Base::Logged, "NoProofOfTime", "neither a log entry nor a timestamp", |a, _| drop(a.annotations.remove(ENTRY))),
    case("entry: its time changed", Base::Logged, "LogEntryInvalid", "signed entry timestamp", |a, _| edit_entry(a, |entry| entry["Payload"]["integratedTime"] = json!(Forge::then() - 9))),
    case("entry: its number changed", Base::Logged, "LogEntryInvalid", "signed entry timestamp", |a, _| edit_entry(a, |entry| entry["Payload"]["logIndex"] = json!(7))),
    case("entry: of another signature", Base::Logged, "LogEntryInvalid", "it has another", |a, f| {
        let (content, signature) = (a.content.clone(), a.annotation(SIGNATURE));
        let certificate = a.annotation(CERTIFICATE);
        a.sign("another payload");
        a.log(f, &certificate, true);
        a.annotate(SIGNATURE, signature);
        a.content = content;
    }),
    case("entry: of an unknown log", Base::Logged, "LogEntryInvalid", "which the trust root does not have", |a, f| { let text = a.annotation(CERTIFICATE); a.log(f, &text, false); }),
    case("entry: truncated", Base::Logged, "LogEntryInvalid", "does not decode", |a, _| { let text = a.annotation(ENTRY)[..100].to_owned(); a.annotate(ENTRY, text); }),
    // Timestamp.
    case("timestamp: left out", Base::Stamped, "NoProofOfTime", "neither a log entry nor a timestamp", |a, _| drop(a.annotations.remove(STAMP))).cosign_accepts("told to ignore logs, it is content with a certificate that is valid now"),
    case("timestamp: over another signature", Base::Stamped, "TimestampInvalid", "another", |a, _| { let (text, _) = a.stamps.clone().unwrap(); a.annotate(STAMP, text); }),
    case("timestamp: of a strange authority", Base::Stamped, "TimestampInvalid", "timestamp", |a, _| { let (_, text) = a.stamps.clone().unwrap(); a.annotate(STAMP, text); }),
    case("timestamp: truncated", Base::Stamped, "TimestampInvalid", "timestamp", |a, _| {
        let text: Value = serde_json::from_str(&a.annotation(STAMP)).unwrap();
        let der = BASE64_STANDARD.decode(text["SignedRFC3161Timestamp"].as_str().unwrap()).unwrap();
        a.annotate(STAMP, json!({"SignedRFC3161Timestamp": BASE64_STANDARD.encode(&der[..der.len() / 2])}).to_string());
    }),
    case("timestamp: after the end of the certificate", Base::Stamped, "CertificateNotValid", "the certificate is valid from", as_it_is).leaf(Leaf { before: 1200, ..Leaf::GOOD }),
    // Bundle.
    case("bundle: of another image", Base::Bundled, "OtherImage", "it was made for another image", |a, f| { let next = a.next.clone(); a.bundle_about(f, &next); }),
    case("bundle: the statement changed", Base::Bundled, "SignatureMismatch", "the content was changed", |a, _| a.edit(|bundle| {
        let text = String::from_utf8(BASE64_STANDARD.decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap()).unwrap();
        bundle["dsseEnvelope"]["payload"] = json!(BASE64_STANDARD.encode(text.replace("buildDefinition", "buildDefinitely")));
    })),
    case("bundle: truncated", Base::Bundled, "MalformedBundle", "does not decode", |a, _| a.rewrite(|text| text[..500].to_owned())),
    case("duplicated field: two payloads in the bundle", Base::Bundled, "MalformedBundle", "does not decode", |a, _| a.rewrite(|text| twice(&text, "payload", "\"e30=\""))),
    case("bundle: the entry's path to the root changed", Base::Bundled, "LogEntryInvalid", "inclusion proof", |a, _| a.edit(|bundle| { let hash = &mut bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["hashes"][0]; *hash = json!(BASE64_STANDARD.encode([7; 32])); })),
    case("bundle: the entry's checkpoint changed", Base::Bundled, "LogEntryInvalid", "checkpoint", |a, _| a.edit(|bundle| { let checkpoint = &mut bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["checkpoint"]["envelope"]; *checkpoint = json!(checkpoint.as_str().unwrap().replacen("rekor.test", "other.test", 1)); })),
    case("bundle: the entry of an unknown log", Base::Bundled, "LogEntryInvalid", "which the trust root does not have", |a, f| {
        let text: Value = serde_json::from_slice(&a.content).unwrap();
        let statement = BASE64_STANDARD.decode(text["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap();
        a.bundle(f, &Leaf::GOOD, false, std::str::from_utf8(&statement).unwrap());
    }),
    case("bundle: huge, 33 entries", Base::Bundled, "MalformedBundle", "more than 32", |a, _| a.edit(|bundle| { let entries = &mut bundle["verificationMaterial"]["tlogEntries"]; let one = entries[0].clone(); *entries = json!(vec![one; 33]); })),
];
