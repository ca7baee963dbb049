//! The clauses of the credentials specification §2.3, in the order in which it names them: what is accepted (1 to 7),
//! what is normalised (8 to 18), what is refused (19 to 24).

use super::*;

/// What a key means, as `host[:port][/path]`.
fn meaning(key: &str) -> Result<String, String> {
    let key = Key::parse(key).map_err(|invalid| invalid.defect.to_string())?;
    let Pattern { host, port, path } = key.pattern;
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let path = if path.is_empty() { path } else { format!("/{path}") };
    Ok(format!("{host}{port}{path}"))
}

#[test]
fn every_accepted_form_and_every_step_of_the_normal_form() {
    let cases = [
        (1, "r.io", "r.io"),
        (2, "r.io:5000", "r.io:5000"),
        (3, "r.io/ns/app", "r.io/ns/app"),
        (4, "r.io:5000/ns", "r.io:5000/ns"),
        (5, "https://r.io:5000/ns", "r.io:5000/ns"),
        (6, "http://r.io:5000/ns", "r.io:5000/ns"),
        (7, "*.r*g.io", "*.r*g.io"),
        (8, "HTTPS://r.io", "r.io"),
        (9, "https://user:pass@r.io/ns", "r.io/ns"),
        (9, "user@r.io", "r.io"),
        (10, "r.io/ns?service=x", "r.io/ns"),
        (11, "r.io/ns#part", "r.io/ns"),
        (12, "R.IO/ns", "r.io/ns"),
        (13, "r.io.", "r.io"),
        (13, "r.io.:5000/ns", "r.io:5000/ns"),
        (14, "r.io:443", "r.io"),
        (14, "https://r.io:443", "r.io"),
        (14, "http://r.io:80", "r.io"),
        (14, "http://r.io:443", "r.io:443"),
        (14, "r.io:80", "r.io:80"),
        (15, "r.io/v1/ns", "r.io/ns"),
        (15, "r.io/v2/ns/app", "r.io/ns/app"),
        (15, "r.io/v3/ns", "r.io/v3/ns"),
        (16, "r.io/", "r.io"),
        (16, "r.io/v1", "r.io"),
        (16, "r.io/v2", "r.io"),
        (16, "r.io/v2/", "r.io"),
        (17, "r.io/ns/", "r.io/ns"),
        (18, "https://docker.io/v1/", "index.docker.io"),
        (18, "registry-1.docker.io/ns", "index.docker.io/ns"),
        (18, "hub.docker.com", "index.docker.io"),
        (18, "registry.hub.docker.com", "index.docker.io"),
        (18, "docker.io:5000", "docker.io:5000"),
    ];
    for (clause, key, expected) in cases {
        assert_eq!(meaning(key), Ok(expected.to_owned()), "§2.3 clause {clause}: {key:?}");
    }
}

#[test]
fn every_refused_form_says_why() {
    let cases = [
        (19, "r.io:5*", "the port is not a number"),
        (19, "r.io:port", "the port is not a number"),
        (19, "r.io:", "the port is not a number"),
        (20, "r[ae]g.io", "\"*\" is the only wildcard"),
        (20, "r.io/n[s]", "globs are only allowed in the host"),
        (21, "r?g.io", "\"*\" is the only wildcard"),
        (22, "r .io", "it contains blanks"),
        (22, "r.io\n", "it contains blanks"),
        (23, "oci://r.io", "only https:// and http:// may stand in front of a host"),
        (23, "docker://r.io", "only https:// and http:// may stand in front of a host"),
        (24, "", "it is empty"),
    ];
    for (clause, key, why) in cases {
        assert_eq!(meaning(key), Err(why.to_owned()), "§2.3 clause {clause}: {key:?}");
    }
}
