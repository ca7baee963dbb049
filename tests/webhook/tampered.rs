//! Signed images with one thing about each changed: Hallmark refuses every one with a reason that names what is wrong, and
//! what cosign makes of each is the table in docs/verify.md.

pub mod artifact;
mod cases;
pub mod forge;

use std::fmt::Write as _;

use futures::stream::{self, StreamExt as _};

use crate::support::{Finished, PlainRegistry};
use artifact::{Artifact, Base};
use cases::{CASES, Case};
use forge::{Forge, Leaf};

/// Two processes are started for each case.
const AT_ONCE: usize = 3;

/// What was answered to one case.
struct Answers {
    hallmark: Finished,
    cosign: Finished,
}

async fn asked(forge: &Forge, registry: &PlainRegistry, number: usize, case: &Case) -> Answers {
    let repository = format!("tampered/{number}");
    let mut artifact = Artifact::new(forge, registry, case.base, &case.leaf, &repository).await;
    (case.change)(&mut artifact, forge);
    artifact.put(registry).await;
    let (hallmark, cosign) = tokio::join!(artifact.hallmark(forge), artifact.cosign(forge));
    Answers { hallmark, cosign }
}

/// What is wrong with the answers, if anything is.
fn judged(case: &Case, Answers { hallmark, cosign }: &Answers) -> Option<String> {
    let printed = format!("{}{}", hallmark.stdout, hallmark.stderr);
    let mut wrong = String::new();
    if hallmark.code != Some(3) {
        let _ = write!(wrong, " exit code {:?};", hallmark.code);
    }
    for text in [case.code, case.says] {
        if !printed.contains(text) {
            let _ = write!(wrong, " {text:?} is not said;");
        }
    }
    let accepted = cosign.code == Some(0);
    if accepted != case.cosign_accepts.is_some() {
        let _ = write!(wrong, " cosign accepts: {accepted}: {};", cosign.stderr);
    }
    (!wrong.is_empty()).then(|| format!("{}:{wrong}\n{printed}", case.what))
}

#[tokio::test]
async fn every_tampered_artifact_is_refused_with_a_reason_that_names_what_is_wrong() {
    let (forge, registry) = (Forge::start().await, PlainRegistry::start().await);
    let answers: Vec<_> = stream::iter(CASES.iter().enumerate())
        .map(async |(index, case)| (case, asked(&forge, &registry, index + 1, case).await))
        .buffered(AT_ONCE)
        .collect()
        .await;
    let wrong: Vec<_> = answers
        .iter()
        .zip(1..)
        .filter_map(|((case, answers), number)| Some(format!("{number}. {}", judged(case, answers)?)))
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
    assert!(CASES.len() >= 40);
}

#[tokio::test]
async fn what_the_cases_are_made_of_is_accepted_by_hallmark_and_cosign_before_it_is_changed() {
    let (forge, registry) = (Forge::start().await, PlainRegistry::start().await);
    for base in [Base::Key, Base::Attested, Base::Logged, Base::Stamped, Base::Bundled] {
        let repository = format!("good/{base:?}").to_lowercase();
        let artifact = Artifact::new(&forge, &registry, base, &Leaf::GOOD, &repository).await;
        artifact.put(&registry).await;
        artifact.hallmark(&forge).await.succeeded();
        artifact.cosign(&forge).await.succeeded();
    }
}

/// The table of docs/verify.md, in the order of the cases.
fn table() -> String {
    let mut table = "| | what was changed | Hallmark | cosign |\n|---|---|---|---|\n".to_owned();
    for (case, number) in CASES.iter().zip(1..) {
        let cosign = case.cosign_accepts.map_or("refuses".to_owned(), |why| format!("**accepts**: {why}"));
        let _ = writeln!(table, "| {number} | {} | `{}` | {cosign} |", case.what, case.code);
    }
    table
}

#[test]
fn the_documentation_lists_every_case() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/verify.md");
    let text = std::fs::read_to_string(file).unwrap();
    let (begins, ends) = (text.find("| | what was changed").unwrap(), "\nThe test ");
    let end = begins + text[begins..].find(ends).unwrap();
    if std::env::var_os("HALLMARK_BLESS").is_some() {
        std::fs::write(file, format!("{}{}{}", &text[..begins], table(), &text[end..])).unwrap();
    } else {
        assert_eq!(&text[begins..end], table(), "HALLMARK_BLESS=1 writes it anew");
    }
}
