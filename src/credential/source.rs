//! Where credentials come from: the stable names, the rank that breaks ties, and the group that decides first
//! (credentials specification §1.2 and §1.4).
//!
//! The order of the variants is the order of a trial within a group; must not be changed for looks.

use std::fmt;

use serde::{Serialize, Serializer};

/// A place that credentials come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// `signaturePullSecrets` of a policy.
    SignaturePullSecrets,
    /// `spec.imagePullSecrets` of the pod that executed the run.
    PodImagePullSecrets,
    /// The pod template of the run.
    PodTemplateImagePullSecrets,
    /// `.secrets` of the run's service account.
    ServiceAccountSecrets,
    /// `.imagePullSecrets` of the run's service account.
    ServiceAccountImagePullSecrets,
    /// A cloud role bound to the run's service account.
    ServiceAccountCloud,
    /// `.secrets` of Hallmark's own service account.
    ControllerServiceAccountSecrets,
    /// `.imagePullSecrets` of Hallmark's own service account.
    ControllerServiceAccountImagePullSecrets,
    /// The registry configuration file.
    ControllerRegistryConfig,
    /// A docker or podman file, or `DOCKER_AUTH_CONFIG`.
    ControllerDockerConfig,
    /// A credential helper named by such a file.
    ControllerHelper(String),
    /// An exchange of an OIDC token that the operator configured.
    ControllerSts(String),
    /// The ambient cloud identity of Hallmark itself.
    ControllerCloud(Cloud),
    /// No credential.
    Anonymous,
}

/// Clouds whose ambient identity opens their registries (§1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cloud {
    /// Google Artifact Registry and Container Registry.
    Gcp,
    /// Amazon ECR.
    Ecr,
    /// Azure Container Registry.
    Acr,
}

/// Whose authority a source carries; all candidates of one group come before those of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// The run's own.
    Run,
    /// What the operator configured for Hallmark.
    Controller,
    /// What the machine that Hallmark runs on may do.
    Ambient,
    /// Nobody's.
    Anonymous,
}

impl Source {
    /// The tie-break rank of §1.2.
    pub fn rank(&self) -> u8 {
        match self {
            Self::SignaturePullSecrets => 0,
            Self::PodImagePullSecrets => 1,
            Self::PodTemplateImagePullSecrets => 2,
            Self::ServiceAccountSecrets => 3,
            Self::ServiceAccountImagePullSecrets => 4,
            Self::ServiceAccountCloud => 5,
            Self::ControllerServiceAccountSecrets | Self::ControllerServiceAccountImagePullSecrets => 6,
            Self::ControllerRegistryConfig => 7,
            Self::ControllerDockerConfig => 8,
            Self::ControllerHelper(_) => 9,
            Self::ControllerSts(_) => 10,
            Self::ControllerCloud(_) => 11,
            Self::Anonymous => 12,
        }
    }

    /// The group of §1.4, which outweighs everything else.
    pub fn group(&self) -> Group {
        match self.rank() {
            0..=5 => Group::Run,
            6..=10 => Group::Controller,
            11 => Group::Ambient,
            _ => Group::Anonymous,
        }
    }

    /// Whether the source is a list of `imagePullSecrets`, where a Secret of another type is a mistake worth naming.
    pub fn lists_pull_secrets(&self) -> bool {
        matches!(
            self,
            Self::SignaturePullSecrets
                | Self::PodImagePullSecrets
                | Self::PodTemplateImagePullSecrets
                | Self::ServiceAccountImagePullSecrets
                | Self::ControllerServiceAccountImagePullSecrets
        )
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SignaturePullSecrets => "policy.signaturePullSecrets",
            Self::PodImagePullSecrets => "pod.imagePullSecrets",
            Self::PodTemplateImagePullSecrets => "podTemplate.imagePullSecrets",
            Self::ServiceAccountSecrets => "serviceAccount.secrets",
            Self::ServiceAccountImagePullSecrets => "serviceAccount.imagePullSecrets",
            Self::ServiceAccountCloud => "serviceAccount.cloud",
            Self::ControllerServiceAccountSecrets => "controller.serviceAccount.secrets",
            Self::ControllerServiceAccountImagePullSecrets => "controller.serviceAccount.imagePullSecrets",
            Self::ControllerRegistryConfig => "controller.registryConfig",
            Self::ControllerDockerConfig => "controller.dockerConfig",
            Self::ControllerHelper(name) => return write!(f, "controller.helper:{name}"),
            Self::ControllerSts(name) => return write!(f, "controller.sts:{name}"),
            Self::ControllerCloud(Cloud::Gcp) => "controller.cloud:gcp",
            Self::ControllerCloud(Cloud::Ecr) => "controller.cloud:ecr",
            Self::ControllerCloud(Cloud::Acr) => "controller.cloud:acr",
            Self::Anonymous => "anonymous",
        })
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_source_table_has_its_name_rank_and_group() {
        for (source, name, rank, group) in [
            (Source::SignaturePullSecrets, "policy.signaturePullSecrets", 0, Group::Run),
            (Source::PodImagePullSecrets, "pod.imagePullSecrets", 1, Group::Run),
            (Source::PodTemplateImagePullSecrets, "podTemplate.imagePullSecrets", 2, Group::Run),
            (Source::ServiceAccountSecrets, "serviceAccount.secrets", 3, Group::Run),
            (Source::ServiceAccountImagePullSecrets, "serviceAccount.imagePullSecrets", 4, Group::Run),
            (Source::ServiceAccountCloud, "serviceAccount.cloud", 5, Group::Run),
            (
                Source::ControllerServiceAccountSecrets,
                "controller.serviceAccount.secrets",
                6,
                Group::Controller,
            ),
            (
                Source::ControllerServiceAccountImagePullSecrets,
                "controller.serviceAccount.imagePullSecrets",
                6,
                Group::Controller,
            ),
            (Source::ControllerRegistryConfig, "controller.registryConfig", 7, Group::Controller),
            (Source::ControllerDockerConfig, "controller.dockerConfig", 8, Group::Controller),
            (Source::ControllerHelper("pass".into()), "controller.helper:pass", 9, Group::Controller),
            (Source::ControllerSts("harbor".into()), "controller.sts:harbor", 10, Group::Controller),
            (Source::ControllerCloud(Cloud::Gcp), "controller.cloud:gcp", 11, Group::Ambient),
            (Source::ControllerCloud(Cloud::Ecr), "controller.cloud:ecr", 11, Group::Ambient),
            (Source::ControllerCloud(Cloud::Acr), "controller.cloud:acr", 11, Group::Ambient),
            (Source::Anonymous, "anonymous", 12, Group::Anonymous),
        ] {
            assert_eq!((source.to_string().as_str(), source.rank(), source.group()), (name, rank, group));
            assert_eq!(serde_json::to_value(&source).unwrap(), name);
        }
    }

    #[test]
    fn the_order_of_the_variants_agrees_with_the_ranks() {
        assert!(Source::PodImagePullSecrets < Source::ServiceAccountSecrets);
        assert!(
            Source::ControllerServiceAccountSecrets < Source::ControllerServiceAccountImagePullSecrets,
            "secrets come before imagePullSecrets under one rank"
        );
        assert!(Source::ControllerHelper("z".into()) < Source::ControllerSts("a".into()));
    }
}
