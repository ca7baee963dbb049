//! Servers under names and well-known ports, for tests in a network namespace of their own: registries with TLS, a
//! proxy with TLS that speaks CONNECT, a port that drops whatever is sent to it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::binary::binary;
use super::distribution::htpasswd;
use super::http_client;
use super::pki::Authority;
use super::process::Server;
use super::token_server::acceptor;

/// An authority of its own.
pub struct Issuer {
    authority: Authority,
    folder: TempDir,
}

/// A distribution registry at an address and under a name.
pub struct NamedRegistry {
    _server: Server,
    _folder: TempDir,
}

/// A proxy that is spoken to over TLS.
pub struct TlsProxy {
    tunnels: Arc<Mutex<Vec<String>>>,
    _stop: oneshot::Sender<()>,
}

/// A port where connections are neither accepted nor refused.
pub struct Dropped {
    _listener: TcpListener,
    _filling: Vec<TcpStream>,
}

impl Issuer {
    /// A new one.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { authority: Authority::new(folder.path()), folder }
    }

    /// Its certificate.
    pub fn pem(&self) -> String {
        self.authority.pem()
    }

    /// The file of its certificate.
    pub fn certificate(&self) -> PathBuf {
        self.authority.certificate()
    }

    /// Starts a registry under `name` at `address`; with a login only that user may do anything.
    pub async fn registry(&self, name: &str, address: &str, login: Option<(&str, &str)>) -> NamedRegistry {
        let folder = tempfile::tempdir().unwrap();
        let identity = self.authority.server_named(name);
        let mut configuration = json!({
            "version": "0.1", "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": folder.path().join("content")}},
            "http": {"addr": address, "secret": "shared by one registry alone",
                "tls": {"certificate": identity.certificate, "key": identity.key}},
        });
        if let Some((user, password)) = login {
            let users = [(user.to_owned(), password.to_owned())];
            configuration["auth"] = htpasswd(folder.path(), &users);
        }
        fs::write(folder.path().join("config.yml"), configuration.to_string()).unwrap();
        let mut command = Command::new(binary("distribution"));
        command.arg("serve").arg(folder.path().join("config.yml"));
        command.env_clear().env("OTEL_TRACES_EXPORTER", "none");
        let mut server = Server::spawn("distribution", &mut command, folder.path());
        let (http, url) = (http_client(Some(&self.pem())), format!("https://{name}/v2/"));
        let answers =
            async || http.get(&url).send().await.is_ok_and(|a| matches!(a.status().as_u16(), 200 | 401));
        if let Err(failure) = server.ready(answers).await {
            panic!("registry {name} does not start: {failure:?}");
        }
        NamedRegistry { _server: server, _folder: folder }
    }

    /// Starts a proxy under `name` at `address`. It resolves names as everybody does.
    pub fn proxy(&self, name: &str, address: &str) -> TlsProxy {
        let identity = self.authority.server_named(name);
        let acceptor = acceptor(&identity.certificate, &identity.key);
        let address: SocketAddr = address.parse().unwrap();
        let tunnels: Arc<Mutex<Vec<String>>> = Arc::default();
        let ((stop, stopped), log) = (oneshot::channel::<()>(), Arc::clone(&tunnels));
        let (started, running) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind(address).await.unwrap();
                started.send(()).unwrap();
                let serve = async {
                    let mut tunnelling = JoinSet::new();
                    loop {
                        let (stream, _) = listener.accept().await.unwrap();
                        let (acceptor, log) = (acceptor.clone(), Arc::clone(&log));
                        tunnelling.spawn(async move {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                tunnel(stream, log).await;
                            }
                        });
                    }
                };
                tokio::select! { _ = stopped => (), () = serve => () }
            });
        });
        running.recv().unwrap();
        TlsProxy { tunnels, _stop: stop }
    }

    /// Its folder, for files that lie beside its own.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl TlsProxy {
    /// Where tunnels were asked to lead, as `host:port`, since this was asked last.
    pub fn tunnels(&self) -> Vec<String> {
        std::mem::take(&mut self.tunnels.lock().unwrap())
    }
}

impl Dropped {
    /// Takes `address` and fills its queue: whatever is sent there after that is dropped by the kernel.
    pub async fn at(address: &str) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut filling = Vec::new();
        loop {
            let limit = std::time::Duration::from_millis(500);
            match tokio::time::timeout(limit, TcpStream::connect(address)).await {
                Ok(stream) => filling.push(stream.unwrap()),
                Err(_) => return Self { _listener: listener, _filling: filling },
            }
            assert!(filling.len() < 64, "the queue does not fill");
        }
    }
}

async fn tunnel(mut stream: tokio_rustls::server::TlsStream<TcpStream>, log: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let text = String::from_utf8(head).unwrap();
    let Some(target) = text.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else { return };
    log.lock().unwrap().push(target.to_owned());
    let Ok(mut server) = TcpStream::connect(target).await else {
        let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await;
        return;
    };
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
}
