//! Route rules: which requests need which token. The most specific rule wins, wherever it stands in the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value};

use super::target::Target;

use self::tree::PathTree;

mod tree;

/// What a route asks of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthMode {
    #[default]
    Required,
    /// Without a token the request passes without identity; a bad token is still refused.
    Optional,
    /// The token is not looked at, and no identity is set.
    None,
}

/// One `[[route]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub paths: Vec<RoutePath>,
    /// `None`: every method.
    pub methods: Option<BTreeSet<MethodName>>,
    pub auth: AuthMode,
    /// All of them.
    pub scopes: Vec<String>,
    /// Any of them; empty: no role is asked for.
    pub roles: Vec<String>,
    /// Each claim must equal its value.
    pub claims: Map<String, Value>,
    /// Path segment `{name}` must equal the claim.
    pub segment_claims: BTreeMap<String, String>,
    pub upstream: String,
    pub when_stale: WhenStale,
}

/// What a token is worth when the store has been silent for too long to know whether it was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenStale {
    /// As much as ever.
    Allow,
    /// Nothing, until the store answers.
    Deny,
}

impl Route {
    /// What holds where no rule matches: a valid token.
    #[must_use]
    pub fn fallback(upstream: &str) -> Self {
        Self {
            paths: Vec::new(),
            methods: None,
            auth: AuthMode::Required,
            scopes: Vec::new(),
            roles: Vec::new(),
            claims: Map::new(),
            segment_claims: BTreeMap::new(),
            upstream: upstream.to_owned(),
            when_stale: WhenStale::Allow,
        }
    }

    fn names_exactly(&self, method: &Method) -> bool {
        self.methods.as_ref().is_some_and(|methods| methods.contains(method.as_str()))
    }

    /// `GET` includes `HEAD`.
    fn names(&self, method: &Method) -> bool {
        self.methods.as_ref().is_none_or(|methods| {
            methods.contains(method.as_str()) || (method == Method::HEAD && methods.contains(Method::GET.as_str()))
        })
    }
}

/// A method as a rule names it; ordered, so that answers list methods in a stable order.
pub type MethodName = String;

/// A path pattern: literal segments, `{name}` for one segment, a last `*` for "this and everything below".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePath {
    text: Arc<str>,
    segments: Vec<Segment>,
    open_ended: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Parameter(String),
}

impl RoutePath {
    /// # Errors
    /// [`PathFault`] if the text is no pattern, or could never match a canonical target.
    pub fn parse(text: &str) -> Result<Self, PathFault> {
        let inner = text.strip_prefix('/').ok_or(PathFault::NoSlash)?;
        let (inner, open_ended) = match inner.strip_suffix('*') {
            Some("") => ("", true),
            // An empty segment: not to be read as `/*`, which is everything.
            Some("/") => return Err(PathFault::Literal),
            Some(rest) => (rest.strip_suffix('/').ok_or(PathFault::Star)?, true),
            None => (inner, false),
        };
        if inner.ends_with('/') {
            return Err(PathFault::LastSlash);
        }
        let mut segments = Vec::new();
        let mut names = BTreeSet::new();
        for piece in inner.split('/').filter(|_| !inner.is_empty()) {
            segments.push(match piece.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(name) if is_name(name) && names.insert(name) => Segment::Parameter(name.to_owned()),
                Some(_) => return Err(PathFault::Parameter),
                None if piece.contains(['*', '{', '}']) => return Err(PathFault::Star),
                None => Segment::Literal(literal(piece)?),
            });
        }
        Ok(Self { text: text.into(), segments, open_ended })
    }

    /// As the operator wrote it.
    #[must_use]
    pub fn text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// The values of its parameters, if the target matches.
    #[must_use]
    pub fn parameters<'a>(&'a self, target: &'a Target) -> Option<BTreeMap<&'a str, &'a str>> {
        let found = target.segments();
        if found.len() < self.segments.len() || (found.len() > self.segments.len() && !self.open_ended) {
            return None;
        }
        let mut parameters = BTreeMap::new();
        for (segment, value) in self.segments.iter().zip(found) {
            match segment {
                Segment::Literal(literal) if literal == value => {}
                Segment::Literal(_) => return None,
                Segment::Parameter(name) => {
                    parameters.insert(name.as_str(), value.as_str());
                }
            }
        }
        Some(parameters)
    }

    /// Whether some request matches both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.example(other, self.segments.len().max(other.segments.len())).is_some()
    }

    /// Targets that match it: for each set of `others` that some target matches, too, one that matches these and no more.
    #[must_use]
    pub fn examples(&self, others: &[&Self]) -> Vec<Target> {
        let longest = others.iter().map(|other| other.segments.len()).max().unwrap_or(0).max(self.segments.len()) + 1;
        let mut examples: Vec<Target> = Vec::new();
        for length in self.segments.len()..=longest {
            for other in others.iter().copied().chain([self]) {
                if let Some(example) = self.example(other, length)
                    && !examples.contains(&example)
                {
                    examples.push(example);
                }
            }
        }
        examples
    }

    /// A target of so many segments that matches both, and nothing that it need not match.
    fn example(&self, other: &Self, length: usize) -> Option<Target> {
        let reaches = |path: &Self| length == path.segments.len() || (length > path.segments.len() && path.open_ended);
        if !reaches(self) || !reaches(other) {
            return None;
        }
        let literal = |path: &Self, at: usize| match path.segments.get(at) {
            Some(Segment::Literal(literal)) => Some(literal.clone()),
            Some(Segment::Parameter(_)) | None => None,
        };
        let mut text = String::new();
        for at in 0..length {
            let segment = match (literal(self, at), literal(other, at)) {
                (Some(a), Some(b)) if a != b => return None,
                (Some(literal), _) | (None, Some(literal)) => literal,
                (None, None) => NO_LITERAL.to_owned(),
            };
            text.push('/');
            text.extend(segment.bytes().map(|byte| format!("%{byte:02X}")));
        }
        Target::parse(if text.is_empty() { "/" } else { &text }.as_bytes()).ok()
    }

    /// Compared segment by segment: literal, then parameter, then `*`; a path that ends beats one that goes on.
    fn specificity(&self) -> Vec<u8> {
        let segments = self.segments.iter().map(|segment| match segment {
            Segment::Literal(_) => 3,
            Segment::Parameter(_) => 2,
        });
        segments.chain([u8::from(!self.open_ended)]).collect()
    }

    /// The same requests match both.
    fn is_same_as(&self, other: &Self) -> bool {
        let alike = |(a, b): (&Segment, &Segment)| match (a, b) {
            (Segment::Literal(a), Segment::Literal(b)) => a == b,
            (Segment::Parameter(_), Segment::Parameter(_)) => true,
            _ => false,
        };
        self.open_ended == other.open_ended
            && self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(alike)
    }

    #[must_use]
    pub fn parameter_names(&self) -> Vec<&str> {
        self.segments
            .iter()
            .filter_map(|segment| match segment {
                Segment::Parameter(name) => Some(name.as_str()),
                Segment::Literal(_) => None,
            })
            .collect()
    }
}

impl fmt::Display for RoutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What nobody writes into a pattern.
const NO_LITERAL: &str = "any segment, and none that a pattern names";

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A literal segment, decoded as a target's segments are.
fn literal(piece: &str) -> Result<String, PathFault> {
    let target = Target::parse(format!("/{piece}").as_bytes()).map_err(|_| PathFault::Literal)?;
    match target.segments() {
        [segment] if target.query().is_none() => Ok(segment.clone()),
        _ => Err(PathFault::Literal),
    }
}

/// Why a text is no path pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    #[error("a path starts with a slash")]
    NoSlash,
    #[error("ends with a slash: without it a rule holds for both")]
    LastSlash,
    #[error("`*` stands alone in the last segment, `{{name}}` alone in its segment")]
    Star,
    #[error("a parameter is written {{name}}, with letters, digits and `_`, and each name stands once")]
    Parameter,
    #[error("this segment can never match: empty, a dot segment, or with a character that requests may not hold")]
    Literal,
}

/// All rules, with the fallback for what none of them matches.
#[derive(Clone, Debug)]
pub struct RouteTable {
    routes: Vec<Route>,
    fallback: Route,
    /// Rule and path of each entry of the tree.
    paths: Vec<(usize, usize)>,
    tree: PathTree,
}

/// The rule that judges a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Match<'a> {
    /// A rule for this path and method, with the path's parameters.
    Rule { route: &'a Route, path: &'a RoutePath, parameters: BTreeMap<&'a str, &'a str> },
    /// The path has rules, but none names the method. These are named.
    OtherMethods { path: &'a RoutePath, methods: Vec<&'a str> },
    /// No rule's path matches.
    Fallback(&'a Route),
}

impl Match<'_> {
    /// The pattern that matched, as the operator wrote it; `None` for the fallback.
    #[must_use]
    pub const fn pattern(&self) -> Option<&RoutePath> {
        match self {
            Self::Rule { path, .. } | Self::OtherMethods { path, .. } => Some(path),
            Self::Fallback(_) => None,
        }
    }
}

/// Two rules that would judge the same request and neither is more specific (indices into the given list).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConflict {
    pub first: usize,
    pub second: usize,
    pub path: String,
}

impl RouteTable {
    /// # Errors
    /// Every pair of rules with the same path and a method in common. A rule that names methods is more specific than
    /// one that does not, so these two do not conflict.
    pub fn build(routes: Vec<Route>, fallback: Route) -> Result<Self, Vec<RouteConflict>> {
        let mut conflicts = Vec::new();
        for (second, later) in routes.iter().enumerate() {
            for (first, earlier) in routes[..second].iter().enumerate() {
                let same_path =
                    later.paths.iter().find(|path| earlier.paths.iter().any(|other| other.is_same_as(path)));
                if let Some(path) = same_path
                    && methods_clash(earlier.methods.as_ref(), later.methods.as_ref())
                {
                    conflicts.push(RouteConflict { first, second, path: path.to_string() });
                }
            }
        }
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let mut tree = PathTree::default();
        let mut paths = Vec::new();
        for (rule, route) in routes.iter().enumerate() {
            for (number, path) in route.paths.iter().enumerate() {
                tree.add(path, paths.len());
                paths.push((rule, number));
            }
        }
        Ok(Self { routes, fallback, paths, tree })
    }

    /// This table with one more rule.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn with(&self, route: Route) -> Result<Self, Vec<RouteConflict>> {
        Self::build([self.routes.clone(), vec![route]].concat(), self.fallback.clone())
    }

    /// The best path is chosen first; then, among the rules with that path, the one that names the method. A path whose
    /// rules do not name it never falls through to a wider rule.
    #[must_use]
    pub fn find<'a>(&'a self, method: &Method, target: &'a Target) -> Match<'a> {
        let matching = self.tree.find(target.segments()).into_iter().filter_map(|entry| {
            let (rule, path) = self.paths[entry];
            let route = &self.routes[rule];
            let path = &route.paths[path];
            Some((route, path, path.parameters(target)?))
        });
        let mut best: Vec<(&Route, &RoutePath, BTreeMap<&str, &str>)> = Vec::new();
        for candidate in matching {
            match best.first().map(|(_, path, _)| candidate.1.specificity().cmp(&path.specificity())) {
                Some(std::cmp::Ordering::Less) => {}
                Some(std::cmp::Ordering::Equal) => best.push(candidate),
                Some(std::cmp::Ordering::Greater) | None => best = vec![candidate],
            }
        }
        let Some((_, best_path, _)) = best.first() else { return Match::Fallback(&self.fallback) };
        let exactly = best.iter().find(|(route, ..)| route.names_exactly(method));
        let named = exactly.or_else(|| best.iter().find(|(route, ..)| route.methods.is_some() && route.names(method)));
        let chosen = named.or_else(|| best.iter().find(|(route, ..)| route.methods.is_none()));
        if let Some((route, path, parameters)) = chosen {
            return Match::Rule { route, path, parameters: parameters.clone() };
        }
        let methods: BTreeSet<&str> =
            best.iter().flat_map(|(route, ..)| route.methods.iter().flatten().map(String::as_str)).collect();
        Match::OtherMethods { path: best_path, methods: methods.into_iter().collect() }
    }

    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }
}

fn methods_clash(a: Option<&BTreeSet<MethodName>>, b: Option<&BTreeSet<MethodName>>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.intersection(b).next().is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, methods: &[&str]) -> Route {
        let methods = (!methods.is_empty()).then(|| methods.iter().map(|&m| m.to_owned()).collect());
        Route { paths: vec![RoutePath::parse(path).unwrap()], methods, ..Route::fallback(path) }
    }

    fn table(routes: Vec<Route>) -> RouteTable {
        RouteTable::build(routes, Route::fallback("fallback")).unwrap()
    }

    fn chosen(table: &RouteTable, method: &Method, path: &str) -> String {
        let target = Target::parse(path.as_bytes()).unwrap();
        match table.find(method, &target) {
            Match::Rule { route, .. } => route.upstream.clone(),
            Match::OtherMethods { methods, .. } => methods.join(","),
            Match::Fallback(_) => "fallback".into(),
        }
    }

    #[test]
    fn the_most_specific_path_wins_wherever_it_stands() {
        let table = table(
            ["/*", "/orders/{id}/lines", "/orders/*", "/orders/new/*", "/orders/{id}", "/orders/{id}/*"]
                .map(|path| route(path, &[]))
                .into(),
        );
        for (path, winner) in [
            ("/", "/*"),
            ("/x/y", "/*"),
            ("/orders", "/orders/*"),
            ("/orders/7", "/orders/{id}"),
            ("/orders/7/", "/orders/{id}"),
            ("/orders/new", "/orders/new/*"),
            ("/orders/7/lines", "/orders/{id}/lines"),
            ("/orders/7/lines/1", "/orders/{id}/*"),
            ("/%6frders/7", "/orders/{id}"),
            ("/ORDERS/7", "/*"),
        ] {
            assert_eq!(chosen(&table, &Method::GET, path), winner, "{path}");
        }
    }

    #[test]
    fn a_method_no_rule_names_never_falls_through_to_a_wider_rule() {
        let table = table(vec![route("/*", &[]), route("/a", &["GET"]), route("/a", &["PUT", "POST"])]);
        assert_eq!(chosen(&table, &Method::HEAD, "/a"), "/a");
        assert_eq!(chosen(&table, &Method::DELETE, "/a"), "GET,POST,PUT");
        assert_eq!(chosen(&table, &Method::DELETE, "/b"), "/*");
    }

    #[test]
    fn a_rule_that_names_the_method_beats_one_that_does_not() {
        let mut wide = route("/a", &[]);
        wide.upstream = "wide".into();
        let table = table(vec![wide, route("/a", &["GET"])]);
        assert_eq!(chosen(&table, &Method::GET, "/a"), "/a");
        assert_eq!(chosen(&table, &Method::POST, "/a"), "wide");
    }

    #[test]
    fn a_rule_for_head_beats_one_for_get_wherever_it_stands() {
        for order in [["GET", "HEAD"], ["HEAD", "GET"]] {
            let table = table(order.map(|method| Route { upstream: method.into(), ..route("/a", &[method]) }).into());
            assert_eq!(chosen(&table, &Method::HEAD, "/a"), "HEAD");
            assert_eq!(chosen(&table, &Method::GET, "/a"), "GET");
        }
    }

    #[test]
    fn rules_of_equal_specificity_are_a_conflict() {
        let conflict = |a, b| RouteTable::build(vec![a, b], Route::fallback("f")).unwrap_err();
        assert_eq!(conflict(route("/a/{x}", &[]), route("/a/{y}", &[])).len(), 1);
        assert_eq!(conflict(route("/a", &["GET", "PUT"]), route("/%61", &["PUT"]))[0].path, "/%61");
    }

    #[test]
    fn patterns_that_could_never_match_are_refused() {
        for (text, fault) in [
            ("a", PathFault::NoSlash),
            ("", PathFault::NoSlash),
            ("/a*", PathFault::Star),
            ("/*/a", PathFault::Star),
            ("/a{b}", PathFault::Star),
            ("/{a}/{a}", PathFault::Parameter),
            ("/{}", PathFault::Parameter),
            ("/{a-b}", PathFault::Parameter),
            ("/a//b", PathFault::Literal),
            ("/a/", PathFault::LastSlash),
            ("//*", PathFault::Literal),
            ("/../a", PathFault::Literal),
            ("/a?b", PathFault::Literal),
        ] {
            assert_eq!(RoutePath::parse(text).unwrap_err(), fault, "{text}");
        }
    }
}
