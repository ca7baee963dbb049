//! TLS for the webhook's server.
//!
//! Guarantees: a handshake has a time-out and holds up no other connection; how many are under way is bounded. Must not
//! decide anything: who asks is the API server, or anybody who wants to know what a policy would say, which is no secret
//! to whoever may reach this port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::serving::Served;

const HANDSHAKE: Duration = Duration::from_secs(5);
const HANDSHAKES: usize = 256;

type Accepted = Option<(TlsStream<TcpStream>, SocketAddr)>;

/// Accepts connections and takes them through their handshake.
pub(super) struct TlsListener {
    plain: TcpListener,
    acceptor: TlsAcceptor,
    shaking: JoinSet<Accepted>,
}

impl TlsListener {
    /// Serves with whatever certificate is current.
    pub(super) fn new(plain: TcpListener, served: Arc<Served>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(served);
        Ok(Self { plain, acceptor: TlsAcceptor::from(Arc::new(config)), shaking: JoinSet::new() })
    }

    fn shake(&mut self, stream: TcpStream, peer: SocketAddr) {
        let handshake = self.acceptor.accept(stream);
        self.shaking.spawn(async move { Some((timeout(HANDSHAKE, handshake).await.ok()?.ok()?, peer)) });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let may_accept = self.shaking.len() < HANDSHAKES;
            tokio::select! {
                Some(done) = self.shaking.join_next() => {
                    if let Ok(Some(accepted)) = done {
                        return accepted;
                    }
                }
                accepted = self.plain.accept(), if may_accept => match accepted {
                    Ok((stream, peer)) => self.shake(stream, peer),
                    // No file descriptors, for example: time helps.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.plain.local_addr()
    }
}
