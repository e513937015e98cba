//! The application does what it was asked although nobody waits for its answer any more, and so do we.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{EVENTS, asking, goes_on, is_over, one_gate, two};
use crate::support::client::until_refused;
use crate::support::upstream::Script;

/// How a client goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Going {
    Closed,
    Reset,
}

#[tokio::test]
async fn what_an_answer_says_ends_although_the_client_has_gone() {
    for going in [Going::Closed, Going::Reset] {
        let (deployment, _running, gate) = one_gate(EVENTS).await;
        let (own, elsewhere) = two(gate).await;
        // Long enough for the close to be noticed before the answer.
        let late = Script::new().read_body().wait(Duration::from_millis(500)).answering(200, &[], "changed");
        deployment.upstream.next(late);
        let mut client = TcpStream::connect(gate).await.unwrap();
        client.write_all(&asking("POST", "/account/password", &own.access)).await.unwrap();
        deployment.upstream.wait_until("it has the request", |seen| seen.iter().any(|seen| seen.complete)).await;
        if going == Going::Reset {
            client.set_zero_linger().unwrap();
        }
        drop(client);
        until_refused(gate, &elsewhere.access).await;
        is_over(gate, &elsewhere).await;
        goes_on(gate, &own).await;
    }
}

#[tokio::test]
async fn a_request_that_nothing_hangs_on_ends_with_its_client() {
    let (deployment, _running, gate) = one_gate(EVENTS).await;
    let (own, _) = two(gate).await;
    for target in ["/hang", "/account/close/hang"] {
        deployment.upstream.next(Script::new().read_body().hang());
        let mut client = TcpStream::connect(gate).await.unwrap();
        client.write_all(&asking("POST", target, &own.access)).await.unwrap();
        deployment
            .upstream
            .wait_until("it has the request", |seen| seen.iter().any(|seen| seen.target() == target))
            .await;
        drop(client);
        deployment.upstream.wait_until_disconnected().await;
    }
}

/// The wait has the same bound as any other.
#[tokio::test]
async fn nobody_waits_for_an_answer_longer_than_the_upstream_may_take() {
    let settings = format!("upstream.default.response_timeout = \"300ms\"\n{EVENTS}");
    let (deployment, _running, gate) = one_gate(&settings).await;
    let (own, elsewhere) = two(gate).await;
    deployment.upstream.next(Script::new().read_body().hang());
    let mut client = TcpStream::connect(gate).await.unwrap();
    client.write_all(&asking("POST", "/account/password", &own.access)).await.unwrap();
    deployment.upstream.wait_until("it has the request", |seen| seen.iter().any(|seen| seen.complete)).await;
    drop(client);
    deployment.upstream.wait_until_disconnected().await;
    super::lives(gate, &elsewhere).await;
}

/// The head of the answer is what is waited for: the body is nobody's any more.
#[tokio::test]
async fn after_the_head_an_answer_ends_with_its_client() {
    let (deployment, _running, gate) = one_gate(EVENTS).await;
    let (own, elsewhere) = two(gate).await;
    let (chunks, stream) = Script::streamed(&[]);
    deployment.upstream.next(stream);
    let mut client = crate::support::raw::RawClient::connect(gate).await;
    client.send(asking("POST", "/account/password", &own.access)).await;
    assert_eq!(client.head().await.status, 200);
    drop(client);
    chunks.abandoned().await;
    is_over(gate, &elsewhere).await;
}
