//! The paths of all rules by their segments: what a request costs depends on its own path, not on how many rules there are.

use std::collections::BTreeMap;

use super::{RoutePath, Segment};

/// What is found below one beginning of a path. An entry is whatever number its path was added with.
#[derive(Clone, Debug, Default)]
pub(super) struct PathTree {
    literals: BTreeMap<String, PathTree>,
    parameter: Option<Box<PathTree>>,
    ends_here: Vec<usize>,
    open_ended: Vec<usize>,
}

impl PathTree {
    pub(super) fn add(&mut self, path: &RoutePath, entry: usize) {
        let node = path.segments.iter().fold(self, |node, segment| match segment {
            Segment::Literal(literal) => node.literals.entry(literal.clone()).or_default(),
            Segment::Parameter(_) => node.parameter.get_or_insert_default(),
        });
        if path.open_ended { &mut node.open_ended } else { &mut node.ends_here }.push(entry);
    }

    /// The entries of all paths that match, in the order of their numbers.
    pub(super) fn find(&self, segments: &[String]) -> Vec<usize> {
        let mut found = Vec::new();
        self.collect(segments, &mut found);
        found.sort_unstable();
        found
    }

    fn collect(&self, segments: &[String], found: &mut Vec<usize>) {
        found.extend(&self.open_ended);
        let Some((first, rest)) = segments.split_first() else { return found.extend(&self.ends_here) };
        for below in self.literals.get(first).into_iter().chain(self.parameter.as_deref()) {
            below.collect(rest, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::target::Target;

    proptest! {
        #[test]
        fn it_finds_what_asking_each_path_finds(
            paths in prop::collection::vec("(/(a|b|\\{p\\})){0,1}(/(a|b|\\{q\\})){0,2}(/\\*)?", 0..12),
            target in "/((a|b|c)(/(a|b|c)){0,3}/?)?",
        ) {
            let paths: Vec<RoutePath> = paths.iter().filter_map(|path| RoutePath::parse(path).ok()).collect();
            let target = Target::parse(target.as_bytes()).unwrap();
            let mut tree = PathTree::default();
            for (entry, path) in paths.iter().enumerate() {
                tree.add(path, entry);
            }
            let matching: Vec<usize> =
                (0..paths.len()).filter(|&entry| paths[entry].parameters(&target).is_some()).collect();
            prop_assert_eq!(tree.find(target.segments()), matching);
        }
    }
}
