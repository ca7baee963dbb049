//! go-containerregistry's registry: in memory, plain HTTP, no authentication. Its log counts requests.

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::binary::binary;
use super::process::{Server, free_port, start};
use super::{Access, PushedImage, http_client};

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

    /// Starts one under a name and at a port that only a namespace of its own has to spare.
    pub async fn start_at(name: &str, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(binary("registry"));
        command.args(["-port", &port.to_string()]);
        let mut server = Server::spawn("registry", &mut command, folder.path());
        let (http, url) = (http_client(None), format!("http://{name}:{port}/v2/"));
        let ready = server.ready(async || http.get(&url).send().await.is_ok_and(|a| a.status() == 200)).await;
        assert!(ready.is_ok(), "the registry does not start: {ready:?}");
        Self { server, host: name.to_owned(), _folder: folder }
    }

    /// `127.0.0.1:port`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// How clients reach it.
    pub fn access(&self) -> Access {
        Access { host: self.host.clone(), ca: None, login: None }
    }

    /// Puts an image there without a process of its own, for tests with hundreds of them.
    pub async fn put_image(&self, repository: &str) -> PushedImage {
        let mut content = [0; 16];
        aws_lc_rs::rand::fill(&mut content).unwrap();
        let empty = format!("sha256:{}", "4".repeat(64));
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": kind, "layers": [],
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": empty, "size": 2},
            "annotations": {"content": hex::encode(content)},
        });
        let url = format!("http://{}/v2/{repository}/manifests/latest", self.host);
        let put = http_client(None).put(url).header("Content-Type", kind).body(manifest.to_string());
        let answer = put.send().await.unwrap().error_for_status().unwrap();
        let digest = answer.headers()["docker-content-digest"].to_str().unwrap().to_owned();
        PushedImage { repository: format!("{}/{repository}", self.host), digest }
    }

    /// Puts one signature under the tag of `image`, in place of what is there.
    pub async fn put_signature(&self, image: &PushedImage, payload: &str, annotations: &Value) {
        let (http, repository) = (
            http_client(None),
            format!("http://{}/v2/{}", self.host, image.repository.split_once('/').unwrap().1),
        );
        let digest = |content: &str| {
            let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content.as_bytes());
            format!("sha256:{}", hex::encode(hash))
        };
        for content in ["{}", payload] {
            let url = format!("{repository}/blobs/uploads/?digest={}", digest(content));
            http.post(url).body(content.to_owned()).send().await.unwrap().error_for_status().unwrap();
        }
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let layer = json!({"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
            "digest": digest(payload), "size": payload.len(), "annotations": annotations});
        let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest("{}"), "size": 2});
        let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]});
        let url = format!("{repository}/manifests/{}.sig", image.digest.replace(':', "-"));
        let put = http.put(url).header("Content-Type", kind).body(manifest.to_string());
        put.send().await.unwrap().error_for_status().unwrap();
    }

    /// How many layers lie under the tag that cosign keeps something of an image under.
    pub async fn layers(&self, image: &PushedImage, suffix: &str) -> usize {
        let tag = image.cosign_tag(suffix);
        let path = tag.strip_prefix(&format!("{}/", self.host)).unwrap();
        let (repository, tag) = path.rsplit_once(':').unwrap();
        let url = format!("http://{}/v2/{repository}/manifests/{tag}", self.host);
        let answer = http_client(None).get(url).send().await.unwrap();
        if answer.status() == 404 {
            return 0;
        }
        let manifest: Value = answer.error_for_status().unwrap().json().await.unwrap();
        manifest["layers"].as_array().unwrap().len()
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
