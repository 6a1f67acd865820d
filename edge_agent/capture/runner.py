"""The runner of one source: one step at a time, of whatever has waited longest, and never harder than it may.

What has no snapshot gets one, what has one is scanned for differences; where the operator set a cursor or a window
those are read besides, between the steps of any scan. A round looks from time to time at which tables there are.
One table's fault stops that kind of work on that table only; the source's fault stops everything, to be tried
again. Between any two steps the source rests as `pacing` says. From when each table was last read to its end follows
what freshness is told from (landing.md §1a).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import cast
from zoneinfo import ZoneInfo

from protocol.errors import Fault, Transient
from protocol.names import Stream, TableName

from ..batching import Seal
from ..orders import Orders
from ..platform import return_memory
from ..sources.included import is_included
from ..sources.log import GIVEN_UP, LogSource
from ..sources.settings import FilesSettings, PostgresSettings, SqlSettings
from ..sources.source import PartlySeen, Source
from ..spool.records import Scan as ScanRecord
from ..spool.spool import Spool
from ..timetable import Timetable
from .index import IndexFiles
from .lane import Lane
from .log.work import TEND_SECONDS, Keep, LogWork
from .metered import Metered
from .pacing import Pacing
from .reports import Report
from .rhythm import Rhythm, Task
from .rounds import Rounds
from .steps import Steps
from .writer import StreamWriter

log = logging.getLogger("edge.capture")

RETRY_SECONDS_MAX = 60.0
CLOSE_SECONDS_MAX = 10.0
BACKFILL_BACKLOG_BYTES = 8 << 20
"""A snapshot reads on only while less than this waits to be sent: a live change is never far behind."""
BACKFILL_SECONDS = 0.05
HOURS_SECONDS = 30.0
"""How often a scan that waits for its hours looks at the clock."""
LOG_PAUSE_SECONDS = 0.001
"""Where a log is followed its next step waits for it."""
MEMORY_SECONDS = 10.0
"""How often memory that nobody uses is given back."""
NOTED_SECONDS = 1.0
"""While scans follow on one another without a pause, completeness is noted no more often than this."""


class Paused(Exception):
    """The source is paused. Stays inside this room: the pass is thrown away, a later one goes on from the spool."""


def retry_seconds(failures: int) -> float:
    """How long to wait after so many failures in a row of the whole source."""
    doubled: int = 2 ** min(failures, 16)  # an outage of days has thousands of them
    return min(RETRY_SECONDS_MAX, float(doubled))


class Runner:
    def __init__(
        self,
        *,
        slug: str,
        settings: SqlSettings | FilesSettings,
        open_source: Callable[[], Source],
        spool: Spool,
        stream: Stream,
        seal: Seal,
        files: IndexFiles,
        wall: Callable[[], int],
        orders: Orders | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without `orders` of its agent it has its own, which no restart survives."""
        self.slug = slug
        self.stream = stream
        self.report = Report()
        self._settings = settings
        self._open_source = open_source
        self._spool = spool
        self._seal = seal
        self._files = files
        self._wall = wall
        self._clock = clock
        self._orders = orders or Orders(None)
        self._zone = ZoneInfo(settings.timezone)
        self._hours = Timetable.parse(settings.scan_hours)
        self._pacing = Pacing(settings.duty_share_max, settings.rows_per_second_max)
        self._rhythm = Rhythm()
        self._steps = Steps(
            slug,
            settings,
            spool,
            stream,
            files,
            self.report,
            self._rhythm,
            self._orders,
            self._writer,
            wall,
            clock,
        )
        self._rounds = Rounds(slug, settings, spool, files, self.report, self._orders, wall, clock)
        self._log = self._log_work()
        self._rests_until = 0.0
        """Of a source that has a log: nothing but that is read before then."""
        self.source: Source | None = None
        self._metered: Metered | None = None
        self._epoch = 0
        self._round_due: float | None = None
        self._round_started = 0
        self._all_there = False
        self._noted_at: float | None = None
        self._idle_seconds = 0.0
        self._memory_due = 0.0
        self._wake = asyncio.Event()
        self._lane = Lane(slug)

    def _log_work(self) -> LogWork | None:
        """Of a kind that has a log."""
        if not isinstance(self._settings, PostgresSettings):
            return None
        return LogWork(
            self.slug,
            self._steps.bounds,
            Keep(self._settings.wal_keep_bytes_max, self._settings.wal_keep_seconds_max),
            self._writer,
            self.report,
            self._orders,
            self._files,
            self._clock,
        )

    # what a person or the centre may ask

    def want_snapshot(self, table: TableName | None) -> None:
        """Read a table (None: all of them) anew, as soon as scans may run."""
        wanted = self.known_tables() if table is None else [table]
        self._orders.take(lambda book: book.wanting(self.slug, wanted))
        self.hint()

    def hint(self) -> None:
        """Something may have changed, or was ordered: look sooner than the interval says."""
        self._round_due = None
        self._rhythm.hint(self._clock())
        self._rhythm.hasten(self._steps.asked_for(), self._clock())
        self._wake.set()

    def confirm(self, table: TableName) -> None:
        """The deletions that a table waits with are meant."""
        self._orders.take(lambda book: book.confirming(self.slug, [table]))
        self.hint()

    def known_tables(self) -> list[TableName]:
        """Every included table that capture has met, also of those that are gone."""
        known = {t.table for t in self._spool.tables(self.stream)} | set(self.report.tables)
        return sorted((t for t in known if is_included(self._settings, t)), key=str)

    # the loop

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            self._wake.clear()
            failures = 0 if await self.attempt() else failures + 1
            self._memory_due = 0.0
            await self._return_memory()
            pause = retry_seconds(failures) if failures else self._idle_seconds
            if self._log is not None:  # which hurts nobody only while it is looked after
                pause = min(pause, TEND_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):  # wait_for loses a cancellation that meets the event
                    await self._wake.wait()

    async def attempt(self) -> bool:
        """Whatever is due now; all faults end in the report. Whether the source as a whole could be read."""
        try:
            while (pause := await self.turn()) == 0:
                self.report.fault = None
                await self._return_memory()
        except Paused:
            pause = self._settings.scan_interval_seconds
        except Fault as fault:
            self._note_source_fault(fault)
            return False
        self.report.fault = None
        self._idle_seconds = pause
        return True

    async def _return_memory(self) -> None:
        """Also of a source that always has something to do."""
        if self._clock() >= self._memory_due:
            await asyncio.to_thread(return_memory)
            self._memory_due = self._clock() + MEMORY_SECONDS

    async def close(self) -> None:
        """Whatever still runs at the source is broken off first; a disk that hangs for good is left behind."""
        if self.source is not None:
            self.source.interrupt()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS_MAX):
                    await self._lane.run(self.source.close)
        self._lane.end()

    def _note_source_fault(self, fault: Fault) -> None:
        if self.report.fault is None or self.report.fault.code != fault.code:
            log.warning("%s: %s", self.slug, fault)
        self.report.fault = fault

    async def turn(self) -> float:
        """At most one step of work; how many seconds nothing is due after it. Raises the source's and the spool's
        faults; those of a table are noted."""
        if self._log is not None and self._log.is_to_be_tended:
            await self._tend(self._log)
        self._stop_if_paused()
        try:
            self._follow_epoch()
            source = await self._opened()
            if self._round_due is None or self._round_due <= self._clock():
                await self._round(source)
            scans = self._scans_may_work()
            follows = self._log is not None and self._log.follows
            rested = self._clock() >= self._rests_until
            job = self._rhythm.next(self._clock(), scans=scans) if rested or not follows else None
            more = follows and await self._follow_log(wait=job is None, snapshots=scans and rested)
            if job is not None:
                await self._lane.run(self._steps.step, source, job)
                await self._rest(self._pacing.rest(job, *source.read_meter()), follows=follows)
            if not follows and not (self._log is not None and self._log.waits):
                self._note_complete()
            return 0.0 if more else self._pause(scans)
        except Fault:
            self._steps.forget_work()
            if self._log is not None:
                self._log.forget()
                self._round_due = None  # whether there is still a log
            raise

    async def _tend(self, log: LogWork) -> None:
        """Also of a source that is paused: its server goes on keeping its log for us."""
        try:
            await self._opened()
            await self._lane.run(log.tend, cast(LogSource, self.source))
        except Fault as fault:
            if fault.code in GIVEN_UP or self._orders.pause_of(self.slug) is None:
                raise

    async def _rest(self, seconds: float, *, follows: bool) -> None:
        """A log does not wait meanwhile. Of what falls into one turn each has its rest."""
        if follows:
            self._rests_until = max(self._rests_until, self._clock()) + seconds
        else:
            await asyncio.sleep(seconds)

    async def _follow_log(self, *, wait: bool, snapshots: bool) -> bool:
        """Whether there may be more at once."""
        source, log = cast(LogSource, self.source), self._log
        assert log is not None
        step = partial(
            log.step, source, wait=wait, snapshots=snapshots, floor=self._complete_besides_the_log(log)
        )
        more, seconds = await self._lane.run(step)
        if seconds:
            await self._rest(self._pacing.rest(log, seconds, 0), follows=True)
        self._steps.written(log.take_written())
        self.report.last_pass = log.complete or self.report.last_pass
        return more

    def _complete_besides_the_log(self, log: LogWork) -> int | None:
        """Up to when the tables that are scanned are complete; 0 where anything was not yet read to its end."""
        scans = [self._steps.checked.get(name, 0) for name, task in self._rhythm.jobs if task is Task.SCAN]
        if not (self._all_there and log.is_ready):
            return 0
        return min(scans) if scans else None

    def _pause(self, scans: bool) -> float:
        now = self._clock()
        waits = [
            self._rhythm.wait(now, scans=scans),
            None if self._round_due is None else self._round_due - now,
        ]
        if self._log is not None and self._log.follows:
            waits.append(LOG_PAUSE_SECONDS)
        if not scans:
            waits.append(HOURS_SECONDS if self.report.closed else BACKFILL_SECONDS)
        return max(0.0, min(wait for wait in waits if wait is not None))

    def _scans_may_work(self) -> bool:
        if self._hours.spans:
            local = datetime.fromtimestamp(self._wall() / 1e6, UTC).astimezone(self._zone)
            self.report.closed = not self._hours.is_open(local)
        reading = self._steps.in_snapshot or (self._log is not None and self._log.reads_a_snapshot)
        full = reading and self._spool.backlog(self.stream).bytes > BACKFILL_BACKLOG_BYTES
        return not (self.report.closed or full)

    def _follow_epoch(self) -> None:
        """What is remembered here of an older epoch is not true of a new one, which begins with nothing."""
        epoch = self._writer().epoch
        if epoch == self._epoch:
            return
        self._epoch = epoch
        self._steps.forget_all()
        self._rounds.forget()
        if self._log is not None:
            self._log.forget()
        self._round_due = self.report.last_pass = None
        self.report.tables.clear()

    def _stop_if_paused(self) -> None:
        if self._orders.pause_of(self.slug) is not None:
            self._steps.forget_work()
            raise Paused

    async def _opened(self) -> Metered:
        if self.source is None:
            self.source = await self._lane.run(self._open_source)
        if self._metered is None:
            self._metered = Metered(self.source, self._clock)
        return self._metered

    def _writer(self) -> StreamWriter:
        return StreamWriter(self._spool, self.stream, self._seal, self._wall)

    async def _round(self, source: Metered) -> None:
        self._round_started = self._wall()
        infos = await self._lane.run(source.inventory)
        included, missing = await self._lane.run(self._rounds.go, self._writer(), infos, *self._hidden())
        self._all_there = not missing
        if self._log is not None:
            included = await self._lane.run(self._log.choose, cast(LogSource, self.source), included)
        self._steps.expect(included)
        self._round_due = self._clock() + self._settings.scan_interval_seconds
        if self._log is not None:
            self._round_due = min(self._round_due, self._log.again_at)

    def _hidden(self) -> list[Callable[[TableName], Fault | None]]:
        """Of a kind that may be seen in part."""
        if not isinstance(self._settings, FilesSettings):
            return []
        source = cast(PartlySeen, self.source)
        alarms = source.alarms
        for alarm in alarms:
            if str(alarm) not in {str(known) for known in self.report.alarms}:
                log.warning("%s: %s", self.slug, alarm)
        self.report.alarms = alarms
        return [source.hidden]

    def _note_complete(self) -> None:
        """Everything that was committed before the oldest of the tables' last scans began is in the spool: said
        with the stream's head. A table that is new, or gone, holds it up."""
        scans = [job for job in self._rhythm.jobs if job[1] is Task.SCAN]
        oldest = min([self._round_started, *(self._steps.checked.get(name, 0) for name, _ in scans)])
        now = self._clock()
        busy = self._rhythm.scanning is not None or any(self._rhythm.is_due(job, now) for job in scans)
        early = self._noted_at is not None and now - self._noted_at < NOTED_SECONDS
        if not self._all_there or oldest <= (self.report.last_pass or 0) or (busy and early):
            return
        writer = self._writer()
        if writer.epoch != self._epoch:
            raise Transient("GC-3007", source=self.slug, epoch=self._epoch)
        writer.commit(None, scan=ScanRecord(oldest))
        self.report.last_pass, self._noted_at = oldest, now
