//! Two versions of sidegate on one store, while replicas are replaced: the tables are migrated first, and whoever is of the
//! version before goes on, and may start again, until the last of them is gone (D-13).

use sqlx::{Connection, Executor, PgConnection};

use crate::support::client::{Pair, call, logged_in, logout, refresh, until_refused};
use crate::support::deployment::{Deployment, StoreKind};

/// What a later version's migration does: it adds, and says who can work with the result.
const LATER: &str = "
    BEGIN;
    ALTER TABLE sidegate.session ADD COLUMN later text NOT NULL DEFAULT 'unknown';
    ALTER TABLE sidegate.replica ADD COLUMN later bigint;
    ALTER TABLE sidegate.revocation ADD COLUMN later bigint;
    CREATE TABLE sidegate.later (realm text PRIMARY KEY);
    INSERT INTO sidegate._sqlx_migrations
        SELECT 1000, 'later', installed_on, success, '\\x00'::bytea, 0 FROM sidegate._sqlx_migrations WHERE version = 1;
    COMMIT";

/// What a later version's migration says when the versions before cannot go on.
const WITHOUT_US: &str = "UPDATE sidegate.usable_since SET version = 1000";

async fn migrate_beyond(deployment: &Deployment, migration: &'static str) {
    let url = &deployment.database.as_ref().unwrap().url;
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute(sqlx::raw_sql(migration)).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_of_the_version_before_share_the_tables_with_those_of_the_next() {
    let deployment = Deployment::new(StoreKind::Postgres, "").await;
    let before = deployment.replica().await;
    let (mut pair, gone) = (logged_in(before.gate).await, logged_in(before.gate).await);

    migrate_beyond(&deployment, LATER).await;

    let after = deployment.replica().await;
    for gate in [before.gate, after.gate, before.gate, after.gate] {
        let next = Pair::read(&refresh(gate, &pair.refresh, Some("a-key-for-each-turn")).await);
        let again = Pair::read(&refresh(gate, &pair.refresh, Some("a-key-for-each-turn")).await);
        assert_eq!(next.refresh, again.refresh);
        for gate in [before.gate, after.gate] {
            assert_eq!(call(gate, "/", &next.access).await.status, 200);
        }
        pair = next;
    }
    assert_eq!(logout(after.gate, &gone.refresh).await.status, 200);
    until_refused(before.gate, &gone.access).await;
    let migrated = deployment.command(&["migrate"]).await;
    assert_eq!(migrated.code, Some(0), "there is nothing to do: {}", migrated.stderr);

    migrate_beyond(&deployment, WITHOUT_US).await;

    let refused = deployment.command(&["--config", deployment.config_on_any_port(), "run"]).await;
    assert_eq!(refused.code, Some(78), "{}", refused.stderr);
    assert!(refused.stderr.contains("it is newer: migration 1000 was applied"), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint:"), "{}", refused.stderr);
    Pair::read(&refresh(before.gate, &pair.refresh, None).await);
}
