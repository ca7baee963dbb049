//! Registries behind the transports of the registry configuration file (credentials specification §4.2, §4.4 rows
//! 9 and 13 to 15, §5.1): real TLS, real proxies, certificates made for each test.

mod flows;
mod servers;
mod trials;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use jiff::Timestamp;

use self::servers::{Authority, Net, basic, bearer, open, tokens};
use super::*;
use crate::artifact::image::Image;
use crate::credential::Keychain;
use crate::credential::agent::Agent;
use crate::credential::registry_config::Proxies;
use crate::error::{Class, Diagnose as _, chain};

fn config(text: &str) -> Arc<RegistryConfig> {
    let reading = RegistryConfig::parse("r.toml", text, &Proxies::none(), Timestamp::UNIX_EPOCH);
    Arc::new(reading.config.unwrap_or_else(|| panic!("{:?}", reading.findings)))
}

fn proxied(proxy: &str, tables: &str) -> Arc<RegistryConfig> {
    config(&format!("[extra-env]\nHTTP_PROXY = {proxy:?}\nHTTPS_PROXY = {proxy:?}\n{tables}"))
}

/// A session with the credentials of the file, and what looking up an image of `host` comes to.
async fn look(config: &Arc<RegistryConfig>, host: &str) -> Result<bool, Error> {
    let agent = Agent { config: Arc::clone(config), ..Agent::default() };
    let keychain = Arc::new(Keychain::default().with_agent(agent));
    let keychain = async move { Ok(keychain) }.boxed().shared();
    let session = Session::new(&Registry::new().unwrap(), "ci", false, keychain).with_config(config);
    let image: Image = format!("{host}/app@sha256:{}", "0".repeat(64)).parse().unwrap();
    session.described(&image).await.map(|found| found.is_some())
}

fn table(name: &str, keys: &str) -> String {
    format!("[registries.{name:?}]\n{keys}\n")
}

fn trusting(authority: &Authority) -> String {
    format!("ca-certs = '''\n{}'''", authority.pem)
}

fn login() -> String {
    format!("auth = {:?}", STANDARD.encode("user:hunter2"))
}

fn is_tls(result: &Result<bool, Error>) -> bool {
    matches!(result, Err(Error::Tls { .. } | Error::Token { .. }))
}

#[tokio::test]
async fn row_13_a_registry_is_trusted_by_its_own_authority_and_others_by_those_of_the_machine() {
    let (mut net, inner, other) = (Net::default(), Authority::new(), Authority::new());
    let log = net.https("registry.inner", &inner, basic).await;
    net.https("other.test", &other, open).await;
    let proxy = net.proxy().await;
    let file = proxied(&proxy, &table("registry.inner.", &format!("{}\n{}", trusting(&inner), login())));
    assert!(look(&file, "registry.inner").await.unwrap());
    let sent = log.lock().unwrap().last().unwrap().authorization.clone();
    assert_eq!(sent, format!("Basic {}", STANDARD.encode("user:hunter2")));
    assert_eq!(net.tunnels(), ["registry.inner:443"]);
    let refused = look(&file, "other.test").await;
    assert!(is_tls(&refused), "{refused:?}");
    let hint = refused.unwrap_err().hint().unwrap();
    assert!(hint.contains("registries.\"other.test.\".ca-certs"), "{hint}");
}

#[tokio::test]
async fn an_authority_vouches_for_its_own_registry_only() {
    let (mut net, inner, other) = (Net::default(), Authority::new(), Authority::new());
    net.https("registry.inner", &other, open).await;
    let proxy = net.proxy().await;
    let file = proxied(&proxy, &table("registry.inner.", &trusting(&inner)));
    assert!(is_tls(&look(&file, "registry.inner").await));
}

#[tokio::test]
async fn rows_9_and_14_without_a_certificate_nobody_is_trusted_and_the_table_is_named() {
    let (mut net, only) = (Net::default(), Authority::new());
    net.https("only.test", &only, open).await;
    net.https("other.test", &only, open).await;
    let proxy = net.proxy().await;
    let tables = table("only.test.", &trusting(&only)) + &table(".", "ca-certs = \"no PEM here\"");
    let file = proxied(&proxy, &tables);
    assert!(look(&file, "only.test").await.unwrap());
    let error = look(&file, "other.test").await.unwrap_err();
    assert!(chain(&error).contains("no CA trusted by configuration \".\""), "{}", chain(&error));
    assert_eq!(error.class(), Class::Misconfigured);
}

#[tokio::test]
async fn a_registry_that_is_forbidden_is_not_met_over_plain_http_either() {
    let mut net = Net::default();
    let (log, address) = net.http("plain.test", open).await;
    let file = config(&table(".", "ca-certs = \"no PEM here\""));
    assert!(look(&file, &address.to_string()).await.is_err());
    assert_eq!(log.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn row_15_a_registry_without_tls_serves_and_gets_its_credential_where_the_file_says_so() {
    let mut net = Net::default();
    let (log, _) = net.http("registry.default.svc.cluster.local", basic).await;
    let proxy = net.proxy().await;
    let insecure = format!("insecure-skip-verify = true\n{}", login());
    let file = proxied(&proxy, &table("registry.default.svc.cluster.local.", &insecure));
    assert!(look(&file, "registry.default.svc.cluster.local").await.unwrap());
    assert!(log.lock().unwrap().iter().any(|seen| seen.authorization.starts_with("Basic ")));
    assert!(
        look(&proxied(&proxy, ""), "registry.default.svc.cluster.local").await.is_err(),
        "without the flag"
    );
}

#[tokio::test]
async fn an_answer_in_plain_text_on_the_same_port_is_a_registry_without_tls() {
    let mut net = Net::default();
    let (_, address) = net.http("plain.test", open).await;
    assert!(look(&config(&table(".", "insecure-skip-verify = true")), &address.to_string()).await.unwrap());
}

#[tokio::test]
async fn an_unchecked_registry_may_have_any_certificate() {
    let (mut net, unknown) = (Net::default(), Authority::new());
    net.https("registry.inner", &unknown, open).await;
    let proxy = net.proxy().await;
    let file = proxied(&proxy, &table(".inner.", "insecure-skip-verify = true"));
    assert!(look(&file, "registry.inner").await.unwrap());
}

#[tokio::test]
async fn a_token_service_is_judged_by_its_own_name_else_by_the_registrys_table() {
    let (mut net, inner, realm) = (Net::default(), Authority::new(), Authority::new());
    net.https("registry.inner", &inner, bearer("https://auth.test/token")).await;
    let log = net.https("auth.test", &realm, tokens).await;
    let proxy = net.proxy().await;
    let registry = table("registry.inner.", &trusting(&inner));
    let of = |tables: &str| proxied(&proxy, &format!("{registry}{tables}"));

    assert!(look(&of(&table("auth.test.", &trusting(&realm))), "registry.inner").await.unwrap());
    assert_eq!(log.lock().unwrap().len(), 1);
    assert!(
        is_tls(&look(&of(""), "registry.inner").await),
        "nothing is said about it: the machine's authorities"
    );
    assert!(is_tls(&look(&of(&table("auth.test.", "ca-certs = \"nobody\"")), "registry.inner").await));
    assert_eq!(log.lock().unwrap().len(), 1, "nothing was sent there");
}

#[tokio::test]
async fn a_token_service_that_only_the_catch_all_matches_is_reached_as_its_registry() {
    let (mut net, inner) = (Net::default(), Authority::new());
    net.https("registry.inner", &inner, bearer("https://auth.test/token")).await;
    net.https("auth.test", &inner, tokens).await;
    let proxy = net.proxy().await;
    let tables = table("registry.inner.", &trusting(&inner)) + &table(".", "ca-certs = \"nobody\"");
    assert!(look(&proxied(&proxy, &tables), "registry.inner").await.unwrap());
}

#[tokio::test]
async fn a_proxy_is_judged_by_its_own_table_and_never_by_the_authority_of_the_registry() {
    let (mut net, registry, proxy) = (Net::default(), Authority::new(), Authority::new());
    net.https("registry.inner", &registry, open).await;
    let url = net.tls_proxy(&proxy).await;
    let inner = table("registry.inner.", &trusting(&registry));
    let of = |tables: &str| proxied(&url, &format!("{inner}{tables}"));
    assert!(look(&of(&table("localhost.", &trusting(&proxy))), "registry.inner").await.unwrap());
    assert_eq!(net.tunnels(), ["registry.inner:443"]);
    let unknown = look(&of(""), "registry.inner").await;
    assert!(is_tls(&unknown), "{unknown:?}");
    assert!(chain(&unknown.unwrap_err()).contains("certificate of proxy localhost is not trusted"));
    assert!(is_tls(&look(&of(&table("localhost.", &trusting(&registry))), "registry.inner").await));
    assert_eq!(net.tunnels().len(), 1);
}

#[tokio::test]
async fn a_metadata_address_is_no_registry_however_it_is_reached() {
    let net = Net::default();
    for file in
        [config(""), proxied("http://127.0.0.1:9", ""), config(&table(".", "insecure-skip-verify = true"))]
    {
        for host in ["169.254.169.254", "169.254.169.254:80", "[fd00:ec2::254]", "[fe80::1]:5000"] {
            let error = look(&file, host).await.unwrap_err();
            assert!(matches!(error, Error::Forbidden { .. }), "{host}: {error:?}");
            assert_eq!((error.class(), error.host_away()), (Class::Permanent, None), "{host}");
        }
    }
    assert_eq!(net.tunnels().len(), 0);
}
