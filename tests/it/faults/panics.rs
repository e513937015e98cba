//! A panic is one request's: the process, and everybody else in it, goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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

/// Panics in what a background task asks the store.
struct Doomed {
    page: Arc<AtomicBool>,
    beat: Arc<AtomicBool>,
}

#[async_trait]
impl AroundSwap for Doomed {
    async fn before_page(&self) {
        assert!(!self.page.load(Ordering::SeqCst), "planted by a test");
    }

    async fn before_beat(&self) {
        assert!(!self.beat.load(Ordering::SeqCst), "planted by a test");
    }
}

/// D-27: without the feed a replica would serve on and hear of no end. It stops instead, and whoever watches over it starts
/// it again.
#[tokio::test]
async fn a_replica_whose_background_task_has_died_does_not_serve_on() {
    for is_feed in [true, false] {
        let deployment = Deployment::new(StoreKind::Sqlite, "").await;
        let (page, beat) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let mut running = hooked(&deployment, Doomed { page: Arc::clone(&page), beat: Arc::clone(&beat) }).await;
        let gate = running.listen[0];
        let pair = logged_in(gate).await;
        assert!(tokio::time::timeout(Duration::from_millis(300), running.broken()).await.is_err(), "nothing is wrong");

        (if is_feed { page } else { beat }).store(true, Ordering::SeqCst);
        tokio::time::timeout(Duration::from_secs(30), running.broken()).await.expect("it notices");
        assert_eq!(call(gate, "/", &pair.access).await.status, 200, "until it is told to stop");
        running.stop().await;
        assert!(tokio::net::TcpStream::connect(gate).await.is_err());
    }
}
