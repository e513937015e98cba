//! What is told of a history, and what is left of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use sidegate::domain::session::{Salt, TokenHash};
use sidegate::store::Swap;

use super::{Sent, Who, World};
use crate::properties::history::Fault;
use crate::properties::invariants::Violation;
use crate::properties::ledger::{Asked, is_overdue};
use crate::properties::system::{Answer, CLIENT, IDLE, System};
use crate::store::bench::START;

/// A history that was played.
#[derive(Debug, Default)]
pub struct Played {
    pub violations: Vec<Violation>,
    /// What happened, for people.
    pub story: String,
    /// Every answer, and the rows at the end, without anything that is random.
    pub trace: Vec<String>,
    pub counts: Counts,
}

/// How often something happened.
pub type Counts = BTreeMap<&'static str, usize>;

impl<S: System> World<'_, S> {
    pub(super) async fn finish(mut self) -> Played {
        self.tell("the end");
        for replica in 0..self.loaded.len() {
            self.system.follow(replica).await;
        }
        self.loaded.fill(self.ends);
        self.settle().await;
        let rows = (0..self.ledger.lines.len()).map(|line| self.row(line)).collect::<Vec<_>>();
        self.played.trace.extend(rows);
        self.played.trace.push(format!("{:?}", self.ledger.dump.epochs));
        self.swap_every_token().await;
        self.played
    }

    /// I1, I8, without a judgement: of all tokens ever given out, exactly the live one turns the ratchet.
    async fn swap_every_token(&mut self) {
        let mut found = Vec::new();
        for (number, line) in self.ledger.lines.iter().enumerate() {
            let mut turned: Vec<TokenHash> = Vec::new();
            // The live one last: it would make all others old.
            let mut tokens = line.issued.clone();
            tokens.sort_by_key(|token| token.hash() == line.live());
            for token in tokens {
                let swap = Swap {
                    session: line.id,
                    client: CLIENT.to_owned(),
                    generation: token.generation(),
                    row_hash: token.hash(),
                    behind: 0,
                    successor: TokenHash([1; 32]),
                    salt: Salt([1; 32]),
                    key: None,
                    from: self.origin(line.device),
                    idle_ttl: IDLE,
                    longest_window: self.ledger.policy.longest_window(),
                };
                if self.tap.inner.swap(&swap).await.unwrap().is_some() {
                    turned.push(token.hash());
                }
            }
            let delivered = line.issued.iter().any(|token| token.hash() == line.live());
            let alive = line.is_alive(self.ledger.now) && self.ledger.dump.sessions[number].is_some();
            let expected: &[TokenHash] = if delivered && alive { &[line.live()] } else { &[] };
            if turned != expected {
                found.push(format!("session {number}: {turned:?} turned, {expected:?} expected"));
            }
        }
        for what in found {
            self.violated("I1", what);
        }
    }

    pub(super) fn violated(&mut self, invariant: &'static str, what: String) {
        if self.played.violations.iter().any(|known| known.what == what) {
            return;
        }
        let _ = writeln!(self.played.story, "        !! {invariant}: {what}");
        self.played.violations.push(Violation { invariant, what });
    }

    pub(super) fn tell(&mut self, what: &str) {
        let seconds = (self.ledger.now - START) / 1000;
        let _ = writeln!(self.played.story, "{seconds:>6} s {what}");
    }

    pub(super) fn answer(&mut self, what: String) {
        let _ = writeln!(self.played.story, "         → {what}");
        self.played.trace.push(what);
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.played.counts.entry(what).or_default() += 1;
    }

    pub(super) fn told(&mut self, sent: &Sent, asked: &Asked) {
        let key = sent.key.as_deref().unwrap_or("no key");
        let who = format!("{:?}: session {} token {}, {key}", sent.who, sent.line, sent.token.generation());
        let answer = match (&asked.answer, &asked.returned) {
            (Answer::Given(_), Some(token)) => format!("token {}", token.generation()),
            (answer, _) => format!("{answer:?}"),
        };
        self.answer(format!("{who} → {answer}"));
    }

    pub(super) fn count_answer(&mut self, sent: &Sent, asked: &Asked, fault: Option<Fault>) {
        let line = &self.ledger.lines[sent.line];
        let overdue = |turn| is_overdue(&self.ledger.policy, turn, sent.key.as_deref(), asked.now);
        let overdue = line.turn_of(sent.token.hash()).is_some_and(overdue);
        let expired = line.ended.is_none() && !asked.was_alive;
        let what = match asked.answer {
            Answer::Given(_) if fault == Some(Fault::SwapUnanswered) && asked.turned => "mine",
            Answer::Given(_) if fault == Some(Fault::SwapFails) && asked.turned => "live, swapped again",
            Answer::Given(_) if asked.turned => "rotated",
            Answer::Given(_) => "repeated",
            Answer::Late => "late",
            Answer::Refused("ended") if expired => "expired",
            Answer::Refused("ended") => "ended",
            Answer::Refused("reuse_confirmed" | "reuse_unconfirmed") if !overdue => "reuse from elsewhere",
            Answer::Refused("reuse_confirmed") => "reuse confirmed",
            Answer::Refused("reuse_unconfirmed") => "reuse unconfirmed",
            Answer::Unavailable => "unavailable",
            Answer::Refused(_) | Answer::Broken(_) => "refused otherwise",
        };
        self.count(what);
        if sent.who == Who::Thief && asked.returned.is_some() {
            self.count("a thief was given a token");
        }
    }

    fn row(&self, line: usize) -> String {
        let Some(row) = &self.ledger.dump.sessions[line] else { return format!("session {line} is gone") };
        let session = &row.session;
        let recent =
            session.recent.iter().map(|entry| (entry.generation, entry.at.as_millis() - START, entry.key.is_some()));
        format!(
            "session {line}: generation {}, created {}, rotated {}, ends {} {}, {:?} {:?}, from {:?} {:?}, recent {:?}",
            session.generation,
            session.created.as_millis() - START,
            session.rotated.as_millis() - START,
            session.idle_end.as_millis() - START,
            session.absolute_end.as_millis() - START,
            session.epochs,
            row.current,
            session.login_from,
            session.last_from,
            recent.collect::<Vec<_>>(),
        )
    }
}
