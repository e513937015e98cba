//! Ends what an answer of the application says is over.
//!
//! The application has done what it has done: this cannot be refused, only be done late. So what can be refused here at once
//! is, the store is told, and told again until it knows.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::identity::Identity;
use crate::domain::observed::{Ends, Watched};
use crate::domain::revocation::Revoked;
use crate::domain::session::{Origin, SessionId};
use crate::store::StoreError;
use crate::telemetry::Event;

use super::Authority;
use super::owed::Turn;

/// How long an answer waits for what it ends. After that it goes on in the background.
const PATIENCE: Duration = Duration::from_secs(2);

impl Authority {
    /// Ends what the answer to a watched request of this identity ends; the request may wait for it, and need not. Returns when
    /// it is stored, or when there is no more patience.
    pub async fn end_observed(self: &Arc<Self>, watched: Watched, by: Arc<Identity>, from: Origin) {
        let authority = Arc::clone(self);
        let ending = tokio::spawn(async move { authority.carry_out_observed(&watched, &by, &from).await });
        if tokio::time::timeout(PATIENCE, ending).await.is_err() {
            tracing::warn!("what an answer of the application ends takes long to be stored; the answer goes on");
        }
    }

    async fn carry_out_observed(&self, watched: &Watched, by: &Identity, from: &Origin) {
        let word = watched.event.end.code();
        let Some(ends) = watched.ends.clone() else {
            tracing::warn!(session = %by.session, "an answer ends the sessions of somebody who can have none: nothing ended");
            return self.metrics.observed.count("nobody");
        };
        let stored = self.end(ends.clone(), Some(by)).await;
        self.metrics.observed.count(if stored.is_ok() { word } else { "not_stored" });
        let subject = if let Ends::Subject(subject) = &ends { subject } else { &by.subject };
        let event = Event::new(event_name(word), if stored.is_ok() { "ok" } else { "not_stored" });
        self.audit.record(&event.of(subject).session(by.session).from(from));
    }

    /// Ends it, as `by` has asked for: in memory as soon as it can be, in the store now or as soon as it can be.
    ///
    /// # Errors
    /// If it is not stored yet; the background task keeps trying.
    pub(super) async fn end(&self, ends: Ends, by: Option<&Identity>) -> Result<(), StoreError> {
        let mut late = None;
        match &ends {
            Ends::Session(id) => self.end_in_memory(*id),
            Ends::Subject(subject) => self.hold_next_counter(by.filter(|by| by.subject == *subject)),
            // Its own session goes on as soon as the store knows; until then it would be refused, too.
            Ends::Others(..) => late = by,
        }
        let turn = self.owed.add(ends);
        let mut storing = Box::pin(self.store_end(turn));
        let stored = if let Ok(stored) = tokio::time::timeout(PATIENCE, &mut storing).await {
            stored
        } else {
            self.hold_next_counter(late);
            storing.await
        };
        if let Err(error) = &stored {
            self.hold_next_counter(late);
            tracing::warn!(%error, "ended on this replica only; trying again in the background");
        }
        stored
    }

    /// Tells the store, and holds what that says.
    pub(super) async fn store_end(&self, turn: Turn<'_>) -> Result<(), StoreError> {
        let below = match &turn.ends {
            Ends::Session(id) => {
                self.store.end_session(*id).await?;
                None
            }
            Ends::Others(subject, session) => Some((subject, self.store.end_others(subject, *session).await?)),
            Ends::Subject(subject) => Some((subject, self.store.end_subject(subject).await?)),
        };
        if let Some((subject, below)) = below {
            self.hold(Revoked::SubjectBelow(subject.clone(), below));
        }
        turn.stored();
        Ok(())
    }

    /// Before a session refreshes: what it has itself asked for and is not stored yet would end it, too.
    ///
    /// # Errors
    /// If it is still not stored.
    pub(super) async fn store_others_of(&self, session: SessionId) -> Result<(), StoreError> {
        while let Some(turn) = self.owed.others_of(session).await {
            self.store_end(turn).await?;
        }
        Ok(())
    }

    /// The counter of the identity's subject will be more than the identity has.
    fn hold_next_counter(&self, by: Option<&Identity>) {
        if let Some(by) = by {
            self.hold(Revoked::SubjectBelow(by.subject.clone(), by.epochs.subject.saturating_add(1)));
        }
    }
}

fn event_name(word: &str) -> &'static str {
    match word {
        "session" => "observed_session",
        "other_sessions" => "observed_other_sessions",
        _ => "observed_subject",
    }
}
