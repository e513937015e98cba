//! `[endpoint]`: paths that never reach the upstream.

use crate::config::checked::{Endpoints, Login};
use crate::config::document::{Document, Entry, Setting};
use crate::domain::route::{AuthMode, Match, Route, RoutePath, RouteTable};
use crate::domain::target::{Target, TargetFault};

pub(super) fn endpoints(document: &Document<'_>, login: Option<&Login>) -> Option<Endpoints> {
    let section = document.section("endpoint");
    let mut taken: Vec<(String, String)> = Vec::new();
    let mut path = |name: &str| {
        let entry = section.entry(name)?;
        let path = endpoint_path(&entry, name == "login")?;
        if let Setting::On(path) = &path {
            if let Some((other, _)) = taken.iter().find(|(_, taken)| taken == path) {
                entry.refuse(format!("endpoint.{other} has the same path"), "give each endpoint a path of its own");
            }
            taken.push((name.to_owned(), path.clone()));
        }
        Some(path)
    };
    let (login_path, refresh, logout) = (path("login"), path("refresh"), path("logout"));
    let (logout_all, password) = (path("logout_all"), path("password"));
    let (sessions, me) = (path("sessions"), path("me"));
    let no_login = matches!(login, Some(Login::None));
    let no_users = no_login || matches!(login, Some(Login::Upstream(_)));
    if matches!(login, Some(Login::Upstream(_))) && section.has("password") && matches!(password, Some(Setting::On(_)))
    {
        document.warn("endpoint.password: not served, since login.provider is \"upstream\"");
    }
    if no_login && section.has("login") && matches!(login_path, Some(Setting::On(_))) {
        document.warn("endpoint.login: not served, since login.provider is \"none\"");
    }
    Some(Endpoints {
        login: login_path?.on().filter(|_| !no_login),
        login_has_page: matches!(login, Some(Login::Upstream(_))),
        refresh: refresh?.on(),
        logout: logout?.on(),
        logout_all: logout_all?.on(),
        password: password?.on().filter(|_| !no_users),
        sessions: sessions?.on(),
        me: me?.on(),
    })
}

/// The path in its one spelling, as [`Target`] has it: endpoints are found by comparing text. A slash at its end is part of
/// that: `may_end_with_slash` for what a form of the application is sent to.
fn endpoint_path(entry: &Entry<'_>, may_end_with_slash: bool) -> Option<Setting<String>> {
    let text = entry.text()?;
    if text.is_empty() {
        return Some(Setting::Off);
    }
    let hint = "write a path such as /login, or \"\" to turn it off";
    match Target::parse(text.as_bytes()) {
        Err(TargetFault::Form) => entry.refuse("a path starts with a slash", hint),
        Err(fault) => entry.refuse(fault.to_string(), hint),
        Ok(target) if target.query().is_some() => entry.refuse("the path has a query", hint),
        Ok(target) if target.segments().is_empty() => entry.refuse("the root cannot be an endpoint", hint),
        Ok(_) if text.ends_with('/') && !may_end_with_slash => entry.refuse("the path ends with a slash", hint),
        Ok(target) if target.path() != text => {
            entry.refuse("the path has characters that need no percent-encoding", format!("write {}", target.path()));
        }
        Ok(target) if target.path() == JWKS => {
            entry.refuse("the public keys are served there", "choose another path");
        }
        Ok(_) => return Some(Setting::On(text)),
    }
    None
}

/// Each path that sidegate answers itself, by its name for people.
fn named(endpoints: &Endpoints) -> impl Iterator<Item = (String, &str)> {
    let named = endpoints.named().into_iter();
    let named = named.filter_map(|(name, path)| Some((format!("endpoint.{name}"), path?)));
    named.chain([("the list of public keys".to_owned(), JWKS)])
}

/// The endpoint that answers a request to this target, if one does.
pub(super) fn at(target: &Target, endpoints: &Endpoints) -> Option<String> {
    let below_sessions = |path: &str| {
        let sessions = endpoints.sessions.as_deref().is_some_and(|sessions| sessions == path);
        sessions && target.path().strip_prefix(path).is_some_and(|below| below.starts_with('/'))
    };
    named(endpoints).find(|(_, path)| *path == target.path() || below_sessions(path)).map(|(name, _)| name)
}

/// A rule for exactly an endpoint's path will never see a request.
pub(super) fn warn_of_shadowed_routes(document: &Document<'_>, endpoints: &Endpoints, routes: &RouteTable) {
    for (name, path) in named(endpoints) {
        let Ok(target) = Target::parse(path.as_bytes()) else { continue };
        let is_left = |route: &Route| {
            let methods = route.methods.as_ref();
            methods.is_some_and(|methods| methods.iter().all(|method| endpoints.leave_to_page(method, path)))
        };
        for pattern in routes.routes().iter().filter(|route| !is_left(route)).flat_map(|route| &route.paths) {
            if is_for_this_path(pattern, &target) {
                document.warn(format!("route for {pattern}: {path} never gets there, it is {name}"));
            }
        }
    }
}

/// A wildcard that starts above the path does not count: such a rule is for everything else there.
fn is_for_this_path(pattern: &RoutePath, target: &Target) -> bool {
    let text = pattern.to_string();
    let Ok(exact) = RoutePath::parse(text.strip_suffix("/*").unwrap_or(&text)) else { return false };
    let route = Route { paths: vec![exact], auth: AuthMode::None, ..Route::fallback("") };
    RouteTable::build(vec![route], Route::fallback(""))
        .is_ok_and(|table| matches!(table.find(&http::Method::POST, target), Match::Rule { .. }))
}

/// Where verifiers find the public keys; not configurable.
const JWKS: &str = "/.well-known/jwks.json";
