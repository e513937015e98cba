//! What answers of the application end: its own logout, its own change of a password, a user it has deleted.
//!
//! The application does not know our sessions, and its answer is the only thing it says. So the operator names requests, and
//! the signs of an answer that says "done". Who asked must be known: an answer to nobody ends nothing.

use std::sync::Arc;

use http::Method;

use super::answer_sign::AnswerSign;
use super::identity::Identity;
use super::route::{MethodName, RoutePath};
use super::session::{SessionId, Subject};
use super::target::Target;

/// One `[[on_response]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub requests: Vec<ObservedRequest>,
    pub sign: AnswerSign,
    pub end: End,
}

/// `POST /account/password`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedRequest {
    pub method: MethodName,
    pub path: RoutePath,
}

/// Which sessions an answer ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The one that asked.
    Session,
    /// Its subject's, but for the one that asked.
    OtherSessions,
    /// All of its subject's.
    Subject,
    /// All of the subject that this path parameter names.
    SubjectIn(String),
}

/// What is ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ends {
    Session(SessionId),
    /// All of the subject's but this one.
    Others(Subject, SessionId),
    Subject(Subject),
}

/// A request whose answer may end something.
#[derive(Clone, Debug)]
pub struct Watched {
    pub event: Arc<Event>,
    /// `None`: the path names nobody who could have a session.
    pub ends: Option<Ends>,
}

/// All of them. No request is watched by two.
#[derive(Clone, Debug, Default)]
pub struct Events(Vec<Arc<Event>>);

impl Events {
    #[must_use]
    pub fn new(events: Vec<Event>) -> Self {
        Self(events.into_iter().map(Arc::new).collect())
    }

    /// What the answer to this request of this identity may end.
    #[must_use]
    pub fn watch(&self, method: &Method, target: &Target, identity: &Identity) -> Option<Watched> {
        self.0.iter().find_map(|event| {
            let request = event.requests.iter().find(|request| request.is_for(method, target))?;
            let ends = match &event.end {
                End::Session => Some(Ends::Session(identity.session)),
                End::OtherSessions => Some(Ends::Others(identity.subject.clone(), identity.session)),
                End::Subject => Some(Ends::Subject(identity.subject.clone())),
                End::SubjectIn(parameter) => {
                    let value =
                        request.path.parameters(target).and_then(|found| found.get(parameter.as_str()).copied());
                    value.and_then(Subject::parse).map(Ends::Subject)
                }
            };
            Some(Watched { event: Arc::clone(event), ends })
        })
    }
}

impl ObservedRequest {
    /// `GET` includes `HEAD`, as in a rule.
    fn is_for(&self, method: &Method, target: &Target) -> bool {
        self.names(method.as_str()) && self.path.parameters(target).is_some()
    }

    /// Whether some request is both this and the other.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        (self.names(&other.method) || other.names(&self.method)) && self.path.overlaps(&other.path)
    }

    fn names(&self, method: &str) -> bool {
        self.method == method || (self.method == Method::GET.as_str() && method == Method::HEAD.as_str())
    }
}

impl End {
    /// A short word for logs and metric labels.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::OtherSessions => "other_sessions",
            Self::Subject | Self::SubjectIn(_) => "subject",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;
    use crate::domain::answer_sign::StatusRange;
    use crate::domain::keys::KeyId;
    use crate::domain::session::Epochs;
    use crate::domain::time::Timestamp;

    fn ann() -> Identity {
        Identity {
            subject: Subject::parse("ann").unwrap(),
            session: SessionId::from_bytes([1; 16]),
            client: String::new(),
            scopes: Vec::new(),
            roles: Vec::new(),
            epochs: Epochs::default(),
            key: KeyId::stored("key".into()),
            issued: Timestamp::default(),
            expires: Timestamp::default(),
            claims: serde_json::Map::new(),
            vault: None,
            headers: OnceLock::new(),
        }
    }

    fn request(method: &str, path: &str) -> ObservedRequest {
        ObservedRequest { method: method.into(), path: RoutePath::parse(path).unwrap() }
    }

    fn event(requests: &[(&str, &str)], end: End) -> Event {
        let sign =
            AnswerSign { statuses: vec![StatusRange::parse("2xx").unwrap()], location: None, location_not: None };
        Event { requests: requests.iter().map(|(method, path)| request(method, path)).collect(), sign, end }
    }

    fn watched(events: &Events, method: &Method, target: &str) -> Option<Watched> {
        events.watch(method, &Target::parse(target.as_bytes()).unwrap(), &ann())
    }

    fn ends(events: &Events, method: &Method, target: &str) -> Option<Ends> {
        watched(events, method, target).expect("it is watched").ends
    }

    #[test]
    fn each_end_is_for_whoever_asked_or_whom_the_path_names() {
        let ann = ann();
        let events = Events::new(vec![
            event(&[("GET", "/logout.php"), ("POST", "/logout.php")], End::Session),
            event(&[("POST", "/account/password")], End::OtherSessions),
            event(&[("POST", "/account/close")], End::Subject),
            event(
                &[("DELETE", "/users/{id}"), ("POST", "/groups/{group}/users/{id}/delete")],
                End::SubjectIn("id".into()),
            ),
        ]);
        let subject = |text| Some(Ends::Subject(Subject::parse(text).unwrap()));
        let session = Some(Ends::Session(ann.session));
        assert_eq!(ends(&events, &Method::GET, "/logout.php?x"), session);
        assert_eq!(ends(&events, &Method::HEAD, "/logout.php"), session);
        assert_eq!(ends(&events, &Method::POST, "/%6cogout.php"), session);
        assert!(watched(&events, &Method::PUT, "/logout.php").is_none());
        let others = Ends::Others(ann.subject.clone(), ann.session);
        assert_eq!(ends(&events, &Method::POST, "/account/password"), Some(others));
        assert_eq!(ends(&events, &Method::POST, "/account/close"), subject("ann"));
        assert_eq!(ends(&events, &Method::DELETE, "/users/bob"), subject("bob"));
        assert_eq!(ends(&events, &Method::DELETE, "/users/%62%20%C3%BC"), subject("b ü"));
        assert_eq!(ends(&events, &Method::POST, "/groups/ann/users/bob/delete"), subject("bob"));
        assert!(watched(&events, &Method::DELETE, "/users/bob/x").is_none());
        let nobody = format!("/users/{}", "x".repeat(300));
        assert_eq!(ends(&events, &Method::DELETE, &nobody), None, "watched, and nobody is named");
    }

    #[test]
    fn two_requests_overlap_where_one_request_is_both() {
        let overlap = |a: (&str, &str), b: (&str, &str)| {
            let (a, b) = (request(a.0, a.1), request(b.0, b.1));
            assert_eq!(a.overlaps(&b), b.overlaps(&a));
            a.overlaps(&b)
        };
        assert!(overlap(("POST", "/users/{id}"), ("POST", "/users/me")));
        assert!(overlap(("POST", "/users/*"), ("POST", "/{all}/7/x")));
        assert!(overlap(("POST", "/*"), ("POST", "/")));
        assert!(overlap(("GET", "/a"), ("HEAD", "/a")));
        assert!(!overlap(("POST", "/a"), ("PUT", "/a")));
        assert!(!overlap(("POST", "/a/{x}"), ("POST", "/b/{x}")));
        assert!(!overlap(("POST", "/a/{x}"), ("POST", "/a")));
        assert!(!overlap(("POST", "/a/b/*"), ("POST", "/a")));
    }
}
