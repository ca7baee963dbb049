//! The store `docdb`: one document for each signature, in `DynamoDB`, Firestore or `MongoDB`, under the fields of Chains
//! (specification §6.4).
//!
//! # Names
//!
//! A run's document is called by its kind and UID, as in Chains. An image's is called by its whole reference; the short name
//! of Chains, twelve letters of its digest, is that of a second one, which belongs to the image that came first (defect D14).
//!
//! # Guarantees
//!
//! - A document that is there and verifies is not written again; it is written whole, so that nobody reads a part of it.
//! - With several keys the first one signs here, since a document holds one signature.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;

use super::access::Access;
use super::{Error, Place, Store, Stored};
use crate::artifact::Artifact;
use crate::client::bucket::{Replace, Written};
use crate::client::document::Document;
use crate::client::document::dynamodb::DynamoDb;
use crate::client::document::firestore::Firestore;
#[cfg(feature = "mongodb")]
use crate::client::document::mongodb::MongoDb;
use crate::client::store;
use crate::credential::cloud::Failure;
use crate::payload::Payload;
use crate::signature::Signed;
use crate::signature::signatory::{Beside, Signatory};

/// A collection, wherever it is, and who the process is there.
pub(super) struct Collection {
    pub(super) kind: Kind,
    /// As messages have it.
    pub(super) name: String,
    pub(super) access: Access,
}

/// Where it is.
pub(super) enum Kind {
    DynamoDb(DynamoDb),
    Firestore(Firestore),
    #[cfg(feature = "mongodb")]
    MongoDb(MongoDb),
}

impl Collection {
    /// The document `name`, if there is one.
    pub(super) async fn read(&self, name: &str) -> Result<Option<Document>, Error> {
        let now = Timestamp::now();
        let closed = |failure| self.closed(name, failure);
        let read = match &self.kind {
            Kind::DynamoDb(table) => {
                let keys = self.access.aws(&self.name, table.region(), now).await.map_err(closed)?;
                table.read(&keys, name, now).await
            }
            Kind::Firestore(collection) => {
                collection.read(&self.access.google(now).await.map_err(closed)?, &plain(name)).await
            }
            #[cfg(feature = "mongodb")]
            Kind::MongoDb(collection) => collection.read(name).await,
        };
        read.map_err(backend)
    }

    async fn write(&self, name: &str, document: &Document, replace: Replace) -> Result<Written, Error> {
        let now = Timestamp::now();
        let closed = |failure| self.closed(name, failure);
        let written = match &self.kind {
            Kind::DynamoDb(table) => {
                let keys = self.access.aws(&self.name, table.region(), now).await.map_err(closed)?;
                table.write(&keys, name, document, replace, now).await
            }
            Kind::Firestore(collection) => {
                let token = self.access.google(now).await.map_err(closed)?;
                collection.write(&token, &plain(name), document, replace).await
            }
            #[cfg(feature = "mongodb")]
            Kind::MongoDb(collection) => collection.write(name, document, replace).await,
        };
        written.map_err(backend)
    }

    fn closed(&self, name: &str, failure: Arc<Failure>) -> Error {
        Error::NoAccess { place: format!("{}/{name}", self.name), source: failure }
    }
}

/// Names of Firestore are parts of paths.
fn plain(name: &str) -> String {
    name.replace('/', "%2F")
}

fn backend(error: store::Error) -> Error {
    Error::Backend(Box::new(error))
}

/// The documents of one collection.
pub(super) struct Documents(pub(super) Arc<Collection>);

/// Whether a document is a signature over `payload` by `signatory`.
fn is_by(signatory: &Signatory, payload: &Payload, document: &Document) -> bool {
    let beside = Beside { certificate: &document.certificate, chain: &document.chain, ..Beside::default() };
    let content = BASE64_STANDARD.decode(&document.signature);
    content.is_ok_and(|content| signatory.signed(payload, &content, beside))
}

#[async_trait]
impl Store for Documents {
    fn name(&self) -> &'static str {
        "docdb"
    }

    fn places(&self, payload: &Payload) -> Vec<Place> {
        let place = |name: String, shared| Place::Objects { bucket: self.0.name.clone(), name, shared };
        let short = payload.artifact.short_key();
        match &payload.artifact {
            Artifact::Run(_) => vec![place(short, false)],
            Artifact::Image(image) => vec![place(image.to_string(), false), place(short, true)],
        }
    }

    async fn missing(
        &self,
        place: &Place,
        payload: &Payload,
        signatories: &[Signatory],
    ) -> Result<Vec<Signatory>, Error> {
        let Some((name, shared, first)) = place.single(signatories) else { return Ok(Vec::new()) };
        let lacks = match self.0.read(name).await? {
            Some(document) if document.signed == payload.bytes => !is_by(first, payload, &document),
            // Another image of the same short name was here first.
            Some(_) if shared => false,
            _ => true,
        };
        Ok(lacks.then(|| first.clone()).into_iter().collect())
    }

    async fn add(&self, place: &Place, signed: &[Arc<Signed>]) -> Result<Stored, Error> {
        let Some((name, shared, signed)) = place.single(signed) else { return Ok(Stored::default()) };
        let (certificate, chain) = signed.pems();
        let document = Document {
            signed: signed.payload.bytes.clone(),
            signature: BASE64_STANDARD.encode(signed.content()),
            certificate,
            chain,
            object: serde_json::from_slice(&signed.payload.bytes).unwrap_or_default(),
        };
        let replace = if shared { Replace::Nothing } else { Replace::Anything };
        let written = self.0.write(name, &document, replace).await?;
        // One by a key of before is replaced; that of another image is not.
        if shared && written == Written::Before {
            let is_same = |there: &Document| there.signed == document.signed;
            if self.0.read(name).await?.as_ref().is_some_and(is_same) {
                self.0.write(name, &document, Replace::Anything).await?;
            }
        }
        Ok(Stored::of(std::slice::from_ref(signed)))
    }
}
