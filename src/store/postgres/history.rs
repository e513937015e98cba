//! Heartbeats, questions, and what to do when a stretch of history is lost.

use std::time::Duration;

use super::super::rows::{Columns, counter_column, span};
use super::super::{Loss, StoreError};
use super::{PostgresStore, only, statements};
use crate::domain::revocation::{Revocation, Revoked};

impl PostgresStore {
    pub(super) async fn write_beat(&self, every: Duration) -> Result<Option<u64>, StoreError> {
        let statement = || sqlx::query(statements::BEAT).bind(&self.realm).bind(span(every));
        self.connections.rows_for_certain(statement).await?.first().map(|row| row.counter("beat")).transpose()
    }

    pub(super) async fn write_question(&self) -> Result<u64, StoreError> {
        let rows = self.connections.rows(|| sqlx::query(statements::ASK).bind(&self.realm)).await?;
        only(&rows)?.counter("asked")
    }

    pub(super) async fn write_rollback(&self, Loss { id, mark, seen, live }: &Loss) -> Result<bool, StoreError> {
        let statement = || {
            sqlx::query(statements::NOTE_ROLLBACK)
                .bind(&self.realm)
                .bind(counter_column(*id))
                .bind(&mark.known)
                .bind(counter_column(mark.beat))
                .bind(counter_column(*seen))
                .bind(span(*live))
        };
        Ok(!self.connections.rows_for_certain(statement).await?.is_empty())
    }

    pub(super) async fn write_back(&self, revocations: &[Revocation]) -> Result<u64, StoreError> {
        let (mut sessions, mut ends) = (Vec::new(), Vec::new());
        let (mut subjects, mut epochs, mut subject_ends) = (Vec::new(), Vec::new(), Vec::new());
        let mut realm_epoch = 0;
        for Revocation { revoked, until } in revocations {
            match revoked {
                Revoked::Session(id) => {
                    sessions.push(id.as_bytes().to_vec());
                    ends.push(until.as_millis());
                }
                Revoked::SubjectBelow(subject, epoch) => {
                    subjects.push(subject.as_str());
                    epochs.push(counter_column(*epoch));
                    subject_ends.push(until.as_millis());
                }
                Revoked::RealmBelow(epoch) => realm_epoch = realm_epoch.max(counter_column(*epoch)),
            }
        }
        let rows = self
            .connections
            .rows_in_sequence(self.lock("restore", ""), || {
                sqlx::query(statements::RESTORE)
                    .bind(&self.realm)
                    .bind(&sessions)
                    .bind(&ends)
                    .bind(&subjects)
                    .bind(&epochs)
                    .bind(&subject_ends)
                    .bind(realm_epoch)
            })
            .await?;
        only(&rows)?.counter("restored")
    }
}
