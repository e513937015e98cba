//! The sealed jars of sessions: changed one at a time, and told to everybody.

use super::super::rows::{self, Columns, counter_column, span};
use super::super::{Cursor, StoreError, VAULT_PAGE, VaultChange, VaultPage};
use super::piece::Piece;
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
        let Piece { rows, cursor, more } = self.piece(&statements::VAULT_CHANGES, after, VAULT_PAGE).await?;
        let changes = rows.iter().filter_map(|row| rows::changed_vault(row).transpose()).collect::<Result<_, _>>()?;
        Ok(VaultPage { changes, cursor, more })
    }
}
