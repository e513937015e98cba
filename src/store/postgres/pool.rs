//! A few connections, lent one call at a time.
//!
//! A connection that did not come back cleanly is not used again; no connection is waited for longer than it takes to
//! say so. The place's files are looked at every few seconds, and at once when the server does not let us in: what they say
//! is used as soon as a connection can be made with it, and until then what was used before. A new password leaves the
//! connections there are alone; a new URL is a new place, and the old connections end as they come back.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::{Connection, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::StoreError;
use super::connection::sql_state;
use super::reach::{Reach, Session};
use crate::clock::Stopwatch;
use crate::config::postgres::Place;

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    place: Place,
    reach: RwLock<Arc<Reach>>,
    /// For a session of one's own.
    settings: Vec<(&'static str, String)>,
    /// Longest wait for a connection.
    patience: Duration,
    slots: Arc<Semaphore>,
    /// The one used last is on top.
    idle: Mutex<Vec<Link>>,
    looked: Mutex<Stopwatch>,
    /// What was last said to be wrong with the files; held while they are looked at.
    complaint: tokio::sync::Mutex<Option<String>>,
}

#[derive(Debug)]
struct Link {
    connection: PgConnection,
    session: Session,
    reach: Arc<Reach>,
    made: Stopwatch,
    used: Stopwatch,
}

/// A connection that goes back only after [`Self::settle`] has found it clean.
pub(super) struct Lease {
    /// `None` only when it is over.
    link: Option<Link>,
    clean: bool,
    pool: Pool,
    _slot: OwnedSemaphorePermit,
}

/// How long a call waits for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Common,
    /// Longer than anybody in front: they are served or have given up by then, however many come.
    Certain,
}

impl Pool {
    pub(super) fn new(
        place: Place,
        reach: Reach,
        connections: u32,
        patience: Duration,
        settings: Vec<(&'static str, String)>,
    ) -> Self {
        Self(Arc::new(Inner {
            place,
            reach: RwLock::new(Arc::new(reach)),
            settings,
            patience,
            slots: Arc::new(Semaphore::new(usize::try_from(connections.max(1)).unwrap_or(1))),
            idle: Mutex::default(),
            looked: Mutex::new(Stopwatch::start()),
            complaint: tokio::sync::Mutex::default(),
        }))
    }

    /// How connections are made now.
    pub(super) fn reach(&self) -> Arc<Reach> {
        Arc::clone(&self.0.reach.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for a connection.
    pub(super) async fn lease(&self, turn: Turn) -> Result<Lease, sqlx::Error> {
        let patience = match turn {
            Turn::Common => self.0.patience,
            Turn::Certain => self.0.patience * 2,
        };
        self.look_now_and_then();
        let mut obstacle = sqlx::Error::PoolTimedOut;
        let leased = tokio::time::timeout(patience, async {
            let slot = Arc::clone(&self.0.slots).acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)?;
            let link = match self.rested().await {
                Some(link) => link,
                None => self.connect(&mut obstacle).await?,
            };
            Ok(Lease { link: Some(link), clean: false, pool: self.clone(), _slot: slot })
        });
        leased.await.unwrap_or(Err(obstacle))
    }

    /// A connection that was used before and is of use now.
    async fn rested(&self) -> Option<Link> {
        loop {
            let mut link = self.idle().pop()?;
            if !self.is_current(&link) {
                link.close();
                continue;
            }
            // One that rested may have died with its server; one in use shows it by itself.
            if link.used.elapsed() < RESTED || link.connection.ping().await.is_ok() {
                return Some(link);
            }
        }
    }

    /// A new connection. A server that is starting is waited for; `obstacle` says what is in the way until then.
    async fn connect(&self, obstacle: &mut sqlx::Error) -> Result<Link, sqlx::Error> {
        let mut pause = FIRST_PAUSE;
        loop {
            let reach = self.reach();
            match reach.connect(&self.0.settings).await {
                Ok((connection, session)) => {
                    let (made, used) = (Stopwatch::start(), Stopwatch::start());
                    return Ok(Link { connection, session, reach, made, used });
                }
                Err(error) if is_starting(&error) => *obstacle = error,
                Err(error) if is_not_let_in(&error) && self.is_overtaken(&reach).await => continue,
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The server does not let us in there: whether there is something else to try.
    async fn is_overtaken(&self, tried: &Arc<Reach>) -> bool {
        let is_other = || !Arc::ptr_eq(tried, &self.reach());
        // Whoever came before may have looked, and found.
        is_other() || {
            self.look().await;
            is_other()
        }
    }

    fn look_now_and_then(&self) {
        if !self.0.place.may_change() {
            return;
        }
        let mut looked = self.0.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.elapsed() >= LOOK_EVERY {
            *looked = Stopwatch::start();
            let pool = self.clone();
            // Beside the call: a place that does not answer costs it nothing.
            tokio::spawn(async move { pool.look().await });
        }
    }

    /// Reads the place's files, and takes what is new in them if a connection can be made with it.
    async fn look(&self) {
        if !self.0.place.may_change() {
            return;
        }
        let mut complaint = self.0.complaint.lock().await;
        let found = self.find().await;
        match &found {
            Ok(found) => {
                if let Some(reach) = found {
                    tracing::info!(place = %reach.address, "the store's URL or password has changed and is used from now on");
                    *self.0.reach.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(reach);
                }
                *complaint = None;
            }
            // Said once.
            Err(fault) if complaint.as_ref() != Some(fault) => {
                tracing::error!(%fault, "the store's URL or password has changed and cannot be used: the last one is kept");
                *complaint = Some(fault.clone());
            }
            Err(_) => {}
        }
    }

    async fn find(&self) -> Result<Option<Arc<Reach>>, String> {
        let place = self.0.place.clone();
        let read = tokio::task::spawn_blocking(move || place.read()).await;
        let address = read.map_err(|_| "the files could not be read".to_owned())??;
        if address == self.reach().address {
            return Ok(None);
        }
        let usable = async {
            let reach = Reach::new(address.clone(), &self.0.place)?;
            let (connection, _) = reach.connect_in(self.0.patience).await?;
            close(connection);
            Ok(reach)
        };
        let usable: Result<Reach, StoreError> = usable.await;
        usable.map(|reach| Some(Arc::new(reach))).map_err(|error| format!("{address}: {error}"))
    }

    fn give_back(&self, mut link: Link) {
        if !self.is_current(&link) {
            return link.close();
        }
        link.used = Stopwatch::start();
        let mut idle = self.idle();
        idle.push(link);
        let forgotten = idle.iter().take_while(|link| link.used.elapsed() > FORGOTTEN).count();
        idle.drain(..forgotten).for_each(Link::close);
    }

    /// Whether it leads where connections lead now, and is not so old that it should be made anew.
    fn is_current(&self, link: &Link) -> bool {
        link.reach.address.url == self.reach().address.url && link.made.elapsed() < LIFETIME
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Link>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    fn close(self) {
        close(self.connection);
    }
}

/// Says goodbye, beside whoever calls.
fn close(connection: PgConnection) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(tokio::time::timeout(GOODBYE, connection.close()));
    }
}

impl Lease {
    pub(super) fn session(&self) -> Session {
        self.link.as_ref().map_or(Session::Shared, |link| link.session)
    }

    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.link.as_mut().map(|link| &mut link.connection).ok_or(sqlx::Error::PoolClosed)
    }

    /// Nothing was asked with it.
    pub(super) fn keep(mut self) {
        self.clean = true;
    }

    /// The answer is here: unless the connection itself broke, it can be used again.
    pub(super) fn settle<T>(mut self, answer: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        self.clean = match &answer {
            Ok(_) => true,
            Err(error) => !is_last_word(error),
        };
        answer
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(link) = self.link.take().filter(|_| self.clean) {
            self.pool.give_back(link);
        }
    }
}

/// Whether the connection is of no use after this error. One on which nothing may be written leads to a server, or was made
/// at a time, where that was so: a new one may lead elsewhere.
fn is_last_word(error: &sqlx::Error) -> bool {
    let may_only_read = sql_state(error).as_deref() == Some("25006");
    let cause = error.as_database_error().and_then(|cause| cause.try_downcast_ref::<PgDatabaseError>());
    may_only_read || cause.is_none_or(|cause| matches!(cause.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

/// Nobody listens there, or not yet.
fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        error => matches!(sql_state(error).as_deref(), Some("57P03" | "53300")),
    }
}

/// A wrong password, or a role that is not there; a pooler has no word for it.
fn is_not_let_in(error: &sqlx::Error) -> bool {
    matches!(sql_state(error).as_deref(), Some("28P01" | "28000" | "08P01"))
}

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
const RESTED: Duration = Duration::from_secs(1);
const FORGOTTEN: Duration = Duration::from_mins(10);
const LIFETIME: Duration = Duration::from_mins(30);
const LOOK_EVERY: Duration = Duration::from_secs(2);
const GOODBYE: Duration = Duration::from_secs(1);
