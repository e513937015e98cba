//! Which names a source file uses, as absolute paths: `std::…`, `crate::…` or another crate's.
//!
//! Found are imports (groups, renames, globs, `extern crate`), paths in expressions, types, patterns and attributes, and
//! whatever looks like a path in the tokens of a macro call. Not found is what has no path: a method that gives out a
//! value of a forbidden type, or a re-export under an innocent name.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Ident, ItemExternCrate, ItemMod, ItemUse, Path, UseTree};

/// One use of a name.
#[derive(Clone, Debug)]
pub(super) struct Name {
    /// From the crate on: `["std", "time", "Instant"]`, `["crate", "store"]`.
    pub path: Vec<String>,
    /// Whether everything below the path is meant.
    pub is_glob: bool,
    /// What the first segment was imported as, if it was: that import is a use of its own.
    pub import: Option<Vec<String>>,
    pub line: usize,
    /// Whether it stands in a `#[cfg(test)]` module.
    pub in_tests: bool,
}

/// The names that a module's source uses.
///
/// `module` is the path of the file's module below the crate; `crates` are the names of other crates.
pub(super) fn names(module: &[&str], source: &str, crates: &BTreeSet<String>) -> syn::Result<Vec<Name>> {
    let file = syn::parse_file(source)?;
    let mut found = Found { module: module.iter().map(|part| (*part).to_owned()).collect(), ..Found::default() };
    found.visit_file(&file);
    let resolver = Resolver::new(&found, crates);
    Ok(found.uses.iter().flat_map(|used| resolver.resolve(used)).collect())
}

/// A path as it is written.
#[derive(Clone, Debug)]
struct Written {
    segments: Vec<String>,
    /// Begins with `::`: another crate's, whatever is called so here.
    is_external: bool,
    is_glob: bool,
    /// The name it is imported under.
    import: Option<String>,
    /// Where `self` and `super` start.
    module: Vec<String>,
    line: usize,
    in_tests: bool,
}

#[derive(Default)]
struct Found {
    uses: Vec<Written>,
    /// Modules declared in this file, with where.
    declared: BTreeSet<Vec<String>>,
    module: Vec<String>,
    in_tests: bool,
}

impl Found {
    fn add(&mut self, segments: Vec<String>, span: Span) -> &mut Written {
        self.uses.push(Written {
            segments,
            is_external: false,
            is_glob: false,
            import: None,
            module: self.module.clone(),
            line: span.start().line,
            in_tests: self.in_tests,
        });
        self.uses.last_mut().expect("one was pushed")
    }

    fn add_tree(&mut self, prefix: &[String], is_external: bool, tree: &UseTree) {
        let with = |ident: &Ident| [prefix, &[name(ident)]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&with(&path.ident), is_external, &path.tree),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_tree(prefix, is_external, tree);
                }
            }
            UseTree::Glob(glob) => {
                let written = self.add(prefix.to_vec(), glob.star_token.spans[0]);
                (written.is_glob, written.is_external) = (true, is_external);
            }
            UseTree::Name(leaf) => self.add_leaf(prefix, is_external, &leaf.ident, &leaf.ident),
            UseTree::Rename(leaf) => self.add_leaf(prefix, is_external, &leaf.ident, &leaf.rename),
        }
    }

    fn add_leaf(&mut self, prefix: &[String], is_external: bool, ident: &Ident, rename: &Ident) {
        // `use a::{self}` and `use a::{self as b}` import `a`.
        let is_self = ident == "self" && !prefix.is_empty();
        let segments = if is_self { prefix.to_vec() } else { [prefix, &[name(ident)]].concat() };
        let import = if rename == "self" { segments.last().cloned() } else { Some(name(rename)) };
        let written = self.add(segments, ident.span());
        (written.import, written.is_external) = (import, is_external);
    }

    /// Paths in tokens that nobody has parsed.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at = match &tokens[at] {
                TokenTree::Group(group) => {
                    self.add_tokens(group.stream());
                    at + 1
                }
                TokenTree::Ident(first) => self.add_token_path(&tokens, at, first),
                _ => at + 1,
            };
        }
    }

    /// Returns where to go on.
    fn add_token_path(&mut self, tokens: &[TokenTree], start: usize, first: &Ident) -> usize {
        let is_import =
            start > 0 && matches!(&tokens[start - 1], TokenTree::Ident(before) if before == "use" || before == "crate");
        let is_external = start > 1 && is_colons(&tokens[start - 2..]);
        let mut segments = vec![name(first)];
        let mut at = start + 1;
        while is_colons(tokens.get(at..).unwrap_or_default()) {
            match tokens.get(at + 2) {
                Some(TokenTree::Ident(next)) => {
                    segments.push(name(next));
                    at += 3;
                }
                Some(TokenTree::Group(group)) => {
                    let tree = TokenStream::from(TokenTree::Group(group.clone()));
                    if let Ok(tree) = syn::parse2::<UseTree>(tree) {
                        self.add_tree(&segments, is_external, &tree);
                    }
                    return at + 3;
                }
                after => {
                    let is_glob = matches!(after, Some(TokenTree::Punct(star)) if star.as_char() == '*');
                    let written = self.add(segments, first.span());
                    (written.is_glob, written.is_external) = (is_glob, is_external);
                    return at + 2;
                }
            }
        }
        if segments.len() > 1 || is_import {
            let rename = match (tokens.get(at), tokens.get(at + 1)) {
                (Some(TokenTree::Ident(r#as)), Some(TokenTree::Ident(rename))) if r#as == "as" => Some(name(rename)),
                _ => is_import.then(|| segments[segments.len() - 1].clone()),
            };
            let written = self.add(segments, first.span());
            (written.import, written.is_external) = (rename, is_external);
        }
        at
    }
}

impl<'ast> Visit<'ast> for Found {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(name(&item.ident));
        self.declared.insert(self.module.clone());
        let outside = self.in_tests;
        self.in_tests |= item.attrs.iter().any(is_cfg_test);
        visit::visit_item_mod(self, item);
        self.in_tests = outside;
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_tree(&[], item.leading_colon.is_some(), &item.tree);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast ItemExternCrate) {
        let rename = item.rename.as_ref().map_or(&item.ident, |(_, rename)| rename);
        self.add_leaf(&[], true, &item.ident, rename);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if let Some(first) = path.segments.first().filter(|_| path.segments.len() > 1) {
            let segments = path.segments.iter().map(|segment| name(&segment.ident)).collect();
            self.add(segments, first.ident.span()).is_external = path.leading_colon.is_some();
        }
        visit::visit_path(self, path);
    }

    // Of macro calls, attributes, and whatever syn does not know.
    fn visit_token_stream(&mut self, tokens: &'ast TokenStream) {
        self.add_tokens(tokens.clone());
    }
}

struct Resolver<'a> {
    imports: BTreeMap<&'a str, Vec<&'a Written>>,
    declared: &'a BTreeSet<Vec<String>>,
    crates: &'a BTreeSet<String>,
}

impl<'a> Resolver<'a> {
    fn new(found: &'a Found, crates: &'a BTreeSet<String>) -> Self {
        let mut imports: BTreeMap<&str, Vec<&Written>> = BTreeMap::new();
        for written in &found.uses {
            if let Some(import) = &written.import {
                imports.entry(import).or_default().push(written);
            }
        }
        Self { imports, declared: &found.declared, crates }
    }

    /// Every absolute path this may mean; none if it is local to the file. Imports are not told apart by scope.
    fn resolve(&self, written: &Written) -> Vec<Name> {
        let name = |path, import| Name {
            path,
            import,
            is_glob: written.is_glob,
            line: written.line,
            in_tests: written.in_tests,
        };
        let mut names: Vec<Name> = self.direct(written).into_iter().map(|path| name(path, None)).collect();
        if names.is_empty() {
            let through_imports = self.paths(written, 0).into_iter();
            names.extend(through_imports.map(|(path, import)| name(path, Some(import))));
        }
        names
    }

    /// The paths that begin with an imported name, each with what that was imported from.
    fn paths(&self, written: &Written, depth: usize) -> Vec<(Vec<String>, Vec<String>)> {
        let (first, rest) = written.segments.split_first().expect("a path has a segment");
        let mut paths = Vec::new();
        for import in self.imports.get(first.as_str()).into_iter().flatten() {
            let target = match self.direct(import) {
                Some(target) => vec![target],
                // An import of an import. A chain of five is long enough; a circle has to end somewhere.
                None if depth < 5 && import.segments[0] != *first => {
                    self.paths(import, depth + 1).into_iter().map(|(path, _)| path).collect()
                }
                None => Vec::new(),
            };
            paths.extend(target.into_iter().map(|target| ([&target, rest].concat(), target)));
        }
        paths
    }

    /// The path, unless its first segment has to be looked up among the imports.
    fn direct(&self, written: &Written) -> Option<Vec<String>> {
        let (first, mut rest) = written.segments.split_first()?;
        let mut module = written.module.clone();
        match first.as_str() {
            "crate" | "sidegate" => module.clear(),
            "self" | "super" => {
                if first == "super" {
                    module.pop();
                }
                while let Some(("super", after)) = rest.split_first().map(|(next, after)| (next.as_str(), after)) {
                    module.pop();
                    rest = after;
                }
            }
            "std" | "core" | "alloc" => return Some([&["std".to_owned()], rest].concat()),
            _ if written.is_external => return Some(written.segments.clone()),
            _ if self.is_imported(first, written) => return None,
            _ if self.declared.contains(&[module.as_slice(), std::slice::from_ref(first)].concat()) => {
                module.push(first.clone());
            }
            _ if self.crates.contains(first) => return Some(written.segments.clone()),
            _ => return None,
        }
        Some([&["crate".to_owned()], module.as_slice(), rest].concat())
    }

    /// Whether another import than this one brings the name. `use serde_json::{self, Value}` does not hide the crate.
    fn is_imported(&self, first: &str, written: &Written) -> bool {
        let imports = self.imports.get(first).into_iter().flatten();
        imports.into_iter().any(|import| !std::ptr::eq(*import, written) && import.segments != [first])
    }
}

fn name(ident: &Ident) -> String {
    let name = ident.to_string();
    name.strip_prefix("r#").map(str::to_owned).unwrap_or(name)
}

fn is_cfg_test(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") && attribute.parse_args::<Ident>().is_ok_and(|condition| condition == "test")
}

fn is_colons(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [TokenTree::Punct(first), TokenTree::Punct(second), ..]
        if first.as_char() == ':' && second.as_char() == ':')
}
