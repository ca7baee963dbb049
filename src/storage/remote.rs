//! The stores that are servers of their own, beside registries and annotations: made once for each version of the
//! configuration, and lent to each run.
//!
//! Guarantees: one that cannot be set up fails what asks for it and nothing else (defect D9); one client and one identity
//! for all runs. Must not: ask anybody anything before a run does.

mod look;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use url::Url;

use super::access::Access;
use super::archivista::Envelopes;
use super::docdb::{self, Collection, Documents};
use super::grafeas::{Occurrences, Project};
use super::kafka::Messages;
use super::object::{Bucket, Kind, Objects};
use super::remembered::Remembered;
use super::{Error, Place, Store, Stored};
use crate::artifact::RunArtifact;
use crate::client::archivista::Archivista;
use crate::client::bucket::azure::Azure;
use crate::client::bucket::gcs::Gcs;
use crate::client::bucket::s3::S3;
use crate::client::cloud::Web;
use crate::client::document::dynamodb::DynamoDb;
use crate::client::document::firestore::Firestore;
#[cfg(feature = "mongodb")]
use crate::client::document::mongodb::{Address, MongoDb};
use crate::client::grafeas::Grafeas;
use crate::client::http::Clients;
use crate::client::kafka::Producer;
use crate::client::registry::Registry;
use crate::client::store::{self, Server};
use crate::config::{Config, Secret, Storage, StorageSettings};
use crate::credential::cloud;
use crate::credential::registry_config::RegistryConfig;
use crate::payload::Payload;
use crate::signature::Signed;
use crate::signature::signatory::Signatory;

pub use look::{Look, Sight};

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

/// What the environment of the process says of stores.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Who the process is in clouds.
    pub clouds: cloud::Surroundings,
    /// Where MongoDB is, unless the configuration says so (`MONGO_SERVER_URL`).
    pub mongo_server_url: Option<Secret>,
    /// A file of authorities that servers are trusted by (`SSL_CERT_FILE`).
    pub authorities: Option<PathBuf>,
}

/// What they are made with.
struct Maker<'a> {
    config: &'a Config,
    clients: &'a Clients,
    registries: &'a RegistryConfig,
    #[cfg_attr(not(feature = "mongodb"), expect(dead_code, reason = "it says where MongoDB is"))]
    surroundings: &'a Surroundings,
    access: Access,
}

impl Remotes {
    /// Those that `config` asks for.
    pub fn of(
        config: &Config,
        registries: &Arc<RegistryConfig>,
        registry: &Registry,
        surroundings: &Surroundings,
    ) -> Self {
        let web = Web::new(registry.clone(), Arc::clone(registries));
        let access = Access::new(surroundings.clouds.clone(), web);
        let maker = Maker { config, clients: registry.clients(), registries, surroundings, access };
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
                let url = settings.docdb.url.reveal().trim();
                let elsewhere = url.is_empty() || settings.docdb.is_foreign();
                (!elsewhere).then(|| self.docdb(url))?
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
            #[cfg(feature = "mongodb")]
            "mongo" => self.mongodb(host, url.path(), parameter("id_field").as_deref())?,
            _ => return Err(refused("it is neither dynamodb:// nor firestore:// nor mongo://")),
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

    #[cfg(feature = "mongodb")]
    fn mongodb(&self, database: &str, path: &str, key: Option<&str>) -> Result<docdb::Kind, store::Error> {
        let refused = |reason| store::Error::Address { key: "storage.docdb.url", reason };
        let collection = path.trim_matches('/');
        // Chains' library looks for the name of a document in the field that this names, whatever its case.
        let key = key.filter(|key| key.eq_ignore_ascii_case("name"));
        let key = key.ok_or_else(|| refused("its id_field is not Name"))?;
        if database.is_empty() || collection.is_empty() {
            return Err(refused("it does not name a database and a collection"));
        }
        let address = self.mongodb_address()?;
        let (authorities, circuits) =
            (self.surroundings.authorities.clone(), self.clients.circuits().clone());
        Ok(docdb::Kind::MongoDb(MongoDb::new(address, (database, collection), key, authorities, circuits)))
    }

    /// The first of them that is set, in the order of Chains.
    #[cfg(feature = "mongodb")]
    fn mongodb_address(&self) -> Result<Address, store::Error> {
        let settings = &self.config.storage.docdb;
        let set = |url: &Secret| !url.reveal().trim().is_empty();
        if let Some(path) = &settings.mongo_server_url_path {
            return Ok(Address::File("storage.docdb.mongo-server-url-path", path.clone()));
        }
        if let Some(folder) = &settings.mongo_server_url_dir {
            let path = folder.join(store::MONGO_SERVER_URL);
            return Ok(Address::File("storage.docdb.mongo-server-url-dir", path));
        }
        if set(&settings.mongo_server_url) {
            return Ok(Address::Text("storage.docdb.mongo-server-url", settings.mongo_server_url.clone()));
        }
        let variable = self.surroundings.mongo_server_url.clone().filter(set);
        variable.map(|url| Address::Text(store::MONGO_SERVER_URL, url)).ok_or(store::Error::Address {
            key: "storage.docdb.mongo-server-url-path",
            reason: "neither it nor one of the other keys names a server",
        })
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
