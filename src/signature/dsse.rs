//! DSSE envelopes (Dead Simple Signing Envelope v1), with exactly one signature each: what cosign reads from
//! an `.att` layer. Reading is as strict as writing and bounded by the caller, since stored envelopes are
//! bytes from outside.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

/// The bytes that a DSSE signature covers: type and payload with their lengths, so that neither can be
/// taken for the other.
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(payload.len() + payload_type.len() + 32);
    encoded.extend_from_slice(b"DSSEv1 ");
    encoded.extend_from_slice(payload_type.len().to_string().as_bytes());
    encoded.push(b' ');
    encoded.extend_from_slice(payload_type.as_bytes());
    encoded.push(b' ');
    encoded.extend_from_slice(payload.len().to_string().as_bytes());
    encoded.push(b' ');
    encoded.extend_from_slice(payload);
    encoded
}

/// The JSON of an envelope. Written by hand rather than through the type below so that the payload, the only
/// large part, is encoded straight into place.
pub fn envelope(payload_type: &str, payload: &[u8], key_id: &str, signature: &[u8]) -> Vec<u8> {
    let mut json = String::with_capacity(payload.len() * 4 / 3 + signature.len() * 2 + 256);
    json.push_str(r#"{"payloadType":""#);
    json.push_str(payload_type);
    json.push_str(r#"","payload":""#);
    BASE64_STANDARD.encode_string(payload, &mut json);
    json.push_str(r#"","signatures":[{"keyid":""#);
    json.push_str(key_id);
    json.push_str(r#"","sig":""#);
    BASE64_STANDARD.encode_string(signature, &mut json);
    json.push_str(r#""}]}"#);
    json.into_bytes()
}

/// How many bytes [`envelope`] makes of these.
pub fn envelope_length(payload_type: &str, payload: usize, key_id: usize, signature: usize) -> usize {
    let frame = envelope("", b"", "", b"").len();
    let base64 = |length: usize| length.div_ceil(3) * 4;
    frame + payload_type.len() + base64(payload) + key_id + base64(signature)
}

/// An envelope that somebody stored; nothing in it is to be believed before a signature was verified.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnverifiedEnvelope {
    payload_type: String,
    payload: String,
    signatures: Vec<UnverifiedSignature>,
}

#[derive(Debug, Deserialize, Serialize)]
struct UnverifiedSignature {
    sig: String,
}

impl UnverifiedEnvelope {
    /// Reads an envelope; `None` when it is none.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Whether it carries exactly this payload under exactly this type.
    pub fn carries(&self, payload_type: &str, payload: &[u8]) -> bool {
        self.payload_type == payload_type
            && BASE64_STANDARD.decode(&self.payload).is_ok_and(|bytes| bytes == payload)
    }

    /// The type that it gives its payload.
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }

    /// What is inside; `None` when that is not base64.
    pub fn payload(&self) -> Option<Vec<u8>> {
        BASE64_STANDARD.decode(&self.payload).ok()
    }

    /// The signatures that decode.
    pub fn signatures(&self) -> impl Iterator<Item = Vec<u8>> {
        self.signatures.iter().filter_map(|signature| BASE64_STANDARD.decode(&signature.sig).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_the_dsse_specification() {
        assert_eq!(
            pre_authentication_encoding("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn an_envelope_reads_back_as_what_was_put_in() {
        let json = envelope("application/vnd.in-toto+json", b"{}", "SHA256:abc", b"sig");
        let read = UnverifiedEnvelope::read(&json).unwrap();
        assert!(read.carries("application/vnd.in-toto+json", b"{}"));
        assert!(!read.carries("application/vnd.in-toto+json", b"{} "));
        assert!(!read.carries("text/plain", b"{}"));
        assert_eq!(read.signatures().collect::<Vec<_>>(), [b"sig".to_vec()]);
        assert_eq!(json.len(), envelope_length("application/vnd.in-toto+json", 2, 10, 3));
    }

    #[test]
    fn what_is_not_an_envelope_reads_as_none() {
        for bytes in [&b""[..], b"[]", b"{\"payload\":1}", b"\xff\xfe"] {
            assert!(UnverifiedEnvelope::read(bytes).is_none());
        }
    }
}
