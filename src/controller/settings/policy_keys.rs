//! The keys that `signing.key-policy` names, followed: Secrets in the namespace of `signing-secrets`, read by name.
//!
//! Guarantees: a Secret that cannot be imported fails the runs of its namespaces and no others; a new version that
//! cannot be does not replace one that can.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::time::Instant;

use super::keys::{KeyFiles, KeySource};
use crate::config::Config;
use crate::signature::Error;
use crate::signature::key::keyring::KeyRing;

/// How often the Secrets are looked at, however many they are.
const EVERY: Duration = Duration::from_secs(10);

/// The keys of each Secret, or why there are none.
pub(super) type Keys = BTreeMap<String, Result<KeyRing, Arc<Error>>>;

/// Follows the Secrets.
pub(super) struct PolicyKeys {
    client: Client,
    namespace: String,
    followed: BTreeMap<String, KeyFiles>,
    keys: Keys,
    looked: Option<Instant>,
}

impl PolicyKeys {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        let (followed, keys) = (BTreeMap::new(), Keys::new());
        Self { client, namespace: namespace.to_owned(), followed, keys, looked: None }
    }

    /// The keys of all Secrets that `config` names, if any of them changed, or others are named.
    pub(super) async fn changed(&mut self, config: &Config) -> Option<Keys> {
        let named = config.signing.key_policy.secrets();
        let same = named.iter().copied().eq(self.followed.keys().map(String::as_str));
        if same && self.looked.is_some_and(|looked| looked.elapsed() < EVERY) {
            return None;
        }
        self.looked = Some(Instant::now());
        let mut news = !same;
        self.followed.retain(|name, _| named.contains(name.as_str()));
        self.keys.retain(|name, _| named.contains(name.as_str()));
        for name in named {
            let source = || KeySource::Secret { namespace: self.namespace.clone(), name: name.to_owned() };
            let files = self
                .followed
                .entry(name.to_owned())
                .or_insert_with(|| KeyFiles::new(self.client.clone(), source()));
            let held = self.keys.entry(name.to_owned()).or_insert_with(|| Err(Arc::new(files.none())));
            if let Some(read) = files.changed(config).await
                && (read.is_ok() || held.is_err())
            {
                (*held, news) = (read, true);
            }
        }
        news.then(|| self.keys.clone())
    }
}
