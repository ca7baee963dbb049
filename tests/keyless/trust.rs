//! The trust root of a TUF mirror: a repository made by python-tuf, and its faults.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hallmark::client::http::Clients;
use hallmark::config::Fulcio as Settings;
use hallmark::credential::registry_config::{Proxies, RegistryConfig};
use hallmark::error::{Class, Diagnose as _, chain};
use hallmark::signature::trusted_root::mirror::{MirrorError, Mirrored, Source, TrustMirror};
use serde_json::json;

use crate::support::{Door, Passage, TufRepository, eventually};

const SOON: Duration = Duration::from_secs(20);

/// A repository behind a door, trust roots to publish in it, and the folders of whoever reads it.
struct World {
    repository: TufRepository,
    door: Door,
    folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let repository = TufRepository::start().await;
        let door = Door::before(&repository.url).await;
        Self { repository, door, folder: tempfile::tempdir().unwrap() }
    }

    /// A trust root of no services, told from others by its white space.
    fn root(&self, name: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        let media_type = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";
        std::fs::write(&file, format!("{{\"mediaType\":\"{media_type}\"}}{}", " ".repeat(name.len())))
            .unwrap();
        file
    }

    fn settings(&self) -> Settings {
        Settings {
            tuf_mirror_url: self.door.url.clone(),
            tuf_root: Some(self.repository.first_root()),
            tuf_cache: Some(self.folder.path().join("cache")),
            ..Settings::default()
        }
    }

    async fn first(&self) -> Result<Arc<Mirrored>, Arc<MirrorError>> {
        self.asked(&self.settings()).await
    }

    /// As a process asks that starts now.
    async fn asked(&self, settings: &Settings) -> Result<Arc<Mirrored>, Arc<MirrorError>> {
        TrustMirror::default().current(&source(settings), &Clients::default()).await
    }
}

fn source(settings: &Settings) -> Source {
    Source::of(settings, &RegistryConfig::of_environment(Proxies::none()), None).unwrap()
}

#[tokio::test]
async fn the_trust_root_of_a_mirror_is_verified_from_the_first_root_through_a_rotation() {
    let world = World::start().await;
    world.repository.publish_so(&world.root("a"), &json!({"version": 1, "rotate": true})).await;
    world.first().await.unwrap();
    assert!(world.door.count() > 0);

    // Whoever names no first root believes the mirror once, as Chains does, and is held to it by the cache.
    let believing =
        Settings { tuf_root: None, tuf_cache: Some(world.folder.path().join("other")), ..world.settings() };
    world.asked(&believing).await.unwrap();
    let strangers = TufRepository::start().await;
    strangers.publish(&world.root("b"), 9).await;
    std::fs::remove_dir_all(world.repository.served()).unwrap();
    copy(&strangers.served(), &world.repository.served());
    world.asked(&believing).await.expect("the cache still holds, and the mirror's new makers are nobody");
    let stranger = Settings { tuf_cache: Some(world.folder.path().join("third")), ..world.settings() };
    let stranger = Settings { tuf_root: Some(first_of(&believing)), ..stranger };
    let error = world.asked(&stranger).await.unwrap_err();
    assert!(matches!(*error, MirrorError::Unproven { .. }), "{}", chain(&*error));
}

/// The first root that a cache began with.
fn first_of(settings: &Settings) -> PathBuf {
    let cache = settings.tuf_cache.as_ref().unwrap();
    let mirror = std::fs::read_dir(cache).unwrap().next().unwrap().unwrap().path();
    mirror.join("root_history/1.root.json")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("targets")).unwrap();
    for folder in ["", "targets"] {
        for entry in std::fs::read_dir(from.join(folder)).unwrap().map(Result::unwrap) {
            if entry.path().is_file() {
                std::fs::copy(entry.path(), to.join(folder).join(entry.file_name())).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn what_has_expired_or_is_signed_by_a_stranger_or_is_damaged_is_told_as_what_it_is() {
    let world = World::start().await;
    let root = world.root("a");
    for (wish, text, hint) in [
        (
            json!({"version": 1, "days": -1}),
            "timestamp metadata expired",
            "whoever keeps the mirror has to renew it",
        ),
        (json!({"version": 1, "rogue": true}), "threshold not met for role timestamp", "tampered"),
    ] {
        world.repository.publish_so(&root, &wish).await;
        let error = world.first().await.unwrap_err();
        assert!(chain(&*error).contains(text), "{}", chain(&*error));
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
        assert_eq!((error.class(), error.label()), (Class::Temporary, "trusted_root"));
        assert!(error.to_string().contains(&world.door.url), "{error}");
    }
    world.repository.publish(&root, 2).await;
    let target =
        std::fs::read_dir(world.repository.served().join("targets")).unwrap().next().unwrap().unwrap();
    std::fs::write(target.path(), "{}").unwrap();
    let error = world.first().await.unwrap_err();
    assert!(chain(&*error).contains("integrity check failed"), "{}", chain(&*error));

    let no_root = world.folder.path().join("no-root.json");
    std::fs::write(&no_root, "{}").unwrap();
    world.repository.publish(&no_root, 3).await;
    let error = world.first().await.unwrap_err();
    assert!(matches!(*error, MirrorError::Unusable { .. }), "{}", chain(&*error));
    assert_eq!(error.class(), Class::Misconfigured);
}

#[tokio::test]
async fn a_mirror_that_is_away_is_replaced_by_the_cache_and_without_one_it_is_named() {
    let world = World::start().await;
    world.repository.publish(&world.root("a"), 1).await;
    world.door.set(Passage::Shut);
    let error = world.first().await.unwrap_err();
    assert!(matches!(*error, MirrorError::Away { .. }), "{}", chain(&*error));
    assert_eq!(error.class(), Class::Temporary);
    world.door.set(Passage::Open);
    world.first().await.unwrap();
    for passage in [Passage::Shut, Passage::Answer(503, "later")] {
        world.door.set(passage);
        world.first().await.expect("the cache");
    }
}

#[tokio::test]
async fn a_repository_that_was_rolled_back_does_not_take_the_newer_root_away() {
    let world = World::start().await;
    let (old, new) = (world.root("old"), world.root("new-and-longer"));
    world.repository.publish(&old, 1).await;
    let before = tempfile::tempdir().unwrap();
    copy(&world.repository.served(), before.path());
    world.repository.publish(&new, 2).await;

    let every = Duration::from_millis(100);
    let (mut mirror, source, clients) =
        (TrustMirror::asking(every), source(&world.settings()), Clients::default());
    let first = mirror.current(&source, &clients).await.unwrap();
    copy(before.path(), &world.repository.served());
    // Two refreshes later each file of the older version has been looked at.
    let (asked, repository) = (world.repository.asked(), &world.repository);
    eventually("the mirror is asked again", SOON, async || (repository.asked() >= asked + 6).then_some(()))
        .await;
    assert!(Arc::ptr_eq(&first, &mirror.current(&source, &clients).await.unwrap()));
    world.first().await.expect("a process that starts now has the newer one in its cache");

    // The next version is taken by itself.
    world.repository.publish(&old, 3).await;
    let mirror = tokio::sync::Mutex::new(mirror);
    eventually("the next root is in force", SOON, async || {
        let now = mirror.lock().await.current(&source, &clients).await.unwrap();
        (!Arc::ptr_eq(&first, &now)).then_some(())
    })
    .await;
}
