//! The docker config of a Secret: the token that is in it, and the same config with another token (credentials
//! specification §6.4). Pure.
//!
//! Guarantees: entries of other registries stay byte for byte; what is written reads back as the name and the token
//! that were meant, or nothing is written (U7).

use zeroize::Zeroizing;

use super::splice::{self, Malformed};
use crate::client::exchange::provider::{Provider, WriteAs};
use crate::credential::docker_config::read_document;
use crate::credential::{Credential, Key, Location, Login, Redacted, Source};

/// Why a config cannot take a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// It is no docker config.
    #[error("the content is no docker config: {0}")]
    Malformed(#[from] Malformed),
    /// What was written would not read back.
    #[error("the content would not read back as the token that was written")]
    NotReadBack,
}

/// The token that the config has for every one of `registries`; nothing when one has none or another.
pub fn token_in(content: &[u8], registries: &[String]) -> Option<Redacted> {
    let reading = read_document(&Source::Anonymous, Location::Ambient, content);
    let mut found: Option<Redacted> = None;
    for registry in registries {
        let key = Key::parse(registry).ok()?;
        let entry = reading.entries.iter().find(|entry| entry.key.to_string() == key.to_string())?;
        let token = match &*entry.credential {
            Credential::Basic(login) => &login.password,
            Credential::IdentityToken { token, .. } | Credential::RegistryToken(token) => token,
            Credential::Anonymous | Credential::ToFetch(_) => return None,
        };
        if found.as_ref().is_some_and(|other| other != token) {
            return None;
        }
        found = Some(token.clone());
    }
    found
}

/// The config with `token` for each of `registries`.
pub fn with_token(
    content: &[u8],
    provider: &Provider,
    registries: &[String],
    token: &Redacted,
) -> Result<Zeroizing<String>, WriteError> {
    // Bytes that are no text are refused as no JSON.
    let text = std::str::from_utf8(content).map_err(|_| Malformed::Syntax { line: 1, column: 1 })?;
    let entry = entry(provider, token);
    let mut config = Zeroizing::new(text.to_owned());
    for registry in registries {
        config = Zeroizing::new(splice::set(&config, &["auths", registry], &entry)?);
    }
    match token_in(config.as_bytes(), registries) {
        Some(read) if read == *token => Ok(config),
        _ => Err(WriteError::NotReadBack),
    }
}

fn entry(provider: &Provider, token: &Redacted) -> Zeroizing<String> {
    let (field, value) = match provider.write_as {
        WriteAs::Auth => {
            let login = Login { username: provider.username.clone(), password: token.clone() };
            ("auth", login.encoded())
        }
        WriteAs::IdentityToken => ("identitytoken", Zeroizing::new(token.expose_text().into_owned())),
        WriteAs::RegistryToken => ("registrytoken", Zeroizing::new(token.expose_text().into_owned())),
    };
    let value = Zeroizing::new(splice::quoted(&value));
    Zeroizing::new(format!("{{\"{field}\":{}}}", *value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::exchange::provider::Providers;

    fn provider(more: &str) -> Provider {
        let text = format!("[providers.p]\nkind = \"chainguard\"\n{more}");
        Provider::clone(Providers::parse(&text).unwrap().named("p").unwrap())
    }

    fn registries(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_token_is_written_as_name_and_password_and_read_back() {
        let cgr = registries(&["cgr.dev"]);
        let token = Redacted::from("a.b.c");
        let config = with_token(b"{}", &provider(""), &cgr, &token).unwrap();
        assert_eq!(*config, r#"{"auths":{"cgr.dev":{"auth":"X3Rva2VuOmEuYi5j"}}}"#);
        assert_eq!(token_in(config.as_bytes(), &cgr), Some(token.clone()));
        assert_eq!(with_token(b"", &provider(""), &cgr, &token).unwrap(), config);
        let again = with_token(config.as_bytes(), &provider(""), &cgr, &token).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn entries_of_other_registries_stay_byte_for_byte() {
        let other = "\"other.example\" : { \"auth\":\"dTpw\" , \"unknown\": [1,  2] }";
        let text = format!("{{ \"auths\": {{ {other}, \"cgr.dev\": {{}} }}, \"more\": null }}");
        let config =
            with_token(text.as_bytes(), &provider(""), &registries(&["cgr.dev"]), &Redacted::from("t"));
        assert_eq!(
            *config.unwrap(),
            text.replace("\"cgr.dev\": {}", "\"cgr.dev\": {\"auth\":\"X3Rva2VuOnQ=\"}")
        );
    }

    #[test]
    fn a_token_counts_only_when_every_registry_has_the_same() {
        let both = registries(&["cgr.dev", "second.example"]);
        let token = Redacted::from("t");
        let config = with_token(b"{}", &provider(""), &both, &token).unwrap();
        assert_eq!(token_in(config.as_bytes(), &both), Some(token.clone()));
        let half = with_token(config.as_bytes(), &provider(""), &both[..1], &Redacted::from("u")).unwrap();
        assert_eq!(token_in(half.as_bytes(), &both), None);
        assert_eq!(token_in(half.as_bytes(), &registries(&["third.example"])), None);
    }

    #[test]
    fn other_fields_of_a_docker_config_are_written_where_the_provider_says_so() {
        for field in ["identitytoken", "registrytoken"] {
            let provider = provider(&format!("write-as = \"{field}\""));
            let config =
                with_token(b"{}", &provider, &registries(&["cgr.dev"]), &Redacted::from("t")).unwrap();
            assert_eq!(*config, format!(r#"{{"auths":{{"cgr.dev":{{"{field}":"t"}}}}}}"#));
        }
    }

    #[test]
    fn content_that_is_no_docker_config_is_not_destroyed() {
        for text in [&b"canary"[..], b"[]", br#"{"auths":[]}"#, br#"{"auths":"canary"}"#, b"\xff"] {
            let error = with_token(text, &provider(""), &registries(&["cgr.dev"]), &Redacted::from("t"));
            let error = error.unwrap_err();
            assert!(
                matches!(error, WriteError::Malformed(_)) && !error.to_string().contains("canary"),
                "{error}"
            );
        }
    }
}
