//! One entry of a docker config: its fields, and which of them make the credential (credentials specification §2.2).
//!
//! Field names are matched without regard to case, as Go does; unknown fields of any type are passed over.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::auth::{self, MalformedAuth};
use crate::credential::{Credential, Login, Redacted};

/// The fields that count; an empty text is no field.
#[derive(Default)]
pub(super) struct Fields {
    username: Option<Redacted>,
    password: Option<Redacted>,
    auth: Option<Redacted>,
    identity_token: Option<Redacted>,
    registry_token: Option<Redacted>,
}

/// What an entry comes to.
pub(super) struct Resolved {
    pub(super) credential: Option<Credential>,
    pub(super) malformed: Option<MalformedAuth>,
}

/// An entry that is no object of texts. The parser's own message is left out, because it may repeat a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be an object whose username, password, auth, identitytoken and registrytoken are texts")]
pub(super) struct MalformedFields;

impl Fields {
    pub(super) fn parse(entry: &str) -> Result<Self, MalformedFields> {
        let fields: Option<Self> = serde_json::from_str(entry).map_err(|_| MalformedFields)?;
        Ok(fields.unwrap_or_default())
    }

    /// `registrytoken`, else `identitytoken`, else `auth`, else `username` and `password`.
    pub(super) fn resolve(self) -> Resolved {
        if let Some(token) = self.registry_token {
            return Resolved { credential: Some(Credential::RegistryToken(token)), malformed: None };
        }
        let (login, malformed) = login_of(self.auth, self.username, self.password);
        if let Some(token) = self.identity_token {
            // An empty password beside an identity token is how tools write "there is no password".
            let malformed = malformed.filter(|why| *why != MalformedAuth::EmptyPassword);
            let credential = Credential::IdentityToken { token, fallback: login };
            return Resolved { credential: Some(credential), malformed };
        }
        Resolved { credential: login.map(Credential::from_login), malformed }
    }

    fn field(&mut self, name: &str) -> Option<&mut Option<Redacted>> {
        Some(match name.to_ascii_lowercase().as_str() {
            "username" => &mut self.username,
            "password" => &mut self.password,
            "auth" => &mut self.auth,
            "identitytoken" => &mut self.identity_token,
            "registrytoken" => &mut self.registry_token,
            _ => return None,
        })
    }
}

/// `auth` replaces username and password; if it is malformed they serve after all, and the defect is told.
fn login_of(
    auth: Option<Redacted>,
    username: Option<Redacted>,
    password: Option<Redacted>,
) -> (Option<Login>, Option<MalformedAuth>) {
    let malformed = match auth.map(|auth| auth::decode(auth.expose())) {
        Some(Ok(login)) => return (Some(login), None),
        Some(Err(malformed)) => Some(malformed),
        None => None,
    };
    let half = username.is_some() != password.is_some();
    let (username, password) = (username.unwrap_or_else(empty), password.unwrap_or_else(empty));
    match auth::login(username.expose(), password.expose()) {
        Ok(login) => (Some(login), malformed),
        Err(why) => (None, malformed.or(half.then_some(why))),
    }
}

fn empty() -> Redacted {
    Redacted::from("")
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry of a docker config")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match fields.field(&name) {
                Some(field) => {
                    let text = map.next_value::<Option<String>>()?;
                    *field = text.filter(|text| !text.is_empty()).map(Redacted::from);
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(entry: &str) -> (Option<Credential>, Option<MalformedAuth>) {
        let resolved = Fields::parse(entry).unwrap().resolve();
        (resolved.credential, resolved.malformed)
    }

    fn basic(username: &str, password: &str) -> Credential {
        Credential::Basic(Login { username: username.into(), password: password.into() })
    }

    fn identity(token: &str, fallback: Option<(&str, &str)>) -> Credential {
        let fallback = fallback
            .map(|(username, password)| Login { username: username.into(), password: password.into() });
        Credential::IdentityToken { token: token.into(), fallback }
    }

    #[test]
    fn the_first_field_of_the_resolution_order_wins() {
        let user_pass = "dXNlcjpwYXNz";
        for (entry, expected) in [
            (
                r#"{"registrytoken":"r","identitytoken":"i","auth":"!!!"}"#.to_owned(),
                Credential::RegistryToken("r".into()),
            ),
            (
                r#"{"identitytoken":"i","username":"u","password":"p"}"#.to_owned(),
                identity("i", Some(("u", "p"))),
            ),
            (
                format!(r#"{{"identitytoken":"i","auth":"{user_pass}"}}"#),
                identity("i", Some(("user", "pass"))),
            ),
            (format!(r#"{{"auth":"{user_pass}","username":"u","password":"p"}}"#), basic("user", "pass")),
            (r#"{"username":"u","password":"p","email":"e@x"}"#.to_owned(), basic("u", "p")),
            (r#"{"USERNAME":"u","PassWord":"p","other":{"deep":[1]}}"#.to_owned(), basic("u", "p")),
            (
                r#"{"registrytoken":"","identitytoken":null,"username":"u","password":"p"}"#.to_owned(),
                basic("u", "p"),
            ),
            (r#"{"username":"<token>","password":"p"}"#.to_owned(), identity("p", None)),
        ] {
            assert_eq!(resolve(&entry), (Some(expected), None), "{entry}");
        }
    }

    #[test]
    fn an_auth_without_password_is_fine_beside_an_identity_token() {
        // base64 of the zero GUID and of <token>, each with a colon and nothing behind it
        for auth in ["MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg==", "PHRva2VuPjo="] {
            let entry = format!(r#"{{"auth":"{auth}","identitytoken":"i"}}"#);
            assert_eq!(resolve(&entry), (Some(identity("i", None)), None));
        }
    }

    #[test]
    fn a_malformed_auth_is_told_even_when_username_and_password_serve() {
        let malformed = Some(MalformedAuth::NotUserPassword);
        assert_eq!(
            resolve(r#"{"auth":"!!!","username":"u","password":"p"}"#),
            (Some(basic("u", "p")), malformed)
        );
        assert_eq!(resolve(r#"{"auth":"!!!"}"#), (None, malformed));
        assert_eq!(resolve(r#"{"auth":"!!!","identitytoken":"i"}"#), (Some(identity("i", None)), malformed));
    }

    #[test]
    fn half_a_login_is_malformed_and_none_is_empty() {
        assert_eq!(resolve(r#"{"username":"u"}"#), (None, Some(MalformedAuth::EmptyPassword)));
        assert_eq!(resolve(r#"{"password":"p"}"#), (None, Some(MalformedAuth::EmptyUsername)));
        assert_eq!(resolve("{}"), (None, None));
        assert_eq!(resolve("null"), (None, None));
    }

    #[test]
    fn entries_of_other_types_are_refused_without_repeating_them() {
        for entry in [r#""canary""#, "5", "[]", r#"{"auth":{"canary":1}}"#, r#"{"password":7}"#] {
            let refused = Fields::parse(entry).err().unwrap();
            assert!(!refused.to_string().contains("canary"));
        }
    }
}
