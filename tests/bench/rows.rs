//! Situations that take long or disturb everything else: what the issue of scale must show, one function a situation.
//! Each starts from a namespace of its own and leaves no process behind.

mod backlog;
mod counted;
mod credentials;
mod crowd;
mod growth;
mod helper;
mod keyless;
mod replicas;
mod silent;
mod soak;
mod stream;
mod vault;

use std::time::Duration;

use crate::arguments::Situation;
use crate::measure::Bench;
use crate::program::Program;

/// Measures one situation.
pub async fn measure(bench: &mut Bench<'_>, program: &Program, situation: Situation, soak: Duration) {
    match situation {
        Situation::Backlog => backlog::measure(bench, program).await,
        Situation::Replicas => replicas::shares(bench, program).await,
        Situation::Chaos => replicas::chaos(bench, program).await,
        Situation::FailOver => replicas::fail_over(bench, program).await,
        Situation::Silent => silent::measure(bench, program).await,
        Situation::Soak => soak::measure(bench, program, soak).await,
        Situation::Growth => growth::measure(bench, program).await,
        Situation::Crowd => crowd::measure(bench, program).await,
        Situation::Credentials => credentials::measure(bench, program).await,
        Situation::Helper => helper::measure(bench, program).await,
        Situation::Keyless | Situation::KeylessLogged | Situation::Vault => unreachable!("they are compared"),
    }
}

/// Measures one situation in which the programs are compared, so many times.
pub async fn compare(bench: &mut Bench<'_>, programs: &[Program], situation: Situation, rounds: usize) {
    match situation {
        Situation::Keyless => keyless::alone(bench, programs, rounds).await,
        Situation::Vault => vault::measure(bench, programs, rounds).await,
        _ => keyless::logged(bench, programs, rounds).await,
    }
}
