//! `spec.match`: the workloads that a policy is about, by kind and by label (credentials specification §8.1).

use std::collections::BTreeMap;

use super::field::{Field, Fields};
use super::finding::{Notes, Problem};

/// What is to be admitted.
#[derive(Debug, Clone, Copy)]
pub struct Workload<'w> {
    /// API group, empty for the core.
    pub group: &'w str,
    /// API version.
    pub version: &'w str,
    /// Plural name, as `pods`.
    pub resource: &'w str,
    /// Its labels.
    pub labels: &'w BTreeMap<String, String>,
}

/// One entry of `spec.match`; what it does not say is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadMatch {
    group: Option<String>,
    version: Option<String>,
    resource: Option<String>,
    requirements: Vec<Requirement>,
}

/// What a label must be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

const OPERATORS: &[(&str, Operator)] = &[
    ("In", Operator::In),
    ("NotIn", Operator::NotIn),
    ("Exists", Operator::Exists),
    ("DoesNotExist", Operator::DoesNotExist),
];

impl WorkloadMatch {
    pub(super) fn read(field: Field<'_>, notes: &mut Notes) -> Option<Self> {
        let fields = field.fields(&["group", "version", "resource", "selector"], notes)?;
        let selector = fields.get("selector");
        let selector =
            selector.and_then(|selector| selector.fields(&["matchLabels", "matchExpressions"], notes));
        // The core group is written as an empty text.
        let group = fields.get("group").and_then(|group| group.maybe_empty_text(notes));
        Some(Self {
            group,
            version: fields.text("version", notes),
            resource: fields.text("resource", notes),
            requirements: selector.map(|selector| requirements(&selector, notes)).unwrap_or_default(),
        })
    }

    /// Whether the workload is meant.
    pub fn matches(&self, workload: &Workload<'_>) -> bool {
        let open_or = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted == is);
        // policy-controller's word for every version.
        let every_version = self.version.as_deref() == Some("*");
        open_or(&self.group, workload.group)
            && (every_version || open_or(&self.version, workload.version))
            && open_or(&self.resource, workload.resource)
            && self.requirements.iter().all(|requirement| requirement.holds(workload.labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let label = labels.get(&self.key);
        let listed = label.is_some_and(|label| self.values.contains(label));
        match self.operator {
            Operator::In => listed,
            Operator::NotIn => !listed,
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
        }
    }
}

fn requirements(selector: &Fields<'_>, notes: &mut Notes) -> Vec<Requirement> {
    let labels = selector.get("matchLabels").and_then(|labels| labels.any_fields(notes));
    let labels = labels.map(|labels| labels.texts(notes)).unwrap_or_default();
    let equal = |(key, value)| Requirement { key, operator: Operator::In, values: vec![value] };
    let mut all: Vec<Requirement> = labels.into_iter().map(equal).collect();
    for item in selector.items("matchExpressions", notes) {
        all.extend(requirement(item, notes));
    }
    all
}

fn requirement(item: Field<'_>, notes: &mut Notes) -> Option<Requirement> {
    let fields = item.fields(&["key", "operator", "values"], notes)?;
    let key = fields.require("key", notes).and_then(|key| key.text(notes).map(str::to_owned));
    let operator = fields.require("operator", notes);
    let operator = operator.and_then(|word| word.word(OPERATORS, "In, NotIn, Exists, DoesNotExist", notes));
    let values = fields.items("values", notes);
    let values: Vec<String> = values.iter().filter_map(|value| value.maybe_empty_text(notes)).collect();
    let needs_values = matches!(operator, Some(Operator::In | Operator::NotIn));
    if needs_values && values.is_empty() {
        notes.error(&format!("{}.values", fields.path), Problem::Empty);
    }
    Some(Requirement { key: key?, operator: operator?, values })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: &Value) -> Result<WorkloadMatch, Vec<String>> {
        let mut notes = Notes::default();
        let read = WorkloadMatch::read(Field::root("spec.match[0]", value), &mut notes);
        let errors: Vec<String> = notes.errors.iter().map(ToString::to_string).collect();
        read.filter(|_| errors.is_empty()).ok_or(errors)
    }

    fn matches(value: &Value, resource: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let group = if resource == "pods" { "" } else { "apps" };
        read(value).unwrap().matches(&Workload { group, version: "v1", resource, labels: &labels })
    }

    #[test]
    fn a_workload_is_told_by_kind() {
        let pods = json!({"group": "", "version": "v1", "resource": "pods"});
        assert!(matches(&pods, "pods", &[]));
        assert!(!matches(&pods, "deployments", &[]));
        let every = json!({"group": "apps", "version": "*", "resource": "deployments"});
        assert!(matches(&every, "deployments", &[]) && !matches(&every, "pods", &[]));
        assert!(matches(&json!({}), "deployments", &[]));
    }

    #[test]
    fn a_workload_is_told_by_label() {
        let selector = |selector: Value| json!({"selector": selector});
        let expression = |operator: &str| {
            selector(
                json!({"matchExpressions": [{"key": "tier", "operator": operator, "values": ["web", ""]}]}),
            )
        };
        let labels = selector(json!({"matchLabels": {"tier": "web"}}));
        assert!(matches(&labels, "pods", &[("tier", "web")]));
        assert!(!matches(&labels, "pods", &[("tier", "db")]));
        assert!(matches(&expression("In"), "pods", &[("tier", "")]));
        assert!(!matches(&expression("In"), "pods", &[]));
        assert!(matches(&expression("NotIn"), "pods", &[]));
        assert!(!matches(&expression("NotIn"), "pods", &[("tier", "web")]));
        assert!(matches(&expression("Exists"), "pods", &[("tier", "x")]));
        assert!(matches(&expression("DoesNotExist"), "pods", &[]));
        assert!(!matches(&expression("DoesNotExist"), "pods", &[("tier", "x")]));
    }

    #[test]
    fn a_selector_that_says_nothing_certain_is_refused() {
        let errors = read(&json!({"selector": {"matchExpressions": [
            {"key": "tier", "operator": "in", "values": ["x"]}, {"operator": "In"}]}, "kind": "Pod"}))
        .unwrap_err();
        assert_eq!(
            errors,
            [
                "spec.match[0].kind: unknown field",
                "spec.match[0].selector.matchExpressions[0].operator: \"in\" is not one of In, NotIn, Exists, DoesNotExist",
                "spec.match[0].selector.matchExpressions[1].key: missing",
                "spec.match[0].selector.matchExpressions[1].values: at least one is required",
            ]
        );
    }
}
