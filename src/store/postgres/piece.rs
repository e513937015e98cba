//! A table that grows, read from where a reader stands to its end, so many rows at a time.

use sqlx::postgres::PgRow;

use super::super::rows::{self, Columns};
use super::super::{Cursor, StoreError};
use super::PostgresStore;
use super::cursor::{Position, Reading};

/// The two ways to read such a table. Each row says `snapshot`, `server_start`, `looked_at` and `last_seq` of the whole.
pub(super) struct Followed {
    /// `$2` the last row that was looked at, `$3` how many are.
    pub(super) whole: &'static str,
    /// As `whole`; `$4` the snapshot of what was read before.
    pub(super) since: &'static str,
}

/// Some rows, one at least, and where to go on.
pub(super) struct Piece {
    pub(super) rows: Vec<PgRow>,
    pub(super) cursor: Cursor,
    /// Whether there is more to be read from there at once.
    pub(super) more: bool,
}

impl PostgresStore {
    /// What follows on `after`; on nothing, or on what this server does not know, the whole.
    pub(super) async fn piece(
        &self,
        followed: &Followed,
        after: Option<&Cursor>,
        most: u32,
    ) -> Result<Piece, StoreError> {
        if let Some(after) = after.and_then(Position::parse) {
            let (server_start, piece) = self.piece_from(followed, Some(&after), most).await?;
            // Another server, or a restarted one, may be without the newest transactions, and count them anew.
            if server_start == after.server_start {
                return Ok(piece);
            }
        }
        Ok(self.piece_from(followed, None, most).await?.1)
    }

    async fn piece_from(
        &self,
        followed: &Followed,
        from: Option<&Position>,
        most: u32,
    ) -> Result<(i64, Piece), StoreError> {
        let after = from.and_then(|from| from.snapshot.clone());
        let reading = from.and_then(|from| from.reading.clone());
        let seq = reading.as_ref().map_or(0, |reading| reading.seq);
        let rows = self
            .connections
            .rows_for_certain(|| {
                let statement = sqlx::query(if after.is_some() { followed.since } else { followed.whole });
                let statement = statement.bind(&self.realm).bind(seq).bind(i64::from(most));
                if let Some(after) = &after { statement.bind(after) } else { statement }
            })
            .await?;
        let first = rows.first().ok_or_else(|| rows::damaged("snapshot"))?;
        let server_start = first.integer("server_start")?;
        let snapshot = reading.map_or_else(|| first.text("snapshot"), |reading| Ok(reading.snapshot))?;
        let more = first.counter("looked_at")? >= u64::from(most);
        let position = if more {
            let seq = first.integer("last_seq")?;
            Position { server_start, snapshot: after, reading: Some(Reading { snapshot, seq }) }
        } else {
            Position { server_start, snapshot: Some(snapshot), reading: None }
        };
        Ok((server_start, Piece { rows, cursor: Cursor(position.to_string()), more }))
    }
}
