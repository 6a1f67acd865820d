"""One step of one table's work: a scan, a poll, a look at a window begins, goes on or ends.

One table's fault stops that kind of work on that table only; whatever else goes wrong is the source's or the spool's,
and is raised. Everything here blocks and runs on one thread at a time; what is under way is thrown away after
any fault, and goes on from the spool.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from protocol.errors import Rejected
from protocol.names import Stream, TableName
from protocol.schema import TableSchema

from ..orders import Orders
from ..sources.settings import FilesSettings, SqlSettings
from ..sources.source import RefusingSource, Source, Way
from ..spool.spool import Spool
from . import passes
from .facts import facts_of
from .index import IndexDamaged, IndexFiles
from .known import Known
from .phases import Phase
from .polling import Follower, Following, Poll
from .ranges import RangeScan
from .reports import Report, TableReport
from .rhythm import Job, Rhythm, Task
from .scan import Pass, Scan, ScanSettings
from .whole import WholeScan
from .window import Window
from .writer import StreamWriter

log = logging.getLogger("edge.capture")

REMEMBERED_SECONDS_MIN = 600.0
"""A table that is scanned less often than this is not scanned anew because the agent was started anew."""
SLOW = frozenset({"GC-2007", "GC-2041", "GC-2042"})
"""Faults of a table that is locked or takes too long: each attempt costs the others that time."""
SLOW_REST_FACTOR = 10.0
SLOW_REST_SECONDS_MAX = 3_600.0
REJECTED_SECONDS_MAX = 3_600.0
"""A scan that a table's fault ended is tried again after its interval, or after this."""
WRITTEN_FACTOR = 3.0
"""A table to which something was written is scanned anew after so many times as long as its last scan took."""
VISIBLE_SECONDS = 0.1
"""What a log tells of every statement sees after so long, if nobody waits for a standby."""


@dataclass(slots=True)
class _Scanning:
    """The scan under way. `started` is 0 where it went on from an earlier process: what that had read is as old.
    `begun`: by the clock."""

    one: Pass
    scan: Scan | None
    started: int
    token: str | None
    begun: float


@dataclass(slots=True)
class Steps:
    """Of one source. `checked`: when the last scan of each table began that read all of it (microseconds UTC; 0:
    none did)."""

    slug: str
    settings: SqlSettings | FilesSettings
    spool: Spool
    stream: Stream
    files: IndexFiles
    report: Report
    rhythm: Rhythm
    orders: Orders
    writer: Callable[[], StreamWriter]
    wall: Callable[[], int]
    clock: Callable[[], float]
    checked: dict[TableName, int] = field(default_factory=dict)
    _known: Known = field(init=False)
    _zone: ZoneInfo = field(init=False)
    bounds: ScanSettings = field(init=False)
    _tokens: dict[TableName, str] = field(default_factory=dict)
    _schemas: dict[TableName, TableSchema] = field(default_factory=dict)
    _damaged: set[TableName] = field(default_factory=set)
    _refused: dict[TableName, tuple[TableName, int]] = field(default_factory=dict)
    """Tables that are none: in which they land instead (`RefusingSource`), and when the last look at them began."""
    _scanning: _Scanning | None = None
    _written: set[TableName] = field(default_factory=set)
    _rested: dict[TableName, float] = field(default_factory=dict)
    """When a table may be scanned anew for what is written to it."""
    _followings: dict[Job, Following] = field(default_factory=dict)
    _started: dict[Job, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._known = Known(self.spool, self.stream, self.files)
        self._zone = ZoneInfo(self.settings.timezone)
        self.bounds = ScanSettings(
            page_rows=self.settings.page_rows,
            deletion_share_max=self.settings.deletion_share_max,
            deletion_rows_min=self.settings.deletion_rows_min,
        )

    @property
    def in_snapshot(self) -> bool:
        return self._scanning is not None and self._scanning.one.snapshot

    def forget_work(self) -> None:
        """After a fault of the source or the spool."""
        self._scanning = self.rhythm.scanning = None
        self._followings.clear()

    def forget_all(self) -> None:
        """A new epoch begins with nothing."""
        self.forget_work()
        self.rhythm.clear()
        self._tokens.clear()
        self._damaged.clear()
        self._refused.clear()
        self._written.clear()
        self._rested.clear()
        self.checked.clear()

    def written(self, tables: Collection[TableName]) -> None:
        """Something was written to these just now: they are scanned before their time, unless that costs too much."""
        now = self.clock()
        for name in tables:
            job = (name, Task.SCAN)
            if job == self.rhythm.scanning:
                self._written.add(name)
            elif self.rhythm.expects(job) and not self.rhythm.rests(job, now) and not self._is_faulty(name):
                self.rhythm.hasten([job], max(now + VISIBLE_SECONDS, self._rested.get(name, now)))

    def _is_faulty(self, name: TableName) -> bool:
        """Its next scan would meet the same."""
        report = self.report.tables.get(name)
        return report is not None and Task.SCAN in report.faults

    def asked_for(self) -> list[Job]:
        """What people or faults ask for before its time."""
        return [job for job in self.rhythm.jobs if self._is_asked_for(job)]

    def _is_asked_for(self, job: Job) -> bool:
        name, task = job
        confirmed = self.orders.is_confirmed(self.slug, name)
        if task is not Task.SCAN:
            return confirmed and self._waits_for_a_person(job)
        return confirmed or name in self._damaged or self.orders.wanted(self.slug, name) is not None

    def _waits_for_a_person(self, job: Job) -> bool:
        report = self.report.tables.get(job[0])
        fault = None if report is None else report.faults.get(job[1])
        return fault is not None and fault.code == "GC-2006"

    def expect(self, included: list[TableName]) -> None:
        """These tables are captured from now on, and no others."""
        now = self.clock()
        jobs: dict[Job, float] = {}
        for name in included:
            of = self.settings.of(str(name))
            jobs[name, Task.SCAN] = now
            if (name, Task.SCAN) not in self.rhythm.jobs:
                self._tokens.pop(name, None)
                self.checked[name] = facts_of(self.spool.table(self.stream, name)).checked
                jobs[name, Task.SCAN] += self._seconds_until_scan(name)
            report = self.report.tables.setdefault(name, TableReport())
            ways = ((Task.POLL, of.cursor), (Task.WINDOW, of.window))
            report.follows = tuple(task for task, column in ways if column is not None)
            jobs |= {(name, task): now for task in report.follows}
        self.rhythm.expect(jobs)
        if self.rhythm.scanning is None:
            self._scanning = None
        self._followings = {job: one for job, one in self._followings.items() if job in jobs}
        self._refused = {name: one for name, one in self._refused.items() if (name, Task.SCAN) in jobs}

    def _seconds_until_scan(self, name: TableName) -> float:
        """Of a table that an earlier process may have read."""
        state = self.spool.table(self.stream, name)
        if state is None or state.phase != Phase.FOLLOW or not self.checked[name]:
            return 0.0
        seconds = self.settings.scan_seconds(str(name))
        return max(0.0, min(seconds, seconds - (self.wall() - self.checked[name]) / 1e6))

    def step(self, source: Source, job: Job) -> None:
        """A step of one table's work. Only that table's faults end here, and only this kind of work with them."""
        name, work = job
        report = self.report.tables.setdefault(name, TableReport())
        begun = self.clock()
        try:
            seconds = (self._scan_step if work is Task.SCAN else self._follow_step)(source, job, report)
        except Rejected as fault:
            if report.note(work, fault):
                log.warning("%s: %s", self.slug, fault)
            seconds = self._after_fault(job, fault)
            if work is Task.SCAN:
                self._note_refused(source, name)
            if fault.code in SLOW:
                now = self.clock()
                self.rhythm.rest(job, now + min(SLOW_REST_SECONDS_MAX, SLOW_REST_FACTOR * (now - begun)))
                return
        except IndexDamaged:
            log.warning("%s: index of a table is damaged; it is read anew", self.slug)
            self._damaged.add(name)
            seconds = self._give_up(job)
            self.rhythm.hasten([(name, Task.SCAN)], self.clock())
        self.rhythm.put(job, self.clock() + seconds)

    def _give_up(self, job: Job) -> float:
        """The pass is thrown away; how long until the next one."""
        name, work = job
        if work is Task.SCAN:
            self._scanning = self.rhythm.scanning = None
            seconds = self.settings.scan_seconds(str(name))
            return min(seconds, max(REJECTED_SECONDS_MAX, self.settings.scan_interval_seconds))
        self._followings.pop(job, None)
        of = self.settings.of(str(name))
        return of.poll_seconds if work is Task.POLL else of.window_seconds

    def _after_fault(self, job: Job, fault: Rejected) -> float:
        """Whoever followed columns that are no longer there waits for the scan that reads the new ones."""
        seconds = self._give_up(job)
        if fault.code == "GC-2010":
            self._schemas.pop(job[0], None)
            self.rhythm.hasten([(job[0], Task.SCAN)], self.clock())
        return seconds

    # scans and snapshots

    def _scan_step(self, source: Source, job: Job, report: TableReport) -> float:
        """0 while it goes on; after its end, seconds until the next one."""
        name = job[0]
        if self._scanning is None:
            self.rhythm.scanning = job
            self.rhythm.begin(job)
            started = self._started[job] = self.wall()
            self._written.discard(name)
            token = source.token(name)
            if self._is_quiet(job, token):
                return self._scanned(name, None, started, report)
            self._tokens.pop(name, None)
            self._scanning = self._begin(source, name, started, token)
        now = self._scanning
        report.phase = (Phase.SNAPSHOT if now.one.snapshot else Phase.FOLLOW).value
        if now.scan is not None and not now.scan.step():
            if now.one.facts.progress is not None:
                report.rows = now.one.facts.progress.rows
            return 0.0
        return self._scanned(name, now, now.started, report)

    def _is_quiet(self, job: Job, token: str | None) -> bool:
        """Nothing changed since this process last read the table, and nobody asks for it."""
        name = job[0]
        same = token is not None and token == self._tokens.get(name)
        return same and not self._is_asked_for(job)

    def _begin(self, source: Source, name: TableName, started: int, token: str | None) -> _Scanning:
        schema = source.describe(name)
        one = passes.begin(self._follower(source, schema), self.files, self.orders, name in self._damaged)
        self._damaged.discard(name)
        if one.snapshot:
            for task in (Task.POLL, Task.WINDOW):  # none of them between the marks
                self._followings.pop((name, task), None)
        self._schemas[name] = schema
        progress = one.facts.progress
        scan: Scan | None = None
        if progress is None or not progress.complete:
            scan = RangeScan(one) if source.way(schema) is Way.RANGES else WholeScan(one)
        return _Scanning(one, scan, 0 if one.facts.under_way else started, token, self.clock())

    def _scanned(self, name: TableName, now: _Scanning | None, started: int, report: TableReport) -> float:
        """Everything was read, or (without a pass) nothing had to be. What went on from before is as old as that: a
        scan of now follows it."""
        seconds = self.settings.scan_seconds(str(name))
        if now is not None:
            passes.end(now.one, started if seconds >= REMEMBERED_SECONDS_MIN else 0)
            report.rows = self.spool.rows_indexed(self.stream, name)
            rest = WRITTEN_FACTOR * (self.clock() - now.begun)
            self._rested[name] = self.clock() + rest
            seconds = min(seconds, max(rest, VISIBLE_SECONDS)) if name in self._written else seconds
        report.phase = Phase.FOLLOW.value
        report.note(Task.SCAN, None)
        self._scanning = self.rhythm.scanning = None
        if not started:
            return 0.0
        if now is not None and now.token is not None:
            self._tokens[name] = now.token
        self.checked[name] = report.done[Task.SCAN] = started
        self._refused.pop(name, None)
        for refused, (refuge, looked) in self._refused.items():
            if refuge == name:  # whose scan began after that look: there is one at a time
                self.checked[refused] = max(self.checked[refused], looked)
        return seconds

    def _note_refused(self, source: Source, name: TableName) -> None:
        """What is no table is captured with the next scan of its refuge: it does not hold the others' freshness up."""
        refuge = source.refuge(name) if isinstance(source, RefusingSource) else None
        self._refused.pop(name, None)
        if refuge is not None:
            self._refused[name] = refuge, self._started[name, Task.SCAN]

    # polls and windows

    def _follow_step(self, source: Source, job: Job, report: TableReport) -> float:
        """0 while it goes on; after its end, seconds until the next one."""
        following = self._followings.get(job)
        if following is None:
            self.rhythm.begin(job)
            following = self._following(source, job)
            if following is None:
                return self._give_up(job)
            self._followings[job] = following
            self._started[job] = self.wall()
        if not following.step():
            return 0.0
        if self._is_asked_for(job) and not self._waits_for_a_person((job[0], Task.SCAN)):
            self.orders.passed_on(self.slug, job[0])
        report.note(job[1], None)
        report.done[job[1]] = self._started[job]
        return self._give_up(job)

    def _following(self, source: Source, job: Job) -> Following | None:
        """None where the table must be scanned first: before its first snapshot has ended nothing is known of it,
        and between the marks of any snapshot nothing else may stand."""
        name, work = job
        state = self.spool.table(self.stream, name)
        if state is None or state.phase != Phase.FOLLOW:
            return None
        schema = self._schemas.get(name)
        if schema is None:
            schema = self._schemas[name] = source.describe(name)
        if not self.writer().was_sent_as(state.fingerprint, schema):
            raise Rejected("GC-2010", table=str(name))
        one = self._follower(source, schema)
        return (
            Poll(one)
            if work is Task.POLL
            else Window(one, self.files, confirmed=self.orders.is_confirmed(self.slug, name))
        )

    def _follower(self, source: Source, schema: TableSchema) -> Follower:
        of = self.settings.of(str(schema.table))
        return Follower(self.slug, source, self.writer(), self._known, self.bounds, of, schema, self._zone)
