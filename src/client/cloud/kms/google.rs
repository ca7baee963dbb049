//! Google Cloud KMS: the newest version of a key that is enabled, its public half, and `asymmetricSign`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::error::Meaning;
use super::{Error, Hash, KeyVersion, Question, Scheme};
use crate::signature::public_key::PublicKey;

/// Pages of versions that are read; a key with more has one named.
const MOST_PAGES: usize = 50;

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoogleKey {
    /// The service.
    pub endpoint: Url,
    /// `projects/…/locations/…/keyRings/…/cryptoKeys/…`.
    pub name: String,
    /// The version that signs, by its number; the newest one that is enabled if there is none.
    pub version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    #[serde(default)]
    crypto_key_versions: Vec<Version>,
    #[serde(default)]
    next_page_token: String,
}

#[derive(Deserialize)]
struct Version {
    name: String,
}

#[derive(Deserialize)]
struct Public {
    pem: String,
    #[serde(default)]
    algorithm: String,
}

#[derive(Deserialize)]
struct Signed {
    signature: String,
    name: String,
}

impl GoogleKey {
    /// The number of the newest version that is enabled.
    pub(super) async fn newest(&self, question: &Question<'_>) -> Result<String, Error> {
        let (path, mut page, mut newest) = (format!("/v1/{}/cryptoKeyVersions", self.name), String::new(), 0);
        for _ in 0..MOST_PAGES {
            let mut query = vec![("filter", "state=ENABLED"), ("pageSize", "200")];
            query.push(("fields", "cryptoKeyVersions(name),nextPageToken"));
            if !page.is_empty() {
                query.push(("pageToken", &page));
            }
            let versions: Versions = question.ask(question.request(Method::GET, &path, &query)?).await?;
            let number = |version: &Version| version.name.rsplit('/').next()?.parse::<u64>().ok();
            newest = versions.crypto_key_versions.iter().filter_map(number).fold(newest, u64::max);
            page = versions.next_page_token;
            if page.is_empty() {
                break;
            }
        }
        if newest == 0 {
            let answer = "no version of it is enabled".to_owned();
            return Err(Error::of(Meaning::Disabled, &question.asked, answer, None));
        }
        Ok(newest.to_string())
    }

    pub(super) async fn read(&self, version: &str, question: &Question<'_>) -> Result<KeyVersion, Error> {
        let name = format!("{}/cryptoKeyVersions/{version}", self.name);
        let path = format!("/v1/{name}/publicKey");
        let public: Public = question.ask(question.request(Method::GET, &path, &[])?).await?;
        let scheme = scheme(&public.algorithm).ok_or_else(|| question.unfit(&public.algorithm))?;
        let key = PublicKey::from_pem(&public.pem).ok_or_else(|| question.unfit(&public.algorithm))?;
        Ok(KeyVersion { name, public: key, scheme })
    }
}

pub(super) async fn sign(
    version: &KeyVersion,
    digest: &[u8],
    question: &Question<'_>,
) -> Result<Vec<u8>, Error> {
    let content = json!({"digest": {version.scheme.name: BASE64_STANDARD.encode(digest)}});
    let path = format!("/v1/{}:asymmetricSign", version.name);
    let signed: Signed = question.ask(question.post(&path, &[], &content)?).await?;
    let signature = BASE64_STANDARD.decode(&signed.signature).ok();
    signature.filter(|_| signed.name == version.name).ok_or_else(|| question.malformed())
}

/// How a key of an algorithm signs. PSS is not among them: cosign takes PKCS #1 v1.5 for every RSA key.
fn scheme(algorithm: &str) -> Option<Scheme> {
    let is_rsa = algorithm.starts_with("RSA_SIGN_PKCS1_");
    let (name, hash) = match algorithm {
        "EC_SIGN_P256_SHA256" => ("sha256", Hash::Sha256),
        "EC_SIGN_P384_SHA384" => ("sha384", Hash::Sha384),
        _ if is_rsa && algorithm.ends_with("_SHA256") => ("sha256", Hash::Sha256),
        _ if is_rsa && algorithm.ends_with("_SHA512") => ("sha512", Hash::Sha512),
        _ => return None,
    };
    Some(Scheme { name, hash })
}

/// What a refusal means, by its status in the words of Google's APIs.
pub(super) fn meaning(said: &str) -> Option<Meaning> {
    let code = said.split(':').next().unwrap_or_default().trim();
    Some(match code {
        "UNAUTHENTICATED" => Meaning::Identity,
        "PERMISSION_DENIED" => Meaning::Denied,
        "NOT_FOUND" => Meaning::NoKey,
        "FAILED_PRECONDITION" => Meaning::Disabled,
        "INVALID_ARGUMENT" => Meaning::Usage,
        "RESOURCE_EXHAUSTED" => Meaning::Throttled,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_that_others_verify_are_known_and_no_others() {
        for (algorithm, digest) in [
            ("EC_SIGN_P256_SHA256", "sha256"),
            ("EC_SIGN_P384_SHA384", "sha384"),
            ("RSA_SIGN_PKCS1_2048_SHA256", "sha256"),
            ("RSA_SIGN_PKCS1_4096_SHA512", "sha512"),
        ] {
            assert_eq!(scheme(algorithm).unwrap().name, digest);
        }
        for algorithm in
            ["RSA_SIGN_PSS_2048_SHA256", "EC_SIGN_SECP256K1_SHA256", "EC_SIGN_ED25519", "HMAC_SHA256", ""]
        {
            assert!(scheme(algorithm).is_none(), "{algorithm}");
        }
    }
}
