-- Times are milliseconds since the Unix epoch. STRICT: a value of another type is refused, not converted.

CREATE TABLE realm (
    realm TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    access_ttl INTEGER NOT NULL -- the longest ever used: revocations are kept that long
) STRICT, WITHOUT ROWID;

-- Operator secrets are named here, never kept.
CREATE TABLE secret (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    realm TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    UNIQUE (realm, fingerprint)
) STRICT;

CREATE TABLE signing_key (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    realm TEXT NOT NULL,
    kid TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    secret BLOB NOT NULL,
    sealed BLOB NOT NULL,
    UNIQUE (realm, kid)
) STRICT;

-- No row: 0.
CREATE TABLE subject_epoch (
    realm TEXT NOT NULL,
    subject TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (realm, subject)
) STRICT, WITHOUT ROWID;

-- One row per login, for its whole life. A rotation changes no indexed column.
CREATE TABLE session (
    id BLOB PRIMARY KEY,
    realm TEXT NOT NULL,
    subject TEXT NOT NULL,
    client TEXT NOT NULL,
    generation INTEGER NOT NULL,
    hash BLOB NOT NULL,
    salt BLOB,
    recent BLOB NOT NULL,
    realm_epoch INTEGER NOT NULL,
    subject_epoch INTEGER NOT NULL,
    created INTEGER NOT NULL,
    rotated INTEGER NOT NULL,
    idle_end INTEGER NOT NULL,
    absolute_end INTEGER NOT NULL,
    login_address TEXT,
    login_user_agent TEXT,
    last_address TEXT,
    last_user_agent TEXT,
    claims TEXT NOT NULL,
    label TEXT
) STRICT;
CREATE INDEX session_subject ON session (realm, subject);
CREATE INDEX session_absolute_end ON session (realm, absolute_end);

-- AUTOINCREMENT: a number is never given twice, also after its row was purged; readers go by it.
CREATE TABLE revocation (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    realm TEXT NOT NULL,
    kind TEXT NOT NULL, -- session: `session`; subject: `subject` below `epoch`; realm: below `epoch`
    session BLOB,
    subject TEXT,
    epoch INTEGER,
    until INTEGER NOT NULL
) STRICT;
CREATE INDEX revocation_feed ON revocation (realm, seq);
CREATE INDEX revocation_until ON revocation (realm, until);

CREATE TABLE users (
    realm TEXT NOT NULL,
    name TEXT NOT NULL,
    subject TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    disabled INTEGER NOT NULL,
    claims TEXT NOT NULL,
    PRIMARY KEY (realm, name),
    UNIQUE (realm, subject)
) STRICT, WITHOUT ROWID;
