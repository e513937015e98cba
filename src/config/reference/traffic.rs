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
            "Longest silence on WebSockets, and on event streams that the client asks for with `Accept: text/event-stream`; \
             for other answers `response_timeout` holds.",
        ),
    ],
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
