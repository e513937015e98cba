"""Stores with sessions in them: some whose refresh tokens we hold, some that pgbench may change, the others to fill it."""

import contextlib
import math
import sqlite3
import time

import ground as grounds
import programs

# The ids are numbers of sixteen digits, so that pgbench, that knows numbers only, can name them too; they lie scattered.
FIRST_ID = 1_000_000_000_000_000
SPREAD = 8_999_999_999_999_993
STRIDE = 1_234_567_890_123
assert math.gcd(SPREAD, STRIDE) == 1
ID = f"{FIRST_ID} + (g * {STRIDE} % {SPREAD})"

# Live sessions of each kind, at most.
MOST_LIVE = 50_000
CLAIMS = '{"roles":["reader","writer"],"scope":"notes:read notes:write"}'
DAY = 86_400_000
# The token hash of rows that are not refreshed by us.
HASH = "5a" * 32


def identity(row):
    return FIRST_ID + row * STRIDE % SPREAD


class Filling:
    """Which of `size` rows are ours: every `step`-th, from the first; pgbench's are their neighbours."""

    def __init__(self, size, live=None):
        self.size = size
        self.count = min(live or MOST_LIVE, size // 2)
        self.step = size // self.count

    def ours(self):
        return [1 + number * self.step for number in range(self.count)]


def make_tokens(filling, secret, folder):
    """Makes our sessions' first refresh tokens; the file with them and that with their hashes."""
    ids, tokens, hashes = (folder / name for name in ("ids", "refresh-tokens", "hashes"))
    ids.write_text("".join(f"{identity(row)}\n" for row in filling.ours()), encoding="utf-8")
    programs.run(grounds.TOOLS, "sessions", "--secret", secret, "--ids", ids, "--tokens", tokens, "--hashes", hashes)
    return tokens, hashes


def fill_postgres(postgres, filling, hashes):
    """All sessions that there were are gone."""
    now = int(time.time() * 1000)
    hashes.chmod(0o644)
    # As one transaction that empties the table first, so that it costs no log; indexes are made when it is full.
    postgres.sql(f"""
        BEGIN;
        CREATE TEMP TABLE ours (id text PRIMARY KEY, hash text NOT NULL) ON COMMIT DROP;
        COPY ours FROM '{hashes}';
        ANALYZE ours;
        TRUNCATE sidegate.session;
        ALTER TABLE sidegate.session DROP CONSTRAINT session_pkey;
        DROP INDEX sidegate.session_subject, sidegate.session_absolute_end;
        INSERT INTO sidegate.session (id, realm, subject, client, generation, hash, salt, recent, realm_epoch,
            subject_epoch, created, rotated, idle_end, absolute_end, login_address, login_user_agent, last_address,
            last_user_agent, claims)
        SELECT made.id::bytea, 'default', 'user-' || g, 'first-party', CASE WHEN ours.id IS NULL THEN 1 ELSE 0 END,
            decode(COALESCE(ours.hash, '{HASH}'), 'hex'), NULL, '', realm.epoch, 0, {now}, {now}, {now + 7 * DAY},
            {now + 30 * DAY} + g, '127.0.0.1', 'sidegate-bench', '127.0.0.1', 'sidegate-bench', '{CLAIMS}'
        FROM generate_series(1, {filling.size}::bigint) g
            CROSS JOIN LATERAL (SELECT ({ID})::text AS id) made
            LEFT JOIN ours ON ours.id = made.id
            JOIN sidegate.realm ON realm.realm = 'default'
        ORDER BY g;
        ALTER TABLE sidegate.session ADD CONSTRAINT session_pkey PRIMARY KEY (id);
        CREATE INDEX session_subject ON sidegate.session (realm, subject);
        CREATE INDEX session_absolute_end ON sidegate.session (realm, absolute_end);
        COMMIT""")
    postgres.sql("VACUUM (ANALYZE) sidegate.session")
    postgres.sql("CHECKPOINT")


def fill_sqlite(store, filling, hashes):
    """As in Postgres, without rows for pgbench."""
    now = int(time.time() * 1000)
    ours = dict(line.split("\t") for line in hashes.read_text(encoding="utf-8").splitlines())

    def rows():
        other = bytes.fromhex(HASH)
        for row in range(1, filling.size + 1):
            name = str(identity(row))
            mine = ours.get(name)
            yield (name.encode(), f"user-{row}", 0 if mine else 1, bytes.fromhex(mine) if mine else other, now, now,
                   now + 7 * DAY, now + 30 * DAY + row)

    with contextlib.closing(sqlite3.connect(store)) as connection:
        epoch = connection.execute("SELECT epoch FROM realm WHERE realm = 'default'").fetchone()[0]
        connection.execute("PRAGMA cache_size = -1000000")
        connection.execute("DELETE FROM session")
        connection.executemany(
            f"""INSERT INTO session (id, realm, subject, client, generation, hash, recent, realm_epoch, subject_epoch,
                created, rotated, idle_end, absolute_end, login_address, last_address, claims)
            VALUES (?, 'default', ?, 'first-party', ?, ?, x'', {epoch}, 0, ?, ?, ?, ?, '127.0.0.1', '127.0.0.1',
                '{CLAIMS}')""", rows())
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
