//! What brokers are asked, and what they answer: one form of each request, or two where older brokers know one only.
//!
//! The forms are those that brokers have known since Kafka 0.11 (2017), Redpanda and Event Hubs among them.
//!
//! Guarantees: an answer that is longer than it should be is read all the same, since newer brokers add to it; one that is
//! shorter is none.

use super::wire::{Reader, Writer};

/// A kind of request.
pub(super) struct Api {
    pub(super) key: i16,
    /// As messages have it.
    pub(super) name: &'static str,
    /// The forms of it that are known here, the best one last.
    pub(super) versions: &'static [i16],
}

/// Something that is asked.
pub(super) trait Request {
    const API: Api;
    type Answer;

    fn write(&self, version: i16, writer: &mut Writer);

    /// `None` for an answer that is none.
    fn read(version: i16, reader: &mut Reader<'_>) -> Option<Self::Answer>;
}

/// Which requests does the broker know?
pub(super) struct ApiVersions;

/// By the key of a request, the oldest and the newest form of it.
pub(super) type Versions = Vec<(i16, i16, i16)>;

impl Request for ApiVersions {
    const API: Api = Api { key: 18, name: "ApiVersions", versions: &[0] };
    type Answer = (i16, Versions);

    fn write(&self, _: i16, _: &mut Writer) {}

    fn read(_: i16, reader: &mut Reader<'_>) -> Option<Self::Answer> {
        Some((reader.i16()?, reader.each(|each| Some((each.i16()?, each.i16()?, each.i16()?)))?))
    }
}

/// May we log in so?
pub(super) struct SaslHandshake(pub(super) &'static str);

impl Request for SaslHandshake {
    const API: Api = Api { key: 17, name: "SaslHandshake", versions: &[1] };
    /// What is wrong, and the ways that there are.
    type Answer = (i16, Vec<String>);

    fn write(&self, _: i16, writer: &mut Writer) {
        writer.text(self.0);
    }

    fn read(_: i16, reader: &mut Reader<'_>) -> Option<Self::Answer> {
        Some((reader.i16()?, reader.each(|each| each.text().map(str::to_owned))?))
    }
}

/// One step of logging in.
pub(super) struct SaslAuthenticate<'a>(pub(super) &'a [u8]);

/// The broker's side of it.
pub(super) struct SaslStep {
    pub(super) code: i16,
    pub(super) said: String,
    pub(super) content: Vec<u8>,
    /// How long the login counts, in milliseconds; 0 as long as the connection.
    pub(super) lasts: i64,
}

impl Request for SaslAuthenticate<'_> {
    const API: Api = Api { key: 36, name: "SaslAuthenticate", versions: &[0, 1] };
    type Answer = SaslStep;

    fn write(&self, _: i16, writer: &mut Writer) {
        writer.bytes(self.0);
    }

    fn read(version: i16, reader: &mut Reader<'_>) -> Option<Self::Answer> {
        let (code, said, content) = (reader.i16()?, reader.text()?.to_owned(), reader.bytes()?.to_owned());
        let lasts = if version >= 1 { reader.i64()? } else { 0 };
        Some(SaslStep { code, said, content, lasts })
    }
}

/// Who leads the partitions of a topic? It is not made by asking.
pub(super) struct Metadata<'a>(pub(super) &'a str);

/// What a broker knows of the cluster and the topic.
pub(super) struct Described {
    /// Number, host and port of each broker.
    pub(super) brokers: Vec<(i32, String, i32)>,
    /// What is wrong with the topic.
    pub(super) code: i16,
    /// Number, and leader or -1.
    pub(super) partitions: Vec<(i32, i32)>,
}

impl Request for Metadata<'_> {
    const API: Api = Api { key: 3, name: "Metadata", versions: &[4] };
    type Answer = Described;

    fn write(&self, _: i16, writer: &mut Writer) {
        writer.count(1);
        writer.text(self.0);
        writer.i8(0);
    }

    fn read(_: i16, reader: &mut Reader<'_>) -> Option<Self::Answer> {
        let _throttled = reader.i32()?;
        let brokers = reader.each(|each| {
            let broker = (each.i32()?, each.text()?.to_owned(), each.i32()?);
            let _rack = each.text()?;
            Some(broker)
        })?;
        let (_cluster, _controller) = (reader.text()?, reader.i32()?);
        let mut topics = reader.each(|each| {
            let (code, _name, _internal) = (each.i16()?, each.text()?, each.i8()?);
            let partitions = each.each(|each| {
                let (_code, number, leader) = (each.i16()?, each.i32()?, each.i32()?);
                let (_replicas, _in_sync) = (each.each(Reader::i32)?, each.each(Reader::i32)?);
                Some((number, leader))
            })?;
            Some((code, partitions))
        })?;
        let (code, partitions) = topics.pop()?;
        Some(Described { brokers, code, partitions })
    }
}

/// A number by which brokers know batches again.
pub(super) struct InitProducerId;

impl Request for InitProducerId {
    const API: Api = Api { key: 22, name: "InitProducerId", versions: &[0, 1] };
    /// What is wrong, the number, and its epoch.
    type Answer = (i16, i64, i16);

    fn write(&self, _: i16, writer: &mut Writer) {
        writer.no_text();
        writer.i32(0); // of a transaction, and there is none
    }

    fn read(_: i16, reader: &mut Reader<'_>) -> Option<Self::Answer> {
        let _throttled = reader.i32()?;
        Some((reader.i16()?, reader.i64()?, reader.i16()?))
    }
}

/// Keep this, wherever it has to be, before you answer.
pub(super) struct Produce<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) batch: &'a [u8],
    /// How long the leader waits for the others, in milliseconds.
    pub(super) patience: i32,
}

/// What became of it.
pub(super) struct Kept {
    pub(super) code: i16,
    pub(super) offset: i64,
    pub(super) said: String,
}

impl Request for Produce<'_> {
    const API: Api = Api { key: 0, name: "Produce", versions: &[3, 8] };
    type Answer = Kept;

    fn write(&self, _: i16, writer: &mut Writer) {
        writer.no_text(); // no transaction
        writer.i16(-1); // answered when every replica in sync has it
        writer.i32(self.patience);
        writer.count(1);
        writer.text(self.topic);
        writer.count(1);
        writer.i32(self.partition);
        writer.bytes(self.batch);
    }

    fn read(version: i16, reader: &mut Reader<'_>) -> Option<Self::Answer> {
        let mut topics = reader.each(|each| {
            let _name = each.text()?;
            each.each(|each| {
                let (_number, code, offset, _time) = (each.i32()?, each.i16()?, each.i64()?, each.i64()?);
                let mut kept = Kept { code, offset, said: String::new() };
                if version >= 8 {
                    let _first = each.i64()?;
                    let records = each.each(|each| Some((each.i32()?, each.text()?.to_owned())))?;
                    let whole = each.text()?.to_owned();
                    let of_record =
                        || records.into_iter().map(|(_, said)| said).find(|said| !said.is_empty());
                    kept.said = if whole.is_empty() { of_record().unwrap_or_default() } else { whole };
                }
                Some(kept)
            })
        })?;
        topics.pop()?.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Writer)) -> Vec<u8> {
        let mut writer = Writer::default();
        write(&mut writer);
        writer.0
    }

    #[test]
    fn an_answer_that_breaks_off_anywhere_is_none() {
        let whole = written(|to| {
            to.i32(0);
            to.count(1);
            to.i32(1);
            to.text("broker.test");
            to.i32(9092);
            to.no_text();
            to.text("cluster");
            to.i32(1);
            to.count(1);
            to.i16(0);
            to.text("topic");
            to.i8(0);
            to.count(1);
            to.i16(0);
            to.i32(0);
            to.i32(1);
            to.count(1);
            to.i32(1);
            to.count(1);
            to.i32(1);
        });
        let read = Metadata::read(4, &mut Reader(&whole)).unwrap();
        assert_eq!((read.brokers[0].1.as_str(), read.partitions), ("broker.test", vec![(0, 1)]));
        for length in 0..whole.len() {
            assert!(Metadata::read(4, &mut Reader(&whole[..length])).is_none(), "{length}");
        }
        let no_topic = written(|to| {
            to.i32(0);
            to.count(0);
            to.no_text();
            to.i32(-1);
            to.count(0);
        });
        assert!(Metadata::read(4, &mut Reader(&no_topic)).is_none());
    }

    #[test]
    fn whatever_comes_is_read_in_the_time_of_its_length_or_is_none() {
        // Numbers by a fixed rule, so that a failure comes again.
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        for round in 0..2000_usize {
            let bytes: Vec<u8> =
                (0..round % 200).map(|_| next() & if round % 2 == 0 { 0xff } else { 3 }).collect();
            let _ = ApiVersions::read(0, &mut Reader(&bytes))
                .map(|(_, all)| assert!(all.len() * 6 <= bytes.len()));
            let _ = SaslHandshake::read(1, &mut Reader(&bytes));
            let _ = SaslAuthenticate::read(1, &mut Reader(&bytes));
            let _ = InitProducerId::read(1, &mut Reader(&bytes));
            let _ = Metadata::read(4, &mut Reader(&bytes))
                .map(|all| assert!(all.partitions.len() <= bytes.len()));
            let _ = (Produce::read(3, &mut Reader(&bytes)), Produce::read(8, &mut Reader(&bytes)));
        }
    }

    #[test]
    fn newer_brokers_say_why_and_older_ones_give_a_number() {
        let newer = written(|to| {
            to.count(1);
            to.text("topic");
            to.count(1);
            to.i32(0);
            to.i16(87);
            to.i64(-1);
            to.i64(-1);
            to.i64(-1);
            to.count(1);
            to.i32(0);
            to.text("the key is missing");
            to.no_text();
            to.i32(0);
        });
        let read = Produce::read(8, &mut Reader(&newer)).unwrap();
        assert_eq!((read.code, read.said.as_str()), (87, "the key is missing"));
        for length in 0..newer.len() - 4 {
            assert!(Produce::read(8, &mut Reader(&newer[..length])).is_none(), "{length}");
        }
        let older = written(|to| {
            to.count(1);
            to.text("topic");
            to.count(1);
            to.i32(0);
            to.i16(0);
            to.i64(17);
            to.i64(-1);
            to.i32(0);
        });
        assert_eq!(Produce::read(3, &mut Reader(&older)).unwrap().offset, 17);
    }
}
