//! What must be true of every history, whatever was broken meanwhile. Each check says what it found wrong.

use std::collections::HashMap;
use std::time::Duration;

use super::record::{Call, End, Era, Fault, History, Outcome, Refresh, Who};
use super::token::{SessionKey, Token};

/// What the checks measure by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) nodes: usize,
    /// How long after its acknowledgement an end may be unknown to a replica that can hear.
    pub(super) bound: Duration,
}

impl History {
    /// Everything that is wrong.
    pub(super) fn violations(&self, limits: Limits) -> Vec<String> {
        let mut all = self.findings.clone();
        all.extend(self.second_successors());
        all.extend(self.exchanged_tokens_that_gave_tokens());
        all.extend(self.losses_without_a_reason());
        all.extend(self.tokens_after_the_end(limits));
        all.extend(self.calls_after_the_end(limits));
        all.extend(self.good_tokens_refused());
        all.extend(self.tokens_past_the_absolute_end());
        all
    }

    /// I2, I6: what a token was exchanged for is one token, of the next generation; whoever asks, and wherever.
    fn second_successors(&self) -> Vec<String> {
        let mut successors: HashMap<(Token, usize), Token> = HashMap::new();
        let mut findings = Vec::new();
        for (refresh, next) in self.exchanges() {
            if next.generation != refresh.presented.generation + 1 || next.session != refresh.presented.session {
                findings.push(format!("I6: {:?} gave {next:?} at {}", refresh.presented, refresh.span));
            }
            // A server that took over may not know the first one.
            let era = self.eras.iter().filter(|era| refresh.span.to > era.from).count();
            let known = *successors.entry((refresh.presented, era)).or_insert(next);
            if known != next {
                findings
                    .push(format!("I2: {:?} has two successors; the second at {}", refresh.presented, refresh.span));
            }
        }
        findings
    }

    /// I3: what was exchanged gives nothing to whoever has not the key of that exchange.
    fn exchanged_tokens_that_gave_tokens(&self) -> Vec<String> {
        let thefts = self.exchanges().filter(|(refresh, _)| refresh.who == Who::Thief);
        let thefts = thefts.filter(|(refresh, _)| !self.was_forgotten(refresh.presented, refresh.span.from));
        thefts
            .map(|(refresh, _)| format!("I3: a thief got a token for {:?} at {}", refresh.presented, refresh.span))
            .collect()
    }

    /// I4, I8, I10: nobody who presents only its newest token, and again until there is an answer, is told that it gives
    /// nothing; but for a server that took over without knowing it, and then it is told cleanly.
    fn losses_without_a_reason(&self) -> Vec<String> {
        let clean = |answer: &str| answer == "400 invalid_grant";
        let losses = self.losses.iter().filter(|loss| !clean(&loss.answer) || !self.was_ahead(loss.token, loss.at));
        losses.map(|loss| format!("I4: {:?} was lost at {:?}: {}", loss.token, loss.at, loss.answer)).collect()
    }

    /// I5: no refresh that begins after the acknowledgement of an end yields a token; and if a server took over that does
    /// not know the end, none once those who know it have told.
    fn tokens_after_the_end(&self, limits: Limits) -> Vec<String> {
        let ends = self.first_ends();
        let late = self.exchanges().filter_map(|(refresh, _)| {
            let end = ends.get(&refresh.presented.session)?;
            let is_lost = self.has_forgotten(end, refresh.span.from);
            let heard_by = |node| heard_by(end.span.to, node, &self.faults, limits.bound);
            let horizon = if is_lost { (0..limits.nodes).map(heard_by).max()? } else { end.span.to };
            let (token, how, ended) = (refresh.presented, end.how, end.span);
            (refresh.span.from > horizon)
                .then(|| format!("I5: {token:?}, ended by {how:?} at {ended}, was refreshed at {}", refresh.span))
        });
        late.collect()
    }

    /// I7: no replica accepts an access token of an ended session once it must have heard.
    fn calls_after_the_end(&self, limits: Limits) -> Vec<String> {
        let late = self.calls_once_ended(limits).filter(|(_, _, call)| call.outcome == Outcome::Done(()));
        let say = |(end, horizon, call): (&End, Duration, &Call)| {
            let (session, node, how) = (call.session, call.node, end.how);
            let ended = end.span;
            format!(
                "I7: {session:?}, ended by {how:?} at {ended}, was accepted by {node} at {} (until {horizon:?})",
                call.span
            )
        };
        late.map(say).collect()
    }

    /// How many calls of [`Self::calls_after_the_end`] would have been accepted but for the end: so much that check has
    /// seen. By replica.
    pub(super) fn decisive_calls(&self, limits: Limits, good_until: impl Fn(&Call) -> Duration) -> Vec<usize> {
        let mut counts = vec![0; limits.nodes];
        for (_, _, call) in self.calls_once_ended(limits) {
            if matches!(call.outcome, Outcome::Refused(_)) && call.span.to < good_until(call) {
                counts[call.node] += 1;
            }
        }
        counts
    }

    fn calls_once_ended(&self, limits: Limits) -> impl Iterator<Item = (&End, Duration, &Call)> {
        let ends = self.first_ends();
        self.calls.iter().filter_map(move |call| {
            let end = *ends.get(&call.session)?;
            let horizon = heard_by(end.span.to, call.node, &self.faults, limits.bound);
            (call.span.from > horizon).then_some((end, horizon, call))
        })
    }

    fn first_ends(&self) -> HashMap<SessionKey, &End> {
        let mut ends = HashMap::new();
        for end in &self.ends {
            ends.entry(end.session).or_insert(end);
        }
        ends
    }

    /// How long after each acknowledgement each replica, undisturbed, still accepted: the last call begun that was.
    pub(super) fn delays(&self, limits: Limits) -> Vec<Duration> {
        let mut delays = Vec::new();
        for end in &self.ends {
            for node in 0..limits.nodes {
                let (from, to) = (end.span.from, end.span.to);
                let is_near =
                    |fault: &Fault| fault.span.from < to + limits.bound && fault.span.to + limits.bound > from;
                let calls = || self.calls.iter().filter(|call| call.session == end.session && call.node == node);
                let is_watched = calls().any(|call| call.span.from > to + limits.bound);
                if is_watched && !self.faults.iter().any(is_near) {
                    let accepted = calls().filter(|call| call.outcome == Outcome::Done(()));
                    let last = accepted.map(|call| call.span.from).max().unwrap_or_default();
                    delays.push(last.saturating_sub(to));
                }
            }
        }
        delays.sort();
        delays
    }

    /// I4 for access tokens: before its end nobody's is refused whose session has not been ended.
    fn good_tokens_refused(&self) -> Vec<String> {
        let mut ends: HashMap<SessionKey, Duration> = HashMap::new();
        for end in &self.ends {
            let first = ends.entry(end.session).or_insert(end.span.from);
            *first = (*first).min(end.span.from);
        }
        let refused = self.calls.iter().filter(|call| {
            let is_good = self.honest.contains_key(&call.session) && call.expires_at > call.span.to;
            is_good && !ends.contains_key(&call.session) && matches!(call.outcome, Outcome::Refused(_))
        });
        refused
            .map(|call| {
                format!("I4: {:?} was refused by {} at {}: {:?}", call.session, call.node, call.span, call.outcome)
            })
            .collect()
    }

    /// I11: no access token outlives its session.
    fn tokens_past_the_absolute_end(&self) -> Vec<String> {
        let tokens =
            self.refreshes.iter().filter_map(|refresh| Some((refresh.presented.session, refresh.access_expires?)));
        let late = tokens.filter(|(session, expires)| self.absolute_ends.get(session).is_some_and(|end| expires > end));
        late.map(|(session, _)| format!("I11: an access token of {session:?} ends after its session")).collect()
    }

    pub(super) fn exchanges(&self) -> impl Iterator<Item = (&Refresh, Token)> {
        self.refreshes.iter().filter_map(|refresh| match refresh.outcome {
            Outcome::Done(next) => Some((refresh, next)),
            _ => None,
        })
    }

    /// The newest token of each honest session that its client was given.
    pub(super) fn newest_generations(&self) -> HashMap<SessionKey, u32> {
        let mut newest: HashMap<_, _> = self.honest.keys().map(|session| (*session, 0)).collect();
        for (_, next) in self.exchanges() {
            if let Some(known) = newest.get_mut(&next.session) {
                *known = next.generation.max(*known);
            }
        }
        newest
    }

    fn era_at(&self, at: Duration) -> Option<&Era> {
        self.eras.iter().rfind(|era| era.from <= at)
    }

    /// Whether the server of that moment had never heard of this honest token: it was made before it took over.
    pub(super) fn was_ahead(&self, token: Token, at: Duration) -> bool {
        self.era_at(at).is_some_and(|era| {
            let is_older = self.honest.get(&token.session).is_some_and(|began| *began < era.from);
            let known = era.survivors.get(&token.session);
            is_older && known.is_none_or(|generation| *generation < i64::from(token.generation))
        })
    }

    /// Whether the server of that moment took this token for the live one: what came after it was lost.
    fn was_forgotten(&self, token: Token, at: Duration) -> bool {
        self.era_at(at).is_some_and(|era| era.survivors.get(&token.session) == Some(&i64::from(token.generation)))
    }

    /// Whether the end itself was lost.
    pub(super) fn has_forgotten(&self, end: &End, at: Duration) -> bool {
        self.era_at(at).is_some_and(|era| {
            end.span.to > era.lost_from && end.span.from < era.from && era.survivors.contains_key(&end.session)
        })
    }
}

/// When a replica has heard of what was acknowledged then, at the latest.
pub(super) fn heard_by(acknowledged: Duration, node: usize, faults: &[Fault], bound: Duration) -> Duration {
    let mut from = acknowledged;
    let covers = |fault: &&Fault, from: Duration| {
        fault.deaf.contains(&node) && fault.span.from <= from + bound && fault.span.to > from
    };
    while let Some(fault) = faults.iter().find(|fault| covers(fault, from)) {
        from = fault.span.to;
    }
    from + bound
}

#[cfg(test)]
mod tests;
