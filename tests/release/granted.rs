//! The rights of the service accounts against what the end-to-end tests did with them: nothing was denied, and no verb is
//! granted that nobody used. So each verb that is taken away fails a test: its use is denied then.
//!
//! `hack/test` has the API servers of its groups write their audit logs into the folder `HALLMARK_AUDIT_LOGS`, and runs the
//! judgement last, with the groups that were run in `HALLMARK_GROUPS`. What is granted in vain shows only when the group
//! that works with all rights of an account was among them; where it was not, that is said.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde_json::Value;

use crate::read;

/// A service account, the manifests that give it its rights, and the group of tests that uses all of them.
struct Account {
    user: &'static str,
    manifests: &'static [&'static str],
    group: &'static str,
    /// The resource and the name of an object that a test has it ask for in vain.
    forbidden: Option<(&'static str, &'static str)>,
}

const ACCOUNTS: [Account; 3] = [
    Account {
        user: "system:serviceaccount:tekton-chains:tekton-chains-controller",
        manifests: &["release.yaml"],
        group: "core",
        // Tokens of its own account are asked for before a Role of the user's grants them.
        forbidden: Some(("serviceaccounts/token", "tekton-chains-controller")),
    },
    Account {
        user: "system:serviceaccount:pull-secret-updater:controller",
        manifests: &["config/overlays/pull-secret-updater/210-rbac.yaml"],
        group: "refresh",
        // Of the Secrets it may write those of one name.
        forbidden: Some(("secrets", "other-secret")),
    },
    Account {
        user: "system:serviceaccount:cosign-system:hallmark-webhook",
        manifests: &["config/overlays/webhook/210-rbac.yaml"],
        group: "webhook",
        forbidden: None,
    },
];
/// What every account may do: it asks who it is and what it may do.
const OF_EVERYBODY: [&str; 2] = ["authentication.k8s.io", "authorization.k8s.io"];

/// Group, resource, verb, and the name of the one object or nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    group: String,
    resource: String,
    verb: String,
    name: String,
}

impl Right {
    /// Whether it is what lets somebody do this.
    fn covers(&self, used: &Self) -> bool {
        let same = |of: fn(&Self) -> &String| of(self) == of(used);
        same(|r| &r.group)
            && same(|r| &r.resource)
            && same(|r| &r.verb)
            && (self.name.is_empty() || self.name == used.name)
    }
}

/// What an account asked for.
#[derive(Debug, Default)]
struct Asked {
    used: BTreeSet<Right>,
    denied: BTreeSet<String>,
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// What roles that are bound to the account grant.
fn granted(account: &Account) -> BTreeSet<Right> {
    let documents: Vec<Value> = account
        .manifests
        .iter()
        .flat_map(|file| serde_saphyr::from_multiple::<Value>(&read(file)).unwrap())
        .collect();
    let name = account.user.rsplit(':').next().unwrap();
    let bound: Vec<(&Value, &Value)> = documents
        .iter()
        .filter(|object| object["kind"].as_str().is_some_and(|kind| kind.ends_with("RoleBinding")))
        .filter(|binding| binding["subjects"][0]["name"] == name)
        .map(|binding| (&binding["roleRef"]["kind"], &binding["roleRef"]["name"]))
        .collect();
    let roles = documents.iter().filter(|o| bound.contains(&(&o["kind"], &o["metadata"]["name"])));
    roles.flat_map(|role| role["rules"].as_array().unwrap()).flat_map(of_rule).collect()
}

fn of_rule(rule: &Value) -> Vec<Right> {
    let mut names = words(&rule["resourceNames"]);
    if names.is_empty() {
        names.push(String::new());
    }
    let mut rights = Vec::new();
    for group in words(&rule["apiGroups"]) {
        for resource in words(&rule["resources"]) {
            for verb in words(&rule["verbs"]) {
                let right = |name: &String| Right {
                    group: group.clone(),
                    resource: resource.clone(),
                    verb: verb.clone(),
                    name: name.clone(),
                };
                rights.extend(names.iter().map(right));
            }
        }
    }
    rights
}

/// What one user asked for, with success and in vain, by the audit logs of a folder.
fn asked(folder: &Path, account: &Account) -> Asked {
    let (mut asked, user) = (Asked::default(), account.user);
    let quoted = format!("\"{user}\"");
    for file in std::fs::read_dir(folder).unwrap() {
        let lines = BufReader::new(File::open(file.unwrap().path()).unwrap()).lines();
        let of_user = lines.map_while(Result::ok).filter(|line| line.contains(&quoted));
        // The last line may be half written.
        for event in of_user.filter_map(|line| serde_json::from_str::<Value>(&line).ok()) {
            let of = &event["objectRef"];
            let is_it = |(resource, name): (&str, &str)| of["name"] == name && resource_of(of) == resource;
            let expected = account.forbidden.is_some_and(is_it);
            if event["user"]["username"] == user && !expected {
                note(&mut asked, &event);
            }
        }
    }
    asked
}

/// The resource, with its subresource, of an object that was asked for.
fn resource_of(object: &Value) -> String {
    let resource = object["resource"].as_str().unwrap_or_default();
    match object["subresource"].as_str() {
        Some(subresource) => format!("{resource}/{subresource}"),
        None => resource.to_owned(),
    }
}

fn note(asked: &mut Asked, event: &Value) {
    let of = &event["objectRef"];
    let text = |field: &str| of[field].as_str().unwrap_or_default().to_owned();
    if text("resource").is_empty() || OF_EVERYBODY.contains(&text("apiGroup").as_str()) {
        return;
    }
    let resource = resource_of(of);
    let verb = event["verb"].as_str().unwrap().to_owned();
    let code = event["responseStatus"]["code"].as_u64().unwrap_or_default();
    if code == 403 {
        let what = format!("{verb} {}/{resource} {}/{}", text("apiGroup"), text("namespace"), text("name"));
        let reason = event["responseStatus"]["message"].as_str().unwrap_or_default();
        asked.denied.insert(format!("{what}: {reason}"));
        return;
    }
    let right = Right { group: text("apiGroup"), resource, verb, name: text("name") };
    // A patch that makes what is not there needs the right to create it.
    if right.verb == "patch" && code == 201 {
        asked.used.insert(Right { verb: "create".to_owned(), ..right.clone() });
    }
    asked.used.insert(right);
}

/// What was denied to an account.
fn denied(asked: &Asked) -> Vec<String> {
    asked.denied.iter().map(|what| format!("denied: {what}")).collect()
}

/// What an account was granted in vain.
fn in_vain(account: &Account, asked: &Asked) -> Vec<String> {
    let used = |right: &Right| asked.used.iter().any(|used| right.covers(used));
    let unused = granted(account).into_iter().filter(|right| !used(right));
    unused.map(|right| format!("granted in vain: {right:?}")).collect()
}

#[test]
#[ignore = "judges audit logs that the groups of hack/test leave behind"]
fn nothing_was_denied_and_nothing_is_granted_in_vain() {
    let folder = std::env::var_os("HALLMARK_AUDIT_LOGS").expect("HALLMARK_AUDIT_LOGS names no folder");
    let groups = std::env::var_os("HALLMARK_GROUPS").expect("HALLMARK_GROUPS names no groups of tests");
    let groups = groups.into_string().unwrap();
    let mut wrong = Vec::new();
    for account in &ACCOUNTS {
        let asked = asked(Path::new(&folder), account);
        let mut faults = denied(&asked);
        if groups.split_whitespace().any(|group| group == account.group) {
            faults.extend(in_vain(account, &asked));
            println!("{}: all of its {} rights are compared", account.user, granted(account).len());
        } else {
            println!("{}: not all of its rights, since {} was not run", account.user, account.group);
        }
        wrong.extend(faults.into_iter().map(|fault| format!("{}: {fault}", account.user)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// One use of a right, as the API server writes it down.
fn line(user: &str, right: &Right, code: u16) -> String {
    let name = if right.name.is_empty() { "any" } else { &right.name };
    serde_json::json!({"user": {"username": user}, "verb": right.verb, "responseStatus": {"code": code},
        "objectRef": {"apiGroup": right.group, "resource": right.resource, "name": name}})
    .to_string()
}

#[test]
fn each_verb_that_is_not_used_and_each_refusal_is_found() {
    for account in &ACCOUNTS {
        let all: Vec<Right> = granted(account).into_iter().collect();
        assert!(all.len() > 5, "{all:?}");
        for (position, one) in all.iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            let others = all.iter().enumerate().filter(|(other, _)| *other != position);
            let mut lines: Vec<String> = others.map(|(_, right)| line(account.user, right, 200)).collect();
            let write = |lines: &[String]| {
                std::fs::write(folder.path().join("log"), lines.join("\n") + "\n{\"half").unwrap();
                let asked = asked(folder.path(), account);
                [denied(&asked), in_vain(account, &asked)].concat()
            };
            assert_eq!(write(&lines), [format!("granted in vain: {one:?}")]);
            lines.push(line(account.user, one, 403));
            let found = write(&lines);
            assert!(found.len() == 2 && found[0].starts_with("denied: "), "{found:?}");
            lines.pop();
            lines.push(line(account.user, one, 200));
            assert_eq!(write(&lines), [""; 0]);
        }
    }
}

#[test]
fn a_patch_that_makes_an_object_uses_the_right_to_create_it() {
    let right = |verb: &str| Right {
        group: "coordination.k8s.io".into(),
        resource: "leases".into(),
        verb: verb.into(),
        name: "any".into(),
    };
    let folder = tempfile::tempdir().unwrap();
    let [account, other, ..] = &ACCOUNTS;
    for (code, expected) in [(200, vec![right("patch")]), (201, vec![right("create"), right("patch")])] {
        std::fs::write(folder.path().join("log"), line(account.user, &right("patch"), code)).unwrap();
        assert_eq!(asked(folder.path(), account).used.into_iter().collect::<Vec<_>>(), expected);
    }
    assert!(asked(folder.path(), other).used.is_empty());
}
