//! The page about the keys, and that it speaks the truth.

use sidegate::config::reference::{Kind, SECTIONS, Shape, page};

use super::{accepted, assert_pinned, parse, root, whole_but_for};

#[test]
fn the_page_is_what_the_code_says() {
    assert_pinned(&root().join("docs/configuration.md"), &page());
}

#[test]
fn a_file_that_says_every_default_is_the_empty_file() {
    let mut text = String::new();
    for section in SECTIONS.iter().filter(|section| matches!(section.shape, Shape::Table | Shape::Named)) {
        match section.shape {
            Shape::Named => text.push_str("[upstream.default]\n"),
            _ if section.path.is_empty() => {}
            _ => text.extend([&section.heading(), "\n"]),
        }
        for key in section.keys {
            // SQLite has a default of its own, and the store's address stands in one place only.
            let depends = matches!((section.path, key.name), ("revocation", "poll_interval") | ("store", "url_file"));
            if !depends {
                text.extend([key.name, " = ", key.default, "\n"]);
            }
        }
    }
    assert_eq!(format!("{:?}", accepted(&text)), format!("{:?}", accepted("")));
}

#[test]
fn every_documented_word_is_accepted() {
    for section in SECTIONS {
        let heading = |key: &str| match section.shape {
            Shape::List => whole_but_for(section.path, key),
            Shape::Named => "[upstream.default]".to_owned(),
            _ if section.path == "cookie" => "[cookie]\nmode = true".to_owned(),
            _ => section.heading(),
        };
        for key in section.keys {
            let Kind::Word(words) = key.kind else { continue };
            for word in words {
                // What else a word asks for may be missing.
                let refused = parse(&format!("{}\n{} = '{word}'", heading(key.name), key.name)).err();
                let problems = refused.into_iter().flat_map(|problems| problems.list);
                let about_it = problems.filter(|problem| problem.key_path.ends_with(&format!(".{}", key.name)));
                assert_eq!(about_it.collect::<Vec<_>>(), [], "{} = {word:?}", key.name);
            }
        }
    }
}

#[test]
fn the_page_names_the_default_identity_headers() {
    let text = std::fs::read_to_string(root().join("config.toml")).unwrap();
    let headers: Vec<&str> = text.lines().filter(|line| line.starts_with("X-Auth-")).collect();
    assert_eq!(headers.len(), 3);
    for line in headers {
        assert!(page().contains(&format!("`{line}`")), "{line}");
    }
}
