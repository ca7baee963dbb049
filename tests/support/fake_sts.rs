//! A token service as the credentials specification §6.9 has it: a real server with TLS that verifies identity tokens
//! by the real keys of their issuers, and grants registry tokens of its own. It writes down who asked for what, by
//! hashes of tokens and never by tokens.
//!
//! Identities are known by what [`FakeSts::knows`] was told, and by its API of identities, through which pull tokens
//! are made.

mod endpoint;
mod jwt;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::cluster::Cluster;
use super::pki::Authority;
use super::token_server::serve_tls;

/// A running token service; it ends when this is dropped.
pub struct FakeSts {
    /// `https://localhost:port`.
    pub url: String,
    state: Arc<State>,
    authority: Authority,
    _folder: TempDir,
    _stop: oneshot::Sender<()>,
}

/// An identity and whose tokens may assume it.
#[derive(Debug, Clone)]
pub struct Known {
    /// Issuer of the identity tokens.
    pub issuer: String,
    /// Their subject.
    pub subject: String,
    /// Seconds that tokens granted to it live.
    pub ttl: i64,
    /// Whether the subject is a regular expression.
    pattern: bool,
    /// The audience that identity tokens have; without one, this service's own.
    audience: Option<String>,
    /// Roles that were bound to it, by their names.
    roles: Vec<String>,
    /// Keys of the issuer, where the identity brings its own: then it is a pull token.
    keys: Option<Value>,
    /// As its maker described it.
    description: Value,
}

impl Known {
    /// An identity that a service account of `cluster` may assume.
    pub fn account(cluster: &Cluster, namespace: &str, account: &str, ttl: i64) -> Self {
        let subject = format!("system:serviceaccount:{namespace}:{account}");
        Self::of(cluster.issuer(), subject, ttl)
    }

    /// A person who needs no identity to assume: the client of an issuer that he logs in by.
    pub fn person(issuer: &str, subject: &str, client: &str, ttl: i64) -> Self {
        Self { audience: Some(client.to_owned()), ..Self::of(issuer.to_owned(), subject.to_owned(), ttl) }
    }

    fn of(issuer: String, subject: String, ttl: i64) -> Self {
        let (audience, roles, description) = (None, Vec::new(), Value::Null);
        Self { issuer, subject, ttl, pattern: false, audience, roles, keys: None, description }
    }
}

/// One request for a token.
#[derive(Debug, Clone)]
pub struct Exchanged {
    /// When.
    pub time: Timestamp,
    /// `/sts/exchange` or `/token`.
    pub path: String,
    /// For whom.
    pub audience: String,
    /// Which identity.
    pub identity: String,
    /// The subject of the identity token, once it was verified.
    pub subject: String,
    /// How it was answered.
    pub status: u16,
    /// SHA-256 of the token that was granted.
    pub granted: Option<String>,
}

struct State {
    key: EcdsaKeyPair,
    base: Mutex<String>,
    issuers: Mutex<BTreeMap<String, Value>>,
    identities: Mutex<BTreeMap<String, Known>>,
    modes: Mutex<BTreeMap<String, Mode>>,
    log: Mutex<Vec<Exchanged>>,
    granted: Mutex<Vec<String>>,
}

/// How the next requests for an identity are answered instead.
#[derive(Clone)]
struct Mode {
    status: u16,
    retry_after: Option<u64>,
    delay: Duration,
    times: usize,
}

impl FakeSts {
    /// Starts one that trusts tokens of `cluster`, by the keys that its API server publishes.
    pub async fn start(cluster: &Cluster) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path());
        let jwks = http::Request::get("/openid/v1/jwks").body(Vec::new()).unwrap();
        let jwks: Value = cluster.client().await.request(jwks).await.unwrap();
        let state = Arc::new(State {
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            base: Mutex::default(),
            issuers: Mutex::new(BTreeMap::from([(cluster.issuer(), jwks)])),
            identities: Mutex::default(),
            modes: Mutex::default(),
            log: Mutex::default(),
            granted: Mutex::default(),
        });
        let (address, stop) = serve_tls(&authority.server("sts"), endpoint::router(&state));
        let url = format!("https://localhost:{}", address.port());
        state.base.lock().unwrap().clone_from(&url);
        Self { url, state, authority, _folder: folder, _stop: stop }
    }

    /// The file with the certificate behind its own.
    pub fn ca(&self) -> PathBuf {
        self.authority.certificate()
    }

    /// The certificate behind its own.
    pub fn ca_pem(&self) -> String {
        self.authority.pem()
    }

    /// Trusts the tokens of another issuer, by its keys.
    pub fn trusts(&self, issuer: &str, keys: Value) {
        self.state.issuers.lock().unwrap().insert(issuer.to_owned(), keys);
    }

    /// Whose tokens may assume an identity, and which roles it has.
    pub fn rule_of(&self, identity: &str) -> Option<(Value, Vec<String>)> {
        let identities = self.state.identities.lock().unwrap();
        identities.get(identity).map(|known| (known.description.clone(), known.roles.clone()))
    }

    /// Makes an identity known.
    pub fn knows(&self, identity: &str, known: Known) {
        self.state.identities.lock().unwrap().insert(identity.to_owned(), known);
    }

    /// The next `times` exchanges for this identity are answered with this status.
    pub fn fails(&self, identity: &str, status: u16, times: usize) {
        self.answers(identity, status, None, Duration::ZERO, times);
    }

    /// The same, with all that can be set.
    pub fn answers(
        &self,
        identity: &str,
        status: u16,
        retry_after: Option<u64>,
        delay: Duration,
        times: usize,
    ) {
        let mode = Mode { status, retry_after, delay, times };
        self.state.modes.lock().unwrap().insert(identity.to_owned(), mode);
    }

    /// Ends what [`Self::fails`] began.
    pub fn recovers(&self, identity: &str) {
        self.state.modes.lock().unwrap().remove(identity);
    }

    /// Every exchange so far.
    pub fn log(&self) -> Vec<Exchanged> {
        self.state.log.lock().unwrap().clone()
    }

    /// How many exchanges there were for this identity.
    pub fn count(&self, identity: &str) -> usize {
        self.log().iter().filter(|exchanged| exchanged.identity == identity).count()
    }

    /// Identities that were made through the API.
    pub fn made(&self) -> Vec<String> {
        let identities = self.state.identities.lock().unwrap();
        identities
            .iter()
            .filter(|(_, known)| !known.description.is_null())
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Every token that was granted, for tests which look where none may be.
    pub fn canaries(&self) -> Vec<String> {
        self.state.granted.lock().unwrap().clone()
    }

    /// Who judges the logins of a registry: `_token` with a token of this service, or the name of a pull token with
    /// a token by its own keys.
    pub fn judge(&self) -> impl Fn(&str, &str) -> bool + Send + Sync + use<> {
        let state = Arc::clone(&self.state);
        move |name, password| state.takes(name, password)
    }
}

impl State {
    fn takes(&self, name: &str, password: &str) -> bool {
        let now = Timestamp::now();
        if name == "_token" || name == "oauth2accesstoken" {
            let own = json!({"keys": [jwt::public(&self.key)]});
            return jwt::verify(password, &own, now).is_some();
        }
        let known = self.identities.lock().unwrap().get(name).cloned();
        known.is_some_and(|known| {
            let claims = known.keys.as_ref().and_then(|keys| jwt::verify(password, keys, now));
            claims.is_some_and(|c| c["iss"] == known.issuer.as_str() && c["sub"] == known.subject.as_str())
        })
    }
}
