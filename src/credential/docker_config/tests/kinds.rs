//! User names with a meaning (credentials specification §2.4) and tokens (§2.5), by the order in which these sections
//! name them.

use super::*;

const GOOGLE_KEY: &str = "{\n  \"type\": \"service_account\",\n  \"client_email\": \"ci@p.test\"\n}\n";

#[test]
fn every_special_user_name_keeps_its_password_byte_for_byte() {
    use ProblemCode::SuspiciousJSONKey;
    let jwt = "eyJhbGciOiJub25lIn0.eyJhdWQiOiJjZ3IuZGV2In0.c2ln";
    let zero = "00000000-0000-0000-0000-000000000000";
    let rows: [(u8, &str, &str, &[ProblemCode]); 13] = [
        (1, "_json_key", GOOGLE_KEY, &[]),
        (1, "_json_key", "canary", &[SuspiciousJSONKey]),
        (1, "_json_key", "{}", &[SuspiciousJSONKey]),
        (2, "_json_key_base64", "e30=", &[]),
        (3, "oauth2accesstoken", "ya29.canary", &[]),
        (4, "_token", "ya29.canary", &[]),
        (5, "_dcgcloud_token", "ya29.canary", &[]),
        (6, "AWS", "ey.canary", &[]),
        (7, zero, "canary", &[]),
        (8, "<token>", "canary", &[]),
        (9, "_token", jwt, &[]),
        (10, "unset", "ghp_canary", &[]),
        (10, "<TOKEN>", "canary", &[]),
    ];
    assert_eq!(numbers(rows.iter().map(|row| row.0)), (1..=10).collect::<Vec<_>>());
    for (row, username, password, problems) in rows {
        let expected = match username {
            "<token>" => format!("r.io=identity:{password}"),
            username => format!("r.io={username}:{password}"),
        };
        let fields = serde_json::json!({"username": username, "password": password});
        let auth = serde_json::json!({"auth": STANDARD.encode(format!("{username}:{password}"))});
        for entry in [fields, auth] {
            let reading = config(&serde_json::json!({"auths": {"r.io": entry}}).to_string());
            let case = format!("§2.4 row {row}: {username}");
            assert_eq!(
                (entries(&reading), codes(&reading)),
                (vec![expected.clone()], problems.to_vec()),
                "{case}"
            );
        }
    }
}

#[test]
fn tokens_are_entries_of_their_own_kinds() {
    let reading = config(
        r#"{"auths":{"a.io":{"identitytoken":"canary-i"},"b.io":{"registrytoken":"canary-r"},"c.io":{"auth":"PHRva2VuPjpjYW5hcnk="}}}"#,
    );
    assert_eq!(
        entries(&reading),
        ["a.io=identity:canary-i", "b.io=registry:canary-r", "c.io=identity:canary"]
    );
}
