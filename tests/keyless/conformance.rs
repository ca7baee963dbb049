//! The verification cases of sigstore-conformance, from a copy that somebody has fetched (`hack/conformance`): a bundle, an
//! artifact, perhaps a trust root or a key, and in the name of the folder whether it has to fail.

use std::path::{Path, PathBuf};

use hallmark::signature::bundle::Bundle;
use hallmark::signature::covered::Covered;
use hallmark::signature::public_key::PublicKey;
use hallmark::signature::trusted_root::TrustedRoot;
use hallmark::signature::verification::{Demands, Identity, Trusted, verify};
use jiff::Timestamp;

/// Whose certificates the cases have, unless they say otherwise.
const NAME: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";
const DEMANDS: Demands = Demands { entry: true, timestamp: false, time: true, certificate_log: true };

/// A folder of the suite.
struct Case(PathBuf);

impl Case {
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.0.join(name)).ok()
    }

    fn text(&self, name: &str, usual: &str) -> String {
        self.read(name)
            .map_or_else(|| usual.to_owned(), |text| String::from_utf8(text).unwrap().trim().to_owned())
    }

    /// Why it is refused.
    fn judged(&self) -> Result<(), String> {
        let said = |error: &dyn std::error::Error| hallmark::error::chain(error);
        let production = sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes().to_vec();
        let root = self.read("trusted_root.json").unwrap_or(production);
        let root = TrustedRoot::read(&root).map_err(|error| said(&error))?;
        let bundle =
            Bundle::read(&self.read("bundle.sigstore.json").unwrap()).map_err(|error| said(&error))?;
        let artifact = self
            .read("artifact")
            .unwrap_or_else(|| std::fs::read(self.0.parent().unwrap().join("a.txt")).unwrap());
        let key = self.read("key.pub").map(|pem| PublicKey::from_pem(&String::from_utf8_lossy(&pem)));
        let key = key.map(|key| key.ok_or("its key is of no kind that is known here")).transpose()?;
        let signature = bundle.signature(Some(&artifact), key.as_ref());
        let signature = signature.ok_or("it needs a key, or is about another artifact")?;
        if let Covered::Envelope { payload, .. } = signature.covered {
            let statement: serde_json::Value =
                serde_json::from_slice(payload).map_err(|error| said(&error))?;
            let hex = hallmark::artifact::digest::Digest::of(&artifact).hex();
            let subjects = statement["subject"].as_array().ok_or("no subject")?;
            if !subjects.iter().any(|subject| subject["digest"]["sha256"] == hex.as_str()) {
                return Err("it is about something else".into());
            }
        }
        let (name, issuer) = (self.text("identity", NAME), self.text("issuer", ISSUER));
        let (name, issuer) = (|found: &str| found == name, |found: &str| found == issuer);
        let trusted = key
            .as_ref()
            .map_or_else(|| Trusted::Identity(Identity { name: &name, issuer: &issuer }), Trusted::Key);
        let demands = if key.is_some() { Demands { time: false, ..DEMANDS } } else { DEMANDS };
        verify(&signature, &bundle.evidence, trusted, &root, demands, Timestamp::now())
            .map(|_| ())
            .map_err(|error| said(&error))
    }
}

#[test]
#[ignore = "needs a copy of sigstore-conformance; run by hack/conformance"]
fn bundles_of_sigstore_conformance_are_judged_as_the_suite_wants() {
    let folder = std::env::var_os("HALLMARK_CONFORMANCE").expect("HALLMARK_CONFORMANCE names no folder");
    let cases = Path::new(&folder).join("test/assets/bundle-verify");
    let mut folders: Vec<_> = std::fs::read_dir(cases)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let mut wrong = Vec::new();
    for folder in &folders {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let judged = Case(folder.clone()).judged();
        println!("{name}: {}", judged.as_ref().map_or_else(String::as_str, |()| "accepted"));
        if judged.is_err() != name.ends_with("_fail") {
            wrong.push(name);
        }
    }
    assert!(folders.len() > 50, "only {} cases", folders.len());
    assert!(wrong.is_empty(), "{} of {} are judged otherwise: {wrong:#?}", wrong.len(), folders.len());
}
