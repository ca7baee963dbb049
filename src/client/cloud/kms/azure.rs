//! Azure Key Vault and managed HSMs: a key as a JSON Web Key, and `sign`, whose signatures by elliptic curves are two
//! numbers and become ASN.1 here.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::error::Meaning;
use super::{Error, Hash, KeyVersion, Question, Scheme};
use crate::signature::public_key::{Algorithm, PublicKey, raw};

/// The version of the API that both vaults and managed HSMs have.
const VERSION: [(&str, &str); 1] = [("api-version", "7.4")];

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureKey {
    /// `https://NAME.vault.azure.net`.
    pub vault: Url,
    /// The name of the key.
    pub name: String,
    /// Its version; the newest one if there is none.
    pub version: Option<String>,
}

#[derive(Deserialize)]
struct Bundle {
    key: WebKey,
}

/// RFC 7517, as far as it is one of a key that signs.
#[derive(Deserialize)]
struct WebKey {
    kid: String,
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
}

#[derive(Deserialize)]
struct Signed {
    kid: String,
    value: String,
}

impl AzureKey {
    pub(super) async fn read(&self, question: &Question<'_>) -> Result<KeyVersion, Error> {
        let path = format!("/keys/{}/{}", self.name, self.version.as_deref().unwrap_or_default());
        let bundle: Bundle = question.ask(question.request(Method::GET, &path, &VERSION)?).await?;
        let kind = format!("{} {}", bundle.key.kty, bundle.key.crv);
        let (public, scheme) = bundle.key.read().ok_or_else(|| question.unfit(kind.trim()))?;
        let name = version(&bundle.key.kid).ok_or_else(|| question.malformed())?;
        Ok(KeyVersion { name: name.to_owned(), public, scheme })
    }

    pub(super) async fn sign(
        &self,
        with: &KeyVersion,
        digest: &[u8],
        question: &Question<'_>,
    ) -> Result<Vec<u8>, Error> {
        let content = json!({"alg": with.scheme.name, "value": BASE64_URL_SAFE_NO_PAD.encode(digest)});
        let path = format!("/keys/{}/{}/sign", self.name, with.name);
        let signed: Signed = question.ask(question.post(&path, &VERSION, &content)?).await?;
        let signature = decoded(&signed.value).filter(|_| version(&signed.kid) == Some(with.name.as_str()));
        let signature = signature.and_then(|bytes| match with.public.algorithm() {
            Algorithm::Rsa => Some(bytes),
            _ => raw::ecdsa_signature(&bytes),
        });
        signature.ok_or_else(|| question.malformed())
    }
}

impl WebKey {
    /// The key, and how Azure signs with one of its kind and size.
    fn read(&self) -> Option<(PublicKey, Scheme)> {
        let curve = |algorithm, name, hash| {
            let public = raw::elliptic(algorithm, &decoded(&self.x)?, &decoded(&self.y)?)?;
            Some((public, Scheme { name, hash }))
        };
        match (self.kty.trim_end_matches("-HSM"), self.crv.as_str()) {
            ("EC", "P-256") => curve(Algorithm::P256, "ES256", Hash::Sha256),
            ("EC", "P-384") => curve(Algorithm::P384, "ES384", Hash::Sha384),
            ("EC", "P-521") => curve(Algorithm::P521, "ES512", Hash::Sha512),
            ("RSA", _) => {
                let modulus = decoded(&self.n)?;
                // By size, as cosign does for keys of this service.
                let (name, hash) = match modulus.len() {
                    ..=256 => ("RS256", Hash::Sha256),
                    257..=384 => ("RS384", Hash::Sha384),
                    _ => ("RS512", Hash::Sha512),
                };
                Some((raw::rsa(&modulus, &decoded(&self.e)?)?, Scheme { name, hash }))
            }
            _ => None,
        }
    }
}

/// The last part of the id of a key.
fn version(id: &str) -> Option<&str> {
    let is_of_version =
        |version: &&str| !version.is_empty() && version.bytes().all(|b| b.is_ascii_alphanumeric());
    id.rsplit('/').next().filter(is_of_version)
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// What a refusal means; a vault says `Forbidden` for all sorts of reasons, and why in the code within.
pub(super) fn meaning(status: u16, content: &[u8]) -> Option<Meaning> {
    let content: Value = serde_json::from_slice(content).unwrap_or_default();
    let error = content.get("error")?;
    let code = error.get("code").and_then(Value::as_str).unwrap_or_default();
    let within = error.get("innererror").and_then(|inner| inner.get("code")?.as_str()).unwrap_or(code);
    Some(match (status, within) {
        (401, _) => Meaning::Identity,
        (403, "KeyDisabled" | "KeyNotYetValid" | "KeyExpired") => Meaning::Disabled,
        (403, "KeyOperationForbidden") | (400, "BadParameter") => Meaning::Usage,
        (403, _) => Meaning::Denied,
        (404, _) => Meaning::NoKey,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rsa_keys_sign_by_their_size_and_other_kinds_not_at_all() {
        let key = |kind: &str, bytes: usize| WebKey {
            kid: String::new(),
            kty: kind.to_owned(),
            crv: String::new(),
            x: String::new(),
            y: String::new(),
            n: BASE64_URL_SAFE_NO_PAD.encode(vec![0xc1; bytes]),
            e: "AQAB".to_owned(),
        };
        for (bytes, name) in [(256, "RS256"), (384, "RS384"), (512, "RS512")] {
            assert_eq!(key("RSA-HSM", bytes).read().unwrap().1.name, name);
        }
        for kind in ["oct", "EC", "OKP"] {
            assert!(key(kind, 256).read().is_none(), "{kind}");
        }
    }

    #[test]
    fn a_version_is_the_last_part_of_an_id_and_never_leads_elsewhere() {
        assert_eq!(version("https://v.vault.azure.net/keys/k/0f"), Some("0f"));
        for id in ["", "https://v.vault.azure.net/keys/k/", "a/..", "a/b?c"] {
            assert_eq!(version(id), None, "{id}");
        }
    }

    #[test]
    fn what_a_vault_forbids_is_told_by_the_code_within() {
        let of = |status, code: &str, within: &str| {
            let content = json!({"error": {"code": code, "message": "m", "innererror": {"code": within}}});
            meaning(status, content.to_string().as_bytes())
        };
        assert_eq!(of(403, "Forbidden", "ForbiddenByRbac"), Some(Meaning::Denied));
        assert_eq!(of(403, "Forbidden", "KeyDisabled"), Some(Meaning::Disabled));
        assert_eq!(of(403, "Forbidden", "KeyOperationForbidden"), Some(Meaning::Usage));
        assert_eq!(of(404, "KeyNotFound", "x"), Some(Meaning::NoKey));
        assert_eq!(of(429, "Throttled", "x"), None);
        assert_eq!(meaning(403, b"<html>"), None);
    }
}
