//! `[[on_response]]`: answers of the API that end sessions.

use http::Method;

use super::answer_sign::answer_sign;
use super::endpoint;
use super::route::method_name;
use crate::config::checked::{Endpoints, Vault};
use crate::config::document::{Document, Entry, Section};
use crate::domain::observed::{End, Event, Events, ObservedRequest};
use crate::domain::route::{AuthMode, Match, Route, RoutePath, RouteTable};

pub(super) fn events(
    document: &Document<'_>,
    endpoints: Option<&Endpoints>,
    routes: Option<&RouteTable>,
    vault: Option<&Vault>,
) -> Option<Events> {
    let sections = document.listed_sections("on_response");
    let mut events: Vec<Event> = Vec::new();
    let mut complete = true;
    for (index, section) in &sections {
        let event = event(section);
        if let (Some(event), Some(endpoints), Some(routes)) = (&event, endpoints, routes) {
            let event = Placed { document, section, index: *index, event };
            event.can_happen(endpoints, routes);
            event.is_told_apart(&events);
            event.is_seen_by_its_place();
            if let Some(vault) = vault {
                event.is_no_loss(vault, routes);
            }
        }
        complete &= event.is_some();
        events.extend(event);
    }
    complete.then(|| Events::new(events))
}

fn event(section: &Section<'_>) -> Option<Event> {
    let requests = requests(section);
    let sign = answer_sign(section);
    let end = section.choice("end", |word| match word {
        "session" => Some(End::Session),
        "other_sessions" => Some(End::OtherSessions),
        "subject" => Some(End::Subject),
        _ => None,
    });
    let parameter = section.entry("subject").and_then(|entry| Some((entry.text()?, entry)));
    let (requests, end, (parameter, entry)) = (requests?, end?, parameter?);
    if end != End::Session {
        for request in requests.iter().filter(|request| is_safe(&request.method)) {
            section.refuse(
                "end",
                format!("{} must not end that much: any link or image on a page would do it", request.method),
                "write end = \"session\", or name the method of the form",
            );
        }
    }
    let end = match end {
        end if parameter.is_empty() => end,
        End::Subject => {
            if let Some(request) = requests.iter().find(|request| !has(&request.path, &parameter)) {
                let hint = "name a parameter that every path of the event has";
                entry.refuse(format!("{} has no {{{parameter}}}", request.path), hint);
                return None;
            }
            End::SubjectIn(parameter)
        }
        _ => {
            entry.refuse("would not be looked at", "remove it, or write end = \"subject\"");
            return None;
        }
    };
    Some(Event { requests, sign: sign?, end })
}

fn requests(section: &Section<'_>) -> Option<Vec<ObservedRequest>> {
    let items = section.entry("request")?.items()?;
    if items.is_empty() {
        section.refuse("request", "no request", REQUEST_HINT);
        return None;
    }
    let requests: Vec<Option<ObservedRequest>> = items.iter().map(request).collect();
    requests.into_iter().collect()
}

fn request(entry: &Entry<'_>) -> Option<ObservedRequest> {
    let text = entry.text()?;
    let Some((method, path)) = text.split_once(' ') else {
        entry.refuse("not a method and a path", REQUEST_HINT);
        return None;
    };
    let method = method_name(entry, method)?;
    match RoutePath::parse(path) {
        Ok(path) => Some(ObservedRequest { method, path }),
        Err(fault) => {
            entry.refuse(fault.to_string(), REQUEST_HINT);
            None
        }
    }
}

const REQUEST_HINT: &str = "write a method and a path pattern, such as POST /account/password";

/// RFC 9110 §9.2.1: nobody expects these to change anything.
fn is_safe(method: &str) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].iter().any(|safe| safe.as_str() == method)
}

fn has(path: &RoutePath, parameter: &str) -> bool {
    path.parameter_names().contains(&parameter)
}

/// An event, and where it stands in the file.
struct Placed<'p, 'd> {
    document: &'d Document<'d>,
    section: &'p Section<'d>,
    index: usize,
    event: &'p Event,
}

impl Placed<'_, '_> {
    /// Its requests reach the API, and come from somebody who is known.
    fn can_happen(&self, endpoints: &Endpoints, routes: &RouteTable) {
        for request in &self.event.requests {
            self.reaches_the_api(request, endpoints, routes);
        }
    }

    fn reaches_the_api(&self, request: &ObservedRequest, endpoints: &Endpoints, routes: &RouteTable) {
        let ObservedRequest { method, path } = request;
        let Ok(method) = Method::from_bytes(method.as_bytes()) else { return };
        let paths: Vec<&RoutePath> = routes.routes().iter().flat_map(|route| &route.paths).collect();
        let mut ours = None;
        let (mut passing, mut nobody, mut unprotected) = (0, None, None);
        for target in path.examples(&paths) {
            if let Some(name) = endpoint::at(&target, endpoints) {
                ours = Some(name);
                continue;
            }
            let found = routes.find(&method, &target);
            let pattern = found.pattern().map_or_else(|| "no route".to_owned(), |path| format!("route {path}"));
            let (Match::Rule { route, .. } | Match::Fallback(route)) = found else { continue };
            passing += 1;
            if route.auth == AuthMode::None {
                nobody.get_or_insert_with(|| (pattern.clone(), 0)).1 += 1;
            }
            if !is_protected(route) {
                unprotected.get_or_insert(pattern);
            }
        }
        match (passing, ours, nobody) {
            (0, Some(name), _) => self.section.refuse(
                "request",
                format!("{path} never gets to the API: it is {name}"),
                "sidegate's own endpoints end sessions by themselves; remove the event, or move the endpoint",
            ),
            (0, None, _) => self.section.refuse(
                "request",
                format!("{method} {path} never gets to the API: the routes for this path name other methods"),
                "name the method in the route, or another one here",
            ),
            (all, _, Some((pattern, public))) if public == all => self.section.refuse(
                "request",
                format!("nobody is known there, so no session could end: {pattern} has auth = \"none\""),
                "write auth = \"required\" or \"optional\" in a route for it, or remove the event",
            ),
            (_, _, Some((pattern, _))) if !matches!(self.event.end, End::SubjectIn(_)) => self.document.warn(format!(
                "on_response[{}]: some of {method} {path} is {pattern} with auth = \"none\", where nobody is known and \
                 no session ends",
                self.index
            )),
            _ => {}
        }
        if let (End::SubjectIn(_), Some(pattern)) = (&self.event.end, unprotected) {
            let asks = if pattern == "no route" { "asks" } else { "does not ask" };
            self.section.refuse(
                "subject",
                format!(
                    "anybody could end anybody's sessions: {pattern} {asks} for a scope, role, claim or path segment"
                ),
                format!("add a route for {method} {path} with scopes, roles, claims or where"),
            );
        }
    }

    /// An answer that sends nobody anywhere has no place to tell it by.
    fn is_seen_by_its_place(&self) {
        let sign = &self.event.sign;
        if sign.location.is_some() && !sign.statuses.iter().any(|range| range.can_have_a_place()) {
            self.document.warn(format!(
                "on_response[{}].location: answers of on_response[{}].status hardly ever have one, so this will not happen",
                self.index, self.index
            ));
        }
    }

    /// What the API answers when it has forgotten its session has done nothing that others should pay for.
    fn is_no_loss(&self, vault: &Vault, routes: &RouteTable) {
        let sign = &self.event.sign;
        let Some(lost) = vault.lost.as_ref().filter(|lost| lost.overlaps(sign)) else { return };
        // Its own session is over in either case.
        if self.event.end == End::Session || !self.goes_to(&vault.upstream, routes) {
            return;
        }
        if lost == sign {
            self.section.refuse(
                "status",
                "vault.lost has the same signs: whoever is forgotten by the API would end sessions of others",
                "write where the API sends to when it is done, as location, or a status of that alone",
            );
        } else {
            self.document.warn(format!(
                "on_response[{}]: an answer with the signs of vault.lost can have these, too, and ends sessions of others; \
                 write where the API sends to when it is done",
                self.index
            ));
        }
    }

    fn goes_to(&self, upstream: &str, routes: &RouteTable) -> bool {
        let paths: Vec<&RoutePath> = routes.routes().iter().flat_map(|route| &route.paths).collect();
        self.event.requests.iter().any(|ObservedRequest { method, path }| {
            let Ok(method) = Method::from_bytes(method.as_bytes()) else { return false };
            path.examples(&paths).iter().any(|target| match routes.find(&method, target) {
                Match::Rule { route, .. } | Match::Fallback(route) => route.upstream == upstream,
                Match::OtherMethods { .. } => false,
            })
        })
    }

    /// No request is also another event's.
    fn is_told_apart(&self, earlier: &[Event]) {
        for request in &self.event.requests {
            let overlaps = |event: &Event| event.requests.iter().any(|other| other.overlaps(request));
            if let Some(first) = earlier.iter().position(overlaps) {
                self.section.refuse(
                    "request",
                    format!("on_response[{first}] watches some of the same requests"),
                    "make one of the two, or name paths that have nothing in common",
                );
            }
        }
    }
}

/// Not everybody who is logged in passes.
fn is_protected(route: &Route) -> bool {
    !(route.scopes.is_empty() && route.roles.is_empty() && route.claims.is_empty() && route.segment_claims.is_empty())
}
