//! What ends, and what does not.

use tokio::io::AsyncReadExt;

use super::{BOTH, EVENTS, answered, asking, goes_on, is_over, lives, one_gate, two};
use crate::support::client::{Pair, call, logged_in, login, refresh, until_refused};
use crate::support::deployment::{Deployment, StoreKind, USER};
use crate::support::raw::{self, RawClient, request};
use crate::support::upstream::Script;

const BOB: (&str, &str) = ("bob", "a long enough password");

#[tokio::test]
async fn the_applications_own_logout_ends_the_session_that_asked() {
    for kind in BOTH {
        let deployment = Deployment::new(kind, EVENTS).await;
        let (running, other) = (deployment.in_process().await, deployment.in_process().await);
        let gate = running.listen[0];
        for method in ["POST", "GET"] {
            let (own, elsewhere) = two(gate).await;
            let home = Script::answer(302, &[("Location", "/"), ("Set-Cookie", "PHPSESSID=gone; Max-Age=0")], "bye");
            let answer = answered(&deployment, gate, &asking(method, "/logout.php", &own.access), home).await;
            assert_eq!((answer.status, answer.text().as_str()), (302, "bye"), "the answer itself is not touched");
            assert_eq!(answer.header("set-cookie"), Some("PHPSESSID=gone; Max-Age=0"));
            is_over(gate, &own).await;
            lives(gate, &elsewhere).await;
            until_refused(other.listen[0], &own.access).await;
            lives(other.listen[0], &elsewhere).await;
        }
    }
}

#[tokio::test]
async fn a_change_of_the_password_ends_the_other_sessions_and_its_own_goes_on_unseen() {
    for kind in BOTH {
        let deployment = Deployment::new(kind, EVENTS).await;
        deployment.add_user(BOB.0, BOB.1, &[]).await;
        let (running, other) = (deployment.in_process().await, deployment.in_process().await);
        let (gate, other_gate) = (running.listen[0], other.listen[0]);
        let bob = Pair::read(&login(gate, BOB.0, BOB.1).await);
        let (mut own, elsewhere) = two(gate).await;
        for round in 0..2 {
            let thief = logged_in(gate).await;
            let changed = asking("POST", "/account/password", &own.access);
            assert_eq!(answered(&deployment, gate, &changed, Script::answer(200, &[], "ok")).await.status, 200);
            is_over(gate, &elsewhere).await;
            is_over(gate, &thief).await;
            until_refused(other_gate, &own.access).await;
            own = goes_on(if round == 0 { gate } else { other_gate }, &own).await;
            lives(gate, &own).await;
        }
        lives(gate, &bob).await;
        let later = logged_in(gate).await;
        lives(gate, &later).await;
    }
}

#[tokio::test]
async fn the_end_of_an_account_ends_all_of_its_sessions() {
    for kind in BOTH {
        let deployment = Deployment::new(kind, EVENTS).await;
        deployment.add_user(BOB.0, BOB.1, &[]).await;
        let running = deployment.in_process().await;
        let gate = running.listen[0];
        let bob = Pair::read(&login(gate, BOB.0, BOB.1).await);
        let (own, elsewhere) = two(gate).await;
        let closed = asking("POST", "/account/close", &own.access);
        assert_eq!(answered(&deployment, gate, &closed, Script::answer(204, &[], "")).await.status, 204);
        is_over(gate, &own).await;
        is_over(gate, &elsewhere).await;
        lives(gate, &bob).await;
    }
}

/// The segment is compared as the rules compare it: decoded.
#[tokio::test]
async fn a_deleted_user_is_whom_the_decoded_path_names() {
    for kind in BOTH {
        let deployment = Deployment::new(kind, EVENTS).await;
        deployment.add_user("bob", BOB.1, &["--subject", "b 4ü"]).await;
        deployment.add_user("eve", BOB.1, &["--subject", "b"]).await;
        let running = deployment.in_process().await;
        let gate = running.listen[0];
        let ann = logged_in(gate).await;
        let [bob, eve] = ["bob", "eve"].map(async |name| Pair::read(&login(gate, name, BOB.1).await));
        let (bob, eve) = (bob.await, eve.await);
        // Somebody without the role deletes nobody, and no such request gets to the application.
        assert_eq!(raw::exchange(gate, asking("DELETE", "/users/ann", &bob.access)).await.status, 403);
        assert_eq!(deployment.upstream.requests().len(), 0);
        let deleted = asking("DELETE", "/users/b?x=4%C3%BC", &ann.access);
        assert_eq!(answered(&deployment, gate, &deleted, Script::answer(204, &[], "")).await.status, 204);
        is_over(gate, &eve).await;
        lives(gate, &bob).await;
        let deleted = asking("DELETE", "/users/%62%20%34%c3%BC", &ann.access);
        assert_eq!(answered(&deployment, gate, &deleted, Script::answer(204, &[], "")).await.status, 204);
        is_over(gate, &bob).await;
        lives(gate, &ann).await;
    }
}

#[tokio::test]
async fn an_answer_without_the_sign_ends_nothing() {
    let (deployment, running, gate) = one_gate(EVENTS).await;
    let (own, elsewhere) = two(gate).await;
    for (method, target, status, headers) in [
        ("POST", "/account/password", 400, &[][..]),
        ("POST", "/account/password", 302, &[("Location", "/")]),
        ("POST", "/account/password", 500, &[]),
        ("POST", "/account/password/", 404, &[]),
        ("PUT", "/account/password", 200, &[]),
        ("POST", "/account/password/x", 200, &[]),
        ("POST", "/logout.php", 302, &[("Location", "/error?try=again")]),
        ("POST", "/logout.php", 303, &[("Location", "/")]),
        ("POST", "/account/close", 200, &[]),
        ("DELETE", "/users/ann", 404, &[]),
    ] {
        let asked = asking(method, target, &own.access);
        let answer = answered(&deployment, gate, &asked, Script::answer(status, headers, "")).await;
        assert_eq!(answer.status, status, "{method} {target}");
        lives(gate, &own).await;
        lives(gate, &elsewhere).await;
    }
    // No answer of the application at all.
    let asked = asking("POST", "/account/password", &own.access);
    assert_eq!(answered(&deployment, gate, &asked, Script::new().read_body().close()).await.status, 502);
    lives(gate, &elsewhere).await;
    assert_eq!(running.authority.revocations_held(), 0);
}

/// An optional route is passed by nobody in particular, too.
#[tokio::test]
async fn an_answer_to_nobody_ends_nothing() {
    let optional = "[[route]]\npath = \"/logout.php\"\nauth = \"optional\"\n";
    let settings = EVENTS.replacen("[[route]]", &format!("{optional}[[route]]"), 1);
    let (deployment, _running, gate) = one_gate(&settings).await;
    let own = logged_in(gate).await;
    let asked = request("GET", "/logout.php").bytes();
    assert_eq!(answered(&deployment, gate, &asked, Script::answer(200, &[], "")).await.status, 200);
    lives(gate, &own).await;
    let asked = asking("GET", "/logout.php", &own.access);
    assert_eq!(answered(&deployment, gate, &asked, Script::answer(200, &[], "")).await.status, 200);
    is_over(gate, &own).await;
}

#[tokio::test]
async fn a_head_is_a_get_and_an_interim_answer_is_no_answer() {
    let (deployment, _running, gate) = one_gate(EVENTS).await;
    let (own, elsewhere) = two(gate).await;
    let mut client = RawClient::connect(gate).await;
    deployment.upstream.next(Script::answer(200, &[], "a page"));
    client.send(request("HEAD", "/logout.php").bearer(&own.access).bytes()).await;
    assert_eq!(client.try_response_to("HEAD").await.unwrap().status, 200);
    is_over(gate, &own).await;

    let hints = Script::new().read_body().send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    let refused = hints.answering(400, &[], "wrong");
    let asked = asking("POST", "/account/password", &elsewhere.access);
    assert_eq!(answered(&deployment, gate, &asked, refused).await.status, 400);
    lives(gate, &elsewhere).await;
}

/// What the head says is done when the head is passed on; the body may take its time.
#[tokio::test]
async fn a_streamed_answer_ends_by_its_head() {
    let (deployment, _running, gate) = one_gate(EVENTS).await;
    let (own, elsewhere) = two(gate).await;
    let (chunks, stream) = Script::streamed(&[]);
    deployment.upstream.next(stream);
    let mut client = RawClient::connect(gate).await;
    client.send(asking("POST", "/account/password", &own.access)).await;
    assert_eq!(client.head().await.status, 200);
    is_over(gate, &elsewhere).await;
    chunks.push("one").await;
    assert_eq!(client.piece().await.as_deref(), Some(&b"one"[..]));
    chunks.end().await;
    assert_eq!(client.piece().await, None);
    goes_on(gate, &own).await;
}

/// A WebSocket of a session that ends so is cut, as by any other end.
#[tokio::test]
async fn what_is_open_ends_with_its_session() {
    let (deployment, _running, gate) = one_gate(EVENTS).await;
    let own = logged_in(gate).await;
    let opening = request("GET", "/ws").header("Connection", "Upgrade").header("Upgrade", "websocket");
    let opening = opening.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let mut socket = tokio::net::TcpStream::connect(gate).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut socket, &opening.bearer(&own.access).bytes()).await.unwrap();
    let mut first = [0; 12];
    socket.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 101");
    let asked = asking("POST", "/logout.php", &own.access);
    assert_eq!(answered(&deployment, gate, &asked, Script::answer(200, &[], "bye")).await.status, 200);
    let mut rest = Vec::new();
    let reading = tokio::time::timeout(std::time::Duration::from_secs(10), socket.read_to_end(&mut rest));
    let _ = reading.await.expect("the socket is cut");
}

#[tokio::test]
async fn each_end_has_its_audit_line_its_count_and_its_word_in_the_access_line() {
    let deployment = Deployment::new(StoreKind::Sqlite, &format!("audit.output = \"stdout\"\n{EVENTS}")).await;
    deployment.add_user(BOB.0, BOB.1, &[]).await;
    let replica = deployment.replica().await;
    let gate = replica.gate;
    let mut own = logged_in(gate).await;
    let session = crate::support::client::sid(&own.access);
    for (method, target, status, word, subject) in [
        ("POST", "/account/password", 200, "other_sessions", USER),
        ("DELETE", "/users/bob", 204, "subject", "bob"),
        ("POST", "/logout.php", 200, "session", USER),
    ] {
        let asked = asking(method, target, &own.access);
        assert_eq!(answered(&deployment, gate, &asked, Script::answer(status, &[], "")).await.status, status);
        let line = replica.process.wait_for(&format!("\"event\":\"observed_{word}\"")).await;
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&line["outcome"], &line["subject"], &line["session"]),
            (&"ok".into(), &subject.into(), &session.as_str().into())
        );
        assert_eq!(line["address"], "127.0.0.1");
        replica.process.wait_for(&format!("observed=\"{word}\"")).await;
        if word == "other_sessions" {
            own = Pair::read(&refresh(gate, &own.refresh, None).await);
        }
    }
    for word in ["other_sessions", "subject", "session"] {
        let name = format!("sidegate_observed_ends_total{{outcome=\"{word}\"}}");
        assert_eq!(crate::support::client::metric(replica.health, &name).await, 1, "{word}");
    }
    assert_eq!(call(gate, "/", &own.access).await.status, 401);
}
