//! Who the process is for the stores of clouds: its own identity there, kept while it is good and asked for once for all
//! runs (defect D11).

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use crate::client::cloud::Web;
use crate::client::cloud::aws::Keys;
use crate::credential::Redacted;
use crate::credential::cloud::entra::Purpose;
use crate::credential::cloud::{Failure, Surroundings, ecr, entra, google};

/// A credential is renewed so long before it ends.
const EARLY: SignedDuration = SignedDuration::from_mins(5);
/// How long keys serve that have no end.
const ENDLESS: SignedDuration = SignedDuration::from_mins(10);

/// How long one failure answers everybody.
const FRESH_FAILURE: SignedDuration = SignedDuration::from_secs(2);

/// The process in clouds.
#[derive(Clone)]
pub(super) struct Access(Arc<Shared>);

struct Shared {
    surroundings: Surroundings,
    web: Web,
    google: Kept<Redacted>,
    azure: Kept<Redacted>,
    aws: Kept<Keys>,
}

/// A credential, or why there is none, and until when that serves.
type Kept<T> = Mutex<Option<(Result<T, Arc<Failure>>, Timestamp)>>;

impl Access {
    pub(super) fn new(surroundings: Surroundings, web: Web) -> Self {
        let (google, azure, aws) = (Kept::default(), Kept::default(), Kept::default());
        Self(Arc::new(Shared { surroundings, web, google, azure, aws }))
    }

    /// The region that the environment names.
    pub(super) fn region(&self) -> Option<&str> {
        self.0.surroundings.aws.region.as_deref()
    }

    /// An access token of Google Cloud.
    pub(super) async fn google(&self, now: Timestamp) -> Result<Redacted, Arc<Failure>> {
        obtained(&self.0.google, now, async {
            let token = google::access_token(&self.0.surroundings.google, &self.0.web, now).await?;
            Ok((token.token, until(now, token.expires_at)))
        })
        .await
    }

    /// An access token for Azure's storage.
    pub(super) async fn azure(&self, account: &str, now: Timestamp) -> Result<Redacted, Arc<Failure>> {
        obtained(&self.0.azure, now, async {
            let purpose = Purpose { resource: STORAGE, authority: ENTRA, of: account };
            let token = entra::access_token(&self.0.surroundings.azure, &self.0.web, &purpose, now).await?;
            Ok((token.token, until(now, token.expires_at)))
        })
        .await
    }

    /// Keys of AWS.
    pub(super) async fn aws(&self, bucket: &str, region: &str, now: Timestamp) -> Result<Keys, Arc<Failure>> {
        obtained(&self.0.aws, now, async {
            let keys = ecr::keys(&self.0.surroundings.aws, &self.0.web, bucket, region).await?;
            let ends =
                keys.expires_at.map_or_else(|| now.checked_add(ENDLESS).unwrap_or(now), |at| until(now, at));
            Ok((keys, ends))
        })
        .await
    }
}

/// What is kept, or what `asked` gives; whoever comes meanwhile waits for that.
async fn obtained<T: Clone>(
    kept: &Kept<T>,
    now: Timestamp,
    asked: impl Future<Output = Result<(T, Timestamp), Failure>>,
) -> Result<T, Arc<Failure>> {
    let mut kept = kept.lock().await;
    if let Some((credential, _)) = kept.as_ref().filter(|(_, until)| *until > now) {
        return credential.clone();
    }
    let (credential, until) = match asked.await {
        Ok((credential, until)) => (Ok(credential), until),
        Err(failure) => (Err(Arc::new(failure)), now.checked_add(FRESH_FAILURE).unwrap_or(now)),
    };
    *kept = Some((credential.clone(), until));
    credential
}

fn until(now: Timestamp, ends: Timestamp) -> Timestamp {
    let early = EARLY.min(ends.duration_since(now) / 2);
    ends.checked_sub(early).unwrap_or(ends)
}

const STORAGE: &str = "https://storage.azure.com";
const ENTRA: &str = "https://login.microsoftonline.com";
