//! AWS KMS: two signed POSTs, `GetPublicKey` and `Sign`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::error::Meaning;
use super::{Error, Hash, KeyVersion, Pass, Question, Scheme};
use crate::client::cloud::aws::sign::Scope;
use crate::client::cloud::aws::signed;
use crate::signature::public_key::PublicKey;

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsKey {
    /// KMS of its region.
    pub endpoint: Url,
    /// The region that requests are signed for.
    pub region: String,
    /// Its id or ARN, or an alias, as KMS takes it for `KeyId`.
    pub id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    /// The key itself, whatever alias was asked for.
    key_id: String,
    public_key: String,
    #[serde(default)]
    signing_algorithms: Vec<String>,
    #[serde(default)]
    key_spec: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Signed {
    key_id: String,
    signature: String,
}

impl AwsKey {
    pub(super) async fn read(&self, question: &Question<'_>, now: Timestamp) -> Result<KeyVersion, Error> {
        let request = self.request(question, "GetPublicKey", &json!({"KeyId": self.id}), now)?;
        let described: Described = question.ask(request).await?;
        let scheme = scheme(&described.signing_algorithms);
        let scheme = scheme.ok_or_else(|| question.unfit(&described.key_spec))?;
        let public = BASE64_STANDARD.decode(&described.public_key).ok();
        let public = public.and_then(|der| PublicKey::from_der(&der));
        let public = public.ok_or_else(|| question.unfit(&described.key_spec))?;
        Ok(KeyVersion { name: described.key_id, public, scheme })
    }

    pub(super) async fn sign(
        &self,
        version: &KeyVersion,
        digest: &[u8],
        question: &Question<'_>,
        now: Timestamp,
    ) -> Result<Vec<u8>, Error> {
        let content = json!({"KeyId": version.name, "Message": BASE64_STANDARD.encode(digest),
            "MessageType": "DIGEST", "SigningAlgorithm": version.scheme.name});
        let signed: Signed = question.ask(self.request(question, "Sign", &content, now)?).await?;
        let signature = BASE64_STANDARD.decode(&signed.signature).ok();
        signature.filter(|_| signed.key_id == version.name).ok_or_else(|| question.malformed())
    }

    fn request(
        &self,
        question: &Question<'_>,
        action: &str,
        content: &Value,
        now: Timestamp,
    ) -> Result<RequestBuilder, Error> {
        let Pass::Keys(keys) = question.pass else { return Err(question.malformed()) };
        let target = format!("TrentService.{action}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let scope = Scope { region: &self.region, service: "kms" };
        signed(question.web, &self.endpoint, scope, keys, &headers, content.to_string(), now)
            .map_err(Error::Setup)
    }
}

/// The first algorithm of a key that others verify. Ed25519 is not among them: KMS takes no hash for it, and no message of
/// more than 4 KiB.
fn scheme(algorithms: &[String]) -> Option<Scheme> {
    const KNOWN: [(&str, Hash); 6] = [
        ("ECDSA_SHA_256", Hash::Sha256),
        ("ECDSA_SHA_384", Hash::Sha384),
        ("ECDSA_SHA_512", Hash::Sha512),
        ("RSASSA_PKCS1_V1_5_SHA_256", Hash::Sha256),
        ("RSASSA_PKCS1_V1_5_SHA_384", Hash::Sha384),
        ("RSASSA_PKCS1_V1_5_SHA_512", Hash::Sha512),
    ];
    let known = |name: &String| KNOWN.into_iter().find(|(known, _)| known == name);
    algorithms.iter().find_map(known).map(|(name, hash)| Scheme { name, hash })
}

/// What a refusal means; nearly all of them have status 400 (KMS API reference, common errors).
pub(super) fn meaning(said: &str) -> Option<Meaning> {
    let code = said.split(':').next().unwrap_or_default().trim();
    Some(match code {
        "AccessDeniedException" => Meaning::Denied,
        "NotFoundException" => Meaning::NoKey,
        "DisabledException" | "KMSInvalidStateException" => Meaning::Disabled,
        "InvalidKeyUsageException" | "UnsupportedOperationException" => Meaning::Usage,
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "ExpiredTokenException"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationTokenException" => Meaning::Identity,
        "LimitExceededException" => Meaning::Throttled,
        "DependencyTimeoutException" | "KMSInternalException" | "KeyUnavailableException" => {
            Meaning::Unavailable
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_algorithm_that_others_verify_is_taken() {
        let of = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            scheme(&names).map(|scheme| scheme.name)
        };
        let rsa = ["RSASSA_PSS_SHA_256", "RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_512"];
        assert_eq!(of(&rsa), Some("RSASSA_PKCS1_V1_5_SHA_256"));
        assert_eq!(of(&["ECDSA_SHA_384"]), Some("ECDSA_SHA_384"));
        for none in [&["ED25519_SHA_512"][..], &["SM2DSA"], &[]] {
            assert_eq!(of(none), None);
        }
    }
}
