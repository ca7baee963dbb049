//! What a registry wants to see before it answers: `WWW-Authenticate` (credentials specification §5.1; RFC 9110
//! §11.6.1).
//!
//! Total: any header yields the challenges that can be made out in it. Bounded in what it keeps, because the header
//! comes from whatever host a run's result named.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// One challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The scheme.
    pub scheme: Scheme,
    parameters: Vec<(String, String)>,
}

/// Authentication schemes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// A token from the token service `realm`.
    Bearer,
    /// Name and password.
    Basic,
    /// One that registries never need: Negotiate, Digest and so on.
    Other,
}

impl Challenge {
    /// All challenges of all `WWW-Authenticate` headers in order of appearance.
    pub fn parse_all(headers: &HeaderMap) -> Vec<Self> {
        const MOST: usize = 16;
        let mut challenges = Vec::new();
        for value in headers.get_all(WWW_AUTHENTICATE) {
            parse(&String::from_utf8_lossy(value.as_bytes()), &mut challenges);
        }
        challenges.truncate(MOST);
        challenges
    }

    /// The first that can be answered: Basic, or Bearer with a realm.
    pub fn first_usable(challenges: &[Self]) -> Option<&Self> {
        challenges.iter().find(|challenge| match challenge.scheme {
            Scheme::Basic => true,
            Scheme::Bearer => challenge.realm().is_some(),
            Scheme::Other => false,
        })
    }

    /// `realm`: for Bearer the URL of the token service.
    pub fn realm(&self) -> Option<&str> {
        self.parameter("realm")
    }

    /// `service`: the audience of the token.
    pub fn service(&self) -> Option<&str> {
        self.parameter("service")
    }

    /// `scope`, parted at blanks.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.parameter("scope").unwrap_or_default().split_ascii_whitespace()
    }

    /// `error`: `insufficient_scope` is how a 401 says that the token is good and the right is missing (§1.4).
    pub fn error(&self) -> Option<&str> {
        self.parameter("error")
    }

    /// As it may be remembered: the scope belongs to the one request that was refused, and naming it later would tell
    /// one tenant's repository to another's token request.
    pub fn without_scope(mut self) -> Self {
        self.parameters.retain(|(name, _)| !name.eq_ignore_ascii_case("scope"));
        self
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn new(scheme: &str) -> Self {
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Scheme::Bearer,
            "basic" => Scheme::Basic,
            _ => Scheme::Other,
        };
        Self { scheme, parameters: Vec::new() }
    }
}

/// A comma parts challenges and parameters alike; a word is a parameter when `=` follows, and otherwise a scheme.
fn parse(text: &str, challenges: &mut Vec<Challenge>) {
    const MOST_PARAMETERS: usize = 16;
    let first_of_header = challenges.len();
    let mut cursor = Cursor { rest: text };
    loop {
        cursor.skip(|c| c == ',' || is_blank(c));
        if cursor.rest.is_empty() {
            return;
        }
        let word = cursor.take(is_token);
        if word.is_empty() {
            cursor.skip(|c| c != ',');
            continue;
        }
        cursor.skip(is_blank);
        if cursor.eat('=') {
            let value = cursor.value();
            if let Some(challenge) = challenges.get_mut(first_of_header..).and_then(<[_]>::last_mut)
                && challenge.parameters.len() < MOST_PARAMETERS
            {
                challenge.parameters.push((word.to_owned(), value));
            }
        } else {
            challenges.push(Challenge::new(word));
            cursor.skip_token68();
        }
    }
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let (taken, rest) = self.rest.split_at(self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn skip(&mut self, unwanted: impl Fn(char) -> bool) {
        self.take(unwanted);
    }

    fn eat(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// A quoted text with `\` escapes, or the characters up to a comma or blank; some servers leave URLs unquoted.
    fn value(&mut self) -> String {
        self.skip(is_blank);
        if !self.eat('"') {
            return self.take(|c| c != ',' && !is_blank(c)).to_owned();
        }
        let mut value = String::new();
        let mut characters = self.rest.chars();
        while let Some(character) = characters.next() {
            match character {
                '"' => break,
                '\\' => value.extend(characters.next()),
                other => value.push(other),
            }
        }
        self.rest = characters.as_str();
        value
    }

    /// The other form that may follow a scheme, as in `Negotiate YII=`: only if nothing but a comma comes behind it.
    fn skip_token68(&mut self) {
        let mut ahead = Cursor { rest: self.rest };
        ahead.skip(|c| c.is_ascii_alphanumeric() || "-._~+/".contains(c));
        ahead.skip(|c| c == '=');
        ahead.skip(is_blank);
        if ahead.rest.is_empty() || ahead.rest.starts_with(',') {
            self.rest = ahead.rest;
        }
    }
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenges(values: &[&str]) -> Vec<Challenge> {
        let headers = values
            .iter()
            .map(|value| (WWW_AUTHENTICATE, http::HeaderValue::from_bytes(value.as_bytes()).unwrap()));
        let mut map = HeaderMap::new();
        headers.for_each(|(name, value)| {
            map.append(name, value);
        });
        Challenge::parse_all(&map)
    }

    fn schemes(values: &[&str]) -> Vec<Scheme> {
        challenges(values).iter().map(|challenge| challenge.scheme).collect()
    }

    #[test]
    fn a_bearer_challenge_as_docker_hub_sends_it() {
        let found = challenges(&[
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:u/x:pull,push""#,
        ]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].realm(), Some("https://auth.docker.io/token"));
        assert_eq!(found[0].service(), Some("registry.docker.io"));
        assert_eq!(found[0].scopes().collect::<Vec<_>>(), ["repository:u/x:pull,push"]);
        assert_eq!(found[0].error(), None);
    }

    #[test]
    fn a_remembered_challenge_names_no_repository() {
        let found =
            challenges(&[r#"Bearer realm="https://a/token",Scope="repository:tenant/x:pull",service="s""#]);
        let remembered = found[0].clone().without_scope();
        assert_eq!(remembered.scopes().count(), 0);
        assert_eq!((remembered.realm(), remembered.service()), (Some("https://a/token"), Some("s")));
    }

    #[test]
    fn row_1_negotiate_is_passed_over_for_basic() {
        for values in [
            &["Negotiate", r#"Basic realm="x""#][..],
            &[r#"Negotiate, Basic realm="x""#],
            &[r#"Negotiate YIIabc==, Basic realm="x""#],
        ] {
            assert_eq!(schemes(values), [Scheme::Other, Scheme::Basic], "{values:?}");
            let found = challenges(values);
            assert_eq!(Challenge::first_usable(&found).unwrap().scheme, Scheme::Basic);
        }
    }

    #[test]
    fn several_challenges_in_one_header_keep_their_parameters_apart() {
        let found = challenges(&[
            r#"Digest realm="d", nonce="a,b" , qop=auth,Basic realm="b", charset="UTF-8", BEARER Realm="https://t" , ERROR="insufficient_scope""#,
        ]);
        assert_eq!(
            found.iter().map(|c| c.scheme).collect::<Vec<_>>(),
            [Scheme::Other, Scheme::Basic, Scheme::Bearer]
        );
        assert_eq!(found.iter().map(|c| c.realm().unwrap()).collect::<Vec<_>>(), ["d", "b", "https://t"]);
        assert_eq!(found[2].error(), Some("insufficient_scope"));
    }

    #[test]
    fn quoted_texts_may_hold_escapes_commas_and_equal_signs() {
        let found = challenges(&[r#"Bearer realm = "https://a/?x=\"1\",2\\" , service=plain"#]);
        assert_eq!(found[0].realm(), Some(r#"https://a/?x="1",2\"#));
        assert_eq!(found[0].service(), Some("plain"));
    }

    #[test]
    fn unquoted_urls_are_taken_up_to_the_comma() {
        let found = challenges(&["Bearer realm=https://auth.example.com/token,service=s"]);
        assert_eq!(found[0].realm(), Some("https://auth.example.com/token"));
        assert_eq!(found[0].service(), Some("s"));
    }

    #[test]
    fn token68_is_no_parameter() {
        let found = challenges(&["Basic abc=, Bearer a.b-c~d/e+f, Bearer realm=\"x\""]);
        assert_eq!(found.iter().map(|c| c.realm()).collect::<Vec<_>>(), [None, None, Some("x")]);
    }

    #[test]
    fn a_bearer_without_realm_cannot_be_used() {
        let found = challenges(&["Bearer service=\"s\", Bearer realm=\"\", Negotiate"]);
        assert_eq!(found.len(), 3);
        assert_eq!(Challenge::first_usable(&found), None);
        assert_eq!(Challenge::first_usable(&challenges(&["Bearer", "Basic"])).unwrap().scheme, Scheme::Basic);
    }

    #[test]
    fn several_scopes_are_parted_at_blanks() {
        let found = challenges(&[r#"Bearer realm="x",scope="repository:a:pull repository:b:pull""#]);
        assert_eq!(found[0].scopes().count(), 2);
    }

    #[test]
    fn malformed_headers_yield_what_can_be_made_out() {
        for (text, expected) in [
            ("", 0),
            (",,, ,", 0),
            ("realm=\"x\"", 0),
            ("\"quoted\" Basic", 0),
            ("@@@, Basic", 1),
            ("Bearer realm=\"unterminated", 1),
            ("Bearer realm=\"x\\", 1),
            ("Bearer realm", 1),
            ("Basic realm=\"ä\u{fffd}\"", 1),
        ] {
            assert_eq!(challenges(&[text]).len(), expected, "{text}");
        }
    }

    #[test]
    fn a_parameter_never_crosses_from_one_header_to_the_next() {
        let found = challenges(&["Bearer", "realm=\"https://elsewhere\", Basic"]);
        assert_eq!(found.iter().map(Challenge::realm).collect::<Vec<_>>(), [None, None]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        assert_eq!(challenges(&[&"Basic,".repeat(5000)]).len(), 16);
        let parameters = format!("Bearer {}", "a=b,".repeat(5000));
        assert_eq!(challenges(&[&parameters])[0].parameters.len(), 16);
    }

    #[test]
    fn no_prefix_of_a_header_breaks_the_parser() {
        let whole = r#"Digest a="\\\"", b=c, Negotiate abc==, Bearer realm="https://x/?a=b,c", scope="d e""#;
        for end in 0..=whole.len() {
            challenges(&[&whole[..end]]);
            challenges(&[&whole[end..]]);
        }
    }

    /// The forms that registries in wide use send.
    #[test]
    fn the_headers_of_well_known_registries_are_understood() {
        for (header, realm, service, scopes) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:org/app:pull,push""#,
                "https://auth.docker.io/token",
                Some("registry.docker.io"),
                &["repository:org/app:pull,push"][..],
            ),
            (
                r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:user/image:pull""#,
                "https://ghcr.io/token",
                Some("ghcr.io"),
                &["repository:user/image:pull"],
            ),
            (
                r#"Bearer realm="https://gitlab.example.com/jwt/auth",service="container_registry",error="invalid_token""#,
                "https://gitlab.example.com/jwt/auth",
                Some("container_registry"),
                &[],
            ),
            (
                r#"Bearer realm="https://quay.io/v2/auth",service="quay.io",scope="repository:a/b:pull",error="insufficient_scope""#,
                "https://quay.io/v2/auth",
                Some("quay.io"),
                &["repository:a/b:pull"],
            ),
            (r#"Bearer realm="https://public.ecr.aws/token/""#, "https://public.ecr.aws/token/", None, &[]),
        ] {
            let found = challenges(&[header]);
            let challenge = Challenge::first_usable(&found).unwrap();
            assert_eq!((challenge.realm(), challenge.service()), (Some(realm), service), "{header}");
            assert_eq!(challenge.scopes().collect::<Vec<_>>(), scopes, "{header}");
        }
    }

    #[test]
    fn of_two_usable_challenges_the_first_counts() {
        for (headers, scheme) in [
            (&[r#"Basic realm="x""#, r#"Bearer realm="https://t""#][..], Scheme::Basic),
            (&[r#"Bearer realm="https://t""#, r#"Basic realm="x""#], Scheme::Bearer),
            (&[r#"bearer realm="https://t", basic realm="x""#], Scheme::Bearer),
        ] {
            assert_eq!(Challenge::first_usable(&challenges(headers)).unwrap().scheme, scheme, "{headers:?}");
        }
    }

    #[test]
    fn of_a_parameter_that_is_given_twice_the_first_counts() {
        let found = challenges(&[r#"Bearer realm="https://first",REALM="https://second""#]);
        assert_eq!(found[0].realm(), Some("https://first"));
    }

    #[test]
    fn bytes_that_are_no_text_do_not_hide_what_follows() {
        let mut headers = HeaderMap::new();
        headers.append(
            WWW_AUTHENTICATE,
            http::HeaderValue::from_bytes(b"X\xff\xfe, Basic realm=\"x\"").unwrap(),
        );
        assert_eq!(Challenge::first_usable(&Challenge::parse_all(&headers)).unwrap().scheme, Scheme::Basic);
        assert_eq!(Challenge::parse_all(&HeaderMap::new()), []);
    }
}
