//! What a refusal means for the credential that was refused (credentials specification §1.4, §5.6): the registry's status
//! and code; its free text stays out of the report.

use ::http::StatusCode;
use reqwest::Response;

use super::super::content::said;
use super::super::error::Error;
use super::super::transport::Request;
use super::super::trial::Refusal;
use super::Answer;
use crate::client::challenge::Challenge;
use crate::client::http;
use crate::client::token::TokenError;
use crate::credential::Outcome;

/// An error body is read up to here to learn the registry's code.
const MAX_ERROR_BODY: usize = 64 * 1024;
/// What ECR says of passwords whose time is over, in lower case.
const TIME_IS_OVER: &str = "authorization token has expired";

/// Whether the token service's no is about this candidate, or stops the target.
pub(super) fn refused_token(request: &Request, error: TokenError) -> Result<Answer, Error> {
    if !error.is_about_the_credential() {
        return Err(Error::Token { action: request.action.clone(), source: error });
    }
    let code = Some(error.code().to_owned());
    Ok(Answer::Refused(Refusal { outcome: error.outcome(), status: None, code }))
}

/// Of an answer 401 or 403.
pub(super) async fn refusal(response: Response) -> Refusal {
    let status = response.status();
    let challenges = Challenge::parse_all(response.headers());
    let insufficient = challenges.iter().any(|challenge| challenge.error() == Some("insufficient_scope"));
    let said = http::body(response, MAX_ERROR_BODY).await.map(|body| said(&body));
    let (code, message) = said.unwrap_or_default();
    let code = Some(code).filter(|code| !code.is_empty());
    let outcome = match status {
        StatusCode::FORBIDDEN if message.to_ascii_lowercase().contains(TIME_IS_OVER) => Outcome::Expired,
        StatusCode::FORBIDDEN => Outcome::Denied,
        _ if insufficient => Outcome::Denied,
        _ => Outcome::Rejected,
    };
    Refusal { outcome, status: Some(status.as_u16()), code }
}
