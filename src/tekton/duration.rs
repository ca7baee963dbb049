//! Durations in the one form that Go gives them: `90m` is written `1h30m0s`.

/// Nanoseconds of each unit that a duration may be written in.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("\u{b5}s", 1e3),
    ("\u{3bc}s", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// The same duration in Go's form; a text that is none stays as it is.
pub(super) fn normal(text: &str) -> String {
    nanoseconds(text).map_or_else(|| text.to_owned(), written)
}

fn nanoseconds(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0_i64;
    while !rest.is_empty() {
        let digits =
            rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').filter(|end| *end > 0)?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let end = tail.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end)?;
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(scaled(number, *scale)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(sign * total)
}

#[expect(clippy::cast_possible_truncation, reason = "units and fractions of one are far below 2^53")]
fn scaled(number: &str, scale: f64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = if whole.is_empty() { 0 } else { whole.parse::<i64>().ok()? };
    let fraction = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse::<f64>().ok()? };
    whole.checked_mul(scale as i64)?.checked_add((fraction * scale) as i64)
}

fn written(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let all = nanoseconds.unsigned_abs();
    let (seconds, rest) = (all / 1_000_000_000, all % 1_000_000_000);
    if seconds == 0 {
        return match rest {
            0 => "0s".to_owned(),
            1..1_000 => format!("{sign}{rest}ns"),
            1_000..1_000_000 => format!("{sign}{}\u{b5}s", decimal(rest / 1_000, rest % 1_000, 3)),
            _ => format!("{sign}{}ms", decimal(rest / 1_000_000, rest % 1_000_000, 6)),
        };
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let seconds = decimal(seconds % 60, rest, 9);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

fn decimal(whole: u64, fraction: u64, digits: usize) -> String {
    let text = format!("{whole}.{fraction:0digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn durations_take_their_one_form() {
        for (text, form) in [
            ("1h", "1h0m0s"),
            ("90m", "1h30m0s"),
            ("1h0m0s", "1h0m0s"),
            ("0", "0s"),
            ("0s", "0s"),
            ("60s", "1m0s"),
            ("1.5h", "1h30m0s"),
            ("-1m30s", "-1m30s"),
            ("1s500ms", "1.5s"),
            ("1500us", "1.5ms"),
            ("12ns", "12ns"),
            ("2\u{b5}s", "2\u{b5}s"),
            ("100h", "100h0m0s"),
            (".5s", "500ms"),
        ] {
            assert_eq!(normal(text), form, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_stays() {
        for text in ["", "1", "h", "1d", "forever", "1h 2m", "99999999999h", "\u{1f600}"] {
            assert_eq!(normal(text), text);
        }
    }
}
