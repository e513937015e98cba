-- How often is too often: one row per account, address or session that was busy lately, named by a hash.
CREATE TABLE sidegate.bucket (
    realm text COLLATE "C" NOT NULL,
    bucket bytea NOT NULL,
    whole_at bigint NOT NULL,
    PRIMARY KEY (realm, bucket)
);
CREATE INDEX bucket_whole_at ON sidegate.bucket (realm, whole_at);

-- The life of a signing key: added and published, signing from a moment on, perhaps banned. What is banned stays here,
-- without its private part. The keys that are here have signed from the start.
ALTER TABLE sidegate.signing_key ADD COLUMN added bigint NOT NULL DEFAULT 0;
ALTER TABLE sidegate.signing_key ADD COLUMN signs_from bigint;
ALTER TABLE sidegate.signing_key ADD COLUMN banned bigint;
UPDATE sidegate.signing_key SET signs_from = 0;

-- Counts the changes to the realm's keys: replicas see by it that they have to read them again.
ALTER TABLE sidegate.realm ADD COLUMN keys_version bigint NOT NULL DEFAULT 0;

-- Who is there, and with which operator secrets: fingerprints of 32 bytes, one after the other, the preferred one first.
CREATE TABLE sidegate.replica (
    realm text COLLATE "C" NOT NULL,
    id bytea NOT NULL,
    name text NOT NULL,
    seen bigint NOT NULL,
    secrets bytea NOT NULL,
    PRIMARY KEY (realm, id)
);
