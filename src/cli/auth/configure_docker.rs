//! `hallmark auth configure-docker`: one entry in docker's `config.json`, and the settings that the credential helper
//! needs (credentials specification §7.2).

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::credential_helper::session::{Session, SessionError, Setting, Settings, file_error};
use super::super::{Exit, environment, fail, refuse};
use super::docker_file::{DockerError, DockerFile};
use super::identities::{AccountOptions, known_source};
use super::output::Form;
use super::pull_token;
use crate::error::chain;
use crate::refresh::splice::quoted;

/// The name that docker looks for, less `docker-credential-`.
const HELPER: &str = "hallmark";
const PROGRAM: &str = "docker-credential-hallmark";

/// Have docker and others ask Hallmark for the credentials of a registry.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark auth configure-docker --identity ORG/UID
  hallmark auth configure-docker --registry registry.example --identity robot --identity-token /run/token
  hallmark auth configure-docker --pull-token --save --ttl=24h")]
pub struct Arguments {
    /// Registry; may be repeated.
    #[arg(long, default_value = "cgr.dev", value_name = "HOST")]
    registry: Vec<String>,

    /// Identity whose tokens are used, by its UID.
    #[arg(long, value_name = "UID")]
    identity: Option<String>,

    /// Provider of the tokens, as providers.toml names it.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,

    /// File with the identity token that is exchanged; without it, what hallmark identity would find.
    #[arg(long, value_name = "FILE")]
    identity_token: Option<PathBuf>,

    /// The one source of identity tokens, by the name that hallmark identity has for it.
    #[arg(long, value_parser = known_source, value_name = "NAME")]
    identity_provider: Option<String>,

    /// Docker's folder instead of `$DOCKER_CONFIG` or ~/.docker.
    #[arg(long, value_name = "DIR")]
    config: Option<PathBuf>,

    /// Folder that gets docker-credential-hallmark; without it, the one of this binary.
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,

    /// Say what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,

    /// Make a pull token instead, as hallmark auth pull-token does.
    #[arg(long)]
    pull_token: bool,

    #[command(flatten)]
    token: pull_token::TokenOptions,
}

impl Arguments {
    fn as_json(&self) -> bool {
        self.token.output == Form::Json
    }
}

/// Why it is not configured.
#[derive(Debug, thiserror::Error)]
enum ConfigureError {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Docker(#[from] DockerError),
}

/// What became of the entry of a registry.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    registry: &'a str,
    changed: bool,
    /// The helper that was asked before.
    before: Option<Value>,
}

/// Runs the command.
pub(super) async fn run(arguments: Arguments) -> Exit {
    if arguments.pull_token {
        let registry = arguments.registry.into_iter().next().unwrap_or_default();
        let account = AccountOptions {
            registry,
            identity: arguments.identity,
            identity_token: arguments.identity_token,
            identity_provider: arguments.identity_provider,
        };
        let made = pull_token::Arguments::of(account, arguments.config, arguments.token);
        return pull_token::run(made).await;
    }
    if !matches!(arguments.token.output, Form::Text | Form::Json) {
        eprintln!(
            "hallmark: of a change of the configuration there is text or json; the other forms are those of --pull-token"
        );
        return Exit::Usage;
    }
    match configure(&arguments) {
        Ok(()) => Exit::Ok,
        Err(ConfigureError::Session(error)) => fail(&error),
        Err(ConfigureError::Docker(error)) => refuse(&error, Exit::Failed),
    }
}

fn configure(arguments: &Arguments) -> Result<(), ConfigureError> {
    let session = Session::open()?;
    let folder = arguments.config.as_ref().unwrap_or(&session.folders().docker);
    let mut file = DockerFile::open(folder)?;
    let mut entries = Vec::new();
    for registry in &arguments.registry {
        let member = ["credHelpers", registry.as_str()];
        let before = file.find(&member)?.and_then(|before| serde_json::from_str(before).ok());
        let changed = file.set(&member, &quoted(HELPER), arguments.dry_run)?;
        let entry = Entry { registry, changed, before };
        if !arguments.as_json() {
            tell(&entry, file.path(), arguments.dry_run);
        }
        entries.push(entry);
        warn_about(&file, registry)?;
    }
    let mut made = None;
    if !arguments.dry_run {
        set(session.folders(), arguments)?;
        match link(arguments) {
            Ok(program) => made = program,
            Err(error) => {
                eprintln!("warning: {}: give a folder that you may write by --bin-dir", chain(&error));
            }
        }
    }
    match made {
        _ if arguments.as_json() => {
            let report = json!({"file": file.path(), "dryRun": arguments.dry_run, "registries": entries, "made": made});
            println!("{report:#}");
        }
        Some(program) => println!("made {}", program.display()),
        None => {}
    }
    Ok(())
}

fn tell(entry: &Entry<'_>, file: &Path, dry_run: bool) {
    let (file, registry, value) = (file.display(), entry.registry, quoted(HELPER));
    if !entry.changed {
        println!("{file} has it already: {registry} asks {HELPER}");
        return;
    }
    println!("{} {file}", if dry_run { "would change" } else { "changed" });
    if let Some(before) = &entry.before {
        println!("-  credHelpers {registry}: {before}");
    }
    println!("+  credHelpers {registry}: {value}");
}

/// What docker would pass over from now on, or use instead.
fn warn_about(file: &DockerFile, registry: &str) -> Result<(), DockerError> {
    if file.find(&["auths", registry])?.is_some() {
        eprintln!("warning: auths has an entry for {registry}, which docker passes over from now on");
    }
    if let Some(store) = file.find(&["credsStore"])? {
        eprintln!("warning: credsStore {store} is passed over for {registry} from now on");
    }
    Ok(())
}

/// Whose tokens the helper fetches. What is not said stays as it was.
fn set(folders: &environment::Folders, arguments: &Arguments) -> Result<(), SessionError> {
    let mut settings = Settings::read(folders)?;
    let before = settings.clone();
    for registry in &arguments.registry {
        let old = settings.registries.remove(registry).unwrap_or_default();
        let setting = Setting {
            identity: arguments.identity.clone().or(old.identity),
            provider: arguments.provider.clone().or(old.provider),
            identity_token: arguments.identity_token.clone().or(old.identity_token),
            identity_provider: arguments.identity_provider.clone().or(old.identity_provider),
            login: old.login,
        };
        if setting.identity.is_none() && setting.login.is_none() {
            eprintln!(
                "warning: no identity is known for {registry}: give --identity, set HALLMARK_IDENTITY, or log in by \
                 hallmark auth login"
            );
        }
        if setting != Setting::default() {
            settings.registries.insert(registry.clone(), setting);
        }
    }
    if settings == before { Ok(()) } else { settings.write(folders) }
}

/// The helper is this binary under another name, which is answered when it was not there.
fn link(arguments: &Arguments) -> Result<Option<PathBuf>, SessionError> {
    let own = std::env::current_exe().map_err(file_error(Path::new("/proc/self/exe")))?;
    let folder = arguments.bin_dir.clone().or_else(|| own.parent().map(Path::to_owned)).unwrap_or_default();
    let program = folder.join(PROGRAM);
    let leads_here =
        std::fs::canonicalize(&program).is_ok_and(|target| Some(target) == std::fs::canonicalize(&own).ok());
    if !leads_here {
        if std::fs::symlink_metadata(&program).is_ok_and(|found| found.is_symlink()) {
            std::fs::remove_file(&program).map_err(file_error(&program))?;
        }
        std::os::unix::fs::symlink(&own, &program).map_err(file_error(&program))?;
    }
    let found = environment::search_path().into_iter().find(|folder| folder.join(PROGRAM).exists());
    if found.is_none() {
        eprintln!("warning: {PROGRAM} is not on PATH: add {} to it, or give --bin-dir", folder.display());
    }
    Ok((!leads_here).then_some(program))
}
