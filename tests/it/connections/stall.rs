//! A Postgres that stands still, or lies behind a wire that has gone dead: everybody is answered in time, nobody piles up,
//! and afterwards nothing is left of it.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use sidegate::clock::Stopwatch;
use sidegate::store::postgres::PostgresStore;
use sidegate::store::{Store, StoreError};
use sqlx::{AssertSqlSafe, Executor};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::client::{Pair, call, logged_in, login, oauth_error, refresh, refresh_request};
use crate::support::deployment::{Deployment, PASSWORD, USER};
use crate::support::postgres::{self, Database, Durability, Server};
use crate::support::wait::until;

use super::{PATIENCE, as_role, connections, end_connections, role};

const SETTINGS: &str = "revocation.poll_interval = \"50ms\"\nstore.timeout = \"1s\"\nstore.connections = 2";

/// The store's timeout, once for a call that waits and once for the write it may begin at the end; and a machine that
/// serves five hundred others meanwhile.
const BOUND: Duration = Duration::from_secs(12);

const KEY: &str = "one-key-for-all-tries";

/// D-3, D-10: five hundred refreshes at once, and logins beside them, all told to come again; tokens pass meanwhile.
async fn is_survived(gate: SocketAddr, pairs: &[Pair]) {
    let crowd = pairs.iter().cycle().take(500).map(|pair| async {
        let watch = Stopwatch::start();
        let answer = refresh(gate, &pair.refresh, Some(KEY)).await;
        assert_eq!(oauth_error(&answer, 503), "temporarily_unavailable");
        assert_eq!(answer.header("retry-after"), Some("2"));
        watch.elapsed()
    });
    let logins = (0..4).map(|_| async {
        let watch = Stopwatch::start();
        assert_eq!(oauth_error(&login(gate, USER, PASSWORD).await, 503), "temporarily_unavailable");
        watch.elapsed()
    });
    let calls = pairs.iter().map(|pair| async {
        for _ in 0..5 {
            assert_eq!(call(gate, "/", &pair.access).await.status, 200);
        }
    });
    let (waited, logins, _) = tokio::join!(join_all(crowd), join_all(logins), join_all(calls));
    let longest = waited.into_iter().chain(logins).max().unwrap();
    assert!(longest < BOUND, "{longest:?}");
}

/// Everybody is served again, and the server has no more connections than it should.
async fn is_over(gate: SocketAddr, pairs: &[Pair], database: &Database) {
    for pair in pairs {
        until(PATIENCE, "a refresh that was put off is served", async || {
            let answer = refresh(gate, &pair.refresh, Some(KEY)).await;
            assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
            answer.status == 200
        })
        .await;
    }
    logged_in(gate).await;
    // Two, and the one that listens.
    until(PATIENCE, "three connections are left, without a transaction", async || {
        let (all, open) = connections(database).await;
        all <= 3 && open == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_stands_still_holds_nobody_up() {
    let server = tokio::task::spawn_blocking(|| Server::start(Durability::Off)).await.unwrap();
    let deployment = Deployment::on(server.database().await, SETTINGS).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let pairs = join_all((0..20).map(|_| logged_in(gate))).await;
    let still = Still::new(&server);

    is_survived(gate, &pairs).await;

    drop(still);
    is_over(gate, &pairs, deployment.database.as_ref().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wire_that_has_gone_dead_holds_nobody_up() {
    let database = postgres::database().await;
    let wire = Wire::to(&database).await;
    let deployment = Deployment::on(wire.database(&database), SETTINGS).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let pairs = join_all((0..20).map(|_| logged_in(gate))).await;

    wire.dead.send_replace(true);
    is_survived(gate, &pairs).await;
    wire.dead.send_replace(false);

    is_over(gate, &pairs, &database).await;
}

#[tokio::test]
async fn no_more_calls_wait_than_could_be_served_in_time() {
    let database = postgres::database().await;
    let wire = Wire::to(&database).await;
    PostgresStore::migrate(&database.url, None, PATIENCE).await.unwrap();
    let url = wire.database(&database).url;
    let store = PostgresStore::open(&url, None, "default", 1, Duration::from_secs(2)).await.unwrap();
    store.now().await.unwrap();
    wire.dead.send_replace(true);

    let calls = join_all((0..300).map(|_| store.now())).await;

    let told_at_once = |call: &&Result<_, StoreError>| matches!(call, Err(StoreError::Unavailable(why)) if why.contains("too many calls wait"));
    assert!(calls.iter().all(Result::is_err));
    assert_eq!(calls.iter().filter(told_at_once).count(), 300 - 256);
    wire.dead.send_replace(false);
    store.now().await.unwrap();
}

/// D-10.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_without_a_free_connection_holds_nobody_up() {
    let database = postgres::database().await;
    let role = role(&database, "a-password").await;
    let place = as_role(&database, &role);
    let place = Database { url: place.url.replace("not-this-one", "a-password"), ..place };
    let deployment = Deployment::on(place, SETTINGS).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let pairs = join_all((0..20).map(|_| logged_in(gate))).await;

    limit_connections(&database, &role, 0).await;
    end_connections(&database).await;
    is_survived(gate, &pairs).await;
    limit_connections(&database, &role, -1).await;

    is_over(gate, &pairs, &database).await;
}

async fn limit_connections(database: &Database, role: &str, most: i32) {
    let limit = format!("ALTER ROLE {role} CONNECTION LIMIT {most}");
    database.admin().await.execute(AssertSqlSafe(limit)).await.unwrap();
}

/// D-10: a client that goes in the middle leaves no connection in a transaction, and takes none with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_that_go_in_the_middle_leave_the_connections_whole() {
    let database = postgres::database().await;
    let deployment = Deployment::on(database.clone(), SETTINGS).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let pairs = join_all((0..20).map(|_| logged_in(gate))).await;

    for _ in 0..50 {
        join_all(pairs.iter().map(|pair| async {
            let mut stream = TcpStream::connect(gate).await.unwrap();
            stream.write_all(&refresh_request(&pair.refresh, Some(KEY)).bytes()).await.unwrap();
            stream.set_zero_linger().unwrap();
        }))
        .await;
    }

    is_over(gate, &pairs, &database).await;
}

/// Stops every process of a server in its tracks, until it is dropped.
struct Still(String);

impl Still {
    fn new(server: &Server) -> Self {
        let file = std::fs::read_to_string(server.data().join("postmaster.pid")).unwrap();
        let still = Self(file.lines().next().unwrap().to_owned());
        still.signal("STOP");
        still
    }

    /// To the postmaster first, so that no child is born in between.
    fn signal(&self, name: &str) {
        let script = r#"kill -s "$1" "$2"; for child in $(ps -o pid= --ppid "$2"); do kill -s "$1" "$child"; done"#;
        let _ = Command::new("sh").args(["-c", script, "signal", name, &self.0]).stderr(Stdio::null()).status();
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        self.signal("CONT");
    }
}

/// A way to a server on which nothing arrives any more while it is dead, on connections old and new.
struct Wire {
    address: SocketAddr,
    dead: watch::Sender<bool>,
}

impl Wire {
    async fn to(database: &Database) -> Self {
        let url = url::Url::parse(&database.url).unwrap();
        let target = SocketAddr::new(url.host_str().unwrap().parse().unwrap(), url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, dead) = (listener.local_addr().unwrap(), watch::Sender::new(false));
        let state = dead.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, target, state.clone()));
            }
        });
        Self { address, dead }
    }

    fn database(&self, database: &Database) -> Database {
        let (head, place) = database.url.rsplit_once('@').unwrap();
        let (_, name) = place.split_once('/').unwrap();
        Database { url: format!("{head}@{}/{name}", self.address), ..database.clone() }
    }
}

/// Once dead, a connection stays so: its client hears nothing, not even that it has ended.
async fn carry(mut client: TcpStream, target: SocketAddr, mut state: watch::Receiver<bool>) {
    let alive = async {
        if let Ok(mut server) = TcpStream::connect(target).await {
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
    };
    let is_dead = async { drop(state.wait_for(|dead| *dead).await) };
    let died = tokio::select! {
        () = alive => false,
        () = is_dead => true,
    };
    if died {
        tokio::time::sleep(PATIENCE * 2).await;
    }
}
