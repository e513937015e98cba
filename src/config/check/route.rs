//! `[[route]]`: who may send what.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use toml::de::DeValue;

use super::DEFAULT_UPSTREAM;
use crate::config::document::{Document, Entry, Section};
use crate::domain::route::{AuthMode, Route, RoutePath, RouteTable, WhenStale};

pub(super) fn table(document: &Document<'_>) -> Option<RouteTable> {
    let otherwise = document.section("revocation").choice("when_stale", when_stale);
    let sections = document.listed_sections("route");
    let upstreams = document.named_sections("upstream", DEFAULT_UPSTREAM);
    let knows = |name: &str| upstreams.iter().any(|(known, _)| known == name);
    let mut routes = Vec::new();
    let mut good = Vec::new();
    for (index, section) in &sections {
        if let Some(route) = route(section, knows, otherwise) {
            if route.auth == AuthMode::None && route.paths.iter().any(|path| &*path.text() == "/*") {
                document.warn(format!("route[{index}]: everybody passes everywhere, without a token"));
            }
            routes.push(route);
            good.push((index, section));
        }
    }
    let complete = routes.len() == sections.len();
    let fallback = Route { when_stale: otherwise?, ..Route::fallback(DEFAULT_UPSTREAM) };
    match RouteTable::build(routes, fallback) {
        Ok(table) => complete.then_some(table),
        Err(conflicts) => {
            for conflict in conflicts {
                if let (Some((first, _)), Some((_, second))) = (good.get(conflict.first), good.get(conflict.second)) {
                    second.refuse(
                        "path",
                        format!("route[{first}] judges the same requests to {}", conflict.path),
                        "make one of the two: neither is more specific",
                    );
                }
            }
            None
        }
    }
}

fn when_stale(word: &str) -> Option<WhenStale> {
    match word {
        "allow" => Some(WhenStale::Allow),
        "deny" => Some(WhenStale::Deny),
        _ => None,
    }
}

fn route(section: &Section<'_>, knows: impl Fn(&str) -> bool, otherwise: Option<WhenStale>) -> Option<Route> {
    let paths = paths(section);
    let methods = section.list("methods", method);
    let auth = section.choice("auth", |word| match word {
        "required" => Some(AuthMode::Required),
        "optional" => Some(AuthMode::Optional),
        "none" => Some(AuthMode::None),
        _ => None,
    });
    let scopes = section.list("scopes", scope);
    let roles = section.list("roles", Entry::name);
    let claims = section.entry("claims").and_then(|claims| required_claims(&claims));
    let segment_claims =
        section.entry("where").and_then(|segments| segment_claims(&segments, paths.as_deref().unwrap_or_default()));
    let upstream = section.entry("upstream").and_then(|upstream| {
        let name = upstream.text()?;
        if !knows(&name) {
            upstream.refuse("no upstream of this name", "write the name of an [upstream.NAME] of this file");
        }
        Some(name)
    });
    let when_stale = section.choice("when_stale", |word| match word {
        "" => Some(otherwise),
        word => when_stale(word).map(Some),
    });
    if let Some(auth @ (AuthMode::None | AuthMode::Optional)) = auth {
        for name in ["scopes", "roles", "claims", "where"] {
            if section.entry(name).is_some_and(|entry| asks_something(&entry)) {
                let message = match auth {
                    AuthMode::Optional => "a request without a token would pass unchecked: auth is \"optional\"",
                    _ => "would not be checked: auth is \"none\"",
                };
                section.refuse(name, message, format!("remove {name}, or write auth = \"required\""));
            }
        }
    }
    let methods: BTreeSet<String> = methods?.into_iter().collect();
    Some(Route {
        paths: paths?,
        methods: (!methods.is_empty()).then_some(methods),
        auth: auth?,
        scopes: scopes?,
        roles: roles?,
        claims: claims?,
        segment_claims: segment_claims?,
        upstream: upstream?,
        when_stale: when_stale??,
    })
}

fn paths(section: &Section<'_>) -> Option<Vec<RoutePath>> {
    let items = section.entry("path")?.items()?;
    if items.is_empty() {
        section.refuse("path", "no path", "write at least one pattern, such as /orders/*");
        return None;
    }
    let paths: Vec<Option<RoutePath>> = items.iter().map(path).collect();
    paths.into_iter().collect()
}

fn path(entry: &Entry<'_>) -> Option<RoutePath> {
    let path = RoutePath::parse(&entry.text()?);
    if let Err(fault) = &path {
        entry.refuse(fault.to_string(), "write patterns such as /orders, /orders/{id}, /orders/*");
    }
    path.ok()
}

fn method(entry: &Entry<'_>) -> Option<String> {
    method_name(entry, &entry.text()?)
}

/// A method that can be forwarded, as the entry names it.
pub(super) fn method_name(entry: &Entry<'_>, text: &str) -> Option<String> {
    let token = http::Method::from_bytes(text.as_bytes()).is_ok();
    if !token || text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        entry.refuse("not a method", "write it in upper case, such as GET");
        return None;
    }
    if matches!(text, "CONNECT" | "TRACE") {
        entry.refuse("sidegate never forwards this method", "remove it");
        return None;
    }
    Some(text.to_owned())
}

/// RFC 6749 §3.3 `scope-token`.
fn scope(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
    if !fits {
        entry.refuse("not a scope", "write visible ASCII without spaces, quotes and backslashes, such as orders:read");
    }
    fits.then_some(text)
}

/// Only what can be compared without doubt: no fractions, lists or tables.
pub(super) fn required_claims(entry: &Entry<'_>) -> Option<Map<String, Value>> {
    let read = |member: &Entry<'_>| match member.value() {
        DeValue::String(_) => member.text().map(Value::from),
        DeValue::Boolean(flag) => Some(Value::from(*flag)),
        DeValue::Integer(digits) => {
            let number = i64::from_str_radix(digits.as_str(), digits.radix()).ok();
            if number.is_none() {
                member.refuse("out of range", "write a number of at most 64 bits");
            }
            number.map(Value::from)
        }
        _ => {
            member.refuse("a claim cannot be compared with this", "write a text, a whole number, true or false");
            None
        }
    };
    let members: Vec<Option<(String, Value)>> =
        entry.members()?.iter().map(|(claim, member)| Some((claim.clone(), read(member)?))).collect();
    members.into_iter().collect()
}

fn segment_claims(entry: &Entry<'_>, paths: &[RoutePath]) -> Option<BTreeMap<String, String>> {
    let read = |(parameter, member): &(String, Entry<'_>)| {
        if let Some(path) = paths.iter().find(|path| !path.parameter_names().contains(&parameter.as_str())) {
            member.refuse(
                format!("{path} has no {{{parameter}}}"),
                "name a parameter that every path of the route has, and the claim it must equal",
            );
        }
        Some((parameter.clone(), member.name()?))
    };
    let members: Vec<Option<(String, String)>> = entry.members()?.iter().map(read).collect();
    members.into_iter().collect()
}

fn asks_something(entry: &Entry<'_>) -> bool {
    match entry.value() {
        DeValue::Array(items) => !items.is_empty(),
        DeValue::Table(members) => !members.is_empty(),
        _ => false,
    }
}
