//! A person with a home, an identity, and the tools of others: crane, cosign and a shell.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::{Finished, Hallmark, Known, binary};
use crate::world::{World, finished, text};

pub struct Person<'a> {
    pub world: &'a World,
    pub home: TempDir,
    pub identity: String,
}

impl<'a> Person<'a> {
    /// Somebody whose identity token, of a service account, may assume an identity of his own.
    pub async fn new(world: &'a World, prefix: &str, ttl: i64) -> Self {
        let namespace = world.cluster.namespace(prefix).await;
        let identity = format!("org/{namespace}");
        world.sts.knows(&identity, Known::account(&world.cluster, &namespace, "default", ttl));
        let home = tempfile::tempdir().unwrap();
        let token = world.cluster.token_for(&namespace, "default", "issuer.enforce.dev").await;
        std::fs::write(home.path().join("token"), token).unwrap();
        // One file for all of them: crane trusts the registry by it, the helper that it starts the token service.
        let authorities = format!("{}\n{}", world.sts.ca_pem(), world.registry.ca_pem());
        std::fs::write(home.path().join("ca.pem"), authorities).unwrap();
        for folder in [".config/hallmark", "bin", ".docker"] {
            std::fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        std::fs::copy(world.providers(), home.path().join(".config/hallmark/providers.toml")).unwrap();
        std::os::unix::fs::symlink(binary("crane"), home.path().join("bin/crane")).unwrap();
        Self { world, home, identity }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn docker_config(&self) -> PathBuf {
        self.file(".docker/config.json")
    }

    pub fn read_docker_config(&self) -> String {
        std::fs::read_to_string(self.docker_config()).unwrap()
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let home = text(self.home.path());
        vec![
            ("HOME", home.to_owned()),
            ("PATH", format!("{home}/bin:/usr/bin:/bin")),
            ("SSL_CERT_FILE", format!("{home}/ca.pem")),
        ]
    }

    /// Runs hallmark to its end.
    pub async fn hallmark(&self, arguments: &[&str]) -> Finished {
        let environment = self.environment();
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Hallmark::run(arguments, &environment).await
    }

    /// `hallmark auth VERB` for the registry of the world, as this identity.
    pub async fn auth(&self, verb: &[&str], more: &[&str]) -> Finished {
        let (registry, token) = (self.world.registry.host(), self.file("token"));
        let mut arguments = vec!["auth"];
        arguments.extend(verb);
        arguments.extend([
            "--registry",
            &registry,
            "--identity",
            &self.identity,
            "--identity-token",
            text(&token),
        ]);
        arguments.extend(more);
        self.hallmark(&arguments).await
    }

    /// Has docker ask hallmark.
    pub async fn configure(&self) -> Finished {
        let bin = self.file("bin");
        self.auth(&["configure-docker"], &["--bin-dir", text(&bin)]).await.succeeded()
    }

    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.environment()).current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    /// A tool of somebody else.
    pub async fn run(&self, program: &str, arguments: &[&str]) -> Finished {
        let mut command = self.command(&binary(program));
        command.args(arguments);
        finished(command).await
    }

    /// A script, with everything in `bin` at hand.
    pub async fn shell(&self, script: &str) -> Finished {
        let mut command = self.command(Path::new("/bin/sh"));
        command.args(["-ec", script]);
        finished(command).await
    }

    /// Starts the helper as docker does.
    pub fn start_helper(&self, arguments: &[&str], input: &str) -> Child {
        let mut command = self.command(&self.file("bin/docker-credential-hallmark"));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child
    }

    /// The same, to its end: exit code and standard output.
    pub async fn helper(&self, arguments: &[&str], input: &str) -> (Option<i32>, String) {
        let child = self.start_helper(arguments, input);
        let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }
}
