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

    #[must_use]
    pub fn matches(&self, place: &str) -> bool {
        let place = if self.start.starts_with('/') && !self.start.starts_with("//") { path_of(place) } else { place };
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
