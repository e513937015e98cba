//! How often is too often: for a name, an address, a session, whatever the client says of itself.

use std::net::SocketAddr;

use serde_json::json;

use crate::support::client::{Pair, call, logged_in, login, oauth_error, refresh, refresh_request};
use crate::support::deployment::{Deployment, PASSWORD, StoreKind, USER};
use crate::support::raw::{self, RawResponse, exchange, request};

const WRONG: &str = "not the password";

/// A login that comes through a proxy, from there.
async fn login_from(gate: SocketAddr, address: &str, user: &str, password: &str) -> RawResponse {
    let body = json!({ "username": user, "password": password });
    exchange(gate, request("POST", "/login").header("X-Forwarded-For", address).json(&body).bytes()).await
}

/// Seconds to wait, of an answer that says to.
fn told_to_wait(response: &RawResponse) -> u64 {
    assert_eq!(oauth_error(response, 429), "temporarily_unavailable");
    response.header("retry-after").unwrap().parse().unwrap()
}

/// B6-2, PW-3: the count is of all replicas together, outlives them, and says nothing of whether the name is anybody's.
#[tokio::test]
async fn guesses_at_one_name_are_slowed_down_on_all_replicas_together() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::new(kind, "rate.login_per_account = \"4/1h\"").await;
        let replicas = [deployment.in_process().await, deployment.in_process().await];
        let gates = [replicas[0].listen[0], replicas[1].listen[0]];
        for user in [USER, "nobody"] {
            let mut answers = Vec::new();
            for attempt in 0..6 {
                answers.push(login(gates[attempt % 2], user, WRONG).await);
            }
            let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
            assert_eq!(statuses, [400, 400, 400, 400, 429, 429], "{user}");
            assert!((890..=900).contains(&told_to_wait(&answers[5])));
        }
        // Nobody learns that way whether it would have been the right one.
        told_to_wait(&login(gates[0], USER, PASSWORD).await);
        let [first, second] = replicas;
        first.stop().await;
        second.stop().await;
        let restarted = deployment.in_process().await;
        told_to_wait(&login(restarted.listen[0], USER, PASSWORD).await);
        assert_eq!(login(restarted.listen[0], "somebody else", WRONG).await.status, 400);
    }
}

#[tokio::test]
async fn a_right_password_makes_the_count_of_that_name_whole_and_of_no_other() {
    let deployment = Deployment::new(StoreKind::Sqlite, "rate.login_per_account = \"3/1h\"").await;
    deployment.add_user("bob", "bob's long password", &[]).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    for _ in 0..2 {
        assert_eq!(login(gate, "bob", WRONG).await.status, 400);
    }
    for _ in 0..4 {
        for _ in 0..2 {
            assert_eq!(login(gate, USER, WRONG).await.status, 400);
        }
        logged_in(gate).await;
    }
    assert_eq!(login(gate, "bob", WRONG).await.status, 400);
    told_to_wait(&login(gate, "bob", "bob's long password").await);
}

/// PW-4, B6-2: strangers can keep strangers out, and not the owner from where they are logged in.
#[tokio::test]
async fn strangers_do_not_keep_the_owner_out() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let settings = "server.trusted_proxies = [\"127.0.0.1\"]\nrate.login_per_account = \"3/1h\"";
        let deployment = Deployment::new(kind, settings).await;
        let running = deployment.in_process().await;
        let gate = running.listen[0];
        let home = Pair::read(&login_from(gate, "198.51.100.7", USER, PASSWORD).await);
        let mut statuses = Vec::new();
        for n in 0..6 {
            statuses.push(login_from(gate, &format!("203.0.113.{n}"), USER, WRONG).await.status);
        }
        assert_eq!(statuses, [400, 400, 400, 429, 429, 429]);
        told_to_wait(&login_from(gate, "203.0.113.200", USER, PASSWORD).await);
        assert_eq!(call(gate, "/", &home.access).await.status, 200);
        for _ in 0..3 {
            Pair::read(&login_from(gate, "198.51.100.7", USER, PASSWORD).await);
        }
        // That count is one, too.
        for _ in 0..3 {
            assert_eq!(login_from(gate, "198.51.100.7", USER, WRONG).await.status, 400);
        }
        told_to_wait(&login_from(gate, "198.51.100.7", USER, PASSWORD).await);
    }
}

/// B6-1: an address counts as the proxy says that was told to be believed, IPv6 by its /64, and however it is spelt.
#[tokio::test]
async fn attempts_from_one_address_are_slowed_down_whatever_the_name() {
    let settings = "server.trusted_proxies = [\"127.0.0.1\"]\nrate.login_per_address = \"3/1h\"";
    let deployment = Deployment::new(StoreKind::Sqlite, settings).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    for addresses in [
        ["192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"],
        ["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:ffff::3", "2001:db8:0:1:1:2:3:4"],
        ["10.1.1.1, 192.0.2.9", "10.2.2.2, 192.0.2.9", "unknown, 192.0.2.9", "192.0.2.1,192.0.2.9"],
    ] {
        let mut statuses = Vec::new();
        for (n, address) in addresses.iter().enumerate() {
            statuses.push(login_from(gate, address, &format!("user {n}"), WRONG).await.status);
        }
        assert_eq!(statuses, [400, 400, 400, 429], "{addresses:?}");
    }
    told_to_wait(&login_from(gate, "192.0.2.1", USER, PASSWORD).await);
    Pair::read(&login_from(gate, "2001:db8:0:2::1", USER, PASSWORD).await);
}

#[tokio::test]
async fn nobody_chooses_the_address_they_count_under() {
    let deployment = Deployment::new(StoreKind::Sqlite, "rate.login_per_address = \"3/1h\"").await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let mut statuses = Vec::new();
    for n in 0..5 {
        let body = json!({ "username": USER, "password": WRONG });
        let there = format!("203.0.113.{n}");
        let spoofed = request("POST", "/login")
            .header("X-Forwarded-For", &there)
            .header("Forwarded", &format!("for={there}"))
            .header("X-Real-IP", &there)
            .json(&body);
        statuses.push(exchange(gate, spoofed.bytes()).await.status);
    }
    assert_eq!(statuses, [400, 400, 400, 429, 429]);
}

/// B6-1: what cannot be read is no address, and nobody hides behind it or chooses what stands in its place.
#[tokio::test]
async fn a_forwarding_line_that_cannot_be_read_hides_nobody() {
    let settings = "server.trusted_proxies = [\"127.0.0.1\"]\n[[route]]\npath = \"/open/*\"\nauth = \"none\"";
    let deployment = Deployment::new(StoreKind::Sqlite, settings).await;
    let running = deployment.in_process().await;
    for lines in [
        &b"X-Forwarded-For: \xff, 203.0.113.9\r\n"[..],
        b"X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For: \xff, 203.0.113.9\r\n",
        b"X-Forwarded-For: \xff\r\nX-Forwarded-For: 203.0.113.9\r\n",
    ] {
        let head = [b"GET /open/x HTTP/1.1\r\nHost: a\r\n", lines, b"\r\n"].concat();
        assert_eq!(exchange(running.listen[0], head).await.status, 200);
        let seen = deployment.upstream.requests().pop().unwrap();
        let told = seen.header("x-forwarded-for").unwrap();
        assert!(told.starts_with("203.0.113.9"), "{told} for {}", lines.escape_ascii());
    }
}

/// A forged refresh token costs nobody else anything, and not a line each for ever.
#[tokio::test]
async fn forged_refresh_tokens_are_told_to_wait() {
    let deployment = Deployment::new(StoreKind::Sqlite, "rate.bad_tokens_per_address = \"5/1h\"").await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let pair = logged_in(gate).await;
    let mut statuses = Vec::new();
    for _ in 0..7 {
        statuses.push(refresh(gate, "sgr1_nothing", None).await.status);
    }
    assert_eq!(statuses, [400, 400, 400, 400, 400, 429, 429]);
    Pair::read(&refresh(gate, &pair.refresh, None).await);
}

/// B2-20, B6-8: who refreshes too often waits, keeps the session, and the token is as good as before.
#[tokio::test]
async fn a_session_that_refreshes_too_often_waits_and_loses_nothing() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::new(kind, "rate.refresh_per_session = \"3/6s\"").await;
        let replicas = [deployment.in_process().await, deployment.in_process().await];
        let gates = [replicas[0].listen[0], replicas[1].listen[0]];
        let (mut pair, other) = (logged_in(gates[0]).await, logged_in(gates[0]).await);
        let mut turns = 0;
        let wait = loop {
            let answer = refresh(gates[turns % 2], &pair.refresh, None).await;
            if answer.status == 429 {
                break told_to_wait(&answer);
            }
            pair = Pair::read(&answer);
            turns += 1;
        };
        // One on each replica is free of the common count.
        assert!((3..=5).contains(&turns), "{turns}");
        assert!((1..=2).contains(&wait), "{wait}");
        assert_eq!(call(gates[0], "/", &pair.access).await.status, 200);
        Pair::read(&refresh(gates[0], &other.refresh, None).await);
        // Forgeries do not count against anybody's session.
        let forged = format!("{}AAAA", &pair.refresh[..pair.refresh.len() - 4]);
        for _ in 0..10 {
            assert_eq!(oauth_error(&refresh(gates[0], &forged, None).await, 400), "invalid_grant");
        }
        let served = async {
            loop {
                let answer = refresh(gates[0], &pair.refresh, None).await;
                if answer.status != 429 {
                    return Pair::read(&answer);
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        served.await;
    }
}

#[tokio::test]
async fn a_thief_of_an_access_token_does_not_guess_the_password_for_long() {
    let deployment = Deployment::new(StoreKind::Sqlite, "rate.login_per_account = \"3/1h\"").await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let (stolen, own) = (logged_in(gate).await, logged_in(gate).await);
    let change = async |access: &str, current: &str| {
        let body = json!({ "password": current, "new_password": "another long password" });
        raw::exchange(gate, request("POST", "/auth/password").bearer(access).json(&body).bytes()).await
    };
    for _ in 0..3 {
        assert_eq!(change(&stolen.access, WRONG).await.status, 403);
    }
    told_to_wait(&change(&stolen.access, PASSWORD).await);
    logged_in(gate).await;
    Pair::read(&change(&own.access, PASSWORD).await);
}

/// Forgeries are refused with less ceremony after a while; whoever has a good token, or had one, never notices.
#[tokio::test]
async fn bad_tokens_from_one_address_are_told_to_wait_and_good_ones_are_served() {
    let deployment = Deployment::new(StoreKind::Sqlite, "rate.bad_tokens_per_address = \"5/1h\"").await;
    let replica = deployment.replica().await;
    let gate = replica.gate;
    let (pair, ended) = (logged_in(gate).await, logged_in(gate).await);
    exchange(gate, refresh_request(&pair.refresh, None).bytes()).await;
    crate::support::client::logout(gate, &ended.refresh).await;
    for _ in 0..20 {
        assert_eq!(call(gate, "/", &ended.access).await.status, 401, "one that was good once does not count");
    }
    let forged = format!("{}AAAA", &pair.access[..pair.access.len() - 4]);
    let mut statuses = Vec::new();
    for path in ["/", "/auth/me", "/x", "/auth/sessions", "/y", "/z", "/auth/me"] {
        let answer = call(gate, path, &forged).await;
        if answer.status == 429 {
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() > 600);
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429]);
    assert_eq!(call(gate, "/", &pair.access).await.status, 200);
    assert_eq!(call(gate, "/", &ended.access).await.status, 401);
    let metrics = exchange(replica.health, request("GET", "/metrics").bytes()).await.text();
    assert!(metrics.contains("sidegate_limited_total{outcome=\"bad_tokens_per_address\"} 2"), "{metrics}");
}

/// PW-6: more logins than the slots can take are answered, and no request with a token waits for any of them.
#[tokio::test]
async fn a_flood_of_logins_leaves_requests_with_a_token_alone() {
    let settings = "login.users = { argon2_memory = \"19MiB\", argon2_slots = 1 }";
    let deployment = Deployment::new(StoreKind::Sqlite, settings).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let pair = logged_in(gate).await;
    let flood: Vec<_> = (0..300).map(|_| tokio::spawn(async move { login(gate, USER, WRONG).await })).collect();
    let mut during = 0;
    while !flood.iter().all(tokio::task::JoinHandle::is_finished) {
        assert_eq!(call(gate, "/", &pair.access).await.status, 200);
        during += 1;
    }
    // A request that waited for the flood would be the only one.
    assert!(during > 20, "{during} requests were served meanwhile");
    let mut busy = 0;
    for answer in flood {
        let answer = answer.await.unwrap();
        busy += usize::from(answer.status == 503);
        assert!(matches!(answer.status, 400 | 503), "{}", answer.text());
        assert!(answer.status == 400 || answer.header("retry-after").is_some());
    }
    println!("{busy} of 300 logins were told to come back; {during} requests were served meanwhile");
}
