//! Which tests there are, so that a table that names one can be held to it.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

/// The names of all tests, without their modules: those of this binary as it lists them, macros and all, and those beside
/// the code.
pub fn all() -> HashSet<String> {
    let mut names = in_this_binary();
    names.extend(beside_the_code());
    names
}

/// The names in the last cell of a table's rows that end in one.
pub fn named_in(table: &str) -> Vec<&str> {
    let rows = table.lines().filter(|line| line.starts_with("| ") && line.ends_with("` |"));
    rows.filter_map(|row| row.rsplit('|').nth(1)).flat_map(in_backticks).collect()
}

/// What stands in backticks in a cell.
pub fn in_backticks(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn in_this_binary() -> HashSet<String> {
    let this = std::env::current_exe().expect("a test knows its binary");
    let listed = Command::new(this).arg("--list").output().expect("the binary lists its tests");
    let listed = String::from_utf8(listed.stdout).expect("names are UTF-8");
    let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
    names.filter_map(|name| name.rsplit("::").next()).map(str::to_owned).collect()
}

fn beside_the_code() -> HashSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pattern = r"#\[(tokio::)?test\b";
    let found = Command::new("git")
        .args(["grep", "--untracked", "-hE", "-A4", pattern, "--", "src"])
        .current_dir(root)
        .output();
    let found = String::from_utf8(found.expect("git can search").stdout).expect("names are UTF-8");
    let mut names = HashSet::new();
    let mut after_attribute = false;
    for line in found.lines().map(str::trim) {
        if line.starts_with("#[test") || line.starts_with("#[tokio::test") {
            after_attribute = true;
        } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| after_attribute) {
            names.extend(rest.split('(').next().map(str::to_owned));
            after_attribute = false;
        }
    }
    names
}
