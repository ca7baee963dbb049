//! `hallmark doctor` as the controller's own pod runs it: with the token of its service account, in a root of its own.

use std::path::Path;

use base64::Engine as _;
use serde_json::Value;

use crate::agent::Agent;
use crate::support::{Access, Finished, Hallmark, Pod};

/// A pod of an agent that is not started; it ends when this is dropped.
pub struct Inside {
    pub agent: Agent,
    pod: Pod,
    _token: tempfile::NamedTempFile,
}

impl Inside {
    /// With this ConfigMap. Nothing where this machine makes no mount namespaces.
    pub async fn start(prefix: &str, config: &[(&str, &str)]) -> Option<Self> {
        let nowhere = Access { host: "127.0.0.1:1".to_owned(), ca: None, login: None };
        let agent = Agent::prepare(prefix, &nowhere, config).await;
        let (namespace, account) = ("tekton-chains", "tekton-chains-controller");
        let kubeconfig = agent.cluster.service_account_kubeconfig(namespace, account).await;
        let mut read: Value = serde_json::from_slice(&std::fs::read(&kubeconfig).unwrap()).unwrap();
        let reached = read["clusters"][0]["cluster"].as_object_mut().unwrap();
        // Files of this machine are not in the pod.
        reached.remove("certificate-authority");
        let authority = base64::prelude::BASE64_STANDARD.encode(agent.cluster.ca_pem());
        reached.insert("certificate-authority-data".into(), authority.into());
        std::fs::write(&kubeconfig, read.to_string()).unwrap();
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), agent.cluster.token(namespace, account).await).unwrap();
        let mounts = [
            (token.path(), "/var/run/secrets/kubernetes.io/serviceaccount/token"),
            (Path::new(&kubeconfig), "/kubeconfig"),
        ];
        match Pod::start(&mounts).await {
            Ok(pod) => Some(Self { agent, pod, _token: token }),
            Err(reason) => {
                println!("skipped: no mount namespace here: {reason}");
                None
            }
        }
    }

    /// What doctor says of `check`, each line as its state, what was found and the remedy.
    pub async fn says(&self, check: &str, around: &[(&str, &str)]) -> Vec<[String; 3]> {
        let environment = [&[("KUBECONFIG", "/kubeconfig"), ("HOME", "/tmp")], around].concat();
        let arguments = ["doctor", "--system-namespace", &self.agent.namespace, "-o", "json"];
        told(check, &self.pod.hallmark(&arguments, &environment).await)
    }

    /// The same, asked from outside the cluster.
    pub async fn outside(&self, check: &str) -> Vec<[String; 3]> {
        let kubeconfig = self.agent.cluster.kubeconfig("admin");
        let arguments = ["doctor", "--system-namespace", &self.agent.namespace, "-o", "json", "--kubeconfig"];
        let arguments = [&arguments[..], &[kubeconfig.to_str().unwrap()]].concat();
        told(check, &Hallmark::run(&arguments, &[]).await)
    }
}

fn told(check: &str, finished: &Finished) -> Vec<[String; 3]> {
    assert!(!format!("{}{}", finished.stdout, finished.stderr).contains("canary"), "{}", finished.stdout);
    let report = finished.json();
    let lines = report["checks"].as_array().unwrap().iter().filter(|line| line["check"] == check);
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    lines.map(|line| ["state", "found", "remedy"].map(|name| text(line, name))).collect()
}
