//! `kill -9` in the middle of a rotation: wherever it hits, the client asks again with its token and its key, and goes
//! on. No session is lost, and none is touched that was not asked about.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;

use tokio::net::TcpStream;

use crate::support::client::{Pair, call, logged_in, refresh, refresh_request};
use crate::support::deployment::{Deployment, StoreKind};
use crate::support::raw::RawClient;

use self::failing_store::FailPoint;
use self::server::Server;
use super::tables::Tables;

mod failing_store;
mod server;

/// Per store and moment.
const KILLS: u32 = 67;
const SESSIONS: usize = 5;

/// When the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    BeforeTheStatement,
    BeforeItsAnswer,
    BeforeTheClientsAnswer,
}

impl Moment {
    /// A server that gets to this moment, after so many swaps that go well.
    async fn server(self, deployment: &Deployment, good_swaps: u32) -> Server {
        match self {
            Self::BeforeTheStatement => Server::failing(deployment, FailPoint::BeforeTheStatement, good_swaps).await,
            Self::BeforeItsAnswer => Server::failing(deployment, FailPoint::BeforeItsAnswer, good_swaps).await,
            Self::BeforeTheClientsAnswer => Server::whole(deployment).await,
        }
    }

    /// Sends the request, waits for the moment and kills. The client has got nothing.
    async fn kill(self, mut server: Server, request: &[u8]) {
        if self == Self::BeforeTheClientsAnswer {
            let stream = TcpStream::connect(server.gate).await.unwrap();
            send_whole(&stream, request).await;
            // The answer is on its way, and nobody will read it.
            assert_eq!(stream.peek(&mut [0]).await.unwrap(), 1);
            server.process.kill();
        } else {
            let mut client = RawClient::connect(server.gate).await;
            client.send(request).await;
            server.reaches_its_fail_point().await;
            server.process.kill();
            assert!(client.try_response().await.is_err());
        }
        assert_eq!(server.process.exit().await.signal(), Some(9));
    }

    fn has_swapped(self) -> bool {
        self != Self::BeforeTheStatement
    }
}

async fn send_whole(stream: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        stream.writable().await.unwrap();
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
    }
}

async fn killed_again_and_again(kind: StoreKind, moment: Moment) {
    let deployment = Deployment::new(kind, "").await;
    let mut tables = Tables::of(&deployment).await;
    let mut server = moment.server(&deployment, 0).await;
    let mut live = Vec::new();
    for _ in 0..SESSIONS {
        live.push(logged_in(server.gate).await.refresh);
    }
    let mut kills = 0;
    while kills < KILLS {
        let turn = kills as usize % SESSIONS;
        let (token, key) = (live[turn].clone(), format!("one-key-for-one-refresh-{kills}"));
        let generation = tables.generation(&token).await.unwrap();
        let others = tables.sessions_but(&token).await;
        assert_eq!(others.len(), SESSIONS - 1);

        moment.kill(server, &refresh_request(&token, Some(&key)).bytes()).await;
        kills += 1;

        let after = generation + i64::from(moment.has_swapped());
        assert_eq!(tables.generation(&token).await, Some(after), "kill {kills}");
        // This one dies in the third swap: not of the retry, nor of the refresh that follows.
        server = moment.server(&deployment, 2).await;
        let repeated = Pair::read(&refresh(server.gate, &token, Some(&key)).await);
        assert_eq!(tables.generation(&token).await, Some(generation + 1), "kill {kills}");
        let next = Pair::read(&refresh(server.gate, &repeated.refresh, None).await);
        for access in [&repeated.access, &next.access] {
            assert_eq!(call(server.gate, "/", access).await.status, 200);
        }
        assert_eq!(tables.generation(&token).await, Some(generation + 2), "kill {kills}");
        assert_eq!(tables.sessions_but(&token).await, others, "kill {kills}");
        live[turn] = next.refresh;
    }
    assert_eq!(tables.count("revocation").await, 0);
    // Past the capture of the test runner: these figures are shown always.
    writeln!(std::io::stdout(), "kill -9: {kind:?} {moment:?} {kills}, no session lost").unwrap();
}

#[tokio::test]
async fn a_kill_before_the_statement_loses_no_session_on_sqlite() {
    killed_again_and_again(StoreKind::Sqlite, Moment::BeforeTheStatement).await;
}

#[tokio::test]
async fn a_kill_before_the_statement_loses_no_session_on_postgres() {
    killed_again_and_again(StoreKind::Postgres, Moment::BeforeTheStatement).await;
}

#[tokio::test]
async fn a_kill_between_the_statement_and_its_answer_loses_no_session_on_sqlite() {
    killed_again_and_again(StoreKind::Sqlite, Moment::BeforeItsAnswer).await;
}

#[tokio::test]
async fn a_kill_between_the_statement_and_its_answer_loses_no_session_on_postgres() {
    killed_again_and_again(StoreKind::Postgres, Moment::BeforeItsAnswer).await;
}

#[tokio::test]
async fn a_kill_before_the_clients_answer_loses_no_session_on_sqlite() {
    killed_again_and_again(StoreKind::Sqlite, Moment::BeforeTheClientsAnswer).await;
}

#[tokio::test]
async fn a_kill_before_the_clients_answer_loses_no_session_on_postgres() {
    killed_again_and_again(StoreKind::Postgres, Moment::BeforeTheClientsAnswer).await;
}
