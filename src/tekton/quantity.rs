//! Quantities of Kubernetes (`1024Mi`, `0.5`) in the form that its own type gives them. A text which is nearly
//! that form already is kept by that type, and so it is here; one beyond 128 bits is kept too.

const NANO: i128 = 1_000_000_000;
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

#[derive(Clone, Copy)]
enum Suffix {
    /// A letter for a power of ten.
    Decimal(i32),
    /// The power of ten itself, behind an `e`.
    Exponent(i32),
    /// Two letters for a power of two.
    Binary(u32),
}

/// The same quantity in its one form; a text that is none stays as it is.
pub(super) fn normal(text: &str) -> String {
    let text = text.trim();
    normalised(text).unwrap_or_else(|| text.to_owned())
}

/// Nothing if the text stays.
fn normalised(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let (suffix, digits) = (suffix_of(suffix)?, format!("{whole}{fraction}"));
    let places = i32::try_from(fraction.len()).ok()?;
    if stays(suffix, &digits, places) {
        return None;
    }
    let nanos = nanos(suffix, &digits, places)?;
    written(if text.starts_with('-') { -nanos } else { nanos }, suffix)
}

fn suffix_of(text: &str) -> Option<Suffix> {
    let decimal = DECIMAL.iter().find(|(name, _)| *name == text).map(|(_, power)| Suffix::Decimal(*power));
    let binary = || BINARY.iter().find(|(name, _)| *name == text).map(|(_, power)| Suffix::Binary(*power));
    let exponent = || Some(Suffix::Exponent(text.strip_prefix(['e', 'E'])?.parse().ok()?));
    decimal.or_else(binary).or_else(exponent)
}

/// Whether the type of Kubernetes keeps the text as it was written.
fn stays(suffix: Suffix, digits: &str, places: i32) -> bool {
    match suffix {
        Suffix::Decimal(power) | Suffix::Exponent(power) => {
            let scale = i64::from(power) - i64::from(places);
            digits.len() <= 18
                && scale >= -9
                && scale % 3 == 0
                && !digits.ends_with("000")
                && !digits.starts_with('0')
        }
        Suffix::Binary(power) => {
            let odd = digits
                .bytes()
                .last()
                .is_some_and(|_| digits.parse::<u64>().is_ok_and(|value| value % 8 != 0));
            places == 0 && digits.len() + (power as usize * 3 / 10) <= 14 && odd
        }
    }
}

/// The amount in billionths, rounded up.
fn nanos(suffix: Suffix, digits: &str, places: i32) -> Option<i128> {
    let value: i128 = digits.parse().ok()?;
    let (value, power) = match suffix {
        Suffix::Decimal(power) | Suffix::Exponent(power) => {
            (value, power.checked_add(9)?.checked_sub(places)?)
        }
        Suffix::Binary(power) => (value.checked_mul(1_i128.checked_shl(power)?)?, 9 - places),
    };
    let factor = 10_i128.checked_pow(power.unsigned_abs())?;
    if power >= 0 { value.checked_mul(factor) } else { Some((value + factor - 1) / factor) }
}

fn written(nanos: i128, suffix: Suffix) -> Option<String> {
    if nanos == 0 {
        return Some("0".to_owned());
    }
    if matches!(suffix, Suffix::Binary(_)) && nanos % NANO == 0 && (nanos / NANO).abs() >= 1024 {
        let (mut value, mut times) = (nanos / NANO, 0_usize);
        while value % 1024 == 0 && value.abs() >= 1024 {
            (value, times) = (value / 1024, times + 1);
        }
        let letters = times.checked_sub(1).and_then(|place| BINARY.get(place)).map_or("", |(name, _)| name);
        return (times <= BINARY.len()).then(|| format!("{value}{letters}"));
    }
    let (mut value, mut power) = (nanos, -9);
    while value % 1000 == 0 {
        (value, power) = (value / 1000, power + 3);
    }
    match suffix {
        Suffix::Exponent(_) if power != 0 => Some(format!("{value}e{power}")),
        _ => {
            let letter = DECIMAL.iter().find(|(_, known)| *known == power)?.0;
            Some(format!("{value}{letter}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn quantities_take_their_one_form() {
        for (text, form) in [
            ("1024Mi", "1Gi"),
            ("1025Mi", "1025Mi"),
            ("1536Ki", "1536Ki"),
            ("2048Ki", "2Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.1Gi", "107374182400m"),
            ("512Ki", "512Ki"),
            ("0.5Ki", "512"),
            ("0.5", "500m"),
            ("1.0", "1"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("1000", "1k"),
            ("10000", "10k"),
            ("1e3", "1e3"),
            ("1000e3", "1e6"),
            ("1e2", "100"),
            ("0", "0"),
            ("0Mi", "0"),
            ("-1000m", "-1"),
            ("+5", "+5"),
            (" 16Mi ", "16Mi"),
            ("0.0000000001", "1n"),
            ("1E", "1E"),
            ("64Mi", "64Mi"),
            ("8Gi", "8Gi"),
            ("1.50", "1500m"),
            (".5", "500m"),
            ("5.", "5."),
            ("1e-3", "1e-3"),
            ("12345678", "12345678"),
        ] {
            assert_eq!(normal(text), form, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_stays() {
        let long = "9".repeat(60);
        for text in ["", ".", "1.2.3", "Mi", "1Zi", "one", "1e", "1e99999", "\u{1f600}", &long] {
            assert_eq!(normal(text), text);
        }
    }
}
