//! Logging in at a broker: SASL by PLAIN or SCRAM.
//!
//! Guarantees: what the broker says is shown cut, and without the password; the file of the password is read for each
//! connection.

use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::code::Code;
use super::connection::Connection;
use super::error::{Problem, Said};
use super::request::{SaslAuthenticate, SaslHandshake, SaslStep};
use super::scram::{First, Hash};
use super::security::{broken, read};
use crate::client::answer;
use crate::config::{KafkaStorage, SaslMechanism};
use crate::credential::{Credential, Redacted};

const PASSWORD: &str = "storage.pubsub.kafka.sasl-password-path";

/// Who logs in, and how.
pub(super) struct Login {
    mechanism: SaslMechanism,
    user: String,
    password: PathBuf,
}

impl Login {
    /// Nobody, unless the settings have all of it.
    pub(super) fn of(settings: &KafkaStorage) -> Option<Self> {
        let (user, password) = (settings.sasl_username.clone()?, settings.sasl_password_path.clone()?);
        Some(Self { mechanism: settings.sasl_mechanism?, user, password })
    }

    /// Whether the password itself is sent.
    pub(super) fn shows_password(&self) -> bool {
        self.mechanism == SaslMechanism::Plain
    }

    /// Logs in, and returns how long that counts, unless it is as long as the connection.
    pub(super) async fn over(&self, connection: &mut Connection) -> Result<Option<Duration>, Problem> {
        let content = read(PASSWORD, &self.password).await?;
        let password = Redacted::from(content.trim_ascii());
        if password.is_empty() {
            return Err(broken(PASSWORD, &self.password, "it is empty"));
        }
        let mechanism = self.mechanism.as_str();
        let (code, offered) = connection.exchange(&SaslHandshake(mechanism)).await?;
        match Code::of(code) {
            None => {}
            Some(Code::UNKNOWN_MECHANISM) => {
                let offered = answer::shown(offered.join(", ").as_bytes(), &Credential::Anonymous);
                return Err(Problem::Mechanism { mechanism, offered });
            }
            Some(code) => return Err(Problem::Code(Said { code, words: String::new() })),
        }
        let step = match self.mechanism {
            SaslMechanism::Plain => self.plain(connection, &password).await?,
            SaslMechanism::ScramSha256 => self.scram(connection, Hash::Sha256, &password).await?,
            SaslMechanism::ScramSha512 => self.scram(connection, Hash::Sha512, &password).await?,
        };
        Ok(u64::try_from(step.lasts).ok().filter(|lasts| *lasts > 0).map(Duration::from_millis))
    }

    async fn plain(&self, connection: &mut Connection, password: &Redacted) -> Result<SaslStep, Problem> {
        let mut message = Zeroizing::new(vec![0]);
        message.extend(self.user.bytes());
        message.push(0);
        message.extend(password.expose());
        self.step(connection, &message, password).await
    }

    async fn scram(
        &self,
        connection: &mut Connection,
        hash: Hash,
        password: &Redacted,
    ) -> Result<SaslStep, Problem> {
        let mut random = [0; 18];
        rand::fill(&mut random).map_err(|_| self.refused("there is no randomness for a nonce"))?;
        let first = First::new(hash, &self.user, hex::encode(random));
        let challenge = self.step(connection, &first.message(), password).await?;
        let answered = first.answer(&challenge.content, password);
        let (message, last) = answered.map_err(|wrong| self.refused(&wrong.to_string()))?;
        let step = self.step(connection, &message, password).await?;
        last.proves(&step.content).map_err(|wrong| self.refused(&wrong.to_string()))?;
        Ok(step)
    }

    async fn step(
        &self,
        connection: &mut Connection,
        message: &[u8],
        password: &Redacted,
    ) -> Result<SaslStep, Problem> {
        let step = connection.exchange(&SaslAuthenticate(message)).await?;
        let said = || answer::shown(password.scrub(&step.said).as_bytes(), &Credential::Anonymous);
        match Code::of(step.code) {
            None => Ok(step),
            Some(code @ Code::LOGIN_FAILED) => {
                let said = said();
                Err(self.refused(&if said.is_empty() { code.to_string() } else { said }))
            }
            Some(code) => Err(Problem::Code(Said { code, words: said() })),
        }
    }

    fn refused(&self, answer: &str) -> Problem {
        Problem::Login {
            user: self.user.clone(),
            mechanism: self.mechanism.as_str(),
            answer: answer.to_owned(),
        }
    }
}
