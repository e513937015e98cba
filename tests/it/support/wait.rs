//! Waiting for what comes a little later, and for what blocks.

use std::net::SocketAddr;
use std::time::Duration;

use super::raw::{self, request};

/// Asks until it is so.
///
/// # Panics
/// If it is not within `patience`.
pub async fn until(patience: Duration, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(patience, asking).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Waits until a replica says that it hears of ends this way: `listen` or `poll`.
///
/// # Panics
/// If it does not within `patience`.
pub async fn until_it_hears_by(patience: Duration, health: SocketAddr, way: &str) {
    until(patience, &format!("it hears by {way}"), async || feed_mode(health).await == way).await;
}

/// How a replica says that it hears of ends.
pub async fn feed_mode(health: SocketAddr) -> String {
    let ready = raw::exchange(health, request("GET", "/readyz").bytes()).await.json();
    ready["feed"]["mode"].as_str().unwrap_or_default().to_owned()
}

/// Runs what blocks, without holding up whatever else this runtime does.
///
/// # Panics
/// If the work does.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("it does not panic")
}
