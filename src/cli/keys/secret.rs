//! A Secret with signing keys, read as a whole and changed as a whole.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::cli::{Exit, controller, fail_to_connect};
use crate::error::{Class, Diagnose};

/// The main key, if it is not encrypted.
pub(super) const X509: &str = "x509.pem";
/// The key that is to replace it.
pub(super) const NEXT: &str = "x509-next.pem";
/// cosign's names.
pub(super) const COSIGN_KEY: &str = "cosign.key";
pub(super) const COSIGN_PASSWORD: &str = "cosign.password";
pub(super) const COSIGN_PUB: &str = "cosign.pub";

/// The name under which changes are written.
const MANAGER: &str = "hallmark-keys";

/// Which Secret: `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) namespace: String,
    pub(super) name: String,
}

/// Which Secret of which cluster.
#[derive(Debug, Clone, Args)]
pub(super) struct Place {
    /// The Secret with the signing keys.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub(super) secret: Name,

    /// Kubeconfig file; without it $KUBECONFIG, then the pod's own service account.
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
}

/// A Secret as it is now.
pub(super) struct Stored {
    api: Api<Secret>,
    name: Name,
    /// Its version; `None` when there is no such Secret yet.
    version: Option<String>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

/// What a file becomes; `None` takes it away.
pub(super) type Changes = Vec<(&'static str, Option<Zeroizing<Vec<u8>>>)>;

/// Why a Secret cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} Secret {}/{}: {}", name.namespace, name.name, crate::cli::doctor::said(.source))]
pub(super) struct SecretError {
    what: &'static str,
    name: Name,
    source: Box<kube::Error>,
}

impl Diagnose for SecretError {
    fn class(&self) -> Class {
        match self.source.as_ref() {
            kube::Error::Api(status) if status.code < 500 => Class::Misconfigured,
            _ => Class::Temporary,
        }
    }

    fn label(&self) -> &'static str {
        "secret"
    }

    fn hint(&self) -> Option<String> {
        let kube::Error::Api(status) = self.source.as_ref() else { return None };
        match status.code {
            403 => Some(format!(
                "you need get, create and patch on Secrets in namespace {}",
                self.name.namespace
            )),
            409 => Some("somebody changed it meanwhile: look at it, and try again".to_owned()),
            422 => Some("an immutable Secret cannot be changed: delete it, or name another one".to_owned()),
            _ => None,
        }
    }
}

impl FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // cosign's own form is understood as well.
        let text = text.strip_prefix("k8s://").unwrap_or(text);
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err("write it as NAMESPACE/NAME, for instance tekton-chains/signing-secrets"),
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Place {
    /// The Secret as it is now.
    pub(super) async fn read(&self) -> Result<Stored, Exit> {
        let client = controller::client(self.kubeconfig.as_deref()).await;
        let client = client.map_err(|error| fail_to_connect(error.as_ref()))?;
        Stored::read(client, self.secret.clone()).await.map_err(|error| crate::cli::fail(&error))
    }
}

impl Stored {
    async fn read(client: Client, name: Name) -> Result<Self, SecretError> {
        let api = Api::<Secret>::namespaced(client, &name.namespace);
        let secret = api.get_opt(&name.name).await;
        let secret = secret.map_err(|source| SecretError {
            what: "read",
            name: name.clone(),
            source: source.into(),
        })?;
        let version = secret.as_ref().and_then(|secret| secret.metadata.resource_version.clone());
        let data = secret.and_then(|secret| secret.data).unwrap_or_default();
        let files = data.into_iter().map(|(name, content)| (name, content.0)).collect();
        Ok(Self { api, name, version, files })
    }

    /// Whether there is a key under this name.
    pub(super) fn has(&self, file: &str) -> bool {
        self.files.get(file).is_some_and(|content| !content.is_empty())
    }

    /// Makes all changes at once, or none of them if somebody changed the Secret since it was read.
    pub(super) async fn change(&self, changes: Changes) -> Result<(), SecretError> {
        let mut data = Map::new();
        for (file, content) in changes {
            data.insert(
                file.to_owned(),
                content.map_or(Value::Null, |content| BASE64_STANDARD.encode(&*content).into()),
            );
        }
        let manager = || Some(MANAGER.to_owned());
        let (what, outcome) = if let Some(version) = &self.version {
            let patch = json!({"metadata": {"resourceVersion": version}, "data": data});
            let parameters = PatchParams { field_manager: manager(), ..PatchParams::default() };
            ("change", self.api.patch(&self.name.name, &parameters, &Patch::Merge(patch)).await)
        } else {
            data.retain(|_, content| !content.is_null());
            let made = json!({"metadata": {"name": self.name.name}, "type": "Opaque", "data": data});
            let parameters = PostParams { field_manager: manager(), ..PostParams::default() };
            match serde_json::from_value(made) {
                Ok(made) => ("create", self.api.create(&parameters, &made).await),
                Err(error) => ("create", Err(kube::Error::SerdeError(error))),
            }
        };
        let failed =
            |source: kube::Error| SecretError { what, name: self.name.clone(), source: source.into() };
        outcome.map(|_| ()).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_named_with_its_namespace_and_in_cosigns_form() {
        let name = Name { namespace: "tekton-chains".into(), name: "signing-secrets".into() };
        for text in ["tekton-chains/signing-secrets", "k8s://tekton-chains/signing-secrets"] {
            assert_eq!(text.parse(), Ok(name.clone()));
        }
        for text in ["signing-secrets", "/a", "a/", "a/b/c", ""] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }
}
