//! `creds explain` on manifest files, against the embedded registry: which credential may do what is known, so that
//! every answer can be checked.

use std::io::Write as _;

use clap::Parser;
use tempfile::NamedTempFile;

use super::*;
use crate::cli::demo::registry::{EmbeddedRegistry, Right, User};
use crate::cli::style::Style;

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

fn parse(words: &[&str]) -> Explain {
    let Command::Explain(arguments) = Line::parse_from(["creds", "explain"].iter().chain(words)).command;
    *arguments
}

async fn registry() -> EmbeddedRegistry {
    let users = [("reader", Right::Pull), ("writer", Right::Push)];
    let users = users.map(|(name, right)| User::new(name, format!("{name}-canary"), right));
    EmbeddedRegistry::start(users.into()).await.unwrap()
}

/// A service account with one Secret for each `(user, password)`, and one Secret for somewhere else.
fn manifests(registry: &str, logins: &[(&str, &str)]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    let names: Vec<String> = logins.iter().map(|(user, _)| format!("{{name: {user}}}")).collect();
    writeln!(
        file,
        "kind: ServiceAccount\nmetadata: {{name: release, namespace: ci}}\nsecrets: [{}, {{name: other}}]",
        names.join(", ")
    )
    .unwrap();
    let elsewhere = ("other", "o", "elsewhere.test");
    let of_registry = logins.iter().map(|(user, password)| (*user, *password, registry));
    for (name, password, host) in of_registry.chain([elsewhere]) {
        let config = format!(r#"{{"auths":{{"{host}":{{"username":"{name}","password":"{password}"}}}}}}"#);
        writeln!(
            file,
            "---\nkind: Secret\nmetadata: {{name: {name}, namespace: ci}}\ntype: kubernetes.io/dockerconfigjson\nstringData: {{.dockerconfigjson: '{config}'}}"
        )
        .unwrap();
    }
    file
}

async fn explained(file: &NamedTempFile, registry: &str, more: &[&str]) -> Vec<Explained> {
    let (path, image) = (file.path().display().to_string(), format!("{registry}/team/app:v1"));
    let mut words = vec!["-f", &path, "-n", "ci", "--service-account", "release", "--image", &image];
    words.extend(more);
    explain(&parse(&words)).await.unwrap()
}

fn outcomes(one: &Explained) -> Vec<String> {
    one.report.candidates().iter().map(|c| format!("{} {:?} {:?}", c.outcome, c.status, c.reason)).collect()
}

const LOGINS: [(&str, &str); 3] =
    [("wrong", "no-canary"), ("reader", "reader-canary"), ("writer", "writer-canary")];

#[tokio::test]
async fn without_a_probe_no_registry_is_asked_and_nothing_was_tried() {
    let server = registry().await;
    let address = server.address().to_string();
    let all = explained(&manifests(&address, &LOGINS), &address, &[]).await;
    assert_eq!(all.len(), 2, "a pull and a push");
    assert_eq!(outcomes(&all[1]), ["not-tried None None"; 3], "anonymous pushes are not tried");
    assert_eq!(all[1].report.selected(), None);
    assert!(server.log().is_empty());
    let text = output::chapter(&all[1], false, Style::plain());
    assert!(text.contains("no: other registries") && text.contains("secret ci/other"), "{text}");
    assert!(text.contains("Not probed"), "{text}");
}

#[tokio::test]
async fn a_probe_says_what_the_registry_answers_to_each_and_leaves_no_upload_behind() {
    let server = registry().await;
    let address = server.address().to_string();
    let all = explained(&manifests(&address, &LOGINS), &address, &["--operation", "push", "--probe"]).await;
    assert_eq!(
        outcomes(&all[0]),
        ["rejected None Some(\"Rejected401\")", "denied Some(401) None", "used Some(202) None"]
    );
    assert_eq!((all[0].report.selected(), exit(&all)), (Some(3), Exit::Ok));
    let log = server.log();
    let of =
        |method: &str| log.iter().filter(|request| request.method == method && request.status < 300).count();
    assert_eq!((of("POST"), of("DELETE")), (1, 1), "{log:?}");
}

#[tokio::test]
async fn an_image_that_nobody_can_see_is_told_apart_from_a_credential_that_is_refused() {
    let server = registry().await;
    let address = server.address().to_string();
    let all = explained(&manifests(&address, &LOGINS), &address, &["--operation", "pull", "--probe"]).await;
    assert!(
        outcomes(&all[0]).contains(&"error Some(404) Some(\"NotFound\")".to_owned()),
        "{:?}",
        outcomes(&all[0])
    );
    assert_eq!(exit(&all), Exit::Denied);
}

#[tokio::test]
async fn nobody_accepted_is_exit_code_3_and_the_remedy_is_named() {
    let server = registry().await;
    let address = server.address().to_string();
    let all =
        explained(&manifests(&address, &LOGINS[..2]), &address, &["--operation", "push", "--probe"]).await;
    assert_eq!(exit(&all), Exit::Denied);
    let text = output::chapter(&all[0], true, Style::plain());
    assert!(text.contains("No credential was accepted:"), "{text}");
}

#[tokio::test]
async fn a_registry_that_is_away_is_exit_code_4() {
    let server = registry().await;
    let address = server.address().to_string();
    server.stop().await;
    let all = explained(&manifests(&address, &LOGINS), &address, &["--operation", "push", "--probe"]).await;
    assert_eq!(exit(&all), Exit::Temporary);
    assert!(output::chapter(&all[0], true, Style::plain()).contains("Not decided:"));
}

#[tokio::test]
async fn nothing_that_is_printed_holds_a_secret() {
    let server = registry().await;
    let address = server.address().to_string();
    let all = explained(&manifests(&address, &LOGINS), &address, &["--probe"]).await;
    for one in &all {
        let json = serde_json::to_string(&one.report).unwrap();
        let text = output::chapter(one, true, Style::plain()) + &json;
        assert!(!text.contains("canary"), "{text}");
    }
}

#[tokio::test]
async fn the_credential_of_the_registry_configuration_comes_after_those_of_the_run() {
    let server = registry().await;
    let address = server.address().to_string();
    let mut toml = NamedTempFile::new().unwrap();
    writeln!(toml, "[registries.\".\"]\nusername = \"writer\"\npassword = \"writer-canary\"").unwrap();
    let path = toml.path().display().to_string();
    let more = ["--operation", "push", "--probe", "--registry-config", &path];
    let all = explained(&manifests(&address, &LOGINS[..2]), &address, &more).await;
    let last = all[0].report.candidates().last().unwrap();
    assert_eq!(
        (last.from.source.to_string().as_str(), last.outcome.to_string().as_str()),
        ("controller.registryConfig", "used")
    );
    assert_eq!(exit(&all), Exit::Ok);
}

#[tokio::test]
async fn signatures_go_where_the_configuration_says_and_images_come_from_their_own_repository() {
    let mut map = NamedTempFile::new().unwrap();
    writeln!(map, "kind: ConfigMap\ndata: {{storage.oci.repository: signatures.test/all}}").unwrap();
    let path = map.path().display().to_string();
    let all = explained(&manifests("registry.test", &LOGINS), "registry.test", &["--config", &path]).await;
    let targets: Vec<_> =
        all.iter().map(|one| format!("{} {}", one.target.operation, one.target.repository)).collect();
    assert_eq!(targets, ["pull registry.test/team/app", "push signatures.test/all"]);
}

#[tokio::test]
async fn a_run_brings_its_own_images_and_one_without_any_is_a_question_of_usage() {
    let digest = format!("sha256:{}", "b".repeat(64));
    let mut file = NamedTempFile::new().unwrap();
    let run = |name: &str, results: &str| {
        format!(
            "kind: TaskRun\nmetadata: {{name: {name}, namespace: ci}}\nstatus: {{results: [{results}]}}\n---\n"
        )
    };
    let results =
        format!("{{name: IMAGE_URL, value: registry.test/app}}, {{name: IMAGE_DIGEST, value: '{digest}'}}");
    write!(file, "{}{}", run("builds", &results), run("builds-nothing", "")).unwrap();
    let path = file.path().display().to_string();
    let all = explain(&parse(&["-f", &path, "--taskrun", "builds"])).await.unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].subject, "TaskRun ci/builds");
    assert_eq!(explain(&parse(&["-f", &path, "--taskrun", "builds-nothing"])).await.err(), Some(Exit::Usage));
    assert_eq!(explain(&parse(&["-f", &path, "--taskrun", "missing"])).await.err(), Some(Exit::Usage));
}
