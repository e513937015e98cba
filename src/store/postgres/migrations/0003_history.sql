-- Whether the store still has all that was stored in it: the server it was kept on, a count of heartbeats, and the latest
-- stretch that was found to be missing. And the last question that every replica is to answer.
CREATE TABLE sidegate.history (
    realm text COLLATE "C" PRIMARY KEY,
    server text NOT NULL, -- empty: nobody has said yet
    beat bigint NOT NULL,
    beaten bigint NOT NULL,
    asked bigint NOT NULL,
    rollback_id bigint,
    rollback_since bigint,
    rollback_noticed bigint,
    rollback_asked bigint
);
INSERT INTO sidegate.history (realm, server, beat, beaten, asked) SELECT realm, '', 0, 0, 0 FROM sidegate.realm;

-- The question a replica has answered last.
ALTER TABLE sidegate.replica ADD COLUMN heard bigint NOT NULL DEFAULT 0;

-- Names this server and its line of history: a promotion begins another line, a restart does not.
CREATE FUNCTION sidegate.server() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
    BEGIN
        RETURN (SELECT system_identifier FROM pg_control_system()) || '/'
            || left(pg_walfile_name(pg_current_wal_lsn()), 8);
    END
$$;

-- Whoever records a revocation, by whatever statement, wakes those who wait for one. Everybody may send a wake-up: it
-- says nothing but that there may be something to read.
CREATE FUNCTION sidegate.wake() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('sidegate', touched.realm) FROM (SELECT DISTINCT realm FROM added) AS touched;
        RETURN NULL;
    END
$$;
CREATE TRIGGER revocation_wakes AFTER INSERT ON sidegate.revocation
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION sidegate.wake();

-- What is to be written back after a loss is looked for first.
CREATE INDEX revocation_session ON sidegate.revocation (realm, session) WHERE session IS NOT NULL;
CREATE INDEX revocation_subject ON sidegate.revocation (realm, subject) WHERE subject IS NOT NULL;

-- The oldest version of this schema whose programs can work with it as it is now.
CREATE TABLE sidegate.usable_since (version bigint NOT NULL);
INSERT INTO sidegate.usable_since VALUES (3);
