//! The sentence: a completed run, its artifacts, a payload for each, a signature over it, storage, an outcome.
//!
//! It knows ports only: no Kubernetes, no HTTP, no clock. It never fails as a whole: each artifact has its own
//! result at each store, and what an earlier attempt put in place is found there and not done again.

pub mod outcome;
pub mod plan;

use std::sync::Arc;

use futures::future::join_all;

use crate::artifact::Artifacts;
use crate::config::Config;
use crate::signature::public_key::PublicKey;
use crate::signature::{self, Signed, Signer};
use crate::storage::{self, Place, Store};
use crate::tekton::completed::CompletedRun;
use outcome::{Entry, Error, Outcome, State};
use plan::{Item, plan};

/// What one attempt works with.
pub struct Stations {
    /// The keys that sign, each of them everything; or why there is none.
    pub signers: Result<Vec<Arc<dyn Signer>>, Arc<signature::Error>>,
    /// The stores of this run.
    pub stores: Vec<Arc<dyn Store>>,
}

/// Signs everything that `config` asks of `run` and that is not in place yet.
pub async fn sign(run: &CompletedRun, config: &Config, stations: &Stations) -> Outcome {
    // 1. What did the run build?
    let artifacts = Artifacts::of(run);

    // 2. What is to be said about each artifact, and which stores shall keep it?
    let plan = plan(run, &artifacts, config);

    // 3. to 6., for all of them at once: no artifact waits for another or hides its failure.
    let kept = join_all(plan.items.iter().map(|item| keep(item, stations))).await;

    let entries = plan.settled.into_iter().chain(kept.into_iter().flatten()).collect();
    Outcome { entries, unusable: artifacts.unusable }
}

async fn keep(item: &Item, stations: &Stations) -> Vec<Entry> {
    let stores = stations.stores.iter().filter(|store| item.asks_for(store.name()));
    let places: Vec<_> =
        stores.flat_map(|store| store.places(&item.payload).into_iter().map(move |p| (store, p))).collect();
    if places.is_empty() {
        return vec![item.nothing_to_attach_to()];
    }
    let (signers, no_key) = match &stations.signers {
        Ok(signers) => (signers.as_slice(), None),
        Err(error) => (&[][..], Some(error)),
    };
    let keys: Vec<PublicKey> = signers.iter().map(|signer| signer.public_key().clone()).collect();

    // 3. What is missing at each place?
    let missing =
        join_all(places.iter().map(|(store, place)| store.missing(place, &item.payload, &keys))).await;

    // 4. Sign once with every key that is missing anywhere.
    let wanted = |key: &PublicKey| missing.iter().flatten().any(|keys| keys.contains(key));
    let used = signers.iter().filter(|signer| wanted(signer.public_key()));
    let signed = join_all(used.map(|signer| signature::sign(&item.payload, signer.as_ref()))).await;
    let signed = match no_key {
        Some(error) => Err(Arc::clone(error)),
        None => signed
            .into_iter()
            .map(|signed| signed.map(Arc::new))
            .collect::<Result<Vec<_>, _>>()
            .map_err(Arc::new),
    };

    // 5. Add to each place what it lacks. 6. Say what became of it.
    let ids = keys.iter().map(PublicKey::id).collect::<Vec<_>>().join(" ");
    join_all(places.iter().zip(missing).map(async |((store, place), missing)| {
        let state = add(store.as_ref(), place, missing, signed.as_ref()).await;
        item.entry(store.name(), place, &ids, state)
    }))
    .await
}

async fn add(
    store: &dyn Store,
    place: &Place,
    missing: Result<Vec<PublicKey>, storage::Error>,
    signed: Result<&Vec<Arc<Signed>>, &Arc<signature::Error>>,
) -> State {
    let (missing, signed) = match (missing, signed) {
        (_, Err(error)) => return State::Failed(Error::Sign(Arc::clone(error))),
        (Err(error), _) => return State::Failed(Error::Store(error)),
        (Ok(missing), _) if missing.is_empty() => return State::Present,
        (Ok(missing), Ok(signed)) => (missing, signed),
    };
    let lacking: Vec<_> = signed.iter().filter(|signed| missing.contains(&signed.key)).cloned().collect();
    match store.add(place, &lacking).await {
        Ok(receipt) => State::Stored(receipt),
        Err(error) => State::Failed(Error::Store(error)),
    }
}
