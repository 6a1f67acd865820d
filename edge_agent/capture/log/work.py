"""The work of a source that has a log, beside that of its scans: which tables its log carries, one step at a time.

A table whose log cannot be had is left to the scans. What a step waits for is the log itself, so that a change is in
the spool a moment after it was committed; scans of other tables come between two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from protocol.errors import Fault, Rejected, Transient
from protocol.names import TableName

from ...orders import Orders
from ...sources.log import LogSource
from ..index import IndexFiles
from ..phases import Phase
from ..reports import Report, TableReport
from ..rhythm import Task
from ..scan import ScanSettings
from ..writer import StreamWriter
from .follow import LogFollower

WAIT_SECONDS = 0.2
"""How long a step waits for the log where nothing else is to be done."""
RELIEVE_SECONDS = 10.0
"""How often it is asked how much log the server keeps for us."""


class LogWork:
    """Of one source. Raises as `LogFollower`; `forget` must follow."""

    def __init__(
        self,
        slug: str,
        settings: ScanSettings,
        bytes_max: int,
        writer: Callable[[], StreamWriter],
        report: Report,
        orders: Orders,
        files: IndexFiles,
        clock: Callable[[], float],
    ) -> None:
        self._slug = slug
        self._bytes_max = bytes_max
        self._relieved_at = clock() - RELIEVE_SECONDS
        self._report = report
        self._clock = clock
        self._tables: dict[TableName, str] = {}
        self._follower = LogFollower(slug, settings, writer, orders, files, self._reject, clock)

    def _reject(self, table: TableName, fault: Rejected | None) -> None:
        self._report.tables.setdefault(table, TableReport()).note(Task.SCAN, fault)

    @property
    def complete(self) -> int:
        """Everything committed before (microseconds UTC, by the source's clock) is in the spool; 0: not known."""
        return self._follower.complete

    @property
    def is_ready(self) -> bool:
        """Whether each of its tables was read once to the end."""
        return all(report.phase == Phase.FOLLOW for _, report in self._reports())

    def _reports(self) -> list[tuple[TableName, TableReport]]:
        return [(name, self._report.tables.setdefault(name, TableReport())) for name in self._tables]

    def forget(self) -> None:
        self._follower.forget()

    def choose(self, source: LogSource, included: Sequence[TableName]) -> list[TableName]:
        """Of the tables that are included those that the log does not carry. One that was altered is read anew."""
        before, self._tables = self._tables, source.identities(included)
        for name in before.keys() ^ self._tables.keys():
            self._follower.leave(name)
        self._follower.watch(self._tables)
        return [name for name in included if name not in self._tables]

    def relieve(self, source: LogSource) -> None:
        """From time to time, also while nothing of the log is read (paused, no room in the spool): see that the
        hospital's disk does not fill. Raises Transient GC-2059 where the log was given up for it."""
        now = self._clock()
        if now - self._relieved_at < RELIEVE_SECONDS:
            return
        self._relieved_at = now
        try:
            kept = source.relieve(self._bytes_max)
        except Fault:
            self.forget()
            raise
        if kept:
            self.forget()
            raise Transient("GC-2059", source=self._slug, bytes=kept, limit=self._bytes_max)

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
        for name, state, facts in self._follower.states(self._tables):
            if state is not None:
                report = self._report.tables.setdefault(name, TableReport())
                report.phase = state.phase
                report.rows = facts.before if facts.progress is None else facts.progress.rows
