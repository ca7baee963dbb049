//! A real SPIRE: server, agent and OIDC provider, so that workloads of this machine get SPIFFE identities and Fulcio
//! can verify them.
//!
//! Nobody is registered at the start ([`Spire::register`] does it), so that a test can show both sides.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tempfile::TempDir;

use super::binary::binary;
use super::fulcio::{Issuer, Kind};
use super::http_client;
use super::pki::{Authority, Identity};
use super::process::{Finished, Server, StartFailure, eventually, free_port, run, start};

/// The trust domain of every SPIRE here.
pub const TRUST_DOMAIN: &str = "hallmark.test";
/// What the entries of workloads are children of.
const NODE: &str = "spiffe://hallmark.test/node";
/// How long an entry may take to reach the agent, which asks every second.
const SYNC_LIMIT: Duration = Duration::from_secs(30);

/// SPIRE, running until it is dropped.
pub struct Spire {
    // Dropped from the top: what asks goes before what is asked.
    provider: Server,
    agent: Mutex<Option<Server>>,
    server: Server,
    authority: Authority,
    issuer: String,
    folder: TempDir,
}

impl Spire {
    /// Starts all three, without a workload that is registered.
    pub async fn start() -> Self {
        start(async || Self::attempt(true).await).await
    }

    /// The same with a server that has no `jwt_issuer`, as it is by default.
    pub async fn start_without_issuer() -> Self {
        start(async || Self::attempt(false).await).await
    }

    async fn attempt(named: bool) -> Result<Self, StartFailure> {
        // Not in $TMPDIR: the path of a socket must be shorter than 108 bytes.
        let folder = tempfile::Builder::new().prefix("spire").tempdir_in("/tmp").unwrap();
        let path = folder.path();
        std::fs::create_dir(path.join("sockets")).unwrap();
        let (port, oidc) = (free_port(), free_port());
        let issuer = format!("https://localhost:{oidc}");
        std::fs::write(path.join("server.conf"), server_settings(path, port, named.then_some(&issuer)))
            .unwrap();
        std::fs::write(path.join("agent.conf"), agent_settings(path, port)).unwrap();
        let server = start_server(path).await?;
        let agent = start_agent(path).await?;
        let authority = Authority::new(path);
        let provider = start_provider(path, oidc, &authority).await?;
        Ok(Self { provider, agent: Mutex::new(Some(agent)), server, authority, issuer, folder })
    }

    /// The socket of the Workload API.
    pub fn socket(&self) -> PathBuf {
        socket(self.folder.path())
    }

    /// The directory that the socket lies in, which is what the CSI driver mounts.
    pub fn socket_directory(&self) -> PathBuf {
        self.folder.path().join("sockets")
    }

    /// What Fulcio has to know to accept its tokens.
    pub fn issuer(&self) -> Issuer {
        Issuer {
            url: self.issuer.clone(),
            ca_pem: self.authority.pem(),
            kind: Kind::Spiffe { trust_domain: TRUST_DOMAIN.to_owned() },
        }
    }

    /// Registers the processes of this user as `spiffe://TRUST_DOMAIN/PATH` and waits until the agent knows it.
    /// Answers the SPIFFE ID.
    pub async fn register(&self, path: &str) -> String {
        let id = format!("spiffe://{TRUST_DOMAIN}/{path}");
        let mut command = self.server_command(&["entry", "create", "-parentID", NODE, "-spiffeID", &id]);
        command.args(["-selector", &format!("unix:uid:{}", user().await)]);
        run(command).await.succeeded();
        eventually("the agent knows the entry", SYNC_LIMIT, async || {
            let answer = run(self.agent_command(&["api", "fetch", "jwt", "-audience", "test"])).await;
            answer.stdout.contains(&id).then_some(())
        })
        .await;
        id
    }

    /// A JWT-SVID of this process, as SPIRE's own client gets it.
    pub async fn jwt_svid(&self, audience: &str) -> String {
        let answer = run(self.agent_command(&["api", "fetch", "jwt", "-audience", audience])).await;
        let token = answer
            .succeeded()
            .stdout
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with("ey"))
            .map(str::to_owned);
        token.expect("a token")
    }

    /// Runs a command of SPIRE's server, its socket added.
    pub async fn server(&self, arguments: &[&str]) -> Finished {
        run(self.server_command(arguments)).await
    }

    /// Kills the agent, as a crash does. Its socket's file stays.
    pub fn kill_agent(&self) {
        drop(self.agent().take());
    }

    /// Starts the agent again, with what it has on disk: it makes a new socket at the old place.
    pub async fn restart_agent(&self) {
        self.kill_agent();
        let agent = start_agent(self.folder.path()).await;
        *self.agent() = Some(agent.expect("the agent starts again"));
    }

    fn agent(&self) -> MutexGuard<'_, Option<Server>> {
        self.agent.lock().unwrap()
    }

    fn server_command(&self, arguments: &[&str]) -> Command {
        server_command(self.folder.path(), arguments)
    }

    fn agent_command(&self, arguments: &[&str]) -> Command {
        agent_command(self.folder.path(), arguments)
    }
}

/// The user that the agent sees when this process, or a child, asks it.
async fn user() -> String {
    let mut command = Command::new("id");
    command.arg("-u");
    run(command).await.succeeded().stdout.trim().to_owned()
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("sockets/agent.sock")
}

fn server_command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("spire-server"));
    command.args(arguments).arg("-socketPath").arg(folder.join("server.sock"));
    command
}

fn agent_command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("spire-agent"));
    command.args(arguments).arg("-socketPath").arg(socket(folder));
    command
}

async fn start_server(folder: &Path) -> Result<Server, StartFailure> {
    let mut command = Command::new(binary("spire-server"));
    command.args(["run", "-config"]).arg(folder.join("server.conf"));
    let mut server = Server::spawn("spire-server", &mut command, folder);
    server.ready(async || run(server_command(folder, &["healthcheck"])).await.code == Some(0)).await?;
    let bundle = run(server_command(folder, &["bundle", "show"])).await.succeeded().stdout;
    std::fs::write(folder.join("bundle.pem"), bundle).unwrap();
    Ok(server)
}

/// An agent attests with a join token the first time and with what it kept on disk later.
async fn start_agent(folder: &Path) -> Result<Server, StartFailure> {
    let mut command = Command::new(binary("spire-agent"));
    command.args(["run", "-config"]).arg(folder.join("agent.conf"));
    if !folder.join("agent").exists() {
        let generated = run(server_command(folder, &["token", "generate", "-spiffeID", NODE])).await;
        let text = generated.succeeded().stdout;
        let token = text.lines().find_map(|line| line.strip_prefix("Token: ")).expect("a join token");
        command.args(["-joinToken", token]);
    }
    let mut agent = Server::spawn("spire-agent", &mut command, folder);
    agent.ready(async || run(agent_command(folder, &["healthcheck"])).await.code == Some(0)).await?;
    Ok(agent)
}

async fn start_provider(folder: &Path, port: u16, authority: &Authority) -> Result<Server, StartFailure> {
    let Identity { certificate, key } = authority.server("oidc");
    let file = folder.join("oidc.conf");
    let (certificate, key, server) =
        (certificate.display(), key.display(), folder.join("server.sock").display().to_string());
    let settings = format!(
        "domains = [\"localhost\"]
        serving_cert_file {{
            addr = \"127.0.0.1:{port}\"
            cert_file_path = \"{certificate}\"
            key_file_path = \"{key}\"
        }}
        server_api {{ address = \"unix://{server}\" }}\n"
    );
    std::fs::write(&file, settings).unwrap();
    let mut command = Command::new(binary("spire-oidc"));
    let mut provider = Server::spawn("spire-oidc", command.arg("-config").arg(&file), folder);
    let client = http_client(Some(&authority.pem()));
    let keys = format!("https://localhost:{port}/keys");
    provider
        .ready(async || client.get(&keys).send().await.is_ok_and(|answer| answer.status() == 200))
        .await?;
    Ok(provider)
}

fn server_settings(folder: &Path, port: u16, issuer: Option<&String>) -> String {
    let folder = folder.display();
    let issuer = issuer.map_or_else(String::new, |issuer| format!("jwt_issuer = \"{issuer}\""));
    format!(
        "server {{
            bind_address = \"127.0.0.1\"
            bind_port = \"{port}\"
            socket_path = \"{folder}/server.sock\"
            trust_domain = \"{TRUST_DOMAIN}\"
            data_dir = \"{folder}/server\"
            {issuer}
            default_jwt_svid_ttl = \"5m\"
        }}
        plugins {{
            DataStore \"sql\" {{
                plugin_data {{
                    database_type = \"sqlite3\"
                    connection_string = \"{folder}/server.sqlite3\"
                }}
            }}
            NodeAttestor \"join_token\" {{ plugin_data {{}} }}
            KeyManager \"disk\" {{ plugin_data {{ keys_path = \"{folder}/server-keys.json\" }} }}
        }}\n"
    )
}

fn agent_settings(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "agent {{
            server_address = \"127.0.0.1\"
            server_port = \"{port}\"
            socket_path = \"{folder}/sockets/agent.sock\"
            trust_bundle_path = \"{folder}/bundle.pem\"
            trust_domain = \"{TRUST_DOMAIN}\"
            data_dir = \"{folder}/agent\"
            experimental {{ sync_interval = \"1s\" }}
        }}
        plugins {{
            NodeAttestor \"join_token\" {{ plugin_data {{}} }}
            KeyManager \"disk\" {{ plugin_data {{ directory = \"{folder}/agent\" }} }}
            WorkloadAttestor \"unix\" {{ plugin_data {{}} }}
        }}\n"
    )
}

/// A failing test shows what SPIRE said last.
impl Drop for Spire {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["spire-server", "spire-agent", "spire-oidc"] {
                let log = std::fs::read_to_string(self.folder.path().join(format!("{name}.log")))
                    .unwrap_or_default();
                let lines: Vec<_> = log.lines().collect();
                println!("{name} said last:\n{}", lines[lines.len().saturating_sub(10)..].join("\n"));
            }
        }
    }
}
