//! What a process writes about a run: enough to understand it, and nothing that could be used.

use serde_json::Value;

use crate::support::client::{Pair, call, logged_in, login, logout, refresh};
use crate::support::deployment::{Deployment, PASSWORD, StoreKind, USER};
use crate::support::raw::{RawClient, exchange, request};

const MARKS: [&str; 6] =
    ["marked-query", "marked-cookie", "marked-value", "marked-basic", "marked-password", "marked-body"];

/// B5-10, B5-11: everything that can happen to a request, at the most talkative level.
async fn run(format: &str) -> (Vec<String>, String, String) {
    let settings = format!(
        "audit.output = \"stdout\"\nlog = {{ level = \"trace\", format = \"{format}\" }}\n[[route]]\npath = \"/open/*\"\nauth = \"none\"\n"
    );
    let deployment = Deployment::new(StoreKind::Sqlite, &settings).await;
    let mut replica = deployment.replica().await;
    let gate = replica.gate;
    let marked = |method: &str, target: &str| {
        request(method, &format!("{target}?secret=marked-query&id_token=marked-query"))
            .header("Cookie", "session=marked-cookie")
            .header("X-Secret", "marked-value")
    };
    let first = logged_in(gate).await;
    let second = Pair::read(&refresh(gate, &first.refresh, Some("marked-value-0123456789")).await);
    let sent = [first.access.clone(), first.refresh.clone(), second.access.clone(), second.refresh.clone()];

    refresh(gate, &first.refresh, None).await;
    login(gate, USER, "marked-password").await;
    login(gate, "nobody", "marked-password").await;
    exchange(gate, marked("POST", "/login").body("text/plain", "marked-body").bytes()).await;
    exchange(gate, marked("POST", "/refresh").body("application/json", "{marked-body").bytes()).await;
    exchange(gate, marked("POST", &format!("/refresh/{}", first.refresh)).bytes()).await;
    exchange(gate, request("POST", &format!("/refresh?refresh_token={}", second.refresh)).bytes()).await;
    for (target, authorization) in
        [("/basic", "Basic marked-basic"), ("/bearer", "Bearer marked-value"), ("/neither", "marked-value")]
    {
        exchange(gate, marked("GET", target).header("Authorization", authorization).bytes()).await;
    }
    for target in ["/open/x", "/close", "/close-in-body", "/invalid-head", "/reset", "/status"] {
        let mut client = RawClient::connect(gate).await;
        client.send(marked("GET", target).bearer(&second.access).bytes()).await;
        let _ = client.try_response().await;
    }
    for head in [
        "GET /marked-query\x1b[31m HTTP/1.1\r\nHost: a\r\nX: marked-value\r\n\r\n",
        "GET /open/../marked-query HTTP/1.1\r\nHost: marked-value\r\n\r\n",
        "GET /open/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer marked-value\r\nX\r\n\r\n",
        "POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nmarked-body\r\n",
        "GET /open/log%22injection%20x HTTP/1.1\r\nHost: a\r\nUser-Agent: x\", \"decision\": \"marked-value\r\n\r\n",
    ] {
        exchange(gate, head).await;
    }
    let mut gone = RawClient::connect(gate).await;
    gone.send(marked("GET", "/hang").bearer(&second.access).bytes()).await;
    deployment.upstream.wait_until("/hang", |seen| seen.iter().any(|seen| seen.path() == "/hang")).await;
    drop(gone);
    deployment.command(&["revoke", "--subject", "somebody"]).await;
    logout(gate, &second.refresh).await;
    call(gate, "/after", &second.access).await;

    replica.process.terminate();
    assert_eq!(replica.process.exit().await.code(), Some(0));
    (sent.into(), replica.process.stdout(), replica.process.stderr())
}

fn assert_no_secret(sent: &[String], output: &str) {
    for token in sent {
        // Parts of a token are as bad as the whole.
        for part in token.split('.').filter(|part| part.len() > 20) {
            let from = part.len() - 20;
            assert!(!output.contains(&part[from..]), "a token's {part:?} is in\n{output}");
        }
    }
    let operator = "2f1d7a9c5be84036a1c2d3e4f506172839";
    for mark in MARKS.iter().chain(&[PASSWORD, operator, "\u{1b}"]) {
        assert!(!output.contains(mark), "{mark:?} is in\n{output}");
    }
}

#[tokio::test]
async fn no_secret_of_a_run_is_in_the_logs_as_text() {
    let (sent, stdout, stderr) = run("text").await;
    assert_no_secret(&sent, &stdout);
    assert_eq!(stderr, "");
    let line = stdout.lines().find(|line| line.contains("sidegate::access") && line.contains("path=\"/open/x\""));
    let line = line.unwrap_or_else(|| panic!("no access line in\n{stdout}"));
    for part in ["method=\"GET\"", "status=200", "decision=\"permit\"", "upstream=\"default\"", "duration_ms="] {
        assert!(line.contains(part), "{part} is missing: {line}");
    }
}

#[tokio::test]
async fn no_secret_of_a_run_is_in_the_logs_as_json() {
    let (sent, stdout, stderr) = run("json").await;
    assert_no_secret(&sent, &stdout);
    assert_eq!(stderr, "");
    let lines: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let access: Vec<_> = lines.iter().filter(|line| line["target"] == "sidegate::access").collect();
    let find = |path: &str| {
        let line = access.iter().find(|line| line["path"] == path);
        line.unwrap_or_else(|| panic!("no line for {path} in\n{stdout}"))
    };
    let refused = find("/basic");
    assert_eq!((&refused["status"], &refused["decision"]), (&401.into(), &"refuse".into()));
    assert_eq!((&refused["reason"], &refused["subject"]), (&"other_scheme".into(), &Value::Null));
    let ended = find("/after");
    assert_eq!((&ended["decision"], &ended["reason"]), (&"refuse".into(), &"revoked".into()));
    let failed = find("/close");
    assert_eq!((&failed["status"], &failed["decision"]), (&502.into(), &"failed".into()));
    assert_eq!((&failed["reason"], &failed["subject"]), (&"upstream_failed".into(), &USER.into()));
    assert!(failed["session"].is_string() && failed["client"] == "127.0.0.1", "{failed}");
    assert_eq!(find("/login")["reason"], "login");
    assert_eq!(find("/status")["status"], 200);
    assert_eq!(find("/hang")["reason"], "client_gone");
    assert!(access.iter().any(|line| line["reason"] == "target_dot_segment" && line["status"] == 400));
    find("/open/log%22injection%20x");
    find("/refresh/[token]");
    assert!(access.iter().all(|line| line["client"] == "127.0.0.1"));
}
