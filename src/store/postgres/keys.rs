//! Signing keys, and who is there with which secrets.

use std::time::Duration;

use super::super::rows::{self, Columns, counter_column, fingerprints_column, span, text_column};
use super::super::{KeyChange, Replica, ReplicaId, SigningKeys, StoreError};
use super::{PostgresStore, only, statements};

impl PostgresStore {
    pub(super) async fn read_keys(&self) -> Result<SigningKeys, StoreError> {
        let rows = self.connections.rows(|| sqlx::query(statements::SIGNING_KEYS).bind(&self.realm)).await?;
        let now = only(&rows)?.time("now")?;
        rows::signing_keys(&rows, now)
    }

    pub(super) async fn change(&self, version: u64, change: &KeyChange) -> Result<bool, StoreError> {
        let kid = text_column(match change {
            KeyChange::Add(key, _) | KeyChange::Reseal(key) => &key.kid,
            KeyChange::Sign(kid, _) | KeyChange::Ban(kid) | KeyChange::Remove(kid) => kid,
        });
        let rows = self
            .connections
            .rows(|| {
                let statement = |text| sqlx::query(text).bind(&self.realm).bind(counter_column(version)).bind(&kid);
                match change {
                    KeyChange::Add(key, signs_after) => statement(statements::ADD_KEY)
                        .bind(key.algorithm.name())
                        .bind(&key.secret.as_bytes()[..])
                        .bind(&key.sealed)
                        .bind(signs_after.map(span)),
                    KeyChange::Sign(_, delay) => statement(statements::LET_SIGN).bind(span(*delay)),
                    KeyChange::Reseal(key) => {
                        statement(statements::RESEAL).bind(&key.secret.as_bytes()[..]).bind(&key.sealed)
                    }
                    KeyChange::Ban(_) => statement(statements::BAN_KEY),
                    KeyChange::Remove(_) => statement(statements::REMOVE_KEY),
                }
            })
            .await?;
        only(&rows)?.flag("turned")
    }

    pub(super) async fn see(&self, replica: &Replica) -> Result<(), StoreError> {
        let (name, secrets) = (text_column(&replica.name), fingerprints_column(&replica.secrets));
        let statement = || {
            sqlx::query(statements::REPORT)
                .bind(&self.realm)
                .bind(&replica.id.0[..])
                .bind(&name)
                .bind(&secrets)
                .bind(counter_column(replica.heard))
        };
        self.connections.rows_for_certain(statement).await.map(drop)
    }

    pub(super) async fn seen(&self, live: Duration) -> Result<Vec<Replica>, StoreError> {
        let statement = || sqlx::query(statements::REPLICAS).bind(&self.realm).bind(span(live));
        self.connections.rows(statement).await?.iter().map(rows::replica).collect()
    }

    pub(super) async fn forget(&self, replica: ReplicaId) -> Result<(), StoreError> {
        let statement = || sqlx::query(statements::LEAVE).bind(&self.realm).bind(&replica.0[..]);
        self.connections.rows(statement).await.map(drop)
    }
}
