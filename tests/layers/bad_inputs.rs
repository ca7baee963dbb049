//! The check itself, on small inputs that break one rule each: a check that finds nothing is no check.

use crate::rules::{Violation, check};

/// The violations of one file in a tree that has the usual modules.
fn violations(file: &str, text: &str) -> Vec<Violation> {
    let others = [
        "error",
        "payload",
        "storage",
        "storage/oci",
        "client",
        "client/http",
        "flow",
        "cli",
        "config/watch",
    ];
    let mut files: Vec<_> =
        others.iter().map(|m| (format!("src/{m}.rs"), "//! A module.\n".to_owned())).collect();
    files.retain(|(other, _)| other != file);
    files.push((file.to_owned(), format!("//! A module.\n{text}")));
    check(&files)
}

#[track_caller]
fn breaks(file: &str, text: &str, line: usize, rule: &str) {
    let found = violations(file, text);
    let expected = Violation { file: file.to_owned(), line, rule: rule.to_owned() };
    assert!(found.contains(&expected), "{text:?} gives {found:?}");
}

#[track_caller]
fn keeps(file: &str, text: &str) {
    assert_eq!(violations(file, text), [], "{text:?}");
}

#[test]
fn a_lower_row_may_not_use_a_higher_one() {
    let rule = "payload (row 2) may not use client (row 3)";
    breaks("src/payload.rs", "use crate::client::Thing;", 2, rule);
    breaks("src/payload.rs", "\nfn f() { crate::client::send() }", 3, rule);
    breaks("src/error.rs", "use crate::payload;", 2, "error (row 1) may not use payload (row 2)");
    breaks("src/client.rs", "use crate::flow::sign;", 2, "client (row 3) may not use flow (row 5)");
}

#[test]
fn the_flow_sees_ports_only() {
    keeps("src/flow.rs", "use crate::storage::{Store, Stored};\nuse crate::error::Class;");
    breaks("src/flow.rs", "use crate::client::X;", 2, "flow (row 5) may not use client (row 3)");
    breaks("src/flow.rs", "use crate::storage::oci::X;", 2, "flow (row 5) may not use storage::oci (row 4)");
}

#[test]
fn nested_braces_renamed_and_glob_imports_are_seen() {
    let rule = "flow (row 5) may not use storage::oci (row 4)";
    breaks("src/flow.rs", "use crate::{error::Class,\n    storage::{Store, oci::{self, X}}};", 3, rule);
    breaks("src/flow.rs", "use crate::storage::oci::*;", 2, rule);
    breaks("src/flow.rs", "use crate::storage as s;\nfn f() { s::oci::push() }", 3, rule);
    breaks("src/flow.rs", "use crate::storage::{self};\nfn f() { storage::oci::push() }", 3, rule);
}

#[test]
fn paths_in_macros_types_and_relative_paths_are_seen() {
    let rule = "flow (row 5) may not use client::http (row 3)";
    breaks("src/flow.rs", "fn f() { format!(\"{}\", crate::client::http::name()) }", 2, rule);
    breaks("src/flow.rs", "fn f(x: Option<crate::client::http::X>) {}", 2, rule);
    breaks("src/flow.rs", "use super::client::http;", 2, rule);
    breaks(
        "src/storage.rs",
        "mod oci;\npub use oci::X;",
        3,
        "storage (row 2) may not use storage::oci (row 4)",
    );
    breaks(
        "src/storage.rs",
        "mod oci;\npub use self::oci::X;",
        3,
        "storage (row 2) may not use storage::oci (row 4)",
    );
    breaks(
        "src/config/watch.rs",
        "mod inner { use super::super::super::cli::X; }",
        2,
        "config::watch (row 4) may not use cli (row 7)",
    );
}

#[test]
fn comments_strings_and_tests_count_for_nothing() {
    keeps(
        "src/flow.rs",
        "// crate::client::X\n/// [`crate::client::X`]\nconst A: &str = \"crate::client::X\";",
    );
    keeps("src/flow.rs", "#[cfg(test)]\nmod tests { use crate::client::X; fn f() { kube::x() } }");
    keeps("src/flow/tests.rs", "use crate::client::X;");
    breaks(
        "src/flow.rs",
        "#[cfg(test)]\nmod tests {}\nuse crate::client::X;",
        4,
        "flow (row 5) may not use client (row 3)",
    );
}

#[test]
fn network_and_system_are_kept_out_of_the_pure_rows() {
    let rule = "payload (row 2) may not use kube, which is of the network";
    breaks("src/payload.rs", "use kube::Api;", 2, rule);
    breaks("src/payload.rs", "fn f() { kube::Client::new() }", 2, rule);
    breaks("src/payload.rs", "use ::kube::Client;", 2, rule);
    breaks(
        "src/main.rs",
        "fn main() { reqwest::get() }",
        2,
        "main (row 8) may not use reqwest, which is of the network",
    );
    breaks("src/payload.rs", "use std::fs;", 2, "payload (row 2) does no input or output, so no std::fs");
    breaks(
        "src/payload.rs",
        "use std::{fmt, fs::File};",
        2,
        "payload (row 2) does no input or output, so no std::fs",
    );
    keeps("src/storage/oci.rs", "use reqwest::Client;\nuse crate::client::X;");
    keeps("src/payload.rs", "use std::net::SocketAddr;\nuse std::fmt;\nuse kubernetes::X;");
}

#[test]
fn the_library_root_declares_only_and_every_module_has_a_row() {
    keeps("src/lib.rs", "pub mod flow;\npub mod cli;");
    breaks("src/lib.rs", "pub use crate::flow::sign;", 2, "lib.rs declares modules and uses none");
    breaks("src/other.rs", "use crate::error::X;", 2, "module other is in no row of the table");
    keeps(
        "src/cli.rs",
        "use crate::flow::sign;
use crate::client::http;
use axum::Router;",
    );
}

#[test]
fn long_functions_and_files_are_found_and_tests_are_not_counted() {
    let body = |lines: usize| format!("fn f() {{\n{}}}\n", "    x();\n".repeat(lines));
    keeps("src/flow.rs", &body(58));
    breaks("src/flow.rs", &body(59), 2, "function f has 61 lines, more than 60");
    let in_impl = format!("impl X {{\n{}}}", body(59));
    breaks("src/flow.rs", &in_impl, 3, "function f has 61 lines, more than 60");
    keeps("src/flow.rs", "type F = fn(u8) -> u8;\ntrait T { fn f(&self); }");

    let file = |lines: usize| "const A: u8 = 1;\n".repeat(lines);
    keeps("src/flow.rs", &file(349));
    breaks("src/flow.rs", &file(350), 1, "the file has 351 lines without tests, more than 350");
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}\n{}}}\n", body(100), file(300));
    keeps("src/flow.rs", &format!("{}{tests}", file(340)));
}

#[test]
fn a_file_without_a_header_or_without_rust_is_found() {
    let rule = "the file does not begin with a //! header that says what it is for";
    for text in ["", "fn f() {}\n", "//!\n", "// a comment\n"] {
        let found = check(&[("src/flow.rs".to_owned(), text.to_owned())]);
        assert_eq!(found.iter().map(|v| v.rule.as_str()).collect::<Vec<_>>(), [rule], "{text:?}");
    }
    let found = violations("src/flow.rs", "fn f( {");
    assert!(found.iter().any(|v| v.rule.starts_with("this is not Rust")), "{found:?}");
}
