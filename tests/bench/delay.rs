//! A registry that is not on loopback: a relay that hands every byte on after a while, in order and without a limit
//! of throughput, and takes as long to open a connection.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

/// Starts a relay to `target` whose round trips take `delay`; answers its `host:port`.
pub async fn relay(target: &str, delay: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let target = target.to_owned();
    tokio::spawn(async move {
        loop {
            let (near, _) = listener.accept().await.unwrap();
            let target = target.clone();
            tokio::spawn(async move {
                sleep(delay).await;
                let Ok(far) = TcpStream::connect(target).await else { return };
                near.set_nodelay(true).unwrap();
                far.set_nodelay(true).unwrap();
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::join!(hand_on(near_in, far_out, delay / 2), hand_on(far_in, near_out, delay / 2));
            });
        }
    });
    address
}

async fn hand_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let _ = sender.send((Instant::now() + delay, buffer[..length].to_vec()));
        }
    };
    let write = async move {
        while let Some((due, bytes)) = receiver.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
