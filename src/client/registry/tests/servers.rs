//! Registries and proxies on loopback, with certificates made for each test. Names need no name service: every
//! connection goes through a proxy that knows where each `host:port` listens.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// An authority that nobody knows yet.
pub(super) struct Authority {
    pub(super) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// One request, as a server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) authorization: String,
}

/// Servers that live as long as a test.
#[derive(Default)]
pub(super) struct Net {
    tasks: JoinSet<()>,
    places: Arc<Mutex<HashMap<String, SocketAddr>>>,
    tunnels: Arc<Mutex<Vec<String>>>,
}

pub(super) type Log = Arc<Mutex<Vec<Seen>>>;

struct TlsListener(TcpListener, TlsAcceptor);

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = self.0.accept().await.unwrap();
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Net {
    /// Serves `name` over TLS with a certificate of `authority`.
    pub(super) async fn https(
        &mut self,
        name: &str,
        authority: &Authority,
        answer: impl Fn(&Seen) -> Response + Clone + Send + Sync + 'static,
    ) -> Log {
        let (log, app) = logged(answer);
        let listener = self.listen(&format!("{name}:443")).await;
        let listener = TlsListener(listener, authority.acceptor(name));
        self.tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        log
    }

    /// Serves `name` over plain http only; also under its own loopback address.
    pub(super) async fn http(
        &mut self,
        name: &str,
        answer: impl Fn(&Seen) -> Response + Clone + Send + Sync + 'static,
    ) -> (Log, SocketAddr) {
        let (log, app) = logged(answer);
        let listener = self.listen(&format!("{name}:80")).await;
        let address = listener.local_addr().unwrap();
        self.tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        (log, address)
    }

    /// A proxy that opens tunnels, and forwards plain requests; its URL.
    pub(super) async fn proxy(&mut self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (places, tunnels) = (Arc::clone(&self.places), Arc::clone(&self.tunnels));
        self.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(tunnel(stream, Arc::clone(&places), Arc::clone(&tunnels)));
            }
        });
        url
    }

    /// The same, spoken to over TLS under the name `localhost`.
    pub(super) async fn tls_proxy(&mut self, authority: &Authority) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let (places, tunnels) = (Arc::clone(&self.places), Arc::clone(&self.tunnels));
        let mut listener = TlsListener(listener, authority.acceptor("localhost"));
        self.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = axum::serve::Listener::accept(&mut listener).await;
                connections.spawn(tunnel(stream, Arc::clone(&places), Arc::clone(&tunnels)));
            }
        });
        url
    }

    /// What the proxies were asked to reach.
    pub(super) fn tunnels(&self) -> Vec<String> {
        self.tunnels.lock().unwrap().clone()
    }

    async fn listen(&self, place: &str) -> TcpListener {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.places.lock().unwrap().insert(place.to_owned(), listener.local_addr().unwrap());
        listener
    }
}

fn logged(answer: impl Fn(&Seen) -> Response + Clone + Send + Sync + 'static) -> (Log, Router) {
    let log = Log::default();
    let seen = Arc::clone(&log);
    let app = Router::new().fallback(move |request: Request| async move {
        let header = request.headers().get(http::header::AUTHORIZATION);
        let one = Seen {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            authorization: header.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default(),
        };
        let answer = answer(&one);
        seen.lock().unwrap().push(one);
        answer
    });
    (log, app)
}

/// `CONNECT host:port`, or a request in absolute form that is passed on as it is.
async fn tunnel(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    places: Arc<Mutex<HashMap<String, SocketAddr>>>,
    tunnels: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let text = String::from_utf8(head.clone()).unwrap();
    let mut words = text.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let place = match target.strip_prefix("http://") {
        Some(rest) => format!("{}:80", rest.split('/').next().unwrap()),
        None => target.to_owned(),
    };
    tunnels.lock().unwrap().push(place.clone());
    let address = places.lock().unwrap().get(&place).copied();
    let Some(address) = address else {
        let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await;
        return;
    };
    let mut target = TcpStream::connect(address).await.unwrap();
    if method == "CONNECT" {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    } else {
        target.write_all(&head).await.unwrap();
    }
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut target).await;
}

/// A registry that lets everybody in.
pub(super) fn open(_: &Seen) -> Response {
    StatusCode::OK.into_response()
}

/// A registry that wants name and password.
pub(super) fn basic(seen: &Seen) -> Response {
    if seen.authorization.starts_with("Basic ") {
        StatusCode::OK.into_response()
    } else {
        (StatusCode::UNAUTHORIZED, [("www-authenticate", "Basic realm=\"r\"")]).into_response()
    }
}

/// A registry whose token service is elsewhere.
pub(super) fn bearer(realm: &'static str) -> impl Fn(&Seen) -> Response + Clone {
    move |seen| {
        if seen.authorization == "Bearer token" {
            StatusCode::OK.into_response()
        } else {
            let challenge = format!("Bearer realm=\"{realm}\",service=\"s\"");
            (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response()
        }
    }
}

/// A token service that gives everybody the same token.
pub(super) fn tokens(_: &Seen) -> Response {
    r#"{"token":"token"}"#.into_response()
}
