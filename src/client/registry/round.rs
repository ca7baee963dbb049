//! Whether a 401 is worth another round with the same credential (credentials specification §1.4). Pure.
//!
//! A refusal of what was obtained a moment ago, for exactly what the registry asks, is final: repeating it would
//! count as a second attempt where accounts are locked after a few.

use super::tokens::Held;
use crate::client::challenge::Challenge;
use crate::client::token::Scope;

/// `asked` came with the 401 to what was `held`, which had answered `challenges` and named `scope`.
pub(super) fn another(held: &Held, asked: &[Challenge], challenges: &[Challenge], scope: &Scope) -> bool {
    let may_have_expired = held.remembered && held.authorization.refresh_at.is_some();
    let Some(wanted) = Challenge::first_usable(asked) else { return may_have_expired };
    let same_service = Challenge::first_usable(challenges).is_some_and(|answered| {
        (answered.scheme, answered.realm(), answered.service())
            == (wanted.scheme, wanted.realm(), wanted.service())
    });
    may_have_expired || !same_service || wanted.scopes().any(|text| !covers(scope, text))
}

/// Whether a token for `scope` was asked for everything that `text` names, in whatever order it does.
fn covers(scope: &Scope, text: &str) -> bool {
    let named = text.strip_prefix("repository:").and_then(|rest| rest.rsplit_once(':'));
    named.is_some_and(|(path, actions)| {
        let covered = |action: &str| action == "pull" || (action == "push" && scope.push);
        path == scope.path && actions.split(',').all(covered)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::header::WWW_AUTHENTICATE;
    use http::{HeaderMap, HeaderValue};
    use jiff::Timestamp;

    use super::*;
    use crate::client::token::Authorization;

    const BEARER: &str = r#"Bearer realm="https://auth.example/token",service="registry""#;

    fn challenges(text: &str) -> Vec<Challenge> {
        Challenge::parse_all(&HeaderMap::from_iter([(
            WWW_AUTHENTICATE,
            HeaderValue::from_str(text).unwrap(),
        )]))
    }

    fn held(remembered: bool, expires: bool) -> Held {
        let refresh_at = expires.then_some(Timestamp::UNIX_EPOCH);
        let header = HeaderValue::from_static("Bearer x");
        let authorization = Authorization { header, expires_at: None, refresh_at, identity_token: None };
        Held { authorization: Arc::new(authorization), remembered }
    }

    fn again(held: &Held, more: &str) -> bool {
        let push = Scope { path: "team/app".to_owned(), push: true };
        another(held, &challenges(&format!("{BEARER}{more}")), &challenges(BEARER), &push)
    }

    #[test]
    fn a_fresh_token_for_all_that_is_asked_is_refused_for_good() {
        for more in ["", r#",error="insufficient_scope""#, r#",scope="repository:team/app:push,pull""#] {
            assert!(!again(&held(false, true), more), "{more}");
        }
    }

    #[test]
    fn a_remembered_token_may_have_expired_and_a_name_with_password_cannot() {
        assert!(again(&held(true, true), ""));
        assert!(!again(&held(true, false), ""));
    }

    #[test]
    fn a_challenge_that_names_something_else_is_worth_a_token_for_that() {
        for more in ["repository:team/base:pull", "repository:team/app:delete", "registry:catalog:*"] {
            assert!(again(&held(false, true), &format!(",scope=\"{more}\"")), "{more}");
        }
        let push = Scope { path: "team/app".to_owned(), push: true };
        assert!(another(&held(false, false), &challenges(BEARER), &challenges("Basic realm=\"r\""), &push));
        assert!(!another(&held(false, false), &[], &challenges(BEARER), &push));
    }
}
