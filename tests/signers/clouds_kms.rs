//! Signing with keys of AWS KMS, Google Cloud KMS and Azure Key Vault, on servers that judge each request and sign with real
//! keys (`tests/cloud/kms.py`); cosign verifies what comes out of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::agent::{Agent, SOON, repository, stopped_well};
use crate::clouds::Clouds;
use crate::support::{Access, Cosign, Crane, Finished, Hallmark, PlainRegistry, PushedImage};

const RING: &str = "gcpkms://projects/p/locations/global/keyRings/r/cryptoKeys";
const LONG: Duration = Duration::from_mins(2);

/// The three services, and somebody who is known to them.
struct Services {
    clouds: Clouds,
    registries: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Services {
    fn start() -> Option<Self> {
        let clouds = Clouds::start()?;
        let host = clouds.url.strip_prefix("http://").unwrap().to_owned();
        let variables = vec![
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "canary-env-secret".to_owned()),
            ("GCE_METADATA_HOST", host),
            ("AZURE_POD_IDENTITY_AUTHORITY_HOST", clouds.url.clone()),
        ];
        Some(Self {
            registries: clouds.trusted_for(&[".amazonaws.com", ".googleapis.com", ".azure.net"]),
            clouds,
            variables,
        })
    }

    async fn run(&self, arguments: &[&str]) -> Finished {
        let variables: Vec<_> = self.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let arguments = [arguments, &["--registry-config", self.registries.to_str().unwrap()]].concat();
        let finished = Hallmark::run(&arguments, &variables).await;
        let printed = format!("{}{}", finished.stdout, finished.stderr);
        assert!(!printed.contains("canary") && !printed.contains("eyJ"), "{printed}");
        finished
    }

    /// `hallmark sign` of a run that built `image`.
    async fn sign(&self, key: &str, access: &Access, image: &PushedImage) -> Finished {
        let text = |name: &str, value: &str| json!({"name": name, "type": "string", "value": value});
        let results = [text("IMAGE_URL", &repository(access, image)), text("IMAGE_DIGEST", &image.digest)];
        let run = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": "build", "namespace": "ci", "uid": "u"},
            "spec": {}, "status": {"conditions": [{"type": "Succeeded", "status": "True"}], "results": results}});
        let file = self.clouds.file("run.json", &run.to_string());
        self.run(&["sign", "-f", file.to_str().unwrap(), "--key", key]).await
    }

    async fn public(&self, key: &str) -> Finished {
        self.run(&["keys", "public", "--key", key]).await
    }

    /// How often each service was asked for this.
    async fn asked(&self, step: &str, operation: &str) -> usize {
        self.clouds.log(step).await.iter().filter(|line| line["operation"] == operation).count()
    }
}

async fn cosign_accepts(access: &Access, key: &Path, image: &PushedImage, hash: &str) {
    let cosign = Cosign::new(access);
    let how = ["verify", "--signature-digest-algorithm", hash];
    cosign.verify_all(&how, key, &[image.by_digest()]).await.succeeded();
    if hash == "sha256" {
        cosign.verify_attestation(key, "slsaprovenance", &image.by_digest()).await.succeeded();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cosign_verifies_what_keys_of_every_cloud_and_kind_signed() {
    let Some(services) = Services::start() else { return };
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    for (key, hash) in [
        ("awskms:///alias/p256", "sha256"),
        ("awskms:///arn:aws:kms:us-east-1:111122223333:key/p384", "sha384"),
        ("awskms://kms.us-east-1.amazonaws.com/p521", "sha512"),
        ("awskms:///rsa", "sha256"),
        (&format!("{RING}/p256"), "sha256"),
        (&format!("{RING}/p384/versions/2"), "sha384"),
        (&format!("{RING}/rsa/cryptoKeyVersions/1"), "sha256"),
        ("azurekms://team.vault.azure.net/p256", "sha256"),
        ("azurekms://team.vault.azure.net/p384/0f", "sha384"),
        ("azurekms://team.vault.azure.net/p521", "sha512"),
        ("azurekms://team.vault.azure.net/rsa", "sha256"),
    ] {
        let image = Crane::new(&access).push_random_image("app").await;
        services.sign(key, &access, &image).await.succeeded();
        let public = services.clouds.file("public", &services.public(key).await.succeeded().stdout);
        cosign_accepts(&access, &public, &image, hash).await;
        services.run(&["verify", &image.by_digest(), "--key", key]).await.succeeded();
        services.run(&["tree", &image.by_digest(), "--key", key]).await.succeeded();
        services.run(&["provenance", &image.by_digest(), "--key", key]).await.succeeded();
        let other = services.run(&["verify", &image.by_digest(), "--key", "awskms:///named"]).await.failed();
        assert!(other.stdout.contains("not verified"), "{}", other.stdout);
    }
    let versions: Vec<_> = services.clouds.log("google-kms").await;
    assert!(
        versions.iter().any(|line| line["version"] == "10"),
        "the newest one that is enabled: {versions:?}"
    );
}

/// What of a vendor's words, and of the remedy, a person reads.
fn told(finished: &Finished, texts: &[&str]) {
    for text in texts {
        assert!(finished.stderr.contains(text), "{text:?} in {}", finished.stderr);
    }
}

/// A key, the vendor's words, and the remedy.
type Told<'a> = (&'a str, [&'a str; 2]);

/// What reading these keys, and signing with those, tells.
async fn refused(reading: &[Told<'_>], signing: &[Told<'_>]) {
    let Some(services) = Services::start() else { return };
    for (key, texts) in reading {
        told(&services.public(key).await.failed(), texts);
    }
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let image = Crane::new(&access).push_random_image("app").await;
    for (key, texts) in signing {
        told(&services.sign(key, &access, &image).await.failed(), texts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_aws_is_told_with_its_words_the_key_and_the_remedy() {
    let hidden = "does not let the agent read the public half of awskms:///alias/hidden: 400 AccessDeniedException: User";
    let none = "has no key awskms:///alias/none: 400 NotFoundException: Alias alias/none is not found.";
    let reading = [
        ("awskms:///alias/hidden", [hidden, "allow kms:GetPublicKey and kms:Sign"]),
        ("awskms:///alias/none", [none, "aws kms create-key"]),
        (
            "awskms:///disabled",
            ["which is not enabled: 400 DisabledException: arn:aws:kms", "aws kms enable-key"],
        ),
        ("awskms:///encrypt", ["made for something else: 400 UnsupportedOperationException", "SIGN_VERIFY"]),
        ("awskms:///odd", ["is of kind odd, which signs nothing that can be verified", "ECC_NIST_P256"]),
        ("awskms:///a b", ["names no key: write it as awskms://", "key id"]),
    ];
    let signing = [("awskms:///named", ["does not let the agent sign with awskms:///named", "kms:Sign"])];
    refused(&reading, &signing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_google_is_told_with_its_words_the_key_and_the_remedy() {
    let key = |name: &str| format!("{RING}/{name}");
    let (hidden, first) = (key("hidden"), key("hidden/versions/1"));
    let (none, disabled, odd) = (key("none"), key("disabled"), key("odd"));
    let (named, off) = (key("named"), key("disabled/versions/1"));
    let list = "does not let the agent list the versions of gcpkms://projects/p";
    let view = "403 PERMISSION_DENIED: Permission 'cloudkms.cryptoKeyVersions.viewPublicKey' denied";
    let reading = [
        (hidden.as_str(), [list, "roles/cloudkms.viewer"]),
        (&first, [view, "roles/cloudkms.signerVerifier"]),
        (&none, ["404 NOT_FOUND: CryptoKey", "gcloud kms keys create"]),
        (&disabled, ["no version of it is enabled", "gcloud kms keys versions enable"]),
        (&odd, ["is of kind EC_SIGN_ED25519", "ec-sign-p256-sha256"]),
    ];
    let signing = [
        (named.as_str(), ["cloudkms.cryptoKeyVersions.useToSign' denied", "roles/cloudkms.signerVerifier"]),
        (&off, ["400 FAILED_PRECONDITION", "gcloud kms keys versions enable"]),
    ];
    refused(&reading, &signing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_azure_is_told_with_its_words_the_key_and_the_remedy() {
    let key = |name: &str| format!("azurekms://team.vault.azure.net/{name}");
    let (hidden, none, odd) = (key("hidden"), key("none"), key("odd"));
    let (named, disabled, encrypt) = (key("named"), key("disabled"), key("encrypt"));
    let missing = "404 KeyNotFound: A key with (name/id) none/ was not found";
    let off = "403 Forbidden: Operation sign is not allowed on a disabled key.";
    let reading = [
        (hidden.as_str(), ["403 Forbidden: Caller is not authorized", "Key Vault Crypto User"]),
        (&none, [missing, "az keyvault key create"]),
        (&odd, ["is of kind oct", "EC (P-256"]),
        ("azurekms://team.vault.example/p256", ["which is no vault of Azure", "NAME.vault.azure.net"]),
    ];
    let signing = [
        (named.as_str(), ["does not let the agent sign with azurekms://", "Key Vault Crypto User"]),
        (&disabled, [off, "az keyvault key set-attributes"]),
        (&encrypt, ["which is made for something else", "allowed to sign"]),
    ];
    refused(&reading, &signing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_throttles_or_is_down_may_work_later_and_one_that_does_not_know_the_agent_says_so() {
    let Some(mut services) = Services::start() else { return };
    let keys = ["awskms:///p256", &format!("{RING}/p256"), "azurekms://team.vault.azure.net/p256"];
    let throttled = [
        ("aws-kms", 400, json!({"__type": "ThrottlingException", "message": "Rate exceeded"})),
        (
            "google-kms",
            429,
            json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded"}}),
        ),
        (
            "azure-kms",
            429,
            json!({"error": {"code": "Throttled", "message": "Request was not processed because too many requests were received."}}),
        ),
    ];
    for (key, (step, status, body)) in keys.iter().zip(&throttled) {
        services
            .clouds
            .control(json!({"fail": {*step: [status, body.to_string(), {"Retry-After": "7"}]}}))
            .await;
        let finished = services.public(key).await;
        assert_eq!(finished.code, Some(4), "{}", finished.stderr);
        told(&finished, &["asks for patience", key, "lower signing.concurrency"]);
        services.clouds.control(json!({"fail": {*step: [503, "upstream\nis down", {}]}})).await;
        let finished = services.public(key).await;
        assert_eq!(finished.code, Some(4), "{}", finished.stderr);
        told(&finished, &["now: 503 upstream is down"]);
    }
    services.clouds.control(json!({"fail": {}, "tamper": "body"})).await;
    told(
        &services.public(keys[0]).await.failed(),
        &["does not know who asks it", "403 SignatureDoesNotMatch", "the clock is right"],
    );
    services.clouds.control(json!({"tamper": "header:authorization"})).await;
    told(&services.public(keys[1]).await.failed(), &["401 UNAUTHENTICATED", "service account is enabled"]);
    told(&services.public(keys[2]).await.failed(), &["401 Unauthorized: AKV10022", "of the tenant"]);
    // Nobody to ask as.
    services.clouds.control(json!({"tamper": null})).await;
    services.variables.retain(|(name, _)| *name == "AWS_REGION");
    for (name, value) in [
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("GCE_METADATA_HOST", "127.0.0.1:1"),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1"),
    ] {
        services.variables.push((name, value.to_owned()));
    }
    for key in keys {
        told(
            &services.public(key).await.failed(),
            &["no credentials to ask for", key, "was found", "bind an identity of the cloud"],
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_reads_the_key_once_waits_while_it_is_throttled_and_loses_nothing() {
    let Some(services) = Services::start() else { return };
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let config = [
        ("artifacts.taskrun.storage", "oci"),
        ("artifacts.taskrun.signer", "kms"),
        ("artifacts.oci.signer", "kms"),
        ("signers.kms.kmsref", "awskms:///alias/p256"),
    ];
    let agent = Agent::prepare("clouds", &access, &config).await;
    let endpoint = format!("{}/kms/", services.clouds.url);
    let mut variables: Vec<_> =
        services.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.push(("AWS_ENDPOINT_URL_KMS", &endpoint));
    let account = agent.cluster.service_account_kubeconfig("tekton-chains", "tekton-chains-controller").await;
    let hallmark = agent.start_in(&account, &[], &variables);
    let image = Crane::new(&access).push_random_image("app").await;
    agent.build("first", &access, &image).await;
    assert_eq!(agent.mark("first", SOON).await, "true");

    let throttled = json!({"__type": "ThrottlingException", "message": "Rate exceeded"}).to_string();
    services.clouds.control(json!({"fail": {"aws-kms": [400, throttled, {"Retry-After": "1"}]}})).await;
    for number in 0..8 {
        agent
            .build(&format!("later-{number}"), &access, &Crane::new(&access).push_random_image("app").await)
            .await;
    }
    agent
        .event(&[
            "AWS KMS at 127.0.0.1",
            "asks for patience to sign with awskms:///alias/p256",
            "Tried again in",
        ])
        .await;
    services.clouds.control(json!({"fail": {}})).await;
    agent.all_signed(LONG).await;
    assert_eq!(services.asked("aws-kms", "read").await, 1, "one public key for all runs");
    // A signature for each payload, and none twice: an image and a statement for each run.
    assert_eq!(services.asked("aws-kms", "sign").await, 18);
    let public = services.clouds.file("public", &services.public("awskms:///p256").await.succeeded().stdout);
    cosign_accepts(&access, &public, &image, "sha256").await;

    let denied = json!({"__type": "AccessDeniedException", "message": "no kms:Sign"}).to_string();
    services.clouds.control(json!({"fail": {"aws-kms": [400, denied, {}]}})).await;
    agent.build("denied", &access, &Crane::new(&access).push_random_image("app").await).await;
    agent
        .event(&[
            "does not let the agent sign with awskms:///alias/p256",
            "no kms:Sign",
            "allow kms:GetPublicKey",
        ])
        .await;
    assert!(hallmark.lines().iter().all(|line| !line.contains("canary")), "no key in the log");
    stopped_well(hallmark);
}
