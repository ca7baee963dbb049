//! The registry of `hallmark demo`, judged by crane and cosign.

use hallmark::cli::demo::registry::{EmbeddedRegistry, Right, User};

use crate::support::{Access, Cosign, Crane};

fn access(registry: &EmbeddedRegistry, name: &str) -> Access {
    let login = Some((name.to_owned(), format!("{name}'s password")));
    Access { host: registry.address().to_string(), ca: None, login }
}

async fn start() -> EmbeddedRegistry {
    let user = |name: &str, right| User::new(name, format!("{name}'s password"), right);
    EmbeddedRegistry::start(vec![user("reader", Right::Pull), user("writer", Right::Push)]).await.unwrap()
}

#[tokio::test]
async fn crane_pushes_as_writer_and_reads_as_reader_only() {
    let registry = start().await;
    let (reader, writer) =
        (Crane::new(&access(&registry, "reader")), Crane::new(&access(&registry, "writer")));
    Crane::new(&access(&registry, "nobody")).try_push_random_image("team/app").await.failed();
    reader.try_push_random_image("team/app").await.failed();
    let image = writer.push_random_image("team/app").await;
    assert!(reader.manifest(&image.by_digest()).await.is_some());
    assert_eq!(reader.tags("team/app").await, ["latest"]);
    let pushed_by: Vec<_> =
        registry.log().into_iter().filter(|r| r.method == "PUT" && r.status == 201).map(|r| r.user).collect();
    assert!(!pushed_by.is_empty() && pushed_by.iter().all(|user| user.as_deref() == Some("writer")));
}

#[tokio::test]
async fn cosign_signs_into_it_and_verifies_from_it() {
    let registry = start().await;
    let access = access(&registry, "writer");
    let image = Crane::new(&access).push_random_image("team/app").await;
    let cosign = Cosign::new(&access);
    let key = cosign.generate_key_pair("key").await;
    cosign.verify(&key.public, &image.by_digest()).await.failed();
    cosign.sign(&key.private, &image).await.succeeded();
    cosign.verify(&key.public, &image.by_digest()).await.succeeded();
    registry.stop().await;
}
