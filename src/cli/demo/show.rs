//! What the demo says: each step with what happened and one sentence why. At most 100 columns (longer only where a
//! path of the person's own choice is), and nothing that is not true of this very start.
//!
//! The text of a step is a value, and only [`Step::print`] prints. No password reaches this file.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use super::verify::{Layer, Pulled};
use super::world::{ACCOUNT, DOCKER, PRIVATE_KEY, PUBLIC_KEY, RUN, World};
use crate::artifact::image::Image;
use crate::cli::style::Style;
use crate::credential::CredentialReport;
use crate::flow::outcome::Outcome;
use crate::tekton::completed::CompletedRun;

/// Words the steps in the style that the terminal takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Show {
    style: Style,
}

/// The lines of one step.
#[derive(Debug)]
#[must_use]
pub(super) struct Step(Vec<String>);

impl Step {
    /// Prints the step, and an empty line after it.
    pub(super) fn print(self) {
        // A reader that has gone away, as `head` does, is no reason to fail.
        let style = Style::of_stdout();
        let lines: Vec<String> = self.0.iter().map(|line| style.fitted(line)).collect();
        let _ = writeln!(io::stdout(), "{}\n", lines.join("\n"));
    }
}

impl Show {
    pub(super) fn new(style: Style) -> Self {
        Self { style }
    }

    /// What is there before anything is signed.
    pub(super) fn setting(self, world: &World) -> Step {
        let (address, directory) = (world.address(), world.directory().display());
        Step(vec![
            self.style.bold("Hallmark: from a completed run to a verified signature, on this machine alone"),
            String::new(),
            self.title(1, "The setting"),
            format!("   Registry  {address}, in memory, wants tokens: reader may pull, builder may push"),
            format!("   Image     {address}/app:1.0, pushed by builder"),
            format!("   Files     {directory}/: {RUN}, {ACCOUNT}, {PRIVATE_KEY}, {PUBLIC_KEY}, {DOCKER}/"),
            self.why("passwords and key are new at every start; files that hold them have mode 0600"),
        ])
    }

    /// What the run says that it built.
    pub(super) fn found(self, run: &CompletedRun) -> Step {
        let (run, metadata) = (run.run(), run.run().metadata());
        let mut lines = vec![
            self.title(2, "What the run built"),
            format!(
                "   {} {}/{} has ended, with the results",
                run.kind().as_str(),
                metadata.namespace,
                metadata.name
            ),
        ];
        let results = run.document().results();
        lines.extend(results.map(|result| format!("     {:<12}  {}", result.name, result.value.text())));
        lines.push(self.why("together they pin one image: a tag can be moved, a digest cannot"));
        Step(lines)
    }

    /// Which credential was used, which was refused, in the words of the agent's own Events and logs.
    pub(super) fn credentials(self, reports: &[CredentialReport]) -> Step {
        let mut texts: Vec<String> = reports.iter().map(ToString::to_string).collect();
        texts.sort();
        let tried = texts.iter().flat_map(|text| text.lines()).filter(|line| !line.ends_with(": not-tried"));
        let mut lines = vec![self.title(3, "Which credential opened the registry")];
        lines.extend(tried.map(|line| format!("   {}", self.judged(line))));
        lines.push(self.why("a valid credential may still not push: only the answer to the real push tells"));
        Step(lines)
    }

    /// What lies in the registry now.
    pub(super) fn pushed(self, image: &Image, outcome: &Outcome, pulled: &Pulled) -> Step {
        let mut lines = vec![self.title(4, "What was pushed"), format!("   {image}")];
        lines.extend(self.branch("├─", "│ ", "signature", &pulled.signature));
        lines.extend(self.branch("└─", "  ", "attestation", &pulled.attestation));
        let mut keys: Vec<&str> = outcome.entries.iter().map(|entry| entry.signer.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        lines.push(format!("   Signed with key {}", keys.join(" ")));
        lines
            .push(self.why("tags beside the image, where cosign looks; what others signed there would stay"));
        Step(lines)
    }

    /// That the check passed.
    pub(super) fn verified(self) -> Step {
        let good = |text: &str| format!("   {} {text}", self.style.good("✓"));
        Step(vec![
            self.title(5, "Verified by code that took no part in signing"),
            good("the signature verifies, and its payload names this repository and digest"),
            good("the attestation verifies, and its statement is about this image"),
            good("with one bit flipped, neither of them verifies"),
            self.why("both were read back as reader, and checked with another crate than the signer's: p256"),
        ])
    }

    /// Where to look when the registry is gone.
    pub(super) fn ended(self, world: &World, elapsed: Duration) -> Step {
        let (run, program, directory) = (quoted(&world.file(RUN)), program(), quoted(world.directory()));
        let ended = format!(
            "Done in {:.2} s; the registry is gone, the files stay. To look closer:",
            elapsed.as_secs_f64()
        );
        Step(vec![
            self.style.bold(&ended),
            format!("   cat {run}"),
            format!("   {program} demo --keep --directory {directory}"),
            self.why("with --keep the registry stays, and the commands for cosign are printed"),
        ])
    }

    /// How to look at the registry while it runs.
    pub(super) fn kept(self, world: &World, elapsed: Duration) -> Step {
        let open = "The registry runs until Ctrl-C. To look closer, in another terminal here:";
        let mut lines = vec![self.style.bold(&format!("Done in {:.2} s. {open}", elapsed.as_secs_f64()))];
        lines.extend(commands(world, &program()).iter().map(|line| format!("   {line}")));
        lines.push(
            self.why("reader's login is enough to verify; signing again finds both in place, adds nothing"),
        );
        Step(lines)
    }

    fn title(self, number: u8, title: &str) -> String {
        self.style.bold(&format!("{number}. {title}"))
    }

    fn why(self, text: &str) -> String {
        format!("   {}", self.style.faint(&format!("({text})")))
    }

    fn branch(self, fork: &str, trunk: &str, what: &str, layer: &Layer) -> [String; 2] {
        let about = format!("{} bytes, {}", layer.content.len(), layer.media_type);
        [
            format!("   {fork} {}  {}", self.style.bold(&format!("{what:<11}")), self.style.faint(&about)),
            format!("   {trunk} {}", layer.tag),
        ]
    }

    /// A line of a report, coloured by how it went with the candidate.
    fn judged(self, line: &str) -> String {
        let is = |outcome: &str| line.contains(&format!(": {outcome}"));
        match line {
            _ if is("used") => self.style.good(line),
            _ if is("denied") || is("rejected") => self.style.bad(line),
            _ => line.to_owned(),
        }
    }
}

/// Commands that work as they stand while the registry runs. A pull-only login is enough to verify.
fn commands(world: &World, program: &str) -> [String; 8] {
    let file = |name: &str| quoted(&world.file(name));
    let (key, image) = (file(PUBLIC_KEY), world.image());
    [
        format!("export DOCKER_CONFIG={}", file(DOCKER)),
        format!("cosign verify --key {key} --insecure-ignore-tlog=true --allow-http-registry \\"),
        format!("  {image}"),
        format!("cosign verify-attestation --type slsaprovenance --key {key} \\"),
        "  --insecure-ignore-tlog=true --allow-http-registry \\".to_owned(),
        format!("  {image}"),
        format!("{program} sign --key {} \\", file(PRIVATE_KEY)),
        format!("  -f {} -f {}", file(RUN), file(ACCOUNT)),
    ]
}

/// The program as it was started, so that the commands work where it lies in no `PATH`.
fn program() -> String {
    std::env::args_os().next().map_or_else(|| "hallmark".to_owned(), |program| quoted(Path::new(&program)))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests;
