//! Registry tokens of clouds for Secrets: providers of the kinds `ecr`, `gcp` and `acr` (credentials specification §6.8).
//!
//! What the operator says in `providers.toml` counts before what a Secret says; the identity that a Secret names is taken
//! where the operator leaves it open, as with every other kind.

use jiff::Timestamp;

use super::failure::Error;
use super::request::Request;
use crate::client::exchange::RegistryToken;
use crate::client::exchange::provider::{CloudForm, Provider};
use crate::credential::cloud::federation::{Federated, Federation};
use crate::credential::{Credential, Redacted};
use crate::identity::token::IdentityToken;

/// The token that the registries of `request` take, for whom `subject` is.
pub(super) async fn token(
    federation: &Federation,
    (form, provider): (&CloudForm, &Provider),
    request: &Request,
    subject: &IdentityToken,
    now: Timestamp,
) -> Result<RegistryToken, Error> {
    let registries = request.registries(provider);
    let [registry, more @ ..] = registries else { return Err(Error::OneRegistry) };
    if !more.is_empty() && matches!(form, CloudForm::Acr { .. }) {
        return Err(Error::OneRegistry);
    }
    let who = federated(form, request);
    let subject = Redacted::from(subject.reveal());
    let granted = federation.grant(&who, registry, &subject, now).await?;
    let token = match granted.credential {
        Credential::Basic(login) => login.password,
        Credential::IdentityToken { token, .. } | Credential::RegistryToken(token) => token,
        Credential::Anonymous | Credential::ToFetch(_) => return Err(Error::OneRegistry),
    };
    Ok(RegistryToken { token, issued_at: now, expires_at: granted.expires_at })
}

/// The identity that is assumed.
fn federated(form: &CloudForm, request: &Request) -> Federated {
    let named = || request.identity.clone();
    match form {
        CloudForm::Ecr { role } => {
            let role = role.clone().or_else(|| request.role_arn.clone());
            Federated::Aws { role: role.unwrap_or_else(named) }
        }
        CloudForm::Gcp { provider, impersonate } => {
            // A principal of the pool may have the right itself; then the identity names nobody to act as.
            let account = impersonate.clone().or_else(|| Some(named()).filter(|name| name.contains('@')));
            Federated::Google { provider: provider.clone(), account }
        }
        CloudForm::Acr { tenant, client } => {
            Federated::Azure { tenant: tenant.clone(), client: client.clone().unwrap_or_else(named) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::request::PREFIX;
    use super::*;

    fn request(annotations: &[(&str, &str)]) -> Request {
        let pair = |(name, value): &(&str, &str)| (format!("{PREFIX}{name}"), (*value).to_owned());
        let annotations: BTreeMap<_, _> = annotations.iter().map(pair).collect();
        Request::of(&annotations).unwrap().unwrap()
    }

    #[test]
    fn what_the_operator_says_counts_before_what_a_secret_says() {
        let asked = request(&[("identity", "arn:identity"), ("role-arn", "arn:annotation")]);
        let role = |form| match federated(&form, &asked) {
            Federated::Aws { role } => role,
            other => panic!("{other:?}"),
        };
        assert_eq!(role(CloudForm::Ecr { role: Some("arn:operator".into()) }), "arn:operator");
        assert_eq!(role(CloudForm::Ecr { role: None }), "arn:annotation");
        let bare = request(&[("identity", "arn:identity")]);
        let expected = Federated::Aws { role: "arn:identity".into() };
        assert_eq!(federated(&CloudForm::Ecr { role: None }, &bare), expected);
    }

    #[test]
    fn an_identity_of_google_that_is_no_service_account_acts_as_nobody() {
        let of = |identity: &str| {
            let form = CloudForm::Gcp { provider: "//p".into(), impersonate: None };
            match federated(&form, &request(&[("identity", identity)])) {
                Federated::Google { account, .. } => account,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(of("push@project.iam"), Some("push@project.iam".into()));
        assert_eq!(of("direct"), None);
    }

    #[test]
    fn an_application_of_azure_is_the_operators_or_the_one_that_the_secret_names() {
        let of = |client: Option<&str>| {
            let form = CloudForm::Acr { tenant: "t".into(), client: client.map(str::to_owned) };
            federated(&form, &request(&[("identity", "mine")]))
        };
        let azure = |client: &str| Federated::Azure { tenant: "t".into(), client: client.into() };
        assert_eq!((of(None), of(Some("c"))), (azure("mine"), azure("c")));
    }
}
