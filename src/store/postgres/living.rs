//! Sessions of everybody: looked through in pages, and ended many at a time.

use super::super::rows::{self, Columns, span};
use super::super::{SessionPage, StoreError};
use super::{PostgresStore, only, statements};
use crate::domain::revocation::ALLOWANCE;
use crate::domain::session::SessionId;

impl PostgresStore {
    pub(super) async fn living(&self, after: Option<SessionId>, most: u32) -> Result<SessionPage, StoreError> {
        // No id is the empty one.
        let after = after.map_or(Vec::new(), |id| id.as_bytes().to_vec());
        let statement =
            || sqlx::query(statements::LIVING_SESSIONS).bind(&self.realm).bind(&after).bind(i64::from(most));
        rows::session_page(&self.connections.rows(statement).await?, most)
    }

    pub(super) async fn end_all(&self, ids: &[SessionId]) -> Result<u64, StoreError> {
        let ids: Vec<&[u8]> = ids.iter().map(|id| &id.as_bytes()[..]).collect();
        let statement = || sqlx::query(statements::END_SESSIONS).bind(&self.realm).bind(span(ALLOWANCE)).bind(&ids);
        only(&self.connections.rows(statement).await?)?.counter("ended")
    }
}
