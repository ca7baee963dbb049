//! Why a Secret could not be filled, and the word, the text and the delay that follow from it (credentials
//! specification §6.7).

use super::content::WriteError;
use super::failing::Failure;
use super::reason::Reason;
use crate::client::{cloud as clouds, exchange};
use crate::credential::cloud;
use crate::error::{Class, Diagnose, chain};
use crate::identity;

/// Why a Secret could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no identity token.
    #[error("no identity token to exchange")]
    Subject {
        /// Why.
        #[source]
        source: identity::Error,
        /// The audience that it would need.
        audience: String,
    },
    /// A tenant asks for what the operator has not allowed.
    #[error("annotation service-account is not allowed here")]
    AccountsNotAllowed,
    /// The token service gave none.
    #[error(transparent)]
    Exchange(#[from] exchange::Error),
    /// The cloud gave none.
    #[error(transparent)]
    Cloud(#[from] cloud::Failure),
    /// A token that opens one registry was asked for several.
    #[error("a token of this provider opens one registry alone")]
    OneRegistry,
    /// The content cannot take it.
    #[error(transparent)]
    Content(#[from] WriteError),
    /// We may not write the Secret.
    #[error("not allowed to update Secret {namespace}/{name}")]
    Forbidden {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// The API server failed.
    #[error("the API server failed: {0}")]
    Api(String),
}

impl Error {
    /// An error of the API server about this Secret.
    pub fn of_api(error: &kube::Error, namespace: &str, name: &str) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 403 => {
                Self::Forbidden { namespace: namespace.to_owned(), name: name.to_owned() }
            }
            kube::Error::Api(status) => Self::Api(format!("{} {}", status.code, status.message)),
            error => Self::Api(chain(error)),
        }
    }

    /// In one word.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Subject { .. } | Self::AccountsNotAllowed => Reason::SubjectTokenUnavailable,
            Self::Exchange(error) => match error {
                exchange::Error::Denied { .. } | exchange::Error::NotAllowed { .. } => Reason::ExchangeDenied,
                exchange::Error::IdentityNotFound { .. } | exchange::Error::RoleNotFound { .. } => {
                    Reason::IdentityNotFound
                }
                exchange::Error::Throttled { .. } => Reason::ExchangeThrottled,
                exchange::Error::Invalid { .. }
                | exchange::Error::Unexpected { .. }
                | exchange::Error::OfCloud { .. } => Reason::ExchangeInvalid,
                exchange::Error::Setup(_)
                | exchange::Error::Away { .. }
                | exchange::Error::Unavailable { .. } => Reason::ExchangeUnavailable,
            },
            Self::Cloud(cloud::Failure::Cloud(error)) => match error {
                clouds::Error::Denied { .. } => Reason::ExchangeDenied,
                clouds::Error::Throttled { .. } => Reason::ExchangeThrottled,
                clouds::Error::Malformed { .. } => Reason::ExchangeInvalid,
                clouds::Error::Setup(_) | clouds::Error::Away { .. } | clouds::Error::Unavailable { .. } => {
                    Reason::ExchangeUnavailable
                }
            },
            Self::Cloud(cloud::Failure::Patience { .. }) => Reason::ExchangeUnavailable,
            Self::Cloud(_) | Self::OneRegistry => Reason::ExchangeInvalid,
            Self::Content(_) => Reason::MalformedExisting,
            Self::Forbidden { .. } => Reason::UpdateForbidden,
            Self::Api(_) => Reason::ApiUnavailable,
        }
    }

    /// As it is told.
    pub fn told(&self) -> Failure {
        let hint = self.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
        let text = format!("{}{hint}", chain(self));
        Failure { reason: self.reason(), text, retry_after: self.retry_after() }
    }
}

impl Diagnose for Error {
    fn class(&self) -> Class {
        match self {
            Self::Subject { source, .. } => source.class(),
            Self::Exchange(error) => error.class(),
            Self::Cloud(error) => error.class(),
            Self::Api(_) => Class::Temporary,
            _ => Class::Misconfigured,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Subject { source, .. } => source.label(),
            Self::AccountsNotAllowed => "refresh_accounts",
            Self::Exchange(error) => error.label(),
            Self::Cloud(error) => error.label(),
            Self::OneRegistry => "refresh_registries",
            Self::Content(_) => "refresh_content",
            Self::Forbidden { .. } => "refresh_forbidden",
            Self::Api(_) => "api_server",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            // The source's own hint speaks of the audience of Fulcio.
            Self::Subject { source: identity::Error::File { file, .. }, audience } => Some(format!(
                "mount a projected service account token with audience {audience} at {}",
                file.display()
            )),
            Self::Subject { source, .. } => source.hint(),
            Self::AccountsNotAllowed => {
                Some("start the updater with --service-accounts, or take the annotation away".to_owned())
            }
            Self::Exchange(error) => error.hint(),
            Self::Cloud(error) => error.hint(),
            Self::OneRegistry => {
                Some("give each registry a Secret of its own, or shorten annotation registries".to_owned())
            }
            Self::Forbidden { namespace, name } => {
                Some(format!("grant patch on secrets/{name} in {namespace} to the updater's service account"))
            }
            Self::Content(_) | Self::Api(_) => None,
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Exchange(error) => error.retry_after(),
            Self::Cloud(error) => error.retry_after(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_token_file_is_named_with_the_audience_that_it_needs() {
        let source =
            identity::Error::File { file: "/t/oidc".into(), source: std::io::ErrorKind::NotFound.into() };
        let told = Error::Subject { source, audience: "issuer.example".into() }.told();
        assert_eq!(told.reason, Reason::SubjectTokenUnavailable);
        assert!(
            told.text.contains("/t/oidc") && told.text.contains("audience issuer.example"),
            "{}",
            told.text
        );
        assert!(!told.text.contains("sigstore"), "{}", told.text);
    }

    #[test]
    fn a_right_that_is_missing_is_told_so_that_it_can_be_granted() {
        let status = kube::core::Status { code: 403, message: "no".into(), ..kube::core::Status::default() };
        let told = Error::of_api(&kube::Error::Api(Box::new(status)), "team", "other").told();
        assert_eq!(told.reason, Reason::UpdateForbidden);
        assert!(told.text.contains("grant patch on secrets/other in team"), "{}", told.text);
    }

    #[test]
    fn every_failure_of_the_exchange_has_its_word() {
        let (host, answer) = (String::from("h"), String::from("a"));
        let denied = exchange::Error::IdentityNotFound { host, answer, identity: "i".into() };
        assert_eq!(Error::from(denied).reason(), Reason::IdentityNotFound);
        let (host, answer) = (String::from("h"), String::from("a"));
        let asked = Some(std::time::Duration::from_secs(9));
        let throttled = Error::from(exchange::Error::Throttled { host, answer, retry_after: asked }).told();
        assert_eq!((throttled.reason, throttled.retry_after), (Reason::ExchangeThrottled, asked));
    }
}
