//! The sessions of one key: used again, a few at a time, off the runtime's threads.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::error::Error;
use super::module::Open;
use super::uri::Uri;
use crate::client::cloud::kms::{Hash, KeyVersion, Scheme};
use crate::credential::Redacted;
use crate::signature::kms::{Failure, failure};

/// Tokens have few sessions to give.
const SESSIONS: usize = 4;
/// A module that takes longer is given up; its thread ends when it likes.
const PATIENCE: Duration = Duration::from_secs(20);
/// A PIN is never longer.
const LARGEST_PIN: u64 = 4096;
const SCHEME: Scheme = Scheme { name: "SHA-256", hash: Hash::Sha256 };

/// A key behind a module.
pub(in crate::signature::kms) struct ModuleKey {
    shared: Arc<Shared>,
    turns: Arc<Semaphore>,
}

struct Shared {
    uri: Uri,
    idle: Mutex<Vec<Open>>,
    /// The PIN that the token has refused.
    refused: Mutex<Option<Redacted>>,
}

impl ModuleKey {
    /// The key that the URI names; nothing is loaded yet.
    pub(in crate::signature::kms) fn of(text: &str) -> Result<Self, Failure> {
        let uri: Uri = text.parse().map_err(failure)?;
        let shared = Shared { uri, idle: Mutex::default(), refused: Mutex::default() };
        Ok(Self { shared: Arc::new(shared), turns: Arc::new(Semaphore::new(SESSIONS)) })
    }

    /// The public half.
    pub(in crate::signature::kms) async fn read(&self) -> Result<KeyVersion, Failure> {
        let public = self.in_session(Open::public_key).await?;
        Ok(KeyVersion { name: self.shared.uri.shown.clone(), public, scheme: SCHEME })
    }

    /// A signature over `message`.
    pub(in crate::signature::kms) async fn sign(
        &self,
        version: &KeyVersion,
        message: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let (algorithm, message) = (version.public.algorithm(), message.to_vec());
        self.in_session(move |open, uri| open.sign(uri, algorithm, &message)).await
    }

    async fn in_session<T: Send + 'static>(
        &self,
        work: impl Fn(&Open, &Uri) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Failure> {
        let hung = || {
            let key = self.shared.uri.shown.clone();
            failure(Error::Hung { key, seconds: PATIENCE.as_secs() })
        };
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned());
        let turn = turn.await.map_err(|_| hung())?;
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || {
            // Held by whoever waits for the module, however long that is.
            let _turn = turn;
            shared.with(&work)
        });
        match tokio::time::timeout(PATIENCE, task).await {
            Ok(Ok(done)) => done.map_err(failure),
            Ok(Err(_)) | Err(_) => Err(hung()),
        }
    }
}

impl Shared {
    /// In a session that was open; once more in a new one where that has ended.
    fn with<T>(&self, work: &impl Fn(&Open, &Uri) -> Result<T, Error>) -> Result<T, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(open) = idle {
            match work(&open, &self.uri) {
                Err(error) if error.is_of_session() => {
                    self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
                }
                done => return self.back(open, done),
            }
        }
        let open = self.open()?;
        let done = work(&open, &self.uri);
        self.back(open, done)
    }

    fn back<T>(&self, open: Open, done: Result<T, Error>) -> Result<T, Error> {
        if !matches!(&done, Err(error) if error.is_of_session()) {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(open);
        }
        done
    }

    fn open(&self) -> Result<Open, Error> {
        let pin = self.pin()?;
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if pin.is_some() && *refused == pin {
            return Err(Error::PinRefused { key: self.uri.shown.clone() });
        }
        let opened = Open::new(&self.uri, pin.as_ref());
        *refused = pin.filter(|_| matches!(opened, Err(Error::Pin { .. })));
        opened
    }

    fn pin(&self) -> Result<Option<Redacted>, Error> {
        use std::io::Read as _;
        let Some(path) = &self.uri.pin else { return Ok(None) };
        let unread = |source| Error::PinFile { file: path.clone(), source };
        let mut content = zeroize::Zeroizing::new(Vec::with_capacity(64));
        std::fs::File::open(path)
            .map_err(unread)?
            .take(LARGEST_PIN)
            .read_to_end(&mut content)
            .map_err(unread)?;
        Ok(Some(Redacted::from(content.trim_ascii())))
    }
}
