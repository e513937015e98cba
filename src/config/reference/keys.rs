//! The list itself, in the order of the file.

use super::{Key, Kind, Section, Shape};

const fn key(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default, doc, secret: false }
}

const LISTEN: &str = "`http://IP:PORT`";
const ENDPOINT: &str = "path, or `\"\"` = off";

/// Every section, in the order of the file.
pub const SECTIONS: &[Section] = &[
    Section {
        path: "",
        shape: Shape::Table,
        doc: "Above the first table.",
        keys: &[key(
            "realm",
            Kind::Text("one word: `a-z`, `0-9`, `_`, `-`, 63 at most"),
            r#""default""#,
            "Scopes everything in the store: keys, users, sessions, revocations. Instances with the same realm and store \
             share logins; in different realms they know nothing of each other.",
        )],
    },
    Section {
        path: "server",
        shape: Shape::Table,
        doc: "Where clients arrive, and how the process ends.",
        keys: &[
            key(
                "public_url",
                Kind::Text("`http://` or `https://` URL"),
                r#""http://127.0.0.1:8080""#,
                "The address clients know. It is the issuer of access tokens unless `access_token.issuer` says otherwise, \
                 so changing it ends their validity.",
            ),
            key(
                "listen",
                Kind::List(LISTEN),
                r#"["http://127.0.0.1:8080"]"#,
                "Addresses to accept clients on. Port 0 takes any free port.",
            ),
            key(
                "trusted_proxies",
                Kind::List("IP address or `IP/PREFIX`"),
                "[]",
                "Peers whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed, for example the ingress. From \
                 everybody else these headers are dropped.",
            ),
            key("workers", Kind::Number { from: 0, to: 1024 }, "0", "Worker threads; 0 = one for each core."),
            key(
                "drain_delay",
                Kind::Duration { from: "0s", to: "1h" },
                r#""5s""#,
                "How long new connections are still accepted after SIGTERM, while `/readyz` already says no. Longer than \
                 the load balancer needs to notice.",
            ),
            key(
                "drain_timeout",
                Kind::Duration { from: "1ms", to: "24h" },
                r#""20s""#,
                "How long requests in flight may take after that. Both together must stay below the pod's \
                 `terminationGracePeriodSeconds`.",
            ),
        ],
    },
    Section {
        path: "health",
        shape: Shape::Table,
        doc: "For the orchestrator and the metrics collector.",
        keys: &[key(
            "listen",
            Kind::Text(LISTEN),
            r#""http://127.0.0.1:9091""#,
            "Serves `/livez`, `/readyz` and `/metrics`, without authentication. In a pod write \
             `http://0.0.0.0:9091`, so that the kubelet reaches it.",
        )],
    },
    Section {
        path: "upstream",
        shape: Shape::Named,
        doc: "The API behind sidegate. `upstream.default` takes every request that no route sends elsewhere; without any \
              upstream section it has the defaults below.",
        keys: &[
            key(
                "url",
                Kind::Text("`http://HOST:PORT`"),
                r#""http://127.0.0.1:3000""#,
                "Where requests go. Port 80 if none is given; no path: what was requested is what is forwarded.",
            ),
            key(
                "connect_timeout",
                Kind::Duration { from: "1ms", to: "10m" },
                r#""2s""#,
                "Longest wait for a connection, then 502.",
            ),
            key(
                "response_timeout",
                Kind::Duration { from: "1ms", to: "24h" },
                r#""60s""#,
                "Longest silence while an answer is awaited or read, then 504.",
            ),
            key(
                "keep_alive",
                Kind::Duration { from: "1ms", to: "24h" },
                r#""4s""#,
                "How long an idle connection is kept for the next request. Shorter than the API's own keep-alive, or it \
                 closes connections that sidegate is about to use.",
            ),
            key(
                "authorization",
                Kind::Word(&["strip", "keep"]),
                r#""strip""#,
                "What becomes of the client's `Authorization` header. `keep` hands the access token to the API.",
            ),
        ],
    },
    Section {
        path: "limit",
        shape: Shape::Table,
        doc: "What a client may cost. What goes beyond is refused before the API sees it.",
        keys: &[
            key(
                "connections",
                Kind::Number { from: 1, to: 1_000_000 },
                "10000",
                "Client connections at once. Each may need two file descriptors.",
            ),
            key(
                "request_line",
                Kind::Size { from: "256B", to: "1MiB" },
                r#""8KiB""#,
                "Method, path and query together; longer is 414.",
            ),
            key(
                "headers",
                Kind::Size { from: "1KiB", to: "1MiB" },
                r#""64KiB""#,
                "All header lines of a request together; more is 431.",
            ),
            key(
                "authorization",
                Kind::Size { from: "1KiB", to: "1MiB" },
                r#""16KiB""#,
                "The `Authorization` header; longer is refused without a look at the token. At most `limit.headers`.",
            ),
            key(
                "endpoint_body",
                Kind::Size { from: "1KiB", to: "16MiB" },
                r#""16KiB""#,
                "Body of a request to sidegate's own endpoints; longer is 413. Bodies for the API are not limited.",
            ),
            key(
                "requests_per_connection",
                Kind::Number { from: 1, to: 4_294_967_295 },
                "10000",
                "A connection is closed after so many requests, so that clients spread over replicas again.",
            ),
            key(
                "header_timeout",
                Kind::Duration { from: "1ms", to: "10m" },
                r#""10s""#,
                "Longest time for the head of one request, from its first byte to its last; then 408.",
            ),
            key(
                "body_idle_timeout",
                Kind::Duration { from: "1ms", to: "24h" },
                r#""60s""#,
                "Longest silence of a client while its body is read or an answer is written to it.",
            ),
            key(
                "keep_alive",
                Kind::Duration { from: "1ms", to: "24h" },
                r#""75s""#,
                "Idle client connections are closed after this.",
            ),
            key(
                "stream_idle",
                Kind::Duration { from: "1ms", to: "365d" },
                r#""1h""#,
                "Longest silence on WebSockets and event streams.",
            ),
        ],
    },
    Section {
        path: "store",
        shape: Shape::Table,
        doc: "Where users, sessions, keys and revocations live.",
        keys: &[
            Key {
                name: "url",
                kind: Kind::Text("`sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`"),
                default: r#""sqlite:data/sidegate.db""#,
                doc: "SQLite is one file for one instance; replicas share a Postgres. A Postgres on another host needs \
                      `?sslmode=verify-full`. Write a password as `${VAR}`, or use `url_file`.",
                secret: true,
            },
            key(
                "url_file",
                Kind::Text("path, or `\"\"` = none"),
                r#""""#,
                "A file that holds the URL, for example a mounted secret; white space around it is dropped. Instead of \
                 `url`.",
            ),
            key(
                "ca_file",
                Kind::Text("path, or `\"\"` = the system's"),
                r#""""#,
                "PEM certificates that the Postgres server's certificate is checked against.",
            ),
            key(
                "connections",
                Kind::Number { from: 1, to: 1000 },
                "2",
                "Connections to the store. Only logins, refreshes and revocations need one, so a few are enough.",
            ),
            key(
                "timeout",
                Kind::Duration { from: "1ms", to: "1m" },
                r#""2s""#,
                "Longest wait for a connection and for each statement; then the client gets 503 with `Retry-After`.",
            ),
            key(
                "migrate",
                Kind::Word(&["auto", "check"]),
                r#""auto""#,
                "`auto` brings the schema up to date at each start, under a lock; `check` refuses to start until \
                 `sidegate migrate` has. For Postgres the default is `check`.",
            ),
            key(
                "danger_unverified_tls",
                Kind::Flag,
                "false",
                "Permits a Postgres on another host without `sslmode=verify-full`. Whoever can reach the network between \
                 the two can then take over every account.",
            ),
        ],
    },
    Section {
        path: "key",
        shape: Shape::Table,
        doc: "What tokens are signed with.",
        keys: &[
            key(
                "algorithm",
                Kind::Word(&["ES256", "HS256"]),
                r#""ES256""#,
                "Signature of access tokens. With `ES256` others can verify them by `/.well-known/jwks.json`; with \
                 `HS256` only sidegate can.",
            ),
            key(
                "secret_files",
                Kind::List("path"),
                r#"["data/secret"]"#,
                "Files with at least 32 random bytes each. The first one signs, the others only verify: to change the \
                 secret put a new file first and keep the old one for `session.max_ttl`. With SQLite a missing first file \
                 is made at the first start.",
            ),
        ],
    },
    Section {
        path: "access_token",
        shape: Shape::Table,
        doc: "The short-lived token that goes with every request.",
        keys: &[
            key(
                "issuer",
                Kind::Text("text without spaces, or `\"\"` = `server.public_url`"),
                r#""""#,
                "The `iss` claim. Tokens of another issuer are refused.",
            ),
            key(
                "audience",
                Kind::Text("text without spaces"),
                r#""api""#,
                "The `aud` claim: this application. Tokens for another audience are refused, so give each application of \
                 a realm its own.",
            ),
            key(
                "client_id",
                Kind::Text("text without spaces"),
                r#""first-party""#,
                "The `client_id` claim of tokens from our own login.",
            ),
            key(
                "ttl",
                Kind::Duration { from: "1s", to: "24h" },
                r#""10m""#,
                "How long an access token is valid; whole seconds. At most `session.idle_ttl`.",
            ),
            key(
                "leeway",
                Kind::Duration { from: "0s", to: "60s" },
                r#""5s""#,
                "How far the clocks of replicas may be apart when `exp` and `iat` are checked.",
            ),
        ],
    },
    Section {
        path: "session",
        shape: Shape::Table,
        doc: "One login, until it ends.",
        keys: &[
            key(
                "idle_ttl",
                Kind::Duration { from: "1s", to: "3650d" },
                r#""7d""#,
                "A session that is not refreshed for so long ends. At most `session.max_ttl`.",
            ),
            key(
                "max_ttl",
                Kind::Duration { from: "1s", to: "3650d" },
                r#""30d""#,
                "A session ends so long after its login, however often it is refreshed.",
            ),
            key(
                "per_subject",
                Kind::Number { from: 1, to: 10_000 },
                "50",
                "Sessions of one user at once; a further login ends the oldest.",
            ),
        ],
    },
    Section {
        path: "refresh",
        shape: Shape::Table,
        doc: "What a refresh token that has been used before still means. Windows count from the moment it was used.",
        keys: &[
            key(
                "on_retry",
                Kind::Word(&["refuse", "repeat"]),
                r#""refuse""#,
                "What a client gets that sends the token before the live one again, without an `Idempotency-Key`: a \
                 refusal, or the same successor once more. `refuse` makes a used token invalid at once.",
            ),
            key(
                "retry_window",
                Kind::Duration { from: "0s", to: "24h" },
                r#""10s""#,
                "How long `on_retry = \"repeat\"` repeats. At most `refresh.idempotency_window`.",
            ),
            key(
                "late_window",
                Kind::Duration { from: "0s", to: "24h" },
                r#""60s""#,
                "So long a used token is taken for a late duplicate: refused, but the session lives on. After that it is \
                 taken for a theft, and the session ends.",
            ),
            key(
                "late_elsewhere",
                Kind::Word(&["end", "keep"]),
                r#""end""#,
                "A late duplicate from another address and another user agent: `end` takes it for a theft, `keep` does \
                 not.",
            ),
            key(
                "idempotency_window",
                Kind::Duration { from: "0s", to: "24h" },
                r#""10m""#,
                "How long the same token with the same `Idempotency-Key` gets the same answer.",
            ),
        ],
    },
    Section {
        path: "revocation",
        shape: Shape::Table,
        doc: "How the end of a session reaches every replica.",
        keys: &[key(
            "poll_interval",
            Kind::Duration { from: "10ms", to: "60s" },
            r#""1s""#,
            "How often the store is asked for new revocations: the longest time a revoked token still passes on another \
             replica. For SQLite the default is `\"200ms\"`.",
        )],
    },
    Section {
        path: "verification",
        shape: Shape::Table,
        doc: "Checking access tokens.",
        keys: &[key(
            "cache",
            Kind::Size { from: "0B", to: "4GiB" },
            r#""16MiB""#,
            "Memory for verified tokens, so that a signature is checked once and not on every request. `0B` = off. \
             Revocations are checked on every request all the same.",
        )],
    },
    Section {
        path: "login",
        shape: Shape::Table,
        doc: "Who can log in.",
        keys: &[key(
            "provider",
            Kind::Word(&["users", "none"]),
            r#""users""#,
            "`users`: the users in the store, made with `sidegate user add`. `none`: no login here, the login endpoint is \
             off.",
        )],
    },
    Section {
        path: "login.users",
        shape: Shape::Table,
        doc: "For `provider = \"users\"`.",
        keys: &[
            key("min_length", Kind::Number { from: 8, to: 128 }, "12", "Fewest characters of a new password."),
            key(
                "argon2_memory",
                Kind::Size { from: "32KiB", to: "4GiB" },
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
    },
    Section {
        path: "endpoint",
        shape: Shape::Table,
        doc: "Paths that sidegate answers itself; they never reach the API.",
        keys: &[
            key("login", Kind::Text(ENDPOINT), r#""/login""#, "Name and password for a pair of tokens."),
            key("refresh", Kind::Text(ENDPOINT), r#""/refresh""#, "A refresh token for a new pair."),
            key("logout", Kind::Text(ENDPOINT), r#""/logout""#, "Ends the session of a refresh token."),
            key("logout_all", Kind::Text(ENDPOINT), r#""/auth/logout-all""#, "Ends every session of the user."),
        ],
    },
    Section {
        path: "identity",
        shape: Shape::Free,
        doc: "Headers that tell the API who is asking: each takes its value from one claim of the access token. They, and \
              the customary ones such as `Remote-User`, are removed from what clients send. The section replaces the \
              defaults as a whole; an empty one sets no header.",
        keys: &[key(
            "HEADER",
            Kind::Text("name of a claim"),
            "",
            "Lists are joined by commas; control characters, `%` and non-ASCII are percent-encoded. Defaults: \
             `X-Auth-Subject = \"sub\"`, `X-Auth-Roles = \"roles\"`, `X-Auth-Session = \"sid\"`.",
        )],
    },
    Section {
        path: "route",
        shape: Shape::List,
        doc: "Who may send what. The most specific path wins, wherever it stands in the file; then the rule that names \
              the method. What matches no rule needs a valid token.",
        keys: &[
            key(
                "path",
                Kind::TextOrList("path pattern"),
                "",
                "`{name}` stands for one segment, a last `/*` for this path and everything below. One pattern or a list.",
            ),
            key(
                "methods",
                Kind::List("method, upper case"),
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
            key("scopes", Kind::List("scope"), "[]", "The token must have all of them."),
            key("roles", Kind::List("role"), "[]", "The token must have one of them; `[]` = no role is asked for."),
            key(
                "claims",
                Kind::Map("claim = text, whole number or boolean"),
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
            key("upstream", Kind::Text("name of an `[upstream.NAME]`"), r#""default""#, "Where these requests go."),
        ],
    },
    Section {
        path: "log",
        shape: Shape::Table,
        doc: "To standard error. Tokens, passwords and queries are never logged.",
        keys: &[
            key(
                "level",
                Kind::Word(&["error", "warn", "info", "debug", "trace"]),
                r#""info""#,
                "The least important lines that are written.",
            ),
            key("format", Kind::Word(&["text", "json"]), r#""text""#, "`json` for log collectors."),
            key("access", Kind::Flag, "true", "One line for each request."),
        ],
    },
];
