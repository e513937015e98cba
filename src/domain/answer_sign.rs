//! Signs by which an answer of the application tells what it has done: its status, and where it sends the client.
//!
//! Applications that were made for browsers answer a success and a failure with the same redirect and another place, so a
//! status alone often says nothing.

use http::{HeaderMap, StatusCode, header};

/// What an answer must be like: all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerSign {
    /// One of these.
    pub statuses: Vec<StatusRange>,
    /// It sends the client there.
    pub location: Option<LocationPattern>,
    /// It does not send the client there.
    pub location_not: Option<LocationPattern>,
}

impl AnswerSign {
    /// Whether some answer has both this sign and the other, as far as patterns can tell.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let excludes = |sign: &Self, other: &Self| match (&sign.location_not, &other.location) {
            (Some(not), Some(place)) => not.covers(place),
            _ => false,
        };
        let meet = match (&self.location, &other.location) {
            (Some(one), Some(two)) => one.covers(two) || two.covers(one),
            _ => true,
        };
        self.statuses.iter().any(|one| other.statuses.iter().any(|two| one.overlaps(*two)))
            && meet
            && !excludes(self, other)
            && !excludes(other, self)
    }

    #[must_use]
    pub fn holds(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let places: Vec<&str> =
            headers.get_all(header::LOCATION).iter().map(|place| place.to_str().unwrap_or_default()).collect();
        // Two places are none: nobody knows which one the client follows.
        let is_there = |pattern: &LocationPattern| matches!(places[..], [place] if pattern.matches(place));
        self.statuses.iter().any(|range| range.contains(status))
            && self.location.as_ref().is_none_or(is_there)
            && !self.location_not.as_ref().is_some_and(|pattern| places.iter().any(|place| pattern.matches(place)))
    }
}

/// `302`, or `2xx`. Never an interim answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    from: u16,
    to: u16,
}

impl StatusRange {
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |digit: &str| digit.parse().ok().filter(|digit: &u16| (2..=5).contains(digit));
        match text.strip_suffix("xx") {
            Some(class) if class.len() == 1 => {
                digit(class).map(|class| Self { from: class * 100, to: class * 100 + 99 })
            }
            Some(_) => None,
            None => {
                let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse()
                    .ok()
                    .filter(|code| is_code && (200..600).contains(code))
                    .map(|code| Self { from: code, to: code })
            }
        }
    }

    #[must_use]
    pub fn contains(self, status: StatusCode) -> bool {
        (self.from..=self.to).contains(&status.as_u16())
    }

    /// Whether every status of the other is one of this.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.from <= other.from && other.to <= self.to
    }

    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }

    /// Whether such an answer can send a client anywhere (RFC 9110 §10.2.2, and what is accepted for later).
    #[must_use]
    pub fn can_have_a_place(self) -> bool {
        ["201", "202", "3xx"].into_iter().filter_map(Self::parse).any(|range| range.overlaps(self))
    }
}

/// `/login.php*`: a place, or with a last `*` all that begins so. One that begins with a slash is compared with path and query,
/// whether or not the application writes its own address before them; any other with the whole as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocationPattern {
    start: String,
    open_ended: bool,
}

impl LocationPattern {
    /// `None` if it would match everything, or nothing that can stand in a header.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (start, open_ended) = text.strip_suffix('*').map_or((text, false), |start| (start, true));
        let fits = !start.is_empty() && start.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*');
        fits.then(|| Self { start: start.to_owned(), open_ended })
    }

    /// Whether every place of the other is surely one of this.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        if other.open_ended {
            self.open_ended && self.is_path() == other.is_path() && other.start.starts_with(&self.start)
        } else {
            self.matches(&other.start)
        }
    }

    fn is_path(&self) -> bool {
        self.start.starts_with('/') && !self.start.starts_with("//")
    }

    #[must_use]
    pub fn matches(&self, place: &str) -> bool {
        let place = if self.is_path() { path_of(place) } else { place };
        if self.open_ended { place.starts_with(&self.start) } else { place == self.start }
    }
}

/// What follows scheme and host, if they are written.
fn path_of(place: &str) -> &str {
    let scheme = ["http://", "https://", "//"].iter().find_map(|start| {
        place.get(..start.len()).filter(|found| found.eq_ignore_ascii_case(start)).map(|found| &place[found.len()..])
    });
    scheme.map_or(place, |rest| rest.find(['/', '?', '#']).map_or("/", |at| &rest[at..]))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn status(code: u16) -> StatusCode {
        StatusCode::from_u16(code).unwrap()
    }

    #[test]
    fn a_status_is_a_number_or_a_class() {
        let range = |text| StatusRange::parse(text).unwrap();
        assert!(range("2xx").contains(status(200)) && range("2xx").contains(status(299)));
        assert!(!range("2xx").contains(status(300)) && !range("2xx").contains(status(199)));
        assert!(range("302").contains(status(302)) && !range("302").contains(status(303)));
        for bad in ["", "1xx", "101", "6xx", "600", "xx", "2x", "2XX", "20", "0200", "+20", "22xx", "199", "200 "] {
            assert_eq!(StatusRange::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_place_is_compared_whole_or_by_its_start() {
        let matches = |pattern: &str, place: &str| LocationPattern::parse(pattern).unwrap().matches(place);
        for (pattern, place) in [
            ("/login.php*", "/login.php"),
            ("/login.php*", "/login.php?failed=1"),
            ("/login.php*", "http://app:3000/login.php?failed=1"),
            ("/login.php*", "HTTPS://app/login.php"),
            ("/login.php*", "//app/login.php"),
            ("/", "http://app"),
            ("/home", "/home"),
            ("login.php*", "login.php?failed=1"),
            ("https://other/*", "https://other/x"),
        ] {
            assert!(matches(pattern, place), "{pattern} {place}");
        }
        for (pattern, place) in [
            ("/home", "/home/"),
            ("/home", "/home?x"),
            ("/home", "/x/home"),
            ("/home*", ""),
            ("/home*", "home"),
            ("/home*", "/HOME"),
            ("/home*", "http://app/x?/home"),
            ("login.php", "/login.php"),
        ] {
            assert!(!matches(pattern, place), "{pattern} {place}");
        }
        for bad in ["", "*", "a b", "/a*b", "/a**", "/ä", "/a\n"] {
            assert_eq!(LocationPattern::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_pattern_covers_another_if_every_place_of_that_is_its_own() {
        let covers = |one, other| {
            let parse = |text| LocationPattern::parse(text).unwrap();
            parse(one).covers(&parse(other))
        };
        for (one, other) in [
            ("/home", "/home"),
            ("/home*", "/home"),
            ("/home*", "/home*"),
            ("/home*", "/home/x*"),
            ("/home*", "https://other/home/x"),
            ("https://other/*", "https://other/home*"),
        ] {
            assert!(covers(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("/home", "/home*"),
            ("/home/x*", "/home*"),
            ("/home", "/login"),
            ("https://other/*", "/home"),
            ("/*", "//other*"),
            ("/*", "https://other*"),
        ] {
            assert!(!covers(one, other), "{one} {other}");
        }
    }

    #[test]
    fn two_signs_overlap_where_one_answer_can_have_both() {
        let sign = |status, location, location_not| AnswerSign {
            statuses: vec![StatusRange::parse(status).unwrap()],
            location: LocationPattern::parse(location),
            location_not: LocationPattern::parse(location_not),
        };
        let overlap = |one: &AnswerSign, other: &AnswerSign| {
            assert_eq!(one.overlaps(other), other.overlaps(one));
            one.overlaps(other)
        };
        let to_login = sign("302", "/login*", "");
        assert!(overlap(&to_login, &to_login));
        assert!(overlap(&to_login, &sign("3xx", "", "/account*")));
        assert!(overlap(&to_login, &sign("302", "/login", "")));
        assert!(overlap(&to_login, &sign("302", "/*", "/login?x*")));
        assert!(!overlap(&to_login, &sign("302", "", "/login*")));
        assert!(!overlap(&to_login, &sign("302", "/home", "")));
        assert!(!overlap(&to_login, &sign("2xx", "", "")));
    }

    #[test]
    fn a_place_comes_with_what_sends_on_or_was_made() {
        let can = |text| StatusRange::parse(text).unwrap().can_have_a_place();
        assert!(["201", "202", "2xx", "302", "3xx"].into_iter().all(can));
        assert!(!["200", "204", "401", "4xx", "500"].into_iter().any(can));
    }

    #[test]
    fn every_sign_must_hold_and_two_places_are_none() {
        let pattern = |text| LocationPattern::parse(text);
        let answer = |places: &[&str]| {
            places.iter().map(|place| (header::LOCATION, HeaderValue::from_str(place).unwrap())).collect::<HeaderMap>()
        };
        let statuses = vec![StatusRange::parse("302").unwrap()];
        let to_home = AnswerSign { statuses: statuses.clone(), location: pattern("/home"), location_not: None };
        assert!(to_home.holds(status(302), &answer(&["/home"])));
        assert!(!to_home.holds(status(303), &answer(&["/home"])));
        assert!(!to_home.holds(status(302), &answer(&[])));
        assert!(!to_home.holds(status(302), &answer(&["/home", "/home"])));
        let elsewhere = AnswerSign { statuses, location: None, location_not: pattern("/login*") };
        assert!(elsewhere.holds(status(302), &answer(&["/home"])));
        assert!(elsewhere.holds(status(302), &answer(&[])));
        assert!(!elsewhere.holds(status(302), &answer(&["/login"])));
        assert!(!elsewhere.holds(status(302), &answer(&["/home", "/login"])));
    }
}
