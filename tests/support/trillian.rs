//! A real Trillian on a PostgreSQL of its own, with the tree of one log: what Rekor v1 and certificate logs write to.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::binary::{binary, installed};
use super::http_client;
use super::process::{Server, StartFailure, free_port, run};

/// PostgreSQL does not run as root; this user owns nothing else.
const NOBODY: u32 = 65534;

/// Trillian, listening until it is dropped.
pub(super) struct Trillian {
    // Dropped from the top: what asks goes before what is asked.
    _signer: Server,
    _log: Server,
    _database: Server,
    /// The port of its API.
    pub(super) port: u16,
    /// The id of the tree.
    pub(super) tree: String,
    folder: TempDir,
}

impl Trillian {
    /// Starts one with an empty tree; `name` begins the name of its folder.
    pub(super) async fn start(name: &str) -> Result<Self, StartFailure> {
        let folder = tempfile::Builder::new().prefix(name).tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let (database, storage) = database(folder.path()).await?;
        let (port, http) = (free_port(), free_port());
        let mut command = trillian("trillian_log_server", &storage, port, http);
        let mut log = Server::spawn("trillian_log_server", &mut command, folder.path());
        healthy(&mut log, http).await?;
        let signer_http = free_port();
        let mut command = trillian("trillian_log_signer", &storage, free_port(), signer_http);
        command.args(["--force_master", "--sequencer_interval=100ms"]);
        let mut signer = Server::spawn("trillian_log_signer", &mut command, folder.path());
        healthy(&mut signer, signer_http).await?;
        let mut tree = Command::new(binary("createtree"));
        tree.arg(format!("--admin_server=127.0.0.1:{port}"));
        let tree = run(tree).await.succeeded().stdout.trim().to_owned();
        Ok(Self { _signer: signer, _log: log, _database: database, port, tree, folder })
    }

    /// For the files of whoever writes to it.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A database with Trillian's tables, and its address.
async fn database(folder: &Path) -> Result<(Server, String), StartFailure> {
    let (port, content) = (free_port(), folder.join("database"));
    std::fs::create_dir(&content).unwrap();
    if std::fs::metadata(folder).unwrap().uid() == 0 {
        std::os::unix::fs::chown(&content, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut initdb = postgres(folder, "initdb");
    initdb.args(["--auth=trust", "--username=trillian", "--no-sync", "--pgdata"]).arg(&content);
    run(initdb).await.succeeded();
    let mut command = postgres(folder, "postgres");
    command.arg("-D").arg(&content).arg("-p").arg(port.to_string());
    command.args(["-h", "127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]);
    let mut server = Server::spawn("postgres", &mut command, folder);
    let address = format!("postgresql://trillian@127.0.0.1:{port}/postgres?sslmode=disable");
    let psql = |more: &[&str]| {
        let mut command = postgres(folder, "psql");
        command.args(["--quiet", "--no-psqlrc", "--dbname", &address]).args(more);
        command
    };
    server.ready(async || run(psql(&["-c", "select 1"])).await.code == Some(0)).await?;
    // Where that somebody may read it.
    let tables = folder.join("trillian.sql");
    std::fs::copy(installed("trillian.sql"), &tables).unwrap();
    run(psql(&["--set=ON_ERROR_STOP=1", "--file", tables.to_str().unwrap()])).await.succeeded();
    Ok((server, address))
}

/// A program of PostgreSQL, as somebody who is not root.
fn postgres(folder: &Path, program: &str) -> Command {
    // Its real place: nobody else gets into the folders of root.
    let program = std::fs::canonicalize(binary("postgres").join(program)).unwrap();
    if std::fs::metadata(folder).unwrap().uid() != 0 {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={NOBODY}")).arg(format!("--regid={NOBODY}")).arg("--clear-groups");
    command.arg(program).current_dir("/");
    command
}

fn trillian(program: &str, storage: &str, rpc: u16, http: u16) -> Command {
    let mut command = Command::new(binary(program));
    command.args(["--storage_system=postgresql", "--quota_system=noop"]);
    command.arg(format!("--postgresql_uri={storage}"));
    command.arg(format!("--rpc_endpoint=127.0.0.1:{rpc}")).arg(format!("--http_endpoint=127.0.0.1:{http}"));
    command
}

async fn healthy(server: &mut Server, http: u16) -> Result<(), StartFailure> {
    let (client, url) = (http_client(None), format!("http://127.0.0.1:{http}/healthz"));
    server.ready(async || client.get(&url).send().await.is_ok_and(|answer| answer.status() == 200)).await
}

/// A key pair for the log: the private key and the public one.
pub(super) async fn keys(folder: &Path) -> (PathBuf, PathBuf) {
    let (private, public) = (folder.join("log.key"), folder.join("log.pub"));
    let mut openssl = Command::new("openssl");
    openssl
        .args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"])
        .arg(&private);
    run(openssl).await.succeeded();
    let mut openssl = Command::new("openssl");
    openssl.arg("pkey").arg("-in").arg(&private).arg("-pubout").arg("-out").arg(&public);
    run(openssl).await.succeeded();
    (private, public)
}
