//! The keys of one registry's table, and the credential that they make (credentials specification §4.1, §4.2 S4).
//!
//! An empty text is no value, as in the schema.

use toml::de::DeTable;

use super::{Key, Walk};
use crate::credential::docker_config::auth;
use crate::credential::registry_config::authorities::Authorities;
use crate::credential::registry_config::finding::FindingCode;
use crate::credential::{Credential, Login, Redacted};

/// What one table holds.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) authorities: Option<Authorities>,
    pub(super) insecure: bool,
    username: Option<Redacted>,
    password: Option<Redacted>,
    auth: Option<Login>,
    identity_token: Option<Redacted>,
    registry_token: Option<Redacted>,
}

impl Fields {
    pub(super) fn read(walk: &mut Walk<'_>, table: &str, content: &DeTable<'_>) -> Self {
        let mut fields = Self::default();
        for (key, value) in content {
            let name = &**key.get_ref();
            let what = format!("registries.{table:?}.{name}");
            if name == "insecure-skip-verify" {
                fields.insecure = walk.boolean(value, &what).unwrap_or_default();
                continue;
            }
            if !KNOWN.contains(&name) {
                walk.unknown(key, name, &KNOWN);
                continue;
            }
            let Some(text) = walk.string(value, &what).filter(|text| !text.is_empty()) else { continue };
            match name {
                "ca-certs" => fields.authorities = walk.authorities(table, value, text),
                "username" => fields.username = Some(text.into()),
                "password" => fields.password = Some(text.into()),
                "identitytoken" => fields.identity_token = Some(text.into()),
                "registrytoken" => fields.registry_token = Some(text.into()),
                "auth" => match auth::decode(text.as_bytes()) {
                    Ok(login) => fields.auth = Some(login),
                    Err(malformed) => {
                        walk.at_value(value, FindingCode::MalformedAuth, format!("{what}: {malformed}"));
                    }
                },
                _ => walk.at_key(
                    key,
                    FindingCode::UnsupportedKey,
                    format!("{what} is not used: images are not pulled"),
                ),
            }
        }
        fields
    }

    /// `registrytoken`, else `identitytoken`, else name and password, else `auth`.
    pub(super) fn credential(&self, walk: &mut Walk<'_>, key: &Key<'_>, table: &str) -> Option<Credential> {
        let login = self.login(walk, key, table).or_else(|| self.auth.clone());
        match (&self.registry_token, &self.identity_token) {
            (Some(token), _) => Some(Credential::RegistryToken(token.clone())),
            (None, Some(token)) => Some(Credential::IdentityToken { token: token.clone(), fallback: login }),
            (None, None) => login.map(Credential::from_login),
        }
    }

    fn login(&self, walk: &mut Walk<'_>, key: &Key<'_>, table: &str) -> Option<Login> {
        let missing = match (&self.username, &self.password) {
            (None, None) => return None,
            (Some(username), Some(password)) => {
                if self.auth.is_some() {
                    let detail = format!("registries.{table:?}: username and password are used, auth is not");
                    walk.at_key(key, FindingCode::ConflictingKeys, detail);
                }
                return Some(Login {
                    username: username.expose_text().into_owned(),
                    password: password.clone(),
                });
            }
            (Some(_), None) => "username without password",
            (None, Some(_)) => "password without username",
        };
        walk.at_key(key, FindingCode::RegistryConfigInvalid, format!("registries.{table:?}: {missing}"));
        None
    }
}

const KNOWN: [&str; 8] = [
    "ca-certs",
    "insecure-skip-verify",
    "username",
    "password",
    "auth",
    "identitytoken",
    "registrytoken",
    "mirror",
];
