-- The cookies that the upstream gave at login, sealed.
ALTER TABLE session ADD COLUMN vault BLOB;
ALTER TABLE session ADD COLUMN vault_version INTEGER NOT NULL DEFAULT 0;

-- The latest change of each session's vault, until no token carries an older one. A change of a change gets a number of
-- its own; readers go by it.
CREATE TABLE vault_change (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    realm TEXT NOT NULL,
    session BLOB NOT NULL,
    vault BLOB NOT NULL,
    vault_version INTEGER NOT NULL,
    until INTEGER NOT NULL,
    UNIQUE (realm, session)
) STRICT;
CREATE INDEX vault_change_feed ON vault_change (realm, seq);
CREATE INDEX vault_change_until ON vault_change (realm, until);
