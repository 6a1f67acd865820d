"""The work of a source that has a log, beside that of its scans: which tables its log carries, one step at a time.

A table whose log cannot be had is left to the scans, and so are all of them where the source has none as it is set up
now. Where somebody is in the way of the log it is tried again, while the scans of other tables go on. What a step waits
for is the log itself, so that a change is in the spool a moment after it was committed; scans of other tables come
between two steps. From time to time it is seen to it that the log hurts nobody at the hospital.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from protocol.errors import Fault, Rejected, Transient
from protocol.names import TableName
from protocol.schema import TableSchema

from ...orders import Orders
from ...sources.log import IN_THE_WAY, NO_LOG, STILL_ENDANGERED, LogSource, is_still
from ..facts import facts_of
from ..index import IndexFiles
from ..phases import Phase
from ..reports import Report, TableReport
from ..rhythm import Task
from ..scan import ScanSettings
from ..writer import StreamWriter
from .follow import LogFollower

WAIT_SECONDS = 0.2
"""How long a step waits for the log where nothing else is to be done."""
PATIENCE_SECONDS = 600.0
"""How long whoever is in the way of the log is waited for before its tables are scanned."""
AGAIN_SECONDS_MAX = 60.0
"""How often it is tried again meanwhile, at least: each time may hold up everything else for a while."""
TEND_SECONDS = 10.0
"""How often it is asked how much log the server keeps for us, and whom it harms."""
_SCANNED = "its tables are scanned"
log = logging.getLogger("edge.capture")


@dataclass(frozen=True, slots=True)
class Keep:
    """How much log, and how old, a server may keep for us."""

    bytes_max: int
    seconds_max: float


@dataclass(frozen=True, slots=True)
class _InTheWay:
    """What hinders the log's beginning, since when, and when it is tried again (of the clock)."""

    fault: Transient
    since: float
    again_at: float


class LogWork:
    """Of one source. Raises as `LogFollower`; `forget` must follow."""

    def __init__(
        self,
        slug: str,
        settings: ScanSettings,
        keep: Keep,
        writer: Callable[[], StreamWriter],
        report: Report,
        orders: Orders,
        files: IndexFiles,
        clock: Callable[[], float],
    ) -> None:
        self._slug = slug
        self._keep = keep
        self._writer = writer
        self._tended_at = clock() - TEND_SECONDS
        self._report = report
        self._clock = clock
        self._tables: dict[TableName, str] = {}
        self._has_log = True
        self._in_the_way: _InTheWay | None = None
        self._is_ready = False
        self._follower = LogFollower(slug, settings, writer, orders, files, self._reject, clock)

    def _reject(self, table: TableName, fault: Rejected | None) -> None:
        self._report.tables.setdefault(table, TableReport()).note(Task.SCAN, fault)

    @property
    def complete(self) -> int:
        """Everything committed before (microseconds UTC, by the source's clock) is in the spool; 0: not known."""
        return self._follower.complete

    @property
    def waits(self) -> bool:
        """Whether the log cannot be begun for now, and its tables are not scanned either."""
        return self._in_the_way is not None and self._has_log

    @property
    def again_at(self) -> float:
        """When a round should look whether the log can be begun by now, of the clock."""
        return self._in_the_way.again_at if self._in_the_way is not None and self._has_log else math.inf

    @property
    def follows(self) -> bool:
        """Whether there is a log to be read: not where none can be had, nor where no table was ever in it."""
        return self._has_log and not self.waits and (bool(self._tables) or self._follower.has_begun)

    def take_written(self) -> frozenset[TableName]:
        """Tables that are scanned, and to which the log has told since the last call that something was written."""
        return self._follower.take_written()

    @property
    def is_ready(self) -> bool:
        """Whether each of its tables was read to the end, and none must be read anew."""
        return self._is_ready

    def _reports(self) -> list[tuple[TableName, TableReport]]:
        return [(name, self._report.tables.setdefault(name, TableReport())) for name in self._tables]

    def forget(self) -> None:
        self._follower.forget()

    def choose(self, source: LogSource, included: Sequence[TableName]) -> list[TableName]:
        """Of the tables that are included those that the log does not carry. One that was altered is read anew."""
        before, self._tables = self._tables, self._carried(source, included)
        for name in before.keys() | self._tables.keys():
            if not is_still(before.get(name, ""), self._tables.get(name, "")):
                self._follower.leave(name)
        for name in self._tables.keys() - before.keys():
            self._report.tables.setdefault(name, TableReport()).alarm = None
        self._follower.watch(self._tables)
        self._show()
        return [name for name in included if name not in self._tables]

    def _carried(self, source: LogSource, included: Sequence[TableName]) -> dict[TableName, str]:
        """None where the log cannot be had: then that stands in the report."""
        carried: dict[TableName, str] = {}
        try:
            if source.tells_more():
                self.forget()
            carried = source.identities([*included, *self._captured() - set(included)], self._key_of)
            if carried or self._follower.position().origin:
                self._begin(source)
        except Transient as fault:
            if fault.code not in NO_LOG | IN_THE_WAY:
                raise
            self._has_log = self._may_wait(fault)
            if self._report.log is None or self._report.log.code != fault.code:
                log.warning(
                    "%s: %s: %s", self._slug, fault, "it is waited for" if self._has_log else _SCANNED
                )
            self._report.log, self._report.log_waits = fault, self._has_log
            self.forget()
            return carried if self._has_log else {}
        self._has_log, self._in_the_way = True, None
        self._report.log, self._report.log_waits = None, False
        return carried

    def _captured(self) -> set[TableName]:
        """By the log: also tables that are gone by now, of which it may still have much to say."""
        writer = self._writer()
        states = writer.spool.tables(writer.stream)
        return {one.table for one in states if one.phase != Phase.GONE and facts_of(one).log is not None}

    def _key_of(self, table: TableName) -> tuple[str, ...] | None:
        """That of the schema by which the log captured it last; None where it did not."""
        writer = self._writer()
        state = writer.table(table)
        if state is None or facts_of(state).log is None:
            return None
        content = writer.spool.schema(writer.stream, state.fingerprint)
        return None if content is None else TableSchema.from_bytes(content).key

    def _begin(self, source: LogSource) -> None:
        """Raises what was in the way the last time where it is not yet time to try again."""
        if self._in_the_way is not None and self._clock() < self._in_the_way.again_at:
            raise self._in_the_way.fault
        self._follower.begin(source)

    def _may_wait(self, fault: Transient) -> bool:
        """Whether the log's tables wait for it rather than be scanned."""
        now, before = self._clock(), self._in_the_way
        if fault.code not in IN_THE_WAY:
            self._in_the_way = None
            return False
        since = now if before is None else before.since
        if before is None or now >= before.again_at:
            self._in_the_way = _InTheWay(fault, since, now + min(AGAIN_SECONDS_MAX, max(1.0, now - since)))
        return now - since < PATIENCE_SECONDS

    @property
    def is_to_be_tended(self) -> bool:
        return self._clock() - self._tended_at >= TEND_SECONDS

    def tend(self, source: LogSource) -> None:
        """Also while nothing of the log is read (paused, no room in the spool): see that the hospital's disk does not
        fill, and that its own statements do not fail. Raises Transient GC-2059, GC-2074 where the log was given up."""
        self._tended_at = self._clock()
        try:
            self._sound(source.spare())
            fault = self._too_much(*source.kept())
            if fault is not None:
                source.give_up()
        except Fault:
            self.forget()
            raise
        if fault is not None:
            self.forget()
            raise fault

    def _sound(self, alarms: Mapping[TableName, Rejected]) -> None:
        """A danger that has passed is no alarm any more; that a table was taken out stays one."""
        for table, report in self._report.tables.items():
            if report.alarm is not None and report.alarm.code == STILL_ENDANGERED and table not in alarms:
                report.alarm = None
        for table, alarm in alarms.items():
            report = self._report.tables.setdefault(table, TableReport())
            if report.alarm is None or report.alarm.code != alarm.code:
                log.error("%s: %s", self._slug, alarm)
            report.alarm = alarm

    def _too_much(self, kept: int, now: int) -> Transient | None:
        """Whether the server keeps more for us than it may, or older."""
        keep, since = self._keep, self._follower.position().time
        if kept > keep.bytes_max:
            return Transient("GC-2059", source=self._slug, bytes=kept, limit=keep.bytes_max)
        seconds = (now - since) / 1e6 if kept and since else 0.0
        if seconds > keep.seconds_max:
            return Transient("GC-2074", source=self._slug, seconds=int(seconds), limit=int(keep.seconds_max))
        return None

    def step(
        self, source: LogSource, *, wait: bool, snapshots: bool, floor: int | None
    ) -> tuple[bool, float]:
        """A gulp of the log, and where `snapshots` may go on a piece of one: whether there may be more at once, and how
        many seconds the piece took at the source."""
        came = self._follower.follow(source, WAIT_SECONDS if wait else 0.0, floor)
        begun = self._clock()
        read = snapshots and self._follower.snapshot(source, self._tables)
        self._show()
        return came or read, self._clock() - begun if read else 0.0

    @property
    def reads_a_snapshot(self) -> bool:
        return any(report.phase == Phase.SNAPSHOT for _, report in self._reports())

    def _show(self) -> None:
        self._is_ready = True
        for name, state, facts in self._follower.states(self._tables):
            stale = facts.log is None or bool(facts.log.stale)
            self._is_ready &= state is not None and state.phase == Phase.FOLLOW and not stale
            if state is not None:
                report = self._report.tables.setdefault(name, TableReport())
                report.phase = state.phase
                report.rows = facts.before if facts.progress is None else facts.progress.rows
