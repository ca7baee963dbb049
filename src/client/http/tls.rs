//! Whom a TLS connection trusts, decided for each name that it may meet: the host itself, and the proxies in front
//! (credentials specification §4.2, S2, S3, S9).
//!
//! One check for all of them, because the library uses one TLS configuration for the target and for its proxy.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

use super::Transport;
use crate::credential::registry_config::Trust;

type Verifier = Arc<dyn ServerCertVerifier>;

/// The TLS configuration of `transport`; `system` is asked for the machine's own authorities only when they count.
pub(super) fn config(
    transport: &Transport,
    system: impl Fn() -> Result<Verifier, Error>,
) -> Result<ClientConfig, Error> {
    let proxies =
        transport.proxy_trust.iter().map(|(host, trust)| Ok((host.clone(), verifier(trust, &system)?)));
    let by_name = ByName {
        target: verifier(&transport.trust, &system)?,
        proxies: proxies.collect::<Result<_, Error>>()?,
    };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(by_name))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The TLS configuration towards whom `trust` says, for what is no HTTP; with our own certificate where there is one.
pub(super) fn plain_config(
    trust: &Trust,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    system: impl Fn() -> Result<Verifier, Error>,
) -> Result<ClientConfig, Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier(trust, &system)?);
    match identity {
        Some((chain, key)) => config.with_client_auth_cert(chain, key),
        None => Ok(config.with_no_client_auth()),
    }
}

/// The check against the authorities of the machine.
pub(super) fn system() -> Result<Verifier, Error> {
    Ok(Arc::new(rustls_platform_verifier::Verifier::new(provider())?))
}

fn verifier(trust: &Trust, system: &impl Fn() -> Result<Verifier, Error>) -> Result<Verifier, Error> {
    match trust {
        Trust::System => system(),
        Trust::Insecure => Ok(Arc::new(Lenient { refuses: None })),
        Trust::Only(authorities) if authorities.certificates().is_empty() => {
            Ok(Arc::new(Lenient { refuses: Some(NobodyTrusted { table: authorities.table().to_owned() }) }))
        }
        Trust::Only(authorities) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(authorities.certificates().iter().cloned());
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
            Ok(verifier.map_err(|error| Error::Other(OtherError(Arc::new(error))))?)
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The proxies by their names, everybody else as the target.
#[derive(Debug)]
struct ByName {
    target: Verifier,
    proxies: Vec<(String, Verifier)>,
}

impl ByName {
    fn proxy(&self, name: &ServerName<'_>) -> Option<&(String, Verifier)> {
        let name = name.to_str();
        self.proxies.iter().find(|(proxy, _)| *proxy == name)
    }
}

/// A proxy in front of a registry; without its name a person would look at the registry.
#[derive(Debug, thiserror::Error)]
#[error("the certificate of proxy {proxy} is not trusted: {source}")]
struct ProxyRefused {
    proxy: String,
    source: Error,
}

impl ServerCertVerifier for ByName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some((proxy, verifier)) = self.proxy(server_name) else {
            let target = &self.target;
            return target.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        };
        let outcome = verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        outcome.map_err(|source| {
            Error::Other(OtherError(Arc::new(ProxyRefused { proxy: proxy.clone(), source })))
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.target.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.target.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.target.supported_verify_schemes()
    }
}

/// Takes every certificate, or none at all; whoever checks no certificate gains nothing from its signatures.
#[derive(Debug)]
struct Lenient {
    refuses: Option<NobodyTrusted>,
}

/// A table whose authorities are text without a certificate.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no CA trusted by configuration {table:?}")]
struct NobodyTrusted {
    table: String,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.refuses {
            None => Ok(ServerCertVerified::assertion()),
            Some(nobody) => Err(Error::Other(OtherError(Arc::new(nobody.clone())))),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
