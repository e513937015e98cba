//! One value: what the file says, where, and as which type it can be read.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::Document;
use crate::config::problem::{Place, Problem};
use crate::config::reference::{Key, Kind};
use crate::config::value::{self, Expansion};
use crate::domain::rate::Rate;

/// A key's value with everything a message about it needs.
#[derive(Clone)]
pub(in crate::config) struct Entry<'d> {
    document: &'d Document<'d>,
    key: &'static Key,
    key_path: String,
    value: Cow<'d, DeValue<'d>>,
    /// `None`: it is the default.
    span: Option<(usize, usize)>,
}

impl<'d> Entry<'d> {
    pub(super) fn in_file(
        document: &'d Document<'d>,
        key: &'static Key,
        key_path: String,
        value: &'d Spanned<DeValue<'d>>,
    ) -> Self {
        let span = Some((value.span().start, value.span().end));
        Self { document, key, key_path, value: Cow::Borrowed(value.get_ref()), span }
    }

    pub(super) fn by_default(
        document: &'d Document<'d>,
        key: &'static Key,
        key_path: String,
        value: DeValue<'static>,
    ) -> Self {
        Self { document, key, key_path, value: Cow::Owned(value), span: None }
    }

    pub(in crate::config) fn refuse(&self, message: impl Into<String>, hint: impl Into<String>) {
        let place = self.span.map_or(Place::Default, |(start, _)| Place::Line(self.document.line_of(start)));
        let written = match self.span {
            Some((start, end)) => self.document.text.get(start..end).unwrap_or_default(),
            None => self.key.default,
        };
        self.document.note(Problem {
            key_path: self.key_path.clone(),
            value: Some(value::shown(written, self.key.secret)),
            place,
            message: message.into(),
            hint: Some(hint.into()),
        });
    }

    /// The text with its variables expanded.
    pub(in crate::config) fn text(&self) -> Option<String> {
        let DeValue::String(written) = self.value.as_ref() else {
            self.refuse("not a text", format!("{}, in quotes", self.accepted()));
            return None;
        };
        let expanded = value::expand(written, self.document.surroundings.variable);
        match expanded {
            Ok(text) if text.chars().any(char::is_control) => {
                self.refuse("the text has a control character", "write it on one line, without escapes");
            }
            Ok(text) => return Some(text),
            Err(Expansion::Unset(name)) => {
                self.refuse(
                    format!("the environment variable `{name}` is not set"),
                    "set it, or write `$${` for a literal `${`",
                );
            }
            Err(Expansion::Malformed) => {
                self.refuse(
                    "a variable is written ${NAME}, with letters, digits and `_`",
                    "close the brace, or write `$${` for a literal `${`",
                );
            }
        }
        None
    }

    /// A text that says something: not empty, no space inside or around.
    pub(in crate::config) fn word(&self) -> Option<String> {
        let text = self.text()?;
        if text.is_empty() || text.contains(char::is_whitespace) {
            self.refuse(if text.is_empty() { "empty" } else { "holds a space" }, self.accepted());
            return None;
        }
        Some(text)
    }

    /// A text that names something: not empty, no space around.
    pub(in crate::config) fn name(&self) -> Option<String> {
        let text = self.text()?;
        if text.is_empty() || text.trim() != text {
            self.refuse(if text.is_empty() { "empty" } else { "has a space around it" }, "write a name");
            return None;
        }
        Some(text)
    }

    /// A path; a relative one starts at the base.
    pub(in crate::config) fn path(&self) -> Option<Setting<PathBuf>> {
        Some(match self.text()? {
            text if text.is_empty() => Setting::Off,
            text => Setting::On(self.document.surroundings.base.join(text)),
        })
    }

    pub(in crate::config) fn flag(&self) -> Option<bool> {
        let flag = self.value.as_bool();
        if flag.is_none() {
            self.refuse("not a switch", format!("{}, without quotes", self.accepted()));
        }
        flag
    }

    pub(in crate::config) fn number<N: TryFrom<u64>>(&self) -> Option<N> {
        let (Kind::Number { from, to }, DeValue::Integer(digits)) = (self.key.kind, self.value.as_ref()) else {
            self.refuse("not a whole number", "write it without quotes, point or unit");
            return None;
        };
        let number = u64::from_str_radix(digits.as_str(), digits.radix()).ok();
        let accepted = number.filter(|number| (from..=to).contains(number)).and_then(|number| N::try_from(number).ok());
        if accepted.is_none() {
            self.refuse("out of range", self.accepted());
        }
        accepted
    }

    pub(in crate::config) fn duration(&self) -> Option<Duration> {
        let hint = "write a number and a unit: 30s, 15m, 12h, 7d";
        self.measured(value::duration, "not a duration", hint)
    }

    /// In bytes.
    pub(in crate::config) fn size<N: TryFrom<u64>>(&self) -> Option<N> {
        let size = self.measured(value::size, "not a size", "write a number and a unit: 512B, 64KiB, 16MiB, 1GiB")?;
        let fitting = N::try_from(size).ok();
        if fitting.is_none() {
            self.refuse("out of range", "write a smaller size");
        }
        fitting
    }

    fn measured<M: PartialOrd>(&self, read: fn(&str) -> Option<M>, fault: &str, hint: &str) -> Option<M> {
        let (Kind::Duration { from, to } | Kind::Size { from, to }, DeValue::String(_)) =
            (self.key.kind, self.value.as_ref())
        else {
            self.refuse(fault, format!("{hint}; in quotes"));
            return None;
        };
        let measure = read(&self.text()?);
        match &measure {
            None => self.refuse(fault, hint),
            Some(measure) if read(from).is_some_and(|from| *measure < from) => {
                self.refuse("too small", self.accepted());
            }
            Some(measure) if read(to).is_some_and(|to| *measure > to) => {
                self.refuse("too large", self.accepted());
            }
            Some(_) => return measure,
        }
        None
    }

    pub(in crate::config) fn rate(&self) -> Option<Setting<Rate>> {
        let text = self.text()?;
        if text.is_empty() {
            return Some(Setting::Off);
        }
        let rate = text.split_once('/').and_then(|(most, per)| {
            Rate::new(most.parse().ok()?, value::duration(per).filter(|per| *per <= LONGEST_RATE)?)
        });
        if rate.is_none() {
            self.refuse("not a rate", RATE_HINT);
        }
        rate.map(Setting::On)
    }

    /// One of the key's words; `meaning` knows each of them.
    pub(in crate::config) fn choice<T>(&self, meaning: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text()?;
        let meant = meaning(&text);
        if meant.is_none() {
            self.refuse("not one of the accepted words", self.accepted());
        }
        meant
    }

    /// The items of a list; for one text where a list is accepted too, that text.
    pub(in crate::config) fn items(&self) -> Option<Vec<Entry<'d>>> {
        let single = matches!((self.key.kind, self.value.as_ref()), (Kind::TextOrList(_), DeValue::String(_)));
        if single {
            return Some(vec![self.clone()]);
        }
        let at = |index: usize| format!("{}[{index}]", self.key_path);
        match &self.value {
            Cow::Borrowed(DeValue::Array(items)) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| Self::in_file(self.document, self.key, at(index), item))
                    .collect(),
            ),
            Cow::Owned(DeValue::Array(items)) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| Self {
                        key_path: at(index),
                        value: Cow::Owned(item.get_ref().clone()),
                        ..self.clone()
                    })
                    .collect(),
            ),
            _ => {
                self.refuse("not a list", r#"write it in brackets: ["one", "two"]"#);
                None
            }
        }
    }

    /// The members of an inline table, in the file's order.
    pub(in crate::config) fn members(&self) -> Option<Vec<(String, Entry<'d>)>> {
        match &self.value {
            Cow::Borrowed(DeValue::Table(table)) => {
                let mut members: Vec<_> = table.iter().collect();
                members.sort_by_key(|(name, _)| name.span().start);
                let member = |(name, value): (&Spanned<DeString<'_>>, _)| {
                    let key_path = format!("{}.{}", self.key_path, in_quotes(name.get_ref()));
                    (name.get_ref().clone().into_owned(), Self::in_file(self.document, self.key, key_path, value))
                };
                Some(members.into_iter().map(member).collect())
            }
            Cow::Owned(DeValue::Table(_)) => Some(Vec::new()),
            _ => {
                self.refuse("not a table", self.accepted());
                None
            }
        }
    }

    pub(in crate::config) fn value(&self) -> &DeValue<'d> {
        self.value.as_ref()
    }

    /// What the reference says is accepted, for a hint.
    pub(in crate::config) fn accepted(&self) -> String {
        match self.key.kind {
            Kind::Text(words) | Kind::List(words) | Kind::TextOrList(words) => format!("write {words}"),
            Kind::Word(words) => format!("write {}", value::either(words, |word| format!("\"{word}\""))),
            Kind::Map(words) => format!("write {{ {words} }}"),
            Kind::Rate => RATE_HINT.to_owned(),
            Kind::Flag => "write true or false".to_owned(),
            Kind::Number { from, to } => format!("write a number from {from} to {to}"),
            Kind::Duration { from, to } | Kind::Size { from, to } => format!("at least {from}, at most {to}"),
        }
    }
}

const RATE_HINT: &str = "write how many in how long: \"10/15m\", in a day at most, not more than one in a millisecond";
const LONGEST_RATE: Duration = Duration::from_hours(24);

/// What a key says that `""` turns off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum Setting<T> {
    Off,
    On(T),
}

impl<T> Setting<T> {
    pub(in crate::config) fn on(self) -> Option<T> {
        match self {
            Self::Off => None,
            Self::On(value) => Some(value),
        }
    }
}

/// A key as it has to be written (TOML 1.0, "Keys").
pub(in crate::config) fn in_quotes(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if bare { name.to_owned() } else { format!("{name:?}") }
}
