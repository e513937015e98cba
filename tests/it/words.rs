//! Words that no file of the repository may hold: traces of the machine it was written on, and of unfinished work.

use std::path::Path;
use std::process::Command;

/// Put together here, so that this file does not hold them.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("/wo", "rk/"), "a path of a developer's machine"),
    (concat!("/tmp/", "wt"), "a path of a developer's machine"),
    (concat!("/ro", "ot/"), "a path of a developer's machine"),
    (concat!("to", "do!"), "unfinished work"),
    (concat!("un", "implemented!"), "unfinished work"),
    (concat!("db", "g!"), "unfinished work"),
    (concat!("FIX", "ME"), "unfinished work"),
    (concat!("XX", "X"), "unfinished work"),
    (concat!("replace", "-with"), "another registry than crates.io"),
    (concat!("registry", " = \""), "another registry than crates.io"),
];

/// Where every locked package comes from.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What is wrong with a file, line by line.
fn findings(file: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (word, reason) in FORBIDDEN.iter().filter(|(word, _)| holds(line, word)) {
            findings.push(format!("{file}:{}: {word} ({reason})", number + 1));
        }
        let source = line.strip_prefix("source = \"").and_then(|rest| rest.strip_suffix('"'));
        if let Some(source) = source.filter(|source| file.ends_with("Cargo.lock") && *source != CRATES_IO) {
            findings.push(format!("{file}:{}: {source} (another registry than crates.io)", number + 1));
        }
    }
    findings
}

/// Whether the word stands there by itself, and not within a longer one.
fn holds(line: &str, word: &str) -> bool {
    let is_joined = |character: Option<char>| character.is_some_and(|it| it.is_alphanumeric() || "_-.".contains(it));
    line.match_indices(word).any(|(at, _)| {
        let ends_open = !word.ends_with(char::is_alphanumeric);
        let after = line[at + word.len()..].chars().next();
        !is_joined(line[..at].chars().next_back()) && (ends_open || !is_joined(after.filter(|it| *it != '.')))
    })
}

#[test]
fn no_file_holds_a_trace_of_its_making() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output().expect("git runs");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let files = String::from_utf8(listed.stdout).expect("the names are UTF-8");
    let files: Vec<&str> = files.split_terminator('\0').collect();
    assert!(files.contains(&"Cargo.lock") && files.len() > 20, "these are not all files: {files:?}");

    let mut all = Vec::new();
    for file in files {
        // A file that was removed but not committed is still listed; a binary one holds no words.
        if let Ok(text) = std::fs::read_to_string(root.join(file)) {
            all.extend(findings(file, &text));
        }
    }

    assert!(all.is_empty(), "\n{}\n", all.join("\n"));
}

#[test]
fn planted_words_are_found() {
    for (word, _) in FORBIDDEN {
        for line in [(*word).to_owned(), format!("// ({word}).")] {
            assert_eq!(findings("a.rs", &format!("one\n{line}\n")).len(), 1, "{line}");
        }
    }
    let mirror = "[[package]]\nsource = \"registry+https://mirror.example/index\"\n";
    assert_eq!(findings("Cargo.lock", mirror).len(), 1);
}

#[test]
fn longer_words_are_left_alone() {
    let lines =
        ["mktemp -d sidegate.XXXXXX", "src/network/work/x", "the todo list", "target/root/x", "AXXXB", CRATES_IO];

    for line in lines {
        assert_eq!(findings("a.sh", line), Vec::<String>::new());
    }
    assert!(findings("Cargo.lock", &format!("source = \"{CRATES_IO}\"")).is_empty());
}
