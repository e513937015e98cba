//! One request to `/refresh`: sent, perhaps stopped in its middle, answered, judged, written down.

use std::sync::Arc;

use sidegate::domain::revocation::Revoked;
use sidegate::domain::rotation::SessionState;
use sidegate::domain::session::TokenHash;
use sidegate::domain::time::Timestamp;

use super::{Sent, Who, World};
use crate::properties::history::{Fault, Meanwhile, Point};
use crate::properties::invariants;
use crate::properties::ledger::{Access, Asked, Dump, KEPT, Turned, is_overdue};
use crate::properties::system::{Answer, Presented, System};
use crate::properties::tap::{Plan, Seen};

impl<S: System> World<'_, S> {
    pub(super) async fn present(
        &mut self,
        replica: usize,
        sent: &Sent,
        fault: Option<Fault>,
        pause: Option<(Point, Meanwhile)>,
    ) -> Answer {
        self.notice_trouble(sent, pause.is_some());
        let now = self.ledger.now;
        let was_alive = self.ledger.lines[sent.line].is_alive(now);
        let last_from = self.ledger.dump.sessions[sent.line].as_ref().map(|row| row.session.last_from.clone());
        let mut start = self.tap.len();
        self.tap.plan(Plan { stop: pause.map(|(point, _)| point), fault });
        let request = Presented {
            token: sent.token.expose().to_string(),
            key: sent.key.clone(),
            from: sent.from.clone(),
            client: None,
        };
        let system = Arc::clone(&self.system);
        let mut asking = Box::pin(async move { system.refresh(replica, &request).await });
        let tap = Arc::clone(&self.tap);
        let mut part = Part::default();
        let answer = tokio::select! { biased;
            answer = &mut asking => answer,
            () = tap.stopped() => {
                let left = self.tap.plan(Plan::default());
                part.add(&self.take_in(start, sent).await);
                let (point, meanwhile) = pause.expect("only a pause stops");
                self.tell(&format!("{:?} presents {:?} and stops {point:?}", sent.who, sent.token));
                self.count(match point {
                    Point::BeforeSwap => "stopped before the swap",
                    Point::AfterSwap => "stopped after the swap",
                    Point::AfterRead => "stopped after the read",
                });
                self.stopped = true;
                self.fresh = false;
                Box::pin(self.meanwhile(1 - replica, meanwhile)).await;
                self.stopped = false;
                self.settle().await;
                part.interrupted = true;
                start = self.tap.len();
                self.tap.plan(left);
                self.tap.go_on();
                asking.await
            }
        };
        self.tap.plan(Plan::default());
        part.add(&self.take_in(start, sent).await);
        let newest = |device: usize| self.devices[device].newest.as_ref() == Some(&sent.token);
        let returned = match &answer {
            Answer::Given(given) => self.ratchet.open(&given.refresh).ok(),
            _ => None,
        };
        let asked = Asked {
            line: sent.line,
            presented: sent.token.clone(),
            key: sent.key.clone(),
            from: sent.from.clone(),
            last_from,
            was_alive,
            is_newest: matches!(sent.who, Who::Device(device) if newest(device)),
            interrupted: part.interrupted,
            faulty: fault.is_some(),
            now,
            answer: answer.clone(),
            returned,
            turned: part.turned,
            last: part.last,
            others_unchanged: !part.others_changed,
            row_unchanged: !part.row_changed,
        };
        self.told(sent, &asked);
        for violation in invariants::of_a_request(&self.ledger, &asked) {
            self.violated(violation.invariant, violation.what);
        }
        self.write_down(replica, sent, asked, fault);
        answer
    }

    /// Whether the session's owner can still expect it to last.
    fn notice_trouble(&mut self, sent: &Sent, interrupted: bool) {
        let (policy, now) = (&self.ledger.policy, self.ledger.now);
        let line = &self.ledger.lines[sent.line];
        let overdue = |turn: &Turned| is_overdue(policy, turn, sent.key.as_deref(), now);
        let kept = if interrupted { KEPT - 1 } else { KEPT };
        let trouble = if sent.who == Who::Thief {
            Some("theft")
        } else if line.turn_of(sent.token.hash()).is_some_and(overdue) {
            Some("an overdue retry")
        } else if line.turns_since(sent.token.hash()) > kept {
            Some("a retry after too many rotations")
        } else {
            None
        };
        let line = &mut self.ledger.lines[sent.line];
        line.trouble = line.trouble.or(trouble);
    }

    /// What the store has seen of a request, from statement `start` on, and how its content has changed meanwhile.
    async fn take_in(&mut self, start: usize, sent: &Sent) -> Part {
        let mut part = Part::default();
        for (index, seen) in (start..).zip(self.tap.seen(start)) {
            match seen {
                Seen::Turned { session, presented, successor } => {
                    let turn = Turned { presented, successor, at: self.ledger.now, key: sent.key.clone(), index };
                    let line = self.ledger.lines.iter_mut().find(|line| line.id == session).unwrap();
                    part.others_changed |= line.id != sent.token.session() || line.live() != presented;
                    line.turns.push(turn);
                    part.turned = true;
                    part.last = Some((index, Some(successor)));
                }
                Seen::Stuck => {}
                Seen::Read(live) => part.last = Some((index, live)),
            }
        }
        let before = self.observe().await;
        self.fresh = true;
        let after = &self.ledger.dump;
        let id = self.ledger.lines[sent.line].id;
        part.row_changed = content(&before, sent.line) != content(after, sent.line);
        part.others_changed |= before.epochs != after.epochs
            || before.users != after.users
            || (0..before.sessions.len())
                .any(|line| line != sent.line && content(&before, line) != content(after, line))
            || before.revocations.iter().any(|known| !after.revocations.contains(known))
            || after
                .revocations
                .iter()
                .any(|it| !before.revocations.contains(it) && it.revoked != Revoked::Session(id));
        part
    }

    fn write_down(&mut self, replica: usize, sent: &Sent, asked: Asked, fault: Option<Fault>) {
        self.count_answer(sent, &asked, fault);
        let id = self.ledger.lines[sent.line].id;
        if let Answer::Refused("reuse_confirmed" | "reuse_unconfirmed" | "revoked") = asked.answer {
            self.end("a reuse", Some(replica), |line| line.id == id);
        }
        let line = &mut self.ledger.lines[sent.line];
        line.suspected |= fault == Some(Fault::EndFails) && asked.answer == Answer::Unavailable;
        if let (Answer::Given(given), Some(returned)) = (asked.answer, asked.returned) {
            line.successors.entry(asked.presented.hash()).or_insert(returned.hash());
            line.access.extend(given.access.map(Access::new));
            line.minted = asked.now;
            if !line.issued.contains(&returned) {
                line.issued.push(returned);
            }
        }
    }
}

/// What was seen of one request.
#[derive(Default)]
struct Part {
    turned: bool,
    interrupted: bool,
    last: Option<(usize, Option<TokenHash>)>,
    row_changed: bool,
    others_changed: bool,
}

impl Part {
    fn add(&mut self, later: &Self) {
        self.turned |= later.turned;
        self.last = later.last.or(self.last);
        self.row_changed |= later.row_changed;
        self.others_changed |= later.others_changed;
    }
}

/// A row without the time at which it was read.
fn content(dump: &Dump, line: usize) -> Option<SessionState> {
    let mut row = dump.sessions.get(line)?.clone()?;
    row.now = Timestamp::default();
    Some(row)
}
