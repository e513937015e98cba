//! One test per case of the scripts.

use super::stage::Stage;

/// Where the scripts are.
pub(super) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser");

/// The cases of one script, each a test of its name.
macro_rules! cases {
    ($module:ident, $settings:expr, $($(#[$doc:meta])* $case:ident)*) => {
        mod $module {
            use super::*;

            $(
                $(#[$doc])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    Stage::new($settings).await.play(stringify!($module), stringify!($case)).await;
                }
            )*
        }
    };
}

cases! {
    client, "",
    an_expiry_amid_twenty_requests_is_one_refresh_and_nobody_notices
    two_tabs_share_a_session_and_refresh_once
    a_lost_answer_to_a_refresh_is_asked_for_again_with_the_same_key
    a_refresh_that_is_never_answered_is_asked_for_again
    a_lost_answer_is_asked_for_again_after_a_reload
    an_hour_offline_ends_nothing
    a_page_from_the_back_forward_cache_goes_on_with_the_tokens_of_today
    a_logout_in_one_tab_ends_the_other
    a_logout_everywhere_ends_the_users_other_browsers
    one_session_of_several_is_seen_and_ended
    while_the_store_is_down_the_person_stays_signed_in
    a_gate_that_is_away_signs_nobody_out
    tokens_go_to_no_other_origin
    a_body_is_sent_again_whatever_it_is
    who_aborts_a_request_does_not_abort_the_refresh
    the_apis_own_401_is_handed_on
    a_wrong_password_is_an_error_with_its_code
    a_new_password_ends_the_other_sessions_and_not_this_one
    a_wait_that_the_server_asked_for_is_forgotten_at_a_login
    a_wait_that_the_server_asked_for_is_not_longer_when_the_clock_is_set
}

cases! {
    logins, "",
    another_login_is_followed_by_all_tabs
    a_request_of_one_person_is_not_repeated_with_the_token_of_another
    a_request_that_waits_for_a_token_does_not_get_another_persons
    what_is_sent_again_is_what_was_asked_for_at_the_call
    session_storage_is_refused_because_a_duplicated_tab_copies_it
    pages_that_keep_their_tokens_to_themselves_leave_each_other_alone
    without_locks_two_tabs_get_the_same_successor
    locks_that_are_denied_or_held_for_ever_keep_nobody_waiting
    a_new_password_of_one_person_leaves_anothers_login_alone
    a_logout_everywhere_of_one_person_leaves_anothers_login_alone
    an_expired_token_of_another_tab_is_not_used
}

cases! {
    tabs, "",
    a_page_that_comes_back_does_not_wait_for_a_tab_that_is_gone
    a_page_is_told_that_another_tabs_login_has_replaced_its_own
    a_storage_that_is_full_keeps_no_spent_token
    a_login_that_could_not_be_stored_gives_way_to_one_that_could
    a_storage_that_others_empty_is_noticed_at_once_and_an_entry_at_the_next_use
    two_tabs_of_which_one_was_overtaken_give_a_pair_one_key
    a_login_that_is_never_answered_is_given_up
    a_logout_that_is_never_answered_is_asked_for_again
}

cases! {
    recipes, "",
    axios_goes_on_when_the_token_has_expired
    ky_goes_on_when_the_token_has_expired
}

const COOKIES: &str = r#"
server.public_url = "{page}"
cookie = { mode = true, unauthenticated_html = "redirect:/page/login.html?next={target}" }
"#;

cases! {
    cookies, COOKIES,
    /// CK-1, CK-3, CK-8: in a browser that keeps them, and hides them from scripts.
    cookie_mode_needs_no_client_code_at_all
    twenty_requests_at_an_expiry_turn_the_cookies_once
    a_lost_answer_and_a_left_page_log_nobody_out
    while_the_store_is_down_the_cookies_stay
    /// CK-4, CK-10: forms, scripts and images of another site, and of another origin of the same site.
    what_another_page_forges_never_arrives
    /// CK-4, B2-21
    a_forged_web_socket_is_refused_and_the_own_one_opens
    /// CK-1: `SameSite=Lax`.
    another_sites_link_brings_the_cookies_and_its_scripts_do_not
    a_person_without_a_session_is_sent_to_the_login_page
}

cases! {
    cors, "cors.origins = [\"{site}\"]",
    a_front_end_on_another_origin_survives_an_expiry
    /// CK-11
    an_origin_that_is_not_listed_gets_nowhere
}

#[test]
fn every_case_of_the_scripts_is_a_test() {
    const TESTS: &str = concat!(include_str!("cases.rs"), include_str!("demo.rs"));
    for entry in std::fs::read_dir(FOLDER).expect("the scripts are there") {
        let path = entry.expect("it can be read").path();
        if path.extension().is_none_or(|extension| extension != "mjs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let functions = text.split("export async function ").skip(1).filter_map(|rest| rest.split('(').next());
        for case in functions.filter(|case| case.contains('_')) {
            assert!(
                TESTS.lines().any(|line| line.trim().trim_start_matches("async fn ").trim_end_matches("() {") == case),
                "{name}: {case} is never run"
            );
        }
    }
}
