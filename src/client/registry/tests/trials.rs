//! Trials of several credentials against registries that hide, refuse and deny (credentials specification §1.4).

use http::StatusCode;

use super::servers::{Net, Seen};
use super::*;
use crate::artifact::image::Repository;
use crate::credential::agent::Lent;
use crate::credential::{
    Credential, Entry, Fetch, Fetcher, Key, Location, Login, Operation, Outcome, Problem, ProblemCode,
    SecretRef, Source, Target,
};

/// A registry that knows how to answer each user; everybody else is asked who they are.
fn by_user(
    answers: impl Fn(&str, &Seen) -> StatusCode + Clone + Send + Sync + 'static,
) -> impl Fn(&Seen) -> axum::response::Response + Clone {
    use axum::response::IntoResponse as _;
    move |seen| {
        let login = seen.authorization.strip_prefix("Basic ").map(|text| STANDARD.decode(text).unwrap());
        let login = login.map(|login| String::from_utf8(login).unwrap()).unwrap_or_default();
        let user = login.split(':').next().unwrap_or_default();
        let status = if user.is_empty() { StatusCode::UNAUTHORIZED } else { answers(user, seen) };
        (status, [("www-authenticate", "Basic realm=\"r\"")]).into_response()
    }
}

pub(super) fn keychain(host: &str, users: &[&str], version: &str) -> Keychain {
    let entry = |name: &&str| {
        let login = Login { username: (*name).to_owned(), password: "hunter2".into() };
        let secret = SecretRef {
            namespace: "ci".into(),
            name: (*name).to_owned(),
            uid: "u".into(),
            resource_version: version.into(),
        };
        Entry {
            source: Source::ServiceAccountSecrets,
            location: Location::Secret(secret),
            key: Key::parse(host).unwrap(),
            credential: Arc::new(Credential::Basic(login)),
        }
    };
    Keychain { entries: users.iter().map(entry).collect(), ..Keychain::default() }
}

struct Place {
    registry: Registry,
    host: String,
}

impl Place {
    async fn new(
        net: &mut Net,
        answer: impl Fn(&str, &Seen) -> StatusCode + Clone + Send + Sync + 'static,
    ) -> (Self, super::servers::Log) {
        let (log, address) = net.http("plain.test", by_user(answer)).await;
        (Self { registry: Registry::new().unwrap(), host: address.to_string() }, log)
    }

    fn session(&self, namespace: &str, users: &[&str], version: &str) -> Session {
        let keychain = Arc::new(keychain(&self.host, users, version));
        Session::new(&self.registry, namespace, false, async move { Ok(keychain) }.boxed().shared())
    }

    fn image(&self) -> Image {
        format!("{}/app@sha256:{}", self.host, "0".repeat(64)).parse().unwrap()
    }

    fn repository(&self) -> Repository {
        Repository::parse(&format!("{}/app", self.host)).unwrap()
    }

    async fn push(&self, session: &Session) -> Result<(), Error> {
        session
            .push_manifest(&self.repository(), "t", "application/json", bytes::Bytes::new())
            .await
            .map(|_| ())
    }
}

/// Source, outcome and what was said, of each candidate in order.
async fn outcomes(session: &Session, operation: Operation) -> Vec<(String, Outcome)> {
    let reports = session.reports().await;
    let shown = |report: &crate::credential::CredentialReport| {
        serde_json::to_value(report).unwrap()["target"]["operation"] == operation.to_string()
    };
    let report = reports.iter().find(|report| shown(report)).unwrap();
    let name = |location: &Location| match location {
        Location::Secret(secret) => secret.name.clone(),
        _ => "anonymous".to_owned(),
    };
    report.candidates().iter().map(|one| (name(&one.from.location), one.outcome)).collect()
}

fn users(log: &super::servers::Log, path: &str) -> Vec<String> {
    let user = |seen: &Seen| {
        let login = STANDARD.decode(seen.authorization.strip_prefix("Basic ")?).ok()?;
        Some(String::from_utf8(login).ok()?.split(':').next()?.to_owned())
    };
    let seen = log.lock().unwrap();
    seen.iter().filter(|seen| seen.path.contains(path)).filter_map(user).collect()
}

#[tokio::test]
async fn an_image_that_the_first_credential_may_not_see_is_found_with_the_next_one() {
    let mut net = Net::default();
    let see = |user: &str, seen: &Seen| match user {
        "sees" if seen.path.contains("sha256:") => StatusCode::OK,
        _ => StatusCode::NOT_FOUND,
    };
    let (place, log) = Place::new(&mut net, see).await;
    let session = place.session("ci", &["blind", "sees", "spare"], "1");
    assert!(session.described(&place.image()).await.unwrap().is_some());
    assert!(session.tagged(&place.repository(), "none").await.unwrap().is_none());
    assert_eq!(users(&log, "/none"), ["sees"], "a 404 to the one that was accepted is believed");
    let seen = outcomes(&session, Operation::Pull).await;
    assert_eq!(seen[0], ("blind".to_owned(), Outcome::Error));
    assert_eq!(seen[1], ("sees".to_owned(), Outcome::Used));
}

#[tokio::test]
async fn a_tag_that_nobody_sees_is_not_there_and_an_image_that_nobody_sees_does_not_exist() {
    let mut net = Net::default();
    let (place, log) = Place::new(&mut net, |_, _| StatusCode::NOT_FOUND).await;
    let session = place.session("ci", &["one", "two"], "1");
    assert!(session.tagged(&place.repository(), "none").await.unwrap().is_none());
    assert!(
        session.described(&place.image()).await.unwrap().is_none(),
        "anonymous access counts for nothing"
    );
    assert_eq!(users(&log, "/none"), ["one", "two", "one"], "the first one stays in use");
    assert_eq!(users(&log, "sha256"), ["one"]);
}

#[tokio::test]
async fn an_image_that_one_does_not_see_and_another_is_refused_for_may_exist() {
    let mut net = Net::default();
    let answer = |user: &str, _: &Seen| match user {
        "blind" => StatusCode::NOT_FOUND,
        _ => StatusCode::FORBIDDEN,
    };
    let (place, _) = Place::new(&mut net, answer).await;
    let error = place.session("ci", &["blind", "denied"], "1").described(&place.image()).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("ci/blind") && said.contains("404") && said.contains("403"), "{said}");
}

#[tokio::test]
async fn one_that_sees_nothing_and_is_then_refused_ends_the_trial() {
    let mut net = Net::default();
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let answer = move |_: &str, _: &Seen| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => StatusCode::NOT_FOUND,
        _ => StatusCode::UNAUTHORIZED,
    };
    let (place, _) = Place::new(&mut net, answer).await;
    let error = place.session("ci", &["one"], "1").described(&place.image()).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
}

#[tokio::test]
async fn a_wrong_password_is_shown_once_in_five_minutes_and_again_when_its_secret_changed() {
    let mut net = Net::default();
    let (place, log) = Place::new(&mut net, |_, _| StatusCode::UNAUTHORIZED).await;
    let attempt = async |namespace: &str, version: &str| {
        let session = place.session(namespace, &["wrong"], version);
        let error = place.push(&session).await.unwrap_err();
        (outcomes(&session, Operation::Push).await[0].1, error)
    };
    let (first, _) = attempt("ci", "1").await;
    assert_eq!((first, users(&log, "/t").len()), (Outcome::Rejected, 1));
    for _ in 0..3 {
        let (outcome, error) = attempt("ci", "1").await;
        assert_eq!(outcome, Outcome::Skipped);
        assert_eq!(error.class(), Class::Misconfigured);
        assert!(error.to_string().contains("skipped (Rejected401)"), "{error}");
    }
    assert_eq!(users(&log, "/t").len(), 1, "nobody is locked out");
    assert_eq!(attempt("ci", "2").await.0, Outcome::Rejected);
    assert_eq!(attempt("other", "1").await.0, Outcome::Rejected, "tenants learn nothing from each other");
    assert_eq!(users(&log, "/t").len(), 3);
}

#[tokio::test]
async fn a_credential_that_was_denied_a_push_is_tried_last_for_that_repository() {
    let mut net = Net::default();
    let answer = |user: &str, seen: &Seen| match user {
        "reads" if seen.method == "PUT" => StatusCode::FORBIDDEN,
        _ => StatusCode::CREATED,
    };
    let (place, log) = Place::new(&mut net, answer).await;
    for _ in 0..3 {
        place.push(&place.session("ci", &["reads", "writes"], "1")).await.unwrap();
    }
    assert_eq!(users(&log, "/t"), ["reads", "writes", "writes", "writes"]);
    let alone = place.session("ci", &["reads"], "1");
    place.push(&alone).await.unwrap_err();
    assert_eq!(
        outcomes(&alone, Operation::Push).await[0].1,
        Outcome::Denied,
        "the last one is tried all the same"
    );
}

#[tokio::test]
async fn what_was_refused_of_late_takes_no_place_among_the_candidates_of_an_attempt() {
    let mut net = Net::default();
    let answer = |user: &str, _: &Seen| match user {
        "good" => StatusCode::CREATED,
        _ => StatusCode::UNAUTHORIZED,
    };
    let (place, _) = Place::new(&mut net, answer).await;
    let mut config = crate::config::Config::default();
    config.registry.max_candidates = 1;
    let session = || {
        let keychain = Arc::new(keychain(&place.host, &["wrong", "good"], "1"));
        let keychain = async move { Ok(keychain) }.boxed().shared();
        Session::configured(&place.registry, "ci", &config, &Arc::default(), keychain)
    };
    assert!(place.push(&session()).await.is_err());
    place.push(&session()).await.unwrap();
    let target = Target { repository: place.repository(), operation: Operation::Push };
    assert_eq!(session().untried(&target).await.unwrap().candidates().len(), 2);
}

/// A source that is asked when its turn comes: counts how often, and has what it is given.
struct Asked {
    times: Arc<std::sync::atomic::AtomicUsize>,
    answer: Result<&'static str, ProblemCode>,
}

#[async_trait::async_trait]
impl Fetch for Asked {
    fn source(&self) -> Source {
        Source::ControllerHelper("test".into())
    }

    fn location(&self) -> Location {
        Location::File("/config.json".into())
    }

    fn key(&self, repository: &Repository) -> Option<Key> {
        Key::parse(repository.registry()).ok()
    }

    async fn fetch(&self, _: &Repository) -> Result<Credential, Problem> {
        self.times.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let problem = |code| Problem {
            source: self.source(),
            location: self.location(),
            code,
            detail: "it has none".to_owned(),
        };
        let login = |user: &str| Login { username: user.to_owned(), password: "hunter2".into() };
        self.answer.map(|user| Credential::Basic(login(user))).map_err(problem)
    }
}

/// A session whose agent has a source to be asked, after what the run itself has.
fn asking(
    place: &Place,
    users: &[&str],
    answer: Result<&'static str, ProblemCode>,
) -> (Session, Arc<std::sync::atomic::AtomicUsize>) {
    let times = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let fetcher = Fetcher::new(Asked { times: Arc::clone(&times), answer });
    let files = Lent { fetchers: vec![fetcher], ..Lent::default() };
    let agent = Agent { files: Arc::new(files), ..Agent::default() };
    let keychain = Arc::new(keychain(&place.host, users, "1").with_agent(agent));
    let session = Session::new(&place.registry, "ci", false, async move { Ok(keychain) }.boxed().shared());
    (session, times)
}

#[tokio::test]
async fn a_source_is_asked_once_when_its_turn_comes_and_not_before() {
    let mut net = Net::default();
    let answer = |user: &str, _: &Seen| match user {
        "good" => StatusCode::CREATED,
        _ => StatusCode::FORBIDDEN,
    };
    let (place, log) = Place::new(&mut net, answer).await;
    let (session, times) = asking(&place, &["good"], Ok("fetched"));
    place.push(&session).await.unwrap();
    assert_eq!(times.load(std::sync::atomic::Ordering::SeqCst), 0, "the run's own credential serves");

    let (session, times) = asking(&place, &["denied"], Ok("good"));
    place.push(&session).await.unwrap();
    place.push(&session).await.unwrap();
    assert_eq!(times.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert_eq!(users(&log, "/t"), ["good", "denied", "good", "good"]);
    let report = session.push_report(&place.repository()).await.unwrap();
    let used = format!("controller.helper:test /config.json ({})", place.host);
    assert_eq!(report.annotation().as_deref(), Some(used.as_str()));
}

#[tokio::test]
async fn a_source_without_a_credential_is_passed_over_and_its_reason_told() {
    let mut net = Net::default();
    let (place, log) = Place::new(&mut net, |_, _| StatusCode::CREATED).await;
    let (session, _) = asking(&place, &[], Err(ProblemCode::HelperTimeout));
    let error = place.push(&session).await.unwrap_err().to_string();
    assert!(error.contains("controller.helper:test /config.json"), "{error}");
    assert!(error.contains("HelperTimeout: it has none"), "{error}");
    assert!(error.contains("anonymous"), "with nothing else at hand, nobody's access is tried: {error}");
    assert_eq!(users(&log, "/t"), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_source_gave_is_not_shown_again_once_it_was_refused() {
    let mut net = Net::default();
    let (place, log) = Place::new(&mut net, |_, _| StatusCode::UNAUTHORIZED).await;
    for _ in 0..3 {
        let (session, _) = asking(&place, &[], Ok("wrong"));
        place.push(&session).await.unwrap_err();
    }
    assert_eq!(users(&log, "/t"), ["wrong"]);
}

#[tokio::test]
async fn a_probe_asks_a_source_too() {
    let mut net = Net::default();
    let (place, _) = Place::new(&mut net, |_, _| StatusCode::ACCEPTED).await;
    let target = Target { repository: place.repository(), operation: Operation::Push };
    let (session, _) = asking(&place, &[], Ok("good"));
    assert_eq!(session.probe(&target, "t").await.unwrap().report.selected(), Some(1));
    let (session, _) = asking(&place, &[], Err(ProblemCode::HelperFailed));
    let report = session.probe(&target, "t").await.unwrap().report;
    assert_eq!(report.selected(), None);
    assert!(report.problems().iter().any(|problem| problem.code == ProblemCode::HelperFailed));
}

/// A source that gives another password each time that one has ended.
struct Renewing(std::sync::atomic::AtomicUsize);

#[async_trait::async_trait]
impl Fetch for Renewing {
    fn source(&self) -> Source {
        Source::ServiceAccountCloud
    }

    fn location(&self) -> Location {
        Location::ServiceAccount("ci/builder".into())
    }

    fn key(&self, repository: &Repository) -> Option<Key> {
        Key::parse(repository.registry()).ok()
    }

    async fn fetch(&self, _: &Repository) -> Result<Credential, Problem> {
        let n = self.0.load(std::sync::atomic::Ordering::SeqCst);
        Ok(Credential::Basic(Login { username: format!("user-{n}"), password: "hunter2".into() }))
    }

    async fn renew(
        &self,
        repository: &Repository,
        ended: &Credential,
    ) -> Option<Result<Credential, Problem>> {
        if self.fetch(repository).await.as_ref() == Ok(ended) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
        Some(self.fetch(repository).await)
    }
}

/// A registry like ECR: the time of the users below `good` is over, which a HEAD has no words for.
async fn expiring(net: &mut Net, good: usize) -> (Place, super::servers::Log, Session) {
    use axum::response::IntoResponse as _;
    const OVER: &str = r#"{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}"#;
    let answer = move |seen: &Seen| {
        let login = seen.authorization.strip_prefix("Basic ").map(|text| STANDARD.decode(text).unwrap());
        let login = login.map(|login| String::from_utf8(login).unwrap()).unwrap_or_default();
        let number =
            login.strip_prefix("user-").and_then(|rest| rest.split(':').next()?.parse::<usize>().ok());
        match number {
            None => (StatusCode::UNAUTHORIZED, [("www-authenticate", "Basic realm=\"r\"")]).into_response(),
            Some(number) if number < good && seen.method == "HEAD" => StatusCode::FORBIDDEN.into_response(),
            Some(number) if number < good => (StatusCode::FORBIDDEN, OVER).into_response(),
            Some(_) => StatusCode::CREATED.into_response(),
        }
    };
    let (log, address) = net.http("plain.test", answer).await;
    let place = Place { registry: Registry::new().unwrap(), host: address.to_string() };
    let keychain =
        Arc::new(Keychain { fetchers: vec![Fetcher::new(Renewing(0.into()))], ..Keychain::default() });
    let session = Session::new(&place.registry, "ci", false, async move { Ok(keychain) }.boxed().shared());
    (place, log, session)
}

#[tokio::test]
async fn a_password_that_has_ended_is_asked_for_anew_and_the_request_repeated() {
    let mut net = Net::default();
    let (place, log, session) = expiring(&mut net, 1).await;
    place.push(&session).await.unwrap();
    assert_eq!(users(&log, "/t"), ["user-0", "user-1"]);
    let report = session.push_report(&place.repository()).await.unwrap();
    let used = format!("serviceAccount.cloud ci/builder ({})", place.host);
    assert_eq!(report.annotation().as_deref(), Some(used.as_str()));
    assert!(session.described(&place.image()).await.unwrap().is_some());

    let mut net = Net::default();
    let (place, log, session) = expiring(&mut net, 1).await;
    assert!(session.described(&place.image()).await.unwrap().is_some());
    assert_eq!(users(&log, "sha256:"), ["user-0", "user-0", "user-1"], "HEAD, GET for the words, HEAD");
}

#[tokio::test]
async fn passwords_that_keep_ending_are_asked_for_once() {
    let mut net = Net::default();
    let (place, log, session) = expiring(&mut net, 9).await;
    let error = place.push(&session).await.unwrap_err().to_string();
    assert!(error.contains("expired"), "{error}");
    assert_eq!(users(&log, "/t"), ["user-0", "user-1"]);
    assert_eq!(outcomes(&session, Operation::Push).await[0].1, Outcome::Expired);
}

#[tokio::test]
async fn many_requests_whose_password_has_ended_are_one_renewal() {
    let mut net = Net::default();
    let (place, log, session) = expiring(&mut net, 1).await;
    let all = futures::future::join_all((0..16).map(|_| place.push(&session))).await;
    assert!(all.iter().all(Result::is_ok));
    let users = users(&log, "/t");
    assert_eq!(users.iter().filter(|user| *user == "user-0").count(), 1, "{users:?}");
    assert!(!users.contains(&"user-2".to_owned()), "{users:?}");
}
