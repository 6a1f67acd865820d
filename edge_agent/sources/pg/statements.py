"""What is asked of PostgreSQL beside its log: what a statement sees, what a table is, a fence. Pure text."""

from __future__ import annotations

FENCE = "guicang"
"""The prefix of our messages in the log."""

IDENTITY = """
WITH RECURSIVE parts AS (
    SELECT c.oid, NULL AS joined
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s
    UNION
    SELECT i.inhrelid, i.xmin::text FROM pg_catalog.pg_inherits i JOIN parts p ON p.oid = i.inhparent
)
SELECT c.oid::bigint, p.joined, pg_catalog.pg_relation_filenode(c.oid)::bigint, c.relpersistence::text,
    c.relreplident::text, (
    SELECT string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull), ',' ORDER BY a.attnum)
    FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM parts p JOIN pg_catalog.pg_class c ON c.oid = p.oid ORDER BY c.oid, p.joined
"""
"""Whatever tells that a table, with its partitions and children, is not what it was; rows that are written do not. A
partition that was away in between has joined by another transaction."""

MADE_OF = """
WITH RECURSIVE used AS (
    SELECT a.atttypid AS type FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= 16384
    UNION
    SELECT within.type FROM used u JOIN pg_catalog.pg_type t ON t.oid = u.type CROSS JOIN LATERAL (
        SELECT t.typelem UNION ALL SELECT t.typbasetype
        UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r
        WHERE r.rngtypid = t.oid OR to_jsonb(r) ->> 'rngmultitypid' = t.oid::text
        UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ) within(type) WHERE within.type >= 16384
)
SELECT 'attribute', a.attrelid::bigint, concat_ws(' ', a.attnum, a.atttypid, a.atttypmod)
FROM used u JOIN pg_catalog.pg_type t ON t.oid = u.type JOIN pg_catalog.pg_attribute a ON a.attrelid = t.typrelid
WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'label', e.oid::bigint, e.enumlabel::text FROM used u JOIN pg_catalog.pg_enum e ON e.enumtypid = u.type
ORDER BY 1, 2, 3
"""
"""What the types of a table's columns are made of, beneath arrays, domains and ranges: attributes of composite types,
and labels of enums, the older first. Values are spelt by them, and no log tells how rows that stand are spelt then.
Types below 16384 are the server's own, which nobody changes."""


PLACES = """
SELECT string_agg(concat_ws(' ', u.oid, u.xmin, r.oid, r.xmin), ',' ORDER BY u.oid) FROM pg_catalog.pg_publication u
LEFT JOIN (pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_class c ON c.oid = r.prrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = %s AND c.relname = %s)
    ON r.prpubid = u.oid
WHERE u.pubname = ANY(%s)
"""
"""What publications are, and a table's places in them: what was altered, left or made anew has another xmin or oid."""

READABLE = """
SELECT u.pubname FROM pg_catalog.pg_publication u CROSS JOIN pg_catalog.pg_replication_slots s
WHERE u.pubname = %s AND s.slot_name = %s AND age(u.xmin) > age(s.catalog_xmin)
"""
"""A publication that stood before anything that its slot will still decode: one that did not stop it."""

COLUMNS = """
SELECT a.attname, a.atttypid::bigint, a.atttypmod
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""

TYPES = """
WITH RECURSIVE given AS (
    SELECT g.oid, g.modifier, g.place FROM unnest(%s::bigint[], %s::int[]) WITH ORDINALITY g(oid, modifier, place)
), base AS (
    SELECT t.oid, t.typbasetype AS type, t.typtypmod AS modifier FROM pg_catalog.pg_type t WHERE t.typtype = 'd'
    UNION ALL
    SELECT b.oid, t.typbasetype, t.typtypmod FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type
    WHERE t.typtype = 'd'
)
SELECT pg_catalog.format_type(g.oid::oid, g.modifier), pg_catalog.format_type(b.type, b.modifier), t.typtype::text
FROM given g
LEFT JOIN (SELECT base.* FROM base JOIN pg_catalog.pg_type u ON u.oid = base.type WHERE u.typtype <> 'd') b
    ON b.oid = g.oid::oid
LEFT JOIN pg_catalog.pg_type t ON t.oid = coalesce(b.type, g.oid::oid)
ORDER BY g.place
"""
"""As the dialect asks it of a table's columns: a type's spelling, that beneath a domain, its kind."""

SNAPSHOT = "SELECT pg_catalog.pg_current_snapshot()::text"

KEPT = """
SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 0
    ELSE (pg_catalog.pg_current_wal_lsn() - s.restart_lsn)::bigint END,
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
FROM pg_catalog.pg_replication_slots s
WHERE s.slot_name = %s AND s.plugin = %s AND s.database = current_database() AND s.restart_lsn IS NOT NULL
"""
"""Bytes of log that the server keeps for a slot of ours, and what its clock says."""

STANDS = """
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
    (pg_catalog.pg_current_wal_flush_lsn() - '0/0')::bigint
"""
"""A moment, and then where the log stands on the server's disk: what was committed before that moment lies below."""

HOLDING = """
SELECT l.pid FROM pg_catalog.pg_locks l
WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid <> pg_catalog.pg_backend_pid()
ORDER BY pg_catalog.age(l.transactionid) DESC LIMIT 1
"""
"""The session whose transaction has written and has been under way for longest; a prepared one has none."""

MAY_CHANGE = "SET default_transaction_read_only = off; SET lock_timeout = '5s'"

FENCES = "SELECT pg_catalog.pg_logical_emit_message(true, %s, %s)"
"""A transaction of its own, which is on the server's disk when it ends and waits for no standby: a message outside of
transactions may lie in memory for as long as nothing else is written."""
LOCALLY = "SELECT pg_catalog.set_config('synchronous_commit', 'local', true)"
