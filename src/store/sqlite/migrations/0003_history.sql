-- Whether the store still has all that was stored in it: a count of heartbeats, and the latest stretch that was found to be
-- missing. And the last question that every replica is to answer.
CREATE TABLE history (
    realm TEXT PRIMARY KEY,
    beat INTEGER NOT NULL,
    beaten INTEGER NOT NULL,
    asked INTEGER NOT NULL,
    rollback_id INTEGER,
    rollback_since INTEGER,
    rollback_noticed INTEGER,
    rollback_asked INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO history (realm, beat, beaten, asked) SELECT realm, 0, 0, 0 FROM realm;

-- The question a replica has answered last.
ALTER TABLE replica ADD COLUMN heard INTEGER NOT NULL DEFAULT 0;

-- What is to be written back after a loss is looked for first.
CREATE INDEX revocation_session ON revocation (realm, session) WHERE session IS NOT NULL;
CREATE INDEX revocation_subject ON revocation (realm, subject) WHERE subject IS NOT NULL;

-- The oldest version of this schema whose programs can work with it as it is now.
CREATE TABLE usable_since (version INTEGER NOT NULL) STRICT;
INSERT INTO usable_since VALUES (3);
