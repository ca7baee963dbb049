//! Whom a cloud is asked for, and how long an answer serves.

use std::sync::Arc;
use std::time::Instant;

use super::grants::{CAPACITY, Remembered};
use super::*;
use crate::client::registry::Registry;
use crate::credential::Login;
use crate::credential::registry_config::RegistryConfig;

fn web() -> Web {
    Web::new(Registry::new().unwrap(), Arc::new(RegistryConfig::default()))
}

fn repository(name: &str) -> Repository {
    Repository::parse(name).unwrap()
}

fn credential(password: &str) -> Credential {
    Credential::Basic(Login { username: "AWS".into(), password: password.into() })
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn a_cloud_is_asked_for_its_own_registries_alone() {
    let clouds = lent(&Surroundings::default(), &web(), None);
    let source = |name: &str| {
        let of = clouds.fetchers.iter().filter_map(|cloud| cloud.entry(&repository(name)));
        of.map(|entry| entry.source.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(source("123456789012.dkr.ecr.us-east-1.amazonaws.com/app"), ["controller.cloud:ecr"]);
    assert_eq!(source("public.ecr.aws/x/app"), ["controller.cloud:ecr"]);
    assert_eq!(source("team.azurecr.io/app"), ["controller.cloud:acr"]);
    assert_eq!(source("gcr.io/p/app"), ["controller.cloud:gcp"]);
    for other in ["registry.test/app", "ubuntu", "123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.test/app"]
    {
        assert_eq!(source(other), Vec::<String>::new(), "{other}");
    }
}

#[test]
fn a_grant_is_renewed_before_it_ends() {
    let granted = Granted::until(credential("p"), at(0), at(3600));
    assert_eq!((granted.renew_at, granted.expires_at), (at(3300), at(3600)));
    assert_eq!(
        Granted::until(credential("p"), at(0), at(60)).renew_at,
        at(30),
        "one that is short lives half"
    );
    assert_eq!(Granted::half(credential("p"), at(0), at(43_200)).renew_at, at(21_600));
}

#[test]
fn what_is_remembered_serves_until_it_is_renewed_and_outlives_a_renewal_that_fails() {
    let problem = Problem {
        source: Source::ControllerCloud(Cloud::Ecr),
        location: Location::Ambient,
        code: crate::credential::ProblemCode::CloudUnavailable,
        detail: String::new(),
    };
    let mut remembered = Remembered::default();
    assert_eq!(remembered.answer(at(0)), None, "nobody was asked yet");
    remembered.granted = Some(Granted::until(credential("p"), at(0), at(3600)));
    assert_eq!(remembered.answer(at(3299)), Some(Ok(credential("p"))));
    assert_eq!(remembered.answer(at(3300)), None, "a newer one is asked for");
    remembered.failed = Some((Instant::now(), problem.clone()));
    assert_eq!(remembered.answer(at(3300)), Some(Ok(credential("p"))));
    assert_eq!(remembered.answer(at(3600)), Some(Err(problem)), "it has ended");
}

#[tokio::test]
async fn the_registries_that_are_remembered_are_few() {
    let grants = Grants::default();
    for number in 0..CAPACITY + 3 {
        let ask = async { Ok(Granted::until(credential("p"), Timestamp::now(), Timestamp::MAX)) };
        grants.obtain(&format!("registry-{number}"), ask).await.unwrap();
    }
    assert_eq!(grants.0.lock().unwrap().len(), CAPACITY);
}

#[tokio::test]
async fn a_grant_that_has_ended_before_its_time_is_replaced_once_for_all_who_held_it() {
    let grants = Grants::default();
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let ask = || async {
        let number = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(Granted::until(credential(&number.to_string()), Timestamp::now(), Timestamp::MAX))
    };
    let first = grants.obtain("r", ask()).await.unwrap();
    let all = futures::future::join_all((0..8).map(|_| grants.instead_of(&first, "r", ask()))).await;
    assert!(all.into_iter().all(|one| one == Ok(credential("1"))));
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_file_that_is_missing_or_large_is_told_by_the_variable_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let missing = file("AWS_WEB_IDENTITY_TOKEN_FILE", &path).await.unwrap_err();
    let detail = missing.detail();
    assert!(detail.contains("which AWS_WEB_IDENTITY_TOKEN_FILE names: No such file"), "{detail}");
    std::fs::write(&path, vec![b'x'; 65_537]).unwrap();
    assert!(file("V", &path).await.unwrap_err().detail().contains("large"));
    std::fs::write(&path, " token\n").unwrap();
    assert_eq!(file("V", &path).await.unwrap(), Redacted::from("token"));
}
