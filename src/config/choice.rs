//! The closed sets of the configuration: each an enum whose variants stand beside the word that the ConfigMap
//! uses for them (Chains specification §1.1; words of our own in the architecture's "New names").
//!
//! Guarantees: words are exact and case sensitive, as in Chains; `as_str` and `ALL` cannot drift from the
//! variants, since one macro makes all three. Must not: read text, which is [`super::value`]'s work.

use std::collections::BTreeMap;

use crate::tekton::{TRANSPARENCY, TRANSPARENCY_UPLOAD};

/// A setting that takes one of a few words.
pub trait Choice: Copy + PartialEq + 'static {
    /// Every variant, in the order of the documentation.
    const ALL: &'static [Self];

    /// Whether an unknown word leaves the default in place with a warning, because Chains passes over it.
    const PASSED_OVER: bool = false;

    /// The word in the ConfigMap.
    fn word(self) -> &'static str;
}

macro_rules! choices {
    ($($(#[$of:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $word:literal,)+ } $(=> $lenient:ident)?)+) => {$(
        $(#[$of])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$each])* $variant,)+ }

        impl $name {
            /// The word in the ConfigMap.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl Choice for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];
            $(const $lenient: bool = true;)?

            fn word(self) -> &'static str {
                self.as_str()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )+};
}

choices! {
    /// What the statement about a run looks like.
    RunFormat {
        /// SLSA v0.2 provenance; another word for [`RunFormat::SlsaV1`].
        #[default]
        InToto = "in-toto",
        /// SLSA v0.2 provenance, despite the name.
        SlsaV1 = "slsa/v1",
        /// SLSA v1.0 provenance; every result is a by-product.
        SlsaV2Alpha3 = "slsa/v2alpha3",
        /// SLSA v1.0 provenance; only declared build artifacts are subjects.
        SlsaV2Alpha4 = "slsa/v2alpha4",
    }

    /// What the payload of an image signature looks like.
    ImageFormat {
        /// The payload that cosign signs and verifies.
        #[default]
        SimpleSigning = "simplesigning",
    }

    /// A place where signatures and their payloads are kept.
    Storage {
        /// Annotations of the run.
        #[default]
        Tekton = "tekton",
        /// The registry of the image.
        Oci = "oci",
        /// A Google Cloud Storage bucket.
        Gcs = "gcs",
        /// A document database.
        Docdb = "docdb",
        /// Google Container Analysis.
        Grafeas = "grafeas",
        /// A Kafka topic.
        Kafka = "kafka",
        /// An Archivista server.
        Archivista = "archivista",
        /// An S3 bucket.
        S3 = "s3",
        /// A container of Azure Blob Storage.
        Azure = "azure",
    }

    /// What signs an artifact.
    SignerKind {
        /// A key of the Secret `signing-secrets`, or a Fulcio certificate.
        #[default]
        X509 = "x509",
        /// A key management service.
        Kms = "kms",
        /// Nothing: the artifact is disabled, as in Chains.
        None = "none",
    }

    /// How signatures lie in a registry.
    Encoding {
        /// cosign's tags `.sig` and `.att`.
        #[default]
        Dsse = "dsse",
        /// Sigstore bundles as OCI 1.1 referrers.
        SigstoreBundle = "sigstore-bundle",
    }

    /// What SLSA v1.0 provenance states about the build.
    BuildType {
        /// The run alone.
        #[default]
        Slsa = "https://tekton.dev/chains/v2/slsa",
        /// The run with its labels, annotations and child runs.
        SlsaTekton = "https://tekton.dev/chains/v2/slsa-tekton",
    }

    /// Which signatures are written to the transparency log.
    Upload {
        /// None.
        #[default]
        Off = "false",
        /// All.
        On = "true",
        /// Those of runs with the annotation `chains.tekton.dev/transparency-upload: "true"`.
        Manual = "manual",
    } => PASSED_OVER

    /// The broker in front of the Kafka storage.
    PubSubProvider {
        /// Memory of the process, for tests of Chains.
        #[default]
        InMemory = "inmemory",
        /// Kafka.
        Kafka = "kafka",
    }

    /// How to log in to Kafka.
    SaslMechanism {
        /// With the password itself.
        #[default]
        Plain = "PLAIN",
        /// With a proof that one knows it, by SHA-256.
        ScramSha256 = "SCRAM-SHA-256",
        /// The same by SHA-512.
        ScramSha512 = "SCRAM-SHA-512",
    }

    /// When a run carries a finalizer.
    Finalizers {
        /// From being seen while it runs until it is marked.
        #[default]
        Running = "running",
        /// Never: a run deleted before its turn is lost.
        Never = "never",
    }

    /// Which completed runs are signed.
    Outcomes {
        /// Succeeded, failed and cancelled ones alike.
        #[default]
        All = "all",
        /// Only those that succeeded.
        Succeeded = "succeeded",
    }

    /// Whether the agent's own registry credentials may serve a run.
    ControllerCredentials {
        /// For every run.
        #[default]
        Always = "always",
        /// For none.
        Never = "never",
        /// For the pairs of namespace and repository that are listed.
        Allowlist = "allowlist",
    }

    /// What happens to an image that no policy names.
    NoMatch {
        /// It is refused.
        #[default]
        Deny = "deny",
        /// It is admitted with a warning.
        Warn = "warn",
        /// It is admitted.
        Allow = "allow",
    } => PASSED_OVER

    /// Where the pull secrets that a policy names are looked up.
    PullSecretNamespace {
        /// The agent's namespace, then the workload's.
        #[default]
        Both = "both",
        /// The agent's namespace.
        Controller = "controller",
        /// The workload's namespace.
        Workload = "workload",
    }
}

impl Storage {
    /// What Chains accepts for TaskRuns and images.
    pub const OF_CHAINS: &'static [Self] =
        &[Self::Tekton, Self::Oci, Self::Gcs, Self::Docdb, Self::Grafeas, Self::Kafka, Self::Archivista];

    /// What has keys of its own, since Chains would refuse it in those that it knows.
    pub const BESIDE_CHAINS: &'static [Self] = &[Self::S3, Self::Azure];

    /// The same for a `PipelineRun`, in whose own key Chains refuses Kafka (defect D8).
    pub const BESIDE_CHAINS_OF_PIPELINERUN: &'static [Self] = &[Self::S3, Self::Azure, Self::Kafka];
}

impl Upload {
    /// Whether a run with these annotations is logged (Chains specification §7): with `manual` one that asks for it
    /// and has no entry yet.
    pub fn applies(self, annotations: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Off => false,
            Self::On => true,
            Self::Manual => {
                let asked = annotations.get(TRANSPARENCY_UPLOAD).is_some_and(|wish| wish == "true");
                asked && !annotations.contains_key(TRANSPARENCY)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<C: Choice>() -> Vec<&'static str> {
        C::ALL.iter().map(|choice| choice.word()).collect()
    }

    #[test]
    fn the_words_are_those_of_chains() {
        assert_eq!(words::<RunFormat>(), ["in-toto", "slsa/v1", "slsa/v2alpha3", "slsa/v2alpha4"]);
        assert_eq!(words::<ImageFormat>(), ["simplesigning"]);
        assert_eq!(
            words::<Storage>(),
            ["tekton", "oci", "gcs", "docdb", "grafeas", "kafka", "archivista", "s3", "azure"]
        );
        assert_eq!(words::<SignerKind>(), ["x509", "kms", "none"]);
        assert_eq!(words::<Encoding>(), ["dsse", "sigstore-bundle"]);
        assert_eq!(words::<PubSubProvider>(), ["inmemory", "kafka"]);
        assert_eq!(
            words::<BuildType>(),
            ["https://tekton.dev/chains/v2/slsa", "https://tekton.dev/chains/v2/slsa-tekton"]
        );
    }

    #[test]
    fn the_ways_to_log_in_to_kafka_are_those_of_sasl() {
        assert_eq!(words::<SaslMechanism>(), ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]);
    }

    #[test]
    fn only_the_words_that_chains_passes_over_are_lenient() {
        const { assert!(Upload::PASSED_OVER && NoMatch::PASSED_OVER) };
        const { assert!(!RunFormat::PASSED_OVER && !Storage::PASSED_OVER && !Finalizers::PASSED_OVER) };
    }

    #[test]
    fn the_log_gets_everything_or_what_its_owner_asks_for_once() {
        let with = |names: &[(&str, &str)]| {
            let annotation =
                |(name, value): &(&str, &str)| (format!("chains.tekton.dev/{name}"), (*value).to_owned());
            names.iter().map(annotation).collect::<BTreeMap<_, _>>()
        };
        let asked = ("transparency-upload", "true");
        let logged = ("transparency", "https://rekor.example/api/v1/log/entries?logIndex=1");
        for (annotations, manual) in [
            (with(&[]), false),
            (with(&[asked]), true),
            (with(&[("transparency-upload", "True")]), false),
            (with(&[("transparency-upload", "yes")]), false),
            (with(&[asked, logged]), false),
            (with(&[logged]), false),
        ] {
            assert_eq!(Upload::Manual.applies(&annotations), manual, "{annotations:?}");
            assert!(Upload::On.applies(&annotations) && !Upload::Off.applies(&annotations));
        }
        let unprefixed = BTreeMap::from([("transparency-upload".to_owned(), "true".to_owned())]);
        assert!(!Upload::Manual.applies(&unprefixed));
    }

    #[test]
    fn every_storage_is_one_of_chains_or_beside_it() {
        let mut all = [Storage::OF_CHAINS, Storage::BESIDE_CHAINS].concat();
        all.sort();
        let mut known = Storage::ALL.to_vec();
        known.sort();
        assert_eq!(all, known);
        assert_eq!(Storage::Oci.to_string(), "oci");
    }
}
