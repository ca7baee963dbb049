//! JSON Web Tokens: signed by ES256, and verified by a key set of ES256 or RS256, as a token service does it.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

/// The claims of a token that one of the keys has signed and that has not ended.
pub(super) fn verify(token: &str, jwks: &Value, now: Timestamp) -> Option<Value> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let header: Value = serde_json::from_slice(&decode(header)?).ok()?;
    let claims: Value = serde_json::from_slice(&decode(claims)?).ok()?;
    let signature = decode(signature)?;
    let by = |key: &&Value| header["kid"].is_null() || key["kid"] == header["kid"];
    let good = jwks["keys"].as_array()?.iter().filter(by).any(|key| match header["alg"].as_str() {
        Some("ES256") => point(key).is_some_and(|point| {
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
            key.verify(signed.as_bytes(), &signature).is_ok()
        }),
        Some("RS256") => rsa(key).is_some_and(|key| {
            key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature).is_ok()
        }),
        _ => false,
    });
    let alive = claims["exp"].as_i64().is_some_and(|exp| exp > now.as_second());
    (good && alive).then_some(claims)
}

/// The claims of a token that nobody has verified.
pub(super) fn unverified(token: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?).ok()
}

fn rsa(key: &Value) -> Option<RsaPublicKeyComponents<Vec<u8>>> {
    let number = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str()?).ok();
    Some(RsaPublicKeyComponents { n: number("n")?, e: number("e")? })
}

/// A token of these claims.
pub(super) fn sign(claims: &Value, key: &EcdsaKeyPair) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "ES256", "kid": "sts"})), part(claims));
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The key by which others verify.
pub(super) fn public(key: &EcdsaKeyPair) -> Value {
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "sts", "x": coordinate(x), "y": coordinate(y)})
}

fn point(key: &Value) -> Option<Vec<u8>> {
    let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str()?).ok();
    Some([vec![4], coordinate("x")?, coordinate("y")?].concat())
}
