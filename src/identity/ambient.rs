//! The identity token that the environment holds in `SIGSTORE_ID_TOKEN` (credentials specification §9.1).
//!
//! The command line reads the variable; here is only its value. Jobs and machines that are asked for a token are in
//! `job` and `google`.

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::provider::Provider;
use super::token::IdentityToken;
use super::{Error, TokenSource};

/// A token that the process was started with.
pub struct Ambient(Zeroizing<String>);

impl Ambient {
    /// The value of `SIGSTORE_ID_TOKEN`.
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

#[async_trait]
impl TokenSource for Ambient {
    fn provider(&self) -> Provider {
        Provider::Environment
    }

    async fn token(&self, _audience: &str) -> Result<IdentityToken, Error> {
        IdentityToken::parse(&self.0)
            .map_err(|reason| Error::Token { provider: Provider::Environment, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::tests::{claims, now, token};
    use super::*;

    #[tokio::test]
    async fn the_value_of_the_environment_is_the_token() {
        let source = Ambient::new(Zeroizing::new(format!(" {} ", token(&claims()))));
        source.token("sigstore").await.unwrap().check("sigstore", now()).unwrap();
        assert_eq!(source.provider(), Provider::Environment);
    }

    #[tokio::test]
    async fn an_empty_variable_is_no_token_and_the_error_says_whose() {
        let error = Ambient::new(Zeroizing::default()).token("sigstore").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the identity token of provider envvar cannot be used: it is no JSON Web Token: it has not three parts"
        );
    }
}
