//! ACR: a workload identity and the managed identity of a machine, the refresh token of the registry that they become,
//! and why not.

use hallmark::credential::Credential;
use hallmark::credential::cloud::Surroundings;
use hallmark::credential::cloud::entra::Variables;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::clouds::Clouds;

const ACR: &str = "team.azurecr.io";
const TENANT: &str = "72f988bf-0000-0000-0000-000000000000";
const CLIENT: &str = "11111111-2222-3333-4444-555555555555";
const CONTROLLER: &str = "system:serviceaccount:tekton-chains:tekton-chains-controller";

/// Who a token of the registry's own belongs to, where Basic asks for a name.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

fn azure(clouds: &Clouds, variables: Variables) -> Surroundings {
    let azure = Variables {
        authority_host: Some(format!("{}/azure/", clouds.url)),
        metadata_endpoint: Some(clouds.url.clone()),
        ..variables
    };
    Surroundings { azure, ..Surroundings::default() }
}

async fn federated(clouds: &Clouds, claims: Value) -> Surroundings {
    let file = clouds.file("azure-token", &format!("{}\n", clouds.token(claims).await));
    let (client_id, tenant_id) = (Some(CLIENT.to_owned()), Some(TENANT.to_owned()));
    azure(
        clouds,
        Variables { client_id, tenant_id, federated_token_file: Some(file), ..Variables::default() },
    )
}

fn claims() -> Value {
    let end = Timestamp::now().as_second() + 600;
    json!({"sub": CONTROLLER, "aud": ["api://AzureADTokenExchange"], "exp": end, "canary": "canary"})
}

#[tokio::test]
async fn a_workload_identity_becomes_a_refresh_token_of_the_registry_that_is_remembered() {
    let Some(clouds) = Clouds::start() else { return };
    let identity = clouds.identity(&federated(&clouds, claims()).await, None);
    let Credential::IdentityToken { token, fallback } = identity.fetch(ACR).await.unwrap() else {
        panic!("it is an identity token")
    };
    let fallback = fallback.unwrap();
    assert_eq!((fallback.username.as_str(), &fallback.password), (NOBODY, &token), "where Basic is needed");
    assert_eq!(identity.secret(ACR).await.1, token.expose_text(), "it is remembered");
    assert_eq!(clouds.log("entra").await[0]["whose"], CONTROLLER);
    let log = clouds.log("acr-exchange").await;
    assert_eq!((log.len(), &log[0]["host"]), (1, &json!(ACR)));
    assert_ne!(identity.secret("other.azurecr.io").await.1, token.expose_text(), "each registry has its own");
}

#[tokio::test]
async fn a_machine_has_a_managed_identity_and_its_client_id_says_which() {
    let Some(clouds) = Clouds::start() else { return };
    clouds.identity(&azure(&clouds, Variables::default()), None).secret(ACR).await;
    let named = |client: &str| {
        azure(&clouds, Variables { client_id: Some(client.to_owned()), ..Variables::default() })
    };
    clouds.identity(&named(CLIENT), None).secret(ACR).await;
    assert_eq!(clouds.log("azure-machine").await.len(), 2);
    let (code, detail) = clouds.identity(&named("none"), None).problem(ACR).await;
    assert_eq!(code, "CloudDenied");
    let said =
        "refused a token of managed identity none: 400 invalid_request: Identity not found; give the machine";
    assert!(detail.contains(said), "{detail}");
}

#[tokio::test]
async fn a_token_of_two_seconds_is_renewed_and_a_renewal_that_fails_leaves_the_old_one() {
    let Some(clouds) = Clouds::start() else { return };
    clouds.control(json!({"ttl": 4})).await;
    let identity = clouds.identity(&azure(&clouds, Variables::default()), None);
    let first = identity.secret(ACR).await;
    tokio::time::sleep(std::time::Duration::from_millis(2300)).await;
    let second = identity.secret(ACR).await;
    assert_ne!(first, second, "renewed");
    clouds.control(json!({"fail": {"acr-exchange": [503, "", {}]}})).await;
    tokio::time::sleep(std::time::Duration::from_millis(2200)).await;
    assert_eq!(identity.secret(ACR).await, second, "still good");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(identity.problem(ACR).await.0, "CloudUnavailable", "it has ended");
}

#[tokio::test]
async fn an_assertion_with_one_byte_changed_is_refused_by_entra_id() {
    let Some(clouds) = Clouds::start() else { return };
    clouds.control(json!({"tamper": "body"})).await;
    let (code, detail) = clouds.identity(&federated(&clouds, claims()).await, None).problem(ACR).await;
    assert_eq!(code, "CloudDenied", "{detail}");
    assert!(detail.contains("Entra ID at 127.0.0.1"), "{detail}");
    assert_eq!((clouds.log("entra").await.len(), clouds.log("acr-exchange").await.len()), (0, 0));
}

#[tokio::test]
async fn each_refusal_is_told_with_the_clouds_own_words_and_a_remedy() {
    let Some(clouds) = Clouds::start() else { return };
    let told = |surroundings: Surroundings| {
        let identity = clouds.identity(&surroundings, None);
        async move { identity.problem(ACR).await }
    };
    let mut other = federated(&clouds, claims()).await;
    other.azure.client_id = Some("none".to_owned());
    let (code, detail) = told(other).await;
    assert_eq!(code, "CloudDenied");
    let said = format!(
        "refused a token for application none of tenant {TENANT}: 400 unauthorized_client: AADSTS700016: "
    );
    assert!(detail.contains(&said) && detail.contains("has a federated credential"), "{detail}");

    let ended = json!({"sub": CONTROLLER, "aud": "api://AzureADTokenExchange", "exp": Timestamp::now().as_second() - 60});
    let (code, detail) = told(federated(&clouds, ended).await).await;
    assert_eq!(code, "CloudDenied");
    assert!(
        detail.contains(
            "401 invalid_client: AADSTS700024: Client assertion is not within its valid time range"
        ),
        "{detail}"
    );

    let mut unnamed = federated(&clouds, claims()).await;
    unnamed.azure.tenant_id = None;
    let (code, detail) = told(unnamed).await;
    assert_eq!(
        (code.as_str(), detail.as_str()),
        (
            "CloudUnavailable",
            "AZURE_FEDERATED_TOKEN_FILE cannot be used: AZURE_CLIENT_ID and AZURE_TENANT_ID must be set too"
        )
    );

    let denied = json!({"errors": [{"code": "UNAUTHORIZED", "message": "tenant mismatch"}]}).to_string();
    for (status, code) in [(401, "CloudDenied"), (429, "CloudUnavailable"), (503, "CloudUnavailable")] {
        clouds.control(json!({"fail": {"acr-exchange": [status, denied, {}]}})).await;
        let problem = told(federated(&clouds, claims()).await).await;
        assert_eq!(problem.0, code);
        assert!(problem.1.contains(&format!("{status} UNAUTHORIZED: tenant mismatch")), "{}", problem.1);
    }
}

#[tokio::test]
async fn a_pod_whose_own_identity_fails_does_not_act_as_its_node() {
    let Some(clouds) = Clouds::start() else { return };
    let stranger = json!({"sub": "system:serviceaccount:x:y", "aud": "api://AzureADTokenExchange", "exp": Timestamp::now().as_second() + 60});
    let (code, detail) = clouds.identity(&federated(&clouds, stranger).await, None).problem(ACR).await;
    assert_eq!(code, "CloudDenied");
    assert!(detail.contains("AADSTS70021: No matching federated identity record"), "{detail}");
    assert_eq!(clouds.log("azure-machine").await.len(), 0);
}

/// Story 12: the identity is there, and nobody knows what to do with it; or it is not, and nobody says so.
#[tokio::test]
async fn story_12_a_workload_identity_of_azure_opens_its_registry_and_a_missing_one_is_told() {
    let Some(clouds) = Clouds::start() else { return };
    let file = clouds.file("token", &clouds.token(claims()).await).display().to_string();
    let authority = format!("{}/azure/", clouds.url);
    let image = format!("{ACR}/app:1");
    let mut variables = vec![
        ("AZURE_AUTHORITY_HOST", authority.as_str()),
        ("AZURE_FEDERATED_TOKEN_FILE", &file),
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_TENANT_ID", TENANT),
    ];
    let good = clouds.explain(&image, &variables, &["--operation", "pull"]).await.succeeded();
    assert!(good.stdout.contains("Accepted: controller.cloud:acr"), "{}", good.stdout);
    assert!(!format!("{}{}", good.stdout, good.stderr).contains("canary"), "{}", good.stdout);
    assert_eq!(clouds.log("registry").await[0]["scope"], "repository:app:pull");

    variables[2].1 = "none";
    let told = clouds.explain(&image, &variables, &["--operation", "pull"]).await.failed();
    let said = "controller.cloud:acr: CloudDenied: Entra ID at 127.0.0.1";
    assert!(told.stdout.contains(said) && told.stdout.contains("AADSTS700016"), "{}", told.stdout);

    let nowhere = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")];
    let told = clouds.explain(&image, &nowhere, &["--operation", "pull"]).await.failed();
    let said = "controller.cloud:acr: CloudUnavailable: no identity for team.azurecr.io was found: \
                AZURE_FEDERATED_TOKEN_FILE is not set";
    assert!(told.stdout.contains(said), "{}", told.stdout);
}
