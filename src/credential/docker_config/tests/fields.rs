//! The fields of an entry (credentials specification §2.2): the five steps of the resolution and the twelve rows of the
//! table of `auth`, by number, through a whole Secret.

use super::*;

/// The entry and the problem that one entry of a Secret comes to.
fn comes_to(entry: &str) -> (Vec<String>, Vec<ProblemCode>) {
    let reading = config(&format!(r#"{{"auths":{{"r.io":{entry}}}}}"#));
    (entries(&reading), codes(&reading))
}

#[test]
fn every_step_of_the_resolution() {
    use ProblemCode::{EmptyEntry, MalformedAuth};
    // base64 of user:pass
    let cases: [(u8, &str, &[&str], &[ProblemCode]); 14] = [
        (
            1,
            r#"{"registrytoken":"r","identitytoken":"i","auth":"dXNlcjpwYXNz","username":"u","password":"p"}"#,
            &["r.io=registry:r"],
            &[],
        ),
        (1, r#"{"RegistryToken":"r"}"#, &["r.io=registry:r"], &[]),
        (2, r#"{"registrytoken":"","identitytoken":"i","auth":"dXNlcjpwYXNz"}"#, &["r.io=identity:i"], &[]),
        (2, r#"{"identitytoken":"i","username":"u","password":"p"}"#, &["r.io=identity:i"], &[]),
        (3, r#"{"auth":"dXNlcjpwYXNz"}"#, &["r.io=user:pass"], &[]),
        (3, r#"{"auth":"dXNlcjpwYXNz","username":"u","password":"p"}"#, &["r.io=user:pass"], &[]),
        (3, r#"{"identitytoken":"","auth":"dXNlcjpwYXNz"}"#, &["r.io=user:pass"], &[]),
        (3, r#"{"auth":"!!!","username":"u","password":"p"}"#, &["r.io=u:p"], &[MalformedAuth]),
        (4, r#"{"username":"u","password":"p"}"#, &["r.io=u:p"], &[]),
        (4, r#"{"auth":"","USERNAME":"u","Password":"p"}"#, &["r.io=u:p"], &[]),
        (4, r#"{"username":"u","password":"p","email":7,"other":[{}]}"#, &["r.io=u:p"], &[]),
        (5, "{}", &[], &[EmptyEntry]),
        (5, r#"{"email":"a@b"}"#, &[], &[EmptyEntry]),
        (5, r#"{"auth":"","username":"","password":""}"#, &[], &[EmptyEntry]),
    ];
    for (step, entry, expected, problems) in cases {
        assert_eq!(comes_to(entry), (owned(expected), problems.to_vec()), "§2.2 step {step}: {entry}");
    }
}

/// Row 2 of the table has two spellings; each row after the second is one. `inner` is encoded once.
#[test]
fn every_row_of_the_auth_table() {
    let encoded = |inner: &str| STANDARD.encode(inner);
    let guid = "00000000-0000-0000-0000-000000000000:";
    let not_a_login = "auth is not base64(user:password)";
    let rows: [(u8, String, &str, Result<&str, &str>); 13] = [
        (1, "dXNlcjpwYXNz".into(), "", Ok("r.io=user:pass")),
        (2, "dXNlcjpwYXNzMQ==".into(), "", Ok("r.io=user:pass1")),
        (2, "dXNlcjpwYXNzMQ".into(), "", Ok("r.io=user:pass1")),
        (3, "dXNlcjpwOmE=".into(), "", Ok("r.io=user:p:a")),
        (4, "dXNlcg==".into(), "", Err(not_a_login)),
        (5, "!!!".into(), "", Err(not_a_login)),
        (6, " dXNlcjpwYXNz".into(), "", Ok("r.io=user:pass")),
        (7, encoded("user:"), "", Err("empty password")),
        (8, encoded(":pw"), "", Err("empty username")),
        (9, encoded(guid), "i", Ok("r.io=identity:i")),
        (10, encoded("<token>:"), "i", Ok("r.io=identity:i")),
        (11, encoded("user:pw\0\0"), "", Ok("r.io=user:pw")),
        (12, encoded(&encoded("user:pass")), "", Err("auth looks double-encoded")),
    ];
    assert_eq!(numbers(rows.iter().map(|row| row.0)), (1..=12).collect::<Vec<_>>());
    for (row, auth, identity_token, expected) in rows {
        let entry = serde_json::json!({"auth": auth, "identitytoken": identity_token});
        let reading = config(&serde_json::json!({"auths": {"r.io": entry}}).to_string());
        let case = format!("§2.2 auth row {row}: {auth:?}");
        match expected {
            Ok(entry) => {
                assert_eq!((entries(&reading), codes(&reading)), (owned(&[entry]), vec![]), "{case}");
            }
            Err(why) => {
                assert_eq!(entries(&reading), owned(&[]), "{case}");
                assert_eq!(codes(&reading), [ProblemCode::MalformedAuth], "{case}");
                let detail = &reading.problems[0].detail;
                assert!(detail.starts_with(&format!(r#"entry "r.io": {why}"#)), "{case}: {detail}");
            }
        }
    }
}

#[test]
fn a_password_need_not_be_text_and_a_name_must() {
    let auth = STANDARD.encode(b"user:\xff\xfe");
    let reading = config(&format!(r#"{{"auths":{{"r.io":{{"auth":"{auth}"}}}}}}"#));
    let Credential::Basic(login) = &*reading.entries[0].credential else { panic!("no login") };
    assert_eq!(login.password.expose(), b"\xff\xfe");
    let auth = STANDARD.encode(b"\xff:pw");
    assert_eq!(comes_to(&format!(r#"{{"auth":"{auth}"}}"#)), (vec![], vec![ProblemCode::MalformedAuth]));
}
