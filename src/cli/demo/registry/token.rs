//! Who may do what: Basic users, the scopes they ask for, and the tokens that they get.
//!
//! Guarantees: a token grants at most what its user has, for at most [`LIFETIME`]; it is an opaque random
//! string, so it says nothing and cannot be forged; passwords and tokens are compared without a timing hint
//! or looked up by hash; at most [`MOST_TOKENS`] are alive. Time is an argument.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::{Right, User};
use crate::artifact::digest::Digest;

/// How long a token lives.
pub(super) const LIFETIME: Duration = Duration::from_mins(5);
/// Tokens alive at once.
const MOST_TOKENS: usize = 4096;
/// Scopes of one token.
const MOST_SCOPES: usize = 16;

/// Repository → what may be done there.
pub(super) type Grants = BTreeMap<String, Right>;

/// Why no token was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("this user and password are not known")]
    Unknown,
    #[error("too many tokens are alive")]
    Crowded,
    #[error("the system gives no random bytes")]
    NoRandomness,
}

/// Users and the tokens that are alive, by the hash of each.
pub(super) struct Tokens {
    users: Vec<User>,
    alive: HashMap<Digest, Token>,
}

struct Token {
    user: String,
    grants: Grants,
    expires: Instant,
}

impl Tokens {
    pub(super) fn new(users: Vec<User>) -> Self {
        Self { users, alive: HashMap::new() }
    }

    /// The user whom an `Authorization: Basic …` header proves.
    pub(super) fn basic_user(&self, authorization: &str) -> Option<&User> {
        let decoded = STANDARD.decode(credentials(authorization, "basic")?).ok()?;
        let split = decoded.iter().position(|b| *b == b':')?;
        let (name, password) = decoded.split_at_checked(split)?;
        self.users.iter().find(|user| {
            user.name.as_bytes() == name
                && password
                    .get(1..)
                    .is_some_and(|p| verify_slices_are_equal(p, user.password.as_bytes()).is_ok())
        })
    }

    /// Makes a token for the user of `authorization`: of the `scopes` asked for, what the user has.
    pub(super) fn grant(
        &mut self,
        authorization: &str,
        scopes: &[String],
        now: Instant,
    ) -> Result<(String, String), Refused> {
        let user = self.basic_user(authorization).ok_or(Refused::Unknown)?;
        let (name, grants) = (user.name.clone(), granted(user.right, scopes));
        self.alive.retain(|_, token| token.expires > now);
        if self.alive.len() >= MOST_TOKENS {
            return Err(Refused::Crowded);
        }
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).map_err(|_| Refused::NoRandomness)?;
        let text = URL_SAFE_NO_PAD.encode(bytes);
        let token = Token { user: name.clone(), grants, expires: now + LIFETIME };
        self.alive.insert(Digest::of(text.as_bytes()), token);
        Ok((text, name))
    }

    /// The user and the grants of an `Authorization: Bearer …` header, while its token lives.
    pub(super) fn bearer(&self, authorization: &str, now: Instant) -> Option<(&str, &Grants)> {
        let text = credentials(authorization, "bearer")?;
        let token = self.alive.get(&Digest::of(text.as_bytes()))?;
        (token.expires > now).then_some((token.user.as_str(), &token.grants))
    }
}

/// The rest of an `Authorization` header when it has this scheme, whose name is case-insensitive.
fn credentials<'h>(authorization: &'h str, scheme: &str) -> Option<&'h str> {
    let (name, rest) = authorization.split_once(' ')?;
    name.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

/// What `right` leaves of the scopes `repository:NAME:pull,push` (several may share one string).
fn granted(right: Right, scopes: &[String]) -> Grants {
    let mut grants = Grants::new();
    for scope in scopes.iter().flat_map(|s| s.split(' ')).take(MOST_SCOPES) {
        let Some((name, actions)) = scope.strip_prefix("repository:").and_then(|s| s.rsplit_once(':')) else {
            continue;
        };
        let asked = actions.split(',').filter_map(|action| match action {
            "pull" => Some(Right::Pull),
            "push" => Some(Right::Push),
            _ => None,
        });
        let best = asked.filter(|asked| *asked <= right).max();
        if let Some(best) = best.max(grants.get(name).copied()) {
            grants.insert(name.to_owned(), best);
        }
    }
    grants
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        Tokens::new(vec![
            User::new("reader", "r:secret", Right::Pull),
            User::new("writer", "w-secret", Right::Push),
        ])
    }

    fn basic(name: &str, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
    }

    fn grants(authorization: &str, scopes: &[&str]) -> Grants {
        let mut tokens = tokens();
        let now = Instant::now();
        let scopes: Vec<_> = scopes.iter().map(ToString::to_string).collect();
        let (token, _) = tokens.grant(authorization, &scopes, now).unwrap();
        tokens.bearer(&format!("Bearer {token}"), now).unwrap().1.clone()
    }

    #[test]
    fn a_token_never_grants_more_than_its_user_has() {
        let reader = grants(&basic("reader", "r:secret"), &["repository:app:pull,push"]);
        assert_eq!(reader, Grants::from([("app".to_owned(), Right::Pull)]));
        assert!(grants(&basic("reader", "r:secret"), &["repository:app:push"]).is_empty());
        let writer = grants(&basic("writer", "w-secret"), &["repository:app:pull,push"]);
        assert_eq!(writer, Grants::from([("app".to_owned(), Right::Push)]));
    }

    #[test]
    fn a_token_grants_only_the_scopes_asked_for() {
        let writer = basic("writer", "w-secret");
        assert!(grants(&writer, &[]).is_empty());
        assert!(grants(&writer, &["registry:catalog:*", "nonsense", "repository:app"]).is_empty());
        let two = grants(&writer, &["repository:a/b:pull repository:c:push", "repository:c:pull"]);
        assert_eq!(two, Grants::from([("a/b".to_owned(), Right::Pull), ("c".to_owned(), Right::Push)]));
    }

    #[test]
    fn wrong_passwords_unknown_users_and_other_schemes_get_no_token() {
        let mut tokens = tokens();
        for authorization in [
            basic("reader", "w-secret"),
            basic("reader", ""),
            basic("nobody", "r:secret"),
            "Bearer x".to_owned(),
            "Basic !!!".to_owned(),
            "Basic".to_owned(),
            String::new(),
        ] {
            assert_eq!(
                tokens.grant(&authorization, &[], Instant::now()),
                Err(Refused::Unknown),
                "{authorization}"
            );
        }
    }

    #[test]
    fn a_token_ends_with_its_lifetime() {
        let mut tokens = tokens();
        let now = Instant::now();
        let (token, user) = tokens.grant(&basic("reader", "r:secret"), &[], now).unwrap();
        assert_eq!(user, "reader");
        let header = format!("bearer {token}");
        assert!(tokens.bearer(&header, now + LIFETIME / 2).is_some());
        assert!(tokens.bearer(&header, now + LIFETIME).is_none());
        assert!(tokens.bearer("Bearer made-up", now).is_none());
    }

    #[test]
    fn tokens_are_bounded_and_room_returns_when_they_expire() {
        let mut tokens = tokens();
        let (header, now) = (basic("reader", "r:secret"), Instant::now());
        for _ in 0..MOST_TOKENS {
            tokens.grant(&header, &[], now).unwrap();
        }
        assert_eq!(tokens.grant(&header, &[], now), Err(Refused::Crowded));
        assert!(tokens.grant(&header, &[], now + LIFETIME).is_ok());
    }
}
