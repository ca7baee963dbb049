//! What the agent has of its own serves a run that has nothing: Secrets of its service account, helper programs, files
//! that docker and podman wrote; and only where the operator allows it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::agent::{Agent, SOON, stopped_well};
use crate::credentials::account;
use crate::main_path::TO_REGISTRY;
use crate::support::{Access, Authentication, Crane, Distribution, Hallmark, PushedImage, TokenUser};

struct World {
    registry: Distribution,
    builder: TokenUser,
    image: PushedImage,
    agent: Agent,
    kubeconfig: PathBuf,
    home: tempfile::TempDir,
}

impl World {
    /// An agent that runs as the account `own`; the runs have no credentials.
    async fn new() -> Self {
        let builder = TokenUser::new("builder", "canary-of-the-agent").push("team/");
        let registry = Distribution::start(Authentication::Token(vec![builder.clone()])).await;
        let image = Crane::new(&registry.access(Some(builder.login()))).push_random_image("team/app").await;
        let agent = Agent::prepare("own", &registry.access(None), TO_REGISTRY).await;
        let kubeconfig = account(&agent, "own", &["pods", "serviceaccounts", "secrets"]).await;
        Self { registry, builder, image, agent, kubeconfig, home: tempfile::tempdir().unwrap() }
    }

    fn login(&self) -> Access {
        self.registry.access(Some(self.builder.login()))
    }

    fn start(&self, environment: &[(&str, &str)]) -> Hallmark {
        self.agent.start_in(&self.kubeconfig, &[], environment)
    }

    async fn build(&self, name: &str) {
        self.agent.build(name, &self.registry.access(None), &self.image).await;
    }

    /// The credential that a run was signed with.
    async fn used(&self, name: &str) -> String {
        assert_eq!(self.agent.mark(name, SOON).await, "true");
        self.agent.annotations(name).await["chains.tekton.dev/registry-credential"].clone()
    }

    async fn allow(&self, more: &[(&str, &str)], hallmark: &Hallmark, generation: u32) {
        self.agent.configure(&[TO_REGISTRY, more].concat()).await;
        hallmark.line(&format!("\"generation\":{generation}"), SOON).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agents_own_account_lends_its_secrets_to_whom_the_operator_allows() {
    let world = World::new().await;
    let agent = &world.agent;
    agent.cluster.registry_secret(&agent.namespace, "of-agent", &world.login()).await;
    agent.cluster.set_pull_secrets(&agent.namespace, "own", &["of-agent"]).await;
    let hallmark = world.start(&[]);
    world.build("lent").await;
    let host = world.registry.host();
    let expected =
        format!("controller.serviceAccount.imagePullSecrets {}/of-agent ({host})", agent.namespace);
    assert_eq!(world.used("lent").await, expected);

    world.allow(&[("registry.controller-credentials", "never")], &hallmark, 2).await;
    let other = Crane::new(&world.login()).push_random_image("team/other").await;
    agent.build("refused", &world.registry.access(None), &other).await;
    agent.event(&["RegistryAuthFailed", "team/other", "no credential matches"]).await;

    let elsewhere = [
        ("registry.controller-credentials", "allowlist"),
        ("registry.controller-credentials.allow", "elsewhere=**"),
    ];
    world.allow(&elsewhere, &hallmark, 3).await;
    let third = Crane::new(&world.login()).push_random_image("team/third").await;
    agent.build("unlisted", &world.registry.access(None), &third).await;
    hallmark.line("NotAllowed: entry", SOON).await;
    agent.event(&["RegistryAuthFailed", "team/third"]).await;
    let said = stopped_well(hallmark).join("\n");
    assert!(!said.contains("canary-of-the-agent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_of_the_agents_own_file_is_run_when_its_turn_comes() {
    let world = World::new().await;
    let (agent, home) = (&world.agent, world.home.path());
    let (user, password) = world.builder.login();
    let script = format!(
        "#!/bin/sh\nread server\necho \"$1 $server\" >> {0}/asked\nenv >> {0}/environment\n\
         printf '{{\"ServerURL\":\"%s\",\"Username\":\"{user}\",\"Secret\":\"{password}\"}}' \"$server\"\n",
        home.display()
    );
    let program = home.join("docker-credential-test");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let host = world.registry.host();
    let config = home.join("config.json");
    fs::write(&config, json!({"auths": {&host: {}}, "credHelpers": {&host: "test"}}).to_string()).unwrap();
    let path = format!("{}:/usr/bin:/bin", home.display());
    let environment = [
        ("PATH", path.as_str()),
        ("DOCKER_CONFIG", home.to_str().unwrap()),
        ("COSIGN_PASSWORD", "canary-of-the-key"),
        ("PASSED_ON", "to the helper"),
    ];
    let hallmark = world.start(&environment);
    agent.cluster.registry_secret(&agent.namespace, "of-run", &world.login()).await;
    agent.cluster.set_secrets(&agent.namespace, "default", &["of-run"]).await;
    world.build("served").await;
    assert!(world.used("served").await.starts_with("serviceAccount.secrets"));
    assert!(!home.join("asked").exists(), "nobody needed the helper");

    agent.cluster.set_secrets(&agent.namespace, "default", &[]).await;
    let other = Crane::new(&world.login()).push_random_image("team/other").await;
    agent.build("helped", &world.registry.access(None), &other).await;
    let expected = format!("controller.helper:test {} ({host})", config.display());
    assert_eq!(world.used("helped").await, expected);
    assert_eq!(fs::read_to_string(home.join("asked")).unwrap(), format!("get {host}\n"), "once");
    let environment = fs::read_to_string(home.join("environment")).unwrap();
    assert!(environment.contains("PASSED_ON=to the helper"));
    assert!(!environment.contains("canary-of-the-key"), "no helper needs the password of the key");
    let said = stopped_well(hallmark).join("\n");
    assert!(!said.contains("canary"), "no secret is said");
}

/// How a program of somebody else logs in, and where it then keeps the login.
struct Login {
    program: &'static str,
    variable: &'static str,
    more: &'static [&'static str],
}

const LOGINS: [Login; 3] = [
    // Without a daemon docker logs in by itself.
    Login { program: "docker", variable: "DOCKER_CONFIG", more: &[] },
    Login { program: "podman", variable: "REGISTRY_AUTH_FILE", more: &["--tls-verify=true"] },
    Login { program: "skopeo", variable: "REGISTRY_AUTH_FILE", more: &["--tls-verify=true"] },
];

#[tokio::test(flavor = "multi_thread")]
async fn files_that_docker_podman_and_skopeo_wrote_at_a_login_are_credentials() {
    let world = World::new().await;
    for login in LOGINS {
        if !on_path(login.program) {
            println!("skipped: {} is not on PATH", login.program);
            continue;
        }
        let home = world.home.path().join(login.program);
        fs::create_dir(&home).unwrap();
        let place = if login.variable == "DOCKER_CONFIG" { home.clone() } else { home.join("auth.json") };
        log_in(&world, &login, &home, &place).await;
        let file = if place.is_dir() { place.join("config.json") } else { place.clone() };
        let written = fs::read_to_string(&file).unwrap();
        assert!(written.contains(&world.registry.host()), "{}: {written}", login.program);
        let hallmark = world.start(&[(login.variable, place.to_str().unwrap())]);
        let image = Crane::new(&world.login()).push_random_image(&format!("team/{}", login.program)).await;
        world.agent.build(login.program, &world.registry.access(None), &image).await;
        let host = world.registry.host();
        let expected = format!("controller.dockerConfig {} ({host})", file.display());
        assert_eq!(world.used(login.program).await, expected);
        stopped_well(hallmark);
    }
}

async fn log_in(world: &World, login: &Login, home: &Path, place: &Path) {
    let (user, password) = world.builder.login();
    let input = home.join("password");
    fs::write(&input, password).unwrap();
    let mut command = Command::new(login.program);
    command.arg("login").args(login.more).args(["-u", &user, "--password-stdin", &world.registry.host()]);
    command.env("HOME", home).env("XDG_RUNTIME_DIR", home).env(login.variable, place);
    command.env("SSL_CERT_FILE", world.login().ca.unwrap());
    let output = tokio::task::spawn_blocking(move || {
        command.stdin(Stdio::from(fs::File::open(input).unwrap())).output().unwrap()
    });
    let output = output.await.unwrap();
    assert!(output.status.success(), "{}: {output:?}", login.program);
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
