//! The sealed jars of sessions: changed one at a time, and told to everybody.

use super::super::rows::{self, Columns, counter_column};
use super::super::{ChangedVault, Cursor, StoreError, VAULT_PAGE, VaultChange, VaultPage};
use super::{SqliteStore, only, statements};
use crate::domain::revocation::ALLOWANCE;

impl SqliteStore {
    pub(super) async fn write_vault(&self, change: &VaultChange) -> Result<bool, StoreError> {
        let session = &change.session.as_bytes()[..];
        let (vault, version) = (&change.jar.bytes, counter_column(change.jar.version));
        self.connections
            .within(async {
                let mut transaction = self.connections.transaction().await?;
                let done = sqlx::query(statements::CHANGE_VAULT)
                    .bind(&self.realm)
                    .bind(session)
                    .bind(counter_column(change.expected))
                    .bind(vault)
                    .bind(version)
                    .execute(&mut *transaction)
                    .await?;
                let is_changed = done.rows_affected() > 0;
                if is_changed {
                    sqlx::query(statements::RECORD_VAULT)
                        .bind(&self.realm)
                        .bind(session)
                        .bind(vault)
                        .bind(version)
                        .bind(self.clock.now().plus(ALLOWANCE).as_millis())
                        .execute(&mut *transaction)
                        .await?;
                }
                transaction.commit().await?;
                Ok(is_changed)
            })
            .await
    }

    pub(super) async fn read_vaults(&self, after: Option<&Cursor>) -> Result<VaultPage, StoreError> {
        if let Some(after) = after.and_then(|cursor| cursor.0.parse::<i64>().ok()).filter(|after| *after >= 0) {
            let (newest, page) = self.vault_page(Some(after)).await?;
            // A file that counts less far than the reader has been is an older one, put back.
            if newest >= after {
                return Ok(page);
            }
        }
        Ok(self.vault_page(None).await?.1)
    }

    async fn vault_page(&self, after: Option<i64>) -> Result<(i64, VaultPage), StoreError> {
        self.connections
            .within(async {
                let mut reader = self.connections.reader().await?;
                let statement = match after {
                    None => {
                        sqlx::query(statements::ALL_VAULT_CHANGES).bind(&self.realm).bind(self.clock.now().as_millis())
                    }
                    Some(after) => sqlx::query(statements::VAULT_CHANGES_AFTER).bind(&self.realm).bind(after),
                };
                let rows = statement.bind(i64::from(VAULT_PAGE)).fetch_all(&mut *reader).await?;
                let newest = only(&rows)?.integer("newest")?;
                let changes: Vec<ChangedVault> =
                    rows.iter().filter_map(|row| rows::changed_vault(row).transpose()).collect::<Result<_, _>>()?;
                let more = changes.len() >= VAULT_PAGE as usize;
                let last = if more { rows.last().map_or(Ok(newest), |row| row.integer("seq"))? } else { newest };
                Ok((newest, VaultPage { changes, cursor: Cursor(last.to_string()), more }))
            })
            .await
    }
}
