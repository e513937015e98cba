//! Where requests come from and go to: the top, `[server]` to `[limit]`, `[log]`.

use super::{Kind, Section, Shape, key};

pub(super) const TOP: Section = Section {
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
};

pub(super) const SERVER: Section = Section {
    path: "server",
    shape: Shape::Table,
    doc: "Where clients arrive, and how the process ends.",
    keys: &[
        key(
            "public_url",
            Kind::Text("an `http://` or `https://` URL"),
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
            Kind::List("an IP address or `IP/PREFIX`"),
            "[]",
            "Peers whose `X-Forwarded-For` is believed, for example the ingress. What everybody else sends there is \
                 replaced.",
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
};

pub(super) const HEALTH: Section = Section {
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
};

pub(super) const ADMIN: Section = Section {
    path: "admin",
    shape: Shape::Table,
    doc: "For the operator: `sidegate drain` and `sidegate revoke --wait` call the running sidegate here.",
    keys: &[
        key(
            "listen",
            Kind::Text("`unix:PATH`, `http://127.0.0.1:PORT`, or `\"\"` = off"),
            r#""unix:data/admin.sock""#,
            "A socket that only the user sidegate runs as can open, and root; its folder is made if it is missing. Each \
             sidegate needs one of its own. An address must be on the loopback, and needs `token_file`.",
        ),
        key(
            "token_file",
            Kind::Text("a path"),
            r#""""#,
            "Holds what a caller of an `http://` address has to know: at least 32 random characters. Read at each call, so \
             that it can be changed at any time.",
        ),
    ],
};

pub(super) const UPSTREAM: Section = Section {
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
            "Longest wait for a connection, then 504.",
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
};

pub(super) const LIMIT: Section = Section {
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
            "Longest silence of a client while its body is read or an answer is written to it. A client that has kept \
             one body waiting for so long in all must have sent 500 bytes for each second of it.",
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
            "Longest silence on WebSockets, and on event streams that the client asks for with `Accept: text/event-stream`; \
             for other answers `response_timeout` holds.",
        ),
    ],
};

pub(super) const RATE: Section = Section {
    path: "rate",
    shape: Shape::Table,
    doc: "How often is too often. Who is too fast gets 429 with `Retry-After`, and is served again after that: nobody is \
          locked out. Limits on logins and refreshes count for all instances together, on bad tokens for each by itself. \
          Addresses are those that `server.trusted_proxies` vouches for; an IPv6 client counts by its /64.",
    keys: &[
        key(
            "login_per_account",
            Kind::Rate,
            r#""10/15m""#,
            "Attempts to log in with one name, whether or not somebody has it. A login that succeeds makes the count \
             whole again. Where the user is logged in already, the same address has a count of its own, so that strangers \
             cannot keep the owner out. Guesses of the current password at `/auth/password` are counted for each session.",
        ),
        key("login_per_address", Kind::Rate, r#""60/1m""#, "Attempts to log in from one address, whatever the name."),
        key("refresh_per_session", Kind::Rate, r#""30/1m""#, "Refreshes of one session."),
        key(
            "bad_tokens_per_address",
            Kind::Rate,
            r#""600/1m""#,
            "Requests from one address with a token that was never genuine; expired and revoked ones do not count. Good \
             tokens from there go on being served.",
        ),
    ],
};

pub(super) const AUDIT: Section = Section {
    path: "audit",
    shape: Shape::Table,
    doc: "One JSON line for each event of authentication: logins, refreshes and their verdicts, logouts, revocations, \
          passwords, users, keys, limits. [docs/audit.md](audit.md) names every event and field.",
    keys: &[key(
        "output",
        Kind::Text("`\"stdout\"`, `\"file:PATH\"`, or `\"\"` = off"),
        r#""stdout""#,
        "Where the lines go. A file is opened anew for each line, so that it can be moved away at any time. Commands \
         write to the same file, or to standard error instead of standard output. A line that cannot be written goes \
         to the log as an error, and is counted.",
    )],
};

pub(super) const LOG: Section = Section {
    path: "log",
    shape: Shape::Table,
    doc: "To standard output. Tokens, passwords and queries are never logged.",
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
};

const LISTEN: &str = "`http://IP:PORT`";
