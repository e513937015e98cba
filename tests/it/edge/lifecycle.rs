//! Starting and stopping real processes: what is said, and with which exit code.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use sidegate::clock::Stopwatch;

use crate::support::client::{call, logged_in};
use crate::support::deployment::{Deployment, Replica, StoreKind};
use crate::support::net::free_address;
use crate::support::process::Finished;
use crate::support::raw::{Ending, RawClient, RawResponse, exchange, request};

async fn get(address: SocketAddr, target: &str) -> RawResponse {
    exchange(address, request("GET", target).bytes()).await
}

async fn deployment(settings: &str) -> Deployment {
    Deployment::new(StoreKind::Sqlite, &format!("{settings}\n[[route]]\npath = \"/open/*\"\nauth = \"none\"\n")).await
}

/// Waits until `/readyz` says so.
async fn until_not_ready(replica: &Replica) {
    let begun = Stopwatch::start();
    while get(replica.health, "/readyz").await.status != 503 {
        assert!(begun.elapsed() < Duration::from_secs(5), "still ready");
    }
}

/// PRX-18, OPS: not ready at once, serving while others learn of it, gone as soon as nothing is left to do.
#[tokio::test]
async fn a_stop_is_announced_and_finishes_what_is_in_flight() {
    let deployment = deployment("server.drain_delay = \"1s\"\nserver.drain_timeout = \"60s\"").await;
    let mut replica = deployment.replica().await;
    let access = logged_in(replica.gate).await.access;
    assert_eq!(get(replica.health, "/readyz").await.json()["ready"], true);
    let mut idle = RawClient::connect(replica.gate).await;
    idle.send(request("GET", "/open/idle").bytes()).await;
    assert_eq!(idle.response().await.header("connection"), Some("keep-alive"));
    let mut slow = RawClient::connect(replica.gate).await;
    slow.send(request("GET", "/slow?ms=1500").bearer(&access).bytes()).await;
    deployment.upstream.wait_until("/slow", |seen| seen.iter().any(|seen| seen.path() == "/slow")).await;

    let begun = Stopwatch::start();
    replica.process.terminate();
    until_not_ready(&replica).await;
    let draining = get(replica.health, "/readyz").await;
    assert_eq!((draining.status, &draining.json()["phase"]), (503, &"draining".into()));
    assert_eq!(get(replica.health, "/livez").await.status, 200);
    for target in ["/open/x", "/closed"] {
        let answer = call(replica.gate, target, &access).await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{target}");
    }
    let refused = get(replica.gate, "/closed").await;
    assert_eq!((refused.status, refused.header("connection")), (401, Some("close")));

    assert_eq!(idle.ending().await, (Ending::Closed, Vec::new()));
    let answer = slow.response().await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(replica.process.exit().await.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "took {:?}", begun.elapsed());
    let output = replica.process.output();
    assert!(output.contains("stopping") && output.contains("stopped"), "{output}");
}

#[tokio::test]
async fn a_request_that_hangs_is_cut_off_at_the_drain_timeout() {
    let deployment = deployment("server.drain_delay = \"0s\"\nserver.drain_timeout = \"200ms\"").await;
    let mut replica = deployment.replica().await;
    let mut hanging = RawClient::connect(replica.gate).await;
    hanging.send(request("GET", "/open/x").bytes()).await;
    assert_eq!(hanging.response().await.status, 200);
    deployment.upstream.next(crate::support::upstream::Script::new().hang());
    hanging.send(request("GET", "/open/hang").bytes()).await;
    deployment.upstream.wait_until("/open/hang", |seen| seen.len() == 2).await;
    let begun = Stopwatch::start();
    replica.process.terminate();
    assert_eq!(replica.process.exit().await.code(), Some(0));
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(5), "took {took:?}");
    assert!(replica.process.output().contains("before everything in flight had ended"), "{}", replica.process.output());
}

#[tokio::test]
async fn an_interrupt_does_not_wait_for_routers_and_a_second_signal_waits_for_nobody() {
    let deployment = deployment("server.drain_delay = \"1h\"\nserver.drain_timeout = \"1h\"").await;
    let mut interrupted = deployment.replica().await;
    assert_eq!(get(interrupted.gate, "/open/x").await.status, 200);
    interrupted.process.signal("INT");
    assert_eq!(interrupted.process.exit().await.code(), Some(0));

    for (first, second) in [("TERM", "TERM"), ("TERM", "INT"), ("INT", "INT")] {
        let mut replica = deployment.replica().await;
        deployment.upstream.next(crate::support::upstream::Script::new().hang());
        let seen = deployment.upstream.requests().len();
        let mut hanging = RawClient::connect(replica.gate).await;
        hanging.send(request("GET", "/open/hang").bytes()).await;
        deployment.upstream.wait_until("/open/hang", |requests| requests.len() > seen).await;
        replica.process.signal(first);
        replica.process.wait_for("stopping").await;
        assert!(replica.process.is_running());
        replica.process.signal(second);
        assert_eq!(replica.process.exit().await.code(), Some(0), "{first} {second}");
    }
}

/// One line that says what is wrong, nothing that looks like a crash.
fn assert_failure(finished: &Finished, code: i32, words: &[&str]) {
    assert_eq!(finished.code, Some(code), "{finished:?}");
    assert!(finished.stderr.starts_with("sidegate: "), "{}", finished.stderr);
    let lines: Vec<_> = finished.stderr.lines().collect();
    assert!(lines.len() <= 2 && lines.iter().skip(1).all(|line| line.starts_with("  hint: ")), "{}", finished.stderr);
    for word in words {
        assert!(finished.stderr.contains(word), "{word} is missing: {}", finished.stderr);
    }
}

/// The configuration on these addresses.
fn write_config(deployment: &Deployment, name: &str, gate: SocketAddr, health: SocketAddr, change: (&str, &str)) {
    let text = std::fs::read_to_string(deployment.home.path("config.toml")).expect("it was written");
    let mut table: toml::Table = text.parse().expect("it is TOML");
    table["server"]["listen"] = toml::Value::Array(vec![format!("http://{gate}").into()]);
    table["health"]["listen"] = format!("http://{health}").into();
    let text = table.to_string();
    assert!(text.contains(change.0), "{} is not in {text}", change.0);
    deployment.home.write(name, text.replace(change.0, change.1));
}

async fn run_with(deployment: &Deployment, change: (&str, &str)) -> Finished {
    write_config(deployment, "changed.toml", free_address(), free_address(), change);
    deployment.command(&["--config", "changed.toml", "run"]).await
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_line() {
    let deployment = deployment("").await;
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = (taken.local_addr().expect("it is bound"), taken).0;
    let holder = TcpListener::bind(taken).expect("it is free again");
    for (gate, health) in [(taken, free_address()), (free_address(), taken)] {
        write_config(&deployment, "changed.toml", gate, health, ("", ""));
        let finished = deployment.command(&["--config", "changed.toml", "run"]).await;
        assert_failure(&finished, 71, &["cannot listen on", &taken.to_string(), "hint"]);
    }
    drop(holder);
}

#[tokio::test]
async fn a_store_that_cannot_be_used_is_one_clear_line() {
    let deployment = deployment("").await;
    // A file that is no database.
    deployment.home.write("corrupt.db", vec![b'x'; 100_000]);
    let finished = run_with(&deployment, ("sqlite:sidegate.db", "sqlite:corrupt.db")).await;
    assert_failure(&finished, 65, &["corrupt.db"]);
    // A folder that is none.
    deployment.home.write("file", "x");
    let finished = run_with(&deployment, ("sqlite:sidegate.db", "sqlite:file/sidegate.db")).await;
    assert_failure(&finished, 69, &["file/sidegate.db"]);
    // A database that another program holds, for longer than the store's timeout.
    write_config(
        &deployment,
        "locked.toml",
        free_address(),
        free_address(),
        ("[store]", "[store]\ntimeout = \"100ms\""),
    );
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(deployment.home.path("sidegate.db"));
    let mut holder = sqlx::ConnectOptions::connect(&options).await.expect("it opens");
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut holder).await.expect("it is ours");
    let finished = deployment.command(&["--config", "locked.toml", "run"]).await;
    assert_failure(&finished, 69, &["the store is not available"]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_one_clear_line() {
    let deployment = deployment("").await;
    let folder = deployment.home.path("sealed");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o500)).expect("it is ours");
    if std::fs::write(folder.join("x"), "x").is_ok() {
        // For root no folder is closed; a folder below a file is, for everybody.
        deployment.home.write("closed", "x");
        let finished = run_with(&deployment, ("\"secret\"", "\"closed/secret\"")).await;
        assert_failure(&finished, 78, &["closed/secret"]);
        return;
    }
    let finished = run_with(&deployment, ("sqlite:sidegate.db", "sqlite:sealed/sidegate.db")).await;
    assert_failure(&finished, 69, &["sealed/sidegate.db"]);
    let finished = run_with(&deployment, ("\"secret\"", "\"sealed/secret\"")).await;
    assert_failure(&finished, 78, &["sealed/secret", "hint"]);
}

#[tokio::test]
async fn secrets_and_keys_that_are_wrong_keep_a_replica_from_starting() {
    let sqlite = deployment("").await;
    sqlite.home.write("foreign", "9f".repeat(32));
    let finished = run_with(&sqlite, ("\"secret\"", "\"foreign\"")).await;
    assert_failure(&finished, 78, &["does not know any of the configured operator secrets"]);
    sqlite.home.write("weak", "password");
    assert_failure(&run_with(&sqlite, ("\"secret\"", "\"weak\"")).await, 78, &["weak", "hint"]);
    let finished = run_with(&sqlite, ("[store]", "[stoer]\nx = 1\n[store]")).await;
    assert_eq!(finished.code, Some(78));
    assert!(finished.stderr.contains("stoer"), "{}", finished.stderr);

    let postgres = Deployment::new(StoreKind::Postgres, "").await;
    let finished = run_with(&postgres, ("\"secret\"", "\"absent\"")).await;
    assert_failure(&finished, 78, &["absent", "is missing", "hint"]);
    assert!(!postgres.home.path("absent").exists(), "a shared store's secret is never made up");
    let finished = run_with(&postgres, ("[store]", "[other]\n[store]")).await;
    assert_eq!(finished.code, Some(78), "{}", finished.stderr);
    let text = std::fs::read_to_string(postgres.home.path("config.toml")).expect("it was written");
    postgres.home.write("realm.toml", format!("realm = \"elsewhere\"\n{text}"));
    let finished = postgres.command(&["--config", "realm.toml", "run"]).await;
    assert_failure(&finished, 78, &["sidegate migrate", "hint"]);
}

#[tokio::test]
async fn a_postgres_that_is_down_at_the_start_is_one_clear_line() {
    let deployment = Deployment::new(StoreKind::Postgres, "").await;
    let url = deployment.database.as_ref().expect("it has one").url.clone();
    let down = format!("postgres://user:hidden-password@{}/x?sslmode=disable", free_address());
    let finished = run_with(&deployment, (&url, &down)).await;
    assert_failure(&finished, 69, &["cannot use the store postgres://127.0.0.1"]);
    assert!(!finished.stderr.contains("hidden-password"));
}

/// B5-1, B5-12.
#[tokio::test]
async fn the_health_listener_tells_health_and_nothing_else() {
    let deployment = deployment("").await;
    let running = deployment.in_process().await;
    let (gate, health) = (running.listen[0], running.health);
    let pair = logged_in(gate).await;
    for target in ["/open/marked-path?marked-query=1", "/marked-path"] {
        let bytes = request("GET", target).bearer(&pair.access).header("User-Agent", "marked-agent");
        assert_eq!(exchange(gate, bytes.header("X-Marked", "marked-value").bytes()).await.status, 200);
    }
    exchange(gate, request("MARKED-METHOD", "/x").bearer("marked-token").bytes()).await;

    let live = get(health, "/livez").await;
    assert_eq!((live.status, live.text().as_str()), (200, "ok\n"));
    let ready = get(health, "/readyz").await;
    assert_eq!((ready.status, &ready.json()["phase"]), (200, &"serving".into()));
    assert!(ready.json()["feed"]["age_milliseconds"].is_u64(), "{}", ready.text());
    let metrics = get(health, "/metrics").await;
    assert_eq!(metrics.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let text = metrics.text();
    for line in [
        "sidegate_requests_total{outcome=\"permit\"} 2",
        "sidegate_requests_total{outcome=\"endpoint\"} 1",
        "sidegate_logins_total{outcome=\"ok\"} 1",
        "sidegate_ready 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
    }
    for secret in ["marked", pair.access.as_str(), pair.refresh.as_str(), "ann", "/open"] {
        assert!(!text.to_lowercase().contains(secret), "{secret}:\n{text}");
    }
    for target in ["/", "/metrics/", "/livez/x", "/login", "/open/x", "/.well-known/jwks.json", "/debug"] {
        assert_eq!(get(health, target).await.status, 404, "{target}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(exchange(health, request(method, "/readyz").bytes()).await.status, 405, "{method}");
    }
    // And the gate does not tell health: such a path belongs to the application.
    for target in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(get(gate, target).await.status, 401, "{target}");
    }
    assert!(running.stop().await);
}
