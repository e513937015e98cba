//! Single values: text to duration, size and expanded text, and back to something that may be shown.

use std::io::ErrorKind;
use std::time::Duration;

use bytesize::ByteSize;

/// Why a text's variables could not be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expansion {
    Unset(String),
    /// `${` without its end, or with no name inside.
    Malformed,
}

/// Replaces each `${NAME}`; `$${` stands for `${`. What a variable holds is not expanded again.
pub(super) fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, Expansion> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, opened) = (&rest[..start], &rest[start + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = opened;
            continue;
        }
        let (name, after) = opened.split_once('}').ok_or(Expansion::Malformed)?;
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        if !is_name {
            return Err(Expansion::Malformed);
        }
        expanded.push_str(before);
        expanded.push_str(&variable(name).ok_or_else(|| Expansion::Unset(name.to_owned()))?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// `250ms`, `30s`, `15m`, `12h`, `7d`, and sums of these. Upper case is refused: `15M` would be fifteen months.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let lower = !text.chars().any(|c| c.is_ascii_uppercase());
    lower.then(|| humantime::parse_duration(text).ok()).flatten()
}

/// In bytes: `512B`, `64KiB`, `16MiB`, also decimal units.
pub(super) fn size(text: &str) -> Option<u64> {
    text.parse::<ByteSize>().ok().map(|size| size.as_u64())
}

/// A value as it may stand in a message: on one line, not too long, and of anything that may hold a password only the
/// scheme.
pub(super) fn shown(written: &str, secret: bool) -> String {
    let quote = if written.starts_with('\'') { '\'' } else { '"' };
    let inner = written.trim_matches(quote);
    if inner.starts_with("sqlite:") && !inner.contains('@') {
        return written.to_owned();
    }
    if secret || (inner.contains("://") && inner.contains('@')) {
        let scheme = inner.split_once("://").map(|(scheme, _)| scheme);
        let scheme = scheme.filter(|scheme| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+'));
        return scheme.map_or_else(|| format!("{quote}…{quote}"), |scheme| format!("{quote}{scheme}://…{quote}"));
    }
    let first = written.lines().next().unwrap_or_default();
    let cut = first.char_indices().nth(LONGEST).map_or(first.len(), |(at, _)| at);
    if cut < written.trim_end().len() { format!("{}…", &first[..cut]) } else { first.to_owned() }
}

/// `a, b or c`
pub(super) fn either(words: &[&str], write: impl Fn(&str) -> String) -> String {
    let written: Vec<String> = words.iter().map(|word| write(word)).collect();
    match written.as_slice() {
        [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
        all => all.concat(),
    }
}

/// Why a file could not be read.
pub(super) fn file_fault(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file".to_owned(),
        kind => format!("the file cannot be read: {kind}"),
    }
}

const LONGEST: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, Expansion> {
        expand(text, &|name| (name == "NAME").then(|| "${VALUE}".to_owned()))
    }

    #[test]
    fn variables_are_expanded_once() {
        assert_eq!(expanded("a${NAME}b${NAME}"), Ok("a${VALUE}b${VALUE}".into()));
        assert_eq!(expanded("$NAME $ $$ {x}"), Ok("$NAME $ $$ {x}".into()));
        assert_eq!(expanded("$${NAME}"), Ok("${NAME}".into()));
        assert_eq!(expanded("${OTHER}"), Err(Expansion::Unset("OTHER".into())));
        for bad in ["${", "${NAME", "${}", "${1A}", "${A B}", "${A:-b}"] {
            assert_eq!(expanded(bad), Err(Expansion::Malformed), "{bad}");
        }
    }

    #[test]
    fn a_duration_has_a_lower_case_unit() {
        assert_eq!(duration("1h 30m"), Some(Duration::from_mins(90)));
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        for bad in ["", "8x", "15M", "30", "-1s", "1.5.5s"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_may_hold_a_password_is_not_shown() {
        for (written, secret, seen) in [
            (r#""postgres://ann:pw@db/x""#, true, r#""postgres://…""#),
            (r#""postgres:ann:pw@db/x""#, true, r#""…""#),
            ("'host=db password=pw'", true, "'…'"),
            (r#""sqlite:data/x.db""#, true, r#""sqlite:data/x.db""#),
            (r#""http://ann:pw@app:80""#, false, r#""http://…""#),
            (r#""pw://x@y://z""#, false, r#""pw://…""#),
            (r#""p w://x@y""#, false, r#""…""#),
            (r#""plain""#, false, r#""plain""#),
            ("[\n  1,\n]", false, "[…"),
        ] {
            assert_eq!(shown(written, secret), seen, "{written}");
        }
        assert_eq!(shown(&"x".repeat(100), false), format!("{}…", "x".repeat(80)));
    }
}
