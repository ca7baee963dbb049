//! The settings of the credential helper: for each registry, whose token it is and where that comes from. No secret is
//! among them. `hallmark auth configure-docker` writes them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::super::environment::Folders;
use super::super::super::private_file;
use super::{SessionError, file_error};
use crate::client::openid::Relation;

/// The settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Settings {
    /// By `host[:port]`.
    #[serde(default)]
    pub(in crate::cli) registries: BTreeMap<String, Setting>,
}

/// The settings of one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(in crate::cli) struct Setting {
    /// The identity to assume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) identity: Option<String>,
    /// The provider by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) provider: Option<String>,
    /// File with the identity token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) identity_token: Option<PathBuf>,
    /// The one source of identity tokens, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) identity_provider: Option<String>,
    /// Where a person logs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) login: Option<LoginSetting>,
}

/// Where a person logs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(in crate::cli) struct LoginSetting {
    /// The issuer.
    pub(in crate::cli) issuer: String,
    /// The public client that Hallmark is there.
    pub(in crate::cli) client_id: String,
}

impl LoginSetting {
    pub(in crate::cli) fn relation(&self) -> Relation {
        Relation { issuer: self.issuer.clone(), client: self.client_id.clone() }
    }
}

impl Settings {
    pub(in crate::cli) fn read(folders: &Folders) -> Result<Self, SessionError> {
        let file = file(folders);
        let Some(text) = private_file::read(&file).map_err(file_error(&file))? else {
            return Ok(Self::default());
        };
        serde_json::from_str(&text).map_err(|_| SessionError::Malformed { file })
    }

    pub(in crate::cli) fn write(&self, folders: &Folders) -> Result<(), SessionError> {
        let file = file(folders);
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        private_file::write(&file, &format!("{text}\n")).map_err(file_error(&file))
    }
}

fn file(folders: &Folders) -> PathBuf {
    folders.config.join("helper.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_they_were_written_and_unknown_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let folders = Folders { config: at("config"), cache: at("cache"), docker: at("docker") };
        assert_eq!(Settings::read(&folders).unwrap(), Settings::default());
        let setting = Setting { identity: Some("org/uid".into()), ..Setting::default() };
        let settings = Settings { registries: BTreeMap::from([("cgr.dev".into(), setting)]) };
        settings.write(&folders).unwrap();
        assert_eq!(Settings::read(&folders).unwrap(), settings);
        std::fs::write(file(&folders), "{\"registries\": {\"r\": {\"colour\": 1}}}").unwrap();
        assert!(Settings::read(&folders).is_err());
    }
}
