//! Rules, and the headers on their way through: what the upstream received tells, not the status alone.

use serde_json::json;

use super::{Edge, assert_problem};
use crate::support::client::{Pair, call, logged_in, login};
use crate::support::deployment::{PASSWORD, USER};
use crate::support::raw::{exchange, request};
use crate::support::upstream::Recorded;

const RULES: &str = r#"
[[route]]
path = "/maybe/*"
auth = "optional"

[[route]]
path = "/public"
methods = ["GET"]
auth = "none"

[[route]]
path = "/staff/*"
roles = ["clerk", "admin"]

[[route]]
path = "/admin/*"
roles = ["admin"]

[[route]]
path = "/orders"
scopes = ["orders:read", "orders:write"]

[[route]]
path = "/tenant/*"
claims = { tenant = "acme" }

[[route]]
path = "/users/{id}/*"
where = { id = "sub" }

[[route]]
path = "/items"
methods = ["GET", "POST"]
"#;

/// Every header that says who is asking.
fn identity(seen: &Recorded) -> Vec<(String, String)> {
    let named = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["user", "auth", "subject", "roles", "groups", "email"].iter().any(|part| name.contains(part))
            && name != "user-agent"
    };
    seen.headers().into_iter().filter(|(name, _)| named(name)).collect()
}

#[tokio::test]
async fn each_rule_asks_for_what_it_says() {
    let edge = Edge::new(RULES).await;
    edge.deployment.add_user("root", PASSWORD, &["--role", "admin", "--claim", "tenant=\"acme\""]).await;
    let ann = logged_in(edge.gate).await.access;
    let root = Pair::read(&login(edge.gate, "root", PASSWORD).await).access;

    for (path, of_ann, of_root) in [
        ("/staff/x", 200, 200),
        ("/admin", 403, 200),
        ("/admin/x", 403, 200),
        ("/orders", 403, 403),
        ("/tenant/x", 403, 200),
        ("/users/ann/x", 200, 403),
        ("/users/root/x", 403, 200),
        ("/users/%61nn/x", 200, 403),
        ("/maybe/x", 200, 200),
        ("/public", 200, 200),
        ("/else", 200, 200),
    ] {
        for (token, status) in [(&ann, of_ann), (&root, of_root)] {
            let bytes = request("GET", path).bearer(token).bytes();
            if status == 200 {
                assert_eq!(exchange(edge.gate, bytes).await.status, 200, "{path}");
            } else {
                assert_problem(&edge.refused(bytes).await, status);
            }
        }
        let bytes = request("GET", path).bytes();
        if path.starts_with("/maybe") || path == "/public" {
            assert_eq!(exchange(edge.gate, bytes).await.status, 200, "{path}");
            assert_eq!(identity(&edge.last_seen()), []);
        } else {
            assert_problem(&edge.refused(bytes).await, 401);
        }
    }
    let narrow = edge.refused(request("GET", "/orders").bearer(&ann).bytes()).await;
    assert_eq!(
        narrow.header("www-authenticate"),
        Some("Bearer realm=\"default\", error=\"insufficient_scope\", scope=\"orders:read orders:write\"")
    );
    assert_eq!(edge.refused(request("GET", "/admin").bearer(&ann).bytes()).await.header("www-authenticate"), None);
}

/// BEAR-7, B3-27.
#[tokio::test]
async fn a_method_that_no_rule_names_is_refused() {
    let edge = Edge::new(RULES).await;
    let ann = logged_in(edge.gate).await.access;
    for method in ["DELETE", "PUT", "PATCH", "OPTIONS", "FOO"] {
        assert_problem(&edge.refused(request(method, "/items").bytes()).await, 401);
        let with_token = edge.refused(request(method, "/items").bearer(&ann).bytes()).await;
        assert_problem(&with_token, 405);
        assert_eq!(with_token.header("allow"), Some("GET, POST"), "{method}");
        assert_problem(&edge.refused(request(method, "/items").bearer("bad").bytes()).await, 401);
    }
    for method in ["GET", "POST"] {
        assert_eq!(exchange(edge.gate, request(method, "/items").bearer(&ann).bytes()).await.status, 200);
        assert_eq!(edge.last_seen().method(), method);
    }
    let public = edge.refused(request("POST", "/public").bytes()).await;
    assert_problem(&public, 401);
}

/// B3-42: a bad token is never taken for none.
#[tokio::test]
async fn a_bad_token_on_an_optional_route_is_refused() {
    let edge = Edge::new(RULES).await;
    for bad in ["Bearer bad", "Bearer a.b.c"] {
        assert_problem(&edge.refused(request("GET", "/maybe/x").header("Authorization", bad).bytes()).await, 401);
    }
    assert_problem(&edge.refused(request("GET", "/maybe/x").header("Authorization", "Bearer").bytes()).await, 400);
    let basic = edge.refused(request("GET", "/maybe/x").header("Authorization", "Basic eDp5").bytes()).await;
    assert_problem(&basic, 401);
    let unread = exchange(edge.gate, request("GET", "/public").header("Authorization", "Bearer bad").bytes()).await;
    assert_eq!(unread.status, 200);
    assert_eq!(edge.last_seen().header("authorization"), None);
}

/// B3-40, FWD-3: what a client says about itself never arrives, in whatever spelling and on whatever route.
#[tokio::test]
async fn a_client_cannot_say_who_it_is() {
    let edge = Edge::new(RULES).await;
    let ann = logged_in(edge.gate).await.access;
    let spoofed = [
        "X-Auth-Subject",
        "x-auth-subject",
        "X-AUTH-SUBJECT",
        "X_Auth_Subject",
        "x-auth_subject",
        "X.Auth.Subject",
        "X~Auth!Subject",
        "X-Auth-Roles",
        "X_AUTH_ROLES",
        "X-Auth-Session",
        "Remote-User",
        "Remote_User",
        "REMOTE.USER",
        "X-Remote-User",
        "X-Forwarded-User",
        "X_Forwarded_Email",
        "X-Forwarded-Groups",
        "X-Forwarded-Access-Token",
        "X-Auth-Request-User",
        "X-Auth-Request-Anything",
        "X-WebAuth-User",
        "X-Authenticated-User",
        "X-User",
        "X-User-Id",
        "X_User_Id",
    ];
    let dressed = |path: &str| {
        spoofed.iter().fold(request("GET", path), |request, name| request.header(name, "root").header(name, "admin"))
    };
    for path in ["/public", "/maybe/x", "/open/x"] {
        assert_eq!(exchange(edge.gate, dressed(path).bytes()).await.status, 200);
        assert_eq!(identity(&edge.last_seen()), [], "{path}");
        assert!(!edge.last_seen().head().contains("root"));
    }
    for path in ["/maybe/x", "/staff/x", "/else"] {
        assert_eq!(exchange(edge.gate, dressed(path).bearer(&ann).bytes()).await.status, 200);
        let seen = edge.last_seen();
        assert_eq!(seen.header("x-auth-subject").as_deref(), Some(USER), "{path}");
        assert_eq!(seen.header("x-auth-roles").as_deref(), Some("clerk"));
        assert_eq!(identity(&seen).len(), 3, "{}", seen.head());
        assert!(!seen.head().contains("root"));
    }
}

/// PRX-1, PRX-2, B3-41.
#[tokio::test]
async fn a_client_cannot_take_a_header_away() {
    let edge = Edge::new(RULES).await;
    let ann = logged_in(edge.gate).await.access;
    for nominated in [
        "x-auth-subject",
        "X-Auth-Subject, X-Auth-Roles",
        "close, X-AUTH-SUBJECT",
        "keep-alive,x-auth-roles , x-auth-session",
        "x_auth_subject",
        "authorization",
    ] {
        let bytes = request("GET", "/staff/x").bearer(&ann).header("Connection", nominated).bytes();
        assert_eq!(exchange(edge.gate, bytes).await.status, 200, "{nominated}");
        let seen = edge.last_seen();
        assert_eq!(seen.header("x-auth-subject").as_deref(), Some(USER), "{nominated}");
        assert_eq!(seen.header("x-auth-roles").as_deref(), Some("clerk"), "{nominated}");
        assert_eq!(seen.header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    }
    for nominated in ["host", "X-Forwarded-For", "\"x-auth-subject\"", ":authority", "a,b,c,d,e,f,g,h,i,j,k,l"] {
        let bytes = request("GET", "/staff/x").bearer(&ann).header("Connection", nominated).bytes();
        assert_problem(&edge.refused(bytes).await, 400);
    }
    let hop_by_hop = [
        ("Connection", "X-Secret, keep-alive"),
        ("Connection", "x-other"),
        ("X-Secret", "1"),
        ("X-Other", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("Proxy-Authenticate", "Basic"),
        ("TE", "trailers"),
        ("Trailer", "X-Auth-Subject"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
    ];
    let dressed =
        hop_by_hop.iter().fold(request("GET", "/staff/x"), |request, (name, value)| request.header(name, value));
    assert_eq!(exchange(edge.gate, dressed.bearer(&ann).bytes()).await.status, 200);
    let seen = edge.last_seen();
    for (name, _) in hop_by_hop {
        assert!(seen.values(name).is_empty(), "{name}: {}", seen.head());
    }
}

/// BEAR-8.
#[tokio::test]
async fn the_upstream_gets_the_token_only_where_the_configuration_says_so() {
    let strip = Edge::new("").await;
    let ann = logged_in(strip.gate).await.access;
    assert_eq!(call(strip.gate, "/x", &ann).await.status, 200);
    assert!(!strip.last_seen().head().contains(&ann));
    let keep = Edge::new("upstream.default.authorization = \"keep\"").await;
    let ann = logged_in(keep.gate).await.access;
    assert_eq!(call(keep.gate, "/x", &ann).await.status, 200);
    assert_eq!(keep.last_seen().header("authorization"), Some(format!("Bearer {ann}")));
}

/// FWD-1, FWD-2, FWD-4.
#[tokio::test]
async fn forwarded_headers_are_ours_unless_a_trusted_proxy_sent_them() {
    let claims = [
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Prefix", "/x"),
        ("X_Forwarded_For", "203.0.113.8"),
        ("Forwarded", "for=203.0.113.9"),
        ("X-Real-IP", "203.0.113.10"),
        ("True-Client-IP", "203.0.113.11"),
        ("CF-Connecting-IP", "203.0.113.12"),
        ("X-Original-URL", "/admin"),
        ("X-Rewrite-URL", "/admin"),
        ("X-Original-Method", "DELETE"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-HTTP-Method", "DELETE"),
        ("X-Method-Override", "DELETE"),
        ("X-Envoy-Original-Path", "/admin"),
        ("X-Client-Cert", "x"),
        ("X-Forwarded-Client-Cert", "x"),
        ("Proxy", "http://evil"),
    ];
    let dressed =
        || claims.iter().fold(request("GET", "/open/x"), |request, (name, value)| request.header(name, value));
    let ours = |seen: &Recorded| {
        ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"].map(|name| seen.header(name).expect("it is set"))
    };
    let distrustful = Edge::new("").await;
    assert_eq!(exchange(distrustful.gate, dressed().bytes()).await.status, 200);
    let seen = distrustful.last_seen();
    assert_eq!(ours(&seen), ["127.0.0.1", "test", "http"]);
    for (name, _) in &claims[3..] {
        assert!(seen.values(name).is_empty(), "{name}: {}", seen.head());
    }
    let trusting = Edge::new("server.trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]").await;
    assert_eq!(exchange(trusting.gate, dressed().bytes()).await.status, 200);
    let seen = trusting.last_seen();
    assert_eq!(ours(&seen), ["203.0.113.7", "evil.example", "https"]);
    for (name, _) in &claims[3..] {
        assert!(seen.values(name).is_empty(), "{name}: {}", seen.head());
    }
    for (lines, client) in [
        (&["203.0.113.7, 10.1.1.1"][..], "203.0.113.7"),
        (&["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        (&["198.51.100.1", "203.0.113.7, 10.0.0.1"], "203.0.113.7"),
        (&["unknown"], "127.0.0.1"),
        (&["203.0.113.7, _hidden"], "127.0.0.1"),
        (&["[2001:db8::1]:443"], "2001:db8::1"),
        (&[""], "127.0.0.1"),
    ] {
        let chained =
            lines.iter().fold(request("GET", "/open/x"), |request, line| request.header("X-Forwarded-For", line));
        assert_eq!(exchange(trusting.gate, chained.bytes()).await.status, 200);
        assert_eq!(trusting.last_seen().header("x-forwarded-for").as_deref(), Some(client), "{lines:?}");
    }
    let twice = request("GET", "/open/x").header("X-Forwarded-Proto", "https").header("X-Forwarded-Proto", "http");
    assert_eq!(exchange(trusting.gate, twice.bytes()).await.status, 200);
    assert_eq!(ours(&trusting.last_seen()), ["127.0.0.1", "test", "http"]);
}

/// B3-43, B3-60.
#[tokio::test]
async fn claims_become_one_unambiguous_header_or_none() {
    let settings = "[identity]\nX-Auth-Subject = \"sub\"\nX-Name = \"name\"\nX-Age = \"age\"\nX-Gone = \"gone\"\n\
                    X-Deep = \"deep\"\n";
    let edge = Edge::new(settings).await;
    let claims = [
        ("name", json!("Zo\u{eb}\r\nX-Admin: 1")),
        ("age", json!(42)),
        ("gone", json!(null)),
        ("deep", json!({ "a": 1 })),
    ];
    let arguments: Vec<String> =
        claims.iter().flat_map(|(name, value)| ["--claim".to_owned(), format!("{name}={value}")]).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    edge.deployment.add_user("zoe", PASSWORD, &arguments).await;
    let zoe = Pair::read(&login(edge.gate, "zoe", PASSWORD).await).access;
    let spoofed = request("GET", "/x").bearer(&zoe).header("X-Gone", "here").header("X_Deep", "here");
    assert_eq!(exchange(edge.gate, spoofed.bytes()).await.status, 200);
    let seen = edge.last_seen();
    assert_eq!(seen.header("x-name").as_deref(), Some("Zo%C3%AB%0D%0AX-Admin: 1"));
    assert_eq!(seen.header("x-age").as_deref(), Some("42"));
    for name in ["x-gone", "x-deep", "x_deep", "x-admin", "x-auth-roles"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    // B3-62: a long one arrives whole.
    let long = "\u{eb}".repeat(2000);
    edge.deployment.add_user("long", PASSWORD, &["--claim", &format!("name=\"{long}\"")]).await;
    let access = Pair::read(&login(edge.gate, "long", PASSWORD).await).access;
    assert_eq!(call(edge.gate, "/x", &access).await.status, 200);
    assert_eq!(edge.last_seen().header("x-name"), Some("%C3%AB".repeat(2000)));
}

/// PRX-15, B3-28.
#[tokio::test]
async fn a_request_of_http_1_0_reaches_the_upstream_as_1_1() {
    let edge = Edge::new("").await;
    let answer = exchange(edge.gate, "GET /open/x HTTP/1.0\r\n\r\n").await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    let seen = edge.last_seen();
    assert!(seen.head().starts_with("GET /open/x HTTP/1.1\r\n"));
    assert_eq!(seen.header("host"), Some(edge.deployment.upstream.address().to_string()));
    let kept = exchange(edge.gate, "GET /open/x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").await;
    assert_eq!((kept.status, kept.header("connection")), (200, Some("keep-alive")));
}
