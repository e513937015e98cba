//! Whatever comes at the same time: no session of the old password is left, and whoever changed it is not logged out.

use futures_util::future::join_all;

use super::{BOTH, EVENTS, asking};
use crate::support::client::{Pair, call, logged_in, login, refresh};
use crate::support::deployment::{Deployment, PASSWORD, USER};
use crate::support::raw;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_that_races_the_change_of_the_password_logs_nobody_out() {
    for kind in BOTH {
        let deployment = Deployment::new(kind, EVENTS).await;
        let (one, other) = (deployment.in_process().await, deployment.in_process().await);
        let (gate, other_gate) = (one.listen[0], other.listen[0]);
        let mut own = logged_in(gate).await;
        for round in 0..30 {
            let asked = asking("POST", "/account/password", &own.access);
            let refreshing = if round % 2 == 0 { gate } else { other_gate };
            let (changed, refreshed) = tokio::join!(
                raw::exchange(gate, asked),
                refresh(refreshing, &own.refresh, Some("a-key-of-sixteen-or-more"))
            );
            assert_eq!(changed.status, 200, "{round}: {}", changed.text());
            own = Pair::read(&refreshed);
            if call(gate, "/", &own.access).await.status != 200 {
                own = Pair::read(&refresh(gate, &own.refresh, None).await);
            }
            assert_eq!(call(gate, "/", &own.access).await.status, 200, "{round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_session_that_another_one_ended_is_over_however_it_refreshed_meanwhile() {
    for kind in BOTH {
        let deployment = Deployment::new(kind, EVENTS).await;
        let (one, other) = (deployment.in_process().await, deployment.in_process().await);
        let (gate, other_gate) = (one.listen[0], other.listen[0]);
        for round in 0..10 {
            let own = logged_in(gate).await;
            let others = join_all((0..4).map(|_| logged_in(gate))).await;
            let asked = asking("POST", "/account/password", &own.access);
            let refreshing = join_all(
                others
                    .iter()
                    .enumerate()
                    .map(|(n, pair)| refresh(if n % 2 == 0 { gate } else { other_gate }, &pair.refresh, None)),
            );
            let (changed, answers) = tokio::join!(raw::exchange(gate, asked), refreshing);
            assert_eq!(changed.status, 200);
            for (pair, refreshed) in others.iter().zip(answers) {
                let newest = if refreshed.status == 200 { Pair::read(&refreshed) } else { pair.clone() };
                assert_eq!(call(gate, "/", &newest.access).await.status, 401, "{round}");
                assert_eq!(refresh(gate, &newest.refresh, None).await.status, 400, "{round}");
            }
            assert_eq!(refresh(gate, &own.refresh, None).await.status, 200, "{round}");
        }
    }
}

/// A login is of before the change or of after it, never both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_races_the_change_lives_or_was_refused() {
    for kind in BOTH {
        let deployment = Deployment::new(kind, EVENTS).await;
        let running = deployment.in_process().await;
        let gate = running.listen[0];
        for round in 0..10 {
            let own = logged_in(gate).await;
            let asked = asking("POST", "/account/password", &own.access);
            let (changed, logins) =
                tokio::join!(raw::exchange(gate, asked), join_all((0..3).map(|_| login(gate, USER, PASSWORD))));
            assert_eq!(changed.status, 200);
            for login in logins {
                if login.status == 200 {
                    let pair = Pair::read(&login);
                    let (access, refreshed) =
                        (call(gate, "/", &pair.access).await.status, refresh(gate, &pair.refresh, None).await.status);
                    assert!(matches!((access, refreshed), (200, 200) | (401, 400)), "{round}: {access} {refreshed}");
                } else {
                    assert_eq!(login.status, 400, "{round}: {}", login.text());
                }
            }
            assert_eq!(refresh(gate, &own.refresh, None).await.status, 200, "{round}");
        }
    }
}
