//! One session with a token, and the key in it. Everything here waits for the module, on threads that may wait.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as Module, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::{ObjectIdentifier, OctetStringRef};

use super::error::Error;
use super::uri::Uri;
use crate::artifact::digest::Digest;
use crate::credential::Redacted;
use crate::signature::public_key::{Algorithm, PublicKey, raw};

/// A session in which somebody has logged in, and the private key as this session knows it.
pub(super) struct Open {
    session: Session,
    key: ObjectHandle,
}

/// Modules stay loaded: one that is unloaded takes every session of the process with it.
static LOADED: Mutex<Option<HashMap<PathBuf, Pkcs11>>> = Mutex::new(None);

impl Open {
    /// A new one.
    pub(super) fn new(uri: &Uri, pin: Option<&Redacted>) -> Result<Self, Error> {
        let module = loaded(&uri.module)?;
        let slot = slot(&module, uri)?;
        let session = module.open_ro_session(slot).map_err(|source| uri.refused("open a session", source))?;
        if let Some(pin) = pin {
            match session.login(UserType::User, Some(&AuthPin::from(pin.expose_text().into_owned()))) {
                Ok(()) | Err(Module::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
                Err(
                    source @ Module::Pkcs11(
                        RvError::PinIncorrect | RvError::PinLocked | RvError::PinLenRange,
                        _,
                    ),
                ) => {
                    return Err(Error::Pin { key: uri.shown.clone(), source });
                }
                Err(source) => return Err(uri.refused("log in", source)),
            }
        }
        let key = one(&session, uri, ObjectClass::PRIVATE_KEY, uri.id.as_deref())?;
        Ok(Self { session, key })
    }

    /// The public half of the key.
    pub(super) fn public_key(&self, uri: &Uri) -> Result<PublicKey, Error> {
        let id =
            self.attributes(uri, self.key, &[AttributeType::Id])?.into_iter().find_map(|found| match found {
                Attribute::Id(id) if !id.is_empty() => Some(id),
                _ => None,
            });
        let public = one(&self.session, uri, ObjectClass::PUBLIC_KEY, id.as_deref().or(uri.id.as_deref()))?;
        let wanted = [
            AttributeType::EcParams,
            AttributeType::EcPoint,
            AttributeType::Modulus,
            AttributeType::PublicExponent,
        ];
        let (mut curve, mut point, mut modulus, mut exponent) = (None, None, None, None);
        for attribute in self.attributes(uri, public, &wanted)? {
            match attribute {
                Attribute::EcParams(bytes) => curve = Some(bytes),
                Attribute::EcPoint(bytes) => point = Some(bytes),
                Attribute::Modulus(bytes) => modulus = Some(bytes),
                Attribute::PublicExponent(bytes) => exponent = Some(bytes),
                _ => {}
            }
        }
        let key = match (curve, point, modulus, exponent) {
            (Some(curve), Some(point), ..) => elliptic(&curve, &point),
            (.., Some(modulus), Some(exponent)) => raw::rsa(&modulus, &exponent),
            _ => None,
        };
        let kind = || Error::Kind { key: uri.shown.clone(), kind: "none that is known here".to_owned() };
        key.ok_or_else(kind)
    }

    /// A signature over the SHA-256 hash of `message`.
    pub(super) fn sign(&self, uri: &Uri, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, Error> {
        let refused = |source| uri.refused("sign", source);
        if algorithm == Algorithm::Rsa {
            return self.session.sign(&Mechanism::Sha256RsaPkcs, self.key, message).map_err(refused);
        }
        let digest = Digest::of(message);
        let pair = self.session.sign(&Mechanism::Ecdsa, self.key, digest.as_bytes().as_slice());
        let pair = pair.map_err(refused)?;
        raw::ecdsa_signature(&pair).ok_or_else(|| uri.refused("sign", Module::InvalidValue))
    }

    fn attributes(
        &self,
        uri: &Uri,
        of: ObjectHandle,
        wanted: &[AttributeType],
    ) -> Result<Vec<Attribute>, Error> {
        self.session.get_attributes(of, wanted).map_err(|source| uri.refused("read the public half", source))
    }
}

impl Uri {
    fn refused(&self, what: &'static str, source: Module) -> Error {
        Error::Refused { key: self.shown.clone(), what, source }
    }
}

fn loaded(path: &Path) -> Result<Pkcs11, Error> {
    let mut all = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let all = all.get_or_insert_default();
    if let Some(module) = all.get(path) {
        return Ok(module.clone());
    }
    let unloaded = |source| Error::Load { module: path.to_owned(), source };
    let module = Pkcs11::new(path).map_err(unloaded)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Module::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(source) => return Err(unloaded(source)),
    }
    all.insert(path.to_owned(), module.clone());
    Ok(module)
}

/// The slot with the token.
fn slot(module: &Pkcs11, uri: &Uri) -> Result<Slot, Error> {
    let refused = |source| uri.refused("list tokens", source);
    let mut present = Vec::new();
    for slot in module.get_slots_with_initialized_token().map_err(refused)? {
        let token = module.get_token_info(slot).map_err(refused)?;
        let fits = uri.slot.is_none_or(|id| id == slot.id())
            && uri.token.as_deref().is_none_or(|label| label == token.label())
            && uri.serial.as_deref().is_none_or(|serial| serial == token.serial_number());
        if fits {
            return Ok(slot);
        }
        present.push(format!("{:?}", token.label()));
    }
    present.truncate(8);
    let present = if present.is_empty() { "none".to_owned() } else { present.join(", ") };
    Err(Error::NoToken { key: uri.shown.clone(), module: uri.module.clone(), present })
}

/// The one key of this class that fits.
fn one(session: &Session, uri: &Uri, class: ObjectClass, id: Option<&[u8]>) -> Result<ObjectHandle, Error> {
    let mut template = vec![Attribute::Class(class)];
    template.extend(uri.object.clone().map(Attribute::Label));
    template.extend(id.map(|id| Attribute::Id(id.to_owned())));
    let found = session.find_objects(&template).map_err(|source| uri.refused("look for the key", source))?;
    match found.as_slice() {
        [key] => Ok(*key),
        [] => Err(Error::NoKey { key: uri.shown.clone() }),
        _ => Err(Error::Several { key: uri.shown.clone() }),
    }
}

/// A point of a curve that is named by its identifier.
fn elliptic(curve: &[u8], point: &[u8]) -> Option<PublicKey> {
    let curve = match ObjectIdentifier::from_der(curve).ok()?.to_string().as_str() {
        "1.2.840.10045.3.1.7" => Algorithm::P256,
        "1.3.132.0.34" => Algorithm::P384,
        "1.3.132.0.35" => Algorithm::P521,
        _ => return None,
    };
    // In an octet string by the standard; some leave that out.
    let point = OctetStringRef::from_der(point).map_or(point, |inner| inner.as_bytes());
    let coordinates = point.strip_prefix(&[4])?;
    let (x, y) = coordinates.split_at_checked(coordinates.len() / 2)?;
    raw::elliptic(curve, x, y)
}
