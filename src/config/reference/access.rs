//! Who may do what: `[login]` to `[[route]]`.

use super::{Kind, Section, Shape, key};

pub(super) const LOGIN: Section = Section {
    path: "login",
    shape: Shape::Table,
    doc: "Who can log in.",
    keys: &[key(
        "provider",
        Kind::Word(&["users", "upstream", "none"]),
        r#""users""#,
        "`users`: the users in the store, made with `sidegate users add`. `upstream`: the application's own login is \
         asked. `none`: no login here, the login endpoint is off.",
    )],
};

pub(super) const LOGIN_USERS: Section = Section {
    path: "login.users",
    shape: Shape::Table,
    doc: "For `provider = \"users\"`.",
    keys: &[
        key("min_length", Kind::Number { from: 8, to: 128 }, "12", "Fewest characters of a new password."),
        key(
            "argon2_memory",
            Kind::Size { from: "32KiB", to: "1GiB" },
            r#""19MiB""#,
            "Memory of one password hash (argon2id). Less makes stolen hashes easier to guess.",
        ),
        key(
            "argon2_slots",
            Kind::Number { from: 1, to: 1024 },
            "2",
            "Passwords checked at once; further logins wait. `argon2_memory` × `argon2_slots` must fit into the pod's \
             memory limit.",
        ),
    ],
};

pub(super) const ENDPOINT: Section = Section {
    path: "endpoint",
    shape: Shape::Table,
    doc: "Paths that sidegate answers itself; they never reach the API.",
    keys: &[
        key(
            "login",
            Kind::Text(ENDPOINT_PATH),
            r#""/login""#,
            "Name and password for a pair of tokens. With `login.provider = \"upstream\"` the application may have its form at the same path: `GET` goes there, by the routes.",
        ),
        key("refresh", Kind::Text(ENDPOINT_PATH), r#""/refresh""#, "A refresh token for a new pair."),
        key("logout", Kind::Text(ENDPOINT_PATH), r#""/logout""#, "Ends the session of a refresh token."),
        key("logout_all", Kind::Text(ENDPOINT_PATH), r#""/auth/logout-all""#, "Ends every session of the user."),
        key(
            "password",
            Kind::Text(ENDPOINT_PATH),
            r#""/auth/password""#,
            "Changes the user's password; all other sessions end.",
        ),
        key(
            "sessions",
            Kind::Text(ENDPOINT_PATH),
            r#""/auth/sessions""#,
            "Shows the user's sessions; `DELETE` ends all others, and below the path, with a session's id, that one.",
        ),
        key("me", Kind::Text(ENDPOINT_PATH), r#""/auth/me""#, "What the access token says about its bearer."),
    ],
};

pub(super) const IDENTITY: Section = Section {
    path: "identity",
    shape: Shape::Free,
    doc: "Headers that tell the API who is asking: each takes its value from one claim of the access token. They, and \
          the customary ones such as `Remote-User`, are removed from what clients send. The section replaces the \
          defaults as a whole; an empty one sets no header.",
    keys: &[key(
        "HEADER",
        Kind::Text("the name of a claim"),
        "",
        "Lists are joined by commas; control characters, `%` and non-ASCII are percent-encoded. Defaults: \
         `X-Auth-Subject = \"sub\"`, `X-Auth-Roles = \"roles\"`, `X-Auth-Session = \"sid\"`.",
    )],
};

pub(super) const ROUTE: Section = Section {
    path: "route",
    shape: Shape::List,
    doc: "Who may send what. The most specific path wins, wherever it stands in the file; then the rule that names \
          the method. What matches no rule needs a valid token.",
    keys: &[
        key(
            "path",
            Kind::TextOrList("a path pattern"),
            "",
            "`{name}` stands for one segment, a last `/*` for this path and everything below. One pattern or a list.",
        ),
        key(
            "methods",
            Kind::List("a method, upper case"),
            "[]",
            "Methods the rule is for; `[]` = all. `GET` includes `HEAD`. A method that no rule of the path names is \
             refused.",
        ),
        key(
            "auth",
            Kind::Word(&["required", "optional", "none"]),
            r#""required""#,
            "`optional`: a request without a token passes without identity, a bad token is refused. `none`: tokens \
             are not looked at.",
        ),
        key("scopes", Kind::List("a scope"), "[]", "The token must have all of them."),
        key("roles", Kind::List("a role"), "[]", "The token must have one of them; `[]` = no role is asked for."),
        key(
            "claims",
            Kind::Map("claim = a text, a whole number, true or false"),
            "{}",
            "Each claim must have exactly this value.",
        ),
        key(
            "where",
            Kind::Map("path parameter = claim"),
            "{}",
            "The path's segment must equal the claim: `where = { id = \"sub\" }` on `/users/{id}` lets each user see \
             their own.",
        ),
        key("upstream", Kind::Text("the name of an `[upstream.NAME]`"), r#""default""#, "Where these requests go."),
        key(
            "when_stale",
            Kind::Word(&["allow", "deny", ""]),
            r#""""#,
            "Whether tokens pass here while the store is silent for longer than `revocation.max_staleness`; `\"\"`: as \
             `revocation.when_stale` says.",
        ),
    ],
};

pub(super) const ON_RESPONSE: Section = Section {
    path: "on_response",
    shape: Shape::List,
    doc: "Answers of the API that end sessions here: its own logout, its own change of a password, a user it deletes. \
          [docs/observed-events.md](observed-events.md) shows how to find the signs.",
    keys: &[
        key(
            "request",
            Kind::TextOrList("a method and a path pattern"),
            "",
            "`POST /account/password`; patterns as in a route. One or a list. The token must be one that passes: an answer \
             to nobody ends nothing.",
        ),
        key(
            "status",
            Kind::List("a status, or a class such as `\"2xx\"`"),
            "",
            "Statuses that say that it is done, such as `[204, 302]` or `[\"2xx\"]`.",
        ),
        key(
            "location",
            Kind::Text(LOCATION),
            r#""""#,
            "The answer's `Location` must be this; with a last `*`, begin so. With a leading slash it is compared with path \
             and query only.",
        ),
        key("location_not", Kind::Text(LOCATION), r#""""#, "The answer's `Location` must not be this."),
        key(
            "end",
            Kind::Word(&["session", "other_sessions", "subject"]),
            "",
            "`session`: the one that asked. `other_sessions`: the user's others; the access token of this one has to be \
             refreshed. `subject`: all of the user's. `GET`, `HEAD` and `OPTIONS` end `session` only.",
        ),
        key(
            "subject",
            Kind::Text("the name of a path parameter"),
            r#""""#,
            "For `end = \"subject\"`: whose sessions end is what this segment of the path says, for example `id` of \
             `DELETE /users/{id}`. The route must ask for scopes, roles, claims or `where`.",
        ),
    ],
};

pub(super) const CORS: Section = Section {
    path: "cors",
    shape: Shape::Table,
    doc: "Pages of other origins that may call, answered by sidegate alone: preflights never reach the API, and need no token. \
          [docs/cors.md](cors.md) says more.",
    keys: &[
        key(
            "origins",
            Kind::List("an origin, such as `https://app.example`"),
            "[]",
            "Exactly these; no patterns. Every answer to them names them, refusals and sidegate's own endpoints included, and \
             what the API says about it is replaced. Pages of those that `cookie.origins` names, too, may have cookies sent along. With `[]` browsers let only pages of the same origin call, and the API's own \
             headers stay as they are.",
        ),
        key(
            "expose_headers",
            Kind::List("the name of a header"),
            "[]",
            "What such pages may read of an answer; `Retry-After` and `WWW-Authenticate` always.",
        ),
        key(
            "max_age",
            Kind::Duration { from: "0s", to: "24h" },
            r#""10m""#,
            "How long browsers may remember the answer to a preflight.",
        ),
    ],
};

const LOCATION: &str = "a place, a last `*` for all that begins so, or `\"\"` = any";
const ENDPOINT_PATH: &str = "a path, or `\"\"` = off";
