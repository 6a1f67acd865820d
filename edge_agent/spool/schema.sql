-- The agent's spool. One database holds what must change together (promise 1): envelopes and the position
-- that they cover, a table's index files and the changes that were found with them. What a row of `envelopes`
-- says is small and moves when a gap takes its place; its bytes lie in `bodies` and never move. Run as a whole
-- it also brings an older version's file up to date: versions so far only added tables.

CREATE TABLE IF NOT EXISTS streams (
    id               INTEGER PRIMARY KEY,
    site             TEXT    NOT NULL,
    source           TEXT    NOT NULL,
    epoch            INTEGER NOT NULL,
    grant_message    BLOB    NOT NULL,
    secret           BLOB    NOT NULL,
    head_seq         INTEGER NOT NULL DEFAULT 0,
    head_hash        BLOB    NOT NULL DEFAULT x'',
    head_offset      INTEGER NOT NULL DEFAULT 0,    -- bytes of all envelopes of the epoch, from sequence 1
    receipted_seq    INTEGER NOT NULL DEFAULT 0,
    receipted_offset INTEGER NOT NULL DEFAULT 0,    -- head_offset - receipted_offset = bytes without a receipt
    kept_bytes       INTEGER NOT NULL DEFAULT 0,    -- bytes that have their receipt and are still here
    receipt_message  BLOB,
    position         TEXT,
    stopped          TEXT,
    UNIQUE (site, source)
);

CREATE TABLE IF NOT EXISTS envelopes (
    stream     INTEGER NOT NULL REFERENCES streams,
    seq        INTEGER NOT NULL,
    last_seq   INTEGER NOT NULL,
    hash       BLOB    NOT NULL,                    -- what the header of last_seq + 1 names
    checksum   BLOB    NOT NULL,                    -- of the body, against a failing disk
    bytes      INTEGER NOT NULL,
    end_offset INTEGER NOT NULL,
    body       INTEGER NOT NULL,
    PRIMARY KEY (stream, seq)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS bodies (
    id   INTEGER PRIMARY KEY,                       -- rises with age
    data BLOB NOT NULL
);

CREATE TABLE IF NOT EXISTS schemas (                              -- kept for ever: the centre may ask for one
    stream      INTEGER NOT NULL REFERENCES streams,
    fingerprint BLOB    NOT NULL,
    content     BLOB    NOT NULL,
    sent_epoch  INTEGER NOT NULL,                   -- 0 where the envelope that carried it was lost
    PRIMARY KEY (stream, fingerprint)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS objects (                              -- large values that went ahead in this epoch
    stream INTEGER NOT NULL REFERENCES streams,
    sha256 BLOB    NOT NULL,
    PRIMARY KEY (stream, sha256)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS pieces (                               -- large values of which some pieces went ahead
    stream INTEGER NOT NULL REFERENCES streams,
    sha256 BLOB    NOT NULL,
    sent   INTEGER NOT NULL,                        -- bytes from the beginning
    PRIMARY KEY (stream, sha256)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS tables (
    stream      INTEGER NOT NULL REFERENCES streams,
    name        TEXT    NOT NULL,                   -- JSON [database, schema, name]
    phase       TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL,
    facts       TEXT    NOT NULL,                   -- JSON object
    PRIMARY KEY (stream, name)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS shards (                               -- chained: the next one's lo is this one's hi
    stream     INTEGER NOT NULL REFERENCES streams,
    table_name TEXT    NOT NULL,
    lo         BLOB    NOT NULL,
    hi         BLOB    NOT NULL,
    file       TEXT    NOT NULL,
    row_count  INTEGER NOT NULL,
    PRIMARY KEY (stream, table_name, lo)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS overlay (                -- what polls and windows found since the shards were written
    stream     INTEGER NOT NULL REFERENCES streams,
    table_name TEXT    NOT NULL,
    key        BLOB    NOT NULL,                    -- canonical
    digest     BLOB    NOT NULL,                    -- of the row as it was sent; empty where its deletion was
    fresh      INTEGER NOT NULL,                    -- 1 where no shard has the key
    seq        INTEGER NOT NULL,                    -- the head before it was found
    PRIMARY KEY (stream, table_name, key)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS scans (                                -- complete scans of a source that may still matter
    stream  INTEGER NOT NULL REFERENCES streams,
    seq     INTEGER NOT NULL,                       -- the head when the scan was complete
    started INTEGER NOT NULL,                       -- microseconds UTC
    PRIMARY KEY (stream, seq)
) WITHOUT ROWID;
