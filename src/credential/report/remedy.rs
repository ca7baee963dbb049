//! What a person should do when no credential was accepted: one sentence, with the object to change.

use super::{CredentialReport, Kind, Operation, Outcome};
use crate::credential::Location;
use crate::error::About;

impl CredentialReport {
    /// The remedy for a target that nobody may enter.
    pub fn hint(&self) -> String {
        let registry = &self.target.registry;
        let refused = |outcome| self.candidates.iter().any(|candidate| candidate.outcome == outcome);
        if self.candidates.iter().all(|candidate| candidate.kind == Kind::Anonymous) {
            return format!(
                "add a secret of type kubernetes.io/dockerconfigjson for {registry} to the secrets of the run's service account"
            );
        }
        match self.target.operation {
            Operation::Push if refused(Outcome::Denied) => format!(
                "the credential is valid but may not push: add one for {registry} that may to the secrets of the run's service account"
            ),
            Operation::Pull if refused(Outcome::Denied) => {
                "the credential is valid but may not read this repository: grant it that".to_owned()
            }
            _ => "the registry does not accept the password or token: renew it in the secret".to_owned(),
        }
    }

    /// The Secret, file or account whose credential was refused.
    pub fn about(&self) -> Option<About> {
        let refused = self.candidates.iter().find(|candidate| candidate.kind != Kind::Anonymous)?;
        match &refused.from.location {
            Location::Secret(secret) => Some(About { kind: "Secret", name: secret.to_string() }),
            Location::File(path) => Some(About { kind: "file", name: path.clone() }),
            _ => None,
        }
    }
}
