//! The real crane: it pushes images and reads what a registry holds.

use std::process::Command;

use aws_lc_rs::rand;
use tempfile::TempDir;

use super::Access;
use super::binary::binary;
use super::process::{Finished, run};

/// crane with a home of its own and one registry to talk to.
#[derive(Debug)]
pub struct Crane {
    access: Access,
    home: TempDir,
}

/// An image that is in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedImage {
    /// `host/repository`.
    pub repository: String,
    /// `sha256:…`.
    pub digest: String,
}

impl PushedImage {
    /// `host/repository@sha256:…`.
    pub fn by_digest(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }

    /// The tag that cosign keeps something of this image under: `host/repository:sha256-….SUFFIX`.
    pub fn cosign_tag(&self, suffix: &str) -> String {
        format!("{}:{}.{suffix}", self.repository, self.digest.replace(':', "-"))
    }
}

impl Crane {
    /// A crane that reaches one registry by `access`.
    pub fn new(access: &Access) -> Self {
        Self { access: access.clone(), home: tempfile::tempdir().unwrap() }
    }

    /// Pushes a tiny image with random content as `repository:latest`.
    pub async fn push_random_image(&self, repository: &str) -> PushedImage {
        let finished = self.try_push_random_image(repository).await.succeeded();
        let by_digest = finished.stdout.lines().last().unwrap_or_default().trim();
        let (repository, digest) = by_digest.split_once('@').expect("crane prints the image by digest");
        PushedImage { repository: repository.to_owned(), digest: digest.to_owned() }
    }

    /// The same, for pushes that may be refused.
    pub async fn try_push_random_image(&self, repository: &str) -> Finished {
        let mut content = [0; 256];
        rand::fill(&mut content).unwrap();
        // crane does not look into a layer, so that it need be no archive.
        let layer = self.home.path().join(format!("{}.tar", hex::encode(&content[..8])));
        std::fs::write(&layer, content).unwrap();
        let tag = format!("{}/{repository}:latest", self.access.host);
        self.run(&["append", "--oci-empty-base", "-f", layer.to_str().unwrap(), "-t", &tag]).await
    }

    /// The manifest of `reference`, `None` when the registry has none.
    pub async fn manifest(&self, reference: &str) -> Option<serde_json::Value> {
        let finished = self.run(&["manifest", reference]).await;
        if finished.code != Some(0) && finished.stderr.contains("MANIFEST_UNKNOWN") {
            return None;
        }
        Some(serde_json::from_str(&finished.succeeded().stdout).expect("a manifest is JSON"))
    }

    /// The tags of a repository.
    pub async fn tags(&self, repository: &str) -> Vec<String> {
        let listed = self.run(&["ls", &format!("{}/{repository}", self.access.host)]).await.succeeded();
        listed.stdout.lines().map(str::to_owned).collect()
    }

    /// Any other command of crane.
    pub async fn run(&self, arguments: &[&str]) -> Finished {
        let mut command = Command::new(binary("crane"));
        self.access.apply(&mut command, self.home.path());
        command.args(arguments);
        run(command).await
    }
}
