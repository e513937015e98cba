//! What every store does, on every store: whatever is not tested here, nobody relies on.

mod buckets;
mod history;
mod keys;
mod living;
mod realm;
mod revocations;
mod sessions;
mod swap;
mod users;
mod vault;

/// One test for each case and each store.
macro_rules! store_contract {
    ($($store:ident),*) => {
        $(mod $store {
            cases!($store, realm: [
                a_realm_begins_at_epoch_zero_without_secrets,
                joining_again_keeps_the_longest_lifetime_and_the_epoch,
                secrets_are_kept_in_the_order_they_came,
                only_the_first_of_many_concurrent_secrets_is_kept,
                realms_know_nothing_of_each_other,
                everything_is_still_there_after_reopening,
            ]);
            cases!($store, keys: [
                signing_keys_are_kept_in_the_order_they_came,
                a_change_of_the_keys_comes_in_its_turn_or_not_at_all,
                a_waiting_key_is_told_to_sign_once,
                a_key_is_resealed_in_its_place,
                a_banned_key_stays_without_its_private_part,
                a_forgotten_secret_is_not_the_realms_any_more,
                a_replica_is_there_until_it_goes_or_is_silent,
            ]);
            cases!($store, history: [
                of_all_replicas_one_writes_each_beat,
                questions_are_counted,
                a_loss_is_recorded_once_and_told_with_pages_and_sessions,
                whoever_was_there_before_a_loss_counts_as_there,
                what_was_lost_is_ended_again_and_counted,
                many_who_restore_at_once_restore_everything,
                a_swap_can_make_up_for_lost_turns,
            ]);
            cases!($store, buckets: [
                a_bucket_gives_what_it_holds_and_then_one_at_a_time,
                a_refilled_bucket_is_whole,
                many_at_once_get_no_more_than_the_bucket_holds,
                a_bucket_that_a_wrong_clock_emptied_fills_in_its_time,
                a_bucket_that_has_long_been_whole_is_purged,
            ]);
            cases!($store, living: [
                the_living_sessions_of_everybody_come_in_pages,
                sessions_that_are_over_are_on_no_page,
                many_sessions_end_at_once_with_a_revocation_each,
                nobody_elses_sessions_are_seen_or_ended,
            ]);
            cases!($store, sessions: [
                a_session_comes_back_as_it_was_stored,
                an_unusual_text_comes_back_as_it_was_stored,
                a_nul_character_is_dropped,
                a_login_under_a_moved_epoch_is_void,
                the_oldest_sessions_end_when_there_are_too_many,
                sessions_that_are_over_do_not_count,
                the_new_session_is_never_the_one_that_ends,
                parallel_logins_leave_exactly_as_many_sessions_as_allowed,
                sessions_are_listed_newest_first_while_they_live,
                a_session_ends_at_its_idle_end_and_not_before,
                the_idle_end_is_never_after_the_absolute_end,
                absurd_lifetimes_are_no_error,
                a_damaged_row_is_an_error_and_never_a_panic,
            ]);
            cases!($store, swap: [
                a_swap_turns_the_ratchet_once,
                a_swap_that_matches_no_row_changes_nothing,
                a_swap_is_refused_from_the_very_moment_of_an_end,
                a_swap_is_refused_once_a_counter_has_moved,
                of_a_hundred_concurrent_swaps_one_succeeds,
                recent_rotations_are_exactly_the_domains,
                generations_beyond_two_to_the_thirty_one_are_kept_right,
                a_client_that_could_not_be_stored_matches_nothing,
            ]);
            cases!($store, revocations: [
                ending_a_session_deletes_it_and_records_it,
                ending_a_session_twice_records_it_once,
                ending_a_subject_moves_its_counter_only,
                ending_the_others_lets_one_session_go_on,
                a_session_that_had_ended_does_not_go_on,
                a_session_that_ends_the_others_again_and_again_goes_on_through_its_swaps,
                ending_the_realm_moves_the_counter_of_all,
                a_revocation_is_kept_for_the_longest_token_and_the_allowance,
                a_page_continues_where_the_last_one_ended,
                many_revocations_come_in_pieces_and_none_is_missing,
                a_first_page_has_no_revocations_that_are_over,
                a_cursor_that_makes_no_sense_starts_over,
                concurrent_revocations_are_all_delivered,
                purging_deletes_what_is_long_over_and_nothing_else,
                purging_takes_small_bites,
            ]);
            cases!($store, vault: [
                a_changed_jar_comes_with_its_session_and_is_told,
                of_many_who_change_one_version_one_succeeds,
                a_jar_of_no_session_is_not_changed,
                only_the_latest_change_of_a_jar_is_told,
                many_changes_come_in_pieces_and_none_is_missing,
                concurrent_changes_are_all_told,
                a_change_is_kept_for_the_longest_token_and_then_purged,
                a_vault_cursor_that_makes_no_sense_starts_over,
            ]);
            cases!($store, users: [
                a_user_comes_back_as_it_was_added,
                a_name_and_a_subject_belong_to_one_user,
                one_of_many_concurrent_users_of_a_name_is_added,
                users_are_added_all_or_none,
                thousands_of_users_are_added_at_once,
                a_new_password_moves_the_counter,
                a_changed_password_keeps_the_session_that_asked_and_no_other,
                a_password_is_not_changed_by_halves,
                an_upgraded_hash_moves_nothing_and_only_replaces_the_old_one,
                disabling_moves_the_counter_and_enabling_does_not,
                a_removed_user_is_gone_and_its_counter_stays,
                an_unknown_user_is_no_error,
            ]);
        })*
    };
}

macro_rules! cases {
    ($store:ident, $group:ident: [$($case:ident),* $(,)?]) => {
        mod $group {
            $(#[tokio::test]
            async fn $case() {
                let bench = crate::store::bench::Bench::$store().await;
                crate::store::contract::$group::$case(&bench).await;
            })*
        }
    };
}

// A pooler is no other store: it must make no difference.
store_contract!(sqlite, postgres, pgbouncer);
