//! Signing keys, and who is there with which secrets.

use std::time::Duration;

use super::super::rows::{self, counter_column, fingerprints_column, span, text_column};
use super::super::{KeyChange, Replica, ReplicaId, SigningKeys, StoreError};
use super::{SqliteStore, statements};

impl SqliteStore {
    pub(super) async fn read_keys(&self) -> Result<SigningKeys, StoreError> {
        self.connections
            .within(async {
                let mut reader = self.connections.reader().await?;
                let rows = sqlx::query(statements::SIGNING_KEYS).bind(&self.realm).fetch_all(&mut *reader).await?;
                Ok(rows::signing_keys(&rows, self.clock.now())?)
            })
            .await
    }

    pub(super) async fn change(&self, version: u64, change: &KeyChange) -> Result<bool, StoreError> {
        self.connections
            .within(async {
                let mut transaction = self.connections.transaction().await?;
                let turned = sqlx::query(statements::TURN_KEYS)
                    .bind(&self.realm)
                    .bind(rows::counter_column(version))
                    .execute(&mut *transaction)
                    .await?;
                if turned.rows_affected() == 0 {
                    return Ok(false);
                }
                let now = self.clock.now();
                let after = |delay: Duration| now.as_millis().saturating_add(span(delay));
                let statement = match change {
                    KeyChange::Add(key, signs_after) => sqlx::query(statements::ADD_KEY)
                        .bind(&self.realm)
                        .bind(text_column(&key.kid))
                        .bind(key.algorithm.name())
                        .bind(&key.secret.as_bytes()[..])
                        .bind(&key.sealed)
                        .bind(now.as_millis())
                        .bind(signs_after.map(after)),
                    KeyChange::Sign(kid, delay) => {
                        sqlx::query(statements::LET_SIGN).bind(&self.realm).bind(kid).bind(after(*delay))
                    }
                    KeyChange::Reseal(key) => sqlx::query(statements::RESEAL)
                        .bind(&self.realm)
                        .bind(&key.kid)
                        .bind(&key.secret.as_bytes()[..])
                        .bind(&key.sealed),
                    KeyChange::Ban(kid) => {
                        sqlx::query(statements::BAN_KEY).bind(&self.realm).bind(kid).bind(now.as_millis())
                    }
                    KeyChange::Remove(kid) => sqlx::query(statements::REMOVE_KEY).bind(&self.realm).bind(kid),
                };
                statement.execute(&mut *transaction).await?;
                transaction.commit().await?;
                Ok(true)
            })
            .await
    }

    pub(super) async fn see(&self, replica: &Replica) -> Result<(), StoreError> {
        self.connections
            .within(async {
                let mut writer = self.connections.writer().await?;
                sqlx::query(statements::REPORT)
                    .bind(&self.realm)
                    .bind(&replica.id.0[..])
                    .bind(text_column(&replica.name))
                    .bind(self.clock.now().as_millis())
                    .bind(fingerprints_column(&replica.secrets))
                    .bind(counter_column(replica.heard))
                    .execute(&mut *writer)
                    .await?;
                Ok(())
            })
            .await
    }

    pub(super) async fn seen(&self, live: Duration) -> Result<Vec<Replica>, StoreError> {
        self.connections
            .within(async {
                let mut reader = self.connections.reader().await?;
                let rows = sqlx::query(statements::REPLICAS)
                    .bind(&self.realm)
                    .bind(self.clock.now().as_millis().saturating_sub(span(live)))
                    .fetch_all(&mut *reader)
                    .await?;
                Ok(rows.iter().map(rows::replica).collect::<Result<_, _>>()?)
            })
            .await
    }

    pub(super) async fn forget(&self, replica: ReplicaId) -> Result<(), StoreError> {
        self.connections
            .within(async {
                let mut writer = self.connections.writer().await?;
                sqlx::query(statements::LEAVE).bind(&self.realm).bind(&replica.0[..]).execute(&mut *writer).await?;
                Ok(())
            })
            .await
    }
}
