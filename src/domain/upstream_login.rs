//! What the application's own login says: whether it let somebody in, and whom.
//!
//! A status alone is never enough: applications answer a wrong password with 200 and a page, or with the same redirect to
//! another place. Success is a listed status, every configured sign, and exactly one subject. Whatever fits neither success
//! nor refusal is a [`Doubt`], which logs nobody in and tells nobody that their password is wrong.

use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode, header};
use serde_json::{Map, Value};

use super::access_token::REGISTERED;
use super::answer_sign::{AnswerSign, LocationPattern, StatusRange};
use super::login_form::FieldFault;
use super::session::Subject;
use super::strict_json;
use super::time::Timestamp;
use super::vault::{CookieNames, Jar};

mod page;
mod request;
#[cfg(test)]
mod tests;

pub use self::page::PageValues;
pub use self::request::{Blank, BodyTemplate, RequestBody, Template, TemplateFault, TemplateValue};

/// How the login's answer is read.
#[derive(Clone, Debug, PartialEq)]
pub struct LoginRules {
    pub success: Success,
    pub refused: Refused,
    pub subject: SubjectSource,
    /// Each claim, and where the answer says it.
    pub claims: Vec<(String, Pointer)>,
}

/// What an answer that lets somebody in is like: all of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Success {
    pub sign: AnswerSign,
    /// It sets this cookie, to a value.
    pub sets_cookie: Option<CookieNames>,
    pub members: Members,
}

/// What an answer is like that lets nobody in, besides one of the 4xx: one of these signs, with a listed status if any is
/// listed; the status by itself, if there is no other sign.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refused {
    pub statuses: Vec<StatusRange>,
    pub location: Option<LocationPattern>,
    pub members: Members,
}

/// What a JSON answer says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members {
    /// These say something: neither null, nor false, nor zero, nor empty.
    pub present: Vec<Pointer>,
    /// These are exactly this.
    pub equal: Vec<(Pointer, Value)>,
}

/// Where the subject stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectSource {
    Json(Pointer),
    Header(HeaderName),
    /// In what was submitted: the name, which the application has found right.
    Submitted,
}

/// A place in a JSON document (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(String);

impl Pointer {
    /// `None` for what is no pointer, and for the whole document.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut after_tilde = text.split('~').skip(1);
        let fits = text.starts_with('/')
            && !text.chars().any(char::is_control)
            && after_tilde.all(|rest| rest.starts_with(['0', '1']));
        fits.then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An answer of the application.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    pub status: StatusCode,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// What an answer to the login means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every sign of success is there; [`LoginRules::person`] tells who it is.
    Success,
    /// Name or password is wrong.
    Refused,
    /// The application wants fewer logins, and perhaps says when the next one is welcome.
    Limited(Option<Duration>),
    /// The application has a fault, or no time.
    Unavailable(StatusCode),
    Unclear(Doubt),
}

/// Whom the application let in.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    pub subject: Subject,
    pub claims: Map<String, Value>,
}

/// Why an answer is neither a success nor a refusal. Goes to the log; holds nothing of the answer but its status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    #[error("its status {0} is neither a success nor a refusal")]
    Status(u16),
    #[error("its status is one of success, but {0} is missing")]
    NoSign(&'static str),
    #[error("the probe was answered with {0}")]
    Probe(u16),
    #[error("the login page was answered with {0}")]
    Page(u16),
    #[error("the login page is not HTML")]
    NoHtml,
    #[error("the field `{0}` of the login page {1}")]
    PageField(String, FieldFault),
    #[error("the login page sets no cookie")]
    NoPageCookie,
    #[error("its cookies have more than {0} bytes")]
    LongCookies(usize),
    #[error("its body is longer than {0} bytes")]
    TooLong(usize),
    #[error("it says no subject")]
    NoSubject,
    #[error("it says more than one subject")]
    Subjects,
    #[error(
        "what it says cannot be a subject: a text of 1 to 255 bytes without space around, or a whole number above 0"
    )]
    BadSubject,
    #[error("what it says cannot be the claim `{0}`")]
    BadClaim(String),
    #[error("its claims are too long for a token")]
    LongClaims,
}

/// Longest claims of one person, in bytes of JSON: an access token stays below what servers take in one header line.
const MOST_CLAIMS: usize = 4096;
/// Longest wait that is believed and passed on.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

impl LoginRules {
    /// Judges the answer to a login; `now` for cookies that are over.
    #[must_use]
    pub fn judge(&self, answer: Answer<'_>, now: Timestamp) -> Verdict {
        let status = answer.status;
        if let Some(verdict) = trouble(answer) {
            return verdict;
        }
        let json = answer.json();
        if status.is_client_error() || self.refused.holds(answer, json.as_ref()) || self.success.sends_away(answer) {
            return Verdict::Refused;
        }
        match self.success.missing(answer, json.as_ref(), now) {
            None => Verdict::Success,
            Some(doubt) => Verdict::Unclear(doubt),
        }
    }

    /// Judges the answer to the probe that follows a successful login.
    #[must_use]
    pub fn judge_probe(answer: Answer<'_>) -> Verdict {
        trouble(answer).unwrap_or(if answer.status.is_success() {
            Verdict::Success
        } else {
            Verdict::Unclear(Doubt::Probe(answer.status.as_u16()))
        })
    }

    /// Who is let in, by the answer to the login, or to the probe if there is one. `submitted` is the name that was sent.
    ///
    /// # Errors
    /// The [`Doubt`] that leaves it open.
    pub fn person(&self, answer: Answer<'_>, submitted: &str) -> Result<Person, Doubt> {
        let json = answer.json();
        let subject = match &self.subject {
            SubjectSource::Json(pointer) => of_value(json.as_ref().and_then(|json| json.pointer(&pointer.0)))?,
            SubjectSource::Header(name) => {
                let mut lines = answer.headers.get_all(name).iter();
                let line = lines.next().ok_or(Doubt::NoSubject)?;
                if lines.next().is_some() {
                    return Err(Doubt::Subjects);
                }
                of_text(std::str::from_utf8(line.as_bytes()).map_err(|_| Doubt::BadSubject)?)?
            }
            SubjectSource::Submitted => of_text(submitted)?,
        };
        let mut claims = Map::new();
        for (name, pointer) in &self.claims {
            let said = json.as_ref().and_then(|json| json.pointer(&pointer.0)).filter(|value| !value.is_null());
            if let Some(said) = said {
                let claim = claim(name, said).ok_or_else(|| Doubt::BadClaim(name.clone()))?;
                claims.insert(name.clone(), claim);
            }
        }
        if serde_json::to_vec(&claims).map_or(usize::MAX, |json| json.len()) > MOST_CLAIMS {
            return Err(Doubt::LongClaims);
        }
        Ok(Person { subject, claims })
    }

    /// Whether a name can be a subject, where the name is the subject.
    #[must_use]
    pub fn subject_of_name(&self, name: &str) -> Option<Result<Subject, Doubt>> {
        (self.subject == SubjectSource::Submitted).then(|| of_text(name))
    }
}

impl Success {
    fn sends_away(&self, answer: Answer<'_>) -> bool {
        self.sign.location_not.as_ref().is_some_and(|pattern| answer.has_place(pattern))
    }

    /// The first thing that is not as it should be.
    fn missing(&self, answer: Answer<'_>, json: Option<&Value>, now: Timestamp) -> Option<Doubt> {
        if !self.sign.statuses.iter().any(|range| range.contains(answer.status)) {
            return Some(Doubt::Status(answer.status.as_u16()));
        }
        let sets = |names: &CookieNames| {
            let lines = answer.headers.get_all(header::SET_COOKIE).iter().map(http::HeaderValue::as_bytes);
            let jar = Jar::default().after(&names.change(lines, now));
            // Each cookie is `name=value`; without a value it says nothing.
            names.iter().all(|name| jar.has(name) && jar.size() > name.len() + 1)
        };
        if !self.sign.holds(answer.status, answer.headers) {
            Some(Doubt::NoSign("the place it should send to"))
        } else if !self.sets_cookie.as_ref().is_none_or(sets) {
            Some(Doubt::NoSign("the cookie"))
        } else if !self.members.all(json) {
            Some(Doubt::NoSign("a member of a JSON object"))
        } else {
            None
        }
    }
}

impl Refused {
    #[must_use]
    pub const fn is_by_status_alone(&self) -> bool {
        self.location.is_none() && self.members.is_empty()
    }

    fn holds(&self, answer: Answer<'_>, json: Option<&Value>) -> bool {
        let listed = self.statuses.iter().any(|range| range.contains(answer.status));
        let signed = self.location.as_ref().is_some_and(|pattern| answer.has_place(pattern)) || self.members.any(json);
        if self.is_by_status_alone() { listed } else { signed && (listed || self.statuses.is_empty()) }
    }
}

impl Members {
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.present.is_empty() && self.equal.is_empty()
    }

    fn found<'m>(&'m self, json: Option<&'m Value>) -> impl Iterator<Item = bool> + 'm {
        let at = move |pointer: &Pointer| json.and_then(|json| json.pointer(&pointer.0));
        let present = self.present.iter().map(move |pointer| at(pointer).is_some_and(says_something));
        present.chain(self.equal.iter().map(move |(pointer, value)| at(pointer) == Some(value)))
    }

    fn all(&self, json: Option<&Value>) -> bool {
        self.found(json).all(|found| found)
    }

    fn any(&self, json: Option<&Value>) -> bool {
        self.found(json).any(|found| found)
    }
}

impl Answer<'_> {
    /// The body as one JSON object without doubled members. A body in a coding that was not asked for says nothing.
    fn json(&self) -> Option<Value> {
        if self.is_coded() { None } else { strict_json::object(self.body).ok().map(Value::Object) }
    }

    fn is_coded(&self) -> bool {
        let mut codings = self.headers.get_all(header::CONTENT_ENCODING).iter();
        codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    }

    fn has_place(&self, pattern: &LocationPattern) -> bool {
        let places = self.headers.get_all(header::LOCATION);
        places.iter().any(|place| place.to_str().is_ok_and(|place| pattern.matches(place)))
    }
}

/// Answers that say nothing about the password.
fn trouble(answer: Answer<'_>) -> Option<Verdict> {
    match answer.status {
        StatusCode::TOO_MANY_REQUESTS => Some(Verdict::Limited(retry_after(answer.headers))),
        status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
            Some(Verdict::Unavailable(status))
        }
        _ => None,
    }
}

/// In seconds (RFC 9110 §10.2.3); a date is not read.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(said) => *said,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// Zero is what many languages make of "nobody".
fn of_value(value: Option<&Value>) -> Result<Subject, Doubt> {
    match value {
        None | Some(Value::Null) => Err(Doubt::NoSubject),
        Some(Value::String(text)) => of_text(text),
        Some(Value::Number(number)) => match number.as_u64() {
            Some(number) if number > 0 => of_text(&number.to_string()),
            _ => Err(Doubt::BadSubject),
        },
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => Err(Doubt::BadSubject),
    }
}

/// With space around it, or with what is not seen at all, it would be somebody else, who looks the same.
fn of_text(text: &str) -> Result<Subject, Doubt> {
    let seen = text.trim_matches(|char: char| char.is_whitespace() || is_unseen(char));
    if seen.is_empty() {
        return Err(Doubt::NoSubject);
    }
    Subject::parse(text).filter(|_| seen == text).ok_or(Doubt::BadSubject)
}

/// Marks that join, part or turn what stands beside them (Unicode's `Cf`, the ones without a shape), and fillers.
const fn is_unseen(char: char) -> bool {
    matches!(
        char,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
    )
}

/// A claim as tokens have it: `roles` is a list of texts, `scope` a text with spaces between (RFC 9068 §2.2.3); any other is
/// as it came.
fn claim(name: &str, said: &Value) -> Option<Value> {
    if REGISTERED.contains(&name) {
        return None;
    }
    if !matches!(name, "roles" | "scope") {
        return Some(said.clone());
    }
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => number.as_u64().map(|number| number.to_string()),
        _ => None,
    };
    let words: Vec<String> = match said {
        Value::Array(items) => items.iter().map(text).collect::<Option<_>>()?,
        one => vec![text(one)?],
    };
    if words.iter().any(|word| word.chars().any(char::is_control)) {
        return None;
    }
    Some(if name == "roles" { Value::from(words) } else { Value::from(words.join(" ")) })
}
