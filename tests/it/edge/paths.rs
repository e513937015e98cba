//! Every spelling of a path that is meant to get past a rule: refused, or judged by the rule of what arrives.

use super::{Edge, assert_problem};
use crate::support::client::{Pair, logged_in, login};
use crate::support::deployment::PASSWORD;
use crate::support::raw::{exchange, request};

/// A rule of each kind that lets everybody pass, beside one that lets few; `/open/*` is there already.
const RULES: &str = r#"
[[route]]
path = "/public"
auth = "none"

[[route]]
path = "/files/{name}"
auth = "none"

[[route]]
path = "/admin/*"
roles = ["admin"]
"#;

/// What becomes of a target, and what the upstream then gets to see as one.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    /// 400, for everybody.
    Refused,
    /// Passes for everybody.
    Open(&'static str),
    /// Passes with any token.
    Closed(&'static str),
    /// Passes for an administrator.
    Admin(&'static str),
}

use Verdict::{Admin, Closed, Open, Refused};

const TARGETS: &[(&str, Verdict)] = &[
    // Dot segments, in every spelling, after each kind of rule.
    ("/public/../admin", Refused),
    ("/open/../admin", Refused),
    ("/files/../admin", Refused),
    ("/open/..;/admin", Refused),
    ("/open/%2e%2e/admin", Refused),
    ("/open/%2E%2E/admin", Refused),
    ("/open/%2E./admin", Refused),
    ("/open/.%2e/admin", Refused),
    ("/files/%2e%2e", Refused),
    ("/files/..", Refused),
    ("/open/%252e%252e/admin", Refused),
    ("/open/%25%32%65/admin", Refused),
    ("/open/./admin", Refused),
    ("/./admin", Refused),
    ("/admin/.", Refused),
    ("/admin/..", Refused),
    ("/..", Refused),
    ("/.", Refused),
    // Slashes that are no slashes, and too many of them.
    ("/open%2f..%2fadmin", Refused),
    ("/open/%2fadmin", Refused),
    ("/%2fadmin", Refused),
    ("/open%5c..%5cadmin", Refused),
    ("/open%5Cadmin", Refused),
    ("/open\\..\\admin", Refused),
    ("/\\admin", Refused),
    ("//admin", Refused),
    ("///", Refused),
    ("/open//admin", Refused),
    ("/open//../admin", Refused),
    ("/admin//", Refused),
    ("//test/admin", Refused),
    // Path parameters.
    ("/admin;jsessionid=x", Refused),
    ("/admin;/open", Refused),
    ("/open;/admin", Refused),
    ("/admin%3bx", Refused),
    ("/;/admin", Refused),
    // Control characters and broken encodings.
    ("/admin%00", Refused),
    ("/open%00/../admin", Refused),
    ("/admin%0a", Refused),
    ("/admin%0d%0a", Refused),
    ("/admin%09", Refused),
    ("/admin%7f", Refused),
    ("/admin%c2%85", Refused),
    ("/open/%c0%ae%c0%ae/admin", Refused),
    ("/open/%e0%80%ae%e0%80%ae/admin", Refused),
    ("/open/%f0%80%80%ae/admin", Refused),
    ("/%c1%a1dmin", Refused),
    ("/open/%ff", Refused),
    ("/admin%", Refused),
    ("/admin%2", Refused),
    ("/admin%2g", Refused),
    ("/admin%u0061", Refused),
    // Other forms.
    ("http://test/open/x", Refused),
    ("http://test/admin", Refused),
    ("http://evil/admin", Refused),
    ("HTTP://test/open/../admin", Refused),
    ("open/x", Refused),
    ("@evil/open/x", Refused),
    ("*", Refused),
    ("?/open/x", Refused),
    ("#/open/x", Refused),
    ("/admin#/open/x", Refused),
    ("/open/x#/../admin", Refused),
    ("/open/%23?#x", Refused),
    // One spelling for each path: what is decoded is judged, and forwarded.
    ("/adm%69n", Admin("/admin")),
    ("/%61%64%6D%69%6E", Admin("/admin")),
    ("/admin", Admin("/admin")),
    ("/admin/", Admin("/admin/")),
    ("/admin/x", Admin("/admin/x")),
    ("/admin/%20", Admin("/admin/%20")),
    ("/admin/..x", Admin("/admin/..x")),
    ("/admin?/open/x", Admin("/admin?/open/x")),
    ("/admin?x=/../../open/x", Admin("/admin?x=/../../open/x")),
    ("/admin?", Admin("/admin?")),
    ("/admin?%2e%2e%2fopen", Admin("/admin?%2e%2e%2fopen")),
    // Another path for the rules is another one for the upstream.
    ("/ADMIN", Closed("/ADMIN")),
    ("/Admin/x", Closed("/Admin/x")),
    ("/admin%20", Closed("/admin%20")),
    ("/admin.", Closed("/admin.")),
    ("/admin..", Closed("/admin..")),
    ("/admin::$DATA", Closed("/admin::$DATA")),
    ("/admin%e2%80%8b", Closed("/admin%E2%80%8B")),
    ("/%ef%bd%81dmin", Closed("/%EF%BD%81dmin")),
    ("/admin%3Fx", Closed("/admin%3Fx")),
    ("/admin%23/open", Closed("/admin%23/open")),
    ("/administrator", Closed("/administrator")),
    ("/public/x", Closed("/public/x")),
    ("/publicx", Closed("/publicx")),
    ("/Public", Closed("/Public")),
    ("/public%20", Closed("/public%20")),
    ("/x/public", Closed("/x/public")),
    ("/files", Closed("/files")),
    ("/files/", Closed("/files/")),
    ("/files/a/b", Closed("/files/a/b")),
    ("/opening/x", Closed("/opening/x")),
    ("/open%3F/x", Closed("/open%3F/x")),
    ("/open%20/x", Closed("/open%20/x")),
    ("/private?/public", Closed("/private?/public")),
    ("/private?/open/x", Closed("/private?/open/x")),
    ("/", Closed("/")),
    // And what is open is open in every good spelling.
    ("/public", Open("/public")),
    ("/public/", Open("/public/")),
    ("/publi%63", Open("/public")),
    ("/public?x=/../admin", Open("/public?x=/../admin")),
    ("/files/a", Open("/files/a")),
    ("/files/a/", Open("/files/a/")),
    ("/files/a%20b%3F", Open("/files/a%20b%3F")),
    ("/files/...", Open("/files/...")),
    ("/open", Open("/open")),
    ("/%6fpen/%41", Open("/open/A")),
    ("/open/admin", Open("/open/admin")),
    ("/open/x?y/../../admin", Open("/open/x?y/../../admin")),
    ("/open/caf%c3%a9", Open("/open/caf%C3%A9")),
];

/// B3-16 to B3-18.
#[tokio::test]
async fn every_spelling_of_a_path_is_refused_or_judged_as_it_arrives() {
    let edge = Edge::new(RULES).await;
    edge.deployment.add_user("root", PASSWORD, &["--role", "admin"]).await;
    let ann = logged_in(edge.gate).await.access;
    let root = Pair::read(&login(edge.gate, "root", PASSWORD).await).access;
    for (target, verdict) in TARGETS {
        // Nobody, somebody, an administrator: the status each gets.
        let (statuses, forwarded) = match verdict {
            Refused => ([400; 3], ""),
            Open(forwarded) => ([200; 3], *forwarded),
            Closed(forwarded) => ([401, 200, 200], *forwarded),
            Admin(forwarded) => ([401, 403, 200], *forwarded),
        };
        for (token, status) in [None, Some(&ann), Some(&root)].into_iter().zip(statuses) {
            let asked = request("GET", target);
            let bytes = token.map_or(asked.clone(), |token| asked.bearer(token)).bytes();
            if status == 200 {
                let before = edge.seen();
                assert_eq!(exchange(edge.gate, bytes).await.status, 200, "{target}");
                assert_eq!(edge.targets()[before..], [forwarded], "{target}");
            } else {
                let answer = edge.refused(bytes).await;
                assert_eq!(answer.status, status, "{target}");
                assert_problem(&answer, status);
            }
        }
    }
}

/// B3-16: a path of very many segments is one path.
#[tokio::test]
async fn a_path_of_many_segments_is_judged_whole() {
    let edge = Edge::new(RULES).await;
    for (start, status) in [("/open", 200), ("/admin", 401), ("/x/open", 401)] {
        let target = format!("{start}{}", "/a".repeat(2000));
        let answer = exchange(edge.gate, request("GET", &target).bytes()).await;
        assert_eq!(answer.status, status, "{start}");
        if status == 200 {
            assert_eq!(edge.last_seen().target(), target);
        }
    }
    let climbing = format!("/open{}/admin", "/a".repeat(300) + &"/..".repeat(301));
    assert_problem(&edge.refused(request("GET", &climbing).bytes()).await, 400);
}
