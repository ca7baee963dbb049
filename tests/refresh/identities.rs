//! `hallmark auth identity`, by the commands of the source documents: an identity that is made by them is one that the
//! updater can assume.

use serde_json::json;

use crate::person::Person;
use crate::support::Finished;
use crate::world::{Running, SOON, World};

const SUBJECT: &str = "system:serviceaccount:pull-secret-updater:controller";

/// A person who may make identities, with kubectl at hand.
pub async fn maker<'a>(world: &'a World, prefix: &str) -> Person<'a> {
    let person = Person::new(world, prefix, 3600).await;
    let kubectl = crate::support::binary("kubectl");
    std::os::unix::fs::symlink(kubectl, person.file("bin/kubectl")).unwrap();
    std::fs::create_dir(person.file(".kube")).unwrap();
    std::fs::copy(world.cluster.kubeconfig("admin"), person.file(".kube/config")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hallmark"), person.file("bin/hallmark")).unwrap();
    // What the document's commands say nothing of is configured once.
    person.configure().await;
    person
}

/// Runs the command of the document, and answers the UID that it prints.
async fn made(person: &Person<'_>, command: &str) -> String {
    let Finished { stdout, .. } = person.shell(command).await.succeeded();
    assert_eq!(stdout.lines().count(), 1, "the UID alone: {stdout}");
    stdout.trim().to_owned()
}

#[tokio::test]
async fn the_commands_for_kind_and_for_gke_make_identities_that_fill_a_secret() {
    let world = &Running::shared().await.world;
    let person = maker(world, "makers").await;
    let (issuer, registry) = (world.cluster.issuer(), world.registry.host());
    let kind = format!(
        "hallmark auth identities create kind-pull-secrets \\
         --issuer-keys=\"$(kubectl get --raw /openid/v1/jwks)\" \\
         --identity-issuer={issuer} \\
         --subject={SUBJECT} \\
         --role=registry.pull --registry {registry}"
    );
    let gke = format!(
        "hallmark auth identities create gke-pull-secrets \\
         --identity-issuer=\"{issuer}\" \\
         --subject-pattern=\"{SUBJECT}\" \\
         --role=registry.pull --registry {registry}"
    );
    for (name, command) in [("kind", kind), ("gke", gke)] {
        let identity = made(&person, &command).await;
        let (description, roles) = world.sts.rule_of(&identity).unwrap();
        assert_eq!(roles, ["registry.pull"], "{description}");
        assert_eq!(description["static"].is_object(), name == "kind", "{description}");
        let tenant = world.tenant(name, 3600).await;
        tenant.create_pull_secret("{}").await;
        let first = tenant.another_token(None, SOON).await;
        tenant.annotate("identity", Some(&identity)).await;
        tenant.another_token(Some(&first), SOON).await;
        assert_eq!(world.sts.count(&identity), 1);
    }
}

#[tokio::test]
async fn an_identity_is_listed_changed_and_deleted() {
    let world = &Running::shared().await.world;
    let person = maker(world, "changers").await;
    let registry = world.registry.host();
    let github = format!(
        "hallmark auth identity create github workflows --github-repo=ORG/REPO --github-ref=refs/heads/main \\
         --role=registry.pull --registry {registry} --description 'of main'"
    );
    let identity = made(&person, &github).await;
    let rule = || world.sts.rule_of(&identity).unwrap().0["claim_match"].clone();
    let expected = json!({"issuer": "https://token.actions.githubusercontent.com",
        "subject": "repo:ORG/REPO:ref:refs/heads/main"});
    assert_eq!(rule(), expected);
    let update = ["auth", "identity", "update", &identity, "--registry", &registry];
    let subject = "--subject=repo:ORG/REPO:environment:production";
    let updated =
        person.hallmark(&[&update[..], &[subject, "--name", "renamed", "-o", "json"]].concat()).await;
    let updated = updated.succeeded().json();
    assert_eq!((&updated["id"], &updated["kind"]), (&json!(identity), &json!("claims")), "{updated}");
    assert_eq!(rule()["subject"], "repo:ORG/REPO:environment:production");
    let listed =
        person.hallmark(&["auth", "identity", "list", "--registry", &registry]).await.succeeded().stdout;
    let line = listed.lines().find(|line| line.contains(&identity)).unwrap();
    assert!(line.contains("renamed") && line.contains("environment:production"), "{line}");
    let list = ["auth", "identity", "list", "--registry", &registry, "--output", "json"];
    let all = person.hallmark(&list).await.succeeded().json();
    let listed = all.as_array().unwrap().iter().find(|one| one["id"] == identity).unwrap();
    assert_eq!((&listed["name"], &listed["subject"]), (&json!("renamed"), &updated["subject"]), "{listed}");
    assert_eq!(world.sts.rule_of(&identity).unwrap().1, ["registry.pull"], "the role stays");
    // It is no pull token.
    let tokens = person.hallmark(&["auth", "list", "--registry", &registry]).await.succeeded().stdout;
    assert!(!tokens.contains(&identity), "{tokens}");

    let delete = ["auth", "identity", "delete", &identity, "--registry", &registry];
    let deleted = person.hallmark(&[&delete[..], &["-o", "json"]].concat()).await.succeeded().json();
    assert_eq!(deleted, json!({"id": identity, "revoked": true}));
    assert!(world.sts.rule_of(&identity).is_none());
    let gone = person.hallmark(&delete).await.failed();
    assert!(gone.stderr.contains("knows no identity"), "{}", gone.stderr);
}

#[tokio::test]
async fn no_token_is_told_even_when_everything_is_logged() {
    let world = &Running::shared().await.world;
    let person = maker(world, "traced").await;
    let registry = world.registry.host();
    let traced = async |arguments: &[&str]| {
        let more = ["--registry", &registry, "--log", "trace"];
        person.hallmark(&[&["auth", "identity"], arguments, &more].concat()).await
    };
    let rule = ["--identity-issuer", "https://issuer.example", "--subject", "s", "--role", "registry.pull"];
    let made = traced(&[&["create", "traced"][..], &rule].concat()).await.succeeded();
    let identity = made.stdout.trim().to_owned();
    let github = ["create", "github", "traced-too", "--github-repo=ORG/REPO", "--role=registry.pull"];
    let mut told = vec![made, traced(&github).await.succeeded()];
    let keys = std::fs::read_to_string(person.file("token")).unwrap();
    for (arguments, well) in [
        (&["list"][..], true),
        (&["update", &identity, "--name", "renamed"], true),
        // A token in the place of keys, as a person may err.
        (&["update", &identity, "--issuer-keys", &keys], false),
        (&["delete", &identity], true),
        (&["delete", &identity], false),
    ] {
        let finished = traced(arguments).await;
        told.push(if well { finished.succeeded() } else { finished.failed() });
    }
    world.sts.fails(&person.identity, 403, 1);
    told.push(traced(&["list"]).await.failed());
    let logged = told.iter().filter(|one| one.stderr.contains("TRACE")).count();
    assert!(logged >= 6, "everything is logged: {logged}");

    let mut canaries = world.sts.canaries();
    assert!(canaries.len() > 1, "tokens were granted");
    canaries.push(keys);
    for canary in canaries {
        // The signature of a token is the part that nobody else can make.
        let part = canary.trim().rsplit('.').next().unwrap();
        for (number, one) in told.iter().enumerate() {
            let text = format!("{}{}", one.stdout, one.stderr);
            assert!(!text.contains(part), "call {number} told a secret");
        }
    }
}

#[tokio::test]
async fn a_role_that_is_not_there_makes_no_identity() {
    let world = &Running::shared().await.world;
    let person = maker(world, "roles").await;
    let registry = world.registry.host();
    let parent = "org-of-roles";
    let arguments = [
        "auth",
        "identity",
        "create",
        "x",
        "--identity-issuer",
        "https://issuer.example",
        "--subject",
        "s",
        "--parent",
        parent,
        "--registry",
        &registry,
        "--role",
    ];
    let refused = person.hallmark(&[&arguments[..], &["registry.fly"]].concat()).await.failed();
    assert!(refused.stderr.contains("knows no role \"registry.fly\""), "{}", refused.stderr);
    assert!(!world.sts.made().iter().any(|id| id.starts_with(parent)));
    person.hallmark(&[&arguments[..], &["registry.pull,viewer"]].concat()).await.succeeded();
    let made: Vec<String> = world.sts.made().into_iter().filter(|id| id.starts_with(parent)).collect();
    assert_eq!(world.sts.rule_of(&made[0]).unwrap().1, ["registry.pull", "viewer"]);
}
