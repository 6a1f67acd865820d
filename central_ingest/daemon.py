"""The daemon on one screen: which parts there are, and how they hang together.

    link ─ receiver ─ reception(admission) ─ journal ─ receipts ─ link
                                                └─ lander ─ lake (changes), files, ledger

Only this file names implementations. Reception, lander and maintenance each work on a thread of their own; the
journal stands between the first two, so neither waits for the other.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

from protocol import VERSION, topics
from protocol.errors import Permanent, Transient
from protocol.limits import MIB
from protocol.link.link import Link
from protocol.link.mqtt import MqttLink, MqttSettings
from protocol.signing import SUITE_1, SUITES, Opener

from . import fleet, safekeeping, storing
from .admission import Admission
from .again import Again
from .broker import EmbeddedBroker
from .config import Config
from .control import Control
from .enrolment import Enrolment
from .grants import Grants
from .inbox import Inbox
from .journal.archive import Notary
from .journal.files import FileJournal
from .keystore import KeyStore, LiveOpener
from .lags import Lags
from .landing.delta import DeltaLake
from .landing.heat import Rhythm
from .landing.lander import Lander
from .landing.maintenance import Job, Maintenance, Pace
from .landing.materialising import Materialising, path_of
from .landing.objects import Objects
from .landing.refetching import Refetching
from .landing.refreshing import Refreshing
from .landing.scrub import Pace as ScrubPace
from .landing.scrub import Scrub
from .landing.spill import clear
from .landing.upkeep import Upkeep
from .ledger.faults import LedgerDown
from .ledger.ledger import Ledger
from .metrics import Metrics
from .quarantine import FileShelves, Quarantine
from .receipts import Credit, Receipts
from .receiver import CentreVoice, Receiver
from .reception import Reception
from .refused import Refused
from .restart import restore
from .retention import Retention
from .safekeeping import KeptLedger, Safe

log = logging.getLogger("central.daemon")

RETRY_SECONDS = 1.0
UPLOADS_SECONDS, UPLOADS_RETRY_SECONDS = 86_400.0, 3_600.0


def wall() -> int:
    """UTC microseconds."""
    return time.time_ns() // 1000


def make_link(config: Config, voice: CentreVoice) -> Link:
    """Raises Permanent GC-1003/1004."""
    broker = config.broker
    password = broker.password
    if broker.password_file is not None:
        try:
            password = broker.password_file.read_text("utf-8").strip()
        except OSError:
            raise Permanent("GC-1004", key="broker.password", origin=str(broker.password_file)) from None
    settings = MqttSettings(
        url=broker.url,
        client_id="guicang-centre",
        username=broker.username,
        password=password,
        ca_file=broker.ca_file,
        cert_file=broker.cert_file,
        key_file=broker.key_file,
    )
    return MqttLink(settings, [topics.ALL_UP, topics.ALL_STATES], voice.will(), random.SystemRandom())


class Daemon:
    """Raises Permanent GC-1004 for credentials that cannot be read, GC-1006 where another daemon works in its data
    directory, GC-1007 for its keys, GC-6030/6031 for a roster that cannot be trusted, what `engine.open_engine` raises
    for its ledger. Out of `run` comes LedgerDown as soon as the ledger does not answer: whoever runs the daemon makes
    another (see `serving`)."""

    def __init__(self, config: Config) -> None:
        self._config = config
        keys = KeyStore(config.keys_dir)
        self._journal = FileJournal.open(
            config.journal_dir,
            segment_bytes_max=config.journal.segment_bytes_max,
            notary=Notary.of(keys.signer(), SUITES),
        )
        try:
            self._compose(config, keys)
        except BaseException:
            self._journal.close()
            raise

    def _compose(self, config: Config, keys: KeyStore) -> None:
        signer, opener = keys.signer(), LiveOpener(keys)
        ledger, safe = Ledger.open(config.ledger_address), Safe(config.roster_dirs, signer)
        self._was_completed = safekeeping.restore(ledger, safe, self._journal)
        self._ledger = KeptLedger.of(ledger, safe)
        self._roster = restore(self._ledger, self._journal, SUITES)
        self._metrics = Metrics(Lags(time.monotonic))
        self._credit = Credit(config.credit.budget_bytes)
        grants = Grants(self._ledger, self._roster, signer, SUITE_1)
        self._reception = Reception(
            roster=self._roster,
            admission=Admission(self._roster, SUITES),
            journal=self._journal,
            ledger=self._ledger,
            receipts=Receipts(signer, self._credit),
            grants=grants,
            enrolment=Enrolment(self._ledger, self._roster, grants, signer, opener, SUITE_1),
            opener=opener,
            suite=SUITE_1,
            metrics=self._metrics,
            wall=wall,
            control=Control(self._ledger.commands, signer),
            refused=Refused(config.refused_dir),
            again=Again(self._journal, self._ledger, self._roster, signer, SUITES),
        )
        self._store = storing.lake_store(config)
        self._lake = DeltaLake(self._store, reader_hours=config.maintenance.reader_hours)
        self._objects = Objects(config.files_dir, storing.files_store(config))
        self._quarantine = Quarantine(self._ledger.quarantine, FileShelves(config.quarantine_dir))
        self._lander = Lander(
            journal=self._journal,
            lake=self._lake,
            ledger=self._ledger,
            objects=self._objects,
            opener=opener,
            suites=SUITES,
            metrics=self._metrics,
            rhythm=Rhythm(config.landing.hot_seconds, config.landing.quiet_seconds),
            pending_bytes_max=config.landing.pending_bytes_max,
            quarantine=self._quarantine,
            quarantine_bytes_max=config.landing.quarantine_bytes_max,
            now=time.monotonic,
            wall=wall,
        )
        self._stopping = threading.Event()
        self._retention = self._make_retention()
        self._scrub = self._make_scrub(opener)
        self._maintenance = self._look_after()
        voice = CentreVoice(signer, wall)
        self._journaled = threading.Event()
        self._receiver = Receiver(
            make_link(config, voice),
            self._reception,
            voice,
            inbox=Inbox(config.credit.budget_bytes, self._metrics),
            tick_seconds=config.journal.tick_seconds,
            journaled=self._wake_lander,
        )
        self._unlisted = fleet.Unlisted(self._ledger)
        self._started = wall()

    def _look_after(self) -> Maintenance:
        config = self._config
        self._refreshing = self._refresh()
        upkeep = Upkeep(
            self._lake,
            reader_hours=config.maintenance.reader_hours,
            checkpoint_commits=config.landing.checkpoint_commits,
            wall=time.time,
            stopping=self._stopping.is_set,
        )
        maintenance = Maintenance(
            self._lake,
            upkeep,
            paths=lambda: [path for r in self._ledger.lake_tables() for path in (r.path, path_of(r.path))],
            pace=Pace(config.landing.checkpoint_commits, share_max=config.maintenance.share_max),
            now=time.monotonic,
        )
        maintenance.add(Job("journal", self._retention.step))
        maintenance.add(Job("uploads", self._clear_uploads))
        maintenance.add(Job("scrub", self._scrub.step))
        if self._refreshing is not None:
            maintenance.add(Job("current", self._refreshing.step))
        return maintenance

    def _make_retention(self) -> Retention:
        settings = self._config.journal
        return Retention(
            self._journal,
            self._ledger,
            SUITES,
            keep_days=settings.keep_days,
            evidence_days=settings.evidence_days,
            is_examined=self._lander.has_examined,
            wall=wall,
        )

    def _make_scrub(self, opener: Opener) -> Scrub:
        settings = self._config.maintenance
        return Scrub(
            lake=self._lake,
            objects=self._objects,
            ledger=self._ledger,
            refetching=Refetching(self._journal, self._objects, opener, SUITES),
            pace=ScrubPace(settings.scrub_mib_per_second * MIB, settings.scrub_days),
            wall=wall,
        )

    def _refresh(self) -> Refreshing | None:
        config = self._config
        clear(config.scratch_dir)
        if not config.current.enabled:
            return None
        return Refreshing(
            materialising=Materialising(self._lake, config.scratch_dir, wall),
            book=self._ledger.materialised,
            cadence_seconds=config.current.cadence_seconds,
            cpu_share=config.current.cpu_share,
            now=time.monotonic,
            spent=time.monotonic,
            wall=wall,
        )

    async def run(self, stop: asyncio.Event, *, embedded_broker: bool) -> None:
        """Until `stop` is set; then what waits is committed and the heads are written down."""
        async with AsyncExitStack() as stack:
            stack.callback(self._close)
            if embedded_broker:
                host, _, port = self._config.broker.listen.rpartition(":")
                await stack.enter_async_context(EmbeddedBroker(host, int(port)))
            loops = [asyncio.create_task(self._watch()), asyncio.create_task(_until(stop))]
            workers: list[asyncio.Task[None]] = []
            try:
                if await self._recovered(loops):
                    log.info("the centre starts with %d streams", len(self._roster.tenures()))
                    workers = [
                        asyncio.create_task(asyncio.to_thread(one)) for one in (self._land, self._maintain)
                    ]
                    loops.append(asyncio.create_task(self._receiver.run()))
                done, _ = await asyncio.wait({*workers, *loops}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._stopping.set()
                self._journaled.set()
                for task in loops:
                    task.cancel()
                await asyncio.gather(*workers, *loops, return_exceptions=True)
            for task in done:
                task.result()
        log.info("the centre stopped")

    def _close(self) -> None:
        with suppress(LedgerDown):  # then the heads are read from the journal again
            self._reception.remember()
        self._quarantine.close()
        self._journal.close()
        self._ledger.close()

    async def _recovered(self, loops: Sequence[asyncio.Task[None]]) -> bool:
        """Once landing knows where it stands: before that nothing is taken. While the store is away it is tried again,
        unless one of `loops` ends."""
        while not await asyncio.to_thread(self._recover):
            if (await asyncio.wait(loops, timeout=RETRY_SECONDS, return_when=asyncio.FIRST_COMPLETED))[0]:
                return False
        return True

    def _recover(self) -> bool:
        try:
            self._lake.resume()
            self._lander.recover()
        except Transient as fault:
            self._note(fault)
            return False
        self._note(None)
        return True

    def _land(self) -> None:
        """The lander's thread: step, rest."""
        while not self._stopping.is_set():
            self._journaled.clear()
            pause = self._land_once(everything=False)
            if pause:
                self._journaled.wait(pause)
        self._land_once(everything=True)

    def _land_once(self, *, everything: bool) -> float:
        try:
            pause = self._lander.step(everything)
        except Transient as fault:
            self._note(fault)
            return RETRY_SECONDS
        self._note(None)
        return pause

    def _note(self, fault: Transient | None) -> None:
        """Logged when it begins; `status` shows it for as long as it lasts."""
        if fault is not None and self._lander.fault is None:
            log.error("%s", fault)
        self._lander.fault = fault

    def _clear_uploads(self) -> float:
        """What interrupted uploads left in an object store; returns seconds until the next time."""
        try:
            self._store.clear_uploads()
        except OSError as fault:
            log.warning("uploads that were interrupted are not cleared: %s", type(fault).__name__)
            return UPLOADS_RETRY_SECONDS
        return UPLOADS_SECONDS

    def _wake_lander(self) -> None:
        self._limit_credit()
        self._journaled.set()

    def _limit_credit(self) -> None:
        """After each tick and each second, whatever the lander does meanwhile: it may be waiting for its store."""
        behind = self._lander.backlog_bytes
        self._credit.closed = behind > self._config.credit.landing_backlog_bytes_max

    def _maintain(self) -> None:
        """The maintenance's thread: as long as the lander's."""
        while not self._stopping.is_set():
            if pause := self._maintenance.step():
                self._stopping.wait(pause)

    async def _watch(self) -> None:
        while True:
            self._limit_credit()
            status = await asyncio.to_thread(self._status)
            await asyncio.to_thread(fleet.write_status, self._config.status_path, status)
            await asyncio.sleep(1)

    def _damage(self) -> Permanent | None:
        """What of journal, lake or files is rotten; a tail torn by a power cut had no receipt yet and is no loss."""
        for one in self._ledger.holes.open():
            return Permanent("GC-6034", offset=one.hole.start, stream=str(one.hole))
        rotten = [one for one in self._journal.damage if one.is_loss]
        if rotten:
            return Permanent("GC-6002", offset=rotten[0].offset, reason=rotten[0].reason)
        found = self._ledger.damage.all()
        late = Permanent("GC-6107", days=int(self._config.maintenance.scrub_days))
        return found[0].fault if found else late if self._scrub.is_late else None

    def _completion(self) -> Permanent | None:
        """Until the next start: people should look at the roster once."""
        agents = len(self._ledger.agents())
        return Permanent("GC-6033", agents=agents) if self._was_completed else None

    def _status(self) -> dict[str, Any]:
        now = wall()
        parked, incomplete = fleet.parked_lines(self._ledger), fleet.incomplete_lines(self._ledger)
        streams = fleet.stream_lines(
            self._roster, self._ledger, now, self._unlisted.counts(now), self._metrics.lags
        )
        fault = self._reception.fault or self._lander.fault or self._damage() or self._completion()
        fault = fault or self._maintenance.fault or (self._refreshing.fault if self._refreshing else None)
        return {
            "format": fleet.FORMAT,
            "time": now,
            "version": VERSION,
            "pid": os.getpid(),
            "started": self._started,
            "healthy": self._receiver.connected
            and fault is None
            and not (parked or incomplete)
            and _all_well(streams),
            "broker": {
                "url": self._config.broker.url,
                "connected": self._receiver.connected,
                "reason": self._receiver.reason,
            },
            "fault": fault.as_json() if fault is not None else None,
            "journal": self._retention.as_json() | {"not_landed_bytes": self._lander.backlog_bytes},
            "holes": fleet.hole_lines(self._ledger),
            "landing": {
                "pending_rows": self._lander.pending_rows,
                "streams_behind": self._lander.streams_behind,
            },
            "current": self._refreshing.status() if self._refreshing is not None else None,
            "counters": self._metrics.as_json(),
            "damaged": fleet.damage_lines(self._ledger),
            "parked": parked,
            "incomplete": incomplete,
            "streams": streams,
        }


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()


def _all_well(streams: list[dict[str, Any]]) -> bool:
    return all(one["healthy"] and not one["silent"] for one in streams)
