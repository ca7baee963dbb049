//! Which services of a Sigstore sign: a SigningConfig (v0.2) as `cosign signing-config create` writes it, read at a time.
//!
//! # Guarantees
//!
//! - A service counts within its validity alone, and only with a version that is spoken here; among those of one
//!   operator one is taken: the highest version, then the one that began last.
//! - What the selector asks for is met or refused: fewer services than it counts are an error, and a selector that says
//!   nothing is one too, since a guess would be somebody else's decision.
//! - The size of the text and the number of services are bounded.
//!
//! Its OIDC issuers are for programs that log people in; tokens here come from where the agent runs.

pub mod file;

use jiff::Timestamp;
use sigstore_trust_root::signing_config::{ServiceConfiguration, ServiceEndpoint, ServiceSelector};

use super::entry::Version;

/// Sigstore's own has two kilobytes.
const LARGEST: usize = 256 * 1024;
/// Services of each kind; nobody lists more.
const MOST: usize = 64;

/// The services that sign now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SigningConfig {
    /// The certificate authority.
    pub fulcio: Option<String>,
    /// The transparency logs, each with the version that it speaks.
    pub logs: Vec<(String, Version)>,
    /// The timestamp authorities.
    pub timestamps: Vec<String>,
}

/// Why a SigningConfig is not used.
#[derive(Debug, thiserror::Error)]
pub enum SigningConfigError {
    /// More than anybody's.
    #[error("it is larger than {LARGEST} bytes")]
    TooLarge,
    /// Not the JSON of a SigningConfig of this version.
    #[error("it is no SigningConfig of version 0.2")]
    Malformed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// More services than are looked at.
    #[error("{field} lists {count} services, more than {MOST}")]
    TooMany {
        /// Where.
        field: &'static str,
        /// How many.
        count: usize,
    },
    /// None of a kind that is listed can be used.
    #[error("none of the services in {field} is valid at {now} and speaks a version known here")]
    NoneValid {
        /// Where.
        field: &'static str,
        /// When it was looked at.
        now: Timestamp,
    },
    /// Fewer than it asks for itself.
    #[error("{field} asks for {wanted} services of different operators, and {found} can be used")]
    TooFew {
        /// Where.
        field: &'static str,
        /// How many it asks for.
        wanted: u32,
        /// How many there are.
        found: usize,
    },
    /// It leaves to a public default what nobody has named.
    #[error("it has no {field}, and {key} is not set")]
    Missing {
        /// What would name the service here.
        field: &'static str,
        /// What would name it in the configuration.
        key: &'static str,
    },
    /// It does not say how many to use.
    #[error("{field} has no selector that is known here: ANY, ALL or EXACT with a count")]
    Selector {
        /// Where.
        field: &'static str,
    },
}

impl SigningConfig {
    /// The services that `json` has for signing at `now`.
    pub fn read(json: &[u8], now: Timestamp) -> Result<Self, SigningConfigError> {
        use sigstore_trust_root::SigningConfig as Wire;
        if json.len() > LARGEST {
            return Err(SigningConfigError::TooLarge);
        }
        let text = std::str::from_utf8(json).map_err(|error| SigningConfigError::Malformed(error.into()))?;
        let wire = Wire::from_json(text).map_err(|error| SigningConfigError::Malformed(error.into()))?;
        let one = ServiceConfiguration::default();
        let fulcio = chosen("caUrls", &wire.ca_urls, &one, &[1], now)?;
        let logs = chosen("rekorTlogUrls", &wire.rekor_tlog_urls, &wire.rekor_tlog_config, &[1, 2], now)?;
        let timestamps = chosen("tsaUrls", &wire.tsa_urls, &wire.tsa_config, &[1], now)?;
        let version =
            |log: &ServiceEndpoint| if log.major_api_version == 2 { Version::V2 } else { Version::V1 };
        Ok(Self {
            fulcio: fulcio.first().map(|service| service.url.clone()),
            logs: logs.into_iter().map(|log| (log.url.clone(), version(log))).collect(),
            timestamps: timestamps.into_iter().map(|service| service.url.clone()).collect(),
        })
    }
}

/// The services of one kind that are to be used; none when none is listed.
fn chosen<'a>(
    field: &'static str,
    listed: &'a [ServiceEndpoint],
    how: &ServiceConfiguration,
    versions: &[u32],
    now: Timestamp,
) -> Result<Vec<&'a ServiceEndpoint>, SigningConfigError> {
    if listed.is_empty() {
        return Ok(Vec::new());
    }
    if listed.len() > MOST {
        return Err(SigningConfigError::TooMany { field, count: listed.len() });
    }
    let mut usable: Vec<_> = listed
        .iter()
        .filter(|service| {
            let (valid, version) = (&service.valid_for, service.major_api_version);
            valid.start <= now && valid.end.is_none_or(|end| now <= end) && versions.contains(&version)
        })
        .collect();
    usable.sort_by_key(|service| std::cmp::Reverse((service.major_api_version, service.valid_for.start)));
    let mut operators: Vec<&str> = Vec::new();
    usable.retain(|service| {
        // Whoever names no operator is one of his own.
        let Some(operator) = service.operator.as_deref().filter(|name| !name.is_empty()) else { return true };
        let is_first = !operators.contains(&operator);
        operators.push(operator);
        is_first
    });
    if usable.is_empty() {
        return Err(SigningConfigError::NoneValid { field, now });
    }
    let found = usable.len();
    let wanted = match (how.selector, how.count) {
        (ServiceSelector::Any, _) => 1,
        (ServiceSelector::All, _) => found,
        (ServiceSelector::Exact, Some(count)) if count as usize > found => {
            return Err(SigningConfigError::TooFew { field, wanted: count, found });
        }
        (ServiceSelector::Exact, Some(count)) if count > 0 => count as usize,
        _ => return Err(SigningConfigError::Selector { field }),
    };
    usable.truncate(wanted);
    Ok(usable)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    fn service(url: &str, version: u32, operator: &str, start: &str, end: Option<&str>) -> Value {
        let mut valid = json!({ "start": start });
        if let Some(end) = end {
            valid["end"] = json!(end);
        }
        json!({"url": url, "majorApiVersion": version, "operator": operator, "validFor": valid})
    }

    fn config(changes: &Value) -> Vec<u8> {
        let mut config = json!({"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"});
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        config.to_string().into_bytes()
    }

    fn read(changes: &Value) -> Result<SigningConfig, SigningConfigError> {
        SigningConfig::read(&config(changes), now())
    }

    const LONG_AGO: &str = "2024-01-01T00:00:00Z";
    const LATELY: &str = "2026-01-01T00:00:00Z";

    #[test]
    fn of_one_operator_the_highest_version_and_then_the_latest_start_is_taken() {
        let logs = json!([
            service("https://v1.test", 1, "a", LATELY, None),
            service("https://v2-old.test", 2, "a", LONG_AGO, None),
            service("https://v2-new.test", 2, "a", LATELY, None),
            service("https://v3.test", 3, "a", LATELY, None),
        ]);
        for selector in ["ANY", "ALL"] {
            let read =
                read(&json!({"rekorTlogUrls": logs, "rekorTlogConfig": {"selector": selector}})).unwrap();
            assert_eq!(read.logs, [("https://v2-new.test".to_owned(), Version::V2)], "{selector}");
        }
    }

    #[test]
    fn a_service_counts_within_its_validity_alone() {
        let (over, later) = ("2026-05-31T23:59:59Z", "2026-06-01T00:00:01Z");
        let fulcio = |start, end| read(&json!({"caUrls": [service("https://ca.test", 1, "a", start, end)]}));
        assert_eq!(fulcio(LONG_AGO, None).unwrap().fulcio.as_deref(), Some("https://ca.test"));
        assert_eq!(fulcio(LONG_AGO, Some(later)).unwrap().fulcio.as_deref(), Some("https://ca.test"));
        for (start, end) in [(LONG_AGO, Some(over)), (later, None)] {
            let error = fulcio(start, end).unwrap_err();
            assert!(matches!(error, SigningConfigError::NoneValid { field: "caUrls", .. }), "{error}");
        }
    }

    #[test]
    fn selectors_take_one_or_all_or_exactly_as_many_operators_as_they_count() {
        let listed = json!([
            service("https://a.test", 1, "a", LATELY, None),
            service("https://b.test", 1, "b", LONG_AGO, None),
            service("https://c.test", 1, "", LONG_AGO, None),
            service("https://d.test", 1, "", LONG_AGO, None),
        ]);
        let taken =
            |how: Value| read(&json!({"tsaUrls": listed, "tsaConfig": how})).map(|read| read.timestamps);
        assert_eq!(taken(json!({"selector": "ANY"})).unwrap(), ["https://a.test"]);
        assert_eq!(taken(json!({"selector": "ALL"})).unwrap().len(), 4, "no operator is one of his own");
        assert_eq!(
            taken(json!({"selector": "EXACT", "count": 2})).unwrap(),
            ["https://a.test", "https://b.test"]
        );
        let few = taken(json!({"selector": "EXACT", "count": 5})).unwrap_err();
        assert_eq!(few.to_string(), "tsaUrls asks for 5 services of different operators, and 4 can be used");
        for how in [json!({"selector": "EXACT"}), json!({"selector": "SERVICE_SELECTOR_UNDEFINED"})] {
            assert!(matches!(taken(how.clone()), Err(SigningConfigError::Selector { .. })), "{how}");
        }
    }

    #[test]
    fn what_is_not_listed_is_not_chosen_and_what_is_no_signing_config_is_refused() {
        assert_eq!(read(&json!({})).unwrap(), SigningConfig::default());
        let older = json!({"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.1+json"});
        for json in [b"{}".to_vec(), b"\xff".to_vec(), older.to_string().into_bytes()] {
            assert!(matches!(SigningConfig::read(&json, now()), Err(SigningConfigError::Malformed(_))));
        }
        assert!(matches!(
            SigningConfig::read(&vec![b' '; LARGEST + 1], now()),
            Err(SigningConfigError::TooLarge)
        ));
        let many = vec![service("https://a.test", 1, "a", LATELY, None); MOST + 1];
        assert!(matches!(read(&json!({ "tsaUrls": many })), Err(SigningConfigError::TooMany { .. })));
    }
}
