//! From the ConfigMap's `data` to a [`Config`], or to everything that is wrong with it.
//!
//! Guarantees (defect D17 of the Chains specification §8.1): every mistake is found in one pass; a value that
//! Chains refuses rejects the map; what Chains passes over in silence, an unknown key, a boolean that is none, an
//! odd `transparency.enabled`, is a warning that says which value is in effect, and that is Chains'.
//! Must not: say whether this build can do what was asked ([`Config::unsupported`]).

use std::collections::BTreeMap;

use super::finding::{Finding, Problem, Refusal, nearest};
use super::{Config, ControllerCredentials, Upload, key};

/// What a ConfigMap says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The configuration, or every reason why there is none.
    pub config: Result<Config, Vec<Finding>>,
    /// What is passed over.
    pub warnings: Vec<Finding>,
}

pub(super) fn parse(data: &BTreeMap<String, String>) -> Parsed {
    let mut config = Config::default();
    let (mut errors, mut warnings, mut strangers) = (Vec::new(), Vec::new(), Vec::new());
    for (name, text) in data.iter().filter(|(name, _)| !is_comment(name)) {
        let Some(key) = key::named(name) else {
            strangers.push(name);
            continue;
        };
        let Err(refusal) = key.field.set(&mut config, text) else { continue };
        let value = (!key.secret).then_some(text.as_str());
        if key.field.passed_over() {
            let remedy = format!("{}; in effect is {:?}", refusal.remedy, key.field.text(&mut config));
            warnings.push(Refusal { remedy, ..refusal }.of(name, value));
        } else {
            errors.push(refusal.of(name, value));
        }
    }
    // Last, since they tell what is in effect instead.
    warnings.extend(strangers.into_iter().map(|name| unknown(name, &mut config)));
    warnings.extend(unread(&config));
    warnings.extend(unproven(&config));
    Parsed { config: if errors.is_empty() { Ok(config) } else { Err(errors) }, warnings }
}

/// `_example` and its like: how the ConfigMaps of the Tekton family carry their documentation.
fn is_comment(name: &str) -> bool {
    name.starts_with('_')
}

/// The value is not repeated, since the key that was meant may be one for a secret.
fn unknown(name: &str, config: &mut Config) -> Finding {
    let meant = nearest(name, key::all().map(|key| key.name)).and_then(key::named);
    let remedy = match meant {
        Some(key) if key.secret => format!("it has no effect: did you mean {:?}?", key.name),
        Some(key) => {
            let value = key.field.text(config);
            format!("it has no effect: did you mean {:?}? In effect is {value:?}", key.name)
        }
        None => "it has no effect: remove it; `hallmark config reference` lists all keys".into(),
    };
    Refusal::new(Problem::UnknownKey, remedy).of(name, None)
}

/// Good values that nothing reads because of another one.
fn unread(config: &Config) -> Option<Finding> {
    let registry = &config.registry;
    let idle =
        !registry.allow.is_empty() && registry.controller_credentials != ControllerCredentials::Allowlist;
    idle.then(|| {
        Refusal::new(Problem::NoEffect, "set registry.controller-credentials to \"allowlist\", or remove it")
            .of("registry.controller-credentials.allow", None)
    })
}

/// Certificates without a proof of the time of signing (Chains specification §7). A SigningConfig may name one, which is
/// seen when it is read.
fn unproven(config: &Config) -> Option<Finding> {
    let fulcio = &config.signers.fulcio;
    let named = config.transparency.signing_config.is_some() || fulcio.tuf_signing_config;
    let proven = named || config.transparency.upload != Upload::Off || config.timestamp_url.is_some();
    (fulcio.enabled && !proven).then(|| {
        Refusal::new(Problem::Unproven, "set transparency.enabled or timestamp.url")
            .of("signers.x509.fulcio.enabled", None)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{RunFormat, SignerKind, Storage};
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
    }

    fn lines(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    /// What a bad value does.
    #[derive(Clone, Copy)]
    enum Bad {
        /// It rejects the map.
        Rejects(&'static str),
        /// It warns, and the default stays.
        Warns(&'static str),
        /// There is none: every text is taken.
        None,
    }
    use Bad::{Rejects, Warns};

    /// Key, default as it would be written, a good value that differs, a bad one.
    #[rustfmt::skip]
    const CASES: &[(&str, &str, &str, Bad)] = &[
        ("artifacts.taskrun.format", "in-toto", "slsa/v1", Rejects("slsa/v2alpha2")),
        ("artifacts.taskrun.storage", "tekton", "oci,kafka", Rejects("oci,")),
        ("artifacts.taskrun.also-storage", "", "s3,azure", Rejects("gcs")),
        ("artifacts.taskrun.signer", "x509", "none", Rejects("X509")),
        ("artifacts.pipelinerun.format", "in-toto", "slsa/v2alpha4", Rejects("tekton")),
        ("artifacts.pipelinerun.storage", "tekton", "oci,kafka", Rejects("pubsub")),
        ("artifacts.pipelinerun.also-storage", "", "kafka,s3,azure", Rejects("gcs")),
        ("artifacts.pipelinerun.signer", "x509", "kms", Rejects("")),
        ("artifacts.pipelinerun.enable-deep-inspection", "false", "true", Warns("yes")),
        ("artifacts.oci.format", "simplesigning", "simplesigning", Rejects("in-toto")),
        ("artifacts.oci.storage", "oci", "tekton", Rejects("registry")),
        ("artifacts.oci.also-storage", "", "s3,azure", Rejects("gcs")),
        ("artifacts.oci.signer", "x509", "none", Rejects("fulcio")),
        ("artifacts.oci.index-children", "false", "true", Warns("all")),
        ("builder.id", "https://tekton.dev/chains/v2", "https://builder.example", Bad::None),
        ("builddefinition.buildtype", "https://tekton.dev/chains/v2/slsa", "https://tekton.dev/chains/v2/slsa-tekton", Rejects("slsa")),
        ("storage.oci.repository", "", "registry.example/signatures", Rejects("https://registry.example/signatures")),
        ("storage.oci.repository.insecure", "false", "true", Warns("ture")),
        ("storage.oci.encoding-format", "dsse", "sigstore-bundle", Rejects("bundle")),
        ("storage.oci.also-bundle", "false", "true", Warns("")),
        ("storage.oci.require-image", "true", "false", Warns("off")),
        ("storage.gcs.bucket", "", "bucket", Bad::None),
        ("storage.gcs.endpoint", "https://storage.googleapis.com", "https://storage.example", Bad::None),
        ("storage.s3.bucket", "", "bucket", Bad::None),
        ("storage.s3.region", "", "eu-central-1", Bad::None),
        ("storage.s3.endpoint", "", "https://s3.example", Bad::None),
        ("storage.azure.account", "", "account", Bad::None),
        ("storage.azure.container", "", "container", Bad::None),
        ("storage.azure.endpoint", "", "https://account.blob.core.example", Bad::None),
        ("storage.docdb.url", "", "(hidden)", Bad::None),
        ("storage.docdb.endpoint", "", "http://dynamodb.example", Bad::None),
        ("storage.docdb.mongo-server-url", "", "(hidden)", Bad::None),
        ("storage.docdb.mongo-server-url-dir", "", "/etc/mongo", Bad::None),
        ("storage.docdb.mongo-server-url-path", "", "/etc/mongo/url", Bad::None),
        ("storage.grafeas.projectid", "", "project", Bad::None),
        ("storage.grafeas.noteid", "", "note", Bad::None),
        ("storage.grafeas.notehint", "This attestation note was generated by Tekton Chains", "hint", Bad::None),
        ("storage.grafeas.endpoint", "https://containeranalysis.googleapis.com", "https://analysis.example", Bad::None),
        ("storage.pubsub.provider", "", "kafka", Rejects("nats")),
        ("storage.pubsub.topic", "", "topic", Bad::None),
        ("storage.pubsub.kafka.bootstrap.servers", "", "kafka-0:9092,kafka-1:9092", Bad::None),
        ("storage.pubsub.kafka.tls", "false", "true", Warns("SSL")),
        ("storage.pubsub.kafka.ca-file", "", "/etc/kafka/ca.crt", Bad::None),
        ("storage.pubsub.kafka.client-certificate-file", "", "/etc/kafka/tls.crt", Bad::None),
        ("storage.pubsub.kafka.client-key-file", "", "/etc/kafka/tls.key", Bad::None),
        ("storage.pubsub.kafka.sasl-mechanism", "", "SCRAM-SHA-512", Rejects("GSSAPI")),
        ("storage.pubsub.kafka.sasl-username", "", "hallmark", Bad::None),
        ("storage.pubsub.kafka.sasl-password-path", "", "/etc/kafka/password", Bad::None),
        ("storage.archivista.url", "", "https://archivista.example", Bad::None),
        ("signers.x509.fulcio.enabled", "false", "true", Warns("enabled")),
        ("signers.x509.fulcio.address", "https://fulcio.sigstore.dev", "http://fulcio.fulcio-system.svc", Bad::None),
        ("signers.x509.fulcio.issuer", "https://oauth2.sigstore.dev/auth", "https://issuer.example", Bad::None),
        ("signers.x509.fulcio.provider", "", "spiffe", Bad::None),
        ("signers.x509.identity.token.file", "", "/var/run/token", Bad::None),
        ("signers.x509.tuf.mirror.url", "https://tuf-repo-cdn.sigstore.dev", "https://tuf.example", Bad::None),
        ("signers.x509.tuf.root", "", "/etc/hallmark/root.json", Bad::None),
        ("signers.x509.tuf.cache", "", "/var/cache/hallmark", Bad::None),
        ("signers.x509.tuf.signing-config", "false", "true", Warns("yes")),
        ("signers.x509.trusted-root", "", "/etc/hallmark/trusted_root.json", Bad::None),
        ("signers.x509.fulcio.certificate-reuse", "false", "true", Warns("10m")),
        ("signers.x509.fulcio.allow-http", "false", "true", Warns("YES")),
        ("signers.kms.kmsref", "", "awskms:///alias/key", Bad::None),
        ("signers.kms.auth.address", "", "https://vault.example", Bad::None),
        ("signers.kms.auth.token", "", "(hidden)", Bad::None),
        ("signers.kms.auth.token-path", "", "/etc/vault/token", Bad::None),
        ("signers.kms.auth.oidc.path", "", "jwt", Bad::None),
        ("signers.kms.auth.oidc.role", "", "chains", Bad::None),
        ("signers.kms.auth.oidc.token-path", "/var/run/secrets/kubernetes.io/serviceaccount/token", "/var/run/jwt", Bad::None),
        ("signers.kms.auth.spire.sock", "", "unix:///run/agent.sock", Bad::None),
        ("signers.kms.auth.spire.audience", "", "vault", Bad::None),
        ("transparency.enabled", "false", "manual", Warns("True")),
        ("transparency.url", "https://rekor.sigstore.dev", "doesnotexist", Bad::None),
        ("transparency.version", "1", "2", Rejects("3")),
        ("transparency.signing-config", "", "/etc/hallmark/signing-config.json", Bad::None),
        ("timestamp.url", "", "https://tsa.example", Bad::None),
        ("signing.retry-window", "24h", "30s", Rejects("30")),
        ("signing.finalizers", "running", "never", Rejects("always")),
        ("signing.concurrency", "16", "32", Rejects("0")),
        ("signing.key-policy", "", "team-a=team-a-key,*=refuse", Rejects("team-a")),
        ("filter.managed-by", "", "a.example/one,b.example/two", Bad::None),
        ("selection.label-selector", "", "team=a,env in (x, y)", Rejects("team in x")),
        ("selection.max-age", "", "1h30m", Rejects("2 days")),
        ("selection.outcomes", "all", "succeeded", Rejects("failed")),
        ("registry.config-file", "/etc/hallmark/registries.toml", "/etc/other.toml", Bad::None),
        ("registry.max-candidates", "8", "3", Rejects("65")),
        ("registry.controller-credentials", "always", "never", Rejects("allow-list")),
        ("registry.controller-credentials.allow", "", "team-*=registry.example/**", Rejects("team-a")),
        ("registry.run-identity", "false", "true", Warns("on")),
        ("registry.oauth-password-grant", "", "registry.example:5000", Rejects("registry.example/path")),
        ("registry.cloud.aws.role-arn", "", "arn:aws:iam::123456789012:role/ecr", Bad::None),
        ("registry.cloud.gcp.provider", "", "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k8s", Bad::None),
        ("refresh.enabled", "false", "true", Warns("y")),
        ("updater.secret-names", "pull-secret", "other", Bad::None),
        ("policy.no-match", "deny", "warn", Warns("ignore")),
        ("policy.pull-secret-namespace", "both", "controller", Rejects("all")),
        ("policy.anchor-regexes", "false", "true", Warns("strict")),
    ];

    #[test]
    fn every_key_has_a_case() {
        let cases: BTreeSet<_> = CASES.iter().map(|(name, ..)| *name).collect();
        assert_eq!(cases, key::all().map(|key| key.name).collect());
    }

    #[test]
    fn every_key_has_its_default() {
        let mut config = parse(&BTreeMap::new()).config.unwrap();
        assert_eq!(config, Config::default());
        for (name, default, ..) in CASES {
            assert_eq!(key::named(name).unwrap().field.text(&mut config), *default, "{name}");
        }
    }

    #[test]
    fn every_key_takes_a_good_value_without_a_word() {
        for (name, _, good, _) in CASES {
            // What a few keys need beside them to mean something.
            let beside = [("registry.controller-credentials", "allowlist"), ("transparency.enabled", "true")];
            let parsed = parse(&map(&[&beside[..], &[(name, good)]].concat()));
            let mut config = parse(&map(&[(name, good)])).config.unwrap();
            assert_eq!(key::named(name).unwrap().field.text(&mut config), *good, "{name}");
            assert_eq!(lines(&parsed.warnings), Vec::<String>::new(), "{name}");
        }
    }

    #[test]
    fn every_bad_value_is_named_with_its_remedy() {
        for (name, default, _, bad) in CASES {
            let (text, findings) = match bad {
                Rejects(text) => (text, parse(&map(&[(name, text)])).config.unwrap_err()),
                Warns(text) => {
                    let parsed = parse(&map(&[(name, text)]));
                    assert_eq!(parsed.config.unwrap(), Config::default(), "{name}");
                    assert!(
                        parsed.warnings[0].remedy.ends_with(&format!("in effect is {default:?}")),
                        "{name}"
                    );
                    (text, parsed.warnings)
                }
                Bad::None => {
                    assert!(parse(&map(&[(name, "any, text; at = all")])).config.is_ok(), "{name}");
                    continue;
                }
            };
            assert_eq!(findings.len(), 1, "{name}");
            assert_eq!((findings[0].key.as_str(), findings[0].value.as_deref()), (*name, Some(*text)));
            assert!(findings[0].remedy.len() > 10, "{name}");
        }
    }

    #[test]
    fn all_mistakes_come_at_once() {
        let parsed = parse(&map(&[
            ("artifacts.taskrun.format", "slsa/v2alpha2"),
            ("artifacts.oci.storage", "ocl,tekton"),
            ("artifacts.taskrun.signr", "kms"),
            ("signing.retry-window", "1d"),
            ("storage.oci.repository.insecure", "ture"),
            ("builder.id", "fine"),
        ]));
        assert_eq!(
            lines(&parsed.config.unwrap_err()),
            [
                r#"artifacts.oci.storage: "ocl,tekton": "ocl" is not an allowed value; did you mean "oci"?"#,
                r#"artifacts.taskrun.format: "slsa/v2alpha2": "slsa/v2alpha2" is not an allowed value; did you mean "slsa/v2alpha3"?"#,
                r#"signing.retry-window: "1d": not a duration above zero; write it with units, such as 90s, 1h30m or 24h"#,
            ]
        );
        assert_eq!(
            lines(&parsed.warnings),
            [
                r#"storage.oci.repository.insecure: "ture": not a boolean; write "true" or "false"; in effect is "false""#,
                r#"artifacts.taskrun.signr: unknown key; it has no effect: did you mean "artifacts.taskrun.signer"? In effect is "x509""#,
            ]
        );
    }

    #[test]
    fn transparency_is_off_for_every_odd_word_as_in_chains() {
        for (text, upload) in [("true", Upload::On), ("manual", Upload::Manual), ("false", Upload::Off)] {
            let parsed = parse(&map(&[("transparency.enabled", text)]));
            assert_eq!(
                (parsed.config.unwrap().transparency.upload, parsed.warnings.len()),
                (upload, 0),
                "{text}"
            );
        }
        for text in ["True", "1", "yes", "", "manual "] {
            let parsed = parse(&map(&[("transparency.enabled", text)]));
            assert_eq!(
                (parsed.config.unwrap().transparency.upload, parsed.warnings.len()),
                (Upload::Off, 1),
                "{text}"
            );
        }
    }

    #[test]
    fn an_artifact_without_storage_or_signer_is_disabled() {
        let config = |pairs: &[(&str, &str)]| parse(&map(pairs)).config.unwrap();
        assert!(config(&[]).taskrun.enabled() && config(&[]).oci.enabled());
        assert!(!config(&[("artifacts.taskrun.storage", "")]).taskrun.enabled());
        assert!(!config(&[("artifacts.oci.signer", "none")]).oci.enabled());
        let set = config(&[
            ("artifacts.taskrun.storage", " oci , tekton"),
            ("artifacts.taskrun.format", "slsa/v1"),
        ]);
        assert_eq!(set.taskrun.storage, BTreeSet::from([Storage::Oci, Storage::Tekton]));
        assert_eq!((set.taskrun.format, set.taskrun.signer), (RunFormat::SlsaV1, SignerKind::X509));
    }

    #[test]
    fn a_secret_is_shown_by_nothing() {
        let parsed = parse(&map(&[
            ("signers.kms.auth.token", "canary"),
            ("signers.kms.auth.tokn", "canary"),
            ("storage.docdb.mongo-server-url", "mongodb://user:canary@host"),
            ("storage.docdb.url", "mongo://canary"),
        ]));
        assert!(!format!("{parsed:?}").contains("canary"));
        assert!(!lines(&parsed.warnings).concat().contains("canary"));
        assert_eq!(parsed.config.unwrap().signers.kms.token.reveal(), "canary");
    }

    #[test]
    fn comments_are_no_keys() {
        assert_eq!(parse(&map(&[("_example", "anything: goes")])).warnings, []);
    }

    #[test]
    fn an_allow_list_that_nothing_reads_is_reported() {
        let allow = ("registry.controller-credentials.allow", "a=b.example/c");
        assert_eq!(parse(&map(&[allow])).warnings[0].problem, Problem::NoEffect);
        assert_eq!(parse(&map(&[allow, ("registry.controller-credentials", "allowlist")])).warnings, []);
    }

    #[test]
    fn certificates_without_a_log_or_a_timestamp_are_reported_unless_a_signing_config_may_name_one() {
        let fulcio = ("signers.x509.fulcio.enabled", "true");
        let told = parse(&map(&[fulcio])).warnings;
        assert_eq!((told.len(), &told[0].problem), (1, &Problem::Unproven));
        assert!(told[0].to_string().contains("set transparency.enabled or timestamp.url"), "{}", told[0]);
        for proven in [
            ("transparency.enabled", "true"),
            ("timestamp.url", "https://tsa.test"),
            ("transparency.signing-config", "/etc/signing.json"),
            ("signers.x509.tuf.signing-config", "true"),
        ] {
            assert_eq!(parse(&map(&[fulcio, proven])).warnings, [], "{proven:?}");
        }
        assert_eq!(parse(&map(&[])).warnings, []);
    }

    #[test]
    fn a_hostile_map_costs_no_more_than_its_size() {
        let data = (0..2000).map(|i| (format!("k{i}{}", "x".repeat(400)), "y".repeat(400))).collect();
        let parsed = parse(&data);
        assert_eq!(parsed.warnings.len(), 2000);
        assert!(lines(&parsed.warnings).iter().all(|line| line.len() < 400));
    }
}
