//! The identity token of this process or of this person: from a file or standard input, else of the person who logged
//! in, else of the workload that this process is (credentials specification §7.2, assumable identities).

use std::io::Read as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::super::super::environment;
use super::{Session, SessionError, TokenSource};
use crate::identity::provider::Provider;
use crate::identity::token::IdentityToken;
use crate::identity::{self, selection};

pub(super) async fn subject(session: &Session, source: &TokenSource) -> Result<IdentityToken, SessionError> {
    let audience = &source.provider.subject_audience;
    let provider = source.identity_provider.as_deref().map(str::parse).transpose()?;
    let token = match (source.token_file.as_deref(), &source.login) {
        (Some(file), _) if file == Path::new("-") => from_input(),
        (None, Some(login)) if provider.is_none() => return session.login(login).await,
        (file, _) => ambient(provider, file, audience).await,
    };
    token.map_err(|source| SessionError::Identity { audience: audience.clone(), source })
}

async fn ambient(
    provider: Option<Provider>,
    file: Option<&Path>,
    audience: &str,
) -> Result<IdentityToken, identity::Error> {
    // Nobody else has anything to ask of a cluster.
    let cluster = match provider {
        Some(Provider::Kubernetes) => kube::Client::try_default().await.ok(),
        _ => None,
    };
    let source = selection::select(provider, file, &environment::identities(cluster.as_ref()))?;
    source.token(audience).await
}

fn from_input() -> Result<IdentityToken, identity::Error> {
    let mut text = Zeroizing::new(String::new());
    let read = std::io::stdin().take(64 * 1024).read_to_string(&mut text);
    read.map_err(|source| identity::Error::File { file: "-".into(), source })?;
    IdentityToken::parse(&text)
        .map_err(|reason| identity::Error::Token { provider: Provider::CustomPath, reason })
}
