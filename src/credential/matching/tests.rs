//! The matching table of the credentials specification §3.2, row by row, and the order of §3.3.

use super::*;

fn repository(target: &str) -> Repository {
    // The table of §3.2 abbreviates repositories to one letter, which the grammar of names does not allow.
    let (host, path) = target.split_once('/').unwrap();
    let path = if path.len() == 1 { format!("{path}{path}") } else { path.to_owned() };
    Repository::parse(&format!("{host}/{path}")).unwrap()
}

fn fit(key: &str, target: &str) -> Option<Specificity> {
    let repository = repository(target);
    Key::parse(key).unwrap_or_else(|error| panic!("{error}")).matches(&Sought::of(&repository))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Row {
    Yes,
    Broad,
    No,
    Invalid,
}

fn result(key: &str, target: &str) -> Row {
    match Key::parse(key) {
        Err(_) => Row::Invalid,
        Ok(key) if key.matches(&Sought::of(&repository(target))).is_none() => Row::No,
        Ok(key) if key.is_broad() => Row::Broad,
        Ok(_) => Row::Yes,
    }
}

#[test]
fn every_row_of_the_matching_table() {
    use Row::{Broad, Invalid, No, Yes};
    let rows = [
        (1, "gcr.io", "gcr.io/p/i", Yes),
        (2, "https://gcr.io", "gcr.io/p/i", Yes),
        (2, "http://gcr.io/", "gcr.io/p/i", Yes),
        (3, "https://index.docker.io/v1/", "index.docker.io/library/x", Yes),
        (4, "https://index.docker.io/v2/", "index.docker.io/u/x", Yes),
        (5, "https://index.docker.io/v1", "index.docker.io/u/x", Yes),
        (6, "docker.io", "index.docker.io/u/x", Yes),
        (6, "https://docker.io/v1/", "index.docker.io/u/x", Yes),
        (7, "registry-1.docker.io", "index.docker.io/u/x", Yes),
        (8, "index.docker.io/v1/u", "index.docker.io/u/x", Yes),
        (8, "index.docker.io/v1/u", "index.docker.io/w/x", No),
        (9, "*.example.com", "a.example.com/x", Yes),
        (10, "*.example.com", "a.b.example.com/x", No),
        (11, "*.example.com", "example.com/x", No),
        (12, "*.*.example.com", "a.b.example.com/x", Yes),
        (13, "*", "localhost/x", Yes),
        (14, "*", "gcr.io/x", No),
        (15, "*.io", "quay.io/x", Broad),
        (16, "r*g.example.com", "reg.example.com/x", Yes),
        (17, "reg.example.com:5000", "reg.example.com:5000/x", Yes),
        (18, "reg.example.com", "reg.example.com:5000/x", No),
        (19, "reg.example.com:443", "reg.example.com/x", Yes),
        (20, "reg.example.com:5*", "reg.example.com:5000/x", Invalid),
        (21, "reg.example.com/ns", "reg.example.com/ns/i", Yes),
        (22, "reg.example.com/ns", "reg.example.com/nsx/i", Yes),
        (23, "reg.example.com/ns/", "reg.example.com/ns/i", Yes),
        (24, "reg.example.com/ns/", "reg.example.com/ns", Yes),
        (25, "reg.example.com/ns/*", "reg.example.com/ns/i", Invalid),
        (26, "reg.example.com/ns/i", "reg.example.com/ns", No),
        (27, "REG.example.com", "reg.example.com/x", Yes),
        (28, "reg.example.com.", "reg.example.com/x", Yes),
        (28, "reg.example.com.:5000", "reg.example.com:5000/x", Yes),
        (29, "127.0.0.1:5000", "127.0.0.1:5000/x", Yes),
        (29, "[::1]:5000", "[::1]:5000/x", Yes),
        (30, "10.0.*.1", "10.0.3.1/x", Yes),
        (31, "r[ae]g.example.com", "reg.example.com/x", Invalid),
        (31, "r?g.example.com", "reg.example.com/x", Invalid),
        (32, "oci://reg.example.com", "reg.example.com/x", Invalid),
        (33, "https://user@reg.example.com", "reg.example.com/x", Yes),
        (34, "*.dkr.ecr.*.amazonaws.com", "123456789012.dkr.ecr.us-east-1.amazonaws.com/app", Yes),
        (35, "", "reg.example.com/x", Invalid),
    ];
    for number in 1..=35 {
        assert!(rows.iter().any(|(row, ..)| *row == number), "§3.2 row {number} is not in the table");
    }
    for (row, key, target, expected) in rows {
        assert_eq!(result(key, target), expected, "§3.2 row {row}: {key:?} for {target}");
    }
}

#[test]
fn row_22_ranks_below_a_match_that_ends_on_a_segment() {
    let target = "reg.example.com/nsx/i";
    assert!(fit("reg.example.com/nsx", target) < fit("reg.example.com/ns", target));
    assert!(fit("reg.example.com/ns", target) < fit("reg.example.com", target));
}

#[test]
fn row_25_says_where_globs_are_allowed() {
    let error = Key::parse("reg.example.com/ns/*").unwrap_err();
    assert_eq!(error.to_string(), r#"key "reg.example.com/ns/*": globs are only allowed in the host"#);
}

#[test]
fn the_six_keys_of_the_specificity_rule_come_in_its_order() {
    let target = "reg.example.com/ns/img";
    let keys = [
        "reg.example.com/ns/img",
        "reg.example.com/ns",
        "reg.example.com/n",
        "reg.example.com",
        "*.example.com/ns",
        "*.example.com",
    ];
    for pair in keys.windows(2) {
        assert!(fit(pair[0], target).unwrap() < fit(pair[1], target).unwrap(), "{pair:?}");
    }
}

#[test]
fn a_whole_segment_beats_a_longer_path_that_ends_inside_one() {
    let target = "reg.example.com/ns/img";
    assert!(fit("reg.example.com/ns", target).unwrap() < fit("reg.example.com/ns/im", target).unwrap());
}

#[test]
fn podmans_hierarchy_is_tried_from_the_leaf_to_the_registry() {
    let target = "reg.example.com/ns/user/img";
    let keys =
        ["reg.example.com/ns/user/img", "reg.example.com/ns/user", "reg.example.com/ns", "reg.example.com"];
    for pair in keys.windows(2) {
        assert!(fit(pair[0], target).unwrap() < fit(pair[1], target).unwrap(), "{pair:?}");
    }
}

#[test]
fn fewer_wildcards_and_more_literal_characters_are_more_specific() {
    let target = "a.b.example.com/x";
    assert!(fit("a.*.example.com", target).unwrap() < fit("*.*.example.com", target).unwrap());
    assert!(fit("a.b*.example.com", target).unwrap() < fit("a.*.example.com", target).unwrap());
}

#[test]
fn every_name_of_docker_hub_is_the_same_registry() {
    let target = "index.docker.io/u/x";
    for key in [
        "docker.io",
        "registry-1.docker.io",
        "registry.hub.docker.com",
        "hub.docker.com",
        "DOCKER.io.",
        "https://docker.io:443/v2/",
    ] {
        assert!(fit(key, target).is_some(), "{key}");
        assert!(Key::parse(key).unwrap().is_hub_alias(), "{key}");
    }
    assert!(!Key::parse("https://index.docker.io/v1/").unwrap().is_hub_alias());
    assert!(fit("docker.io:5000", target).is_none());
    assert!(fit("myuser", target).is_none(), "a bare word is a host, not a namespace of Docker Hub");
}

#[test]
fn default_ports_go_with_their_scheme_only() {
    assert!(fit("https://reg.example.com:443/v2/", "reg.example.com/x").is_some());
    assert!(fit("http://reg.example.com:80", "reg.example.com/x").is_some());
    assert!(fit("reg.example.com", "reg.example.com:443/x").is_some());
    assert!(fit("http://reg.example.com:443", "reg.example.com/x").is_none());
    assert!(fit("reg.example.com:80", "reg.example.com/x").is_none());
}

#[test]
fn the_api_version_is_a_whole_segment() {
    assert!(fit("reg.example.com/v1/ns", "reg.example.com/ns/i").is_some());
    assert!(fit("reg.example.com/v1x", "reg.example.com/v1x/i").is_some());
    assert!(fit("reg.example.com/v2?service=x#y", "reg.example.com/any").is_some());
}

#[test]
fn wildcards_stay_inside_their_label_and_may_be_empty() {
    assert!(fit("r*g.example.com", "rg.example.com/x").is_some());
    assert!(fit("*e*g*.example.com", "reg.example.com/x").is_some());
    assert!(fit("a*a.example.com", "a.example.com/x").is_none(), "one letter cannot serve both ends");
    assert!(fit("*e*e*.example.com", "reg.example.com/x").is_none());
    assert!(fit("re*", "reg.example.com/x").is_none());
}

#[test]
fn many_stars_cost_no_more_than_reading_them() {
    let key = Key::parse(&format!("{}b.example.com", "a*".repeat(20_000))).unwrap();
    let target = repository(&format!("{}.example.com/x", "a".repeat(60)));
    assert!(key.matches(&Sought::of(&target)).is_none());
}

#[test]
fn malformed_keys_are_refused_and_broad_ones_known() {
    for key in [
        " ",
        "a b",
        "reg.example.com ",
        "docker://x",
        "reg:",
        "reg:70000",
        "a..b",
        ".a",
        "[::1",
        "[zz]",
        "/ns",
        "https://",
    ] {
        assert!(Key::parse(key).is_err(), "{key:?}");
    }
    for (key, broad) in [("*.io", true), ("*.*", true), ("**.com", true), ("*", false), ("r*.io", false)] {
        assert_eq!(Key::parse(key).unwrap().is_broad(), broad, "{key}");
    }
}

#[test]
fn keys_are_shown_without_userinfo_and_query() {
    for (key, expected) in [
        ("https://user:canary@reg.example.com/ns", "https://reg.example.com/ns"),
        ("user:can/ary@reg.example.com", "reg.example.com"),
        ("https://reg.example.com/v2/?token=canary", "https://reg.example.com/v2/"),
        ("REG.example.com", "REG.example.com"),
        ("a\nb", "a\u{fffd}b"),
    ] {
        assert_eq!(shown(key), expected);
    }
    let error = Key::parse("oci://user:canary@reg.example.com").unwrap_err();
    assert!(!error.to_string().contains("canary") && !format!("{error:?}").contains("canary"), "{error}");
    assert_eq!(shown(&"x".repeat(5000)).len(), 200);
}

mod keys;
mod oracle;

#[test]
fn what_stands_behind_a_path_is_no_userinfo() {
    let invalid = Key::parse("registry.test/team@elsewhere.test/app").unwrap_err();
    assert!(invalid.to_string().contains("in front of the host"), "{invalid}");
    assert!(Key::parse("https://user@registry.test/team").is_ok());
    for query in ["registry.test/team?q#f@elsewhere.test/app", "user:5000/can?ary@registry.test"] {
        let invalid = Key::parse(query).unwrap_err().to_string();
        assert!(invalid.contains("may only stand in front") && !invalid.contains("can"), "{invalid}");
    }
}
