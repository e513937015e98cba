//! Bad input to our own endpoints: each kind with its exact answer, and nothing consumed.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Edge, assert_problem, undated};
use crate::support::client::{Pair, call, logged_in, login, oauth_error, refresh};
use crate::support::deployment::{Deployment, PASSWORD, StoreKind, USER};
use crate::support::raw::{Ending, RawClient, RawRequest, RawResponse, exchange, request};

const FORM: &str = "application/x-www-form-urlencoded";
const ENDPOINTS: [&str; 3] = ["/login", "/refresh", "/logout"];

fn credentials() -> Value {
    json!({ "username": USER, "password": PASSWORD })
}

/// The shape of every refusal of a token endpoint (RFC 6749 §5.2).
fn assert_oauth(answer: &RawResponse, status: u16, code: &str) {
    assert_eq!(oauth_error(answer, status), code, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("pragma"), Some("no-cache"));
    assert_eq!(answer.header("server"), None);
    let description = answer.json()["error_description"].as_str().expect("a description").to_owned();
    assert!(description.bytes().all(|byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)), "{description}");
}

/// TOK-1, TOK-3.
#[tokio::test]
async fn only_post_is_answered() {
    let edge = Edge::new("").await;
    let pair = logged_in(edge.gate).await;
    for path in ["/login", "/refresh", "/logout", "/auth/logout-all"] {
        for method in ["GET", "PUT", "OPTIONS", "DELETE", "PATCH"] {
            let bytes =
                request(method, path).bearer(&pair.access).json(&json!({"refresh_token": pair.refresh})).bytes();
            let answer = edge.refused(bytes).await;
            // Not a token endpoint: it speaks as the gate does.
            if path == "/auth/logout-all" {
                assert_problem(&answer, 405);
            } else {
                assert_oauth(&answer, 405, "invalid_request");
            }
            assert_eq!(answer.header("allow"), Some("POST"), "{method} {path}");
        }
        let mut client = RawClient::connect(edge.gate).await;
        client.send(request("HEAD", path).bearer(&pair.access).header("Connection", "close").bytes()).await;
        let head = client.try_response_to("HEAD").await.expect("an answer");
        assert_eq!((head.status, head.header("allow")), (405, Some("POST")));
        assert_eq!(client.ending().await, (Ending::Closed, Vec::new()), "a body to HEAD {path}");
    }
    assert_problem(&edge.refused(request("POST", "/.well-known/jwks.json").bytes()).await, 405);
    Pair::read(&refresh(edge.gate, &pair.refresh, None).await);
}

/// TOK-13.
#[tokio::test]
async fn a_body_of_another_type_is_refused() {
    let edge = Edge::new("").await;
    let body = credentials().to_string();
    let with = |types: &[&str]| {
        let head = request("POST", "/login").header("Content-Length", &body.len().to_string());
        let head = types.iter().fold(head, |head, media_type| head.header("Content-Type", media_type));
        [head.bytes(), body.clone().into_bytes()].concat()
    };
    for types in [
        &[][..],
        &["text/plain"],
        &["multipart/form-data; boundary=x"],
        &["application/jsonp"],
        &["application/json, text/plain"],
        &["application/json", "application/json"],
        &["\u{e4}"],
    ] {
        assert_oauth(&edge.refused(with(types)).await, 415, "invalid_request");
    }
    let zipped = request("POST", "/login").header("Content-Encoding", "gzip").body("application/json", "\x1f\u{8b}");
    assert_oauth(&edge.refused(zipped.bytes()).await, 415, "invalid_request");
    for types in [["application/json; charset=utf-8"], ["Application/JSON"]] {
        Pair::read(&exchange(edge.gate, with(&types)).await);
    }
    let form = format!("username={USER}&password={}", PASSWORD.replace(' ', "+"));
    for media_type in [FORM, "application/x-www-form-urlencoded;charset=UTF-8"] {
        Pair::read(&exchange(edge.gate, request("POST", "/login").body(media_type, form.clone()).bytes()).await);
    }
}

/// TOK-13: the size is known before the body is read, or counted while it is.
#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let edge = Edge::new("limit.endpoint_body = \"1KiB\"").await;
    let login_of = |size: usize| {
        let mut body = credentials();
        body["padding"] = json!("");
        body["padding"] = json!("x".repeat(size - body.to_string().len()));
        body.to_string()
    };
    for path in ENDPOINTS {
        let over = request("POST", path).body("application/json", login_of(1025)).bytes();
        assert_oauth(&edge.refused(over).await, 413, "invalid_request");
        let announced = request("POST", path).header("Content-Length", "99999999999").header("Expect", "100-continue");
        let answer = edge.refused(announced.header("Content-Type", FORM).bytes()).await;
        assert_oauth(&answer, 413, "invalid_request");
        assert!(answer.interim.is_empty(), "the body was asked for");
        let chunked = request("POST", path).header("Content-Type", FORM).header("Transfer-Encoding", "chunked").bytes();
        let chunks = format!("400\r\n{}\r\n1\r\nx\r\n0\r\n\r\n", "x".repeat(1024));
        let answer = edge.refused([chunked, chunks.into_bytes()].concat()).await;
        assert_oauth(&answer, 413, "invalid_request");
    }
    Pair::read(&exchange(edge.gate, request("POST", "/login").body("application/json", login_of(1024)).bytes()).await);
}

/// TOK-4, TOK-7: JSON.
#[tokio::test]
async fn json_that_two_readers_could_read_differently_is_refused() {
    let edge = Edge::new("").await;
    let pair = logged_in(edge.gate).await;
    let token = &pair.refresh;
    let bodies = [
        "{".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "\"x\"".to_owned(),
        format!("[{{\"refresh_token\":\"{token}\"}}]"),
        format!("{{\"refresh_token\":\"{token}\"}} x"),
        format!("\u{feff}{{\"refresh_token\":\"{token}\"}}"),
        format!("{{\"refresh_token\":\"{token}\",}}"),
        format!("{{\"refresh_token\":\"{token}\",\"refresh_token\":\"{token}\"}}"),
        format!("{{\"refresh_token\":\"{token}\",\"r\\u0065fresh_token\":\"{token}\"}}"),
        format!("{{\"refresh_token\":\"{token}\",\"x\":{{\"a\":1,\"a\":2}}}}"),
        format!("{{\"refresh_token\":[\"{token}\"]}}"),
        "{\"refresh_token\":1}".to_owned(),
        "{\"refresh_token\":true}".to_owned(),
        "{\"refresh_token\":null}".to_owned(),
        "{\"refresh_token\":\"\"}".to_owned(),
        format!("{{\"Refresh_Token\":\"{token}\"}}"),
        "{}".to_owned(),
        format!("{{\"refresh_token\":\"{token}\",\"grant_type\":7}}"),
        "[".repeat(5000),
    ];
    for path in ["/refresh", "/logout"] {
        for body in bodies.iter().filter(|body| path != "/logout" || !body.contains("grant_type")) {
            let answer = edge.refused(request("POST", path).body("application/json", body.clone()).bytes()).await;
            assert_oauth(&answer, 400, "invalid_request");
        }
    }
    for body in [&b"{\"refresh_token\":\"\xff\"}"[..], b"{\"refresh_token\":\"\xc0\xaf\"}"] {
        let answer = edge.refused(request("POST", "/refresh").body("application/json", body).bytes()).await;
        assert_oauth(&answer, 400, "invalid_request");
    }
    for body in [json!({"username": USER}), json!({"password": "x"}), json!({"username": 1, "password": "x"})] {
        assert_oauth(&edge.refused(request("POST", "/login").json(&body).bytes()).await, 400, "invalid_request");
    }
    let with_more = json!({ "refresh_token": token, "foo": 1, "allow_redirects": true, "scope": "" });
    Pair::read(&exchange(edge.gate, request("POST", "/refresh").json(&with_more).bytes()).await);
}

/// TOK-7: forms.
#[tokio::test]
async fn forms_with_missing_empty_or_repeated_fields_are_refused() {
    let edge = Edge::new("").await;
    let pair = logged_in(edge.gate).await;
    let token = &pair.refresh;
    for body in [
        String::new(),
        "refresh_token".to_owned(),
        "refresh_token=".to_owned(),
        "grant_type=refresh_token".to_owned(),
        format!("refresh_token={token}&refresh_token={token}"),
        format!("refresh_token={token}&refresh_token="),
        format!("refresh_token={token}&refresh%5Ftoken={token}"),
        format!("foo=1&foo=2&refresh_token={token}"),
    ] {
        for path in ["/refresh", "/logout"] {
            let answer = edge.refused(request("POST", path).body(FORM, body.clone()).bytes()).await;
            assert_oauth(&answer, 400, "invalid_request");
        }
    }
    let not_text = [b"foo=\xff&refresh_token=".as_slice(), token.as_bytes()].concat();
    let answer = edge.refused(request("POST", "/refresh").body(FORM, not_text).bytes()).await;
    assert_oauth(&answer, 400, "invalid_request");
    let body = format!("refresh_token={token}&grant_type=refresh_token&client_id=first-party&foo=1&scope=");
    Pair::read(&exchange(edge.gate, request("POST", "/refresh").body(FORM, body).bytes()).await);
}

/// TOK-8: what is in a query is in every log.
#[tokio::test]
async fn secrets_in_the_query_are_refused_and_not_consumed() {
    let edge = Edge::new("").await;
    let pair = logged_in(edge.gate).await;
    let token = &pair.refresh;
    for path in ["/refresh", "/logout"] {
        for query in
            [format!("refresh_token={token}"), format!("x=1&token={token}"), format!("r%65fresh_token={token}")]
        {
            let target = format!("{path}?{query}");
            assert_oauth(&edge.refused(request("POST", &target).bytes()).await, 400, "invalid_request");
            let also_in_body = request("POST", &target).json(&json!({"refresh_token": token}));
            assert_oauth(&edge.refused(also_in_body.bytes()).await, 400, "invalid_request");
        }
    }
    for query in ["password=x", "client_secret=x", "access_token=x"] {
        let answer = edge.refused(request("POST", &format!("/login?{query}")).json(&credentials()).bytes()).await;
        assert_oauth(&answer, 400, "invalid_request");
    }
    let harmless = request("POST", "/refresh?utm=1").json(&json!({"refresh_token": token}));
    Pair::read(&exchange(edge.gate, harmless.bytes()).await);
}

/// B2-7, B2-8, TOK-11.
#[tokio::test]
async fn what_is_no_live_refresh_token_of_this_realm_changes_nothing() {
    let edge = Edge::new("").await;
    let elsewhere = Deployment::new(StoreKind::Sqlite, "realm = \"other\"").await;
    let other = elsewhere.in_process().await;
    let foreign = logged_in(other.listen[0]).await;
    let pair = logged_in(edge.gate).await;
    let token = pair.refresh.as_str();
    let flipped = |at: usize| {
        let mut bytes = token.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).expect("it is text")
    };
    let mut bad = vec![
        pair.access.clone(),
        foreign.refresh,
        foreign.access,
        token[..token.len() - 1].to_owned(),
        format!("{token}A"),
        format!("{token}="),
        format!(" {token}"),
        format!("{token}\n"),
        token.to_uppercase(),
        token.to_lowercase(),
        token.replacen("sgr1_", "", 1),
        token.replacen("sgr1_", "sgr2_", 1),
        format!("sgr1_{}", "A".repeat(96)),
        "x".to_owned(),
        "'; drop table sessions--".to_owned(),
        "\u{0}".to_owned(),
        "x".repeat(10_000),
    ];
    bad.extend((5..token.len()).step_by(7).map(flipped));
    let mut answers = Vec::new();
    for bad in &bad {
        let answer = refresh(edge.gate, bad, None).await;
        assert_oauth(&answer, 400, "invalid_grant");
        answers.push(undated(&answer));
        // Ending what is no token is no error (RFC 7009 §2.2), and ends nothing. An access token does end its session.
        if *bad == pair.access {
            continue;
        }
        let ended = exchange(edge.gate, request("POST", "/logout").json(&json!({"refresh_token": bad})).bytes()).await;
        assert_eq!((ended.status, ended.json()), (200, json!({})));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "the answers differ");
    edge.deployment.upstream.assert_untouched();
    assert_problem(&edge.refused(request("GET", "/").bearer(token).bytes()).await, 401);
    assert_eq!(call(edge.gate, "/", &pair.access).await.status, 200);
    Pair::read(&refresh(edge.gate, token, None).await);
}

/// B5-30: status, headers and body of a failed login tell nothing.
#[tokio::test]
async fn nobody_learns_which_of_user_and_password_was_wrong() {
    let edge = Edge::new("").await;
    edge.deployment.add_user("gone", PASSWORD, &[]).await;
    assert_eq!(edge.deployment.command(&["users", "disable", "gone"]).await.code, Some(0));
    let mut answers = Vec::new();
    for (user, password) in [
        (USER, "wrong"),
        ("nobody", PASSWORD),
        ("gone", PASSWORD),
        ("gone", "wrong"),
        ("an\u{0}n", PASSWORD),
        (&"x".repeat(5000), PASSWORD),
        ("' or 1=1 --", PASSWORD),
        (USER, "\u{0}"),
    ] {
        let answer = login(edge.gate, user, password).await;
        assert_oauth(&answer, 400, "invalid_grant");
        answers.push(undated(&answer));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:#?}");
    edge.assert_only_a_probe_follows(0).await;
}

/// TOK-4, TOK-6, TOK-15.
#[tokio::test]
async fn other_grant_types_are_not_offered_and_not_reflected() {
    let edge = Edge::new("").await;
    let pair = logged_in(edge.gate).await;
    for grant in ["password", "authorization_code", "Refresh_Token", "refresh_token ", "\r\n<script>"] {
        let body = json!({ "refresh_token": pair.refresh, "grant_type": grant });
        let answer = edge.refused(request("POST", "/refresh").json(&body).bytes()).await;
        assert_oauth(&answer, 400, "unsupported_grant_type");
        assert!(!answer.text().contains("<script"));
    }
    let mut body = credentials();
    for (grant, status) in [("refresh_token", 400), ("client_credentials", 400), ("password", 200), ("", 200)] {
        body["grant_type"] = json!(grant);
        let answer = exchange(edge.gate, request("POST", "/login").json(&body).bytes()).await;
        assert_eq!(answer.status, status, "{grant}");
        if status == 400 {
            assert_oauth(&answer, 400, "unsupported_grant_type");
        }
    }
    let body = json!({ "refresh_token": pair.refresh, "grant_type": "refresh_token" });
    Pair::read(&exchange(edge.gate, request("POST", "/refresh").json(&body).bytes()).await);
}

/// TOK-5, TOK-9, TOK-10, TOK-11.
#[tokio::test]
async fn the_one_client_has_a_name_and_no_secret() {
    let edge = Edge::new("").await;
    let pair = logged_in(edge.gate).await;
    let refresh_as = |more: Value| {
        let mut body = json!({ "refresh_token": pair.refresh });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        request("POST", "/refresh").json(&body)
    };
    let plain = || refresh_as(json!({}));
    // base64 of `first-party:`, `first-party:secret`, `first%2Dparty:`, `other:` and `first-party`.
    let (empty, wrong, encoded, other, no_colon) = (
        "Basic Zmlyc3QtcGFydHk6",
        "Basic Zmlyc3QtcGFydHk6c2VjcmV0",
        "basic Zmlyc3QlMkRwYXJ0eTo=",
        "Basic b3RoZXI6",
        "Basic Zmlyc3QtcGFydHk=",
    );
    for authorization in [wrong, other] {
        let answer = edge.refused(plain().header("Authorization", authorization).bytes()).await;
        assert_oauth(&answer, 401, "invalid_client");
        assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"sidegate\""));
    }
    let answer = edge.refused(refresh_as(json!({"client_secret": "x"})).bytes()).await;
    assert_oauth(&answer, 401, "invalid_client");
    assert_eq!(answer.header("www-authenticate"), None);
    for malformed in [no_colon, "Basic !", "Basic /////w=="] {
        let answer = edge.refused(plain().header("Authorization", malformed).bytes()).await;
        assert_oauth(&answer, 400, "invalid_request");
    }
    let twice = plain().header("Authorization", empty).header("Authorization", empty);
    assert_oauth(&edge.refused(twice.bytes()).await, 400, "invalid_request");
    for authorization in [empty, wrong] {
        let two_ways = refresh_as(json!({"client_secret": "x"})).header("Authorization", authorization);
        assert_oauth(&edge.refused(two_ways.bytes()).await, 400, "invalid_request");
    }
    let two_clients = refresh_as(json!({"client_id": "other"})).header("Authorization", empty);
    assert_oauth(&edge.refused(two_clients.bytes()).await, 400, "invalid_request");
    assert_oauth(&edge.refused(refresh_as(json!({"client_id": "other"})).bytes()).await, 400, "invalid_grant");
    let mut stranger = credentials();
    stranger["client_id"] = json!("other");
    assert_oauth(&edge.refused(request("POST", "/login").json(&stranger).bytes()).await, 401, "invalid_client");

    let mut token = pair.refresh.clone();
    let accepted: [fn(RawRequest) -> RawRequest; 2] = [
        |request| request.header("Authorization", "Basic Zmlyc3QtcGFydHk6"),
        |request| request.header("Authorization", "Bearer expired"),
    ];
    for dress in accepted {
        let body = json!({ "refresh_token": token, "client_id": "first-party" });
        let next = Pair::read(&exchange(edge.gate, dress(request("POST", "/refresh").json(&body)).bytes()).await);
        token = next.refresh;
    }
    let body = json!({ "refresh_token": token });
    let encoded = request("POST", "/refresh").json(&body).header("Authorization", encoded);
    Pair::read(&exchange(edge.gate, encoded.bytes()).await);
}

/// A key that could not be compared later is refused before the token is used.
#[tokio::test]
async fn a_bad_idempotency_key_consumes_nothing() {
    let edge = Edge::new("").await;
    let pair = logged_in(edge.gate).await;
    let body = json!({ "refresh_token": pair.refresh });
    let with = |keys: &[&str]| {
        keys.iter().fold(request("POST", "/refresh").json(&body), |request, key| request.header("Idempotency-Key", key))
    };
    let long = "k".repeat(256);
    for keys in [
        &["fifteen-letters"][..],
        &[long.as_str()],
        &[""],
        &["sixteen letters."],
        &["schl\u{fc}ssel-mit-umlaut"],
        &["key-0123456789abcdef", "key-0123456789abcdef"],
        &["key-0123456789abcdef", "x"],
    ] {
        assert_oauth(&edge.refused(with(keys).bytes()).await, 400, "invalid_request");
    }
    for length in [16, 255] {
        let key = "k".repeat(length);
        let fresh = logged_in(edge.gate).await;
        Pair::read(&refresh(edge.gate, &fresh.refresh, Some(&key)).await);
    }
    Pair::read(&refresh(edge.gate, &pair.refresh, None).await);
}

/// PRX-14.
#[tokio::test]
async fn a_client_that_waits_for_100_gets_it() {
    let edge = Edge::new("").await;
    let body = credentials().to_string();
    let head = request("POST", "/login")
        .header("Content-Type", "application/json")
        .header("Content-Length", &body.len().to_string())
        .header("Expect", "100-continue");
    let mut client = RawClient::connect(edge.gate).await;
    client.send(head.bytes()).await;
    assert!(!client.stays_open(Duration::from_secs(10)).await, "100 should have come");
    client.send(body).await;
    let answer = client.response().await;
    assert_eq!(answer.interim, [100]);
    Pair::read(&answer);
    edge.deployment.upstream.assert_untouched();
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let edge = Edge::new("limit.header_timeout = \"500ms\"").await;
    let pair = logged_in(edge.gate).await;
    for path in ENDPOINTS {
        let head = request("POST", path).header("Content-Type", FORM).header("Content-Length", "100").bytes();
        let answer = edge.refused([head, format!("refresh_token={}", &pair.refresh[..50]).into_bytes()].concat()).await;
        assert_oauth(&answer, 408, "invalid_request");
    }
    // One byte at a time does not help: the deadline is for the whole body.
    let mut client = RawClient::connect(edge.gate).await;
    client.send(request("POST", "/login").header("Content-Type", FORM).header("Content-Length", "1000").bytes()).await;
    let drip = async {
        while client.try_send("x").await.is_ok() && client.stays_open(Duration::from_millis(20)).await {}
        client.response().await
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), drip).await.expect("an answer while dripping");
    assert_oauth(&answer, 408, "invalid_request");
    Pair::read(&refresh(edge.gate, &pair.refresh, None).await);
}

#[tokio::test]
async fn a_body_that_is_cut_off_consumes_nothing() {
    let edge = Edge::new("").await;
    let pair = logged_in(edge.gate).await;
    let whole = format!("refresh_token={}", pair.refresh);
    for head in ["Content-Length: 500", "Transfer-Encoding: chunked"] {
        let chunk = if head.starts_with('T') { format!("{:x}\r\n", whole.len()) } else { String::new() };
        let bytes =
            format!("POST /refresh HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\n{head}\r\n\r\n{chunk}{whole}");
        let mut client = RawClient::connect(edge.gate).await;
        client.send(&bytes).await;
        client.finish_sending().await;
        let (_, said) = client.ending().await;
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(!said.contains("access_token") && !said.contains("Pingora"), "{said}");
    }
    edge.deployment.upstream.assert_untouched();
    Pair::read(&refresh(edge.gate, &pair.refresh, None).await);
}

/// PRX-9: what frames the body badly is no body.
#[tokio::test]
async fn a_chunked_body_that_is_malformed_consumes_nothing() {
    let edge = Edge::new("").await;
    let pair = logged_in(edge.gate).await;
    let whole = format!("refresh_token={}", pair.refresh);
    let size = format!("{:x}", whole.len());
    for body in [
        format!("+{size}\r\n{whole}\r\n0\r\n\r\n"),
        format!("0x{size}\r\n{whole}\r\n0\r\n\r\n"),
        format!("{size}\n{whole}\r\n0\r\n\r\n"),
        format!("{size}\r\n{whole}xx0\r\n\r\n"),
        format!("ffffffffffffffffff\r\n{whole}\r\n0\r\n\r\n"),
        format!("zz\r\n{whole}\r\n0\r\n\r\n"),
    ] {
        let head = request("POST", "/refresh").header("Content-Type", FORM).header("Transfer-Encoding", "chunked");
        let answer = edge.refused([head.bytes(), body.into_bytes()].concat()).await;
        assert_problem(&answer, 400);
        assert_eq!(answer.header("connection"), Some("close"));
    }
    Pair::read(&refresh(edge.gate, &pair.refresh, None).await);
}

#[tokio::test]
async fn logging_out_everywhere_needs_an_access_token() {
    let edge = Edge::new("").await;
    let (one, other) = (logged_in(edge.gate).await, logged_in(edge.gate).await);
    let all = || request("POST", "/auth/logout-all");
    let anonymous = edge.refused(all().bytes()).await;
    assert_problem(&anonymous, 401);
    assert_eq!(anonymous.header("www-authenticate"), Some("Bearer realm=\"default\""));
    assert_problem(&edge.refused(all().bearer(&one.refresh).bytes()).await, 401);
    assert_problem(&edge.refused(all().bearer(&one.access).bearer(&one.access).bytes()).await, 400);
    assert_problem(&edge.refused(all().json(&json!({"refresh_token": one.refresh})).bytes()).await, 401);
    assert_eq!(call(edge.gate, "/", &other.access).await.status, 200);
    let done = exchange(edge.gate, all().bearer(&one.access).bytes()).await;
    assert_eq!((done.status, done.json(), done.header("cache-control")), (200, json!({}), Some("no-store")));
    for pair in [&one, &other] {
        assert_problem(&edge.refused(request("GET", "/").bearer(&pair.access).bytes()).await, 401);
        assert_oauth(&refresh(edge.gate, &pair.refresh, None).await, 400, "invalid_grant");
    }
    logged_in(edge.gate).await;
}
