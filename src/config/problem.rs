//! What is wrong with a configuration file: all of it at once, where it stands, and what to write instead.

use std::fmt;

/// Everything that keeps a file from being used, in the file's order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The file's name, as it was given.
    pub file: String,
    pub list: Vec<Problem>,
}

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `session.idle_ttl`, `route[1].auth`; empty for the file as a whole.
    pub key_path: String,
    /// As the file says it, variables not expanded; `None` if there is no value to show, or it may hold a secret.
    pub value: Option<String>,
    pub place: Place,
    pub message: String,
    pub hint: Option<String>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere in particular.
    File,
    /// The key is not in the file.
    Default,
    /// Counted from 1.
    Line(usize),
    /// For a syntax error: line and column, counted from 1, the column in characters.
    Point(usize, usize),
}

impl Problems {
    pub(super) fn new(file: &str, mut list: Vec<Problem>) -> Self {
        // What the file does not say comes last.
        list.sort_by_key(|problem| match problem.place {
            Place::Line(line) | Place::Point(line, _) => line,
            Place::File => 0,
            Place::Default => usize::MAX,
        });
        Self { file: file.to_owned(), list }
    }

    pub(super) fn of_file(file: &str, message: impl Into<String>, hint: &str) -> Self {
        let (key_path, value, place) = (String::new(), None, Place::File);
        Self::new(file, vec![Problem { key_path, value, place, message: message.into(), hint: Some(hint.to_owned()) }])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.list.len() == 1 { "" } else { "s" };
        write!(f, "{}: {} problem{plural}", self.file, self.list.len())?;
        self.list.iter().try_for_each(|problem| write!(f, "\n{problem}"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key_path, value, place, message, hint } = self;
        match (key_path.as_str(), place) {
            ("", Place::Line(line)) => writeln!(f, "  line {line}")?,
            ("", Place::Point(line, column)) => writeln!(f, "  line {line}, column {column}")?,
            ("", _) => {}
            (key_path, place) => {
                write!(f, "  {key_path}")?;
                if let Some(value) = value {
                    write!(f, " = {value}")?;
                }
                match place {
                    Place::Line(line) | Place::Point(line, _) => writeln!(f, "  (line {line})")?,
                    Place::Default => writeln!(f, "  (default)")?,
                    Place::File => writeln!(f)?,
                }
            }
        }
        write!(f, "    {message}")?;
        if let Some(hint) = hint {
            write!(f, "\n    hint: {hint}")?;
        }
        Ok(())
    }
}
