//! The sealed jars of sessions: changed one at a time, and told to everybody.

use super::super::rows::{self, Columns, counter_column, span};
use super::super::{Cursor, StoreError, VAULT_PAGE, VaultChange, VaultPage};
use super::cursor::{Position, Reading};
use super::{PostgresStore, only, statements};
use crate::domain::revocation::ALLOWANCE;

impl PostgresStore {
    pub(super) async fn write_vault(&self, change: &VaultChange) -> Result<bool, StoreError> {
        let statement = || {
            sqlx::query(statements::CHANGE_VAULT)
                .bind(&self.realm)
                .bind(span(ALLOWANCE))
                .bind(&change.session.as_bytes()[..])
                .bind(counter_column(change.expected))
                .bind(&change.jar.bytes)
                .bind(counter_column(change.jar.version))
                .bind(change.wakes)
        };
        only(&self.connections.rows(statement).await?)?.flag("changed")
    }

    pub(super) async fn read_vaults(&self, after: Option<&Cursor>) -> Result<VaultPage, StoreError> {
        if let Some(after) = after.and_then(Position::parse) {
            let (server_start, page) = self.vault_page(Some(&after)).await?;
            // As with revocations: transaction numbers mean something to one server process only.
            if server_start == after.server_start {
                return Ok(page);
            }
        }
        Ok(self.vault_page(None).await?.1)
    }

    async fn vault_page(&self, from: Option<&Position>) -> Result<(i64, VaultPage), StoreError> {
        let after = from.and_then(|from| from.snapshot.clone());
        let reading = from.and_then(|from| from.reading.clone());
        let seq = reading.as_ref().map_or(0, |reading| reading.seq);
        let rows = self
            .connections
            .rows_for_certain(|| {
                let statement = match &after {
                    None => sqlx::query(statements::ALL_VAULT_CHANGES),
                    Some(_) => sqlx::query(statements::VAULT_CHANGES_AFTER),
                };
                let statement = statement.bind(&self.realm).bind(seq).bind(i64::from(VAULT_PAGE));
                if let Some(after) = &after { statement.bind(after) } else { statement }
            })
            .await?;
        let first = rows.first().ok_or_else(|| rows::damaged("snapshot"))?;
        let server_start = first.integer("server_start")?;
        let snapshot = reading.map_or_else(|| first.text("snapshot"), |reading| Ok(reading.snapshot))?;
        let changes = rows.iter().filter_map(|row| rows::changed_vault(row).transpose()).collect::<Result<_, _>>()?;
        let more = first.counter("looked_at")? >= u64::from(VAULT_PAGE);
        let position = if more {
            let seq = first.integer("last_seq")?;
            Position { server_start, snapshot: after, reading: Some(Reading { snapshot, seq }) }
        } else {
            Position { server_start, snapshot: Some(snapshot), reading: None }
        };
        Ok((server_start, VaultPage { changes, cursor: Cursor(position.to_string()), more }))
    }
}
