//! The reference as a page: `docs/configuration.md`.

use super::{Key, Kind, SECTIONS, Section, Shape};
use crate::config::value::either;

/// The page's text.
#[must_use]
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for section in SECTIONS {
        let heading = if section.path.is_empty() { "Top".to_owned() } else { format!("`{}`", section.heading()) };
        page.extend(["\n## ", &heading, "\n\n", section.doc, "\n\n"]);
        page.push_str("| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
        for key in section.keys {
            page.push_str(&row(section, key));
        }
    }
    page
}

fn row(section: &Section, key: &Key) -> String {
    let default = match (key.default, section.shape) {
        ("", Shape::Free) => "see right".to_owned(),
        ("", _) => "required".to_owned(),
        (default, _) => format!("`{default}`"),
    };
    let doc = key.doc.replace('|', "\\|");
    format!("| `{}` | {} | {default} | {doc} |\n", key.name, accepted(key.kind).replace('|', "\\|"))
}

fn accepted(kind: Kind) -> String {
    match kind {
        Kind::Text(words) => words.to_owned(),
        Kind::List(words) => format!("a list, each {words}"),
        Kind::TextOrList(words) => format!("{words}, or a list of them"),
        Kind::Flag => "`true` or `false`".to_owned(),
        Kind::Number { from, to } => format!("{from} to {to}"),
        Kind::Duration { from, to } => format!("duration, {from} to {to}"),
        Kind::Size { from, to } => format!("size, {from} to {to}"),
        Kind::Rate => "a rate, or `\"\"` = no limit".to_owned(),
        Kind::Word(words) => either(words, |word| format!("`\"{word}\"`")),
        Kind::Map(words) => format!("`{{ … }}`: {words}"),
    }
}

const INTRODUCTION: &str = r#"# Configuration

Every key, its default and its meaning. `config.toml` in the source's root is a complete file to start from; an empty file
is valid too and means the defaults below. `sidegate check` reads a file and reports every problem at once; a file with a
problem is never used.

- **Durations** are texts with a unit: `"250ms"`, `"30s"`, `"15m"`, `"12h"`, `"7d"`, also `"1h 30m"`.
- **Sizes** are texts with a unit: `"512B"`, `"64KiB"`, `"16MiB"`, `"1GiB"`.
- **Rates** say how many, and in what time as many come back: `"10/15m"` is ten at once, and then one each 90 seconds.
- **Variables**: `${NAME}` in a text is replaced by the environment variable; one that is not set is a problem. `$${` stands
  for a literal `${`. Keys are not expanded.
- **Paths** that are relative start at the directory sidegate is started in.
- **Unknown keys** are problems, so that a misspelled one never goes unnoticed.
- Keys that start with `danger_` weaken security; each start warns of them.
"#;
