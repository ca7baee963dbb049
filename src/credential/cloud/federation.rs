//! Identities of clouds that a token of a service account opens, whoever that is: the account of a run
//! (`serviceAccount.cloud`), or the one that a pull secret is kept fresh for (credentials specification §1.6, §6.8).
//!
//! Must not: take anything of the process's own identity. What the process is in a cloud serves nobody here; of its
//! environment only the addresses of services count.

use std::sync::Arc;

use jiff::Timestamp;

use super::acr::Acr;
use super::ecr::Ecr;
use super::google::Google;
use super::{Failure, Granted, PATIENCE, Surroundings, host};
use crate::client::cloud::Web;
use crate::client::cloud::azure::Application;
use crate::credential::{Cloud, Redacted};

/// An identity of a cloud that trusts tokens of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Federated {
    /// A role of AWS, by its ARN.
    Aws {
        /// The ARN.
        role: String,
    },
    /// What a provider of a workload identity pool of Google makes of the token.
    Google {
        /// `//iam.googleapis.com/projects/…/providers/…`.
        provider: String,
        /// The service account that it acts as then.
        account: Option<String>,
    },
    /// An application, or a managed identity, of Entra ID.
    Azure {
        /// Its tenant.
        tenant: String,
        /// Its client id.
        client: String,
    },
}

impl Federated {
    /// The cloud.
    pub fn cloud(&self) -> Cloud {
        match self {
            Self::Aws { .. } => Cloud::Ecr,
            Self::Google { .. } => Cloud::Gcp,
            Self::Azure { .. } => Cloud::Acr,
        }
    }

    /// Whom the token has to be for.
    pub fn audience(&self) -> &str {
        match self {
            Self::Aws { .. } => AWS_AUDIENCE,
            Self::Google { provider, .. } => provider,
            Self::Azure { .. } => AZURE_AUDIENCE,
        }
    }
}

/// Whether a registry is one of a cloud.
pub fn serves(cloud: Cloud, registry: &str) -> bool {
    match cloud {
        Cloud::Ecr => host::Ecr::parse(registry).is_some(),
        Cloud::Gcp => host::is_google(registry),
        Cloud::Acr => host::is_azure(registry),
    }
}

/// The clouds, for those who show a token.
#[derive(Clone)]
pub struct Federation(Arc<Services>);

struct Services {
    ecr: Ecr,
    google: Google,
    acr: Acr,
}

impl Federation {
    /// With the addresses that `surroundings` has.
    pub fn new(surroundings: &Surroundings, web: &Web) -> Self {
        let Surroundings { aws, google, azure } = surroundings.clone();
        let ecr = Ecr::new(aws, web.clone(), None);
        let google = Google::new(google, web.clone());
        Self(Arc::new(Services { ecr, google, acr: Acr::new(azure, web.clone()) }))
    }

    /// What `registry` grants to the identity that `token` opens.
    pub async fn grant(
        &self,
        who: &Federated,
        registry: &str,
        token: &Redacted,
        now: Timestamp,
    ) -> Result<Granted, Failure> {
        if !serves(who.cloud(), registry) {
            return Err(Failure::OtherCloud { registry: registry.to_owned(), cloud: who.cloud() });
        }
        match tokio::time::timeout(PATIENCE, self.ask(who, registry, token, now)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Patience { registry: registry.to_owned(), seconds: PATIENCE.as_secs() }),
        }
    }

    async fn ask(
        &self,
        who: &Federated,
        registry: &str,
        token: &Redacted,
        now: Timestamp,
    ) -> Result<Granted, Failure> {
        let Services { ecr, google, acr } = &*self.0;
        match who {
            Federated::Aws { role } => ecr.federated(registry, role, token, now).await,
            Federated::Google { provider, account } => {
                google.federated(provider, account.as_deref(), token, now).await
            }
            Federated::Azure { tenant, client } => {
                let application = Application { tenant: tenant.clone(), client: client.clone() };
                acr.federated(registry, &application, token, now).await
            }
        }
    }
}

/// The audience that AWS wants in a token.
pub const AWS_AUDIENCE: &str = "sts.amazonaws.com";
/// The audience that Entra ID wants in a token.
pub const AZURE_AUDIENCE: &str = "api://AzureADTokenExchange";
