//! The walls between the parts, kept by a test: which module may name which crate, and which other module.
//!
//! A wall that is in the way is moved here, with a reason, and not climbed over.

#![expect(clippy::expect_used, reason = "a test that cannot go on says why and ends")]

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

mod names;

use names::{Name, names};

/// Which of our modules a module may name, besides itself. One that is not listed may not exist.
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("boot", OUTSIDE),
    ("cli", OUTSIDE),
    ("demo", OUTSIDE),
    ("gateway", &["authority", "config", "domain", "clock", "lifecycle", "telemetry"]),
    ("admin", &["authority", "config", "domain", "clock", "lifecycle", "telemetry"]),
    ("authority", &["store", "config", "domain", "clock", "telemetry"]),
    ("telemetry", &["config", "domain", "clock"]),
    ("lifecycle", &[]),
    ("store", &["config", "domain", "clock"]),
    ("config", &["domain"]),
    ("clock", &["domain"]),
    ("domain", &[]),
];

/// What starts the program puts all the parts together.
const OUTSIDE: &[&str] = &[
    "boot",
    "cli",
    "telemetry",
    "gateway",
    "admin",
    "authority",
    "store",
    "config",
    "domain",
    "clock",
    "demo",
    "lifecycle",
];

/// The crates that a rule of the domain may be written with: data, hashes, grammar.
const DOMAIN_CRATES: &[&str] = &[
    "std",
    "serde",
    "serde_json",
    "http",
    "base64",
    "memchr",
    "sha2",
    "ring",
    "zeroize",
    "subtle",
    "thiserror",
    "jsonwebtoken",
    "bytes",
    "form_urlencoded",
    "html5gum",
];

/// What a module may not name although its crate is allowed: module, name, reason.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("domain", "std::time::SystemTime", "time is an argument"),
    ("domain", "std::time::Instant", "time is an argument"),
    ("domain", "ring::rand", "randomness is an argument"),
    ("domain", "std::env", PURE),
    ("domain", "std::fs", PURE),
    ("domain", "std::process", PURE),
    ("domain", "std::thread", PURE),
    ("domain", "std::net::TcpStream", PURE),
    ("domain", "std::net::TcpListener", PURE),
    ("domain", "std::net::UdpSocket", PURE),
    ("domain", "std::net::ToSocketAddrs", PURE),
    ("authority", "crate::store::sqlite", ANY_STORE),
    ("authority", "crate::store::postgres", ANY_STORE),
    ("authority", "crate::store::redis", ANY_STORE),
];

const PURE: &str = "the domain does nothing, it only judges";
const ANY_STORE: &str = "the use cases work with any store";

/// What only some modules may name: name, modules (`store::*`: those below it, not itself), reason.
const CONFINED: &[(&str, &[&str], &str)] = &[
    ("pingora", &["boot", "gateway"], "the proxy is known to the gateway and to what starts it"),
    ("sqlx", &["store::*"], "SQL is known to the stores"),
    ("reqwest", &["authority::upstream_login"], "sidegate asks nobody but the application's login"),
    ("moka", &["authority"], "caches belong to the authority"),
    ("axum", &["admin", "demo", "gateway::endpoints"], "the router is known to what answers by itself"),
    ("rand", &["clock"], "randomness is an argument; one file draws it"),
    ("ring::rand", &["clock"], "randomness is an argument; one file draws it"),
    ("std::time::SystemTime", &["clock"], "time is an argument; one file reads the clock"),
    ("std::time::Instant", &["clock"], "time is an argument; one file reads the clock"),
    ("std::env::var", &["config"], "what the operator says is in the file; the configuration expands variables"),
    ("std::env::var_os", &["config"], "what the operator says is in the file; the configuration expands variables"),
    ("std::env::vars", &["config"], "what the operator says is in the file; the configuration expands variables"),
    ("std::env::vars_os", &["config"], "what the operator says is in the file; the configuration expands variables"),
];

/// A name that stands where it may not.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    file: String,
    line: usize,
    module: String,
    name: String,
    rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, module, name, rule } = self;
        write!(f, "{file}:{line}: {module} may not use {name} (rule: {rule})")
    }
}

/// The violations in a source file; `file` is its path from the root, `src/…`.
fn violations(file: &str, source: &str) -> Vec<Violation> {
    let below_src = file.trim_start_matches("src/").trim_end_matches(".rs");
    let path: Vec<&str> = below_src.split('/').collect();
    // In `main.rs` and `lib.rs` the crate itself is the module.
    let module = if matches!(below_src, "main" | "lib") { &[][..] } else { &path };
    let violation = |line: usize, name: String, rule: String| Violation {
        file: file.to_owned(),
        line,
        module: path.join("::"),
        name,
        rule,
    };
    let names = match names(module, source, &crates()) {
        Ok(names) => names,
        Err(error) => {
            return vec![violation(error.span().start().line, "what syn cannot read".to_owned(), error.to_string())];
        }
    };
    if below_src == "lib" {
        return Vec::new();
    }
    let mut violations = Vec::new();
    if !ARROWS.iter().any(|(module, _)| *module == path[0]) {
        violations.push(violation(
            1,
            "anything".to_owned(),
            format!("`{}` has no place in the table of arrows", path[0]),
        ));
    }
    let is_test_file = path.last() == Some(&"tests");
    for name in names {
        let in_tests = name.in_tests || is_test_file;
        // What was imported wrongly is reported where it is imported.
        let reported = name.import.as_ref().is_some_and(|import| broken_rule(&path, import, false, in_tests).is_some());
        if reported {
            continue;
        }
        if let Some(rule) = broken_rule(&path, &name.path, name.is_glob, in_tests) {
            violations.push(violation(name.line, display(&name), rule));
        }
    }
    violations
}

/// Why a module may not use a path, if it may not.
fn broken_rule(module: &[&str], path: &[String], is_glob: bool, in_tests: bool) -> Option<String> {
    // A glob over what holds a forbidden name might bring it.
    let names = |what: &str| {
        let what: Vec<&str> = what.split("::").collect();
        let shared = path.iter().zip(&what).take_while(|(one, other)| one == other).count();
        shared == what.len() || (is_glob && shared == path.len())
    };
    let forbidden = FORBIDDEN.iter().find(|(within, what, _)| lies_in(module, within) && names(what));
    if let Some((_, _, reason)) = forbidden {
        return Some((*reason).to_owned());
    }
    if lies_in(module, "domain") && path[0] != "crate" {
        let may = DOMAIN_CRATES.contains(&path[0].as_str()) || (in_tests && path[0] == "proptest");
        if !may {
            return Some("the domain names only crates of data, hashes and grammar".to_owned());
        }
    }
    let confined =
        CONFINED.iter().find(|(what, within, _)| names(what) && !within.iter().any(|within| lies_in(module, within)));
    if let Some((_, _, reason)) = confined {
        return Some((*reason).to_owned());
    }
    if path[0] != "crate" {
        return None;
    }
    let (_, allowed) = ARROWS.iter().find(|(from, _)| *from == module[0])?;
    let points_right = match path.get(1) {
        Some(target) => target == module[0] || allowed.contains(&target.as_str()),
        None => !is_glob,
    };
    (!points_right).then(|| {
        let allowed = if allowed.is_empty() { "nothing of ours".to_owned() } else { allowed.join(", ") };
        format!("{} → {allowed}", module[0])
    })
}

/// Whether a module is the named one or lies below it; with `::*` at the end, only below.
fn lies_in(module: &[&str], within: &str) -> bool {
    let (within, only_below) = within.strip_suffix("::*").map_or((within, false), |within| (within, true));
    let within: Vec<&str> = within.split("::").collect();
    module.starts_with(&within) && !(only_below && module.len() == within.len())
}

fn display(name: &Name) -> String {
    name.path.join("::") + if name.is_glob { "::*" } else { "" }
}

/// Every crate that a source file could name.
fn crates() -> BTreeSet<String> {
    let manifest: toml::Table = toml::from_str(include_str!("../../Cargo.toml")).expect("the manifest is TOML");
    let tables = ["dependencies", "dev-dependencies"].map(|table| manifest[table].as_table().expect("it is a table"));
    tables.iter().flat_map(|table| table.keys()).map(|name| name.replace('-', "_")).collect()
}

/// The files below a folder, as paths from the root.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("its entries can be read").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn every_name_stands_within_its_walls() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = sources(&root.join("src"));
    assert!(files.len() > 15, "these are not all files: {files:?}");

    let mut all = Vec::new();
    for file in files {
        let source = std::fs::read_to_string(&file).expect("it can be read");
        let file = file.strip_prefix(root).expect("it lies below the root");
        all.extend(violations(&file.display().to_string(), &source));
    }

    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    assert!(all.is_empty(), "\n{}\n", all.join("\n"));
}

#[test]
fn every_planted_violation_is_found_where_it_stands() {
    let planted: &[(&str, &str, &str)] = &[
        // Crates, in every way to name one.
        ("src/domain/x.rs", "use tokio::time::sleep;", "tokio::time::sleep"),
        ("src/domain/x.rs", "use tokio as t;", "tokio"),
        ("src/domain/x.rs", "use std::{fmt, collections::{BTreeMap, HashMap}, fs};", "std::fs"),
        ("src/domain/x.rs", "use {serde_json::Value, sqlx::{self as q}};", "sqlx"),
        ("src/domain/x.rs", "use ::rand::rng;", "rand::rng"),
        ("src/domain/x.rs", "use moka::sync::*;", "moka::sync::*"),
        ("src/domain/x.rs", "extern crate tokio;", "tokio"),
        ("src/domain/x.rs", "extern crate pingora as http;", "pingora"),
        ("src/domain/x.rs", "fn f() { tokio::spawn(async {}); }", "tokio::spawn"),
        ("src/domain/x.rs", "fn f() { ::tracing::info!(\"x\"); }", "tracing::info"),
        ("src/domain/x.rs", "fn f() { let _ = vec![tokio::sync::Notify::new()]; }", "tokio::sync::Notify::new"),
        ("src/domain/x.rs", "fn f() { assert!(x(|| { 0..tokio::X }), \"{}\", 1); }", "tokio::X"),
        ("src/domain/x.rs", "macro_rules! m { () => { use tokio as t; }; }", "tokio"),
        ("src/domain/x.rs", "macro_rules! m { () => { $crate::store::open() }; }", "crate::store::open"),
        (
            "src/domain/x.rs",
            "macro_rules! m { () => { use crate::{domain::time, store::Store}; }; }",
            "crate::store::Store",
        ),
        ("src/domain/x.rs", "struct S { a: Option<tokio::sync::Mutex<u8>> }", "tokio::sync::Mutex"),
        ("src/domain/x.rs", "fn f() -> <reqwest::Client as Send>::Output {}", "reqwest::Client"),
        ("src/domain/x.rs", "#[tokio::main] async fn f() {}", "tokio::main"),
        ("src/domain/x.rs", "#[cfg_attr(test, derive(axum::X))] struct S;", "axum::X"),
        ("src/domain/x.rs", "fn f(x: u8) { match x { tokio::X => {} _ => {} } }", "tokio::X"),
        ("src/domain/x.rs", "mod inner { fn f() { use tokio::spawn; } }", "tokio::spawn"),
        ("src/domain/x.rs", "use proptest::prelude::*;", "proptest::prelude::*"),
        ("src/domain/x.rs", "#[cfg(test)] mod tests { use tokio::spawn; }", "tokio::spawn"),
        // Time, randomness and the outside, also through an imported module.
        ("src/domain/x.rs", "use std::time::{Duration, Instant};", "std::time::Instant"),
        ("src/domain/x.rs", "use std::time; fn f() { time::SystemTime::now(); }", "std::time::SystemTime::now"),
        ("src/domain/x.rs", "use core::time::*;", "std::time::*"),
        ("src/domain/x.rs", "use std as s; use s::process::Command;", "std::process::Command"),
        ("src/domain/x.rs", "use std::net::{IpAddr, TcpStream};", "std::net::TcpStream"),
        ("src/domain/x.rs", "fn f() { std::thread::spawn(|| {}); }", "std::thread::spawn"),
        ("src/domain/x.rs", "fn f() { ring::rand::SystemRandom::new(); }", "ring::rand::SystemRandom::new"),
        ("src/gateway/x.rs", "use std::time::Instant;", "std::time::Instant"),
        (
            "src/authority.rs",
            "fn f() { let _ = std::time::SystemTime::UNIX_EPOCH; }",
            "std::time::SystemTime::UNIX_EPOCH",
        ),
        ("src/authority/login.rs", "use rand::Rng;", "rand::Rng"),
        ("src/boot.rs", "fn f() { std::env::var(\"HOME\"); }", "std::env::var"),
        ("src/boot.rs", "use std::env; fn f() { env::var_os(\"HOME\"); }", "std::env::var_os"),
        // Crates that belong to one part.
        ("src/authority/x.rs", "use pingora::prelude::*;", "pingora::prelude::*"),
        ("src/store.rs", "use sqlx::PgPool;", "sqlx::PgPool"),
        ("src/config/checked.rs", "type P = sqlx::PgPool;", "sqlx::PgPool"),
        ("src/gateway/x.rs", "use moka::sync::Cache;", "moka::sync::Cache"),
        ("src/gateway/proxy.rs", "use axum::Router;", "axum::Router"),
        // Arrows, absolute and relative.
        ("src/domain/x.rs", "use crate::clock::Clock;", "crate::clock::Clock"),
        ("src/domain/x.rs", "use super::super::store::Store;", "crate::store::Store"),
        ("src/domain.rs", "fn f() { super::config::load(); }", "crate::config::load"),
        ("src/domain/x.rs", "mod inner { use super::super::super::store; }", "crate::store"),
        ("src/domain/x.rs", "use crate as root; use root::store::Store;", "crate::store::Store"),
        ("src/domain/x.rs", "use crate::*;", "crate::*"),
        ("src/domain/x.rs", "use sidegate::gateway;", "crate::gateway"),
        ("src/authority/x.rs", "use crate::store::sqlite::SqliteStore;", "crate::store::sqlite::SqliteStore"),
        ("src/authority/x.rs", "use crate::store; fn f() { store::postgres::open(); }", "crate::store::postgres::open"),
        ("src/authority/x.rs", "use crate::store::*;", "crate::store::*"),
        ("src/authority/x.rs", "use crate::gateway::Gateway;", "crate::gateway::Gateway"),
        ("src/gateway/x.rs", "use crate::store::Store;", "crate::store::Store"),
        ("src/gateway.rs", "fn f(_: &crate::admin::Admin) {}", "crate::admin::Admin"),
        ("src/admin.rs", "use crate::gateway::Gateway;", "crate::gateway::Gateway"),
        ("src/store/sqlite.rs", "use crate::authority::Authority;", "crate::authority::Authority"),
        ("src/config/file.rs", "use crate::store::Store;", "crate::store::Store"),
        ("src/clock.rs", "use crate::config::Config;", "crate::config::Config"),
        ("src/main.rs", "use sidegate::gateway::Gateway;", "crate::gateway::Gateway"),
        ("src/main.rs", "mod boot; mod store; fn main() { store::open(); }", "crate::store::open"),
        ("src/telemetry.rs", "use crate::main;", "crate::main"),
        ("src/utils.rs", "fn f() {}", "anything"),
    ];

    for (file, line, name) in planted {
        let source = format!("//! A module.\n\n{line}\n");
        let found = violations(file, &source);
        let names: Vec<&str> = found.iter().map(|violation| violation.name.as_str()).collect();
        assert_eq!(names, [*name], "in {file}: {line}");
        assert!(*name == "anything" || found[0].line == 3, "{found:?}");
    }
}

#[test]
fn what_is_allowed_is_not_reported() {
    let allowed = [
        ("src/domain/x.rs", "use std::{fmt, net::{IpAddr, SocketAddr}, time::Duration};"),
        ("src/domain/x.rs", "use ring::{hmac, hkdf}; use sha2::Digest; use super::time::Timestamp; use super::*;"),
        (
            "src/domain/x.rs",
            "//! tokio::spawn\n/// `std::fs::read`\n#[doc = \"sqlx::X\"] fn f() -> &'static str { \"tokio::spawn\" }",
        ),
        ("src/domain/x.rs", "fn f() { /* tokio::spawn */ println!(\"tokio::spawn {}\", 1); }"),
        (
            "src/domain/x.rs",
            "#[cfg(test)] mod tests { use proptest::prelude::*; use super::*; proptest! { fn f() {} } }",
        ),
        ("src/domain/x.rs", "fn f(log: Log, url: &str) { log.tokio; url.len(); self::g::<u8>(); Self::tokio(); }"),
        (
            "src/domain/x.rs",
            "use serde_json::{self, Value}; fn f() { serde_json::json!({ \"a\": serde_json::Value::Null }); }",
        ),
        ("src/domain/x.rs", "mod log { pub fn f() {} } fn g() { log::f(); }"),
        ("src/domain/x/tests.rs", "use proptest::prelude::*; use super::*;"),
        ("src/authority.rs", "use crate::store::{Store, StoreError}; use moka::sync::Cache; use ring::signature;"),
        ("src/gateway/endpoints/login.rs", "use axum::Json; use crate::authority::Authority; use pingora::X;"),
        ("src/store/postgres/feed.rs", "use sqlx::PgPool; use super::super::Store; use super::pool; use crate::store;"),
        ("src/clock.rs", "use std::time::{Instant, SystemTime}; use rand::TryRng; use crate::domain::time::Timestamp;"),
        ("src/config/file.rs", "fn f() { std::env::var(\"X\"); }"),
        ("src/boot.rs", "use crate::store::sqlite::SqliteStore; use pingora::X; use crate::{admin, gateway};"),
        ("src/main.rs", "use sidegate::cli; fn main() { cli::main(); std::env::args(); }"),
        ("src/main.rs", "mod cli; fn main() { cli::main(); }"),
        ("src/lib.rs", "pub mod store; pub use store::Store;"),
    ];

    for (file, source) in allowed {
        assert_eq!(violations(file, source), [], "in {file}: {source}");
    }
}

#[test]
fn a_violation_names_its_place_and_its_rule() {
    let messages = |file, source| violations(file, source).iter().map(ToString::to_string).collect::<Vec<_>>();

    assert_eq!(
        messages("src/domain/x.rs", "use std::fmt;\n\nuse tokio::spawn;\n"),
        [
            "src/domain/x.rs:3: domain::x may not use tokio::spawn (rule: the domain names only crates of data, hashes and grammar)"
        ]
    );
    assert_eq!(
        messages("src/config.rs", "use crate::store::Store;"),
        ["src/config.rs:1: config may not use crate::store::Store (rule: config → domain)"]
    );
    assert_eq!(
        messages("src/utils.rs", "fn f() {}"),
        ["src/utils.rs:1: utils may not use anything (rule: `utils` has no place in the table of arrows)"]
    );
}
