//! Signing with logs: Rekor v1 and a certificate log on a real Trillian, and runs that ask for the log themselves.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::agent::{Agent, SOON, repository};
use crate::signing::{Keyless, NAME, Witnesses, trusting};
use crate::support::{
    Cluster, Completion, Cosign, Crane, Fulcio, Hallmark, Identity, Layout, MadeLog, OfflineCosign,
    PlainRegistry, RekorV1, run as run_to_end,
};

#[tokio::test]
#[ignore = "needs hack/install rekor-v1; run by hack/test rekor-v1"]
async fn entries_of_a_real_rekor_v1_are_accepted_by_cosign_offline_in_both_layouts() {
    let keyless = Keyless::prepare("rekor-v1", &[]).await;
    let (rekor, cosign) = (RekorV1::start().await, OfflineCosign::new());
    let listed =
        format!("url={},public-key={},start-time=2024-01-01T00:00:00Z", rekor.url, rekor.key.display());
    let root = cosign.trusted_root(&[trusting(&keyless.fulcio), ("rekor", listed)]).await;
    keyless
        .configure(&[
            ("storage.oci.also-bundle", "true"),
            ("transparency.enabled", "true"),
            ("transparency.url", &rekor.url),
            ("signers.x509.trusted-root", root.to_str().unwrap()),
        ])
        .await;
    let _hallmark = keyless.agent.start().await;
    let image = keyless.build("app").await;
    assert_eq!(keyless.agent.mark("app", SOON).await, "true");
    let entry = keyless.agent.annotations("app").await["chains.tekton.dev/transparency"].clone();
    assert!(entry.starts_with(&format!("{}/api/v1/log/entries?logIndex=", rekor.url)), "{entry}");
    drop(rekor);

    let issuer = keyless.agent.cluster.issuer();
    let judge = Cosign::new(&keyless.access());
    for layout in [Layout::Bundles, Layout::Tags] {
        let judged = async |name: &str| {
            let who = Identity { root: &root, name, issuer: &issuer };
            judge.verify_logged(&who, layout, &image.by_digest()).await
        };
        let (signature, attestation) = judged(NAME).await;
        signature.succeeded();
        attestation.succeeded();
        let (signature, attestation) = judged("https://kubernetes.io/namespaces/x/serviceaccounts/y").await;
        signature.failed();
        attestation.failed();
    }
}

#[tokio::test]
#[ignore = "needs hack/install rekor-v1 ct-log; run by hack/test rekor-v1"]
async fn the_sct_of_a_real_certificate_log_is_accepted_and_that_of_another_is_not() {
    let cluster = Cluster::shared().await;
    cluster.lets_anybody_read_the_keys_of_its_issuer().await;
    let (fulcio, log) = Fulcio::logged(cluster).await;
    let (access, registry) = {
        let registry = PlainRegistry::start().await;
        (registry.access(), registry)
    };
    let agent = Agent::prepare("logged", &access, &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let text = cluster.token_for("tekton-chains", "tekton-chains-controller", "sigstore").await;
    std::fs::write(&token, text).unwrap();
    let other = folder.path().join("other.pub");
    std::fs::write(&other, MadeLog::v1("https://other.test").key_pem()).unwrap();
    for (run, key, good) in [("known", &log.key, true), ("strange", &other, false)] {
        let cosign = OfflineCosign::new();
        let listed = format!("url={},public-key={},start-time=2024-01-01T00:00:00Z", log.url, key.display());
        let root = cosign.trusted_root(&[trusting(&fulcio), ("ctfe", listed)]).await;
        agent
            .configure(&[
                ("artifacts.taskrun.storage", "oci"),
                ("signers.x509.fulcio.enabled", "true"),
                ("signers.x509.fulcio.address", &fulcio.url),
                ("signers.x509.identity.token.file", token.to_str().unwrap()),
                ("signers.x509.trusted-root", root.to_str().unwrap()),
            ])
            .await;
        let hallmark = agent.start().await;
        let image = Crane::new(&access).push_random_image(run).await;
        agent.build(run, &access, &image).await;
        if !good {
            let outcome = agent.outcome(run, SOON).await;
            assert!(
                outcome.iter().all(|one| one["reason"].as_str().unwrap().contains("unknown log")),
                "{outcome:?}"
            );
            assert_eq!(registry.layers(&image, "sig").await, 0);
            continue;
        }
        assert_eq!(agent.mark(run, SOON).await, "true");
        // cosign checks the SCT too, when it is not told to leave it out.
        let issuer = cluster.issuer();
        let by_digest = image.by_digest();
        let root = root.to_str().unwrap();
        let whose = ["--certificate-identity", NAME, "--certificate-oidc-issuer", &issuer];
        let arguments =
            [&["verify", &by_digest, "--trusted-root", root, "--insecure-ignore-tlog"][..], &whose];
        let mut judge = cosign.reaching_nobody(&arguments.concat());
        judge.arg("--allow-http-registry").env("NO_PROXY", "127.0.0.1");
        run_to_end(judge).await.succeeded();
        Hallmark::run(&arguments.concat(), &[]).await.succeeded();
        hallmark.terminate();
    }
}

#[tokio::test]
async fn with_transparency_manual_only_a_run_that_asks_for_it_is_logged() {
    let keyless = Keyless::prepare("manual", &[]).await;
    let witnesses = Witnesses::start(&keyless.fulcio).await;
    keyless
        .configure(
            &[
                &witnesses.settings()[..],
                &[("transparency.enabled", "manual"), ("storage.oci.also-bundle", "true")],
            ]
            .concat(),
        )
        .await;
    let _hallmark = keyless.agent.start().await;
    let (cluster, namespace, access) = (keyless.agent.cluster, &keyless.agent.namespace, keyless.access());
    for (run, asks) in [("asks", true), ("silent", false)] {
        let image = Crane::new(&access).push_random_image(run).await;
        cluster.create_task_run(namespace, run).await;
        let wish =
            json!({"metadata": {"annotations": {"chains.tekton.dev/transparency-upload": asks.to_string()}}});
        let runs = cluster.task_runs(namespace).await;
        runs.patch(run, &PatchParams::default(), &Patch::Merge(wish)).await.unwrap();
        let completion = Completion::success().image("", &repository(&access, &image), &image.digest);
        cluster.complete(namespace, run, &completion).await;
        assert_eq!(keyless.agent.mark(run, SOON).await, "true");
        let annotations = keyless.agent.annotations(run).await;
        assert_eq!(annotations.contains_key("chains.tekton.dev/transparency"), asks, "{annotations:?}");
        // cosign wants an entry in a bundle, whatever timestamp is in it.
        let issuer = cluster.issuer();
        let who = Identity { root: &witnesses.root, name: NAME, issuer: &issuer };
        let judged = Cosign::new(&access).verify_witnessed(&who, Layout::Bundles, &image.by_digest()).await;
        assert_eq!((judged.0.code == Some(0), judged.1.code == Some(0)), (asks, asks), "{}", judged.0.stderr);
    }
}
