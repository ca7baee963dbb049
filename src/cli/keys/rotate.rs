//! `hallmark keys rotate`: a new key beside the old one, and later in its place.
//!
//! Between the two steps everything is signed with both, so that whoever verifies may change the public key at any time in
//! between. Chains passes over the new key until it is in place: its name is one that only Hallmark looks at.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::secret::{COSIGN_KEY, COSIGN_PASSWORD, COSIGN_PUB, Changes, NEXT, Place, Stored, X509};
use crate::cli::output::OutputOption;
use crate::cli::{Exit, fail};
use crate::signature::key::generated::GeneratedKey;
use crate::signature::key::keyring::KeyRing;

/// Which Secret, and which step.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark keys rotate --secret tekton-chains/signing-secrets > new.pub
  hallmark keys rotate --secret tekton-chains/signing-secrets --retire

The first step adds a new key, x509-next.pem, and prints its public half: from then on everything is signed with both
keys. Give the new public key to whoever verifies; hallmark resign signs older runs with it as well. The second step
takes the old key away and puts the new one in its place, as x509.pem.

Exit codes: 0 the step is done; 1 there is no key to replace, or a rotation has begun or has not; 2 usage; 4 the API
server cannot be reached.")]
pub struct Arguments {
    #[command(flatten)]
    place: Place,

    /// Take the old key away: the new one alone signs.
    #[arg(long)]
    retire: bool,

    #[command(flatten)]
    output: OutputOption,
}

/// Does one step.
pub(super) async fn run(arguments: Arguments) -> Exit {
    let stored = match arguments.place.read().await {
        Ok(stored) => stored,
        Err(exit) => return exit,
    };
    let step = if arguments.retire { retired(&stored) } else { begun(&stored) };
    let (changes, public, told) = match step {
        Ok(step) => step,
        Err(reason) => {
            eprintln!("hallmark: Secret {}: {reason}", arguments.place.secret);
            return Exit::Failed;
        }
    };
    if let Err(error) = stored.change(changes).await {
        return fail(&error);
    }
    eprintln!("Secret {}: {told}", arguments.place.secret);
    let step = if arguments.retire { "retired" } else { "begun" };
    let done = json!({"secret": arguments.place.secret.to_string(), "step": step, "publicKey": public});
    arguments.output.print(&public, &done);
    Exit::Ok
}

type Step = Result<(Changes, String, &'static str), String>;

const BEGUN: &str = "both keys sign now; the public half of the new one:";
const RETIRED: &str = "the new key alone signs now; its public half:";

/// The new key beside the old one.
fn begun(stored: &Stored) -> Step {
    if stored.has(NEXT) {
        return Err(format!("a rotation has begun already: {NEXT} is there; end it with --retire"));
    }
    if !stored.has(X509) && !stored.has(COSIGN_KEY) {
        return Err("it has no key to replace; make one: hallmark keys generate --secret …".to_owned());
    }
    let key = GeneratedKey::new().ok_or("the system yields no randomness")?;
    let changes = vec![(NEXT, Some(Zeroizing::new(key.to_pem().as_bytes().to_vec())))];
    Ok((changes, key.public_key().to_pem(), BEGUN))
}

/// The new key in place of the old one; what it is, is read before anything is taken away.
fn retired(stored: &Stored) -> Step {
    let next = stored.files.get(NEXT).filter(|content| !content.is_empty());
    let next = next.ok_or_else(|| format!("no rotation has begun: {NEXT} is not there"))?;
    let alone = BTreeMap::from([(X509.to_owned(), next.clone())]);
    let ring = KeyRing::import("it", &alone).map_err(|error| format!("{NEXT}: {error}"))?;
    let public = ring.keys().first().map(|key| key.public_key().to_pem()).unwrap_or_default();
    let old = [COSIGN_KEY, COSIGN_PASSWORD].into_iter().filter(|name| stored.files.contains_key(*name));
    let mut changes: Changes = old.map(|name| (name, None)).collect();
    changes.push((X509, Some(Zeroizing::new(next.clone()))));
    changes.push((NEXT, None));
    changes.push((COSIGN_PUB, Some(Zeroizing::new(public.as_bytes().to_vec()))));
    Ok((changes, public, RETIRED))
}
