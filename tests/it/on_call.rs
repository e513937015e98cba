//! The on-call page: each of its commands is typed in a deployment in trouble, prints what the page says, and helps.

use std::process::Command;

use serde_json::json;

use crate::support::client::{Pair, call, logged_in, login, oauth_error, refresh, until_refused};
use crate::support::deployment::{Deployment, PASSWORD, Replica, StoreKind, USER};
use crate::support::process::Process;
use crate::support::raw::{exchange, request};

const PAGE: &str = include_str!("../../docs/on-call.md");
const ADMINISTRATOR: &str = "an administrator's password";

/// What the capital words of the page stand for.
#[derive(Default)]
struct Meaning {
    session: String,
    key: String,
    secret: String,
}

/// The commands of a section, each with what it prints.
fn commands(section: &str) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    let blocks = section.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    for line in blocks.flat_map(str::lines) {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), Vec::new())),
            (None, Some((_, output))) => output.push(line.to_owned()),
            (None, None) => panic!("output without a command: {line}"),
        }
    }
    commands
}

fn section(heading: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("\n## {heading}\n")).expect("the page has the section");
    rest.split("\n## ").next().expect("it ends")
}

/// A line with what differs each time as the page writes it, and single spaces.
fn as_on_the_page(line: &str) -> String {
    let lead = line.len() - line.trim_start().len();
    let mut before = "";
    let words = line.split_whitespace().map(|word| {
        let core = word.trim_end_matches([':', ',']);
        let end = &word[core.len()..];
        let is_hex = core.bytes().all(|byte| byte.is_ascii_hexdigit());
        let stands_for = match core {
            _ if core.starts_with("{\"alg\"") => "HEADER",
            _ if core.starts_with("{\"aud\"") => "CLAIMS",
            _ if core.len() == 32 && is_hex => "SESSION",
            _ if core.len() == 8 && is_hex => "SECRET",
            _ if core.len() == 43 && core.is_ascii() => "KEY",
            _ if core.len() == 20 && core.starts_with("20") && core.ends_with('Z') => "TIME",
            _ if before == "after" && core.bytes().all(|byte| byte.is_ascii_digit()) => "N",
            _ => core,
        };
        before = word;
        format!("{stands_for}{end}")
    });
    format!("{}{}", " ".repeat(lead), words.collect::<Vec<_>>().join(" "))
}

/// Types a section's commands into a shell, and insists on what the page says they print.
async fn follow(deployment: &Deployment, heading: &str, meaning: &Meaning) {
    let commands = commands(section(heading));
    assert!(!commands.is_empty(), "{heading}");
    for (command, expected) in commands {
        let typed = command.replace("SESSION", &meaning.session).replace("KEY", &meaning.key);
        let typed = typed.replace("SECRET", &meaning.secret);
        let folder = std::path::Path::new(env!("CARGO_BIN_EXE_sidegate")).parent().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("PATH={}:$PATH; {typed}", folder.display())]);
        let finished = Process::start(shell.current_dir(deployment.home.path(""))).finish().await;
        let printed: Vec<String> = finished.stdout.lines().map(as_on_the_page).collect();
        let expected: Vec<String> = expected.iter().map(|line| as_on_the_page(line)).collect();
        assert_eq!(printed, expected, "{typed}\n{}", finished.stderr);
        assert_eq!(finished.stderr, "", "{typed}");
    }
}

async fn in_trouble() -> (Deployment, Replica) {
    let deployment = Deployment::new(StoreKind::Sqlite, "admin.listen = \"unix:admin.sock\"").await;
    deployment.add_user("bob", ADMINISTRATOR, &["--role", "admin"]).await;
    let replica = deployment.replica().await;
    (deployment, replica)
}

/// The first word of the first line of `keys list` that says so.
async fn listed(deployment: &Deployment, state: &str) -> String {
    let list = deployment.command(&["keys", "list"]).await.stdout;
    let line = list.lines().find(|line| line.contains(state)).unwrap_or_else(|| panic!("{state} is not in\n{list}"));
    line.split_whitespace().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_leaked() {
    let (deployment, replica) = in_trouble().await;
    let (leaked, other) = (logged_in(replica.gate).await, logged_in(replica.gate).await);
    deployment.home.write("leaked-token", &leaked.access);
    let me = call(replica.gate, "/auth/me", &leaked.access).await.json();
    let session = me["sid"].as_str().unwrap().to_owned();
    follow(&deployment, "A token leaked", &Meaning { session, ..Meaning::default() }).await;
    assert_eq!(call(replica.gate, "/", &leaked.access).await.status, 401);
    assert_eq!(oauth_error(&refresh(replica.gate, &leaked.refresh, None).await, 400), "invalid_grant");
    assert_eq!(call(replica.gate, "/", &other.access).await.status, 200);
}

#[tokio::test]
async fn a_laptop_was_stolen() {
    let (deployment, replica) = in_trouble().await;
    let pairs = [logged_in(replica.gate).await, logged_in(replica.gate).await];
    deployment.home.write("new-password", "nobody has guessed this\n");
    follow(&deployment, "A laptop was stolen", &Meaning::default()).await;
    for pair in pairs {
        until_refused(replica.gate, &pair.access).await;
        assert_eq!(oauth_error(&refresh(replica.gate, &pair.refresh, None).await, 400), "invalid_grant");
    }
    assert_eq!(oauth_error(&login(replica.gate, USER, PASSWORD).await, 400), "invalid_grant");
    Pair::read(&login(replica.gate, USER, "nobody has guessed this").await);
}

#[tokio::test]
async fn an_address_is_up_to_no_good() {
    let (deployment, replica) = in_trouble().await;
    let owner = logged_in(replica.gate).await;
    let login = request("POST", "/login").json(&json!({ "username": USER, "password": PASSWORD }));
    let robot = exchange(replica.gate, login.header("User-Agent", "Python-Requests/2.31").bytes()).await;
    let robot = Pair::read(&robot);
    follow(&deployment, "An address is up to no good", &Meaning::default()).await;
    assert_eq!(call(replica.gate, "/", &robot.access).await.status, 401);
    assert_eq!(call(replica.gate, "/", &owner.access).await.status, 200);
}

#[tokio::test]
async fn an_administrator_left() {
    let (deployment, replica) = in_trouble().await;
    let pair = Pair::read(&login(replica.gate, "bob", ADMINISTRATOR).await);
    follow(&deployment, "An administrator left", &Meaning::default()).await;
    until_refused(replica.gate, &pair.access).await;
    assert_eq!(oauth_error(&refresh(replica.gate, &pair.refresh, None).await, 400), "invalid_grant");
    assert_eq!(oauth_error(&login(replica.gate, "bob", ADMINISTRATOR).await, 400), "invalid_grant");
}

#[tokio::test]
async fn the_signing_key_leaked() {
    let (deployment, replica) = in_trouble().await;
    let pair = logged_in(replica.gate).await;
    let key = listed(&deployment, "ES256").await;
    follow(&deployment, "The signing key leaked", &Meaning { key, ..Meaning::default() }).await;
    until_refused(replica.gate, &pair.access).await;
    Pair::read(&refresh(replica.gate, &pair.refresh, None).await);
}

#[tokio::test]
async fn the_operator_secret_leaked() {
    let (deployment, replica) = in_trouble().await;
    let pair = logged_in(replica.gate).await;
    let leaked = std::fs::read(deployment.home.path("secret")).unwrap();
    let mut running = replica.process;
    // Both files, the new one first; then the new one alone.
    deployment.home.write("old-secret", leaked);
    deployment.home.write("secret", "0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5a6b7c82f1d7a9c5be8403\n");
    for files in ["[\"secret\", \"old-secret\"]", "[\"secret\"]"] {
        running.terminate();
        assert!(running.exit().await.success());
        let config = std::fs::read_to_string(deployment.home.path("config.toml")).unwrap();
        let line = config.lines().find(|line| line.starts_with("secret_files")).unwrap().to_owned();
        deployment.home.write("config.toml", config.replace(&line, &format!("secret_files = {files}")));
        running = deployment.home.start(&["--config", "config.toml", "run"]);
        running.wait_for("health on").await;
    }
    let meaning = Meaning {
        key: listed(&deployment, "ES256").await,
        secret: listed(&deployment, "not configured here").await,
        ..Meaning::default()
    };
    follow(&deployment, "The operator secret leaked", &meaning).await;
    let gate = running.wait_for("listening on http://").await;
    let gate = gate.rsplit_once("http://").unwrap().1.parse().unwrap();
    until_refused(gate, &pair.access).await;
    let forgotten = async {
        while refresh(gate, &pair.refresh, None).await.status != 400 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), forgotten).await.expect("it is refused in the end");
    logged_in(gate).await;
}
