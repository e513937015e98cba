-- Everything of sidegate lives in the schema `sidegate`, and every statement names it: no search path is relied on.
-- Times are milliseconds since the Unix epoch. Names compare byte by byte, whatever the database's collation.

-- The one clock. Every statement reads it once.
CREATE FUNCTION sidegate.now_ms() RETURNS bigint LANGUAGE sql VOLATILE
    AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;

CREATE TABLE sidegate.realm (
    realm text COLLATE "C" PRIMARY KEY,
    epoch bigint NOT NULL,
    access_ttl bigint NOT NULL -- the longest ever used: revocations are kept that long
);

-- Operator secrets are named here, never kept.
CREATE TABLE sidegate.secret (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm text COLLATE "C" NOT NULL,
    fingerprint bytea NOT NULL,
    UNIQUE (realm, fingerprint)
);

CREATE TABLE sidegate.signing_key (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm text COLLATE "C" NOT NULL,
    kid text COLLATE "C" NOT NULL,
    algorithm text NOT NULL,
    secret bytea NOT NULL,
    sealed bytea NOT NULL,
    UNIQUE (realm, kid)
);

-- No row: 0.
CREATE TABLE sidegate.subject_epoch (
    realm text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    epoch bigint NOT NULL,
    PRIMARY KEY (realm, subject)
);

-- One row per login, for its whole life. A rotation changes no indexed column and finds room on its page, so that its
-- update stays heap-only.
CREATE TABLE sidegate.session (
    id bytea PRIMARY KEY,
    realm text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    client text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    hash bytea NOT NULL,
    salt bytea,
    recent bytea NOT NULL,
    realm_epoch bigint NOT NULL,
    subject_epoch bigint NOT NULL,
    created bigint NOT NULL,
    rotated bigint NOT NULL,
    idle_end bigint NOT NULL,
    absolute_end bigint NOT NULL,
    login_address text,
    login_user_agent text,
    last_address text,
    last_user_agent text,
    claims text NOT NULL,
    label text
) WITH (fillfactor = 80);
CREATE INDEX session_subject ON sidegate.session (realm, subject);
CREATE INDEX session_absolute_end ON sidegate.session (realm, absolute_end);

-- `txid` is the transaction that recorded the row: readers follow snapshots, so that a row of a transaction that
-- committed late is not skipped.
CREATE TABLE sidegate.revocation (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    realm text COLLATE "C" NOT NULL,
    kind text NOT NULL, -- session: `session`; subject: `subject` below `epoch`; realm: below `epoch`
    session bytea,
    subject text COLLATE "C",
    epoch bigint,
    until bigint NOT NULL
);
CREATE INDEX revocation_feed ON sidegate.revocation (realm, txid);
CREATE INDEX revocation_until ON sidegate.revocation (realm, until);

CREATE TABLE sidegate.users (
    realm text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    password_hash text COLLATE "C" NOT NULL,
    disabled boolean NOT NULL,
    claims text NOT NULL,
    PRIMARY KEY (realm, name),
    UNIQUE (realm, subject)
);
