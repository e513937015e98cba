//! More refreshes than the store can take: the replica that gets them still hears what the others have ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::client::call;
use crate::support::deployment::USER;
use crate::support::relay::Mode;

use super::record::{Outcome, Who};
use super::site::Site;
use super::stage::Stage;

const FLOOD: usize = 60;
const ROUNDS: usize = 4;
/// The store's timeout, three times: each of the calls by which it is heard may wait as long as that.
const BOUND: Duration = Duration::from_secs(3);

/// I7, D-3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_refreshes_makes_no_replica_deaf() {
    let site = Site::new(false, "store.connections = 1\naccess_token.ttl = \"1h\"").await;
    let stage = Arc::new(Stage::new(site.gates(), BOUND));
    // A statement takes four times as long, and so do notifications.
    site.nodes[1].wire.set(Mode::Delay(Duration::from_millis(15)));
    let mut flooding = JoinSet::new();
    for number in 0..FLOOD {
        let (stage, mut pair) = (Arc::clone(&stage), stage.logged_in(0, USER).await);
        flooding.spawn(async move {
            for turn in 0.. {
                let key = format!("the-key-of-one-flooding-refresh-{number}-{turn}");
                while let Outcome::Unknown(_) = match stage.refresh(Who::Honest, 1, &pair.refresh, Some(&key)).await {
                    Outcome::Done(next) => {
                        pair = next;
                        Outcome::Done(())
                    }
                    other => other.map(drop),
                } {}
            }
        });
    }
    let mut in_flight = stage.in_flight.subscribe();
    in_flight.wait_for(|counts| counts[1] > FLOOD / 2).await.unwrap();
    // Whoever waits is turned away.
    let turned_away = async || {
        let history = stage.record.history();
        history.refreshes.iter().filter(|refresh| matches!(refresh.outcome, Outcome::Unknown(_))).count()
    };

    for round in 0..ROUNDS {
        let ended = stage.logged_in(0, USER).await;
        assert_eq!(call(site.nodes[1].gate, "/", &ended.access).await.status, 200);
        let before = turned_away().await;
        assert_eq!(stage.logout(0, &ended.refresh).await, Outcome::Done(()));
        let acknowledged = stage.record.now();

        while call(site.nodes[1].gate, "/", &ended.access).await.status == 200 {
            let since = stage.record.now().saturating_sub(acknowledged);
            assert!(since < BOUND, "round {round}: still accepted after {since:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Wait until the flood has been too much in this round too.
        let too_much = async {
            while turned_away().await <= before {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(BOUND, too_much).await.expect("the flood is more than the store takes");
    }
}
