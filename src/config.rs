//! What the operator said.
//!
//! [`load`] reads the file, [`checked`] is what the rest of the program sees: every value parsed, every rule between
//! values held. Between the two, every problem of a file is collected and reported at once, with its key, its value and
//! a hint. [`mod@reference`] is the list of keys: kinds, bounds, defaults and meaning have no other source. Nothing here
//! opens a socket or a store.

mod check;
pub mod checked;
mod document;
pub mod postgres;
pub mod problem;
pub mod reference;
mod value;

use std::path::Path;

pub use checked::Config;
pub use document::Surroundings;
pub use problem::{Place, Problem, Problems};

use document::Document;

/// Reads a configuration file, with the process's environment; relative paths start at the current directory.
///
/// # Errors
/// Every problem of the file.
pub fn load(path: &Path) -> Result<Config, Problems> {
    let name = path.display().to_string();
    let text = std::fs::read(path).map_err(|error| {
        let hint = "name a configuration file with --config, or make one with `sidegate init`";
        Problems::of_file(&name, value::file_fault(&error), hint)
    })?;
    let text = String::from_utf8(text).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|&byte| byte == b'\n').count();
        Problems::of_file(&name, format!("not UTF-8, at line {line}"), "save the file as UTF-8")
    })?;
    parse(&text, &Surroundings { name: &name, base: Path::new(""), variable: &environment })
}

/// Reads a configuration from its text. An empty one is valid: every key has its default.
///
/// # Errors
/// Every problem of the text.
pub fn parse(text: &str, surroundings: &Surroundings<'_>) -> Result<Config, Problems> {
    let document = Document::read(text, surroundings)?;
    let config = check::config(&document);
    let (problems, warnings) = document.finish();
    match config {
        Some(config) if problems.is_empty() => Ok(Config { warnings, ..config }),
        _ => Err(Problems::new(surroundings.name, problems)),
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where variables are read, for `${NAME}` in the file")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
