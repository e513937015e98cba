//! Buckets: read, judged by the domain, written, in one transaction.

use super::super::rows::Columns;
use super::super::{StoreError, Taking};
use super::{SqliteStore, statements};
use crate::domain::rate::{Bucket, Rate};

impl SqliteStore {
    pub(super) async fn take_one(&self, bucket: Bucket, rate: Rate) -> Result<Taking, StoreError> {
        self.connections
            .within(async {
                let mut transaction = self.connections.transaction().await?;
                let rows = sqlx::query(statements::BUCKET)
                    .bind(&self.realm)
                    .bind(&bucket.as_bytes()[..])
                    .fetch_all(&mut *transaction)
                    .await?;
                let whole_at = rows.first().map(|row| row.time("whole_at")).transpose()?;
                let whole_at = match rate.take(whole_at, self.clock.now()) {
                    Ok(whole_at) => whole_at,
                    Err(wait) => return Ok(Taking::Wait(wait)),
                };
                sqlx::query(statements::TAKE)
                    .bind(&self.realm)
                    .bind(&bucket.as_bytes()[..])
                    .bind(whole_at.as_millis())
                    .execute(&mut *transaction)
                    .await?;
                transaction.commit().await?;
                Ok(Taking::Taken)
            })
            .await
    }

    pub(super) async fn make_whole(&self, bucket: Bucket) -> Result<(), StoreError> {
        self.connections
            .within(async {
                let mut writer = self.connections.writer().await?;
                sqlx::query(statements::REFILL)
                    .bind(&self.realm)
                    .bind(&bucket.as_bytes()[..])
                    .execute(&mut *writer)
                    .await?;
                Ok(())
            })
            .await
    }
}
