"""Mending a table of the lake as it was judged: what is not whole moves aside, and its rows come another way.

The journal brings them again where it reaches back to what stays: then the stream's low-water mark goes to the first
record that it has, and every table skips what it holds (invariant 4). Where it does not, only the files that are not
whole are taken out of the table, what they held is a recorded gap, and a snapshot is ordered that heals it, as for a
quarantine that was dropped. Only while no daemon runs; a call that failed is taken up by the next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..ledger.commands import new_command
from ..ledger.ledger import Ledger, TableRecord
from ..ledger.quarantine import Gap, Position
from . import recovery
from .delta import DeltaLake
from .materialising import changes_of
from .soundness import Mend, TableFound

ORDER_MICROS = 30 * 86_400 * 1_000_000
"""How long an ordered snapshot waits for its agent."""
SEQ_MAX = (1 << 63) - 1


class Mending:
    def __init__(self, lake: DeltaLake, ledger: Ledger, who: str, now: int) -> None:
        self._lake = lake
        self._store = lake.store
        self._ledger = ledger
        self._who = who
        self._now = now

    def table(self, found: TableFound, mend: Mend, code: str, reason: str, *, begins: int = 0) -> None:
        """`code` and `reason` stand in the record of a gap; `begins`: where the journal's first record of the stream
        stands. Raises OSError, Transient GC-6005 where the store fails."""
        if mend is Mend.ASIDE:
            recovery.cut(self._store, found.path, found.last)
            return
        record = next((one for one in self._ledger.lake_tables() if one.path == found.path), None)
        if mend is Mend.SNAPSHOT and record is not None:
            self._give_up(found, record, code, reason)
            return
        if mend is Mend.AGAIN and record is not None:
            self._ledger.save_low_water({record.stream: begins})
        if mend is Mend.ANEW:
            self._ledger.materialised.ask([changes_of(found.path)], self._now)
        self._cut(found, record, -1 if mend is Mend.ANEW else found.sound)

    def _cut(self, found: TableFound, record: TableRecord | None, last: int) -> None:
        target = recovery.cut(self._store, found.path, last)
        self._move(found, target)
        if record is not None:
            self._ledger.save_table(replace(record, synced_version=last, rows=found.sound_rows))

    def _move(self, found: TableFound, target: str | None) -> None:
        for name in found.bad:
            recovery.set_aside(self._store, found.path, name, target or f"{recovery.DAMAGED}/{found.path}")

    def _give_up(self, found: TableFound, record: TableRecord, code: str, reason: str) -> None:
        """The gap before anything moves, or a crash in between would hide it."""
        heads = [one.head for one in self._ledger.streams() if one.stream == record.stream]
        head = max(((one.epoch, one.seq) for one in heads), default=(1, 0))
        if found.broken:
            epoch, seq = found.held or (1, 0)
            self._lose(record, (epoch, seq + 1), head, code, reason)
            self._cut(found, record, found.sound)
            return
        files = [one for one in self._lake.files(found.path) if one.path in found.bad]
        if not files:  # by a call that died
            self._move(found, None)
            return
        spans = [_span(one.stats, head) for one in files]
        self._lose(record, min(s[0] for s in spans), max(s[1] for s in spans), code, reason)
        version = self._lake.rewrite(found.path, files, [], changes_rows=True)
        self._move(found, None)
        if version is not None:
            rows = record.rows - sum(one.rows or 0 for one in files)
            self._ledger.save_table(replace(record, synced_version=version, rows=max(0, rows)))

    def _lose(self, record: TableRecord, first: Position, last: Position, code: str, reason: str) -> None:
        known = [(g.path, g.first, g.last) for g in self._ledger.quarantine.gaps() if g.healed is None]
        holders = [one.agent for one in self._ledger.streams() if one.stream == record.stream]
        if (record.path, first, last) in known:
            return
        order = None
        if holders:
            agent, table = holders[0], str(record.table)
            order = new_command(record.stream, agent, "snapshot", table, self._who, self._now, ORDER_MICROS)
        gap = Gap(
            stream=record.stream,
            path=record.path,
            first=first,
            last=last,
            envelopes=0,
            bytes=0,
            rows=None,
            code=code,
            reason=reason,
            who=self._who,
            time=self._now,
            command=order.id if order else None,
        )
        self._ledger.quarantine.lose(gap, order)


def _span(stats: Mapping[str, Any], head: Position) -> tuple[Position, Position]:
    """The versions that a data file may hold, by its statistics; none behind the stream's `head`."""
    low, high = stats.get("minValues", {}), stats.get("maxValues", {})
    first_epoch, last_epoch = low.get("_gc_epoch", 1), high.get("_gc_epoch", head[0])
    if first_epoch == last_epoch and "_gc_seq" in low and "_gc_seq" in high:
        return (first_epoch, low["_gc_seq"]), (last_epoch, high["_gc_seq"])
    return (first_epoch, 1), min((last_epoch, SEQ_MAX), head)
