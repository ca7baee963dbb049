//! What a person sees who waits: a line on a terminal, and nothing where a program reads.

use tokio::net::TcpListener;

use crate::support::{Finished, eventually};

/// Runs hallmark against a registry that takes connections and never answers, until a person has seen something of it.
async fn verify(terminal: bool) -> Finished {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/p256.pub");
    let image = format!("{}/team/app:v1", listener.local_addr().unwrap());
    // It is ended by a signal long before it would give up.
    let command = format!("timeout 5 {} verify {image} --key {key}", env!("CARGO_BIN_EXE_hallmark"));
    let script =
        if terminal { format!("script -qec 'stty rows 40 cols 80; {command}' typescript") } else { command };
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]).current_dir(folder.path()).env_clear().env("PATH", "/usr/bin:/bin");
    shell.env("HOME", folder.path()).stdin(std::process::Stdio::null());
    let ended = crate::support::run(shell);
    let silent = async {
        let mut kept = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            kept.push(connection);
        }
    };
    tokio::select! { finished = ended => finished, () = silent => unreachable!("it listens") }
}

#[tokio::test]
async fn on_a_terminal_a_line_says_how_far_it_is() {
    let seen = eventually("a line", std::time::Duration::from_mins(1), async || {
        Some(verify(true).await.stdout).filter(|seen| seen.contains("verifying ..."))
    })
    .await;
    // Each line takes the place of the one before.
    let line = seen.split('\r').find(|line| line.starts_with("verifying ...")).unwrap();
    assert!(line.trim_end_matches(['\n', '\r']).ends_with("s\u{1b}[K"), "{line:?}");
}

#[tokio::test]
async fn where_a_program_reads_there_is_no_such_line() {
    let finished = verify(false).await;
    assert!(!finished.stdout.contains("verifying") && !finished.stderr.contains("verifying ..."));
}
