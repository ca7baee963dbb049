//! The identity of the process in Azure: tokens of Entra ID for workload identities (a federated token), else for the managed
//! identity of the machine (credentials specification §1.6). Registries, storage and Key Vault are opened with them.
//!
//! A workload identity that is there and fails is told, and the machine's is not tried in its place.

use std::path::PathBuf;

use jiff::Timestamp;
use url::Url;

use super::host;
use super::{Failure, address, file};
use crate::client::cloud::azure::{self, AccessToken, Application};
use crate::client::cloud::{self, Web};
use crate::credential::Redacted;

/// The variables that the SDKs of Azure know too; an empty one is none.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    /// `AZURE_CLIENT_ID`.
    pub client_id: Option<String>,
    /// `AZURE_TENANT_ID`.
    pub tenant_id: Option<String>,
    /// `AZURE_FEDERATED_TOKEN_FILE`.
    pub federated_token_file: Option<PathBuf>,
    /// `AZURE_AUTHORITY_HOST`.
    pub authority_host: Option<String>,
    /// `AZURE_POD_IDENTITY_AUTHORITY_HOST`: where the instance metadata are.
    pub metadata_endpoint: Option<String>,
}

/// What a token of Entra ID is wanted for.
#[derive(Debug, Clone, Copy)]
pub struct Purpose<'a> {
    /// The resource whose audience it has, without a slash at its end.
    pub resource: &'a str,
    /// Entra ID of that cloud, unless the process is told another.
    pub authority: &'a str,
    /// What it opens, for messages.
    pub of: &'a str,
}

/// Whoever asks Entra ID.
pub(super) struct Entra {
    variables: Variables,
    web: Web,
}

impl Entra {
    pub(super) fn new(variables: Variables, web: Web) -> Self {
        Self { variables, web }
    }

    /// The tenant that the process is told.
    pub(super) fn tenant(&self) -> Option<&str> {
        self.variables.tenant_id.as_deref()
    }

    pub(super) fn web(&self) -> &Web {
        &self.web
    }

    /// A token of Entra ID, and whose it is.
    pub(super) async fn token(
        &self,
        purpose: &Purpose<'_>,
        now: Timestamp,
    ) -> Result<(AccessToken, String), Failure> {
        let Variables { client_id, tenant_id, federated_token_file, .. } = &self.variables;
        if let Some(path) = federated_token_file {
            let (Some(client), Some(tenant)) = (client_id.clone(), tenant_id.clone()) else {
                let wrong = "AZURE_CLIENT_ID and AZURE_TENANT_ID must be set too";
                return Err(Failure::Unusable { variable: TOKEN_FILE, wrong });
            };
            let assertion = file(TOKEN_FILE, path).await?;
            return self.of_application(purpose, &Application { tenant, client }, &assertion, now).await;
        }
        let client = client_id.as_deref();
        let token = self.of_machine(purpose, client, now).await?;
        let whose =
            client.map_or_else(|| "the managed identity".to_owned(), |id| format!("managed identity {id}"));
        Ok((token, whose))
    }

    /// A token for `application`, which `assertion` opens, and whose it is.
    pub(super) async fn of_application(
        &self,
        purpose: &Purpose<'_>,
        application: &Application,
        assertion: &Redacted,
        now: Timestamp,
    ) -> Result<(AccessToken, String), Failure> {
        if !is_name(&application.tenant) {
            return Err(Failure::Unusable {
                variable: "AZURE_TENANT_ID",
                wrong: "it is no name of a tenant",
            });
        }
        let authority = self.authority(purpose.authority)?;
        let token = application.token(&self.web, &authority, purpose.resource, assertion, now).await?;
        Ok((token, format!("application {}", application.client)))
    }

    async fn of_machine(
        &self,
        purpose: &Purpose<'_>,
        client: Option<&str>,
        now: Timestamp,
    ) -> Result<AccessToken, Failure> {
        let endpoint = self.variables.metadata_endpoint.as_deref().unwrap_or("http://169.254.169.254");
        let endpoint = address("AZURE_POD_IDENTITY_AUTHORITY_HOST", endpoint)?;
        let asked = azure::machine(&self.web, &endpoint, purpose.resource, client, now).await;
        asked.map_err(|error| match error {
            error @ cloud::Error::Away { .. } => {
                Failure::NoIdentity { registry: purpose.of.to_owned(), looked: LOOKED, source: Some(error) }
            }
            error => error.into(),
        })
    }

    /// The Entra ID that is the usual one, unless the process is told another.
    fn authority(&self, usual: &str) -> Result<Url, Failure> {
        const VARIABLE: &str = "AZURE_AUTHORITY_HOST";
        let authority = address(VARIABLE, self.variables.authority_host.as_deref().unwrap_or(usual))?;
        let wrong = "without TLS it may only name this machine";
        if super::may_carry_secrets(&authority) {
            Ok(authority)
        } else {
            Err(Failure::Unusable { variable: VARIABLE, wrong })
        }
    }
}

/// A token of the process in Azure, for what is no registry.
pub async fn access_token(
    variables: &Variables,
    web: &Web,
    purpose: &Purpose<'_>,
    now: Timestamp,
) -> Result<AccessToken, Failure> {
    let entra = Entra::new(variables.clone(), web.clone());
    entra.token(purpose, now).await.map(|(token, _)| token)
}

/// A GUID or a domain: it becomes a part of a path.
fn is_name(tenant: &str) -> bool {
    tenant.len() <= 253 && tenant.split('.').all(|label| host::is_label(&label.to_ascii_lowercase()))
}

const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
const LOOKED: &str =
    "AZURE_FEDERATED_TOKEN_FILE is not set, and there is no instance metadata with a managed identity";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_a_guid_or_a_domain_and_never_a_path() {
        for name in ["72f988bf-86f1-41af-91ab-2d7cd011db47", "contoso.onmicrosoft.com", "Contoso.example"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a/b", "..", "a?b", "a#b", "a b", "%2e", "a..b"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
