//! A panic is one request's: the process, and everybody else in it, goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use crate::support::client::{Pair, call, logged_in, refresh, refresh_request};
use crate::support::deployment::{Deployment, StoreKind};
use crate::support::raw::{RawClient, request};

use super::hooked_store::{AroundSwap, hooked};

/// Panics in the next swap, before it is made.
struct Explosive(Arc<AtomicBool>);

#[async_trait]
impl AroundSwap for Explosive {
    async fn before(&self) {
        assert!(!self.0.swap(false, Ordering::SeqCst), "planted by a test");
    }
}

/// SES-18: whoever asked gets no tokens, and the session is as it was; other connections do not notice.
#[tokio::test]
async fn a_panic_ends_one_request_and_nothing_else() {
    let deployment = Deployment::new(StoreKind::Sqlite, "").await;
    let armed = Arc::new(AtomicBool::new(false));
    let running = hooked(&deployment, Explosive(Arc::clone(&armed))).await;
    let gate = running.listen[0];
    let (pair, other) = (logged_in(gate).await, logged_in(gate).await);
    let mut open = RawClient::connect(gate).await;
    open.send(request("GET", "/before").bearer(&other.access).bytes()).await;
    assert_eq!(open.response().await.status, 200);

    armed.store(true, Ordering::SeqCst);
    let mut client = RawClient::connect(gate).await;
    client.send(refresh_request(&pair.refresh, None).bytes()).await;
    if let Ok(answer) = client.try_response().await {
        assert_eq!(answer.status, 500, "{}", answer.text());
        assert!(!answer.text().contains("planted"), "{}", answer.text());
    }
    assert!(!armed.load(Ordering::SeqCst), "it was reached");

    open.send(request("GET", "/after").bearer(&other.access).bytes()).await;
    assert_eq!(open.response().await.status, 200);
    assert_eq!(call(gate, "/", &pair.access).await.status, 200);
    Pair::read(&refresh(gate, &pair.refresh, None).await);
    assert!(running.stop().await);
}
