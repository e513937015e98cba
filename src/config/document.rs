//! The parsed file, and reading it key by key: every mistake is noted where it stands, and reading goes on.
//!
//! A reading answers `None` only after it has noted a problem, so what is missing in the end is always explained.
//! Sections, keys, bounds and defaults come from [`reference`](super::reference).

mod entry;
mod structure;

use std::borrow::Cow;
use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

pub(super) use self::entry::{Entry, Setting, in_quotes};
use super::problem::{Place, Problem, Problems};
use super::reference;
use crate::domain::rate::Rate;

/// A file and everything found out about it so far.
pub(super) struct Document<'d> {
    text: &'d str,
    root: DeTable<'d>,
    surroundings: &'d Surroundings<'d>,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<String>>,
}

/// What the file's values may refer to.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The file's name in messages.
    pub name: &'a str,
    /// Relative paths start here.
    pub base: &'a Path,
    /// An environment variable's value.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Default for Surroundings<'_> {
    /// No variables, and the current directory.
    fn default() -> Self {
        Self { name: "config.toml", base: Path::new(""), variable: &|_| None }
    }
}

impl<'d> Document<'d> {
    /// Syntax errors end here; unknown keys and misshapen sections are noted.
    pub(super) fn read(text: &'d str, surroundings: &'d Surroundings<'d>) -> Result<Self, Problems> {
        let (root, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let mut list: Vec<Problem> = errors.iter().map(|error| syntax_problem(text, error)).collect();
            list.dedup_by_key(|problem| problem.place);
            return Err(Problems::new(surroundings.name, list));
        }
        let (problems, warnings) = (RefCell::default(), RefCell::default());
        let document = Self { text, root: root.into_inner(), surroundings, problems, warnings };
        structure::check(&document);
        Ok(document)
    }

    /// A `[section]`, whether or not the file has it; empty path: the keys above the first one.
    pub(super) fn section(&'d self, path: &'static str) -> Section<'d> {
        let mut table = Some(&self.root);
        let mut line = None;
        for name in path.split('.').filter(|name| !name.is_empty()) {
            let value = table.and_then(|table| table.get(name));
            line = value.map(|value| self.line_of(value.span().start));
            table = value.and_then(|value| value.get_ref().as_table());
        }
        Section { document: self, spec: reference::section(path), path: path.to_owned(), table, line }
    }

    /// Every `[path.NAME]`; if there is none, one of the given name, with every default.
    pub(super) fn named_sections(&'d self, path: &'static str, default: &str) -> Vec<(String, Section<'d>)> {
        let spec = reference::section(path);
        let named = |name: &str, table, line| {
            let path = format!("{path}.{}", in_quotes(name));
            (name.to_owned(), Section { document: self, spec, path, table, line })
        };
        let all = self.root.get(path).and_then(|value| value.get_ref().as_table());
        let sections = all.into_iter().flatten().filter_map(|(name, value)| {
            let table = Some(value.get_ref().as_table()?);
            Some(named(name.get_ref(), table, Some(self.line_of(value.span().start))))
        });
        let sections: Vec<_> = sections.collect();
        if sections.is_empty() { vec![named(default, None, None)] } else { sections }
    }

    /// Every `[[path]]`, with its place in the list.
    pub(super) fn listed_sections(&'d self, path: &'static str) -> Vec<(usize, Section<'d>)> {
        let spec = reference::section(path);
        let all = self.root.get(path).and_then(|value| value.get_ref().as_array());
        let sections = all.into_iter().flat_map(|array| array.iter().enumerate()).filter_map(|(index, value)| {
            let table = Some(value.get_ref().as_table()?);
            let line = Some(self.line_of(value.span().start));
            let path = format!("{path}[{index}]");
            Some((index, Section { document: self, spec, path, table, line }))
        });
        sections.collect()
    }

    pub(super) fn surroundings(&self) -> &Surroundings<'d> {
        self.surroundings
    }

    pub(super) fn note(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Something that works and is probably not meant, or weakens security.
    pub(super) fn warn(&self, warning: impl Into<String>) {
        self.warnings.borrow_mut().push(warning.into());
    }

    pub(super) fn finish(self) -> (Vec<Problem>, Vec<String>) {
        (self.problems.into_inner(), self.warnings.into_inner())
    }

    fn line_of(&self, offset: usize) -> usize {
        line_and_column(self.text, offset).0
    }
}

/// One table of the file, or its absence.
#[derive(Clone)]
pub(super) struct Section<'d> {
    document: &'d Document<'d>,
    spec: Option<&'static reference::Section>,
    path: String,
    table: Option<&'d DeTable<'d>>,
    line: Option<usize>,
}

impl<'d> Section<'d> {
    /// Whether the file has this section.
    pub(super) fn exists(&self) -> bool {
        self.table.is_some()
    }

    /// The same section, as if the file had nothing of it.
    pub(super) fn by_default(&self) -> Self {
        Self { table: None, line: None, ..self.clone() }
    }

    /// Whether the file says this key.
    pub(super) fn has(&self, name: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(name))
    }

    /// The key's value or its default. Without either, the key is required, and its absence is noted.
    pub(super) fn entry(&self, name: &str) -> Option<Entry<'d>> {
        let Some(key) = self.spec.and_then(|spec| spec.key(name)) else {
            self.refuse_all(format!("the reference of keys does not know `{name}`; this is a bug"), "report it");
            return None;
        };
        let key_path = self.child_path(name);
        if let Some(value) = self.table.and_then(|table| table.get(name)) {
            return Some(Entry::in_file(self.document, key, key_path, value));
        }
        if let Ok(value) = DeValue::parse(key.default) {
            return Some(Entry::by_default(self.document, key, key_path, value.into_inner()));
        }
        self.refuse_all(format!("`{name}` is missing"), "write it below the heading");
        None
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.entry(name)?.flag()
    }

    pub(super) fn number<N: TryFrom<u64>>(&self, name: &str) -> Option<N> {
        self.entry(name)?.number()
    }

    pub(super) fn duration(&self, name: &str) -> Option<Duration> {
        self.entry(name)?.duration()
    }

    pub(super) fn size<N: TryFrom<u64>>(&self, name: &str) -> Option<N> {
        self.entry(name)?.size()
    }

    pub(super) fn rate(&self, name: &str) -> Option<Setting<Rate>> {
        self.entry(name)?.rate()
    }

    pub(super) fn choice<T>(&self, name: &str, meaning: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.entry(name)?.choice(meaning)
    }

    /// A list, each item read by `read`; `None` if one of them could not be.
    pub(super) fn list<T>(&self, name: &str, read: impl Fn(&Entry<'d>) -> Option<T>) -> Option<Vec<T>> {
        let items: Vec<Option<T>> = self.entry(name)?.items()?.iter().map(read).collect();
        items.into_iter().collect()
    }

    /// Every key of a section whose keys the operator chooses, in the file's order.
    pub(super) fn entries(&self) -> Vec<(Cow<'d, str>, Entry<'d>)> {
        let Some(key) = self.spec.and_then(|spec| spec.keys.first()) else { return Vec::new() };
        let entry = |name: &str, value| Entry::in_file(self.document, key, self.child_path(name), value);
        let mut entries: Vec<_> = self.table.into_iter().flatten().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        entries.into_iter().map(|(name, value)| (name.get_ref().clone(), entry(name.get_ref(), value))).collect()
    }

    /// Notes a problem with a key's value, which may come from the default.
    pub(super) fn refuse(&self, name: &str, message: impl Into<String>, hint: impl Into<String>) {
        if let Some(entry) = self.entry(name) {
            entry.refuse(message, hint);
        }
    }

    /// Notes a problem with the section as a whole.
    pub(super) fn refuse_all(&self, message: impl Into<String>, hint: impl Into<String>) {
        self.document.note(Problem {
            key_path: self.path.clone(),
            value: None,
            place: self.line.map_or(Place::Default, Place::Line),
            message: message.into(),
            hint: Some(hint.into()),
        });
    }

    fn child_path(&self, name: &str) -> String {
        if self.path.is_empty() { in_quotes(name) } else { format!("{}.{}", self.path, in_quotes(name)) }
    }
}

/// The parser's message says what; only the place of the text is shown, for a line may hold a secret.
fn syntax_problem(text: &str, error: &toml::de::Error) -> Problem {
    let (line, column) = line_and_column(text, error.span().map_or(0, |span| span.start));
    let message = error.message().lines().collect::<Vec<_>>().join(", ");
    let hint = message
        .contains("duplicate key")
        .then(|| "keep one of the two; a table is opened once, except [[route]]".to_owned());
    Problem { key_path: String::new(), value: None, place: Place::Point(line, column), message, hint }
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    (line, column)
}
