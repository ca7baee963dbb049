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
    /// The keys that sign; each of them signs everything.
    pub signers: Vec<Arc<dyn Signer>>,
    /// The stores of this run.
    pub stores: Vec<Arc<dyn Store>>,
}

/// Signs everything that `config` asks of `run` and that is not in place yet.
pub async fn sign(run: &CompletedRun, config: &Config, stations: &Stations) -> Outcome {
    // 1. What did the run build?
    let artifacts = Artifacts::of(run, config.provenance.deep_inspection);

    // 2. What is to be said about each artifact, and which stores shall keep it?
    let plan = plan(run, &artifacts, config);

    // 3. to 6., for all of them at once: no artifact waits for another or hides its failure.
    let kept = join_all(plan.items.iter().map(|item| keep(item, stations))).await;

    Outcome { entries: plan.settled.into_iter().chain(kept.into_iter().flatten()).collect(), unusable: artifacts.unusable }
}

async fn keep(item: &Item, stations: &Stations) -> Vec<Entry> {
    let keys: Vec<PublicKey> = stations.signers.iter().map(|signer| signer.public_key().clone()).collect();
    let stores = stations.stores.iter().filter(|store| item.stores.contains(store.name()));
    let places: Vec<_> = stores.flat_map(|store| places(store, item)).collect();

    // 3. What is missing at each place?
    let missing = join_all(places.iter().map(|(store, place)| store.missing(place, &item.payload, &keys))).await;

    // 4. Sign once with every key that is missing anywhere.
    let wanted = |key: &PublicKey| missing.iter().flatten().any(|keys| keys.contains(key));
    let signers = stations.signers.iter().filter(|signer| wanted(signer.public_key()));
    let signed = join_all(signers.map(|signer| signature::sign(&item.payload, signer.as_ref()))).await;
    let signed = signed.into_iter().map(|signed| signed.map(Arc::new)).collect::<Result<Vec<_>, _>>();
    let signed = signed.map_err(Arc::new);

    // 5. Add to each place what it lacks. 6. Say what became of it.
    let states = join_all(places.iter().zip(missing).map(|((store, place), missing)| {
        add(store.as_ref(), place, missing, signed.as_deref())
    }));
    let described = states.await.into_iter().zip(&places);
    let entries: Vec<_> = described.map(|(state, (store, place))| item.entry(store.name(), place, state)).collect();
    if entries.is_empty() { vec![item.nothing_to_attach_to()] } else { entries }
}

fn places<'a>(store: &'a Arc<dyn Store>, item: &Item) -> impl Iterator<Item = (&'a Arc<dyn Store>, Place)> {
    store.places(&item.payload).into_iter().map(move |place| (store, place))
}

async fn add(
    store: &dyn Store,
    place: &Place,
    missing: Result<Vec<PublicKey>, storage::Error>,
    signed: Result<&[Arc<Signed>], &Arc<signature::Error>>,
) -> State {
    let missing = match missing {
        Err(error) => return State::Failed(Error::Store(error)),
        Ok(missing) if missing.is_empty() => return State::Present,
        Ok(missing) => missing,
    };
    let signed = match signed {
        Err(error) => return State::Failed(Error::Sign(Arc::clone(error))),
        Ok(signed) => signed,
    };
    let lacking: Vec<_> = signed.iter().filter(|signed| missing.contains(&signed.key)).cloned().collect();
    store.add(place, &lacking).await.map_or_else(|error| State::Failed(Error::Store(error)), State::Stored)
}
