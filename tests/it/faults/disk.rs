//! The database's disk is full: what needs room is told to come again, nobody is logged out by it, and no logout is claimed
//! that is not stored (D-6).

use std::time::Duration;

use crate::support::client::{Pair, call, logged_in, login, logout, oauth_error, refresh};
use crate::support::deployment::{Deployment, PASSWORD, USER};
use crate::support::postgres::Server;

use super::tables::Tables;

/// Pages with room take a few rows more.
const MOST: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_logs_nobody_out_and_no_logout_is_claimed_that_is_not_stored() {
    let (database, disk) = Server::with_small_disk().await;
    let deployment = Deployment::on(database, "session.per_subject = 10000\nrevocation.poll_interval = \"50ms\"").await;
    let (one, other) = (deployment.in_process().await, deployment.in_process().await);
    let (gate, there) = (one.listen[0], other.listen[0]);
    let (mut staying, mut leaving) = (logged_in(gate).await, Vec::new());
    for _ in 0..400 {
        leaving.push(logged_in(gate).await);
    }
    disk.fill();

    let mut refused = 0;
    for _ in 0..MOST {
        let answer = login(gate, USER, PASSWORD).await;
        if answer.status != 200 {
            assert_eq!(oauth_error(&answer, 503), "temporarily_unavailable");
            refused += 1;
            break;
        }
    }
    assert_eq!(refused, 1, "the disk is full");
    let mut claimed = Vec::new();
    let mut owed = Vec::new();
    for pair in leaving {
        let answer = logout(gate, &pair.refresh).await;
        assert_eq!(call(gate, "/", &pair.access).await.status, 401, "here at once, stored or not");
        if answer.status == 200 {
            claimed.push(pair);
        } else {
            assert_eq!(oauth_error(&answer, 503), "temporarily_unavailable");
            owed.push(pair);
        }
    }
    let mut tables = Tables::of(&deployment).await;
    for pair in &claimed {
        assert_eq!(tables.generation(&pair.refresh).await, None, "what is claimed is stored");
    }
    for turn in 0..20 {
        let key = format!("a-key-for-turn-number-{turn}");
        let answer = refresh(gate, &staying.refresh, Some(&key)).await;
        if answer.status == 200 {
            staying = Pair::read(&answer);
        } else {
            assert_eq!(oauth_error(&answer, 503), "temporarily_unavailable");
        }
        assert_eq!(call(there, "/", &staying.access).await.status, 200);
    }
    assert!(!owed.is_empty(), "{} logouts, and every one found room", claimed.len());

    disk.clear();
    for pair in &owed {
        let stored = async {
            while tables.generation(&pair.refresh).await.is_some() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), stored).await.expect("it is stored in the end");
    }
    let next = Pair::read(&refresh(there, &staying.refresh, None).await);
    assert_eq!(call(gate, "/", &next.access).await.status, 200);
    logged_in(there).await;
}
