//! From the ConfigMap's `data` to a [`Config`], or to everything that is wrong with it.
//!
//! Guarantees (defect D17 of the Chains specification §8.1): every mistake is found in one pass; a value that
//! Chains refuses rejects the map; what Chains passes over in silence, an unknown key, a boolean that is none, an
//! odd `transparency.enabled`, is a warning that says which value is in effect, and that is Chains'.
//! Must not: say whether this build can do what was asked ([`Config::unsupported`]).

use std::collections::BTreeMap;

use super::finding::{Finding, Problem, Refusal, nearest};
use super::{Config, ControllerCredentials, key};

/// What a ConfigMap says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The configuration, or every reason why there is none.
    pub config: Result<Config, Vec<Finding>>,
    /// What is passed over.
    pub warnings: Vec<Finding>,
}

pub(super) fn parse(data: &BTreeMap<String, String>) -> Parsed {
    let mut config = Config::default();
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    for (name, text) in data.iter().filter(|(name, _)| !is_comment(name)) {
        let Some(key) = key::named(name) else {
            warnings.push(unknown(name));
            continue;
        };
        let Err(refusal) = key.field.set(&mut config, text) else { continue };
        let value = (!key.secret).then_some(text.as_str());
        if key.field.passed_over() {
            let remedy = format!("{}; in effect is {:?}", refusal.remedy, key.field.text(&mut config));
            warnings.push(Refusal { remedy, ..refusal }.of(name, value));
        } else {
            errors.push(refusal.of(name, value));
        }
    }
    warnings.extend(unread(&config));
    Parsed { config: if errors.is_empty() { Ok(config) } else { Err(errors) }, warnings }
}

/// `_example` and its like: how the ConfigMaps of the Tekton family carry their documentation.
fn is_comment(name: &str) -> bool {
    name.starts_with('_')
}

/// The value is not repeated, since the key that was meant may be one for a secret.
fn unknown(name: &str) -> Finding {
    let remedy = match nearest(name, key::all().map(|key| key.name)) {
        Some(known) => format!("it has no effect: did you mean {known:?}?"),
        None => "it has no effect: remove it; `hallmark config reference` lists all keys".into(),
    };
    Refusal::new(Problem::UnknownKey, remedy).of(name, None)
}

/// Good values that nothing reads because of another one.
fn unread(config: &Config) -> Option<Finding> {
    let registry = &config.registry;
    let idle =
        !registry.allow.is_empty() && registry.controller_credentials != ControllerCredentials::Allowlist;
    idle.then(|| {
        Refusal::new(Problem::NoEffect, "set registry.controller-credentials to \"allowlist\", or remove it")
            .of("registry.controller-credentials.allow", None)
    })
}
