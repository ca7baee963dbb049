//! A signed image in a registry, and the two who judge it. Every part of what lies beside the image can be changed before
//! it is put there.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hallmark::signature::dsse;
use hallmark::signature::key::Key;
use serde_json::{Map, Value, json};

use super::forge::{Forge, ISSUER, Leaf, NAME, new_key};
use crate::support::{Finished, Hallmark, PlainRegistry, PushedImage, http_client, run};

pub const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
pub const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
pub const CHAIN: &str = "dev.sigstore.cosign/chain";
pub const ENTRY: &str = "dev.sigstore.cosign/bundle";
pub const STAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

/// What is signed, how, and where it lies.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Base {
    /// The image, by a key, under cosign's tag.
    Key,
    /// A statement, by a key, under cosign's tag.
    Attested,
    /// The image, by a certificate with a log entry, under cosign's tag.
    Logged,
    /// The image, by a certificate with a timestamp, under cosign's tag.
    Stamped,
    /// The image, by a certificate with a log entry and its proof, in a bundle.
    Bundled,
}

pub struct Artifact {
    pub base: Base,
    /// The image that is signed, and the one to which its tag leads since.
    pub image: PushedImage,
    pub next: PushedImage,
    /// The image beside which the signature is hung.
    pub hung_on: PushedImage,
    /// What is verified.
    pub asked: String,
    pub key: Arc<Key>,
    pub content: Vec<u8>,
    pub media_type: String,
    pub annotations: Map<String, Value>,
    /// Whether the content is in the registry.
    pub there: bool,
    /// Makes something else of the manifest.
    pub manifest: fn(Value) -> String,
    pub wrong_root: bool,
    /// Timestamps of the known authority over something else, and of a strange one over the signature.
    pub stamps: Option<(String, String)>,
}

pub fn payload(image: &PushedImage) -> String {
    json!({"critical": {"identity": {"docker-reference": image.repository},
        "image": {"docker-manifest-digest": image.digest}, "type": "cosign container image signature"},
        "optional": null})
    .to_string()
}

fn statement(image: &PushedImage, kind: &str) -> String {
    json!({"_type": "https://in-toto.io/Statement/v1", "predicateType": kind, "predicate": {"buildDefinition": {}},
        "subject": [{"name": image.repository, "digest": {"sha256": image.digest.strip_prefix("sha256:").unwrap()}}]})
    .to_string()
}

impl Artifact {
    /// A good one.
    pub async fn new(
        forge: &Forge,
        registry: &PlainRegistry,
        base: Base,
        leaf: &Leaf,
        repository: &str,
    ) -> Self {
        let (image, next) = (registry.put_image(repository).await, registry.put_image(repository).await);
        let mut made = Self {
            base,
            hung_on: image.clone(),
            asked: image.by_digest(),
            image,
            next,
            key: new_key(),
            content: Vec::new(),
            media_type: SIMPLE.to_owned(),
            annotations: Map::new(),
            there: true,
            manifest: |manifest| manifest.to_string(),
            wrong_root: false,
            stamps: None,
        };
        match base {
            Base::Key => made.sign(&payload(&made.image)),
            Base::Attested => made.attest(&statement(&made.image, PROVENANCE)),
            Base::Logged => made.certify(forge, leaf),
            Base::Stamped => made.stamp(forge, leaf).await,
            Base::Bundled => made.bundle(forge, leaf, true, &statement(&made.image, IMAGE)),
        }
        made
    }

    /// Signs `payload`, whatever it says.
    pub fn sign(&mut self, payload: &str) {
        self.content = payload.as_bytes().to_vec();
        let signature = self.key.sign_now(&self.content).unwrap();
        self.annotate(SIGNATURE, BASE64_STANDARD.encode(signature));
    }

    /// Signs a statement, whatever it says.
    pub fn attest(&mut self, statement: &str) {
        self.media_type = ENVELOPE.into();
        self.annotate("predicateType", PROVENANCE);
        self.annotate(SIGNATURE, "");
        self.content = envelope(&self.key, statement);
    }

    /// Signs the image with another certificate, and logs it.
    pub fn certify(&mut self, forge: &Forge, leaf: &Leaf) {
        self.sign(&payload(&self.image));
        let (certificate, chain) = forge.certificate(&self.key, leaf, Forge::then());
        self.log(forge, &certificate, true);
        self.annotate(CERTIFICATE, certificate);
        self.annotate(CHAIN, chain);
    }

    /// Puts an entry of a log, or a strange one, beside the signature.
    pub fn log(&mut self, forge: &Forge, certificate: &str, known: bool) {
        let answer = forge.logged(&self.content, &self.signature(), certificate, known);
        let names = ["body", "integratedTime", "logIndex", "logID"];
        let payload: Map<_, _> =
            names.map(|name| (name.to_owned(), answer[name].clone())).into_iter().collect();
        let promise = &answer["verification"]["signedEntryTimestamp"];
        self.annotate(ENTRY, json!({"SignedEntryTimestamp": promise, "Payload": payload}).to_string());
    }

    async fn stamp(&mut self, forge: &Forge, leaf: &Leaf) {
        self.sign(&payload(&self.image));
        let (certificate, chain) = forge.certificate(&self.key, leaf, jiff::Timestamp::now().as_second());
        self.annotate(CERTIFICATE, certificate);
        self.annotate(CHAIN, chain);
        let signature = self.signature();
        self.annotate(STAMP, forge.stamp(&signature, true).await);
        self.stamps = Some((forge.stamp(b"another", true).await, forge.stamp(&signature, false).await));
    }

    /// A bundle with a statement that the image is signed, or with another statement.
    pub fn bundle(&mut self, forge: &Forge, leaf: &Leaf, known: bool, statement: &str) {
        let (certificate, _) = forge.certificate(&self.key, leaf, Forge::then());
        let envelope = String::from_utf8(envelope(&self.key, statement)).unwrap();
        let answer = forge.logged_envelope(&envelope, &certificate, known);
        let (proof, of_hex) = (&answer["verification"]["inclusionProof"], |value: &Value| {
            BASE64_STANDARD.encode(hex::decode(value.as_str().unwrap()).unwrap())
        });
        let hashes: Vec<_> = proof["hashes"].as_array().unwrap().iter().map(of_hex).collect();
        let entry = json!({"logIndex": answer["logIndex"].to_string(), "logId": {"keyId": of_hex(&answer["logID"])},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": answer["integratedTime"].to_string(), "canonicalizedBody": answer["body"],
            "inclusionPromise": {"signedEntryTimestamp": answer["verification"]["signedEntryTimestamp"]},
            "inclusionProof": {"logIndex": proof["logIndex"].to_string(), "rootHash": of_hex(&proof["rootHash"]),
                "treeSize": proof["treeSize"].to_string(), "hashes": hashes,
                "checkpoint": {"envelope": proof["checkpoint"]}}});
        let der = pem::parse(&certificate).unwrap().into_contents();
        let envelope: Value = serde_json::from_str(&envelope).unwrap();
        self.media_type = BUNDLE.into();
        self.content = json!({"mediaType": BUNDLE, "dsseEnvelope": envelope, "verificationMaterial": {
            "certificate": {"rawBytes": BASE64_STANDARD.encode(der)}, "tlogEntries": [entry],
            "timestampVerificationData": {}}})
        .to_string()
        .into_bytes();
    }

    /// A bundle that says that `image` is signed.
    pub fn bundle_about(&mut self, forge: &Forge, image: &PushedImage) {
        self.bundle(forge, &Leaf::GOOD, true, &statement(image, IMAGE));
    }

    pub fn attest_about(&mut self, image: &PushedImage) {
        self.attest(&statement(image, PROVENANCE));
    }

    pub fn annotate(&mut self, name: &str, text: impl Into<String>) {
        self.annotations.insert(name.to_owned(), json!(text.into()));
    }

    pub fn annotation(&self, name: &str) -> String {
        self.annotations[name].as_str().unwrap().to_owned()
    }

    /// The raw signature beside the content.
    pub fn signature(&self) -> Vec<u8> {
        BASE64_STANDARD.decode(self.annotation(SIGNATURE)).unwrap()
    }

    /// The content as text becomes another.
    pub fn rewrite(&mut self, change: impl FnOnce(String) -> String) {
        self.content = change(String::from_utf8(self.content.clone()).unwrap()).into_bytes();
    }

    /// The content as JSON becomes another.
    pub fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        let mut content = serde_json::from_slice(&self.content).unwrap();
        change(&mut content);
        self.content = content.to_string().into_bytes();
    }

    /// Puts everything into the registry.
    pub async fn put(&self, registry: &PlainRegistry) {
        let (host, repository) = self.image.repository.split_once('/').unwrap();
        assert_eq!(host, registry.host());
        let (http, base) = (http_client(None), format!("http://{host}/v2/{repository}"));
        let mut blobs = vec![b"{}".to_vec()];
        blobs.extend(self.there.then(|| self.content.clone()));
        for blob in blobs {
            let url = format!("{base}/blobs/uploads/?digest={}", digest(&blob));
            http.post(url).body(blob).send().await.unwrap().error_for_status().unwrap();
        }
        let put = async |name: &str, kind: &str, manifest: String| {
            let put =
                http.put(format!("{base}/manifests/{name}")).header("Content-Type", kind).body(manifest);
            put.send().await.unwrap().error_for_status().unwrap();
        };
        let layer = json!({"mediaType": self.media_type, "digest": digest(&self.content),
            "size": self.content.len(), "annotations": self.annotations});
        let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(b"{}"), "size": 2});
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        let tag = self.hung_on.digest.replace(':', "-");
        match self.base {
            Base::Attested => put(&format!("{tag}.att"), MANIFEST, (self.manifest)(manifest)).await,
            Base::Bundled => {
                let url = format!("{base}/manifests/{}", self.hung_on.digest);
                let subject = http.get(url).send().await.unwrap().bytes().await.unwrap();
                let mut manifest = manifest;
                manifest["artifactType"] = json!(BUNDLE);
                manifest["config"]["mediaType"] = json!("application/vnd.oci.empty.v1+json");
                manifest["subject"] =
                    json!({"mediaType": MANIFEST, "digest": self.hung_on.digest, "size": subject.len()});
                manifest["annotations"] = json!({"dev.sigstore.bundle.content": "dsse-envelope",
                    "dev.sigstore.bundle.predicateType": IMAGE});
                let manifest = (self.manifest)(manifest);
                let name = digest(manifest.as_bytes());
                let listed = json!({"mediaType": MANIFEST, "digest": name, "size": manifest.len(), "artifactType": BUNDLE,
                    "annotations": {"dev.sigstore.bundle.content": "dsse-envelope",
                        "dev.sigstore.bundle.predicateType": IMAGE}});
                put(&name, MANIFEST, manifest).await;
                // For registries without a list of referrers.
                let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [listed]});
                put(&tag, INDEX, index.to_string()).await;
            }
            _ => put(&format!("{tag}.sig"), MANIFEST, (self.manifest)(manifest)).await,
        }
    }

    /// What `hallmark verify` answers.
    pub async fn hallmark(&self, forge: &Forge) -> Finished {
        let (root, key) = (self.root(forge), self.key_file(forge));
        let by: Vec<&str> = match self.base {
            Base::Key => vec!["--key", key.to_str().unwrap()],
            Base::Attested => vec!["--key", key.to_str().unwrap(), "--type", "slsaprovenance1"],
            _ => vec![
                "--trusted-root",
                root.to_str().unwrap(),
                "--certificate-identity",
                NAME,
                "--certificate-oidc-issuer",
                ISSUER,
            ],
        };
        Hallmark::run(&[&["verify", &self.asked], &by[..]].concat(), &[]).await
    }

    /// What `cosign verify` answers to the same question.
    pub async fn cosign(&self, forge: &Forge) -> Finished {
        let command = if self.base == Base::Attested { "verify-attestation" } else { "verify" };
        let mut command = forge.cosign.reaching_nobody(&[command, "--allow-http-registry"]);
        command.arg(format!("--new-bundle-format={}", self.base == Base::Bundled));
        match self.base {
            Base::Key => command.arg("--insecure-ignore-tlog").arg("--key").arg(self.key_file(forge)),
            Base::Attested => command
                .args(["--type", "slsaprovenance1", "--insecure-ignore-tlog", "--key"])
                .arg(self.key_file(forge)),
            _ => command.arg("--trusted-root").arg(self.root(forge)).args([
                "--certificate-identity",
                NAME,
                "--certificate-oidc-issuer",
                ISSUER,
            ]),
        };
        if self.base == Base::Stamped {
            command.args(["--use-signed-timestamps", "--insecure-ignore-tlog"]);
        }
        judged(command, &self.asked).await
    }

    fn root(&self, forge: &Forge) -> PathBuf {
        if self.wrong_root { forge.wrong_root.clone() } else { forge.root.clone() }
    }

    fn key_file(&self, forge: &Forge) -> PathBuf {
        forge.key_file(&self.key, &format!("{}.pub", self.image.digest.replace(':', "-")))
    }
}

/// cosign says of an image that it is signed, in a bundle.
pub const IMAGE: &str = hallmark::signature::bundle::IMAGE_PREDICATE;

fn envelope(key: &Key, statement: &str) -> Vec<u8> {
    let message = dsse::pre_authentication_encoding(IN_TOTO, statement.as_bytes());
    dsse::envelope(IN_TOTO, statement.as_bytes(), "", &key.sign_now(&message).unwrap())
}

fn digest(content: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content);
    format!("sha256:{}", hex::encode(hash))
}

async fn judged(mut command: Command, image: &str) -> Finished {
    command.env("NO_PROXY", "127.0.0.1").arg(image);
    run(command).await
}
