//! Faults that no broker of Kafka's makes, by one that answers what it is told. Everything else is tested on real ones.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::connection::Connection;
use super::wire::{Reader, Writer};
use super::*;
use crate::error::{Class, Diagnose as _};

struct Broker {
    address: Address,
    _tasks: JoinSet<()>,
}

impl Broker {
    /// Whose answers have the number of their request.
    async fn start(answers: impl Fn(i16, Reader<'_>) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let numbered = move |number: [u8; 4], key: i16, reader: Reader<'_>| {
            Some(framed(&[&number[..], &answers(key, reader)?].concat()))
        };
        Self::raw(numbered).await
    }

    /// Whose answers are sent as they are.
    async fn raw(
        answers: impl Fn([u8; 4], i16, Reader<'_>) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        let answers = Arc::new(answers);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let answers = Arc::clone(&answers);
                connections.spawn(async move { converse(stream, answers.as_ref()).await });
            }
        });
        Self { address, _tasks: tasks }
    }

    async fn refusal(&self) -> Problem {
        let security = Security { tls: None, login: None };
        match Connection::open(&self.address, &security).await {
            Ok(_) => panic!("it was believed"),
            Err(problem) => problem,
        }
    }

    fn producer(&self) -> Producer {
        let settings =
            KafkaStorage { bootstrap_servers: Some(self.address.to_string()), ..Default::default() };
        Producer::new("topic", &settings, &Clients::default(), &RegistryConfig::default()).unwrap()
    }
}

/// Until there is no answer.
async fn converse(
    mut stream: TcpStream,
    answers: &(impl Fn([u8; 4], i16, Reader<'_>) -> Option<Vec<u8>> + Send + Sync),
) {
    while let Ok(length) = stream.read_i32().await {
        let mut request = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut request).await.unwrap();
        let mut reader = Reader(&request);
        let (key, _version, number) = (reader.i16().unwrap(), reader.i16(), reader.i32().unwrap());
        assert_eq!(reader.text(), Some("hallmark"));
        let Some(answer) = answers(number.to_be_bytes(), key, reader) else { return };
        stream.write_all(&answer).await.unwrap();
    }
}

fn framed(content: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.bytes(content);
    writer.0
}

#[expect(clippy::unnecessary_wraps, reason = "it is what a broker answers")]
fn written(write: impl FnOnce(&mut Writer)) -> Option<Vec<u8>> {
    let mut writer = Writer::default();
    write(&mut writer);
    Some(writer.0)
}

/// A code, and how many elements there are, of which none follows.
fn claimed(code: i16, elements: i32) -> Option<Vec<u8>> {
    written(|to| {
        to.i16(code);
        to.i32(elements);
    })
}

#[tokio::test]
async fn an_answer_that_is_none_is_refused_whatever_lengths_it_claims() {
    let huge = Broker::start(|_, _| claimed(0, i32::MAX)).await;
    assert!(matches!(huge.refusal().await, Problem::Malformed("ApiVersions")));
    let endless = Broker::raw(|_, _, _| Some(i32::MAX.to_be_bytes().to_vec())).await;
    assert!(matches!(endless.refusal().await, Problem::Malformed("ApiVersions")));
    let negative = Broker::raw(|_, _, _| Some((-1_i32).to_be_bytes().to_vec())).await;
    assert!(matches!(negative.refusal().await, Problem::Malformed("ApiVersions")));
    let of_another = Broker::raw(|_, _, _| Some(framed(&[0; 100]))).await;
    assert!(matches!(of_another.refusal().await, Problem::Malformed("ApiVersions")));
    let web = Broker::raw(|_, _, _| Some(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())).await;
    assert!(matches!(web.refusal().await, Problem::Malformed("ApiVersions")));
    let tls = Broker::raw(|_, _, _| Some(vec![0x15, 3, 3, 0, 2, 2, 80])).await;
    assert!(matches!(tls.refusal().await, Problem::Tls));
    let shut = Broker::raw(|_, _, _| None).await;
    assert!(matches!(shut.refusal().await, Problem::Closed(_)));
    let old = Broker::start(|_, _| claimed(35, 0)).await;
    assert!(old.refusal().await.to_string().contains("UNSUPPORTED_VERSION"));
}

#[tokio::test]
async fn no_metadata_service_is_connected_to() {
    let security = Security { tls: None, login: None };
    let address = Address::parse("169.254.169.254:80").unwrap();
    let refused = Connection::open(&address, &security).await.map(|_| ()).unwrap_err();
    assert!(crate::error::chain(&refused).contains("no address that may be used"), "{refused:?}");
}

/// Producer and number of a batch.
type Sent = (i64, i32);

/// A broker that leads one partition and keeps what it is sent; the answers to the first batches are these, then all is well.
async fn keeper(first: Vec<i16>) -> (Broker, Arc<Mutex<Vec<Sent>>>) {
    let port = Arc::new(Mutex::new(0));
    let (sent, own_port) = (Arc::<Mutex<Vec<Sent>>>::default(), Arc::clone(&port));
    let (kept, producers) = (Arc::clone(&sent), Mutex::new(100));
    let broker = Broker::start(move |key, mut reader| match key {
        18 => written(|to| {
            to.i16(0);
            to.count(3);
            for (key, newest) in [(0, 8), (3, 4), (22, 1)] {
                to.i16(key);
                to.i16(0);
                to.i16(newest);
            }
        }),
        3 => written(|to| described(to, *own_port.lock().unwrap())),
        22 => written(|to| {
            *producers.lock().unwrap() += 1;
            to.i32(0);
            to.i16(0);
            to.i64(*producers.lock().unwrap());
            to.i16(0);
        }),
        _ => {
            let batch = produced(&mut reader);
            let mut kept = kept.lock().unwrap();
            kept.push(batch);
            match first.get(kept.len() - 1).copied() {
                // An answer that is none.
                Some(i16::MAX) => Some(vec![0; 3]),
                code => written(|to| answered(to, code.unwrap_or_default())),
            }
        }
    })
    .await;
    *port.lock().unwrap() = broker.address.port;
    (broker, sent)
}

fn described(to: &mut Writer, port: u16) {
    to.i32(0);
    to.count(1);
    to.i32(1);
    to.text("127.0.0.1");
    to.i32(i32::from(port));
    to.no_text();
    to.no_text();
    to.i32(1);
    to.count(1);
    to.i16(0);
    to.text("topic");
    to.i8(0);
    to.count(1);
    to.i16(0);
    to.i32(0);
    to.i32(1);
    to.count(0);
    to.count(0);
}

fn produced(reader: &mut Reader<'_>) -> Sent {
    let (_, _, _) = (reader.text(), reader.i16(), reader.i32());
    let (_, _, _, _) = (reader.i32(), reader.text(), reader.i32(), reader.i32());
    let batch = reader.bytes().unwrap();
    let producer = Reader(&batch[43..]).i64().unwrap();
    (producer, Reader(&batch[53..]).i32().unwrap())
}

fn answered(to: &mut Writer, code: i16) {
    to.count(1);
    to.text("topic");
    to.count(1);
    to.i32(0);
    to.i16(code);
    to.i64(17);
    to.i64(-1);
    to.i64(-1);
    to.count(0);
    to.no_text();
    to.i32(0);
}

fn record() -> [Record; 1] {
    [Record { key: b"key".to_vec(), value: b"value".to_vec(), headers: Vec::new() }]
}

const PLACED: Placed = Placed { partition: 0, offset: Some(17) };

#[tokio::test]
async fn what_was_left_open_is_sent_by_the_same_number_and_what_is_stored_is_not_sent_again() {
    let (broker, sent) = keeper(vec![0, i16::MAX]).await;
    let producer = broker.producer();
    assert_eq!(producer.send("first", &record(), 0).await.unwrap(), PLACED);
    assert_eq!(producer.send("first", &record(), 0).await.unwrap(), PLACED);
    let open = producer.send("open", &record(), 0).await.unwrap_err();
    assert!(matches!(open.problem, Problem::Malformed("Produce")));
    assert_eq!(producer.send("other", &record(), 0).await.unwrap(), PLACED);
    assert_eq!(producer.send("open", &record(), 0).await.unwrap(), PLACED);
    assert_eq!(producer.send("last", &record(), 0).await.unwrap(), PLACED);
    // The one that was left open has its number twice; whoever came after it got another producer.
    assert_eq!(*sent.lock().unwrap(), [(101, 0), (101, 1), (102, 0), (101, 1), (102, 1)]);
}

#[tokio::test]
async fn what_brokers_refuse_leaves_its_number_to_the_next_and_who_is_forgotten_gets_a_new_one() {
    // MESSAGE_TOO_LARGE, nothing, NOT_LEADER_OR_FOLLOWER, UNKNOWN_PRODUCER_ID, then DUPLICATE_SEQUENCE_NUMBER.
    let (broker, sent) = keeper(vec![10, 0, 6, 59, 46]).await;
    let producer = broker.producer();
    let refused = producer.send("large", &record(), 0).await.unwrap_err();
    assert_eq!((refused.class(), refused.label()), (Class::Misconfigured, "store_denied"));
    assert!(refused.hint().unwrap().contains("max.message.bytes of topic topic"));
    assert_eq!(producer.send("small", &record(), 0).await.unwrap(), PLACED);
    let placed = producer.send("moved", &record(), 0).await.unwrap();
    assert_eq!(placed, Placed { partition: 0, offset: None });
    assert_eq!(*sent.lock().unwrap(), [(101, 0), (101, 0), (101, 1), (101, 1), (102, 0)]);
}
