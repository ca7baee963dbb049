//! Pull tokens, by the steps of the source document (credentials specification §7.2).

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::person::Person;
use crate::support::{Crane, PushedImage};
use crate::world::{Running, World, kubectl};

async fn image(world: &World) -> PushedImage {
    let writer = world.registry.access(Some(("writer".to_owned(), "w".to_owned())));
    Crane::new(&writer).push_random_image("team/pulled").await
}

/// The UIDs of a listing.
async fn listed(person: &Person<'_>) -> Vec<String> {
    let listed = person.auth(&["list"], &[]).await.succeeded().stdout;
    let ids = listed.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    ids.filter(|id| id.starts_with("org/")).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_printed_login_can_be_pasted_whole_and_shows_no_password_in_a_process_list() {
    let world = &Running::shared().await.world;
    let person = Person::new(world, "pasted", 3600).await;
    let printed = person.auth(&["configure-docker", "--pull-token"], &[]).await.succeeded().stdout;
    // docker's login is crane's; the script stands in for the program and notes its arguments.
    let docker = "#!/bin/sh\necho \"$@\" > \"$HOME/arguments\"\nexec crane auth \"$@\"\n";
    std::fs::write(person.file("bin/docker"), docker).unwrap();
    std::fs::set_permissions(person.file("bin/docker"), std::fs::Permissions::from_mode(0o755)).unwrap();
    person.shell(&printed).await.succeeded();
    let arguments = std::fs::read_to_string(person.file("arguments")).unwrap();
    assert!(arguments.contains("--password-stdin") && !arguments.contains("eyJ"), "{arguments}");
    person.run("crane", &["manifest", &image(world).await.by_digest()]).await.succeeded();
}

#[tokio::test]
async fn saved_tokens_replace_each_other_with_a_warning_and_are_revoked_one_by_one() {
    let world = &Running::shared().await.world;
    let person = Person::new(world, "saved", 3600).await;
    let (host, reference) = (world.registry.host(), image(world).await.by_digest());
    let theirs = "{ \"auths\" : {\"other.example\" : { \"auth\":\"dTpw\" }}, \"psFormat\":\"x\"}\n";
    std::fs::write(person.docker_config(), theirs).unwrap();
    std::fs::set_permissions(person.docker_config(), std::fs::Permissions::from_mode(0o640)).unwrap();
    let save = ["--save", "--ttl=24h", "--name", "ci", "--description", "for the mirror"];
    let first = person.auth(&["configure-docker", "--pull-token"], &save).await.succeeded();
    assert!(!first.stdout.contains("eyJ") && first.stderr.is_empty(), "{}{}", first.stdout, first.stderr);
    person.run("crane", &["manifest", &reference]).await.succeeded();
    let saved = person.read_docker_config();
    assert!(saved.starts_with("{ \"auths\" : {\"other.example\" : { \"auth\":\"dTpw\" },\""), "{saved}");
    assert!(saved.ends_with("}}, \"psFormat\":\"x\"}\n"), "{saved}");
    assert_eq!(std::fs::metadata(person.docker_config()).unwrap().permissions().mode() & 0o777, 0o640);

    let [one] =
        &listed(&person).await.into_iter().filter(|id| first.stdout.contains(id)).collect::<Vec<_>>()[..]
    else {
        panic!("{}", first.stdout)
    };
    let shown = person.auth(&["list"], &[]).await.succeeded().stdout;
    let line = shown.lines().find(|line| line.contains(one.as_str())).unwrap();
    assert!(
        line.contains("ci") && line.contains("for the mirror") && line.trim_end().ends_with('0'),
        "{line}"
    );

    let all = person.auth(&["list"], &["-o", "json"]).await.succeeded().json();
    let token = all.as_array().unwrap().iter().find(|token| token["id"] == one.as_str()).unwrap();
    assert_eq!((&token["name"], &token["expired"]), (&json!("ci"), &json!(false)), "{token}");

    let second = person.auth(&["pull-token"], &["--save", "--keep", "-o", "json"]).await.succeeded();
    let told = second.json();
    assert_eq!((&told["registry"], told.get("password")), (&json!(host), None), "{told}");
    assert_eq!(told["savedIn"], person.docker_config().to_str().unwrap());
    assert!(second.stderr.contains(&format!("replacing the login of {one:?}")), "{}", second.stderr);
    assert_eq!(std::fs::read_to_string(person.file(".docker/config.json.bak-1")).unwrap(), saved);
    let config: Value = serde_json::from_str(&person.read_docker_config()).unwrap();
    let access = world.access(&config);
    let two = access.login.as_ref().unwrap().0.clone();
    assert!(&two != one && config["auths"][&host].as_object().unwrap().len() == 1);

    let revoked = person.auth(&["revoke", one], &["-o", "json"]).await.succeeded().json();
    assert_eq!(revoked, json!({"id": one, "revoked": true}));
    assert!(Crane::new(&access).manifest(&reference).await.is_some(), "the other one still works");
    person.auth(&["revoke", &two], &[]).await.succeeded();
    person.run("crane", &["manifest", &reference]).await.failed();
    let gone = person.auth(&["revoke", &two], &[]).await.failed();
    assert!(gone.stderr.contains("knows no identity"), "{}", gone.stderr);
}

#[tokio::test]
async fn the_kubernetes_secret_of_a_token_holds_that_registry_alone_and_opens_it() {
    let world = &Running::shared().await.world;
    let person = Person::new(world, "secret", 3600).await;
    std::fs::write(person.docker_config(), r#"{"auths":{"other.example":{"auth":"dTpw"}}}"#).unwrap();
    let namespace = world.cluster.namespace("manifest").await;
    let printed =
        person.auth(&["pull-token"], &["--output", "k8s-secret", "-n", &namespace]).await.succeeded();
    let manifest = person.file("secret.yaml");
    std::fs::write(&manifest, &printed.stdout).unwrap();
    kubectl(&world.cluster.kubeconfig("admin"), &["apply", "-f", manifest.to_str().unwrap()])
        .await
        .succeeded();
    let secrets: kube::Api<k8s_openapi::api::core::v1::Secret> =
        kube::Api::namespaced(world.cluster.client().await, &namespace);
    let secret = secrets.get("regcred").await.unwrap();
    let config: Value = serde_json::from_slice(&secret.data.unwrap()[".dockerconfigjson"].0).unwrap();
    assert_eq!(config["auths"].as_object().unwrap().keys().collect::<Vec<_>>(), [&world.registry.host()]);
    let image = image(world).await;
    assert!(Crane::new(&world.access(&config)).manifest(&image.by_digest()).await.is_some());
    let printed =
        person.auth(&["pull-token"], &["--output", "json", "--ttl", "90m"]).await.succeeded().stdout;
    let token: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(token["registry"], json!(world.registry.host()));
}

#[tokio::test]
async fn the_recipe_of_the_document_makes_a_secret_of_the_whole_saved_file() {
    let world = &Running::shared().await.world;
    let person = Person::new(world, "recipe", 3600).await;
    person.auth(&["configure-docker", "--pull-token"], &["--save"]).await.succeeded();
    let namespace = world.cluster.namespace("recipe").await;
    let file = format!("--from-file=.dockerconfigjson={}", person.docker_config().display());
    let create = ["create", "secret", "generic", "regcred", &file, "--type=kubernetes.io/dockerconfigjson"];
    let arguments = [&["-n", &namespace][..], &create].concat();
    kubectl(&world.cluster.kubeconfig("admin"), &arguments).await.succeeded();
    let secrets: kube::Api<k8s_openapi::api::core::v1::Secret> =
        kube::Api::namespaced(world.cluster.client().await, &namespace);
    let content = secrets.get("regcred").await.unwrap().data.unwrap()[".dockerconfigjson"].0.clone();
    assert_eq!(String::from_utf8(content.clone()).unwrap(), person.read_docker_config());
    let access = world.access(&serde_json::from_slice(&content).unwrap());
    assert!(Crane::new(&access).manifest(&image(world).await.by_digest()).await.is_some());
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_before_anything_is_made() {
    let world = &Running::shared().await.world;
    let person = Person::new(world, "mistakes", 3600).await;
    let is_its_own = |id: &String| id.starts_with("org-of-mistakes/");
    for ttl in ["0", "-1h", "8761h", "soon"] {
        let refused =
            person.auth(&["pull-token"], &[&format!("--ttl={ttl}"), "--parent", "org-of-mistakes"]).await;
        assert_eq!(refused.code, Some(2), "{ttl}");
    }
    let refused = person.auth(&["pull-token"], &["--save", "--output", "env"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    std::fs::write(person.docker_config(), "{\"auths\": \"canary\"}").unwrap();
    let refused = person.auth(&["pull-token"], &["--save", "--parent", "org-of-mistakes"]).await.failed();
    assert!(!refused.stderr.contains("canary"), "{}", refused.stderr);
    assert_eq!(person.read_docker_config(), "{\"auths\": \"canary\"}");
    let nobody = person.hallmark(&["auth", "list"]).await;
    assert!(nobody.stderr.contains("--identity"), "{}", nobody.stderr);
    assert_eq!(world.sts.made().iter().filter(|id| is_its_own(id)).count(), 0);
}
