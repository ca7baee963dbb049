//! The stores that are servers of their own, beside registries and annotations: made once for each version of the
//! configuration, and lent to each run.
//!
//! Guarantees: one that cannot be set up fails what asks for it and nothing else (defect D9); one client and one identity
//! for all runs. Must not: ask anybody anything before a run does.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use url::Url;

use super::access::Access;
use super::archivista::Envelopes;
use super::docdb::{self, Collection, Documents};
use super::grafeas::{Occurrences, Project};
use super::kafka::Messages;
use super::object::{Bucket, Kind, Objects};
use super::{Error, Place, Store, Stored};
use crate::artifact::{Artifact, RunArtifact};
use crate::client::archivista::Archivista;
use crate::client::bucket::azure::Azure;
use crate::client::bucket::gcs::Gcs;
use crate::client::bucket::s3::S3;
use crate::client::cloud::Web;
use crate::client::document::dynamodb::DynamoDb;
use crate::client::document::firestore::Firestore;
use crate::client::grafeas::Grafeas;
use crate::client::http::Clients;
use crate::client::kafka::Producer;
use crate::client::registry::Registry;
use crate::client::store::{self, Server};
use crate::config::{Config, Storage, StorageSettings};
use crate::credential::cloud::Surroundings;
use crate::credential::registry_config::RegistryConfig;
use crate::payload::Payload;
use crate::signature::Signed;
use crate::signature::signatory::Signatory;
use crate::tekton::OUTCOME;

/// The stores of one version of the configuration.
#[derive(Default)]
pub struct Remotes(Vec<Remote>);

enum Remote {
    Bucket(Arc<Bucket>),
    Archivista(Arc<Archivista>),
    Grafeas(Arc<Project>),
    Documents(Arc<Collection>),
    Kafka(Arc<Producer>),
    Unusable(Storage, Arc<store::Error>),
}

/// What they are made with.
struct Maker<'a> {
    config: &'a Config,
    clients: &'a Clients,
    registries: &'a RegistryConfig,
    access: Access,
}

impl Remotes {
    /// Those that `config` asks for; `surroundings` say who the process is in clouds.
    pub fn of(
        config: &Config,
        registries: &Arc<RegistryConfig>,
        registry: &Registry,
        surroundings: &Surroundings,
    ) -> Self {
        let web = Web::new(registry.clone(), Arc::clone(registries));
        let access = Access::new(surroundings.clone(), web);
        let maker = Maker { config, clients: registry.clients(), registries, access };
        let stores = config.stores().into_iter();
        Self(stores.filter_map(|storage| maker.make(storage)).collect())
    }

    /// Those of one run, whose annotations tell what earlier attempts stored.
    pub fn of_run(&self, run: &RunArtifact, annotations: &BTreeMap<String, String>) -> Vec<Arc<dyn Store>> {
        let remembered = Remembered::of(annotations);
        self.0.iter().map(|remote| remote.of_run(run, &remembered)).collect()
    }

    /// Why stores that are asked for cannot be used.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, &store::Error)> {
        self.0.iter().filter_map(|remote| match remote {
            Remote::Unusable(storage, error) => Some((storage.as_str(), error.as_ref())),
            _ => None,
        })
    }
}

impl Remote {
    fn of_run(&self, run: &RunArtifact, remembered: &Remembered) -> Arc<dyn Store> {
        let (run, remembered) = (run.clone(), remembered.clone());
        match self {
            Self::Bucket(bucket) => Arc::new(Objects { bucket: Arc::clone(bucket), run }),
            Self::Archivista(server) => Arc::new(Envelopes { server: Arc::clone(server), remembered }),
            Self::Grafeas(project) => Arc::new(Occurrences { project: Arc::clone(project), run, remembered }),
            Self::Documents(collection) => Arc::new(Documents(Arc::clone(collection))),
            Self::Kafka(producer) => Arc::new(Messages { producer: Arc::clone(producer), run, remembered }),
            Self::Unusable(storage, error) => Arc::new(Unusable(*storage, Arc::clone(error))),
        }
    }
}

impl Maker<'_> {
    /// Nothing for what is no server, or what lacks a setting: that has been told.
    fn make(&self, storage: Storage) -> Option<Remote> {
        let settings = &self.config.storage;
        let made = match storage {
            Storage::Gcs => self.gcs(settings.gcs.bucket.as_deref()?),
            Storage::S3 => self.s3(settings.s3.bucket.as_deref()?),
            Storage::Azure => {
                self.azure(settings, settings.azure.account.as_deref()?, settings.azure.container.as_deref()?)
            }
            Storage::Archivista => {
                let address = settings.archivista_url.as_deref()?;
                let server = self.server("Archivista", "storage.archivista.url", address);
                server.map(|server| Remote::Archivista(Arc::new(Archivista::new(server))))
            }
            Storage::Grafeas => self.grafeas(settings.grafeas.project_id.as_deref()?),
            Storage::Docdb => {
                let url = settings.docdb.url.reveal();
                let elsewhere = url.trim().is_empty() || url.starts_with("mongo");
                (!elsewhere).then(|| self.docdb(url.trim()))?
            }
            Storage::Kafka => {
                let settings = Some(&settings.pubsub).filter(|settings| settings.is_usable())?;
                let (topic, kafka) = (settings.topic.as_deref()?.trim(), &settings.kafka);
                let producer = Producer::new(topic, kafka, self.clients, self.registries);
                producer.map(|producer| Remote::Kafka(Arc::new(producer)))
            }
            Storage::Tekton | Storage::Oci => return None,
        };
        Some(made.unwrap_or_else(|error| Remote::Unusable(storage, Arc::new(error))))
    }

    fn gcs(&self, bucket: &str) -> Result<Remote, store::Error> {
        let address = &self.config.storage.gcs.endpoint;
        let server = self.server("Cloud Storage", "storage.gcs.endpoint", address)?;
        let bucket = bucket.trim().trim_start_matches("gs://").trim_end_matches('/');
        Ok(self.bucket(Kind::Gcs(Gcs::new(server, bucket.to_owned())), format!("gs://{bucket}")))
    }

    fn docdb(&self, text: &str) -> Result<Remote, store::Error> {
        let refused = |reason| store::Error::Address { key: "storage.docdb.url", reason };
        let url = Url::parse(text).map_err(|_| refused("it is no URL"))?;
        let parameter = |name: &str| {
            let found = url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
            found.filter(|value| !value.is_empty())
        };
        let host = url.host_str().ok_or_else(|| refused("it names no collection"))?;
        let kind = match url.scheme() {
            "dynamodb" => {
                let key = parameter("partition_key").ok_or_else(|| refused("it has no partition_key"))?;
                self.dynamodb(host, key, parameter("region"), parameter("endpoint"))?
            }
            "firestore" => {
                let key = parameter("name_field").ok_or_else(|| refused("it has no name_field"))?;
                let address = self.config.storage.docdb.endpoint.as_deref();
                let address = address.unwrap_or("https://firestore.googleapis.com");
                let server = self.server("Firestore", "storage.docdb.endpoint", address)?;
                docdb::Kind::Firestore(Firestore::new(server, format!("{host}{}", url.path()), key))
            }
            _ => return Err(refused("it is neither dynamodb:// nor firestore://")),
        };
        let name = format!("{}://{host}{}", url.scheme(), url.path());
        Ok(Remote::Documents(Arc::new(Collection { kind, name, access: self.access.clone() })))
    }

    fn dynamodb(
        &self,
        table: &str,
        key: String,
        region: Option<String>,
        endpoint: Option<String>,
    ) -> Result<docdb::Kind, store::Error> {
        let region = region.or_else(|| self.access.region().map(str::to_owned));
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        let usual = format!("https://dynamodb.{region}.{}", domain(&region));
        let address = endpoint.or_else(|| self.config.storage.docdb.endpoint.clone()).unwrap_or(usual);
        let server = self.server("DynamoDB", "storage.docdb.endpoint", &address)?;
        Ok(docdb::Kind::DynamoDb(DynamoDb::new(server, table.to_owned(), key, region)))
    }

    fn s3(&self, bucket: &str) -> Result<Remote, store::Error> {
        let settings = &self.config.storage.s3;
        let region =
            settings.region.as_deref().or_else(|| self.access.region()).unwrap_or("us-east-1").to_owned();
        let usual = format!("https://s3.{region}.{}", domain(&region));
        let address = settings.endpoint.as_deref().unwrap_or(&usual);
        let server = self.server("S3", "storage.s3.endpoint", address)?;
        Ok(self.bucket(Kind::S3(S3::new(server, bucket.to_owned(), region)), format!("s3://{bucket}")))
    }

    fn azure(
        &self,
        settings: &StorageSettings,
        account: &str,
        container: &str,
    ) -> Result<Remote, store::Error> {
        let usual = format!("https://{account}.blob.core.windows.net");
        let address = settings.azure.endpoint.as_deref().unwrap_or(&usual);
        let server = self.server("Azure Blob Storage", "storage.azure.endpoint", address)?;
        let name = format!("az://{account}/{container}");
        Ok(self.bucket(Kind::Azure(Azure::new(server, container.to_owned())), name))
    }

    fn grafeas(&self, project: &str) -> Result<Remote, store::Error> {
        let settings = self.config.storage.grafeas.clone();
        let server = self.server("Container Analysis", "storage.grafeas.endpoint", &settings.endpoint)?;
        let key = self.config.signers.kms.key.clone().filter(|_| self.config.uses_kms());
        let client = Grafeas::new(server, project.to_owned());
        let (access, notes) = (self.access.clone(), std::sync::Mutex::default());
        Ok(Remote::Grafeas(Arc::new(Project { client, access, settings, key, notes })))
    }

    fn bucket(&self, kind: Kind, name: String) -> Remote {
        Remote::Bucket(Arc::new(Bucket::new(kind, name, self.access.clone())))
    }

    fn server(&self, name: &'static str, key: &'static str, address: &str) -> Result<Server, store::Error> {
        Server::new(name, key, address, self.clients, self.registries)
    }
}

fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// What earlier attempts at a run stored, as its outcome tells it.
#[derive(Debug, Clone, Default)]
pub(super) struct Remembered(Arc<Vec<Kept>>);

#[derive(Debug)]
struct Kept {
    store: String,
    artifact: String,
    digest: String,
    reference: String,
}

impl Remembered {
    /// Out of the annotations of the run.
    pub(super) fn of(annotations: &BTreeMap<String, String>) -> Self {
        let outcome = annotations.get(OUTCOME).and_then(|text| serde_json::from_str::<Vec<Value>>(text).ok());
        let kept = outcome.into_iter().flatten().filter_map(|entry| {
            let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let is_there = matches!(text("result").as_str(), "stored" | "present");
            is_there.then(|| Kept {
                store: text("store"),
                artifact: text("artifact"),
                digest: text("digest"),
                reference: text("reference"),
            })
        });
        Self(Arc::new(kept.collect()))
    }

    /// What `store` calls its record of `artifact` that is about `about`.
    pub(super) fn name(&self, store: &str, artifact: &Artifact, about: &str) -> Option<String> {
        let (artifact, digest) = artifact.told();
        let same = self
            .0
            .iter()
            .filter(|kept| kept.store == store && kept.artifact == artifact && kept.digest == digest);
        let named =
            same.filter(|kept| kept.reference.strip_suffix(about).is_some_and(|rest| rest.ends_with(ABOUT)));
        named.map(|kept| kept.reference.clone()).next()
    }
}

/// What names and what they are about are joined by.
pub(super) const ABOUT: &str = ", about ";

/// A store that cannot be set up: whatever goes there fails, and nothing else does.
struct Unusable(Storage, Arc<store::Error>);

impl Unusable {
    fn error(&self) -> Error {
        Error::NoAccess { place: self.name().to_owned(), source: Arc::clone(&self.1) as _ }
    }
}

#[async_trait]
impl Store for Unusable {
    fn name(&self) -> &'static str {
        self.0.as_str()
    }

    fn places(&self, payload: &Payload) -> Vec<Place> {
        let (service, about) = (self.0.as_str().to_owned(), payload.artifact.to_string());
        vec![Place::Record { service, about, named: None }]
    }

    async fn missing(&self, _: &Place, _: &Payload, _: &[Signatory]) -> Result<Vec<Signatory>, Error> {
        Err(self.error())
    }

    async fn add(&self, _: &Place, _: &[Arc<Signed>]) -> Result<Stored, Error> {
        Err(self.error())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tekton::Kind as RunKind;

    #[test]
    fn what_an_outcome_says_was_stored_is_remembered_by_store_artifact_and_subject() {
        let run = RunArtifact {
            kind: RunKind::TaskRun,
            namespace: "ci".to_owned(),
            name: "build".to_owned(),
            uid: "u".to_owned(),
        };
        let artifact = Artifact::Run(run);
        let entry = |store: &str, reference: &str, result: &str| json!({"artifact": artifact.to_string(), "store": store, "reference": reference, "result": result});
        let outcome = json!([
            entry("grafeas", "projects/p/occurrences/1, about a@sha256:0", "present"),
            entry("grafeas", "projects/p/occurrences/2, about b@sha256:0", "stored"),
            entry("grafeas", "projects/p/occurrences/3, about c@sha256:0", "failed"),
            "rubbish",
        ]);
        let remembered = |text: String| Remembered::of(&BTreeMap::from([(OUTCOME.to_owned(), text)]));
        let known = remembered(outcome.to_string());
        let name = |store: &str, about: &str| known.name(store, &artifact, about);
        let first = Some("projects/p/occurrences/1, about a@sha256:0".to_owned());
        assert_eq!(name("grafeas", "a@sha256:0"), first);
        assert_eq!(name("grafeas", "c@sha256:0"), None, "it is not there");
        assert_eq!(name("archivista", "a@sha256:0"), None);
        assert_eq!(name("grafeas", "sha256:0"), None, "a part is no subject");
        for text in ["", "{}", "[", "[[]]"] {
            assert_eq!(remembered(text.to_owned()).name("grafeas", &artifact, ""), None);
        }
    }
}
