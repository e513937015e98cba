//! The statements. Each one is atomic by itself and reads the clock once.
//!
//! `$1` is always the realm. What a statement changes and records is in one `WITH`, so that no transaction has to be
//! held open between us and the server.

use super::super::rows::{session_columns, user_columns};
use super::piece::Followed;

/// The clock, read once: a `VOLATILE` function in a materialised table of one row.
macro_rules! clock {
    () => {
        "WITH clock AS MATERIALIZED (SELECT sidegate.now_ms() AS now)"
    };
}

macro_rules! realm_epoch {
    () => {
        "COALESCE((SELECT r.epoch FROM sidegate.realm r WHERE r.realm = $1), 0)"
    };
}

/// Of the subject that the given expression names.
macro_rules! subject_epoch {
    ($subject:literal) => {
        concat!(
            "COALESCE((SELECT e.epoch FROM sidegate.subject_epoch e WHERE e.realm = $1 AND e.subject = ",
            $subject,
            "), 0)"
        )
    };
}

/// Until when a revocation recorded now is kept: the longest access token of the realm, and `$2`, the allowance.
macro_rules! until {
    () => {
        "(SELECT now FROM clock) + $2 + COALESCE((SELECT r.access_ttl FROM sidegate.realm r WHERE r.realm = $1), 0)"
    };
}

/// Increments the counter of the subject in `changed`, records it, and answers the new value; no row if `changed` is
/// empty.
macro_rules! bump_changed_subject {
    () => {
        concat!(
            ", bumped AS (
                INSERT INTO sidegate.subject_epoch AS e (realm, subject, epoch) SELECT $1, subject, 1 FROM changed
                ON CONFLICT (realm, subject) DO UPDATE SET epoch = e.epoch + 1
                RETURNING subject, epoch
            ), recorded AS (
                INSERT INTO sidegate.revocation (realm, kind, subject, epoch, until)
                SELECT $1, 'subject', subject, epoch, ",
            until!(),
            " FROM bumped
            )"
        )
    };
}

/// `$2` access-token lifetime.
pub(super) const JOIN: &str = "
    WITH joined AS (
        INSERT INTO sidegate.realm AS r (realm, epoch, access_ttl) VALUES ($1, 0, $2)
        ON CONFLICT (realm) DO UPDATE SET access_ttl = GREATEST(r.access_ttl, EXCLUDED.access_ttl)
        RETURNING epoch
    ), followed AS (
        INSERT INTO sidegate.history (realm, server, beat, beaten, asked)
        VALUES ($1, sidegate.server(), 0, sidegate.now_ms(), 0) ON CONFLICT DO NOTHING
    )
    SELECT epoch, sidegate.now_ms() AS now,
        ARRAY(SELECT fingerprint FROM sidegate.secret WHERE realm = $1 ORDER BY seq) AS secrets
    FROM joined";

/// `$2` fingerprint, `$3` whether only as the first. Under the realm's lock.
pub(super) const ADD_SECRET: &str = "
    WITH added AS (
        INSERT INTO sidegate.secret (realm, fingerprint)
        SELECT $1, $2 WHERE NOT ($3 AND EXISTS (SELECT FROM sidegate.secret WHERE realm = $1))
        ON CONFLICT DO NOTHING
        RETURNING seq, fingerprint
    )
    SELECT seq, fingerprint FROM sidegate.secret WHERE realm = $1
    UNION ALL SELECT seq, fingerprint FROM added
    ORDER BY seq";

/// `$2` fingerprint.
pub(super) const REMOVE_SECRET: &str =
    "DELETE FROM sidegate.secret WHERE realm = $1 AND fingerprint = $2 RETURNING fingerprint";

/// One row at least: a realm without keys has a version, too.
pub(super) const SIGNING_KEYS: &str = "
    SELECT COALESCE(r.keys_version, 0) AS keys_version, COALESCE(r.access_ttl, 0) AS access_ttl,
        sidegate.now_ms() AS now, k.kid, k.algorithm, k.secret, k.sealed, k.added, k.signs_from, k.banned
    FROM (SELECT $1::text AS realm) AS this
    LEFT JOIN sidegate.realm r ON r.realm = this.realm
    LEFT JOIN sidegate.signing_key k ON k.realm = this.realm
    ORDER BY k.seq";

/// A change of the keys, which happens only in the turn of the version `$2` that was read. It wakes everybody: a key may have
/// been retired because it leaked.
macro_rules! change_keys {
    ($change:literal) => {
        concat!(
            clock!(),
            ", turned AS (
                UPDATE sidegate.realm SET keys_version = keys_version + 1 WHERE realm = $1 AND keys_version = $2
                RETURNING keys_version
            ), changed AS (",
            $change,
            ") SELECT EXISTS (SELECT FROM turned) AS turned,
                (SELECT pg_notify('sidegate', $1)::text FROM turned) AS woken"
        )
    };
}

/// `$3` kid, `$4` algorithm, `$5` secret, `$6` sealed, `$7` after how long it signs.
pub(super) const ADD_KEY: &str = change_keys!(
    "INSERT INTO sidegate.signing_key (realm, kid, algorithm, secret, sealed, added, signs_from)
    SELECT $1, $3, $4, $5, $6, now, now + $7::bigint FROM turned, clock ON CONFLICT DO NOTHING"
);

/// `$3` kid, `$4` after how long.
pub(super) const LET_SIGN: &str = change_keys!(
    "UPDATE sidegate.signing_key SET signs_from = now + $4 FROM turned, clock
    WHERE realm = $1 AND kid = $3 AND signs_from IS NULL AND banned IS NULL"
);

/// `$3` kid, `$4` secret, `$5` sealed anew.
pub(super) const RESEAL: &str = change_keys!(
    "UPDATE sidegate.signing_key SET secret = $4, sealed = $5 FROM turned
    WHERE realm = $1 AND kid = $3 AND banned IS NULL"
);

/// `$3` kid.
pub(super) const BAN_KEY: &str = change_keys!(
    "UPDATE sidegate.signing_key SET banned = now, sealed = ''::bytea FROM turned, clock
    WHERE realm = $1 AND kid = $3 AND banned IS NULL"
);

/// `$3` kid.
pub(super) const REMOVE_KEY: &str =
    change_keys!("DELETE FROM sidegate.signing_key USING turned WHERE realm = $1 AND kid = $3 AND banned IS NULL");

/// `$2` id, `$3` name, `$4` secrets, `$5` the question it has answered.
pub(super) const REPORT: &str = "
    INSERT INTO sidegate.replica (realm, id, name, seen, secrets, heard)
    VALUES ($1, $2, $3, sidegate.now_ms(), $4, $5)
    ON CONFLICT (realm, id) DO UPDATE SET name = EXCLUDED.name, seen = EXCLUDED.seen, secrets = EXCLUDED.secrets,
        heard = EXCLUDED.heard";

/// `$2` how long somebody counts as there.
pub(super) const REPLICAS: &str = concat!(
    clock!(),
    " SELECT id, name, secrets, heard FROM sidegate.replica, clock WHERE realm = $1 AND seen >= now - $2 ORDER BY id"
);

/// `$2` id.
pub(super) const LEAVE: &str = "DELETE FROM sidegate.replica WHERE realm = $1 AND id = $2";

/// `$2` bucket, `$3` pace, `$4` how long an empty bucket takes to fill: [`crate::domain::rate::Rate::take`].
pub(super) const TAKE: &str = concat!(
    clock!(),
    ", took AS (
        INSERT INTO sidegate.bucket AS b (realm, bucket, whole_at) SELECT $1, $2, now + $3 FROM clock
        ON CONFLICT (realm, bucket) DO UPDATE SET whole_at =
            LEAST(GREATEST(b.whole_at, (SELECT now FROM clock)), (SELECT now FROM clock) + $4) + $3
        WHERE LEAST(b.whole_at, (SELECT now FROM clock) + $4) + $3 <= (SELECT now FROM clock) + $4
        RETURNING b.bucket
    )
    SELECT clock.now, EXISTS (SELECT FROM took) AS taken,
        (SELECT b.whole_at FROM sidegate.bucket b WHERE b.realm = $1 AND b.bucket = $2) AS whole_at
    FROM clock"
);

/// `$2` bucket.
pub(super) const REFILL: &str = "DELETE FROM sidegate.bucket WHERE realm = $1 AND bucket = $2";

/// `$2` subject.
pub(super) const EPOCHS: &str =
    concat!("SELECT ", realm_epoch!(), " AS realm_epoch, ", subject_epoch!("$2"), " AS subject_epoch");

/// `$2` allowance, `$3` most, `$4` id, `$5` subject, `$6` client, `$7` hash, `$8` and `$9` epochs, `$10` address,
/// `$11` user agent, `$12` claims, `$13` label, `$14` idle and `$15` absolute lifetime, `$16` vault and `$17` its version. Under the subject's lock. No row
/// if an epoch has moved.
pub(super) const CREATE_SESSION: &str = concat!(
    clock!(),
    ", added AS (
        INSERT INTO sidegate.session (id, realm, subject, client, generation, hash, salt, recent, realm_epoch,
            subject_epoch, created, rotated, idle_end, absolute_end, login_address, login_user_agent, last_address,
            last_user_agent, claims, label, vault, vault_version)
        SELECT $4, $1, $5, $6, 0, $7, NULL, ''::bytea, $8, $9, now, now, now + LEAST($14::bigint, $15::bigint),
            now + $15::bigint, $10, $11, $10, $11, $12, $13, $16, $17
        FROM clock WHERE $8 = ",
    realm_epoch!(),
    " AND $9 = ",
    subject_epoch!("$5"),
    " RETURNING ",
    session_columns!(),
    "), surplus AS MATERIALIZED (
        SELECT s.id FROM sidegate.session s, clock, added
        WHERE s.realm = $1 AND s.subject = $5 AND s.idle_end > now AND s.absolute_end > now
            AND s.realm_epoch = $8 AND s.subject_epoch = $9
        ORDER BY s.created DESC, s.id DESC OFFSET $3 - 1
    ), ended AS (
        DELETE FROM sidegate.session s USING surplus WHERE s.id = surplus.id RETURNING s.id, s.created
    ), recorded AS (
        INSERT INTO sidegate.revocation (realm, kind, session, until) SELECT $1, 'session', id, ",
    until!(),
    " FROM ended ORDER BY created, id
    )
    SELECT ",
    session_columns!(),
    ", ARRAY(SELECT ended.id FROM ended ORDER BY ended.created, ended.id) AS ended FROM added"
);

/// `$2` id, `$3` client, `$4` presented generation, `$5` the row's hash, `$6` successor hash, `$7` salt, `$8` idle
/// lifetime, `$9` address, `$10` user agent, `$11` presented generation as four bytes, `$12` MAC, `$13` longest window,
/// `$14` how many turns the row is behind.
pub(super) const SWAP: &str = concat!(
    clock!(),
    " UPDATE sidegate.session s SET
        generation = $4 + 1,
        hash = $6,
        salt = $7,
        rotated = now,
        idle_end = LEAST(s.absolute_end, now + $8),
        last_address = $9,
        last_user_agent = $10,
        recent = $11::bytea || int8send(now) || $12::bytea
            || CASE WHEN s.rotated < now - $13 THEN ''::bytea ELSE substr(s.recent, 1, 15 * 28) END
    FROM clock
    WHERE s.id = $2 AND s.realm = $1 AND s.client = $3 AND s.generation = $4 - $14 AND $4 < 4294967295
        AND s.hash = $5 AND s.idle_end > now AND s.absolute_end > now AND s.realm_epoch = ",
    realm_epoch!(),
    " AND s.subject_epoch = ",
    subject_epoch!("s.subject"),
    " RETURNING now, ",
    session_columns!()
);

/// `$2` id.
pub(super) const SESSION: &str = concat!(
    "SELECT ",
    session_columns!(),
    ", ",
    realm_epoch!(),
    " AS current_realm_epoch, ",
    subject_epoch!("s.subject"),
    " AS current_subject_epoch, sidegate.now_ms() AS now, h.rollback_id, h.rollback_since, h.rollback_noticed, h.rollback_asked
    FROM sidegate.session s LEFT JOIN sidegate.history h ON h.realm = s.realm WHERE s.id = $2 AND s.realm = $1"
);

/// `$2` subject.
pub(super) const SESSIONS_OF: &str = concat!(
    clock!(),
    " SELECT ",
    session_columns!(),
    " FROM sidegate.session s, clock
    WHERE s.realm = $1 AND s.subject = $2 AND s.idle_end > now AND s.absolute_end > now AND s.realm_epoch = ",
    realm_epoch!(),
    " AND s.subject_epoch = ",
    subject_epoch!("$2"),
    " ORDER BY s.created DESC, s.id DESC"
);

/// `$2` allowance, `$3` id.
pub(super) const END_SESSION: &str = concat!(
    clock!(),
    ", ended AS (
        DELETE FROM sidegate.session WHERE id = $3 AND realm = $1 RETURNING id
    ), recorded AS (
        INSERT INTO sidegate.revocation (realm, kind, session, until) SELECT $1, 'session', id, ",
    until!(),
    " FROM ended
    )
    SELECT EXISTS (SELECT FROM ended) AS existed"
);

/// `$2` the id before, `$3` most. One row at least. Rows of any realm are counted, so that the primary key alone decides
/// which are looked at: no plan sorts a whole realm.
pub(super) const LIVING_SESSIONS: &str = concat!(
    clock!(),
    ", looked AS MATERIALIZED (
        SELECT * FROM sidegate.session WHERE id > $2 ORDER BY id LIMIT $3
    ), page AS (
        SELECT count(*) AS looked_at, (SELECT l.id FROM looked l ORDER BY l.id DESC LIMIT 1) AS last_id FROM looked
    ), living AS (
        SELECT l.* FROM looked l, clock
        WHERE l.realm = $1 AND l.idle_end > now AND l.absolute_end > now AND l.realm_epoch = ",
    realm_epoch!(),
    " AND l.subject_epoch = ",
    subject_epoch!("l.subject"),
    ")
    SELECT looked_at, last_id, ",
    session_columns!(),
    " FROM page LEFT JOIN living ON true ORDER BY id"
);

/// `$2` allowance, `$3` ids.
pub(super) const END_SESSIONS: &str = concat!(
    clock!(),
    ", ended AS (
        DELETE FROM sidegate.session WHERE id = ANY($3) AND realm = $1 RETURNING id
    ), recorded AS (
        INSERT INTO sidegate.revocation (realm, kind, session, until) SELECT $1, 'session', id, ",
    until!(),
    " FROM ended
    )
    SELECT count(*) AS ended FROM ended"
);

/// `$2` allowance, `$3` subject.
pub(super) const END_SUBJECT: &str = concat!(
    clock!(),
    ", changed AS (SELECT $3::text AS subject)",
    bump_changed_subject!(),
    " SELECT epoch FROM bumped"
);

/// `$2` allowance, `$3` subject, `$4` the session that goes on. Its row is locked first: whatever comes between would else be
/// compared as it was when the statement began, and the locks of a session and a counter are always taken in this order.
pub(super) const END_OTHERS: &str = concat!(
    clock!(),
    ", held AS MATERIALIZED (
        SELECT s.id, s.subject_epoch FROM sidegate.session s
        WHERE s.id = $4 AND s.realm = $1 AND s.subject = $3
        FOR UPDATE
    ), changed AS MATERIALIZED (SELECT $3::text AS subject, count(*) AS locked FROM held)",
    bump_changed_subject!(),
    ", carried AS (
        UPDATE sidegate.session s SET subject_epoch = bumped.epoch FROM held, bumped
        WHERE s.id = held.id AND held.subject_epoch = bumped.epoch - 1
    )
    SELECT epoch FROM bumped"
);

/// `$2` allowance.
pub(super) const END_REALM: &str = concat!(
    clock!(),
    ", bumped AS (
        INSERT INTO sidegate.realm AS r (realm, epoch, access_ttl) VALUES ($1, 1, 0)
        ON CONFLICT (realm) DO UPDATE SET epoch = r.epoch + 1
        RETURNING epoch
    ), recorded AS (
        INSERT INTO sidegate.revocation (realm, kind, epoch, until) SELECT $1, 'realm', epoch, ",
    until!(),
    " FROM bumped
    )
    SELECT epoch FROM bumped"
);

/// One row at least: a page without revocations has a position, too. What its snapshot did not show yet is what is not
/// visible in it, looked at from the next one.
macro_rules! page {
    ($looked_at:literal, $found:literal) => {
        concat!(
            "WITH page AS MATERIALIZED (
                SELECT sidegate.now_ms() AS now, pg_current_snapshot() AS snapshot,
                    (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS server_start,
                    sidegate.server() AS server
            ), looked_at AS MATERIALIZED (
                SELECT * FROM sidegate.revocation v WHERE v.seq > $2 AND ",
            $looked_at,
            " ORDER BY v.seq LIMIT $3
            ), found AS (
                SELECT v.* FROM looked_at v, page WHERE ",
            $found,
            ")
            SELECT page.now, (SELECT count(*) FROM looked_at) AS looked_at,
                COALESCE((SELECT max(l.seq) FROM looked_at l), $2) AS last_seq,
                page.snapshot::text AS snapshot, page.server_start, page.server,
                COALESCE(h.server, '') AS known, COALESCE(h.beat, 0) AS beat, COALESCE(h.beaten, 0) AS beaten,
                COALESCE(h.asked, 0) AS asked, h.rollback_id, h.rollback_since, h.rollback_noticed, h.rollback_asked, ",
            realm_epoch!(),
            " AS realm_epoch,
                COALESCE((SELECT r.keys_version FROM sidegate.realm r WHERE r.realm = $1), 0) AS keys_version,
                v.kind, v.session, v.subject, v.epoch, v.until
            FROM page LEFT JOIN sidegate.history h ON h.realm = $1 LEFT JOIN found v ON true
            ORDER BY v.seq"
        )
    };
}

/// Rows of the whole are taken as they come, of whichever realm: a walk that ends, whatever the planner thinks of the table.
pub(super) const REVOCATIONS: Followed = Followed {
    whole: page!("true", "v.realm = $1 AND v.until > page.now"),
    since: page!(
        "v.realm = $1 AND v.txid >= pg_snapshot_xmin($4::text::pg_snapshot)
            AND NOT pg_visible_in_snapshot(v.txid, $4::text::pg_snapshot)",
        "true"
    ),
};

/// `$2` allowance, `$3` session, `$4` the version it had, `$5` vault and `$6` its version, `$7` whether everybody is woken.
pub(super) const CHANGE_VAULT: &str = concat!(
    clock!(),
    ", changed AS (
        UPDATE sidegate.session SET vault = $5, vault_version = $6
        WHERE id = $3 AND realm = $1 AND vault_version = $4
        RETURNING id
    ), recorded AS (
        INSERT INTO sidegate.vault_change (realm, session, vault, vault_version, until) SELECT $1, id, $5, $6, ",
    until!(),
    " FROM changed
        ON CONFLICT (realm, session) DO UPDATE SET seq = EXCLUDED.seq, txid = EXCLUDED.txid, vault = EXCLUDED.vault,
            vault_version = EXCLUDED.vault_version, until = EXCLUDED.until
    )
    SELECT EXISTS (SELECT FROM changed) AS changed, (SELECT pg_notify('sidegate', $1)::text FROM changed WHERE $7) AS woken"
);

/// As [`page!`].
macro_rules! vault_page {
    ($looked_at:literal, $found:literal) => {
        concat!(
            "WITH page AS MATERIALIZED (
                SELECT sidegate.now_ms() AS now, pg_current_snapshot() AS snapshot,
                    (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS server_start
            ), looked_at AS MATERIALIZED (
                SELECT * FROM sidegate.vault_change v WHERE v.seq > $2 AND ",
            $looked_at,
            " ORDER BY v.seq LIMIT $3
            ), found AS (
                SELECT v.* FROM looked_at v, page WHERE ",
            $found,
            ")
            SELECT (SELECT count(*) FROM looked_at) AS looked_at,
                COALESCE((SELECT max(l.seq) FROM looked_at l), $2) AS last_seq,
                page.snapshot::text AS snapshot, page.server_start, v.session, v.vault, v.vault_version, v.until
            FROM page LEFT JOIN found v ON true ORDER BY v.seq"
        )
    };
}

/// As [`REVOCATIONS`].
pub(super) const VAULT_CHANGES: Followed = Followed {
    whole: vault_page!("true", "v.realm = $1 AND v.until > page.now"),
    since: vault_page!(
        "v.realm = $1 AND v.txid >= pg_snapshot_xmin($4::text::pg_snapshot)
            AND NOT pg_visible_in_snapshot(v.txid, $4::text::pg_snapshot)",
        "true"
    ),
};

/// Wakes those who follow the realm.
pub(super) const WAKE: &str = "SELECT pg_notify('sidegate', $1)::text AS woken";

/// `$2` how often. Only on the server that the realm is known to be kept on: what is lost is to be noticed first. A beat
/// that lies in the future was written before the clock stepped back.
pub(super) const BEAT: &str = concat!(
    clock!(),
    ", beaten AS (
        INSERT INTO sidegate.history AS h (realm, server, beat, beaten, asked)
        SELECT $1, sidegate.server(), 1, now, 0 FROM clock
        ON CONFLICT (realm) DO UPDATE SET beat = h.beat + 1, beaten = EXCLUDED.beaten, server = EXCLUDED.server
        WHERE h.server IN ('', EXCLUDED.server)
            AND (h.beaten <= EXCLUDED.beaten - $2 OR h.beaten > EXCLUDED.beaten)
        RETURNING beat
    )
    SELECT beat, pg_notify('sidegate', $1)::text AS woken FROM beaten"
);

pub(super) const ASK: &str = concat!(
    clock!(),
    ", asked AS (
        INSERT INTO sidegate.history AS h (realm, server, beat, beaten, asked)
        SELECT $1, '', 0, now, 1 FROM clock
        ON CONFLICT (realm) DO UPDATE SET asked = h.asked + 1
        RETURNING asked
    )
    SELECT asked, pg_notify('sidegate', $1)::text AS woken FROM asked"
);

/// `$2` id, `$3` the server and `$4` the beat that were read, `$5` the highest beat seen, `$6` how long
/// somebody counts as there. Rows whose transaction is yet to come,
/// in a younger cluster, count as written now: they would be news for ever. The counts jump, so that nobody
/// who saw a few more takes it for another loss, or for answered.
pub(super) const NOTE_ROLLBACK: &str = concat!(
    clock!(),
    ", noted AS (
        UPDATE sidegate.history h SET server = sidegate.server(), beat = GREATEST(h.beat, $5) + 1000, beaten = now,
            rollback_id = $2, rollback_since = h.beaten, rollback_noticed = now,
            asked = h.asked + 1000, rollback_asked = h.asked + 1000
        FROM clock WHERE h.realm = $1 AND h.server = $3 AND h.beat = $4
        RETURNING h.beat, h.rollback_since AS since, h.rollback_noticed AS noticed
    ), keys AS (
        UPDATE sidegate.realm r SET keys_version = r.keys_version + 1000 FROM noted WHERE r.realm = $1
    ), moved AS (
        UPDATE sidegate.revocation v SET txid = pg_current_xact_id() FROM noted
        WHERE v.realm = $1 AND v.txid > pg_current_xact_id()
    ), moved_vaults AS (
        UPDATE sidegate.vault_change v SET txid = pg_current_xact_id() FROM noted
        WHERE v.realm = $1 AND v.txid > pg_current_xact_id()
    ), revived AS (
        UPDATE sidegate.replica r SET seen = noted.noticed FROM noted
        WHERE r.realm = $1 AND r.seen >= noted.since - $6 AND r.seen < noted.noticed
    )
    SELECT beat, pg_notify('sidegate', $1)::text AS woken FROM noted"
);

/// Of sessions: `$2` ids, `$3` until when; of subjects: `$4` names, `$5` counters, `$6` until when; `$7` the realm's counter.
/// Says what was missing. Under the realm's lock, so that of many who write back the same each end is counted once.
pub(super) const RESTORE: &str = "
    WITH sessions AS (
        SELECT * FROM unnest($2::bytea[], $3::bigint[]) AS sessions (session, until)
    ), ended AS (
        DELETE FROM sidegate.session s USING sessions WHERE s.id = sessions.session AND s.realm = $1
    ), session_revocations AS (
        INSERT INTO sidegate.revocation (realm, kind, session, until)
        SELECT $1, 'session', held.session, held.until FROM sessions held
        WHERE NOT EXISTS (
            SELECT FROM sidegate.revocation v
            WHERE v.realm = $1 AND v.kind = 'session' AND v.session = held.session
        )
        RETURNING seq
    ), subjects AS (
        SELECT * FROM unnest($4::text[], $5::bigint[], $6::bigint[]) AS subjects (subject, epoch, until)
    ), raised AS (
        INSERT INTO sidegate.subject_epoch AS e (realm, subject, epoch) SELECT $1, subject, epoch FROM subjects
        ON CONFLICT (realm, subject) DO UPDATE SET epoch = EXCLUDED.epoch WHERE e.epoch < EXCLUDED.epoch
    ), subject_revocations AS (
        INSERT INTO sidegate.revocation (realm, kind, subject, epoch, until)
        SELECT $1, 'subject', held.subject, held.epoch, held.until FROM subjects held
        WHERE NOT EXISTS (
            SELECT FROM sidegate.revocation v
            WHERE v.realm = $1 AND v.kind = 'subject' AND v.subject = held.subject AND v.epoch >= held.epoch
        )
        RETURNING seq
    ), realm_raised AS (
        UPDATE sidegate.realm SET epoch = $7 WHERE realm = $1 AND epoch < $7 RETURNING epoch
    )
    SELECT (SELECT count(*) FROM session_revocations) + (SELECT count(*) FROM subject_revocations)
        + (SELECT count(*) FROM realm_raised) AS restored";

/// `$2` keep, `$3` most.
pub(super) const PURGE: &str = concat!(
    clock!(),
    ", sessions AS (
        SELECT id FROM sidegate.session WHERE realm = $1 AND absolute_end < (SELECT now FROM clock) - $2
        ORDER BY absolute_end, id LIMIT $3 FOR UPDATE SKIP LOCKED
    ), purged_sessions AS (
        DELETE FROM sidegate.session s USING sessions WHERE s.id = sessions.id RETURNING s.id
    ), revocations AS (
        SELECT seq FROM sidegate.revocation WHERE realm = $1 AND until < (SELECT now FROM clock) - $2
        ORDER BY until, seq LIMIT $3 FOR UPDATE SKIP LOCKED
    ), purged_revocations AS (
        DELETE FROM sidegate.revocation v USING revocations WHERE v.seq = revocations.seq RETURNING v.seq
    ), vaults AS (
        SELECT session FROM sidegate.vault_change WHERE realm = $1 AND until < (SELECT now FROM clock) - $2
        ORDER BY until, session LIMIT $3 FOR UPDATE SKIP LOCKED
    ), purged_vaults AS (
        DELETE FROM sidegate.vault_change v USING vaults WHERE v.realm = $1 AND v.session = vaults.session
        RETURNING v.session
    ), buckets AS (
        SELECT bucket FROM sidegate.bucket WHERE realm = $1 AND whole_at < (SELECT now FROM clock) - $2
        ORDER BY whole_at, bucket LIMIT $3 FOR UPDATE SKIP LOCKED
    ), purged_buckets AS (
        DELETE FROM sidegate.bucket b USING buckets WHERE b.realm = $1 AND b.bucket = buckets.bucket RETURNING b.bucket
    ), replicas AS (
        SELECT id FROM sidegate.replica WHERE realm = $1 AND seen < (SELECT now FROM clock) - $2
        ORDER BY seen, id LIMIT $3 FOR UPDATE SKIP LOCKED
    ), purged_replicas AS (
        DELETE FROM sidegate.replica r USING replicas WHERE r.realm = $1 AND r.id = replicas.id RETURNING r.id
    )
    SELECT (SELECT count(*) FROM purged_sessions) + (SELECT count(*) FROM purged_revocations)
        + (SELECT count(*) FROM purged_vaults) + (SELECT count(*) FROM purged_buckets) + (SELECT count(*) FROM purged_replicas) AS purged"
);

/// `$2` name.
pub(super) const ACCOUNT: &str = concat!(
    "SELECT ",
    user_columns!(),
    ", ",
    realm_epoch!(),
    " AS realm_epoch, ",
    subject_epoch!("users.subject"),
    " AS subject_epoch FROM sidegate.users WHERE realm = $1 AND name = $2"
);

/// `$2` subject.
pub(super) const ACCOUNT_OF: &str = concat!(
    "SELECT ",
    user_columns!(),
    ", ",
    realm_epoch!(),
    " AS realm_epoch, ",
    subject_epoch!("users.subject"),
    " AS subject_epoch FROM sidegate.users WHERE realm = $1 AND subject = $2"
);

pub(super) const USERS: &str =
    concat!("SELECT ", user_columns!(), " FROM sidegate.users WHERE realm = $1 ORDER BY name");

/// Of all users: `$2` names, `$3` subjects, `$4` password hashes, `$5` disabled, `$6` claims.
pub(super) const ADD_USERS: &str = "
    INSERT INTO sidegate.users (realm, name, subject, password_hash, disabled, claims)
    SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::bool[], $6::text[])";

/// `$2` allowance, `$3` name, `$4` hash.
pub(super) const SET_PASSWORD: &str = concat!(
    clock!(),
    ", changed AS (
        UPDATE sidegate.users SET password_hash = $4 WHERE realm = $1 AND name = $3 RETURNING subject
    )",
    bump_changed_subject!(),
    " SELECT epoch FROM bumped"
);

/// `$2` allowance, `$3` name, `$4` old and `$5` new password hash, `$6` id, `$7` generation, `$8` live and `$9` next hash,
/// `$10` idle lifetime, `$11` address, `$12` user agent, `$13` generation as four bytes, `$14` no MAC. The session's row is locked first, so that no swap comes between.
pub(super) const CHANGE_PASSWORD: &str = concat!(
    clock!(),
    ", held AS MATERIALIZED (
        SELECT s.subject FROM sidegate.session s, clock
        WHERE s.id = $6 AND s.realm = $1 AND s.generation = $7 AND s.generation < 4294967295 AND s.hash = $8
            AND s.idle_end > now AND s.absolute_end > now AND s.realm_epoch = ",
    realm_epoch!(),
    " AND s.subject_epoch = ",
    subject_epoch!("s.subject"),
    " FOR UPDATE OF s
    ), changed AS (
        UPDATE sidegate.users u SET password_hash = $5 FROM held
        WHERE u.realm = $1 AND u.name = $3 AND u.password_hash = $4 AND u.subject = held.subject
        RETURNING u.subject
    )",
    bump_changed_subject!(),
    " UPDATE sidegate.session s SET
        generation = s.generation + 1,
        hash = $9,
        salt = NULL,
        recent = $13::bytea || int8send(now) || $14::bytea || substr(s.recent, 1, 15 * 28),
        rotated = now,
        idle_end = LEAST(s.absolute_end, now + $10),
        last_address = $11,
        last_user_agent = $12,
        subject_epoch = (SELECT epoch FROM bumped)
    FROM clock
    WHERE s.id = $6 AND s.realm = $1 AND EXISTS (SELECT FROM bumped)
    RETURNING now, ",
    session_columns!()
);

/// `$2` name, `$3` old hash, `$4` new hash.
pub(super) const UPGRADE_PASSWORD: &str =
    "UPDATE sidegate.users SET password_hash = $4 WHERE realm = $1 AND name = $2 AND password_hash = $3 RETURNING name";

/// `$2` allowance, `$3` name.
pub(super) const DISABLE: &str = concat!(
    clock!(),
    ", changed AS (
        UPDATE sidegate.users SET disabled = true WHERE realm = $1 AND name = $3 RETURNING subject
    )",
    bump_changed_subject!(),
    " SELECT epoch FROM bumped"
);

/// `$2` name.
pub(super) const ENABLE: &str =
    "UPDATE sidegate.users SET disabled = false WHERE realm = $1 AND name = $2 RETURNING name";

/// `$2` allowance, `$3` name.
pub(super) const REMOVE_USER: &str = concat!(
    clock!(),
    ", changed AS (
        DELETE FROM sidegate.users WHERE realm = $1 AND name = $3 RETURNING subject
    )",
    bump_changed_subject!(),
    " SELECT epoch FROM bumped"
);

pub(super) const NOW: &str = "SELECT sidegate.now_ms() AS now";
