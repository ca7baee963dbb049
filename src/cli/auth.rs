//! `hallmark auth`: registries opened by short-lived tokens and pull tokens instead of passwords (credentials
//! specification §7.2).

mod configure_docker;
mod docker_file;
mod identities;
mod identity;
mod lifetime;
pub(super) mod login;
mod output;
mod pull_token;
mod status;

use clap::Subcommand;

use super::Exit;
use super::output::OutputOption;

/// Log in to registries with short-lived tokens and pull tokens.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Log in with a browser, or by a code on another machine.
    Login(login::LoginArguments),
    /// Forget a login, and the registry tokens that came of it.
    Logout(login::LogoutArguments),
    /// Have docker and others ask Hallmark for the credentials of a registry.
    ConfigureDocker(configure_docker::Arguments),
    /// Make a pull token: a longer-lived login for where no identity token is to be had.
    PullToken(pull_token::Arguments),
    /// List pull tokens.
    List(identities::ListArguments),
    /// Revoke a pull token.
    Revoke(identities::RevokeArguments),
    /// Make, change, list and delete identities that others may assume.
    #[command(subcommand, visible_alias = "identities")]
    Identity(identity::Command),
    /// Show which registries are configured, and what is kept for them.
    Status(OutputOption),
}

/// Runs one of them.
pub async fn run(command: Command) -> Exit {
    match command {
        Command::Login(arguments) => login::login(arguments).await,
        Command::Logout(arguments) => login::logout(arguments).await,
        Command::ConfigureDocker(arguments) => configure_docker::run(arguments).await,
        Command::PullToken(arguments) => pull_token::run(arguments).await,
        Command::List(arguments) => identities::list(arguments).await,
        Command::Revoke(arguments) => identities::revoke(arguments).await,
        Command::Identity(command) => identity::run(command).await,
        Command::Status(output) => status::run(output),
    }
}
