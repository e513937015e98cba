//! The configuration. Input: the text of the file.
//!
//! Every text gives a configuration or at least one problem, and each problem says where: a key path or a point in the
//! text, a line that the text has, and what is wrong on one line. No problem and no warning shows a secret: neither what
//! a variable holds, nor the password of a URL, nor the store's URL, nor any of a text that is no TOML; and the store of
//! an accepted file shows neither as its user's. A comment more at the end changes nothing.

use std::path::Path;

use sidegate::config::{self, Config, Place, Problem, Problems, Surroundings};

/// What the variable `PASSWORD` holds. No key that is shown after it was expanded takes a `;`.
const VARIABLE: &str = "pw;hunter1";
/// Stands in inputs where a password stands in a URL.
const PASSWORD: &str = "hunter2";

pub fn holds(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match parse(text) {
        Ok(config) => {
            let shown = format!("{config:?}");
            let again = parse(&format!("{text}\n# the end\n")).unwrap_or_else(|problems| panic!("{problems}"));
            assert_eq!(format!("{again:?}"), shown, "a comment changes the configuration");
            let warnings = config.warnings.join("\n");
            assert!(text.contains(VARIABLE) || !warnings.contains(VARIABLE), "{warnings}");
            let store = format!("{:?} {}", config.store, config.store.location);
            let is_written = text.contains(VARIABLE);
            assert!(is_written || !is_of_the_stores_user(text, "${PASSWORD}") || !store.contains(VARIABLE), "{store}");
            assert!(!is_of_the_stores_user(text, PASSWORD) || !store.contains(PASSWORD), "{store}");
        }
        Err(problems) => {
            assert!(!problems.list.is_empty());
            let lines = text.matches('\n').count() + 1;
            problems.list.iter().for_each(|problem| assert_says_where(problem, lines));
            let shown = problems.to_string();
            assert!(text.contains(VARIABLE) || !shown.contains(VARIABLE), "{shown}");
            let is_syntax = matches!(problems.list[0].place, Place::Point(..));
            assert!(!(is_syntax || holds_password_in_urls_only(text)) || !shown.contains(PASSWORD), "{shown}");
        }
    }
}

fn parse(text: &str) -> Result<Config, Problems> {
    let variable = |name: &str| (name == "PASSWORD").then(|| VARIABLE.to_owned());
    config::parse(text, &Surroundings { name: "config.toml", base: Path::new("missing"), variable: &variable })
}

fn assert_says_where(problem: &Problem, lines: usize) {
    let is_point = matches!(problem.place, Place::Point(..));
    assert!(is_point == problem.key_path.is_empty(), "{problem}");
    match problem.place {
        Place::File => panic!("{problem}"),
        Place::Default => {}
        Place::Line(line) | Place::Point(line, _) => assert!((1..=lines).contains(&line), "{problem}"),
    }
    let mut texts = [&problem.message].into_iter().chain(&problem.hint).chain(&problem.value);
    assert!(!problem.message.is_empty());
    assert!(texts.all(|text| !text.contains('\n')), "{problem}");
}

/// Whether the password stands in the file, and only as the password of a URL or in the store's URL behind its scheme.
fn holds_password_in_urls_only(text: &str) -> bool {
    let Ok(file) = text.parse::<toml::Table>() else { return false };
    let store = store_url(&file);
    let mut found = Vec::new();
    passwords(&toml::Value::Table(file.clone()), &mut found);
    let scheme = |url: &str| url.split_once("://").map_or(String::new(), |(scheme, _)| scheme.to_owned());
    let is_store = |url: &str| store == Some(url) && !url.starts_with("sqlite:") && !scheme(url).contains(PASSWORD);
    let hidden = |value: &String| is_url_password(value) || is_store(value);
    // A comment or a key is no value, and may be shown; what is written in escapes is judged, and shown, as written.
    let written = text.matches(PASSWORD).count() == found.len() && !text.contains('\\');
    written && !found.is_empty() && found.iter().all(hidden)
}

/// Whether this stands in the store's URL before its last `@`, in whatever part, and not behind it.
fn is_of_the_stores_user(text: &str, what: &str) -> bool {
    let Ok(file) = text.parse::<toml::Table>() else { return false };
    let parts = store_url(&file).and_then(|url| url.strip_prefix("postgres://")?.rsplit_once('@'));
    parts.is_some_and(|(user, rest)| user.contains(what) && !rest.contains(what))
}

fn store_url(file: &toml::Table) -> Option<&str> {
    file.get("store")?.get("url")?.as_str()
}

/// Every text among the values that holds the password.
fn passwords(value: &toml::Value, found: &mut Vec<String>) {
    match value {
        toml::Value::String(text) if text.contains(PASSWORD) => found.push(text.clone()),
        toml::Value::Array(items) => items.iter().for_each(|item| passwords(item, found)),
        toml::Value::Table(members) => members.values().for_each(|member| passwords(member, found)),
        _ => {}
    }
}

fn is_url_password(value: &str) -> bool {
    let authority = value.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let user = authority.and_then(|authority| authority.rsplit_once('@')).map(|(user, _)| user);
    user.and_then(|user| user.split_once(':')).is_some_and(|(_, password)| password.contains(PASSWORD))
        && value.matches(PASSWORD).count() == 1
}
