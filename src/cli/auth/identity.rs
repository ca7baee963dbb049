//! `hallmark auth identity`: identities that the tokens of a cluster, of a CI job or of anybody else with an OpenID
//! Connect issuer may assume (sources 000 and 001; credentials specification §7.2).
//!
//! Guarantees: `create` prints the UID and nothing else on standard output, or JSON; a role is looked up before anything is
//! made, and an identity whose role cannot be bound is deleted again.

mod rule;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::output::OutputOption;
use super::super::style::Style;
use super::super::{Exit, refuse};
use super::identities::{
    Account, AccountError, AccountOptions, ListArguments, RevokeArguments, failed, plain, revoke,
};
use super::pull_token;
use crate::client::exchange;
use crate::client::exchange::identities::Identity;
use rule::{GithubOptions, RuleError, RuleOptions};

/// Make, change, list and delete identities that others may assume.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an identity, and print its UID.
    Create(Box<CreateArguments>),
    /// Change whose tokens may assume an identity, or how it is called.
    Update(Box<UpdateArguments>),
    /// List identities, pull tokens among them.
    List(ListArguments),
    /// Delete an identity: whoever assumed it no longer can.
    Delete(RevokeArguments),
}

/// Make an identity, and print its UID.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:
  hallmark auth identity create kind-pull-secrets \\
    --issuer-keys=\"$(kubectl get --raw /openid/v1/jwks)\" \\
    --identity-issuer=https://kubernetes.default.svc.cluster.local \\
    --subject=system:serviceaccount:pull-secret-updater:controller \\
    --role=registry.pull
  hallmark auth identity create github ci --github-repo=ORG/REPO --github-ref=refs/heads/main --role=registry.pull")]
pub struct CreateArguments {
    #[command(subcommand)]
    of: Option<Of>,

    /// Name of the identity.
    #[arg(required = true, value_name = "NAME")]
    name: Option<String>,

    #[command(flatten)]
    rule: RuleOptions,

    #[command(flatten)]
    common: CommonOptions,
}

/// Issuers that are known here.
#[derive(Debug, Subcommand)]
enum Of {
    /// For workflows of GitHub Actions.
    Github(GithubArguments),
}

#[derive(Debug, Args)]
struct GithubArguments {
    /// Name of the identity.
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    github: GithubOptions,

    #[command(flatten)]
    common: CommonOptions,
}

/// What every identity has.
#[derive(Debug, Args)]
struct CommonOptions {
    /// What the identity is for.
    #[arg(long, default_value = "", value_name = "TEXT")]
    description: String,

    /// Group that the identity belongs to; without it, the one of the identity that makes it.
    #[arg(long, value_name = "UID")]
    parent: Option<String>,

    /// Role that it has there, such as registry.pull; may be repeated.
    #[arg(long, value_delimiter = ',', value_name = "ROLE")]
    role: Vec<String>,

    #[command(flatten)]
    account: AccountOptions,

    #[command(flatten)]
    output: OutputOption,
}

/// Change whose tokens may assume an identity, or how it is called.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark auth identity update ORG/UID --subject=repo:ORG/REPO:environment:production
  hallmark auth identity update ORG/UID --issuer-keys=\"$(kubectl get --raw /openid/v1/jwks)\"")]
pub struct UpdateArguments {
    /// The identity's UID.
    #[arg(value_name = "UID")]
    id: String,

    /// Another name.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Another description.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    #[command(flatten)]
    rule: RuleOptions,

    /// Workflows of this repository of GitHub, instead of what it was.
    #[arg(long, value_name = "ORG/REPO", conflicts_with_all = ["identity_issuer", "subject", "subject_pattern", "issuer_keys"])]
    github_repo: Option<String>,

    /// Ref that the workflow runs on; without it, any.
    #[arg(long, value_name = "REF", requires = "github_repo")]
    github_ref: Option<String>,

    #[command(flatten)]
    account: AccountOptions,

    #[command(flatten)]
    output: OutputOption,
}

/// Why it is not done.
#[derive(Debug, thiserror::Error)]
enum IdentityError {
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Rule(#[from] RuleError),
    #[error("the identity that makes it has no group: give --parent")]
    NoParent,
    #[error("role {role:?} cannot be bound, and the identity was deleted again")]
    NotBound {
        role: String,
        #[source]
        source: exchange::Error,
    },
}

impl From<exchange::Error> for IdentityError {
    fn from(error: exchange::Error) -> Self {
        Self::Account(error.into())
    }
}

/// Runs one of them.
pub(super) async fn run(command: Command) -> Exit {
    let done = match command {
        Command::Create(arguments) => create(*arguments).await,
        Command::Update(arguments) => update(&arguments).await,
        Command::List(arguments) => list(&arguments).await,
        Command::Delete(arguments) => return revoke(arguments).await,
    };
    match done {
        Ok(()) => Exit::Ok,
        Err(IdentityError::Account(error)) => failed(&error),
        Err(error @ (IdentityError::Rule(_) | IdentityError::NoParent)) => refuse(&error, Exit::Usage),
        Err(error @ IdentityError::NotBound { .. }) => refuse(&error, Exit::Failed),
    }
}

async fn create(arguments: CreateArguments) -> Result<(), IdentityError> {
    let now = Timestamp::now();
    let (name, common, rule) = match arguments.of {
        Some(Of::Github(github)) => (github.name, github.common, github.github.made()?),
        None => (arguments.name.unwrap_or_default(), arguments.common, arguments.rule.made(now)?),
    };
    let account = Account::open(&common.account).await?;
    let parent = common.parent.or_else(|| account.parent()).ok_or(IdentityError::NoParent)?;
    let mut roles = Vec::new();
    for role in common.role {
        roles.push((account.api().role(&role).await?, role));
    }
    let (fixed, claim_match) = rule.parts();
    let wanted = Identity {
        id: String::new(),
        name,
        description: common.description,
        created_at: None,
        fixed,
        claim_match,
    };
    let made = account.api().create(&parent, &wanted).await?;
    for (id, role) in roles {
        if let Err(source) = account.api().bind(&parent, &made.id, &id).await {
            // Half an identity would look like a whole one.
            account.api().delete(&made.id).await?;
            return Err(IdentityError::NotBound { role, source });
        }
    }
    eprintln!("made identity {:?}; its UID:", plain(&wanted.name));
    let made = Identity { id: made.id, created_at: made.created_at, ..wanted };
    common.output.print(format!("{}\n", plain(&made.id)), &json(&made));
    Ok(())
}

async fn update(arguments: &UpdateArguments) -> Result<(), IdentityError> {
    let github = arguments
        .github_repo
        .clone()
        .map(|github_repo| GithubOptions { github_repo, github_ref: arguments.github_ref.clone() }.made());
    let github = github.transpose()?;
    let account = Account::open(&arguments.account).await?;
    let mut identity = account.api().find(&arguments.id).await?;
    if let Some(name) = &arguments.name {
        identity.name.clone_from(name);
    }
    if let Some(description) = &arguments.description {
        identity.description.clone_from(description);
    }
    match github {
        Some(rule) => (identity.fixed, identity.claim_match) = rule.parts(),
        None => arguments.rule.change(&mut identity)?,
    }
    let changed = account.api().update(&identity).await?;
    arguments.output.print(format!("updated {}\n", plain(&changed.id)), &json(&changed));
    Ok(())
}

async fn list(arguments: &ListArguments) -> Result<(), IdentityError> {
    let identities = by_name(Account::open(&arguments.account).await?.api().list().await?);
    arguments.output.print(text(&identities, Style::of_stdout()), &identities.iter().map(json).collect());
    Ok(())
}

fn by_name(mut identities: Vec<Identity>) -> Vec<Identity> {
    identities.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
    identities
}

fn text(identities: &[Identity], style: Style) -> String {
    let rows = identities.iter().map(|identity| {
        let created = identity.created_at.map_or_else(String::new, |at| at.strftime("%Y-%m-%d").to_string());
        let (kind, issuer, subject) = known_by(identity);
        [identity.id.as_str(), &identity.name, kind, issuer, subject, &created].map(plain).to_vec()
    });
    style.table(0, &["ID", "NAME", "KIND", "ISSUER", "SUBJECT", "CREATED"], rows) + "\n"
}

fn json(identity: &Identity) -> Value {
    let (kind, issuer, subject) = known_by(identity);
    json!({"id": plain(&identity.id), "name": plain(&identity.name), "description": plain(&identity.description),
        "kind": kind, "issuer": plain(issuer), "subject": plain(subject),
        "createdAt": identity.created_at.map(|at| at.to_string())})
}

/// How it is known, and by what.
fn known_by(identity: &Identity) -> (&'static str, &str, &str) {
    if let Some(fixed) = &identity.fixed {
        let kind = if fixed.issuer == pull_token::ISSUER { "pull token" } else { "keys" };
        return (kind, &fixed.issuer, &fixed.subject);
    }
    let Some(claims) = &identity.claim_match else { return ("other", "", "") };
    let issuer = claims.issuer.as_ref().or(claims.issuer_pattern.as_ref());
    let subject = claims.subject.as_ref().or(claims.subject_pattern.as_ref());
    ("claims", issuer.map_or("", String::as_str), subject.map_or("", String::as_str))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::client::exchange::identities::ClaimMatch;

    #[derive(Parser)]
    struct Typed {
        #[command(subcommand)]
        command: Command,
    }

    fn typed(line: &str) -> Result<Command, clap::Error> {
        Typed::try_parse_from(std::iter::once("identity").chain(line.split(' '))).map(|typed| typed.command)
    }

    #[test]
    fn the_commands_of_the_source_documents_are_understood_and_half_ones_are_not() {
        for line in [
            "create kind --issuer-keys={} --identity-issuer=https://i --subject=s --role=registry.pull",
            "create gke --identity-issuer=https://i --subject-pattern=s --role=registry.pull,viewer",
            "create github ci --github-repo=o/r --github-ref=refs/heads/main --role=registry.pull",
            "update org/id --subject=repo:o/r:environment:p",
            "update org/id --github-repo=o/r",
            "list",
            "delete org/id",
        ] {
            assert!(typed(line).is_ok(), "{line}: {:?}", typed(line).err());
        }
        for line in
            ["create", "create kind --subject=a --subject-pattern=b", "create github ci", "update", "delete"]
        {
            assert!(typed(line).is_err(), "{line}");
        }
    }

    #[test]
    fn identities_are_listed_by_name_with_what_they_are_known_by() {
        let identity = |name: &str, claims: Option<ClaimMatch>| Identity {
            id: format!("org/{name}"),
            name: name.to_owned(),
            description: String::new(),
            created_at: None,
            fixed: None,
            claim_match: claims,
        };
        let claims = ClaimMatch {
            issuer: Some("https://i".into()),
            subject_pattern: Some("^s".into()),
            ..ClaimMatch::default()
        };
        let identities = by_name(vec![identity("b\u{1b}[2J", Some(claims)), identity("a", None)]);
        let text = text(&identities, Style::PLAIN);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["org/a", "a", "other"]);
        assert_eq!(lines[2], ["org/b[2J", "b[2J", "claims", "https://i", "^s"]);
        assert_eq!(
            json(&identities[1]),
            json!({"id": "org/b[2J", "name": "b[2J", "description": "", "kind": "claims",
                "issuer": "https://i", "subject": "^s", "createdAt": null})
        );
    }
}
