//! The picture of an image and what hangs on it, and the same as JSON.

use serde::Serialize;

use super::summary::{Summary, printable};
use super::{Branch, Leaf, Tree};
use crate::cli::style::Style;
use crate::cli::verify::output::Signature;
use crate::cli::{Exit, refuse};
use crate::policy::evaluation::Checked;
use crate::policy::material::{Kind, Manifest};
use crate::policy::predicate;

#[derive(Serialize)]
struct Report {
    image: String,
    attached: Vec<Attached>,
}

#[derive(Serialize)]
struct Attached {
    kind: String,
    manifest: String,
    contents: Vec<Content>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    place: String,
    kind: &'static str,
    /// What the certificate says, which nobody has verified.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    claimed_identities: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_predicate_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<Signature>,
}

/// Prints JSON.
pub(super) fn json(tree: &Tree) {
    let attached = tree.branches.iter().map(|branch| Attached {
        kind: branch.attached.kind.clone(),
        manifest: name(&branch.attached.manifest),
        contents: branch.leaves.iter().map(content).collect(),
    });
    let report = Report { image: tree.image.to_string(), attached: attached.collect() };
    match serde_json::to_string_pretty(&report) {
        Ok(text) => println!("{text}"),
        Err(error) => {
            refuse(&error, Exit::Failed);
        }
    }
}

fn content(leaf: &Leaf) -> Content {
    let certificate = leaf.found.content.as_ref().ok().and_then(|material| material.certificate.as_ref());
    let verification = leaf
        .checked
        .clone()
        .map(|result| Signature::of(&Checked { place: leaf.found.place.clone(), result }));
    Content {
        place: leaf.found.place.to_string(),
        kind: kind(leaf),
        claimed_identities: certificate.map(|one| one.names().to_vec()).unwrap_or_default(),
        claimed_issuer: certificate.and_then(|one| one.issuer().map(str::to_owned)),
        claimed_predicate_type: leaf.statement.as_ref().map(|statement| statement.predicate_type.clone()),
        summary: leaf.statement.as_ref().and_then(Summary::of),
        verification,
    }
}

/// Prints the picture.
pub(super) fn text(tree: &Tree) {
    println!("{}", picture(tree, Style::of_stdout()));
}

pub(super) fn picture(tree: &Tree, style: Style) -> String {
    let mut lines = vec![style.bold(&tree.image.to_string())];
    if tree.branches.is_empty() {
        lines.push("└── nothing hangs on it".to_owned());
    }
    for (branch, rest) in tree.branches.iter().zip((0..tree.branches.len()).rev()) {
        let (knot, stem) = if rest == 0 { ("└── ", "    ") } else { ("├── ", "│   ") };
        lines.push(format!("{knot}{}", head(branch, style)));
        for (leaf, rest) in branch.leaves.iter().zip((0..branch.leaves.len()).rev()) {
            let (knot, under) = if rest == 0 { ("└── ", "    ") } else { ("├── ", "│   ") };
            let mut told = told(leaf, style).into_iter();
            lines.extend(told.next().map(|line| format!("{stem}{knot}{line}")));
            lines.extend(told.map(|line| format!("{stem}{under}{line}")));
        }
    }
    lines.join("\n")
}

fn head(branch: &Branch, style: Style) -> String {
    let what = match branch.attached.kind.as_str() {
        "sig" => "signatures",
        "att" => "attestations",
        "sbom" => "bill of materials",
        other => other,
    };
    format!("{} {}", style.bold(what), style.faint(&format!("({})", branch.attached.manifest.short())))
}

/// A line on what it is and who made it, and those of its summary.
fn told(leaf: &Leaf, style: Style) -> Vec<String> {
    let what = match &leaf.statement {
        Some(statement) => format!("attestation {}", printable(predicate::short(&statement.predicate_type))),
        None => kind(leaf).to_owned(),
    };
    let mut lines = vec![format!("{what}, {}", who(leaf, style))];
    let summary = leaf.statement.as_ref().and_then(Summary::of);
    lines.extend(summary.iter().flat_map(Summary::lines).map(|line| format!("  {line}")));
    lines
}

fn who(leaf: &Leaf, style: Style) -> String {
    let material = match &leaf.found.content {
        Ok(material) => material,
        Err(flaw) => return style.bad(&flaw.to_string()),
    };
    match &leaf.checked {
        Some(Ok(verified)) => {
            let at = verified.at.map(|at| format!(", not later than {at}")).unwrap_or_default();
            style.good(&format!("✓ signed by {}{at}", printable(&verified.by.to_string())))
        }
        Some(Err(flaw)) => style.bad(&format!("✗ {}", printable(&flaw.to_string()))),
        None => match &material.certificate {
            Some(certificate) => {
                let (names, issuer) =
                    (certificate.names().join(", "), certificate.issuer().unwrap_or("nobody"));
                let since = certificate.beginning();
                printable(&format!(
                    "claims to be signed by {names} of issuer {issuer}, after {since} (not verified)"
                ))
            }
            None => "signed by a key (not verified)".to_owned(),
        },
    }
}

fn kind(leaf: &Leaf) -> &'static str {
    match leaf.found.content.as_ref().map(crate::policy::material::Material::kind) {
        Ok(Kind::Signature) => "signature",
        Ok(Kind::Attestation) => "attestation",
        Err(_) => "unreadable",
    }
}

fn name(manifest: &Manifest) -> String {
    match manifest {
        Manifest::Tag(tag) => tag.clone(),
        Manifest::Referrer(digest) => digest.to_string(),
    }
}
