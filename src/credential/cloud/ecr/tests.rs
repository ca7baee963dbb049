//! Whom AWS is asked through. What it answers is tried on servers in `tests/cloud`.

use std::sync::Arc;

use super::*;
use crate::client::registry::Registry;
use crate::credential::registry_config::RegistryConfig;

fn ecr(variables: Variables) -> Ecr {
    let web = Web::new(Registry::new().unwrap(), Arc::new(RegistryConfig::default()));
    Ecr::new(variables, web, None)
}

#[test]
fn endpoints_follow_the_region_and_its_partition() {
    let ecr = ecr(Variables::default());
    let private = |region, fips| ecr.private(region, fips).unwrap().endpoint.to_string();
    assert_eq!(private("eu-west-1", false), "https://api.ecr.eu-west-1.amazonaws.com/");
    assert_eq!(private("us-gov-west-1", true), "https://ecr-fips.us-gov-west-1.amazonaws.com/");
    assert_eq!(private("cn-north-1", false), "https://api.ecr.cn-north-1.amazonaws.com.cn/");
    assert_eq!(ecr.public().unwrap().endpoint.as_str(), "https://api.ecr-public.us-east-1.amazonaws.com/");
    assert_eq!(ecr.sts("eu-west-1").unwrap().endpoint.as_str(), "https://sts.eu-west-1.amazonaws.com/");
}

#[test]
fn an_endpoint_of_a_service_beats_the_one_for_all() {
    let ecr = ecr(Variables {
        endpoint: Some("http://127.0.0.1:1".into()),
        endpoint_ecr: Some("http://127.0.0.1:2".into()),
        region: Some("eu-central-1".into()),
        ..Variables::default()
    });
    assert_eq!(ecr.private("eu-west-1", false).unwrap().endpoint.as_str(), "http://127.0.0.1:2/");
    let sts = ecr.sts("eu-west-1").unwrap();
    assert_eq!((sts.endpoint.as_str(), sts.region.as_str()), ("http://127.0.0.1:1/", "eu-central-1"));
}

#[test]
fn what_is_no_region_or_no_address_is_refused_by_the_name_of_its_variable() {
    let bad = |variables| ecr(variables).sts("eu-west-1").unwrap_err().detail();
    let region = bad(Variables { region: Some("x.evil.test/".into()), ..Variables::default() });
    assert_eq!(region, "AWS_REGION cannot be used: it is no name of a region");
    let address = bad(Variables { endpoint_sts: Some("file:///etc".into()), ..Variables::default() });
    assert_eq!(address, "AWS_ENDPOINT_URL_STS cannot be used: it is no address of http or https");
}

#[test]
fn the_endpoint_of_containers_needs_tls_or_is_near() {
    let container = |full: &str| {
        ecr(Variables { container_full_uri: Some(full.into()), ..Variables::default() }).container()
    };
    for near in [
        "http://169.254.170.23/v1/credentials",
        "http://[fd00:ec2::23]/v1",
        "http://127.0.0.9:1/",
        "https://a.test/",
    ] {
        assert!(container(near).unwrap().is_some(), "{near}");
    }
    for far in ["http://a.test/", "http://169.254.170.2.evil.test/", "http://10.0.0.1/", "x"] {
        assert!(container(far).is_err(), "{far}");
    }
    let relative = |path: &str| {
        let variables = Variables { container_relative_uri: Some(path.into()), ..Variables::default() };
        ecr(variables).container().unwrap().map(|url| url.to_string())
    };
    assert_eq!(relative("/v2/credentials/x").as_deref(), Some("http://169.254.170.2/v2/credentials/x"));
    assert_eq!(relative("//evil.test/x"), None, "it must not lead elsewhere");
}

#[tokio::test]
async fn without_any_identity_it_is_said_where_one_was_looked_for() {
    let ecr = ecr(Variables { metadata_disabled: true, ..Variables::default() });
    let name = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
    let detail = ecr.credential(name, Timestamp::UNIX_EPOCH).await.unwrap_err().detail();
    for part in [name, "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ACCESS_KEY_ID", "bind an identity"] {
        assert!(detail.contains(part), "{detail}");
    }
}
