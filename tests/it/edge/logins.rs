//! Logins: what an answer says, what a login takes from the request, and who a name is.

use std::collections::HashSet;
use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use super::{Edge, undated};
use crate::support::client::{Pair, call, logged_in, login, oauth_error, refresh, refresh_request};
use crate::support::deployment::{Deployment, PASSWORD, StoreKind, USER};
use crate::support::raw::{RawClient, RawResponse, exchange, request};

fn part(access: &str, number: usize) -> Map<String, Value> {
    let part = access.split('.').nth(number).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("an object")
}

fn claims(access: &str) -> Map<String, Value> {
    part(access, 1)
}

/// TOK-2, TOK-3, TOK-14, JOSE-21, AT-2, REF-10.
#[tokio::test]
async fn a_token_answer_says_what_its_token_says() {
    let edge = Edge::new("access_token.ttl = \"5m\"").await;
    edge.deployment.add_user("bob", PASSWORD, &["--scope", "notes:read notes:write"]).await;
    let plain = login(edge.gate, USER, PASSWORD).await;
    let scoped = login(edge.gate, "bob", PASSWORD).await;
    let redirected = json!({ "username": USER, "password": PASSWORD, "redirect_uri": "//evil", "next": "/\\evil" });
    let redirected = exchange(edge.gate, request("POST", "/login?next=https:evil").json(&redirected).bytes()).await;
    let refreshed = refresh(edge.gate, &Pair::read(&scoped).refresh, None).await;
    for (answer, subject, scope) in [
        (&plain, USER, None),
        (&redirected, USER, None),
        (&scoped, "bob", Some("notes:read notes:write")),
        (&refreshed, "bob", Some("notes:read notes:write")),
    ] {
        let body = answer.json();
        let mut members: Vec<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
        members.sort_unstable();
        let with_scope = ["access_token", "expires_in", "refresh_token", "scope", "token_type"];
        let expected: Vec<&str> = with_scope.into_iter().filter(|name| scope.is_some() || *name != "scope").collect();
        assert_eq!(members, expected);
        assert_eq!(body["scope"].as_str(), scope);
        assert_eq!(answer.body.first(), Some(&b'{'), "no byte order mark");
        assert_eq!((answer.header("pragma"), answer.header("location")), (Some("no-cache"), None));
        assert!(answer.values("set-cookie").is_empty(), "{}", answer.head);

        let pair = Pair::read(answer);
        let (header, claims) = (part(&pair.access, 0), claims(&pair.access));
        assert_eq!((&header["typ"], &header["alg"]), (&"at+jwt".into(), &"ES256".into()));
        let seconds = |name: &str| claims[name].as_u64().expect("whole seconds");
        assert_eq!((seconds("exp") - seconds("iat"), &body["expires_in"]), (300, &300.into()));
        assert_eq!((&claims["sub"], claims.get("scope").and_then(Value::as_str)), (&subject.into(), scope));
        let jti = URL_SAFE_NO_PAD.decode(claims["jti"].as_str().expect("text")).expect("base64url");
        assert_eq!(jti.len(), 16);
        for name in ["iss", "aud", "client_id", "sid", "ep"] {
            assert!(claims.contains_key(name), "{name}");
        }
    }
}

/// TOK-16, SES-1, SES-2, JOSE-21, B2-13: nothing of the request but the name and the password is in the session.
#[tokio::test]
async fn a_login_makes_a_session_of_its_own() {
    let edge = Edge::new("").await;
    let first = logged_in(edge.gate).await;
    let theirs = claims(&first.access);
    let sid = theirs["sid"].as_str().expect("text");
    let body = json!({
        "username": USER, "password": PASSWORD, "sid": sid, "session": sid, "session_id": sid, "sub": "root", "jti": "x",
        "roles": ["admin"], "scope": "admin", "claims": { "roles": ["admin"] }, "refresh_token": first.refresh,
        "ep": [9, 9], "exp": 9_999_999_999_u64,
    });
    let asked = request("POST", "/login")
        .json(&body)
        .bearer(&first.access)
        .header("Cookie", &format!("sid={sid}; session={sid}; __Host-sidegate={}", first.refresh))
        .header("X-Auth-Session", sid)
        .header("X-Auth-Roles", "admin");
    let second = Pair::read(&exchange(edge.gate, asked.bytes()).await);
    let ours = claims(&second.access);
    let lasting = |claims: &Map<String, Value>| {
        let mut claims = claims.clone();
        claims.retain(|name, _| !["iat", "exp", "jti", "sid"].contains(&name.as_str()));
        claims
    };
    assert_eq!(lasting(&ours), lasting(&theirs));
    // The first one goes on beside it, by itself.
    assert_eq!(call(edge.gate, "/", &first.access).await.status, 200);
    let first = Pair::read(&refresh(edge.gate, &first.refresh, None).await);

    let mut seen: HashSet<String> = HashSet::new();
    let mut many = vec![first, second];
    for _ in 0..30 {
        many.push(logged_in(edge.gate).await);
    }
    for pair in &many {
        let claims = claims(&pair.access);
        let sid = claims["sid"].as_str().expect("text");
        assert!(sid.len() == 32 && sid.bytes().all(|byte| byte.is_ascii_hexdigit()), "{sid}");
        assert!(seen.insert(sid.to_owned()), "{sid} twice");
        assert!(seen.insert(claims["jti"].as_str().expect("text").to_owned()), "a jti twice");
    }
}

/// One user's way through both gates, always in the company of somebody else's token.
async fn life(gates: [SocketAddr; 2], user: String, companion: String) {
    for round in 0..4 {
        let mut pair = Pair::read(&login(gates[round % 2], &user, PASSWORD).await);
        let sid = claims(&pair.access)["sid"].clone();
        for step in 0..5 {
            let gate = gates[(round + step) % 2];
            // B2-14: whose access token comes with it does not matter.
            let answer = exchange(gate, refresh_request(&pair.refresh, None).bearer(&companion).bytes()).await;
            pair = Pair::read(&answer);
            let claims = claims(&pair.access);
            assert_eq!((&claims["sub"], &claims["sid"]), (&user.as_str().into(), &sid));
            assert_eq!(call(gate, "/auth/me", &pair.access).await.json()["sub"], user.as_str());
        }
    }
}

/// B2-10, B2-14, B5-5: of many who log in and refresh at once, each gets their own.
#[tokio::test]
async fn nobody_gets_another_ones_tokens() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::new(kind, "").await;
        let users: Vec<String> = (0..6).map(|number| format!("user-{number}")).collect();
        for user in &users {
            deployment.add_user(user, PASSWORD, &[]).await;
        }
        let (one, other) = (deployment.in_process().await, deployment.in_process().await);
        let gates = [one.listen[0], other.listen[0]];
        let companion = logged_in(gates[0]).await.access;
        join_all(users.into_iter().map(|user| life(gates, user, companion.clone()))).await;
    }
}

async fn wrong(gate: SocketAddr, name: &str, password: &str) -> RawResponse {
    let answer = login(gate, name, password).await;
    assert_eq!(oauth_error(&answer, 400), "invalid_grant", "{name:?}");
    answer
}

/// B5-33: a name is its bytes. What folds to it, or looks like it, is another one, and gets the answer that nobody gets.
#[tokio::test]
async fn a_name_that_only_looks_like_a_users_is_nobodys() {
    let edge = Edge::new("").await;
    let expected = undated(&wrong(edge.gate, "nobody", PASSWORD).await);
    for name in [
        "Ann",
        "ANN",
        " ann",
        "ann ",
        "ann.",
        "ann\t",
        "ann\0",
        "ann+x",
        "ann@test",
        "\u{ff41}nn",
        "a\u{200b}nn",
        "\u{430}nn",
        "ann\u{301}",
        "an",
        "annn",
        "ann;",
        "ann%20",
        "ann'--",
        "*",
        "ann\n",
    ] {
        assert_eq!(undated(&wrong(edge.gate, name, PASSWORD).await), expected, "{name:?}");
    }
    logged_in(edge.gate).await;
}

/// PW-1, B5-32: a password counts in full, up to a length that is the same for everybody.
#[tokio::test]
async fn a_password_counts_in_full() {
    let edge = Edge::new("").await;
    let longest = "\u{e9} x".repeat(255) + "1234";
    assert_eq!(longest.len(), 1024);
    let passwords = [
        &"x1y2z".repeat(13),
        &"\u{1f511} ein Schl\u{fc}ssel aus W\u{f6}rtern".to_owned(),
        &" \u{3000} leading and trailing ".to_owned(),
        &longest,
    ];
    for (number, password) in passwords.into_iter().enumerate() {
        let name = format!("user-{number}");
        edge.deployment.add_user(&name, password, &[]).await;
        Pair::read(&login(edge.gate, &name, password).await);
        let shorter: String = password.chars().take(password.chars().count() - 1).collect();
        for other in [&shorter, &password[..password.char_indices().nth(12).expect("long").0], &format!("{shorter}\0")]
        {
            wrong(edge.gate, &name, other).await;
        }
    }
    let too_long = format!("{longest}x");
    let answers = [USER, "user-3", "nobody"].map(|name| {
        let gate = edge.gate;
        let too_long = too_long.clone();
        async move { undated(&login(gate, name, &too_long).await) }
    });
    let answers = join_all(answers).await;
    assert_eq!(answers[0].0, 400);
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
}

/// B6-5, B6-6: neither a kept connection, nor many requests at once on it, nor another spelling of the path or of the body
/// has attempts of its own.
#[tokio::test]
async fn one_connection_has_no_budget_of_its_own() {
    let edge = Edge::new("rate.login_per_account = \"3/1h\"").await;
    let body = json!({ "username": USER, "password": "wrong", "x": 1 });
    let attempts: Vec<u8> = ["/login", "/log%69n", "/login?x=1", "/login", "/%6Cogin", "/login"]
        .iter()
        .enumerate()
        .flat_map(|(number, path)| {
            let form = format!("username={USER}&password=wrong&x={number}");
            let asked = request("POST", path);
            let media_type = "application/x-www-form-urlencoded";
            if number % 2 == 0 { asked.json(&body) } else { asked.body(media_type, form) }.bytes()
        })
        .collect();
    let mut client = RawClient::connect(edge.gate).await;
    client.send(attempts).await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(client.response().await.status);
    }
    assert_eq!(statuses, [400, 400, 400, 429, 429, 429]);
}

/// PW-6, B6-9: more logins than there are slots wait a moment and are told to come again; who has a token waits for none
/// of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_logins_is_turned_away_and_holds_up_nobody_else() {
    let edge = Edge::new("login.users = { argon2_slots = 1, argon2_memory = \"128MiB\" }").await;
    let access = logged_in(edge.gate).await.access;
    let logins = join_all((0..60).map(|_| login(edge.gate, USER, PASSWORD)));
    let calls = async {
        for _ in 0..20 {
            assert_eq!(call(edge.gate, "/notes", &access).await.status, 200);
        }
    };
    let (answers, ()) = tokio::join!(logins, calls);
    let (good, busy): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(!good.is_empty() && !busy.is_empty(), "{} got in, {} did not", good.len(), busy.len());
    for answer in busy {
        assert_eq!(oauth_error(answer, 503), "temporarily_unavailable");
        assert!(answer.header("retry-after").is_some());
    }
}
