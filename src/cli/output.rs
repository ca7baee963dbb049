//! The option `--output` of every command that prints for people and for programs, and knows no third form.

use std::fmt::Display;

use clap::{Args, ValueEnum};
use serde_json::Value;

/// What to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Output {
    /// For people.
    #[default]
    #[value(alias = "table")]
    Text,
    /// For programs.
    Json,
}

/// The option, for commands that say little.
#[derive(Debug, Clone, Copy, Args)]
pub struct OutputOption {
    /// What to print.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

impl OutputOption {
    /// A program reads what is printed.
    pub(super) fn is_json(self) -> bool {
        self.output == Output::Json
    }

    /// Prints the text, which ends its own lines, or the value.
    pub(super) fn print(self, text: impl Display, value: &Value) {
        self.output.print(text, value);
    }
}

impl Output {
    /// Prints the text, which ends its own lines, or the value.
    pub(super) fn print(self, text: impl Display, value: &Value) {
        match self {
            Self::Text => print!("{text}"),
            Self::Json => println!("{value:#}"),
        }
    }
}
