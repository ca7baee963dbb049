//! What `hallmark creds explain` prints: everything that a person who sees `UNAUTHORIZED` needs, or the objects of
//! credentials specification §1.7.

use super::Explained;
use crate::cli::style::Style;
use crate::credential::report::ReportedCandidate;
use crate::credential::{Location, Outcome};
use crate::error::{Diagnose as _, chain};

/// One array, an object for each target.
pub(super) fn json(explained: &[Explained]) {
    let reports: Vec<_> = explained.iter().map(|one| &one.report).collect();
    match serde_json::to_string_pretty(&reports) {
        Ok(text) => println!("{text}"),
        Err(error) => eprintln!("hallmark: cannot print JSON: {error}"),
    }
    for error in explained.iter().filter_map(|one| one.stopped.as_ref()) {
        eprintln!("hallmark: {}", chain(error));
    }
}

/// A chapter for each target.
pub(super) fn table(explained: &[Explained], probed: bool) {
    let style = Style::of_stdout();
    for (n, one) in explained.iter().enumerate() {
        if n > 0 {
            println!();
        }
        print!("{}", chapter(one, probed, style));
    }
}

pub(super) fn chapter(one: &Explained, probed: bool, style: Style) -> String {
    let mut lines =
        vec![style.bold(&format!("{} {}, for {}", one.target.operation, one.target.repository, one.subject))];
    lines.push(String::new());
    lines.push("Looked at".to_owned());
    lines.extend(indented(&places(one, style)));
    lines.push(String::new());
    lines.push("Candidates, in the order of trial".to_owned());
    lines.extend(indented(&candidates(one, style)));
    if !one.report.problems().is_empty() {
        lines.extend([String::new(), "Problems".to_owned()]);
        lines.extend(
            one.report
                .problems()
                .iter()
                .map(|problem| format!("  {}", style.folded(2, &problem.to_string()))),
        );
    }
    lines.push(String::new());
    lines.push(conclusion(one, probed, style));
    lines.push(String::new());
    lines.join("\n")
}

fn places(one: &Explained, style: Style) -> String {
    let rows: Vec<_> = one
        .keychain
        .places(&one.target.repository)
        .iter()
        .map(|place| {
            let keys = if place.keys.is_empty() { "-".to_owned() } else { place.keys() };
            vec![place.source.to_string(), shown(&place.location), keys, place.fit.to_string()]
        })
        .collect();
    if rows.is_empty() {
        return "nothing: neither pod, template, service account nor the agent names a credential".to_owned();
    }
    style.table(2, &["SOURCE", "PLACE", "ENTRIES", "FOR THIS TARGET"], rows)
}

fn candidates(one: &Explained, style: Style) -> String {
    let rows = one.report.candidates().iter().map(|candidate| {
        vec![
            candidate.n.to_string(),
            candidate.from.source.to_string(),
            shown(&candidate.from.location),
            if candidate.from.entry.is_empty() { "-".to_owned() } else { candidate.from.entry.clone() },
            candidate.kind.to_string(),
            result(candidate),
        ]
    });
    style.table(2, &["N", "SOURCE", "PLACE", "ENTRY", "KIND", "RESULT"], rows)
}

fn shown(location: &Location) -> String {
    if *location == Location::Ambient { "-".to_owned() } else { location.to_string() }
}

fn result(candidate: &ReportedCandidate) -> String {
    let status = candidate.status.map(|status| status.to_string());
    let words: Vec<&str> =
        status.as_deref().into_iter().chain(candidate.code.as_deref()).chain(candidate.reason).collect();
    let also: Vec<String> = candidate.also_from.iter().map(|place| format!("; also from {place}")).collect();
    let also = also.concat();
    if words.is_empty() {
        format!("{}{also}", candidate.outcome)
    } else {
        format!("{} ({}){also}", candidate.outcome, words.join(" "))
    }
}

impl Explained {
    /// Where the credential came from that was accepted.
    pub(in crate::cli) fn accepted(&self) -> Option<String> {
        let selected = |candidate: &&ReportedCandidate| Some(candidate.n) == self.report.selected();
        Some(self.report.candidates().iter().find(selected)?.from.to_string())
    }

    /// What to do when none was.
    pub(in crate::cli) fn remedy(&self) -> String {
        let candidates = self.report.candidates();
        let missing = candidates.iter().any(|candidate| candidate.reason == Some("NotFound"));
        let refused = candidates.iter().any(|candidate| candidate.outcome != Outcome::Error);
        if missing && !refused {
            "the registry shows no such image to any of them: check its name, or give a credential that may see it"
                .to_owned()
        } else {
            self.report.hint()
        }
    }
}

fn conclusion(one: &Explained, probed: bool, style: Style) -> String {
    let folded = |text: String| style.folded(0, &text);
    match (one.accepted(), &one.stopped) {
        (Some(from), _) => style.good(&folded(format!("Accepted: {from}"))),
        (None, Some(error)) => {
            let hint = error.hint().map(|hint| format!("\n  {}", style.folded(2, &hint))).unwrap_or_default();
            style.bad(&format!("{}{hint}", folded(format!("Not decided: {}", chain(error)))))
        }
        (None, None) if probed => style.bad(&folded(format!("No credential was accepted: {}", one.remedy()))),
        (None, None) => style.faint("Not probed: --probe asks the registry"),
    }
}

fn indented(text: &str) -> Vec<String> {
    text.lines().map(|line| format!("  {line}")).collect()
}
