//! What a person reads, from a whole demo.

use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::cli::demo::verify;
use crate::cli::sign;
use crate::client::registry::Registry;
use crate::signature::key::keyring::KeyRing;

/// The steps of a demo in both styles, and its world.
async fn steps() -> (tempfile::TempDir, World, Vec<Step>, Vec<Step>) {
    // Fails only when another test was first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let place = tempfile::tempdir().unwrap();
    let world = World::build(&place.path().join("demo")).await.unwrap();
    let keys = KeyRing::import("the demo", &world.key_files().unwrap()).unwrap();
    let (run, objects) = world.run_and_objects().unwrap();
    let (config, registry) = (sign::defaults(), Registry::new().unwrap());
    let material = sign::Material::of_keys(keys, &config, &objects.registries).await.unwrap();
    let signed = sign::sign(run, Value::Null, &config, &material, &registry, &Arc::new(objects)).await;
    let pulled = verify::pull(world.address(), world.reader(), world.image()).await.unwrap();
    let elapsed = Duration::from_millis(120);
    let steps = |style| {
        let show = Show::new(style);
        vec![
            show.setting(&world),
            show.found(&signed.run),
            show.credentials(&signed.reports),
            show.pushed(world.image(), &signed.outcome, &pulled),
            show.verified(),
            show.ended(&world, elapsed),
            show.kept(&world, elapsed),
        ]
    };
    let (plain, coloured) = (steps(Style::PLAIN), steps(Style::COLOURED));
    (place, world, plain, coloured)
}

#[tokio::test]
async fn the_steps_fit_a_terminal_and_hold_no_password() {
    let (place, world, plain, _) = steps().await;
    // The directory of a test is longer than one that a person would type.
    let place = place.path().display().to_string();
    let lines: Vec<String> =
        plain.iter().flat_map(|step| &step.0).map(|line| line.replace(&place, ".")).collect();
    for line in &lines {
        assert!(line.chars().count() <= 100 || line.contains("hallmark-"), "{line}");
        assert!(!line.contains('\x1b') && !line.contains(world.reader().password.as_str()), "{line}");
    }
    assert!(lines.len() < 52, "{}", lines.len());
}

#[tokio::test]
async fn colours_change_no_word() {
    let (_place, _world, plain, coloured) = steps().await;
    for (plain, coloured) in plain.iter().zip(&coloured) {
        assert!(coloured.0.iter().any(|line| line.contains("\x1b[1m")), "{coloured:?}");
        let mut text = coloured.0.join("\n");
        for code in ["0", "1", "2", "31", "32"] {
            text = text.replace(&format!("\x1b[{code}m"), "");
        }
        assert_eq!(text, plain.0.join("\n"));
    }
    let credentials = coloured[2].0.join("\n");
    assert!(credentials.contains("denied (401 DENIED)\x1b[0m"), "{credentials:?}");
}

#[tokio::test]
async fn the_steps_say_what_happened() {
    let (_place, world, plain, _) = steps().await;
    let text: Vec<String> = plain.iter().map(|step| step.0.join("\n")).collect();
    let (address, image) = (world.address(), world.image());
    assert!(text[1].contains("TaskRun ci/build-app"), "{}", text[1]);
    assert!(text[1].contains(&format!("IMAGE_DIGEST  {}", image.digest)), "{}", text[1]);
    let report = [
        format!("   pull {address}/app: credential 1 of 3 was used"),
        format!("     1. serviceAccount.secrets ci/registry-pull ({address}), basic: used"),
        format!("   push {address}/app: credential 2 of 2 was used"),
        format!("     1. serviceAccount.secrets ci/registry-pull ({address}), basic: denied (401 DENIED)"),
        format!("     2. serviceAccount.secrets ci/registry-push ({address}), basic: used"),
    ];
    assert_eq!(plain[2].0[1..6], report);
    let hex = image.digest.hex();
    assert!(plain[3].0[1].ends_with(&image.to_string()));
    assert!(
        plain[3].0[3].ends_with(&format!("sha256-{hex}.sig"))
            && plain[3].0[5].ends_with(&format!("sha256-{hex}.att"))
    );
    assert!(plain[3].0[6].contains("SHA256:"), "{}", text[3]);
    assert!(text[5].contains("--keep --directory") && text[6].contains("cosign verify-attestation"));
}

#[test]
fn paths_are_quoted_where_a_shell_would_take_them_apart() {
    for (path, expected) in [
        ("hallmark-demo/cosign.pub", "hallmark-demo/cosign.pub"),
        ("/tmp/my demo", "'/tmp/my demo'"),
        ("it's", r"'it'\''s'"),
        ("$HOME;rm", "'$HOME;rm'"),
        ("", "''"),
        ("über", "'über'"),
    ] {
        assert_eq!(quoted(Path::new(path)), expected);
    }
}
