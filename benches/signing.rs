//! What a signature costs by each kind of key, and what it costs to find that one is there already.
//! `cargo bench --bench signing` prints times and allocations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a benchmark fails by panicking, and is no library"
)]

use divan::{AllocProfiler, Bencher, black_box};
use hallmark::signature::dsse;
use hallmark::signature::key::Key;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const KEYS: [&str; 5] = ["p256.pem", "p384.pem", "p521.pem", "ed25519.pem", "rsa2048.pem"];
const MEDIA_TYPE: &str = "application/vnd.in-toto+json";
/// As long as the statement about a small TaskRun.
const STATEMENT: usize = 4 << 10;

fn main() {
    divan::main();
}

fn key(file: &str) -> Key {
    let path = format!("{}/tests/fixtures/keys/{file}", env!("CARGO_MANIFEST_DIR"));
    Key::from_pem(file, &std::fs::read(path).unwrap()).unwrap()
}

#[divan::bench(args = KEYS)]
fn signed(bencher: Bencher<'_, '_>, file: &str) {
    let (key, statement) = (key(file), vec![b'x'; STATEMENT]);
    bencher.bench(|| {
        let message = dsse::pre_authentication_encoding(MEDIA_TYPE, black_box(&statement));
        let signature = key.sign_now(&message).unwrap();
        dsse::envelope(MEDIA_TYPE, &statement, key.public_key().id(), &signature)
    });
}

#[divan::bench(args = KEYS)]
fn verified(bencher: Bencher<'_, '_>, file: &str) {
    let (key, statement) = (key(file), vec![b'x'; STATEMENT]);
    let message = dsse::pre_authentication_encoding(MEDIA_TYPE, &statement);
    let signature = key.sign_now(&message).unwrap();
    bencher.bench(|| assert!(key.public_key().verifies(black_box(&message), &signature)));
}

/// Once for each version of `signing-secrets`, not for each run.
#[divan::bench(args = KEYS)]
fn imported(file: &str) -> Key {
    key(file)
}
