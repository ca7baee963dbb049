//! What the demo's files and its image hold, as pure functions of the names in them.
//!
//! The manifests are written as a person would: they are there to be read, and to be given to `hallmark sign -f`.

use std::net::SocketAddr;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use oci_client::manifest::{IMAGE_LAYER_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Account;
use crate::artifact::digest::Digest;
use crate::artifact::image::Image;

/// Name of the Secret that may push.
pub(super) const PUSH_SECRET: &str = "registry-push";
const PULL_SECRET: &str = "registry-pull";
/// The media type of an image's config.
const CONFIG_MEDIA_TYPE: &str = "application/vnd.oci.image.config.v1+json";
/// An empty tar archive is its end mark: two blocks of zeros.
const EMPTY_TAR: [u8; 1024] = [0; 1024];
/// How long the build is said to have taken.
const BUILD: SignedDuration = SignedDuration::from_secs(42);

/// One user's access to the registry.
pub(super) struct Access<'a> {
    pub address: SocketAddr,
    pub account: &'a Account,
}

impl Access<'_> {
    /// A docker configuration file with this access.
    pub(super) fn docker_config(&self) -> Zeroizing<String> {
        let Account { name, password } = self.account;
        let auth = base64(format!("{name}:{}", password.as_str()));
        Zeroizing::new(json!({"auths": {self.address.to_string(): {"auth": auth}}}).to_string())
    }
}

/// A complete image with nothing in it.
pub(super) struct DemoImage {
    pub layer: Bytes,
    pub config: Bytes,
    pub manifest: Bytes,
}

impl DemoImage {
    pub(super) fn small() -> Self {
        let layer = Bytes::from_static(&EMPTY_TAR);
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer).to_string()]},
        });
        let config = Bytes::from(config.to_string());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_IMAGE_MEDIA_TYPE,
            "config": descriptor(CONFIG_MEDIA_TYPE, &config),
            "layers": [descriptor(IMAGE_LAYER_MEDIA_TYPE, &layer)],
        });
        Self { layer, config, manifest: Bytes::from(manifest.to_string()) }
    }

    pub(super) fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }
}

/// The service account with its Secrets. The one that may only pull comes first, so that it is refused on the way.
pub(super) fn account(reader: &Access<'_>, builder: &Access<'_>) -> Zeroizing<String> {
    let (pull, push) = (reader.docker_config(), builder.docker_config());
    let secret = |name: &str, config: &str| {
        format!(
            "---
apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: ci}}
type: kubernetes.io/dockerconfigjson
stringData:
  .dockerconfigjson: '{config}'
"
        )
    };
    Zeroizing::new(format!(
        "# The service account that the run ran as, with its registry credentials.
apiVersion: v1
kind: ServiceAccount
metadata: {{name: builder, namespace: ci}}
secrets:
- name: {PULL_SECRET} # may only pull
- name: {PUSH_SECRET} # may push
{}{}",
        secret(PULL_SECRET, &pull),
        secret(PUSH_SECRET, &push)
    ))
}

/// The run, as Tekton leaves it when a build has ended at `end`.
pub(super) fn run(image: &Image, end: Timestamp) -> String {
    let time = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let (start, end) = (time(end - BUILD), time(end));
    let Image { repository, digest } = image;
    format!(
        "# A TaskRun as Tekton leaves it when a build has ended. The results name what was built.
apiVersion: tekton.dev/v1
kind: TaskRun
metadata:
  name: build-app
  namespace: ci
  uid: 5f0b3a52-7f0e-4c0d-9d5e-0d2c1b7a9e10
spec:
  serviceAccountName: builder
  taskSpec: &task
    results:
    - {{name: IMAGE_URL, type: string}}
    - {{name: IMAGE_DIGEST, type: string}}
    steps:
    - {{name: build-and-push, image: registry.example/build:1, script: build && push}}
status:
  startTime: {start}
  completionTime: {end}
  conditions:
  - {{type: Succeeded, status: 'True', reason: Succeeded, message: All Steps have completed executing}}
  results:
  - {{name: IMAGE_URL, type: string, value: '{repository}'}}
  - {{name: IMAGE_DIGEST, type: string, value: '{digest}'}}
  steps:
  - name: build-and-push
    container: step-build-and-push
    terminated: {{exitCode: 0, reason: Completed, startedAt: {start}, finishedAt: {end}}}
  taskSpec: *task
"
    )
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(content).to_string(), "size": content.len()})
}

fn base64(text: String) -> String {
    use ::base64::Engine as _;
    ::base64::prelude::BASE64_STANDARD.encode(Zeroizing::new(text).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 5000);

    fn account(name: &'static str) -> Account {
        Account { name, password: Zeroizing::new(format!("{name}-password")) }
    }

    #[test]
    fn a_docker_config_is_for_this_registry_alone() {
        let reader = account("reader");
        let config = Access { address: ADDRESS.into(), account: &reader }.docker_config();
        let config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(
            config,
            json!({"auths": {"127.0.0.1:5000": {"auth": "cmVhZGVyOnJlYWRlci1wYXNzd29yZA=="}}})
        );
    }

    #[test]
    fn the_image_names_its_own_content() {
        let image = DemoImage::small();
        let manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
        assert_eq!(manifest["layers"][0]["digest"], Digest::of(&image.layer).to_string());
        assert_eq!(manifest["config"]["digest"], Digest::of(&image.config).to_string());
        assert_eq!(manifest["config"]["size"], image.config.len());
        let config: Value = serde_json::from_slice(&image.config).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"], "not compressed");
        assert_eq!(image.digest(), DemoImage::small().digest(), "the same each time");
    }

    #[test]
    fn the_account_names_the_secret_that_is_refused_before_the_one_that_serves() {
        let (reader, builder) = (account("reader"), account("builder"));
        let access = |account| Access { address: ADDRESS.into(), account };
        let text = super::account(&access(&reader), &access(&builder));
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        assert_eq!(objects[0]["secrets"], json!([{"name": "registry-pull"}, {"name": "registry-push"}]));
        for (object, account, name) in [(1, &reader, PULL_SECRET), (2, &builder, PUSH_SECRET)] {
            assert_eq!(objects[object]["metadata"]["name"], name);
            let config = access(account).docker_config();
            assert_eq!(objects[object]["stringData"][".dockerconfigjson"], config.as_str());
        }
    }

    #[test]
    fn the_run_has_ended_well_and_says_what_it_built() {
        let image =
            Image { repository: "127.0.0.1:5000/app".parse().unwrap(), digest: DemoImage::small().digest() };
        let text = run(&image, "2026-01-02T03:04:05.678Z".parse().unwrap());
        let run: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(run["status"]["startTime"], "2026-01-02T03:03:23Z");
        assert_eq!(run["status"]["completionTime"], "2026-01-02T03:04:05Z");
        assert_eq!(run["status"]["conditions"][0]["status"], "True");
        assert_eq!(run["status"]["results"][0]["value"], "127.0.0.1:5000/app");
        assert_eq!(run["status"]["results"][1]["value"], image.digest.to_string());
        assert_eq!(run["status"]["taskSpec"], run["spec"]["taskSpec"]);
    }
}
