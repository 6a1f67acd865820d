"""What is asked of PostgreSQL to see how it is prepared. Pure text: each may be refused without harm to the others."""

from __future__ import annotations

SCHEMAS_SINCE = 150_000
"""From this version on a publication may take in whole schemas."""

SERVER = """
SELECT current_database()::text, current_user::text, current_setting('server_version_num')::int,
    current_setting('server_version'), pg_catalog.pg_is_in_recovery(), current_setting('wal_level'),
    current_setting('max_replication_slots')::int, current_setting('max_wal_senders')::int,
    pg_catalog.pg_size_bytes(current_setting('max_slot_wal_keep_size', true))
"""

ACCOUNT = """
SELECT r.rolsuper, r.rolreplication FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
"""

SLOTS = "SELECT count(*) FROM pg_catalog.pg_replication_slots"

SENDERS = "SELECT count(*) FROM pg_catalog.pg_stat_replication"

WAL_BYTES = "SELECT sum(w.size)::bigint FROM pg_catalog.pg_ls_waldir() w"

SLOT = """
SELECT s.plugin::text, s.database::text, s.active, to_jsonb(s) ->> 'wal_status',
    CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
        ELSE (pg_catalog.pg_current_wal_lsn() - s.restart_lsn)::bigint END
FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = %s
"""

PUBLICATIONS = """
SELECT p.pubname::text, pg_catalog.pg_get_userbyid(p.pubowner)::text, pg_catalog.pg_has_role(p.pubowner, 'USAGE'),
    p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate,
    coalesce((to_jsonb(p) ->> 'pubviaroot')::boolean, false)
FROM pg_catalog.pg_publication p WHERE p.pubname = ANY(%s)
"""

MEMBERS = """
SELECT p.pubname::text, r.prrelid::bigint, to_jsonb(r) ->> 'prqual' IS NOT NULL, to_jsonb(r) ->> 'prattrs' IS NOT NULL,
    ARRAY(SELECT a.attname::text FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_catalog.pg_publication_rel'::regclass AND d.objid = r.oid
            AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjsubid > 0)
FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
WHERE p.pubname = ANY(%s)
"""
"""Whether with a row filter, with a column list (PostgreSQL 15 and later), and the columns that either names."""

SCHEMAS = """
SELECT p.pubname::text, n.nspname::text
FROM pg_catalog.pg_publication_namespace s JOIN pg_catalog.pg_publication p ON p.oid = s.pnpubid
JOIN pg_catalog.pg_namespace n ON n.oid = s.pnnspid WHERE p.pubname = ANY(%s) ORDER BY n.nspname
"""

RELATIONS = """
WITH RECURSIVE tree AS (
    SELECT c.oid, NULL::oid AS parent
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
        AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    UNION ALL
    SELECT i.inhrelid, i.inhparent FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relispartition
), indexed AS (
    SELECT x.indrelid, x.indisprimary, x.indisreplident, x.indisvalid AND x.indisunique AND x.indimmediate
        AND x.indpred IS NULL AS serves, array_agg(a.attname::text ORDER BY k.place) AS columns
    FROM pg_catalog.pg_index x
    CROSS JOIN LATERAL unnest(x.indkey::smallint[]) WITH ORDINALITY k(attnum, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
    WHERE (x.indisprimary OR x.indisreplident) AND k.place <= x.indnkeyatts
    GROUP BY x.indexrelid, x.indrelid, x.indisprimary, x.indisreplident, 4
)
SELECT c.oid::bigint, t.parent::bigint, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text,
    c.relreplident::text, i.columns, k.columns, coalesce(k.serves, false),
    EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        AND coalesce(to_jsonb(a) ->> 'attgenerated', '') <> ''),
    c.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid),
    pg_catalog.has_schema_privilege(n.oid, 'USAGE'), pg_catalog.has_table_privilege(c.oid, 'SELECT'),
    pg_catalog.row_security_active(c.oid),
    CASE WHEN c.relreplident = 'f' OR k.columns IS NULL THEN pg_catalog.pg_table_size(c.oid) END
FROM tree t JOIN pg_catalog.pg_class c ON c.oid = t.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN indexed k ON k.indrelid = c.oid AND k.indisprimary
LEFT JOIN indexed i ON i.indrelid = c.oid AND i.serves
    AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)
ORDER BY n.nspname, c.relname
"""
"""Every table, and every partition with its parent: the columns of its replica identity's index and of its primary key,
and what our account may do."""
