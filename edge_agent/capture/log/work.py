"""The work of a source that has a log, beside that of its scans: which tables its log carries, one step at a time.

A table whose log cannot be had is left to the scans, and so are all of them where the source has none as it is set up
now. What a step waits for is the log itself, so that a change is in the spool a moment after it was committed; scans of
other tables come between two steps. From time to time it is seen to it that the log hurts nobody at the hospital.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from protocol.errors import Fault, Rejected, Transient
from protocol.names import TableName

from ...orders import Orders
from ...sources.log import NO_LOG, LogSource, is_still
from ..index import IndexFiles
from ..phases import Phase
from ..reports import Report, TableReport
from ..rhythm import Task
from ..scan import ScanSettings
from ..writer import StreamWriter
from .follow import LogFollower

WAIT_SECONDS = 0.2
"""How long a step waits for the log where nothing else is to be done."""
TEND_SECONDS = 10.0
"""How often it is asked how much log the server keeps for us, and whom it harms."""
log = logging.getLogger("edge.capture")


@dataclass(frozen=True, slots=True)
class Keep:
    """How much log, and how old, a server may keep for us."""

    bytes_max: int
    seconds_max: float


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
        self._tended_at = clock() - TEND_SECONDS
        self._report = report
        self._clock = clock
        self._tables: dict[TableName, str] = {}
        self._has_log = True
        self._is_ready = False
        self._follower = LogFollower(slug, settings, writer, orders, files, self._reject, clock)

    def _reject(self, table: TableName, fault: Rejected | None) -> None:
        self._report.tables.setdefault(table, TableReport()).note(Task.SCAN, fault)

    @property
    def complete(self) -> int:
        """Everything committed before (microseconds UTC, by the source's clock) is in the spool; 0: not known."""
        return self._follower.complete

    @property
    def follows(self) -> bool:
        """Whether there is a log to be read: not where none can be had, nor where no table was ever in it."""
        return self._has_log and (bool(self._tables) or self._follower.has_begun)

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
        try:
            carried = source.identities(included)
            if carried or self._follower.position().origin:
                self._follower.begin(source)
        except Transient as fault:
            if fault.code not in NO_LOG:
                raise
            if self._report.log is None or self._report.log.code != fault.code:
                log.warning("%s: %s: its tables are scanned", self._slug, fault)
            self._has_log, self._report.log = False, fault
            self.forget()
            return {}
        self._has_log, self._report.log = True, None
        return carried

    def tend(self, source: LogSource) -> None:
        """Also while nothing of the log is read (paused, no room in the spool): see that the hospital's disk does not
        fill, and that its own statements do not fail. Raises Transient GC-2059, GC-2074 where the log was given up."""
        now = self._clock()
        if now - self._tended_at < TEND_SECONDS:
            return
        self._tended_at = now
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
            if report.alarm is not None and report.alarm.code == "GC-2072" and table not in alarms:
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
