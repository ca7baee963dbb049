//! The real distribution registry with TLS and, as asked, authentication by tokens or htpasswd. It can be
//! stopped and started again on the same port with the same content: an outage.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::binary::binary;
use super::pki::Authority;
use super::process::{Server, StartFailure, free_port, start};
use super::token_server::{Asked, ISSUER, SERVICE, TokenServer, TokenUser};
use super::{Access, http_client};

/// How the registry knows its users.
#[derive(Debug, Clone)]
pub enum Authentication {
    /// By tokens of a token server with these users.
    Token(Vec<TokenUser>),
    /// By Basic authentication: name and password; everybody may do everything.
    Htpasswd(Vec<(String, String)>),
    /// Not at all.
    None,
}

/// A distribution registry.
pub struct Distribution {
    server: Option<Server>,
    tokens: Option<TokenServer>,
    authority: Authority,
    port: u16,
    folder: TempDir,
}

impl Distribution {
    /// Starts an empty registry.
    pub async fn start(authentication: Authentication) -> Self {
        start(async || {
            let folder = tempfile::tempdir().unwrap();
            let authority = Authority::new(folder.path());
            let identity = authority.server("registry");
            let (tokens, auth) = match &authentication {
                Authentication::None => (None, Value::Null),
                Authentication::Htpasswd(users) => (None, htpasswd(folder.path(), users)),
                Authentication::Token(users) => {
                    let tokens = TokenServer::start(&identity, users.clone());
                    let auth = token_auth(folder.path(), &tokens);
                    (Some(tokens), auth)
                }
            };
            let port = free_port();
            let mut configuration = json!({
                "version": "0.1",
                "log": {"level": "info", "accesslog": {"disabled": false}},
                "storage": {
                    "filesystem": {"rootdirectory": folder.path().join("content")},
                    "delete": {"enabled": true},
                },
                "http": {
                    "addr": format!("127.0.0.1:{port}"),
                    "secret": "shared by one registry alone",
                    "tls": {"certificate": identity.certificate, "key": identity.key},
                },
            });
            if !auth.is_null() {
                configuration["auth"] = auth;
            }
            // JSON is YAML.
            fs::write(folder.path().join("config.yml"), configuration.to_string()).unwrap();
            let mut registry = Self { server: None, tokens, authority, port, folder };
            registry.serve().await?;
            Ok(registry)
        })
        .await
    }

    /// Begins an outage: the port refuses connections, content stays.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Ends an outage: the same port, the same content.
    pub async fn restart(&mut self) {
        self.stop();
        if let Err(failure) = self.serve().await {
            panic!("the registry does not come back: {failure:?}");
        }
    }

    async fn serve(&mut self) -> Result<(), StartFailure> {
        let mut command = Command::new(binary("distribution"));
        command.arg("serve").arg(self.folder.path().join("config.yml"));
        command.env_clear().env("OTEL_TRACES_EXPORTER", "none");
        let mut server = Server::spawn("distribution", &mut command, self.folder.path());
        let (http, url) = (http_client(Some(&self.authority.pem())), format!("https://{}/v2/", self.host()));
        let answers =
            async || http.get(&url).send().await.is_ok_and(|a| matches!(a.status().as_u16(), 200 | 401));
        server.ready(answers).await?;
        self.server = Some(server);
        Ok(())
    }

    /// `127.0.0.1:port`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How a user reaches it; `None` is nobody.
    pub fn access(&self, login: Option<(String, String)>) -> Access {
        Access { host: self.host(), ca: Some(self.authority.certificate()), login }
    }

    /// The CA's certificate as PEM.
    pub fn ca_pem(&self) -> String {
        self.authority.pem()
    }

    /// Who asked the token server for what.
    pub fn asked(&self) -> Vec<Asked> {
        self.tokens.as_ref().map(TokenServer::asked).unwrap_or_default()
    }

    /// Everything that the registry has logged, outages before included.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("distribution.log")).unwrap()
    }
}

fn token_auth(folder: &Path, tokens: &TokenServer) -> Value {
    let jwks = folder.join("jwks.json");
    fs::write(&jwks, tokens.jwks().to_string()).unwrap();
    json!({"token": {"realm": tokens.realm(), "service": SERVICE, "issuer": ISSUER, "jwks": jwks}})
}

pub(super) fn htpasswd(folder: &Path, users: &[(String, String)]) -> Value {
    // The lowest cost that there is: the hashes protect nothing.
    let line =
        |(name, password): &(String, String)| format!("{name}:{}\n", bcrypt::hash(password, 4).unwrap());
    let path = folder.join("htpasswd");
    fs::write(&path, users.iter().map(line).collect::<String>()).unwrap();
    json!({"htpasswd": {"realm": "registry of a test", "path": path}})
}
