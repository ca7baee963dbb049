//! What signing costs: Hallmark measured beside Tekton Chains, on the same servers, one after the other, in rounds.
//! Run by `hack/bench`; what the rows mean and what they were on one machine is in `docs/benchmarks.md`.
//!
//! Guarantees: a program under test is a child with nothing else of ours running but the servers and this driver;
//! time is taken where users feel it, at the mark on the run; requests are counted by those who answer them; a run
//! that is not marked `true` ends the benchmark. Must not: take a figure from what a program says about itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark fails by panicking, its counts are small, and its parts are no library"
)]

mod admissions;
mod arguments;
mod delay;
mod figures;
mod marks;
mod measure;
mod program;
#[path = "../core/release.rs"]
mod release;
mod rows;
mod streaming;
#[path = "../support/lib.rs"]
mod support;
mod world;

use clap::Parser as _;

use arguments::Arguments;
use figures::Figures;
use measure::Bench;
use program::Program;
use world::World;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments = Arguments::parse();
    if arguments.admissions {
        let mut figures = Figures::default();
        for _ in 0..arguments.rounds() {
            admissions::measure(&arguments.hallmark, &mut figures).await;
        }
        return report(&figures, &arguments);
    }
    if arguments.row.iter().any(|situation| situation.is_compared()) {
        support::Cluster::sign_by_rsa();
    }
    let world = World::start(arguments.delay()).await;
    let programs = programs(&arguments);
    let mut bench = Bench { world: &world, scale: arguments.scale(), figures: Figures::default() };
    if !arguments.row.is_empty() {
        let hallmark = Program::Hallmark(arguments.hallmark.clone());
        for situation in &arguments.row {
            eprintln!("{situation:?}");
            if situation.is_compared() {
                rows::compare(&mut bench, &programs, *situation, arguments.rounds()).await;
                continue;
            }
            rows::measure(&mut bench, &hallmark, *situation, arguments.soak()).await;
        }
        return report(&bench.figures, &arguments);
    }
    for round in 1..=arguments.rounds() {
        for program in &programs {
            eprintln!("round {round}: {program:?}");
            bench.round(program).await;
        }
    }
    for program in &programs {
        eprintln!("with {} signed runs: {program:?}", bench.scale.signed);
        bench.beside_signed_runs(program).await;
    }
    report(&bench.figures, &arguments);
}

fn report(figures: &Figures, arguments: &Arguments) {
    println!("{}", figures.table());
    if let Some(file) = &arguments.out {
        std::fs::write(file, figures.json_lines()).unwrap();
    }
}

fn programs(arguments: &Arguments) -> Vec<Program> {
    let mut programs = vec![Program::Hallmark(arguments.hallmark.clone())];
    if arguments.peer {
        programs.push(Program::Chains { tuned: true });
        if !arguments.quick {
            programs.push(Program::Chains { tuned: false });
        }
    }
    programs
}
