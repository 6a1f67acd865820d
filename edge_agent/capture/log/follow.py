"""Follows a source's log: gulp by gulp into the spool, position and changes in one transaction (promise 1).

What the log tells again after a restart is recognised by its position and not sent twice, but is held again until
a statement has seen it. Snapshots go on between the gulps (`chunks`). The server hears that it may forget only what
the spool has, and nothing that a later restart needs to be told again. Everything here blocks, on one thread.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from protocol.change import MarkKind, Op
from protocol.errors import Rejected
from protocol.limits import GROUP_BYTES_MAX
from protocol.names import TableName
from protocol.schema import TableSchema

from ...batching import GroupBuilder
from ...changes import Changes
from ...orders import Orders
from ...sources.log import (
    Changed,
    Event,
    Fence,
    Gulp,
    Logged,
    LogLost,
    LogSource,
    Truncated,
    Unreadable,
    is_still,
)
from ...spool.records import Scan, TableState
from .. import snapshot
from ..diff import encode_keys, select
from ..facts import COLUMNS_CHANGED, WAY_CHANGED, Facts, facts_of
from ..index import IndexFiles
from ..phases import Phase
from ..scan import ScanSettings
from ..writer import StreamWriter
from .arriving import changes_of, selected
from .chunks import Chunks
from .position import Position
from .tables import Tables
from .unseen import Unseen
from .waiting import Waiting

log = logging.getLogger("edge.capture")

GULP_BYTES = GROUP_BYTES_MAX // 2
"""Twice as much saves no CPU a row, and the agent holds more (measured)."""
SEEN_SECONDS = 1.0
"""How often it is asked which of the decoded transactions are visible by now."""
UNSEEN_ROWS = 20_000
"""Asked at once where so many changes are held."""
UNSEEN_ROWS_MAX = 200_000
"""A chunk that has to wait for its fence behind more changes than this is read again later."""
IDLE_SECONDS = 1.0
"""How often an idle source's position is written down."""


@dataclass(slots=True)
class _Under:
    """The group that this gulp becomes."""

    writer: StreamWriter
    group: GroupBuilder
    position: Position


class LogFollower:
    """Of one source; `included` are the tables that its log carries for us. Raises the source's and the spool's faults,
    after which `forget` must be called; a table's are given to `reject`."""

    def __init__(
        self,
        slug: str,
        settings: ScanSettings,
        writer: Callable[[], StreamWriter],
        orders: Orders,
        files: IndexFiles,
        reject: Callable[[TableName, Rejected | None], None],
        clock: Callable[[], float],
    ) -> None:
        self._slug = slug
        self._writer = writer
        self._reject = reject
        self._clock = clock
        self._tables = Tables()
        self._unseen = Unseen()
        self.chunks = Chunks(slug, self._tables, self._unseen, orders, files, settings)
        self._begun = False
        self._open = (0, 0)
        self._reached = 0
        self._drained = False
        self._waiting = Waiting(clock)
        self._written: frozenset[TableName] = frozenset()
        self._seen_at = self._noted_at = clock()
        self._complete = 0
        self._alike: dict[tuple[bytes, bytes], bool] = {}

    @property
    def complete(self) -> int:
        """Everything that was committed before (microseconds UTC, the source's clock) is in the spool; 0: unknown."""
        return self._complete

    @property
    def has_begun(self) -> bool:
        return self._begun

    def take_written(self) -> frozenset[TableName]:
        """As `Gulp.written` of all since the last call."""
        written, self._written = self._written, frozenset()
        return written

    def position(self) -> Position:
        """As the spool has it."""
        return Position.parse(self._writer().state().position)

    def begin(self, source: LogSource) -> None:
        """Find the log again where it was left, or begin it."""
        if not self._begun:
            self._begin(self._writer(), source, self.position())

    def forget(self) -> None:
        """After a fault: what is in memory alone is void, and the log is read again from the position."""
        self._begun = False
        self._tables.forget()
        self._unseen = self.chunks.restart()
        self._open, self._reached, self._complete = (0, 0), 0, 0

    def follow(self, source: LogSource, seconds: float, floor: int | None = None) -> bool:
        """One gulp, for which it waits so long; whether anything came. `floor`: up to when everything else of the
        source is complete (microseconds UTC), None where there is nothing else."""
        writer = self._writer()
        self.begin(source)
        position = self.position()
        self._see(source)
        gulp = source.read(GULP_BYTES, seconds)
        self._drained = gulp.drained
        self._written |= gulp.written
        under = _Under(writer, writer.group(), position)
        for event in gulp.events:
            self._take(under, event)
        self._finish(source, under, position, gulp, floor)
        return bool(gulp.events)

    def _begin(self, writer: StreamWriter, source: LogSource, position: Position) -> None:
        """What was lost on the way is read anew, and said so, before anything else of the log is."""
        try:
            origin = source.follow(position.end, position.origin)
        except LogLost as lost:
            log.warning("%s: the log cannot be followed on (%s): its tables are read anew", self._slug, lost)
            for state in writer.spool.tables(writer.stream):
                if facts_of(state).log is not None:
                    self._tables.mark_stale(writer, state.table, f"log lost: {lost}")
            self.chunks.floors.clear()
            origin, position = source.follow(0, ""), Position()
        if origin != position.origin:
            position = replace(position, origin=origin)
            writer.commit(None, position=str(position), tables=self._tables.changed)
            self._tables.committed()
        self._begun = True

    def leave(self, table: TableName) -> None:
        """The log carries the table no longer, or again: nothing that was known of it counts."""
        self._tables.written(table)
        self.chunks.leave(table)

    def states(self, tables: Collection[TableName]) -> Iterator[tuple[TableName, TableState | None, Facts]]:
        """As the spool has them."""
        writer = self._writer()
        for table in tables:
            yield table, self._tables.state(writer, table), self._tables.facts(writer, table)

    def watch(self, identities: Mapping[TableName, str]) -> None:
        """Of each table what it is now: one that was rewritten or altered is read anew (capture.md §3.8)."""
        writer = self._writer()
        for table, identity in identities.items():
            facts = self._tables.facts(writer, table)
            if facts.log is None or is_still(facts.log.identity, identity):
                continue
            if facts.log.identity:
                self._tables.mark_stale(writer, table, "rewritten or altered")
            else:
                self._tables.keep(writer, table, replace(facts, log=replace(facts.log, identity=identity)))
        if self._tables.changed:
            writer.commit(None, tables=self._tables.changed)
            self._tables.committed()

    def snapshot(self, source: LogSource, tables: Collection[TableName]) -> bool:
        """One step of the first of these tables that needs any; False where none does or all have to wait. Nothing is
        read while more of the log is there: a chunk's fence would stand behind all of it."""
        writer, waiting = self._writer(), self._waiting
        caught_up = self._begun and self._reached >= Position.parse(writer.state().position).end
        if not (caught_up and self._drained) or self.chunks.waits_for_fence or waiting.nothing_begins:
            return False
        table = next((t for t in tables if self.chunks.due(writer, t) and not waiting.rests(t)), None)
        if table is None:
            return False
        try:
            went_on = self.chunks.step(writer, source, table)
        except Rejected as fault:
            self._give_up(writer, table, fault)
            return False
        if not went_on and waiting.held_up(table):  # by a forgotten window at the hospital, perhaps
            self._reject(table, Rejected("GC-2078", table=str(table), session=source.holding() or "?"))
        elif went_on and waiting.went_on(table):
            self._reject(table, None)
        return went_on

    def _give_up(self, writer: StreamWriter, table: TableName, fault: Rejected) -> None:
        """A table whose definition is no longer that of its snapshot begins anew; else a person hears of it. Both after
        a rest."""
        self._tables.clear()
        self.chunks.void(table)
        self._waiting.failed(table)
        if fault.code == "GC-2010":
            self._tables.mark_stale(writer, table, COLUMNS_CHANGED)
            writer.commit(None, tables=self._tables.changed)
            self._tables.committed()
        else:
            self._reject(table, fault)

    # events

    def _take(self, under: _Under, event: Event) -> None:
        match event:
            case Changed():
                for logged in event.tables:
                    self._logged(under, event, logged)
                if not event.tables:
                    self._unseen.hold(tuple(event.transactions), None, [])
                for one in event.transactions:
                    before = self._open[1] if self._open[0] == one.commit else 0
                    rows = before + one.rows
                    under.position = under.position.after(one, rows)
                    self._open = (0, 0) if one.end is not None else (one.commit, rows)
            case Truncated():
                if not under.position.has(event.transaction, event.ordinal):
                    for table in event.tables:
                        self._truncated(under, table)
                self._open = (event.transaction.commit, event.ordinal + 1)
                under.position = under.position.after(replace(event.transaction, end=None), event.ordinal + 1)
            case Fence():
                self._fenced(under, event)
            case Unreadable():
                self._lose(under.writer, event.table, event.fault)

    def _fenced(self, under: _Under, fence: Fence) -> None:
        table = self.chunks.waiting_for(fence.token)
        if table is None:
            return  # of a chunk that is void
        try:
            self.chunks.meet(under.writer, under.group)
        except Rejected as fault:
            self._lose(under.writer, table, fault)
        else:
            self._waiting.succeeded(table)
            self._reject(table, None)

    def _logged(self, under: _Under, event: Changed, logged: Logged) -> None:
        try:
            changes = changes_of(logged, under.writer.secret, [one.time for one in event.transactions])
        except Rejected as fault:
            self._lose(under.writer, logged.schema.table, fault)
            return
        self._unseen.hold(tuple(event.transactions), changes, logged.transaction)
        self._compare(under.writer, logged.schema)
        fresh = self._fresh(under.position, event, logged)
        if not fresh or self._counted_by_scans(under.writer, logged.schema):
            return
        if len(fresh) < changes.count:
            changes = selected(changes, fresh)
        try:
            under.group.add(changes)
        except Rejected as fault:
            self._lose(under.writer, changes.schema.table, fault)
        else:
            self._remember(under.writer, changes)

    def _compare(self, writer: StreamWriter, schema: TableSchema) -> None:
        """Rows that stood there when the columns changed may have changed with them, of which no log tells."""
        state = self._tables.state(writer, schema.table)
        if state is None or state.phase == Phase.NEW or state.fingerprint == schema.fingerprint:
            return
        pair = (state.fingerprint, schema.fingerprint)
        if pair not in self._alike:
            self._alike[pair] = writer.was_sent_as(state.fingerprint, schema)
        if not self._alike[pair]:
            self.chunks.void(schema.table)
            self._tables.mark_stale(writer, schema.table, COLUMNS_CHANGED)

    def _counted_by_scans(self, writer: StreamWriter, schema: TableSchema) -> bool:
        """Copies of rows that the scans may have sent, of a table whose snapshot by the log is still to come."""
        facts = self._tables.facts(writer, schema.table)
        return not schema.key and (facts.log is None or facts.log.stale == WAY_CHANGED)

    def _lose(self, writer: StreamWriter, table: TableName, fault: Rejected) -> None:
        """Some of its changes cannot travel: it is read anew, where the same fault stays until it has gone."""
        self._reject(table, fault)
        self._waiting.failed(table)
        self.chunks.void(table)
        self._tables.mark_stale(writer, table, fault.code)

    def _fresh(self, position: Position, event: Changed, logged: Logged) -> list[int]:
        """The changes that are not spooled yet."""
        known = [i for i, one in enumerate(event.transactions) if not position.has_nothing_of(one)]
        end = bisect_right(logged.transaction, known[-1]) if known else 0
        pairs = zip(logged.transaction[:end], logged.ordinal[:end], strict=True)
        left = [
            i for i, (at, ordinal) in enumerate(pairs) if not position.has(event.transactions[at], ordinal)
        ]
        return [*left, *range(end, len(logged.ops))]

    def _remember(self, writer: StreamWriter, changes: Changes) -> None:
        """Rows that came under another key with some values left out are read once more (capture.md §3.6); of a table
        that follows, how many rows it has."""
        table = changes.schema.table
        state = self._tables.state(writer, table)
        if state is None:
            return
        if state.phase == Phase.FOLLOW:
            more = changes.ops.count(Op.CREATE) - changes.ops.count(Op.DELETE)
            if more:
                facts = self._tables.facts(writer, table)
                self._tables.keep(writer, table, replace(facts, before=max(0, facts.before + more)))
            return
        if not changes.old_keys or not changes.unchanged or state.phase != Phase.SNAPSHOT:
            return
        moved = [i for i, old in enumerate(changes.old_keys) if old and changes.unchanged[i]]
        if moved:
            facts = self._tables.facts(writer, table)
            keys = encode_keys(changes.schema, select(changes.rows, moved))
            followed = self._tables.followed(writer, table)
            followed = replace(followed, reread=(*followed.reread, *keys))
            self._tables.keep(writer, table, replace(facts, log=followed))

    def _truncated(self, under: _Under, table: TableName) -> None:
        """A snapshot under way begins anew; the table's new file is no surprise."""
        writer, state = under.writer, self._tables.state(under.writer, table)
        self.chunks.void(table)
        if state is None or state.phase not in (Phase.SNAPSHOT, Phase.FOLLOW):
            return
        if state.phase == Phase.SNAPSHOT:
            self._tables.mark_stale(writer, table, "truncated")
        snapshot.say(writer, under.group, state, MarkKind.TRUNCATE)
        facts = self._tables.facts(writer, table)
        if facts.log is not None:
            self._tables.keep(writer, table, replace(facts, before=0, log=replace(facts.log, identity="")))

    # the end of a gulp

    def _finish(
        self, source: LogSource, under: _Under, before: Position, gulp: Gulp, floor: int | None
    ) -> None:
        self._reached = max(self._reached, gulp.reached)
        position = under.position.reaching(gulp.reached)
        now = self._clock()
        idle = not gulp.events and now - self._noted_at < IDLE_SECONDS
        newer = position != before or gulp.time > self._complete
        if not idle and (newer or under.group.any or self._tables.changed):
            whole = not position.commit
            complete = 0 if not whole else gulp.time if floor is None else min(gulp.time, floor)
            position = replace(position, time=max(position.time, gulp.time)) if whole else position
            under.writer.commit(
                under.group,
                position=str(position),
                cut=whole,
                tables=self._tables.changed,
                scan=Scan(complete) if complete else None,
            )
            self._tables.committed()
            self.chunks.committed()
            self._complete = gulp.time if whole else self._complete
            self._noted_at = now
        self._tables.clear()
        self._confirm(source, position if not idle else before)

    def _confirm(self, source: LogSource, position: Position) -> None:
        """Only what the spool has, and nothing that no statement has seen (capture.md §3.5)."""
        oldest = self._unseen.oldest()
        source.confirm(position.end if oldest is None else min(position.end, oldest.commit))

    def _see(self, source: LogSource) -> None:
        """Not while a chunk waits for its fence: what its own statement did not see is still needed."""
        if self.chunks.waits_for_fence and self._unseen.rows > UNSEEN_ROWS_MAX:
            self.chunks.put_off()
        if self.chunks.waits_for_fence or not self._unseen.any:
            return
        now = self._clock()
        if now - self._seen_at >= SEEN_SECONDS or self._unseen.rows > UNSEEN_ROWS:
            self._unseen.see(source.visible())
            self._seen_at = now
