//! One test per case of the scripts.

use super::stage::{Runtime, Stage};

/// The cases of one script, each a test of its name.
macro_rules! cases {
    ($module:ident, $runtime:expr, $script:literal, $settings:expr, $($(#[$doc:meta])* $case:ident)*) => {
        mod $module {
            use super::*;

            $(
                $(#[$doc])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    Stage::new($settings).await.play($runtime, $script, stringify!($case)).await;
                }
            )*
        }
    };
}

cases! {
    oauth2_client, Runtime::Node, "oauth2_client", "",
    its_fetch_survives_every_expiry_without_a_word
    its_fetch_survives_an_expiry_that_its_own_clock_does_not_show
    its_fetch_logs_nobody_out_when_parallel_requests_expire
    it_reads_a_wrong_password_as_invalid_grant
    it_reads_a_refresh_after_the_logout_as_invalid_grant
    it_reads_a_secret_that_no_client_has_as_invalid_client
}

cases! {
    axios_auth_refresh, Runtime::Node, "axios_auth_refresh", "refresh.on_retry = \"repeat\"",
    parallel_401s_all_succeed_in_the_end
    two_instances_with_one_token_both_go_on
    it_goes_on_after_every_expiry
    a_posted_body_arrives_once
    a_refresh_after_the_logout_gives_up
}

cases! {
    ky, Runtime::Node, "ky", "",
    its_hook_refreshes_once_for_parallel_requests
}

cases! {
    requests_oauthlib, Runtime::Python, "requests_oauthlib_cases", "",
    it_survives_every_expiry_by_itself
    it_reads_a_wrong_password_as_invalid_grant
    it_reads_a_refresh_after_the_logout_as_invalid_grant
    it_names_the_client_in_the_body_as_well
    an_old_refresh_token_is_invalid_grant
}
