//! Who may make calls.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UnixStream};

use crate::admin::{exchange, over_socket};
use crate::support::deployment::{Deployment, StoreKind};
use crate::support::net::free_address;
use crate::support::process::{Home, Process};
use crate::support::raw::{self, request};

const NOBODY: u32 = 65534;
const TOKEN: &str = "a token of the operator's that is long enough"; // with spaces: no token
const GOOD_TOKEN: &str = "0d9c8b7a6f5e4d3c2b1a0f9e8d7c6b5a";

/// B5-1: the socket is its owner's from its first moment to its last, and goes with its process.
#[tokio::test]
async fn the_socket_is_its_owners_and_goes_with_its_process() {
    let deployment = Deployment::new(StoreKind::Sqlite, "admin.listen = \"unix:folder/admin.sock\"").await;
    let mut replica = deployment.replica().await;
    let path = deployment.home.path("folder/admin.sock");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let (status, text) = over_socket(&path, request("GET", "/drain")).await;
    assert_eq!(status, 405, "{text}");
    assert_eq!(over_socket(&path, request("POST", "/metrics")).await.0, 404);
    replica.process.terminate();
    assert!(replica.process.exit().await.success());
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_socket_is_not_taken_from_a_living_sidegate_and_is_from_a_dead_one() {
    let deployment = Deployment::new(StoreKind::Sqlite, "admin.listen = \"unix:admin.sock\"").await;
    let mut first = deployment.replica().await;
    for _ in 0..2 {
        let second = deployment.command(&["run"]).await;
        assert_eq!(second.code, Some(71), "{second:?}");
        assert!(second.stderr.contains("cannot listen on unix:admin.sock: another sidegate"), "{second:?}");
        assert!(second.stderr.contains("hint: stop it, or give each one its own admin.listen"), "{second:?}");
    }
    // It does not answer, but it lives.
    first.process.signal("STOP");
    assert_eq!(deployment.command(&["run"]).await.code, Some(71));
    first.process.kill();
    first.process.exit().await;
    assert!(deployment.home.path("admin.sock").exists(), "a killed process leaves it behind");
    let third = deployment.replica().await;
    assert_eq!(
        over_socket(&deployment.home.path("admin.sock"), request("POST", "/drain").json(&json!({}))).await.0,
        200
    );
    assert!(third.process.output().contains("draining"));
}

#[tokio::test]
async fn what_is_in_the_way_of_the_socket_is_left_there_and_named() {
    let deployment = Deployment::new(StoreKind::Sqlite, "admin.listen = \"unix:notes/admin.sock\"").await;
    deployment.home.write("notes/admin.sock", "dear diary");
    let finished = deployment.command(&["run"]).await;
    assert_eq!(finished.code, Some(71), "{finished:?}");
    assert!(finished.stderr.contains("something that is no socket is there"), "{finished:?}");
    assert_eq!(std::fs::read_to_string(deployment.home.path("notes/admin.sock")).unwrap(), "dear diary");
    std::fs::remove_dir_all(deployment.home.path("notes")).unwrap();
    deployment.home.write("notes", "a file where the folder should be");
    let finished = deployment.command(&["run"]).await;
    assert_eq!(finished.code, Some(71), "{finished:?}");
    assert!(
        finished.stderr.contains("hint: change admin.listen") && finished.stderr.lines().count() == 2,
        "{finished:?}"
    );
}

/// B5-1: who is not the socket's owner cannot open it; and where somebody has opened its mode, is refused by its id.
#[tokio::test]
async fn another_user_cannot_call() {
    // Only root can become somebody else.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().join("admin.sock");
    let settings = format!("admin.listen = \"unix:{}\"\naudit.output = \"file:audit.jsonl\"", path.display());
    let deployment = Deployment::new(StoreKind::Sqlite, &settings).await;
    let replica = deployment.replica().await;
    let as_nobody = || {
        let script = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die \"$!\\n\"; \
                      print $s \"POST /drain HTTP/1.0\\r\\nhost: x\\r\\n\\r\\n\"; $s->flush; print <$s>;";
        let mut command = Command::new("perl");
        command.args(["-e", script]).arg(&path).current_dir("/").uid(NOBODY).gid(NOBODY);
        Process::start(&mut command).finish()
    };
    let refused = as_nobody().await;
    assert_eq!(refused.stderr, "Permission denied\n", "{refused:?}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let refused = as_nobody().await;
    assert!(refused.stdout.starts_with("HTTP/1.0 403"), "{refused:?}");
    replica.process.wait_for("other_user").await;
    let audit = std::fs::read_to_string(deployment.home.path("audit.jsonl")).unwrap();
    assert!(audit.contains("\"by\":\"operator\",\"event\":\"admin\",\"outcome\":\"refused\""), "{audit}");
    assert_eq!(
        raw::exchange(replica.health, request("GET", "/readyz").bytes()).await.status,
        200,
        "nothing was drained"
    );
}

/// B5-1, B5-2: an address is open to the API in the same pod, and to pages in a browser; neither knows the token.
#[tokio::test]
async fn an_address_is_for_whoever_knows_the_token() {
    let admin = free_address();
    let settings = format!("admin.listen = \"http://{admin}\"\nadmin.token_file = \"token\"");
    let deployment = Deployment::new(StoreKind::Sqlite, &settings).await;
    deployment.home.write("token", TOKEN);
    let weak = deployment.command(&["run"]).await;
    assert_eq!(weak.code, Some(78), "{weak:?}");
    assert!(weak.stderr.contains("token holds no token") && !weak.stderr.contains(TOKEN), "{weak:?}");
    deployment.home.write("token", format!("{GOOD_TOKEN}\n"));
    let replica = deployment.replica().await;
    let to_it = |method: &str| raw::request(method, "/drain").header("X-Other", "x");
    let call = async |request| exchange(TcpStream::connect(admin).await.unwrap(), request).await;
    let addressed = |bytes: &raw::RawRequest| {
        let text = String::from_utf8(bytes.bytes()).unwrap().replace("Host: test", &format!("Host: {admin}"));
        text.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    };
    assert_eq!(call(to_it("POST").bearer(GOOD_TOKEN)).await.0, 403, "another host's name");
    for (sent, status) in [
        (addressed(&to_it("POST")), 401),
        (addressed(&to_it("POST").bearer("0d9c8b7a6f5e4d3c2b1a0f9e8d7c6b5b")), 401),
        (addressed(&to_it("GET").bearer(GOOD_TOKEN)), 405),
    ] {
        assert_eq!(raw::exchange(admin, sent).await.status, status);
    }
    assert_eq!(raw::exchange(replica.health, request("GET", "/readyz").bytes()).await.status, 200);
    let finished = deployment.command(&["--config", &replica.config, "drain"]).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(!replica.process.output().contains(GOOD_TOKEN));
}

/// B5-1: no way leads from the traffic's port to the operator's calls.
#[tokio::test]
async fn calls_are_not_reached_through_the_other_listeners() {
    let deployment = Deployment::new(StoreKind::Sqlite, "").await;
    let replica = deployment.replica().await;
    for target in ["/drain", "/revoke", "/admin/drain"] {
        assert_eq!(raw::exchange(replica.gate, request("POST", target).bytes()).await.status, 401, "{target}");
        assert_eq!(raw::exchange(replica.health, request("POST", target).bytes()).await.status, 404, "{target}");
    }
    assert!(deployment.upstream.requests().is_empty());
    assert_eq!(raw::exchange(replica.health, request("GET", "/readyz").bytes()).await.status, 200);
}

/// Whoever connects and says nothing does not keep the operator out.
#[tokio::test]
async fn silent_connections_are_closed_and_the_operator_gets_in() {
    let deployment = Deployment::new(StoreKind::Sqlite, "admin.listen = \"unix:admin.sock\"").await;
    let _replica = deployment.replica().await;
    let path = deployment.home.path("admin.sock");
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(UnixStream::connect(&path).await.unwrap());
    }
    let answered = tokio::time::timeout(Duration::from_secs(30), over_socket(&path, request("GET", "/drain")));
    assert_eq!(answered.await.expect("it gets its turn").0, 405);
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(30), silent[0].read_to_end(&mut rest))
        .await
        .expect("it is closed")
        .unwrap();
}

#[tokio::test]
async fn a_command_without_a_running_sidegate_says_so() {
    let home = Home::with_config("");
    let finished = home.run(&["drain"]).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("no sidegate takes calls at unix:data/admin.sock"), "{finished:?}");
    assert!(finished.stderr.contains("hint: is it running, with this configuration?"), "{finished:?}");
    assert_eq!(std::fs::read_dir(home.path("")).unwrap().count(), 1, "nothing was made");
    let off = Home::with_config("admin.listen = ''").run(&["drain"]).await;
    assert_eq!(off.code, Some(1), "{off:?}");
    assert!(off.stderr.contains("admin.listen is off"), "{off:?}");
    std::fs::DirBuilder::new().mode(0o700).create(home.path("data")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(home.path("data/admin.sock")).unwrap());
    let left = home.run(&["drain"]).await;
    assert!(left.stderr.contains("connection refused"), "{left:?}");
}
