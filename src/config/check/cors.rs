//! `[cors]`: pages of other origins that may call.

use http::HeaderName;
use url::Url;

use super::cookie;
use crate::config::checked::CookieMode;
use crate::config::document::{Document, Entry, Setting};
use crate::domain::cors::Cors;
use crate::domain::csrf::Provenance;

/// Off where no origin is listed.
pub(super) fn cors(document: &Document<'_>, cookie: Option<&CookieMode>) -> Option<Setting<Cors>> {
    let section = document.section("cors");
    let origins = section.list("origins", origin);
    let exposed = section.list("expose_headers", header_name);
    let max_age = section.duration("max_age");
    if origins.as_ref().is_some_and(Vec::is_empty) && exposed.as_ref().is_some_and(|exposed| !exposed.is_empty()) {
        section.refuse("expose_headers", "without effect: cors.origins is empty", "remove it, or name an origin");
    }
    let origins = origins?;
    let trusted = |origin: &&String| {
        let provenance = Provenance { sec_fetch_site: &[], origin: &[origin.as_bytes()] };
        cookie.is_some_and(|cookie| cookie.origins.vouch_for(provenance))
    };
    let with_cookies = origins.iter().filter(trusted).cloned().collect();
    Some(Cors::new(origins, with_cookies, &exposed?, max_age?).map_or(Setting::Off, Setting::On))
}

/// One of a web server, or of an application that is a page itself, such as `capacitor://localhost`.
fn origin(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    let url = Url::parse(&text).ok().filter(|url| !matches!(url.scheme(), "http" | "https"));
    let of_application = url.and_then(|url| {
        let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
        Some(format!("{}://{}{port}", url.scheme(), url.host_str().filter(|host| !host.contains('*'))?))
    });
    if of_application.as_ref() == Some(&text) { of_application } else { cookie::origin(entry) }
}

fn header_name(entry: &Entry<'_>) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(entry.text()?.as_bytes());
    if name.is_err() {
        entry.refuse("not the name of a header", "write it without colon or spaces, such as X-Total-Count");
    }
    name.ok()
}
