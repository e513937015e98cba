//! Route patterns. Input: lines `METHOD /pattern` or `/pattern`, and a request `METHOD /target` as the last one.
//!
//! Which rule judges a request does not depend on how its target is spelled: as it came, in canonical form, or with every
//! character escaped. It is the rule that a plain reading of the pattern's text finds, segment by segment, most specific
//! first; a method that the best path's rules do not name finds none. A pattern matches the paths that it describes, and
//! gives their segments as its parameters.

use std::collections::BTreeMap;
use std::fmt::Write;

use http::Method;
use sidegate::domain::route::{Match, Route, RoutePath, RouteTable};
use sidegate::domain::target::Target;

use super::target::decode;

/// Bounds the work of one input.
const MOST_RULES: usize = 16;

pub fn holds(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (rules, request) = text.rsplit_once('\n').unwrap_or((text, "GET /"));
    let rules: Vec<Route> = rules.lines().take(MOST_RULES).filter_map(rule).collect();
    for rule in &rules {
        matches_what_it_describes(rule);
    }
    let table = without_conflicts(rules);
    let (method, raw) = request.split_once(' ').unwrap_or(("GET", request));
    let (Ok(method), Ok(target)) = (Method::from_bytes(method.as_bytes()), Target::parse(raw.as_bytes())) else {
        return;
    };
    let found = table.find(&method, &target);
    for spelling in [target.origin_form(), escaped(&target)] {
        let again = Target::parse(spelling.as_bytes()).unwrap_or_else(|fault| panic!("{spelling}: {fault}"));
        assert_eq!(table.find(&method, &again), found, "{spelling}");
    }
    assert_best(&table, &method, &target, &found);
}

fn rule(line: &str) -> Option<Route> {
    let (methods, path) = match line.split_once(' ') {
        Some((method, path)) => (Some([method.to_owned()].into()), path),
        None => (None, line),
    };
    let parsed = RoutePath::parse(path).ok()?;
    assert_eq!(&*parsed.text(), path);
    Some(Route { paths: vec![parsed], methods, ..Route::fallback("default") })
}

fn matches_what_it_describes(rule: &Route) {
    let text = rule.paths[0].text();
    let described = text.replace("/*", "/any/thing").replace('{', "is-").replace('}', "");
    let target = Target::parse(described.as_bytes()).unwrap_or_else(|fault| panic!("{text}: {described}: {fault}"));
    let alone = RouteTable::build(vec![Route { methods: None, ..rule.clone() }], Route::fallback("none"));
    let alone = alone.expect("one rule");
    let Match::Rule { parameters, .. } = alone.find(&Method::GET, &target) else {
        panic!("{text} does not match {described}")
    };
    assert_eq!(parameters.len(), rule.paths[0].parameter_names().len());
    for (name, value) in parameters {
        assert_eq!(value, format!("is-{name}"), "{text}");
    }
}

/// Drops each rule that clashes with one before it.
fn without_conflicts(mut rules: Vec<Route>) -> RouteTable {
    loop {
        match RouteTable::build(rules.clone(), Route::fallback("none")) {
            Ok(table) => return table,
            Err(conflicts) => {
                let last = conflicts.last().expect("at least one");
                assert!(last.first < last.second, "{last:?}");
                let (one, other) = (&rules[last.first].paths[0].text(), &rules[last.second].paths[0].text());
                assert_eq!(specificity(one), specificity(other), "{one} and {other}");
                rules.remove(last.second);
            }
        }
    }
}

fn assert_best(table: &RouteTable, method: &Method, target: &Target, found: &Match<'_>) {
    let paths = table.routes().iter().map(|route| (route, route.paths[0].text()));
    let matching: Vec<_> =
        paths.filter_map(|(route, text)| Some((specificity(&text), route, plain_match(&text, target)?))).collect();
    let Some(most) = matching.iter().map(|(specificity, ..)| specificity).max() else {
        return assert_eq!(found.pattern(), None, "nothing matches");
    };
    let best: Vec<_> = matching.iter().filter(|(specificity, ..)| specificity == most).collect();
    let names = |route: &Route, method: &str| route.methods.as_ref().is_none_or(|methods| methods.contains(method));
    let names = |route: &Route| names(route, method.as_str()) || (method == Method::HEAD && names(route, "GET"));
    match found {
        Match::Rule { route, parameters, .. } => {
            assert!(names(route), "{method} is not named");
            let (.., values) = best.iter().find(|(_, one, _)| one == route).expect("one of the best");
            let parameters: BTreeMap<String, String> =
                parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(&parameters, values);
        }
        Match::OtherMethods { methods, .. } => {
            assert!(!best.iter().any(|(_, route, _)| names(route)), "a rule names {method}");
            assert!(!methods.is_empty());
        }
        Match::Fallback(_) => panic!("{best:?} matches"),
    }
}

/// The parameters, if the target's segments are what the text says one after the other.
fn plain_match(pattern: &str, target: &Target) -> Option<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    let mut segments = target.segments().iter();
    for piece in pattern.split('/').skip(1).filter(|_| pattern != "/") {
        if piece == "*" {
            return Some(parameters);
        }
        let segment = segments.next()?;
        match piece.strip_prefix('{').and_then(|piece| piece.strip_suffix('}')) {
            Some(name) => {
                parameters.insert(name.to_owned(), segment.clone());
            }
            None if decode(piece.as_bytes()) == segment.as_bytes() => {}
            None => return None,
        }
    }
    segments.next().is_none().then_some(parameters)
}

/// Greater is more specific: literal, parameter, end, `*`.
fn specificity(pattern: &str) -> Vec<u8> {
    let pieces = pattern.split('/').skip(1).filter(|_| pattern != "/").map(|piece| match piece {
        "*" => 0,
        piece if piece.starts_with('{') => 2,
        _ => 3,
    });
    let end = (!pattern.ends_with('*')).then_some(1);
    pieces.chain(end).collect()
}

/// The target with every byte of its segments as an escape.
fn escaped(target: &Target) -> String {
    let mut spelled = String::new();
    for segment in target.segments() {
        spelled.push('/');
        for byte in segment.bytes() {
            let _ = write!(spelled, "%{byte:02x}");
        }
    }
    if spelled.is_empty() { "/".to_owned() } else { spelled }
}
