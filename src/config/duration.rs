//! Durations as Go writes them, since the ConfigMaps of the Tekton family do (`1h30m`, `300ms`).
//!
//! Guarantees: everything that Go's `ParseDuration` takes and that is not negative is taken with the same length,
//! to the nanosecond for all that a setting can mean; nothing longer than Go's longest. Must not: decide whether a
//! length makes sense.

use std::time::Duration;

/// Go's `ParseDuration` for what a setting can mean: decimal numbers, each with its unit, without a sign but `+`.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() || rest.len() > LONGEST_TEXT {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, tail) =
            tail.split_at(tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len()));
        let nanos: f64 = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total = total
            .checked_add(Duration::try_from_secs_f64(number.parse::<f64>().ok()? * nanos / 1e9).ok()?)?;
        rest = tail;
    }
    (total <= LONGEST).then_some(total)
}

/// More than anybody writes by hand, so that no text costs more than that.
const LONGEST_TEXT: usize = 64;

/// What fits into Go's duration: the nanoseconds of an `i64`.
const LONGEST: Duration = Duration::from_nanos(i64::MAX as u64);

/// The shortest text that [`parse`] reads as this duration: whole units, the rest in nanoseconds.
pub(super) fn written(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (u64::from(duration.subsec_nanos()), "ns"),
    ];
    parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .fold(String::new(), |text, (count, unit)| format!("{text}{count}{unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for (text, micros) in [
            ("300ms", 300_000),
            ("1h30m", 5_400_000_000),
            ("1.5h", 5_400_000_000),
            ("24h", 86_400_000_000),
            ("+30s", 30_000_000),
            ("2m0.5s", 120_500_000),
            (".5s", 500_000),
            ("5.s", 5_000_000),
            ("1s1s", 2_000_000),
            ("1500us", 1_500),
            ("1µs", 1),
            ("1μs", 1),
            ("1000ns", 1),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Some(Duration::from_micros(micros)), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        let too_long = ["3000000h", "99999999999999999999h", &"1h".repeat(100)];
        let malformed =
            ["", "24", "h", "1d", "1h 30m", ".s", ".", "1..5s", "1e3s", "+", "++1s", "1 s", "1S", "½s"];
        for text in malformed.iter().chain(&too_long).chain(&["-5m"]) {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_duration_is_written_as_it_is_read() {
        for text in ["24h", "1h30m", "30s", "1m1s", "250000000ns"] {
            assert_eq!(written(parse(text).unwrap()), text);
        }
        let odd = parse("1.25s").unwrap();
        assert_eq!(parse(&written(odd)), Some(odd));
    }
}
