//! go-containerregistry's registry: in memory, plain HTTP, no authentication. Its log counts requests.

use std::process::Command;

use tempfile::TempDir;

use super::binary::binary;
use super::process::{Server, free_port, start};
use super::{Access, http_client};

/// A running plain registry.
#[derive(Debug)]
pub struct PlainRegistry {
    server: Server,
    host: String,
    _folder: TempDir,
}

impl PlainRegistry {
    /// Starts one; it is empty.
    pub async fn start() -> Self {
        start(async || {
            let folder = tempfile::tempdir().unwrap();
            let host = format!("127.0.0.1:{}", free_port());
            let mut command = Command::new(binary("registry"));
            command.args(["-port", host.split_once(':').unwrap().1]);
            let mut server = Server::spawn("registry", &mut command, folder.path());
            let (http, url) = (http_client(None), format!("http://{host}/v2/"));
            server.ready(async || http.get(&url).send().await.is_ok_and(|a| a.status() == 200)).await?;
            Ok(Self { server, host, _folder: folder })
        })
        .await
    }

    /// `127.0.0.1:port`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// How clients reach it.
    pub fn access(&self) -> Access {
        Access { host: self.host.clone(), ca: None, login: None }
    }

    /// `METHOD PATH` of every request so far, less those of the start.
    pub fn requests(&self) -> Vec<String> {
        let log = self.server.log_text();
        let request = |line: &str| {
            let mut words = line.split(' ').skip(2);
            let (method, path) = (words.next()?, words.next()?);
            (path.starts_with("/v2/") && path != "/v2/").then(|| format!("{method} {path}"))
        };
        log.lines().filter_map(request).collect()
    }

    /// How many requests there were so far, pings of `/v2/` too.
    pub fn request_count(&self) -> usize {
        let log = self.server.log_text();
        log.lines().filter(|line| line.split(' ').nth(3).is_some_and(|path| path.starts_with("/v2/"))).count()
    }
}
