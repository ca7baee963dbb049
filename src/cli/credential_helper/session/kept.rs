//! A registry token in a file, from which every tool takes it until shortly before its end.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::super::private_file;
use super::{SessionError, file_error};
use crate::client::exchange::RegistryToken;
use crate::credential::Redacted;

/// How long before its end a token is replaced.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// As it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(with = "super::super::secret_text")]
    token: Zeroizing<String>,
    issued_at: Timestamp,
    expires_at: Timestamp,
}

pub(super) fn keep(file: &Path, token: &RegistryToken) -> Result<(), SessionError> {
    let text = Zeroizing::new(token.token.expose_text().into_owned());
    let kept = Kept { token: text, issued_at: token.issued_at, expires_at: token.expires_at };
    let text = Zeroizing::new(serde_json::to_string(&kept).unwrap_or_default());
    private_file::write(file, &text).map_err(file_error(file))
}

/// A token that is kept and lives for a while yet.
pub(super) fn kept(file: &Path, now: Timestamp) -> Option<RegistryToken> {
    let text = private_file::read(file).ok()??;
    let Kept { token, issued_at, expires_at } = serde_json::from_str(&text).ok()?;
    let ahead = AHEAD.min(expires_at.duration_since(issued_at) / 2);
    let token = RegistryToken { token: Redacted::from(token.as_str()), issued_at, expires_at };
    (expires_at.duration_since(now) > ahead).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_token_serves_until_five_minutes_or_half_of_its_life_before_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.json");
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let after = |seconds| now + SignedDuration::from_secs(seconds);
        let write = |life: i64| {
            let kept = Kept { token: Zeroizing::new("t".into()), issued_at: now, expires_at: after(life) };
            private_file::write(&file, &serde_json::to_string(&kept).unwrap()).unwrap();
        };
        write(3600);
        assert!(kept(&file, after(3299)).is_some() && kept(&file, after(3300)).is_none());
        write(60);
        assert!(kept(&file, after(29)).is_some() && kept(&file, after(30)).is_none());
    }

    #[test]
    fn what_cannot_be_read_is_as_good_as_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.json");
        assert!(kept(&file, Timestamp::UNIX_EPOCH).is_none());
        for broken in ["", "{", "{\"token\":\"x\"}", "[]"] {
            std::fs::write(&file, broken).unwrap();
            assert!(kept(&file, Timestamp::UNIX_EPOCH).is_none(), "{broken}");
        }
    }
}
