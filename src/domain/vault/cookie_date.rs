//! The many spellings of `Expires` (RFC 6265 §5.1.1).

use crate::domain::time::Timestamp;

/// `None` for what is no date: the attribute is ignored then.
pub(super) fn cookie_date(value: &[u8]) -> Option<Timestamp> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for word in value.split(|&byte| is_delimiter(byte)).filter(|word| !word.is_empty()) {
        if time.is_none()
            && let Some(found) = time_of(word)
        {
            time = Some(found);
        } else if day.is_none()
            && let Some(found) = number(word, 1, 2)
        {
            day = Some(found);
        } else if month.is_none()
            && let Some(found) = month_of(word)
        {
            month = Some(found);
        } else if year.is_none()
            && let Some(found) = number(word, 2, 4)
        {
            year = Some(found);
        }
    }
    let year = match year? {
        year @ 70..=99 => year + 1900,
        year @ 0..=69 => year + 2000,
        year => year,
    };
    let (day, (hour, minute, second)) = (day?, time?);
    if !(1..=31).contains(&day) || year < 1601 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_before(year, month?) + day - 1;
    Some(Timestamp::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'/' | b';'..=b'@' | b'['..=b'`' | b'{'..=b'~')
}

/// The digits in front, if there are as many; whatever follows them must not be one.
fn number(word: &[u8], least: usize, most: usize) -> Option<i64> {
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_right = (least..=most).contains(&digits);
    is_right.then(|| word[..digits].iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
}

fn time_of(word: &[u8]) -> Option<(i64, i64, i64)> {
    let mut fields = word.splitn(3, |&byte| byte == b':');
    let (hour, minute, second) = (fields.next()?, fields.next()?, fields.next()?);
    let only_digits = |field: &[u8]| field.iter().all(u8::is_ascii_digit);
    let is_time = only_digits(hour) && only_digits(minute);
    is_time.then_some((number(hour, 1, 2)?, number(minute, 1, 2)?, number(second, 1, 2)?))
}

fn month_of(word: &[u8]) -> Option<usize> {
    let start = word.get(..3)?;
    MONTHS.iter().position(|month| start.eq_ignore_ascii_case(month.as_slice()))
}

const MONTHS: [&[u8; 3]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// Days from 1970-01-01 to the first of the month, which counts from 0.
fn days_before(year: i64, month: usize) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    (year - 1970) * 365 + leaps(year - 1) - leaps(1969) + BEFORE[month] + i64::from(is_leap && month > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<i64> {
        cookie_date(text.as_bytes()).map(Timestamp::as_secs)
    }

    #[test]
    fn every_customary_spelling_of_a_date_is_read() {
        for text in [
            "Thu, 01 Jan 1970 00:00:01 GMT",
            "Thu, 01-Jan-1970 00:00:01 GMT",
            "Thursday, 01-Jan-70 00:00:01 GMT",
            "Thu Jan  1 00:00:01 1970",
            "1 january 1970 0:0:1",
        ] {
            assert_eq!(seconds(text), Some(1), "{text}");
        }
        assert_eq!(seconds("Wed, 09 Jun 2021 10:18:14 GMT"), Some(1_623_233_894));
        assert_eq!(seconds("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
        assert_eq!(seconds("Fri, 01 Mar 2024 00:00:00 GMT"), Some(1_709_251_200));
        assert_eq!(seconds("Sun, 01 Jan 1601 00:00:00 GMT"), Some(-11_644_473_600));
        assert_eq!(seconds("Tue, 31 Dec 2069 23:59:59 GMT"), seconds("31 Dec 69 23:59:59"));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "soon",
            "0",
            "Thu, 01 Jan 1600 00:00:00 GMT",
            "Thu, 32 Jan 1970 00:00:00 GMT",
            "Thu, 01 Jan 1970 24:00:00 GMT",
            "Thu, 01 Jan 1970 00:60:00 GMT",
            "Thu, 01 Jan 1970",
            "01 1970 00:00:00",
            "99999999999999999999 Jan 1970 00:00:00",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
