//! The cloud identity of a run's own service account (credentials specification §1.2 source 5, §1.6): its annotations
//! name a role, a Google service account or an application of Azure, and a token that the API server makes for it opens
//! that. Only with `registry.run-identity`.
//!
//! # Guarantees
//!
//! - The token is the account's own, for that cloud alone and of the shortest life that is granted; it is kept nowhere.
//! - What was granted serves the account with this UID and these annotations, in its own namespace, and no other.
//! - Nothing is asked for before the trial comes to a registry of that cloud.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;

use super::federation::{Federated, Federation, serves};
use super::grants::Grants;
use super::{Failure, Granted};
use crate::artifact::image::Repository;
use crate::credential::{Cloud, Credential, Fetch, Fetcher, Key, Location, Problem, Redacted, Source};
use crate::identity::TokenSource as _;
use crate::identity::request::RequestedToken;

/// What annotations leave open and the operator says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// The provider of the workload identity pool that trusts the cluster (`registry.cloud.gcp.provider`).
    pub google_provider: Option<String>,
    /// The tenant of applications that have no annotation for it (`AZURE_TENANT_ID`).
    pub azure_tenant: Option<String>,
}

/// The cloud identities of service accounts.
#[derive(Clone)]
pub struct Accounts(Arc<Shared>);

struct Shared {
    client: Client,
    federation: Federation,
    defaults: Defaults,
    grants: Grants,
}

/// One identity of one account.
struct Bound {
    shared: Arc<Shared>,
    namespace: String,
    name: String,
    uid: String,
    identity: Identity,
}

/// What an annotation means.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Identity {
    Known(Federated),
    /// Something is missing that the operator has to say.
    Unknown(Cloud, &'static str, &'static str),
}

impl Accounts {
    /// Tokens are made with the rights of `client`.
    pub fn new(client: Client, federation: Federation, defaults: Defaults) -> Self {
        Self(Arc::new(Shared { client, federation, defaults, grants: Grants::default() }))
    }

    /// The identities that `account` is bound to, as sources.
    pub fn of(&self, namespace: &str, account: &ServiceAccount) -> Vec<Fetcher> {
        let annotations = account.metadata.annotations.iter().flatten();
        let annotations: BTreeMap<&str, &str> =
            annotations.map(|(name, value)| (name.as_str(), value.trim())).collect();
        let bound = |identity| Bound {
            shared: Arc::clone(&self.0),
            namespace: namespace.to_owned(),
            name: account.metadata.name.clone().unwrap_or_default(),
            uid: account.metadata.uid.clone().unwrap_or_default(),
            identity,
        };
        bindings(&annotations, &self.0.defaults).into_iter().map(|one| Fetcher::new(bound(one))).collect()
    }
}

/// Every identity that the annotations of an account name. Pure.
fn bindings(annotations: &BTreeMap<&str, &str>, defaults: &Defaults) -> Vec<Identity> {
    let annotation = |name: &str| annotations.get(name).filter(|value| !value.is_empty()).copied();
    let mut found = Vec::new();
    if let Some(role) = annotation(ROLE) {
        found.push(Identity::Known(Federated::Aws { role: role.to_owned() }));
    }
    if let Some(account) = annotation(GOOGLE_ACCOUNT) {
        let account = Some(account.to_owned());
        found.push(match defaults.google_provider.clone() {
            Some(provider) => Identity::Known(Federated::Google { provider, account }),
            None => Identity::Unknown(Cloud::Gcp, GOOGLE_ACCOUNT, NO_PROVIDER),
        });
    }
    if let Some(client) = annotation(CLIENT) {
        let tenant = annotation(TENANT).map(str::to_owned).or_else(|| defaults.azure_tenant.clone());
        found.push(match tenant {
            Some(tenant) => Identity::Known(Federated::Azure { tenant, client: client.to_owned() }),
            None => Identity::Unknown(Cloud::Acr, CLIENT, NO_TENANT),
        });
    }
    found
}

impl Bound {
    fn cloud(&self) -> Cloud {
        match &self.identity {
            Identity::Known(federated) => federated.cloud(),
            Identity::Unknown(cloud, ..) => *cloud,
        }
    }

    /// For whom and for what a grant is remembered.
    fn key_of(&self, repository: &Repository) -> String {
        let Self { namespace, name, uid, identity, .. } = self;
        format!("{namespace}/{name} {uid} {identity:?} {}", repository.registry())
    }

    async fn ask(&self, registry: &str) -> Result<Granted, Problem> {
        self.granted(registry).await.map_err(|failure| failure.problem(self.source(), self.location()))
    }

    async fn granted(&self, registry: &str) -> Result<Granted, Failure> {
        let federated = match &self.identity {
            Identity::Known(federated) => federated,
            Identity::Unknown(_, variable, wrong) => return Err(Failure::Unusable { variable, wrong }),
        };
        let tokens = RequestedToken::of(self.shared.client.clone(), &self.namespace, &self.name);
        let token = tokens.token(federated.audience()).await;
        let token = Redacted::from(token.map_err(|source| Failure::Token { source })?.reveal());
        self.shared.federation.grant(federated, registry, &token, Timestamp::now()).await
    }
}

#[async_trait]
impl Fetch for Bound {
    fn source(&self) -> Source {
        Source::ServiceAccountCloud
    }

    fn location(&self) -> Location {
        Location::ServiceAccount(format!("{}/{}", self.namespace, self.name))
    }

    fn key(&self, repository: &Repository) -> Option<Key> {
        let registry = Some(repository.registry()).filter(|registry| serves(self.cloud(), registry))?;
        Key::parse(registry).ok()
    }

    async fn fetch(&self, repository: &Repository) -> Result<Credential, Problem> {
        let asked = self.ask(repository.registry());
        self.shared.grants.obtain(&self.key_of(repository), asked).await
    }

    async fn renew(
        &self,
        repository: &Repository,
        ended: &Credential,
    ) -> Option<Result<Credential, Problem>> {
        let asked = self.ask(repository.registry());
        Some(self.shared.grants.instead_of(ended, &self.key_of(repository), asked).await)
    }
}

const ROLE: &str = "eks.amazonaws.com/role-arn";
const GOOGLE_ACCOUNT: &str = "iam.gke.io/gcp-service-account";
const CLIENT: &str = "azure.workload.identity/client-id";
const TENANT: &str = "azure.workload.identity/tenant-id";
const NO_PROVIDER: &str =
    "registry.cloud.gcp.provider does not say which provider trusts the cluster's tokens";
const NO_TENANT: &str =
    "neither annotation azure.workload.identity/tenant-id nor AZURE_TENANT_ID of the agent says the tenant";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(annotations: &[(&str, &str)], defaults: &Defaults) -> Vec<Identity> {
        bindings(&annotations.iter().copied().collect(), defaults)
    }

    #[test]
    fn each_cloud_has_its_annotation() {
        let defaults = Defaults { google_provider: Some("//p".into()), azure_tenant: Some("agents".into()) };
        let known = |annotations: &[_]| match of(annotations, &defaults).as_slice() {
            [Identity::Known(one)] => one.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(known(&[(ROLE, "arn:r")]), Federated::Aws { role: "arn:r".into() });
        let google = Federated::Google { provider: "//p".into(), account: Some("a@p".into()) };
        assert_eq!(known(&[(GOOGLE_ACCOUNT, "a@p")]), google);
        let azure = |tenant: &str| Federated::Azure { tenant: tenant.into(), client: "c".into() };
        assert_eq!(known(&[(CLIENT, "c")]), azure("agents"));
        assert_eq!(known(&[(CLIENT, "c"), (TENANT, "t")]), azure("t"));
        assert_eq!(of(&[(ROLE, ""), ("other", "x")], &defaults), []);
        assert_eq!(of(&[(ROLE, "r"), (CLIENT, "c")], &defaults).len(), 2);
    }

    #[test]
    fn what_the_operator_has_not_said_is_told_and_not_guessed() {
        let missing = of(&[(GOOGLE_ACCOUNT, "a@p"), (CLIENT, "c")], &Defaults::default());
        assert_eq!(
            missing,
            [
                Identity::Unknown(Cloud::Gcp, GOOGLE_ACCOUNT, NO_PROVIDER),
                Identity::Unknown(Cloud::Acr, CLIENT, NO_TENANT),
            ]
        );
    }
}
