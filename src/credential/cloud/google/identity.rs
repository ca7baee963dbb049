//! Identity tokens by what `GOOGLE_APPLICATION_CREDENTIALS` names: the key of a service account, or a federated identity
//! that impersonates one (credentials specification §9.1). Nobody else can have one: Google makes them for service
//! accounts alone.

use jiff::Timestamp;
use serde_json::json;

use super::{
    Document, Failure, Grant, NO_DOCUMENT, VARIABLE, Variables, file, google, signed, trusted, unusable,
};
use crate::client::cloud::{Web, identity};
use crate::credential::Redacted;

/// How long a statement of the key serves; Google takes no longer one.
const HOUR: i64 = 3600;
const NO_ACCOUNT: &str =
    "its file is of no service account, and impersonates none: nobody else has identity tokens";

/// An identity token for `audience`, or nothing where the variable names no file.
///
/// # Errors
///
/// The file cannot be used, or Google refuses.
pub async fn identity_token(
    variables: &Variables,
    web: &Web,
    audience: &str,
    now: Timestamp,
) -> Result<Option<Redacted>, Failure> {
    let Some(path) = &variables.credentials else { return Ok(None) };
    let content = file(VARIABLE, path).await?;
    let document = serde_json::from_slice(content.expose()).map_err(|_| unusable(NO_DOCUMENT))?;
    match document {
        Document::ServiceAccount { client_email: account, private_key, private_key_id, token_uri } => {
            let endpoint = trusted(&token_uri)?;
            let (issued, ends) = (now.as_second(), now.as_second() + HOUR);
            let claims = json!({
                "iss": account, "sub": account, "aud": token_uri, "target_audience": audience,
                "iat": issued, "exp": ends,
            });
            let assertion = signed(&claims, &private_key_id, &private_key.0)?;
            Ok(Some(identity::of_key(web, &endpoint, &account, &assertion, audience).await?))
        }
        Document::ExternalAccount {
            audience: pool,
            subject_token_type: kind,
            token_url,
            service_account_impersonation_url: Some(address),
            credential_source: source,
        } => {
            let (endpoint, mut address) = (trusted(&token_url)?, trusted(&address)?);
            let subject = source.token().await?;
            let grant = Grant::Federated { subject: &subject, kind: &kind, audience: &pool };
            let own = google::token(web, &endpoint, &grant, &format!("the identity of {pool}"), now).await?;
            let account = address.path().rsplit('/').next().unwrap_or_default();
            let account = account.trim_end_matches(":generateAccessToken").to_owned();
            // What it names is where access tokens are made; identity tokens are made beside it.
            if let Ok(mut path) = address.path_segments_mut() {
                path.pop().push(&format!("{account}:generateIdToken"));
            }
            Ok(Some(identity::of_impersonated(web, &address, &account, &own, audience).await?))
        }
        Document::ExternalAccount { .. } | Document::AuthorizedUser { .. } => Err(unusable(NO_ACCOUNT)),
    }
}
