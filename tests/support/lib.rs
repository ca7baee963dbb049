//! The real servers that tests run against, started as children of the test and ended with it.
//!
//! Guarantees: everything listens on 127.0.0.1, on ports that the system chose; data lies in temporary
//! folders; a child ends when its value is dropped and, by a watchdog, when the test process dies in any
//! way; nothing that was not started here is ever signalled; readiness is polled, no test sleeps a fixed
//! time. The binaries come from `hack/install`; a missing one is said in one sentence.
//!
//! | type | what it is |
//! |---|---|
//! | [`Cluster`] | etcd, kube-apiserver, Tekton's CRDs; one a test binary: [`Cluster::shared`] |
//! | [`Distribution`] | the distribution registry: TLS; token, htpasswd or no authentication; outages |
//! | [`PlainRegistry`] | go-containerregistry's registry: HTTP, no authentication, counted requests |
//! | [`FakeSts`] | a token service: TLS; it verifies the tokens of a cluster by that cluster's own keys |
//! | [`Dex`] | an OpenID Connect provider where people log in, and the [`Browser`] that they do it with |
//! | [`Crane`], [`Cosign`] | clients of somebody else's making: they push images and judge signatures |
//! | [`Fulcio`] | certificates for the identity tokens of the issuers that it is told to trust; a [`Door`] before it makes its outages |
//! | [`MadeFulcio`] | a Fulcio of Python's cryptography, for the certificates that no real one makes |
//! | [`Prometheus`] | Prometheus, which scrapes what runs in a test and is asked what the dashboard asks |
//! | [`Kafka`] | Apache Kafka: three brokers with listeners of every kind, one of which can be killed or stand still |
//! | [`FakeGcs`], [`S3Gateway`] | buckets of Google Cloud Storage and S3 |
//! | [`DynamoDbLocal`] | Amazon's own DynamoDB for one machine, where it is installed |
//! | [`FerretDb`] | documents as MongoDB keeps them, with or without TLS; it can be killed and started again |
//! | [`Vault`] | Vault with a transit engine, which can be restarted, sealed and asked what it was asked |
//! | [`Spire`] | SPIRE's server, agent and OIDC provider: SPIFFE identities for processes of this machine |
//! | [`RekorTiles`], [`TimestampServer`] | a transparency log (Rekor v2), and an authority that signs times |
//! | [`RekorV1`] | a transparency log of before: Rekor v1, Trillian, PostgreSQL |
//! | [`CertificateLog`] | a certificate log on Trillian, which a Fulcio that [`Fulcio::logged`] starts writes to |
//! | [`TufRepository`] | a TUF repository made by python-tuf, and its faults |
//! | [`OfflineCosign`] | cosign without a registry: trust roots, bundles in files |
//! | [`Pod`] | a root with the mounts of a pod, for the binary under test |
//! | [`Hallmark`] | the binary under test |
//! | [`Reader`] | a reader of the handbook at a terminal, and the blocks that he copies |

#![allow(dead_code, unused_imports, reason = "each test binary uses its own part of this")]

mod binary;
mod buckets;
mod certificate_log;
mod cluster;
mod cosign;
mod crane;
mod dex;
mod distribution;
mod door;
mod dynamodb;
mod fake_sts;
mod ferretdb;
mod fulcio;
mod hallmark;
mod handbook;
mod kafka;
mod limits;
mod made_fulcio;
mod made_log;
pub mod named;
mod offline;
mod pki;
mod plain_registry;
mod pod;
mod process;
mod prometheus;
mod rekor_tiles;
mod rekor_v1;
mod spire;
mod timestamp;
mod token_server;
mod trillian;
mod tuf;
mod vault;

pub use binary::{binary, installed, kubernetes};
pub use buckets::{FakeGcs, S3Gateway};
pub use certificate_log::CertificateLog;
pub use cluster::{Cluster, Completion};
pub use cosign::{Cosign, Identity, KeyPair, Layout};
pub use crane::{Crane, PushedImage};
pub use dex::{Browser, Dex};
pub use distribution::{Authentication, Distribution};
pub use door::{Door, Passage};
pub use dynamodb::DynamoDbLocal;
pub use fake_sts::{Exchanged, FakeSts, Known};
pub use ferretdb::FerretDb;
pub use fulcio::{Fulcio, Issuer, Kind};
pub use hallmark::Hallmark;
pub use handbook::{Reader, block};
pub use kafka::{Kafka, Message, PLAIN_USER};
pub use limits::memory_limit;
pub use made_fulcio::MadeFulcio;
pub use made_log::MadeLog;
pub use named::{Dropped, NamedRegistry, TlsProxy};
pub use offline::{Expected, OfflineCosign};
pub use plain_registry::PlainRegistry;
pub use pod::Pod;

pub use process::{Finished, Server, eventually, free_port, run};
pub use prometheus::Prometheus;
pub use rekor_tiles::RekorTiles;
pub use rekor_v1::RekorV1;
pub use spire::Spire;
pub use timestamp::TimestampServer;
pub use token_server::{Asked, TokenUser};
pub use tuf::TufRepository;
pub use vault::Vault;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How a client reaches a registry: its host, the CA behind its certificate, and a login.
#[derive(Debug, Clone)]
pub struct Access {
    /// `127.0.0.1:port`.
    pub host: String,
    /// The CA's certificate; without one the registry speaks plain HTTP.
    pub ca: Option<PathBuf>,
    /// User and password.
    pub login: Option<(String, String)>,
}

impl Access {
    /// The content of a docker configuration file with this login.
    pub fn docker_config(&self) -> String {
        let auths = self.login.as_ref().map_or_else(
            || serde_json::json!({}),
            |(user, password)| {
                let auth = STANDARD.encode(format!("{user}:{password}"));
                serde_json::json!({ &self.host: { "auth": auth } })
            },
        );
        serde_json::json!({ "auths": auths }).to_string()
    }

    /// Sets `command` up to use this access and nothing of the machine: its own home and docker
    /// configuration in `home`, the CA, no proxy.
    fn apply(&self, command: &mut std::process::Command, home: &Path) {
        std::fs::write(home.join("config.json"), self.docker_config()).unwrap();
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home).env("DOCKER_CONFIG", home);
        if let Some(ca) = &self.ca {
            command.env("SSL_CERT_FILE", ca);
        }
    }
}

/// An HTTP client that trusts `ca` (PEM) beside nothing else of interest.
pub fn http_client(ca: Option<&str>) -> reqwest::Client {
    // Fails only when it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let builder = reqwest::Client::builder().no_proxy().timeout(std::time::Duration::from_secs(5));
    let builder = match ca {
        Some(pem) => builder.tls_certs_only([reqwest::Certificate::from_pem(pem.as_bytes()).unwrap()]),
        None => builder,
    };
    builder.build().unwrap()
}
