//! What a request would run: the images of a pod or of a workload's template, and whose credentials pull them
//! (credentials specification §8.7). Pure.
//!
//! # Guarantees
//!
//! - An object of a kind that is not known is refused, never passed over.
//! - Only what is new is looked at: a container that has its name and image already runs nothing else, and denying its
//!   labels or its end would help nobody. Pods that come of a workload are looked at themselves.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::review::Request;

/// What is to be admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    /// Its namespace.
    pub(super) namespace: String,
    /// API group, version and plural name.
    pub(super) resource: super::review::Resource,
    /// Its labels.
    pub(super) labels: BTreeMap<String, String>,
    /// The service account of its pods.
    pub(super) account: String,
    /// The `imagePullSecrets` of its pods.
    pub(super) pull_secrets: Vec<String>,
    /// The images that are new.
    pub(super) images: Vec<NamedImage>,
}

/// An image and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedImage {
    /// As people write it: `spec.containers[0].image`.
    pub(super) field: String,
    /// As JSON patches write it.
    pub(super) pointer: String,
    /// The image as it is written.
    pub(super) text: String,
    /// What of the pod it belongs to.
    owner: (&'static str, String),
}

/// Why nothing can be said about a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// A kind that has no pod template as far as this program knows.
    #[error("{0} are not known here: take them out of the rules of the webhook")]
    Kind(String),
    /// A field that is not what it should be.
    #[error("{0} cannot be read")]
    Field(String),
}

/// Group, plural name and place of the pod's specification.
const KINDS: &[(&str, &str, &str)] = &[
    ("", "pods", "/spec"),
    ("apps", "deployments", "/spec/template/spec"),
    ("apps", "replicasets", "/spec/template/spec"),
    ("apps", "statefulsets", "/spec/template/spec"),
    ("apps", "daemonsets", "/spec/template/spec"),
    ("batch", "jobs", "/spec/template/spec"),
    ("batch", "cronjobs", "/spec/jobTemplate/spec/template/spec"),
];
const CONTAINERS: &[&str] = &["initContainers", "containers", "ephemeralContainers"];
const VOLUMES: &str = "volumes";

impl Subject {
    /// What a request is about; nothing when it runs nothing new.
    pub(super) fn of(request: &Request) -> Result<Option<Self>, Unreadable> {
        let subresource = request.sub_resource.as_str();
        let changes = matches!(request.operation.as_str(), "CREATE" | "UPDATE");
        let (object, old) = (&request.object, &request.old_object);
        // What is going away must be able to lose its finalizers.
        let is_leaving = object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null());
        if !changes || is_leaving || !matches!(subresource, "" | "ephemeralcontainers") {
            return Ok(None);
        }
        let Some(pod) = place(request) else {
            return Err(Unreadable::Kind(request.resource.plural.clone()));
        };
        let mut images = images(object, pod)?;
        if request.operation == "UPDATE" {
            // What cannot be read in the old object counts as changed.
            let known = self::images(old, pod).unwrap_or_default();
            let known: BTreeSet<_> = known.iter().map(|image| (&image.owner, &image.text)).collect();
            images.retain(|image| !known.contains(&(&image.owner, &image.text)));
        }
        let text = |pointer: &str| object.pointer(&format!("{pod}/{pointer}")).and_then(Value::as_str);
        let account = text("serviceAccountName").filter(|name| !name.is_empty()).unwrap_or("default");
        Ok((!images.is_empty()).then(|| Self {
            namespace: request.namespace.clone(),
            resource: request.resource.clone(),
            labels: labels(object),
            account: account.to_owned(),
            pull_secrets: pull_secrets(object, pod),
            images,
        }))
    }
}

fn place(request: &Request) -> Option<&'static str> {
    let wanted = (request.resource.group.as_str(), request.resource.plural.as_str());
    KINDS.iter().find(|(group, resource, _)| (*group, *resource) == wanted).map(|(_, _, place)| *place)
}

fn images(object: &Value, pod: &str) -> Result<Vec<NamedImage>, Unreadable> {
    let mut images = Vec::new();
    for list in CONTAINERS {
        for (index, item) in items(object, pod, list)? {
            images.extend(image(pod, list, index, item, item.get("image"), "image")?);
        }
    }
    for (index, volume) in items(object, pod, VOLUMES)? {
        let Some(source) = volume.get("image").filter(|image| !image.is_null()) else { continue };
        images.extend(image(pod, VOLUMES, index, volume, source.get("reference"), "image/reference")?);
    }
    Ok(images)
}

fn items<'v>(object: &'v Value, pod: &str, list: &str) -> Result<Vec<(usize, &'v Value)>, Unreadable> {
    let pointer = format!("{pod}/{list}");
    match object.pointer(&pointer) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items.iter().enumerate().collect()),
        Some(_) => Err(Unreadable::Field(field(&pointer))),
    }
}

/// A template may leave the image open; pods may not, which the API server sees to.
fn image(
    pod: &str,
    list: &'static str,
    index: usize,
    item: &Value,
    written: Option<&Value>,
    name: &str,
) -> Result<Option<NamedImage>, Unreadable> {
    let pointer = format!("{pod}/{list}/{index}/{name}");
    let field = format!("{}[{index}].{}", field(&format!("{pod}/{list}")), name.replace('/', "."));
    let text = match written {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(_) => return Err(Unreadable::Field(field)),
    };
    let owner = (list, item.get("name").and_then(Value::as_str).unwrap_or_default().to_owned());
    Ok(Some(NamedImage { field, pointer, text, owner }))
}

fn field(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

fn labels(object: &Value) -> BTreeMap<String, String> {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn pull_secrets(object: &Value, pod: &str) -> Vec<String> {
    let listed = object.pointer(&format!("{pod}/imagePullSecrets")).and_then(Value::as_array);
    let names = listed.into_iter().flatten().filter_map(|item| item.get("name")?.as_str());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::review::Resource;
    use super::*;

    fn request(group: &str, resource: &str, operation: &str, object: Value) -> Request {
        Request {
            uid: "u".into(),
            resource: Resource { group: group.into(), version: "v1".into(), plural: resource.into() },
            namespace: "team-a".into(),
            operation: operation.into(),
            object,
            ..Request::default()
        }
    }

    fn pod() -> Value {
        json!({"serviceAccountName": "web", "imagePullSecrets": [{"name": "regcred"}, {}],
            "initContainers": [{"name": "init", "image": "a.test/init:1"}],
            "containers": [{"name": "app", "image": "a.test/app:1"}, {"name": "open"}],
            "ephemeralContainers": [{"name": "debug", "image": "a.test/debug:1"}],
            "volumes": [{"name": "empty", "emptyDir": {}}, {"name": "model", "image": {"reference": "a.test/model:1"}}]})
    }

    fn fields(subject: &Subject) -> Vec<&str> {
        subject.images.iter().map(|image| image.field.as_str()).collect()
    }

    #[test]
    fn every_image_of_a_pod_is_found_with_its_place_and_whose_credentials_pull_it() {
        let object = json!({"metadata": {"labels": {"tier": "web"}}, "spec": pod()});
        let subject = Subject::of(&request("", "pods", "CREATE", object.clone())).unwrap().unwrap();
        assert_eq!(
            fields(&subject),
            [
                "spec.initContainers[0].image",
                "spec.containers[0].image",
                "spec.ephemeralContainers[0].image",
                "spec.volumes[1].image.reference"
            ]
        );
        for image in &subject.images {
            assert_eq!(object.pointer(&image.pointer).unwrap(), &image.text, "{}", image.pointer);
        }
        assert_eq!((subject.account.as_str(), subject.pull_secrets), ("web", vec!["regcred".to_owned()]));
        assert_eq!(subject.labels["tier"], "web");
    }

    #[test]
    fn every_kind_of_workload_has_its_template() {
        for (group, resource, place) in KINDS {
            let object = place.split('/').skip(1).collect::<Vec<_>>().into_iter().rev();
            let object = object.fold(pod(), |inner, name| json!({ name: inner }));
            let subject = Subject::of(&request(group, resource, "CREATE", object)).unwrap().unwrap();
            assert_eq!(subject.images.len(), 4, "{resource}");
        }
        let stranger = Subject::of(&request("apps", "pods", "CREATE", json!({"spec": pod()})));
        assert_eq!(stranger, Err(Unreadable::Kind("pods".into())));
    }

    #[test]
    fn what_was_there_already_is_not_looked_at_again_and_what_changed_is() {
        let mut update =
            request("", "pods", "UPDATE", json!({"metadata": {"labels": {"a": "b"}}, "spec": pod()}));
        update.old_object = json!({"spec": pod()});
        assert_eq!(Subject::of(&update), Ok(None));
        update.object["spec"]["containers"][0]["image"] = json!("a.test/app:2");
        assert_eq!(fields(&Subject::of(&update).unwrap().unwrap()), ["spec.containers[0].image"]);
        update.object = json!({"spec": pod()});
        update.object["spec"]["containers"][0]["name"] = json!("another");
        assert_eq!(fields(&Subject::of(&update).unwrap().unwrap()), ["spec.containers[0].image"]);
        update.old_object = json!({"spec": {"containers": "rubbish"}});
        assert_eq!(Subject::of(&update).unwrap().unwrap().images.len(), 4);
    }

    #[test]
    fn ephemeral_containers_are_looked_at_and_ends_and_states_are_not() {
        let mut added = request("", "pods", "UPDATE", json!({"spec": pod()}));
        added.sub_resource = "ephemeralcontainers".into();
        added.old_object = json!({"spec": pod()});
        added.old_object["spec"]["ephemeralContainers"] = json!([]);
        assert_eq!(fields(&Subject::of(&added).unwrap().unwrap()), ["spec.ephemeralContainers[0].image"]);
        added.sub_resource = "status".into();
        assert_eq!(Subject::of(&added), Ok(None));
        assert_eq!(Subject::of(&request("", "pods", "DELETE", Value::Null)), Ok(None));
        let leaving = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": pod()});
        assert_eq!(Subject::of(&request("", "pods", "UPDATE", leaving)), Ok(None));
    }

    #[test]
    fn what_is_no_list_and_no_text_is_refused_by_its_name() {
        for (spec, field) in [
            (json!({"containers": {}}), "spec.containers"),
            (json!({"containers": [{"image": 1}]}), "spec.containers[0].image"),
            (json!({"volumes": [{"image": {"reference": []}}]}), "spec.volumes[0].image.reference"),
        ] {
            let read = Subject::of(&request("", "pods", "CREATE", json!({ "spec": spec })));
            assert_eq!(read, Err(Unreadable::Field(field.into())));
        }
    }
}
