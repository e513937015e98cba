//! The properties of `fuzz/` without a fuzzer: every seed, among them each input that once broke one, and a fixed number
//! of mutations of them, the same ones in every run.

#![expect(unreachable_pub, reason = "a test binary exports nothing; the fuzz targets import the same files")]

mod mutation;
#[path = "../../fuzz/properties/lib.rs"]
mod properties;

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use mutation::{Mutations, words};
use properties::{ALL, Property};

#[test]
fn every_seed_holds() {
    for (name, property) in ALL {
        for (file, seed) in seeds(name) {
            assert_holds(property, &seed, &file.display().to_string());
        }
    }
}

#[test]
fn every_mutated_access_token_holds() {
    mutated("access_token", 20_000);
}

#[test]
fn every_mutated_body_holds() {
    mutated("body", 20_000);
}

#[test]
fn every_mutated_configuration_holds() {
    mutated("config", 2_000);
}

#[test]
fn every_mutated_cookie_line_holds() {
    mutated("cookie", 20_000);
}

#[test]
fn every_mutated_forwarding_line_holds() {
    mutated("forwarded", 20_000);
}

#[test]
fn every_mutated_head_holds() {
    mutated("head", 20_000);
}

#[test]
fn every_mutated_identity_holds() {
    mutated("identity", 20_000);
}

#[test]
fn every_mutated_refresh_token_holds() {
    mutated("refresh_token", 20_000);
}

#[test]
fn every_mutated_route_holds() {
    mutated("route", 20_000);
}

#[test]
fn every_mutated_target_holds() {
    mutated("target", 20_000);
}

/// A property that nobody runs would be no property.
#[test]
fn every_property_has_seeds_words_and_a_fuzz_target() {
    let names: BTreeSet<String> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    let stems = |folder: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(stems("seeds"), names);
    assert_eq!(stems("fuzz_targets"), names);
    assert_eq!(&stems("properties") - &names, ["lib".to_owned()].into());
    let manifest: toml::Table = std::fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let binaries = manifest["bin"].as_array().unwrap().iter().map(|binary| binary["name"].as_str().unwrap().to_owned());
    assert_eq!(binaries.collect::<BTreeSet<_>>(), names);
    for name in names {
        assert!(seeds(&name).len() >= 5 && words(&dictionary(&name)).len() >= 5, "{name}");
        let target = std::fs::read_to_string(root().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("properties::{name}::holds(")), "{target}");
    }
}

fn mutated(name: &str, count: usize) {
    let (_, property) = ALL.into_iter().find(|(property, _)| *property == name).expect("a property");
    let seeds: Vec<Vec<u8>> = seeds(name).into_iter().map(|(_, seed)| seed).collect();
    for input in Mutations::new(seeds, words(&dictionary(name))).take(count) {
        assert_holds(property, &input, "a mutation");
    }
}

fn assert_holds(property: Property, input: &[u8], origin: &str) {
    let holds = catch_unwind(|| property(input)).is_ok();
    assert!(holds, "{origin} breaks the property; once it is mended, keep it as a seed: \"{}\"", input.escape_ascii());
}

/// In the order of their names.
fn seeds(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = std::fs::read_dir(root().join("seeds").join(name)).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), std::fs::read(file).unwrap())).collect()
}

fn dictionary(name: &str) -> String {
    std::fs::read_to_string(root().join(format!("{name}.dict"))).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}
