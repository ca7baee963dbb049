//! The option `--output` of the commands that print for people or for programs and know no third form.

use clap::ValueEnum;

/// What to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}
