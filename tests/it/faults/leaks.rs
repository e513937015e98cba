//! What is stored betrays nobody: no secret of a whole run is found in the files of the store, and nothing found there is
//! taken for a token.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use sidegate::domain::secret::hex;
use sqlx::Executor;

use crate::support::client::{Pair, call, login, logout, logout_all, oauth_error, refresh, refresh_request};
use crate::support::deployment::{Deployment, OPERATOR_SECRET, PASSWORD, Replica, StoreKind, USER};
use crate::support::postgres::{Database, Durability, Server};
use crate::support::raw::{self, RawClient, request};

use self::search::{Needles, Secrets};
use super::tables::{Tables, body};

mod search;

const SETTINGS: &str = "server.trusted_proxies = [\"127.0.0.1\"]\nlog.level = \"trace\"\naudit.output = \"stdout\"";

/// Everything secret that sidegate was told or has told.
struct Run {
    secrets: Secrets,
    /// The token that was presented again last, and the pair that it gave.
    parent: String,
    live: Pair,
    /// What commands and the process have printed.
    output: String,
}

impl Run {
    fn keep(&mut self, pair: Pair) -> Pair {
        let body = body(&pair.refresh);
        let name = format!("session {} generation {}", hex(&body[4..8]), hex(&body[20..24]));
        self.secrets.add(format!("the refresh token of {name}"), pair.refresh.as_bytes());
        self.secrets.add(format!("its inner secret, of {name}"), &body[24..56]);
        self.secrets.add(format!("its tag, of {name}"), &body[56..]);
        self.secrets.add(format!("its body, of {name}"), body);
        let (signed, signature) = pair.access.rsplit_once('.').unwrap();
        self.secrets.add(format!("the access token of {name}"), pair.access.as_bytes());
        self.secrets.add(format!("its signed part, of {name}"), signed);
        self.secrets.add(format!("its signature, of {name}"), URL_SAFE_NO_PAD.decode(signature).unwrap());
        pair
    }

    async fn login(&mut self, gate: SocketAddr, user: &str, password: &str) -> Pair {
        let pair = Pair::read(&login(gate, user, password).await);
        self.keep(pair)
    }

    async fn refresh(&mut self, gate: SocketAddr, pair: &Pair, key: Option<&str>) -> Pair {
        let pair = Pair::read(&refresh(gate, &pair.refresh, key).await);
        self.keep(pair)
    }
}

/// One of everything: logins right and wrong, refreshes with a key and without, a repeat, a late duplicate, a theft, two
/// kinds of logout, a new password.
async fn whole_run(deployment: &Deployment, replica: &Replica) -> Run {
    let gate = replica.gate;
    let mut secrets = Secrets::default();
    let passwords =
        ["the first of Bob's words", "the second of Bob's words", "never a word of Cid's", "mistyped by Cid"];
    for password in passwords.into_iter().chain([PASSWORD]) {
        secrets.add(format!("the password {password:?}"), password);
    }
    secrets.add("the operator secret", OPERATOR_SECRET);
    let keys = ["the-key-of-one-refresh", "the-key-of-a-repeated-refresh"];
    for key in keys {
        secrets.add(format!("the key {key}"), key);
    }
    let nothing = Pair { access: String::new(), refresh: String::new() };
    let mut run = Run { secrets, parent: String::new(), live: nothing, output: String::new() };
    deployment.add_user("bob", passwords[0], &["--role", "clerk", "--scope", "notes:read"]).await;
    deployment.add_user("cid", passwords[2], &[]).await;

    let bob = run.login(gate, "bob", passwords[0]).await;
    let bob = run.refresh(gate, &bob, Some(keys[0])).await;
    assert_eq!(call(gate, "/", &bob.access).await.status, 200);
    deployment.set_password("bob", passwords[1]).await;
    assert_eq!(oauth_error(&refresh(gate, &bob.refresh, None).await, 400), "invalid_grant");
    assert_eq!(oauth_error(&login(gate, "bob", passwords[0]).await, 400), "invalid_grant");
    let bob = run.login(gate, "bob", passwords[1]).await;
    assert_eq!(logout_all(gate, &bob.access).await.status, 200);

    assert_eq!(oauth_error(&login(gate, "cid", passwords[3]).await, 400), "invalid_grant");
    let cid = run.login(gate, "cid", passwords[2]).await;
    assert_eq!(logout(gate, &cid.refresh).await.status, 200);

    let stolen = run.login(gate, "cid", passwords[2]).await;
    let next = run.refresh(gate, &stolen, None).await;
    let elsewhere = refresh_request(&stolen.refresh, None)
        .header("X-Forwarded-For", "203.0.113.9")
        .header("User-Agent", "elsewhere");
    assert_eq!(oauth_error(&raw::exchange(gate, elsewhere.bytes()).await, 400), "invalid_grant");
    assert_eq!(call(gate, "/", &next.access).await.status, 401);

    let parent = run.login(gate, USER, PASSWORD).await;
    let first_answer = run.refresh(gate, &parent, Some(keys[1])).await;
    let late = refresh(gate, &parent.refresh, None).await;
    assert!(late.text().contains("already rotated"), "{}", late.text());
    run.live = run.refresh(gate, &parent, Some(keys[1])).await;
    assert_eq!(run.live.refresh, first_answer.refresh);
    run.parent = parent.refresh;

    for arguments in [["users", "list"].as_slice(), &["sessions", "list", "--subject", USER], &["migrate"]] {
        let done = deployment.command(arguments).await;
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        run.output += &(done.stdout + &done.stderr);
    }
    run.output += &replica.process.output();
    run
}

/// Insists that nothing is found, and that this is no fault of the search: what the test itself stores is found.
async fn nothing_secret_is_stored(run: &Run, tables: &mut Tables, read: impl AsyncFn() -> Vec<(String, Vec<u8>)>) {
    let needles = run.secrets.needles();
    assert!(needles.forms() > 500, "{}", needles.forms());
    let found = found_in(&needles, &read().await);
    assert!(found.is_empty(), "{found:#?}");
    let in_output = needles.found_in(run.output.as_bytes());
    assert!(in_output.is_empty(), "{in_output:#?}");

    tables.plant(&body(&run.live.refresh)).await;
    let found = found_in(&needles, &read().await).join("\n");
    for form in ["raw", "hex in lower case", "base64url at 0"] {
        assert!(found.contains(&format!(", {form}")), "{form} was not found:\n{found}");
    }
}

fn found_in(needles: &Needles, files: &[(String, Vec<u8>)]) -> Vec<String> {
    let found = files
        .iter()
        .flat_map(|(name, bytes)| needles.found_in(bytes).into_iter().map(move |form| format!("{name}: {form}")));
    found.collect()
}

/// Presents everything that is stored, in every spelling, as a refresh token and as an access token.
async fn nothing_stored_is_a_token(run: &Run, gate: SocketAddr, tables: &mut Tables) {
    let (generation, revocations) = (tables.generation(&run.live.refresh).await, tables.count("revocation").await);
    let values = tables.values().await;
    let candidates = candidates(&values, &body(&run.live.refresh)[..4]);
    assert!(candidates.len() > 250, "{}", candidates.len());
    let mut client = RawClient::connect(gate).await;
    for candidate in &candidates {
        client.send(refresh_request(candidate, None).bytes()).await;
        oauth_error(&client.response().await, 400);
        // As a header value, only what can be one.
        if candidate.bytes().all(|byte| byte.is_ascii_graphic()) {
            client.send(request("GET", "/").bearer(candidate).bytes()).await;
            let status = client.response().await.status;
            assert!(status == 401 || status == 400, "{status} for {candidate}");
        }
    }
    assert_eq!(tables.generation(&run.live.refresh).await, generation);
    assert_eq!(tables.count("revocation").await, revocations);
}

/// Each value as it is and encoded, and as a refresh token: whole where it is as long as one, and in the places of the
/// secret and the tag, which a thief of the tables would have to know.
fn candidates(values: &[Vec<u8>], key_id: &[u8]) -> BTreeSet<String> {
    let mut candidates = BTreeSet::new();
    let of_length = |length| values.iter().filter(move |value| value.len() == length);
    for value in values.iter().filter(|value| !value.is_empty()) {
        let texts = [hex(value), STANDARD.encode(value), URL_SAFE_NO_PAD.encode(value)];
        for text in texts.into_iter().chain(String::from_utf8(value.clone())) {
            if text.len() == 96 {
                candidates.insert(format!("sgr1_{text}"));
            }
            candidates.insert(text);
        }
    }
    for session in of_length(16) {
        for secret in of_length(32) {
            for (generation, tag) in [(0_u32, &secret[..16]), (1, &session[..]), (2, &[0; 16])] {
                let body = [key_id, session, &generation.to_be_bytes(), secret, tag].concat();
                candidates.insert(format!("sgr1_{}", URL_SAFE_NO_PAD.encode(body)));
            }
        }
    }
    candidates
}

fn files_below(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            files.extend(files_below(&entry));
        } else if let Ok(bytes) = fs::read(&entry) {
            // A file that has gone since holds nothing.
            files.push((entry.display().to_string(), bytes));
        }
    }
    files
}

fn sqlite_files(deployment: &Deployment) -> Vec<(String, Vec<u8>)> {
    let files = ["sidegate.db", "sidegate.db-wal", "sidegate.db-shm"];
    files.map(|name| (name.to_owned(), fs::read(deployment.home.path(name)).unwrap())).into()
}

async fn postgres_files(database: &Database) -> Vec<(String, Vec<u8>)> {
    database.admin().await.execute("CHECKPOINT").await.unwrap();
    let mut files = files_below(&database.server.data());
    files.push(("pg_dump".to_owned(), database.dump()));
    files
}

#[tokio::test]
async fn the_files_of_sqlite_betray_nobody() {
    let deployment = Deployment::new(StoreKind::Sqlite, SETTINGS).await;
    let replica = deployment.replica().await;
    let run = whole_run(&deployment, &replica).await;

    let mut tables = Tables::of(&deployment).await;
    nothing_stored_is_a_token(&run, replica.gate, &mut tables).await;
    nothing_secret_is_stored(&run, &mut tables, async || sqlite_files(&deployment)).await;

    assert!(!sqlite_files(&deployment)[1].1.is_empty(), "the log was searched, too");
    still_alive(&run, replica.gate).await;
}

#[tokio::test]
async fn the_files_and_the_dump_of_postgres_betray_nobody() {
    let server = tokio::task::spawn_blocking(|| Server::start(Durability::Off)).await.unwrap();
    let database = server.database().await;
    let deployment = Deployment::on(database.clone(), SETTINGS).await;
    let replica = deployment.replica().await;
    let run = whole_run(&deployment, &replica).await;

    let mut tables = Tables::of(&deployment).await;
    nothing_stored_is_a_token(&run, replica.gate, &mut tables).await;
    nothing_secret_is_stored(&run, &mut tables, async || postgres_files(&database).await).await;

    still_alive(&run, replica.gate).await;
}

/// The session was there to be found all the time.
async fn still_alive(run: &Run, gate: SocketAddr) {
    assert_eq!(call(gate, "/", &run.live.access).await.status, 200);
    let json = request("POST", "/refresh").json(&json!({ "refresh_token": run.live.refresh }));
    Pair::read(&raw::exchange(gate, json.bytes()).await);
    assert_eq!(oauth_error(&refresh(gate, &run.parent, None).await, 400), "invalid_grant");
}
