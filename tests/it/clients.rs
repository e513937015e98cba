//! Clients that know nothing of sidegate: OAuth libraries as they are published, in pinned versions.
//!
//! Each case is a function of a script in `tests/clients`, which holds its assertions; here is what it plays against.

mod cases;
mod stage;

/// Which versions were tried is said once in the documentation, and once where they are installed from.
#[test]
fn the_versions_that_were_tried_are_those_that_are_named() {
    const PAGE: &str = include_str!("../../docs/clients.md");
    let package: serde_json::Value = include_str!("../clients/package.json").parse().expect("it is JSON");
    let of_node = package["dependencies"].as_object().expect("it has dependencies").iter();
    let mut tried: Vec<(&str, &str)> =
        of_node.map(|(name, version)| (name.as_str(), version.as_str().expect("a text"))).collect();
    let of_python = include_str!("../clients/requirements.txt").lines().filter_map(|line| line.split_once("=="));
    tried.extend(of_python.filter(|(name, _)| *name == "requests-oauthlib"));

    for (name, version) in &tried {
        let row = PAGE.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/clients.md has no row for {name}"));
        assert_eq!(row.split('|').nth(2).map(str::trim), Some(*version), "{name}");
    }
    assert_eq!(PAGE.matches("\n| `").count(), tried.len());
}
