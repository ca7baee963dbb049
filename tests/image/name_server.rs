//! A name server that knows one name, on a loopback address of its own and port 53, the only one that resolv.conf can
//! mean. Needs the right to listen there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// Answers until it is dropped.
pub(crate) struct NameServer {
    pub(crate) address: IpAddr,
    asked: Arc<AtomicUsize>,
    _answering: JoinSet<()>,
}

impl NameServer {
    /// Starts one that knows `name` as 127.0.0.1.
    pub(crate) async fn start(name: &str) -> Self {
        // By process, so that two runs of the tests do not meet.
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let address = IpAddr::V4(Ipv4Addr::new(127, 53, high, low.max(1)));
        let socket = UdpSocket::bind(SocketAddr::new(address, 53)).await;
        let socket = socket.expect("listening on port 53 of a loopback address needs root");
        let (asked, known) = (Arc::new(AtomicUsize::new(0)), encoded(name));
        let count = Arc::clone(&asked);
        let mut answering = JoinSet::new();
        answering.spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                count.fetch_add(1, Ordering::Relaxed);
                let _ = socket.send_to(&answer(&question[..length], &known), from).await;
            }
        });
        Self { address, asked, _answering: answering }
    }

    /// How many questions came.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// A name as it stands in messages: the length of each label before it.
fn encoded(name: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len().try_into().unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// 127.0.0.1 for an A question about the known name, no address for another type, no such name for another name.
fn answer(question: &[u8], known: &[u8]) -> Vec<u8> {
    const HEADER: usize = 12;
    let asked = &question[HEADER..];
    let end = asked.iter().position(|byte| *byte == 0).unwrap() + 1;
    let is_known = asked[..end].eq_ignore_ascii_case(known);
    let is_address = is_known && asked[end..end + 2] == [0, 1];
    let mut message = question[..2].to_vec();
    // A response, recursion available; 3 is "no such name".
    message.extend([0x81, if is_known { 0x80 } else { 0x83 }]);
    message.extend([0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    message.extend(&asked[..end + 4]);
    if is_address {
        // The name of the question, type A, class IN, a minute, four bytes.
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    message
}
