//! What is remembered and issued: `[store]` to `[verification]`.

use super::{Key, Kind, Section, Shape, key};

pub(super) const STORE: Section = Section {
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
            Kind::Text("a path, or `\"\"` = none"),
            r#""""#,
            "A file that holds the URL, for example a mounted secret; white space around it is dropped. Instead of \
             `url`. Read again while sidegate runs: a Postgres URL that has changed is used as soon as a connection can \
             be made with it.",
        ),
        key(
            "password_file",
            Kind::Text("a path, or `\"\"` = none"),
            r#""""#,
            "A file that holds the Postgres password, instead of the URL's own; white space around it is dropped. Read \
             again while sidegate runs, as `url_file` is.",
        ),
        key(
            "listen_url_file",
            Kind::Text("a path, or `\"\"` = none"),
            r#""""#,
            "A file that holds a URL of the same Postgres that leads around a pooler: LISTEN needs a session of its own. \
             One connection is made with it; `password_file` and the rules for TLS hold for it too.",
        ),
        key(
            "ca_file",
            Kind::Text("a path, or `\"\"` = the system's"),
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
            "after_rollback",
            Kind::Word(&["refuse", "adopt"]),
            r#""refuse""#,
            "What a refresh token gets that is newer than the store, when that has lost its last seconds: a standby was \
             promoted, a backup restored. `refuse`: the person logs in again. `adopt`: the session goes on from the token, if \
             it lacks two turns at most; a logout that was lost as well, and that no running instance remembers, is then \
             undone.",
        ),
        key(
            "danger_unverified_tls",
            Kind::Flag,
            "false",
            "Permits a Postgres on another host without `sslmode=verify-full`. Whoever can reach the network between \
             the two can then take over every account.",
        ),
    ],
};

pub(super) const KEY: Section = Section {
    path: "key",
    shape: Shape::Table,
    doc: "What tokens are signed with.",
    keys: &[
        key(
            "algorithm",
            Kind::Word(&["ES256", "ES384", "EdDSA", "RS256", "PS256", "HS256", "HS384", "HS512"]),
            r#""ES256""#,
            "Signature of access tokens. With `HS…` only sidegate can verify them, with the others everybody who reads \
             `/.well-known/jwks.json`. Keys for `RS256` and `PS256` are made elsewhere and brought by `sidegate keys \
             import`, all others by sidegate itself. After a change the next `sidegate migrate` makes a key, which signs after \
             `publish_ahead`; the old one goes on verifying.",
        ),
        key(
            "secret_files",
            Kind::List("a path"),
            r#"["data/secret"]"#,
            "Files with at least 32 random bytes each. The first one that every running instance has signs, the others \
             only verify: to change the secret, put the new file first and keep the old one; take that away after \
             `session.max_ttl`. With SQLite a missing first file is made at the first start.",
        ),
        key(
            "rotate_every",
            Kind::Duration { from: "0s", to: "1000d" },
            r#""0s""#,
            "How long a key signs before a new one takes over by itself; `0s`: only when `sidegate keys rotate` says so.",
        ),
        key(
            "publish_ahead",
            Kind::Duration { from: "0s", to: "30d" },
            r#""1h""#,
            "How long a new key is published before it signs: longer than others keep `/.well-known/jwks.json`.",
        ),
    ],
};

pub(super) const ACCESS_TOKEN: Section = Section {
    path: "access_token",
    shape: Shape::Table,
    doc: "The short-lived token that goes with every request.",
    keys: &[
        key(
            "issuer",
            Kind::Text("a text without spaces, or `\"\"` = `server.public_url`"),
            r#""""#,
            "The `iss` claim. Tokens of another issuer are refused.",
        ),
        key(
            "audience",
            Kind::Text("a text without spaces"),
            r#""api""#,
            "The `aud` claim: this application. Tokens for another audience are refused, so give each application of \
             a realm its own.",
        ),
        key(
            "client_id",
            Kind::Text("a text without spaces"),
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
};

pub(super) const SESSION: Section = Section {
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
};

pub(super) const REFRESH: Section = Section {
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
};

pub(super) const REVOCATION: Section = Section {
    path: "revocation",
    shape: Shape::Table,
    doc: "How the end of a session reaches every replica.",
    keys: &[
        key(
            "feed",
            Kind::Word(&["listen", "poll"]),
            r#""listen""#,
            "`listen`: Postgres wakes every replica at each revocation, on a connection of its own; where wake-ups do not \
             come, behind some poolers, sidegate says so and polls. `poll`: only by asking. SQLite is always polled.",
        ),
        key(
            "poll_interval",
            Kind::Duration { from: "10ms", to: "10s" },
            r#""1s""#,
            "How often the store is asked for new revocations, also when something wakes us: the longest time a revoked \
             token still passes on another replica. For SQLite the default is `\"200ms\"`.",
        ),
        key(
            "max_staleness",
            Kind::Duration { from: "1s", to: "1h" },
            r#""30s""#,
            "After so long without an answer from the store it is not known what has been revoked meanwhile. Longer than \
             `poll_interval`.",
        ),
        key(
            "when_stale",
            Kind::Word(&["allow", "deny"]),
            r#""allow""#,
            "What a token is worth then. `allow`: as much as ever, and an outage of the store is none of the API. `deny`: \
             nothing, its requests get 503. Routes may say otherwise. Access tokens end by themselves after \
             `access_token.ttl` either way.",
        ),
    ],
};

pub(super) const VERIFICATION: Section = Section {
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
};
