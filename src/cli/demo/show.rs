//! What the demo says: each step with what happened and one sentence why. At most 100 columns (longer only where a
//! path of the person's own choice is), and nothing that is not true of this very start.
//!
//! The text of each step is a value; only [`Show`] prints, and no secret reaches this file.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use super::verify::{Layer, Pulled};
use super::world::{ACCOUNT, DOCKER, PRIVATE_KEY, PUBLIC_KEY, RUN, World};
use crate::cli::sign::Signed;
use crate::cli::style::Style;
use crate::credential::CredentialReport;

/// Prints the steps in the style that the terminal takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Show {
    style: Style,
}

impl Show {
    pub(super) fn new(style: Style) -> Self {
        Self { style }
    }

    /// What is there before anything is signed.
    pub(super) fn setting(self, world: &World) {
        let (address, directory) = (world.address(), world.directory().display());
        self.say(&[
            self.style.bold("Hallmark: from a completed run to a verified signature, on this machine alone"),
            String::new(),
            self.step(1, "The setting"),
            format!("   Registry   {address}, in memory; it wants a token for everything:"),
            "              reader may pull, builder may push".to_owned(),
            format!("   Image      {address}/app:1.0, pushed by builder"),
            format!("   Files      {directory}/: {RUN}, {ACCOUNT}, {PRIVATE_KEY}, {PUBLIC_KEY}, {DOCKER}/"),
            self.why("new passwords and a new key at every start; secrets have mode 0600"),
        ]);
    }

    /// What the run says that it built.
    pub(super) fn found(self, signed: &Signed) {
        let (run, metadata) = (signed.run.run(), signed.run.run().metadata());
        let mut lines = vec![
            self.step(2, "What the run built"),
            format!("   {} {}/{} has ended, with these results:", run.kind().as_str(), metadata.namespace, metadata.name),
        ];
        let results = run.document().results();
        lines.extend(results.map(|result| format!("     {:<12}  {}", result.name, result.value.text())));
        lines.push(self.why("the two results together pin one image: a tag could move, a digest cannot"));
        self.say(&lines);
    }

    /// Which credential was used, which was refused.
    pub(super) fn credentials(self, reports: &[CredentialReport]) {
        let mut texts: Vec<String> = reports.iter().map(ToString::to_string).collect();
        texts.sort();
        let mut lines = vec![self.step(3, "Which credential opened the registry")];
        lines.extend(texts.iter().flat_map(|text| text.lines()).map(|line| format!("   {}", self.judged(line))));
        lines.push(self.why("only the registry's answer to the real push tells which credential may push"));
        self.say(&lines);
    }

    /// What lies in the registry now.
    pub(super) fn pushed(self, world: &World, signed: &Signed, pulled: &Pulled) {
        let mut lines = vec![self.step(4, "What was pushed"), format!("   {}", world.image())];
        lines.extend(self.branch("├─", "│ ", "signature", &pulled.signature));
        lines.extend(self.branch("└─", "  ", "attestation: how the run built it (SLSA provenance)", &pulled.attestation));
        let mut keys: Vec<&str> = signed.outcome.entries.iter().map(|entry| entry.signer.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        lines.push(format!("   Key        {}", keys.join(" ")));
        lines.push(self.why("tags beside the image, as cosign looks for them; what others signed there stays"));
        self.say(&lines);
    }

    /// That the check passed.
    pub(super) fn verified(self, elapsed: Duration) {
        let good = |text: &str| format!("   {} {text}", self.style.good("✓"));
        self.say(&[
            self.step(5, "Verified, by code that took no part in signing"),
            good("the signature verifies, and its payload names this repository and digest"),
            good("the attestation verifies, and its statement is about this image"),
            good("with one bit flipped, neither of them verifies"),
            self.why("both were read back from the registry as reader, and checked by another crate (p256)"),
            String::new(),
            format!("All of it took {:.2} s.", elapsed.as_secs_f64()),
        ]);
    }

    /// Where to look when the registry is gone.
    pub(super) fn next(self, world: &World) {
        let file = |name: &str| quoted(&world.file(name));
        let program = program();
        let directory = quoted(world.directory());
        self.say(&[
            self.style.bold("To look closer"),
            format!("   cat {}   # what was signed; the registry is gone now", file(RUN)),
            format!("   {program} demo --keep --directory {directory}   # leaves it running, for cosign"),
        ]);
    }

    /// How to look at the registry while it runs.
    pub(super) fn kept(self, world: &World) {
        let mut lines = vec![self.style.bold("To look closer, in another terminal in this directory")];
        lines.extend(commands(world, &program()).map(|line| format!("   {line}")));
        lines.push(String::new());
        lines.push("The registry runs until Ctrl-C; what it holds goes with it.".to_owned());
        self.say(&lines);
    }

    fn step(self, number: u8, title: &str) -> String {
        self.style.bold(&format!("{number}. {title}"))
    }

    fn why(self, text: &str) -> String {
        format!("   {}", self.style.faint(&format!("({text})")))
    }

    fn branch(self, fork: &str, trunk: &str, what: &str, layer: &Layer) -> [String; 3] {
        let size = layer.content.len();
        [
            format!("   {fork} {}", self.style.bold(what)),
            format!("   {trunk} {}", layer.tag),
            format!("   {trunk} {}", self.style.faint(&format!("{size} bytes, {}", layer.media_type))),
        ]
    }

    /// A line of a report, coloured by how it went with the candidate.
    fn judged(self, line: &str) -> String {
        let is = |outcome: &str| line.contains(&format!(": {outcome}"));
        match line {
            _ if is("used") => self.style.good(line),
            _ if is("denied") || is("rejected") => self.style.bad(line),
            _ if is("not-tried") => self.style.faint(line),
            _ => line.to_owned(),
        }
    }

    /// A step, with an empty line after it.
    fn say(self, lines: &[impl Display]) {
        let mut text = String::new();
        for line in lines {
            text.push_str(&format!("{line}\n"));
        }
        // A reader that has gone away, as `head` does, is no reason to fail.
        let _ = writeln!(io::stdout(), "{text}");
    }
}

/// Commands that work as they stand while the registry runs. A pull-only login is enough to verify.
fn commands(world: &World, program: &str) -> impl Iterator<Item = String> + use<> {
    let file = |name: &str| quoted(&world.file(name));
    let (key, image) = (file(PUBLIC_KEY), world.image());
    [
        format!("export DOCKER_CONFIG={}", file(DOCKER)),
        format!("cosign verify --key {key} \\"),
        "  --insecure-ignore-tlog=true --allow-http-registry \\".to_owned(),
        format!("  {image}"),
        format!("cosign verify-attestation --type slsaprovenance --key {key} \\"),
        "  --insecure-ignore-tlog=true --allow-http-registry \\".to_owned(),
        format!("  {image}"),
        format!("{program} sign --key {} \\", file(PRIVATE_KEY)),
        format!("  -f {} -f {}   # finds both in place and adds nothing", file(RUN), file(ACCOUNT)),
    ]
    .into_iter()
}

/// The program as it was started, so that the commands work where it lies in no `PATH`.
fn program() -> String {
    std::env::args_os().next().map_or_else(|| "hallmark".to_owned(), |program| quoted(Path::new(&program)))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests;
