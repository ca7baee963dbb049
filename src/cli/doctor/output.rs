//! Findings as a person reads them, and as JSON.

use super::finding::{Finding, Findings, State};
use crate::cli::output::Output;
use crate::cli::style::Style;
use serde_json::json;

/// The column where what was found begins.
const TEXT: usize = 24;

/// Prints the findings.
pub(super) fn print(findings: &Findings, output: Output) {
    match output {
        Output::Text => print!("{}", text(findings, Style::of_stdout())),
        Output::Json => {
            let failed = findings.count(State::Failed);
            println!("{:#}", json!({ "healthy": failed == 0, "checks": findings.lines() }));
        }
    }
}

/// A line for each check, its remedy beneath it, and the sum at the end.
pub(super) fn text(findings: &Findings, style: Style) -> String {
    let text: String = findings.lines().iter().map(|finding| line(finding, style)).collect();
    let count = |state| findings.count(state);
    let (failed, warnings, unchecked) =
        (count(State::Failed), count(State::Warning), count(State::Unchecked));
    let sum =
        format!("{} ok, {warnings} to know, {failed} failed, {unchecked} not checked", count(State::Ok));
    let verdict = if failed == 0 { style.good(&sum) } else { style.bad(&sum) };
    text + "\n" + &verdict + "\n"
}

fn line(finding: &Finding, style: Style) -> String {
    let word = format!("{:<9}", word(finding.state));
    let word = match finding.state {
        State::Ok => style.good(&word),
        State::Failed => style.bad(&word),
        State::Warning => style.bold(&word),
        State::Unchecked => style.faint(&word),
    };
    let remedy = finding.remedy.as_ref();
    let remedy = remedy.map(|remedy| format!("{:<TEXT$}→ {}\n", "", style.folded(TEXT + 2, remedy)));
    let found = style.folded(TEXT, &finding.found);
    format!("{word} {:<14}{found}\n{}", finding.check, remedy.unwrap_or_default())
}

fn word(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Warning => "warning",
        State::Failed => "failed",
        State::Unchecked => "unchecked",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Findings {
        let mut findings = Findings::default();
        findings.add(Finding::ok("cluster", "Kubernetes v1.33.0"));
        findings.add(Finding::failed("keys", "there is no key").remedy("make one"));
        findings
    }

    #[test]
    fn a_person_sees_state_check_and_remedy() {
        assert_eq!(
            text(&findings(), Style::PLAIN),
            "ok        cluster       Kubernetes v1.33.0\n\
             failed    keys          there is no key\n                        → make one\n\
             \n1 ok, 0 to know, 1 failed, 0 not checked\n"
        );
    }

    #[test]
    fn long_lines_go_on_under_their_beginning() {
        let mut findings = Findings::default();
        findings.add(
            Finding::failed("keys", "there is no key in the Secret").remedy("make one with one command"),
        );
        assert!(
            text(&findings, Style::of_width(48)).starts_with(
                "failed    keys          there is no key in the\n                        Secret\n                        \
                 → make one with one\n                          command\n"
            ),
            "{}",
            text(&findings, Style::of_width(48))
        );
    }

    #[test]
    fn colours_are_around_words_only() {
        let coloured = text(&findings(), Style::COLOURED);
        assert!(coloured.contains("\u{1b}[31mfailed"), "{coloured:?}");
        let plain = coloured.split("\u{1b}[").skip(1).map(|part| part.split_once('m').unwrap().1);
        assert_eq!(plain.collect::<String>(), text(&findings(), Style::PLAIN));
    }
}
