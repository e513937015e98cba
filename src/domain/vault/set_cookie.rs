//! One `Set-Cookie` line, read as browsers read it (RFC 6265 §5.2): nothing in it is an error, but a name is needed.

use crate::domain::time::Timestamp;

use super::cookie_date::cookie_date;

/// What one line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SetCookie<'l> {
    pub(super) name: &'l [u8],
    pub(super) value: &'l [u8],
    /// It is to be forgotten at once: `Max-Age` of zero or less, or without one, `Expires` in the past.
    pub(super) is_over: bool,
}

impl<'l> SetCookie<'l> {
    /// `None` without a name.
    pub(super) fn read(line: &'l [u8], now: Timestamp) -> Option<Self> {
        let mut parts = line.split(|&byte| byte == b';');
        let (name, value) = split(parts.next()?)?;
        let (mut over_by_age, mut over_by_date) = (None, None);
        for attribute in parts {
            let (name, value) = split(attribute).unwrap_or((attribute.trim_ascii(), b""));
            if name.eq_ignore_ascii_case(b"max-age") {
                over_by_age = is_zero_or_less(value).or(over_by_age);
            } else if name.eq_ignore_ascii_case(b"expires") {
                over_by_date = cookie_date(value).map(|date| date <= now).or(over_by_date);
            }
        }
        let is_over = over_by_age.or(over_by_date).unwrap_or(false);
        (!name.is_empty()).then_some(Self { name, value, is_over })
    }
}

fn split(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = pair.iter().position(|&byte| byte == b'=')?;
    Some((pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii()))
}

/// `None` for what is no number: the attribute is ignored then (§5.2.2).
fn is_zero_or_less(value: &[u8]) -> Option<bool> {
    let (is_negative, digits) = match value.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| is_negative || digits.iter().all(|&digit| digit == b'0'))
}
