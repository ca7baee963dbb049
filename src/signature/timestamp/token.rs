//! The DER of timestamps: the request, and as much of the answer as must be known of one that nobody vouches for yet
//! (RFC 3161 §2.4).

use cms::content_info::ContentInfo;
use cms::signed_data::SignedData;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use x509_cert::der::{self, Decode as _, Encode as _, Reader as _, SliceReader, Tag, Tagged as _};
use x509_cert::spki::AlgorithmIdentifierRef;

use crate::artifact::digest::Digest;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// What ties an answer to its request; made anew, at random, for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce(u64);

impl Nonce {
    /// Of eight random bytes.
    pub fn new(random: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(random))
    }
}

/// Why bytes are no timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// More than any timestamp.
    #[error("it is too large")]
    TooLarge,
    /// Not the DER of an answer.
    #[error("it is no answer of a timestamp authority")]
    Malformed,
    /// The authority did not grant it.
    #[error("the authority refused it with status {0}")]
    Refused(u8),
    /// It answers somebody else.
    #[error("it answers another request")]
    OtherRequest,
    /// A hash that nobody here computes.
    #[error("it is over an unknown hash")]
    Hash,
}

/// What a timestamp says, unverified.
pub(super) struct Token {
    algorithm: ObjectIdentifier,
    imprint: Vec<u8>,
    pub(super) nonce: Option<Nonce>,
}

impl Token {
    pub(super) fn is_over(&self, signature: &[u8]) -> bool {
        match self.algorithm {
            SHA256 => self.imprint == sigstore_crypto::sha256(signature).as_bytes(),
            SHA384 => self.imprint == sigstore_crypto::sha384(signature).as_bytes(),
            SHA512 => self.imprint == sigstore_crypto::sha512(signature).as_bytes(),
            _ => false,
        }
    }
}

/// A request for a timestamp over `signature`, with the authority's certificates in the answer.
pub fn request(signature: &[u8], nonce: Nonce) -> Option<Vec<u8>> {
    let algorithm = AlgorithmIdentifierRef { oid: SHA256, parameters: Some(AnyRef::NULL) }.to_der().ok()?;
    let digest = OctetStringRef::new(Digest::of(signature).as_bytes()).ok()?.to_der().ok()?;
    let imprint = sequence(&[&algorithm, &digest])?;
    sequence(&[&1_u8.to_der().ok()?, &imprint, &nonce.0.to_der().ok()?, &true.to_der().ok()?])
}

fn sequence(parts: &[&[u8]]) -> Option<Vec<u8>> {
    AnyRef::new(Tag::Sequence, &parts.concat()).ok()?.to_der().ok()
}

/// Reads an answer; nothing is verified.
pub(super) fn read(answer: &[u8]) -> Result<Token, TokenError> {
    let (status, token) = status_and_token(answer).map_err(|_| TokenError::Malformed)?;
    // 1 is granted with modifications, such as another policy.
    if status > 1 {
        return Err(TokenError::Refused(status));
    }
    let token = content(token.ok_or(TokenError::Malformed)?).ok_or(TokenError::Malformed)?;
    let token = stamped(&token).map_err(|_| TokenError::Malformed)?;
    if [SHA256, SHA384, SHA512].contains(&token.algorithm) { Ok(token) } else { Err(TokenError::Hash) }
}

fn status_and_token(answer: &[u8]) -> der::Result<(u8, Option<AnyRef<'_>>)> {
    let mut reader = SliceReader::new(answer)?;
    let parts = reader.sequence(|answer| {
        let status = answer.sequence(|status| {
            let code = status.decode()?;
            while !status.is_finished() {
                let _: AnyRef<'_> = status.decode()?;
            }
            Ok(code)
        })?;
        Ok((status, if answer.is_finished() { None } else { Some(answer.decode()?) }))
    })?;
    reader.finish(parts)
}

/// What is inside the signed message.
fn content(token: AnyRef<'_>) -> Option<Vec<u8>> {
    let info =
        ContentInfo::from_der(&token.to_der().ok()?).ok().filter(|info| info.content_type == SIGNED_DATA)?;
    let inner = info.content.decode_as::<SignedData>().ok()?.encap_content_info;
    let content = inner.econtent.filter(|_| inner.econtent_type == TST_INFO)?;
    Some(content.value().to_vec())
}

fn stamped(content: &[u8]) -> der::Result<Token> {
    let mut reader = SliceReader::new(content)?;
    let token = reader.sequence(|inner| {
        let _version: u8 = inner.decode()?;
        let _policy: ObjectIdentifier = inner.decode()?;
        let (algorithm, imprint) = inner.sequence(|imprint| {
            let algorithm: AlgorithmIdentifierRef<'_> = imprint.decode()?;
            let digest: OctetStringRef<'_> = imprint.decode()?;
            Ok((algorithm.oid, digest.as_bytes().to_vec()))
        })?;
        let _serial: AnyRef<'_> = inner.decode()?;
        let _time: AnyRef<'_> = inner.decode()?;
        let mut nonce = None;
        while !inner.is_finished() {
            let rest: AnyRef<'_> = inner.decode()?;
            // Others make longer ones; those are not answers to us.
            if rest.tag() == Tag::Integer {
                nonce = rest.decode_as::<u64>().ok().map(Nonce);
            }
        }
        Ok(Token { algorithm, imprint, nonce })
    })?;
    reader.finish(token)
}
