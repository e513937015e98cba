//! A fleet behind a real PgBouncer in transaction mode: everything works as without it.

use futures_util::future::join_all;

use crate::support::client::{Pair, call, logged_in, login, logout, oauth_error, refresh, until_refused};
use crate::support::deployment::{Deployment, USER};
use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres;
use crate::support::wait::until;

use super::{PATIENCE, connections};

const SETTINGS: &str = "revocation.poll_interval = \"50ms\"\nstore.timeout = \"20s\"\nstore.connections = 4";

/// What a pooler may hold for all of them.
const SERVERS: u32 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_behind_a_pooler_logs_in_refreshes_and_hears_of_every_logout() {
    let database = postgres::database().await;
    let pgbouncer = PgBouncer::start(&database, SERVERS, "").await;
    // The commands go through it as well: `migrate` and `users add`.
    let deployment = Deployment::on(pgbouncer.database(&database), SETTINGS).await;
    let fleet = [deployment.in_process().await, deployment.in_process().await, deployment.in_process().await];
    let gates = fleet.each_ref().map(|running| running.listen[0]);

    let clients = (0..24).map(|n: usize| async move {
        let mut pair = logged_in(gates[n % 3]).await;
        for turn in 0..6 {
            pair = Pair::read(&refresh(gates[(n + turn) % 3], &pair.refresh, None).await);
        }
        pair
    });
    let pairs = join_all(clients).await;
    let mut accesses = Vec::new();
    for (n, pair) in pairs.iter().enumerate() {
        assert_eq!(call(gates[(n + 1) % 3], "/", &pair.access).await.status, 200);
        if n % 2 == 0 {
            assert_eq!(logout(gates[n % 3], &pair.refresh).await.status, 200);
            accesses.push(&pair.access);
        }
    }
    for access in accesses {
        join_all(gates.map(|gate| until_refused(gate, access))).await;
    }
    for (n, pair) in pairs.iter().enumerate() {
        let answer = refresh(gates[n % 3], &pair.refresh, None).await;
        if n % 2 == 0 {
            assert_eq!(oauth_error(&answer, 400), "invalid_grant");
        } else {
            Pair::read(&answer);
        }
    }
    let (all, _) = connections(&database).await;
    assert!(all <= i64::from(SERVERS), "{all} connections reached the server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_pooler_nobody_listens_and_it_is_said() {
    let database = postgres::database().await;
    let pgbouncer = PgBouncer::start(&database, SERVERS, "").await;
    let deployment = Deployment::on(pgbouncer.database(&database), SETTINGS).await;
    let replica = deployment.replica().await;
    replica.process.wait_for("every statement goes in a transaction of its own").await;
    replica.process.wait_for("wake-ups do not come back").await;

    let (listening, leaving) = (deployment.in_process().await, logged_in(replica.gate).await);
    assert_eq!(logout(replica.gate, &leaving.refresh).await.status, 200);
    until_refused(listening.listen[0], &leaving.access).await;
    assert!(!listening.authority.is_listening());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_around_the_pooler_is_listened_on() {
    let database = postgres::database().await;
    let pgbouncer = PgBouncer::start(&database, SERVERS, "").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    std::fs::write(&file, &database.url).unwrap();
    let settings = format!("{SETTINGS}\nstore.listen_url_file = \"{}\"", file.display());
    let deployment = Deployment::on(pgbouncer.database(&database), &settings).await;

    let fleet = [deployment.in_process().await, deployment.in_process().await];

    for running in &fleet {
        until(PATIENCE, "it listens", async || running.authority.is_listening()).await;
    }
    let leaving = logged_in(fleet[0].listen[0]).await;
    assert_eq!(logout(fleet[0].listen[0], &leaving.refresh).await.status, 200);
    until_refused(fleet[1].listen[0], &leaving.access).await;
    let (all, _) = connections(&database).await;
    assert!(all <= i64::from(SERVERS) + 2, "{all} connections reached the server");

    // The file leads through the pooler too: it is no way around it, and nobody is deaf because of it.
    std::fs::write(&file, &deployment.database.as_ref().unwrap().url).unwrap();
    let deaf = deployment.replica().await;
    deaf.process.wait_for("wake-ups do not come back").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_users_are_brought_through_a_pooler() {
    let database = postgres::database().await;
    let pgbouncer = PgBouncer::start(&database, SERVERS, "").await;
    let deployment = Deployment::on(pgbouncer.database(&database), SETTINGS).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let before = logged_in(gate).await;
    let hash = "$2y$04$vI4ZFe7T7yu2iHoTBLJrs.XDCsQ1GM0TzLV7yLzr6Bz4fCtGRhRwm";
    deployment.home.write("users", format!("bob:{hash}\ncid:{hash}\n"));

    for arguments in [
        &["migrate"][..],
        &["users", "import", "users"],
        &["keys", "rotate"],
        &["keys", "list"],
        &["users", "disable", "bob"],
        &["revoke", "--subject", "cid"],
    ] {
        let done = deployment.command(arguments).await;
        assert_eq!(done.code, Some(0), "{arguments:?}: {}{}", done.stdout, done.stderr);
    }

    deployment.set_password(USER, "another battery staple").await;
    until_refused(gate, &before.access).await;
    Pair::read(&login(gate, USER, "another battery staple").await);
}
