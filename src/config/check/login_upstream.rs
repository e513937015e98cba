//! `[login.upstream]`: how the application's own login is asked, and what its answer means.

use url::Url;

use super::token;
use crate::config::checked::{Endpoints, LoginAnswer, UpstreamLogin};
use crate::config::document::Document;
use crate::domain::answer_sign::StatusRange;
use crate::domain::upstream_login::{Blank, BodyTemplate, LoginRules, Refused, SubjectSource, Success, Template};

mod values;

use self::values::{Subject, is_empty};
pub(super) use self::values::{Written, read};

/// For another provider: what would have no effect.
pub(super) fn refuse_unused(document: &Document<'_>) {
    let section = document.section("login.upstream");
    let asks = section.entry("request").is_some_and(|entry| !is_empty(&entry));
    if section.has("request") && asks {
        section.refuse(
            "request",
            "without effect: login.provider is not \"upstream\"",
            "remove the section, or write provider = \"upstream\"",
        );
    }
}

/// The rules between the values.
pub(super) fn checked(document: &Document<'_>, written: Written) -> Option<UpstreamLogin> {
    let section = document.section("login.upstream");
    let Some((method, target)) = written.request else {
        section.refuse("request", "nothing to ask", "write the application's login request, such as POST /login.php");
        return None;
    };
    let Written { username, password, form, json, success, refused, subject, claims, answer, .. } = written;
    if username == password {
        section.refuse(
            "password",
            "the same field as login.upstream.username",
            "name the field that holds the password",
        );
        return None;
    }
    let body = match (form.is_empty(), json.is_empty()) {
        (false, false) => {
            section.refuse("json", "login.upstream.form says what is sent, too", "keep one of the two");
            return None;
        }
        (true, false) => BodyTemplate::Json(json),
        (false, true) => BodyTemplate::Form(form),
        (true, true) => {
            BodyTemplate::Form([&username, &password].map(|name| (name.clone(), Template::of_field(name))).to_vec())
        }
    };
    let key = if matches!(body, BodyTemplate::Json(_)) { "json" } else { "form" };
    let mut complete = true;
    for needed in [&username, &password] {
        if !body.blanks().contains(&Blank::Submitted(needed)) {
            // Whoever logs in could be anybody.
            section.refuse(
                key,
                format!("the application would not get {{{needed}}}"),
                format!("write \"{{{needed}}}\" where it belongs"),
            );
            complete = false;
        }
    }
    if let (None, [field, ..]) = (&written.page, &body.page_fields()[..]) {
        section.refuse(
            key,
            format!("no page is asked for {{page:{field}}}"),
            "write page = \"GET /login\", or where the application's form is",
        );
        complete = false;
    }
    complete &= has_positive_sign(document, &success);
    complete &= can_succeed(document, &success, &refused);
    complete &= can_say_json(document, &success, &subject, !claims.is_empty());
    let source = source(document, &subject, &username, !claims.is_empty());
    let public = Url::parse(&token::public_url(document)?).ok()?;
    let host = public.host_str()?;
    let public_host = public.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let rules = LoginRules { success, refused, subject: source?, claims };
    complete.then_some(UpstreamLogin {
        upstream: written.upstream,
        page: written.page,
        method,
        target,
        username,
        password,
        body,
        rules,
        probe: subject.probe,
        answer,
        public_scheme: if public.scheme() == "https" { "https" } else { "http" },
        public_host,
    })
}

/// The application's answer says nothing of tokens: they can only travel in cookies.
pub(super) fn fits_cookies(document: &Document<'_>, login: &UpstreamLogin, cookies_travel: bool) {
    if login.answer == LoginAnswer::Upstream && !cookies_travel {
        let hint = "write cookie.mode = true, or answer = \"tokens\"";
        document.section("login.upstream").refuse("answer", "brings no tokens: cookie.mode is false", hint);
    }
}

/// What hides the login from everybody.
pub(super) fn warn_of_shadowed_login(document: &Document<'_>, login: &UpstreamLogin, endpoints: &Endpoints) {
    let Endpoints { login: _, login_has_page: _, refresh, logout, logout_all, password, sessions, me } = endpoints;
    let path = login.target.path();
    let others = [refresh, logout, logout_all, password, sessions, me];
    if others.iter().any(|other| other.as_deref() == Some(path)) {
        document.warn(format!("login.upstream.request: an endpoint of sidegate has the path {path}, and is no login"));
    }
}

fn source(document: &Document<'_>, subject: &Subject, username: &str, has_claims: bool) -> Option<SubjectSource> {
    let section = document.section("login.upstream.subject");
    let Subject { json, header, form, probe } = subject;
    let one = match (json, header, form.is_empty()) {
        (Some(pointer), None, true) => SubjectSource::Json(pointer.clone()),
        (None, Some(name), true) => SubjectSource::Header(name.clone()),
        // Any other field is one that the client may fill in as it likes.
        (None, None, false) if form != username => {
            section.refuse("form", "not the field that holds the name", format!("write {username:?}"));
            return None;
        }
        (None, None, false) if probe.is_some() && !has_claims => {
            section.refuse(
                "probe",
                "its answer would not be read: login.upstream.subject.form says who it is",
                "write json or header instead of form, or name claims below [login.upstream.claims]",
            );
            return None;
        }
        (None, None, false) => SubjectSource::Submitted,
        (None, None, true) => {
            let key = if probe.is_some() { "probe" } else { "json" };
            section.refuse(
                key,
                "nothing says who was let in",
                "write json, header or form below [login.upstream.subject]",
            );
            return None;
        }
        _ => {
            let key = if form.is_empty() { "header" } else { "form" };
            section.refuse(key, "more than one source of the subject", "keep one of json, header and form");
            return None;
        }
    };
    Some(one)
}

/// Applications answer a wrong password with any status, and set cookies for strangers, too.
fn has_positive_sign(document: &Document<'_>, success: &Success) -> bool {
    let section = document.section("login.upstream.success");
    let signed = success.sign.location.is_some() || !success.members.is_empty();
    if !signed && success.sets_cookie.is_none() {
        section.refuse(
            "status",
            "a status alone does not tell a login from a page that says it failed",
            "add one of location, sets_cookie, member and equals",
        );
        return false;
    }
    if !signed && success.sign.location_not.is_none() {
        document.warn(
            "login.upstream.success.sets_cookie: many applications set it for strangers, too; add location or location_not",
        );
    }
    true
}

/// What refuses is asked first.
fn can_succeed(document: &Document<'_>, success: &Success, refused: &Refused) -> bool {
    let section = document.section("login.upstream.success");
    if let (Some(place), Some(not)) = (&success.sign.location, &success.sign.location_not)
        && not.covers(place)
    {
        section.refuse(
            "location",
            "nobody could log in: login.upstream.success.location_not names this place, too",
            "keep one of the two",
        );
        return false;
    }
    let all_refused = |range: &StatusRange| refused.statuses.iter().any(|refused| refused.covers(*range));
    if refused.is_by_status_alone() && success.sign.statuses.iter().all(all_refused) {
        document.section("login.upstream.refused").refuse(
            "status",
            "nobody could log in: login.upstream.success.status names the same",
            "add location, member or equals below [login.upstream.refused], or another status",
        );
        return false;
    }
    true
}

/// A redirect has a body that nobody reads.
fn can_say_json(document: &Document<'_>, success: &Success, subject: &Subject, has_claims: bool) -> bool {
    let ok = |range: &StatusRange| {
        (200..300).filter_map(|code| http::StatusCode::from_u16(code).ok()).any(|code| range.contains(code))
    };
    if success.sign.statuses.iter().any(ok) {
        return true;
    }
    let hint = "a redirect says no JSON: ask a probe below [login.upstream.subject]";
    let refuse = |path: &'static str, key: &str| {
        document.section(path).refuse(key, "no status of success comes with a body", hint);
        false
    };
    if !success.members.present.is_empty() {
        return refuse("login.upstream.success", "member");
    }
    if !success.members.equal.is_empty() {
        return refuse("login.upstream.success", "equals");
    }
    if subject.probe.is_some() {
        return true;
    }
    if subject.json.is_some() {
        return refuse("login.upstream.subject", "json");
    }
    if has_claims {
        document.section("login.upstream.claims").refuse_all("no status of success comes with a body", hint);
    }
    !has_claims
}
