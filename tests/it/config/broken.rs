//! Broken files, and exactly what is said about each.

use std::collections::BTreeSet;
use std::path::PathBuf;

use sidegate::config::reference::{SECTIONS, Shape};

use super::{accepted, assert_pinned, fixtures, parse, refused, whole_but_for};

#[test]
fn every_broken_file_gets_the_pinned_answer() {
    let files = broken_files();
    assert!(files.len() >= 40, "{} files", files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert_pinned(&file.with_extension("txt"), &format!("{}\n", refused(&text)));
    }
}

#[test]
fn every_key_is_refused_in_some_broken_file() {
    let texts = broken_files().into_iter().map(|file| std::fs::read_to_string(file).unwrap());
    let refused: BTreeSet<String> = texts
        .flat_map(|text| parse(&text).map(|_| ()).unwrap_err().list)
        .filter(|problem| problem.message != "unknown key")
        .map(|problem| problem.key_path)
        .collect();
    for section in SECTIONS {
        for key in section.keys {
            let prefix = match section.shape {
                Shape::Table if section.path.is_empty() => key.name.to_owned(),
                Shape::Table => format!("{}.{}", section.path, key.name),
                Shape::Free => format!("{}.", section.path),
                Shape::Named => format!("{}.default.{}", section.path, key.name),
                Shape::List => format!("{}[0].{}", section.path, key.name),
            };
            assert!(refused.iter().any(|path| path.starts_with(&prefix)), "{prefix} is in no broken file");
        }
    }
}

#[test]
fn no_answer_shows_a_secret() {
    for file in broken_files() {
        let said = refused(&std::fs::read_to_string(&file).unwrap());
        assert!(!said.contains("secret@") && !said.contains("password=") && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn whatever_a_key_says_it_is_taken_or_named() {
    let junk = [
        r#""""#,
        r#"" ""#,
        r#""x""#,
        r#""/x""#,
        r#""1s""#,
        r#""${X}""#,
        r#""\u0000""#,
        "0",
        "-1",
        "1.5",
        "true",
        "[]",
        "['']",
        "[1]",
        "[[]]",
        "{}",
        "{ a = 1 }",
        "1979-05-27",
        "nan",
        "99999999999999999999",
    ];
    for section in SECTIONS {
        for key in section.keys {
            for junk in junk {
                let (text, path) = match section.shape {
                    Shape::Table if section.path.is_empty() => (String::new(), key.name.to_owned()),
                    Shape::Table | Shape::Free => {
                        (format!("[{}]\n", section.path), format!("{}.{}", section.path, key.name))
                    }
                    Shape::Named => ("[upstream.default]\n".to_owned(), format!("upstream.default.{}", key.name)),
                    Shape::List => (whole_but_for(section.path, key.name), format!("{}[0].{}", section.path, key.name)),
                };
                let text = format!("{text}{} = {junk}\n", key.name);
                if let Err(problems) = parse(&text) {
                    let named = problems.list.iter().any(|problem| problem.key_path.starts_with(&path));
                    assert!(named, "{text}\n{problems}");
                }
            }
        }
    }
}

#[test]
fn a_problem_is_all_that_keeps_a_file_from_being_used() {
    accepted("session.idle_ttl = '29d'");
    refused("session.idle_ttl = '31d'");
}

fn broken_files() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(fixtures().join("broken")).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}
