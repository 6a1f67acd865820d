"""Which tables a log carries for us, by the publications that a DBA made; and which of them must leave those at once.

A publication with updates or deletions makes both fail *in the hospital's own application* on a table that has no
replica identity (capture.md §3.9). Taking such a table out is the only thing that we ever change. Runs
queries through `Fetch`; knows no log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.sources.dialects.dialect import Fetch
from edge_agent.sources.pg.naming import quoted
from edge_agent.sources.pg.replication import MESSAGES_VERSION_MIN
from protocol.errors import Rejected, Transient
from protocol.names import TableName

_SERVER = """
SELECT current_setting('server_version_num')::int, pg_catalog.pg_is_in_recovery(), current_setting('wal_level'),
    ARRAY(SELECT pubname::text FROM pg_catalog.pg_publication WHERE pubname = ANY(%s))
"""


def _identifies(table: str) -> str:
    """Whether index x is the replica identity of that table, but for a full one."""
    return f"""({table}.relreplident = 'd' AND x.indisprimary OR {table}.relreplident = 'i' AND x.indisreplident)
        AND x.indisvalid AND x.indimmediate"""


def _identity(table: str) -> str:
    """The columns of its index."""
    return f"""(
    SELECT string_agg(a.attname, chr(31) ORDER BY k.place) FROM pg_catalog.pg_index x
    CROSS JOIN LATERAL unnest(x.indkey::smallint[]) WITH ORDINALITY k(attnum, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = {table}.oid AND a.attnum = k.attnum
    WHERE x.indrelid = {table}.oid AND k.place <= x.indnkeyatts AND {_identifies(table)})"""  # noqa: S608


_CARRIED = f"""
SELECT DISTINCT n.nspname, c.relname, c.relreplident::text, {_identity("c")},
    EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped
        AND coalesce(to_jsonb(a) ->> 'attgenerated', '') <> ''),
    coalesce((SELECT sum(pg_catalog.pg_table_size(relid)) FROM pg_catalog.pg_partition_tree(c.oid)),
        pg_catalog.pg_table_size(c.oid), 0)::bigint,
    ARRAY(SELECT coalesce({_identity("l")}, '') FROM pg_catalog.pg_class l
        WHERE l.oid = ANY(ARRAY(SELECT t.relid FROM pg_catalog.pg_partition_tree(c.oid) t WHERE t.isleaf))
            AND l.oid <> c.oid AND l.relreplident <> 'f')
FROM pg_catalog.pg_publication u JOIN pg_catalog.pg_class c ON c.oid = ANY(ARRAY(
    SELECT r.prrelid FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = u.oid
    UNION
    SELECT g.relid FROM pg_catalog.pg_get_publication_tables(u.pubname) g
))
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE u.pubname = ANY(%s) AND u.pubinsert AND u.pubupdate AND u.pubdelete AND u.pubtruncate
    AND CASE WHEN c.relkind = 'p' THEN u.pubviaroot AND EXISTS (SELECT FROM pg_catalog.pg_index x
            WHERE x.indrelid = c.oid AND x.indisprimary AND x.indisvalid AND x.indimmediate)
        ELSE NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) END
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = u.oid AND r.prrelid = c.oid
        AND coalesce(to_jsonb(r) ->> 'prqual', to_jsonb(r) ->> 'prattrs') IS NOT NULL)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_class l
        WHERE l.oid = ANY(ARRAY(SELECT t.relid FROM pg_catalog.pg_partition_tree(c.oid) t))
            AND (l.relkind = 'f' OR l.relpersistence <> 'p'))
"""  # noqa: S608 (our own text)
"""Not a table with inheritance children, whose rows it shows and whose changes come as theirs; nor a partitioned one
whose next partition would have no identity. Tables that are given by name are taken from the catalogue itself: the
function speaks of another moment than the rest of the statement, and a table that was just made anew would be in
neither. Arrays, for of a function's rows the planner expects thousands, and would go through the whole catalogue for
each table."""

_ENDANGERED = f"""
SELECT u.pubname, n.nspname, t.relname,
    listed.given AND u.pubowner = (SELECT o.oid FROM pg_catalog.pg_roles o WHERE o.rolname = current_user)
FROM pg_catalog.pg_publication u
CROSS JOIN LATERAL (
    SELECT r.prrelid AS oid, true AS given FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = u.oid
    UNION ALL
    SELECT g.relid, false FROM pg_catalog.pg_get_publication_tables(u.pubname) g WHERE NOT EXISTS (
        SELECT FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = u.oid AND (r.prrelid = g.relid
            OR r.prrelid IN (SELECT relid FROM pg_catalog.pg_partition_ancestors(g.relid))))
) listed
JOIN pg_catalog.pg_class t ON t.oid = listed.oid JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
WHERE u.pubname = ANY(%s) AND (u.pubupdate OR u.pubdelete) AND EXISTS (
    WITH RECURSIVE parts AS (
        SELECT listed.oid
        UNION
        SELECT i.inhrelid FROM parts p JOIN pg_catalog.pg_inherits i ON i.inhparent = p.oid
        JOIN pg_catalog.pg_class l ON l.oid = i.inhrelid WHERE l.relispartition
    )
    SELECT FROM parts p JOIN pg_catalog.pg_class c ON c.oid = p.oid
    WHERE c.relkind = 'r' AND c.relreplident <> 'f'
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_index x WHERE x.indrelid = c.oid AND {_identifies("c")}))
ORDER BY 1, 2, 3
"""  # noqa: S608 (our own text)
"""The last of each line: by its own name, not with all tables, in a publication that is ours. Of partitions each needs
its own identity; a child table has its own place in a publication."""


@dataclass(frozen=True, slots=True)
class Carried:
    """A table in a publication that says every change. `identity`: pg_class.relreplident; `columns`: of its index, as
    the log carries them of an old row; `generated`: some columns are, which no log has; `bytes` that it takes.
    `leaves`: the columns that it carries of an old row of each partition that has no full identity."""

    identity: str
    columns: frozenset[str]
    generated: bool
    bytes: int
    leaves: tuple[frozenset[str], ...] = ()

    @property
    def is_full(self) -> bool:
        return self.identity == "f"


@dataclass(frozen=True, slots=True)
class Endangered:
    """A table of the hospital's that it cannot update. `removable`: we may take it out, and it alone."""

    publication: str
    schema: str
    name: str
    removable: bool


def require_log(fetch: Fetch, source: str, publications: Sequence[str]) -> None:
    """Raise Transient GC-2055, 2056, 2054 or 2073 where this server has no log for us as it is set up now."""
    ((version, standby, level, present),) = fetch(_SERVER, (list(publications),))
    if standby:
        raise Transient("GC-2055", source=source)
    if int(version) < MESSAGES_VERSION_MIN:
        raise Transient("GC-2073", source=source)
    if level != "logical":
        raise Transient("GC-2056", source=source)
    if set(present) < set(publications):
        raise Transient("GC-2054", source=source)


def carried(fetch: Fetch, database: str, publications: Sequence[str]) -> dict[TableName, Carried]:
    lines = fetch(_CARRIED, (list(publications),))
    return {
        TableName(database, namespace, name): Carried(
            identity, _names(joined), generated, size, tuple(map(_names, leaves))
        )
        for namespace, name, identity, joined, generated, size, leaves in lines
    }


def _names(joined: str | None) -> frozenset[str]:
    return frozenset((joined or "").split("\x1f")) - {""}


def endangered(fetch: Fetch, publications: Sequence[str]) -> list[Endangered]:
    return [Endangered(*line) for line in fetch(_ENDANGERED, (list(publications),))]


def taking_out(one: Endangered) -> str:
    """The statement, which waits for no writer."""
    return (
        f"ALTER PUBLICATION {quoted(one.publication)} DROP TABLE ONLY {quoted(one.schema)}.{quoted(one.name)}"
    )


def alarm(one: Endangered, table: TableName, *, taken_out: bool) -> Rejected:
    code = "GC-2071" if taken_out else "GC-2072"
    return Rejected(code, table=str(table), publication=one.publication)
