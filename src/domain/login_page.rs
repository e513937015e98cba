//! Where a person is sent whose page needs a login: a browser that follows a link cannot do anything with a 401.

use std::fmt::Write;

/// A path of this host, or another one's address, with a place for the page that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginPage {
    before: String,
    /// What follows the place for the target; `None`: there is none.
    after: Option<String>,
}

/// What a request says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    pub method: &'a str,
    pub sec_fetch_mode: Option<&'a [u8]>,
    /// Whether it has any other field of Fetch Metadata.
    pub other_sec_fetch: bool,
    /// Whether the browser says that it comes from a page of this very origin.
    pub same_origin: bool,
    pub accept: Option<&'a [u8]>,
}

/// Where the target is put.
pub const PLACE: &str = "{target}";

/// Longer ones are left out, so that what is made of them still fits everywhere.
const LONGEST_TARGET: usize = 2048;

impl LoginPage {
    /// `None` if the text has a second place for the target, one that is not in its query, or another brace.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (before, after) = match text.split_once(PLACE) {
            Some((before, after)) => (before, Some(after)),
            None => (text, None),
        };
        let braces = |part: &str| part.contains(['{', '}']);
        let misplaced = after.is_some() && !before.contains('?');
        let good = !braces(before) && !after.is_some_and(braces) && !misplaced;
        good.then(|| Self { before: before.to_owned(), after: after.map(str::to_owned) })
    }

    /// The page's address, for a person who asked for this target (path and query).
    #[must_use]
    pub fn location(&self, target: &str) -> String {
        let Some(after) = &self.after else { return self.before.clone() };
        let mut location = self.before.clone();
        for byte in target.bytes().filter(|_| target.len() <= LONGEST_TARGET) {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                location.push(char::from(byte));
            } else {
                let _ = write!(location, "%{byte:02X}");
            }
        }
        location + after
    }
}

impl Asking<'_> {
    /// Whether a person is to see the answer: the browser says so, of links and of the own pages' forms, or, if it says
    /// nothing, it wants HTML to read. Scripts never get a page for an answer, and another site's form leads nowhere.
    #[must_use]
    pub fn is_navigation(&self) -> bool {
        let reads = matches!(self.method, "GET" | "HEAD");
        match self.sec_fetch_mode {
            Some(mode) => mode == b"navigate" && (reads || self.same_origin),
            None if self.other_sec_fetch || !reads => false,
            None => self.accept.is_some_and(|accept| {
                accept.split(|&byte| byte == b',').any(|part| {
                    let essence = part.split(|&byte| byte == b';').next().unwrap_or_default();
                    essence.trim_ascii().eq_ignore_ascii_case(b"text/html")
                })
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_that_was_asked_for_is_one_value_in_the_query() {
        let page = LoginPage::parse("/login.php?next={target}&from=gate").unwrap();
        assert_eq!(page.location("/a?b=1&c=ä"), "/login.php?next=%2Fa%3Fb%3D1%26c%3D%C3%A4&from=gate");
        assert_eq!(page.location(&format!("/{}", "x".repeat(3000))), "/login.php?next=&from=gate");
        assert_eq!(LoginPage::parse("/login").unwrap().location("/a"), "/login");
        for bad in ["/{target}", "/login?a={target}&b={target}", "/login?a={path}", "/login?a=}", "{target}?a"] {
            assert_eq!(LoginPage::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_who_looks_at_a_page_is_sent_to_another() {
        let asks = |method, mode: Option<&'static str>, accept: Option<&'static str>| {
            Asking {
                method,
                sec_fetch_mode: mode.map(str::as_bytes),
                other_sec_fetch: mode.is_some(),
                same_origin: false,
                accept: accept.map(str::as_bytes),
            }
            .is_navigation()
        };
        let html = Some("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8");
        assert!(asks("GET", Some("navigate"), None));
        assert!(asks("HEAD", Some("navigate"), html));
        assert!(asks("GET", None, html));
        assert!(asks("GET", None, Some("application/json, TEXT/HTML;q=0.1")));
        assert!(!asks("POST", Some("navigate"), html), "another site's form");
        assert!(!asks("POST", None, html));
        for mode in ["cors", "no-cors", "same-origin", "websocket", ""] {
            assert!(!asks("GET", Some(mode), html), "{mode}");
        }
        for accept in [None, Some("*/*"), Some("application/json"), Some("text/htmlx"), Some("")] {
            assert!(!asks("GET", None, accept), "{accept:?}");
        }
        let silent = Asking {
            method: "GET",
            sec_fetch_mode: None,
            other_sec_fetch: true,
            same_origin: true,
            accept: html.map(str::as_bytes),
        };
        assert!(!silent.is_navigation());
        let form = Asking { method: "POST", sec_fetch_mode: Some(b"navigate"), ..silent };
        assert!(form.is_navigation() && !Asking { sec_fetch_mode: Some(b"cors"), ..form }.is_navigation());
    }
}
