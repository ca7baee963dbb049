//! What the controller may do, compared with what it has to: the rules are those of the manifests in `config/base`,
//! compiled in, so that a rule which is added there is asked about here.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use futures::stream;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;
use serde::Deserialize;

use super::deployment::Deployment;
use super::finding::{Finding, Findings};
use super::{Visit, installation, said};
use crate::config::Config;

const MANIFESTS: [&str; 4] = [
    include_str!("../../../config/base/210-clusterroles.yaml"),
    include_str!("../../../config/base/211-clusterrolebindings.yaml"),
    include_str!("../../../config/base/220-roles.yaml"),
    include_str!("../../../config/base/221-rolebindings.yaml"),
];
const ACCOUNT: &str = "tekton-chains-controller";
/// Questions at a time.
const AT_ONCE: usize = 8;

/// A role or a binding; each has a part of these fields.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Manifest {
    kind: String,
    metadata: Named,
    rules: Vec<Rule>,
    role_ref: Named,
    subjects: Vec<Named>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    kind: String,
    name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    resource_names: Vec<String>,
    verbs: Vec<String>,
}

/// One thing that the controller does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    verb: String,
    resource: String,
    group: String,
    /// Of one object only.
    name: Option<String>,
    /// In the namespaces of runs, not in the controller's own.
    of_runs: bool,
    /// It may be given for some runs only, and others do without.
    narrower: bool,
    /// What gives it, and what to do.
    from: String,
}

/// What came of one question.
enum Answer {
    Allowed,
    Refused(Right, Option<String>),
    Unknown(String),
}

/// Asks for every right.
pub(super) async fn check(
    visit: &Visit<'_>,
    deployment: Option<&Deployment>,
    config: &Config,
    findings: &mut Findings,
) {
    let watched = deployment.map(installation::watched).unwrap_or_default();
    let rights = match rights(config) {
        Ok(rights) => rights,
        Err(error) => return findings.add(Finding::unchecked("rights", error.to_string())),
    };
    let questions = rights.into_iter().flat_map(|right| places(right, &watched, visit.own_namespace()));
    let questions: Vec<_> = questions.collect();
    let asked = questions.len();
    let answers: Vec<Answer> = stream::iter(questions)
        .map(|(right, place)| ask(visit, right, place))
        .buffered(AT_ONCE)
        .collect()
        .await;
    let account = format!("service account {}/{}", visit.own_namespace(), visit.arguments.agent_account);
    let mut refused: BTreeMap<(bool, String), Vec<String>> = BTreeMap::new();
    for answer in answers {
        match answer {
            Answer::Allowed => {}
            Answer::Refused(right, place) => {
                let (narrower, from) = (right.narrower, right.from.clone());
                refused.entry((narrower, from)).or_default().push(named(&right, place.as_deref()));
            }
            Answer::Unknown(said) => {
                let finding =
                    Finding::unchecked("rights", format!("nobody says what {account} may do: {said}"));
                return findings.add(finding.remedy(
                    "run doctor in the controller's pod, or as somebody who may create subjectaccessreviews",
                ));
            }
        }
    }
    for ((narrower, from), rights) in &refused {
        findings.add(told(&account, *narrower, from, rights));
    }
    if refused.is_empty() {
        findings.add(Finding::ok("rights", format!("{account} has all {asked} rights that it needs")));
    }
}

/// What one role, or one setting, does not give, though it should.
fn told(account: &str, narrower: bool, from: &str, rights: &[String]) -> Finding {
    let state = if narrower { Finding::warning } else { Finding::failed };
    let found = format!("{account} may not {}", rights.join(", "));
    state("rights", &found).remedy(from.to_owned())
}

fn named(right: &Right, place: Option<&str>) -> String {
    let object = match (right.group.as_str(), &right.name) {
        ("", None) => right.resource.clone(),
        (group, None) => format!("{}.{group}", right.resource),
        ("", Some(name)) => format!("{} {name}", right.resource),
        (group, Some(name)) => format!("{}.{group} {name}", right.resource),
    };
    let place = place.map_or_else(|| "all namespaces".to_owned(), |name| format!("namespace {name}"));
    format!("{} {object} in {place}", right.verb)
}

/// What the manifests give the controller's account, and what the settings ask for beyond them.
fn rights(config: &Config) -> Result<Vec<Right>, serde_saphyr::Error> {
    let mut manifests = Vec::new();
    for text in MANIFESTS {
        manifests.extend(serde_saphyr::from_multiple::<Manifest>(text)?);
    }
    let bound = |role: &&Manifest| {
        manifests.iter().any(|binding| {
            binding.role_ref.name == role.metadata.name
                && binding.role_ref.kind == role.kind
                && binding.subjects.iter().any(|one| one.kind == "ServiceAccount" && one.name == ACCOUNT)
        })
    };
    let mut rights: Vec<Right> = manifests.iter().filter(bound).flat_map(of_role).collect();
    rights.extend(of_settings(config));
    rights.sort();
    rights.dedup();
    Ok(rights)
}

/// Tokens of accounts, which only settings ask for that are off by default.
fn of_settings(config: &Config) -> Vec<Right> {
    let token = |name: Option<&str>, from: &str| Right {
        verb: "create".to_owned(),
        resource: "serviceaccounts/token".to_owned(),
        group: String::new(),
        name: name.map(str::to_owned),
        of_runs: name.is_none(),
        narrower: name.is_none(),
        from: from.to_owned(),
    };
    let mut rights = Vec::new();
    if config.signers.fulcio.enabled && config.signers.fulcio.provider.as_deref() == Some("kubernetes") {
        rights.push(token(Some(ACCOUNT), OWN_TOKEN));
    }
    if config.registry.run_identity {
        rights.push(token(None, TOKENS_OF_RUNS));
    }
    rights
}

fn of_role(role: &Manifest) -> Vec<Right> {
    let mut rights = Vec::new();
    for rule in &role.rules {
        let names: Vec<Option<&String>> = if rule.resource_names.is_empty() {
            vec![None]
        } else {
            rule.resource_names.iter().map(Some).collect()
        };
        for group in &rule.api_groups {
            for resource in &rule.resources {
                for verb in &rule.verbs {
                    rights.extend(names.iter().map(|name| Right {
                        verb: verb.clone(),
                        resource: resource.clone(),
                        group: group.clone(),
                        name: name.cloned(),
                        of_runs: role.kind == "ClusterRole",
                        narrower: false,
                        from: format!(
                            "{} {} of release.yaml gives this right: apply it again, and see that it is bound",
                            role.kind, role.metadata.name
                        ),
                    }));
                }
            }
        }
    }
    rights
}

/// Where a right is needed: everywhere, unless the controller watches some namespaces only.
fn places(right: Right, watched: &[String], own: &str) -> Vec<(Right, Option<String>)> {
    match (right.of_runs, watched) {
        (false, _) => vec![(right, Some(own.to_owned()))],
        (true, []) => vec![(right, None)],
        (true, names) => names.iter().map(|name| (right.clone(), Some(name.clone()))).collect(),
    }
}

async fn ask(visit: &Visit<'_>, right: Right, place: Option<String>) -> Answer {
    let attributes = attributes(&right, place.clone());
    let status = if visit.is_controller() {
        let spec =
            SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..Default::default() };
        let reviews = Api::<SelfSubjectAccessReview>::all(visit.client.clone());
        reviews.create(&PostParams::default(), &review).await.map(|review| review.status)
    } else {
        let namespace = visit.own_namespace();
        let groups = ["system:serviceaccounts", "system:authenticated"].map(str::to_owned);
        let groups = groups.into_iter().chain([format!("system:serviceaccounts:{namespace}")]).collect();
        let spec = SubjectAccessReviewSpec {
            user: Some(visit.account()),
            groups: Some(groups),
            resource_attributes: Some(attributes),
            ..Default::default()
        };
        let review = SubjectAccessReview { spec, ..Default::default() };
        let reviews = Api::<SubjectAccessReview>::all(visit.client.clone());
        reviews.create(&PostParams::default(), &review).await.map(|review| review.status)
    };
    match status {
        Ok(Some(status)) if status.allowed => Answer::Allowed,
        Ok(_) => Answer::Refused(right, place),
        Err(error) => Answer::Unknown(said(&error)),
    }
}

fn attributes(right: &Right, namespace: Option<String>) -> ResourceAttributes {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource.as_str(), None),
    };
    ResourceAttributes {
        namespace,
        verb: Some(right.verb.clone()),
        group: Some(right.group.clone()),
        resource: Some(resource.to_owned()),
        subresource,
        name: right.name.clone(),
        ..ResourceAttributes::default()
    }
}

const OWN_TOKEN: &str =
    "signers.x509.fulcio.provider kubernetes needs this right: give it with a Role of your own";
const TOKENS_OF_RUNS: &str = "registry.run-identity asks for registry credentials in the name of each run: apply \
     config/components/run-identity. Where a RoleBinding gives the right in some namespaces, only runs there have it";

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    fn all() -> Vec<Right> {
        rights(&Config::default()).unwrap()
    }

    #[test]
    fn the_rights_are_those_of_the_manifests_and_of_nobody_else() {
        let all = all();
        let has = |verb: &str, resource: &str, name: Option<&str>| {
            all.iter().any(|r| r.verb == verb && r.resource == resource && r.name.as_deref() == name)
        };
        assert!(has("patch", "taskruns", None) && has("create", "leases", None));
        assert!(has("get", "configmaps", Some("chains-config")) && has("get", "secrets", None));
        assert!(!has("get", "configmaps", Some("chains-info")), "that role is bound to everybody");
    }

    #[test]
    fn rights_over_runs_are_needed_where_runs_are_watched() {
        let patch = all().into_iter().find(|r| r.verb == "patch" && r.resource == "taskruns").unwrap();
        assert_eq!(places(patch.clone(), &[], "own")[0].1, None);
        let watched = ["a".to_owned(), "b".to_owned()];
        let named: Vec<_> =
            places(patch, &watched, "own").into_iter().map(|(_, place)| place.unwrap()).collect();
        assert_eq!(named, watched);
        let lease = all().into_iter().find(|r| r.resource == "leases").unwrap();
        assert_eq!(places(lease, &watched, "own")[0].1.as_deref(), Some("own"));
    }

    /// What these settings ask for beyond the manifests.
    fn more(entries: &[(&str, &str)]) -> Vec<Right> {
        let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let config = Config::parse(&entries).config.unwrap();
        rights(&config).unwrap().into_iter().filter(|right| !all().contains(right)).collect()
    }

    #[test]
    fn the_token_of_the_account_is_asked_about_when_the_settings_ask_for_it() {
        let more =
            more(&[("signers.x509.fulcio.enabled", "true"), ("signers.x509.fulcio.provider", "kubernetes")]);
        assert_eq!(more.len(), 1);
        let attributes = attributes(&more[0], Some("own".to_owned()));
        assert_eq!(attributes.resource.as_deref(), Some("serviceaccounts"));
        assert_eq!(attributes.subresource.as_deref(), Some("token"));
        assert_eq!(attributes.name.as_deref(), Some(ACCOUNT));
    }

    #[test]
    fn the_tokens_of_runs_are_asked_about_where_runs_are_watched_when_they_act_as_themselves() {
        assert_eq!(more(&[("registry.run-identity", "false")]), []);
        let more = more(&[("registry.run-identity", "true")]);
        assert_eq!(more.len(), 1);
        let finding = told("service account n/a", more[0].narrower, &more[0].from, &[named(&more[0], None)]);
        assert_eq!(
            finding.found,
            "service account n/a may not create serviceaccounts/token in all namespaces"
        );
        assert!(finding.remedy.unwrap().contains("apply config/components/run-identity"));
        assert_eq!(finding.state, State::Warning, "it may be given for some namespaces only");
        let watched = ["a".to_owned()];
        assert_eq!(places(more[0].clone(), &watched, "own")[0].1.as_deref(), Some("a"));
        let attributes = attributes(&more[0], None);
        assert_eq!((attributes.subresource.as_deref(), attributes.name), (Some("token"), None));
    }

    #[test]
    fn a_missing_right_names_verb_object_place_and_role() {
        let right = all().into_iter().find(|r| r.verb == "patch" && r.resource == "taskruns").unwrap();
        let rights = [named(&right, None), named(&right, Some("ci"))];
        let finding = told("service account n/a", right.narrower, &right.from, &rights);
        assert_eq!(
            finding.found,
            "service account n/a may not patch taskruns.tekton.dev in all namespaces, patch taskruns.tekton.dev in namespace ci"
        );
        assert!(
            finding.remedy.unwrap().starts_with("ClusterRole tekton-chains-controller-cluster-access of")
        );
    }
}
