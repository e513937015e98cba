//! What one request carries from phase to phase.

use std::sync::Arc;

use http::Method;

use crate::clock::Stopwatch;
use crate::domain::decision::Permit;
use crate::domain::observed::Watched;
use crate::domain::target::Target;
use crate::domain::vault::Vault;

use super::answer::Answer;
use super::cookies::SetCookies;
use super::tunnel::{LongAnswer, Tunnel};

/// Filled as the request goes; read at its end for the access line.
#[derive(Debug)]
pub struct RequestContext {
    pub started: Stopwatch,
    pub target: Option<Target>,
    /// The pattern of the route it was judged by, if one matched.
    pub route: Option<Arc<str>>,
    /// Without it nothing is forwarded.
    pub permit: Option<Permit>,
    /// For whatever answer follows.
    pub(super) set_cookies: SetCookies,
    /// Its answer may end sessions.
    pub watched: Option<Watched>,
    /// The word of what its answer has ended.
    pub observed: Option<&'static str>,
    /// The upstream's cookies it was sent with.
    pub(super) vault: Option<Arc<Vault>>,
    /// The upstream is asked again, with cookies that are newer.
    pub(super) is_second_try: bool,
    /// What the client gets instead of the upstream's answer.
    pub(super) instead: Option<Answer>,
    /// Of the connection it came on.
    pub(super) tunnel: Tunnel,
    /// `permit`, `endpoint` or `refuse`.
    pub decision: &'static str,
    /// The word of the endpoint, of the refusal, or of the upstream's failure.
    pub reason: &'static str,
    /// Time until the upstream's first byte, in whole milliseconds.
    pub upstream_millis: Option<u64>,
}

impl RequestContext {
    #[must_use]
    pub fn new() -> Self {
        Self {
            started: Stopwatch::start(),
            target: None,
            route: None,
            permit: None,
            set_cookies: SetCookies::default(),
            watched: None,
            observed: None,
            vault: None,
            is_second_try: false,
            instead: None,
            tunnel: Tunnel::default(),
            decision: "refuse",
            reason: "",
            upstream_millis: None,
        }
    }

    /// Its answer may go on for long: it is to end with the session, if it is anybody's.
    pub(super) fn open_tunnel(&self, method: &Method) {
        let identity = self.permit.as_ref().and_then(Permit::identity);
        if let (Some(identity), Some(target)) = (identity, &self.target) {
            self.tunnel.open(LongAnswer {
                identity: Arc::clone(identity),
                method: method.clone(),
                path: target.loggable_path().into_owned(),
                route: self.route.clone(),
                started: self.started,
            });
        }
    }
}

impl Default for RequestContext {
    fn default() -> Self {
        Self::new()
    }
}
