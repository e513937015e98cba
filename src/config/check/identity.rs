//! `[identity]`: which header tells the upstream which claim.

use http::HeaderName;

use crate::config::document::Document;
use crate::domain::identity::{CUSTOMARY, IdentityHeaders, fold};

pub(super) fn headers(document: &Document<'_>) -> Option<IdentityHeaders> {
    let section = document.section("identity");
    if !section.exists() {
        return Some(IdentityHeaders::new(
            DEFAULTS.map(|(header, claim)| (header.to_owned(), claim.to_owned())).to_vec(),
        ));
    }
    let entries = section.entries();
    let mut owned: Vec<(String, String)> = Vec::new();
    for (header, entry) in &entries {
        let claim = entry.word();
        if let Some(fault) = header_fault(header) {
            entry.refuse(fault, "choose a header of your own, such as X-Auth-Subject");
            continue;
        }
        if let Some((other, _)) = owned.iter().find(|(other, _)| fold(other) == fold(header)) {
            entry.refuse(
                format!("the same header as {other} to servers that take `_` or `.` for `-`"),
                "keep one of them",
            );
        }
        owned.extend(claim.map(|claim| (header.clone().into_owned(), claim)));
    }
    (owned.len() == entries.len()).then(|| IdentityHeaders::new(owned))
}

/// Why a name cannot carry an identity.
fn header_fault(name: &str) -> Option<&'static str> {
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Some("not a header's name");
    }
    let folded = fold(name);
    let has_prefix = |prefixes: &[&str]| prefixes.iter().any(|prefix| folded.starts_with(prefix));
    // X-Forwarded-User and its kind were made for this.
    if CUSTOMARY.contains(&folded.as_str()) {
        return None;
    }
    (RESERVED.contains(&folded.as_str()) || has_prefix(&RESERVED_PREFIXES))
        .then_some("this header has a meaning of its own, in HTTP or between proxies")
}

/// The default of the whole section.
const DEFAULTS: [(&str, &str); 3] = [("X-Auth-Subject", "sub"), ("X-Auth-Roles", "roles"), ("X-Auth-Session", "sid")];

const RESERVED_PREFIXES: [&str; 8] =
    ["content-", "proxy-", "x-forwarded-", "if-", "accept", "access-control-", "sec-", "x-http-method"];

const RESERVED: [&str; 24] = [
    "authorization",
    "cache-control",
    "connection",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "origin",
    "range",
    "referer",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];
