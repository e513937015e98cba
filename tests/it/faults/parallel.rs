//! One refresh token, presented a hundred times at the same moment to two processes on one store: it turns once.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::support::client::{Pair, call, logged_in, oauth_error, refresh, refresh_request};
use crate::support::deployment::{Deployment, StoreKind};
use crate::support::raw::{RawClient, RawResponse};

use super::tables::Tables;

const REQUESTS: usize = 100;
const ROUNDS: usize = 5;

/// What a hundred answers to one token consist of.
struct Outcome {
    pairs: Vec<Pair>,
    refused: usize,
}

impl Outcome {
    /// Insists that every answer is a pair or an `invalid_grant`.
    fn of(answers: &[RawResponse]) -> Self {
        let mut outcome = Self { pairs: Vec::new(), refused: 0 };
        for answer in answers {
            if answer.status == 200 {
                outcome.pairs.push(Pair::read(answer));
            } else {
                assert_eq!(oauth_error(answer, 400), "invalid_grant");
                outcome.refused += 1;
            }
        }
        outcome
    }

    fn distinct(&self) -> BTreeSet<&str> {
        self.pairs.iter().map(|pair| pair.refresh.as_str()).collect()
    }
}

/// Opens all connections, then releases all requests at once; half to each gate.
async fn at_once(gates: [SocketAddr; 2], token: &str, key: Option<&str>) -> Vec<RawResponse> {
    let bytes = refresh_request(token, key).bytes();
    let start = Arc::new(Barrier::new(REQUESTS));
    let mut requests = JoinSet::new();
    for n in 0..REQUESTS {
        let mut client = RawClient::connect(gates[n % 2]).await;
        let (bytes, start) = (bytes.clone(), Arc::clone(&start));
        requests.spawn(async move {
            start.wait().await;
            client.send(bytes).await;
            client.response().await
        });
    }
    requests.join_all().await
}

async fn rounds(kind: StoreKind, settings: &str, key: Option<&str>, judge: impl Fn(&Outcome)) {
    let deployment = Deployment::new(kind, settings).await;
    let (one, other) = (deployment.replica().await, deployment.replica().await);
    let mut tables = Tables::of(&deployment).await;
    let mut live = logged_in(one.gate).await;
    for round in 0..ROUNDS {
        let before = tables.generation(&live.refresh).await.unwrap();
        // A key is for one request and its retries: each round has its own.
        let key = key.map(|key| format!("{key}-{round}"));

        let outcome = Outcome::of(&at_once([one.gate, other.gate], &live.refresh, key.as_deref()).await);

        judge(&outcome);
        assert_eq!(tables.generation(&live.refresh).await, Some(before + 1));
        for pair in &outcome.pairs {
            assert_eq!(call(other.gate, "/", &pair.access).await.status, 200);
        }
        let winner = &outcome.pairs[0];
        live = Pair::read(&refresh(other.gate, &winner.refresh, None).await);
    }
    assert_eq!(tables.count("session").await, 1);
    assert_eq!(tables.count("revocation").await, 0);
}

fn one_of_all(outcome: &Outcome) {
    assert_eq!((outcome.pairs.len(), outcome.refused), (1, REQUESTS - 1));
}

fn all_the_same(outcome: &Outcome) {
    assert_eq!((outcome.pairs.len(), outcome.refused), (REQUESTS, 0));
    assert_eq!(outcome.distinct().len(), 1);
}

const KEY: &str = "one-key-for-one-refresh";
const REFUSE: &str = "refresh.on_retry = \"refuse\"";
const REPEAT: &str = "refresh.on_retry = \"repeat\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_parallel_refreshes_without_a_key_one_wins_on_sqlite() {
    rounds(StoreKind::Sqlite, REFUSE, None, one_of_all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_parallel_refreshes_without_a_key_one_wins_on_postgres() {
    rounds(StoreKind::Postgres, REFUSE, None, one_of_all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_refreshes_with_one_key_all_get_the_same_successor_on_sqlite() {
    rounds(StoreKind::Sqlite, REFUSE, Some(KEY), all_the_same).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_refreshes_with_one_key_all_get_the_same_successor_on_postgres() {
    rounds(StoreKind::Postgres, REFUSE, Some(KEY), all_the_same).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_refreshes_all_get_the_same_successor_on_sqlite_if_retries_repeat() {
    rounds(StoreKind::Sqlite, REPEAT, None, all_the_same).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_refreshes_all_get_the_same_successor_on_postgres_if_retries_repeat() {
    rounds(StoreKind::Postgres, REPEAT, None, all_the_same).await;
}
