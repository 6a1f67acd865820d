-- Every statement of the spool, by name. `queries.py` reads this file; a comment under a name is for people.

-- streams --
-- All streams that ever had an epoch here
SELECT * FROM streams ORDER BY site, source

-- stream --
SELECT * FROM streams WHERE site = :site AND source = :source

-- stream_put --
-- Begin an epoch: whatever the older one knew of its position and head is gone
INSERT INTO streams (site, source, epoch, grant_message, secret)
VALUES (:site, :source, :epoch, :grant, :secret)
ON CONFLICT (site, source) DO UPDATE SET
    epoch = excluded.epoch, grant_message = excluded.grant_message, secret = excluded.secret,
    head_seq = 0, head_hash = x'', head_offset = 0,
    receipted_seq = 0, receipted_offset = 0, kept_bytes = 0,
    receipt_message = NULL, position = NULL, stopped = NULL

-- stream_stop --
UPDATE streams SET stopped = :code WHERE id = :stream

-- stream_advance --
-- The head after a commit; a position of NULL leaves the old one
UPDATE streams
SET head_seq = :head_seq, head_hash = :head_hash, head_offset = :head_offset,
    position = COALESCE(:position, position)
WHERE id = :stream

-- stream_receipted --
-- Everything up to :seq has its receipt; what ended at or below it counts as kept from now on
UPDATE streams
SET receipted_seq = :seq, receipted_offset = :offset,
    kept_bytes = kept_bytes + (:offset - receipted_offset), receipt_message = :message
WHERE id = :stream

-- totals --
-- Over all streams: bytes without a receipt, bytes that are kept with theirs
SELECT COALESCE(SUM(head_offset - receipted_offset), 0) AS waiting, COALESCE(SUM(kept_bytes), 0) AS kept
FROM streams

-- body_put --
INSERT INTO bodies (data) VALUES (:data)

-- body --
SELECT data FROM bodies WHERE id = :body

-- body_delete --
DELETE FROM bodies WHERE id = :body

-- bodies_delete_of_stream --
DELETE FROM bodies WHERE id IN (SELECT body FROM envelopes WHERE stream = :stream)

-- envelope_put --
INSERT INTO envelopes (stream, seq, last_seq, hash, checksum, bytes, end_offset, body)
VALUES (:stream, :seq, :last_seq, :hash, :checksum, :bytes, :end_offset, :body)

-- envelope_at --
-- The envelope that stands for :seq, be it a gap that begins earlier
SELECT * FROM envelopes WHERE stream = :stream AND seq <= :seq ORDER BY seq DESC LIMIT 1

-- envelopes_from --
SELECT * FROM envelopes WHERE stream = :stream AND seq >= :seq ORDER BY seq LIMIT :limit

-- envelopes_within --
-- Those that a gap from :seq to :last_seq touches
SELECT * FROM envelopes WHERE stream = :stream AND last_seq >= :seq AND seq <= :last_seq ORDER BY seq

-- envelope_after --
-- Where the stream goes on after :seq
SELECT * FROM envelopes WHERE stream = :stream AND seq > :seq ORDER BY seq LIMIT 1

-- envelopes_waiting --
-- Those not wholly covered by a receipt for :seq, which may lie inside a gap
SELECT COUNT(*) AS envelopes, MIN(seq) AS oldest_seq FROM envelopes
WHERE stream = :stream AND last_seq > :seq
  AND seq >= COALESCE((SELECT MAX(f.seq) FROM envelopes AS f WHERE f.stream = :stream AND f.seq <= :seq), 0)

-- envelope_delete --
DELETE FROM envelopes WHERE stream = :stream AND seq = :seq

-- envelopes_delete_of_stream --
DELETE FROM envelopes WHERE stream = :stream

-- oldest_receipted --
-- Of the first envelopes of every stream the oldest that has its receipt: what may be forgotten next.
-- CROSS JOIN keeps SQLite from walking all envelopes instead of the few streams
SELECT e.stream, e.seq, e.bytes, e.body
FROM streams AS s
CROSS JOIN envelopes AS e ON e.stream = s.id AND e.seq = (SELECT MIN(f.seq) FROM envelopes AS f WHERE f.stream = s.id)
WHERE e.last_seq <= s.receipted_seq
ORDER BY e.body
LIMIT 1

-- stream_forget --
UPDATE streams SET kept_bytes = kept_bytes - :bytes WHERE id = :stream

-- offsets_shift --
-- A gap of another length stands for some envelopes: both ends go on counting the same bytes
UPDATE envelopes SET end_offset = end_offset - :delta WHERE stream = :stream AND seq > :seq

-- stream_recount --
-- After a gap has taken its place: the sums of `streams` from the rows that are there
UPDATE streams
SET head_offset = :head_offset,
    kept_bytes = (
        SELECT COALESCE(SUM(bytes), 0) FROM envelopes WHERE stream = :stream AND last_seq <= streams.receipted_seq),
    receipted_offset = COALESCE(
        (SELECT MIN(end_offset - bytes) FROM envelopes WHERE stream = :stream AND last_seq > streams.receipted_seq),
        :head_offset)
WHERE id = :stream

-- schema_put --
INSERT INTO schemas (stream, fingerprint, content, sent_epoch)
VALUES (:stream, :fingerprint, :content, :epoch)
ON CONFLICT (stream, fingerprint) DO UPDATE SET sent_epoch = excluded.sent_epoch

-- schema --
SELECT content, sent_epoch FROM schemas WHERE stream = :stream AND fingerprint = :fingerprint

-- schemas_unsent --
UPDATE schemas SET sent_epoch = 0 WHERE stream = :stream

-- object_put --
INSERT OR IGNORE INTO objects (stream, sha256) VALUES (:stream, :sha256)

-- object --
SELECT 1 FROM objects WHERE stream = :stream AND sha256 = :sha256

-- objects_delete_of_stream --
DELETE FROM objects WHERE stream = :stream

-- piece_put --
INSERT INTO pieces (stream, sha256, sent) VALUES (:stream, :sha256, :sent)
ON CONFLICT (stream, sha256) DO UPDATE SET sent = excluded.sent

-- piece --
SELECT sent FROM pieces WHERE stream = :stream AND sha256 = :sha256

-- piece_delete --
DELETE FROM pieces WHERE stream = :stream AND sha256 = :sha256

-- pieces_delete_of_stream --
DELETE FROM pieces WHERE stream = :stream

-- table_put --
INSERT INTO tables (stream, name, phase, fingerprint, facts)
VALUES (:stream, :name, :phase, :fingerprint, :facts)
ON CONFLICT (stream, name) DO UPDATE SET
    phase = excluded.phase, fingerprint = excluded.fingerprint, facts = excluded.facts

-- table --
SELECT * FROM tables WHERE stream = :stream AND name = :name

-- tables --
SELECT * FROM tables WHERE stream = :stream ORDER BY name

-- tables_delete_of_stream --
DELETE FROM tables WHERE stream = :stream

-- shard_put --
INSERT INTO shards (stream, table_name, lo, hi, file, row_count)
VALUES (:stream, :name, :lo, :hi, :file, :rows)

-- shard --
SELECT * FROM shards WHERE stream = :stream AND table_name = :name AND lo = :lo

-- shards --
-- In no useful order: only the database that gave the bounds can compare them
SELECT * FROM shards WHERE stream = :stream AND table_name = :name

-- shard_delete --
DELETE FROM shards WHERE stream = :stream AND table_name = :name AND lo = :lo

-- shards_delete_of_table --
DELETE FROM shards WHERE stream = :stream AND table_name = :name

-- shards_delete_of_stream --
DELETE FROM shards WHERE stream = :stream

-- shard_rows --
-- Rows known of a table: those of its shards, with what was created and deleted since
SELECT
    (SELECT COALESCE(SUM(row_count), 0) FROM shards WHERE stream = :stream AND table_name = :name)
  + (SELECT COALESCE(SUM((fresh AND digest <> x'') - (NOT fresh AND digest = x'')), 0)
     FROM overlay WHERE stream = :stream AND table_name = :name) AS row_count

-- overlay_put --
INSERT INTO overlay (stream, table_name, key, digest, fresh, seq)
VALUES (:stream, :name, :key, :digest, :fresh, :seq)
ON CONFLICT (stream, table_name, key) DO UPDATE SET digest = excluded.digest, fresh = excluded.fresh, seq = excluded.seq

-- overlay_delete --
DELETE FROM overlay WHERE stream = :stream AND table_name = :name AND key = :key

-- overlay_delete_of_table --
DELETE FROM overlay WHERE stream = :stream AND table_name = :name

-- overlay_delete_of_stream --
DELETE FROM overlay WHERE stream = :stream

-- overlay_any --
SELECT EXISTS (SELECT 1 FROM overlay WHERE stream = :stream AND table_name = :name) AS found

-- overlay_of --
SELECT key, digest, fresh FROM overlay WHERE stream = :stream AND table_name = :name AND key = :key

-- overlay_left --
-- What no shard has and was found before a head
SELECT key, digest, fresh FROM overlay
WHERE stream = :stream AND table_name = :name AND key > :after AND fresh AND seq < :seq
ORDER BY key LIMIT :limit

-- shard_files --
SELECT file FROM shards

-- table_facts --
SELECT facts FROM tables

-- scan_put --
INSERT INTO scans (stream, seq, started) VALUES (:stream, :seq, :started)
ON CONFLICT (stream, seq) DO UPDATE SET started = MAX(started, excluded.started)

-- scan_fresh --
-- The newest scan all of whose changes have their receipt
SELECT MAX(started) AS started FROM scans WHERE stream = :stream AND seq <= :seq

-- scans_forget --
-- Receipted scans older than the newest receipted one say nothing any more
DELETE FROM scans
WHERE stream = :stream AND seq < (SELECT MAX(seq) FROM scans WHERE stream = :stream AND seq <= :seq)

-- scans_delete_of_stream --
DELETE FROM scans WHERE stream = :stream
