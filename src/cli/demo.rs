//! `hallmark demo`: the whole way from a completed run to a verified signature, on this machine alone.
//!
//! The registry is embedded and wants a token; everything else is what the controller runs: the same manifests, the
//! same keychain, the same flow, the same stores. The verification at the end shares no code with the signing.
//! It writes nowhere but into its own directory, and sends nothing beyond the loopback interface.

pub mod registry;
mod show;
mod verify;
mod world;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::output::OutputOption;
use super::style::Style;
use super::{Exit, fail, refuse, sign};
use crate::client;
use crate::client::registry::Registry;
use crate::signature;
use crate::signature::key::keyring::KeyRing;
use show::{Show, Step};
use verify::Pulled;
use world::{World, WorldError};

/// Show the whole way from a completed run to a verified signature, on this machine alone.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark demo
  hallmark demo --keep --directory /tmp/hallmark-demo")]
pub struct Arguments {
    /// Leave the registry running at the end, until Ctrl-C, so that cosign can look at it.
    #[arg(long)]
    keep: bool,

    /// Where to put the key and the manifests; made when it does not exist. A directory with files that are not the
    /// demo's is refused.
    #[arg(long, default_value = "hallmark-demo", value_name = "DIRECTORY")]
    directory: PathBuf,

    #[command(flatten)]
    output: OutputOption,
}

/// Why the demo stopped.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("cannot prepare the demo")]
    World(#[from] WorldError),
    #[error("the demo's own key is refused")]
    Key(#[from] signature::Error),
    #[error(transparent)]
    Client(#[from] client::registry::Error),
    #[error("the verification failed")]
    Verification(#[from] verify::VerifyError),
    #[error("cannot wait for Ctrl-C")]
    Signal(#[source] io::Error),
}

/// Runs the demo.
pub async fn run(arguments: Arguments) -> Exit {
    match demonstrate(&arguments).await {
        Ok(exit) => exit,
        Err(error) => refuse(&error, Exit::Failed),
    }
}

async fn demonstrate(arguments: &Arguments) -> Result<Exit, DemoError> {
    let started = Instant::now();
    // Before anything is written or started, so that Ctrl-C is never missed.
    let stop = arguments.keep.then(Stop::listen).transpose().map_err(DemoError::Signal)?;
    let (show, output) = (Show::new(Style::of_stdout()), arguments.output);
    let print = |step: Step| {
        if !output.is_json() {
            step.print();
        }
    };
    let world = World::build(&arguments.directory).await?;
    print(show.setting(&world));

    let keys = KeyRing::import(&world.directory().display().to_string(), &world.key_files()?)?;
    let (run, objects) = world.run_and_objects()?;
    let (config, registry) = (sign::defaults(), Registry::new()?);
    let material = sign::Material::of_keys(keys, &config, &objects.registries).await?;
    let signed = sign::sign(run, Value::Null, &config, &material, &registry, &Arc::new(objects)).await;
    print(show.found(&signed.run));
    print(show.credentials(&signed.reports));
    if let Some(error) = signed.outcome.failures().next() {
        return Ok(fail(error));
    }

    let pulled = verify::pull(world.address(), world.reader(), world.image()).await?;
    print(show.pushed(world.image(), &signed.outcome, &pulled));
    verify::check(&pulled, &world.public_key()?, world.image())?;
    print(show.verified());
    if output.is_json() {
        println!("{:#}", report(&world, &signed, &pulled));
    }

    match stop {
        None => print(show.ended(&world, started.elapsed())),
        Some(mut stop) => {
            print(show.kept(&world, started.elapsed()));
            stop.requested().await;
        }
    }
    world.stop().await;
    Ok(Exit::Ok)
}

/// The same for a program, which is told when everything has been verified.
fn report(world: &World, signed: &sign::Signed, pulled: &Pulled) -> Value {
    json!({"run": signed.run.run().key().to_string(), "image": world.image().to_string(),
        "signature": pulled.signature.tag, "attestation": pulled.attestation.tag, "verified": true,
        "credentials": signed.reports, "directory": world.directory()})
}

/// Ctrl-C, or SIGTERM: whoever started the demo wants it to end.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn requested(&mut self) {
        tokio::select! { _ = self.interrupt.recv() => {}, _ = self.terminate.recv() => {} }
    }
}
