//! The types that Kafka's protocol is made of: written as they are, and read with every length held against what is there.
//!
//! Guarantees: reading never allocates more than the answer is long, whatever lengths it claims (a count of two thousand
//! million elements costs nothing); what does not fit is `None`. Only the forms of requests before the "flexible" versions.

/// What a request is written into.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn i8(&mut self, value: i8) {
        self.0.extend(value.to_be_bytes());
    }

    pub(super) fn i16(&mut self, value: i16) {
        self.0.extend(value.to_be_bytes());
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.0.extend(value.to_be_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.0.extend(value.to_be_bytes());
    }

    /// How many elements, or bytes, follow.
    pub(super) fn count(&mut self, count: usize) {
        self.i32(i32::try_from(count).unwrap_or(i32::MAX));
    }

    /// Texts here are names, of at most 32 KiB; a longer one is cut, and nothing is known by that name.
    pub(super) fn text(&mut self, text: &str) {
        let length = i16::try_from(text.len()).unwrap_or(i16::MAX);
        self.i16(length);
        self.0.extend(text.bytes().take(usize::from(length.unsigned_abs())));
    }

    /// A text that is not given.
    pub(super) fn no_text(&mut self) {
        self.i16(-1);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend(bytes);
    }

    /// A number as records have them: small ones short, negative ones too.
    pub(super) fn varint(&mut self, value: i64) {
        let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
        while rest >= 0x80 {
            self.0.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push((rest & 0x7f) as u8);
    }

    /// Bytes as records have them.
    pub(super) fn varbytes(&mut self, bytes: &[u8]) {
        self.varint(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        self.0.extend(bytes);
    }
}

/// What is left of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn i8(&mut self) -> Option<i8> {
        self.array().map(i8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// A text; one that is not given is empty.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        match self.i16()? {
            -1 => Some(""),
            length => std::str::from_utf8(self.take(usize::try_from(length).ok()?)?).ok(),
        }
    }

    /// Bytes; those that are not given are none.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        match self.i32()? {
            -1 => Some(&[]),
            length => self.take(usize::try_from(length).ok()?),
        }
    }

    /// Elements of at least one byte each.
    pub(super) fn each<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.i32()?;
        let mut elements = Vec::new();
        for _ in 0..count.max(0) {
            elements.push(read(self)?);
        }
        Some(elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_records_are_short_when_they_are_small() {
        // From the description of the format: zigzag, seven bits a byte, the lowest first.
        for (value, written) in [
            (0, vec![0]),
            (-1, vec![1]),
            (1, vec![2]),
            (63, vec![0x7e]),
            (64, vec![0x80, 1]),
            (300, vec![0xd8, 4]),
        ] {
            let mut writer = Writer::default();
            writer.varint(value);
            assert_eq!(writer.0, written, "{value}");
        }
        let mut writer = Writer::default();
        writer.varint(i64::MIN);
        assert_eq!(writer.0.len(), 10);
    }

    #[test]
    fn what_an_answer_claims_is_held_against_what_it_is() {
        let huge = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1];
        assert_eq!(Reader(&huge).each(Reader::i32), None);
        assert_eq!(Reader(&huge).bytes(), None);
        assert_eq!(Reader(&huge).text(), None);
        assert_eq!(Reader(&[0xff, 0xff, 0xff, 0xff]).each(Reader::i32), Some(vec![]));
        assert_eq!(Reader(&[0xff, 0xff, 0xff, 0xff]).bytes(), Some(&[][..]));
        assert_eq!(Reader(&[0xff, 0xff]).text(), Some(""));
        assert_eq!(Reader(&[0xff, 0xfe]).text(), None);
        assert_eq!(Reader(&[0, 2, 0xc3, 0x28]).text(), None, "not UTF-8");
        assert_eq!(Reader(&[]).i8(), None);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::default();
        writer.i8(-3);
        writer.i64(-4);
        writer.text("topic");
        writer.no_text();
        writer.bytes(b"content");
        let mut reader = Reader(&writer.0);
        assert_eq!((reader.i8(), reader.i64()), (Some(-3), Some(-4)));
        assert_eq!((reader.text(), reader.text()), (Some("topic"), Some("")));
        assert_eq!((reader.bytes(), reader.0), (Some(&b"content"[..]), &[][..]));
    }
}
