//! What the commands for operators have in common: which cluster, which installation, which runs; and what the
//! controller goes by: its settings, the namespaces that it watches, its replicas.

use std::path::PathBuf;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::{Api, Client};

use super::runs::{self, Seen};
use super::{Exit, controller, doctor, fail_to_connect, refuse};
use crate::config::Config;
use crate::tekton::Kind;

/// Leases of replicas carry this label.
const REPLICAS: &str = "app.kubernetes.io/component=hallmark-replica";
/// What a Lease says of how long it counts, unless it says something else.
const LEASE: i32 = 15;

/// Which cluster and which installation.
#[derive(Debug, Clone, Args)]
pub(super) struct Place {
    /// Namespace of the installation.
    #[arg(long, env = "SYSTEM_NAMESPACE", default_value = "tekton-chains", value_name = "NAMESPACE")]
    pub(super) system_namespace: String,

    /// Kubeconfig file; without it $KUBECONFIG, then the pod's own service account.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// Which runs.
#[derive(Debug, Clone, Args)]
pub(super) struct Names {
    /// Names, or taskrun/NAME and pipelinerun/NAME; the kind may also come first, as for kubectl.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    /// Namespace of the runs; without it that of the kubeconfig.
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
}

/// A name that is meant, and its kind where that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    kind: Option<Kind>,
    name: String,
}

/// A controller that lives, by its Lease.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Replica {
    pub(super) name: String,
    pub(super) alive: bool,
    /// Seconds since it renewed its Lease.
    pub(super) renewed: Option<i64>,
}

impl Place {
    pub(super) async fn client(&self) -> Result<Client, Exit> {
        controller::client(self.kubeconfig.as_deref()).await.map_err(|error| fail_to_connect(error.as_ref()))
    }

    /// The settings in force, as far as they can be read: `None` says that they cannot.
    pub(super) async fn config(&self, client: &Client) -> Option<Config> {
        let maps = Api::<ConfigMap>::namespaced(client.clone(), &self.system_namespace);
        let data = maps.get("chains-config").await.ok()?.data.unwrap_or_default();
        Config::parse(&data).config.ok()
    }

    /// The namespaces that the controller watches; all when nobody says.
    pub(super) async fn watched(&self, client: &Client) -> Vec<String> {
        let deployment = doctor::deployment(client, &self.system_namespace).await.ok().flatten();
        deployment.as_ref().map(doctor::watched).unwrap_or_default()
    }

    /// The controllers that share the work; an error when Leases may not be listed.
    pub(super) async fn replicas(&self, client: &Client, now: Timestamp) -> kube::Result<Vec<Replica>> {
        let leases = Api::<Lease>::namespaced(client.clone(), &self.system_namespace);
        let listed = leases.list(&ListParams::default().labels(REPLICAS).limit(500)).await?;
        Ok(listed.items.into_iter().map(|lease| replica(lease, now)).collect())
    }
}

fn replica(lease: Lease, now: Timestamp) -> Replica {
    let spec = lease.spec.unwrap_or_default();
    let lasts = SignedDuration::from_secs(spec.lease_duration_seconds.unwrap_or(LEASE).into());
    let renewed = spec.renew_time.map(|at| now.duration_since(at.0));
    let name = lease.metadata.name.unwrap_or_default();
    Replica {
        name: name.strip_prefix("hallmark-").unwrap_or(&name).to_owned(),
        alive: renewed.is_some_and(|since| since <= lasts),
        renewed: renewed.map(|since| since.as_secs()),
    }
}

impl Names {
    /// The runs; a name without a kind is a TaskRun, or the PipelineRun of that name.
    pub(super) async fn seen(&self, client: &Client) -> Result<Vec<Seen>, Exit> {
        let namespace = self.namespace.as_deref().unwrap_or(client.default_namespace());
        let mut seen = Vec::new();
        for Named { kind, name } in self.named().map_err(|word| unusual(&word))? {
            let kinds = kind.map_or(vec![Kind::TaskRun, Kind::PipelineRun], |kind| vec![kind]);
            seen.push(first(client, &kinds, namespace, &name).await?);
        }
        Ok(seen)
    }

    /// `taskrun a b`, `taskrun/a pipelinerun/b`, `a`.
    fn named(&self) -> Result<Vec<Named>, String> {
        let mut words = self.names.iter().map(String::as_str).peekable();
        let first = self.names.first().filter(|word| self.names.len() > 1 && !word.contains('/'));
        let first = first.and_then(|word| kind(word));
        if first.is_some() {
            words.next();
        }
        words
            .map(|word| match word.split_once('/') {
                None => Ok(Named { kind: first, name: word.to_owned() }),
                Some((before, name)) => match kind(before) {
                    Some(kind) => Ok(Named { kind: Some(kind), name: name.to_owned() }),
                    None => Err(before.to_owned()),
                },
            })
            .collect()
    }
}

/// The words of kubectl, and Tekton's short ones.
fn kind(word: &str) -> Option<Kind> {
    match word.to_ascii_lowercase().split('.').next()? {
        "taskrun" | "taskruns" | "tr" => Some(Kind::TaskRun),
        "pipelinerun" | "pipelineruns" | "pr" => Some(Kind::PipelineRun),
        _ => None,
    }
}

fn unusual(word: &str) -> Exit {
    eprintln!("hallmark: {word:?} is no kind of run: taskrun or pipelinerun");
    Exit::Usage
}

async fn first(client: &Client, kinds: &[Kind], namespace: &str, name: &str) -> Result<Seen, Exit> {
    for kind in kinds {
        match runs::named(client, *kind, namespace, name).await {
            Ok(Some(seen)) => return Ok(seen),
            Ok(None) => {}
            Err(error) => return Err(refuse(&error, exit(&error))),
        }
    }
    let kinds = kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" or ");
    eprintln!("hallmark: there is no {kinds} {name} in namespace {namespace}");
    Err(Exit::Failed)
}

/// A missing right is the reader's to mend; everything else of the API server may pass.
pub(super) fn exit(error: &runs::Error) -> Exit {
    match error {
        runs::Error::Api(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => Exit::Denied,
        runs::Error::Api(_) => Exit::Temporary,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(words: &[&str]) -> Result<Vec<(Option<Kind>, String)>, String> {
        let names = words.iter().map(|word| (*word).to_owned()).collect();
        let meant = Names { names, namespace: None }.named()?;
        Ok(meant.into_iter().map(|one| (one.kind, one.name)).collect())
    }

    #[test]
    fn runs_are_named_as_for_kubectl() {
        let (task, pipeline) = (Some(Kind::TaskRun), Some(Kind::PipelineRun));
        for (words, expected) in [
            (&["a"][..], vec![(None, "a")]),
            (&["taskrun"], vec![(None, "taskrun")]),
            (&["taskrun", "a", "b"], vec![(task, "a"), (task, "b")]),
            (&["pr", "a"], vec![(pipeline, "a")]),
            (
                &["taskruns.tekton.dev/a", "PipelineRun/b", "c"],
                vec![(task, "a"), (pipeline, "b"), (None, "c")],
            ),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(kind, name)| (kind, name.to_owned())).collect();
            assert_eq!(named(words).unwrap(), expected, "{words:?}");
        }
        assert_eq!(named(&["pod/a"]).unwrap_err(), "pod");
    }

    #[test]
    fn a_replica_lives_as_long_as_its_lease_says() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let lease = |renewed: &str| {
            serde_json::from_value(serde_json::json!({"metadata": {"name": "hallmark-a"},
                "spec": {"leaseDurationSeconds": 15, "renewTime": renewed}}))
            .unwrap()
        };
        let alive = replica(lease("2026-01-01T00:00:50.000000Z"), now);
        assert_eq!((alive.name.as_str(), alive.alive, alive.renewed), ("a", true, Some(10)));
        assert!(!replica(lease("2026-01-01T00:00:40.000000Z"), now).alive);
        assert!(!replica(Lease::default(), now).alive);
    }
}
