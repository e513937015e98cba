//! Sessions of everybody: looked through in pages, and ended many at a time.

use super::super::rows;
use super::super::{SessionPage, StoreError};
use super::{SqliteStore, statements};
use crate::domain::revocation::Revoked;
use crate::domain::session::SessionId;

impl SqliteStore {
    pub(super) async fn living(&self, after: Option<SessionId>, most: u32) -> Result<SessionPage, StoreError> {
        // No id is the empty one.
        let after = after.map_or(Vec::new(), |id| id.as_bytes().to_vec());
        self.connections
            .within(async {
                let mut reader = self.connections.reader().await?;
                let rows = sqlx::query(statements::LIVING_SESSIONS)
                    .bind(&self.realm)
                    .bind(after)
                    .bind(self.clock.now().as_millis())
                    .bind(i64::from(most))
                    .fetch_all(&mut *reader)
                    .await?;
                Ok(rows::session_page(&rows, most)?)
            })
            .await
    }

    pub(super) async fn end_all(&self, ids: &[SessionId]) -> Result<u64, StoreError> {
        self.connections
            .within(async {
                let mut transaction = self.connections.transaction().await?;
                let mut ended = 0;
                for id in ids {
                    let deleted = sqlx::query(statements::DELETE_SESSION)
                        .bind(&self.realm)
                        .bind(&id.as_bytes()[..])
                        .execute(&mut *transaction)
                        .await?;
                    if deleted.rows_affected() > 0 {
                        self.record(&mut transaction, &Revoked::Session(*id)).await?;
                        ended += 1;
                    }
                }
                transaction.commit().await?;
                Ok(ended)
            })
            .await
    }
}
