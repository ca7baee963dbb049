//! JSON with the escapes of Go: `<`, `>`, `&` and the two line separators of Unicode are written as `\u…`.
//! Payloads that Chains makes with Go's encoder have these bytes, and so have ours.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (plain, tail) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut letters = tail.chars();
            if let Some(letter) = letters.next() {
                write!(writer, "\\u{:04x}", u32::from(letter))?;
            }
            rest = letters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Writes `value` without spaces.
pub(super) fn to_vec(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::with_capacity(256);
    value.serialize(&mut Serializer::with_formatter(&mut bytes, GoFormatter))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn html_and_line_separators_are_escaped_and_nothing_else_is() {
        let value = json!({"a<b": "x && y > z\u{2028}\u{2029}\u{fc}\u{1f600}\"\\\n\u{1}"});
        let text = String::from_utf8(to_vec(&value).unwrap()).unwrap();
        assert_eq!(
            text,
            "{\"a\\u003cb\":\"x \\u0026\\u0026 y \\u003e z\\u2028\\u2029\u{fc}\u{1f600}\\\"\\\\\\n\\u0001\"}"
        );
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
