//! `sidegate revoke --wait`: when it returns, every replica refuses what was ended, or is named.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::admin::over_socket;
use crate::support::client::{Pair, call, logged_in, login, refresh, sid};
use crate::support::deployment::{Deployment, PASSWORD, Replica, StoreKind, USER};
use crate::support::process::Finished;
use crate::support::raw::request;

const STORES: [StoreKind; 2] = [StoreKind::Sqlite, StoreKind::Postgres];

async fn three(deployment: &Deployment) -> [Replica; 3] {
    let (one, two, three) = tokio::join!(deployment.replica(), deployment.replica(), deployment.replica());
    [one, two, three]
}

async fn revoke(deployment: &Deployment, through: &Replica, arguments: &[&str]) -> Finished {
    deployment.command(&[&["--config", &through.config, "revoke"], arguments].concat()).await
}

/// What was done, if all three replicas have heard.
fn heard_by_three(finished: &Finished) -> Vec<&str> {
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    let mut lines: Vec<&str> = finished.stdout.lines().collect();
    let heard = lines.pop().unwrap();
    let took = heard.strip_prefix("heard by all 3 replicas after ").and_then(|rest| rest.strip_suffix(" ms"));
    assert!(took.is_some_and(|took| took.parse::<u64>().is_ok()), "{finished:?}");
    lines
}

/// One request to each: nobody gets another chance to hear.
async fn statuses(replicas: &[Replica; 3], access: &str) -> [u16; 3] {
    let mut statuses = [0; 3];
    for (status, replica) in statuses.iter_mut().zip(replicas) {
        *status = call(replica.gate, "/", access).await.status;
    }
    statuses
}

/// SES-7, I7: by whatever it is ended, and through whichever replica.
#[tokio::test]
async fn when_it_returns_every_replica_refuses_what_was_ended() {
    for kind in STORES {
        let deployment = Deployment::new(kind, "session.per_subject = 100").await;
        deployment.add_user("bob", PASSWORD, &[]).await;
        let replicas = three(&deployment).await;
        let gates: Vec<SocketAddr> = replicas.iter().map(|replica| replica.gate).collect();
        for (round, through) in replicas.iter().enumerate() {
            let (pair, other) = (logged_in(gates[round]).await, logged_in(gates[(round + 1) % 3]).await);
            let bob = Pair::read(&login(gates[round], "bob", PASSWORD).await);
            for pair in [&pair, &other, &bob] {
                assert_eq!(statuses(&replicas, &pair.access).await, [200; 3]);
            }
            let session = sid(&pair.access);
            let ended = revoke(&deployment, through, &["--session", &session, "--wait"]).await;
            assert_eq!(heard_by_three(&ended), [format!("ended session {session}")]);
            assert_eq!(statuses(&replicas, &pair.access).await, [401; 3]);
            assert_eq!(statuses(&replicas, &other.access).await, [200; 3]);
            // To wait again is no error, and a session that never was is one.
            let again = revoke(&deployment, through, &["--session", &session, "--wait"]).await;
            assert_eq!(heard_by_three(&again), [format!("session {session} has ended already")]);
            let unknown = revoke(&deployment, through, &["--session", &"0a".repeat(16), "--wait"]).await;
            assert_eq!(unknown.code, Some(1), "{unknown:?}");
            assert!(unknown.stderr.contains("there is no session 0a0a"), "{unknown:?}");

            let ended = revoke(&deployment, through, &["--subject", USER, "--wait=60"]).await;
            assert_eq!(heard_by_three(&ended), ["ended 1 sessions of ann"]);
            assert_eq!(statuses(&replicas, &other.access).await, [401; 3]);
            assert_eq!(statuses(&replicas, &bob.access).await, [200; 3]);

            let list = deployment.command(&["keys", "list"]).await.stdout;
            let key = list.lines().find(|line| line.ends_with(" signs")).unwrap().split(' ').next().unwrap().to_owned();
            let ended = revoke(&deployment, through, &["--key", &key, "--wait"]).await;
            assert!(heard_by_three(&ended)[1].starts_with(&format!("retired {key}")), "{ended:?}");
            assert_eq!(statuses(&replicas, &bob.access).await, [401; 3]);
            let bob = Pair::read(&refresh(gates[round], &bob.refresh, None).await);
            assert_eq!(statuses(&replicas, &bob.access).await, [200; 3], "everybody knows the key that signs now");

            let ended = revoke(&deployment, through, &["--from", "127.0.0.0/8", "--wait"]).await;
            assert_eq!(heard_by_three(&ended), ["ended 1 sessions of 1 subjects"]);
            assert_eq!(statuses(&replicas, &bob.access).await, [401; 3]);

            let newest = logged_in(gates[round]).await;
            let ended = revoke(&deployment, through, &["--all", "--wait"]).await;
            assert_eq!(heard_by_three(&ended), ["ended every session of realm default"]);
            assert_eq!(statuses(&replicas, &newest.access).await, [401; 3]);
        }
    }
}

/// SES-7, I7: a replica that stands still is named, nothing is undone, and the same again waits for it.
#[tokio::test]
async fn a_replica_that_has_not_heard_is_named_with_an_exit_code_of_its_own() {
    for kind in STORES {
        let deployment = Deployment::new(kind, "").await;
        let replicas = three(&deployment).await;
        let pair = logged_in(replicas[0].gate).await;
        let session = sid(&pair.access);
        assert_eq!(statuses(&replicas, &pair.access).await, [200; 3]);
        replicas[2].process.signal("STOP");
        let unheard = revoke(&deployment, &replicas[0], &["--session", &session, "--wait=1"]).await;
        assert_eq!(unheard.code, Some(75), "{unheard:?}");
        assert_eq!(unheard.stdout, format!("ended session {session}\n"));
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let named =
            format!("sidegate: not heard by 1 of 3 replicas within 1 s: {} {} (", host.trim(), replicas[2].gate);
        assert!(unheard.stderr.starts_with(&named), "{unheard:?}");
        assert!(unheard.stderr.contains("hint: nothing is undone; run the same again"), "{unheard:?}");
        for replica in &replicas[..2] {
            assert_eq!(call(replica.gate, "/", &pair.access).await.status, 401);
        }
        let waiting =
            deployment.home.start(&["--config", &replicas[1].config, "revoke", "--session", &session, "--wait=60"]);
        replicas[2].process.signal("CONT");
        assert_eq!(heard_by_three(&waiting.finish().await), [format!("session {session} has ended already")]);
        assert_eq!(statuses(&replicas, &pair.access).await, [401; 3]);
    }
}

#[tokio::test]
async fn a_replica_that_went_is_not_waited_for() {
    let deployment = Deployment::new(StoreKind::Sqlite, "").await;
    let [one, two, mut three] = three(&deployment).await;
    three.process.terminate();
    assert!(three.process.exit().await.success());
    let ended = revoke(&deployment, &two, &["--all", "--wait"]).await;
    assert!(ended.stdout.contains("heard by all 2 replicas after "), "{ended:?}");
    drop(one);
    // The one that was killed has not said that it goes.
    let ended = revoke(&deployment, &two, &["--all", "--wait=1"]).await;
    assert_eq!(ended.code, Some(75), "{ended:?}");
}

#[tokio::test]
async fn without_a_running_sidegate_it_says_what_goes_without() {
    let deployment = Deployment::new(StoreKind::Sqlite, "").await;
    let refused = deployment.command(&["revoke", "--all", "--wait"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("no sidegate takes calls at unix:admin-"), "{refused:?}");
    assert!(refused.stderr.contains("without --wait, `sidegate revoke` writes to the store directly"), "{refused:?}");
    let off = Deployment::new(StoreKind::Sqlite, "admin.listen = \"\"").await;
    let refused = off.command(&["revoke", "--all", "--wait"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("admin.listen is off"), "{refused:?}");
    assert!(refused.stderr.contains("hint: without --wait"), "{refused:?}");
}

/// Whoever writes to the socket by hand gets one kind of thing ended, or told what is wrong.
#[tokio::test]
async fn a_message_that_is_not_understood_ends_nothing() {
    let deployment = Deployment::new(StoreKind::Sqlite, "admin.listen = \"unix:admin.sock\"").await;
    let replica = deployment.replica().await;
    let pair = logged_in(replica.gate).await;
    let socket = deployment.home.path("admin.sock");
    let post = async |body: &Value| over_socket(&socket, request("POST", "/revoke").json(body)).await;
    for (body, status) in [
        (json!({}), 422),
        (json!({ "all": true }), 422),
        (json!({ "all": true, "wait_seconds": 1, "dry_run": true }), 422),
        (json!({ "wait_seconds": 1 }), 400),
        (json!({ "all": true, "subject": "ann", "wait_seconds": 1 }), 400),
        (json!({ "from": "10.1.2.3/8", "wait_seconds": 1 }), 400),
        (json!({ "session": "0a".repeat(16), "wait_seconds": 1 }), 404),
        (json!({ "key": "nobody", "wait_seconds": 1 }), 404),
    ] {
        let (answered, text) = post(&body).await;
        assert_eq!(answered, status, "{body}: {text}");
    }
    assert_eq!(over_socket(&socket, request("POST", "/revoke")).await.0, 415);
    assert_eq!(call(replica.gate, "/", &pair.access).await.status, 200);
    let (status, text) = post(&json!({ "subject": USER, "wait_seconds": 10 })).await;
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("\"done\":\"ended 1 sessions of ann\""), "{text}");
    assert!(text.contains("\"silent\":[]"), "{text}");
    assert_eq!(call(replica.gate, "/", &pair.access).await.status, 401);
}

/// The audit line says that it was the operator, by way of the running sidegate.
#[tokio::test]
async fn what_the_operator_has_a_replica_end_is_recorded_as_the_operators() {
    let deployment = Deployment::new(StoreKind::Sqlite, "audit.output = \"file:audit.jsonl\"").await;
    let replica = deployment.replica().await;
    logged_in(replica.gate).await;
    let ended = revoke(&deployment, &replica, &["--subject", USER, "--wait"]).await;
    assert!(ended.stdout.ends_with(" ms\n") && ended.stdout.contains("heard by the one replica after"), "{ended:?}");
    let audit = std::fs::read_to_string(deployment.home.path("audit.jsonl")).unwrap();
    let line = audit.lines().find(|line| line.contains("\"event\":\"revocation\"")).unwrap();
    assert!(line.contains("\"by\":\"operator\"") && line.contains("\"subject\":\"ann\""), "{line}");
    replica.process.wait_for("as the operator asks: ended 1 sessions of ann").await;
}
