//! A browser as far as cookies go: keeps what it is told to, sends all of it, and says where a request comes from.

use std::net::SocketAddr;

use serde_json::json;

use super::{ACCESS, REFRESH};
use crate::support::client::sid;
use crate::support::deployment::{PASSWORD, USER};
use crate::support::raw::{self, RawRequest, RawResponse, request};

/// One `Set-Cookie` line, read as a browser reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SetCookie {
    pub(super) name: String,
    pub(super) value: String,
    /// In the order they came, as they were spelled.
    pub(super) attributes: Vec<String>,
}

/// What it holds of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Browser {
    pub(super) access: Option<String>,
    pub(super) refresh: Option<String>,
}

impl SetCookie {
    /// Every line of an answer.
    pub(super) fn all(answer: &RawResponse) -> Vec<Self> {
        answer.values("set-cookie").into_iter().map(Self::read).collect()
    }

    fn read(line: &str) -> Self {
        let mut parts = line.split("; ");
        let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("a cookie has a name");
        Self { name: name.to_owned(), value: value.to_owned(), attributes: parts.map(str::to_owned).collect() }
    }

    pub(super) fn max_age(&self) -> u64 {
        let age = self.attributes.iter().find_map(|attribute| attribute.strip_prefix("Max-Age="));
        age.and_then(|age| age.parse().ok()).expect("it says how long it is kept")
    }
}

impl Browser {
    /// Logs in the user of every deployment, from a page of ours.
    pub(super) async fn logged_in(gate: SocketAddr) -> Self {
        let mut browser = Self::default();
        let answer = browser.send(gate, &from_our_page(login())).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(browser.access.is_some() && browser.refresh.is_some(), "{}", answer.head);
        browser
    }

    /// A request with everything it holds.
    pub(super) fn with_cookies(&self, request: RawRequest) -> RawRequest {
        let held = [(ACCESS, &self.access), (REFRESH, &self.refresh)];
        let held: Vec<String> =
            held.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?))).collect();
        if held.is_empty() { request } else { request.header("Cookie", &format!("theme=dark; {}", held.join("; "))) }
    }

    /// Sends a request with its cookies, and keeps what the answer brings.
    pub(super) async fn send(&mut self, gate: SocketAddr, request: &RawRequest) -> RawResponse {
        let answer = raw::exchange(gate, self.with_cookies(request.clone()).bytes()).await;
        self.keep(&answer);
        answer
    }

    /// Follows a link within the site.
    pub(super) async fn get(&mut self, gate: SocketAddr, target: &str) -> RawResponse {
        self.send(gate, &from_our_page(request("GET", target))).await
    }

    pub(super) fn keep(&mut self, answer: &RawResponse) {
        for cookie in SetCookie::all(answer) {
            let place = match cookie.name.as_str() {
                ACCESS => &mut self.access,
                REFRESH => &mut self.refresh,
                _ => continue,
            };
            *place = (cookie.max_age() > 0).then_some(cookie.value);
        }
    }

    /// When the access token has ended, the browser has dropped its cookie by itself.
    pub(super) fn forget_access(&mut self) {
        self.access = None;
    }

    pub(super) fn session(&self) -> String {
        sid(self.access.as_deref().expect("it is logged in"))
    }
}

/// The refresh tokens that answers set.
pub(super) fn refresh_tokens(answers: &[RawResponse]) -> Vec<String> {
    let cookies = answers.iter().flat_map(SetCookie::all).filter(|cookie| cookie.name == REFRESH);
    cookies.map(|cookie| cookie.value).collect()
}

pub(super) fn login() -> RawRequest {
    request("POST", "/login").json(&json!({ "username": USER, "password": PASSWORD }))
}

/// What a browser adds of its own where a page of this very origin sends a request.
pub(super) fn from_our_page(request: RawRequest) -> RawRequest {
    request.header("Sec-Fetch-Site", "same-origin")
}
