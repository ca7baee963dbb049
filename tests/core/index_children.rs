//! The manifests of an image index are signed beside it where the configuration says so.

use crate::agent::{Agent, SOON};
use crate::main_path::TO_REGISTRY;
use crate::support::{Access, Cosign, Crane, PlainRegistry, PushedImage};

/// An index of two images, and those.
async fn pushed_index(access: &Access) -> (PushedImage, [PushedImage; 2]) {
    let crane = Crane::new(access);
    let children = [crane.push_random_image("app").await, crane.push_random_image("app").await];
    let tag = format!("{}/app:multi", access.host);
    let [first, second] = children.each_ref().map(PushedImage::by_digest);
    crane.run(&["index", "append", "-m", &first, "-m", &second, "-t", &tag]).await.succeeded();
    let digest = crane.run(&["digest", &tag]).await.succeeded().stdout.trim().to_owned();
    (PushedImage { repository: children[0].repository.clone(), digest }, children)
}

#[tokio::test]
async fn the_images_of_an_index_are_signed_with_it_and_not_attested() {
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let (index, children) = pushed_index(&access).await;
    let wanted = [TO_REGISTRY, &[("artifacts.oci.index-children", "true")]].concat();
    let agent = Agent::prepare("index", &access, &wanted).await;
    let _hallmark = agent.start().await;
    agent.build("build", &access, &index).await;
    assert_eq!(agent.mark("build", SOON).await, "true");
    agent.cosign_accepts(&access, &index).await;
    let cosign = Cosign::new(&access);
    for child in &children {
        cosign.verify(&agent.public_key, &child.by_digest()).await.succeeded();
        assert_eq!(Agent::layers(&access, child, "att").await, 0);
    }
}

#[tokio::test]
async fn without_the_key_only_the_index_is_signed() {
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let (index, children) = pushed_index(&access).await;
    let agent = Agent::prepare("index-alone", &access, TO_REGISTRY).await;
    let _hallmark = agent.start().await;
    agent.build("build", &access, &index).await;
    assert_eq!(agent.mark("build", SOON).await, "true");
    assert_eq!(Agent::layers(&access, &index, "sig").await, 1);
    for child in &children {
        assert_eq!(Agent::layers(&access, child, "sig").await, 0);
    }
}
