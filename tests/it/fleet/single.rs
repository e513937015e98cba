//! One fault at a time, on real replicas: what it costs, and what it must not.

use std::time::Duration;

use sqlx::Executor;

use crate::support::client::{Pair, call, until_refused};
use crate::support::deployment::USER;
use crate::support::postgres::Crash;
use crate::support::raw::{RawClient, request};
use crate::support::relay::{Direction, Mode};
use crate::support::wait::{blocking, until, until_it_hears_by};

use super::Form;
use super::record::{Outcome, Who};
use super::site::Site;
use super::stage::Stage;

const PATIENCE: Duration = Duration::from_secs(20);

/// Enough for tokens to outlive the test.
const LONG: &str = "access_token.ttl = \"1h\"\n";

/// Refreshes until there is an answer, which is a pair.
async fn refreshed(stage: &Stage, node: usize, pair: &Pair, key: &str) -> Pair {
    let asking = async {
        loop {
            match stage.refresh(Who::Honest, node, &pair.refresh, Some(key)).await {
                Outcome::Done(next) => return next,
                Outcome::Refused(answer) => panic!("a session is lost: {answer}"),
                Outcome::Unknown(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("there is an answer in the end")
}

/// Ends a session at another replica, and waits until this one refuses it.
async fn hears_of_an_end(stage: &Stage, node: usize, other: usize) {
    let ended = stage.logged_in(other, USER).await;
    assert_eq!(call(stage.gates[node], "/", &ended.access).await.status, 200);
    until(PATIENCE, "a logout is acknowledged", async || {
        stage.logout(other, &ended.refresh).await == Outcome::Done(())
    })
    .await;
    until_refused(stage.gates[node], &ended.access).await;
}

/// D-3, D-29, I4: requests that arrive while their answers are lost, answers that come late, and lines that are cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_on_the_way_to_the_store_costs_no_session() {
    let site = Site::new(false, LONG).await;
    let stage = Stage::new(site.gates(), Duration::ZERO);
    let mut pair = stage.logged_in(0, USER).await;
    let wire = &site.nodes[0].wire;
    let faults = [
        Mode::Delay(Duration::from_millis(50)),
        Mode::Delay(Duration::from_millis(700)),
        Mode::Hold(Direction::ToTarget),
        Mode::Hold(Direction::ToClient),
        Mode::Swallow(Direction::ToTarget),
        Mode::Swallow(Direction::ToClient),
        Mode::HalfOpen,
        Mode::Reset,
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        pair = refreshed(&stage, 0, &pair, &format!("a-key-before-the-fault-{number}")).await;
        let key = format!("a-key-for-the-fault-{number}");
        wire.set(fault);

        // The stage waits longer than sidegate may: what is not known is told so.
        match stage.refresh(Who::Honest, 0, &pair.refresh, Some(&key)).await {
            Outcome::Done(_) => assert_eq!(fault, Mode::Delay(Duration::from_millis(50))),
            answer => assert_eq!(answer, Outcome::Unknown("503".to_owned()), "{fault:?}"),
        }
        assert_eq!(call(stage.gates[0], "/", &pair.access).await.status, 200, "{fault:?}");
        pair = refreshed(&stage, 1, &pair, &key).await;

        wire.set(Mode::Pass);
        if fault == Mode::HalfOpen {
            wire.sever();
        }
        until(PATIENCE, "it serves again", async || {
            stage.login(0, USER, crate::support::deployment::PASSWORD).await.is_done()
        })
        .await;
        hears_of_an_end(&stage, 0, 1).await;
    }
}

/// D-1, D-9: whatever the feed is doing when the database goes, it goes on when the database is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_restart_of_the_database_leaves_a_replica_deaf() {
    let restarts = if Form::chosen() == Form::Long { 200 } else { 4 };
    let site = Site::new(false, LONG).await;
    let stage = Stage::new(site.gates(), Duration::ZERO);
    for restart in 0..restarts {
        let how = if restart % 2 == 0 { Crash::Kill } else { Crash::Immediate };
        let server = site.primary.clone();
        blocking(move || {
            server.crash(how);
            server.start_again();
        })
        .await;
        until(PATIENCE, "it can be logged in again", async || {
            stage.login(0, USER, crate::support::deployment::PASSWORD).await.is_done()
        })
        .await;
        hears_of_an_end(&stage, 1, 0).await;
        hears_of_an_end(&stage, 2, 0).await;
    }
    for node in &site.nodes {
        until_it_hears_by(PATIENCE, node.health, "listen").await;
    }
    let question = "SELECT rollback_id IS NOT NULL FROM sidegate.history";
    let lost: bool = sqlx::query_scalar(question).fetch_one(&mut site.database.connect().await).await.unwrap();
    assert!(!lost, "a restart is no loss");
}

/// D-11: what the database gives up for the sake of another transaction is tried again, and is nobody's fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_in_the_database_end_no_session() {
    let site = Site::new(false, LONG).await;
    let stage = Stage::new(site.gates(), Duration::ZERO);
    let mut admin = site.primary.admin(&site.database.name).await;
    let unlucky = "CREATE SEQUENCE sidegate.turn; GRANT ALL ON SEQUENCE sidegate.turn TO sidegate;
        CREATE FUNCTION sidegate.is_unlucky() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                -- What a sequence gave is not taken back: three times in four it fails, by turns in each way.
                CASE nextval('sidegate.turn') % 4
                    WHEN 0 THEN RETURN NEW;
                    WHEN 1 THEN RAISE serialization_failure;
                    ELSE RAISE deadlock_detected;
                END CASE;
            END $$;
        CREATE TRIGGER unlucky BEFORE UPDATE ON sidegate.session FOR EACH ROW EXECUTE FUNCTION sidegate.is_unlucky()";
    admin.execute(unlucky).await.unwrap();
    let mut pairs = Vec::new();
    for _ in 0..4 {
        pairs.push(stage.logged_in(0, USER).await);
    }
    for turn in 0..10 {
        for (number, pair) in pairs.iter_mut().enumerate() {
            *pair = refreshed(&stage, turn % 3, pair, &format!("a-key-for-one-turn-{number}-{turn}")).await;
        }
    }
    let refreshes = stage.record.history().refreshes.len();
    let turns: i64 = sqlx::query_scalar("SELECT last_value FROM sidegate.turn").fetch_one(&mut admin).await.unwrap();
    assert!(turns >= 4 * 40 - 3, "{turns} updates for {refreshes} refreshes");
    assert_eq!(stage.logout(1, &pairs[0].refresh).await, Outcome::Done(()));
    until_refused(stage.gates[2], &pairs[0].access).await;
    refreshed(&stage, 0, &pairs[1], "a-key-for-the-last-turn").await;
}

/// D-12: a replica that starts while the store is silent accepts nothing until it knows what has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_admits_nobody_before_it_has_heard_of_every_end() {
    let mut site = Site::new(false, LONG).await;
    let stage = Stage::new(site.gates(), Duration::ZERO);
    let (staying, ended) = (stage.logged_in(0, USER).await, stage.logged_in(0, USER).await);
    site.nodes[2].stop().await;
    assert_eq!(stage.logout(0, &ended.refresh).await, Outcome::Done(()));
    let (gate, deployment) = (site.nodes[2].gate, std::sync::Arc::clone(&site.deployment));

    // All the time, from before it starts: the first answer is a refusal.
    let asking = tokio::spawn(async move {
        let asks = request("GET", "/").bearer(&ended.access).bytes();
        loop {
            if let Ok(mut client) = RawClient::try_connect(gate).await
                && client.try_send(&asks).await.is_ok()
                && let Ok(answer) = client.try_response().await
            {
                return answer.status;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    site.nodes[2].wire.set(Mode::Hold(Direction::ToClient));
    site.nodes[2].start_process(&deployment);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!site.nodes[2].is_ready().await && !asking.is_finished());
    site.nodes[2].wire.set(Mode::Delay(Duration::from_millis(20)));
    site.nodes[2].until_serving(&deployment).await;

    assert_eq!(asking.await.unwrap(), 401);
    assert_eq!(call(gate, "/", &staying.access).await.status, 200);
}
