//! The agent's own service account as a source of credentials (credentials specification §1.2, source 6), lent to runs
//! under rule R7 only.
//!
//! The API server says who the agent is, once; account and Secrets are read again after a minute, and anew by an
//! attempt after a failure. Where nothing may be lent, nothing is read.

use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::{Mutex, OnceCell};

use super::{ApiError, Cluster, FRESH, Read};
use crate::credential::agent::{Agent, Lent, Permission};
use crate::credential::named::own_secrets;
use crate::credential::{Consulted, Keychain, Location, SecretRef, Source};

/// Who the agent is, and what its account named of late.
#[derive(Default)]
pub(super) struct OwnAccount {
    name: OnceCell<Option<(String, String)>>,
    seen: Mutex<Option<Seen>>,
}

#[derive(Clone)]
struct Seen {
    at: Instant,
    lent: Arc<Lent>,
    consulted: Vec<Consulted>,
}

impl OwnAccount {
    /// An account that somebody names.
    pub(super) fn named(namespace: &str, name: &str) -> Self {
        let name = OnceCell::new_with(Some(Some((namespace.to_owned(), name.to_owned()))));
        Self { name, seen: Mutex::default() }
    }
}

impl Cluster {
    /// The keychain with what the agent lends, its own account included. With `anew` nothing remembered is used.
    pub async fn lend(
        &self,
        mut keychain: Keychain,
        mut agent: Agent,
        anew: bool,
    ) -> Result<Keychain, ApiError> {
        if agent.permission != Permission::Never {
            let seen = self.own_account(anew).await?;
            keychain.consulted.extend(seen.consulted);
            agent.account = seen.lent;
        }
        Ok(keychain.with_agent(agent))
    }

    async fn own_account(&self, anew: bool) -> Result<Seen, ApiError> {
        let mut seen = self.own.seen.lock().await;
        if let Some(seen) = seen.as_ref().filter(|seen| !anew && seen.at.elapsed() < FRESH) {
            return Ok(seen.clone());
        }
        let read = match self.own.name.get_or_try_init(|| self.who()).await? {
            Some((namespace, name)) => self.read_own(namespace, name, anew).await?,
            None => Seen { at: Instant::now(), lent: Arc::default(), consulted: Vec::new() },
        };
        *seen = Some(read.clone());
        Ok(read)
    }

    async fn read_own(&self, namespace: &str, name: &str, anew: bool) -> Result<Seen, ApiError> {
        // The keychain of an account alone: the same reading, other sources.
        let mut found = Keychain::default();
        let source = Source::ControllerServiceAccountSecrets;
        let account = self.service_account(namespace, name, Instant::now(), source, &mut found).await?;
        for secret in account.as_deref().map(own_secrets).unwrap_or_default() {
            let Read { reading, version } = self.reading(namespace, &secret, anew).await?;
            found.consulted.push(Consulted::secret(namespace, &secret.name, version));
            let read = reading.entries.first().map(|entry| entry.location.clone());
            let unread = || Location::Secret(SecretRef::unread(namespace, &secret.name));
            found.add(secret.source, read.unwrap_or_else(unread), reading);
        }
        let Keychain { entries, problems, looked_at, consulted, .. } = found;
        let lent = Arc::new(Lent { entries, fetchers: Vec::new(), problems, looked_at });
        Ok(Seen { at: Instant::now(), lent, consulted })
    }

    /// The service account behind the client's rights; nothing for a person with a kubeconfig.
    async fn who(&self) -> Result<Option<(String, String)>, ApiError> {
        let reviews = Api::<SelfSubjectReview>::all(self.client.clone());
        let review = match reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await {
            // An API server before 1.28, or one that does not say.
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => {
                tracing::debug!("the API server does not say who the agent is: {}", status.message);
                return Ok(None);
            }
            Err(error) => {
                return Err(ApiError { what: "who the agent is".to_owned(), error: Arc::new(error) });
            }
            Ok(review) => review,
        };
        let user = review.status.and_then(|status| status.user_info).and_then(|user| user.username);
        Ok(user.as_deref().and_then(account_of))
    }
}

/// `system:serviceaccount:NAMESPACE:NAME`.
fn account_of(user: &str) -> Option<(String, String)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    Some((namespace.to_owned(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_is_known_by_its_user_name_and_a_person_is_none() {
        let account = ("tekton-chains".to_owned(), "tekton-chains-controller".to_owned());
        let user = "system:serviceaccount:tekton-chains:tekton-chains-controller";
        assert_eq!(account_of(user), Some(account));
        for person in ["admin", "system:serviceaccount:alone", "system:node:a", ""] {
            assert_eq!(account_of(person), None, "{person}");
        }
    }
}
