//! One connection to one broker: a request, then its answer, then the next.
//!
//! Guarantees: an answer is read up to a limit and belongs to its request, by its number; no link-local address and no
//! metadata service is connected to. Whoever drops an exchange in the middle must drop the connection with it.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use zeroize::Zeroize as _;

use super::address::Address;
use super::code::Code;
use super::error::{Problem, Said};
use super::request::{Api, ApiVersions, Request, Versions};
use super::security::Security;
use super::wire::{Reader, Writer};
use crate::client::address::AddressClass;
use crate::client::http::cause;

/// A topic with a hundred thousand partitions takes less.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;
/// Brokers close what is idle for ten minutes, and what lies between them and us may do so earlier.
const IDLE: Duration = Duration::from_mins(3);

/// A connection that is ready for requests.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    versions: Versions,
    number: i32,
    /// Whether anything but the versions was ever answered.
    is_proven: bool,
    used: Instant,
    /// When the login has to be made anew.
    ends: Option<Instant>,
}

/// With TLS, or without.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Connection {
    /// Connects, and logs in where that is asked for.
    pub(super) async fn open(address: &Address, security: &Security) -> Result<Self, Problem> {
        let stream = connected(address).await?;
        let stream: Box<dyn Stream> = match &security.tls {
            Some(tls) => Box::new(tls.over(stream, address).await?),
            None => Box::new(stream),
        };
        let mut connection = Self {
            stream,
            versions: Vec::new(),
            number: 0,
            is_proven: false,
            used: Instant::now(),
            ends: None,
        };
        let (code, versions) = connection.exchange_as(0, &ApiVersions).await?;
        if let Some(code) = Code::of(code) {
            return Err(Problem::Code(Said { code, words: String::new() }));
        }
        connection.versions = versions;
        if let Some(login) = &security.login {
            let lasts = login.over(&mut connection).await?;
            connection.ends = lasts.and_then(|lasts| Instant::now().checked_add(lasts.mul_f64(0.8)));
        }
        Ok(connection)
    }

    /// Whether the broker has certainly not closed it yet.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) < IDLE && self.ends.is_none_or(|ends| now < ends)
    }

    /// Asks, and waits for the answer.
    pub(super) async fn exchange<R: Request>(&mut self, request: &R) -> Result<R::Answer, Problem> {
        let version = self.version(&R::API).ok_or(Problem::Version(R::API.name))?;
        let answer = self.exchange_as(version, request).await?;
        (self.is_proven, self.used) = (true, Instant::now());
        Ok(answer)
    }

    /// The newest form that both sides know.
    fn version(&self, api: &Api) -> Option<i16> {
        let (_, oldest, newest) = self.versions.iter().find(|(key, ..)| *key == api.key)?;
        api.versions.iter().rev().copied().find(|version| (*oldest..=*newest).contains(version))
    }

    async fn exchange_as<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Answer, Problem> {
        self.number = self.number.wrapping_add(1);
        // Room for a login, so that it lies here alone.
        let mut content = Writer(Vec::with_capacity(ROOM));
        content.i16(R::API.key);
        content.i16(version);
        content.i32(self.number);
        content.text(CLIENT);
        request.write(version, &mut content);
        let mut framed = Writer(Vec::with_capacity(content.0.len() + 4));
        framed.bytes(&content.0);
        let sent = self.stream.write_all(&framed.0).await;
        content.0.zeroize();
        framed.0.zeroize();
        if let Err(error) = sent.and(self.stream.flush().await) {
            return Err(self.lost(error));
        }
        let answer = self.answer(R::API.name).await?;
        let mut reader = Reader(&answer);
        let belongs = reader.i32() == Some(self.number);
        let read = belongs.then(|| R::read(version, &mut reader)).flatten();
        read.ok_or(Problem::Malformed(R::API.name))
    }

    async fn answer(&mut self, name: &'static str) -> Result<Vec<u8>, Problem> {
        let mut length = [0; 4];
        if let Err(error) = self.stream.read_exact(&mut length).await {
            return Err(self.lost(error));
        }
        // An alert of TLS.
        if length.starts_with(&[0x15, 0x03]) {
            return Err(Problem::Tls);
        }
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > LARGEST_ANSWER {
            return Err(Problem::Malformed(name));
        }
        // Memory for what has come, not for what was announced.
        let mut answer = Vec::new();
        let read = (&mut self.stream).take(length as u64).read_to_end(&mut answer).await;
        match read {
            Ok(read) if read == length => Ok(answer),
            Ok(_) => Err(Problem::Broken(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(self.lost(error)),
        }
    }

    fn lost(&self, error: io::Error) -> Problem {
        if cause::<rustls::Error>(&error).is_some() {
            return Problem::Untrusted(error);
        }
        if self.is_proven { Problem::Broken(error) } else { Problem::Closed(error) }
    }
}

const ROOM: usize = 4096;

/// What brokers see in their logs.
const CLIENT: &str = "hallmark";

async fn connected(address: &Address) -> Result<TcpStream, Problem> {
    let silent = |error: io::Error| Problem::Silent(error.into());
    let found = tokio::net::lookup_host((address.host.as_str(), address.port)).await.map_err(silent)?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address that may be used");
    for one in found.filter(|one| AddressClass::of(one.ip()) != AddressClass::Forbidden) {
        match TcpStream::connect(one).await {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(silent)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(silent(last))
}
