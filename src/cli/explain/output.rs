//! One run as a person reads it, and as JSON. Pure.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Explained;
use crate::cli::status::age;
use crate::cli::style::{Style, one_line};
use crate::error::capital;
use crate::tekton::head::Mark;

/// Texts of Events and reasons are cut to this; whoever writes Events writes here.
const SHOWN: usize = 1100;

pub(super) fn text(explained: &[Explained], style: Style) -> String {
    explained.iter().map(|one| chapter(one, style)).collect::<Vec<_>>().join("\n")
}

fn chapter(one: &Explained, style: Style) -> String {
    let seen = &one.seen;
    let mut text = format!("{}\n", style.bold(&seen.head.key(seen.kind).to_string()));
    let ended = match seen.head.completed_at() {
        Some(at) => format!("{} ago", age(one.now, at)),
        None if seen.head.is_done() => "yes".to_owned(),
        None => "not yet".to_owned(),
    };
    let mark = match seen.head.mark() {
        Some(Mark::True) => "true",
        Some(Mark::Failed) => "failed",
        None => "none",
    };
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<12}{}", style.folded(14, &shown(value)));
    };
    line("ended", &ended);
    line("mark", mark);
    if let Some(retries) = &seen.retries {
        line("retries", retries);
    }
    if let Some(credential) = &seen.credential {
        line("credential", credential);
    }
    if !seen.outcome.is_empty() {
        let rows = seen.outcome.iter().map(|told| {
            [&told.artifact, &told.store, &told.result, &told.reason].map(|field| shown(field)).to_vec()
        });
        let table = style.table(2, &["ARTIFACT", "STORE", "RESULT", "REASON"], rows);
        let _ = write!(text, "\n{}\n", indented(&table));
    }
    if !one.events.is_empty() {
        let _ = writeln!(text, "\n  Events");
        for event in &one.events {
            let at = event.last_timestamp.as_ref().map(|at| format!("{} ago", age(one.now, at.0)));
            let (reason, message) = (event.reason.as_deref(), event.message.as_deref());
            let message = shown(message.unwrap_or_default());
            let told = format!("{} {}: {message}", at.unwrap_or_default(), reason.unwrap_or_default());
            let _ = writeln!(text, "    {}", style.folded(4, &told));
        }
    }
    let sentence = format!("\n{}", style.folded(0, &sentence(&one.verdict.sentence)));
    text.push_str(&if one.verdict.settled { style.good(&sentence) } else { style.bad(&sentence) });
    text.push('\n');
    if let Some(remedy) = &one.verdict.remedy {
        let _ = writeln!(text, "→ {}", style.folded(2, remedy));
    }
    text
}

pub(super) fn json(explained: &[Explained]) -> Value {
    explained.iter().map(object).collect()
}

fn object(one: &Explained) -> Value {
    let (seen, key) = (&one.seen, one.seen.head.key(one.seen.kind));
    let outcome: Vec<Value> = seen
        .outcome
        .iter()
        .map(|told| {
            json!({"artifact": told.artifact, "store": told.store, "reference": told.reference,
                "signer": told.signer, "result": told.result, "reason": told.reason})
        })
        .collect();
    let events: Vec<Value> =
        one.events.iter().map(|event| json!({"reason": event.reason, "message": event.message})).collect();
    json!({
        "kind": key.kind.as_str(), "namespace": key.namespace, "name": key.name,
        "mark": seen.head.mark().map(|mark| if mark == Mark::True { "true" } else { "failed" }),
        "retries": seen.retries, "credential": seen.credential,
        "outcome": outcome, "events": events,
        "why": one.verdict.sentence, "remedy": one.verdict.remedy,
        "settled": one.verdict.settled, "takenNow": one.verdict.taken,
    })
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    format!("{}.", capital(text))
}

/// One line, and not a longer one than an Event has.
fn shown(text: &str) -> String {
    one_line(text).chars().take(SHOWN).collect()
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::verdict::Verdict;
    use super::*;
    use crate::cli::runs::Seen;
    use crate::tekton::Kind;

    fn explained() -> Explained {
        let outcome = json!([{"artifact": "r.test/app", "store": "oci", "result": "failed",
            "reason": "403\u{1b}[2J"}]);
        let run = json!({"metadata": {"name": "r", "namespace": "ci", "annotations": {
            "chains.tekton.dev/signed": "failed", "chains.tekton.dev/retries": "3",
            "chains.tekton.dev/outcome": outcome.to_string()}},
            "status": {"completionTime": "2026-01-01T00:00:00Z"}});
        let event =
            json!({"metadata": {}, "involvedObject": {}, "reason": "SigningFailed", "message": "a\nb"});
        Explained {
            seen: Seen::read(Kind::TaskRun, &run.to_string()).unwrap(),
            verdict: Verdict {
                sentence: "it was given up".to_owned(),
                remedy: Some("retry".to_owned()),
                settled: false,
                taken: false,
            },
            events: vec![serde_json::from_value(event).unwrap()],
            now: "2026-01-01T00:05:00Z".parse::<Timestamp>().unwrap(),
        }
    }

    #[test]
    fn a_person_reads_what_is_written_what_happened_and_what_to_do() {
        assert_eq!(
            text(&[explained()], Style::PLAIN),
            "TaskRun ci/r\n  ended       5 min ago\n  mark        failed\n  retries     3\n\n  \
             ARTIFACT    STORE  RESULT  REASON\n  r.test/app  oci    failed  403 [2J\n\n  Events\n     \
             SigningFailed: a; b\n\nIt was given up.\n→ retry\n"
        );
    }

    #[test]
    fn a_program_reads_the_same() {
        let json = json(&[explained()]);
        assert_eq!(json[0]["mark"], "failed");
        assert_eq!((&json[0]["settled"], &json[0]["takenNow"]), (&json!(false), &json!(false)));
        assert_eq!(json[0]["outcome"][0]["result"], "failed");
        assert_eq!(json[0]["events"][0]["reason"], "SigningFailed");
    }
}
