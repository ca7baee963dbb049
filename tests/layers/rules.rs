//! The rules and their table. Whoever moves a module changes its row here, and says why in the header of
//! the module.

use std::collections::BTreeSet;
use std::fmt;

use crate::source::{Path, Source};

/// A layer of the architecture, from values without input or output up to the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Values = 1,
    Pure = 2,
    Client = 3,
    Adapter = 4,
    Flow = 5,
    Controller = 6,
    Cli = 7,
    Main = 8,
}

/// Module → row. The longest match counts; `x::*` are the modules below `x`.
const ROWS: &[(&str, Row)] = &[
    ("error", Row::Values),
    ("tekton", Row::Values),
    ("artifact", Row::Values),
    ("config", Row::Values),
    ("payload", Row::Pure),
    ("signature", Row::Pure),
    ("storage", Row::Pure),
    ("identity", Row::Pure),
    ("credential", Row::Pure),
    ("policy", Row::Pure),
    ("client", Row::Client),
    ("identity::provider", Row::Pure),
    ("identity::token", Row::Pure),
    ("identity::*", Row::Adapter),
    ("signature::keyless", Row::Adapter),
    ("signature::kms", Row::Adapter),
    ("signature::services", Row::Adapter),
    ("signature::file", Row::Adapter),
    ("signature::signing_config::file", Row::Adapter),
    ("signature::trusted_root::file", Row::Adapter),
    ("signature::trusted_root::mirror", Row::Adapter),
    ("storage::*", Row::Adapter),
    ("credential::kubernetes", Row::Adapter),
    ("credential::files", Row::Adapter),
    ("credential::helper", Row::Adapter),
    ("credential::cloud", Row::Adapter),
    ("credential::exchange", Row::Adapter),
    ("config::watch", Row::Adapter),
    ("refresh", Row::Adapter),
    ("telemetry", Row::Adapter),
    ("flow", Row::Flow),
    ("controller", Row::Controller),
    ("policy::repositories", Row::Adapter),
    ("policy::verification", Row::Adapter),
    ("policy::webhook", Row::Controller),
    ("cli", Row::Cli),
    ("main", Row::Main),
];

/// Clients and servers of the network; only rows 3, 4, 6 and 7 see them.
const NETWORK: &[&str] =
    &["kube", "reqwest", "axum", "hyper", "hyper_util", "tonic", "oci_client", "mongodb"];
/// Input and output by the system; rows 1, 2 and 5 do none.
const SYSTEM: &[&str] = &[
    "std::fs",
    "std::process::Command",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "tokio::fs",
    "tokio::net",
    "tokio::process",
];
const LONGEST_FUNCTION: usize = 60;
const LONGEST_FILE: usize = 350;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.rule)
    }
}

impl Row {
    /// Rows 1 and 2 are below everybody; a row sees itself and those above it in the table, but the flow
    /// knows ports only, and the client no adapter.
    fn may_use(self, other: Self) -> bool {
        if self == Self::Flow { other <= Self::Pure || other == Self::Flow } else { other <= self }
    }

    fn sees_network(self) -> bool {
        matches!(self, Self::Client | Self::Adapter | Self::Controller | Self::Cli)
    }

    fn is_pure(self) -> bool {
        matches!(self, Self::Values | Self::Pure | Self::Flow)
    }
}

/// Checks every rule on `files`: paths from the root of the project, and texts.
pub(crate) fn check(files: &[(String, String)]) -> Vec<Violation> {
    let modules: BTreeSet<String> = files.iter().map(|(file, _)| module_of(file)).collect();
    files.iter().flat_map(|(file, text)| check_file(file, text, &modules)).collect()
}

/// The rule of headers alone.
pub(crate) fn check_header(file: &str, text: &str) -> Option<Violation> {
    let header = text.lines().next().and_then(|line| line.strip_prefix("//! "));
    let missing = header.is_none_or(|header| header.trim().is_empty());
    let rule = "the file does not begin with a //! header that says what it is for".to_owned();
    missing.then(|| Violation { file: file.to_owned(), line: 1, rule })
}

fn check_file(file: &str, text: &str, modules: &BTreeSet<String>) -> Vec<Violation> {
    let module = module_of(file);
    let violation = |line, rule| Violation { file: file.to_owned(), line, rule };
    let mut found: Vec<_> = check_header(file, text).into_iter().collect();
    // A file of tests only is held to no layer and no length.
    if module.split("::").any(|name| name == "tests") {
        return found;
    }
    let source = match Source::read(&module, text) {
        Ok(source) => source,
        Err(error) => return vec![violation(1, format!("this is not Rust: {error}"))],
    };
    if source.lines > LONGEST_FILE {
        let rule = format!("the file has {} lines without tests, more than {LONGEST_FILE}", source.lines);
        found.push(violation(1, rule));
    }
    for function in source.functions.iter().filter(|function| function.lines > LONGEST_FUNCTION) {
        let (name, lines) = (&function.name, function.lines);
        let rule = format!("function {name} has {lines} lines, more than {LONGEST_FUNCTION}");
        found.push(violation(function.line, rule));
    }
    let broken = |path: &Path| check_path(&module, path, modules).map(|rule| violation(path.line, rule));
    found.extend(source.paths.iter().filter_map(broken));
    found.dedup();
    found
}

/// The rule that `module` breaks by naming `path`, if any.
fn check_path(module: &str, path: &Path, modules: &BTreeSet<String>) -> Option<String> {
    let Some(row) = row_of(module) else {
        let declares = module.is_empty().then_some("lib.rs declares modules and uses none");
        return Some(
            declares.map_or_else(|| format!("module {module} is in no row of the table"), str::to_owned),
        );
    };
    let name = path.segments.join("::");
    if path.external {
        let starts = |listed: &&&str| name == **listed || name.starts_with(&format!("{listed}::"));
        if let (Some(found), false) = (NETWORK.iter().find(starts), row.sees_network()) {
            return Some(format!(
                "{module} (row {}) may not use {found}, which is of the network",
                row as u8
            ));
        }
        let found = SYSTEM.iter().find(starts).filter(|_| row.is_pure())?;
        return Some(format!("{module} (row {}) does no input or output, so no {found}", row as u8));
    }
    let target = longest_module(&path.segments, modules)?;
    let Some(other) = row_of(&target) else {
        return Some(format!("module {target} is in no row of the table"));
    };
    let rule = format!("{module} (row {}) may not use {target} (row {})", row as u8, other as u8);
    (!row.may_use(other)).then_some(rule)
}

/// `src/a/b.rs` is `a::b`, `src/lib.rs` is nothing.
fn module_of(file: &str) -> String {
    let path = file.strip_prefix("src/").unwrap_or(file).trim_end_matches(".rs").replace('/', "::");
    if path == "lib" { String::new() } else { path }
}

fn row_of(module: &str) -> Option<Row> {
    let matching = |listed: &str| {
        let below = |parent: &str| module.strip_prefix(parent).is_some_and(|rest| rest.starts_with("::"));
        match listed.strip_suffix("::*") {
            Some(parent) => below(parent),
            None => module == listed || below(listed),
        }
    };
    ROWS.iter()
        .filter(|(listed, _)| matching(listed))
        .max_by_key(|(listed, _)| listed.len())
        .map(|(_, row)| *row)
}

/// The module that a path leads into: what follows it are items.
fn longest_module(segments: &[String], modules: &BTreeSet<String>) -> Option<String> {
    (1..=segments.len()).rev().map(|length| segments[..length].join("::")).find(|name| modules.contains(name))
}
