//! The store loses a stretch of its history: a standby takes over before it had everything, or a backup is put back. What
//! was revoked stays revoked, and whoever holds a token that the store has never heard of is told the truth (D-5, D-30, I9).

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sidegate::boot::Running;
use sqlx::{Connection, PgConnection, Row};

use crate::support::client::{Pair, call, logged_in, login, logout, logout_all, metric, oauth_error, refresh};
use crate::support::deployment::{Deployment, PASSWORD, StoreKind, USER};
use crate::support::postgres::{Crash, Durability, Server};
use crate::support::raw;
use crate::support::relay::{Direction, Mode, Relay};
use crate::support::wait::{blocking, until};

const PATIENCE: Duration = Duration::from_secs(30);

/// A primary, its standby, and two replicas that reach whichever of the two the relay leads to.
struct Scene {
    deployment: Deployment,
    replicas: [Running; 2],
    primary: Server,
    standby: Server,
    /// From the replicas to the database.
    way: Relay,
    /// From the primary to its standby.
    wire: Relay,
}

impl Scene {
    async fn new(settings: &str) -> Self {
        let primary = blocking(|| Server::start(Durability::On)).await;
        let (way, wire) = (Relay::to(primary.address()).await, Relay::to(primary.address()).await);
        let database = primary.database().await.at(way.address);
        let settings = format!("{settings}\nrevocation.poll_interval = \"50ms\"\nstore.timeout = \"2s\"");
        let deployment = Deployment::on(database, &settings).await;
        deployment.add_user("bob", PASSWORD, &[]).await;
        let (server, address) = (primary.clone(), wire.address);
        let standby = blocking(move || server.standby(Durability::On, address)).await;
        let replicas = [deployment.in_process().await, deployment.in_process().await];
        Self { deployment, replicas, primary, standby, way, wire }
    }

    fn gates(&self) -> [SocketAddr; 2] {
        [self.replicas[0].listen[0], self.replicas[1].listen[0]]
    }

    /// From now on whatever is stored is lost when the standby takes over.
    async fn lose_what_comes(&self) {
        self.primary.until_followed_by(&self.standby).await;
        self.wire.set(Mode::Hold(Direction::ToClient));
    }

    async fn fail_over(&self) {
        let (primary, standby) = (self.primary.clone(), self.standby.clone());
        blocking(move || primary.crash(Crash::Immediate)).await;
        blocking(move || standby.promote()).await;
        self.way.switch(self.standby.address());
    }

    async fn store(&self) -> PgConnection {
        self.standby.admin(&self.deployment.database.as_ref().unwrap().name).await
    }
}

/// Waits until a loss was noticed and everybody has written back what they knew.
async fn until_written_back(store: &mut PgConnection) {
    until(PATIENCE, "everybody has written back", async || {
        let question = "SELECT rollback_asked <= ALL (SELECT heard FROM sidegate.replica) AS done FROM sidegate.history \
                        WHERE rollback_id IS NOT NULL";
        let row = sqlx::query(question).fetch_optional(&mut *store).await.unwrap();
        row.is_some_and(|row| row.get("done"))
    })
    .await;
}

/// Refreshes until the store can judge.
async fn judged(gate: SocketAddr, token: &str) -> raw::RawResponse {
    let mut answer = refresh(gate, token, None).await;
    let asking = async {
        while answer.status == 503 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            answer = refresh(gate, token, None).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("it is judged in the end");
    answer
}

async fn turned(gate: SocketAddr, mut pair: Pair, turns: usize) -> Pair {
    for _ in 0..turns {
        pair = Pair::read(&refresh(gate, &pair.refresh, None).await);
    }
    pair
}

async fn fails_over(after_rollback: &str) {
    let scene = Scene::new(&format!("store.after_rollback = \"{after_rollback}\"")).await;
    let [gate, other] = scene.gates();
    let (leaving, quiet) = (logged_in(gate).await, logged_in(gate).await);
    let (first, second, third) = (logged_in(gate).await, logged_in(gate).await, logged_in(gate).await);
    let bob = Pair::read(&login(gate, "bob", PASSWORD).await);

    scene.lose_what_comes().await;
    assert_eq!(logout(gate, &leaving.refresh).await.status, 200);
    assert_eq!(logout_all(other, &bob.access).await.status, 200);
    let (one, two, three) = (turned(gate, first, 1).await, turned(gate, second, 2).await, turned(gate, third, 3).await);
    let unknown = logged_in(gate).await;
    scene.fail_over().await;

    // At once, and before anybody has noticed: what this replica has ended is not refreshed here.
    assert_eq!(oauth_error(&judged(gate, &leaving.refresh).await, 400), "invalid_grant");
    let mut store = scene.store().await;
    until_written_back(&mut store).await;
    let late = scene.deployment.in_process().await;
    for gate in [gate, other, late.listen[0]] {
        for ended in [&leaving, &bob] {
            assert_eq!(call(gate, "/", &ended.access).await.status, 401);
            assert_eq!(oauth_error(&judged(gate, &ended.refresh).await, 400), "invalid_grant");
        }
        assert_eq!(oauth_error(&judged(gate, &unknown.refresh).await, 400), "invalid_grant");
        assert_eq!(oauth_error(&judged(gate, &three.refresh).await, 400), "invalid_grant", "too far ahead");
    }
    let [mut noticed, mut restored] = [0, 0];
    for replica in &scene.replicas {
        noticed += metric(replica.health, "sidegate_store_rollbacks_total").await;
        restored += metric(replica.health, "sidegate_revocations_restored_total").await;
    }
    assert_eq!((noticed, restored), (1, 2), "one has noticed, and two ends were lost");
    Pair::read(&refresh(other, &quiet.refresh, None).await);
    for (pair, turns) in [(one, 1), (two, 2)] {
        let answer = judged(late.listen[0], &pair.refresh).await;
        if after_rollback == "adopt" {
            let next = Pair::read(&answer);
            assert_eq!(call(gate, "/", &next.access).await.status, 200);
            let again = Pair::read(&refresh(gate, &next.refresh, None).await);
            assert_eq!(call(other, "/", &again.access).await.status, 200);
        } else {
            assert_eq!(oauth_error(&answer, 400), "invalid_grant", "{turns} turns ahead");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_revoked_stays_so_when_a_standby_takes_over_that_had_not_heard_of_it() {
    Box::pin(fails_over("refuse")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_lost_a_turn_or_two_goes_on_if_the_operator_wants_it() {
    Box::pin(fails_over("adopt")).await;
}

/// The key that took over is lost with the order to retire the other: somebody makes another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_retired_in_the_lost_stretch_stays_retired() {
    let scene = Scene::new("").await;
    let [gate, other] = scene.gates();
    let forged = logged_in(gate).await;
    let header = forged.access.split('.').next().unwrap();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    scene.lose_what_comes().await;
    let retired = scene.deployment.command(&["keys", "retire", header["kid"].as_str().unwrap()]).await;
    assert_eq!(retired.code, Some(0), "{}", retired.stderr);
    for gate in [gate, other] {
        until(PATIENCE, "it is heard of", async || call(gate, "/", &forged.access).await.status == 401).await;
    }
    scene.fail_over().await;

    let mut store = scene.store().await;
    until_written_back(&mut store).await;
    let late = scene.deployment.in_process().await;
    let next = Pair::read(&judged(gate, &forged.refresh).await);
    for gate in [gate, other, late.listen[0]] {
        assert_eq!(call(gate, "/", &forged.access).await.status, 401);
        until(PATIENCE, "the new key is heard of", async || call(gate, "/", &next.access).await.status == 200).await;
    }
}

/// A session that was ended in the lost stretch is not taken up again, whoever holds its newest token: not even while the
/// one replica that knows of it has not written it back yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_adopted_before_every_replica_has_said_what_it_knows() {
    let scene = Scene::new("store.after_rollback = \"adopt\"").await;
    let silent = scene.deployment.replica().await;
    let [gate, other] = scene.gates();
    let pair = logged_in(gate).await;
    scene.lose_what_comes().await;
    let newest = turned(gate, pair, 1).await;
    silent.process.signal("STOP");
    scene.fail_over().await;

    let mut store = scene.store().await;
    until(PATIENCE, "somebody has noticed", async || {
        let question = "SELECT rollback_id IS NOT NULL AS noticed FROM sidegate.history";
        sqlx::query(question).fetch_one(&mut store).await.unwrap().get("noticed")
    })
    .await;
    for gate in [gate, other] {
        let answer = refresh(gate, &newest.refresh, None).await;
        assert_eq!(oauth_error(&answer, 503), "temporarily_unavailable", "one replica has said nothing");
    }
    silent.process.signal("CONT");
    Pair::read(&judged(gate, &newest.refresh).await);
}

/// Nothing is missing after a planned switch: it looks like a loss, and nobody loses anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_that_loses_nothing_harms_nobody() {
    let scene = Scene::new("").await;
    let [gate, other] = scene.gates();
    let (leaving, staying) = (logged_in(gate).await, logged_in(gate).await);
    assert_eq!(logout(gate, &leaving.refresh).await.status, 200);
    let staying = turned(gate, staying, 2).await;
    scene.primary.until_followed_by(&scene.standby).await;
    scene.fail_over().await;

    let mut store = scene.store().await;
    until_written_back(&mut store).await;
    for replica in &scene.replicas {
        assert_eq!(metric(replica.health, "sidegate_revocations_restored_total").await, 0);
    }
    let next = Pair::read(&judged(other, &staying.refresh).await);
    assert_eq!(call(gate, "/", &next.access).await.status, 200);
    assert_eq!(call(other, "/", &leaving.access).await.status, 401);
}

/// A backup, put back into its own server: only the count of heartbeats tells of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_put_back_brings_nobody_back() {
    let deployment = Deployment::new(StoreKind::Postgres, "revocation.poll_interval = \"50ms\"").await;
    let (one, other) = (deployment.in_process().await, deployment.in_process().await);
    let (gate, other) = (one.listen[0], other.listen[0]);
    let (leaving, staying) = (logged_in(gate).await, logged_in(gate).await);
    let database = deployment.database.as_ref().unwrap();
    let mut store = PgConnection::connect(&database.url).await.unwrap();
    let beat = async |store: &mut PgConnection| {
        sqlx::query("SELECT beat FROM sidegate.history").fetch_one(store).await.unwrap().get::<i64, _>("beat")
    };
    let backup = database.dump();
    let saved = beat(&mut store).await;
    until(PATIENCE, "its heart beats", async || beat(&mut store).await > saved + 1).await;
    assert_eq!(logout(gate, &leaving.refresh).await.status, 200);

    database.put_back(&backup);

    until_written_back(&mut store).await;
    for gate in [gate, other] {
        assert_eq!(call(gate, "/", &leaving.access).await.status, 401);
        assert_eq!(oauth_error(&judged(gate, &leaving.refresh).await, 400), "invalid_grant");
    }
    Pair::read(&judged(other, &staying.refresh).await);
    let late = deployment.in_process().await;
    assert_eq!(call(late.listen[0], "/", &leaving.access).await.status, 401);
    Pair::read(&login(late.listen[0], USER, PASSWORD).await);
}
