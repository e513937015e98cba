//! Where a reader of the revocations stands: a snapshot, and the server it was taken on.

use std::fmt;

use super::super::Cursor;

/// Written as `<server start, microseconds>/<xmin>:<xmax>:<xip,…>`; in the middle of a long read, which began after one
/// snapshot and will end at another, as `<server start>/<snapshot>|<snapshot>|<seq>`, the first empty if it began with
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Transaction numbers mean something to one server process only: one that was promoted or restored gives some of
    /// them a second time.
    pub(super) server_start: i64,
    /// `pg_snapshot` in text form: what it shows has been read. `None`: nothing has.
    pub(super) snapshot: Option<String>,
    pub(super) reading: Option<Reading>,
}

/// How far a long read has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// What this shows will have been read in the end.
    pub(super) snapshot: String,
    /// The last row so far.
    pub(super) seq: i64,
}

impl Position {
    /// `None` for anything that Postgres would refuse as a snapshot.
    pub(super) fn parse(cursor: &Cursor) -> Option<Self> {
        let (server_start, rest) = cursor.0.split_once('/')?;
        let server_start = server_start.parse().ok()?;
        let mut parts = rest.split('|');
        match (parts.next()?, parts.next(), parts.next(), parts.next()) {
            (after, None, None, None) => Some(Self { server_start, snapshot: Some(snapshot(after)?), reading: None }),
            (after, Some(next), Some(seq), None) => {
                let after = if after.is_empty() { None } else { Some(snapshot(after)?) };
                let reading = Reading { snapshot: snapshot(next)?, seq: i64::try_from(number(seq)?).ok()? };
                Some(Self { server_start, snapshot: after, reading: Some(reading) })
            }
            _ => None,
        }
    }
}

/// `None` for anything that Postgres would refuse as a snapshot.
fn snapshot(text: &str) -> Option<String> {
    let mut parts = text.split(':');
    let (min, max, running) = (number(parts.next()?)?, number(parts.next()?)?, parts.next()?);
    if parts.next().is_some() || min == 0 || min > max || max > i64::MAX.unsigned_abs() {
        return None;
    }
    let mut least = min;
    if !running.is_empty() {
        for running in running.split(',') {
            let running = number(running).filter(|id| (least..max).contains(id))?;
            least = running + 1;
        }
    }
    Some(text.to_owned())
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = self.snapshot.as_deref().unwrap_or_default();
        match &self.reading {
            None => write!(f, "{}/{after}", self.server_start),
            Some(Reading { snapshot, seq }) => write!(f, "{}/{after}|{snapshot}|{seq}", self.server_start),
        }
    }
}

fn number(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_cursor() {
        for text in ["5/700:700:", "5/700:705:700,703", "-5/1:2:1", "5/7:7:|7:9:8|12", "5/|7:9:|0"] {
            assert_eq!(Position::parse(&Cursor(text.into())).unwrap().to_string(), text);
        }
    }

    #[test]
    fn whatever_is_no_snapshot_is_no_position() {
        for bad in [
            "",
            "5",
            "700:700:",
            "5/",
            "5/700",
            "5/700:700",
            "5/0:0:",
            "5/7:6:",
            "5/7:9:9",
            "5/7:9:6",
            "5/7:9:8,7",
            "5/7:9:7,7",
            "5/7:9:7,",
            "5/7:9:,",
            "5/+7:9:",
            "5/7:9::",
            "x/7:9:",
            "5/7:18446744073709551615:",
            "5/7:99999999999999999999:",
            "5/7:7:|7:9:",
            "5/7:7:|7:9:|",
            "5/7:7:|7:9:|-1",
            "5/7:7:||1",
            "5/|7:9:|1|1",
            "5/|7:9:|99999999999999999999",
            "5/7:9:'; DROP TABLE sidegate.session; --",
        ] {
            assert_eq!(Position::parse(&Cursor(bad.into())), None, "{bad}");
        }
    }
}
