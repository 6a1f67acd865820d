"""A small encoder of pgoutput, and a model of what a log says: the decoder's other half, written from the manual."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any

from edge_agent.sources.pg.events import LogEvent, Relation, Segment, Truncated

EPOCH_MICROS = 946_684_800_000_000
UNCHANGED = "unchanged"
Value = bytes | str | None
Row = Sequence[Value]


def string(text: str) -> bytes:
    return text.encode() + b"\0"


def row(values: Row) -> bytes:
    return struct.pack(">H", len(values)) + b"".join(map(value, values))


def value(of: Value) -> bytes:
    if of is None:
        return b"n"
    if isinstance(of, str):
        return b"u"
    return b"t" + struct.pack(">I", len(of)) + of


def begin(xid: int, commit: int, time: int) -> bytes:
    return b"B" + struct.pack(">QqI", commit, time - EPOCH_MICROS, xid)


def commit(lsn: int, end: int, time: int = EPOCH_MICROS) -> bytes:
    return b"C" + struct.pack(">BQQq", 0, lsn, end, time - EPOCH_MICROS)


def relation(of: Relation) -> bytes:
    schema = "" if of.schema == "pg_catalog" else of.schema
    head = b"R" + struct.pack(">I", of.oid) + string(schema) + string(of.name)
    columns = b"".join(
        struct.pack(">B", c.key) + string(c.name) + struct.pack(">Ii", c.type_oid, c.modifier)
        for c in of.columns
    )
    return head + struct.pack(">BH", of.identity, len(of.columns)) + columns


def insert(oid: int, new: Row) -> bytes:
    return b"I" + struct.pack(">I", oid) + b"N" + row(new)


def update(oid: int, new: Row, kind: bytes = b"", old: Row = ()) -> bytes:
    return b"U" + struct.pack(">I", oid) + (kind + row(old) if kind else b"") + b"N" + row(new)


def delete(oid: int, kind: bytes, old: Row) -> bytes:
    return b"D" + struct.pack(">I", oid) + kind + row(old)


def truncate(oids: Sequence[int], options: int) -> bytes:
    return b"T" + struct.pack(f">IB{len(oids)}I", len(oids), options, *oids)


def message(lsn: int, prefix: str, content: bytes, transactional: bool) -> bytes:
    head = b"M" + struct.pack(">BQ", transactional, lsn)
    return head + string(prefix) + struct.pack(">I", len(content)) + content


def said(events: Sequence[LogEvent]) -> list[Any]:
    """Change by change in the order of the log, as (xid, ordinal, oid, op, old kind, old, new), ordering points as
    they are, ends of transactions as (xid, commit, end, time); however gulps were cut."""
    found: list[Any] = []
    for event in events:
        if isinstance(event, Segment):
            found += _of_segment(event)
        elif isinstance(event, Truncated):
            assert event.transaction.end is None
            oids = [relation.oid for relation in event.relations]
            found.append((event.transaction.xid, event.ordinal, "truncated", oids))
        else:
            found.append(event)
    return found


def _of_segment(segment: Segment) -> Iterator[Any]:
    changes: list[list[Any]] = [[] for _ in segment.transactions]
    for table in segment.tables:
        new = _rows([_values(*column) for column in zip(table.new, table.unchanged, strict=True)])
        old = _rows([column.to_pylist() for column in table.old])
        for op, place, ordinal, kind in zip(
            table.ops, table.transaction, table.ordinal, table.old_kinds, strict=True
        ):
            was = next(old) if kind else None
            now = next(new) if op != "d" else None
            xid = segment.transactions[place].xid
            changes[place].append((xid, ordinal, table.relation.oid, op.value, int(kind), was, now))
        assert not table.new or next(new, None) is next(old, None) is None
    for transaction, mine in zip(segment.transactions, changes, strict=True):
        assert transaction.rows == len(mine)
        yield from sorted(mine, key=lambda change: change[1])
        if transaction.end is not None:
            yield transaction.xid, transaction.commit, transaction.end, transaction.time


def _rows(columns: list[list[Value]]) -> Iterator[tuple[Value, ...]]:
    return iter(zip(*columns, strict=True)) if columns else repeat(())


def _values(column: Any, unchanged: Any) -> list[Value]:
    column.validate(full=True)
    values: list[Value] = column.to_pylist()
    if unchanged is None:
        return values
    marks = unchanged.to_pylist()
    assert True in marks
    assert not any(mark and one is not None for mark, one in zip(marks, values, strict=True))
    return [UNCHANGED if mark else one for mark, one in zip(marks, values, strict=True)]
