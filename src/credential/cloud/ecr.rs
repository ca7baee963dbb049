//! The identity of the process in AWS, for ECR and ECR Public (credentials specification §1.6).
//!
//! The first that is there decides: a web identity (IRSA), the endpoint of containers (EKS Pod Identity, ECS), keys in
//! the environment, and at last the role of the instance. One that is there and fails is told, and no other is tried in
//! its place: a pod whose role is wrong must not act as its node. `registry.cloud.aws.role-arn` is taken on from there.

use std::path::PathBuf;

use jiff::Timestamp;
use url::Url;

use super::host::{self, aws_domain};
use super::{Failure, Granted, address, file};
use crate::client::cloud::Web;
use crate::client::cloud::aws::{self, Keys, Role, Sts};
use crate::credential::{Credential, Redacted};

/// The variables that the SDKs of AWS know too; an empty one is none.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: Option<String>,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: Option<Redacted>,
    /// `AWS_SESSION_TOKEN`.
    pub session_token: Option<Redacted>,
    /// `AWS_ROLE_ARN`.
    pub role_arn: Option<String>,
    /// `AWS_ROLE_SESSION_NAME`.
    pub role_session_name: Option<String>,
    /// `AWS_WEB_IDENTITY_TOKEN_FILE`.
    pub web_identity_token_file: Option<PathBuf>,
    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    pub container_full_uri: Option<String>,
    /// `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`.
    pub container_relative_uri: Option<String>,
    /// `AWS_CONTAINER_AUTHORIZATION_TOKEN`.
    pub container_token: Option<Redacted>,
    /// `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`.
    pub container_token_file: Option<PathBuf>,
    /// `AWS_EC2_METADATA_SERVICE_ENDPOINT`.
    pub metadata_endpoint: Option<String>,
    /// `AWS_EC2_METADATA_DISABLED`.
    pub metadata_disabled: bool,
    /// `AWS_REGION`, else `AWS_DEFAULT_REGION`: where STS is asked.
    pub region: Option<String>,
    /// `AWS_ENDPOINT_URL`.
    pub endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_ECR`.
    pub endpoint_ecr: Option<String>,
    /// `AWS_ENDPOINT_URL_ECR_PUBLIC`.
    pub endpoint_ecr_public: Option<String>,
    /// `AWS_ENDPOINT_URL_STS`.
    pub endpoint_sts: Option<String>,
}

/// The identity.
pub(super) struct Ecr {
    variables: Variables,
    web: Web,
    role: Option<String>,
}

/// Keys, and a name for whom they are.
struct Known {
    keys: Keys,
    whose: String,
}

impl Ecr {
    pub(super) fn new(variables: Variables, web: Web, role: Option<String>) -> Self {
        Self { variables, web, role }
    }

    pub(super) async fn credential(&self, registry: &str, now: Timestamp) -> Result<Granted, Failure> {
        let (region, ecr) = self.service(registry)?;
        let known = self.keys(registry, &region, now).await?;
        self.login(&ecr, &known, now).await
    }

    /// What ECR grants to the role `arn`, which `token` opens; the identity of the process counts for nothing.
    pub(super) async fn federated(
        &self,
        registry: &str,
        arn: &str,
        token: &Redacted,
        now: Timestamp,
    ) -> Result<Granted, Failure> {
        let (region, ecr) = self.service(registry)?;
        let role = Role { arn: arn.to_owned(), session: self.session() };
        let keys = self.sts(&region)?.with_web_identity(&self.web, &role, token).await?;
        self.login(&ecr, &Known { keys, whose: format!("role {arn}") }, now).await
    }

    /// The region of a registry, and who is asked for its password.
    fn service(&self, registry: &str) -> Result<(String, aws::Ecr), Failure> {
        match host::Ecr::parse(registry) {
            Some(host::Ecr::Private { region, fips, .. }) => {
                let ecr = self.private(&region, fips)?;
                Ok((region, ecr))
            }
            _ => Ok((PUBLIC_REGION.to_owned(), self.public()?)),
        }
    }

    async fn login(&self, ecr: &aws::Ecr, known: &Known, now: Timestamp) -> Result<Granted, Failure> {
        let login = ecr.login(&self.web, &known.keys, &known.whose, now).await?;
        Ok(Granted::half(Credential::Basic(login.login), now, login.expires_at))
    }

    /// The keys with which ECR is asked.
    async fn keys(&self, registry: &str, region: &str, now: Timestamp) -> Result<Known, Failure> {
        let own = self.own_keys(registry, region).await?;
        let Some(arn) = &self.role else { return Ok(own) };
        let role = Role { arn: arn.clone(), session: self.session() };
        let keys = self.sts(region)?.with_keys(&self.web, &role, &own.keys, now).await?;
        Ok(Known { keys, whose: format!("role {arn}") })
    }

    async fn own_keys(&self, registry: &str, region: &str) -> Result<Known, Failure> {
        let variables = &self.variables;
        if let (Some(arn), Some(path)) = (&variables.role_arn, &variables.web_identity_token_file) {
            let token = file("AWS_WEB_IDENTITY_TOKEN_FILE", path).await?;
            let role = Role { arn: arn.clone(), session: self.session() };
            let keys = self.sts(region)?.with_web_identity(&self.web, &role, &token).await?;
            return Ok(Known { keys, whose: format!("role {arn}") });
        }
        if let Some(address) = self.container()? {
            let token = match &variables.container_token_file {
                Some(path) => Some(file("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path).await?),
                None => variables.container_token.clone(),
            };
            let keys = aws::container(&self.web, &address, token.as_ref()).await?;
            return Ok(Known { keys, whose: "the role of the pod".to_owned() });
        }
        if let (Some(id), Some(secret)) = (&variables.access_key_id, &variables.secret_access_key) {
            let (secret, token) = (secret.clone(), variables.session_token.clone());
            let keys = Keys { id: id.clone(), secret, token, expires_at: None };
            return Ok(Known { keys, whose: format!("access key {id}") });
        }
        self.instance(registry).await
    }

    async fn instance(&self, registry: &str) -> Result<Known, Failure> {
        let nobody = |source| Failure::NoIdentity { registry: registry.to_owned(), looked: LOOKED, source };
        if self.variables.metadata_disabled {
            return Err(nobody(None));
        }
        let endpoint = self.variables.metadata_endpoint.as_deref().unwrap_or("http://169.254.169.254");
        let endpoint = address("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint)?;
        let (keys, role) = aws::instance(&self.web, &endpoint).await.map_err(|error| nobody(Some(error)))?;
        Ok(Known { keys, whose: format!("role {role} of the instance") })
    }

    /// The endpoint of containers, which plain HTTP may reach on this machine and its link alone.
    fn container(&self) -> Result<Option<Url>, Failure> {
        const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
        if let Some(path) = &self.variables.container_relative_uri {
            let endpoint = address("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "http://169.254.170.2")?;
            return Ok(endpoint.join(path).ok().filter(|url| url.host() == endpoint.host()));
        }
        let Some(full) = &self.variables.container_full_uri else { return Ok(None) };
        let url = address(FULL, full)?;
        let host = url.host_str().unwrap_or_default();
        let near = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]", "localhost", "[::1]"]
            .contains(&host)
            || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback());
        if url.scheme() == "https" || near {
            return Ok(Some(url));
        }
        let wrong = "without TLS it may only name this machine or its container agent";
        Err(Failure::Unusable { variable: FULL, wrong })
    }

    fn private(&self, region: &str, fips: bool) -> Result<aws::Ecr, Failure> {
        let service = if fips { "ecr-fips" } else { "api.ecr" };
        let usual = format!("https://{service}.{region}.{}", aws_domain(region));
        let endpoint = self.endpoint("AWS_ENDPOINT_URL_ECR", self.variables.endpoint_ecr.as_ref(), &usual)?;
        Ok(aws::Ecr { endpoint, region: region.to_owned(), public: false })
    }

    fn public(&self) -> Result<aws::Ecr, Failure> {
        let usual = format!("https://api.ecr-public.{PUBLIC_REGION}.amazonaws.com");
        let own = self.variables.endpoint_ecr_public.as_ref();
        let endpoint = self.endpoint("AWS_ENDPOINT_URL_ECR_PUBLIC", own, &usual)?;
        Ok(aws::Ecr { endpoint, region: PUBLIC_REGION.to_owned(), public: true })
    }

    /// STS of the region that the process is in, else of the registry's.
    fn sts(&self, region: &str) -> Result<Sts, Failure> {
        let region = self.variables.region.as_deref().unwrap_or(region);
        if !host::is_label(region) {
            return Err(Failure::Unusable { variable: "AWS_REGION", wrong: "it is no name of a region" });
        }
        let usual = format!("https://sts.{region}.{}", aws_domain(region));
        let endpoint = self.endpoint("AWS_ENDPOINT_URL_STS", self.variables.endpoint_sts.as_ref(), &usual)?;
        Ok(Sts { endpoint, region: region.to_owned() })
    }

    fn endpoint(&self, variable: &'static str, own: Option<&String>, usual: &str) -> Result<Url, Failure> {
        match (own, &self.variables.endpoint) {
            (Some(own), _) => address(variable, own),
            (None, Some(all)) => address("AWS_ENDPOINT_URL", all),
            (None, None) => address(variable, usual),
        }
    }

    fn session(&self) -> String {
        self.variables.role_session_name.clone().unwrap_or_else(|| "hallmark".to_owned())
    }
}

/// The keys of the process in AWS, for `what`, which is no registry; `region` is whose STS is asked, unless the process
/// is told another.
pub async fn keys(variables: &Variables, web: &Web, what: &str, region: &str) -> Result<Keys, Failure> {
    let process = Ecr::new(variables.clone(), web.clone(), None);
    process.own_keys(what, region).await.map(|known| known.keys)
}

const PUBLIC_REGION: &str = "us-east-1";
const LOOKED: &str = "neither AWS_ROLE_ARN with AWS_WEB_IDENTITY_TOKEN_FILE, nor \
                      AWS_CONTAINER_CREDENTIALS_FULL_URI, nor AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY is set, and \
                      the instance metadata gave no role";

#[cfg(test)]
mod tests;
