//! What is recognised as ours, by key and by identity, and what only looks like it.

use super::super::certificate::tests::{Leaf, NAME, TOKEN_ISSUER, authority, chain};
use super::super::key::Key;
use super::super::{Signature, Signed, bundle};
use super::*;
use crate::artifact::image::Image;
use crate::payload::{image_statement, simple_signing};

fn image() -> Image {
    let digest = format!("sha256:{}", "ab".repeat(32));
    Image { repository: "registry.test/app".parse().unwrap(), digest: digest.parse().unwrap() }
}

/// Somebody who signs with a certificate.
struct Certified {
    key: Key,
    pems: Vec<String>,
    root: Arc<TrustedRoot>,
}

impl Certified {
    fn named(name: &'static str) -> Self {
        let (key, authority) = (Key::generate("run").unwrap(), authority());
        let pems = chain(&authority, key.public_key(), &Leaf { name, ..Leaf::default() });
        let root = vec![vec![pem::parse(authority.pem()).unwrap().into_contents()]];
        Self { key, pems, root: Arc::new(TrustedRoot::of_authorities(&root).unwrap()) }
    }

    fn signatory(&self, name: &str, issuer: Option<&str>) -> Signatory {
        let (name, issuer) = (name.to_owned(), issuer.map(str::to_owned));
        Signatory::Identity(Arc::new(Identity { name, issuer, root: Arc::clone(&self.root) }))
    }

    fn beside(&self) -> Beside<'_> {
        Beside { certificate: &self.pems[0], chain: &self.pems[1], ..Beside::default() }
    }

    fn signed(&self, payload: Payload) -> Signed {
        let message = dsse::pre_authentication_encoding(payload.media_type, &payload.bytes);
        let bytes = self.key.sign_now(&message).unwrap();
        let certificate = Some(Arc::new(Certificate::read(&self.pems).unwrap()));
        let signature = Signature { bytes, key: self.key.public_key().clone(), certificate };
        let envelope = dsse::envelope(payload.media_type, &payload.bytes, "", &signature.bytes);
        let signatory = self.signatory(NAME, Some(TOKEN_ISSUER));
        Signed::new(Arc::new(payload), signature, Some(envelope), signatory)
    }
}

#[test]
fn an_identity_is_recognised_by_name_issuer_and_authority_whatever_key_signed() {
    let payload = simple_signing(&image()).unwrap();
    let ours = Certified::named(NAME);
    let signature = ours.key.sign_now(&payload.bytes).unwrap();
    let signatory = ours.signatory(NAME, Some(TOKEN_ISSUER));
    assert!(signatory.signed(&payload, &signature, ours.beside()));
    assert!(ours.signatory(NAME, None).signed(&payload, &signature, ours.beside()));
    for other in [
        ours.signatory("https://kubernetes.io/namespaces/x/serviceaccounts/y", Some(TOKEN_ISSUER)),
        ours.signatory(NAME, Some("https://other.test")),
        Certified::named(NAME).signatory(NAME, Some(TOKEN_ISSUER)),
    ] {
        assert!(!other.signed(&payload, &signature, ours.beside()), "{other:?}");
    }
}

#[test]
fn rubbish_beside_a_signature_suppresses_nothing() {
    let payload = simple_signing(&image()).unwrap();
    let (ours, theirs) = (Certified::named(NAME), Certified::named(NAME));
    let signatory = ours.signatory(NAME, Some(TOKEN_ISSUER));
    let signature = theirs.key.sign_now(&payload.bytes).unwrap();
    for beside in
        [theirs.beside(), ours.beside(), Beside::default(), Beside { certificate: "x", ..ours.beside() }]
    {
        assert!(!signatory.signed(&payload, &signature, beside));
    }
}

#[test]
fn a_key_is_recognised_by_its_signature_alone() {
    let payload = simple_signing(&image()).unwrap();
    let (key, other) = (Key::generate("a").unwrap(), Key::generate("b").unwrap());
    let signature = key.sign_now(&payload.bytes).unwrap();
    let signatory = Signatory::Key(key.public_key().clone());
    assert!(signatory.signed(&payload, &signature, Beside::default()));
    assert!(!Signatory::Key(other.public_key().clone()).signed(&payload, &signature, Beside::default()));
    assert_eq!(signatory.id(), key.public_key().id());
}

#[test]
fn a_bundle_is_recognised_as_what_lies_under_a_tag_is() {
    let ours = Certified::named(NAME);
    let signed = ours.signed(image_statement(&image()));
    let json = bundle::write(&signed.view(), &signed.evidence).unwrap();
    let read = Bundle::read(&json).unwrap();
    assert!(signed.signatory.signed_bundle(&signed.payload, &read));
    let elsewhere = Certified::named(NAME).signatory(NAME, Some(TOKEN_ISSUER));
    assert!(!elsewhere.signed_bundle(&signed.payload, &read));
    let other = Image { digest: format!("sha256:{}", "cd".repeat(32)).parse().unwrap(), ..image() };
    assert!(!signed.signatory.signed_bundle(&image_statement(&other), &read));
    assert!(
        !Signatory::Key(Key::generate("k").unwrap().public_key().clone())
            .signed_bundle(&signed.payload, &read)
    );
}

#[test]
fn the_length_of_an_envelope_is_foreseen_within_what_ecdsa_varies_by() {
    let ours = Certified::named(NAME);
    let signed = ours.signed(image_statement(&image()));
    let length = dsse::envelope(
        signed.payload.media_type,
        &signed.payload.bytes,
        ours.key.public_key().id(),
        &signed.signature.bytes,
    )
    .len();
    assert!(signed.signatory.typical_envelope_length(&signed.payload).abs_diff(length) <= 8);
}
