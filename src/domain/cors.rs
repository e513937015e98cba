//! Pages of other origins that may call the API (the Fetch standard's CORS protocol).
//!
//! A browser asks first, by a preflight that carries no token, and shows a page no answer that does not name its origin. So both
//! are said here, for every answer alike, refusals included: a page that cannot read a 401 cannot refresh. An origin is one of the
//! operator's list, compared byte by byte, or none; what a page may do is decided by its token.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::identity::fold;

/// What `[cors]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    origins: BTreeSet<Vec<u8>>,
    /// What pages may read of an answer, besides what they always may.
    exposed: HeaderValue,
    max_age: HeaderValue,
    /// Those of them whose pages may have cookies sent along.
    with_cookies: BTreeSet<Vec<u8>>,
}

/// The answer to a preflight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preflight {
    /// With the fields to add to those that every answer gets.
    Allowed(Vec<(HeaderName, HeaderValue)>),
    /// No page of this origin.
    Refused,
}

impl Cors {
    /// `None` if nobody is listed. `with_cookies`: those of them whose pages act for whoever is logged in; `exposed`: names of
    /// headers.
    #[must_use]
    pub fn new(
        origins: Vec<String>,
        with_cookies: Vec<String>,
        exposed: &[HeaderName],
        max_age: Duration,
    ) -> Option<Self> {
        let mut names: Vec<&str> = ALWAYS_EXPOSED.iter().chain(exposed).map(HeaderName::as_str).collect();
        names.sort_unstable();
        names.dedup();
        let set = |origins: Vec<String>| origins.into_iter().map(String::into_bytes).collect::<BTreeSet<_>>();
        let (origins, with_cookies) = (set(origins), set(with_cookies));
        let exposed = HeaderValue::try_from(names.join(", ")).ok()?;
        (!origins.is_empty()).then(|| Self { origins, exposed, max_age: max_age.as_secs().into(), with_cookies })
    }

    /// The origin of the page that asks, if it is listed. Two lines are none.
    #[must_use]
    pub fn listed<'h>(&self, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
        only(headers, &header::ORIGIN).filter(|origin| self.origins.contains(origin.as_bytes()))
    }

    /// As [`Self::listed`], of a head that was not understood as a whole.
    #[must_use]
    pub fn listed_in(&self, head: &[u8]) -> Option<HeaderValue> {
        let value = |line: &[u8]| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            let (name, value) = line.split_at(colon);
            name.eq_ignore_ascii_case(b"origin").then(|| value[1..].trim_ascii().to_vec())
        };
        let mut origins = head.split(|&byte| byte == b'\n').skip(1).filter_map(value);
        let origin = origins.next().filter(|origin| self.origins.contains(origin))?;
        if origins.next().is_some() { None } else { HeaderValue::from_bytes(&origin).ok() }
    }

    /// What every answer to a page of this origin says.
    #[must_use]
    pub fn fields(&self, origin: &HeaderValue) -> Vec<(HeaderName, HeaderValue)> {
        let mut fields = vec![
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed.clone()),
        ];
        if self.with_cookies.contains(origin.as_bytes()) {
            fields.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        }
        fields
    }

    /// What a request is answered if it is a preflight, and nothing else: the one kind that needs no token on any path. What no
    /// browser would put into one makes it an ordinary request.
    #[must_use]
    pub fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Preflight> {
        only(headers, &header::ORIGIN)?;
        let asked = only(headers, &header::ACCESS_CONTROL_REQUEST_METHOD)?;
        let has_body = headers.contains_key(header::TRANSFER_ENCODING)
            || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
        let overrides = headers.keys().any(|name| METHOD_OVERRIDES.contains(&fold(name.as_str()).as_str()));
        if method != Method::OPTIONS || has_body || overrides || headers.contains_key(header::AUTHORIZATION) {
            return None;
        }
        if self.listed(headers).is_none() {
            return Some(Preflight::Refused);
        }
        let mut fields = vec![(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone())];
        if is_method(asked.as_bytes()) {
            fields.push((header::ACCESS_CONTROL_ALLOW_METHODS, asked.clone()));
        }
        if let Some(names) = only(headers, &header::ACCESS_CONTROL_REQUEST_HEADERS).filter(|names| is_list(names)) {
            fields.push((header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone()));
        }
        Some(Preflight::Allowed(fields))
    }
}

/// What the upstream may have said about pages, and is said anew.
pub static ANSWERED: [HeaderName; 3] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
];

/// A page has to know why it was refused, and when to come back.
static ALWAYS_EXPOSED: [HeaderName; 2] = [header::RETRY_AFTER, header::WWW_AUTHENTICATE];

const METHOD_OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    lines.next().filter(|_| lines.next().is_none())
}

/// One that a request can have: every registered one is upper case (RFC 9110 §9.1), and some are never forwarded.
fn is_method(text: &[u8]) -> bool {
    let letters = text.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'-');
    (1..=32).contains(&text.len()) && letters && !matches!(text, b"CONNECT" | b"TRACE" | b"TRACK")
}

/// Names of headers with commas between them.
fn is_list(names: &HeaderValue) -> bool {
    let is_name = |name: &[u8]| HeaderName::from_bytes(name.trim_ascii()).is_ok();
    names.len() <= 4096 && names.as_bytes().split(|&byte| byte == b',').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "https://app.example";

    fn cors() -> Cors {
        let origins = vec![APP.into(), "http://localhost:5173".into()];
        let exposed = [HeaderName::from_static("x-total"), header::RETRY_AFTER];
        Cors::new(origins, Vec::new(), &exposed, Duration::from_mins(10)).unwrap()
    }

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let line = |&(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in lines.iter().map(line) {
            headers.append::<HeaderName>(name, value);
        }
        headers
    }

    /// CK-11.
    #[test]
    fn an_origin_is_listed_byte_by_byte_or_not_at_all() {
        let listed = |origins: &[&str]| {
            let lines: Vec<_> = origins.iter().map(|origin| ("origin", *origin)).collect();
            let head = lines.iter().flat_map(|(name, value)| [*name, ": ", *value, "\r\n"]).collect::<String>();
            let from_head = cors().listed_in(format!("GET / HTTP/1.1\r\n{head}\r\n").as_bytes());
            let listed = cors().listed(&headers(&lines)).cloned();
            assert_eq!(listed, from_head);
            listed.is_some()
        };
        assert!(listed(&[APP]) && listed(&["http://localhost:5173"]));
        for other in [
            "null",
            "*",
            "",
            "https://app.example/",
            "https://app.example:443",
            "http://app.example",
            "https://APP.example",
            "https://app.example.evil.example",
            "https://evil.example?https://app.example",
            "https://app.example https://evil.example",
            "http://localhost:5174",
        ] {
            assert!(!listed(&[other]), "{other}");
        }
        assert!(!listed(&[]) && !listed(&[APP, APP]) && !listed(&[APP, "https://evil.example"]));
    }

    #[test]
    fn an_origin_is_found_in_a_head_that_makes_no_sense() {
        let listed = |head: &[u8]| cors().listed_in(head).is_some();
        assert!(listed(b"GET / HTTP/1.1\nOrigin:https://app.example\n: \xff\n"));
        assert!(listed(b"x\r\nno colon\r\noRIGIN:  https://app.example  \r\nHo"));
        assert!(!listed(b"Origin: https://app.example"), "that is the request line");
        assert!(!listed(b"x\r\nOrigin : https://app.example\r\n"));
        assert!(!listed(b"x\r\nX-Origin: https://app.example\r\n"));
        assert!(!listed(b""));
    }

    #[test]
    fn an_answer_names_the_origin_and_what_may_be_read() {
        let said = |cors: &Cors| {
            let fields = cors.fields(&HeaderValue::from_static(APP));
            fields.into_iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect::<Vec<_>>()
        };
        let plain = [
            "access-control-allow-origin: https://app.example",
            "access-control-expose-headers: retry-after, www-authenticate, x-total",
        ];
        assert_eq!(said(&cors()), plain);
        let elsewhere = Cors { with_cookies: BTreeSet::from([b"http://localhost:5173".to_vec()]), ..cors() };
        assert_eq!(said(&elsewhere), plain);
        let with_cookies = Cors { with_cookies: BTreeSet::from([APP.into()]), ..cors() };
        assert_eq!(said(&with_cookies), [&plain[..], &["access-control-allow-credentials: true"]].concat());
        assert_eq!(Cors::new(Vec::new(), Vec::new(), &[], Duration::ZERO), None);
    }

    /// BEAR-11.
    #[test]
    fn nothing_but_a_preflight_is_a_preflight() {
        let is_one = |method: &Method, lines: &[(&str, &str)]| cors().preflight(method, &headers(lines)).is_some();
        let preflight = [("origin", APP), ("access-control-request-method", "PUT")];
        assert!(is_one(&Method::OPTIONS, &preflight));
        assert!(is_one(&Method::OPTIONS, &[&preflight[..], &[("content-length", "0")]].concat()));
        for method in [Method::GET, Method::HEAD, Method::POST, Method::DELETE] {
            assert!(!is_one(&method, &preflight), "{method}");
        }
        assert!(!is_one(&Method::OPTIONS, &preflight[..1]) && !is_one(&Method::OPTIONS, &preflight[1..]));
        for more in [
            ("origin", APP),
            ("access-control-request-method", "PUT"),
            ("authorization", "Bearer x"),
            ("content-length", "1"),
            ("transfer-encoding", "chunked"),
            ("x-http-method-override", "DELETE"),
            ("x_method_override", "DELETE"),
        ] {
            assert!(!is_one(&Method::OPTIONS, &[&preflight[..], &[more]].concat()), "{more:?}");
        }
    }

    #[test]
    fn a_preflight_is_told_what_it_asked_for_if_that_can_be() {
        let answer = |origin: &str, method: &str, names: &[&str]| {
            let mut lines = vec![("origin", origin), ("access-control-request-method", method)];
            lines.extend(names.iter().map(|names| ("access-control-request-headers", *names)));
            cors().preflight(&Method::OPTIONS, &headers(&lines)).unwrap()
        };
        let allowed = |method: Option<&str>, names: Option<&str>| {
            let field = |name: HeaderName, value: &str| (name, HeaderValue::from_str(value).unwrap());
            let mut fields = vec![field(header::ACCESS_CONTROL_MAX_AGE, "600")];
            fields.extend(method.map(|method| field(header::ACCESS_CONTROL_ALLOW_METHODS, method)));
            fields.extend(names.map(|names| field(header::ACCESS_CONTROL_ALLOW_HEADERS, names)));
            Preflight::Allowed(fields)
        };
        let usual = "authorization,content-type, idempotency-key";
        assert_eq!(answer(APP, "PUT", &[usual]), allowed(Some("PUT"), Some(usual)));
        assert_eq!(answer(APP, "PROPFIND", &[]), allowed(Some("PROPFIND"), None));
        for bad in ["put", "", "P UT", "PUT, GET", "*", "TRACE", "CONNECT"] {
            assert_eq!(answer(APP, bad, &[]), allowed(None, None), "{bad}");
        }
        for bad in ["", "a,,b", "a b", "a:b", "\"a\""] {
            assert_eq!(answer(APP, "PUT", &[bad]), allowed(Some("PUT"), None), "{bad}");
        }
        assert_eq!(answer(APP, "PUT", &["a", "b"]), allowed(Some("PUT"), None));
        assert_eq!(answer("null", "PUT", &[usual]), Preflight::Refused);
        assert_eq!(answer("https://evil.example", "PUT", &[usual]), Preflight::Refused);
    }
}
