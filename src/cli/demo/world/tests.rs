//! The world itself: what is in the registry and on the disk when it stands.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

async fn world() -> (tempfile::TempDir, World) {
    // Fails only when another test was first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let place = tempfile::tempdir().unwrap();
    let world = World::build(&place.path().join("demo")).await.unwrap();
    (place, world)
}

#[tokio::test]
async fn the_image_is_in_the_registry_and_was_pushed_by_the_builder_alone() {
    let (_place, world) = world().await;
    let requests = world.registry.log();
    let stored = requests.iter().filter(|request| request.method == "PUT" && request.status == 201);
    assert!(stored.clone().any(|request| request.path == "/v2/app/manifests/1.0"), "{requests:?}");
    assert!(stored.clone().all(|request| request.user.as_deref() == Some("builder")));
    assert!(requests.iter().all(|request| request.user.as_deref() != Some("reader")), "{requests:?}");
}

#[tokio::test]
async fn files_with_secrets_are_for_their_owner_only() {
    let (_place, world) = world().await;
    let mode = |name: &str| std::fs::metadata(world.file(name)).unwrap().permissions().mode() & 0o777;
    for (name, expected) in
        [(ACCOUNT, 0o600), (PRIVATE_KEY, 0o600), ("docker/config.json", 0o600), (RUN, mode(PUBLIC_KEY))]
    {
        assert_eq!(mode(name), expected, "{name}");
    }
}

#[tokio::test]
async fn the_files_give_the_run_its_key_and_both_credentials() {
    let (_place, world) = world().await;
    let (run, objects) = world.run_and_objects().unwrap();
    let keychain = objects.keychain(&RunReferences::of(&run));
    assert!(keychain.problems.is_empty(), "{:?}", keychain.problems);
    let candidates = keychain.candidates(&world.image.repository);
    let names: Vec<String> = candidates.iter().map(|candidate| candidate.provenance.to_string()).collect();
    assert!(names[0].contains("ci/registry-pull") && names[1].contains("ci/registry-push"), "{names:?}");

    let files = world.key_files().unwrap();
    let key = Key::from_pem(PRIVATE_KEY, &files[PRIVATE_KEY]).unwrap();
    assert_eq!(key.public_key().to_pem(), world.public_key().unwrap());
}

#[tokio::test]
async fn every_world_has_its_own_passwords_and_key() {
    let (place, first) = world().await;
    let before = (first.reader.password.clone(), first.public_key().unwrap());
    let second = World::build(&place.path().join("demo")).await.unwrap();
    assert_ne!(before.0, second.reader.password);
    assert_ne!(before.1, second.public_key().unwrap());
}
