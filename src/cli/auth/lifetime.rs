//! How long a pull token lives, as a person writes it: `24h`, `30d`, `90m`. Pure.

use std::str::FromStr;

use jiff::SignedDuration;

use crate::config::duration;

const LONGEST: SignedDuration = SignedDuration::from_hours(8760);

/// A lifetime that a pull token can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetime(pub SignedDuration);

/// A text that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a pull token lives between one second and 8760h; write 24h, 30d or 90m")]
pub(super) struct NoLifetime;

impl FromStr for Lifetime {
    type Err = NoLifetime;

    fn from_str(text: &str) -> Result<Self, NoLifetime> {
        let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
        let parsed = match days {
            Some(days) => Some(SignedDuration::from_hours(i64::from(days) * 24)),
            None => duration::parse(text).and_then(|parsed| SignedDuration::try_from(parsed).ok()),
        };
        let whole = parsed.filter(|parsed| *parsed >= SignedDuration::from_secs(1) && *parsed <= LONGEST);
        whole.map(Self).ok_or(NoLifetime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_days_and_minutes_are_lifetimes() {
        for (text, hours) in [("24h", 24), ("30d", 720), ("90m", 1), ("8760h", 8760), ("365d", 8760)] {
            assert_eq!(text.parse::<Lifetime>().unwrap().0.as_hours(), hours, "{text}");
        }
    }

    #[test]
    fn nothing_less_than_a_second_and_nothing_more_than_a_year_is_one() {
        for text in ["", "0", "0h", "-1h", "8761h", "366d", "-3d", "1", "d", "soon", "1ms", "4294967296d"] {
            assert_eq!(text.parse::<Lifetime>(), Err(NoLifetime), "{text}");
        }
    }
}
