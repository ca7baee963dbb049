//! The kinds of provider whose tokens a cloud grants: `ecr`, `gcp` and `acr` (credentials specification §6.8). Pure; how
//! a cloud is asked is in `credential::cloud`.

use url::Url;

use super::{Form, Provider, Reason, Row, none_of};

/// Which identity of a cloud is assumed; what is not said here a Secret may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloudForm {
    /// A role of AWS, for ECR.
    Ecr {
        /// Its ARN.
        role: Option<String>,
    },
    /// An identity of a workload identity pool of Google.
    Gcp {
        /// The provider of the pool.
        provider: String,
        /// The service account that it acts as.
        impersonate: Option<String>,
    },
    /// An application or managed identity of Azure.
    Acr {
        /// Its tenant.
        tenant: String,
        /// Its client id.
        client: Option<String>,
    },
}

impl Row {
    /// The keys that only clouds have.
    pub(super) fn no_cloud(&self) -> Result<(), Reason> {
        none_of([
            ("role-arn", self.role_arn.is_some()),
            ("impersonate", self.impersonate.is_some()),
            ("client-id", self.client_id.is_some()),
            ("tenant", self.tenant.is_some()),
        ])
    }

    pub(super) fn ecr(self, name: &str) -> Result<Provider, Reason> {
        none_of([
            ("audience", self.audience.is_some()),
            ("impersonate", self.impersonate.is_some()),
            ("client-id", self.client_id.is_some()),
            ("tenant", self.tenant.is_some()),
        ])?;
        let form = CloudForm::Ecr { role: self.role_arn.clone() };
        self.cloud(name, form, "sts.amazonaws.com", "AWS")
    }

    pub(super) fn gcp(self, name: &str) -> Result<Provider, Reason> {
        none_of([
            ("role-arn", self.role_arn.is_some()),
            ("client-id", self.client_id.is_some()),
            ("tenant", self.tenant.is_some()),
        ])?;
        self.registries_of_cloud()?;
        let provider = self.audience.clone().ok_or(Reason::Missing("audience"))?;
        let form = CloudForm::Gcp { provider: provider.clone(), impersonate: self.impersonate.clone() };
        self.cloud(name, form, &provider, "oauth2accesstoken")
    }

    pub(super) fn acr(self, name: &str) -> Result<Provider, Reason> {
        none_of([
            ("audience", self.audience.is_some()),
            ("role-arn", self.role_arn.is_some()),
            ("impersonate", self.impersonate.is_some()),
        ])?;
        if self.registries_of_cloud()?.len() > 1 {
            return Err(Reason::Registries);
        }
        let tenant = self.tenant.clone().ok_or(Reason::Missing("tenant"))?;
        let form = CloudForm::Acr { tenant, client: self.client_id.clone() };
        self.cloud(name, form, "api://AzureADTokenExchange", "00000000-0000-0000-0000-000000000000")
    }

    fn cloud(
        mut self,
        name: &str,
        form: CloudForm,
        subject_audience: &str,
        username: &str,
    ) -> Result<Provider, Reason> {
        none_of([
            ("issuer", self.issuer.is_some()),
            ("api", self.api.is_some()),
            ("token-url", self.token_url.is_some()),
            ("resource", self.resource.is_some()),
            ("scope", self.scope.is_some()),
            ("subject-token-type", self.subject_token_type.is_some()),
            ("requested-token-type", self.requested_token_type.is_some()),
            ("style", self.style.is_some()),
            ("insecure", self.insecure),
            ("agent-identity", self.agent_identity.is_some()),
        ])?;
        let registries = self.registries_of_cloud()?.to_vec();
        let address = format!("https://{}", registries.first().map(String::as_str).unwrap_or_default());
        let endpoint = Url::parse(&address).map_err(|_| Reason::Address {
            key: "registries",
            value: address.clone(),
            why: "it is no host",
        })?;
        self.subject_audience.get_or_insert_with(|| subject_audience.to_owned());
        Ok(self.finish(name, Form::Cloud(form), endpoint, None, registries, username))
    }

    fn registries_of_cloud(&self) -> Result<&[String], Reason> {
        let registries = self.registries.as_deref().filter(|registries| !registries.is_empty());
        registries.ok_or(Reason::Missing("registries"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Providers, WriteAs};
    use super::*;

    fn of(text: &str) -> Provider {
        let text = format!("[providers.p]\n{text}");
        Provider::clone(Providers::parse(&text).unwrap().named("p").unwrap())
    }

    #[test]
    fn each_cloud_has_its_audience_and_its_user_name() {
        let ecr = of("kind = \"ecr\"\nregistries = [\"r.example\"]\nrole-arn = \"arn:r\"");
        assert_eq!(ecr.form, Form::Cloud(CloudForm::Ecr { role: Some("arn:r".into()) }));
        assert_eq!((ecr.subject_audience.as_str(), ecr.username.as_str()), ("sts.amazonaws.com", "AWS"));
        assert_eq!((ecr.write_as, ecr.audience), (WriteAs::Auth, None));
        let gcp = of("kind = \"gcp\"\nregistries = [\"gcr.io\", \"eu.gcr.io\"]\naudience = \"//p\"");
        assert_eq!(gcp.form, Form::Cloud(CloudForm::Gcp { provider: "//p".into(), impersonate: None }));
        assert_eq!((gcp.subject_audience.as_str(), gcp.username.as_str()), ("//p", "oauth2accesstoken"));
        let acr = of("kind = \"acr\"\nregistries = [\"t.azurecr.io\"]\ntenant = \"t\"\nclient-id = \"c\"");
        assert_eq!(acr.form, Form::Cloud(CloudForm::Acr { tenant: "t".into(), client: Some("c".into()) }));
        assert_eq!(acr.subject_audience, "api://AzureADTokenExchange");
        let other = of(
            "kind = \"acr\"\nregistries = [\"t\"]\ntenant = \"t\"\nsubject-audience = \"a\"\nsubject-token-file = \"/t\"",
        );
        assert_eq!((other.subject_audience.as_str(), other.subject_token_file), ("a", Some("/t".into())));
    }

    #[test]
    fn every_provider_of_the_documentation_is_read() {
        let page = include_str!("../../../../docs/short-lived.md");
        let blocks = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let read: Vec<String> = blocks.map(|block| Providers::parse(block).unwrap().names()).collect();
        assert_eq!(read, ["chainguard, sts", "acr, chainguard, ecr, gar", "chainguard"]);
    }
}
