//! From TOML to tables, collecting every mistake (credentials specification §4.1, §4.2 S4, §4.4).
//!
//! The parser's own messages are left out: they may repeat what they could not read.

mod fields;

use jiff::Timestamp;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use self::fields::Fields;
use super::authorities::{Authorities, Trust};
use super::finding::{Finding, FindingCode};
use super::name::{Defect, Name};
use super::proxies::Proxies;
use super::table::Table;
use crate::credential::matching::shown;

/// What a text says.
pub(super) struct Document {
    pub(super) tables: Vec<Table>,
    pub(super) proxies: Proxies,
    pub(super) findings: Vec<Finding>,
}

/// Collects findings while it walks over the text.
pub(super) struct Walk<'t> {
    text: &'t str,
    now: Timestamp,
    findings: Vec<Finding>,
}

type Key<'t> = Spanned<DeString<'t>>;
type Value<'t> = Spanned<DeValue<'t>>;

impl Document {
    pub(super) fn read(text: &str, environment: &Proxies, now: Timestamp) -> Self {
        let mut walk = Walk { text, now, findings: Vec::new() };
        let (mut tables, mut proxies) = (Vec::new(), environment.clone());
        match DeTable::parse(text) {
            Ok(root) => {
                for (key, value) in root.get_ref() {
                    match &**key.get_ref() {
                        "extra-env" => walk.extra_env(value, &mut proxies),
                        "registries" => tables = walk.registries(value),
                        other => walk.unknown(key, other, &["extra-env", "registries"]),
                    }
                }
            }
            Err(error) => walk.no_toml(&error),
        }
        Self { tables, proxies, findings: walk.findings }
    }
}

impl Walk<'_> {
    fn no_toml(&mut self, error: &toml::de::Error) {
        let span = error.span().unwrap_or(self.text.len()..self.text.len());
        let twice = error.message() == "duplicate key";
        let detail = if twice { "a key stands here twice" } else { "this is not TOML" };
        self.findings.push(Finding::at(self.text, &span, FindingCode::RegistryConfigInvalid, detail));
    }

    fn extra_env(&mut self, value: &Value<'_>, proxies: &mut Proxies) {
        let Some(table) = self.table(value, "extra-env") else { return };
        for (key, value) in table {
            let name = &**key.get_ref();
            if !["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"].contains(&name) {
                let detail = format!(
                    "extra-env {:?} is ignored: only HTTP_PROXY, HTTPS_PROXY and NO_PROXY count",
                    shown(name)
                );
                self.at_key(key, FindingCode::UnknownKey, detail);
                continue;
            }
            let Some(text) = self.string(value, name) else { continue };
            let set = match name {
                "HTTP_PROXY" => proxies.set_http(text),
                "HTTPS_PROXY" => proxies.set_https(text),
                _ => {
                    proxies.set_bypass(text);
                    Ok(())
                }
            };
            if let Err(malformed) = set {
                self.at_value(value, FindingCode::RegistryConfigInvalid, format!("{name}: {malformed}"));
            }
        }
    }

    fn registries(&mut self, value: &Value<'_>) -> Vec<Table> {
        let mut tables: Vec<Table> = Vec::new();
        for (key, value) in self.table(value, "registries").into_iter().flatten() {
            let written = shown(key.get_ref());
            let name = match Name::parse(key.get_ref()) {
                Ok(name) => name,
                Err(defect) => {
                    let fatal = defect == Defect::Empty;
                    let code =
                        if fatal { FindingCode::RegistryConfigInvalid } else { FindingCode::UnsupportedKey };
                    self.at_key(key, code, format!("registries.{written:?} is not used: {defect}"));
                    continue;
                }
            };
            if let Some(other) = tables.iter().find(|other| other.name == name) {
                let detail =
                    format!("registries.{written:?} names the same registries as {:?}", other.written);
                self.at_key(key, FindingCode::DuplicateRegistry, detail);
                continue;
            }
            let Some(content) = self.table(value, &format!("registries.{written:?}")) else { continue };
            let table = self.registry(key, name, written, content);
            tables.push(table);
        }
        tables
    }

    fn registry(&mut self, key: &Key<'_>, name: Name, written: String, content: &DeTable<'_>) -> Table {
        let fields = Fields::read(self, &written, content);
        let credential = fields.credential(self, key, &written);
        let trust = match (fields.insecure, fields.authorities) {
            (true, authorities) => {
                if authorities.is_some() {
                    let detail = format!(
                        "registries.{written:?}: insecure-skip-verify is set, so ca-certs has no effect"
                    );
                    self.at_key(key, FindingCode::ConflictingKeys, detail);
                }
                Trust::Insecure
            }
            (false, Some(authorities)) => Trust::Only(authorities),
            (false, None) => Trust::System,
        };
        Table { name, written, trust, credential: credential.map(Into::into) }
    }

    fn authorities(&mut self, table: &str, value: &Value<'_>, text: &str) -> Option<Authorities> {
        let authorities = match Authorities::parse(table, text) {
            Ok(authorities) => authorities,
            Err(broken) => {
                self.at_value(
                    value,
                    FindingCode::RegistryConfigInvalid,
                    format!("registries.{table:?}: {broken}"),
                );
                return None;
            }
        };
        for number in authorities.expired(self.now) {
            let detail = format!("registries.{table:?}: certificate {number} of ca-certs has expired");
            self.at_value(value, FindingCode::ExpiredCA, detail);
        }
        Some(authorities)
    }

    fn table<'v, 't>(&mut self, value: &'v Value<'t>, what: &str) -> Option<&'v DeTable<'t>> {
        let table = value.get_ref().as_table();
        self.expect(table, value, what, "table")
    }

    fn string<'v>(&mut self, value: &'v Value<'_>, what: &str) -> Option<&'v str> {
        let text = value.get_ref().as_str();
        self.expect(text, value, what, "string")
    }

    fn boolean(&mut self, value: &Value<'_>, what: &str) -> Option<bool> {
        let flag = value.get_ref().as_bool();
        self.expect(flag, value, what, "boolean")
    }

    fn expect<T>(&mut self, read: Option<T>, value: &Value<'_>, what: &str, kind: &str) -> Option<T> {
        if read.is_none() {
            let found = value.get_ref().type_str();
            self.at_value(
                value,
                FindingCode::RegistryConfigInvalid,
                format!("{what}: expected {kind}, not {found}"),
            );
        }
        read
    }

    fn unknown(&mut self, key: &Key<'_>, name: &str, known: &[&str]) {
        const CLOSE: f64 = 0.8;
        let nearest = known.iter().map(|known| (strsim::jaro_winkler(known, name), known));
        let nearest =
            nearest.max_by(|left, right| left.0.total_cmp(&right.0)).filter(|(close, _)| *close > CLOSE);
        let hint = nearest.map(|(_, known)| format!("; did you mean {known}?")).unwrap_or_default();
        self.at_key(key, FindingCode::UnknownKey, format!("key {:?} is not known{hint}", shown(name)));
    }

    fn at_key(&mut self, key: &Key<'_>, code: FindingCode, detail: impl Into<String>) {
        self.findings.push(Finding::at(self.text, &key.span(), code, detail));
    }

    fn at_value(&mut self, value: &Value<'_>, code: FindingCode, detail: impl Into<String>) {
        self.findings.push(Finding::at(self.text, &value.span(), code, detail));
    }
}
