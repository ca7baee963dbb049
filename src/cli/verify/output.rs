//! What `hallmark verify` prints: for each image what was checked, what passed, what failed and why.

use serde::Serialize;

use super::Verified;
use super::signers::COMMAND_LINE;
use crate::artifact::image::Repository;
use crate::cli::style::Style;
use crate::cli::{Exit, refuse};
use crate::policy::check::Signer;
use crate::policy::evaluation::{Answer, AuthorityVerdict, Checked, PolicyVerdict, Reason, Standing};

#[derive(Serialize)]
struct Report<'a> {
    images: Vec<OfImage<'a>>,
}

#[derive(Serialize)]
struct OfImage<'a> {
    image: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    result: &'static str,
    denials: Vec<String>,
    warnings: Vec<String>,
    policies: Vec<OfPolicy<'a>>,
}

#[derive(Serialize)]
struct OfPolicy<'a> {
    policy: &'a str,
    mode: &'static str,
    result: &'static str,
    authorities: Vec<OfAuthority<'a>>,
}

#[derive(Serialize)]
struct OfAuthority<'a> {
    authority: &'a str,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    signatures: Vec<Signature>,
}

/// One signature or attestation with the result of its check.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Signature {
    place: String,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    identities: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    predicate_type: Option<String>,
}

impl Signature {
    pub(in crate::cli) fn of(checked: &Checked) -> Self {
        let place = checked.place.to_string();
        let mut shown = Self {
            place,
            result: "verified",
            reason: None,
            key: None,
            identities: Vec::new(),
            issuer: None,
            signed_at: None,
            predicate_type: None,
        };
        match &checked.result {
            Ok(verified) => {
                match verified.by.clone() {
                    Signer::Key { id } => shown.key = Some(id),
                    Signer::Identity { names, issuer } => {
                        (shown.identities, shown.issuer) = (names, Some(issuer));
                    }
                }
                shown.signed_at = verified.at.map(|at| at.to_string());
                shown.predicate_type =
                    verified.statement.as_ref().map(|statement| statement.predicate_type.clone());
            }
            Err(flaw) => (shown.result, shown.reason) = (flaw.code(), Some(flaw.to_string())),
        }
        shown
    }
}

/// Prints JSON.
pub(in crate::cli) fn json(verified: &[Verified]) {
    let report = Report { images: verified.iter().map(image).collect() };
    match serde_json::to_string_pretty(&report) {
        Ok(text) => println!("{text}"),
        Err(error) => {
            refuse(&error, Exit::Failed);
        }
    }
}

fn image(one: &Verified) -> OfImage<'_> {
    let verdict = &one.outcome.verdict;
    OfImage {
        image: one.reference.written(),
        digest: one.outcome.image.as_ref().map(|image| image.digest.to_string()),
        result: if verdict.admits() && !verdict.warnings().is_empty() {
            "warned"
        } else {
            word(verdict.standing())
        },
        denials: verdict.denials(),
        warnings: verdict.warnings(),
        policies: verdict.policies.iter().map(policy).collect(),
    }
}

fn policy(one: &PolicyVerdict) -> OfPolicy<'_> {
    let authorities = one.authorities.iter().map(|authority| OfAuthority {
        authority: &authority.authority,
        result: word(authority.answer.standing()),
        code: authority.answer.reason().map(Reason::code),
        reason: authority.answer.reason().map(ToString::to_string),
        signatures: found(&authority.answer).iter().map(Signature::of).collect(),
    });
    OfPolicy {
        policy: &one.policy,
        mode: one.mode.name(),
        result: word(one.standing()),
        authorities: authorities.collect(),
    }
}

/// Prints text.
pub(in crate::cli) fn text(verified: &[Verified]) {
    let style = Style::of_stdout();
    for one in verified {
        println!("{}", chapter(one, style));
    }
}

/// One image.
pub(in crate::cli) fn chapter(one: &Verified, style: Style) -> String {
    let verdict = &one.outcome.verdict;
    let name = match &one.outcome.image {
        Some(image) => image.to_string(),
        None => one.reference.to_string(),
    };
    let standing = match verdict.standing() {
        Standing::Satisfied if !verdict.warnings().is_empty() => style.bad("passes with warnings"),
        standing => coloured(standing, style),
    };
    let mut lines = vec![format!("{}: {standing}", style.bold(&name))];
    if verdict.policies.is_empty() {
        lines.push("  no policy governs the image".to_owned());
    }
    for policy in &verdict.policies {
        if policy.policy != COMMAND_LINE {
            let (mode, standing) = (policy.mode.name(), coloured(policy.standing(), style));
            lines.push(format!("  policy {} ({mode}): {standing}", policy.policy));
        }
        let image = one.reference.repository();
        lines.extend(policy.authorities.iter().flat_map(|one| authority(one, image, style)));
    }
    lines.join("\n")
}

fn authority(one: &AuthorityVerdict, image: &Repository, style: Style) -> Vec<String> {
    let mark =
        if one.answer.standing() == Standing::Satisfied { style.good("✓") } else { style.bad("✗") };
    let mut lines = vec![format!("  {mark} {}", one.authority)];
    if let Some(reason) = one.answer.reason() {
        lines.push(format!("      {}: {}", reason.code(), plain(&reason.headline())));
        if let Reason::Obstacle(obstacle) = reason {
            lines.extend(obstacle.hint().map(|hint| format!("      {}", style.faint(&hint))));
        }
    }
    for checked in found(&one.answer) {
        let mark = if checked.result.is_ok() { style.good("✓") } else { style.bad("✗") };
        lines.push(format!("    {mark} {}", checked.place.beside(image)));
        lines.push(format!("        {}", plain(&told(checked))));
    }
    lines
}

/// Names in certificates and messages of registries are foreign text: they must not steer the terminal.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// The result of one check as a sentence.
fn told(checked: &Checked) -> String {
    match &checked.result {
        Err(flaw) => format!("{}: {flaw}", flaw.code()),
        Ok(verified) => {
            let kind = verified.statement.as_ref().map(|statement| format!("{} ", statement.predicate_type));
            let at = verified.at.map(|at| format!(", not later than {at}"));
            format!("{}signed by {}{}", kind.unwrap_or_default(), verified.by, at.unwrap_or_default())
        }
    }
}

fn found(answer: &Answer) -> &[Checked] {
    match answer {
        Answer::Satisfied(found) => found,
        Answer::Refused(reason) | Answer::Undecided(reason) => match reason {
            Reason::NoneVerifies(found) | Reason::NoAttestation { found, .. } => found,
            Reason::NoSignatures | Reason::Static(_) | Reason::Obstacle(_) => &[],
        },
    }
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Satisfied => "verified",
        Standing::Undecided => "undecided",
        Standing::Refused => "denied",
    }
}

fn coloured(standing: Standing, style: Style) -> String {
    match standing {
        Standing::Satisfied => style.good("verified"),
        Standing::Undecided => style.bad("could not be decided"),
        Standing::Refused => style.bad("not verified"),
    }
}

#[cfg(test)]
mod tests;
