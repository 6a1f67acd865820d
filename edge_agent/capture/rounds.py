"""A round: which tables a source has now, which of them are captured, and which have gone.

Now and then, and whenever it changed, the centre is told all of it (the inventory mark). A captured table that is no
longer there is said aloud, and dropped only when a person has confirmed it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocol.errors import Fault, Rejected
from protocol.names import TableName

from ..orders import Orders
from ..sources.included import is_included, unmatched
from ..sources.settings import FilesSettings, SqlSettings
from ..sources.source import TableInfo
from ..spool.spool import Spool
from . import passes
from .facts import facts_of
from .index import IndexFiles
from .inventory import inventory_marks
from .phases import Phase
from .reports import Report, TableReport
from .rhythm import Task
from .writer import StreamWriter

INVENTORY_SECONDS = 86_400.0


@dataclass(slots=True)
class Rounds:
    """Of one source."""

    slug: str
    settings: SqlSettings | FilesSettings
    spool: Spool
    files: IndexFiles
    report: Report
    orders: Orders
    wall: Callable[[], int]
    clock: Callable[[], float]
    _told_at: float | None = None
    _told: frozenset[TableName] = frozenset()

    def forget(self) -> None:
        """A new epoch has been told nothing."""
        self._told_at = None

    def go(
        self,
        writer: StreamWriter,
        infos: list[TableInfo],
        hidden: Callable[[TableName], Fault | None] = lambda _: None,
    ) -> tuple[list[TableName], list[TableName]]:
        """The tables to capture, and those that have gone. Blocks. Raises Rejected GC-2012 where nothing was ever
        captured and nothing is included. `hidden`: as a source that may be seen in part has it."""
        captured = self.spool.tables(writer.stream)
        known = {info.name for info in infos} | {state.table for state in captured}
        self.report.unmatched = [
            Rejected("GC-2044", source=self.slug, pattern=p) for p in unmatched(self.settings, known)
        ]
        included = [info.name for info in infos if is_included(self.settings, info.name)]
        self._tell(writer, infos, frozenset(included))
        if not included and not captured:
            raise Rejected("GC-2012", source=self.slug)
        for info in infos:
            if info.name in included:
                report = self.report.tables.setdefault(info.name, TableReport())
                report.rows_estimate = info.rows_estimate
        return included, self._missing(writer, {info.name for info in infos}, hidden)

    def _missing(
        self, writer: StreamWriter, existing: set[TableName], hidden: Callable[[TableName], Fault | None]
    ) -> list[TableName]:
        missing = []
        for state in self.spool.tables(writer.stream):
            name = state.table
            if state.phase == Phase.GONE:
                self.orders.passed_on(self.slug, name)  # it died right behind the drop
                if name not in existing and self.orders.wanted(self.slug, name) is not None:
                    # All that a snapshot of it could say: the centre may have dropped what it had heard.
                    passes.drop(writer, self.files, state)
                    self.orders.begun(self.slug, name)
            if name in existing or state.phase == Phase.GONE or not is_included(self.settings, name):
                continue
            report = self.report.tables.setdefault(name, TableReport(state.phase))
            if self.orders.is_confirmed(self.slug, name) or facts_of(state).gone:
                passes.drop(writer, self.files, state)
                self.orders.passed_on(self.slug, name)
                report.phase, report.faults = Phase.GONE.value, {}
                continue
            gone = Rejected("GC-2002", table=str(name), source=self.slug)
            report.faults = {Task.SCAN: hidden(name) or gone}
            missing.append(name)
        return missing

    def _tell(self, writer: StreamWriter, infos: list[TableInfo], included: frozenset[TableName]) -> None:
        now = self.clock()
        names = included | {info.name for info in infos}
        due = self._told_at is None or now - self._told_at > INVENTORY_SECONDS
        if not due and names == self._told:
            return
        group = writer.group()
        for mark in inventory_marks(infos, included, self.wall()):
            group.mark(mark)
        writer.commit(group)
        self._told_at, self._told = now, frozenset(names)
