//! The image that `hack/image` makes (`hack/test image`): reproducible, valid, and its program runs alone in an empty,
//! read-only root as nobody in particular.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and it uses a part of what all tests share"
)]

mod name_server;
#[path = "../support/lib.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use name_server::NameServer;
use support::{Cosign, Hallmark, PlainRegistry, binary};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// An image of something that is no program, which takes a second instead of minutes.
async fn assembled(folder: &Path, binary: &Path) -> String {
    let mut command = Command::new(Path::new(ROOT).join("hack/image"));
    command.arg("--binary").arg(binary).arg("--output").arg(folder);
    succeeded(&run(command).await).trim().to_owned()
}

fn parsed(file: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn blob(layout: &Path, descriptor: &Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().unwrap();
    layout.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())
}

#[tokio::test]
async fn the_same_binary_gives_the_same_image_whenever_and_wherever_it_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let (one, other) = (file("one", "program"), file("other", "another program"));
    let first = assembled(&folder.path().join("a"), &one).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(assembled(&folder.path().join("b"), &file("copy", "program")).await, first);
    assert_ne!(assembled(&folder.path().join("c"), &other).await, first);
    let tar = |name: &str| fs::read(folder.path().join(name).join("hallmark.tar")).unwrap();
    assert!(tar("a") == tar("b"), "the tarballs differ");
}

#[tokio::test]
async fn layout_and_tarball_are_the_image_that_a_registry_then_serves() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    fs::write(&program, "program").unwrap();
    let image = folder.path().join("image");
    let digest = assembled(&image, &program).await;
    assert_eq!(fs::read_to_string(image.join("digest")).unwrap().trim(), digest);

    let registry = PlainRegistry::start().await;
    let host = registry.access().host.clone();
    let crane = |arguments: &[&str]| {
        let mut command = Command::new(binary("crane"));
        command.args(arguments).current_dir(&image).env("HOME", folder.path());
        run(command)
    };
    succeeded(&crane(&["validate", "--tarball", "hallmark.tar"]).await);
    succeeded(&crane(&["push", "layout", &format!("{host}/hallmark:layout")]).await);
    assert_eq!(succeeded(&crane(&["digest", &format!("{host}/hallmark:layout")]).await).trim(), digest);
    succeeded(&crane(&["validate", "--remote", &format!("{host}/hallmark:layout")]).await);

    let layout = image.join("layout");
    let manifest = parsed(blob(&layout, &parsed(layout.join("index.json"))["manifests"][0]));
    let config = parsed(blob(&layout, &manifest["config"]));
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"], json!(["/hallmark"]));
    assert_eq!(config["config"]["Cmd"], json!(["controller"]));
}

/// What `hack/image --run` writes down of a build is signed as any run is.
#[tokio::test]
async fn the_image_is_signed_by_hallmark_itself_with_the_provenance_of_its_own_build() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    // The program that is in the image is the one that signs it.
    fs::copy(env!("CARGO_BIN_EXE_hallmark"), &program).unwrap();
    let (image, registry) = (folder.path().join("image"), PlainRegistry::start().await);
    let repository = format!("{}/hallmark", registry.access().host);
    let mut build = Command::new(Path::new(ROOT).join("hack/image"));
    build.args(["--run", &repository, "--binary"]).arg(&program).arg("--output").arg(&image);
    let digest = succeeded(&run(build).await).trim().to_owned();
    let mut push = Command::new(binary("crane"));
    push.args(["push", "layout", &format!("{repository}:v0")]).current_dir(&image).env("HOME", folder.path());
    succeeded(&run(push).await);

    let key = |name: &str| format!("{ROOT}/tests/fixtures/keys/{name}");
    let (file, private) = (image.join("run.json"), key("p256.pem"));
    Hallmark::run(&["sign", "-f", file.to_str().unwrap(), "--key", &private], &[]).await.succeeded();
    let (cosign, public) = (Cosign::new(&registry.access()), PathBuf::from(key("p256.pub")));
    let reference = format!("{repository}@{digest}");
    cosign.verify(&public, &reference).await.succeeded();
    let attested = cosign.verify_attestation(&public, "slsaprovenance", &reference).await.succeeded();
    let envelope: Value = serde_json::from_str(attested.stdout.lines().next().unwrap()).unwrap();
    let payload = BASE64_STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(statement["subject"][0]["digest"]["sha256"], digest.strip_prefix("sha256:").unwrap());
    let parameters = &statement["predicate"]["invocation"]["parameters"];
    for (name, starts) in
        [("rustc", "rustc 1."), ("revision", &revision().await[..]), ("cargo-lock-sha256", "")]
    {
        let value = parameters[name].as_str().unwrap_or_else(|| panic!("{name} is not in {parameters}"));
        assert!(value.starts_with(starts), "{name}: {value}");
    }
    assert_eq!(statement["predicate"]["buildConfig"]["steps"][0]["entryPoint"], "hack/image");
}

async fn revision() -> String {
    let mut git = Command::new("git");
    git.args(["rev-parse", "HEAD"]).current_dir(ROOT);
    String::from_utf8(run(git).await.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn the_bill_of_materials_names_what_cargo_lock_has_with_the_same_checksums() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    fs::write(&program, "program").unwrap();
    assembled(&folder.path().join("image"), &program).await;
    let bill = parsed(folder.path().join("image/sbom.cdx.json"));
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&json!("CycloneDX"), &json!("1.5")));

    let lock: toml::Table = fs::read_to_string(Path::new(ROOT).join("Cargo.lock")).unwrap().parse().unwrap();
    let text = |package: &toml::Value, key: &str| Some(package.get(key)?.as_str()?.to_owned());
    let locked: BTreeMap<(String, String), String> = lock["package"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|p| Some(((text(p, "name")?, text(p, "version")?), text(p, "checksum")?)))
        .collect();
    let mut listed = BTreeSet::new();
    for component in bill["components"].as_array().unwrap() {
        let word = |key: &str| component[key].as_str().unwrap().to_owned();
        let package = (word("name"), word("version"));
        assert_eq!(component["hashes"][0]["content"], locked[&package].as_str(), "{package:?}");
        assert_eq!(word("purl"), format!("pkg:cargo/{}@{}", package.0, package.1));
        assert!(component["licenses"][0]["expression"].is_string(), "{package:?} has no licence");
        assert!(listed.insert(package.clone()), "{package:?} twice");
    }
    let names: BTreeSet<_> = listed.iter().map(|(name, _)| name.as_str()).collect();
    for linked in ["tokio", "rustls", "aws-lc-sys", "kube", "sigstore", "spiffe"] {
        assert!(names.contains(linked), "{linked} is missing");
    }
    // Of tests alone, of the compiler alone, of a feature that is off, of another system.
    for unlinked in ["bcrypt", "serde_derive", "cryptoki", "windows-sys"] {
        assert!(!names.contains(unlinked), "{unlinked} is not in the binary");
    }
}

/// The image of `hack/image`, unpacked: what a container starts with. `$HALLMARK_IMAGE` says where it lies.
async fn unpacked() -> tempfile::TempDir {
    let image = std::env::var_os("HALLMARK_IMAGE").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("image"),
        PathBuf::from,
    );
    let layout = image.join("layout");
    assert!(layout.exists(), "{} is missing: run hack/image", layout.display());
    let manifest = parsed(blob(&layout, &parsed(layout.join("index.json"))["manifests"][0]));
    let root = tempfile::tempdir().unwrap();
    for layer in manifest["layers"].as_array().unwrap() {
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(blob(&layout, layer)).arg("-C").arg(root.path());
        succeeded(&run(tar).await);
    }
    // As the folder of a container is, for the user that it runs as.
    let mut chmod = Command::new("chmod");
    chmod.arg("755").arg(root.path());
    succeeded(&run(chmod).await);
    root
}

/// Runs the image's program in `root`, read-only, as the user of the image, with the image's variables.
async fn contained(root: &Path, arguments: &[&str]) -> Output {
    const CONTAIN: &str = r#"set -eu
root=$1
shift
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
exec chroot --userspec=65532:65532 "$root" /hallmark "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", CONTAIN, "contained"]);
    command.arg(root).args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("HOME", "/home/nonroot").env("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt");
    run(command).await
}

#[tokio::test]
async fn the_image_holds_the_program_the_authorities_and_nothing_that_could_be_run_beside_it() {
    let root = unpacked().await;
    let mut find = Command::new("find");
    find.args([".", "-type", "f"]).current_dir(root.path());
    let found = succeeded(&run(find).await);
    let mut files: Vec<_> = found.lines().collect();
    files.sort_unstable();
    let expected = [
        "./etc/group",
        "./etc/nsswitch.conf",
        "./etc/passwd",
        "./etc/ssl/certs/ca-certificates.crt",
        "./hallmark",
    ];
    assert_eq!(files, expected);
    let program = fs::read(root.path().join("hallmark")).unwrap();
    // Where crates and the compiler lie; `/cargo` and `/src` stand for them in the program.
    let home = std::env::var_os("HOME").unwrap().into_string().unwrap();
    for place in [ROOT.to_owned(), format!("{home}/.cargo"), format!("{home}/.rustup")] {
        let named = program.windows(place.len()).any(|window| window == place.as_bytes());
        assert!(!named, "the program names {place}, a folder of the machine that built it");
    }
}

#[tokio::test]
async fn the_program_runs_alone_in_a_read_only_root_and_cannot_write_to_it() {
    let root = unpacked().await;
    let version = succeeded(&contained(root.path(), &["--version"]).await);
    assert_eq!(version.trim(), concat!("hallmark ", env!("CARGO_PKG_VERSION")));
    let kept = contained(root.path(), &["demo", "--keep"]).await;
    let said = String::from_utf8_lossy(&kept.stderr).into_owned();
    assert!(!kept.status.success() && said.contains("Read-only file system"), "{said}");
}

/// The host that the first request names.
async fn named_host(listener: &TcpListener) -> String {
    loop {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut received = vec![0; 4096];
        let length = connection.read(&mut received).await.unwrap();
        let request = String::from_utf8_lossy(&received[..length]).to_lowercase();
        if let Some(host) = request.lines().find_map(|line| line.strip_prefix("host: ")) {
            return host.to_owned();
        }
    }
}

#[tokio::test]
async fn names_are_resolved_by_the_name_server_that_the_kubelet_writes_down() {
    let root = unpacked().await;
    let server = NameServer::start("fulcio.of-a-test.example").await;
    fs::write(root.path().join("etc/resolv.conf"), format!("nameserver {}\n", server.address)).unwrap();
    fs::write(root.path().join("etc/hosts"), "127.0.0.1 by-file.example\n").unwrap();
    let claims = json!({"iss": "https://issuer.example", "sub": "spiffe://a/b", "aud": "sigstore",
        "exp": 4_000_000_000_u64});
    let encoded = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!("{}.{}.c2ln", encoded(&json!({"alg": "ES256"})), encoded(&claims));
    fs::write(root.path().join("token"), token).unwrap();

    for name in ["fulcio.of-a-test.example", "by-file.example"] {
        // Its own for each: a program that asked again before it was ended would be heard for the next.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = format!("http://{name}:{port}");
        let arguments = ["identity", "--token-file", "/token", "--fulcio", &address, "--allow-http"];
        tokio::select! {
            host = named_host(&listener) => assert_eq!(host, format!("{name}:{port}")),
            output = contained(root.path(), &arguments) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        }
    }
    assert!(server.asked() > 0, "nobody asked the name server");
}
