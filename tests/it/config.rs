//! Configuration files: what they give, and what is said about broken ones.

mod accepted;

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
    parse(text).map(|_| ()).expect_err("the text has a problem").to_string()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn fixtures() -> PathBuf {
    root().join("tests/fixtures/config")
}
