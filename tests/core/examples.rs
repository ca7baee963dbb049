//! The four examples of the document that the registry configuration comes from, with nothing but their certificates
//! exchanged: real registries and a real proxy under the names and ports of the examples, in a network and mount
//! namespace of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::named::Issuer;
use crate::support::{Access, Crane, Dropped, Finished, Hallmark, PlainRegistry, PushedImage};

const INSIDE: &str = "examples::inside_a_namespace_of_its_own";
const MARKER: &str = "HALLMARK_IN_A_NAMESPACE";
const UNSHARE: [&str; 4] = ["--user", "--map-root-user", "--net", "--mount"];

const HOSTS: &str = "127.0.0.1 localhost
127.0.0.2 registry.corp
127.0.0.3 ghcr.io
127.0.0.4 other.example
127.0.0.5 proxy.corp
127.0.0.1 registry.default.svc.cluster.local
127.0.0.7 very-secure.registri.es
";

const EXAMPLE_1: &str = r#"
[extra-env]
HTTP_PROXY = "https://proxy.corp"
HTTPS_PROXY = "https://proxy.corp"
NO_PROXY = ".corp"
[registries."registry.corp."]
ca-certs = '''
@PEM@
'''
[registries."ghcr.io."]
auth = "YnVyZ2VyZGV2OnRoaXNpc25vdG15cGFzc3dvcmQ="
"#;

const EXAMPLE_2: &str = r#"
[registries."very-secure.registri.es."]
auth = "bmljZTp0cnk="
ca-certs = '''
Root CA 1
@OTHER@
Root CA 2
@PEM@
'''
[registries."."]
ca-certs = "no PEM here means no CA certificates"
"#;

const EXAMPLE_3: &str = r#"
[registries."registry.default.svc.cluster.local."]
insecure-skip-verify = true
"#;

const EXAMPLE_4: &str = "";

#[tokio::test(flavor = "multi_thread")]
async fn the_four_examples_work_under_their_own_names_and_ports() {
    let allowed = Command::new("unshare").args(UNSHARE).args(["ip", "link", "set", "lo", "up"]).output();
    let refusal = match &allowed {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(refusal) = refusal {
        println!("skipped: the four examples need unshare and ip, which do not work here: {refusal}");
        return;
    }
    let mut inside = Command::new("unshare");
    inside.args(UNSHARE).arg(std::env::current_exe().unwrap()).env(MARKER, "1");
    inside.args(["--ignored", "--exact", "--nocapture", INSIDE]);
    let output = tokio::task::spawn_blocking(move || inside.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let (said, complained) = (said.as_ref(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    for done in ["example 1 works", "example 2 works", "example 3 works", "example 4 works"] {
        assert!(said.contains(done), "{done} is not in {said}");
    }
}

struct World {
    folder: tempfile::TempDir,
    /// Stands for the web PKI.
    web: Issuer,
}

/// Runs only as the child of the test above, whose hosts and ports it takes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the other half of the_four_examples_work_under_their_own_names_and_ports"]
async fn inside_a_namespace_of_its_own() {
    assert!(std::env::var_os(MARKER).is_some(), "it would bind the machine's own /etc/hosts and ports");
    let world = World { folder: tempfile::tempdir().unwrap(), web: Issuer::new() };
    world.hosts();
    let (corp, secure, stranger) = (Issuer::new(), Issuer::new(), Issuer::new());
    let _corp = corp.registry("registry.corp", "127.0.0.2:443", None).await;
    let ghcr_login = ("burgerdev", "thisisnotmypassword");
    let _ghcr = world.web.registry("ghcr.io", "127.0.0.3:443", Some(ghcr_login)).await;
    let _other = world.web.registry("other.example", "127.0.0.4:443", None).await;
    let secure_login = ("nice", "try");
    let _secure = secure.registry("very-secure.registri.es", "127.0.0.7:443", Some(secure_login)).await;
    let proxy = world.web.proxy("proxy.corp", "127.0.0.5:443");

    let inner = push("registry.corp", Some(&corp), None).await;
    let public = push("ghcr.io", Some(&world.web), Some(ghcr_login)).await;
    let other = push("other.example", Some(&world.web), None).await;
    let locked = push("very-secure.registri.es", Some(&secure), Some(secure_login)).await;

    let example = EXAMPLE_1.replace("@PEM@", corp.pem().trim());
    world.sign(&example, &inner).await.succeeded();
    assert_eq!(proxy.tunnels(), Vec::<String>::new(), "NO_PROXY");
    world.sign(&example, &public).await.succeeded();
    assert!(proxy.tunnels().iter().any(|tunnel| tunnel == "ghcr.io:443"));
    world.sign(&example, &other).await.succeeded();
    assert!(proxy.tunnels().iter().any(|tunnel| tunnel == "other.example:443"));
    assert_signed(&public, &world.web, Some(ghcr_login)).await;
    assert_signed(&inner, &corp, None).await;
    println!("example 1 works");

    let example = EXAMPLE_2.replace("@PEM@", secure.pem().trim()).replace("@OTHER@", stranger.pem().trim());
    world.sign(&example, &locked).await.succeeded();
    assert_signed(&locked, &secure, Some(secure_login)).await;
    for forbidden in [&inner, &other] {
        let refused = world.sign(&example, forbidden).await.failed();
        let said = format!("{}{}", refused.stdout, refused.stderr);
        assert!(said.contains("no trusted TLS connection to"), "{said}");
    }
    println!("example 2 works");

    let _dropped = Dropped::at("127.0.0.1:443").await;
    let plain = PlainRegistry::start_at("registry.default.svc.cluster.local", 80).await;
    let image = plain.put_image("team/app").await;
    world.sign(EXAMPLE_3, &image).await.succeeded();
    let signatures: Vec<String> =
        plain.requests().into_iter().filter(|request| request.contains(".sig")).collect();
    assert!(signatures.iter().any(|request| request.starts_with("PUT")), "{signatures:?}");
    world.sign(EXAMPLE_3, &other).await.succeeded();
    world.sign(EXAMPLE_3, &inner).await.failed();
    println!("example 3 works");

    world.sign(EXAMPLE_4, &other).await.succeeded();
    let refused = world.sign(EXAMPLE_4, &inner).await.failed();
    assert!(format!("{}{}", refused.stdout, refused.stderr).contains("no trusted TLS connection"));
    world.sign(EXAMPLE_4, &image).await.failed();
    println!("example 4 works");
}

impl World {
    /// Names of this mount namespace alone.
    fn hosts(&self) {
        let file = self.folder.path().join("hosts");
        fs::write(&file, HOSTS).unwrap();
        let run = |command: &mut Command| assert!(command.status().unwrap().success(), "{command:?}");
        run(Command::new("ip").args(["link", "set", "lo", "up"]));
        run(Command::new("mount").args(["--bind", file.to_str().unwrap(), "/etc/hosts"]));
    }

    /// `hallmark sign` of a run that built `image`, under this registry configuration.
    async fn sign(&self, config: &str, image: &PushedImage) -> Finished {
        let file = self.written("registries.toml", config);
        let run = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"name": "build", "namespace": "ci"}, "spec": {},
            "status": {"conditions": [{"type": "Succeeded", "status": "True"}], "results": [
                {"name": "IMAGE_URL", "type": "string", "value": image.repository},
                {"name": "IMAGE_DIGEST", "type": "string", "value": image.digest}]}});
        let run = self.written("run.json", &run.to_string());
        let key = format!("{}/tests/fixtures/keys/p256.pem", env!("CARGO_MANIFEST_DIR"));
        let web = self.web.certificate();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let arguments = ["sign", "-f", &text(&run), "--key", &key, "--registry-config", &text(&file)];
        Hallmark::run(&arguments, &[("SSL_CERT_FILE", &text(&web))]).await
    }

    fn written(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

fn access(host: &str, issuer: Option<&Issuer>, login: Option<(&str, &str)>) -> Access {
    let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
    Access { host: host.to_owned(), ca: issuer.map(Issuer::certificate), login }
}

async fn push(host: &str, issuer: Option<&Issuer>, login: Option<(&str, &str)>) -> PushedImage {
    Crane::new(&access(host, issuer, login)).push_random_image("team/app").await
}

async fn assert_signed(image: &PushedImage, issuer: &Issuer, login: Option<(&str, &str)>) {
    let host = image.repository.split('/').next().unwrap();
    let crane = Crane::new(&access(host, Some(issuer), login));
    for suffix in ["sig", "att"] {
        assert!(crane.manifest(&image.cosign_tag(suffix)).await.is_some(), "{suffix} of {image:?}");
    }
}
