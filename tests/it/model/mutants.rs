//! Wrong rules, most of them found in products: each must break the invariant that is there to catch it.

use stateright::{Checker, Model};

use super::runs::{PLAIN, client, quiet};
use super::scope::{Habits, Invariant, Rule, Scope, adopt, repeat};
use super::show;
use super::world::World;

/// One test for each wrong rule, with what it must break.
macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident: $rule:ident in $scope:expr => $($invariant:ident),+;)*) => {
        $($(#[$doc])* #[test]
        fn $name() {
            breaks(Rule::$rule, &Scope { claims: &[$(Invariant::$invariant),+], ..$scope });
        })*
    };
}

mutants! {
    that_any_used_token_is_a_theft_kills_honest_sessions:
        StrictOneTimeUse in patient() => I4;
    that_only_the_parent_is_late_kills_honest_sessions:
        OnlyTheParentIsLate in Scope { doubles: 1, ..patient() } => I4;
    that_any_ancestor_is_served_gives_the_live_token_to_those_who_may_not:
        AnyAncestorIsServed in Scope { doubles: 1, ..patient() } => I6;
    that_a_retry_gets_a_sibling_makes_two_live_tokens:
        SiblingPerRetry in Scope { policy: repeat(), ..patient() } => I1, I2;
    that_a_row_is_checked_before_it_is_written_makes_two_live_tokens_and_undoes_a_logout:
        CheckThenWrite in Scope { logouts: 1, ..patient() } => I1, I2, I5;
    that_a_mark_survives_its_undone_write_kills_honest_sessions:
        MarkSurvivesUndo in Scope { faults: 1, ..patient() } => I4;
    that_a_logout_does_not_wait_for_the_lock_undoes_it:
        LogoutBesideTheLock in Scope { logouts: 1, ..patient() } => I5;
    that_a_restart_forgets_used_tokens_makes_two_successors_and_refuses_the_newest:
        RestartForgetsUsed in Scope { crashes: 1, doubles: 1, ..patient() } => I2, I4;
    /// The same with a thief, long after.
    that_a_restart_forgets_used_tokens_honours_a_stolen_one:
        RestartForgetsUsed in Scope { crashes: 1, abuses: 1, guises: &[PLAIN], ticks: 4, ..hasty() } => I3;
    that_a_restarted_replica_does_not_load_lets_it_miss_what_came_before:
        RestartSkipsTheLoad in Scope { crashes: 1, logouts: 1, ..patient() } => I7;
    that_what_is_not_stored_is_given_all_the_same_leaves_a_client_with_nothing:
        GivesWhatIsNotStored in Scope { faults: 1, ..patient() } => I8;
    that_a_theft_ends_all_sessions_of_the_subject_reaches_another_session:
        TheftEndsAll in Scope { abuses: 1, guises: &[PLAIN], ticks: 3, ..hasty() } => I10;
    that_nothing_is_written_back_lets_an_ended_session_live_on:
        NothingWrittenBack in Scope { losses: 1, logouts: 1, ..hasty() } => I9;
    that_a_token_ahead_is_adopted_at_once_takes_up_a_session_that_was_ended:
        AdoptsAtOnce in Scope { policy: adopt(), losses: 1, logouts: 1, ..hasty() } => I9;
}

/// No rule is wrong here: this is what a store costs that loses its last commits (E.3).
#[test]
fn lost_commits_cost_honest_clients_their_session_unless_it_is_adopted_and_forget_a_logout() {
    let lost = Scope { losses: 1, ..quiet(Habits { keyed: true, ..client(3, 3, 1) }) };
    let adopted = Scope { policy: adopt(), ..lost.clone() };
    assert_eq!(broken("lost, refused", &Scope { claims: &[Invariant::I4], ..lost.clone() }), ["I4"]);
    assert_eq!(broken("lost, adopted", &Scope { claims: &[Invariant::I4], ..adopted.clone() }), [""; 0]);
    for scope in [lost, adopted] {
        assert_eq!(broken("lost", &Scope { claims: &[Invariant::I5], logouts: 1, ..scope }), ["I5"]);
    }
}

/// A client that asks again.
fn patient() -> Scope {
    quiet(Habits { keyed: true, ..client(2, 3, 2) })
}

/// A client that waits until a message is lost.
fn hasty() -> Scope {
    quiet(Habits { keyed: true, ..client(2, 2, 1) })
}

/// The wrong rule breaks all that is claimed, and the right one nothing of it.
fn breaks(rule: Rule, scope: &Scope) {
    let mut claimed: Vec<String> = scope.claims.iter().map(|invariant| format!("{invariant:?}")).collect();
    claimed.sort_unstable();
    assert_eq!(broken(&format!("{rule:?}"), &Scope { rule, ..scope.clone() }), claimed);
    assert_eq!(broken("as it should be", scope), [""; 0]);
}

/// What some way leads to.
fn broken(name: &str, scope: &Scope) -> Vec<&'static str> {
    let checker = World::new(scope.clone()).checker().spawn_bfs().join();
    let broken = checker.discoveries();
    let steps = broken
        .iter()
        .map(|(invariant, path)| format!(", {invariant} is broken after {} steps", path.clone().into_actions().len()));
    let steps: String = steps.collect();
    show(&format!("model: {name}: {} states{steps}", checker.unique_state_count()));
    let mut broken: Vec<&str> = broken.into_keys().collect();
    broken.sort_unstable();
    broken
}
