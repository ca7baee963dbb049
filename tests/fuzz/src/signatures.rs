//! What verification and admission read: policies, certificates, bundles, and the manifests around them. Whatever it is,
//! nothing here may panic, and nothing that was made up may ever count as signed.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use hallmark::artifact::digest::Digest;
use hallmark::client::registry::Referrer;
use hallmark::policy::authority::Demand;
use hallmark::policy::check::{check, unverified_statement};
use hallmark::policy::material::Material;
use hallmark::policy::reference::Reference;
use hallmark::policy::trust::{Trust, Trusted, TrustedSigner};
use hallmark::policy::trust_root::TrustRootObject;
use hallmark::policy::verification::layers::{Form, layers};
use hallmark::policy::{ClusterImagePolicy, Rules};
use hallmark::signature::bundle::Bundle;
use hallmark::signature::certificate::Certificate;
use hallmark::signature::entry::Entry;
use hallmark::signature::public_key::PublicKey;
use hallmark::signature::timestamp::SignedTimestamp;
use hallmark::signature::trusted_root::TrustedRoot;
use hallmark::signature::verification::{Demands, certificate_holds};
use jiff::Timestamp;
use serde_json::Value;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
/// Of a key that is kept nowhere: whatever verifies with it was not made by it.
const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEKznsUeVLGVytX88FU21pJx+hUA4w
2+YPGM0VGQWqIRjhoJPPAMQPW35elbrAw1q/mfkzMijOTtbNlTAd/qqsfg==
-----END PUBLIC KEY-----
";

static TRUSTED: LazyLock<Trusted> = LazyLock::new(|| Trusted {
    by: TrustedSigner::Key(PublicKey::from_pem(KEY).unwrap()),
    root: Arc::default(),
    demands: Demands::default(),
    proof_of_time: false,
});

/// A policy and a `TrustRoot` in JSON: one of use exactly when nothing is wrong, with a path for all that is wrong; and
/// what is of use can be asked about images and trust.
pub fn policy(data: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Value>(data) else { return };
    let root = TrustRootObject::read(&document);
    assert_eq!(root.content.is_some(), root.notes.errors.is_empty());
    for rules in
        [Rules::default(), Rules { anchor_regexes: true, controller_namespace: Some("c".to_owned()) }]
    {
        let reading = ClusterImagePolicy::read(&document, &rules);
        assert_eq!(
            reading.notes,
            ClusterImagePolicy::read(&document, &rules).notes,
            "the same bytes, the same reading"
        );
        assert_eq!(reading.policy.is_some(), reading.notes.errors.is_empty());
        let Some(policy) = reading.policy else { continue };
        assert!(!policy.images.is_empty() && !policy.authorities.is_empty());
        for image in [
            "ubuntu",
            "ghcr.io/org/app:v1",
            "registry.test:5000/a/b/c@sha256:0000000000000000000000000000000000000000000000000000000000000000",
        ] {
            let image: Reference = image.parse().unwrap();
            let Some(glob) = policy.governs(&image) else { continue };
            for authority in &policy.authorities {
                let Demand::Signed(signed) = &authority.demand else { continue };
                let _ = Trust::default().of(signed);
                let place = signed.source.as_ref().and_then(|source| source.place.as_ref());
                let _ = place.map(|place| place.of(image.repository(), glob));
            }
        }
    }
}

/// Certificates, keys, trust roots and timestamps, in whatever form the bytes are one.
pub fn certificate(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for key in [PublicKey::from_der(data), PublicKey::from_pem(&text)].into_iter().flatten() {
        assert_eq!(PublicKey::from_pem(&key.to_pem()), Some(key), "a key survives its PEM");
    }
    if let Ok(timestamp) = SignedTimestamp::read(data.to_vec()) {
        let _ = timestamp.is_over(b"signature");
        assert!(timestamp.verify(&TrustedRoot::default(), b"signature", NOW).is_err(), "nobody is trusted");
    }
    let roots = [TrustedRoot::read(data).ok(), TrustedRoot::of_pem(&text).ok()];
    let read = [
        Certificate::of_ders(vec![data.to_vec()]),
        Certificate::from_pem(&text, ""),
        Certificate::from_pem(&text, &text),
    ];
    for certificate in read.into_iter().flatten() {
        let again = Certificate::of_ders(vec![certificate.leaf_der().to_vec()]).unwrap();
        assert_eq!((again.names(), again.issuer()), (certificate.names(), certificate.issuer()));
        let times = [certificate.beginning(), certificate.expiry(), NOW];
        let demands = Demands { certificate_log: true, ..Demands::default() };
        assert!(
            certificate_holds(&certificate, &TrustedRoot::default(), &times, demands).is_err(),
            "nobody is trusted"
        );
        for root in roots.iter().flatten() {
            let _ = certificate_holds(&certificate, root, &times[..1], demands);
        }
    }
}

/// A Sigstore bundle, an envelope, and the entry and timestamp of annotations: never a signature by a key that made none.
pub fn bundle(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(bundle) = Bundle::read(data) {
        for entry in &bundle.evidence.entries {
            let _ = (entry.holds_together(), entry.log_id(), entry.address("https://log.test"));
        }
    }
    if let Ok(entry) = Entry::of_annotation(&text) {
        let written = entry.to_annotation().unwrap();
        assert_eq!(Entry::of_annotation(&written).unwrap(), entry, "an entry survives its annotation");
    }
    let _ = SignedTimestamp::of_annotation(&text);
    let none = std::collections::BTreeMap::new();
    for material in [Material::bundle(data), Material::attestation(data, &none)].into_iter().flatten() {
        believed_by_nobody(&material);
    }
}

/// A manifest of signatures with the content of its layers, and an index of referrers.
pub fn manifest(data: &[u8]) {
    if let Some(listed) = Referrer::listed(data) {
        for referrer in listed.iter().take(1000) {
            let _ = referrer
                .digest
                .parse::<Digest>()
                .map(|digest| assert_eq!(digest.to_string(), referrer.digest));
        }
    }
    let Ok(layers) = layers(data) else { return };
    assert!(layers.len() <= 1000);
    for layer in &layers {
        let Ok(form) = Form::of(layer) else { continue };
        // What a layer holds lies elsewhere; here an annotation stands for it.
        let content =
            layer.annotations.as_ref().and_then(|all| all.get("content")).cloned().unwrap_or_default();
        if let Ok(material) = form.read(layer, &Bytes::from(content)) {
            believed_by_nobody(&material);
        }
    }
}

fn believed_by_nobody(material: &Material) {
    let image = Digest::of(b"image");
    let _ = (material.kind(), unverified_statement(material, &image));
    assert!(check(material, &image, &TRUSTED, NOW).is_err(), "nobody signed this");
}
