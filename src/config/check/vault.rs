//! `[vault]` and `[vault.lost]`.

use super::answer_sign::{place, statuses};
use crate::config::checked::{Login, Vault};
use crate::config::document::{Document, Entry, Section, Setting};
use crate::domain::answer_sign::{AnswerSign, StatusRange};
use crate::domain::cookie::SessionCookies;
use crate::domain::vault::CookieNames;

/// Off: none is kept. `own`: those of cookie mode.
pub(super) fn vault(
    document: &Document<'_>,
    login: Option<&Login>,
    own: Option<&SessionCookies>,
) -> Option<Setting<Vault>> {
    let (section, lost_section) = (document.section("vault"), document.section("vault.lost"));
    let names = section.list("cookies", |entry| name(entry, own));
    let names = names.filter(|names| is_each_once(&section, names));
    let size = section.size("size");
    let lost = lost(&lost_section);
    let (names, lost) = (names?, lost?);
    if names.is_empty() {
        if lost != Setting::Off {
            lost_section.refuse(
                "status",
                "without effect: vault.cookies names none",
                "name the cookie that the API keeps its session in, or remove the section",
            );
            return None;
        }
        return Some(Setting::Off);
    }
    let Login::Upstream(login) = login? else {
        section.refuse(
            "cookies",
            "without effect: login.provider is not \"upstream\", so nobody gets a cookie from the API",
            "let the API decide who logs in, or remove the section",
        );
        return None;
    };
    let place = |sign: &AnswerSign| sign.location.clone();
    if let Setting::On(lost) = &lost
        && place(lost).is_some_and(|lost| Some(lost) == place(&login.rules.success.sign))
    {
        let hint = "name the page that strangers are sent to: \"/login.php*\"";
        lost_section.refuse("location", "login.upstream.success.location says that this is a success", hint);
        return None;
    }
    let (cookies, upstream) = (CookieNames::new(names)?, login.upstream.clone());
    Some(Setting::On(Vault { cookies, size: size?, upstream, lost: lost.on() }))
}

/// The default is the most that a token in a cookie has room for.
pub(super) fn warn_of_large_cookies(document: &Document<'_>, vault: &Vault) {
    let Some(fits) = document.section("vault").by_default().size::<usize>("size") else { return };
    if vault.size > fits {
        document.warn(format!(
            "vault.size: what is beyond {fits}B does not fit into a cookie, and the login is answered with 500"
        ));
    }
}

fn name(entry: &Entry<'_>, own: Option<&SessionCookies>) -> Option<String> {
    let name = entry.text()?;
    if CookieNames::new(vec![name.clone()]).is_none() {
        entry.refuse("not the name of a cookie", "write it as the API does, such as PHPSESSID");
        return None;
    }
    if own.is_some_and(|own| own.is_set_by(format!("{name}=").as_bytes())) {
        entry.refuse(
            "sidegate's own in cookie mode: all that begins with __Host-, the realm and a dash",
            "name the cookie that the API keeps its session in, or choose another realm",
        );
        return None;
    }
    Some(name)
}

fn is_each_once(section: &Section<'_>, names: &[String]) -> bool {
    let Some(entries) = section.entry("cookies").and_then(|entry| entry.items()) else { return false };
    let mut once = true;
    for (index, entry) in entries.iter().enumerate() {
        if let Some(first) = names[..index].iter().position(|name| *name == names[index]) {
            entry.refuse(format!("the same as vault.cookies[{first}]"), "keep one of the two");
            once = false;
        }
    }
    once
}

/// Off: no answer is looked at.
fn lost(section: &Section<'_>) -> Option<Setting<AnswerSign>> {
    let location = section.entry("location").and_then(|entry| place(&entry));
    let entry = section.entry("status")?;
    if entry.items()?.is_empty() {
        let location = location?.on();
        if location.is_some() {
            section.refuse("location", "without effect: vault.lost.status names none", "write the status, too: [302]");
        }
        return location.is_none().then_some(Setting::Off);
    }
    let (statuses, location) = (statuses(&entry)?, location?.on());
    if location.is_none() && statuses.iter().any(|range| (200..400).any(|code| contains(*range, code))) {
        section.refuse(
            "status",
            "a status alone does not tell a stranger's answer from others",
            "write location = \"/login.php*\", or a status that only strangers get, such as 401",
        );
        return None;
    }
    if statuses.iter().any(|range| [502, 503, 504].iter().any(|code| contains(*range, *code))) {
        section.refuse(
            "status",
            "also the answer of an API that is down or busy: that would log everybody out",
            "write a status that only strangers get, such as 401",
        );
        return None;
    }
    Some(Setting::On(AnswerSign { statuses, location, location_not: None }))
}

fn contains(range: StatusRange, code: u16) -> bool {
    http::StatusCode::from_u16(code).is_ok_and(|status| range.contains(status))
}
