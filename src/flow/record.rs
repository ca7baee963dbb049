//! Has a signature recorded by every log and timestamp authority of the configuration, before it is stored: what lacks
//! its proof is not stored at all (Chains specification §7).

use std::sync::Arc;

use futures::future::{try_join, try_join_all};
use jiff::Timestamp;

use super::Stations;
use crate::signature::log::{self, Log};
use crate::signature::timestamp::SignedTimestamp;
use crate::signature::{Error, Signed};

/// Adds what each of them gives.
pub(super) async fn record(mut signed: Signed, stations: &Stations, now: Timestamp) -> Result<Signed, Error> {
    let envelope = signed.envelope.as_deref().filter(|_| stations.stamps_envelopes);
    let view = signed.view();
    let proofs = try_join_all(stations.logs.iter().map(async |log| {
        let given = try_join(log.record(&view, now), stamp(log.as_ref(), envelope, now)).await?;
        Ok::<_, log::Error>((log.url().to_owned(), given))
    }));
    let proofs = proofs.await.map_err(|error| Error::Service(Arc::new(error)))?;
    for (url, (proof, stamp)) in proofs {
        signed.prove(&url, proof);
        signed.envelope_timestamp = stamp.or(signed.envelope_timestamp);
    }
    Ok(signed)
}

async fn stamp(
    log: &dyn Log,
    envelope: Option<&[u8]>,
    now: Timestamp,
) -> Result<Option<SignedTimestamp>, log::Error> {
    match envelope {
        Some(envelope) => log.stamp(envelope, now).await,
        None => Ok(None),
    }
}
