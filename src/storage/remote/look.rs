//! Whether stores can be reached, asked for something that need not be there (`hallmark doctor`).
//!
//! Guarantees: nothing is written, and nothing that the asker may not see is told; all stores are asked at once, each for as
//! long as its requests may take. Must not: conclude that who may read may write.

use futures::future::join_all;
use jiff::Timestamp;

use super::{Remote, Remotes};
use crate::storage::Error;
use crate::storage::docdb::Collection;
use crate::storage::grafeas::Project;
use crate::storage::object::{Bucket, Unknown};

/// A name that no run and no image has.
const NOBODY: &str = "hallmark-doctor";

/// What was found of one store.
pub struct Look {
    /// The name under which the configuration selects it.
    pub store: &'static str,
    /// Where it is, as far as that may be shown.
    pub place: String,
    /// What it came to.
    pub sight: Sight,
}

/// What a look came to.
pub enum Sight {
    /// It answers, and may be read.
    Readable,
    /// It answers that it may not be read; it may be that it can be written.
    Closed(Error),
    /// Nothing can be stored there now.
    Failed(Error),
}

impl Remotes {
    /// Looks at each of them.
    pub async fn look(&self) -> Vec<Look> {
        join_all(self.0.iter().map(Remote::look)).await
    }
}

impl Remote {
    async fn look(&self) -> Look {
        let (store, place, sight) = match self {
            Self::Bucket(bucket) => (bucket.store(), bucket.name().to_owned(), bucket_seen(bucket).await),
            Self::Archivista(server) => {
                // The hash of something that nobody keeps.
                let asked = server.download(&"0".repeat(64)).await;
                ("archivista", server.host(), seen(asked.map_err(|error| Error::Backend(Box::new(error)))))
            }
            Self::Grafeas(project) => {
                let place = format!("project {}", project.settings.project_id.as_deref().unwrap_or_default());
                ("grafeas", place, seen(occurrences(project).await))
            }
            Self::Documents(collection) => {
                ("docdb", collection.name.clone(), seen(document(collection).await))
            }
            Self::Kafka(producer) => {
                let asked = producer.look().await;
                let place = format!("topic {}", producer.topic());
                ("kafka", place, seen(asked.map_err(|error| Error::Backend(Box::new(error)))))
            }
            Self::Unusable(storage, error) => {
                let place = storage.as_str().to_owned();
                let source = std::sync::Arc::clone(error) as _;
                (storage.as_str(), place.clone(), Sight::Failed(Error::NoAccess { place, source }))
            }
        };
        Look { store, place, sight }
    }
}

async fn bucket_seen(bucket: &Bucket) -> Sight {
    match bucket.look(NOBODY).await {
        Ok(()) => Sight::Readable,
        Err(Unknown::Denied(error)) => Sight::Closed(error),
        Err(Unknown::Failed(error)) => Sight::Failed(error),
    }
}

async fn occurrences(project: &Project) -> Result<(), Error> {
    let place = || NOBODY.to_owned();
    let token = project.access.google(Timestamp::now()).await;
    let token = token.map_err(|source| Error::NoAccess { place: place(), source })?;
    let asked = project.client.occurrences(&token, NOBODY, NOBODY).await;
    asked.map(|_| ()).map_err(|error| Error::Backend(Box::new(error)))
}

async fn document(collection: &Collection) -> Result<(), Error> {
    collection.read(NOBODY).await.map(|_| ())
}

fn seen<T>(asked: Result<T, Error>) -> Sight {
    asked.map_or_else(Sight::Failed, |_| Sight::Readable)
}
