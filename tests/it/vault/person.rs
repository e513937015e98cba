//! Somebody with a pair of tokens, who refreshes once when a token is refused and tries again.

use std::net::SocketAddr;

use tokio::sync::Mutex;

use crate::support::client::{Pair, call, logged_in, refresh};
use crate::support::raw::RawResponse;

pub(super) struct Person {
    pair: Mutex<Pair>,
}

impl Person {
    pub(super) async fn at(gate: SocketAddr) -> Self {
        Self { pair: Mutex::new(logged_in(gate).await) }
    }

    pub(super) async fn pair(&self) -> Pair {
        self.pair.lock().await.clone()
    }

    /// Refreshes, unless somebody has since `before`.
    pub(super) async fn refresh(&self, gate: SocketAddr, before: &Pair) {
        let mut pair = self.pair.lock().await;
        if pair.access == before.access {
            *pair = Pair::read(&refresh(gate, &pair.refresh, None).await);
        }
    }

    /// A request, and the same again with a new pair if the first is answered with a 401.
    pub(super) async fn call(&self, gate: SocketAddr, target: &str) -> RawResponse {
        let pair = self.pair().await;
        let answer = call(gate, target, &pair.access).await;
        if answer.status != 401 {
            return answer;
        }
        self.refresh(gate, &pair).await;
        call(gate, target, &self.pair().await.access).await
    }
}
