//! A transparency log made by the test, of either version, and the trust root that knows it: entries with every proof
//! that real logs give, so that each proof can be broken by itself. That they have the real form is for cosign to say.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// A log: version 1 signs with P-256, version 2 with Ed25519.
pub struct MadeLog {
    key: SigningKey,
    /// Where it is said to be.
    pub url: String,
    /// What its trees are called: the host of its address.
    pub origin: String,
    leaves: Vec<Vec<u8>>,
}

enum SigningKey {
    V1(EcdsaKeyPair),
    V2(Ed25519KeyPair),
}

impl MadeLog {
    pub fn v1(url: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Self::with(SigningKey::V1(pair), url)
    }

    pub fn v2(url: &str) -> Self {
        Self::with(SigningKey::V2(Ed25519KeyPair::generate().unwrap()), url)
    }

    fn with(key: SigningKey, url: &str) -> Self {
        let origin = url.split("://").nth(1).unwrap().split([':', '/']).next().unwrap().to_owned();
        // Others were there before.
        Self { key, url: url.to_owned(), origin, leaves: vec![b"first".to_vec(), b"second".to_vec()] }
    }

    /// As `SubjectPublicKeyInfo`.
    pub fn key_der(&self) -> Vec<u8> {
        match &self.key {
            SigningKey::V1(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            SigningKey::V2(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
        }
    }

    pub fn key_pem(&self) -> String {
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_config(&pem::Pem::new("PUBLIC KEY", self.key_der()), config)
    }

    /// The hash of its key, in version 2 together with its name.
    pub fn id(&self) -> Vec<u8> {
        match &self.key {
            SigningKey::V1(_) => sha256(&self.key_der()),
            SigningKey::V2(pair) => {
                sha256(&[self.origin.as_bytes(), b"\n\x01", pair.public_key().as_ref()].concat())
            }
        }
    }

    /// Its signature over `message`.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.key {
            SigningKey::V1(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            SigningKey::V2(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// What Rekor of version 1 answers to `proposal` at `seconds`.
    pub fn answer_v1(&mut self, proposal: &Value, seconds: i64) -> Value {
        let body = body_v1(proposal);
        let (index, checkpoint) = self.append(&body);
        // The number of another shard's entries is in front.
        let log_index = index + 1000;
        let (body, log_id) = (base64(&body), hex::encode(self.id()));
        let promised = format!(
            r#"{{"body":"{body}","integratedTime":{seconds},"logID":"{log_id}","logIndex":{log_index}}}"#
        );
        let hashes: Vec<_> = path(&self.leaves, index).iter().map(hex::encode).collect();
        let proof = json!({
            "checkpoint": checkpoint, "hashes": hashes, "logIndex": index,
            "rootHash": hex::encode(root(&self.leaves)), "treeSize": self.leaves.len(),
        });
        let id = format!("{}{}", "0".repeat(16), hex::encode(leaf(self.leaves.last().unwrap())));
        let set = base64(&self.sign(promised.as_bytes()));
        json!({ id: {
            "body": body, "integratedTime": seconds, "logID": log_id, "logIndex": log_index,
            "verification": { "inclusionProof": proof, "signedEntryTimestamp": set },
        }})
    }

    /// What Rekor of version 2 answers to `request`.
    pub fn answer_v2(&mut self, request: &Value) -> Value {
        let request = &request["hashedRekordRequestV002"];
        let body = json!({
            "apiVersion": "0.0.2",
            "kind": "hashedrekord",
            "spec": { "hashedRekordV002": {
                "data": { "algorithm": "SHA2_256", "digest": request["digest"] },
                "signature": request["signature"],
            }},
        });
        let body = body.to_string().into_bytes();
        let (index, checkpoint) = self.append(&body);
        let hashes: Vec<_> = path(&self.leaves, index).iter().map(|hash| base64(hash)).collect();
        json!({
            "logIndex": index.to_string(),
            "logId": { "keyId": base64(&self.id()) },
            "kindVersion": { "kind": "hashedrekord", "version": "0.0.2" },
            "integratedTime": "0",
            "inclusionProof": {
                "logIndex": index.to_string(), "rootHash": base64(&root(&self.leaves)),
                "treeSize": self.leaves.len().to_string(), "hashes": hashes,
                "checkpoint": { "envelope": checkpoint },
            },
            "canonicalizedBody": base64(&body),
        })
    }

    fn append(&mut self, body: &[u8]) -> (usize, String) {
        self.leaves.push(body.to_vec());
        let name = match &self.key {
            SigningKey::V1(_) => format!("{} - 42", self.origin),
            SigningKey::V2(_) => self.origin.clone(),
        };
        let text = format!("{name}\n{}\n{}\n", self.leaves.len(), base64(&root(&self.leaves)));
        let signature = [&self.id()[..4], &self.sign(text.as_bytes())].concat();
        (self.leaves.len() - 1, format!("{text}\n\u{2014} {} {}\n", self.origin, base64(&signature)))
    }

    /// The log as a trust root lists it.
    pub fn listed(&self) -> Value {
        json!({
            "baseUrl": self.url,
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": base64(&self.key_der()),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": { "start": "2023-01-01T00:00:00Z", "end": "2024-01-01T00:00:00Z" },
            },
            "logId": { "keyId": base64(&self.id()) },
        })
    }
}

/// An authority as a trust root lists it, by its certificates.
pub fn listed_authority(ders: &[Vec<u8>]) -> Value {
    let certificates: Vec<_> = ders.iter().map(|der| json!({ "rawBytes": base64(der) })).collect();
    json!({
        "subject": { "organization": "test", "commonName": "test" },
        "uri": "https://authority.test",
        "certChain": { "certificates": certificates },
        "validFor": { "start": "2023-01-01T00:00:00Z" },
    })
}

/// A trust root of what is listed.
pub fn trusted_root(
    authorities: &[Value],
    logs: &[Value],
    certificate_logs: &[Value],
    stamps: &[Value],
) -> Value {
    json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": logs,
        "certificateAuthorities": authorities,
        "ctlogs": certificate_logs,
        "timestampAuthorities": stamps,
    })
}

/// What Rekor of version 1 keeps of a proposal.
fn body_v1(proposal: &Value) -> Vec<u8> {
    let spec = &proposal["spec"];
    if proposal["kind"] == "hashedrekord" {
        return json!({ "apiVersion": "0.0.1", "kind": "hashedrekord", "spec": spec })
            .to_string()
            .into_bytes();
    }
    let envelope = spec["proposedContent"]["envelope"].as_str().unwrap();
    let read: Value = serde_json::from_str(envelope).unwrap();
    let payload = BASE64_STANDARD.decode(read["payload"].as_str().unwrap()).unwrap();
    let hash = |bytes: &[u8]| json!({ "algorithm": "sha256", "value": hex::encode(sha256(bytes)) });
    let signature = json!({
        "signature": read["signatures"][0]["sig"],
        "verifier": spec["proposedContent"]["verifiers"][0],
    });
    let spec = json!({
        "envelopeHash": hash(envelope.as_bytes()),
        "payloadHash": hash(&payload),
        "signatures": [signature],
    });
    json!({ "apiVersion": "0.0.1", "kind": "dsse", "spec": spec }).to_string().into_bytes()
}

fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn leaf(bytes: &[u8]) -> Vec<u8> {
    sha256(&[&[0], bytes].concat())
}

/// RFC 6962 §2.1.
fn root(leaves: &[Vec<u8>]) -> Vec<u8> {
    if let [one] = leaves {
        return leaf(one);
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    sha256(&[&[1], &root(left)[..], &root(right)].concat())
}

/// RFC 6962 §2.1.1.
fn path(leaves: &[Vec<u8>], index: usize) -> Vec<Vec<u8>> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let middle = split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    let (mut hashes, other) = if index < middle {
        (path(left, index), root(right))
    } else {
        (path(right, index - middle), root(left))
    };
    hashes.push(other);
    hashes
}

/// The largest power of two below.
fn split(count: usize) -> usize {
    count.next_power_of_two() / 2
}
