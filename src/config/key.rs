//! The table of keys: one row a key. To add one, add its row here and its field to [`super::Config`].
//!
//! Guarantees: parsing, messages and the reference all come from these rows; defaults come from
//! `Config::default()`, types and allowed values from the field. Must not: decide what a value means.

use super::Storage;
use super::field::{Any, Count, DISABLES, Field, Words};

/// One key of the ConfigMap.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// One sentence for the reference.
    pub(super) doc: &'static str,
    pub(super) field: &'static dyn Field,
    /// Chains knows it.
    pub(super) of_chains: bool,
    /// Its value is never repeated.
    pub(super) secret: bool,
}

impl Key {
    /// A key of Tekton Chains.
    const fn chains(name: &'static str, field: &'static dyn Field, doc: &'static str) -> Self {
        Self { name, doc, field, of_chains: true, secret: false }
    }

    /// A key that Chains does not know and passes over.
    const fn own(name: &'static str, field: &'static dyn Field, doc: &'static str) -> Self {
        Self { of_chains: false, ..Self::chains(name, field, doc) }
    }

    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
}

/// A chapter of the reference.
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) keys: &'static [Key],
}

/// Every key, in the order of the reference.
pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// The row of this name.
pub(super) fn named(name: &str) -> Option<&'static Key> {
    all().find(|key| key.name == name)
}

// Two lines a row, setting and sentence, so that the table can be read as one.
#[rustfmt::skip]
pub(super) static SECTIONS: &[Section] = &[
    Section { title: "Artifacts", keys: &[
        Key::chains("artifacts.taskrun.format", &Any(|c| &mut c.taskrun.format),
            "Statement about a TaskRun; `in-toto` and `slsa/v1` are SLSA v0.2, the others SLSA v1.0."),
        Key::chains("artifacts.taskrun.storage", &Words(|c| &mut c.taskrun.storage, Storage::OF_CHAINS, DISABLES),
            "Where the statement about a TaskRun is stored."),
        Key::own("artifacts.taskrun.also-storage", &Words(|c| &mut c.taskrun.also_storage, Storage::BESIDE_CHAINS, ""),
            "Where the statement about a TaskRun is stored too, of what Chains does not know."),
        Key::chains("artifacts.taskrun.signer", &Any(|c| &mut c.taskrun.signer),
            "What signs the statement about a TaskRun; `none` makes none."),
        Key::chains("artifacts.pipelinerun.format", &Any(|c| &mut c.pipelinerun.format),
            "Statement about a PipelineRun."),
        Key::chains("artifacts.pipelinerun.storage", &Words(|c| &mut c.pipelinerun.storage, Storage::OF_CHAINS, DISABLES),
            "Where the statement about a PipelineRun is stored; Chains refuses `kafka` here, but not in the next key."),
        Key::own("artifacts.pipelinerun.also-storage", &Words(|c| &mut c.pipelinerun.also_storage, Storage::BESIDE_CHAINS_OF_PIPELINERUN, ""),
            "Where the statement about a PipelineRun is stored too, of what Chains does not know."),
        Key::chains("artifacts.pipelinerun.signer", &Any(|c| &mut c.pipelinerun.signer),
            "What signs the statement about a PipelineRun; `none` makes none."),
        Key::chains("artifacts.pipelinerun.enable-deep-inspection", &Any(|c| &mut c.provenance.deep_inspection),
            "Looks for artifacts in the results of a PipelineRun's TaskRuns too."),
        Key::chains("artifacts.oci.format", &Any(|c| &mut c.oci.format),
            "Payload of an image signature."),
        Key::chains("artifacts.oci.storage", &Words(|c| &mut c.oci.storage, Storage::OF_CHAINS, DISABLES),
            "Where the signature of an image is stored."),
        Key::own("artifacts.oci.also-storage", &Words(|c| &mut c.oci.also_storage, Storage::BESIDE_CHAINS, ""),
            "Where the signature of an image is stored too, of what Chains does not know."),
        Key::chains("artifacts.oci.signer", &Any(|c| &mut c.oci.signer),
            "What signs images; `none` leaves them unsigned, statements are not affected."),
        Key::own("artifacts.oci.index-children", &Any(|c| &mut c.selection.index_children),
            "Signs the manifests that an image index lists, beside the index."),
    ] },
    Section { title: "Provenance", keys: &[
        Key::chains("builder.id", &Any(|c| &mut c.provenance.builder_id),
            "Identity of the builder in every statement."),
        Key::chains("builddefinition.buildtype", &Any(|c| &mut c.provenance.build_type),
            "Build type of SLSA v1.0 statements; `slsa-tekton` adds labels, annotations and whole TaskRuns."),
    ] },
    Section { title: "Storage", keys: &[
        Key::chains("storage.oci.repository", &Any(|c| &mut c.storage.oci.repository),
            "Stores all signatures in this repository instead of each image's own."),
        Key::chains("storage.oci.repository.insecure", &Any(|c| &mut c.storage.oci.insecure),
            "Does not verify TLS certificates of registries and allows plain HTTP."),
        Key::chains("storage.oci.encoding-format", &Any(|c| &mut c.storage.oci.encoding),
            "How signatures lie in a registry: cosign's tags, or Sigstore bundles as referrers."),
        Key::own("storage.oci.also-bundle", &Any(|c| &mut c.storage.oci.also_bundle),
            "Stores Sigstore bundles beside cosign's tags."),
        Key::own("storage.oci.require-image", &Any(|c| &mut c.storage.oci.require_image),
            "Signs an image only once it can be seen in its registry."),
        Key::chains("storage.gcs.bucket", &Any(|c| &mut c.storage.gcs.bucket),
            "Bucket of the storage `gcs`."),
        Key::own("storage.gcs.endpoint", &Any(|c| &mut c.storage.gcs.endpoint),
            "Where Cloud Storage is reached."),
        Key::own("storage.s3.bucket", &Any(|c| &mut c.storage.s3.bucket),
            "Bucket of the storage `s3`."),
        Key::own("storage.s3.region", &Any(|c| &mut c.storage.s3.region),
            "Region of that bucket; `$AWS_REGION` when empty."),
        Key::own("storage.s3.endpoint", &Any(|c| &mut c.storage.s3.endpoint),
            "Server that speaks S3, where it is not that of AWS."),
        Key::own("storage.azure.account", &Any(|c| &mut c.storage.azure.account),
            "Storage account of the storage `azure`."),
        Key::own("storage.azure.container", &Any(|c| &mut c.storage.azure.container),
            "Container of the storage `azure`."),
        Key::own("storage.azure.endpoint", &Any(|c| &mut c.storage.azure.endpoint),
            "Where that account is reached, when it is not in Azure's public cloud."),
        Key::chains("storage.docdb.url", &Any(|c| &mut c.storage.docdb.url),
            "Collection of the storage `docdb`: `firestore://`, `dynamodb://` or `mongo://`.").secret(),
        Key::own("storage.docdb.endpoint", &Any(|c| &mut c.storage.docdb.endpoint),
            "Where DynamoDB or Firestore is reached, when not at its usual address."),
        Key::chains("storage.docdb.mongo-server-url", &Any(|c| &mut c.storage.docdb.mongo_server_url),
            "URL of the MongoDB server, `$MONGO_SERVER_URL` when empty; better kept in a Secret and named by one of the next two keys.").secret(),
        Key::chains("storage.docdb.mongo-server-url-dir", &Any(|c| &mut c.storage.docdb.mongo_server_url_dir),
            "Folder with a file `MONGO_SERVER_URL` that has the URL; beats the key before."),
        Key::chains("storage.docdb.mongo-server-url-path", &Any(|c| &mut c.storage.docdb.mongo_server_url_path),
            "File that has the URL; beats the two keys before. Read again when it changes."),
        Key::chains("storage.grafeas.projectid", &Any(|c| &mut c.storage.grafeas.project_id),
            "Google Cloud project of the storage `grafeas`."),
        Key::chains("storage.grafeas.noteid", &Any(|c| &mut c.storage.grafeas.note_id),
            "Prefix of the notes' names; `tekton-<namespace>` when empty."),
        Key::chains("storage.grafeas.notehint", &Any(|c| &mut c.storage.grafeas.note_hint),
            "Human readable name of the notes."),
        Key::own("storage.grafeas.endpoint", &Any(|c| &mut c.storage.grafeas.endpoint),
            "Where Container Analysis is reached."),
        Key::chains("storage.pubsub.provider", &Any(|c| &mut c.storage.pubsub.provider),
            "What the storage `kafka` speaks to; `inmemory` keeps nothing and is refused."),
        Key::chains("storage.pubsub.topic", &Any(|c| &mut c.storage.pubsub.topic),
            "Topic of the storage `kafka`; it must be there."),
        Key::chains("storage.pubsub.kafka.bootstrap.servers", &Any(|c| &mut c.storage.pubsub.kafka.bootstrap_servers),
            "Brokers of the storage `kafka`, as `host:port`, several of them between commas."),
        Key::own("storage.pubsub.kafka.tls", &Any(|c| &mut c.storage.pubsub.kafka.tls),
            "Meets the brokers over TLS."),
        Key::own("storage.pubsub.kafka.ca-file", &Any(|c| &mut c.storage.pubsub.kafka.ca_file),
            "File with the authorities that the brokers' certificates are by, in PEM; those of the machine when empty."),
        Key::own("storage.pubsub.kafka.client-certificate-file", &Any(|c| &mut c.storage.pubsub.kafka.client_certificate_file),
            "File with the certificate that the agent shows to the brokers, in PEM."),
        Key::own("storage.pubsub.kafka.client-key-file", &Any(|c| &mut c.storage.pubsub.kafka.client_key_file),
            "File with its private key, in PEM."),
        Key::own("storage.pubsub.kafka.sasl-mechanism", &Any(|c| &mut c.storage.pubsub.kafka.sasl_mechanism),
            "How the agent logs in at the brokers; it does not when the key is not set."),
        Key::own("storage.pubsub.kafka.sasl-username", &Any(|c| &mut c.storage.pubsub.kafka.sasl_username),
            "As whom it logs in."),
        Key::own("storage.pubsub.kafka.sasl-password-path", &Any(|c| &mut c.storage.pubsub.kafka.sasl_password_path),
            "File with the password, read for each connection."),
        Key::chains("storage.archivista.url", &Any(|c| &mut c.storage.archivista_url),
            "Server of the storage `archivista`."),
    ] },
    Section { title: "Keyless signing", keys: &[
        Key::chains("signers.x509.fulcio.enabled", &Any(|c| &mut c.signers.fulcio.enabled),
            "Signs with certificates from Fulcio; the keys in `signing-secrets` are not used then."),
        Key::chains("signers.x509.fulcio.address", &Any(|c| &mut c.signers.fulcio.address),
            "The Fulcio server."),
        Key::chains("signers.x509.fulcio.issuer", &Any(|c| &mut c.signers.fulcio.issuer),
            "Accepted for Chains' sake: the identity token itself says who issued it."),
        Key::chains("signers.x509.fulcio.provider", &Any(|c| &mut c.signers.fulcio.provider),
            "The one source of identity tokens, such as `filesystem` or `spiffe`; the first that is there when empty."),
        Key::chains("signers.x509.identity.token.file", &Any(|c| &mut c.signers.fulcio.token_file),
            "File with the identity token."),
        Key::chains("signers.x509.tuf.mirror.url", &Any(|c| &mut c.signers.fulcio.tuf_mirror_url),
            "TUF mirror of the trust root; asked when it is another one than the default, or the next key is set."),
        Key::own("signers.x509.tuf.root", &Any(|c| &mut c.signers.fulcio.tuf_root),
            "File with the mirror's first `root.json`; without it the mirror is believed its own, once."),
        Key::own("signers.x509.tuf.cache", &Any(|c| &mut c.signers.fulcio.tuf_cache),
            "Directory in which the mirror's files are kept; `$TUF_ROOT` when empty, and in memory without that."),
        Key::own("signers.x509.tuf.signing-config", &Any(|c| &mut c.signers.fulcio.tuf_signing_config),
            "The mirror's `signing_config.v0.2.json` names Fulcio, logs and timestamp authorities; keys that are set win."),
        Key::own("signers.x509.trusted-root", &Any(|c| &mut c.signers.fulcio.trusted_root),
            "File `trusted_root.json`: who is trusted to issue certificates, log signatures and sign timestamps."),
        Key::own("signers.x509.fulcio.certificate-reuse", &Any(|c| &mut c.signers.fulcio.certificate_reuse),
            "Lets several runs share a certificate while it is valid."),
        Key::own("signers.x509.fulcio.allow-http", &Any(|c| &mut c.signers.fulcio.allow_http),
            "Lets the identity token travel over plain HTTP to a host outside the cluster."),
    ] },
    Section { title: "Key management services", keys: &[
        Key::chains("signers.kms.kmsref", &Any(|c| &mut c.signers.kms.key),
            "The key: `hashivault://KEY`, `openbao://KEY`, `awskms://…`, `gcpkms://…`, `azurekms://…` or `pkcs11:…` (docs/signers.md)."),
        Key::chains("signers.kms.auth.address", &Any(|c| &mut c.signers.kms.address),
            "Address of Vault."),
        Key::chains("signers.kms.auth.token", &Any(|c| &mut c.signers.kms.token),
            "Token for Vault; better kept in a Secret and named by the next key.").secret(),
        Key::chains("signers.kms.auth.token-path", &Any(|c| &mut c.signers.kms.token_path),
            "File with the token for Vault; beats the key before."),
        Key::chains("signers.kms.auth.oidc.path", &Any(|c| &mut c.signers.kms.oidc_path),
            "Where Vault's JWT authentication is mounted."),
        Key::chains("signers.kms.auth.oidc.role", &Any(|c| &mut c.signers.kms.oidc_role),
            "Role to log in to Vault as."),
        Key::chains("signers.kms.auth.oidc.token-path", &Any(|c| &mut c.signers.kms.oidc_token_path),
            "File with the JWT for Vault."),
        Key::chains("signers.kms.auth.spire.sock", &Any(|c| &mut c.signers.kms.spire_socket),
            "Socket of the SPIFFE Workload API, `unix:///…`; its SVID logs in to Vault."),
        Key::chains("signers.kms.auth.spire.audience", &Any(|c| &mut c.signers.kms.spire_audience),
            "Audience of that SVID."),
    ] },
    Section { title: "Transparency and timestamps", keys: &[
        Key::chains("transparency.enabled", &Any(|c| &mut c.transparency.upload),
            "Writes signatures to the log; `manual`: of runs annotated `chains.tekton.dev/transparency-upload: \"true\"`."),
        Key::chains("transparency.url", &Any(|c| &mut c.transparency.url),
            "The Rekor server."),
        Key::own("transparency.version", &Count(|c| &mut c.transparency.version, 1..=2),
            "Which Rekor that is: 2 is made of tiles and needs `timestamp.url` beside it to prove times."),
        Key::own("transparency.signing-config", &Any(|c| &mut c.transparency.signing_config),
            "File with a Sigstore SigningConfig (v0.2) that names Fulcio, logs and timestamp authorities; keys that are set win."),
        Key::own("timestamp.url", &Any(|c| &mut c.timestamp_url),
            "RFC 3161 timestamp authority: where its requests go, such as `https://host/api/v1/timestamp`."),
    ] },
    Section { title: "Signing", keys: &[
        Key::own("signing.retry-window", &Any(|c| &mut c.signing.retry_window),
            "How long a run is tried again before it is marked `failed`."),
        Key::own("signing.finalizers", &Any(|c| &mut c.signing.finalizers),
            "When a run carries a finalizer: from being seen while it runs until it is marked, or never."),
        Key::own("signing.concurrency", &Count(|c| &mut c.signing.concurrency, 1..=256),
            "How many runs are worked on at the same time."),
        Key::own("signing.key-policy", &Any(|c| &mut c.signing.key_policy),
            "Which key signs for which namespace; one that nothing fits signs with `signing-secrets`."),
    ] },
    Section { title: "Selection", keys: &[
        Key::chains("filter.managed-by", &Any(|c| &mut c.managed_by),
            "Values of `spec.managedBy` that are signed beside Tekton's own."),
        Key::own("selection.label-selector", &Any(|c| &mut c.selection.label_selector),
            "Signs only runs with these labels, in the form of `kubectl -l`; others are left alone, unmarked."),
        Key::own("selection.max-age", &Any(|c| &mut c.selection.max_age),
            "Leaves runs alone that completed longer ago."),
        Key::own("selection.outcomes", &Any(|c| &mut c.selection.outcomes),
            "Signs every completed run, or only those that succeeded."),
    ] },
    Section { title: "Registries", keys: &[
        Key::own("registry.config-file", &Any(|c| &mut c.registry.config_file),
            "TOML file with credentials, proxies and certificate authorities of registries; it may be absent."),
        Key::own("registry.max-candidates", &Count(|c| &mut c.registry.max_candidates, 1..=64),
            "How many credentials are tried for one target in one attempt."),
        Key::own("registry.controller-credentials", &Any(|c| &mut c.registry.controller_credentials),
            "Whether the agent's own registry credentials may serve a run, after the run's own."),
        Key::own("registry.controller-credentials.allow", &Any(|c| &mut c.registry.allow),
            "With `allowlist`: which namespaces they serve for which repositories."),
        Key::own("registry.run-identity", &Any(|c| &mut c.registry.run_identity),
            "A run's own service account is asked for registry credentials too, by the cloud identity that its annotations name; needs create on serviceaccounts/token."),
        Key::own("registry.oauth-password-grant", &Any(|c| &mut c.registry.oauth_password_grant),
            "Hosts whose token server may be sent the password in an OAuth 2 form."),
        Key::own("registry.cloud.aws.role-arn", &Any(|c| &mut c.registry.aws_role_arn),
            "AWS role that the agent takes on for ECR."),
        Key::own("registry.cloud.gcp.provider", &Any(|c| &mut c.registry.gcp_provider),
            "With `registry.run-identity`: provider of the Google workload identity pool that trusts the cluster's tokens."),
    ] },
    Section { title: "Pull secrets and admission", keys: &[
        Key::own("refresh.enabled", &Any(|c| &mut c.refresh.enabled),
            "Keeps annotated pull secrets fresh in this process; read at the start."),
        Key::own("updater.secret-names", &Any(|c| &mut c.refresh.secret_names),
            "Names of the Secrets that are kept fresh, beside those that the agent's own rights name; read at the start."),
        Key::own("policy.no-match", &Any(|c| &mut c.policy.no_match),
            "What happens to an image that no policy names."),
        Key::own("policy.pull-secret-namespace", &Any(|c| &mut c.policy.pull_secret_namespace),
            "Where the pull secrets that a policy names are looked up."),
        Key::own("policy.anchor-regexes", &Any(|c| &mut c.policy.anchor_regexes),
            "Lets the regular expressions of identities match whole texts only."),
    ] },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_of_one_form() {
        let names: BTreeSet<_> = all().map(|key| key.name).collect();
        assert_eq!(names.len(), all().count());
        for name in names {
            assert!(
                name.split(['.', '-']).all(|word| {
                    !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                }),
                "{name}"
            );
        }
    }

    #[test]
    fn every_sentence_is_one() {
        for key in all() {
            assert!(key.doc.ends_with('.') && !key.doc.contains(['|', '\n']), "{}", key.name);
        }
    }

    #[test]
    fn every_field_has_one_key() {
        for key in all().filter(|key| !key.secret) {
            let mut config = super::super::Config::default();
            let before: Vec<_> = all().map(|other| other.field.text(&mut config)).collect();
            let other = [
                "manual",
                "7",
                "2",
                "true",
                "false",
                "kms",
                "oci",
                "slsa/v1",
                "kafka",
                "warn",
                "90s",
                "succeeded",
                "never",
                "controller",
                "sigstore-bundle",
                "https://tekton.dev/chains/v2/slsa-tekton",
                "a.b/c=d",
                "a.b",
                "a/b",
                "team-*=key",
                "s3",
                "SCRAM-SHA-256",
            ];
            let set = other.into_iter().any(|text| {
                key.field.set(&mut config, text).is_ok() && config != super::super::Config::default()
            });
            let changed =
                all().zip(&before).filter(|(key, was)| key.field.text(&mut config) != **was).count();
            assert_eq!(changed, usize::from(set), "{}", key.name);
            assert!(set || key.name == "artifacts.oci.format", "{}", key.name);
        }
    }

    #[test]
    fn every_key_of_chains_is_here() {
        assert_eq!(all().filter(|key| key.of_chains).count(), 45);
        assert!(named("filter.managed-by").unwrap().of_chains);
        assert!(!named("signing.concurrency").unwrap().of_chains);
        assert!(named("signers.kms.auth.token").unwrap().secret);
        assert!(named("Builder.ID").is_none());
    }
}
