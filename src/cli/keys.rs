//! `hallmark keys`: signing keys for the Secret `signing-secrets`, made, shown and replaced.
//!
//! # Guarantees
//!
//! - No private key is printed, and none is ever replaced by accident: `generate` touches nothing that holds one, `rotate`
//!   removes the old key only when it is told to, and only while the new one is there.
//! - A Secret is written as one change to the version that was read; whoever changed it meanwhile is not overwritten.

mod generate;
mod public;
mod rotate;
mod secret;

use clap::Subcommand;

use super::Exit;
pub(super) use public::public_key;

/// Make, show and replace signing keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key pair as cosign does, in files or straight in the Secret.
    Generate(generate::Arguments),
    /// Print the public keys that verify what is signed now.
    Public(public::Arguments),
    /// Replace the signing key: first both sign, then the old one is retired.
    Rotate(rotate::Arguments),
}

/// Runs the command.
pub async fn run(command: Command) -> Exit {
    match command {
        Command::Generate(arguments) => generate::run(arguments).await,
        Command::Public(arguments) => public::run(arguments).await,
        Command::Rotate(arguments) => rotate::run(arguments).await,
    }
}
