//! A real token server for the distribution registry: TLS, Basic users with rights per repository, ES256
//! tokens in distribution's form. It writes down who asked for what.
//!
//! It runs on a thread of its own, so that a test may block while a client asks for a token.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::pki::Identity;

/// Service and issuer in tokens and in the registry's configuration.
pub(super) const SERVICE: &str = "registry of a test";
pub(super) const ISSUER: &str = "token server of a test";
const KEY_ID: &str = "key of a test";
const LIFETIME_SECONDS: i64 = 300;

/// A user of the token server.
#[derive(Debug, Clone)]
pub struct TokenUser {
    name: String,
    password: Password,
    rights: Vec<(String, Vec<&'static str>)>,
}

#[derive(Clone)]
enum Password {
    Fixed(String),
    /// Somebody else judges name and password.
    Judged(Arc<Judge>),
}

type Judge = dyn Fn(&str, &str) -> bool + Send + Sync;

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("password")
    }
}

impl TokenUser {
    /// A user without any right.
    pub fn new(name: &str, password: &str) -> Self {
        let password = Password::Fixed(password.to_owned());
        Self { name: name.to_owned(), password, rights: Vec::new() }
    }

    /// Whoever `judge` takes by name and password.
    pub fn judged(judge: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Self {
        Self { name: String::new(), password: Password::Judged(Arc::new(judge)), rights: Vec::new() }
    }

    /// Adds the right to read `repository`; a name that ends with `/` means everything below.
    pub fn pull(mut self, repository: &str) -> Self {
        self.rights.push((repository.to_owned(), vec!["pull"]));
        self
    }

    /// Adds the right to read and write `repository`; a name that ends with `/` means everything below.
    pub fn push(mut self, repository: &str) -> Self {
        self.rights.push((repository.to_owned(), vec!["pull", "push"]));
        self
    }

    /// Name and password, as clients want them.
    pub fn login(&self) -> (String, String) {
        let Password::Fixed(password) = &self.password else { panic!("it has no password of its own") };
        (self.name.clone(), password.clone())
    }

    fn is(&self, name: &str, password: &str) -> bool {
        match &self.password {
            Password::Fixed(right) => self.name == name && right == password,
            Password::Judged(judge) => judge(name, password),
        }
    }

    fn may(&self, repository: &str, action: &str) -> bool {
        self.rights.iter().any(|(allowed, actions)| {
            let below = allowed.ends_with('/') && repository.starts_with(allowed.as_str());
            (below || allowed == repository) && actions.contains(&action)
        })
    }
}

/// One request for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The user named, whether or not the password was right; empty without a login.
    pub user: String,
    /// The scopes asked for, as one string with spaces between.
    pub scope: String,
    /// Whether the user and password were known; otherwise the answer was 401.
    pub known: bool,
}

/// The running server; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct TokenServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    jwks: Value,
    _stop: oneshot::Sender<()>,
}

struct Service {
    users: Vec<TokenUser>,
    key: EcdsaKeyPair,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl TokenServer {
    /// Starts a server that knows `users` and shows `identity`.
    pub(super) fn start(identity: &Identity, users: Vec<TokenUser>) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let (jwks, asked) = (jwks(&key), Arc::default());
        let service = Arc::new(Service { users, key, asked: Arc::clone(&asked) });
        let router = Router::new().route("/token", get(token)).with_state(service);
        let (address, stop) = serve_tls(identity, router);
        Self { address, asked, jwks, _stop: stop }
    }

    /// The URL of the endpoint; by name, since clients refuse a realm at a private address.
    pub(super) fn realm(&self) -> String {
        format!("https://localhost:{}/token", self.address.port())
    }

    /// The keys by which its tokens are verified.
    pub(super) fn jwks(&self) -> &Value {
        &self.jwks
    }

    /// Who asked for what, so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// Serves on a thread of its own until the sender is dropped.
pub(super) fn serve_tls(identity: &Identity, router: Router) -> (SocketAddr, oneshot::Sender<()>) {
    let acceptor = acceptor(&identity.certificate, &identity.key);
    let (stop, stopped) = oneshot::channel::<()>();
    let (started, address) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            started.send(listener.local_addr().unwrap()).unwrap();
            let serving = axum::serve(TlsListener { listener, acceptor }, router);
            tokio::select! { _ = stopped => (), _ = serving.into_future() => () }
        });
    });
    (address.recv().unwrap(), stop)
}

async fn token(State(service): State<Arc<Service>>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let scopes: Vec<String> = url::form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "scope")
        .flat_map(|(_, scope)| scope.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (name, password) = header.and_then(basic).unwrap_or_default();
    let user = service.users.iter().find(|user| user.is(&name, &password));
    let asked = Asked { user: name, scope: scopes.join(" "), known: user.is_some() };
    service.asked.lock().unwrap().push(asked);
    let json = [(CONTENT_TYPE, "application/json")];
    let Some(user) = user else {
        let body = json!({"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]});
        return (StatusCode::UNAUTHORIZED, json, body.to_string()).into_response();
    };
    let token = service.token(user, &scopes);
    let body = json!({"token": token, "access_token": token, "expires_in": LIFETIME_SECONDS});
    (json, body.to_string()).into_response()
}

impl Service {
    fn token(&self, user: &TokenUser, scopes: &[String]) -> String {
        let now = Timestamp::now().as_second();
        let header = json!({"typ": "JWT", "alg": "ES256", "kid": KEY_ID});
        let claims = json!({
            "iss": ISSUER, "sub": user.name, "aud": SERVICE, "jti": format!("{:?}", Timestamp::now()),
            "iat": now, "nbf": now - 10, "exp": now + LIFETIME_SECONDS, "access": granted(user, scopes),
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// What the user has of the scopes `repository:NAME:pull,push`, in the form of a token's `access`.
fn granted(user: &TokenUser, scopes: &[String]) -> Vec<Value> {
    let mut access = BTreeMap::<&str, Vec<&str>>::new();
    for scope in scopes {
        let Some((name, actions)) = scope.strip_prefix("repository:").and_then(|s| s.rsplit_once(':')) else {
            continue;
        };
        access.entry(name).or_default().extend(actions.split(',').filter(|action| user.may(name, action)));
    }
    let entry = |(name, actions)| json!({"type": "repository", "name": name, "actions": actions});
    access.into_iter().map(entry).collect()
}

fn basic(header: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(STANDARD.decode(header.strip_prefix("Basic ")?).ok()?).ok()?;
    decoded.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned()))
}

fn jwks(key: &EcdsaKeyPair) -> Value {
    // An uncompressed point: one byte of form, then x and y of 32 bytes each.
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KEY_ID,
        "x": coordinate(x), "y": coordinate(y)}]})
}

pub(super) fn acceptor(certificate: &Path, key: &Path) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(certificate).unwrap()],
            PrivateKeyDer::from_pem_file(key).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Accepts TLS one connection after the other, which is enough for a test.
struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let Ok((stream, peer)) = self.listener.accept().await else { continue };
            let handshake = tokio::time::timeout(Duration::from_secs(5), self.acceptor.accept(stream));
            if let Ok(Ok(stream)) = handshake.await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
