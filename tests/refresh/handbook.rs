//! The commands of `docs/short-lived.md` as a reader types them. What is the reader's own is replaced: names in brackets and
//! in capital letters; the registry is the test's, which a wrapper says instead of each command; the command lines of two
//! clouds answer what the reader's cloud would.

use std::os::unix::fs::PermissionsExt as _;

use crate::identities::maker;
use crate::person::Person;
use crate::support::block;
use crate::world::Running;

const PAGE: &str = "docs/short-lived.md";

fn program(person: &Person<'_>, name: &str, script: &str) {
    let path = person.file(&format!("bin/{name}"));
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A maker of identities whose hallmark takes the test's registry for the usual one.
async fn reader(prefix: &str) -> Person<'static> {
    let world = &Running::shared().await.world;
    let person = maker(world, prefix).await;
    let hallmark =
        format!("exec {} \"$@\" --registry {}", env!("CARGO_BIN_EXE_hallmark"), world.registry.host());
    program(&person, "hallmark", &hallmark);
    person
}

/// What is on its own line of the output and looks like a UID.
fn ids(printed: &str) -> Vec<String> {
    printed
        .lines()
        .filter(|line| line.starts_with("org/") && !line.contains(' '))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn identities_are_made_listed_changed_and_deleted_by_the_commands_of_the_page() {
    let person = reader("page-identities").await;
    for cloud in ["aws", "az"] {
        program(&person, cloud, "echo https://issuer.example/of-a-cluster");
    }
    let mut script = block(PAGE, "hallmark auth identity create kind-pull-secrets");
    for name in ["project", "location", "cluster-name", "group"] {
        script = script.replace(&format!("<{name}>"), name);
    }
    let (making, changing) = script.split_once("hallmark auth identity list").unwrap();
    let made = ids(&person.shell(making).await.succeeded().stdout);
    assert_eq!(made.len(), 5, "an identity for each command");
    let changing = format!("hallmark auth identity list{}", changing.replace("ORG/UID", &made[4]));
    let changed = person.shell(&changing).await.succeeded().stdout;
    assert!(made.iter().all(|id| changed.contains(id)), "{changed}");
    let (update, delete) = (format!("updated {}\n", made[4]), format!("revoked {}\n", made[4]));
    assert!(changed.contains(&update) && changed.ends_with(&delete), "{changed}");
}

#[tokio::test]
async fn pull_tokens_are_made_saved_listed_and_revoked_by_the_commands_of_the_page() {
    let person = reader("page-tokens").await;
    person.shell("kubectl create namespace team").await.succeeded();
    let script = block(PAGE, "hallmark auth pull-token --identity").replace("ORG/UID", &person.identity);
    let (making, revoking) = script.split_once("hallmark auth revoke").unwrap();
    let made = person.shell(making).await.succeeded().stdout;
    assert!(
        made.contains("docker login ") && made.contains("saved in ") && made.contains("DAYS LEFT"),
        "{made}"
    );
    let secret = "kubectl get secret regcred -n team -o jsonpath='{.type}'";
    assert_eq!(person.shell(secret).await.succeeded().stdout, "kubernetes.io/dockerconfigjson");
    let config: serde_json::Value = serde_json::from_str(&person.read_docker_config()).unwrap();
    let token = person.world.access(&config).login.unwrap().0;
    let revoking = format!("hallmark auth revoke{}", revoking.replace("ORG/TOKEN", &token));
    assert_eq!(person.shell(&revoking).await.succeeded().stdout, format!("revoked {token}\n"));
}

#[tokio::test]
async fn docker_is_configured_by_the_command_of_the_page() {
    let person = reader("page-docker").await;
    std::fs::remove_file(person.docker_config()).unwrap();
    // There is no docker here: the line after it is its own.
    let script =
        block(PAGE, "hallmark auth configure-docker --identity").replace("ORG/UID", &person.identity);
    let (configure, pull) = script.split_once('\n').unwrap();
    assert_eq!(pull.trim(), "docker pull cgr.dev/ORG/image");
    person.shell(configure).await.succeeded();
    assert!(person.read_docker_config().contains(": \"hallmark\""), "{}", person.read_docker_config());
}
