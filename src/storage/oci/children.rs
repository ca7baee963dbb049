//! The manifests that an image index lists, for whoever wants them signed beside it.
//!
//! Guarantees: all of them or an error, never some of them; one level deep, so that no index that names itself is
//! followed; what describes another manifest of the index instead of a platform (build attestations of buildx, whose
//! platform is `unknown/unknown`) is none. Must not: look into the manifests themselves.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;

use super::backend;
use crate::artifact::image::Image;
use crate::client::registry::{self, Session};
use crate::storage::{Error, Index};

/// An index has one manifest for a platform; nobody builds for more.
const MOST: usize = 100;

/// The indexes in the registries of one run.
pub struct Indexes(pub Arc<Session>);

/// As far as it is read; a manifest that is no index has no such list.
#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    manifests: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    digest: String,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Platform {
    os: String,
    architecture: String,
}

#[async_trait]
impl Index for Indexes {
    async fn children(&self, image: &Image) -> Result<Vec<Image>, Error> {
        let found = self.0.manifest(&image.repository, &image.digest).await.map_err(backend)?;
        let content = found.ok_or_else(|| backend(registry::Error::NoImage { image: image.clone() }))?;
        children(image, &content).map_err(|reason| Error::Index { image: Box::new(image.clone()), reason })
    }
}

fn children(image: &Image, content: &[u8]) -> Result<Vec<Image>, &'static str> {
    let content: Content = serde_json::from_slice(content).map_err(|_| "it does not decode")?;
    let mut children: Vec<Image> = Vec::new();
    for listed in content.manifests.iter().filter(|listed| !listed.is_attestation()) {
        let digest = listed.digest.parse().map_err(|_| "a manifest in it has no sha256 digest")?;
        let child = Image { repository: image.repository.clone(), digest };
        if child != *image && !children.contains(&child) {
            children.push(child);
        }
        if children.len() > MOST {
            return Err("it lists more than 100 manifests");
        }
    }
    Ok(children)
}

impl Listed {
    fn is_attestation(&self) -> bool {
        self.platform.as_ref().is_some_and(|one| one.os == "unknown" && one.architecture == "unknown")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn image() -> Image {
        format!("registry.test/app@sha256:{}", "0".repeat(64)).parse().unwrap()
    }

    fn listed(number: usize, os: &str) -> Value {
        json!({"digest": format!("sha256:{number:064x}"), "platform": {"os": os, "architecture": os}})
    }

    fn of(manifests: &[Value]) -> Result<Vec<String>, &'static str> {
        let content = json!({"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests});
        let found = children(&image(), content.to_string().as_bytes())?;
        Ok(found.iter().map(|child| child.digest.hex().trim_start_matches('0').to_owned()).collect())
    }

    #[test]
    fn the_children_of_an_index_are_its_platforms_each_once() {
        let manifests = [listed(1, "linux"), listed(2, "unknown"), listed(1, "linux"), listed(0, "linux")];
        assert_eq!(of(&manifests).unwrap(), ["1"]);
        let without_platform = json!({"digest": format!("sha256:{:064x}", 3)});
        assert_eq!(of(&[without_platform]).unwrap(), ["3"]);
        let null = json!({"digest": format!("sha256:{:064x}", 4), "platform": null});
        assert_eq!(of(&[null]).unwrap(), ["4"]);
    }

    #[test]
    fn an_image_that_is_no_index_has_no_children() {
        assert_eq!(children(&image(), br#"{"schemaVersion":2,"config":{},"layers":[]}"#).unwrap(), []);
    }

    #[test]
    fn an_index_that_is_not_understood_whole_is_an_error() {
        let many = |count| (1..=count).map(|number| listed(number, "linux")).collect::<Vec<_>>();
        assert_eq!(of(&many(100)).unwrap().len(), 100);
        assert_eq!(of(&many(101)), Err("it lists more than 100 manifests"));
        assert_eq!(of(&[json!({"digest": "sha512:00"})]), Err("a manifest in it has no sha256 digest"));
        assert_eq!(children(&image(), b"[").unwrap_err(), "it does not decode");
        assert_eq!(of(&[json!({"digest": 7})]), Err("it does not decode"));
    }
}
