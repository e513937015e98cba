//! Wrong rules, planted on purpose. Each must break the invariant that is there to catch it: one that survives is a hole
//! in the invariants.

use std::cell::RefCell;

use proptest::test_runner::{TestCaseError, TestError};
use sidegate::domain::refresh_token::Ratchet;
use sidegate::domain::rotation::{Attempt, LateElsewhere, RotationPolicy, SessionState, Suspicion, Verdict, judge};
use sidegate::domain::session::{Epochs, IdempotencyMac, RecentRotations};
use sidegate::domain::time::Timestamp;

use self::ruled::{OnLate, OnRepeat, OnReuse, Rule, Ruled};
use super::history::{Turn, histories};
use super::stores::{nothing_violated, real_on_the_model, refuse, repeat, runner, runtime};
use super::tap::Tap;
use super::world::{Played, Time, World};
use crate::store::bench::{ManualClock, START};
use crate::store::model::Model;

mod ruled;

/// Without this the mutants would show nothing.
#[test]
fn the_right_rule_answers_like_the_real_authority() {
    let runtime = runtime();
    for policy in [refuse(), repeat()] {
        let played = runner(150).run(&histories(), |turns| {
            let (ruled, real) = runtime.block_on(async {
                (played_by(RIGHT, &policy, &turns).await, real_on_the_model(&policy, &turns).await)
            });
            nothing_violated(&ruled)?;
            if ruled.trace == real.trace {
                return Ok(());
            }
            let differ = ruled.trace.iter().zip(&real.trace).find(|(ruled, real)| ruled != real);
            Err(TestCaseError::fail(format!("{differ:#?}\n{}", real.story)))
        });
        played.unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// One test for each wrong rule and each invariant it must break.
macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident: $rule:expr, $policy:expr => $($invariant:literal),+;)*) => {
        $($(#[$doc])* #[test]
        fn $name() {
            $(breaks($rule, &$policy, $invariant);)+
        })*
    };
}

mutants! {
    /// E.3: strict one-time use, no grace.
    that_any_used_token_is_a_theft_kills_honest_sessions:
        judging(any_used_token_is_reuse), refuse() => "I4";
    /// E.3: a delayed duplicate of the first attempt kills an honest session.
    that_only_the_parent_is_tolerated_kills_honest_sessions:
        judging(only_the_parent_is_tolerated), refuse() => "I4";
    /// E.3.
    that_any_ancestor_gets_the_live_token_gives_it_to_those_who_may_not:
        Rule { on_late: OnLate::GiveTheLiveToken, ..RIGHT }, refuse() => "I6";
    /// E.3.
    that_a_retry_gets_a_sibling_makes_two_live_tokens:
        Rule { on_repeat: OnRepeat::Sibling, ..RIGHT }, repeat() => "I1", "I2";
    that_a_retry_turns_the_ratchet_again_makes_two_successors:
        Rule { on_repeat: OnRepeat::TurnAgain, ..RIGHT }, refuse() => "I2";
    that_windows_slide_keeps_old_tokens_harmless_for_ever:
        judging(windows_slide), refuse() => "I3";
    that_late_has_no_end_never_finds_a_thief:
        judging(late_has_no_end), refuse() => "I3";
    that_a_parent_is_only_late_never_finds_a_thief:
        judging(a_parent_is_only_late), refuse() => "I3";
    that_a_reuse_is_refused_but_not_ended_lets_the_thief_go_on:
        Rule { on_reuse: OnReuse::RefuseOnly, ..RIGHT }, refuse() => "I3";
    that_a_reuse_ends_the_whole_subject_reaches_other_sessions:
        Rule { on_reuse: OnReuse::EndSubject, ..RIGHT }, refuse() => "I10";
    that_a_repeat_ignores_the_live_hash_gives_dead_tokens:
        judging(a_repeat_ignores_the_live_hash), refuse() => "I6", "I8";
    that_void_epochs_are_not_noticed_gives_tokens_after_the_end:
        judging(epochs_are_ignored), refuse() => "I5";
    that_expiry_is_not_noticed_gives_tokens_after_the_end:
        judging(expiry_is_ignored), refuse() => "I11";
    that_strangers_may_be_late_lets_the_session_live:
        judging(strangers_may_be_late), refuse() => "elsewhere";
    that_any_key_repeats_gives_tokens_to_who_does_not_hold_it:
        judging(any_key_repeats), refuse() => "I6";
    that_no_key_is_needed_gives_tokens_to_who_does_not_hold_it:
        judging(no_key_is_needed), refuse() => "I6";
    that_keys_are_ignored_refuses_who_may_repeat:
        judging(keys_are_ignored), refuse() => "I4";
    that_a_keyed_retry_has_only_the_late_window_refuses_who_may_repeat:
        judging(a_keyed_retry_has_only_the_late_window), refuse() => "I4";
    that_a_window_ends_before_its_last_moment_refuses_who_may_repeat:
        judging(windows_end_early), repeat() => "I4";
    that_a_plain_retry_has_the_late_window_gives_tokens_too_late:
        judging(a_plain_retry_has_the_late_window), repeat() => "I6";
    that_ones_own_swap_is_not_recognised_refuses_an_honest_client:
        judging(nothing_is_mine), refuse() => "I4";
    that_lost_history_is_a_theft_ends_a_session:
        judging(ahead_is_reuse), refuse() => "I10";
    that_the_live_token_is_not_swapped_again_refuses_an_honest_client:
        judging(live_is_ahead), refuse() => "I4";
}

const RIGHT: Rule = Rule { judge, on_late: OnLate::Refuse, on_repeat: OnRepeat::Same, on_reuse: OnReuse::EndSession };

type Judge = fn(&Attempt<'_>, Option<&SessionState>, &Ratchet, &RotationPolicy) -> Verdict;

fn judging(judge: Judge) -> Rule {
    Rule { judge, ..RIGHT }
}

async fn played_by(rule: Rule, policy: &RotationPolicy, turns: &[Turn]) -> Played {
    let clock = ManualClock::new(START);
    let tap = Tap::new(Model::new(clock.clone()));
    let ruled = Ruled::new(rule, tap.clone(), policy);
    World::new(ruled, tap, Time::Alone(clock), "default", policy).await.play(turns).await
}

/// Some history shows it; it is shrunk and printed.
fn breaks(rule: Rule, policy: &RotationPolicy, invariant: &'static str) {
    let runtime = runtime();
    let story = RefCell::new(String::new());
    let result = runner(1500).run(&histories(), |turns| {
        let played = runtime.block_on(played_by(rule, policy, &turns));
        let broken = played.violations.iter().any(|violation| violation.invariant == invariant);
        if broken {
            *story.borrow_mut() = played.story;
            return Err(TestCaseError::fail(invariant));
        }
        Ok(())
    });
    match result {
        Err(TestError::Fail(..)) => println!("breaks {invariant}:\n{}", story.into_inner()),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
        Ok(()) => panic!("no history shows that this breaks {invariant}"),
    }
}

fn any_used_token_is_reuse(
    attempt: &Attempt<'_>,
    row: Option<&SessionState>,
    ratchet: &Ratchet,
    policy: &RotationPolicy,
) -> Verdict {
    match judge(attempt, row, ratchet, policy) {
        Verdict::Repeat(_) | Verdict::Late => Verdict::Reuse(Suspicion::Unconfirmed),
        verdict => verdict,
    }
}

fn only_the_parent_is_tolerated(
    attempt: &Attempt<'_>,
    row: Option<&SessionState>,
    ratchet: &Ratchet,
    policy: &RotationPolicy,
) -> Verdict {
    let older = row.is_some_and(|row| attempt.token.generation() + 1 < row.session.generation);
    match judge(attempt, row, ratchet, policy) {
        Verdict::Late if older => Verdict::Reuse(Suspicion::Confirmed),
        verdict => verdict,
    }
}

fn windows_slide(
    attempt: &Attempt<'_>,
    row: Option<&SessionState>,
    ratchet: &Ratchet,
    policy: &RotationPolicy,
) -> Verdict {
    let row = row.cloned().map(|mut row| {
        let mut column = row.session.recent.encode();
        for entry in column.chunks_exact_mut(RecentRotations::ENTRY_BYTES) {
            entry[4..12].copy_from_slice(&row.session.rotated.as_millis().to_be_bytes());
        }
        row.session.recent = RecentRotations::decode(&column).unwrap();
        row
    });
    judge(attempt, row.as_ref(), ratchet, policy)
}

fn late_has_no_end(
    attempt: &Attempt<'_>,
    row: Option<&SessionState>,
    ratchet: &Ratchet,
    policy: &RotationPolicy,
) -> Verdict {
    match judge(attempt, row, ratchet, policy) {
        Verdict::Reuse(_) => Verdict::Late,
        verdict => verdict,
    }
}

fn a_parent_is_only_late(
    attempt: &Attempt<'_>,
    row: Option<&SessionState>,
    ratchet: &Ratchet,
    policy: &RotationPolicy,
) -> Verdict {
    match judge(attempt, row, ratchet, policy) {
        Verdict::Reuse(Suspicion::Unconfirmed) => Verdict::Late,
        verdict => verdict,
    }
}

fn a_repeat_ignores_the_live_hash(
    attempt: &Attempt<'_>,
    row: Option<&SessionState>,
    ratchet: &Ratchet,
    policy: &RotationPolicy,
) -> Verdict {
    let verdict = judge(attempt, row, ratchet, policy);
    let Some(SessionState { session, .. }) = row else { return verdict };
    let same_key = |recent: &RecentRotations| {
        recent.of_generation(attempt.token.generation()).is_some_and(|entry| entry.key == attempt.key)
    };
    match (verdict, session.salt) {
        (Verdict::Late, Some(salt)) if attempt.key.is_some() && same_key(&session.recent) => {
            ratchet.successor(attempt.token, salt).map_or(Verdict::Late, Verdict::Repeat)
        }
        (verdict, _) => verdict,
    }
}

fn epochs_are_ignored(
    attempt: &Attempt<'_>,
    row: Option<&SessionState>,
    ratchet: &Ratchet,
    policy: &RotationPolicy,
) -> Verdict {
    let row = row.cloned().map(|row| SessionState { current: Epochs::default(), ..row });
    judge(attempt, row.as_ref(), ratchet, policy)
}

fn expiry_is_ignored(
    attempt: &Attempt<'_>,
    row: Option<&SessionState>,
    ratchet: &Ratchet,
    policy: &RotationPolicy,
) -> Verdict {
    let row = row.cloned().map(|row| SessionState { now: Timestamp::default(), ..row });
    // Beyond its windows nothing is given anyway.
    let policy = RotationPolicy { idempotency_window: super::system::LONGEST, ..policy.clone() };
    judge(attempt, row.as_ref(), ratchet, &policy)
}

fn strangers_may_be_late(
    attempt: &Attempt<'_>,
    row: Option<&SessionState>,
    ratchet: &Ratchet,
    policy: &RotationPolicy,
) -> Verdict {
    judge(attempt, row, ratchet, &RotationPolicy { late_elsewhere: LateElsewhere::Keep, ..policy.clone() })
}

fn any_key_repeats(
    attempt: &Attempt<'_>,
    row: Option<&SessionState>,
    ratchet: &Ratchet,
    policy: &RotationPolicy,
) -> Verdict {
    with_the_key_of_the_rotation(attempt, row, ratchet, policy, attempt.key.is_some())
}

fn no_key_is_needed(
    attempt: &Attempt<'_>,
    row: Option<&SessionState>,
    ratchet: &Ratchet,
    policy: &RotationPolicy,
) -> Verdict {
    with_the_key_of_the_rotation(attempt, row, ratchet, policy, attempt.key.is_none())
}

fn with_the_key_of_the_rotation(
    attempt: &Attempt<'_>,
    row: Option<&SessionState>,
    ratchet: &Ratchet,
    policy: &RotationPolicy,
    replaced: bool,
) -> Verdict {
    let known: Option<IdempotencyMac> =
        row.and_then(|row| row.session.recent.of_generation(attempt.token.generation())?.key);
    let key = if replaced { known.or(attempt.key) } else { attempt.key };
    judge(&Attempt { key, ..attempt.clone() }, row, ratchet, policy)
}

fn keys_are_ignored(
    attempt: &Attempt<'_>,
    row: Option<&SessionState>,
    ratchet: &Ratchet,
    policy: &RotationPolicy,
) -> Verdict {
    judge(&Attempt { key: None, ..attempt.clone() }, row, ratchet, policy)
}

fn a_keyed_retry_has_only_the_late_window(
    attempt: &Attempt<'_>,
    row: Option<&SessionState>,
    ratchet: &Ratchet,
    policy: &RotationPolicy,
) -> Verdict {
    judge(attempt, row, ratchet, &RotationPolicy { idempotency_window: policy.late_window, ..policy.clone() })
}

fn windows_end_early(
    attempt: &Attempt<'_>,
    row: Option<&SessionState>,
    ratchet: &Ratchet,
    policy: &RotationPolicy,
) -> Verdict {
    let arrived = Timestamp::from_millis(attempt.arrived.as_millis() + 1);
    judge(&Attempt { arrived, ..attempt.clone() }, row, ratchet, policy)
}

fn a_plain_retry_has_the_late_window(
    attempt: &Attempt<'_>,
    row: Option<&SessionState>,
    ratchet: &Ratchet,
    policy: &RotationPolicy,
) -> Verdict {
    judge(attempt, row, ratchet, &RotationPolicy { retry_window: policy.late_window, ..policy.clone() })
}

fn nothing_is_mine(
    attempt: &Attempt<'_>,
    row: Option<&SessionState>,
    ratchet: &Ratchet,
    policy: &RotationPolicy,
) -> Verdict {
    judge(&Attempt { successor: None, ..attempt.clone() }, row, ratchet, policy)
}

fn ahead_is_reuse(
    attempt: &Attempt<'_>,
    row: Option<&SessionState>,
    ratchet: &Ratchet,
    policy: &RotationPolicy,
) -> Verdict {
    match judge(attempt, row, ratchet, policy) {
        Verdict::Ahead => Verdict::Reuse(Suspicion::Confirmed),
        verdict => verdict,
    }
}

fn live_is_ahead(
    attempt: &Attempt<'_>,
    row: Option<&SessionState>,
    ratchet: &Ratchet,
    policy: &RotationPolicy,
) -> Verdict {
    match judge(attempt, row, ratchet, policy) {
        Verdict::Live => Verdict::Ahead,
        verdict => verdict,
    }
}
