//! `[cookie]`: tokens that travel in cookies.

use std::time::Duration;

use http::Method;
use url::{Host, Url};

use crate::config::checked::{AccessToken, CookieMode, Endpoints, Session};
use crate::config::document::{Document, Entry, Setting};
use crate::domain::cookie::SameSite;
use crate::domain::csrf::TrustedOrigins;
use crate::domain::login_page::{LoginPage, PLACE};
use crate::domain::route::{AuthMode, Match, RouteTable};
use crate::domain::target::Target;

/// Off: no cookies here.
pub(super) fn mode(
    document: &Document<'_>,
    public_url: Option<&str>,
    access_token: Option<&AccessToken>,
    session: Option<&Session>,
    late_window: Option<Duration>,
    slowest_answer: Option<Duration>,
) -> Option<Setting<CookieMode>> {
    let section = document.section("cookie");
    let on = section.flag("mode");
    let same_site = section.choice("same_site", |word| match word {
        "Lax" => Some(SameSite::Lax),
        "Strict" => Some(SameSite::Strict),
        _ => None,
    });
    let origins = section.list("origins", origin);
    let refresh_in_request = section.flag("refresh_in_request");
    let repeat_window = section.duration("repeat_window");
    let login_page = section.entry("unauthenticated_html").and_then(|page| login_page(&page));
    if !on? {
        let default_window = section.by_default().duration("repeat_window");
        let said = [
            ("same_site", same_site == Some(SameSite::Strict)),
            ("origins", origins.is_some_and(|origins| !origins.is_empty())),
            ("refresh_in_request", refresh_in_request == Some(false)),
            ("repeat_window", repeat_window.is_some() && repeat_window != default_window),
            ("unauthenticated_html", matches!(login_page, Some(Setting::On(_)))),
        ];
        for (name, _) in said.iter().filter(|(_, said)| *said) {
            section.refuse(name, "without effect: cookie.mode is false", "remove it, or write mode = true");
        }
        return Some(Setting::Off);
    }
    let repeat_window = match access_token {
        Some(token) if !section.has("repeat_window") => {
            Some(token.ttl.max(late_window?).max(slowest_answer?).min(session?.idle_ttl))
        }
        _ => repeat_window,
    };
    if section.has("repeat_window") && repeat_window.is_some_and(|window| Some(window) < late_window) {
        let hint =
            "until that is over a late token is told to try again: raise repeat_window or lower refresh.late_window";
        section.refuse("repeat_window", "shorter than refresh.late_window", hint);
    }
    if section.has("repeat_window") && session.is_some_and(|session| repeat_window > Some(session.idle_ttl)) {
        let hint = "a session that idles for so long is over: lower repeat_window or raise session.idle_ttl";
        section.refuse("repeat_window", "longer than session.idle_ttl", hint);
    }
    if refresh_in_request == Some(true) && repeat_window < slowest_answer {
        document.warn(
            "cookie.repeat_window: shorter than upstream.response_timeout: a page that takes longer than it ends the \
             session, if another is opened meanwhile",
        );
    }
    if refresh_in_request == Some(false) && matches!(login_page, Some(Setting::On(_))) {
        document.warn(
            "cookie.unauthenticated_html: with refresh_in_request = false nothing refreshes before a page is opened: \
             whoever follows a link after access_token.ttl is sent there",
        );
    }
    let public_url = Url::parse(public_url?).ok()?;
    if !is_private(&public_url) {
        document.warn(
            "cookie.mode: server.public_url is plain http, where browsers drop Secure cookies: nobody stays logged in",
        );
    }
    let mut trusted = vec![public_url.origin().ascii_serialization()];
    trusted.extend(origins?);
    Some(Setting::On(CookieMode {
        same_site: same_site?,
        origins: TrustedOrigins::new(trusted),
        refresh_in_request: refresh_in_request?,
        repeat_window: repeat_window?,
        login_page: login_page?.on(),
    }))
}

/// What the cookies need of other sections.
pub(super) fn fits(document: &Document<'_>, mode: &CookieMode, endpoints: &Endpoints, routes: &RouteTable) {
    let section = document.section("cookie");
    if !mode.refresh_in_request && endpoints.refresh.is_none() {
        let hint = "write refresh_in_request = true, or give endpoint.refresh a path";
        section.refuse("refresh_in_request", "nothing else refreshes: endpoint.refresh is off", hint);
    }
    let page = mode.login_page.as_ref().map(|page| page.location("/"));
    let Some(Ok(page)) = page.map(|page| Target::parse(page.as_bytes())) else { return };
    let is_open = matches!(routes.find(&Method::GET, &page), Match::Rule { route, .. } if route.auth == AuthMode::None);
    let is_ours = endpoints.named().iter().any(|(_, path)| *path == Some(page.path()));
    if !is_open || (is_ours && !endpoints.leave_to_page("GET", page.path())) {
        let hint = format!("add a [[route]] with path = \"{}\" and auth = \"none\"", page.path());
        section.refuse(
            "unauthenticated_html",
            "this page needs a token, too: a browser would go round in circles",
            hint,
        );
    }
}

/// An origin as browsers write it (RFC 6454 §6.2): it is compared as text.
pub(super) fn origin(entry: &Entry<'_>) -> Option<String> {
    let text = entry.word()?;
    let hint = "write scheme, host and a port if it is not the scheme's own: https://app.example.com";
    match Url::parse(&text) {
        _ if text == "*" => entry.refuse("an origin has no wildcard", "name each origin"),
        _ if text == "null" => {
            entry.refuse("any page can be of the origin `null`", "give that page an origin: serve it over https");
        }
        Ok(url) if !matches!(url.scheme(), "http" | "https") => entry.refuse("not an http or https origin", hint),
        Ok(url) if url.host_str().is_some_and(|host| host.contains('*')) => {
            entry.refuse("an origin has no wildcard", "name each origin");
        }
        Ok(url) if !is_private(&url) => {
            entry.refuse("plain http: whoever is on the way can speak for this origin", "write https://");
        }
        Ok(url) if url.origin().ascii_serialization() == text => return Some(text),
        Ok(url) if text.starts_with(&url.origin().ascii_serialization()) => {
            entry.refuse("more than an origin", format!("write {}", url.origin().ascii_serialization()));
        }
        Ok(url) => {
            entry.refuse("not spelled as browsers spell it", format!("write {}", url.origin().ascii_serialization()));
        }
        Err(_) => entry.refuse("not an http or https origin", hint),
    }
    None
}

fn login_page(entry: &Entry<'_>) -> Option<Setting<LoginPage>> {
    let text = entry.text()?;
    if text.is_empty() {
        return Some(Setting::Off);
    }
    let hint = "write redirect: and a path, or an https:// address: \"redirect:/login.php?next={target}\"";
    let Some(page) = text.strip_prefix("redirect:") else {
        entry.refuse("not a redirect", hint);
        return None;
    };
    let sample = page.replace(PLACE, "x");
    let fault = match (Url::parse(&sample), Target::parse(sample.as_bytes())) {
        _ if !sample.bytes().all(|byte| byte.is_ascii_graphic()) => Some("holds a character that an address does not"),
        (Ok(url), _) if url.scheme() == "https" || (url.scheme() == "http" && is_private(&url)) => None,
        (Ok(_), _) => Some("neither a path nor an https:// address"),
        (_, Ok(_)) => None,
        (_, Err(_)) => Some("not a path that requests may have"),
    };
    if let Some(fault) = fault {
        entry.refuse(fault, hint);
        return None;
    }
    let parsed = LoginPage::parse(page);
    if parsed.is_none() {
        entry.refuse("{target} stands once, in the query, and nothing else is in braces", hint);
    }
    parsed.map(Setting::On)
}

/// Nobody is on the way: encrypted, or within this machine. Browsers keep `Secure` cookies in both cases.
fn is_private(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || loopback
}
