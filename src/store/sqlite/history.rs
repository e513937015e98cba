//! Heartbeats, questions, and what to do when a stretch of history is lost: a file that was put back into its place.

use std::time::Duration;

use sqlx::SqliteConnection;

use super::super::rows::{Columns, counter_column, span};
use super::super::{Loss, StoreError};
use super::connection::Failure;
use super::{SqliteStore, only, statements};
use crate::domain::revocation::{Revocation, Revoked};

/// The server of every file: it has no name, and only the count tells of a loss.
pub(super) const SERVER: &str = "file";

impl SqliteStore {
    pub(super) async fn write_beat(&self, every: Duration) -> Result<Option<u64>, StoreError> {
        self.connections
            .within(async {
                let mut writer = self.connections.writer().await?;
                let rows = sqlx::query(statements::BEAT)
                    .bind(&self.realm)
                    .bind(self.clock.now().as_millis())
                    .bind(span(every))
                    .fetch_all(&mut *writer)
                    .await?;
                Ok(rows.first().map(|row| row.counter("beat")).transpose()?)
            })
            .await
    }

    pub(super) async fn write_question(&self) -> Result<u64, StoreError> {
        self.connections
            .within(async {
                let mut writer = self.connections.writer().await?;
                let rows = sqlx::query(statements::ASK)
                    .bind(&self.realm)
                    .bind(self.clock.now().as_millis())
                    .fetch_all(&mut *writer)
                    .await?;
                Ok(only(&rows)?.counter("asked")?)
            })
            .await
    }

    pub(super) async fn write_rollback(&self, Loss { id, mark, seen, live }: &Loss) -> Result<bool, StoreError> {
        self.connections
            .within(async {
                let mut transaction = self.connections.transaction().await?;
                let now = self.clock.now().as_millis();
                // Before the last beat is overwritten.
                sqlx::query(statements::REVIVE_REPLICAS)
                    .bind(&self.realm)
                    .bind(now)
                    .bind(counter_column(mark.beat))
                    .bind(span(*live))
                    .execute(&mut *transaction)
                    .await?;
                let done = sqlx::query(statements::NOTE_ROLLBACK)
                    .bind(&self.realm)
                    .bind(now)
                    .bind(counter_column(*id))
                    .bind(counter_column(mark.beat))
                    .bind(counter_column(*seen))
                    .execute(&mut *transaction)
                    .await?;
                if done.rows_affected() > 0 {
                    sqlx::query(statements::JUMP_KEYS).bind(&self.realm).execute(&mut *transaction).await?;
                }
                transaction.commit().await?;
                Ok(done.rows_affected() > 0)
            })
            .await
    }

    pub(super) async fn write_back(&self, revocations: &[Revocation]) -> Result<u64, StoreError> {
        self.connections
            .within(async {
                let mut transaction = self.connections.transaction().await?;
                let mut restored = 0;
                for revocation in revocations {
                    restored += self.write_one_back(&mut transaction, revocation).await?;
                }
                transaction.commit().await?;
                Ok(restored)
            })
            .await
    }

    /// Says how many rows that took: one, or none if nothing was missing.
    async fn write_one_back(
        &self,
        connection: &mut SqliteConnection,
        Revocation { revoked, until }: &Revocation,
    ) -> Result<u64, Failure> {
        let statement = match revoked {
            Revoked::Session(id) => {
                let id = &id.as_bytes()[..];
                sqlx::query(statements::DELETE_SESSION).bind(&self.realm).bind(id).execute(&mut *connection).await?;
                sqlx::query(statements::RESTORE_SESSION).bind(&self.realm).bind(id).bind(until.as_millis())
            }
            Revoked::SubjectBelow(subject, epoch) => {
                let (subject, epoch) = (subject.as_str(), counter_column(*epoch));
                let raise = sqlx::query(statements::RAISE_SUBJECT).bind(&self.realm).bind(subject).bind(epoch);
                raise.execute(&mut *connection).await?;
                let restore = sqlx::query(statements::RESTORE_SUBJECT).bind(&self.realm).bind(subject).bind(epoch);
                restore.bind(until.as_millis())
            }
            Revoked::RealmBelow(epoch) => {
                sqlx::query(statements::RAISE_REALM).bind(&self.realm).bind(counter_column(*epoch))
            }
        };
        Ok(statement.execute(connection).await?.rows_affected())
    }
}
