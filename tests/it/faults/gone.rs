//! A client that does not wait for its answer: what it asked for is done to the end, and its retry is answered.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::client::{Pair, call, logged_in, refresh, refresh_request};
use crate::support::deployment::{Deployment, StoreKind};

use super::hooked_store::{Holding, Side};
use super::tables::Tables;

const KEY: &str = "one-key-for-one-refresh";

/// How a client hangs up.
#[derive(Clone, Copy, Debug)]
enum HangUp {
    Politely,
    Reset,
}

async fn send_and_hang_up(gate: SocketAddr, request: &[u8], how: HangUp, when: impl Future<Output = ()>) {
    let mut stream = TcpStream::connect(gate).await.unwrap();
    stream.write_all(request).await.unwrap();
    when.await;
    match how {
        HangUp::Politely => stream.shutdown().await.unwrap(),
        HangUp::Reset => stream.set_zero_linger().unwrap(),
    }
}

async fn until_generation(tables: &mut Tables, token: &str, generation: i64) {
    let turned = async {
        while tables.generation(token).await != Some(generation) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(10), turned).await;
    in_time.expect("the rotation runs to its end");
}

async fn right_after_the_request(kind: StoreKind) {
    let deployment = Deployment::new(kind, "").await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let mut tables = Tables::of(&deployment).await;
    let mut live = logged_in(gate).await;
    for round in 0..20 {
        let request = refresh_request(&live.refresh, Some(KEY)).bytes();
        send_and_hang_up(gate, &request, HangUp::Politely, async {}).await;
        until_generation(&mut tables, &live.refresh, round + 1).await;
        live = Pair::read(&refresh(gate, &live.refresh, Some(KEY)).await);
        assert_eq!(tables.generation(&live.refresh).await, Some(round + 1));
    }
    assert_eq!(call(gate, "/", &live.access).await.status, 200);
}

#[tokio::test]
async fn a_client_that_hangs_up_after_its_request_finds_its_successor_on_sqlite() {
    right_after_the_request(StoreKind::Sqlite).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_after_its_request_finds_its_successor_on_postgres() {
    right_after_the_request(StoreKind::Postgres).await;
}

#[tokio::test]
async fn a_rotation_goes_on_when_its_client_resets_the_connection_in_the_middle() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::new(kind, "").await;
        let holding = Holding::start(&deployment, Side::BeforeTheStatement).await;
        let gate = holding.running.listen[0];
        let pair = logged_in(gate).await;

        let request = refresh_request(&pair.refresh, Some(KEY)).bytes();
        holding.hold_next();
        send_and_hang_up(gate, &request, HangUp::Reset, holding.held()).await;
        let mut tables = Tables::of(&deployment).await;
        assert_eq!(tables.generation(&pair.refresh).await, Some(0));
        holding.let_go();

        until_generation(&mut tables, &pair.refresh, 1).await;
        let repeated = Pair::read(&refresh(gate, &pair.refresh, Some(KEY)).await);
        assert_eq!(tables.generation(&pair.refresh).await, Some(1));
        Pair::read(&refresh(gate, &repeated.refresh, None).await);
    }
}
