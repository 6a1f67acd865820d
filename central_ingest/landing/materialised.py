"""One materialised `current`: base files by bucket, a tail of what changed since, and the statement beside them.

Rows of the base live; no two have one key (a table without key has equal rows as often as they count, and no
tail). A step appends to the tail each key that changed, with its row or, where it lives no more, a tombstone
(`_gc_live` false); of two of one key the later `_gc_step` counts. What stands is the base without the keys of the
tail, and the tail's last rows that live (VIEW says it in SQL). A merge rewrites the buckets that tail keys fall
into, one at a time, and takes the tail away in the same commit: every version of the Delta table is one answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from protocol.errors import Transient

from .buckets import Bucket, covering, within
from .deriving import schema_of
from .history import EXPANDS, Tables
from .spill import spilling
from .statement import PROPERTY, Statement
from .tablestate import LiveFile

PART, LIVE, STEP = "_gc_part", "_gc_live", "_gc_step"
TAIL = "tail"
BUCKET_BYTES = 24 << 20
"""Of rows in memory: what a merge holds of a table at a time, about. A bucket that grows to twice that is halved."""
_TAIL_FILES_MAX = 32
_CONDENSED_FILES_MIN = 8

VIEW = """WITH last AS (
  SELECT _gc_key, max(_gc_step) AS _gc_step FROM {table} WHERE _gc_part = 'tail' GROUP BY _gc_key)
SELECT {columns} FROM {table} AS t
WHERE _gc_part <> 'tail' AND NOT EXISTS (SELECT 1 FROM last WHERE last._gc_key = t._gc_key)
UNION ALL
SELECT {columns} FROM {table} AS t
WHERE _gc_part = 'tail' AND _gc_live
  AND EXISTS (SELECT 1 FROM last WHERE last._gc_key = t._gc_key AND last._gc_step = t._gc_step)"""
"""What stands, for any SQL engine that reads the Delta table."""


class Materialised:
    """As it stands when this is made; each of its commits makes it old."""

    def __init__(self, lake: Tables, path: str, scratch: Path, *, bucket_bytes: int = BUCKET_BYTES) -> None:
        self._lake = lake
        self._path = path
        self._scratch = scratch
        self._bucket_bytes = bucket_bytes
        self._files = lake.files(path)
        text = lake.settings(path).get(PROPERTY)
        self.statement = None if text is None else Statement.from_json(text)
        self._tail = [file for file in self._files if file.partition.get(PART) == TAIL]
        self._base: dict[Bucket, list[LiveFile]] = {}
        for file in self._files:
            bucket = Bucket.named(file.partition.get(PART) or "")
            if bucket is not None:
                self._base.setdefault(bucket, []).append(file)

    @property
    def tail_rows(self) -> int:
        return sum(file.rows or 0 for file in self._tail)

    @property
    def base_rows(self) -> int:
        return sum(file.rows or 0 for files in self._base.values() for file in files)

    def standing(self, keys: pa.Array, columns: Sequence[str]) -> pa.Table:
        """What stands under `keys`: these columns of the source, then SYSTEM of `current`."""
        has = self._lake.schema(self._path)
        assert has is not None
        names = list(schema_of(pa.schema([])).names)
        wanted = [*(name for name in columns if name in has.names), *names]
        changed = [self._found(file, keys, [*wanted, LIVE, STEP]) for file in self._tail]
        latest = last_of(pa.concat_tables([*changed, self._nothing([*wanted, LIVE, STEP])]))
        live = latest.filter(latest.column(LIVE)).select(wanted)
        gone = latest.column("_gc_key").combine_chunks()
        base = [
            found.filter(pc.invert(pc.is_in(found.column("_gc_key"), value_set=gone)))
            for files in self._base.values()
            for file in files
            for found in [self._found(file, keys, wanted)]
        ]
        return pa.concat_tables([live, *base])

    def append(self, rows: pa.Table, statement: Statement) -> None:
        """`rows` (those of `current`, and LIVE) behind the tail. Where it has many files the small ones become one."""
        added, schema = self._as_tail(rows, statement.step), self._full(rows.schema)
        small = self._small_tail()
        if small:
            before = [
                _fitted(one, schema) for file in small for one in self._lake.read_file(self._path, file)
            ]
            added = last_of(pa.concat_tables([*before, _fitted(added, schema)]))
        self._commit(small, iter([added]), statement)

    def merge(self, rows: pa.Table, statement: Statement) -> None:
        """`rows` and the tail into the base."""
        buckets = covering(self._base)
        shown = dict(zip(buckets, sorted(self._base) or buckets, strict=True))
        with spilling(self._scratch, buckets) as spill:
            schema = self._full(rows.schema)
            for file in self._tail:
                for piece in self._lake.read_file(self._path, file):
                    spill.add(_fitted(piece, schema))
            spill.add(_fitted(self._as_tail(rows, statement.step), schema))
            numbers = spill.numbers()
            removed = [
                file for number in numbers for file in self._base.get(shown[buckets[number]], [])
            ] + self._tail

            def parts() -> Iterator[pa.Table]:
                yield schema.empty_table()
                for number in numbers:
                    tail = spill.rows(number)
                    assert tail is not None
                    files = self._base.get(shown[buckets[number]], [])
                    yield from self._split(self._merged(files, tail, schema), buckets[number])
                    pa.default_memory_pool().release_unused()

            self._commit(removed, parts(), statement)

    def replace(
        self, parts: Iterable[tuple[Bucket, pa.Table]], changes: pa.Schema, statement: Statement
    ) -> None:
        """Other rows in place of all: `parts` by bucket, each bucket once. `changes` gives the columns, in place of
        those that were there: a column may have another type now."""
        schema = _with_ours(schema_of(changes))

        def written() -> Iterator[pa.Table]:
            yield schema.empty_table()
            for bucket, rows in parts:
                live = _with(_with(rows, LIVE, pa.scalar(True)), STEP, pa.scalar(statement.step, pa.int64()))
                yield from self._split(_fitted(live, schema), bucket)

        self._commit(self._files, written(), statement, redefines=True)

    def fits(self, changes: pa.Schema) -> bool:
        """Whether every column that is there has the type that it has in `changes`."""
        has = self._lake.schema(self._path) or pa.schema([])
        return all(has.field(f.name).type == f.type for f in schema_of(changes) if f.name in has.names)

    def restate(self, statement: Statement) -> None:
        """The same rows, true for longer."""
        empty = self._full(schema_of(pa.schema([]))).empty_table()
        self._commit([], iter([empty]), statement)

    def _small_tail(self) -> list[LiveFile]:
        """The files of the tail that fit into one bucket together, where there are so many that it pays."""
        small: list[LiveFile] = []
        if len(self._tail) >= _TAIL_FILES_MAX:
            room = self._bucket_bytes // EXPANDS
            for file in sorted(self._tail, key=lambda file: file.size):
                room -= file.size
                if room < 0:
                    break
                small.append(file)
        return small if len(small) >= _CONDENSED_FILES_MIN else []

    def _commit(
        self,
        removed: Sequence[LiveFile],
        parts: Iterator[pa.Table],
        statement: Statement,
        redefines: bool = False,
    ) -> None:
        version = self._lake.rewrite(
            self._path,
            removed,
            parts,
            changes_rows=True,
            partition=(PART,),
            settings={PROPERTY: statement.to_json()},
            redefines=redefines,
        )
        if version is None:
            raise Transient("GC-6005", path=self._path, reason="another writer changed it")

    def _merged(self, files: Iterable[LiveFile], tail: pa.Table, schema: pa.Schema) -> pa.Table:
        latest = last_of(tail)
        keys = latest.column("_gc_key").combine_chunks()
        kept = [latest.filter(latest.column(LIVE))]
        for file in files:
            for piece in self._lake.read_file(self._path, file):
                untouched = pc.invert(pc.is_in(piece.column("_gc_key"), value_set=keys))
                kept.append(_fitted(piece.filter(untouched), schema))
        return pa.concat_tables(kept)

    def _split(self, rows: pa.Table, bucket: Bucket) -> Iterator[pa.Table]:
        halves = bucket.halves() if rows.nbytes > 2 * self._bucket_bytes else None
        if halves is None:
            yield _with(rows, PART, pa.scalar(bucket.name))
            return
        for half in halves:
            yield from self._split(within(rows, half), half)

    def _as_tail(self, rows: pa.Table, step: int) -> pa.Table:
        return _with(_with(rows, STEP, pa.scalar(step, pa.int64())), PART, pa.scalar(TAIL))

    def _found(self, file: LiveFile, keys: pa.Array, columns: Sequence[str]) -> pa.Table:
        pieces = self._lake.read_file(self._path, file, columns)
        found = [one.filter(pc.is_in(one.column("_gc_key"), value_set=keys)) for one in pieces]
        return pa.concat_tables([*found, self._nothing(columns)])

    def _nothing(self, columns: Sequence[str]) -> pa.Table:
        has = self._lake.schema(self._path)
        assert has is not None
        return pa.schema([has.field(name) for name in columns]).empty_table()

    def _full(self, rows: pa.Schema) -> pa.Schema:
        """The columns of the table once it has those of `rows`."""
        return _with_ours([*(self._lake.schema(self._path) or []), *rows])


def _with_ours(columns: Iterable[pa.Field]) -> pa.Schema:
    ours = pa.schema([(LIVE, pa.bool_()), (STEP, pa.int64()), (PART, pa.string())])
    return pa.schema(list({field.name: field for field in [*columns, *ours]}.values()))


def last_of(tail: pa.Table) -> pa.Table:
    """Of the rows of each key the one of the latest step."""
    ordered = tail.take(pc.sort_indices(tail, sort_keys=[(STEP, "ascending")])) if tail.num_rows else tail
    numbered = ordered.select(["_gc_key"]).append_column("at", pa.array(range(ordered.num_rows), pa.int64()))
    last = numbered.group_by("_gc_key", use_threads=False).aggregate([("at", "max")]).column("at_max")
    return ordered.take(last.combine_chunks().sort())


def _with(rows: pa.Table, name: str, value: pa.Scalar) -> pa.Table:
    column = pa.repeat(value, rows.num_rows)
    at = rows.schema.get_field_index(name)
    return rows.append_column(name, column) if at < 0 else rows.set_column(at, name, column)


def _fitted(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The same rows with these columns, null where they had none."""
    columns = [
        rows.column(field.name).cast(field.type)
        if field.name in rows.schema.names
        else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
