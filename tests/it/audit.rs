//! What is written about who did what, and that nothing of it is lost in silence.

use serde_json::Value;

use crate::support::client::{Pair, call, logged_in, login, logout, logout_all, refresh};
use crate::support::deployment::{Deployment, PASSWORD, StoreKind, USER};
use crate::support::raw::{exchange, request};

fn lines(deployment: &Deployment, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(deployment.home.path(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Every event and outcome that `docs/audit.md` names, in its order.
fn documented() -> Vec<(String, String)> {
    let page = include_str!("../../docs/audit.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|row| row.split_once("` | "));
    let pairs = rows.flat_map(|(event, rest)| {
        let outcomes = rest.split(" | ").next().unwrap().split(", ").filter_map(|word| word.strip_prefix('`'));
        outcomes.map(|word| (event.to_owned(), word.trim_end_matches('`').to_owned())).collect::<Vec<_>>()
    });
    pairs.collect()
}

#[tokio::test]
async fn every_event_of_a_run_is_one_line_of_json() {
    let settings = "audit.output = \"file:audit.jsonl\"\nsession.per_subject = 3\nrate.login_per_account = \"6/1h\"\n\
                    rate.login_per_address = \"20/1h\"\nserver.trusted_proxies = [\"127.0.0.1\"]";
    let deployment = Deployment::new(StoreKind::Sqlite, settings).await;
    let replica = deployment.replica().await;
    let gate = replica.gate;

    let first = logged_in(gate).await;
    login(gate, USER, "a mistyped password").await;
    login(gate, "typed my passw0rd here", PASSWORD).await;
    let second = Pair::read(&refresh(gate, &first.refresh, None).await);
    refresh(gate, &first.refresh, None).await;
    refresh(gate, "not a token", None).await;
    let thief = crate::support::client::refresh_request(&first.refresh, None)
        .header("X-Forwarded-For", "203.0.113.9")
        .header("User-Agent", "curl/8 \"}");
    exchange(gate, thief.bytes()).await;
    assert_eq!(call(gate, "/", &second.access).await.status, 401);

    for _ in 0..4 {
        logged_in(gate).await;
    }
    let pair = logged_in(gate).await;
    let password = |current: &str, new: &str| serde_json::json!({ "password": current, "new_password": new });
    for (current, new) in
        [("wrong", "quite another password"), (PASSWORD, "short"), (PASSWORD, "quite another password")]
    {
        let request = request("POST", "/auth/password").bearer(&pair.access).json(&password(current, new));
        exchange(gate, request.bytes()).await;
    }
    let pair = Pair::read(&login(gate, USER, "quite another password").await);
    logout(gate, &pair.refresh).await;
    let pair = Pair::read(&login(gate, USER, "quite another password").await);
    logout_all(gate, &pair.access).await;
    for _ in 0..8 {
        login(gate, "nobody", "wrong").await;
    }
    for arguments in [
        &["users", "add", "bob"][..],
        &["users", "disable", "bob"],
        &["users", "enable", "bob"],
        &["users", "remove", "bob"],
        &["revoke", "--subject", USER],
        &["revoke", "--all"],
        &["keys", "generate"],
        &["keys", "rotate", "--now"],
    ] {
        let done = if arguments[1] == "add" {
            deployment.add_user("bob", "a long enough password", &[]).await;
            continue;
        } else {
            deployment.command(arguments).await
        };
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }

    let lines = lines(&deployment, "audit.jsonl");
    let documented = documented();
    assert!(documented.len() > 30, "{documented:?}");
    for line in &lines {
        let (event, outcome) = (line["event"].as_str().unwrap(), line["outcome"].as_str().unwrap());
        assert!(documented.contains(&(event.into(), outcome.into())), "docs/audit.md does not name {line}");
        assert_eq!(line["realm"], "default");
        assert!(line["time"].as_str().unwrap().len() == "2026-01-01T00:00:00.000Z".len(), "{line}");
    }
    let has = |event: &str, outcome: &str| {
        lines.iter().find(|line| line["event"] == event && line["outcome"] == outcome).unwrap_or_else(|| {
            panic!("no {event} {outcome} in\n{}", lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"))
        })
    };
    let ok = has("login", "ok");
    assert_eq!((&ok["subject"], &ok["address"], &ok["by"]), (&USER.into(), &"127.0.0.1".into(), &"server".into()));
    assert_eq!(ok["session"].as_str().unwrap().len(), 32);
    let reuse = has("refresh_token_reuse", "reuse_unconfirmed");
    assert_eq!((&reuse["session"], &reuse["address"]), (&ok["session"], &"203.0.113.9".into()));
    let unknown = lines.iter().find(|line| line["outcome"] == "refused" && line["subject"].is_null()).unwrap();
    assert_eq!(unknown["event"], "login");
    for (event, outcome) in [
        ("login", "refused"),
        ("refresh", "ok"),
        ("refresh", "late"),
        ("refresh", "not_a_token"),
        ("refresh", "reuse_unconfirmed"),
        ("session_end", "too_many"),
        ("password", "refused"),
        ("password", "weak"),
        ("password", "ok"),
        ("logout", "ok"),
        ("logout_all", "ok"),
        ("limit", "login_per_account"),
        ("user", "added"),
        ("user", "disabled"),
        ("user", "enabled"),
        ("user", "removed"),
        ("revocation", "subject"),
        ("revocation", "everybody"),
        ("key", "added"),
        ("key", "scheduled"),
    ] {
        has(event, outcome);
    }
    let text = std::fs::read_to_string(deployment.home.path("audit.jsonl")).unwrap();
    for secret in ["passw0rd", "mistyped", "quite another", PASSWORD, &pair.refresh[20..60], &second.access[60..120]] {
        assert!(!text.contains(secret), "{secret:?} is in\n{text}");
    }
}

/// A file that was moved away is made anew; one that cannot be written is an error in the log, with the line, and counted.
#[tokio::test]
async fn no_line_is_lost_in_silence() {
    let deployment = Deployment::without_user(StoreKind::Sqlite, "audit.output = \"file:kept/audit.jsonl\"").await;
    let (kept, file) = (deployment.home.path("kept"), deployment.home.path("kept/audit.jsonl"));
    std::fs::remove_dir_all(&kept).unwrap();
    std::fs::write(&kept, "in the way").unwrap();
    let refused = deployment.command(&["users", "add", "bob"]).await;
    assert_eq!(refused.code, Some(78), "{refused:?}");
    std::fs::remove_file(&kept).unwrap();
    assert!(!deployment.command(&["users", "list"]).await.stdout.contains("bob"), "nothing is changed unrecorded");
    deployment.add_user(USER, PASSWORD, &[]).await;
    std::fs::remove_file(&file).unwrap();
    let replica = deployment.replica().await;
    let counted = async || {
        let metrics = exchange(replica.health, request("GET", "/metrics").bytes()).await.text();
        metrics.lines().find_map(|line| line.strip_prefix("sidegate_audit_lost_total ")).unwrap().to_owned()
    };
    logged_in(replica.gate).await;
    std::fs::rename(&file, deployment.home.path("kept/audit.1")).unwrap();
    logged_in(replica.gate).await;
    assert_eq!((lines(&deployment, "kept/audit.1").len(), lines(&deployment, "kept/audit.jsonl").len()), (1, 1));
    assert_eq!(counted().await, "0");

    std::fs::remove_dir_all(&kept).unwrap();
    logged_in(replica.gate).await;
    let said = replica.process.wait_for("an audit line could not be written").await;
    assert!(said.contains("ERROR") && said.contains("login"), "{said}");
    assert_eq!(counted().await, "1");
}

#[tokio::test]
async fn a_place_that_cannot_be_written_stops_the_start() {
    let deployment = Deployment::without_user(StoreKind::Sqlite, "audit.output = \"file:kept/audit.jsonl\"").await;
    std::fs::remove_dir_all(deployment.home.path("kept")).unwrap();
    std::fs::write(deployment.home.path("kept"), "in the way").unwrap();
    let finished = deployment.command(&["run", "--config", deployment.config_on_any_port()]).await;
    assert_eq!(finished.code, Some(78), "{finished:?}");
    assert!(finished.stderr.contains("the file of audit.output cannot be written"), "{finished:?}");
}

#[tokio::test]
async fn lines_on_standard_output_stand_among_the_logs_and_a_command_keeps_its_own_clean() {
    let deployment = Deployment::new(StoreKind::Sqlite, "audit.output = \"stdout\"").await;
    let replica = deployment.replica().await;
    logged_in(replica.gate).await;
    let line = replica.process.wait_for("\"event\":\"login\"").await;
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["outcome"], "ok");
    let done = deployment.command(&["revoke", "--subject", USER]).await;
    assert_eq!(done.stdout, format!("ended 1 sessions of {USER}\n"));
    assert_eq!(serde_json::from_str::<Value>(&done.stderr).unwrap()["by"], "command");
}
