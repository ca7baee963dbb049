//! Failure stories of the specification (§10) that are decided before anything is sent: which credentials there are,
//! in which order, and what a person is told.

use serde_json::json;

use super::*;
use crate::credential::docker_config::read_document;
use crate::credential::named::RunReferences;
use crate::credential::objects::Objects;
use crate::credential::outcome::Outcome;

const CONFIG_JSON: &str = "kubernetes.io/dockerconfigjson";

/// A keychain as an adapter fills it, one Secret after the other.
#[derive(Default)]
struct Gathered(Keychain);

impl Gathered {
    fn secret(mut self, source: Source, name: &str, kind: &str, data: &[(&str, &str)]) -> Self {
        let reference = SecretRef {
            namespace: "ci".into(),
            name: name.into(),
            uid: "u".into(),
            resource_version: "1".into(),
        };
        let reading = read_secret(
            &source,
            &Secret {
                reference: &reference,
                kind,
                data: &data.iter().map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec())).collect(),
                annotations: &BTreeMap::new(),
            },
        );
        self.0.add(source, Location::Secret(reference), reading);
        self
    }

    fn config(self, source: Source, name: &str, entries: &str) -> Self {
        let document = format!(r#"{{"auths":{{{entries}}}}}"#);
        self.secret(source, name, CONFIG_JSON, &[(".dockerconfigjson", &document)])
    }

    fn login(self, source: Source, name: &str, key: &str) -> Self {
        let entry = format!(r#""{key}":{{"username":"{name}","password":"canary-{name}"}}"#);
        self.config(source, name, &entry)
    }

    fn order(&self, target: &str) -> Vec<String> {
        super::order(&self.0, target)
    }

    fn report(&self, target: &str) -> CredentialReport {
        let target = Target { repository: Repository::parse(target).unwrap(), operation: Operation::Push };
        CredentialReport::new(&self.0, &target, &self.0.candidates(&target.repository))
    }
}

#[test]
fn story_1_a_read_only_pull_secret_stands_before_the_push_secret_and_does_not_hide_it() {
    let gathered = Gathered::default().login(Source::PodImagePullSecrets, "pull-ro", "gcr.io").login(
        Source::ServiceAccountSecrets,
        "push-rw",
        "gcr.io",
    );
    assert_eq!(gathered.order("gcr.io/p/app"), ["pull-ro", "push-rw", "-"]);
    let mut report = gathered.report("gcr.io/p/app");
    report.record(1, Outcome::Denied, Some(403), Some("DENIED".into()));
    report.record(2, Outcome::Used, Some(202), None);
    let text = report.to_string();
    assert!(text.contains("ci/pull-ro (gcr.io), basic: denied (403 DENIED)"), "{text}");
    assert!(text.contains("ci/push-rw (gcr.io), basic: used (202)"), "{text}");
}

#[test]
fn story_2_both_of_two_secrets_for_one_registry_are_candidates() {
    let gathered = Gathered::default()
        .login(Source::ServiceAccountSecrets, "first", "quay.io")
        .login(Source::ServiceAccountSecrets, "second", "quay.io")
        .login(Source::ServiceAccountSecrets, "closer", "quay.io/org");
    assert_eq!(gathered.order("quay.io/org/app"), ["closer", "first", "second", "-"]);
}

#[test]
fn story_3_both_lists_of_a_service_account_count() {
    let secret = |name: &str| {
        let config = json!({"auths": {"quay.io": {"username": name, "password": "canary"}}}).to_string();
        let secret = json!({"metadata": {"name": name}, "type": CONFIG_JSON,
            "stringData": {".dockerconfigjson": config}});
        serde_json::from_value(secret).unwrap()
    };
    let account = json!({"metadata": {"name": "builder"}, "secrets": [{"name": "secrets"}],
        "imagePullSecrets": [{"name": "pull"}]});
    let objects = Objects {
        accounts: vec![serde_json::from_value(account).unwrap()],
        secrets: vec![secret("pull"), secret("secrets")],
        ..Objects::default()
    };
    let run = RunReferences {
        namespace: "ci".into(),
        service_account: "builder".into(),
        pod: None,
        template: Vec::new(),
        children: Vec::new(),
    };
    assert_eq!(super::order(&objects.keychain(&run), "quay.io/org/app"), ["secrets", "pull", "-"]);
}

#[test]
fn story_4_any_spelling_of_docker_hub_serves_a_short_name() {
    for key in
        ["docker.io", "https://index.docker.io/v1/", "https://index.docker.io/v1", "registry-1.docker.io"]
    {
        let gathered = Gathered::default().login(Source::ServiceAccountSecrets, "hub", key);
        assert_eq!(gathered.order("ubuntu"), ["hub", "-"], "{key}");
        assert_eq!(gathered.order("docker.io/org/app"), ["hub", "-"], "{key}");
    }
}

#[test]
fn story_5_an_opaque_config_json_is_used_and_the_mistake_named() {
    let document = r#"{"auths":{"quay.io":{"username":"u","password":"canary"}}}"#;
    let gathered = Gathered::default().secret(
        Source::ServiceAccountSecrets,
        "opaque",
        "Opaque",
        &[("config.json", document)],
    );
    assert_eq!(gathered.order("quay.io/org/app"), ["u", "-"]);
    assert!(
        gathered.report("quay.io/org/app").to_string().contains("OpaqueType"),
        "the report names the mistake"
    );
}

#[test]
fn story_6_a_file_that_is_no_config_is_a_problem_and_hides_nothing() {
    let mut gathered = Gathered::default().login(Source::ServiceAccountSecrets, "good", "quay.io");
    let place = Location::File("/root/.config/containers/auth.json".into());
    let reading = read_document(&Source::ControllerDockerConfig, place.clone(), b"canary: not json");
    gathered.0.add(Source::ControllerDockerConfig, place, reading);
    assert_eq!(gathered.order("quay.io/org/app"), ["good", "-"]);
    let text = gathered.report("quay.io/org/app").to_string();
    assert!(text.contains("/root/.config/containers/auth.json: MalformedJSON"), "{text}");
}

#[test]
fn story_9_a_service_account_without_secrets_is_listed_as_such() {
    let mut keychain = Keychain::default();
    let account = Location::ServiceAccount("ci/release".into());
    for source in [Source::ServiceAccountSecrets, Source::ServiceAccountImagePullSecrets] {
        keychain.looked_at.push((source, account.clone()));
    }
    let text = Gathered(keychain).report("quay.io/org/app").to_string();
    for list in ["serviceAccount.secrets", "serviceAccount.imagePullSecrets"] {
        assert!(text.contains(&format!("{list}: service account ci/release has entries []")), "{text}");
    }
}

#[test]
fn story_10_a_config_from_a_laptop_is_explained() {
    let gathered = Gathered::default().secret(
        Source::ServiceAccountSecrets,
        "laptop",
        CONFIG_JSON,
        &[(".dockerconfigjson", r#"{"auths":{"https://index.docker.io/v1/":{}},"credsStore":"desktop"}"#)],
    );
    assert_eq!(gathered.order("org/app"), ["-"]);
    let text = gathered.report("org/app").to_string();
    assert!(text.contains("CredsStoreInSecret: was copied from a workstation"), "{text}");
}

#[test]
fn stories_15_and_16_tokens_of_both_kinds_are_candidates() {
    let gathered = Gathered::default()
        .config(Source::ServiceAccountSecrets, "acr", r#""reg.azurecr.io":{"auth":"MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg==","identitytoken":"canary"}"#)
        .config(Source::ServiceAccountSecrets, "bearer", r#""reg.azurecr.io":{"registrytoken":"canary"}"#);
    let json = serde_json::to_value(gathered.report("reg.azurecr.io/app")).unwrap();
    let kinds: Vec<&str> =
        json["candidates"].as_array().unwrap().iter().map(|c| c["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["identity-token", "registry-token", "anonymous"]);
    assert_eq!(json["problems"], json!([]));
}

#[test]
fn story_18_an_explicit_login_comes_before_the_ambient_identity() {
    let mut gathered = Gathered::default();
    gathered.0.entries.push(super::entry(Source::ControllerCloud(Cloud::Gcp), "-", "eu.gcr.io", "ambient"));
    let gathered = gathered.login(Source::ControllerDockerConfig, "explicit", "*.gcr.io");
    assert_eq!(gathered.order("eu.gcr.io/p/app"), ["explicit", "ambient", "-"]);
}

#[test]
fn a_pod_that_copied_the_pull_secret_of_its_account_does_not_double_it() {
    let same = r#""quay.io":{"username":"u","password":"canary"}"#;
    let gathered = Gathered::default().config(Source::ServiceAccountImagePullSecrets, "pull", same).config(
        Source::PodImagePullSecrets,
        "pull",
        same,
    );
    let json = serde_json::to_value(gathered.report("quay.io/org/app")).unwrap();
    assert_eq!(json["candidates"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        json["candidates"][0],
        json!({
            "n": 1,
            "source": "pod.imagePullSecrets",
            "secret": "ci/pull",
            "entry": "quay.io",
            "kind": "basic",
            "outcome": "not-tried",
            "also_from": [
                {"source": "serviceAccount.imagePullSecrets", "secret": "ci/pull", "entry": "quay.io"}
            ],
        })
    );
}

#[test]
fn each_target_of_a_run_is_resolved_from_its_own_name() {
    let gathered = Gathered::default()
        .login(Source::ServiceAccountSecrets, "image", "reg.example.com/app")
        .login(Source::ServiceAccountSecrets, "signatures", "other.example.com/sigs");
    assert_eq!(gathered.order("reg.example.com/app/web"), ["image", "-"]);
    assert_eq!(gathered.order("other.example.com/sigs"), ["signatures", "-"]);
}

#[test]
fn no_report_of_any_story_holds_a_password() {
    let gathered = Gathered::default()
        .login(Source::PodImagePullSecrets, "a", "https://user:canary@quay.io/?canary")
        .config(
            Source::ServiceAccountSecrets,
            "b",
            r#""quay.io":{"auth":"canary"},"x y":{"password":"canary"}"#,
        )
        .config(
            Source::ServiceAccountSecrets,
            "c",
            r#""quay.io":"canary","*.io":{"registrytoken":"canary"}"#,
        );
    let report = gathered.report("quay.io/org/app");
    let texts = [report.to_string(), format!("{report:?}"), serde_json::to_string(&report).unwrap()];
    for text in texts {
        assert!(!text.contains("canary"), "{text}");
    }
}
