//! The sentence: a completed run, its artifacts, a payload for each, a signature over it, storage, an outcome.
//!
//! It knows ports only: no Kubernetes, no HTTP, no clock. It never fails as a whole: each artifact has its own
//! result at each store, and what an earlier attempt put in place is found there and not done again.

pub mod outcome;
pub mod plan;
mod record;
pub mod steps;

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::{join_all, try_join_all};
use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;
use tokio::sync::OnceCell;
use tracing::Instrument as _;

use crate::artifact::{Artifact, Artifacts};
use crate::config::{ArtifactKind, Config};
use crate::signature::log::Log;
use crate::signature::signatory::Signatory;
use crate::signature::{self, Signed, Signer, Signers};
use crate::storage::{self, Index, Place, Store};
use crate::tekton::completed::CompletedRun;
use outcome::{Entry, Error, Outcome, State};
use plan::{Item, plan};
use record::record;

/// Images that are looked into at the same time.
const LOOKED_INTO_AT_ONCE: usize = 8;

/// What one attempt works with.
pub struct Stations {
    /// Who signs.
    pub signers: Signers,
    /// What records signatures.
    pub logs: Vec<Arc<dyn Log>>,
    /// Whether envelopes are stamped as a whole too, as cosign's tags want it.
    pub stamps_envelopes: bool,
    /// The stores of this run.
    pub stores: Vec<Arc<dyn Store>>,
    /// What image indexes list; asked only where that is to be signed too.
    pub index: Arc<dyn Index>,
}

/// Signs everything that `config` asks of `run` and that is not in place yet.
pub async fn sign(run: &CompletedRun, config: &Config, stations: &Stations, now: Timestamp) -> Outcome {
    // 1. What did the run build?
    let artifacts = Artifacts::of(run);
    let (artifacts, unread) = with_children(artifacts, config, stations.index.as_ref()).await;

    // 2. What is to be said about each artifact, and which stores shall keep it?
    let plan = plan(run, &artifacts, config);

    // 3. to 6., for all of them at once: no artifact waits for another or hides its failure.
    let kept = join_all(plan.items.iter().map(|item| keep(item, stations, now))).await;

    let entries = plan.settled.into_iter().chain(unread).chain(kept.into_iter().flatten()).collect();
    Outcome { entries, unusable: artifacts.unusable }
}

/// With the manifests that image indexes among them list, where `config` wants those signed, and an entry for each
/// image that could not be looked into: it is signed itself, and the run waits for the rest.
async fn with_children(
    mut artifacts: Artifacts,
    config: &Config,
    index: &dyn Index,
) -> (Artifacts, Vec<Entry>) {
    let mut unread = Vec::new();
    if !config.selection.index_children || !config.enabled(ArtifactKind::Oci) {
        return (artifacts, unread);
    }
    let images = artifacts.images.clone();
    // A few at a time: a run may name thousands of images.
    let lookups: Vec<_> = images.iter().map(|image| index.children(image)).collect();
    let found: Vec<_> = stream::iter(lookups).buffered(LOOKED_INTO_AT_ONCE).collect().await;
    for (image, children) in images.iter().zip(found) {
        match children {
            Ok(children) => artifacts.images.extend(children),
            Err(error) => {
                let failed = State::Failed(Error::Store(error));
                unread.push(Entry::without_store(Artifact::Image(image.clone()), failed));
            }
        }
    }
    let mut seen = HashSet::new();
    artifacts.images.retain(|image| seen.insert(image.clone()));
    (artifacts, unread)
}

async fn keep(item: &Item, stations: &Stations, now: Timestamp) -> Vec<Entry> {
    let stores = stations.stores.iter().filter(|store| item.asks_for(store.name()));
    let places: Vec<_> =
        stores.flat_map(|store| store.places(&item.payload).into_iter().map(move |p| (store, p))).collect();
    if places.is_empty() {
        return vec![item.nothing_to_attach_to()];
    }
    let entry =
        |store: &Arc<dyn Store>, place, signers: &str, state| item.entry(store.name(), place, signers, state);

    // 3. Who signs, and what is missing at each place?
    let signers = match signers(item, stations).await {
        Ok(signers) => signers,
        Err(error) => {
            let failed = || State::Failed(Error::Sign(Arc::clone(&error)));
            return places.iter().map(|(store, place)| entry(store, place, "", failed())).collect();
        }
    };
    let signatories: Vec<_> = signers.iter().map(|(_, signatory)| signatory.clone()).collect();
    let ids = signatories.iter().map(Signatory::id).collect::<Vec<_>>().join(" ");
    let once =
        Once { item, stations, now, signed: signers.iter().map(|one| (one, OnceCell::new())).collect() };
    // Each place by itself: one that answers late holds up no other.
    join_all(places.iter().map(async |(store, place)| {
        let looked = store.missing(place, &item.payload, &signatories);
        let missing = looked.instrument(steps::look(store.name(), place)).await;

        // 4. to 6. Sign what it lacks, add it, and say what became of it.
        entry(store, place, &ids, add(store.as_ref(), place, missing, &once).await)
    }))
    .await
}

/// Signs one payload in each name when the first place lacks it, has that recorded, and gives the same to all places.
struct Once<'a> {
    item: &'a Item,
    stations: &'a Stations,
    now: Timestamp,
    signed: Vec<(&'a Named<'a>, OnceCell<Made>)>,
}

type Made = Result<Arc<Signed>, Arc<signature::Error>>;

impl Once<'_> {
    async fn signed(&self, names: &[Signatory]) -> Result<Vec<Arc<Signed>>, Arc<signature::Error>> {
        let wanted = self.signed.iter().filter(|((_, signatory), _)| names.contains(signatory));
        try_join_all(wanted.map(async |((signer, signatory), cell)| {
            cell.get_or_init(|| self.sign(signer.as_ref(), signatory)).await.clone()
        }))
        .await
    }

    async fn sign(&self, by: &dyn Signer, signatory: &Signatory) -> Made {
        let signed = signature::sign(&self.item.payload, by, signatory);
        let signed = signed.instrument(steps::sign(signatory.id())).await?;
        let recorded = record(signed, self.stations, self.now).instrument(steps::record()).await;
        recorded.map(Arc::new).map_err(Arc::new)
    }
}

type Named<'s> = (&'s Arc<dyn Signer>, Signatory);

async fn signers<'s>(item: &Item, stations: &'s Stations) -> Result<Vec<Named<'s>>, Arc<signature::Error>> {
    let signers = stations.signers.of(item.signer)?;
    let named = signers.iter().map(async |signer| Ok((signer, signer.signatory().await?)));
    try_join_all(named).await.map_err(Arc::new)
}

async fn add(
    store: &dyn Store,
    place: &Place,
    missing: Result<Vec<Signatory>, storage::Error>,
    once: &Once<'_>,
) -> State {
    let missing = match missing {
        Err(error) => return State::Failed(Error::Store(error)),
        Ok(missing) if missing.is_empty() => return State::Present,
        Ok(missing) => missing,
    };
    let lacking = match once.signed(&missing).await {
        Ok(lacking) => lacking,
        Err(error) => return State::Failed(Error::Sign(error)),
    };
    match store.add(place, &lacking).instrument(steps::add(store.name(), place)).await {
        Ok(receipt) => State::Stored(receipt),
        Err(error) => State::Failed(Error::Store(error)),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use serde_json::json;

    use super::*;
    use crate::artifact::image::Image;
    use crate::tekton::Run;

    /// Every image whose number is even lists the next two.
    struct Numbered;

    #[async_trait]
    impl Index for Numbered {
        async fn children(&self, image: &Image) -> Result<Vec<Image>, storage::Error> {
            match u64::from_str_radix(&image.digest.hex(), 16).unwrap() {
                even if even % 2 == 0 => Ok(vec![numbered(even + 1), numbered(even + 2)]),
                _ => Err(storage::Error::Index { image: Box::new(image.clone()), reason: "it is odd" }),
            }
        }
    }

    fn numbered(number: u64) -> Image {
        format!("registry.test/app@sha256:{number:064x}").parse().unwrap()
    }

    fn of(numbers: &[u64]) -> Artifacts {
        let images = numbers.iter().copied().map(numbered).map(|image| image.to_string());
        let run = json!({"kind": "TaskRun", "status": {"conditions": [{"type": "Succeeded", "status": "True"}],
            "results": [{"name": "IMAGES", "value": images.collect::<Vec<_>>().join(",")}]}});
        Artifacts::of(&CompletedRun::prove(Run::from_value(run).unwrap(), Vec::new()).unwrap())
    }

    fn config(index_children: bool) -> Config {
        let mut config = Config::default();
        config.selection.index_children = index_children;
        config
    }

    #[tokio::test]
    async fn what_an_index_lists_is_signed_once_each_beside_it() {
        let (artifacts, unread) = with_children(of(&[2, 4]), &config(true), &Numbered).await;
        assert_eq!(artifacts.images, [2, 4, 3, 5, 6].map(numbered));
        assert!(unread.is_empty());
    }

    #[tokio::test]
    async fn an_image_that_cannot_be_looked_into_fails_and_is_signed_nevertheless() {
        let (artifacts, unread) = with_children(of(&[1, 2]), &config(true), &Numbered).await;
        assert_eq!(artifacts.images, [1, 2, 3, 4].map(numbered));
        let outcome = Outcome { entries: unread, unusable: Vec::new() };
        assert!(!outcome.is_complete());
        assert_eq!(outcome.entries[0].artifact, Artifact::Image(numbered(1)));
        assert!(outcome.failures().next().unwrap().to_string().contains("it is odd"));
    }

    #[tokio::test]
    async fn nobody_is_asked_where_nothing_is_to_be_signed() {
        let mut without_images = config(true);
        without_images.oci.storage.clear();
        for config in [config(false), without_images] {
            let (artifacts, unread) = with_children(of(&[1, 2]), &config, &Numbered).await;
            assert_eq!((artifacts.images.len(), unread.len()), (2, 0));
        }
    }
}
