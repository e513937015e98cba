//! Tokens in cookies: `[cookie]`.

use super::{Kind, Section, Shape, key};

pub(super) const COOKIE: Section = Section {
    path: "cookie",
    shape: Shape::Table,
    doc: "For browsers without client code: the tokens travel in `HttpOnly` cookies instead of bodies. `docs/cookies.md` \
          says what that asks of the front end and of proxies.",
    keys: &[
        key(
            "mode",
            Kind::Flag,
            "false",
            "Whether a login sets `__Host-REALM-access` and `__Host-REALM-refresh`, and no token is in any body. The other \
             keys are for `mode = true`. Tokens in the `Authorization` field are taken all the same, but not beside a \
             cookie.",
        ),
        key(
            "same_site",
            Kind::Word(&["Lax", "Strict"]),
            r#""Lax""#,
            "With which requests that other sites cause a browser sends the cookies: `Lax` when a link is followed, \
             `Strict` never. Neither stands in for the check of `origins`.",
        ),
        key(
            "origins",
            Kind::List("an origin: scheme, host and perhaps a port"),
            "[]",
            "Whose pages may send what changes something, besides `server.public_url`'s own: exactly as a browser writes \
             it, without path or wildcard.",
        ),
        key(
            "refresh_in_request",
            Kind::Flag,
            "true",
            "Whether a request whose access token has ended is refreshed on its way, and its answer brings the new \
             cookies. `false`: it gets 401, and the front end calls `endpoint.refresh`.",
        ),
        key(
            "repeat_window",
            Kind::Duration { from: "0s", to: "3650d" },
            r#""10m""#,
            "How long the refresh token before the live one gets the live one again: for parallel requests, and answers \
             that were lost. A stolen cookie goes unnoticed for so long. Left out, it is `access_token.ttl`, or \
             what an upstream may take to answer or `refresh.late_window` if they are longer, and at most \
             `session.idle_ttl`.",
        ),
        key(
            "unauthenticated_html",
            Kind::Text("`redirect:` and a path or an `https://` address, or `\"\"` = 401"),
            r#""""#,
            "Where a person is sent whose page needs a login, with 303; scripts get 401 all the same. `{target}` stands \
             in the query for the page that was asked for: `redirect:/login.php?next={target}`. The page needs a route \
             with `auth = \"none\"`.",
        ),
    ],
};
