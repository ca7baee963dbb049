//! `hallmark identity`: in whose name this process could sign without a key, before anything is signed.
//!
//! Guarantees: it looks where keyless signing looks, checks the token as that does before anything is sent, and prints
//! what the token claims, never the token. Only with `--fulcio` is the token shown to anybody.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::output::OutputOption;
use super::registries::RegistryOptions;
use super::{Exit, environment, fail, refuse};
use crate::client::fulcio::Fulcio;
use crate::client::http::{Clients, Transport};
use crate::credential::registry_config::RegistryConfig;
use crate::identity::provider::Provider;
use crate::identity::token::{IdentityToken, UnverifiedClaims};
use crate::identity::{AUDIENCE, Error, selection};
use crate::signature::certificate::Certificate;
use crate::signature::key::Key;

/// Show in whose name this process could sign without a key.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark identity
  hallmark identity --provider spiffe
  hallmark identity --token-file /var/run/sigstore/cosign/oidc-token --fulcio http://fulcio.fulcio-system.svc")]
pub struct Arguments {
    /// The one source of identity tokens, by the name that signers.x509.fulcio.provider has for it; without it the
    /// first that is there.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,

    /// File with the identity token.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Ask this Fulcio for a certificate in that name; nothing is signed with it. The token is sent there.
    #[arg(long, value_name = "URL")]
    fulcio: Option<String>,

    #[command(flatten)]
    registries: RegistryOptions,

    /// The token may be sent over plain http to a host outside the cluster.
    #[arg(long, requires = "fulcio")]
    allow_http: bool,

    #[command(flatten)]
    output: OutputOption,
}

/// Runs the command.
pub async fn run(arguments: Arguments) -> Exit {
    let provider = match arguments.provider.as_deref().map(str::parse).transpose() {
        Ok(provider) => provider,
        Err(unknown) => return refuse(&unknown, Exit::Usage),
    };
    let registries = match arguments.registries.read() {
        Ok(registries) => registries,
        Err(error) => return refuse(&error, Exit::Usage),
    };
    let mut told = Told { output: arguments.output, fields: Map::new() };
    let exit = look(&arguments, provider, &registries, &mut told).await.err().unwrap_or(Exit::Ok);
    if told.output.is_json() {
        println!("{:#}", Value::Object(told.fields));
    }
    exit
}

/// What has been found so far: lines for a person at once, fields for a program at the end.
struct Told {
    output: OutputOption,
    fields: Map<String, Value>,
}

impl Told {
    fn add(&mut self, lines: &str, fields: Value) {
        if !self.output.is_json() {
            println!("{lines}");
        }
        if let Value::Object(fields) = fields {
            self.fields.extend(fields);
        }
    }
}

async fn look(
    arguments: &Arguments,
    provider: Option<Provider>,
    registries: &Arc<RegistryConfig>,
    told: &mut Told,
) -> Result<(), Exit> {
    let file = arguments.token_file.as_deref();
    let source = selection::select(provider, file, &environment::identities_by(None, registries));
    let source = source.map_err(|error| fail(&error))?;
    let provider = source.provider();
    told.add(&format!("provider     {provider}"), json!({"provider": provider.to_string()}));
    let token = source.token(AUDIENCE).await.map_err(|error| fail(&error))?;
    told.add(&claimed(token.claims()), fields(token.claims()));
    let now = Timestamp::now();
    token.check(AUDIENCE, now).map_err(|reason| fail(&Error::Token { provider, reason }))?;
    let Some(address) = &arguments.fulcio else { return Ok(()) };
    let transport = Transport::to(address, registries);
    let fulcio = Fulcio::new(&Clients::default(), &transport, address, arguments.allow_http);
    let certificate = certificate(&fulcio.map_err(|error| fail(&error))?, &token, now).await?;
    let fields = json!({"names": certificate.names(), "issuer": certificate.issuer(),
        "expires": certificate.expiry().to_string()});
    told.add(&certified(&certificate), json!({ "certificate": fields }));
    Ok(())
}

/// What the token says of itself; nobody has verified it here.
fn claimed(claims: &UnverifiedClaims) -> String {
    let issuer = claims.issuer.as_deref().unwrap_or("none");
    let identity = claims.identity().unwrap_or_else(|| "made by Fulcio's own template".to_owned());
    let rows = [
        ("issuer", issuer.to_owned()),
        ("subject", claims.subject.clone()),
        ("audience", claims.audience.join(", ")),
        ("expires", claims.expiry.to_string()),
        ("identity", identity),
    ];
    rows.map(|(name, value)| format!("{name:<12} {}", shown(&value))).join("\n")
}

fn fields(claims: &UnverifiedClaims) -> Value {
    json!({"issuer": claims.issuer, "subject": claims.subject, "audience": claims.audience,
        "expires": claims.expiry.to_string(), "identity": claims.identity()})
}

/// Claims are text from outside: one line, and not longer than a URL gets.
fn shown(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(500).collect()
}

/// Has the identity certified for a key that nothing else knows.
async fn certificate(fulcio: &Fulcio, token: &IdentityToken, now: Timestamp) -> Result<Certificate, Exit> {
    let Some(key) = Key::generate("the key of this command") else {
        eprintln!("hallmark: cannot make a key");
        return Err(Exit::Failed);
    };
    let proof = key.sign_now(token.claims().challenge().as_bytes()).map_err(|error| fail(&error))?;
    fulcio.certificate(token, key.public_key(), &proof, now).await.map_err(|error| fail(&error))
}

fn certified(certificate: &Certificate) -> String {
    let names = certificate.names().join(", ");
    let issuer = certificate.issuer().unwrap_or("not named");
    format!("certificate  {} by issuer {}, until {}", shown(&names), shown(issuer), certificate.expiry())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(subject: &str) -> UnverifiedClaims {
        UnverifiedClaims {
            issuer: Some("https://issuer.example".into()),
            subject: subject.into(),
            audience: vec!["sigstore".into()],
            expiry: "2026-01-01T00:10:00Z".parse().unwrap(),
            email: None,
        }
    }

    #[test]
    fn a_service_account_is_shown_as_the_name_that_verifiers_ask_for() {
        let text = claimed(&claims("system:serviceaccount:tekton-chains:tekton-chains-controller"));
        assert_eq!(
            text,
            "issuer       https://issuer.example\n\
             subject      system:serviceaccount:tekton-chains:tekton-chains-controller\n\
             audience     sigstore\n\
             expires      2026-01-01T00:10:00Z\n\
             identity     https://kubernetes.io/namespaces/tekton-chains/serviceaccounts/tekton-chains-controller"
        );
    }

    #[test]
    fn a_program_reads_the_claims_one_by_one() {
        let fields = fields(&claims("spiffe://example.org/ci"));
        assert_eq!(
            fields,
            json!({"issuer": "https://issuer.example", "subject": "spiffe://example.org/ci",
                "audience": ["sigstore"], "expires": "2026-01-01T00:10:00Z", "identity": "spiffe://example.org/ci"})
        );
    }

    #[test]
    fn claims_cannot_write_over_the_terminal() {
        let text = claimed(&claims("spiffe://a/\u{1b}[2J\nb"));
        assert!(!text.contains('\u{1b}') && text.lines().count() == 5, "{text}");
    }
}
