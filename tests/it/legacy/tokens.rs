//! The Flask and the Express application: clients with tokens.

use serde_json::{Value, json};

use super::application::Kind;
use super::site::{EXPIRY, Site};
use super::token_client::{TokenClient, log_in};
use crate::support::client::oauth_error;
use crate::support::raw::{RawRequest, RawResponse, request};

/// How one application is used.
struct Habits {
    kind: Kind,
    /// The cookie of its session.
    cookie: &'static str,
    subject: &'static str,
    /// Asks something that its session counts.
    count: fn() -> RawRequest,
    /// How often it was asked in this session, as it says.
    counted: fn(&Value) -> usize,
    /// The request that sets a new password.
    set_password: fn(old: &str, new: &str) -> RawRequest,
    set: u16,
    not_set: u16,
    /// The request that logs out there.
    log_out: fn() -> RawRequest,
    logged_out: u16,
    /// Our own logout.
    our_logout: &'static str,
}

const FLASK: Habits = Habits {
    kind: Kind::Flask,
    cookie: "session",
    subject: "7",
    count: || request("GET", "/api/me"),
    counted: |answer| usize::try_from(answer["asked"].as_u64().expect("it counts")).expect("not that many"),
    set_password: |old, new| request("POST", "/api/password").json(&json!({ "old": old, "new": new })),
    set: 200,
    not_set: 400,
    log_out: || request("POST", "/api/logout").header("Content-Length", "0"),
    logged_out: 204,
    our_logout: "/logout",
};

const EXPRESS: Habits = Habits {
    kind: Kind::Express,
    cookie: "connect.sid",
    subject: "7",
    count: || request("GET", "/people/bob"),
    counted: |answer| answer["looked"].as_array().expect("it lists").len(),
    set_password: |old, new| request("PUT", "/me/password").json(&json!({ "old": old, "password": new })),
    set: 204,
    not_set: 422,
    log_out: || request("POST", "/logout").header("Content-Length", "0"),
    logged_out: 303,
    our_logout: "/auth/logout",
};

const PASSWORD: &str = "correct horse battery";

macro_rules! of_both {
    ($($name:ident)*) => {
        mod flask {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(&super::FLASK).await; })*
        }
        mod express {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(&super::EXPRESS).await; })*
        }
    };
}

of_both! {
    a_login_is_the_applications_and_no_refresh_is_noticed
    a_wrong_password_is_the_applications_no
    a_session_goes_on_at_another_replica_with_what_the_application_knows_of_it
    a_new_password_ends_the_other_sessions_and_not_the_one_that_asked
    the_applications_own_logout_ends_the_session_here
    our_logout_ends_the_session
    a_restart_that_forgets_everybody_is_a_clean_401
}

impl Habits {
    async fn logged_in<'s>(&self, site: &'s Site) -> TokenClient<'s> {
        TokenClient::logged_in(site, "ann", PASSWORD).await
    }

    async fn assert_counts(&self, client: &mut TokenClient<'_>, number: usize) {
        let answer = client.ask((self.count)()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!((self.counted)(&answer.json()), number, "{}", answer.text());
    }

    async fn assert_is_out(&self, client: &mut TokenClient<'_>) {
        let before = client.refreshes;
        let answer = client.ask((self.count)()).await;
        assert_clean_401(&answer);
        assert_eq!(client.refreshes, before, "a refresh was accepted");
    }
}

/// Ours, with nothing of the application in it.
fn assert_clean_401(answer: &RawResponse) {
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert!(answer.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer ")));
    assert_eq!(answer.json()["status"], 401);
    assert_eq!(answer.values("set-cookie"), Vec::<&str>::new());
}

async fn a_login_is_the_applications_and_no_refresh_is_noticed(app: &Habits) {
    let site = Site::start(app.kind).await;
    assert_clean_401(&site.ask(0, &(app.count)()).await);
    assert_eq!(site.tap.targets(), Vec::<String>::new(), "nobody asks the application");

    let mut client = app.logged_in(&site).await;
    app.assert_counts(&mut client, 1).await;
    for round in 1..4 {
        site.time_passes(EXPIRY);
        app.assert_counts(&mut client, round + 1).await;
        assert_eq!(client.refreshes, round);
    }
    let me = client.get("/auth/me").await.json();
    assert_eq!(me["sub"], app.subject);
    assert!(site.tap.request_values("x-auth-subject").iter().all(|subject| subject == app.subject));
    site.assert_kept_apart(&[app.cookie]);
}

async fn a_wrong_password_is_the_applications_no(app: &Habits) {
    let site = Site::start(app.kind).await;
    for (name, password) in [("ann", "wrong"), ("nobody", PASSWORD), ("ann", " ")] {
        assert_eq!(oauth_error(&log_in(&site, name, password).await, 400), "invalid_grant");
    }
    assert_eq!(site.tap.targets().len(), 3, "each was asked for there");
}

async fn a_session_goes_on_at_another_replica_with_what_the_application_knows_of_it(app: &Habits) {
    let site = Site::with_replicas(app.kind, 2).await;
    let mut client = app.logged_in(&site).await;
    for round in 0..4 {
        app.assert_counts(&mut client, 2 * round + 1).await;
        client.reaches((round + 1) % 2);
        site.time_passes(EXPIRY);
        app.assert_counts(&mut client, 2 * round + 2).await;
    }
    assert_eq!(client.refreshes, 4);
    site.assert_kept_apart(&[app.cookie]);
}

async fn a_new_password_ends_the_other_sessions_and_not_the_one_that_asked(app: &Habits) {
    let site = Site::start(app.kind).await;
    let (mut here, mut elsewhere) = (app.logged_in(&site).await, app.logged_in(&site).await);
    let mut somebody_else = TokenClient::logged_in(&site, other_than_ann(app.kind).0, other_than_ann(app.kind).1).await;
    app.assert_counts(&mut elsewhere, 1).await;

    let mistyped = here.ask((app.set_password)("wrong", "a new one")).await;
    assert_eq!(mistyped.status, app.not_set, "{}", mistyped.text());
    app.assert_counts(&mut elsewhere, 2).await;

    let changed = here.ask((app.set_password)(PASSWORD, "a new one")).await;
    assert_eq!(changed.status, app.set, "{}", changed.text());
    app.assert_is_out(&mut elsewhere).await;
    app.assert_counts(&mut here, 1).await;
    assert_eq!(here.refreshes, 1, "its access token was of before");
    app.assert_counts(&mut somebody_else, 1).await;
    assert_eq!(somebody_else.refreshes, 0);

    assert_eq!(oauth_error(&log_in(&site, "ann", PASSWORD).await, 400), "invalid_grant");
    let mut again = TokenClient::logged_in(&site, "ann", "a new one").await;
    app.assert_counts(&mut again, 1).await;
    site.assert_kept_apart(&[app.cookie]);
}

async fn the_applications_own_logout_ends_the_session_here(app: &Habits) {
    let site = Site::start(app.kind).await;
    let mut client = app.logged_in(&site).await;
    app.assert_counts(&mut client, 1).await;

    let out = client.ask((app.log_out)()).await;
    assert_eq!(out.status, app.logged_out, "{}", out.text());

    app.assert_is_out(&mut client).await;
    site.assert_kept_apart(&[app.cookie]);
}

async fn our_logout_ends_the_session(app: &Habits) {
    let site = Site::start(app.kind).await;
    let mut client = app.logged_in(&site).await;
    let body = json!({ "refresh_token": client.pair.refresh });

    let out = site.ask(0, &request("POST", app.our_logout).json(&body)).await;
    assert_eq!(out.status, 200, "{}", out.text());

    app.assert_is_out(&mut client).await;
}

async fn a_restart_that_forgets_everybody_is_a_clean_401(app: &Habits) {
    let mut site = Site::start(app.kind).await;
    let pair = {
        let mut client = app.logged_in(&site).await;
        app.assert_counts(&mut client, 1).await;
        client.pair
    };
    site.application.forget_everybody().await;

    let mut client = TokenClient::holding(&site, pair);
    app.assert_is_out(&mut client).await;
    let mut again = app.logged_in(&site).await;
    app.assert_counts(&mut again, 1).await;
    site.assert_kept_apart(&[app.cookie]);
}

/// Who an admin deletes in the application has no session here any more, and only an admin's request does that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_is_deleted_in_the_application_is_out() {
    let site = Site::start(Kind::Flask).await;
    let mut ann = FLASK.logged_in(&site).await;
    let mut root = TokenClient::logged_in(&site, "root", "the first of all").await;
    let delete = |number: u32| request("DELETE", &format!("/api/users/{number}"));

    assert_eq!(ann.ask(delete(1)).await.status, 403);
    assert_eq!(root.ask(delete(99)).await.status, 404);
    FLASK.assert_counts(&mut root, 1).await;
    FLASK.assert_counts(&mut ann, 1).await;

    assert_eq!(root.ask(delete(7)).await.status, 204);

    FLASK.assert_is_out(&mut ann).await;
    FLASK.assert_counts(&mut root, 2).await;
    assert_eq!(root.refreshes, 0);
    let reached = site.tap.targets().iter().filter(|target| target.starts_with("DELETE ")).count();
    assert_eq!(reached, 2, "who is no admin does not reach it");
}

fn other_than_ann(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Flask => ("root", "the first of all"),
        Kind::Express | Kind::Php | Kind::Django => ("bob", "bob likes fishing"),
    }
}
