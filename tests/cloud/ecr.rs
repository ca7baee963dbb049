//! ECR: every identity that AWS gives to a process, what ECR grants it, and why not.

use std::sync::Arc;

use futures::FutureExt as _;
use hallmark::artifact::image::Repository;
use hallmark::client::registry::{Registry, Session};
use hallmark::credential::Keychain;
use hallmark::credential::agent::Agent;
use hallmark::credential::cloud::Surroundings;
use hallmark::credential::cloud::ecr::Variables;
use jiff::Timestamp;
use serde_json::json;

use super::clouds::{Clouds, ECR, OTHER_ROLE, ROLE};

fn aws(clouds: &Clouds, variables: Variables) -> Surroundings {
    let aws = Variables {
        endpoint_ecr: Some(format!("{}/ecr/", clouds.url)),
        endpoint_ecr_public: Some(format!("{}/ecr/", clouds.url)),
        endpoint_sts: Some(format!("{}/sts/", clouds.url)),
        metadata_endpoint: Some(clouds.url.clone()),
        ..variables
    };
    Surroundings { aws, ..Surroundings::default() }
}

fn environment(clouds: &Clouds) -> Surroundings {
    let id = Some("AKIAENVIRONMENT".to_owned());
    let secret = Some("canary-env-secret".into());
    aws(clouds, Variables { access_key_id: id, secret_access_key: secret, ..Variables::default() })
}

async fn irsa(clouds: &Clouds, role: &str, claims: serde_json::Value) -> Surroundings {
    let file = clouds.file("irsa-token", &format!("{}\n", clouds.token(claims).await));
    let (role_arn, web_identity_token_file) = (Some(role.to_owned()), Some(file));
    aws(clouds, Variables { role_arn, web_identity_token_file, ..Variables::default() })
}

fn claims() -> serde_json::Value {
    let account = "system:serviceaccount:tekton-chains:tekton-chains-controller";
    let end = Timestamp::now().as_second() + 600;
    json!({"sub": account, "aud": ["sts.amazonaws.com"], "exp": end, "canary": "canary"})
}

#[tokio::test]
async fn a_web_identity_becomes_a_role_and_the_role_a_password_that_serves_until_half_its_time() {
    let Some(clouds) = Clouds::start() else { return };
    let identity = clouds.identity(&irsa(&clouds, ROLE, claims()).await, None);
    let (name, password) = identity.secret(ECR).await;
    assert_eq!(name, "AWS");
    assert!(password.starts_with("canary-ecr-"));
    assert_eq!(identity.secret(ECR).await.1, password, "it is remembered");
    assert_eq!(clouds.log("sts").await[0]["role"], ROLE);
    let log = clouds.log("ecr").await;
    assert_eq!((log.len(), &log[0]["region"]), (1, &json!("us-east-1")));
    let of_region = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    assert_ne!(identity.secret(of_region).await.1, password, "each registry has its own");
    assert_eq!(clouds.log("ecr").await[1]["region"], "eu-west-1");
    identity.secret("public.ecr.aws").await;
    assert_eq!(clouds.log("ecr").await[2]["public"], true);
}

#[tokio::test]
async fn many_that_ask_at_once_are_one_request() {
    let Some(clouds) = Clouds::start() else { return };
    let identity = clouds.identity(&environment(&clouds), None);
    let all = futures::future::join_all((0..32).map(|_| identity.secret(ECR))).await;
    assert!(all.windows(2).all(|two| two[0] == two[1]));
    assert_eq!(clouds.log("ecr").await.len(), 1);
}

#[tokio::test]
async fn a_password_is_renewed_at_half_its_time_and_a_renewal_that_fails_leaves_the_old_one() {
    let Some(clouds) = Clouds::start() else { return };
    clouds.control(json!({"ttl": 4})).await;
    let identity = clouds.identity(&environment(&clouds), None);
    let first = identity.secret(ECR).await;
    tokio::time::sleep(std::time::Duration::from_millis(2200)).await;
    let second = identity.secret(ECR).await;
    assert_ne!(first, second, "renewed");
    clouds.control(json!({"fail": {"ecr": [503, "", {}]}})).await;
    tokio::time::sleep(std::time::Duration::from_millis(2200)).await;
    assert_eq!(identity.secret(ECR).await, second, "still good");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(identity.problem(ECR).await.0, "CloudUnavailable", "it has ended");
}

#[tokio::test]
async fn keys_come_from_the_pod_the_environment_and_at_last_from_the_instance() {
    let Some(clouds) = Clouds::start() else { return };
    let token = clouds.file("pod-token", "canary-pod-token\n");
    let pod = Variables {
        container_full_uri: Some(format!("{}/container", clouds.url)),
        container_token_file: Some(token),
        ..Variables::default()
    };
    let with_both = Surroundings {
        aws: Variables { container_full_uri: pod.container_full_uri.clone(), ..pod.clone() },
        ..Surroundings::default()
    };
    let mut with_both = aws(&clouds, with_both.aws);
    with_both.aws.access_key_id = Some("AKIAENVIRONMENT".into());
    with_both.aws.secret_access_key = Some("wrong".into());
    clouds.identity(&with_both, None).secret(ECR).await;
    clouds.identity(&aws(&clouds, Variables::default()), None).secret(ECR).await;
    clouds.identity(&environment(&clouds), None).secret(ECR).await;
    let keys: Vec<_> = clouds.log("ecr").await.iter().map(|line| line["key"].to_string()).collect();
    assert!(keys[0].contains("ASIA") && keys[1].contains("ASIA"), "{keys:?}");
    assert_eq!(keys[2], "\"AKIAENVIRONMENT\"");
}

#[tokio::test]
async fn the_role_of_the_configuration_is_taken_on_from_the_own_one() {
    let Some(clouds) = Clouds::start() else { return };
    let surroundings = irsa(&clouds, ROLE, claims()).await;
    clouds.identity(&surroundings, Some(OTHER_ROLE)).secret(ECR).await;
    let roles: Vec<_> = clouds.log("sts").await.iter().map(|line| line["role"].clone()).collect();
    assert_eq!(roles, [ROLE, OTHER_ROLE]);
    let (code, detail) = clouds.identity(&surroundings, Some("arn:aws:iam::1:role/none")).problem(ECR).await;
    assert_eq!(code, "CloudDenied");
    let says =
        "refused AssumeRole for role arn:aws:iam::1:role/none: 403 AccessDenied: User is not authorized";
    assert!(detail.contains(says) && detail.contains("registry.cloud.aws.role-arn"), "{detail}");
}

/// Each byte that is changed on the way makes the signature another one: the server judges, by botocore.
#[tokio::test]
async fn a_request_with_one_byte_changed_is_refused() {
    let Some(clouds) = Clouds::start() else { return };
    for tampered in
        ["body", "query", "header:host", "header:x-amz-target", "header:x-amz-date", "header:authorization"]
    {
        clouds.control(json!({"tamper": tampered})).await;
        let (code, detail) = clouds.identity(&environment(&clouds), None).problem(ECR).await;
        assert!(code.starts_with("Cloud"), "{tampered}: {detail}");
        assert!(detail.contains(" 403 ") || detail.contains(" 400 "), "{tampered}: {detail}");
    }
    assert_eq!(clouds.log("ecr").await.len(), 0);
    let surroundings = irsa(&clouds, ROLE, claims()).await;
    for (tampered, role) in [
        ("body", None),
        ("header:x-amz-security-token", None),
        ("header:x-amz-security-token", Some(OTHER_ROLE)),
    ] {
        clouds.control(json!({"tamper": tampered})).await;
        let changed = clouds.identity(&surroundings, role).fetch(ECR).await;
        assert!(changed.is_err(), "{tampered}");
    }
    clouds.control(json!({"tamper": null})).await;
    clouds.identity(&surroundings, Some(OTHER_ROLE)).secret(ECR).await;
}

#[tokio::test]
async fn each_refusal_is_told_with_the_clouds_own_words_and_a_remedy() {
    let Some(clouds) = Clouds::start() else { return };
    let ecr_says = |status: u16, code: &str| json!({"fail": {"ecr": [status, json!({"__type": code, "message": "canary-env-secret: no"}).to_string(), {"Retry-After": "7"}]}});
    for (status, error, code, said) in [
        (
            400,
            "AccessDeniedException",
            "CloudDenied",
            "refused GetAuthorizationToken in us-east-1 for access key AKIAENVIRONMENT: 400 AccessDeniedException: [redacted]: no; allow ecr:GetAuthorizationToken",
        ),
        (400, "ThrottlingException", "CloudUnavailable", "asks for patience with GetAuthorizationToken"),
        (429, "", "CloudUnavailable", "asks for patience"),
        (500, "ServerException", "CloudUnavailable", "is not able to do GetAuthorizationToken"),
    ] {
        clouds.control(ecr_says(status, error)).await;
        let problem = clouds.identity(&environment(&clouds), None).problem(ECR).await;
        assert_eq!(problem.0, code);
        assert!(problem.1.contains(said) && problem.1.contains("AWS ECR at 127.0.0.1:"), "{}", problem.1);
    }
    clouds.control(json!({"fail": {"ecr": [200, "{}", {}]}})).await;
    let (_, detail) = clouds.identity(&environment(&clouds), None).problem(ECR).await;
    assert!(detail.contains("has no credential"), "{detail}");
    clouds.control(json!({"fail": {"ecr": [200, "x".repeat(70_000), {}]}})).await;
    let (_, detail) = clouds.identity(&environment(&clouds), None).problem(ECR).await;
    assert!(detail.contains("larger than 65536 bytes"), "{detail}");
}

#[tokio::test]
async fn a_role_that_does_not_trust_us_and_a_token_that_has_ended_are_told_by_sts() {
    let Some(clouds) = Clouds::start() else { return };
    let unknown = irsa(&clouds, "arn:aws:iam::123456789012:role/none", claims()).await;
    let (code, detail) = clouds.identity(&unknown, None).problem(ECR).await;
    assert_eq!(code, "CloudDenied");
    let said = "refused AssumeRoleWithWebIdentity for role arn:aws:iam::123456789012:role/none: 403 AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity; see that the role exists";
    assert!(detail.contains(said), "{detail}");
    let mut ended = claims();
    ended["exp"] = json!(Timestamp::now().as_second() - 60);
    let (_, detail) = clouds.identity(&irsa(&clouds, ROLE, ended).await, None).problem(ECR).await;
    assert!(detail.contains("400 ExpiredTokenException: Token expired"), "{detail}");
}

#[tokio::test]
async fn a_pod_whose_own_identity_fails_does_not_act_as_its_node() {
    let Some(clouds) = Clouds::start() else { return };
    let mut surroundings = irsa(&clouds, "arn:aws:iam::123456789012:role/none", claims()).await;
    surroundings.aws.access_key_id = Some("AKIAENVIRONMENT".into());
    surroundings.aws.secret_access_key = Some("canary-env-secret".into());
    assert_eq!(clouds.identity(&surroundings, None).problem(ECR).await.0, "CloudDenied");
    let refused = Variables {
        container_full_uri: Some(format!("{}/container", clouds.url)),
        container_token: Some("canary-wrong".into()),
        ..Variables::default()
    };
    let (code, detail) = clouds.identity(&aws(&clouds, refused), None).problem(ECR).await;
    assert_eq!(code, "CloudDenied");
    assert!(
        detail.contains("AccessDeniedException") && detail.contains("Pod Identity association"),
        "{detail}"
    );
    assert_eq!(clouds.log("ecr").await.len(), 0);
}

#[tokio::test]
async fn a_machine_without_metadata_is_told_within_seconds() {
    let Some(clouds) = Clouds::start() else { return };
    let mut nobody = aws(&clouds, Variables::default());
    nobody.aws.metadata_endpoint = Some("http://127.0.0.1:1".into());
    let started = std::time::Instant::now();
    let (code, detail) = clouds.identity(&nobody, None).problem(ECR).await;
    assert!(started.elapsed().as_secs() < 3);
    assert_eq!(code, "CloudUnavailable");
    assert!(
        detail.contains("no identity for") && detail.contains("cannot reach the EC2 instance metadata"),
        "{detail}"
    );
}

/// Story 11: IRSA is there, ECR says 401, and nobody says why.
#[tokio::test]
async fn story_11_the_report_names_the_role_and_what_sts_said_about_it() {
    let Some(clouds) = Clouds::start() else { return };
    let surroundings = irsa(&clouds, ROLE, claims()).await;
    let file = surroundings.aws.web_identity_token_file.unwrap().display().to_string();
    let (ecr, sts) = (format!("{}/ecr/", clouds.url), format!("{}/sts/", clouds.url));
    let mut variables = vec![
        ("AWS_ENDPOINT_URL_ECR", ecr.as_str()),
        ("AWS_ENDPOINT_URL_STS", &sts),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &file),
        ("AWS_ROLE_ARN", ROLE),
    ];
    let image = format!("{ECR}/team/app:1");
    let good = clouds.explain(&image, &variables, &["--operation", "pull"]).await.succeeded();
    assert!(good.stdout.contains("Accepted: controller.cloud:ecr"), "{}", good.stdout);
    assert!(!format!("{}{}", good.stdout, good.stderr).contains("canary"), "{}", good.stdout);
    variables[3].1 = "arn:aws:iam::123456789012:role/none";
    let told = clouds.explain(&image, &variables, &["--operation", "pull"]).await.failed();
    let said = "controller.cloud:ecr: CloudDenied: AWS STS at 127.0.0.1";
    assert!(
        told.stdout.contains(said) && told.stdout.contains("role/none: 403 AccessDenied"),
        "{}",
        told.stdout
    );
    assert!(told.stdout.contains("No credential was accepted"), "{}", told.stdout);
}

/// R7: who may not borrow the agent's authority does not borrow its cloud identity either.
#[tokio::test]
async fn a_run_that_may_not_borrow_asks_no_cloud() {
    let Some(clouds) = Clouds::start() else { return };
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: chains-config}\ndata: {registry.controller-credentials: never}\n";
    let config = clouds.file("config.yaml", config).display().to_string();
    let endpoint = format!("{}/ecr/", clouds.url);
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT"),
        ("AWS_SECRET_ACCESS_KEY", "canary-env-secret"),
    ];
    let image = format!("{ECR}/team/app:1");
    let told =
        clouds.explain(&image, &variables, &["--operation", "pull", "--config", &config]).await.failed();
    let said = format!("controller.cloud:ecr: NotAllowed: entry \"{ECR}\" is skipped");
    assert!(told.stdout.contains(&said), "{}", told.stdout);
    assert_eq!(clouds.log("ecr").await.len(), 0);
}

/// §5.6: a password that ends before its time is asked for anew, once, and the run goes on; what was granted serves the
/// runs after it.
#[tokio::test]
async fn a_password_of_which_the_registry_says_that_it_has_expired_is_renewed_once() {
    let Some(clouds) = Clouds::start() else { return };
    let lent = Arc::new(clouds.identity(&environment(&clouds), None).0);
    let repository = Repository::parse(&format!("{ECR}/team/app")).unwrap();
    let session = || {
        let agent = Agent { clouds: Arc::clone(&lent), ..Agent::default() };
        let keychain = Arc::new(Keychain::default().with_agent(agent));
        let keychain = async move { Ok(keychain) }.boxed().shared();
        Session::new(&Registry::new().unwrap(), "ci", false, keychain).with_config(&clouds.registry_config())
    };
    clouds.control(json!({"expired": 1})).await;
    session().tagged(&repository, "1").await.unwrap();
    assert_eq!(clouds.log("ecr").await.len(), 2, "one password, and another in its place");
    session().tagged(&repository, "1").await.unwrap();
    assert_eq!(clouds.log("ecr").await.len(), 2, "the second serves the next run");
    clouds.control(json!({"expired": 2})).await;
    let error = session().tagged(&repository, "1").await.unwrap_err().to_string();
    assert!(error.contains("controller.cloud:ecr") && error.contains("expired"), "{error}");
    assert_eq!(clouds.log("ecr").await.len(), 3);
}
