//! What a run was like, in a few lines for people.

use std::collections::BTreeMap;
use std::time::Duration;

use super::checks::Limits;
use super::record::{History, Outcome, Who};

pub(super) fn figures(history: &History, limits: Limits, lasted: Duration, sessions: usize) -> Vec<String> {
    let of = |who: Who| history.refreshes.iter().filter(move |refresh| refresh.who == who);
    let count =
        |who: Who, is: fn(&Outcome<super::token::Token>) -> bool| of(who).filter(|one| is(&one.outcome)).count();
    let (done, unknown) =
        (|one: &Outcome<_>| matches!(one, Outcome::Done(_)), |one: &Outcome<_>| matches!(one, Outcome::Unknown(_)));
    let (excused, lost): (Vec<_>, Vec<_>) =
        history.losses.iter().partition(|loss| history.was_ahead(loss.token, loss.at));
    let returned = history.ends.iter().filter(|end| history.has_forgotten(end, lasted)).count();
    let mut lines = vec![
        format!("fleet: {sessions} honest sessions on {} replicas for {:.0} s", limits.nodes, lasted.as_secs_f64()),
        format!(
            "fleet: {} refreshes by honest clients, {} without an answer and asked again, {} of these stored at a database's \
             death; {} by thieves, {} of them got a token",
            count(Who::Honest, done),
            count(Who::Honest, unknown),
            history.lost_answers,
            of(Who::Thief).count(),
            count(Who::Thief, done),
        ),
        format!(
            "fleet: {} honest sessions lost, and {} that a promoted server had never heard of",
            lost.len(),
            excused.len()
        ),
        format!(
            "fleet: {} sessions ended, {} of them unknown to a promoted server; {} calls with access tokens, {} audits",
            history.ends.len(),
            returned,
            history.calls.len(),
            history.audits
        ),
    ];
    let mut unanswered: BTreeMap<&str, usize> = BTreeMap::new();
    for refresh in &history.refreshes {
        if let Outcome::Unknown(why) = &refresh.outcome {
            *unanswered.entry(why).or_default() += 1;
        }
    }
    lines.push(format!("fleet: why refreshes had no answer: {unanswered:?}"));
    for fault in &history.faults {
        lines.push(format!("fleet: {} with {} refreshes in flight, {}", fault.what, fault.in_flight, fault.span));
    }
    let delays = history.delays(limits);
    if let Some(worst) = delays.last() {
        let at = |percent: usize| delays[(delays.len() - 1) * percent / 100];
        lines.push(format!(
            "fleet: undisturbed, an end was heard of in {:?} (median), {:?} (worst), of {}",
            at(50),
            worst,
            delays.len()
        ));
    }
    lines
}
