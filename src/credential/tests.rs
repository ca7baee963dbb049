//! The order of candidates and the failure stories that the keychain answers (credentials specification §1.4, §10).

use std::collections::BTreeMap;

use super::docker_config::{Secret, read_secret};
use super::*;

fn secret(name: &str) -> Location {
    Location::Secret(SecretRef {
        namespace: "ci".into(),
        name: name.into(),
        uid: "u".into(),
        resource_version: "1".into(),
    })
}

fn entry(source: Source, name: &str, key: &str, username: &str) -> Entry {
    let login = Login { username: username.into(), password: format!("canary-{username}").into() };
    Entry {
        source,
        location: secret(name),
        key: Key::parse(key).unwrap(),
        credential: Arc::new(Credential::Basic(login)),
    }
}

fn keychain(entries: Vec<Entry>) -> Keychain {
    Keychain { entries, ..Keychain::default() }
}

/// The user names in the order of trial; `-` is anonymous.
fn order(keychain: &Keychain, target: &str) -> Vec<String> {
    let repository = Repository::parse(target).unwrap();
    let name = |candidate: &Arc<Candidate>| match &*candidate.credential {
        Credential::Basic(login) => login.username.clone(),
        Credential::Anonymous => "-".to_owned(),
        other => format!("{other:?}"),
    };
    keychain.candidates(&repository).iter().map(name).collect()
}

#[test]
fn the_group_outweighs_specificity_and_specificity_outweighs_rank() {
    let keychain = keychain(vec![
        entry(Source::ControllerCloud(Cloud::Gcp), "a", "gcr.io/p/app", "ambient"),
        entry(Source::ControllerDockerConfig, "b", "gcr.io/p/app", "controller"),
        entry(Source::ServiceAccountImagePullSecrets, "c", "gcr.io/p/app", "exact-path"),
        entry(Source::ServiceAccountSecrets, "d", "gcr.io", "account"),
        entry(Source::PodImagePullSecrets, "e", "gcr.io", "pod"),
        entry(Source::PodImagePullSecrets, "f", "*.io", "glob"),
        entry(Source::PodImagePullSecrets, "g", "quay.io", "other"),
    ]);
    let expected = ["exact-path", "pod", "account", "glob", "controller", "ambient", "-"];
    assert_eq!(order(&keychain, "gcr.io/p/app"), expected);
}

#[test]
fn ties_keep_the_order_of_the_list() {
    let keychain = keychain(vec![
        entry(Source::ServiceAccountSecrets, "z", "gcr.io", "first"),
        entry(Source::ServiceAccountSecrets, "a", "https://gcr.io", "second"),
        entry(Source::ServiceAccountSecrets, "m", "GCR.io", "third"),
    ]);
    assert_eq!(order(&keychain, "gcr.io/p/app"), ["first", "second", "third", "-"]);
}

#[test]
fn docker_hubs_own_key_comes_before_its_aliases() {
    let keychain = keychain(vec![
        entry(Source::ServiceAccountSecrets, "a", "docker.io", "alias"),
        entry(Source::ServiceAccountSecrets, "b", "https://index.docker.io/v1/", "own"),
        entry(Source::PodImagePullSecrets, "c", "registry-1.docker.io", "pod-alias"),
    ]);
    assert_eq!(order(&keychain, "library/ubuntu"), ["pod-alias", "own", "alias", "-"]);
}

#[test]
fn equal_credentials_are_tried_once_and_every_place_is_remembered() {
    let mut twin = entry(Source::ServiceAccountImagePullSecrets, "pull", "gcr.io", "user");
    let keychain = keychain(vec![
        twin.clone(),
        entry(Source::PodImagePullSecrets, "pull", "gcr.io", "user"),
        {
            twin.credential = Arc::new(Credential::RegistryToken("canary-user".into()));
            twin
        },
        entry(Source::ServiceAccountSecrets, "push", "gcr.io/p", "user"),
    ]);
    let candidates = keychain.candidates(&Repository::parse("gcr.io/p/app").unwrap());
    let places: Vec<String> = candidates.iter().map(|candidate| candidate.provenance.to_string()).collect();
    assert_eq!(
        places,
        [
            "serviceAccount.secrets ci/push (gcr.io/p)",
            "serviceAccount.imagePullSecrets ci/pull (gcr.io)",
            "anonymous",
        ],
        "the same secret bytes of another kind are another credential"
    );
    let also: Vec<String> = candidates[0].also_from.iter().map(ToString::to_string).collect();
    assert_eq!(
        also,
        ["pod.imagePullSecrets ci/pull (gcr.io)", "serviceAccount.imagePullSecrets ci/pull (gcr.io)"]
    );
}

#[test]
fn without_any_match_only_anonymous_is_left() {
    let keychain = keychain(vec![entry(Source::ServiceAccountSecrets, "hub", "docker.io", "user")]);
    assert_eq!(order(&keychain, "ghcr.io/org/app"), ["-"]);
    assert_eq!(order(&Keychain::default(), "ghcr.io/org/app"), ["-"]);
}

#[test]
fn nothing_that_a_keychain_yields_can_print_a_secret() {
    let keychain = keychain(vec![
        entry(Source::ServiceAccountSecrets, "a", "gcr.io", "user"),
        Entry {
            credential: Arc::new(Credential::IdentityToken {
                token: "canary-token".into(),
                fallback: Some(Login { username: "u".into(), password: "canary".into() }),
            }),
            ..entry(Source::ServiceAccountSecrets, "b", "gcr.io", "user")
        },
    ]);
    let candidates = keychain.candidates(&Repository::parse("gcr.io/p/app").unwrap());
    assert_eq!(candidates.len(), 3);
    for text in [format!("{keychain:?}"), format!("{candidates:#?}")] {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn long_user_names_are_taken_for_tokens_and_not_shown() {
    let debug = |username: String| format!("{:?}", Login { username, password: "canary".into() });
    assert_eq!(debug("robot".into()), r#"Login { username: "robot", password: [redacted] }"#);
    assert_eq!(debug("canary-".repeat(10)), r#"Login { username: "[redacted]", password: [redacted] }"#);
}

#[test]
fn credentials_scrub_all_of_their_secrets() {
    let fallback = Some(Login { username: "user".into(), password: "canary-2".into() });
    let credential = Credential::IdentityToken { token: "canary-1".into(), fallback };
    assert_eq!(credential.scrub("canary-1 user canary-2"), "[redacted] user [redacted]");
    let echoed = format!("Basic {}", STANDARD.encode("user:canary-2"));
    assert_eq!(credential.scrub(&echoed), "Basic [redacted]");
    assert_eq!(Credential::Anonymous.scrub("text"), "text");
}

/// The fastest of several rounds, as the machine may be busy; an unoptimized build keeps within it too.
#[test]
fn eight_candidates_out_of_a_thousand_entries_take_less_than_a_millisecond() {
    let mut keychain = Keychain::default();
    let mut documents = Vec::new();
    for number in 0..20 {
        let mut entries: Vec<String> = (0..49)
            .map(|n| format!(r#""r{n}.*.s{number}.example.com":{{"username":"u","password":"p{n}"}}"#))
            .collect();
        let key = if number < 8 { "reg.example.com" } else { "other.example.com" };
        entries.push(format!(r#""{key}":{{"username":"u{number}","password":"p"}}"#));
        documents.push(format!(r#"{{"auths":{{{}}}}}"#, entries.join(",")));
    }
    for (number, document) in documents.into_iter().enumerate() {
        let reference = SecretRef {
            namespace: "ci".into(),
            name: format!("s{number}"),
            uid: "u".into(),
            resource_version: "1".into(),
        };
        let reading = read_secret(
            &Source::ServiceAccountSecrets,
            &Secret {
                reference: &reference,
                kind: "kubernetes.io/dockerconfigjson",
                data: &BTreeMap::from([(".dockerconfigjson".to_owned(), document.into_bytes())]),
                annotations: &BTreeMap::new(),
            },
        );
        keychain.add(Source::ServiceAccountSecrets, Location::Secret(reference), reading);
    }
    assert_eq!((keychain.entries.len(), keychain.problems.len()), (1000, 0));
    let repository = Repository::parse("reg.example.com/ns/img").unwrap();
    let fastest = (0..20)
        .map(|_| {
            let start = std::time::Instant::now();
            assert_eq!(keychain.candidates(&repository).len(), 9);
            start.elapsed()
        })
        .min()
        .unwrap();
    assert!(fastest < std::time::Duration::from_millis(1), "{fastest:?}");
}

mod stories;
