//! `MongoDB` and what speaks as it does, by the official driver.
//!
//! # Guarantees
//!
//! - Nobody is connected to before the first request; a request has ten seconds in all, and a small pool serves them.
//! - The URL of the server is read before each request where it is in a file; when it has changed the next request goes
//!   there, and those under way end where they began.
//! - A server that is away is told to everybody at once, and asked again by one request at a time.
//! - What the server says reaches errors cut, on one line, without the password.
//!
//! # Caveats
//!
//! Servers are reached directly, not through the proxies of HTTP. Authorities are those of `tlsCAFile` in the URL, or of the
//! file that the process was given, or those that browsers trust.

mod address;
mod bson;
mod refusal;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::mongodb::bson::{Document as Fields, RawDocumentBuf, doc};
use ::mongodb::options::{ClientOptions, Tls, WriteConcern};
use ::mongodb::{Client, Collection};
use tokio::sync::OnceCell;

pub use self::address::Address;
use self::address::Said;
use self::bson::ID;
use super::Document;
use crate::client::bucket::{Replace, Written};
use crate::client::http::{Circuits, Passage, Service};
use crate::client::store::{Asked, Error};
use crate::config::Secret;

/// A request and its answer together, the first connection included.
const PATIENCE: Duration = Duration::from_secs(10);
/// Until a server is found, and until it takes a connection, unless the URL says otherwise.
const CONNECTION: Duration = Duration::from_secs(5);
/// Connections to a server at most, and how long one without work is kept.
const POOL: u32 = 8;
const IDLE: Duration = Duration::from_mins(1);
/// What servers take.
const LARGEST: usize = 16 * 1024 * 1024;

/// A collection.
pub struct MongoDb {
    address: Address,
    database: String,
    name: String,
    /// The field of the URL that names documents.
    key: String,
    /// A file of authorities to trust instead of those that browsers do.
    authorities: Option<PathBuf>,
    circuits: Circuits,
    current: Mutex<Option<Arc<Server>>>,
}

/// The server of one URL.
struct Server {
    url: Secret,
    said: Said,
    client: OnceCell<Client>,
}

/// One request, let in to the server.
struct Request<'a> {
    of: &'a MongoDb,
    what: String,
    server: Arc<Server>,
    passage: Passage,
    client: Client,
    until: Instant,
}

impl MongoDb {
    /// The collection `name` of a database, in the server at `address`; its documents are called by the field `key`.
    pub fn new(
        address: Address,
        (database, name): (&str, &str),
        key: &str,
        authorities: Option<PathBuf>,
        circuits: Circuits,
    ) -> Self {
        let [database, name, key] = [database, name, key].map(str::to_owned);
        Self { address, database, name, key, authorities, circuits, current: Mutex::default() }
    }

    /// The document `name`, if there is one.
    pub async fn read(&self, name: &str) -> Result<Option<Document>, Error> {
        let request = self.request(format!("read document {name} of {}", self.place())).await?;
        let documents = request.collection::<Fields>();
        let asked = documents.find_one(doc! {ID: name}).projection(bson::wanted());
        let found = request.answered(asked.into_future()).await?;
        Ok(found.as_ref().map(bson::document))
    }

    /// Writes the document `name`.
    pub async fn write(&self, name: &str, document: &Document, replace: Replace) -> Result<Written, Error> {
        let request = self.request(format!("write document {name} of {}", self.place())).await?;
        let content =
            bson::content(name, &self.key, document).map_err(|error| request.unfit(&error.to_string()))?;
        if content.as_bytes().len() > LARGEST {
            let size = content.as_bytes().len();
            return Err(request.unfit(&format!("the document has {size} bytes, a server takes {LARGEST}")));
        }
        let documents = request.collection::<RawDocumentBuf>();
        let asked = async {
            match replace {
                Replace::Nothing => match documents.insert_one(&content).await {
                    Err(error) if refusal::is_duplicate(&error) => Ok(Written::Before),
                    written => written.map(|_| Written::Now),
                },
                Replace::Anything => {
                    let replaced = || documents.replace_one(doc! {ID: name}, &content).upsert(true);
                    match replaced().await {
                        // Of two that make a document at once, one finds that of the other.
                        Err(error) if refusal::is_duplicate(&error) => replaced().await,
                        written => written,
                    }
                    .map(|_| Written::Now)
                }
            }
        };
        request.answered(asked).await
    }

    /// As messages have it.
    fn place(&self) -> String {
        format!("{}/{}", self.database, self.name)
    }

    /// Lets a request in, and connects if nobody has yet.
    async fn request(&self, what: String) -> Result<Request<'_>, Error> {
        let until = Instant::now() + PATIENCE;
        let server = self.server().await?;
        let origin = refusal::origin(&server.said.hosts);
        let entered = self.circuits.enter(Service::Store, &origin, Instant::now());
        let asked = || Asked { service: SERVICE, host: server.said.hosts.clone(), what: what.clone() };
        let passage = entered.map_err(|silent| Error::Away {
            asked: asked(),
            origin: origin.clone(),
            source: silent.into(),
        })?;
        let client = server.client.get_or_try_init(|| connected(&server.said, self.authorities.clone()));
        let client = match tokio::time::timeout_at(until.into(), client).await {
            Ok(Ok(client)) => client.clone(),
            Ok(Err(error)) => return Err(self.told(&error, asked(), &server, passage)),
            Err(elapsed) => {
                passage.failed();
                return Err(Error::Away { asked: asked(), origin, source: elapsed.into() });
            }
        };
        Ok(Request { of: self, what, server, passage, client, until })
    }

    /// The server of the URL as it is now.
    async fn server(&self) -> Result<Arc<Server>, Error> {
        let url = self.address.read().await?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = current.as_ref().filter(|server| server.url == url) {
            return Ok(Arc::clone(server));
        }
        let said = Said::of(self.address.key(), &url)?;
        if current.is_some() {
            tracing::info!(host = %said.hosts, "the URL of {} has changed", self.address.key());
        }
        Ok(Arc::clone(current.insert(Arc::new(Server { url, said, client: OnceCell::new() }))))
    }

    fn told(
        &self,
        error: &::mongodb::error::Error,
        asked: Asked,
        server: &Server,
        passage: Passage,
    ) -> Error {
        let told = refusal::told(error, asked, (self.address.key(), &self.place()), &server.said);
        match &told {
            Error::Away { .. } => passage.failed(),
            _ if refusal::is_answer(error) => passage.answered(),
            _ => {}
        }
        told
    }
}

impl Request<'_> {
    fn collection<T: Send + Sync>(&self) -> Collection<T> {
        self.client.database(&self.of.database).collection(&self.of.name)
    }

    /// What the server answers to `asked`.
    async fn answered<T>(self, asked: impl Future<Output = ::mongodb::error::Result<T>>) -> Result<T, Error> {
        match tokio::time::timeout_at(self.until.into(), asked).await {
            Ok(Ok(answer)) => {
                self.passage.answered();
                Ok(answer)
            }
            Ok(Err(error)) => {
                let asked = self.asked();
                Err(self.of.told(&error, asked, &self.server, self.passage))
            }
            Err(elapsed) => {
                let (asked, origin) = (self.asked(), refusal::origin(&self.server.said.hosts));
                self.passage.failed();
                Err(Error::Away { asked, origin, source: elapsed.into() })
            }
        }
    }

    /// A document that no server takes; this one was not asked.
    fn unfit(&self, reason: &str) -> Error {
        let remedy = "store it elsewhere too, or choose another storage: MongoDB cannot hold this statement"
            .to_owned();
        Error::Refused { asked: self.asked(), answer: reason.to_owned(), remedy }
    }

    fn asked(&self) -> Asked {
        Asked { service: SERVICE, host: self.server.said.hosts.clone(), what: self.what.clone() }
    }
}

/// A client for what the URL says; it connects when it is first used.
async fn connected(said: &Said, authorities: Option<PathBuf>) -> ::mongodb::error::Result<Client> {
    let mut options = ClientOptions::parse(said.parsed.clone()).await?;
    options.app_name.get_or_insert_with(|| "hallmark".to_owned());
    options.server_selection_timeout.get_or_insert(CONNECTION);
    options.connect_timeout.get_or_insert(CONNECTION);
    options.max_pool_size.get_or_insert(POOL);
    options.max_idle_time.get_or_insert(IDLE);
    // What was said to be stored stays after the next election too.
    options.write_concern.get_or_insert_with(WriteConcern::majority);
    if let (Some(Tls::Enabled(tls)), Some(file)) = (&mut options.tls, authorities) {
        tls.ca_file_path.get_or_insert(file);
    }
    Client::with_options(options)
}

const SERVICE: &str = "MongoDB";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Diagnose as _;

    #[tokio::test]
    async fn a_document_that_no_server_takes_is_refused_before_any_is_asked() {
        let url = Secret::new("mongodb://user:canary@127.0.0.1:1");
        let address = Address::Text("storage.docdb.mongo-server-url", url);
        let collection = MongoDb::new(address, ("chains", "signatures"), "Name", None, Circuits::default());
        let document = Document { signed: vec![0; LARGEST], ..Document::default() };
        let refused = collection.write("name", &document, Replace::Nothing).await.unwrap_err();
        let told = refused.to_string();
        assert!(told.contains("write document name of chains/signatures: MongoDB at 127.0.0.1:1"), "{told}");
        assert!(told.contains("a server takes 16777216"), "{told}");
        assert!(refused.hint().unwrap().contains("choose another storage"));
    }
}
