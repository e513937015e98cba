//! What a new user does: a fresh copy of the source, and only what the README says.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::named_tests;
use crate::support::process::Process;

const README: &str = include_str!("../../README.md");

/// The commands of the README: its `sh` blocks, in order.
fn blocks() -> Vec<&'static str> {
    README.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// Every file git tracks, as it is in the work tree.
fn fresh_copy(into: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output().expect("git lists the files");
    let names = String::from_utf8(listed.stdout).expect("names are UTF-8");
    for name in names.split('\0').filter(|name| !name.is_empty() && root.join(name).exists()) {
        let target = into.join(name);
        std::fs::create_dir_all(target.parent().expect("a file is in a folder")).expect("the folder can be made");
        std::fs::copy(root.join(name), target).expect("the file can be copied");
    }
}

/// 401, a pair, 200 with identity, a new pair, the old one refused, logged out, and a second start with the same users.
#[tokio::test]
async fn the_readme_does_what_it_says() {
    let [demo, session, tests] = blocks().try_into().expect("the README has three blocks of commands");
    let copy = tempfile::tempdir().expect("a folder can be made");
    fresh_copy(copy.path());
    let target = Path::new(env!("CARGO_BIN_EXE_sidegate")).ancestors().nth(2).expect("the binary lies in target/debug");

    let mut command = Command::new("bash");
    command.args(["-euc", demo]).current_dir(copy.path()).env("CARGO_TARGET_DIR", target);
    let mut running = Process::start(&mut command);
    running.wait_for_within("Ctrl-C stops it", Duration::from_mins(10)).await;

    let mut command = Command::new("bash");
    let typed = Process::start(command.args(["-uc", session]).current_dir(copy.path()));
    let output = typed.finish().await.stdout;
    let statuses: Vec<&str> =
        output.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 ")).map(|line| &line[..3]).collect();
    assert_eq!(statuses, ["401", "200", "400", "200", "401"], "{output}");
    assert_eq!(output.matches("\"refresh_token\":\"sgr1_").count(), 2, "{output}");
    assert!(output.contains("x-the-api-saw: x-auth-subject: demo"), "{output}");
    assert!(!running.output().contains("GET /api/notes (no identity)"), "the API heard of a refused request");

    running.signal("INT");
    assert!(running.exit_within(Duration::from_secs(20)).await.success());
    assert_eq!(tests.trim(), "./scripts/test");
}

#[test]
fn the_demo_prints_the_lines_of_the_readme() {
    let printed = include_str!("../../src/demo/lines.txt").replace("{gate}", "127.0.0.1:8080");
    let session = blocks()[1];
    assert!(printed.contains(session), "src/demo/lines.txt and README.md differ");
}

#[test]
fn the_ci_run_calls_the_readmes_test_command() {
    let run = include_str!("../../.ci/run");
    let last = run.lines().rfind(|line| !line.trim().is_empty()).expect("the script has lines");
    assert_eq!(last, format!("exec {}", blocks()[2].trim().trim_start_matches("./")));
}

/// Tables that say what holds name the tests that show it, and these exist.
#[test]
fn every_test_that_a_table_names_exists() {
    const THREATS: &str = include_str!("../../docs/threats.md");
    let tests = named_tests::all();
    let (_, holds) = README.split_once("## What holds").expect("the README says what holds");
    let (holds, _) = holds.split_once("\n## ").expect("another section follows");
    for (table, least) in [(holds, 15), (THREATS, 40)] {
        let named = named_tests::named_in(table);
        assert!(named.len() >= least, "only {} tests are named", named.len());
        let missing: Vec<_> = named.iter().filter(|name| !tests.contains(**name)).collect();
        assert!(missing.is_empty(), "there are no such tests: {missing:?}");
    }
}
