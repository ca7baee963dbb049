//! Records as brokers keep them: a batch of the second version, its checksum, and the partition that a key belongs to.
//!
//! Guarantees: all records of a batch are stored, or none; the partition is that of Java's producer for the same key, so
//! that whoever reads one partition finds what others wrote about the same thing.

use super::wire::Writer;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is about; decides the partition.
    pub key: Vec<u8>,
    /// The message.
    pub value: Vec<u8>,
    /// What is said beside it.
    pub headers: Vec<(&'static str, Vec<u8>)>,
}

/// By what brokers know a batch again that is sent a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    /// The producer, by the number that a broker gave it.
    pub(super) producer: i64,
    pub(super) epoch: i16,
    /// The number of the first record of the batch.
    pub(super) sequence: i32,
}

impl Identity {
    /// Nobody's: brokers know nothing again.
    pub(super) const NONE: Self = Self { producer: -1, epoch: -1, sequence: -1 };

    /// That of the batch after one of so many records; numbers begin again at their end.
    pub(super) fn after(self, records: usize) -> Self {
        if self.producer < 0 {
            return self;
        }
        let next = i64::from(self.sequence) + i64::try_from(records).unwrap_or_default();
        let sequence = i32::try_from(next % (i64::from(i32::MAX) + 1)).unwrap_or_default();
        Self { sequence, ..self }
    }
}

/// The batch, as it is sent; `now` in milliseconds since 1970.
pub(super) fn batch(records: &[Record], identity: Identity, now: i64) -> Vec<u8> {
    let last = i32::try_from(records.len()).unwrap_or(i32::MAX).saturating_sub(1);
    let mut covered = Writer::default();
    covered.i16(0); // attributes: not compressed, the time is ours
    covered.i32(last);
    covered.i64(now);
    covered.i64(now);
    covered.i64(identity.producer);
    covered.i16(identity.epoch);
    covered.i32(identity.sequence);
    covered.count(records.len());
    for (offset, record) in (0..).zip(records) {
        covered.varbytes(&written(record, offset));
    }
    let mut batch = Writer::default();
    batch.i64(0); // the broker gives the offset
    batch.count(covered.0.len() + 9);
    batch.i32(-1); // whichever leader there is
    batch.i8(2);
    batch.0.extend(crc32c(&covered.0).to_be_bytes());
    batch.0.append(&mut covered.0);
    batch.0
}

fn written(record: &Record, offset: i64) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.i8(0);
    writer.varint(0); // all are of the same time
    writer.varint(offset);
    writer.varbytes(&record.key);
    writer.varbytes(&record.value);
    writer.varint(i64::try_from(record.headers.len()).unwrap_or_default());
    for (name, value) in &record.headers {
        writer.varbytes(name.as_bytes());
        writer.varbytes(value);
    }
    writer.0
}

/// Castagnoli's checksum.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))
    })
}

/// Which of `partitions` a key belongs to.
pub(super) fn partition(key: &[u8], partitions: usize) -> usize {
    let positive = murmur2(key) & 0x7fff_ffff;
    (positive as usize).checked_rem(partitions).unwrap_or_default()
}

/// Murmur's second hash, with the seed of Kafka's producers.
fn murmur2(key: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let (words, rest) = key.as_chunks::<4>();
    let mut hash = words.iter().fold(0x9747_b28c ^ length, |hash, word| {
        let word = u32::from_le_bytes(*word).wrapping_mul(MIX);
        hash.wrapping_mul(MIX) ^ (word ^ (word >> 24)).wrapping_mul(MIX)
    });
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte));
        hash = hash.wrapping_mul(MIX);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_castagnoli() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn the_hash_is_that_of_kafkas_own_producers() {
        // Vectors of Kafka's own test of its hash, as signed numbers.
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
        assert_eq!(partition(b"abc", 3), 479_470_107 % 3);
        assert_eq!(partition(b"abc", 0), 0);
    }

    #[test]
    fn a_batch_has_its_lengths_and_its_checksum() {
        let record = Record { key: b"k".to_vec(), value: b"v".to_vec(), headers: vec![("h", b"x".to_vec())] };
        let identity = Identity { producer: 7, epoch: 1, sequence: 5 };
        let batch = batch(&[record.clone(), record], identity, 1_700_000_000_000);
        assert_eq!(batch[8..12], u32::try_from(batch.len() - 12).unwrap().to_be_bytes());
        assert_eq!(batch[16], 2);
        assert_eq!(batch[17..21], crc32c(&batch[21..]).to_be_bytes());
        assert_eq!(batch[23..27], 1_i32.to_be_bytes(), "the last is one after the first");
        assert_eq!(batch[43..51], 7_i64.to_be_bytes());
        assert_eq!(batch[53..57], 5_i32.to_be_bytes());
        let first = [24, 0, 0, 0, 2, b'k', 2, b'v', 2, 2, b'h', 2, b'x'];
        assert_eq!(batch[61..61 + first.len()], first);
    }

    #[test]
    fn numbers_of_records_begin_again_at_their_end() {
        let identity = Identity { producer: 7, epoch: 0, sequence: i32::MAX };
        assert_eq!(identity.after(1).sequence, 0);
        assert_eq!(identity.after(3).sequence, 2);
        assert_eq!(Identity::NONE.after(3), Identity::NONE);
    }
}
