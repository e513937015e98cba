//! What `[login.upstream]` and the sections below it say, each value by itself.

use std::borrow::Cow;

use http::{HeaderName, Method};
use serde_json::Number;
use toml::de::DeValue;
use url::Url;

use super::super::answer_sign::{answer_sign, place, statuses};
use super::super::{DEFAULT_UPSTREAM, route};
use crate::config::checked::LoginAnswer;
use crate::config::document::{Document, Entry, Section};
use crate::domain::access_token::REGISTERED;
use crate::domain::target::Target;
use crate::domain::upstream_login::{Blank, Members, Pointer, Refused, Success, Template, TemplateValue};
use crate::domain::vault::CookieNames;

/// What the sections say, each value by itself.
pub(in crate::config::check) struct Written {
    pub(super) upstream: String,
    pub(super) page: Option<Target>,
    pub(super) request: Option<(Method, Target)>,
    pub(super) username: String,
    pub(super) password: String,
    pub(super) form: Vec<(String, Template)>,
    pub(super) json: Vec<(String, TemplateValue)>,
    pub(super) success: Success,
    pub(super) refused: Refused,
    pub(super) subject: Subject,
    pub(super) claims: Vec<(String, Pointer)>,
    pub(super) answer: LoginAnswer,
}

pub(super) struct Subject {
    pub(super) json: Option<Pointer>,
    pub(super) header: Option<HeaderName>,
    pub(super) form: String,
    pub(super) probe: Option<Target>,
}

/// Reads the sections, whoever logs people in.
pub(in crate::config::check) fn read(document: &Document<'_>) -> Option<Written> {
    let section = document.section("login.upstream");
    let upstream = upstream(document, &section);
    let page = section.entry("page").and_then(|entry| request(&entry, &[Method::GET]));
    let request =
        section.entry("request").and_then(|entry| request(&entry, &[Method::POST, Method::PUT, Method::PATCH]));
    let username = section.entry("username").and_then(|entry| field(&entry));
    let password = section.entry("password").and_then(|entry| field(&entry));
    let form = section.entry("form").and_then(|form| members(&form, template));
    let json = section.entry("json").and_then(|json| members(&json, template_value));
    let answer = section.choice("answer", |word| match word {
        "tokens" => Some(LoginAnswer::Tokens),
        "upstream" => Some(LoginAnswer::Upstream),
        _ => None,
    });
    let success = success(&document.section("login.upstream.success"));
    let refused = refused(&document.section("login.upstream.refused"));
    let subject = subject(&document.section("login.upstream.subject"));
    let claims = claims(&document.section("login.upstream.claims"));
    Some(Written {
        upstream: upstream?,
        page: page?.map(|(_, target)| target),
        request: request?,
        username: username?,
        password: password?,
        form: form?,
        json: json?,
        success: success?,
        refused: refused?,
        subject: subject?,
        claims: claims?,
        answer: answer?,
    })
}

fn upstream(document: &Document<'_>, section: &Section<'_>) -> Option<String> {
    let entry = section.entry("upstream")?;
    let name = entry.text()?;
    let known = document.named_sections("upstream", DEFAULT_UPSTREAM);
    // The default is there, or its absence is noted.
    if section.has("upstream") && !known.iter().any(|(known, _)| *known == name) {
        entry.refuse("no upstream of this name", "write the name of an [upstream.NAME] of this file");
    }
    Some(name)
}

/// `None` inside: empty.
#[expect(clippy::option_option, reason = "the outer one: a problem was noted")]
fn request(entry: &Entry<'_>, methods: &[Method]) -> Option<Option<(Method, Target)>> {
    let text = entry.text()?;
    if text.is_empty() {
        return Some(None);
    }
    let hint = format!("write a method and a path, such as {} /login.php", methods.first()?);
    let Some((method, target)) = text.split_once(' ') else {
        entry.refuse("not a request", hint);
        return None;
    };
    let Some(method) = methods.iter().find(|known| known.as_str() == method) else {
        let known: Vec<&str> = methods.iter().map(Method::as_str).collect();
        entry.refuse(format!("cannot be asked with {method}"), format!("write {}", known.join(", ")));
        return None;
    };
    match Target::parse(target.as_bytes()) {
        Err(fault) => {
            entry.refuse(fault.to_string(), hint);
            None
        }
        Ok(parsed) if as_sent(&parsed.origin_form()).as_deref() != Some(target) => {
            let better = as_sent(&parsed.origin_form()).unwrap_or_default();
            entry.refuse("the path has more than one spelling", format!("write {method} {better}"));
            None
        }
        Ok(_) if target.contains(['{', '}']) => {
            entry
                .refuse("the request has a brace", "nothing is filled in here: write %7B and %7D, or use form or json");
            None
        }
        Ok(parsed) => Some(Some((method.clone(), parsed))),
    }
}

/// As it goes out: what is asked is what is written.
fn as_sent(target: &str) -> Option<String> {
    let url = Url::parse(&format!("http://upstream{target}")).ok()?;
    Some(url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path())))
}

fn field(entry: &Entry<'_>) -> Option<String> {
    let text = entry.word()?;
    let is_one =
        Template::parse(&format!("{{{text}}}")).is_ok_and(|template| template.blanks() == [Blank::Submitted(&text)]);
    if !is_one {
        entry.refuse("not a field's name", "write letters, digits, `_`, `-` and `.`");
    }
    is_one.then_some(text)
}

fn template(entry: &Entry<'_>) -> Option<Template> {
    let text = entry.text()?;
    match Template::parse(&text) {
        Ok(template) => Some(template),
        Err(fault) => {
            entry.refuse(fault.to_string(), "write {field}, {page:field}, or {{ and }} for braces");
            None
        }
    }
}

fn template_value(entry: &Entry<'_>) -> Option<TemplateValue> {
    Some(match entry.value() {
        DeValue::String(_) => TemplateValue::Text(template(entry)?),
        DeValue::Boolean(flag) => TemplateValue::Flag(*flag),
        DeValue::Integer(digits) => {
            let Ok(number) = i64::from_str_radix(digits.as_str(), digits.radix()) else {
                entry.refuse("out of range", "write a number of at most 64 bits");
                return None;
            };
            TemplateValue::Number(Number::from(number))
        }
        DeValue::Array(_) => {
            let items: Vec<Option<TemplateValue>> = entry.items()?.iter().map(template_value).collect();
            TemplateValue::List(items.into_iter().collect::<Option<_>>()?)
        }
        DeValue::Table(_) => TemplateValue::Object(members(entry, template_value)?),
        _ => {
            entry.refuse("cannot be sent as JSON", "write a text, a whole number, true, false, a list or a table");
            return None;
        }
    })
}

fn members<T>(entry: &Entry<'_>, read: impl Fn(&Entry<'_>) -> Option<T>) -> Option<Vec<(String, T)>> {
    let members: Vec<Option<(String, T)>> =
        entry.members()?.into_iter().map(|(name, member)| Some((name, read(&member)?))).collect();
    members.into_iter().collect()
}

fn success(section: &Section<'_>) -> Option<Success> {
    let sign = answer_sign(section);
    let sets_cookie = section.entry("sets_cookie").and_then(|entry| cookie(&entry));
    let members = said(section);
    Some(Success { sign: sign?, sets_cookie: sets_cookie?, members: members? })
}

fn refused(section: &Section<'_>) -> Option<Refused> {
    let statuses = section.entry("status").and_then(|entry| {
        let is_empty = matches!(entry.value(), DeValue::Array(items) if items.is_empty());
        if is_empty { Some(Vec::new()) } else { statuses(&entry) }
    });
    let location = section.entry("location").and_then(|entry| place(&entry));
    let members = said(section);
    Some(Refused { statuses: statuses?, location: location?.on(), members: members? })
}

fn said(section: &Section<'_>) -> Option<Members> {
    let present = section.list("member", pointer);
    let equal = section.entry("equals").and_then(|entry| {
        for (name, member) in entry.members()? {
            if Pointer::parse(&name).is_none() {
                member.refuse(NO_POINTER, POINTER_HINT);
                return None;
            }
        }
        let values = route::required_claims(&entry)?;
        values.into_iter().map(|(name, value)| Some((Pointer::parse(&name)?, value))).collect()
    });
    Some(Members { present: present?, equal: equal? })
}

/// `None` inside: empty.
#[expect(clippy::option_option, reason = "the outer one: a problem was noted")]
fn cookie(entry: &Entry<'_>) -> Option<Option<CookieNames>> {
    let text = entry.text()?;
    if text.is_empty() {
        return Some(None);
    }
    let names = CookieNames::new(vec![text]);
    if names.is_none() {
        entry.refuse("not a cookie's name", "write the name before the `=` of the Set-Cookie line");
    }
    names.map(Some)
}

fn pointer(entry: &Entry<'_>) -> Option<Pointer> {
    let pointer = Pointer::parse(&entry.text()?);
    if pointer.is_none() {
        entry.refuse(NO_POINTER, POINTER_HINT);
    }
    pointer
}

fn subject(section: &Section<'_>) -> Option<Subject> {
    let json =
        section.entry("json").and_then(|entry| if is_empty(&entry) { Some(None) } else { pointer(&entry).map(Some) });
    let header = section.entry("header").and_then(|entry| {
        let text = entry.text()?;
        if text.is_empty() {
            return Some(None);
        }
        let name = HeaderName::from_bytes(text.as_bytes()).ok();
        if name.is_none() {
            entry.refuse("not a header's name", "write the name of a header of the answer, such as X-User");
        }
        name.map(Some)
    });
    let form =
        section.entry("form").and_then(|entry| if is_empty(&entry) { Some(String::new()) } else { field(&entry) });
    let probe = section.entry("probe").and_then(|entry| request(&entry, &[Method::GET]));
    Some(Subject { json: json?, header: header?, form: form?, probe: probe?.map(|(_, target)| target) })
}

fn claims(section: &Section<'_>) -> Option<Vec<(String, Pointer)>> {
    let read = |(name, entry): (Cow<'_, str>, Entry<'_>)| {
        let pointer = pointer(&entry);
        if REGISTERED.contains(&name.as_ref()) || name.is_empty() {
            entry.refuse("sidegate sets this claim itself", "choose another name");
            return None;
        }
        Some((name.into_owned(), pointer?))
    };
    let claims: Vec<Option<(String, Pointer)>> = section.entries().into_iter().map(read).collect();
    claims.into_iter().collect()
}

pub(super) fn is_empty(entry: &Entry<'_>) -> bool {
    matches!(entry.value(), DeValue::String(text) if text.is_empty())
}

const NO_POINTER: &str = "not a JSON pointer";
const POINTER_HINT: &str = "write the way to it, each step after a slash: /user/id, /roles/0";
