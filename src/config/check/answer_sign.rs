//! Signs in an answer of the API: `status`, `location`, `location_not`, wherever a section has them.

use toml::de::DeValue;

use crate::config::document::{Entry, Section, Setting};
use crate::domain::answer_sign::{AnswerSign, LocationPattern, StatusRange};

/// The three keys of a section.
pub(super) fn answer_sign(section: &Section<'_>) -> Option<AnswerSign> {
    let statuses = section.entry("status").and_then(|entry| statuses(&entry));
    let location = section.entry("location").and_then(|entry| place(&entry));
    let location_not = section.entry("location_not").and_then(|entry| place(&entry));
    Some(AnswerSign { statuses: statuses?, location: location?.on(), location_not: location_not?.on() })
}

/// One or a list, each a number or a text; at least one.
pub(super) fn statuses(entry: &Entry<'_>) -> Option<Vec<StatusRange>> {
    let items = entry.items()?;
    if items.is_empty() {
        entry.refuse("no status", STATUS_HINT);
        return None;
    }
    let statuses: Vec<Option<StatusRange>> = items.iter().map(status).collect();
    statuses.into_iter().collect()
}

fn status(entry: &Entry<'_>) -> Option<StatusRange> {
    let text = match entry.value() {
        DeValue::Integer(digits) if digits.radix() == 10 => digits.as_str().to_owned(),
        DeValue::String(_) => entry.text()?,
        _ => String::new(),
    };
    let range = StatusRange::parse(&text);
    if range.is_none() {
        entry.refuse("not a status of a whole answer", STATUS_HINT);
    }
    range
}

/// `""`: anywhere.
pub(super) fn place(entry: &Entry<'_>) -> Option<Setting<LocationPattern>> {
    let text = entry.text()?;
    if text.is_empty() {
        return Some(Setting::Off);
    }
    let pattern = LocationPattern::parse(&text);
    if pattern.is_none() {
        entry.refuse("not a place to go to", "write it as the API does, such as /home, or its start: /login.php*");
    }
    pattern.map(Setting::On)
}

const STATUS_HINT: &str = "write numbers from 200 to 599, or classes such as \"2xx\"";
