//! What a person should do when no credential was accepted: one sentence, with the object to change.

use super::{CredentialReport, Kind, Operation, Outcome};
use crate::credential::{Location, Problem};
use crate::error::About;

impl CredentialReport {
    /// The remedy for a target that nobody may enter.
    pub fn hint(&self) -> String {
        let registry = &self.target.registry;
        let refused = |outcome| self.candidates.iter().any(|candidate| candidate.outcome == outcome);
        if self.is_only_anonymous() {
            let add = format!(
                "add a secret of type kubernetes.io/dockerconfigjson for {registry} to the secrets of the run's service account"
            );
            return match self.defect() {
                Some(problem) => format!("mend {} ({}), or {add}", problem.location, problem.code),
                None => add,
            };
        }
        match self.target.operation {
            Operation::Push if refused(Outcome::Denied) => format!(
                "the credential is valid but may not push: the secrets of the run's service account need one for {registry} that may"
            ),
            Operation::Pull if refused(Outcome::Denied) => {
                "the credential is valid but may not read this repository: grant it that".to_owned()
            }
            _ => "the registry does not accept the password or token: renew it in the secret".to_owned(),
        }
    }

    /// The first place that would have had a credential, had it not been damaged, missing or forbidden.
    fn defect(&self) -> Option<&Problem> {
        self.problems.iter().find(|problem| problem.code.hides_a_credential())
    }

    /// The Secret or file whose credential was refused, or could not be used.
    pub fn about(&self) -> Option<About> {
        let refused = self.candidates.iter().find(|candidate| candidate.kind != Kind::Anonymous);
        let refused = refused.map(|candidate| &candidate.from.location);
        match refused.or_else(|| self.defect().map(|problem| &problem.location))? {
            Location::Secret(secret) => Some(About { kind: "Secret", name: secret.to_string() }),
            Location::File(path) => Some(About { kind: "file", name: path.clone() }),
            _ => None,
        }
    }
}
