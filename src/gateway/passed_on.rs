//! The application's own answer to a login, passed on to a browser with our cookies added.
//!
//! It goes through what every answer of the application goes through on its way; nobody may keep it.

use http::{StatusCode, header};
use pingora::http::ResponseHeader;

use crate::authority::upstream_login::UpstreamAnswer;
use crate::authority::{Authority, TokenPair};

use super::answer::{self, Answer};
use super::cookies::{Cookies, SetCookies};
use super::forward;

/// `pair`: whom the application let in, if it did.
pub(super) fn passed_on(
    theirs: UpstreamAnswer,
    pair: Option<&TokenPair>,
    cookies: &Cookies,
    authority: &Authority,
) -> Answer {
    let written = try_passed_on(theirs, pair, cookies, authority);
    written.unwrap_or_else(|| answer::problem(500, "the application's answer could not be passed on"))
}

fn try_passed_on(
    theirs: UpstreamAnswer,
    pair: Option<&TokenPair>,
    cookies: &Cookies,
    authority: &Authority,
) -> Option<Answer> {
    let ours = match pair {
        Some(pair) => cookies.holding(pair, authority)?,
        None => SetCookies::default(),
    };
    let mut head = ResponseHeader::build(theirs.status, Some(theirs.headers.len())).ok()?;
    for (name, value) in &theirs.headers {
        head.append_header(name, value).ok()?;
    }
    forward::write_back(&mut head, false).ok()?;
    cookies.drop_theirs(&mut head).ok()?;
    ours.write_on(&mut head).ok()?;
    let mut answer = Answer::new(theirs.body);
    *answer.status_mut() = head.status;
    *answer.headers_mut() = head.headers.clone();
    // How the body is framed is said when it is written.
    answer.headers_mut().remove(header::CONTENT_LENGTH);
    answer.headers_mut().remove(header::TRANSFER_ENCODING);
    (answer.status() != StatusCode::SWITCHING_PROTOCOLS).then_some(answer)
}
