//! In whose name the controller can sign without a key: from inside its pod as signing finds it; from outside by what
//! the Deployment mounts, and a token that the API server gives for the same service account and audience.

use std::path::Path;

use jiff::Timestamp;

use super::deployment::{Deployment, Mount, Volume};
use super::finding::{Finding, Findings};
use super::{Visit, installation};
use crate::cli::environment;
use crate::config::{Config, Fulcio};
use crate::identity::file::{TokenFile, USUAL_PLACE};
use crate::identity::provider::Provider;
use crate::identity::request::RequestedToken;
use crate::identity::token::IdentityToken;
use crate::identity::{AUDIENCE, Error, TokenSource, selection};

const CHECK: &str = "identity";
/// What a token is for when nobody says.
const OF_API_SERVER: &str = "of the API server";
const IN_POD: &str = "kubectl exec -n tekton-chains deployment/tekton-chains-controller -- hallmark doctor";

/// A token that can be shown to Fulcio, if there is one.
pub(super) async fn token(
    visit: &Visit<'_>,
    deployment: Option<&Deployment>,
    config: &Config,
    findings: &mut Findings,
) -> Option<IdentityToken> {
    let fulcio = &config.signers.fulcio;
    if !fulcio.enabled {
        findings.add(Finding::ok(CHECK, "none is needed: a key signs (signers.x509.fulcio.enabled)"));
        return None;
    }
    let source = match source(visit, deployment, fulcio) {
        Ok(source) => source,
        Err(finding) => {
            findings.add(finding);
            return None;
        }
    };
    let provider = source.provider();
    let token = match source.token(AUDIENCE).await {
        Ok(token) => token,
        Err(error) => {
            findings.add(untold(visit, &error));
            return None;
        }
    };
    if let Err(reason) = token.check(AUDIENCE, Timestamp::now()) {
        findings.add(
            Finding::of(CHECK, &Error::Token { provider, reason })
                .or_remedy(format!("have the token issued for audience {AUDIENCE}")),
        );
        return None;
    }
    findings.add(Finding::ok(CHECK, claimed(provider, &token)));
    Some(token)
}

/// Without the right to ask for a token from outside nothing is known of the one that the pod gets.
fn untold(visit: &Visit<'_>, error: &Error) -> Finding {
    match error {
        Error::Request { .. } if !visit.inside => {
            Finding::unchecked(CHECK, error.to_string()).remedy(format!("look from inside: {IN_POD}"))
        }
        error => Finding::of(CHECK, error),
    }
}

fn claimed(provider: Provider, token: &IdentityToken) -> String {
    let claims = token.claims();
    format!(
        "{} by issuer {}, until {} (provider {provider})",
        claims.identity().unwrap_or_else(|| claims.subject.clone()),
        claims.issuer.as_deref().unwrap_or("none"),
        claims.expiry
    )
}

fn source(
    visit: &Visit<'_>,
    deployment: Option<&Deployment>,
    fulcio: &Fulcio,
) -> Result<std::sync::Arc<dyn TokenSource>, Finding> {
    if let Some(file) = &visit.arguments.token_file {
        return Ok(std::sync::Arc::new(TokenFile::at(file)));
    }
    let provider: Option<Provider> = match fulcio.provider.as_deref().map(str::parse).transpose() {
        Ok(provider) => provider,
        Err(unknown) => return Err(Finding::of(CHECK, &Error::Provider(unknown))),
    };
    if visit.inside {
        let surroundings = environment::identities(Some(&visit.client));
        return selection::select(provider, fulcio.token_file.as_deref(), &surroundings)
            .map_err(|error| Finding::of(CHECK, &error));
    }
    let wanted = fulcio.token_file.as_deref().unwrap_or(Path::new(USUAL_PLACE));
    if let Some(deployment) = deployment {
        mounted_well(deployment, provider, wanted)?;
    }
    let (namespace, account) = (visit.own_namespace(), &visit.arguments.agent_account);
    Ok(std::sync::Arc::new(RequestedToken::of(visit.client.clone(), namespace, account)))
}

/// What a Deployment mounts decides which source the pod takes.
fn mounted_well(deployment: &Deployment, provider: Option<Provider>, wanted: &Path) -> Result<(), Finding> {
    let volumes = &deployment.pod().volumes;
    let mounts =
        installation::container(deployment).map(|one| one.volume_mounts.as_slice()).unwrap_or_default();
    match provider {
        Some(Provider::Kubernetes) => return Ok(()),
        None | Some(Provider::Filesystem | Provider::CustomPath) => {}
        Some(other) => {
            return Err(Finding::unchecked(CHECK, format!("provider {other} is there in the pod only"))
                .remedy(format!("look from inside: {IN_POD}")));
        }
    }
    if provider.is_none() && volumes.iter().any(is_workload_api) {
        return Err(Finding::unchecked(
            CHECK,
            "the SPIFFE Workload API is mounted, and only the pod can ask it",
        )
        .remedy(format!("look from inside: {IN_POD}")));
    }
    match audience(volumes, mounts, wanted) {
        Some(AUDIENCE) => Ok(()),
        Some(other) => Err(Finding::failed(
            CHECK,
            format!(
                "the token that the Deployment mounts at {} is for audience {:?}",
                wanted.display(),
                other
            ),
        )
        .remedy(format!("set audience: {AUDIENCE} in the projected serviceAccountToken volume"))),
        None => Err(Finding::failed(CHECK, format!("the Deployment mounts no token at {}", wanted.display()))
            .remedy(format!(
                "mount a projected service account token with audience {AUDIENCE} there, or the SPIFFE Workload API, as \
                 release.yaml and config/overlays do"
            ))),
    }
}

/// A socket of the agent, by its driver or by the path of the host.
fn is_workload_api(volume: &Volume) -> bool {
    let by_driver = volume.csi.as_ref().is_some_and(|csi| csi.driver == "csi.spiffe.io");
    by_driver || volume.host_path.as_ref().is_some_and(|host| host.path.contains("spire"))
}

/// The audience of the token at `wanted`.
fn audience<'a>(volumes: &'a [Volume], mounts: &[Mount], wanted: &Path) -> Option<&'a str> {
    mounts.iter().find_map(|mount| {
        let volume = volumes.iter().find(|volume| volume.name == mount.name)?;
        let sources = volume.projected.as_ref()?.sources.iter().flatten();
        let token = sources
            .filter_map(|source| source.service_account_token.as_ref())
            .find(|token| Path::new(&mount.mount_path).join(&token.path) == wanted)?;
        Some(token.audience.as_deref().unwrap_or(OF_API_SERVER))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::State;
    use super::*;

    fn deployment(audience: &str, more: &serde_json::Value) -> Deployment {
        let mut volumes = vec![json!({"name": "oidc", "projected": {"sources": [
            {"serviceAccountToken": {"path": "oidc-token", "audience": audience}}]}})];
        volumes.extend(more.as_array().cloned().unwrap_or_default());
        let container = json!({"name": "tekton-chains-controller",
            "volumeMounts": [{"name": "oidc", "mountPath": "/var/run/sigstore/cosign"}]});
        serde_json::from_value(json!({"spec": {"selector": {}, "template": {"spec":
            {"containers": [container], "volumes": volumes}}}}))
        .unwrap()
    }

    fn judged(deployment: &Deployment, provider: Option<Provider>, at: &str) -> Result<(), Finding> {
        mounted_well(deployment, provider, Path::new(at))
    }

    #[test]
    fn a_token_for_fulcio_is_good_and_one_for_somebody_else_is_named_with_the_remedy() {
        judged(&deployment("sigstore", &json!([])), None, USUAL_PLACE).unwrap();
        let finding = judged(&deployment("vault", &json!([])), None, USUAL_PLACE).unwrap_err();
        assert_eq!(finding.state, State::Failed);
        assert!(finding.found.contains("\"vault\""), "{finding:?}");
        assert!(finding.remedy.unwrap().starts_with("set audience: sigstore"));
    }

    #[test]
    fn a_token_that_is_nowhere_mounted_is_a_failure_unless_it_is_requested() {
        let deployment = deployment("sigstore", &json!([]));
        assert_eq!(judged(&deployment, None, "/elsewhere/token").unwrap_err().state, State::Failed);
        judged(&deployment, Some(Provider::Kubernetes), "/elsewhere/token").unwrap();
    }

    #[test]
    fn a_workload_api_can_only_be_asked_from_inside() {
        let csi = json!([{"name": "s", "csi": {"driver": "csi.spiffe.io", "readOnly": true}}]);
        let host = json!([{"name": "s", "hostPath": {"path": "/run/spire/sockets/agent.sock"}}]);
        for volume in [csi, host] {
            let finding = judged(&deployment("sigstore", &volume), None, USUAL_PLACE).unwrap_err();
            assert_eq!(finding.state, State::Unchecked);
        }
        let finding = judged(&deployment("x", &json!([])), Some(Provider::Github), USUAL_PLACE).unwrap_err();
        assert_eq!(finding.state, State::Unchecked);
    }
}
