//! Configuration files: what they give, and what is said about broken ones.

#![expect(clippy::unwrap_used, reason = "a test may fail wherever it likes")]

mod accepted;
mod broken;
mod documented;

use std::path::{Path, PathBuf};

use sidegate::config::{self, Config, Problems, Surroundings};

/// Reads a text with `NAME` as the only variable, files from the fixtures' folder.
fn parse(text: &str) -> Result<Config, Problems> {
    let base = fixtures();
    let variable = |name: &str| (name == "NAME").then(|| "value".to_owned());
    config::parse(text, &Surroundings { name: "config.toml", base: &base, variable: &variable })
}

fn accepted(text: &str) -> Config {
    parse(text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn refused(text: &str) -> String {
    match parse(text) {
        Ok(_) => panic!("no problem was found in:\n{text}"),
        Err(problems) => problems.to_string(),
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn fixtures() -> PathBuf {
    root().join("tests/fixtures/config")
}

/// Compares a pinned text with what the code says now.
#[expect(clippy::disallowed_methods, reason = "a switch of the test run, not of the program")]
fn assert_pinned(file: &Path, now: &str) {
    if std::env::var("SIDEGATE_BLESS").is_ok() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, now).unwrap();
    }
    let pinned = std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(
        pinned,
        now,
        "{} has another text; if the new one (right) is meant, run: SIDEGATE_BLESS=1 cargo test --test it config",
        file.display()
    );
}

/// One item of a list with every key that has no default, but for this one.
fn whole_but_for(section: &str, key: &str) -> String {
    let needed: &[(&str, &str)] = match section {
        "route" => &[("path", "'/p'")],
        "on_response" => &[("request", "'POST /p'"), ("status", "[200]"), ("end", "'subject'")],
        other => panic!("what does [[{other}]] need?"),
    };
    let lines = needed.iter().filter(|(name, _)| *name != key).map(|(name, value)| format!("{name} = {value}\n"));
    format!("[[{section}]]\n{}", lines.collect::<String>())
}
