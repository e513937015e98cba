//! Which keys and tables stand in a file, before anybody asks what they say.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::{Document, in_quotes};
use crate::config::problem::{Place, Problem};
use crate::config::reference::{self, SECTIONS, Section, Shape};

/// Notes every unknown key and every section that is not written as its shape asks.
pub(super) fn check(document: &Document<'_>) {
    if let Some(top) = reference::section("") {
        table(document, top, "", &document.root);
    }
}

fn section(document: &Document<'_>, spec: &'static Section, path: &str, value: &Spanned<DeValue<'_>>) {
    match (spec.shape, value.get_ref()) {
        (Shape::Table, DeValue::Table(keys)) => table(document, spec, path, keys),
        (Shape::Free, DeValue::Table(_)) => {}
        (Shape::Named, DeValue::Table(named)) => {
            for (name, value) in named {
                let path = format!("{path}.{}", in_quotes(name.get_ref()));
                match value.get_ref() {
                    DeValue::Table(keys) => table(document, spec, &path, keys),
                    _ => not_a_table(document, &path, value, &spec.heading()),
                }
            }
        }
        (Shape::List, DeValue::Array(items)) => {
            for (index, value) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                match value.get_ref() {
                    DeValue::Table(keys) => table(document, spec, &path, keys),
                    _ => not_a_table(document, &path, value, &spec.heading()),
                }
            }
        }
        _ => not_a_table(document, path, value, &spec.heading()),
    }
}

fn table(document: &Document<'_>, spec: &'static Section, path: &str, keys: &DeTable<'_>) {
    for (key, value) in keys {
        let name = key.get_ref();
        let child = if spec.path.is_empty() { name.to_string() } else { format!("{}.{name}", spec.path) };
        if spec.key(name).is_some() {
            continue;
        }
        let path = if path.is_empty() { in_quotes(name) } else { format!("{path}.{}", in_quotes(name)) };
        match reference::section(&child).filter(|child| !child.path.is_empty()) {
            Some(child) => section(document, child, &path, value),
            None => unknown(document, spec, path, key),
        }
    }
}

/// An unknown key's value is not shown: it may be a misplaced secret.
fn unknown(document: &Document<'_>, spec: &Section, key_path: String, key: &Spanned<DeString<'_>>) {
    let place = Place::Line(document.line_of(key.span().start));
    let hint = suggestion(spec, key.get_ref());
    document.note(Problem { key_path, value: None, place, message: "unknown key".to_owned(), hint });
}

fn not_a_table(document: &Document<'_>, path: &str, value: &Spanned<DeValue<'_>>, heading: &str) {
    let message = if heading.starts_with("[[") { "not a list of tables" } else { "not a table" };
    document.note(Problem {
        key_path: path.to_owned(),
        value: None,
        place: Place::Line(document.line_of(value.span().start)),
        message: message.to_owned(),
        hint: Some(format!("write it as {heading}, with its keys below")),
    });
}

/// A key of the same section with nearly the same name; or the same name in another section.
fn suggestion(spec: &Section, name: &str) -> Option<String> {
    let keys = spec.keys.iter().map(|key| key.name);
    let subsections = SECTIONS.iter().filter_map(|section| match section.path.rsplit_once('.') {
        Some((parent, last)) => (parent == spec.path).then_some(last),
        None => (spec.path.is_empty() && !section.path.is_empty()).then_some(section.path),
    });
    let near = keys.chain(subsections).map(|known| (distance(name, known), known)).min();
    if let Some((steps, known)) = near
        && steps <= 1 + known.len() / 4
    {
        return Some(format!("did you mean `{known}`?"));
    }
    let elsewhere = SECTIONS.iter().find(|section| section.shape != Shape::Free && section.key(name).is_some())?;
    let place =
        if elsewhere.path.is_empty() { "above the first table".into() } else { format!("in {}", elsewhere.heading()) };
    Some(format!("`{name}` belongs {place}"))
}

/// Insertions, deletions and replacements between two names (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(!from.eq_ignore_ascii_case(&to));
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.chars().count()]
}
