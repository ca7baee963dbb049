//! `hallmark auth login` and `logout` at a real OpenID Connect provider: with a browser, by a code on another machine,
//! and for a tool on a terminal. The browser is a client that fills in the provider's own forms.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::person::Person;
use crate::support::{Crane, Dex, Finished, Known, eventually};
use crate::world::{Running, World};

const NOT_FOUND: &str = "credentials not found in native keychain\n";
/// Identity tokens live so long that the first use finds them fresh, and one a few seconds later does not.
const LIFE: u32 = 34;

/// A provider that the token service trusts, for one test alone: a login ends the one before it of the same person.
async fn dex(world: &World) -> Dex {
    let dex = Dex::start(LIFE).await;
    world.sts.trusts(&dex.issuer, dex.keys().await);
    let ada = Known::person(&dex.issuer, &Dex::subject(), Dex::CLIENT, 3600);
    world.sts.knows(&format!("person at {}", dex.issuer), ada);
    dex
}

/// Ada at her machine, whose desktop notes the pages that are opened.
struct Ada<'a> {
    person: Person<'a>,
    dex: Dex,
}

impl<'a> Ada<'a> {
    async fn new(world: &'a World, prefix: &str) -> Self {
        let (person, dex) = (Person::new(world, prefix, 3600).await, dex(world).await);
        let authorities = std::fs::read_to_string(person.file("ca.pem")).unwrap();
        std::fs::write(person.file("ca.pem"), format!("{authorities}\n{}", dex.ca_pem)).unwrap();
        let desktop =
            "#!/bin/sh\nprintf %s \"$1\" > \"$HOME/opening\"\nmv \"$HOME/opening\" \"$HOME/opened\"\n";
        std::fs::write(person.file("bin/xdg-open"), desktop).unwrap();
        std::fs::set_permissions(person.file("bin/xdg-open"), std::fs::Permissions::from_mode(0o755))
            .unwrap();
        Self { person, dex }
    }

    fn arguments<'b>(&'b self, registry: &'b str) -> Vec<&'b str> {
        vec![
            "auth",
            "login",
            "--registry",
            registry,
            "--issuer",
            &self.dex.issuer,
            "--client-id",
            Dex::CLIENT,
        ]
    }

    /// Waits for the page that is opened, and logs in there.
    async fn browse(&self) -> String {
        let opened = self.person.file("opened");
        let address = async || std::fs::read_to_string(&opened).ok();
        let address = eventually("a page is opened", Duration::from_secs(30), address).await;
        std::fs::remove_file(&opened).unwrap();
        self.dex.browser().log_in(&address).await
    }

    async fn log_in(&self) -> Finished {
        let registry = self.person.world.registry.host();
        let arguments = self.arguments(&registry);
        let (finished, page) = tokio::join!(self.person.hallmark(&arguments), self.browse());
        assert!(page.contains("You are logged in"), "{page}");
        finished.succeeded()
    }

    /// Has docker ask hallmark, which needs no identity.
    async fn configure(&self) {
        let (registry, bin) = (self.person.world.registry.host(), self.person.file("bin"));
        let arguments =
            ["auth", "configure-docker", "--registry", &registry, "--bin-dir", bin.to_str().unwrap()];
        let told = self.person.hallmark(&arguments).await.succeeded();
        assert!(!told.stderr.contains("no identity is known"), "{}", told.stderr);
    }

    /// The file of her login.
    fn kept(&self) -> Option<PathBuf> {
        let folder = std::fs::read_dir(self.person.file(".cache/hallmark/logins")).ok()?;
        let mut files = folder.map(|entry| entry.unwrap().path());
        files.find(|path| path.extension().is_some_and(|extension| extension == "json"))
    }

    fn read(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.kept().unwrap()).unwrap()).unwrap()
    }

    async fn get(&self) -> (Option<i32>, String) {
        self.person.helper(&["get"], &self.person.world.registry.host()).await
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_login_opens_the_registry_is_renewed_without_the_person_and_ends_with_logout() {
    let world = &Running::shared().await.world;
    let ada = Ada::new(world, "login").await;
    let said = ada.log_in().await;
    assert!(
        said.stdout.contains("logged in at") && said.stdout.contains("ada@people.example"),
        "{}",
        said.stdout
    );
    ada.configure().await;
    let kept = ada.kept().unwrap();
    assert_eq!((mode(&kept), mode(kept.parent().unwrap())), (0o600, 0o700));
    let writer = world.registry.access(Some(("writer".to_owned(), "w".to_owned())));
    let image = Crane::new(&writer).push_random_image("team/hers").await;
    ada.person.run("crane", &["manifest", &image.by_digest()]).await.succeeded();
    let status = ada.person.hallmark(&["auth", "status"]).await.succeeded();
    assert!(status.stdout.contains("ada@people.example"), "{}", status.stdout);
    let told = ada.person.hallmark(&["auth", "status", "-o", "json"]).await.succeeded().json();
    assert_eq!(told[0]["registry"], world.registry.host());
    assert_eq!((&told[0]["dockerAsks"], told[0]["tokenUntil"].is_string()), (&json!(true), true), "{told}");

    // The identity token has come near its end; refresh tokens are used once, so the next one is kept.
    let before = ada.read();
    eventually("the identity token is old", Duration::from_secs(20), async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        ada.person.helper(&["erase"], &world.registry.host()).await;
        let (code, got) = ada.get().await;
        assert_eq!(code, Some(0), "{got}");
        (ada.read()["id_token"] != before["id_token"]).then_some(())
    })
    .await;
    assert_ne!(ada.read()["refresh_token"], before["refresh_token"]);
    assert_eq!(mode(&kept), 0o600);

    let printed = [said, status].map(|one| format!("{}{}{}", one.command, one.stdout, one.stderr)).concat();
    for secret in [&before["id_token"], &before["refresh_token"]] {
        let secret = secret.as_str().unwrap();
        assert!(secret.len() > 20 && !printed.contains(secret), "a token was printed");
    }
    let out = ada.person.hallmark(&["auth", "logout"]).await.succeeded();
    assert!(out.stdout.contains("logged out at"), "{}", out.stdout);
    assert!(out.stdout.contains("the issuer offers no way to end it there"), "{}", out.stdout);
    assert!(ada.kept().is_none());
    // Whatever is open to everybody stays open.
    assert_eq!(ada.get().await, (Some(1), NOT_FOUND.to_owned()));
    let again = ada.person.hallmark(&["auth", "logout"]).await.succeeded();
    assert_eq!(again.stdout, "nobody was logged in\n");
    assert_eq!(ada.person.hallmark(&["auth", "logout", "-o", "json"]).await.succeeded().json(), json!([]));
}

#[tokio::test]
async fn a_login_that_can_not_be_renewed_is_told_with_what_to_do() {
    let world = &Running::shared().await.world;
    let ada = Ada::new(world, "ended").await;
    ada.log_in().await;
    ada.configure().await;
    // A login of long ago, with a refresh token that the provider has forgotten.
    let old = format!(
        "{}.{}.c2ln",
        encoded(&json!({"alg": "RS256"})),
        encoded(&json!({"sub": "x", "aud": "y", "exp": 1}))
    );
    std::fs::write(ada.kept().unwrap(), json!({"id_token": old, "refresh_token": "ChVjYW5hcnk"}).to_string())
        .unwrap();
    let (code, told) = ada.get().await;
    assert_eq!(code, Some(1));
    assert!(told.contains("has ended") && !told.contains("ChVjYW5hcnk"), "{told}");
    let list = ada.person.hallmark(&["auth", "list", "--registry", &world.registry.host()]).await.failed();
    assert!(list.stderr.contains("hallmark auth login"), "{}", list.stderr);
}

#[tokio::test]
async fn without_a_browser_a_code_on_another_machine_does_it() {
    let world = &Running::shared().await.world;
    let ada = Ada::new(world, "headless").await;
    let registry = world.registry.host();
    let mut arguments = ada.arguments(&registry);
    arguments.extend(["--headless", "--output", "json"]);
    let mut command = ada.person.command(Path::new(env!("CARGO_BIN_EXE_hallmark")));
    let told = ada.person.file("told");
    command.args(&arguments).stderr(std::fs::File::create(&told).unwrap());
    let person = async {
        let address = eventually("an address is told", Duration::from_secs(30), async || {
            let text = std::fs::read_to_string(&told).unwrap();
            text.lines().map(str::trim).find(|line| line.starts_with("https://")).map(str::to_owned)
        })
        .await;
        ada.dex.browser().log_in(&address).await
    };
    let (finished, page) = tokio::join!(crate::world::finished(command), person);
    assert!(page.contains("Login Successful") || page.contains("successful"), "{page}");
    let told = finished.succeeded().json();
    assert_eq!((&told["issuer"], &told["clientId"]), (&json!(ada.dex.issuer), &json!(Dex::CLIENT)), "{told}");
    assert!(told["identity"].as_str().unwrap().contains("ada@people.example"), "{told}");
    assert!(!ada.person.file("opened").exists(), "no browser is opened");
    ada.configure().await;
    assert_eq!(ada.get().await.0, Some(0));
}

#[tokio::test]
async fn the_helper_asks_for_a_login_on_a_terminal_only() {
    let world = &Running::shared().await.world;
    let ada = Ada::new(world, "terminal").await;
    ada.log_in().await;
    ada.configure().await;
    ada.person.hallmark(&["auth", "logout"]).await.succeeded();
    assert_eq!(ada.get().await, (Some(1), NOT_FOUND.to_owned()));
    assert!(!ada.person.file("opened").exists(), "nobody looks on");

    // As docker calls it in a terminal: input and output are docker's, what is said to the person is not.
    let host = world.registry.host();
    let get = format!("printf %s {host} | docker-credential-hallmark get > answer");
    let script = format!("script -qec '{get}' typescript < /dev/null");
    let (finished, page) = tokio::join!(ada.person.shell(&script), ada.browse());
    assert!(page.contains("You are logged in"), "{page}");
    finished.succeeded();
    let answer: Value = serde_json::from_slice(&std::fs::read(ada.person.file("answer")).unwrap()).unwrap();
    assert_eq!(answer["Username"], "_token");
    let seen = std::fs::read_to_string(ada.person.file("typescript")).unwrap();
    assert!(!seen.contains(answer["Secret"].as_str().unwrap()), "{seen}");
}

#[tokio::test]
async fn an_answer_that_is_not_of_this_login_is_refused_and_ends_nothing() {
    let world = &Running::shared().await.world;
    let ada = Ada::new(world, "forged").await;
    let registry = world.registry.host();
    let arguments = ada.arguments(&registry);
    let forge = async {
        let opened = ada.person.file("opened");
        let address = async || std::fs::read_to_string(&opened).ok();
        let address = eventually("a page is opened", Duration::from_secs(30), address).await;
        let address = url::Url::parse(&address).unwrap();
        let redirect = address.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned();
        let client = crate::support::http_client(None);
        for query in ["state=guessed&code=mallory", "code=mallory", "error=access_denied", ""] {
            let answer = client.get(format!("{redirect}?{query}")).send().await.unwrap();
            assert_eq!(answer.status(), 400, "{query}");
        }
        let state = address.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        let refused = format!("{redirect}?state={state}&error=access_denied&error_description=not+you");
        assert_eq!(client.get(refused).send().await.unwrap().status(), 200);
    };
    let (finished, ()) = tokio::join!(ada.person.hallmark(&arguments), forge);
    let finished = finished.failed();
    assert!(finished.stderr.contains("access_denied not you"), "{}", finished.stderr);
    assert!(ada.kept().is_none());
}

#[tokio::test]
async fn no_token_is_told_even_when_everything_is_logged() {
    let world = &Running::shared().await.world;
    let ada = Ada::new(world, "canaries").await;
    let registry = world.registry.host();
    let traced = |arguments: &[&str]| -> Vec<String> {
        arguments.iter().chain(&["--log", "trace"]).map(ToString::to_string).collect()
    };
    let run = async |arguments: Vec<String>| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        ada.person.hallmark(&arguments).await
    };
    let (said, _) = tokio::join!(run(traced(&ada.arguments(&registry))), ada.browse());
    let mut told = vec![said.succeeded()];
    ada.configure().await;
    let get = format!("printf %s {registry} | HALLMARK_LOG=trace docker-credential-hallmark get > answer");
    told.push(ada.person.shell(&get).await.succeeded());
    let account = ["--registry", &registry, "--parent", "org-of-canaries"];
    told.push(run(traced(&[&["auth", "pull-token", "--save"][..], &account[..]].concat())).await.succeeded());
    told.push(run(traced(&["auth", "list", "--registry", &registry])).await.succeeded());
    told.push(run(traced(&["auth", "status"])).await.succeeded());
    told.push(run(traced(&["auth", "logout"])).await.succeeded());
    assert!(told.iter().any(|one| one.stderr.contains("TRACE")), "nothing was logged");

    let config: Value = serde_json::from_str(&ada.person.read_docker_config()).unwrap();
    let mut canaries = world.sts.canaries();
    canaries.push(world.access(&config).login.unwrap().1);
    canaries.push("canary-of-a-password".to_owned());
    for canary in canaries {
        // The signature of a token is the part that nobody else can make.
        let part = canary.rsplit('.').next().unwrap();
        for one in &told {
            let text = format!("{}{}{}", one.command, one.stdout, one.stderr);
            assert!(!text.contains(part), "{} told a secret", one.command);
        }
    }
}

#[tokio::test]
async fn an_issuer_is_asked_for_once_and_one_that_is_none_is_named() {
    let world = &Running::shared().await.world;
    let ada = Ada::new(world, "issuers").await;
    let registry = world.registry.host();
    let login = async |more: &[&str]| {
        let arguments = [&["auth", "login", "--registry", &registry][..], more].concat();
        ada.person.hallmark(&arguments).await
    };
    let nobody = login(&[]).await;
    assert_eq!(nobody.code, Some(2));
    assert!(nobody.stderr.contains("--issuer"), "{}", nobody.stderr);
    let plain = login(&["--issuer", "http://login.example", "--client-id", "x"]).await.failed();
    assert!(plain.stderr.contains("https only"), "{}", plain.stderr);
    let other = login(&["--issuer", &world.sts.url.replace("localhost", "127.0.0.1"), "--client-id", "x"])
        .await
        .failed();
    assert!(!other.stderr.is_empty() && ada.kept().is_none(), "{}", other.stderr);
    ada.log_in().await;
    let (again, page) = tokio::join!(login(&[]), ada.browse());
    again.succeeded();
    assert!(page.contains("You are logged in"), "{page}");
}

fn encoded(value: &Value) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
}
