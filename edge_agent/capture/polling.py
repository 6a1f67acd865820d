"""The way `query`: reads the rows whose cursor moved, and sends those that differ from what is known.

It is cheap, and never complete by itself: a row whose cursor is null or did not move, a row that commits later
than the overlap, and every deletion are found by the next scan only. What was found enters the overlay in the
transaction of the changes, and so does the position; a process that dies reads the overlap again and sends
nothing twice, because what is known tells it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Protocol

from protocol import canonical
from protocol.change import Op
from protocol.errors import Rejected
from protocol.schema import Column, TableSchema

from ..batching import GroupBuilder
from ..changes import Changes
from ..sources.settings import TableSettings
from ..sources.source import PageLimits, Rows, Source
from ..spool.records import Overlaid, TableState
from .diff import encode, index_of, select
from .facts import Polled, facts_of
from .following import Kind, Place, behind, clock, credible, kind_of, place
from .known import Known
from .scan import ScanSettings
from .writer import StreamWriter


def followed(schema: TableSchema, name: str, way: str) -> Column:
    """The column of that name, which `cursor` or `window` is to follow. Raises Rejected GC-2020/2021/2022."""
    table = str(schema.table)
    found = next((c for c in schema.columns if c.name == name), None)
    if found is None:
        raise Rejected("GC-2020", table=table, column=name, way=way)
    if not schema.key:
        raise Rejected("GC-2022", table=table, way=way)
    if kind_of(found) is None:
        source_type = found.source_type or str(found.wire)
        raise Rejected("GC-2021", table=table, column=name, way=way, type=source_type)
    return found


@dataclass(frozen=True, slots=True)
class Follower:
    """What following a column of one table needs."""

    source_slug: str
    source: Source
    writer: StreamWriter
    known: Known
    settings: ScanSettings
    table: TableSettings
    schema: TableSchema
    zone: tzinfo

    def column(self, way: str) -> Column:
        """The column that the operator set for this way. Raises Rejected GC-2020/2021/2022."""
        name = (self.table.cursor if way == "cursor" else self.table.window) or ""
        return followed(self.schema, name, way)

    def latest(self, column: Column, way: str) -> tuple[bytes, Place | None]:
        """The greatest value there is. Raises Rejected GC-2024 where it is text that spells no time."""
        value = self.source.latest(self.schema, column.name)
        at = place(column, value)
        if value and at is None:
            raise Rejected("GC-2024", table=str(self.schema.table), column=column.name, way=way)
        return value, at

    def now(self, column: Column) -> int:
        """On the column's own clock."""
        return clock(column, self.writer.wall(), self.zone)

    def limits(self) -> PageLimits:
        return PageLimits(self.settings.page_rows, self.settings.page_bytes)

    def state(self) -> TableState:
        state = self.writer.table(self.schema.table)
        assert state is not None, "only a table that was read once is followed"
        return state

    def sift(self, rows: Rows) -> tuple[GroupBuilder, list[Overlaid], list[bytes]]:
        """A group with those of `rows` that are new or differ from what is known, what is known then, and the
        canonical keys of all of them."""
        encoded = encode(self.schema, rows, self.writer.secret)
        index = index_of(self.schema, encoded)
        known = self.known.find(self.schema.table, index)
        ops: list[Op] = []
        positions: list[int] = []
        overlaid: list[Overlaid] = []
        for i, (key, digest) in enumerate(index.items()):
            before = known.get(key)
            if before is not None and before.digest == digest:
                continue
            ops.append(Op.UPDATE if before is not None and before.digest else Op.CREATE)
            positions.append(i)
            overlaid.append(Overlaid(key, digest, before is None or before.fresh))
        group = self.writer.group()
        if positions:
            keys = canonical.digests([encoded.keys[i] for i in positions])
            group.add(Changes(self.schema, select(rows, positions), ops, keys))
        return group, overlaid, encoded.keys


class Following(Protocol):
    """A poll, or a look at a window, under way."""

    def step(self) -> bool:
        """Do the next piece, one statement and one transaction; True when all was read. Raises as a scan's."""
        ...


class Poll:
    """One poll of one table."""

    def __init__(self, one: Follower) -> None:
        self._one = one
        self._after: bytes | None = None

    def step(self) -> bool:
        one = self._one
        column = one.column("cursor")
        facts = facts_of(one.state())
        polled = facts.polled
        if polled is None or polled.column != column.name:
            polled = begin_polling(one)
        at = place(column, polled.position)
        if self._after is None:
            self._after = b"" if at is None else behind(column, at, self._overlap(column))
        page = one.source.changed(one.schema, column.name, self._after, one.limits())
        group, overlaid, _ = one.sift(page.rows)
        moved = self._moved(column, polled, page.rows)
        if overlaid or moved != facts.polled:
            state = one.state()
            facts = replace(facts, polled=moved)
            one.writer.commit(group, table=replace(state, facts=facts.to_json()), overlaid=overlaid)
        if page.last:
            self._after = page.last
        return not page.full

    def _overlap(self, column: Column) -> float:
        table = self._one.table
        return table.overlap if kind_of(column) is Kind.NUMBER else table.overlap_seconds

    def _moved(self, column: Column, polled: Polled, rows: Rows) -> Polled:
        """The position after these rows, which stand in the column's order: forwards, or where it was."""
        at = place(column, polled.position)
        now = self._one.now(column)
        values = rows.columns[self._one.schema.columns.index(column)]
        for i in reversed(range(rows.count)):
            if not values[i].is_valid:
                continue
            value = canonical.encode_rows([values.slice(i, 1)])[0]
            there = place(column, value)
            if there is not None and credible(column, there, now):
                return replace(polled, position=value) if at is None or there.order > at.order else polled
        return polled


def begin_polling(one: Follower) -> Polled:
    """Where the first poll begins: at the greatest value there is, for what is below was or will be scanned. A
    value later than any clock is passed over."""
    column = one.column("cursor")
    value, at = one.latest(column, "cursor")
    now = one.now(column)
    if at is not None and not credible(column, at, now):
        value = behind(column, replace(at, order=now), 0)
    return Polled(column.name, value)
