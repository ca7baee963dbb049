//! What Vault and `OpenBao` answer, read into values. Pure; whatever does not fit is nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;

use super::{KeyName, Lease, TransitKey};
use crate::credential::Redacted;
use crate::signature::public_key::PublicKey;

#[derive(Deserialize)]
struct Login {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: String,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Deserialize)]
struct LookUp {
    data: Lifetime,
}

#[derive(Deserialize)]
struct Lifetime {
    #[serde(default)]
    ttl: u64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Deserialize)]
struct Key {
    data: KeyData,
}

#[derive(Deserialize)]
struct KeyData {
    #[serde(default)]
    keys: BTreeMap<String, Value>,
    latest_version: u64,
    #[serde(rename = "type", default)]
    kind: String,
}

#[derive(Deserialize)]
struct Signed {
    data: SignedData,
}

#[derive(Deserialize)]
struct SignedData {
    signature: String,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    errors: Vec<String>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

/// The token of a login or a renewal.
pub(super) fn lease(answer: &[u8]) -> Option<Lease> {
    let Login { auth } = serde_json::from_slice(answer).ok()?;
    let token = Redacted::from(auth.client_token);
    (!token.is_empty()).then(|| Lease {
        token,
        lasts: seconds(auth.lease_duration),
        renewable: auth.renewable,
    })
}

/// How long a token lives, and whether it can be renewed.
pub(super) fn lifetime(answer: &[u8]) -> Option<(Option<Duration>, bool)> {
    let LookUp { data } = serde_json::from_slice(answer).ok()?;
    Some((seconds(data.ttl), data.renewable))
}

/// Vault writes 0 for what lives for ever.
fn seconds(number: u64) -> Option<Duration> {
    (number > 0).then(|| Duration::from_secs(number))
}

/// The newest version of `key`; else its kind, where that is the reason.
pub(super) fn key(answer: &[u8], key: &KeyName) -> Result<TransitKey, Option<String>> {
    let Key { data } = serde_json::from_slice(answer).map_err(|_| None)?;
    let version = data.latest_version;
    let public = data.keys.get(&version.to_string()).and_then(|known| known.get("public_key")?.as_str());
    let public = public.and_then(|text| match text {
        pem if pem.starts_with("-----") => PublicKey::from_pem(pem),
        raw => ed25519(raw),
    });
    public.map(|public| TransitKey { version, public }).ok_or_else(|| {
        tracing::debug!(key = %key.name, kind = %data.kind, "a key without a public half that is known here");
        // Bounded, since it is shown.
        Some(data.kind.chars().filter(|c| !c.is_control()).take(40).collect())
    })
}

/// Vault gives the 32 bytes alone.
fn ed25519(raw: &str) -> Option<PublicKey> {
    /// `SubjectPublicKeyInfo` up to the key itself (RFC 8410 §4).
    const PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    PublicKey::from_der(&[&PREFIX[..], &BASE64_STANDARD.decode(raw).ok()?].concat())
}

/// The signature of `vault:v3:…`, if it is by `version`.
pub(super) fn signature(answer: &[u8], version: u64) -> Option<Vec<u8>> {
    let Signed { data } = serde_json::from_slice(answer).ok()?;
    let (_, rest) = data.signature.split_once(':')?;
    let (by, signature) = rest.split_once(':')?;
    (by.strip_prefix('v')?.parse() == Ok(version)).then(|| BASE64_STANDARD.decode(signature).ok()).flatten()
}

/// The words of a refusal.
pub(super) fn said(body: &[u8]) -> String {
    let Ok(Failure { errors, warnings }) = serde_json::from_slice::<Failure>(body) else {
        return String::from_utf8_lossy(body).into_owned();
    };
    let words: Vec<String> = errors
        .into_iter()
        .chain(warnings.into_iter().flatten())
        // Some plugins write a report: "1 error occurred:\n\t* permission denied\n\n".
        .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
        .map(|text| text.trim_start_matches("1 error occurred: * ").to_owned())
        .filter(|text| !text.is_empty())
        .collect();
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bytes(value: &Value) -> Vec<u8> {
        serde_json::to_vec(value).unwrap()
    }

    #[test]
    fn a_lease_of_zero_seconds_lasts_for_ever() {
        let answer = |duration: u64| {
            bytes(&json!({"auth": {"client_token": "t", "lease_duration": duration, "renewable": true}}))
        };
        let leased = lease(&answer(50)).unwrap();
        assert_eq!((leased.lasts, leased.renewable), (Some(Duration::from_secs(50)), true));
        assert_eq!(lease(&answer(0)).unwrap().lasts, None);
        for wrong in [json!({}), json!({"auth": null}), json!({"auth": {"client_token": ""}})] {
            assert!(lease(&bytes(&wrong)).is_none());
        }
        assert_eq!(lifetime(&bytes(&json!({"data": {"ttl": 0}}))).unwrap(), (None, false));
    }

    #[test]
    fn the_newest_version_of_a_key_is_taken_and_one_that_cannot_sign_is_told_by_its_kind() {
        let name = KeyName { mount: "transit".into(), name: "k".into() };
        let raw = BASE64_STANDARD.encode([7; 32]);
        let answer = |keys: Value, kind: &str| {
            bytes(&json!({"data": {"keys": keys, "latest_version": 2, "type": kind}}))
        };
        let both = json!({"1": {"public_key": "old"}, "2": {"public_key": raw}});
        let found = key(&answer(both, "ed25519"), &name).unwrap();
        assert_eq!((found.version, found.public.algorithm().to_string()), (2, "Ed25519".to_owned()));
        let symmetric = answer(json!({"1": 1_700_000_000, "2": 1_700_000_001}), "aes256-gcm96");
        assert_eq!(key(&symmetric, &name), Err(Some("aes256-gcm96".to_owned())));
        assert_eq!(key(b"{}", &name), Err(None));
    }

    #[test]
    fn a_signature_by_another_version_is_none() {
        let answer = |text: &str| bytes(&json!({"data": {"signature": text}}));
        assert_eq!(signature(&answer("vault:v2:AQI="), 2), Some(vec![1, 2]));
        for wrong in ["vault:v1:AQI=", "vault:v2:?", "vault:AQI=", "", "vault:2:AQI="] {
            assert_eq!(signature(&answer(wrong), 2), None, "{wrong}");
        }
    }

    #[test]
    fn refusals_are_told_without_their_frame() {
        let report = json!({"errors": ["1 error occurred:\n\t* permission denied\n\n"]});
        assert_eq!(said(&bytes(&report)), "permission denied");
        assert_eq!(said(br#"{"errors":[]}"#), "");
        assert_eq!(said(b"<html>"), "<html>");
    }
}
