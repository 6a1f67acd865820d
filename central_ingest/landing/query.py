"""Questions to the lake: SQL over `changes` and `current`, answered by DuckDB inside this process.

Every query gets an engine of its own (see `engine`), in which stand only the tables that its text names: of
40,000 none is opened in vain. Data comes in as Arrow datasets from whoever knows the store. Only reading is
allowed, and what the engine says of values never enters an error.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from protocol.change import Version
from protocol.errors import Permanent
from protocol.names import Stream, TableName

from ..ledger.ledger import TableRecord
from . import current as rule
from . import evolution
from .asof import AsOf
from .columns import exact_name
from .engine import opened
from .merging import merged, standing
from .overlay import Overlay

CHANGES = "changes"
CURRENT = "current"

OpenDataset = Callable[[str], "ds.Dataset | None"]
"""Lake path → its rows at one version, columns named as stored; None where nothing has landed yet."""
OpenOverlay = Callable[["CatalogueTable"], "Overlay | None"]

_TABLE_FUNCTIONS = frozenset({"unnest", "range", "generate_series"})
# Others reach files, other connections or, as arrow_scan does, any address in memory.


@dataclass(frozen=True, slots=True)
class CatalogueTable:
    """A table that queries can name. `path` is below the lake's root; `key` empty means a multiset of rows."""

    site: str
    source: str
    table: TableName
    path: str
    key: tuple[str, ...]
    printed_name: str


def printed_name(site: str, source: str, table: TableName) -> str:
    """The table's name in queries, where no other table has the same (see `printed_names`)."""
    return f"{site}.{source}.{table}"


def printed_names(tables: Iterable[tuple[str, str, TableName]]) -> list[str]:
    """The names of all tables of a lake, in their order.

    Where two would be the same to SQL (it ignores case, and dots may be anywhere) all of them end in `#` and 8
    hex digits of BLAKE2b-128 over the exact name.
    """
    plain = [(printed_name(*one), one) for one in tables]
    count = Counter(name.casefold() for name, _ in plain)
    return [name if count[name.casefold()] == 1 else f"{name}#{_digits(*one)}" for name, one in plain]


def names_by_path(records: Iterable[TableRecord]) -> dict[str, str]:
    """The printed name of each table of the ledger, by its lake path."""
    known = list(records)
    names = printed_names([(r.stream.site, r.stream.source, r.table) for r in known])
    return {r.path: name for r, name in zip(known, names, strict=True)}


def _digits(site: str, source: str, table: TableName) -> str:
    text = json.dumps([site, source, *table.as_list()])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()[:8]


def sql_name(kind: str, printed: str) -> str:
    """A table's `changes` or `current` (the `kind`), ready to paste into a query."""
    return f"{kind}.{rule.quoted(printed)}"


class QueryEngine:
    """Answers queries over the tables of `catalogue`; safe for use from several threads."""

    def __init__(
        self,
        catalogue: Sequence[CatalogueTable],
        open_dataset: OpenDataset,
        *,
        memory_bytes_max: int | None = None,
        overlay: OpenOverlay | None = None,
    ) -> None:
        """`memory_bytes_max` bounds what one query holds (None: the engine's own bound, 80 % of the machine);
        `overlay` gives what may be asked for `current` instead of `changes`, where there is any.

        Raises ValueError when two tables have the same printed name.
        """
        self._tables = {one.printed_name.casefold(): one for one in catalogue}
        if len(self._tables) != len(catalogue):
            raise ValueError("printed names must differ, regardless of case")
        self._open = open_dataset
        self._overlay = overlay
        self._memory_bytes_max = memory_bytes_max

    def query(self, sql: str, as_of: AsOf | None = None) -> pa.Table:
        """The rows of one SELECT. Columns have the lake's stored names; `current` adds `_gc_unknown`. With `as_of` each
        `current` is what it was there; `changes` is whole.

        Raises Permanent GC-6007 when it is no SELECT, names what is not there, or fails; GC-6063 when `as_of` is of
        another source than a table.
        """
        with opened(memory_bytes_max=self._memory_bytes_max) as engine:
            self._provide(engine, _references(engine, sql), as_of)
            engine.execute("SET lock_configuration = true").fetchall()
            return engine.sql(sql).to_arrow_table()

    def current(self, table: CatalogueTable, as_of: Version | None = None) -> pa.Table:
        """What stands in `table`, or stood there at version `as_of`: source columns by their exact lake names
        and in their newest types (see `evolution`), then `landing.current.SYSTEM`.

        Raises Permanent GC-6007 where nothing has landed yet, or the files cannot be read.
        """
        with opened(memory_bytes_max=self._memory_bytes_max) as engine:
            dataset = self._dataset(table)
            engine.register("_gc_data", dataset)
            sql, columns = self._rule(engine, "_gc_data", dataset, table, as_of)
            rows = engine.sql(sql).to_arrow_table()
        kinds = [columns.get(name) or _kind(dataset.schema, name) for name in rows.column_names]
        typed = rows.cast(pa.schema(list(zip(rows.column_names, kinds, strict=True))))
        return typed.rename_columns([exact_name(name) for name in typed.column_names])

    def _provide(self, engine: Any, named: Iterable[tuple[str, str]], as_of: AsOf | None) -> None:
        """Create the views that the query names, `changes` and `current` of a table over one version of it."""
        for schema in (CHANGES, CURRENT):
            engine.execute(f"CREATE SCHEMA {schema}").fetchall()
        version = None if as_of is None else as_of.version
        wanted: dict[CatalogueTable, set[str]] = {}
        for kind, name in named:
            table = self._tables.get(name.casefold())
            if table is None or kind not in (CHANGES, CURRENT):
                raise Permanent("GC-6007", reason=f"no table {sql_name(kind, name) if kind else name}")
            if as_of is not None and kind == CURRENT and Stream(table.site, table.source) != as_of.stream:
                raise Permanent("GC-6063", table=table.printed_name, stream=str(as_of.stream))
            wanted.setdefault(table, set()).add(kind)
        for i, (table, kinds) in enumerate(wanted.items()):
            relation, dataset = f"_gc_data_{i}", self._dataset(table)
            engine.register(relation, dataset)
            for kind in kinds:
                body = f"FROM {relation}"
                if kind == CURRENT:
                    body, _ = self._rule(engine, relation, dataset, table, version)
                engine.execute(f"CREATE VIEW {sql_name(kind, table.printed_name)} AS {body}").fetchall()

    def _rule(
        self,
        engine: Any,
        relation: str,
        dataset: ds.Dataset,
        table: CatalogueTable,
        as_of: Version | None,
    ) -> tuple[str, dict[str, pa.DataType]]:
        """The query of a table's `current`, and the types of the source's columns: from what is materialised and what
        changed since, where that can be."""
        found = self._overlay(table) if self._overlay and as_of is None else None
        if found is None:
            return _current_sql(engine, relation, dataset, table, as_of)
        engine.register(f"{relation}_made", found.made)
        engine.register(f"{relation}_new", found.changed)
        return found.sql(f"{relation}_made", f"{relation}_new"), found.kinds

    def _dataset(self, table: CatalogueTable) -> ds.Dataset:
        dataset = self._open(table.path)
        if dataset is None:
            raise Permanent("GC-6007", reason=f"nothing has landed yet in {table.printed_name}")
        return dataset


def _current_sql(
    engine: Any, changes: str, dataset: ds.Dataset, table: CatalogueTable, as_of: Version | None = None
) -> tuple[str, dict[str, pa.DataType]]:
    """The query of a table's `current`, with the floor that its marks lay, and the types of the source's columns."""

    def reads(span: rule.Span) -> int:
        return int(engine.sql(rule.reads_sql(changes, span)).fetchall()[0][0])

    def floor_at(version: Version | None) -> rule.Floor:
        return rule.floor([m for m in marks if version is None or m.version <= version], reads)

    rows = engine.sql(rule.marks_sql(changes, as_of)).fetchall()
    marks = [rule.Mark.read(Version(epoch, seq, ord_), text) for epoch, seq, ord_, text in rows]
    keys = evolution.keys(dataset.schema.metadata)
    stands = standing(keys, bool(table.key), floor_at, as_of)
    unchanged: set[str] = set()
    if stands.keyed:
        found = engine.sql(rule.unchanged_sql(changes, stands.above, stands.as_of)).fetchall()
        unchanged = {name for (name,) in found}
    one = merged(changes, dataset.schema)
    sql = rule.current_sql(
        one.relation, stands.keyed, list(one.columns), stands.above, unchanged, stands.as_of
    )
    return sql, one.columns


def _kind(schema: pa.Schema, name: str) -> pa.DataType:
    return pa.list_(pa.string()) if name == rule.UNKNOWN else schema.field(name).type


def _references(engine: Any, sql: str) -> list[tuple[str, str]]:
    """Schema and name of every table that `sql` names, common table expressions aside.

    Raises Permanent GC-6007 unless `sql` is one SELECT that reads nothing but tables.
    """
    text = engine.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0][0]
    tree = json.loads(text)
    if tree["error"]:
        if tree.get("error_type") == "parser":
            raise Permanent("GC-6007", reason=f"syntax, at character {int(tree.get('position', 0)) + 1}")
        raise Permanent("GC-6007", reason="only SELECT is allowed")
    if len(tree["statements"]) != 1:
        raise Permanent("GC-6007", reason="one SELECT at a time")
    nodes = list(_nodes(tree))
    expressions = {
        entry["key"].casefold() for node in nodes if "cte_map" in node for entry in node["cte_map"]["map"]
    }
    named = []
    for node in nodes:
        match node:
            case {"type": "TABLE_FUNCTION", "function": {"function_name": str() as name}}:
                if name.lower() not in _TABLE_FUNCTIONS:
                    raise Permanent("GC-6007", reason="table functions are not allowed")
            case {"type": "SHOW_REF", "show_type": "SHOW_SPECIAL"}:
                raise Permanent("GC-6007", reason="only SELECT is allowed")
            case {"type": "BASE_TABLE", "table_name": str() as name, "schema_name": str() as schema}:
                if schema or name.casefold() not in expressions:
                    named.append((schema.lower(), name))
    return named


def _nodes(tree: object) -> Iterator[dict[str, Any]]:
    """Every object of a JSON document. A stack of our own: a query may nest deeper than Python recurses."""
    stack = [tree]
    while stack:
        match stack.pop():
            case dict() as node:
                yield node
                stack.extend(node.values())
            case list() as items:
                stack.extend(items)
