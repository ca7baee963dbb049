//! The keychain of a run from manifests that somebody holds in hand, by the same rules as from the cluster.
//! Pure: what is not among the objects is a problem that says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};

use super::agent::Lent;
use super::named::{NamedSecret, RunReferences, empty_places, named_secrets, read_named};
use super::pod::Pod;
use super::registry_config::RegistryConfig;
use super::{Keychain, Location, Problem, ProblemCode, SecretRef, Source};

/// Objects that a run may refer to. Without a namespace they are in every run's.
#[derive(Default)]
pub struct Objects {
    /// Pods.
    pub pods: Vec<Pod>,
    /// Service accounts.
    pub accounts: Vec<ServiceAccount>,
    /// Secrets.
    pub secrets: Vec<Secret>,
    /// What the command line adds to them.
    pub registries: Arc<RegistryConfig>,
    /// Who the process is in clouds; what it is granted serves every run.
    pub clouds: Arc<Lent>,
}

impl Objects {
    /// Gathers the keychain of one run.
    pub fn keychain(&self, run: &RunReferences) -> Keychain {
        let mut keychain = Keychain::default();
        let mut pods = Vec::new();
        for name in run.pods() {
            if let Some(pod) = find(&self.pods, &run.namespace, name) {
                pods.push(pod);
                continue;
            }
            let location = Location::Pod(format!("{}/{name}", run.namespace));
            keychain.problems.push(absent(Source::PodImagePullSecrets, location, ProblemCode::PodGone));
        }
        let mut accounts = Vec::new();
        for name in run.accounts(&pods) {
            if let Some(account) = find(&self.accounts, &run.namespace, &name) {
                accounts.push(account);
                continue;
            }
            let location = Location::ServiceAccount(format!("{}/{name}", run.namespace));
            let code = ProblemCode::ServiceAccountNotFound;
            keychain.problems.push(absent(Source::ServiceAccountSecrets, location, code));
        }
        let named = named_secrets(run, &pods, &accounts);
        keychain.looked_at = empty_places(run, &pods, &accounts);
        for named in named {
            self.add(&mut keychain, &run.namespace, named);
        }
        keychain
    }

    fn add(&self, keychain: &mut Keychain, namespace: &str, named: NamedSecret) {
        let location = Location::Secret(SecretRef::unread(namespace, &named.name));
        match find(&self.secrets, namespace, &named.name) {
            Some(secret) => {
                let reading = read_named(namespace, &named, with_string_data(secret.clone()));
                keychain.add(named.source, location, reading);
            }
            None => keychain.problems.push(absent(named.source, location, ProblemCode::SecretNotFound)),
        }
    }
}

fn find<'a, K: k8s_openapi::Metadata<Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>>(
    objects: &'a [K],
    namespace: &str,
    name: &str,
) -> Option<&'a K> {
    objects.iter().find(|object| {
        let metadata = object.metadata();
        metadata.name.as_deref() == Some(name)
            && metadata.namespace.as_deref().is_none_or(|found| found == namespace)
    })
}

/// `stringData` is what a person writes; the API server would have moved it into `data`.
fn with_string_data(mut secret: Secret) -> Secret {
    let text = secret.string_data.take().unwrap_or_default();
    let data: &mut BTreeMap<String, ByteString> = secret.data.get_or_insert_default();
    data.extend(text.into_iter().map(|(name, text)| (name, ByteString(text.into_bytes()))));
    secret
}

fn absent(source: Source, location: Location, code: ProblemCode) -> Problem {
    Problem { source, location, code, detail: "it is not among the manifests".to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::artifact::image::Repository;

    fn run() -> RunReferences {
        RunReferences {
            namespace: "ci".into(),
            service_account: "builder".into(),
            pod: Some("pod".into()),
            template: Vec::new(),
            children: Vec::new(),
        }
    }

    fn objects(namespace: Option<&str>) -> Objects {
        let metadata = |name: &str| json!({"name": name, "namespace": namespace});
        let config = r#"{"auths":{"registry.example":{"username":"u","password":"p"}}}"#;
        Objects {
            pods: Vec::new(),
            accounts: vec![
                serde_json::from_value(
                    json!({"metadata": metadata("builder"), "secrets": [{"name": "push"}]}),
                )
                .unwrap(),
            ],
            secrets: vec![
                serde_json::from_value(
                    json!({"metadata": metadata("push"), "type": "kubernetes.io/dockerconfigjson",
                    "stringData": {".dockerconfigjson": config}}),
                )
                .unwrap(),
            ],
            registries: Arc::default(),
            clouds: Arc::default(),
        }
    }

    #[test]
    fn string_data_counts_and_no_namespace_means_the_runs() {
        let registry = Repository::parse("registry.example/app").unwrap();
        for namespace in [None, Some("ci")] {
            let keychain = objects(namespace).keychain(&run());
            assert_eq!(keychain.candidates(&registry).len(), 2, "one credential and anonymous");
        }
    }

    fn problems(objects: &Objects) -> Vec<String> {
        let keychain = objects.keychain(&RunReferences { pod: None, ..run() });
        keychain.problems.iter().map(|problem| format!("{} {}", problem.code, problem.location)).collect()
    }

    #[test]
    fn row_1_a_secret_that_does_not_exist_is_named_and_hides_no_other() {
        let mut objects = objects(Some("ci"));
        objects.accounts[0]
            .secrets
            .as_mut()
            .unwrap()
            .insert(0, serde_json::from_value(json!({"name": "gone"})).unwrap());
        assert_eq!(problems(&objects), ["SecretNotFound secret ci/gone"]);
        assert_eq!(objects.keychain(&run()).entries.len(), 1);
    }

    #[test]
    fn row_3_a_missing_service_account_leaves_the_credentials_of_the_pod() {
        let mut objects = objects(Some("ci"));
        objects.accounts.clear();
        let pod = json!({"metadata": {"name": "pod", "namespace": "ci"},
            "spec": {"serviceAccountName": "builder", "imagePullSecrets": [{"name": "push"}]}});
        objects.pods = vec![serde_json::from_value(pod).unwrap()];
        assert_eq!(problems(&objects), ["ServiceAccountNotFound service account ci/builder"]);
        assert_eq!(objects.keychain(&run()).entries.len(), 1);
    }

    #[test]
    fn row_18_a_secret_that_is_being_deleted_is_used() {
        let mut objects = objects(Some("ci"));
        let deleted = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        objects.secrets[0].metadata.deletion_timestamp = Some(deleted);
        assert_eq!(problems(&objects), [""; 0]);
        assert_eq!(objects.keychain(&run()).entries.len(), 1);
    }

    #[test]
    fn objects_of_another_namespace_are_not_there() {
        let keychain = objects(Some("other")).keychain(&run());
        let codes: Vec<_> = keychain.problems.iter().map(|problem| problem.code).collect();
        assert_eq!(codes, [ProblemCode::PodGone, ProblemCode::ServiceAccountNotFound]);
    }
}
