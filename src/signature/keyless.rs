//! Signing without a key that anybody keeps: a certificate of Fulcio for the agent's own identity (credentials
//! specification §9).
//!
//! # Flow
//!
//! For each run: an identity token, read anew and checked here; from it the name that the certificate will carry. When
//! something is to be signed in that name: a fresh P-256 key, its certificate, and every signature of the run with it.
//!
//! # Guarantees
//!
//! - A run whose signatures are all in place costs a token and no certificate.
//! - One certificate for everything that one run signs, asked for once, also when it is refused: no attempt asks
//!   Fulcio twice. The certificate is had before anything is stored.
//! - The key lives as long as the attempt; with `signers.x509.fulcio.certificate-reuse` as long as the certificate.
//!
//! # Caveats
//!
//! Without a trust root of the operator's own, the authorities are those that Fulcio itself names. They serve to recognise
//! our earlier signatures and to refuse a certificate that none of them issued, and are no proof for verifiers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;

use super::certificate::Certificate;
use super::key::Key;
use super::signatory::{Identity, Signatory};
use super::trusted_root::TrustedRoot;
use super::{Error, Signature, Signer};
use crate::client::fulcio::Fulcio;
use crate::client::http::{Clients, Transport};
use crate::config;
use crate::credential::registry_config::RegistryConfig;
use crate::error::Diagnose;
use crate::identity::selection::{Selection, Surroundings};
use crate::identity::token::IdentityToken;
use crate::identity::{self, AUDIENCE};

/// Authorities change once in years; an hour is what a new one may go unnoticed.
const ROOT_KEPT: Duration = Duration::from_hours(1);
/// A shared certificate is not used for its last minutes: what it signs must be stored and logged within its time.
const MARGIN: SignedDuration = SignedDuration::from_mins(2);

/// Why there is no certificate; one failure serves everything that a run was to sign.
type Failure = Arc<dyn Diagnose + Send + Sync>;

/// Certificates for the agent's identity.
pub struct Keyless {
    identity: Selection,
    fulcio: Fulcio,
    /// The operator's own trust root.
    trusted: Option<Arc<TrustedRoot>>,
    named: Mutex<Option<(Instant, Arc<TrustedRoot>)>>,
    /// The certificate that runs share, when they may.
    shared: Option<Mutex<Option<Arc<Certified>>>>,
}

/// A key with its certificate.
struct Certified {
    key: Key,
    certificate: Arc<Certificate>,
}

impl Keyless {
    /// As the configuration has it, with the operator's own trust root, if there is one. Fulcio is reached as the table of its name in the registry configuration file says,
    /// if there is one.
    pub fn of(
        settings: &config::Fulcio,
        registries: &RegistryConfig,
        clients: &Clients,
        surroundings: Surroundings,
        trusted: Option<Arc<TrustedRoot>>,
    ) -> Result<Self, Error> {
        let provider = settings.provider.as_deref().map(str::parse).transpose();
        let provider = provider.map_err(|error| refused(&failure(identity::Error::Provider(error))))?;
        let transport = Transport::to(&settings.address, registries);
        let fulcio = Fulcio::new(clients, &transport, &settings.address, settings.allow_http);
        let fulcio = fulcio.map_err(|error| refused(&failure(error)))?;
        let selection = Selection::new(provider, settings.token_file.clone(), surroundings);
        Ok(Self::new(selection, fulcio, trusted, settings.certificate_reuse))
    }

    /// Certificates of `fulcio` for the identity of `selection`. `trusted` is the operator's own trust root;
    /// `reuse` lets runs share a certificate while it is valid.
    pub fn new(identity: Selection, fulcio: Fulcio, trusted: Option<Arc<TrustedRoot>>, reuse: bool) -> Self {
        let shared = reuse.then(Mutex::default);
        Self { identity, fulcio, trusted, named: Mutex::default(), shared }
    }

    /// What signs one run.
    pub fn of_run(self: &Arc<Self>) -> Arc<dyn Signer> {
        let keyless = Arc::clone(self);
        Arc::new(OfRun { keyless, token: OnceCell::new(), certified: OnceCell::new() })
    }

    async fn token(&self) -> Result<IdentityToken, Failure> {
        let source = self.identity.source().await.map_err(failure)?;
        let token = source.token(AUDIENCE).await.map_err(failure)?;
        let unusable = |reason| identity::Error::Token { provider: source.provider(), reason };
        token.check(AUDIENCE, Timestamp::now()).map_err(|reason| failure(unusable(reason)))?;
        Ok(token)
    }

    async fn root(&self) -> Result<Arc<TrustedRoot>, Failure> {
        if let Some(root) = &self.trusted {
            return Ok(Arc::clone(root));
        }
        let mut named = self.named.lock().await;
        if let Some((_, root)) = named.as_ref().filter(|(since, _)| since.elapsed() < ROOT_KEPT) {
            return Ok(Arc::clone(root));
        }
        match (self.fulcio.trust_root().await, named.as_ref()) {
            (Ok(root), _) => {
                let (_, root) = named.insert((Instant::now(), Arc::new(root)));
                Ok(Arc::clone(root))
            }
            (Err(error), Some((_, root))) => {
                tracing::warn!(%error, "the authorities of Fulcio are not refreshed; those of before stay in use");
                Ok(Arc::clone(root))
            }
            (Err(error), None) => Err(failure(error)),
        }
    }

    /// A certificate for `token`: the shared one while it lasts, else a new one.
    async fn certified(&self, token: &IdentityToken) -> Result<Arc<Certified>, Failure> {
        let Some(shared) = &self.shared else { return self.certify(token).await };
        let mut shared = shared.lock().await;
        let now = Timestamp::now();
        if let Some(certified) = shared.as_ref().filter(|certified| certified.serves(token, now)) {
            return Ok(Arc::clone(certified));
        }
        Ok(Arc::clone(shared.insert(self.certify(token).await?)))
    }

    async fn certify(&self, token: &IdentityToken) -> Result<Arc<Certified>, Failure> {
        let key = Key::generate("key of the certificate");
        let key =
            key.ok_or_else(|| failure(Error::Refused { signer: "the system's randomness".to_owned() }))?;
        let proof = key.sign_now(token.claims().challenge().as_bytes()).map_err(failure)?;
        let (root, now) = (self.root().await?, Timestamp::now());
        let certificate = self.fulcio.certificate(token, key.public_key(), &proof, now).await;
        let certificate = Arc::new(certificate.map_err(failure)?);
        self.fulcio.must_hold(&certificate, &root).map_err(failure)?;
        Ok(Arc::new(Certified { key, certificate }))
    }
}

impl Certified {
    fn serves(&self, token: &IdentityToken, now: Timestamp) -> bool {
        let claims = token.claims();
        let is_ours = claims.identity().is_some_and(|name| self.certificate.names() == [name])
            && self.certificate.issuer() == claims.issuer.as_deref();
        is_ours && self.certificate.expiry() > now + MARGIN
    }
}

/// What signs one run.
struct OfRun {
    keyless: Arc<Keyless>,
    token: OnceCell<Result<IdentityToken, Failure>>,
    certified: OnceCell<Result<Arc<Certified>, Failure>>,
}

impl OfRun {
    async fn token(&self) -> Result<&IdentityToken, Error> {
        self.token.get_or_init(|| self.keyless.token()).await.as_ref().map_err(refused)
    }

    async fn certified(&self) -> Result<&Certified, Error> {
        let token = self.token().await?;
        let certified = self.certified.get_or_init(|| self.keyless.certified(token)).await;
        certified.as_ref().map(AsRef::as_ref).map_err(refused)
    }
}

#[async_trait]
impl Signer for OfRun {
    async fn signatory(&self) -> Result<Signatory, Error> {
        let claims = self.token().await?.claims();
        let name = match claims.identity() {
            Some(name) => name,
            // Fulcio makes the name by a template of its own: only the certificate tells it.
            None => self.certified().await?.certificate.names().join(" "),
        };
        let root = self.keyless.root().await.map_err(|failure| refused(&failure))?;
        Ok(Signatory::Identity(Arc::new(Identity { name, issuer: claims.issuer.clone(), root })))
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, Error> {
        let certified = self.certified().await?;
        Ok(Signature {
            bytes: certified.key.sign_now(message)?,
            key: certified.key.public_key().clone(),
            certificate: Some(Arc::clone(&certified.certificate)),
        })
    }
}

fn failure(error: impl Diagnose + Send + Sync + 'static) -> Failure {
    Arc::new(error)
}

fn refused(failure: &Failure) -> Error {
    Error::Service(Arc::clone(failure))
}
