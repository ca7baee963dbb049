//! `hallmark auth pull-token`: a longer-lived login for where no identity token is to be had (credentials specification
//! §7.2). It is an identity of its own, whose one key is made here and thrown away when the token is signed: nobody,
//! not even its maker, can sign another; deleting the identity revokes it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aws_lc_rs::rand::{SystemRandom, fill};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::super::{Exit, fail, refuse};
use super::docker_file::{DockerError, DockerFile};
use super::identities::{Account, AccountError, AccountOptions};
use super::lifetime::Lifetime;
use super::output::{Form, SecretName};
use crate::client::exchange::identities::{Identity, Static};
use crate::credential::docker_config::read_document;
use crate::credential::{Credential, Location, Login, Redacted, Source};
use crate::refresh::splice::quoted;

/// The issuer of every pull token; its keys are the identity's own.
pub(super) const ISSUER: &str = "https://pulltoken.issuer.chainguard.dev";
const KEY_ID: &str = "pull-token";

/// Make a pull token.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark auth pull-token --identity ORG/UID --ttl 24h
  hallmark auth pull-token --identity ORG/UID --name ci --description 'for the mirror' --save
  hallmark auth pull-token --identity ORG/UID --output k8s-secret -n team --secret-name regcred | kubectl apply -f -")]
pub struct Arguments {
    #[command(flatten)]
    account: AccountOptions,

    #[command(flatten)]
    token: TokenOptions,

    /// Docker's folder instead of `$DOCKER_CONFIG` or ~/.docker, for --save.
    #[arg(long, value_name = "DIR")]
    config: Option<PathBuf>,
}

/// The token that is made, and what becomes of it.
#[derive(Debug, Args)]
pub(super) struct TokenOptions {
    /// Name of the token.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// What the token is for.
    #[arg(long, default_value = "", value_name = "TEXT")]
    description: String,

    /// Group that the token belongs to; without it, the one of the identity.
    #[arg(long, value_name = "UID")]
    parent: Option<String>,

    /// How long the token lives: 24h, 30d, 90m; 8760h at most.
    #[arg(long, default_value = "720h", value_name = "DURATION")]
    ttl: Lifetime,

    /// Write it to docker's config.json instead of printing it.
    #[arg(long)]
    save: bool,

    /// With --save: keep the file as it was beside it.
    #[arg(long, requires = "save")]
    keep: bool,

    /// How it is printed; what was saved is told as text or json, without the token.
    #[arg(long, short, value_enum, default_value_t = Form::Text)]
    pub(super) output: Form,

    #[command(flatten)]
    secret: SecretName,
}

/// A login that was made.
pub(super) struct PullToken {
    pub(super) registry: String,
    pub(super) login: Login,
    pub(super) expires_at: Timestamp,
}

/// Why there is no pull token.
#[derive(Debug, thiserror::Error)]
enum PullTokenError {
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error("the identity {0:?} has no group: give --parent")]
    NoParent(String),
    #[error("of a saved token there is text or json: leave --save or that --output")]
    Form,
    #[error("cannot make a key")]
    NoKey,
    #[error(transparent)]
    Docker(#[from] DockerError),
}

impl Arguments {
    /// As `configure-docker --pull-token` means it.
    pub(super) fn of(account: AccountOptions, config: Option<PathBuf>, token: TokenOptions) -> Self {
        Self { account, token, config }
    }
}

/// Runs the command.
pub(super) async fn run(arguments: Arguments) -> Exit {
    match make_and_show(&arguments).await {
        Ok(()) => Exit::Ok,
        Err(PullTokenError::Account(AccountError::Session(error))) => fail(&error),
        Err(PullTokenError::Account(AccountError::Api(error))) => fail(&error),
        Err(error @ PullTokenError::Form) => refuse(&error, Exit::Usage),
        Err(error) => refuse(&error, Exit::Failed),
    }
}

async fn make_and_show(arguments: &Arguments) -> Result<(), PullTokenError> {
    if arguments.token.save && !matches!(arguments.token.output, Form::Text | Form::Json) {
        return Err(PullTokenError::Form);
    }
    let account = Account::open(&arguments.account).await?;
    let folder = arguments.config.clone().unwrap_or_else(|| account.docker_folder().to_owned());
    // A file that cannot be changed is found before anything is made that would have to be revoked.
    let file = if arguments.token.save { Some(DockerFile::open(&folder)?) } else { None };
    if let Some(file) = &file {
        file.find(&["auths", &arguments.account.registry])?;
    }
    let made = make(&account, arguments, Timestamp::now()).await?;
    match file {
        None => print!("{}", *arguments.token.output.written(&made, &arguments.token.secret)),
        Some(file) => save(file, &made, &arguments.token)?,
    }
    Ok(())
}

async fn make(account: &Account, arguments: &Arguments, now: Timestamp) -> Result<PullToken, PullTokenError> {
    let options = &arguments.token;
    let parent = match &options.parent {
        Some(parent) => parent.clone(),
        None => account.parent().ok_or_else(|| PullTokenError::NoParent(account.identity().to_owned()))?,
    };
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| PullTokenError::NoKey)?;
    let mut random = [0; 8];
    fill(&mut random).map_err(|_| PullTokenError::NoKey)?;
    let subject = format!("pull-token-{}", hex::encode(random));
    let expires_at = now.saturating_add(options.ttl.0).unwrap_or(Timestamp::MAX);
    let expires_at = Timestamp::from_second(expires_at.as_second()).unwrap_or(expires_at);
    let wanted = Identity {
        id: String::new(),
        name: options.name.clone().unwrap_or_else(|| subject.clone()),
        description: options.description.clone(),
        created_at: None,
        fixed: Some(Static {
            issuer: ISSUER.to_owned(),
            subject: subject.clone(),
            issuer_keys: json!({"keys": [public(&key)]}).to_string(),
            expiration: expires_at,
            rest: BTreeMap::new(),
        }),
        claim_match: None,
    };
    let made = account.api().create(&parent, &wanted).await.map_err(AccountError::from)?;
    let claims = json!({"iss": ISSUER, "sub": subject, "aud": account.provider_audience(), "iat": now.as_second(),
        "exp": expires_at.as_second()});
    let password = signed(&claims, &key).ok_or(PullTokenError::NoKey)?;
    let login = Login { username: made.id, password: Redacted::from(password.as_str()) };
    Ok(PullToken { registry: arguments.account.registry.clone(), login, expires_at })
}

/// Writes the entry, after telling whose it replaces: a token cannot be had again.
fn save(mut file: DockerFile, made: &PullToken, options: &TokenOptions) -> Result<(), PullTokenError> {
    let member = ["auths", made.registry.as_str()];
    if let Some(name) = file.find(&member)?.and_then(|entry| username(&made.registry, entry)) {
        eprintln!("replacing the login of {name:?} for {}; its token cannot be had again", made.registry);
    }
    if options.keep
        && let Some(copy) = file.keep_copy()?
    {
        eprintln!("the file as it was: {}", copy.display());
    }
    if file.find(&["credHelpers", &made.registry])?.is_some() {
        eprintln!(
            "warning: credHelpers has an entry for {}: docker asks that and passes over what is saved",
            made.registry
        );
    }
    let entry = Zeroizing::new(format!("{{\"auth\":{}}}", quoted(&made.login.encoded())));
    file.set(&member, &entry, false)?;
    if options.output == Form::Json {
        let saved = json!({"registry": made.registry, "username": made.login.username,
            "expiresAt": made.expires_at.to_string(), "savedIn": file.path()});
        println!("{saved:#}");
    } else {
        println!("saved in {}: {} until {}", file.path().display(), made.login.username, made.expires_at);
    }
    Ok(())
}

/// The name in an entry, and nothing else of it.
fn username(registry: &str, entry: &str) -> Option<String> {
    let config = Zeroizing::new(format!("{{\"auths\":{{{}:{entry}}}}}", quoted(registry)));
    let reading = read_document(&Source::Anonymous, Location::Ambient, config.as_bytes());
    match &*reading.entries.first()?.credential {
        // Long names are tokens in the wrong place.
        Credential::Basic(login) if login.username.len() <= 128 => Some(login.username.clone()),
        _ => None,
    }
}

fn signed(claims: &Value, key: &EcdsaKeyPair) -> Option<Zeroizing<String>> {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"alg": "ES256", "kid": KEY_ID, "typ": "JWT"});
    let text = format!("{}.{}", part(&header), part(claims));
    let signature = key.sign(&SystemRandom::new(), text.as_bytes()).ok()?;
    Some(Zeroizing::new(format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))))
}

fn public(key: &EcdsaKeyPair) -> Value {
    // An uncompressed point: one byte of form, then x and y of 32 bytes each.
    let point = key.public_key().as_ref();
    let coordinate =
        |from: usize| BASE64_URL_SAFE_NO_PAD.encode(point.get(from..from + 32).unwrap_or_default());
    json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KEY_ID,
        "x": coordinate(1), "y": coordinate(33)})
}

/// Whole days until then, for people.
pub(super) fn days_until(end: Timestamp, now: Timestamp) -> i64 {
    end.duration_since(now).max(SignedDuration::ZERO).as_hours() / 24
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_token_verifies_by_the_key_that_its_identity_brings() {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let token = signed(&json!({"sub": "x"}), &key).unwrap();
        let (text, signature) = token.rsplit_once('.').unwrap();
        let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
        let jwk = public(&key);
        let coordinate = |name: &str| decode(jwk[name].as_str().unwrap());
        let point = [vec![4], coordinate("x"), coordinate("y")].concat();
        let verified = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(text.as_bytes(), &decode(signature));
        assert!(verified.is_ok());
    }

    #[test]
    fn of_a_login_that_is_replaced_the_name_alone_is_told() {
        assert_eq!(username("cgr.dev", r#"{"auth":"b3JnL2lkOmNhbmFyeQ=="}"#).as_deref(), Some("org/id"));
        assert_eq!(username("cgr.dev", r#"{"identitytoken":"canary"}"#), None);
        assert_eq!(username("cgr.dev", "5"), None);
    }
}
