//! A door in front of a real server: open, shut, slow, or with somebody in it who answers in the server's place.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What becomes of a connection.
#[derive(Debug, Clone, Copy)]
pub enum Passage {
    /// It reaches the server.
    Open,
    /// It is closed at once.
    Shut,
    /// It reaches the server after this time.
    Slow(Duration),
    /// It gets this status and body.
    Answer(u16, &'static str),
}

/// The door. What stands open is cut when the passage changes, since clients keep their connections.
#[derive(Debug)]
pub struct Door {
    passage: watch::Sender<Passage>,
    passed: Arc<AtomicUsize>,
    /// Where it is, as the URL of the server would be.
    pub url: String,
    _tasks: JoinSet<()>,
}

impl Door {
    /// In front of the server at `url`, open.
    pub async fn before(url: &str) -> Self {
        let server = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (passage, now) = watch::channel(Passage::Open);
        let passed = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&passed);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                let (mut change, passage) = (now.clone(), *now.borrow());
                change.mark_unchanged();
                let server = server.clone();
                connections.spawn(async move {
                    tokio::select! { () = pass(connection, passage, server) => {}, _ = change.changed() => {} }
                });
            }
        });
        Self { passage, passed, url, _tasks: tasks }
    }

    /// From now on.
    pub fn set(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }

    /// Connections so far.
    pub fn count(&self) -> usize {
        self.passed.load(Ordering::Relaxed)
    }
}

async fn pass(mut connection: TcpStream, passage: Passage, server: String) {
    match passage {
        Passage::Shut => {}
        Passage::Answer(status, body) => {
            let mut request = [0; 16 * 1024];
            let _ = connection.read(&mut request).await;
            let answer = format!(
                "HTTP/1.1 {status} Said\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = connection.write_all(answer.as_bytes()).await;
        }
        Passage::Open | Passage::Slow(_) => {
            if let Passage::Slow(time) = passage {
                tokio::time::sleep(time).await;
            }
            if let Ok(mut server) = TcpStream::connect(server).await {
                let _ = copy_bidirectional(&mut connection, &mut server).await;
            }
        }
    }
}
