//! `hallmark completions`: what a shell needs to complete the command line, from its own definition.

use clap::Args;
use clap_complete::Shell;

use super::Exit;

/// Which shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark completions bash > /etc/bash_completion.d/hallmark
  hallmark completions zsh > \"${fpath[1]}/_hallmark\"
  hallmark completions fish > ~/.config/fish/completions/hallmark.fish")]
pub struct Arguments {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script.
pub fn run(arguments: &Arguments, mut command: clap::Command) -> Exit {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    print!("{}", String::from_utf8_lossy(&script));
    Exit::Ok
}
