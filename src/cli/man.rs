//! `hallmark man`: a manual page for each command, from its own definition.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, refuse};

/// Where to.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark man /usr/local/share/man/man1
  hallmark man . && man ./hallmark-controller.1")]
pub struct Arguments {
    /// Folder for the pages; it is made if it is not there.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Writes the pages.
pub fn run(arguments: &Arguments, command: clap::Command) -> Exit {
    match write(&arguments.folder, command) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            eprintln!("hallmark: cannot write manual pages to {}", arguments.folder.display());
            refuse(&error, Exit::Failed)
        }
    }
}

fn write(folder: &Path, command: clap::Command) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    // The pages that clap writes for `help` repeat the others.
    clap_mangen::generate_to(command.disable_help_subcommand(true), folder)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_has_a_page_with_its_examples_and_exit_codes() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("man1"), Cli::command()).unwrap();
        let page = |name: &str| std::fs::read_to_string(folder.path().join("man1").join(name)).unwrap();
        for command in Cli::command().get_subcommands() {
            assert!(page(&format!("hallmark-{}.1", command.get_name())).contains(".TH"));
        }
        assert!(page("hallmark-doctor.1").contains("Exit codes"));
        assert!(page("hallmark-creds-explain.1").contains("hallmark creds explain"));
        assert!(page("hallmark.1").contains("doctor"));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        write(&file.path().join("man1"), Cli::command()).unwrap_err();
    }
}
