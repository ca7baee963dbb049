//! The conversation with one token service: what is asked, in which form, and where a redirect may lead
//! (credentials specification §5.1 to §5.4).
//!
//! Guarantees: every URL was admitted by the [`Fence`] before anything is sent to it; a credential goes to the realm
//! and the registry only, and a form with one in it is not sent anywhere else at all.

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use url::Url;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::realm::{Fence, host_of};
use super::reply::{Reply, unreached};
use super::response::{self, Malformed, Token};
use super::{Authorization, Dial, Scope, TOKEN_USER, TokenError, TokenRequest, header, login_of};
use crate::client::challenge::Challenge;
use crate::client::http::{ForbiddenAddress, cause};
use crate::credential::{Credential, Login};

/// One conversation with one token service.
pub(super) struct Exchange<'a> {
    dial: &'a Dial<'a>,
    request: &'a TokenRequest<'a>,
    challenge: &'a Challenge,
    fence: Fence<'a>,
    realm: Url,
    now: Timestamp,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(
        dial: &'a Dial<'a>,
        request: &'a TokenRequest<'a>,
        challenge: &'a Challenge,
        now: Timestamp,
    ) -> Result<Self, TokenError> {
        let fence = Fence::around(request.registry, request.registry_is_plain_http, request.registry_address);
        let realm = fence.admit(challenge.realm().unwrap_or_default())?;
        Ok(Self { dial, request, challenge, fence, realm, now })
    }

    /// Asks for a token with whatever kind of credential there is.
    pub(super) async fn run(&self) -> Result<Authorization, TokenError> {
        if let Credential::IdentityToken { token, .. } = self.request.credential {
            let grant = [("grant_type", "refresh_token"), ("refresh_token", &token.expose_text())];
            let reply = self.post(&grant).await?;
            if !reply.knows_no_oauth() {
                return self.judge(&reply);
            }
        }
        let reply = self.get(login_of(self.request.credential).as_ref()).await?;
        if let (Credential::Basic(login), true, StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND) =
            (self.request.credential, self.request.password_grant, reply.status)
        {
            let password = login.password.expose_text();
            let grant = [("grant_type", "password"), ("username", &login.username), ("password", &password)];
            return self.judge(&self.post(&grant).await?);
        }
        self.judge(&reply)
    }

    /// §5.3: the parameters that the realm already has are kept.
    async fn get(&self, login: Option<&Login>) -> Result<Reply, TokenError> {
        let mut url = self.realm.clone();
        {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(self.challenge.service().map(|service| ("service", service)));
            query.extend_pairs(self.scopes().into_iter().map(|scope| ("scope", scope)));
            query.extend_pairs(
                login.filter(|login| login.username != TOKEN_USER).map(|login| ("account", &login.username)),
            );
            query.append_pair("client_id", CLIENT_ID);
        }
        let authorization = login
            .map(|login| header("Basic", login.encoded().as_bytes()).ok_or_else(|| self.not_sendable()))
            .transpose()?;
        self.send(&Outgoing { method: Method::GET, authorization, form: None }, url).await
    }

    /// §5.4.
    async fn post(&self, grant: &[(&str, &str)]) -> Result<Reply, TokenError> {
        let form = Zeroizing::new(
            Serializer::new(String::new())
                .extend_pairs(grant)
                .extend_pairs(self.challenge.service().map(|service| ("service", service)))
                .extend_pairs(
                    Some(("scope", self.scopes().join(" "))).filter(|(_, scopes)| !scopes.is_empty()),
                )
                .append_pair("client_id", CLIENT_ID)
                .finish(),
        );
        let outgoing = Outgoing { method: Method::POST, authorization: None, form: Some(form) };
        self.send(&outgoing, self.realm.clone()).await
    }

    /// Sends, and follows redirects one by one: each is judged, and a credential goes to those entitled only.
    async fn send(&self, outgoing: &Outgoing, mut url: Url) -> Result<Reply, TokenError> {
        const MOST_REDIRECTS: usize = 10;
        for _ in 0..=MOST_REDIRECTS {
            let entitled = self.fence.is_entitled(&url, &self.realm);
            if !entitled && outgoing.form.is_some() {
                return Err(self.fence.refuse(&host_of(&url), "would receive the credential by a redirect"));
            }
            let reply = self.send_once(outgoing, &url, entitled).await?;
            let Some(location) = reply.redirect() else { return Ok(reply) };
            url = self.fence.admit_redirect(&url, location)?;
        }
        Err(self.fence.refuse(&host_of(&url), "redirects more than 10 times"))
    }

    async fn send_once(&self, outgoing: &Outgoing, url: &Url, entitled: bool) -> Result<Reply, TokenError> {
        let client = (self.dial)(url, self.fence.class());
        let client = client.map_err(|source| TokenError::Setup { host: host_of(url), source })?;
        let mut request = client.request(outgoing.method.clone(), url.clone());
        if let Some(authorization) = outgoing.authorization.as_ref().filter(|_| entitled) {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(form) = &outgoing.form {
            request = request.header(CONTENT_TYPE, FORM).body(form.as_str().to_owned());
        }
        let response = request.send().await.map_err(|error| match cause::<ForbiddenAddress>(&error) {
            Some(_) => self
                .fence
                .refuse(&host_of(url), "leads to an inner address that the registry itself does not have"),
            None => unreached(host_of(url), error),
        })?;
        Reply::read(host_of(url), response).await
    }

    fn judge(&self, reply: &Reply) -> Result<Authorization, TokenError> {
        let host = reply.host.clone();
        if !reply.status.is_success() {
            return Err(reply.refusal(self.request.credential, self.now));
        }
        let malformed = |problem| TokenError::MalformedTokenResponse { host: host.clone(), problem };
        if !reply.whole {
            return Err(malformed("with more than 64 KiB"));
        }
        let token = Token::parse(&reply.body, self.now).map_err(|error| match error {
            Malformed::NoToken => TokenError::NoTokenInResponse { host: host.clone() },
            Malformed::NotJson => malformed("with something that is no token response"),
        })?;
        let header = header("Bearer", token.bearer.expose())
            .ok_or_else(|| malformed("with a token that no header can carry"))?;
        Ok(Authorization {
            header,
            expires_at: Some(token.expires_at),
            refresh_at: Some(response::refresh_at(token.expires_at, self.now)),
            identity_token: token.successor,
        })
    }

    /// What the challenge names comes first; more than pulling and pushing is never asked for (§5.1, §5.2).
    fn scopes(&self) -> Vec<String> {
        let mut scopes: Vec<String> =
            self.challenge.scopes().filter(|scope| is_modest(scope)).map(str::to_owned).collect();
        for scope in self.request.scopes.iter().map(Scope::to_string) {
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        scopes
    }

    fn not_sendable(&self) -> TokenError {
        TokenError::NotSendable { registry: self.request.registry.to_owned() }
    }
}

/// A request less its URL.
struct Outgoing {
    method: Method,
    authorization: Option<HeaderValue>,
    form: Option<Zeroizing<String>>,
}

/// Whether a scope that a challenge names asks for no more than pulling and pushing.
fn is_modest(scope: &str) -> bool {
    let actions = scope.rsplit_once(':').map_or("", |(_, actions)| actions);
    !scope.starts_with("repository:") || actions.split(',').all(|action| matches!(action, "pull" | "push"))
}

const CLIENT_ID: &str = "hallmark";
const FORM: &str = "application/x-www-form-urlencoded";
