//! A key in AWS KMS, Google Cloud KMS or Azure Key Vault, asked in the name that the process has in that cloud
//! (credentials specification §1.6).
//!
//! # Guarantees
//!
//! - Access keys and tokens are got when they are first needed, shared by everybody and renewed shortly before they end;
//!   while a renewal fails, what still lives stays in use.
//! - One that the service does not take any more costs one more login and no signature.
//! - A token goes to the hosts of its own cloud alone.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::{Failure, KeyVersion, Reference, failure};
use crate::client::cloud::Web;
use crate::client::cloud::kms::{AwsKey, AzureKey, CloudKey as Key, Error, GoogleKey, Pass, Place};
use crate::credential::cloud::entra::Purpose;
use crate::credential::cloud::{self, ecr, entra, google};
use crate::error::{About, Class, Diagnose};

/// All steps of getting keys or a token together.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one failure answers everybody.
const FRESH_FAILURE: Duration = Duration::from_secs(2);
/// How soon a renewal that failed is tried again.
const AGAIN: SignedDuration = SignedDuration::from_secs(5);
/// How long before their end keys and tokens are renewed, at most.
const EARLY: SignedDuration = SignedDuration::from_mins(5);
/// Google's keys are all in one place.
const GOOGLE: &str = "https://cloudkms.googleapis.com";

/// One key, and in whose name it is used.
pub(super) struct CloudKey {
    key: Key,
    web: Web,
    surroundings: cloud::Surroundings,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    failed: Option<(Instant, Failure)>,
}

/// Keys or a token in use.
struct Held {
    pass: Arc<Pass>,
    renew_at: Option<Timestamp>,
    ends: Option<Timestamp>,
}

/// Why a key cannot even be asked for.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("{key} says no region, and neither does AWS_REGION")]
    NoRegion { key: String },
    #[error("{key} leads to {host}, which is no vault of Azure")]
    NoVault { key: String, host: String },
    #[error("the address of {key} is none")]
    Address { key: String },
}

impl Diagnose for Unusable {
    fn class(&self) -> Class {
        Class::Misconfigured
    }

    fn label(&self) -> &'static str {
        "kms_address"
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoRegion { .. } => {
                Some("set AWS_REGION, or name the key by its ARN, which holds the region".to_owned())
            }
            Self::NoVault { .. } => {
                Some("write the whole host: NAME.vault.azure.net, or NAME.managedhsm.azure.net".to_owned())
            }
            Self::Address { .. } => None,
        }
    }
}

/// There is nobody in whose name the key could be asked for.
#[derive(Debug, thiserror::Error)]
#[error("no credentials to ask for {key}")]
struct NoPass {
    key: String,
    #[source]
    source: cloud::Failure,
}

impl Diagnose for NoPass {
    fn class(&self) -> Class {
        self.source.class()
    }

    fn label(&self) -> &'static str {
        "kms_login"
    }

    fn hint(&self) -> Option<String> {
        match &self.source {
            cloud::Failure::NoIdentity { .. } => {
                Some("bind an identity of the cloud to the agent's service account".to_owned())
            }
            source => source.hint(),
        }
    }

    fn about(&self) -> Option<About> {
        self.source.about()
    }

    fn retry_after(&self) -> Option<Duration> {
        self.source.retry_after()
    }
}

impl CloudKey {
    pub(super) fn of(
        reference: &Reference,
        web: Web,
        surroundings: &cloud::Surroundings,
    ) -> Result<Self, Failure> {
        let uri = reference.to_string();
        let at =
            |address: &str| Url::parse(address).map_err(|_| failure(Unusable::Address { key: uri.clone() }));
        let place = match reference {
            Reference::Aws { endpoint, id } => {
                Place::Aws(aws(&uri, endpoint.as_deref(), id, &surroundings.aws)?)
            }
            Reference::Google { name, version } => Place::Google(GoogleKey {
                endpoint: at(GOOGLE)?,
                name: name.clone(),
                version: version.clone(),
            }),
            Reference::Azure { vault, key, version } => {
                if domain(vault).is_none() {
                    return Err(failure(Unusable::NoVault { key: uri, host: vault.clone() }));
                }
                let vault = at(&format!("https://{vault}"))?;
                Place::Azure(AzureKey { vault, name: key.clone(), version: version.clone() })
            }
            Reference::Vault { .. } | Reference::Pkcs11(_) => {
                return Err(failure(Unusable::Address { key: uri }));
            }
        };
        let (surroundings, state) = (surroundings.clone(), Mutex::default());
        Ok(Self { key: Key { uri, place }, web, surroundings, state })
    }

    /// The version of the key that signs now.
    pub(super) async fn read(&self) -> Result<KeyVersion, Failure> {
        let pass = self.pass().await?;
        let mut answer = self.key.read(&self.web, &pass, Timestamp::now()).await;
        if let Some(pass) = self.anew(&pass, answer.as_ref().err()).await? {
            answer = self.key.read(&self.web, &pass, Timestamp::now()).await;
        }
        answer.map_err(failure)
    }

    /// A signature over `message` by this version of the key.
    pub(super) async fn sign(&self, version: &KeyVersion, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let pass = self.pass().await?;
        let mut answer = self.key.sign(&self.web, &pass, version, message, Timestamp::now()).await;
        if let Some(pass) = self.anew(&pass, answer.as_ref().err()).await? {
            answer = self.key.sign(&self.web, &pass, version, message, Timestamp::now()).await;
        }
        answer.map_err(failure)
    }

    /// Others, where these are not taken any more; for those that nobody can renew the answer stands.
    async fn anew(&self, refused: &Arc<Pass>, error: Option<&Error>) -> Result<Option<Arc<Pass>>, Failure> {
        if !matches!(error, Some(Error::Identity { .. })) {
            return Ok(None);
        }
        let mut state = self.state.lock().await;
        match &state.held {
            Some(held) if !Arc::ptr_eq(&held.pass, refused) => {}
            Some(held) if held.ends.is_none() => return Ok(None),
            _ => state.held = None,
        }
        drop(state);
        self.pass().await.map(Some)
    }

    /// Keys or a token that live.
    async fn pass(&self) -> Result<Arc<Pass>, Failure> {
        let (mut state, now) = (self.state.lock().await, Timestamp::now());
        if let Some(held) = state.held.as_ref().filter(|held| held.renew_at.is_none_or(|at| now < at)) {
            return Ok(Arc::clone(&held.pass));
        }
        if let Some((_, failed)) = state.failed.as_ref().filter(|(at, _)| at.elapsed() < FRESH_FAILURE) {
            return Err(Arc::clone(failed));
        }
        let asked = tokio::time::timeout(PATIENCE, self.ask(now)).await;
        let source = match asked {
            Ok(Ok((pass, ends))) => {
                let held = Held::of(pass, ends, now);
                let pass = Arc::clone(&held.pass);
                *state = State { held: Some(held), failed: None };
                return Ok(pass);
            }
            Ok(Err(source)) => source,
            Err(_) => {
                cloud::Failure::Patience { registry: self.key.uri.clone(), seconds: PATIENCE.as_secs() }
            }
        };
        let error = failure(NoPass { key: self.key.uri.clone(), source });
        if let Some(held) = state.held.as_mut().filter(|held| held.ends.is_some_and(|ends| now < ends)) {
            tracing::warn!(%error, "the agent's credentials are not renewed; they stay in use while they live");
            held.renew_at = now.checked_add(AGAIN).ok();
            return Ok(Arc::clone(&held.pass));
        }
        state.failed = Some((Instant::now(), Arc::clone(&error)));
        Err(error)
    }

    /// Keys or a token, and when they end.
    async fn ask(&self, now: Timestamp) -> Result<(Pass, Option<Timestamp>), cloud::Failure> {
        let (web, around) = (&self.web, &self.surroundings);
        match &self.key.place {
            Place::Aws(key) => {
                let keys = ecr::keys(&around.aws, web, "AWS KMS", &key.region).await?;
                let ends = keys.expires_at;
                Ok((Pass::Keys(keys), ends))
            }
            Place::Google(_) => {
                let token = google::access_token(&around.google, web, now).await?;
                Ok((Pass::Token(token.token), Some(token.expires_at)))
            }
            Place::Azure(key) => {
                let host = key.vault.host_str().unwrap_or_default();
                let (resource, authority) = domain(host).unwrap_or_default();
                let purpose = Purpose { resource, authority, of: host };
                let token = entra::access_token(&around.azure, web, &purpose, now).await?;
                Ok((Pass::Token(token.token), Some(token.expires_at)))
            }
        }
    }
}

impl Held {
    fn of(pass: Pass, ends: Option<Timestamp>, now: Timestamp) -> Self {
        let renew_at = ends.map(|ends| {
            let early = EARLY.min(ends.duration_since(now) / 2);
            ends.checked_sub(early).unwrap_or(ends)
        });
        Self { pass: Arc::new(pass), renew_at, ends }
    }
}

/// A key of AWS: in the region of its ARN, else of its endpoint, else of the process.
fn aws(uri: &str, endpoint: Option<&str>, id: &str, variables: &ecr::Variables) -> Result<AwsKey, Failure> {
    let of_arn = id.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(2));
    let of_endpoint = endpoint.and_then(|host| host.strip_prefix("kms.")?.split('.').next());
    let region = of_arn.or(of_endpoint).or(variables.region.as_deref());
    let region = region.ok_or_else(|| failure(Unusable::NoRegion { key: uri.to_owned() }))?;
    let endpoint = match endpoint {
        Some(host) => Url::parse(&format!("https://{host}"))
            .map_err(|_| failure(Unusable::Address { key: uri.to_owned() }))?,
        None => {
            ecr::kms(variables, region).map_err(|source| failure(NoPass { key: uri.to_owned(), source }))?
        }
    };
    Ok(AwsKey { endpoint, region: region.to_owned(), id: id.to_owned() })
}

/// For what tokens for a vault are made, and by which Entra ID; nothing for a host that is no vault.
fn domain(host: &str) -> Option<(&'static str, &'static str)> {
    const PUBLIC: &str = "https://login.microsoftonline.com";
    const CHINA: &str = "https://login.chinacloudapi.cn";
    const GOVERNMENT: &str = "https://login.microsoftonline.us";
    const DOMAINS: [(&str, &str, &str); 6] = [
        (".vault.azure.net", "https://vault.azure.net", PUBLIC),
        (".vault.azure.cn", "https://vault.azure.cn", CHINA),
        (".vault.usgovcloudapi.net", "https://vault.usgovcloudapi.net", GOVERNMENT),
        (".managedhsm.azure.net", "https://managedhsm.azure.net", PUBLIC),
        (".managedhsm.azure.cn", "https://managedhsm.azure.cn", CHINA),
        (".managedhsm.usgovcloudapi.net", "https://managedhsm.usgovcloudapi.net", GOVERNMENT),
    ];
    let found = DOMAINS.into_iter().find(|(domain, ..)| {
        host.strip_suffix(domain).is_some_and(|name| !name.is_empty() && !name.contains('.'))
    });
    found.map(|(_, resource, authority)| (resource, authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_aws_is_in_the_region_of_its_arn_else_of_its_endpoint_else_of_the_process() {
        let variables = ecr::Variables { region: Some("eu-west-1".into()), ..ecr::Variables::default() };
        let place = |endpoint, id: &str| {
            let key = aws("awskms:///k", endpoint, id, &variables).unwrap();
            (key.endpoint.to_string(), key.region)
        };
        let arn = "arn:aws-cn:kms:cn-north-1:111122223333:key/k";
        let expected = ("https://kms.cn-north-1.amazonaws.com.cn/".to_owned(), "cn-north-1".to_owned());
        assert_eq!(place(None, arn), expected);
        let expected = ("https://kms.us-east-2.amazonaws.com/".to_owned(), "us-east-2".to_owned());
        assert_eq!(place(Some("kms.us-east-2.amazonaws.com"), "alias/k"), expected);
        let expected = ("https://kms.eu-west-1.amazonaws.com/".to_owned(), "eu-west-1".to_owned());
        assert_eq!(place(None, "alias/k"), expected);
        let nowhere = aws("awskms:///k", None, "k", &ecr::Variables::default()).unwrap_err();
        assert!(nowhere.hint().unwrap().contains("AWS_REGION"));
    }

    #[test]
    fn only_hosts_of_azure_are_vaults() {
        assert_eq!(domain("v.vault.azure.net").unwrap().0, "https://vault.azure.net");
        assert_eq!(domain("h.managedhsm.azure.cn").unwrap().1, "https://login.chinacloudapi.cn");
        for host in
            ["vault.azure.net", ".vault.azure.net", "a.b.vault.azure.net", "v.vault.azure.net.evil.test"]
        {
            assert!(domain(host).is_none(), "{host}");
        }
    }

    #[test]
    fn keys_and_tokens_are_renewed_five_minutes_before_their_end_or_at_half_of_it() {
        let (pass, now) = (Pass::Token("t".into()), Timestamp::UNIX_EPOCH);
        let renew_at = |seconds: i64| {
            let ends = Timestamp::from_second(seconds).unwrap();
            Held::of(pass.clone(), Some(ends), now).renew_at.unwrap().as_second()
        };
        assert_eq!((renew_at(3600), renew_at(60)), (3300, 30));
        assert_eq!(Held::of(pass.clone(), None, now).renew_at, None);
    }
}
