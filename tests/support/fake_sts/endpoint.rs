//! The endpoints: both exchanges, discovery, and the API of identities.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::extract::{Path, RawQuery, State as Shared};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Exchanged, Known, Mode, State, jwt};

type Sts = Arc<State>;

pub(super) fn router(state: &Sts) -> Router {
    Router::new()
        .route("/sts/exchange", post(chainguard))
        .route("/token", post(rfc8693))
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/keys", get(keys))
        .route("/iam/v1/identities", get(list))
        .route("/iam/v1/identities/{*id}", put(update).delete(revoke).post(create))
        .route("/iam/v1/roles", get(roles))
        .route("/iam/v1/rolebindings/{*parent}", post(bind))
        .with_state(Arc::clone(state))
}

/// What an exchange asks for, in whichever form.
#[derive(Default)]
struct Asked {
    audience: String,
    identity: String,
    subject_token: String,
}

async fn chainguard(
    Shared(sts): Shared<Sts>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: String,
) -> Response {
    let mut asked = Asked { subject_token: bearer(&headers), ..Asked::default() };
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        asked.set(&name, &value);
    }
    if let Ok(body) = serde_json::from_str::<Value>(&body) {
        asked.set("aud", body["aud"][0].as_str().unwrap_or_default());
        asked.set("identity", body["identity"].as_str().unwrap_or_default());
    }
    exchange(&sts, "/sts/exchange", &asked, |token, _| json!({"token": token})).await
}

async fn rfc8693(Shared(sts): Shared<Sts>, body: String) -> Response {
    let mut asked = Asked::default();
    for (name, value) in url::form_urlencoded::parse(body.as_bytes()) {
        asked.set(&name, &value);
    }
    exchange(&sts, "/token", &asked, |token, ttl| {
        json!({"access_token": token, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer", "expires_in": ttl})
    })
    .await
}

impl Asked {
    fn set(&mut self, name: &str, value: &str) {
        match name {
            "aud" | "audience" => value.clone_into(&mut self.audience),
            "identity" => value.clone_into(&mut self.identity),
            "subject_token" => value.clone_into(&mut self.subject_token),
            _ => {}
        }
    }
}

async fn exchange(sts: &Sts, path: &str, asked: &Asked, answer: impl Fn(&str, i64) -> Value) -> Response {
    let forced = forced(sts, &asked.identity).await;
    let result = match &forced {
        Some(mode) => Err((mode.status, json!({"code": 14, "message": "as the test wants it"}))),
        None => sts.grant(asked),
    };
    let status = result.as_ref().map_or_else(|(status, _)| *status, |_| 200);
    let granted = result.as_ref().ok().map(|(token, _, _)| hex::encode(digest(&SHA256, token.as_bytes())));
    let subject = result.as_ref().map(|(_, _, subject)| subject.clone()).unwrap_or_default();
    sts.log.lock().unwrap().push(Exchanged {
        time: Timestamp::now(),
        path: path.to_owned(),
        audience: asked.audience.clone(),
        identity: asked.identity.clone(),
        subject,
        status,
        granted,
    });
    let retry_after = forced.and_then(|mode| mode.retry_after);
    let body = match result {
        Ok((token, ttl, _)) => answer(&token, ttl),
        Err((_, body)) => body,
    };
    let mut response = reply(status, &body);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// What a test wants instead, after its delay.
async fn forced(sts: &Sts, identity: &str) -> Option<Mode> {
    let mode = {
        let mut modes = sts.modes.lock().unwrap();
        let mode = modes.get_mut(identity).filter(|mode| mode.times > 0)?;
        mode.times -= 1;
        mode.clone()
    };
    tokio::time::sleep(mode.delay).await;
    (mode.status != 200).then_some(mode)
}

impl State {
    fn grant(&self, asked: &Asked) -> Result<(String, i64, String), (u16, Value)> {
        let denied = |message: &str| (403, json!({"code": 7, "message": message}));
        if asked.subject_token.is_empty() {
            return Err((401, json!({"code": 16, "message": "missing token"})));
        }
        if asked.audience.is_empty() {
            return Err((400, json!({"code": 3, "message": "missing aud"})));
        }
        let known = if asked.identity.is_empty() {
            self.person(&asked.subject_token)
        } else {
            self.identities.lock().unwrap().get(&asked.identity).cloned()
        };
        let known = known.ok_or_else(|| (404, json!({"code": 5, "message": "no such identity"})))?;
        let claims = self.verified(&asked.subject_token, &known).ok_or_else(|| denied("not verified"))?;
        let base = self.base.lock().unwrap().clone();
        let host = base.trim_start_matches("https://").split(':').next().unwrap_or_default().to_owned();
        let accepted = ["issuer.enforce.dev", &host, &base];
        let audiences: Vec<&str> = match &claims["aud"] {
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        let fits = |audience: &&str| match &known.audience {
            Some(client) => audience == client,
            None => accepted.contains(audience),
        };
        if !audiences.iter().any(fits) {
            return Err(denied("audience mismatch"));
        }
        if claims["iss"] != known.issuer.as_str() || !known.is(claims["sub"].as_str().unwrap_or_default()) {
            return Err(denied("issuer or subject mismatch"));
        }
        let now = Timestamp::now();
        let token = jwt::sign(
            &json!({"iss": base, "sub": asked.identity, "aud": [asked.audience], "iat": now.as_second(),
                "exp": now.as_second() + known.ttl, "jti": format!("{:x}", now.as_nanosecond())}),
            &self.key,
        );
        self.granted.lock().unwrap().push(token.clone());
        Ok((token, known.ttl, known.subject))
    }

    /// Whose token it is, when he assumes nothing.
    fn person(&self, token: &str) -> Option<Known> {
        let claims = jwt::unverified(token)?;
        let identities = self.identities.lock().unwrap();
        let is_his = |known: &&Known| {
            known.audience.is_some()
                && claims["iss"] == known.issuer.as_str()
                && claims["sub"] == known.subject.as_str()
        };
        identities.values().find(is_his).cloned()
    }

    /// The claims, verified by the keys of the identity or of the issuer that it names.
    fn verified(&self, token: &str, known: &Known) -> Option<Value> {
        let keys = known.keys.clone().or_else(|| self.issuers.lock().unwrap().get(&known.issuer).cloned())?;
        jwt::verify(token, &keys, Timestamp::now())
    }
}

impl Known {
    fn is(&self, subject: &str) -> bool {
        if self.pattern {
            return regex::Regex::new(&self.subject).is_ok_and(|pattern| pattern.is_match(subject));
        }
        self.subject == subject
    }

    /// As its maker describes it.
    fn described(description: &Value) -> Option<Self> {
        let rule = [&description["static"], &description["claim_match"]]
            .into_iter()
            .find(|rule| rule.is_object())?;
        let text = |name: &str| rule[name].as_str().map(str::to_owned);
        let pattern = text("subject_pattern");
        let subject = text("subject").or_else(|| pattern.clone())?;
        let keys = text("issuer_keys").map(|keys| serde_json::from_str(&keys).unwrap_or_default());
        let known = Self::of(text("issuer")?, subject, 3600);
        Some(Self { pattern: pattern.is_some(), keys, description: description.clone(), ..known })
    }
}

async fn discovery(Shared(sts): Shared<Sts>) -> Response {
    let base = sts.base.lock().unwrap().clone();
    reply(200, &json!({"issuer": base, "jwks_uri": format!("{base}/keys")}))
}

async fn keys(Shared(sts): Shared<Sts>) -> Response {
    reply(200, &json!({"keys": [jwt::public(&sts.key)]}))
}

/// Whether the bearer is a token of this service for its own API.
fn may_manage(sts: &State, headers: &HeaderMap) -> bool {
    let own = json!({"keys": [jwt::public(&sts.key)]});
    let claims = jwt::verify(&bearer(headers), &own, Timestamp::now());
    claims.is_some_and(|claims| claims["aud"][0] == sts.base.lock().unwrap().as_str())
}

fn nobody() -> Response {
    reply(401, &json!({"code": 16, "message": "log in first"}))
}

async fn list(Shared(sts): Shared<Sts>, headers: HeaderMap) -> Response {
    if !may_manage(&sts, &headers) {
        return nobody();
    }
    let identities = sts.identities.lock().unwrap();
    let made = identities.values().filter(|known| !known.description.is_null());
    let items: Vec<Value> = made.map(|known| known.description.clone()).collect();
    reply(200, &json!({"items": items}))
}

async fn create(
    Shared(sts): Shared<Sts>,
    Path(parent): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    if !may_manage(&sts, &headers) {
        return nobody();
    }
    let mut description: Value = serde_json::from_str(&body).unwrap_or_default();
    let id = format!("{parent}/{:016x}", Timestamp::now().as_nanosecond());
    description["id"] = id.clone().into();
    description["created_at"] = Timestamp::now().to_string().into();
    keep(&sts, id, &description)
}

/// Keeps an identity, with the roles that it has.
fn keep(sts: &State, id: String, description: &Value) -> Response {
    let Some(mut known) = Known::described(description) else {
        return reply(400, &json!({"code": 3, "message": "an identity needs issuer and subject"}));
    };
    let mut identities = sts.identities.lock().unwrap();
    known.roles = identities.remove(&id).map(|old| old.roles).unwrap_or_default();
    identities.insert(id, known);
    reply(200, description)
}

async fn update(
    Shared(sts): Shared<Sts>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    if !may_manage(&sts, &headers) {
        return nobody();
    }
    let known = sts.identities.lock().unwrap().contains_key(&id);
    match serde_json::from_str(&body) {
        Ok(description) if known => keep(&sts, id, &description),
        Ok(_) => reply(404, &json!({"code": 5, "message": "no such identity"})),
        Err(_) => reply(400, &json!({"code": 3, "message": "no JSON"})),
    }
}

/// Two roles, under ids of no meaning.
async fn roles(Shared(sts): Shared<Sts>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    if !may_manage(&sts, &headers) {
        return nobody();
    }
    let wanted = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .find(|(name, _)| name == "name")
        .map(|(_, value)| value.into_owned());
    let known = ["registry.pull", "viewer"]
        .into_iter()
        .filter(|name| wanted.as_deref().is_none_or(|one| one == *name));
    let items: Vec<Value> =
        known.map(|name| json!({"id": format!("role-of-{name}"), "name": name})).collect();
    reply(200, &json!({"items": items}))
}

async fn bind(Shared(sts): Shared<Sts>, headers: HeaderMap, body: String) -> Response {
    if !may_manage(&sts, &headers) {
        return nobody();
    }
    let binding: Value = serde_json::from_str(&body).unwrap_or_default();
    let role = binding["role"].as_str().and_then(|role| role.strip_prefix("role-of-"));
    let mut identities = sts.identities.lock().unwrap();
    let identity = binding["identity"].as_str().and_then(|id| identities.get_mut(id));
    match (role, identity) {
        (Some(role), Some(identity)) => {
            identity.roles.push(role.to_owned());
            reply(200, &binding)
        }
        _ => reply(404, &json!({"code": 5, "message": "no such role or identity"})),
    }
}

async fn revoke(Shared(sts): Shared<Sts>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if !may_manage(&sts, &headers) {
        return nobody();
    }
    match sts.identities.lock().unwrap().remove(&id) {
        Some(_) => reply(200, &json!({})),
        None => reply(404, &json!({"code": 5, "message": "no such identity"})),
    }
}

fn bearer(headers: &HeaderMap) -> String {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default().to_owned()
}

fn reply(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
