//! `hallmark demo`: the whole way from a completed run to a verified signature, on this machine alone.

pub mod registry;

use clap::Args;

use super::Exit;

/// Show the whole way from a completed run to a verified signature, on this machine alone.
#[derive(Debug, Args)]
pub struct Arguments {}

/// Runs the demo.
pub async fn run(_arguments: Arguments) -> Exit {
    Exit::Failed
}
