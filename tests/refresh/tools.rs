//! skopeo and podman, as Debian has them, pull from the registry behind tokens: by the content of a pull secret, and by
//! `docker-credential-hallmark`. Where they are not installed, these tests say so and are passed over.

use std::path::{Path, PathBuf};

use crate::person::Person;
use crate::support::{Crane, Finished};
use crate::world::{Running, SOON};

/// Debian's program, if it is there (`hack/install skopeo`).
fn debian(program: &str) -> Option<PathBuf> {
    let found = Some(Path::new("/usr/bin").join(program)).filter(|path| path.exists());
    if found.is_none() {
        println!("{program} is not installed: passed over");
    }
    found
}

/// An image whose layer is a real archive, since podman unpacks it.
async fn image(person: &Person<'_>, repository: &str) -> String {
    person.shell("echo canary > content && tar -cf layer.tar content").await.succeeded();
    let registry = &person.world.registry;
    let writer = registry.access(Some(("writer".to_owned(), "w".to_owned())));
    let (layer, tag) = (person.file("layer.tar"), format!("{}/{repository}:latest", registry.host()));
    let append = ["append", "--oci-empty-base", "-f", layer.to_str().unwrap(), "-t", &tag];
    Crane::new(&writer).run(&append).await.succeeded().stdout.trim().to_owned()
}

/// A file with the content that the updater wrote.
async fn secret(person: &Person<'_>, prefix: &str) -> PathBuf {
    let tenant = person.world.tenant(prefix, 3600).await;
    tenant.create_pull_secret("{}").await;
    tenant.another_token(None, SOON).await;
    let file = person.file("secret.json");
    std::fs::write(&file, tenant.content().await).unwrap();
    file
}

#[tokio::test]
async fn skopeo_pulls_by_a_pull_secret_and_by_the_helper() {
    let Some(skopeo) = debian("skopeo") else { return };
    let world = &Running::shared().await.world;
    let person = Person::new(world, "skopeo", 3600).await;
    let image = image(&person, "team/skopeo").await;
    let copy = async |more: &[&str], to: &str| -> Finished {
        let (from, to) = (format!("docker://{image}"), format!("dir:{}", person.file(to).display()));
        let mut command = person.command(&skopeo);
        command.args(["--insecure-policy", "copy"]).args(more).args([&from, &to]);
        crate::world::finished(command).await
    };
    copy(&[], "nothing").await.failed();
    let secret = secret(&person, "by-skopeo").await;
    copy(&["--authfile", secret.to_str().unwrap()], "by-secret").await.succeeded();
    person.configure().await;
    copy(&[], "by-helper").await.succeeded();
    assert!(person.file("by-helper/manifest.json").exists());
    assert_eq!(world.sts.count(&person.identity), 1);
}

#[tokio::test]
async fn podman_pulls_by_a_pull_secret_and_by_the_helper() {
    let Some(podman) = debian("podman") else { return };
    let world = &Running::shared().await.world;
    let person = Person::new(world, "podman", 3600).await;
    let image = image(&person, "team/podman").await;
    let policy = person.file("policy.json");
    std::fs::write(&policy, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).unwrap();
    let pull = async |more: &[&str], store: &str| -> Finished {
        let mut command = person.command(&podman);
        // A store of its own for each pull, so that nothing is there already.
        for (option, folder) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            command.arg(option).arg(person.file(&format!("{store}/{folder}")));
        }
        command.args([
            "--storage-driver",
            "vfs",
            "--cgroup-manager",
            "cgroupfs",
            "--events-backend",
            "none",
            "pull",
        ]);
        command.arg("--signature-policy").arg(&policy).args(more).arg(&image);
        crate::world::finished(command).await
    };
    pull(&[], "nothing").await.failed();
    let secret = secret(&person, "by-podman").await;
    pull(&["--authfile", secret.to_str().unwrap()], "by-secret").await.succeeded();
    person.configure().await;
    pull(&[], "by-helper").await.succeeded();
    assert_eq!(world.sts.count(&person.identity), 1);
}
