//! Who this process is in a cloud, and whether the cloud exchanges that for a credential of one of its registries
//! (credentials specification §1.6): the exchange that signing makes, with the cloud's own words when it refuses.

use std::sync::Arc;

use clap::ValueEnum;

use super::finding::{Finding, Findings};
use crate::artifact::image::Repository;
use crate::cli::creds::subject::NamedImage;
use crate::cli::{Exit, registries};
use crate::client::registry::Registry;
use crate::config::Config;
use crate::credential::registry_config::RegistryConfig;
use crate::credential::{self, Problem, ProblemCode, Source};

const CHECK: &str = "cloud";
/// The registry of Google that is the same for everybody.
const OF_GOOGLE: &str = "gcr.io/hallmark/doctor";

/// A cloud whose identities open its registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Cloud {
    /// Google Cloud: Artifact Registry and Container Registry.
    Gcp,
    /// AWS: ECR.
    Aws,
    /// Azure: Container Registry.
    Azure,
}

impl Cloud {
    fn name(self) -> &'static str {
        match self {
            Self::Gcp => "Google Cloud",
            Self::Aws => "AWS",
            Self::Azure => "Azure",
        }
    }

    fn source(self) -> Source {
        Source::ControllerCloud(match self {
            Self::Gcp => credential::Cloud::Gcp,
            Self::Aws => credential::Cloud::Ecr,
            Self::Azure => credential::Cloud::Acr,
        })
    }

    /// Names for one of its registries, in the remedy.
    fn example(self) -> &'static str {
        match self {
            Self::Gcp => "europe-west1-docker.pkg.dev/PROJECT/REPOSITORY/app",
            Self::Aws => "123456789012.dkr.ecr.us-east-1.amazonaws.com/app",
            Self::Azure => "NAME.azurecr.io/app",
        }
    }
}

/// Has the cloud exchange the identity of this process for a credential of the registry of `image`; the credential is
/// thrown away.
pub(super) async fn exchange(
    cloud: Cloud,
    image: Option<&NamedImage>,
    config: &Config,
    registries: &Arc<RegistryConfig>,
    findings: &mut Findings,
) {
    findings.add(match repository(cloud, image) {
        Ok(repository) => exchanged(cloud, &repository, config, registries).await,
        Err(finding) => *finding,
    });
}

fn repository(cloud: Cloud, image: Option<&NamedImage>) -> Result<Repository, Box<Finding>> {
    let named = image.map(|image| image.repository().clone());
    let usual = || (cloud == Cloud::Gcp).then(|| Repository::parse(OF_GOOGLE).ok()).flatten();
    named.or_else(usual).ok_or_else(|| {
        let found = format!("{} grants credentials for one registry at a time", cloud.name());
        let remedy = format!("name an image in it: --image {}", cloud.example());
        Box::new(Finding::failed(CHECK, found).remedy(remedy))
    })
}

async fn exchanged(
    cloud: Cloud,
    repository: &Repository,
    config: &Config,
    registries: &Arc<RegistryConfig>,
) -> Finding {
    let registry = match Registry::new() {
        Ok(registry) => registry,
        Err(error) => return Finding::of(CHECK, &error),
    };
    let clouds = registries::clouds(&registry, registries, config);
    let source = clouds.fetchers.iter().find(|fetcher| fetcher.source() == cloud.source());
    let Some(source) = source.filter(|source| source.key(repository).is_some()) else {
        let found = format!("{} is no registry of {}", repository.registry(), cloud.name());
        return Finding::failed(CHECK, found).remedy(format!("name one: --image {}", cloud.example()));
    };
    match source.fetch(repository).await {
        Ok(_) => Finding::ok(
            CHECK,
            format!("{}: the exchange for {} was successful", cloud.name(), repository.registry()),
        ),
        Err(problem) => refused(cloud, &problem),
    }
}

/// The detail holds the cloud's words and what to do.
fn refused(cloud: Cloud, problem: &Problem) -> Finding {
    let exit = match problem.code {
        ProblemCode::CloudDenied => Exit::Denied,
        ProblemCode::CloudUnavailable => Exit::Temporary,
        _ => Exit::Failed,
    };
    Finding::failed(CHECK, format!("{}: {}", cloud.name(), problem.detail)).exit(exit)
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;
    use crate::credential::registry_config::Proxies;

    async fn line(cloud: Cloud, image: Option<&str>) -> Finding {
        let mut findings = Findings::default();
        let registries = Arc::new(RegistryConfig::of_environment(Proxies::none()));
        let image: Option<NamedImage> = image.map(|image| image.parse().unwrap());
        exchange(cloud, image.as_ref(), &Config::default(), &registries, &mut findings).await;
        findings.lines()[0].clone()
    }

    #[tokio::test]
    async fn a_registry_of_somebody_else_and_none_at_all_are_told_with_an_example() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let other = line(Cloud::Aws, Some("gcr.io/project/app")).await;
        assert_eq!((other.state, &*other.found), (State::Failed, "gcr.io is no registry of AWS"));
        assert!(other.remedy.unwrap().contains("dkr.ecr.us-east-1"));
        let none = line(Cloud::Azure, None).await;
        assert_eq!(none.found, "Azure grants credentials for one registry at a time");
        assert!(none.remedy.unwrap().ends_with("--image NAME.azurecr.io/app"));
    }
}
