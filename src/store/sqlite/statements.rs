//! The statements. `?1` is always the realm; times are the caller's.

use super::super::rows::{session_columns, user_columns};

macro_rules! realm_epoch {
    () => {
        "COALESCE((SELECT r.epoch FROM realm r WHERE r.realm = ?1), 0)"
    };
}

/// Of the subject that the given expression names.
macro_rules! subject_epoch {
    ($subject:literal) => {
        concat!("COALESCE((SELECT e.epoch FROM subject_epoch e WHERE e.realm = ?1 AND e.subject = ", $subject, "), 0)")
    };
}

/// `?2` access-token lifetime.
pub(super) const JOIN: &str = "
    INSERT INTO realm (realm, epoch, access_ttl) VALUES (?1, 0, ?2)
    ON CONFLICT (realm) DO UPDATE SET access_ttl = MAX(access_ttl, excluded.access_ttl)
    RETURNING epoch";

pub(super) const SECRETS: &str = "SELECT fingerprint FROM secret WHERE realm = ?1 ORDER BY seq";

/// `?2` fingerprint, `?3` whether only as the first.
pub(super) const ADD_SECRET: &str = "
    INSERT INTO secret (realm, fingerprint)
    SELECT ?1, ?2 WHERE NOT (?3 AND EXISTS (SELECT 1 FROM secret WHERE realm = ?1))
    ON CONFLICT DO NOTHING";

/// `?2` fingerprint.
pub(super) const REMOVE_SECRET: &str = "DELETE FROM secret WHERE realm = ?1 AND fingerprint = ?2";

/// One row at least: a realm without keys has a version, too.
pub(super) const SIGNING_KEYS: &str = "
    SELECT COALESCE(r.keys_version, 0) AS keys_version, COALESCE(r.access_ttl, 0) AS access_ttl, k.kid, k.algorithm,
        k.secret, k.sealed, k.added, k.signs_from, k.banned
    FROM (SELECT ?1 AS realm) AS this
    LEFT JOIN realm r ON r.realm = this.realm LEFT JOIN signing_key k ON k.realm = this.realm ORDER BY k.seq";

/// `?2` the version that was read.
pub(super) const TURN_KEYS: &str =
    "UPDATE realm SET keys_version = keys_version + 1 WHERE realm = ?1 AND keys_version = ?2";

/// `?2` kid, `?3` algorithm, `?4` secret, `?5` sealed, `?6` now, `?7` when it signs.
pub(super) const ADD_KEY: &str = "
    INSERT INTO signing_key (realm, kid, algorithm, secret, sealed, added, signs_from)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";

/// `?2` kid, `?3` when it signs.
pub(super) const LET_SIGN: &str = "
    UPDATE signing_key SET signs_from = ?3 WHERE realm = ?1 AND kid = ?2 AND signs_from IS NULL AND banned IS NULL";

/// `?2` kid, `?3` secret, `?4` sealed anew.
pub(super) const RESEAL: &str =
    "UPDATE signing_key SET secret = ?3, sealed = ?4 WHERE realm = ?1 AND kid = ?2 AND banned IS NULL";

/// `?2` kid, `?3` now.
pub(super) const BAN_KEY: &str =
    "UPDATE signing_key SET banned = ?3, sealed = x'' WHERE realm = ?1 AND kid = ?2 AND banned IS NULL";

/// `?2` kid.
pub(super) const REMOVE_KEY: &str = "DELETE FROM signing_key WHERE realm = ?1 AND kid = ?2 AND banned IS NULL";

/// `?2` id, `?3` name, `?4` now, `?5` secrets, `?6` the question it has answered.
pub(super) const REPORT: &str = "
    INSERT INTO replica (realm, id, name, seen, secrets, heard) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (realm, id) DO UPDATE SET name = excluded.name, seen = excluded.seen, secrets = excluded.secrets,
        heard = excluded.heard";

/// `?2` since when.
pub(super) const REPLICAS: &str =
    "SELECT id, name, secrets, heard FROM replica WHERE realm = ?1 AND seen >= ?2 ORDER BY id";

/// `?2` id.
pub(super) const LEAVE: &str = "DELETE FROM replica WHERE realm = ?1 AND id = ?2";

/// `?2` bucket.
pub(super) const BUCKET: &str = "SELECT whole_at FROM bucket WHERE realm = ?1 AND bucket = ?2";

/// `?2` bucket, `?3` when it is whole.
pub(super) const TAKE: &str = "
    INSERT INTO bucket (realm, bucket, whole_at) VALUES (?1, ?2, ?3)
    ON CONFLICT (realm, bucket) DO UPDATE SET whole_at = excluded.whole_at";

/// `?2` bucket.
pub(super) const REFILL: &str = "DELETE FROM bucket WHERE realm = ?1 AND bucket = ?2";

/// `?2` subject.
pub(super) const EPOCHS: &str =
    concat!("SELECT ", realm_epoch!(), " AS realm_epoch, ", subject_epoch!("?2"), " AS subject_epoch");

/// `?2` id, `?3` subject, `?4` client, `?5` hash, `?6` and `?7` epochs, `?8` now, `?9` idle and `?10` absolute end, `?11`
/// address, `?12` user agent, `?13` claims, `?14` label, `?15` vault and `?16` its version. No row if an epoch has moved.
pub(super) const CREATE_SESSION: &str = concat!(
    "INSERT INTO session (id, realm, subject, client, generation, hash, salt, recent, realm_epoch, subject_epoch,
        created, rotated, idle_end, absolute_end, login_address, login_user_agent, last_address, last_user_agent,
        claims, label, vault, vault_version)
    SELECT ?2, ?1, ?3, ?4, 0, ?5, NULL, x'', ?6, ?7, ?8, ?8, ?9, ?10, ?11, ?12, ?11, ?12, ?13, ?14, ?15, ?16
    WHERE ?6 = ",
    realm_epoch!(),
    " AND ?7 = ",
    subject_epoch!("?3"),
    " RETURNING ",
    session_columns!()
);

/// `?2` subject, `?3` the new session, `?4` now, `?5` and `?6` epochs, `?7` most.
pub(super) const SURPLUS: &str = "
    SELECT id FROM (
        SELECT id, created FROM session
        WHERE realm = ?1 AND subject = ?2 AND id <> ?3 AND idle_end > ?4 AND absolute_end > ?4 AND realm_epoch = ?5
            AND subject_epoch = ?6
        ORDER BY created DESC, id DESC LIMIT -1 OFFSET ?7 - 1
    ) ORDER BY created, id";

/// `?2` id, `?3` client, `?4` presented generation, `?5` presented hash, `?6` successor hash, `?7` salt, `?8` now, `?9`
/// idle end, `?10` address, `?11` user agent, `?12` the new entry, `?13` start of the longest window.
///
/// `||` makes a text of two blobs, byte by byte; the cast makes it a blob again. `substr` of an empty blob is NULL.
pub(super) const SWAP: &str = concat!(
    "UPDATE session SET
        generation = ?4 + 1,
        hash = ?6,
        salt = ?7,
        rotated = ?8,
        idle_end = MIN(absolute_end, ?9),
        last_address = ?10,
        last_user_agent = ?11,
        recent = CAST(?12 || CASE WHEN rotated < ?13 THEN x'' ELSE COALESCE(substr(recent, 1, 15 * 28), x'') END AS BLOB)
    WHERE id = ?2 AND realm = ?1 AND client = ?3 AND generation = ?4 - ?14 AND ?4 < 4294967295 AND hash = ?5
        AND idle_end > ?8 AND absolute_end > ?8 AND realm_epoch = ",
    realm_epoch!(),
    " AND subject_epoch = ",
    subject_epoch!("session.subject"),
    " RETURNING ",
    session_columns!()
);

/// `?2` id.
pub(super) const SESSION: &str = concat!(
    "SELECT ",
    session_columns!(),
    ", ",
    realm_epoch!(),
    " AS current_realm_epoch, ",
    subject_epoch!("session.subject"),
    " AS current_subject_epoch, h.rollback_id, h.rollback_since, h.rollback_noticed, h.rollback_asked
    FROM session LEFT JOIN history h ON h.realm = ?1 WHERE id = ?2 AND session.realm = ?1"
);

/// `?2` subject, `?3` now.
pub(super) const SESSIONS_OF: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM session WHERE realm = ?1 AND subject = ?2 AND idle_end > ?3 AND absolute_end > ?3 AND realm_epoch = ",
    realm_epoch!(),
    " AND subject_epoch = ",
    subject_epoch!("?2"),
    " ORDER BY created DESC, id DESC"
);

/// `?2` the id before, `?3` now, `?4` most. One row at least. Rows of any realm are counted, so that the primary key alone
/// decides which are looked at: no plan sorts a whole realm.
pub(super) const LIVING_SESSIONS: &str = concat!(
    "WITH looked AS MATERIALIZED (
        SELECT * FROM session WHERE id > ?2 ORDER BY id LIMIT ?4
    ), page AS (
        SELECT count(*) AS looked_at, max(id) AS last_id FROM looked
    ), living AS (
        SELECT l.* FROM looked l
        WHERE l.realm = ?1 AND l.idle_end > ?3 AND l.absolute_end > ?3 AND l.realm_epoch = ",
    realm_epoch!(),
    " AND l.subject_epoch = ",
    subject_epoch!("l.subject"),
    ")
    SELECT looked_at, last_id, ",
    session_columns!(),
    " FROM page LEFT JOIN living ON true ORDER BY id"
);

/// `?2` id.
pub(super) const DELETE_SESSION: &str = "DELETE FROM session WHERE id = ?2 AND realm = ?1";

/// `?2` kind, `?3` session, `?4` subject, `?5` epoch, `?6` now and the allowance.
pub(super) const RECORD: &str = "
    INSERT INTO revocation (realm, kind, session, subject, epoch, until)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6 + COALESCE((SELECT r.access_ttl FROM realm r WHERE r.realm = ?1), 0))";

/// `?2` subject.
pub(super) const BUMP_SUBJECT: &str = "
    INSERT INTO subject_epoch (realm, subject, epoch) VALUES (?1, ?2, 1)
    ON CONFLICT (realm, subject) DO UPDATE SET epoch = epoch + 1
    RETURNING epoch";

/// `?2` id, `?3` subject, `?4` the subject's new counter.
pub(super) const CARRY_SESSION: &str = "
    UPDATE session SET subject_epoch = ?4 WHERE id = ?2 AND realm = ?1 AND subject = ?3 AND subject_epoch = ?4 - 1";

pub(super) const BUMP_REALM: &str = "
    INSERT INTO realm (realm, epoch, access_ttl) VALUES (?1, 1, 0)
    ON CONFLICT (realm) DO UPDATE SET epoch = epoch + 1
    RETURNING epoch";

/// One row at least: a page without revocations has a position, too. `newest` is the last number ever given, also to
/// other realms' rows.
macro_rules! page {
    ($condition:literal) => {
        concat!(
            "SELECT page.newest, COALESCE(h.beat, 0) AS beat, COALESCE(h.beaten, 0) AS beaten,
                COALESCE(h.asked, 0) AS asked, h.rollback_id, h.rollback_since, h.rollback_noticed, h.rollback_asked, ",
            realm_epoch!(),
            " AS realm_epoch, COALESCE((SELECT r.keys_version FROM realm r WHERE r.realm = ?1), 0) AS keys_version,
                v.seq, v.kind, v.session, v.subject, v.epoch, v.until
            FROM (SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'revocation'), 0) AS newest) AS page
            LEFT JOIN history h ON h.realm = ?1 LEFT JOIN (
                SELECT * FROM revocation v WHERE v.realm = ?1 AND ",
            $condition,
            " ORDER BY v.seq LIMIT ?3
            ) AS v ON true ORDER BY v.seq"
        )
    };
}

/// `?2` now, `?3` most.
pub(super) const ALL_REVOCATIONS: &str = page!("v.until > ?2");

/// `?2` the number that was newest, `?3` most.
pub(super) const REVOCATIONS_AFTER: &str = page!("v.seq > ?2");

/// `?2` session, `?3` the version it had, `?4` vault and `?5` its version.
pub(super) const CHANGE_VAULT: &str =
    "UPDATE session SET vault = ?4, vault_version = ?5 WHERE id = ?2 AND realm = ?1 AND vault_version = ?3";

/// `?2` session, `?3` vault and `?4` its version, `?5` now and the allowance. Replaced is deleted and inserted: it gets a
/// number of its own.
pub(super) const RECORD_VAULT: &str = "
    INSERT OR REPLACE INTO vault_change (realm, session, vault, vault_version, until)
    VALUES (?1, ?2, ?3, ?4, ?5 + COALESCE((SELECT r.access_ttl FROM realm r WHERE r.realm = ?1), 0))";

/// As [`page!`].
macro_rules! vault_page {
    ($condition:literal) => {
        concat!(
            "SELECT page.newest, v.seq, v.session, v.vault, v.vault_version, v.until
            FROM (SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'vault_change'), 0) AS newest) AS page
            LEFT JOIN (
                SELECT * FROM vault_change v WHERE v.realm = ?1 AND ",
            $condition,
            " ORDER BY v.seq LIMIT ?3
            ) AS v ON true ORDER BY v.seq"
        )
    };
}

/// `?2` now, `?3` most.
pub(super) const ALL_VAULT_CHANGES: &str = vault_page!("v.until > ?2");

/// `?2` the number that was newest, `?3` most.
pub(super) const VAULT_CHANGES_AFTER: &str = vault_page!("v.seq > ?2");

/// `?2` the time before which they ended, `?3` most.
pub(super) const PURGE_VAULT_CHANGES: &str = "
    DELETE FROM vault_change WHERE seq IN (
        SELECT seq FROM vault_change WHERE realm = ?1 AND until < ?2 ORDER BY until, seq LIMIT ?3
    )";

/// `?2` now.
pub(super) const BEGIN_HISTORY: &str =
    "INSERT INTO history (realm, beat, beaten, asked) VALUES (?1, 0, ?2, 0) ON CONFLICT DO NOTHING";

/// `?2` now, `?3` how often. A beat that lies in the future was written before the clock stepped back.
pub(super) const BEAT: &str = "
    INSERT INTO history (realm, beat, beaten, asked) VALUES (?1, 1, ?2, 0)
    ON CONFLICT (realm) DO UPDATE SET beat = beat + 1, beaten = ?2 WHERE beaten <= ?2 - ?3 OR beaten > ?2
    RETURNING beat";

/// `?2` now.
pub(super) const ASK: &str = "
    INSERT INTO history (realm, beat, beaten, asked) VALUES (?1, 0, ?2, 1)
    ON CONFLICT (realm) DO UPDATE SET asked = asked + 1
    RETURNING asked";

/// Nobody holds the keys of this version.
pub(super) const JUMP_KEYS: &str = "UPDATE realm SET keys_version = keys_version + 1000 WHERE realm = ?1";

/// `?2` now, `?3` the beat that was read, `?4` how long somebody counts as there.
pub(super) const REVIVE_REPLICAS: &str = "
    UPDATE replica SET seen = ?2 WHERE realm = ?1 AND seen < ?2
        AND seen >= (SELECT h.beaten - ?4 FROM history h WHERE h.realm = ?1 AND h.beat = ?3)";

/// `?2` now, `?3` id, `?4` the beat that was read, `?5` the highest beat seen. The counts jump, so that nobody who saw a few
/// more takes it for another loss, or for answered.
pub(super) const NOTE_ROLLBACK: &str = "
    UPDATE history SET beat = MAX(beat, ?5) + 1000, beaten = ?2, rollback_id = ?3, rollback_since = beaten,
        rollback_noticed = ?2, asked = asked + 1000, rollback_asked = asked + 1000
    WHERE realm = ?1 AND beat = ?4";

/// `?2` session, `?3` until.
pub(super) const RESTORE_SESSION: &str = "
    INSERT INTO revocation (realm, kind, session, until) SELECT ?1, 'session', ?2, ?3
    WHERE NOT EXISTS (
        SELECT 1 FROM revocation WHERE realm = ?1 AND kind = 'session' AND session = ?2
    )";

/// `?2` subject, `?3` counter.
pub(super) const RAISE_SUBJECT: &str = "
    INSERT INTO subject_epoch (realm, subject, epoch) VALUES (?1, ?2, ?3)
    ON CONFLICT (realm, subject) DO UPDATE SET epoch = ?3 WHERE epoch < ?3";

/// `?2` subject, `?3` counter, `?4` until.
pub(super) const RESTORE_SUBJECT: &str = "
    INSERT INTO revocation (realm, kind, subject, epoch, until) SELECT ?1, 'subject', ?2, ?3, ?4
    WHERE NOT EXISTS (
        SELECT 1 FROM revocation WHERE realm = ?1 AND kind = 'subject' AND subject = ?2 AND epoch >= ?3
    )";

/// `?2` counter.
pub(super) const RAISE_REALM: &str = "UPDATE realm SET epoch = ?2 WHERE realm = ?1 AND epoch < ?2";

/// `?2` the time before which they ended, `?3` most.
pub(super) const PURGE_SESSIONS: &str = "
    DELETE FROM session WHERE id IN (
        SELECT id FROM session WHERE realm = ?1 AND absolute_end < ?2 ORDER BY absolute_end, id LIMIT ?3
    )";

/// `?2` the time before which they ended, `?3` most.
pub(super) const PURGE_REVOCATIONS: &str = "
    DELETE FROM revocation WHERE seq IN (
        SELECT seq FROM revocation WHERE realm = ?1 AND until < ?2 ORDER BY until, seq LIMIT ?3
    )";

/// `?2` the time before which they were whole, `?3` most.
pub(super) const PURGE_BUCKETS: &str = "
    DELETE FROM bucket WHERE realm = ?1 AND bucket IN (
        SELECT bucket FROM bucket WHERE realm = ?1 AND whole_at < ?2 ORDER BY whole_at, bucket LIMIT ?3
    )";

/// `?2` the time before which they were last seen, `?3` most.
pub(super) const PURGE_REPLICAS: &str = "
    DELETE FROM replica WHERE realm = ?1 AND id IN (
        SELECT id FROM replica WHERE realm = ?1 AND seen < ?2 ORDER BY seen, id LIMIT ?3
    )";

/// `?2` name.
pub(super) const ACCOUNT: &str = concat!(
    "SELECT ",
    user_columns!(),
    ", ",
    realm_epoch!(),
    " AS realm_epoch, ",
    subject_epoch!("users.subject"),
    " AS subject_epoch FROM users WHERE realm = ?1 AND name = ?2"
);

/// `?2` subject.
pub(super) const ACCOUNT_OF: &str = concat!(
    "SELECT ",
    user_columns!(),
    ", ",
    realm_epoch!(),
    " AS realm_epoch, ",
    subject_epoch!("users.subject"),
    " AS subject_epoch FROM users WHERE realm = ?1 AND subject = ?2"
);

pub(super) const USERS: &str = concat!("SELECT ", user_columns!(), " FROM users WHERE realm = ?1 ORDER BY name");

/// `?2` a JSON array of users, each an array: name, subject, password hash, disabled, claims (as text).
pub(super) const ADD_USERS: &str = "
    INSERT INTO users (realm, name, subject, password_hash, disabled, claims)
    SELECT ?1, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?2)
    WHERE true
    ON CONFLICT DO NOTHING";

/// `?2` name, `?3` hash.
pub(super) const SET_PASSWORD: &str =
    "UPDATE users SET password_hash = ?3 WHERE realm = ?1 AND name = ?2 RETURNING subject";

/// `?2` name, `?3` old and `?4` new password hash, `?5` id, `?6` generation, `?7` live hash, `?8` now.
pub(super) const CHANGE_PASSWORD: &str = concat!(
    "UPDATE users SET password_hash = ?4
    WHERE realm = ?1 AND name = ?2 AND password_hash = ?3 AND subject = (
        SELECT s.subject FROM session s
        WHERE s.id = ?5 AND s.realm = ?1 AND s.generation = ?6 AND s.generation < 4294967295 AND s.hash = ?7
            AND s.idle_end > ?8 AND s.absolute_end > ?8 AND s.realm_epoch = ",
    realm_epoch!(),
    " AND s.subject_epoch = ",
    subject_epoch!("s.subject"),
    ") RETURNING subject"
);

/// `?2` id, `?3` next hash, `?4` now, `?5` idle end, `?6` address, `?7` user agent, `?8` subject's counter, `?9` the entry
/// of the token that is replaced.
pub(super) const REKEY: &str = concat!(
    "UPDATE session SET
        generation = generation + 1,
        hash = ?3,
        salt = NULL,
        recent = CAST(?9 || COALESCE(substr(recent, 1, 15 * 28), x'') AS BLOB),
        rotated = ?4,
        idle_end = MIN(absolute_end, ?5),
        last_address = ?6,
        last_user_agent = ?7,
        subject_epoch = ?8
    WHERE id = ?2 AND realm = ?1 RETURNING ",
    session_columns!()
);

/// `?2` name, `?3` old hash, `?4` new hash.
pub(super) const UPGRADE_PASSWORD: &str =
    "UPDATE users SET password_hash = ?4 WHERE realm = ?1 AND name = ?2 AND password_hash = ?3";

/// `?2` name, `?3` whether disabled.
pub(super) const SET_DISABLED: &str = "UPDATE users SET disabled = ?3 WHERE realm = ?1 AND name = ?2 RETURNING subject";

/// `?2` name.
pub(super) const REMOVE_USER: &str = "DELETE FROM users WHERE realm = ?1 AND name = ?2 RETURNING subject";
