//! Which names of Secrets are watched: those of the setting, and those that our own rights name, so that granting a
//! right on another name is all that a user has to do (credentials specification §6.5).

use std::collections::BTreeSet;

use k8s_openapi::api::authorization::v1::{ResourceRule, SelfSubjectRulesReview, SelfSubjectRulesReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

/// The names of Secrets that our rules let us write, as far as they name any.
pub(super) async fn granted(client: &Client, namespace: &str) -> kube::Result<BTreeSet<String>> {
    let spec = SelfSubjectRulesReviewSpec { namespace: Some(namespace.to_owned()) };
    let review = SelfSubjectRulesReview { spec, ..SelfSubjectRulesReview::default() };
    let reviewed =
        Api::<SelfSubjectRulesReview>::all(client.clone()).create(&PostParams::default(), &review).await?;
    let rules = reviewed.status.map(|status| status.resource_rules).unwrap_or_default();
    Ok(rules.iter().filter(|rule| writes_secrets(rule)).flat_map(names).collect())
}

fn writes_secrets(rule: &ResourceRule) -> bool {
    let has = |list: Option<&Vec<String>>, wanted: &[&str]| {
        list.is_some_and(|list| list.iter().any(|one| wanted.contains(&one.as_str())))
    };
    has(rule.api_groups.as_ref(), &["", "*"])
        && has(rule.resources.as_ref(), &["secrets", "*"])
        && has(Some(&rule.verbs), &["update", "patch", "*"])
}

fn names(rule: &ResourceRule) -> Vec<String> {
    rule.resource_names.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(resource: &str, verb: &str, names: &[&str]) -> ResourceRule {
        let list = |one: &str| Some(vec![one.to_owned()]);
        ResourceRule {
            api_groups: list(""),
            resources: list(resource),
            resource_names: Some(names.iter().map(|name| (*name).to_owned()).collect()),
            verbs: vec![verb.to_owned()],
        }
    }

    #[test]
    fn a_name_counts_when_the_secret_may_be_written() {
        let found = |rule: &ResourceRule| if writes_secrets(rule) { super::names(rule) } else { Vec::new() };
        assert_eq!(found(&rule("secrets", "update", &["a", "b"])), ["a", "b"]);
        assert_eq!(found(&rule("secrets", "patch", &["a"])), ["a"]);
        assert!(found(&rule("secrets", "get", &["signing-secrets"])).is_empty());
        assert!(found(&rule("configmaps", "update", &["a"])).is_empty());
        assert!(found(&rule("secrets", "update", &[])).is_empty(), "a right on all names names none");
    }
}
