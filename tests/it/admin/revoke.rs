//! `sidegate revoke` by everything it takes, and what a dry run says.

use std::net::SocketAddr;

use serde_json::json;

use crate::faults::tables::Tables;
use crate::support::client::{Pair, call, refresh, until_refused};
use crate::support::deployment::{Deployment, PASSWORD, StoreKind, USER};
use crate::support::process::Finished;
use crate::support::raw::{exchange, request};

const STORES: [StoreKind; 2] = [StoreKind::Sqlite, StoreKind::Postgres];
/// Everybody's word for where it comes from is believed.
const SETTINGS: &str = "server.trusted_proxies = [\"127.0.0.1\"]\nrevocation.poll_interval = \"20ms\"\naudit.output = \"file:audit.jsonl\"";

async fn deployment(kind: StoreKind) -> Deployment {
    let deployment = Deployment::new(kind, SETTINGS).await;
    deployment.add_user("bob", PASSWORD, &[]).await;
    deployment
}

async fn login_from(gate: SocketAddr, user: &str, address: &str, user_agent: &str) -> Pair {
    let request = request("POST", "/login").json(&json!({ "username": user, "password": PASSWORD }));
    let request = request.header("X-Forwarded-For", address).header("User-Agent", user_agent);
    Pair::read(&exchange(gate, request.bytes()).await)
}

async fn refresh_from(gate: SocketAddr, pair: &Pair, address: &str, user_agent: &str) -> Pair {
    let request = crate::support::client::refresh_request(&pair.refresh, None);
    let request = request.header("X-Forwarded-For", address).header("User-Agent", user_agent);
    Pair::read(&exchange(gate, request.bytes()).await)
}

async fn revoke(deployment: &Deployment, arguments: &[&str]) -> Finished {
    deployment.command(&[&["revoke"], arguments].concat()).await
}

fn done(finished: &Finished) -> &str {
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    &finished.stdout
}

/// SES-7: whoever logged in or came back from there, and nobody else.
#[tokio::test]
async fn sessions_end_by_where_they_were_used() {
    for kind in STORES {
        let deployment = deployment(kind).await;
        let running = deployment.in_process().await;
        let gate = running.listen[0];
        let at_home = login_from(gate, USER, "192.0.2.7", "Firefox/140").await;
        let mapped = login_from(gate, "bob", "::ffff:203.0.113.9", "curl/8.5.0").await;
        let moved = login_from(gate, USER, "203.0.113.77", "Firefox/140").await;
        let moved = refresh_from(gate, &moved, "192.0.2.8", "Firefox/141").await;
        let came_back = login_from(gate, USER, "192.0.2.9", "Firefox/140").await;
        let came_back = refresh_from(gate, &came_back, "203.0.113.10", "Python-urllib/3").await;
        let v6 = login_from(gate, "bob", "2001:db8::7", "Firefox/140").await;

        let nobody = revoke(&deployment, &["--from", "198.51.100.0/24"]).await;
        assert_eq!(done(&nobody), "ended 0 sessions of 0 subjects\n");
        let both = revoke(&deployment, &["--from", "203.0.113.0/24", "--user-agent", "CURL"]).await;
        assert_eq!(done(&both), "ended 1 sessions of 1 subjects\n");
        until_refused(gate, &mapped.access).await;
        // Not at one moment: the network at the login, the user agent later.
        let apart = revoke(&deployment, &["--from", "203.0.113.77", "--user-agent", "firefox/141"]).await;
        assert_eq!(done(&apart), "ended 0 sessions of 0 subjects\n");
        let network = revoke(&deployment, &["--from", "203.0.113.0/24"]).await;
        assert_eq!(done(&network), "ended 2 sessions of 1 subjects\n");
        until_refused(gate, &moved.access).await;
        until_refused(gate, &came_back.access).await;
        assert_eq!(refresh(gate, &came_back.refresh, None).await.status, 400);
        for alive in [&at_home, &v6] {
            assert_eq!(call(gate, "/", &alive.access).await.status, 200);
        }
        assert_eq!(done(&revoke(&deployment, &["--from", "2001:db8::/32"]).await), "ended 1 sessions of 1 subjects\n");
        assert_eq!(done(&revoke(&deployment, &["--user-agent", "FIREFOX"]).await), "ended 1 sessions of 1 subjects\n");
        until_refused(gate, &at_home.access).await;

        let audit = std::fs::read_to_string(deployment.home.path("audit.jsonl")).unwrap();
        let lines: Vec<&str> = audit.lines().filter(|line| line.contains("\"outcome\":\"matching\"")).collect();
        assert_eq!(lines.len(), 5, "{audit}");
        assert!(lines.iter().all(|line| line.contains("\"session\":\"") && line.contains("\"subject\":\"")), "{audit}");
    }
}

/// One page is not all of them.
#[tokio::test]
async fn thousands_of_sessions_are_counted_and_ended() {
    for kind in STORES {
        let deployment = deployment(kind).await;
        let store = {
            let config = deployment.config();
            let clock = std::sync::Arc::new(sidegate::clock::SystemClock);
            sidegate::store::open(&config.store, &config.realm, clock).await.unwrap()
        };
        for n in 0..1300_u32 {
            let mut session = crate::store::samples::new_session(n, &format!("user {}", n % 100));
            session.from.address = Some([10, 0, 0, u8::try_from(n % 2).unwrap()].into());
            crate::store::samples::stored(&*store, &session).await;
        }
        let all = revoke(&deployment, &["--all", "--dry-run"]).await;
        assert_eq!(done(&all), "would end every session of realm default: 1300 sessions of 100 subjects\n");
        let half = revoke(&deployment, &["--from", "10.0.0.1", "--dry-run"]).await;
        assert_eq!(done(&half), "would end 650 sessions of 50 subjects\n");
        let ended = revoke(&deployment, &["--from", "10.0.0.1"]).await;
        assert_eq!(done(&ended), "ended 650 sessions of 50 subjects\n");
        assert_eq!(store.living_sessions(None, 2000).await.unwrap().sessions.len(), 650);
        assert_eq!(store.revocations(None).await.unwrap().revocations.len(), 650);
    }
}

/// Whatever it would end, a dry run leaves every row as it is.
#[tokio::test]
async fn a_dry_run_says_what_would_end_and_changes_nothing() {
    for kind in STORES {
        let deployment = deployment(kind).await;
        let running = deployment.in_process().await;
        let gate = running.listen[0];
        let pair = login_from(gate, USER, "192.0.2.7", "curl/8.5.0").await;
        login_from(gate, USER, "192.0.2.8", "Firefox").await;
        login_from(gate, "bob", "192.0.2.7", "Firefox").await;
        assert!(running.stop().await);
        let list = deployment.command(&["keys", "list"]).await.stdout;
        let key = list.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        deployment.command(&["keys", "generate"]).await;
        let list = deployment.command(&["keys", "list"]).await.stdout;
        let waiting = list.lines().find(|line| line.contains("waits")).unwrap().split_whitespace().next().unwrap();
        let session = crate::support::client::sid(&pair.access);
        let audit = std::fs::read_to_string(deployment.home.path("audit.jsonl")).unwrap();
        let rows = async || {
            let mut values = Tables::of(&deployment).await.values().await;
            values.sort();
            values
        };
        let before = rows().await;
        for (arguments, said) in [
            (&["--session", session.as_str()][..], format!("would end session {session} of ann\n")),
            (&["--subject", USER], "would end 2 sessions of ann\n".into()),
            (&["--subject", "eve"], "would end 0 sessions of eve: nobody is logged in under that subject\n".into()),
            (&["--from", "192.0.2.7"], "would end 2 sessions of 2 subjects\n".into()),
            (&["--from", "192.0.2.0/24", "--user-agent", "fire"], "would end 2 sessions of 2 subjects\n".into()),
            (&["--all"], "would end every session of realm default: 3 sessions of 2 subjects\n".into()),
            (
                &["--key", key.as_str()],
                format!(
                    "would retire {key}, which signs: another key would sign at once, and sessions go on, and clients \
                     refresh\n"
                ),
            ),
            (&["--key", waiting], format!("would retire {waiting}, which has signed nothing yet\n")),
        ] {
            let finished = revoke(&deployment, &[arguments, &["--dry-run"]].concat()).await;
            assert_eq!(done(&finished), said);
        }
        for (arguments, said) in [
            (["--session", "0123456789abcdef0123456789abcdef"], "there is no session 0123456789abcdef0123456789abcdef"),
            (["--key", "nobody"], "there is no key nobody"),
        ] {
            let finished = revoke(&deployment, &[&arguments[..], &["--dry-run"]].concat()).await;
            assert_eq!(finished.code, Some(1), "{finished:?}");
            assert!(finished.stderr.contains(said), "{finished:?}");
        }
        assert_eq!(rows().await, before);
        assert_eq!(std::fs::read_to_string(deployment.home.path("audit.jsonl")).unwrap(), audit);
    }
}

#[tokio::test]
async fn a_key_is_retired_as_by_its_own_command() {
    let deployment = deployment(StoreKind::Sqlite).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let pair = login_from(gate, USER, "192.0.2.7", "curl").await;
    let list = deployment.command(&["keys", "list"]).await.stdout;
    let key = list.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let retired = revoke(&deployment, &["--key", &key]).await;
    let lines: Vec<&str> = done(&retired).lines().collect();
    assert!(lines[0].ends_with(" signs from now on"), "{retired:?}");
    assert!(lines[1].starts_with(&format!("retired {key}: nothing it signed is accepted any more")), "{retired:?}");
    until_refused(gate, &pair.access).await;
    Pair::read(&refresh(gate, &pair.refresh, None).await);
    assert_eq!(done(&revoke(&deployment, &["--key", &key]).await), format!("{key} is retired already\n"));
}

#[tokio::test]
async fn what_selects_nothing_or_two_things_is_refused() {
    let deployment = deployment(StoreKind::Sqlite).await;
    for (arguments, code, said) in [
        (&["--from", "10.1.2.3/8"][..], 1, "hint: write 10.0.0.0/8"),
        (&["--from", "somewhere"], 1, "\"somewhere\": not an IP address"),
        (&["--user-agent", ""], 1, "an empty user agent would be everybody's"),
        (&["--user-agent", " "], 1, "an empty user agent would be everybody's"),
        (&["--from", "10.0.0.1", "--all"], 2, "cannot be used with"),
        (&["--user-agent", "x", "--all"], 2, "cannot be used with"),
        (&["--session", "x", "--from", "10.0.0.1"], 2, "cannot be used with"),
        (&["--key", "x", "--subject", "ann"], 2, "cannot be used with"),
        (&["--dry-run"], 2, "--session"),
        (&["--wait"], 2, "--session"),
        (&["--all", "--dry-run", "--wait"], 2, "cannot be used with"),
        (&["--all", "--wait=0"], 2, "not in 1..=3600"),
        (&["--all", "--wait", "5"], 2, "unexpected argument"),
    ] {
        let finished = revoke(&deployment, arguments).await;
        assert_eq!(finished.code, Some(code), "{arguments:?}: {finished:?}");
        assert!(finished.stderr.contains(said), "{arguments:?}: {finished:?}");
    }
}
