//! Dex, a real OpenID Connect provider, with one person and one public client; and a browser that follows its pages as
//! a person would.

use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use super::binary::binary;
use super::pki::Authority;
use super::process::{Server, free_port, start};

const USER: &str = "ada@people.example";
const PASSWORD: &str = "canary-of-a-password";
const USER_ID: &str = "1";

/// An OpenID Connect provider, listening until it is dropped.
pub struct Dex {
    _server: Server,
    /// `https://localhost:port`, as its tokens name it.
    pub issuer: String,
    /// The certificate behind its own.
    pub ca_pem: String,
    _folder: TempDir,
}

impl Dex {
    /// The id of its one client.
    pub const CLIENT: &str = "hallmark";

    /// Starts one whose identity tokens live this many seconds.
    pub async fn start(seconds: u32) -> Self {
        start(async || {
            let folder = tempfile::tempdir().unwrap();
            let authority = Authority::new(folder.path());
            let identity = authority.server("dex");
            let port = free_port();
            let issuer = format!("https://localhost:{port}");
            let config = json!({
                "issuer": issuer,
                "storage": {"type": "memory"},
                "web": {"https": format!("127.0.0.1:{port}"), "tlsCert": identity.certificate, "tlsKey": identity.key},
                "expiry": {"idTokens": format!("{seconds}s")},
                "oauth2": {"skipApprovalScreen": true},
                "staticClients": [{"id": Self::CLIENT, "name": "Hallmark", "public": true}],
                "enablePasswordDB": true,
                "staticPasswords": [{"email": USER, "username": "ada", "userID": USER_ID,
                    "hash": bcrypt::hash(PASSWORD, 10).unwrap()}],
            });
            let file: PathBuf = folder.path().join("dex.json");
            std::fs::write(&file, config.to_string()).unwrap();
            let mut command = Command::new(binary("dex"));
            command.arg("serve").arg(&file).current_dir(folder.path());
            let mut server = Server::spawn("dex", &mut command, folder.path());
            let (client, url) = (super::http_client(Some(&authority.pem())), format!("{issuer}/keys"));
            server.ready(async || client.get(&url).send().await.is_ok_and(|a| a.status() == 200)).await?;
            Ok(Self { _server: server, issuer, ca_pem: authority.pem(), _folder: folder })
        })
        .await
    }

    /// The keys that it publishes.
    pub async fn keys(&self) -> Value {
        let client = super::http_client(Some(&self.ca_pem));
        let answer = client.get(format!("{}/keys", self.issuer)).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// What its tokens call the person: a message of two texts, the user and where he is known.
    pub fn subject() -> String {
        let part =
            |tag: u8, text: &str| [&[tag, u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat();
        URL_SAFE_NO_PAD.encode([part(0x0a, USER_ID), part(0x12, "local")].concat())
    }

    /// A browser that knows the password.
    pub fn browser(&self) -> Browser {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let authority = reqwest::Certificate::from_pem(self.ca_pem.as_bytes()).unwrap();
        let builder = reqwest::Client::builder().no_proxy().tls_certs_only([authority]);
        Browser { client: builder.build().unwrap() }
    }
}

/// Somebody who fills in forms.
pub struct Browser {
    client: reqwest::Client,
}

impl Browser {
    /// Follows the pages from `address` to the last one, and answers its text.
    pub async fn log_in(&self, address: &str) -> String {
        let mut page = self.client.get(address).send().await.unwrap();
        for _ in 0..5 {
            let url = page.url().clone();
            let text = page.text().await.unwrap();
            let Some(form) = Form::of(&text) else { return text };
            let fields: Vec<(&str, &str)> = if text.contains("name=\"password\"") {
                vec![("login", USER), ("password", PASSWORD)]
            } else {
                // The code of a device, which the address has filled in.
                form.fields.clone()
            };
            let mut body = url::form_urlencoded::Serializer::new(String::new());
            body.extend_pairs(fields);
            let target = form.target(&url);
            let request =
                self.client.post(target).header("content-type", "application/x-www-form-urlencoded");
            page = request.body(body.finish()).send().await.unwrap();
        }
        panic!("there is no end of forms");
    }
}

/// The first form of a page.
struct Form<'a> {
    action: Option<String>,
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Form<'a> {
    fn of(page: &'a str) -> Option<Self> {
        let (_, rest) = page.split_once("<form")?;
        let (form, _) = rest.split_once("</form>")?;
        let head = form.split_once('>')?.0;
        let action = attribute(head, "action").map(|action| action.replace("&amp;", "&"));
        let inputs =
            form.split("<input").skip(1).filter_map(|input| input.split_once('>').map(|(input, _)| input));
        let named = inputs.filter_map(|input| {
            Some((attribute(input, " name")?, attribute(input, " value").unwrap_or_default()))
        });
        Some(Self { action, fields: named.collect() })
    }

    fn target(&self, page: &Url) -> Url {
        self.action.as_ref().map_or_else(|| page.clone(), |action| page.join(action).unwrap())
    }
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = tag.split_once(&format!("{name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}
