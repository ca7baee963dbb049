//! The controller's Deployment, and the kinds of Tekton that it watches.

use kube::Client;

use super::deployment::{Container, Deployment};
use super::finding::{Finding, Findings};
use super::{Visit, unread};
use crate::tekton::Kind;

const DEPLOYMENT: &str = "tekton-chains-controller";
/// Of the manifests as they come; no registry has it.
const PLACEHOLDER: &str = "registry.example/";
const GROUP: &str = "tekton.dev/v1";

/// Whether the API server has TaskRuns and PipelineRuns.
pub(super) async fn tekton(visit: &Visit<'_>) -> Finding {
    let served = match visit.client.list_api_group_resources(GROUP).await {
        Ok(served) => served.resources,
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(error) => return unread("tekton", GROUP, &error),
    };
    let missing: Vec<&str> = [Kind::TaskRun, Kind::PipelineRun]
        .map(Kind::plural)
        .into_iter()
        .filter(|plural| !served.iter().any(|resource| resource.name == *plural))
        .collect();
    if missing.is_empty() {
        return Finding::ok("tekton", format!("{GROUP} has taskruns and pipelineruns"));
    }
    Finding::failed("tekton", format!("the API server does not serve {} of {GROUP}", missing.join(" and ")))
        .remedy("install Tekton Pipelines in a version that serves tekton.dev/v1 (0.44 or newer)")
}

/// Whether the controller runs; the Deployment for what else it says.
pub(super) async fn controller(visit: &Visit<'_>, findings: &mut Findings) -> Option<Deployment> {
    let namespace = visit.own_namespace();
    let object = format!("Deployment {namespace}/{DEPLOYMENT}");
    let found = match deployment(&visit.client, namespace).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            let finding = Finding::failed("controller", format!("there is no {object}"));
            findings.add(
                finding
                    .remedy("kubectl apply -f release.yaml, or name its namespace with --system-namespace"),
            );
            return None;
        }
        Err(error) => {
            findings.add(unread("controller", &object, &error));
            return None;
        }
    };
    findings.add(state(&found, &object));
    Some(found)
}

/// The Deployment of the controller, if there is one.
pub(in crate::cli) async fn deployment(client: &Client, namespace: &str) -> kube::Result<Option<Deployment>> {
    Deployment::get(client, namespace, DEPLOYMENT).await
}

/// The namespaces that the controller was told to watch; all when empty.
pub(in crate::cli) fn watched(deployment: &Deployment) -> Vec<String> {
    let mut arguments = container(deployment).into_iter().flat_map(|container| &container.args);
    let mut named = Vec::new();
    while let Some(argument) = arguments.next() {
        let value = match argument.strip_prefix("--namespace") {
            Some("") => arguments.next().map(String::as_str),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        };
        named.extend(value.into_iter().flat_map(|value| value.split(',')).map(|name| name.trim().to_owned()));
    }
    named.retain(|name| !name.is_empty());
    named
}

/// The agent's own container.
pub(super) fn container(deployment: &Deployment) -> Option<&Container> {
    let containers = &deployment.pod().containers;
    containers.iter().find(|container| container.name == DEPLOYMENT).or(containers.first())
}

fn state(deployment: &Deployment, object: &str) -> Finding {
    let image = container(deployment).and_then(|container| container.image.as_deref()).unwrap_or("none");
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let ready = deployment.status.ready_replicas;
    let found = format!("{object}: {ready} of {wanted} replicas ready, image {image}");
    if image.starts_with(PLACEHOLDER) {
        return Finding::failed("controller", format!("{found}, which is a placeholder"))
            .remedy("make a release with your own image: hack/release --image REF");
    }
    match (wanted, ready) {
        (0, _) => Finding::failed("controller", format!("{found}: it is scaled to nothing"))
            .remedy(format!("kubectl scale deployment {DEPLOYMENT} --replicas=1")),
        (_, 0) => Finding::failed("controller", found).remedy(format!(
            "kubectl describe pod -l app={DEPLOYMENT}; /readyz of the pod says what is missing"
        )),
        (wanted, ready) if ready < wanted => Finding::warning("controller", found),
        _ => Finding::ok("controller", found),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::finding::State;
    use super::*;

    fn deployment(args: &Value, image: &str, wanted: i32, ready: i32) -> Deployment {
        let containers = json!([{"name": "sidecar"}, {"name": DEPLOYMENT, "image": image, "args": args}]);
        serde_json::from_value(json!({
            "spec": {"replicas": wanted, "selector": {}, "template": {"spec": {"containers": containers}}},
            "status": {"readyReplicas": ready},
        }))
        .unwrap()
    }

    #[test]
    fn the_namespaces_that_are_watched_are_those_of_the_arguments() {
        for (args, expected) in [
            (json!(["controller"]), vec![]),
            (json!(["controller", "--namespace", "a, b"]), vec!["a", "b"]),
            (json!(["controller", "--namespace=a", "--namespace=b"]), vec!["a", "b"]),
            (json!(["controller", "--namespaces-are-not-this=a"]), vec![]),
        ] {
            assert_eq!(watched(&deployment(&args, "i", 1, 1)), expected, "{args}");
        }
    }

    #[test]
    fn a_controller_that_does_not_run_is_a_failure_with_its_remedy() {
        for (image, wanted, ready, expected) in [
            ("r.test/hallmark", 1, 1, State::Ok),
            ("r.test/hallmark", 3, 2, State::Warning),
            ("r.test/hallmark", 1, 0, State::Failed),
            ("r.test/hallmark", 0, 0, State::Failed),
            ("registry.example/hallmark:v0.1.0", 1, 1, State::Failed),
        ] {
            let finding = state(&deployment(&json!([]), image, wanted, ready), "Deployment x");
            assert_eq!(finding.state, expected, "{finding:?}");
            assert_eq!(finding.remedy.is_some(), expected == State::Failed, "{finding:?}");
        }
    }
}
