//! Which services sign: those of a SigningConfig, from a file or from the TUF mirror that the trust root comes from.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::agent::{Agent, SOON};
use crate::signing::{Keyless, NAME, Witnesses, trusting};
use crate::support::{Cosign, Fulcio, Identity, Layout, OfflineCosign, TufRepository};

/// The services of a SigningConfig: beside the real ones there is one whose time is over, one of an older version by the
/// same operator, and one of tomorrow.
async fn services(keyless: &Keyless, witnesses: &Witnesses, cosign: &OfflineCosign) -> PathBuf {
    let service = |url: &str, version: u32, operator: &str, more: &str| {
        format!("url={url},api-version={version},start-time=2024-01-01T00:00:00Z,operator={operator}{more}")
    };
    let (nobody, over) = ("http://127.0.0.1:1", ",end-time=2024-02-01T00:00:00Z");
    let services = [
        ("fulcio", service(nobody, 1, "earlier.test", over)),
        ("fulcio", service(&keyless.door.url, 1, "hallmark.test", "")),
        ("rekor", service(nobody, 1, "hallmark.test", "")),
        ("rekor", service(&witnesses.rekor.url, 2, "hallmark.test", "")),
        ("rekor", service(nobody, 9, "tomorrow.test", "")),
        ("tsa", service(nobody, 1, "earlier.test", over)),
        ("tsa", service(&witnesses.timestamps.url, 1, "hallmark.test", "")),
    ];
    cosign.signing_config(&services).await
}

/// An agent that gets its trust root from a mirror, and the names of its services from there too or from a file.
struct Mirrored {
    keyless: Keyless,
    witnesses: Witnesses,
    cosign: OfflineCosign,
    mirror: TufRepository,
    cache: tempfile::TempDir,
}

impl Mirrored {
    async fn prepare(prefix: &str) -> Self {
        let keyless = Keyless::prepare(prefix, &[]).await;
        let witnesses = Witnesses::start(&keyless.fulcio).await;
        let (cosign, mirror) = (OfflineCosign::new(), TufRepository::start().await);
        Self { keyless, witnesses, cosign, mirror, cache: tempfile::tempdir().unwrap() }
    }

    /// Nothing but `more` names a service.
    async fn configure(&self, more: &[(&str, &str)]) {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (token, cache) = (self.keyless.token_file(), text(self.cache.path()));
        let first = text(&self.mirror.first_root());
        let mut settings = vec![
            ("artifacts.taskrun.storage", "oci"),
            ("storage.oci.also-bundle", "true"),
            ("signers.x509.fulcio.enabled", "true"),
            ("signers.x509.identity.token.file", token.as_str()),
            ("signers.x509.tuf.mirror.url", &self.mirror.url),
            ("signers.x509.tuf.root", &first),
            ("signers.x509.tuf.cache", &cache),
            ("transparency.enabled", "true"),
        ];
        settings.extend(more);
        self.keyless.agent.configure(&settings).await;
    }

    /// A run is signed with all the services, and cosign accepts it.
    async fn signs(&self, run: &str) {
        let (keyless, witnesses) = (&self.keyless, &self.witnesses);
        let image = keyless.build(run).await;
        assert_eq!(keyless.agent.mark(run, SOON).await, "true");
        let issuer = keyless.agent.cluster.issuer();
        let who = Identity { root: &witnesses.root, name: NAME, issuer: &issuer };
        let judge = Cosign::new(&keyless.access());
        let (signature, attestation) =
            judge.verify_witnessed(&who, Layout::Bundles, &image.by_digest()).await;
        signature.succeeded();
        attestation.succeeded();
        let entry = keyless.agent.annotations(run).await["chains.tekton.dev/transparency"].clone();
        assert!(entry.starts_with(&format!("{}?logIndex=", witnesses.rekor.url)), "{entry}");
    }
}

#[tokio::test]
async fn services_of_a_signing_config_and_the_trust_root_of_a_mirror_sign_what_cosign_accepts() {
    let world = Mirrored::prepare("chosen").await;
    world.mirror.publish(&world.witnesses.root, 1).await;
    let chosen = services(&world.keyless, &world.witnesses, &world.cosign).await;
    world.configure(&[("transparency.signing-config", chosen.to_str().unwrap())]).await;
    let hallmark = world.keyless.agent.start().await;
    world.signs("app").await;

    // A certificate that the mirror's root does not know is refused before anything is stored.
    let keyless = &world.keyless;
    let (strangers, other) = (Fulcio::start(keyless.agent.cluster).await, OfflineCosign::new());
    world.mirror.publish(&other.trusted_root(&[trusting(&strangers)]).await, 2).await;
    hallmark.terminate();
    let _hallmark = keyless.agent.start().await;
    let image = keyless.build("refused").await;
    keyless.waits_because("refused", &["Fulcio"]).await;
    assert_eq!(Agent::layers(&keyless.access(), &image, "sig").await, 0);
}

#[tokio::test]
async fn the_signing_config_of_a_mirror_names_the_services_and_one_that_is_not_there_is_told() {
    let world = Mirrored::prepare("mirrored").await;
    world.mirror.publish(&world.witnesses.root, 1).await;
    world.configure(&[("signers.x509.tuf.signing-config", "true")]).await;
    let hallmark = world.keyless.agent.start().await;
    let image = world.keyless.build("waits").await;
    world.keyless.waits_because("waits", &["TUF mirror", "signing_config.v0.2.json"]).await;
    assert_eq!(Agent::layers(&world.keyless.access(), &image, "sig").await, 0);
    hallmark.terminate();

    let chosen = services(&world.keyless, &world.witnesses, &world.cosign).await;
    world.mirror.publish_so(&world.witnesses.root, &json!({"version": 2, "services": chosen})).await;
    let _hallmark = world.keyless.agent.start().await;
    assert_eq!(world.keyless.agent.mark("waits", 2 * SOON).await, "true");
    world.signs("app").await;
}
