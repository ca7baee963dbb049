//! The roots of `TrustRoot` objects, with the TUF repositories that some of them name followed in the background.
//!
//! Guarantees: each repository is verified from the root in its object on, and what does not hold is never taken
//! ([`TrustMirror`]); one that is silent delays the others not at all, and whoever asks once and no longer than that says;
//! what is named no more is followed no more.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;

use super::trust::{NamedRoot, NoRoot};
use super::trust_root::{Content, TrustRootObject};
use crate::client::http::Clients;
use crate::credential::registry_config::RegistryConfig;
use crate::signature::trusted_root::mirror::{Source, TrustMirror};

/// The repositories that are followed, by the name of their object.
#[derive(Default)]
pub struct Repositories {
    clients: Clients,
    followed: BTreeMap<String, TrustMirror>,
}

impl Repositories {
    /// The root of each object as it is known now: the same value as before where nothing changed.
    pub async fn roots(
        &mut self,
        objects: impl IntoIterator<Item = TrustRootObject>,
        registries: &RegistryConfig,
    ) -> BTreeMap<String, NamedRoot> {
        let (mut roots, mut wanted) = (BTreeMap::new(), Vec::new());
        for TrustRootObject { name, content, notes } in objects {
            match content {
                Some(Content::Keys(root)) => drop(roots.insert(name, Ok(root))),
                Some(Content::Repository(repository)) => {
                    let mirror = self.followed.remove(&name).unwrap_or_default();
                    wanted.push((name, mirror, Source::of_repository(repository, registries)));
                }
                None => drop(roots.insert(name, Err(NoRoot::Mistakes(notes.errors)))),
            }
        }
        let clients = &self.clients;
        let asked = wanted.into_iter().map(async |(name, mut mirror, source)| {
            let answer = mirror.current(&source, clients).await;
            (name, mirror, answer)
        });
        let answers = join_all(asked).await;
        self.followed.clear();
        for (name, mirror, answer) in answers {
            let root = answer.map(|mirrored| Arc::clone(&mirrored.root));
            roots.insert(name.clone(), root.map_err(|error| NoRoot::Repository(error)));
            self.followed.insert(name, mirror);
        }
        roots
    }
}
