-- How often is too often: one row per account, address or session that was busy lately, named by a hash.
CREATE TABLE bucket (
    realm TEXT NOT NULL,
    bucket BLOB NOT NULL,
    whole_at INTEGER NOT NULL,
    PRIMARY KEY (realm, bucket)
) STRICT, WITHOUT ROWID;
CREATE INDEX bucket_whole_at ON bucket (realm, whole_at);

-- The life of a signing key: added and published, signing from a moment on, perhaps banned. What is banned stays here,
-- without its private part. The keys that are here have signed from the start.
ALTER TABLE signing_key ADD COLUMN added INTEGER NOT NULL DEFAULT 0;
ALTER TABLE signing_key ADD COLUMN signs_from INTEGER;
ALTER TABLE signing_key ADD COLUMN banned INTEGER;
UPDATE signing_key SET signs_from = 0;

-- Counts the changes to the realm's keys: replicas see by it that they have to read them again.
ALTER TABLE realm ADD COLUMN keys_version INTEGER NOT NULL DEFAULT 0;

-- Who is there, and with which operator secrets: fingerprints of 32 bytes, one after the other, the preferred one first.
CREATE TABLE replica (
    realm TEXT NOT NULL,
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    seen INTEGER NOT NULL,
    secrets BLOB NOT NULL,
    PRIMARY KEY (realm, id)
) STRICT, WITHOUT ROWID;
