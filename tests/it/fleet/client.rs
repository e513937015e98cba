//! An honest client: one session, the newest token, and the same request again until there is an answer.

use std::sync::Arc;
use std::time::Duration;

use crate::support::client::Pair;

use super::record::{Loss, Outcome, Who};
use super::stage::{Cue, Dice, Stage};
use super::token::{Token, expiry};

/// A logged-in client.
pub(super) struct Client {
    stage: Arc<Stage>,
    dice: Dice,
    user: String,
    manners: Manners,
    /// What it was given last.
    pub(super) pair: Pair,
    /// What it was given before, newest last.
    pub(super) older: Vec<String>,
    turns: usize,
}

/// How it asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manners {
    /// With an `Idempotency-Key` for each refresh.
    Keyed,
    /// With the token alone, where sidegate is told to repeat.
    Plain,
}

/// How long before its access token ends it refreshes.
const AHEAD: Duration = Duration::from_millis(700);
const PAUSE: Duration = Duration::from_millis(150);

impl Client {
    /// Logs in, however long it takes.
    pub(super) async fn arrives(stage: &Arc<Stage>, number: usize, user: String, manners: Manners) -> Self {
        let mut dice = Dice::new(number);
        let pair = stage.logged_in(dice.roll(stage.gates.len()), &user).await;
        stage.is_honest(&pair);
        Self { stage: Arc::clone(stage), dice, user, manners, pair, older: Vec::new(), turns: number << 32 }
    }

    /// Uses and refreshes its tokens until the end of the run.
    pub(super) async fn lives(mut self) -> Self {
        let mut cue = self.stage.cue.subscribe();
        loop {
            let due = self.stage.record.moment(expiry(&self.pair.access)).saturating_sub(self.stage.record.now());
            let ahead = self.dice.about(AHEAD);
            let is_hurried = tokio::select! {
                () = tokio::time::sleep(due.saturating_sub(ahead)) => false,
                _ = cue.changed() => true,
            };
            let Cue { at, stop, .. } = *cue.borrow_and_update();
            if stop {
                return self;
            }
            let node = at.filter(|_| is_hurried).unwrap_or_else(|| self.dice.roll(self.stage.gates.len()));
            if self.turn(node).await.is_ok() {
                self.stage.call(self.dice.roll(self.stage.gates.len()), &self.pair).await;
            }
        }
    }

    /// Exchanges its token, at this replica first; asks again until it knows. If the session is gone it logs in again.
    pub(super) async fn turn(&mut self, mut node: usize) -> Result<(), Loss> {
        self.turns += 1;
        let key = (self.manners == Manners::Keyed).then(|| format!("refresh-number-{:016}", self.turns));
        loop {
            let twice = self.dice.roll(16) == 0;
            match self.attempt(node, key.as_deref(), twice).await {
                Outcome::Done(pair) => {
                    self.older.push(std::mem::replace(&mut self.pair, pair).refresh);
                    return Ok(());
                }
                Outcome::Refused(answer) => {
                    let at = self.stage.record.now();
                    let loss = Loss { token: Token::read(&self.pair.refresh), at, answer };
                    self.stage.record.history().losses.push(loss.clone());
                    self.older.clear();
                    self.pair = self.stage.logged_in(node, &self.user).await;
                    self.stage.is_honest(&self.pair);
                    return Err(loss);
                }
                Outcome::Unknown(_) => {
                    tokio::time::sleep(self.dice.about(PAUSE)).await;
                    node = self.dice.roll(self.stage.gates.len());
                }
            }
        }
    }

    /// How many of its older tokens are still answered, with the live one: the last, if it needs no key for that.
    pub(super) fn repeats(&self) -> usize {
        usize::from(self.manners == Manners::Plain)
    }

    /// One request, or the same twice at the same time, as impatient programs do.
    async fn attempt(&mut self, node: usize, key: Option<&str>, twice: bool) -> Outcome<Pair> {
        let first = self.stage.refresh(Who::Honest, node, &self.pair.refresh, key);
        if !twice {
            return first.await;
        }
        let other = self.dice.roll(self.stage.gates.len());
        let outcomes = tokio::join!(first, self.stage.refresh(Who::Honest, other, &self.pair.refresh, key));
        match outcomes {
            (Outcome::Done(pair), _) | (_, Outcome::Done(pair)) => Outcome::Done(pair),
            (Outcome::Unknown(why), _) | (_, Outcome::Unknown(why)) => Outcome::Unknown(why),
            (refused, _) => refused,
        }
    }
}
