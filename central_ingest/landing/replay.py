"""The oracle of `current`: a table's changes replayed one by one, as plainly as it can be said.

It shares no line with `landing.current` and no way of thinking: no floor is computed, state is kept and swept
as the marks come by. Slow (a Python loop over every change) and for tests, `repair` and doubt; queries go
through `landing.query`. Rows come out as dicts, a multiset's rows as often as they count.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from typing import Any

import pyarrow as pa
from pyarrow import types

from protocol.change import LAKE_SYSTEM_NAMES, MarkKind, Version

from . import evolution
from .current import SYSTEM, UNKNOWN, source_name
from .evolution import Shown

_Row = dict[str, Any]
_BEGINNING = Version(-1, 0)


@dataclass(slots=True)
class _Snapshot:
    """The one begun last."""

    id: str | None
    begin: Version
    reads: int = 0


def replay(changes: pa.Table, keyed: bool, as_of: Version | None = None) -> list[_Row]:
    """The rows of `current`, in no order, with the source's columns by their exact lake names, each in its newest
    type (see `evolution`), and SYSTEM. `keyed` counts where the metadata of `changes` tells no keys."""
    keys = deque(evolution.keys(changes.schema.metadata))
    shown = evolution.shown(pa.schema([f for f in changes.schema if f.name not in LAKE_SYSTEM_NAMES]))
    table = _table(shown, bool(keys[0].key) if keys else keyed)
    since = keys.popleft().since if keys else _BEGINNING
    stood: list[_Row] | None = None
    """What stood when the key became another, until what stands under the new one is known."""
    snapshot: _Snapshot | None = None
    for version, row in _in_order(changes, shown):
        if as_of is not None and version > as_of:
            break
        while keys and version >= keys[0].since:
            stood = list(table.rows()) if stood is None else stood
            table, since = _table(shown, bool(keys[0].key)), keys.popleft().since
        if row["_gc_op"] != "m":
            if row["_gc_op"] == "r" and snapshot is not None and snapshot.begin.epoch == version.epoch:
                snapshot.reads += 1
            table.change(version, row)
            continue
        mark = json.loads(row["_gc_mark"])
        match mark["mark"]:
            case MarkKind.SNAPSHOT_BEGIN:
                snapshot = _Snapshot(mark.get("snapshot"), version)
                table.begin()
            case MarkKind.SNAPSHOT_END:
                if snapshot is not None and _completes(mark, version, snapshot):
                    table.sweep(snapshot.begin)
                    stood = None if snapshot.begin >= since else stood
            case MarkKind.TRUNCATE | MarkKind.DROP:
                table.clear(version)
                stood = None
    return list(table.rows()) if stood is None else stood


def _table(shown: list[Shown], keyed: bool) -> _Keyed | _Multiset:
    return (_Keyed if keyed else _Multiset)([one.name for one in shown])


def _in_order(changes: pa.Table, shown: list[Shown]) -> list[tuple[Version, _Row]]:
    rows = [(Version(r["_gc_epoch"], r["_gc_seq"], r["_gc_ord"]), r) for r in changes.to_pylist()]
    merged = [(version, row | {one.name: _value(row, one) for one in shown}) for version, row in rows]
    return sorted(merged, key=lambda pair: pair[0])


def _value(row: _Row, one: Shown) -> Any:
    """Of the generation that has one, as the newest has it."""
    value = next((row[name] for name in one.generations if row[name] is not None), None)
    if value is None:
        return None
    if types.is_decimal(one.kind):
        with localcontext(prec=one.kind.precision):
            return Decimal(value).quantize(Decimal(1).scaleb(-one.kind.scale))
    if types.is_floating(one.kind):
        return float(value)
    return str(value) if types.is_string(one.kind) else value


def _completes(mark: dict[str, Any], version: Version, snapshot: _Snapshot) -> bool:
    named = mark.get("snapshot") is not None and mark["snapshot"] == snapshot.id
    rows = mark.get("facts", {}).get("rows")
    counted = type(rows) is int and rows == snapshot.reads
    return named and counted and version.epoch == snapshot.begin.epoch


def _system(row: _Row, aside: list[_Row] | None, unknown: list[str]) -> _Row:
    return {name: row[name] for name in SYSTEM[:-2]} | {"_gc_aside": aside, UNKNOWN: unknown}


@dataclass(slots=True)
class _Image:
    """One column's value, what was set aside of it, and the version of the change that carried it."""

    value: Any
    aside: list[_Row]
    carried: Version


@dataclass(slots=True)
class _Entry:
    """What is known of one key: its images by column, and its last change."""

    version: Version
    row: _Row
    images: dict[str, _Image]
    dead: bool = False


class _Keyed:
    def __init__(self, columns: list[str]) -> None:
        self._names = {name: source_name(name) for name in columns}
        self._entries: dict[bytes, _Entry] = {}
        self._died: dict[bytes, list[_Entry]] = {}
        self._floor = _BEGINNING

    def change(self, version: Version, row: _Row) -> None:
        held = self._entries.get(row["_gc_key"])
        known = {} if held is None or held.dead else held.images
        match row["_gc_op"]:
            case "d":
                entry = _Entry(version, row, known, dead=True)
                self._died.setdefault(row["_gc_key"], []).append(entry)
            case "u":
                entry = _Entry(version, row, known | self._carried(version, row))
            case _:
                entry = _Entry(version, row, self._inherited(version, row) | self._carried(version, row))
        self._entries[row["_gc_key"]] = entry

    def _carried(self, version: Version, row: _Row) -> dict[str, _Image]:
        left_out = row["_gc_unchanged"] or ()
        return {
            name: _Image(row[name], [a for a in row["_gc_aside"] or () if a["column"] == source], version)
            for name, source in self._names.items()
            if source not in left_out
        }

    def _inherited(self, version: Version, row: _Row) -> dict[str, _Image]:
        """A create that names its old key has what that key held when it was deleted for it."""
        old = row["_gc_old_key"]
        if row["_gc_op"] != "c" or old is None or not self._died.get(old):
            return {}
        grave = self._died[old][-1]
        same_batch = (grave.version.epoch, grave.version.seq) == (version.epoch, version.seq)
        return grave.images if same_batch or self._entries[old] is grave else {}

    def begin(self) -> None:
        """Keys known by their key are known as well from a snapshot that is not complete."""

    def sweep(self, begin: Version) -> None:
        self._floor = max(self._floor, begin)

    def clear(self, version: Version) -> None:
        self._floor = version

    def rows(self) -> Iterator[_Row]:
        for entry in self._entries.values():
            if entry.dead or entry.version <= self._floor:
                continue
            row = entry.row
            left_out = row["_gc_unchanged"] or ()
            known = {name: i for name, i in entry.images.items() if i.carried > self._floor}
            aside = [a for a in row["_gc_aside"] or () if a["column"] not in left_out]
            once = {source: name for name, source in self._names.items()}  # generations come and go together
            aside += [
                a for s, name in once.items() if s in left_out and name in known for a in known[name].aside
            ]
            unknown = [source for source, name in once.items() if name not in known]
            values = {name: known[name].value if name in known else None for name in self._names}
            whole = not left_out
            yield values | _system(row, row["_gc_aside"] if whole else aside or None, unknown)


@dataclass(slots=True)
class _Count:
    """How often a row stands there, and the change that last said so."""

    reads: int = 0
    deltas: int = 0
    last: dict[str, _Row] = field(default_factory=dict)

    def copy(self) -> _Count:
        return _Count(self.reads, self.deltas, dict(self.last))


class _Multiset:
    """Two counts side by side: of what is known, and of the snapshot that was begun last."""

    def __init__(self, columns: list[str]) -> None:
        self._columns = columns
        self._known: dict[bytes, _Count] = {}
        self._begun: dict[bytes, _Count] = {}
        self._founded = False  # whether what is known rests on a whole snapshot or an emptied table
        self._reading = True  # whether rows read now belong to what is known

    def change(self, version: Version, row: _Row) -> None:
        key, op = row["_gc_key"], row["_gc_op"]
        self._count(self._begun, key, op, row)
        if op != "r" or self._reading:
            self._count(self._known, key, op, row)

    def _count(self, counts: dict[bytes, _Count], key: bytes, op: str, row: _Row) -> None:
        count = counts.setdefault(key, _Count())
        if op == "r":
            count.reads += 1
        elif op in ("c", "d"):
            count.deltas += 1 if op == "c" else -1
        if op in ("r", "c"):
            count.last[op] = row

    def begin(self) -> None:
        self._begun = {}
        self._reading = not self._founded
        if not self._founded:
            for count in self._known.values():
                count.reads = 0
                count.last.pop("r", None)

    def sweep(self, begin: Version) -> None:
        self._known = {key: count.copy() for key, count in self._begun.items()}
        self._founded = self._reading = True

    def clear(self, version: Version) -> None:
        self._known, self._begun = {}, {}
        self._founded = True

    def rows(self) -> Iterator[_Row]:
        for count in self._known.values():
            times = count.reads + count.deltas
            if times <= 0:
                continue
            last = max(
                count.last.values(), key=lambda row: (row["_gc_epoch"], row["_gc_seq"], row["_gc_ord"])
            )
            values = {name: last[name] for name in self._columns}
            for _ in range(times):
                yield values | _system(last, last["_gc_aside"], list(last["_gc_unchanged"] or ()))
