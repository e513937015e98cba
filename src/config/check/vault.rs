//! `[vault]` and `[vault.lost]`.

use super::answer_sign::{place, statuses};
use crate::config::checked::{Login, Vault};
use crate::config::document::{Document, Entry, Section, Setting};
use crate::domain::answer_sign::{AnswerSign, StatusRange};
use crate::domain::vault::CookieNames;

/// The most that a token in a cookie has room for; also the default.
pub(super) const FITS_A_COOKIE: usize = 1536;

/// Off: none is kept.
pub(super) fn vault(document: &Document<'_>, login: Option<&Login>) -> Option<Setting<Vault>> {
    let (section, lost_section) = (document.section("vault"), document.section("vault.lost"));
    let names = section.list("cookies", name);
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

fn name(entry: &Entry<'_>) -> Option<String> {
    let name = entry.text()?;
    if CookieNames::new(vec![name.clone()]).is_none() {
        entry.refuse("not the name of a cookie", "write it as the API does, such as PHPSESSID");
        return None;
    }
    if name.starts_with("__Host-") && (name.ends_with("-access") || name.ends_with("-refresh")) {
        entry.refuse("the name of one of sidegate's own cookies", "name the cookie that the API keeps its session in");
        return None;
    }
    Some(name)
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
    Some(Setting::On(AnswerSign { statuses, location, location_not: None }))
}

fn contains(range: StatusRange, code: u16) -> bool {
    http::StatusCode::from_u16(code).is_ok_and(|status| range.contains(status))
}
