//! The state of all runs as a person reads it, and as JSON. Pure.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Status;
use super::count::Tally;
use crate::cli::style::{Style, table};

/// Reasons that a screen has room for.
const MOST: usize = 10;

pub(super) fn text(status: &Status, style: Style) -> String {
    let counts = &status.counts;
    let row = |name: &str, tally: &Tally| {
        let numbers = [tally.signed, tally.failed, tally.waiting, tally.running, tally.ignored];
        [name.to_owned()].into_iter().chain(numbers.map(|number| number.to_string())).collect::<Vec<_>>()
    };
    let rows = [row("TaskRuns", &counts.taskruns), row("PipelineRuns", &counts.pipelineruns)];
    let mut text = table(&["", "SIGNED", "FAILED", "WAITING", "RUNNING", "IGNORED"], rows);
    text.push_str("\n\n");
    if let Some(oldest) = &counts.oldest {
        let since = age(status.now, oldest.since);
        let _ = writeln!(text, "Oldest unsigned: {} since {since}", oldest.run);
    }
    let _ = writeln!(text, "{}", style.folded(0, &replicas(status, style)));
    let causes = counts.causes();
    if !causes.is_empty() {
        let _ = writeln!(text, "\n{}", style.bold("Why runs fail or wait"));
        let rows = causes
            .iter()
            .take(MOST)
            .map(|(reason, cause)| vec![cause.runs.to_string(), cause.example.clone(), (*reason).to_owned()]);
        let _ = writeln!(text, "{}", style.table(0, &["RUNS", "LATEST", "REASON"], rows));
        let _ = writeln!(
            text,
            "\n{}",
            style.folded(
                0,
                "hallmark explain NAME -n NAMESPACE says what to do about one; hallmark retry tries again."
            )
        );
    }
    text
}

pub(super) fn json(status: &Status) -> Value {
    let counts = &status.counts;
    let causes: Vec<Value> = counts
        .causes()
        .into_iter()
        .map(|(reason, cause)| json!({"reason": reason, "runs": cause.runs, "latest": cause.example}))
        .collect();
    let oldest = counts.oldest.as_ref();
    json!({
        "taskruns": counts.taskruns,
        "pipelineruns": counts.pipelineruns,
        "oldestUnsigned": oldest.map(|oldest| json!({"run": oldest.run, "completedAt": oldest.since.to_string()})),
        "replicas": status.replicas,
        "reasons": causes,
    })
}

fn replicas(status: &Status, style: Style) -> String {
    let Some(replicas) = &status.replicas else {
        return style.faint("Replicas: unknown, since Leases may not be listed");
    };
    let named = replicas.iter().map(|replica| match (replica.alive, replica.renewed) {
        (true, Some(seconds)) => format!("{} (Lease renewed {seconds} s ago)", replica.name),
        _ => format!("{} (its Lease has expired)", replica.name),
    });
    match status.alive() {
        Some(0) | None => {
            style.bad("Replicas: none is alive, so nothing is signed; hallmark doctor says what is missing")
        }
        Some(count) => format!("Replicas: {count} at work: {}", named.collect::<Vec<_>>().join(", ")),
    }
}

/// `3 h 12 min`: the two largest units.
pub(in crate::cli) fn age(now: Timestamp, since: Timestamp) -> String {
    let minutes = now.duration_since(since).max(SignedDuration::ZERO).as_mins();
    let seconds = now.duration_since(since).max(SignedDuration::ZERO).as_secs();
    match minutes {
        0 => format!("{seconds} s"),
        1..60 => format!("{minutes} min"),
        60..1440 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} days {} h", minutes / 1440, minutes % 1440 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::super::count::Counts;
    use super::*;
    use crate::cli::Exit;
    use crate::cli::surveyed::Replica;

    fn status(waiting: usize, failed: usize, replicas: Option<Vec<bool>>) -> Status {
        let mut counts = Counts::default();
        counts.taskruns = Tally { failed, waiting, ..Tally::default() };
        let replica = |alive| Replica { name: "a".to_owned(), alive, renewed: Some(1) };
        let replicas = replicas.map(|all| all.into_iter().map(replica).collect());
        Status { counts, replicas, now: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn ages_have_two_units_at_most() {
        let now: Timestamp = "2026-01-03T03:12:09Z".parse().unwrap();
        for (since, expected) in [
            ("2026-01-03T03:12:00Z", "9 s"),
            ("2026-01-03T03:00:00Z", "12 min"),
            ("2026-01-03T00:00:00Z", "3 h 12 min"),
            ("2026-01-01T00:00:00Z", "2 days 3 h"),
            ("2027-01-01T00:00:00Z", "0 s"),
        ] {
            assert_eq!(age(now, since.parse().unwrap()), expected);
        }
    }

    #[test]
    fn work_that_nobody_does_is_said_and_is_an_exit_code() {
        let stuck = status(1, 0, Some(vec![false]));
        assert!(text(&stuck, Style::PLAIN).contains("none is alive, so nothing is signed"));
        assert_eq!(stuck.exit(), Exit::Failed);
        assert_eq!(status(1, 0, Some(vec![true])).exit(), Exit::Ok);
        assert_eq!(status(1, 0, None).exit(), Exit::Ok, "nobody knows");
        assert_eq!(status(0, 1, Some(vec![true])).exit(), Exit::Failed);
        assert_eq!(status(0, 0, Some(vec![])).exit(), Exit::Ok, "nothing waits");
    }

    #[test]
    fn a_person_and_a_program_read_the_same_numbers() {
        let status = status(2, 0, Some(vec![true]));
        let text = text(&status, Style::PLAIN);
        assert!(text.contains("TaskRuns      0       0       2"), "{text}");
        assert!(text.contains("Replicas: 1 at work: a (Lease renewed 1 s ago)"), "{text}");
        assert_eq!(json(&status)["taskruns"]["waiting"], 2);
        assert_eq!(json(&status)["replicas"][0]["alive"], true);
    }
}
