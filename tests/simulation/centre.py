"""The centre's machine: the daemon's real parts, put together as `central_ingest.daemon` does.

Its disk survives: journal files over a disk that fails by order, lake, ledger, large values, keys. A power cut
takes what was not synced; a killed process leaves what it had written. All else is built anew.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import shutil
from collections import UserDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from central_ingest import safekeeping
from central_ingest.admission import Admission
from central_ingest.again import Again
from central_ingest.control import Control
from central_ingest.enrolment import Enrolment, secret_hash
from central_ingest.grants import Grants
from central_ingest.inbox import Inbox
from central_ingest.journal.files import FileJournal
from central_ingest.journal.frames import HEADER_BYTES
from central_ingest.journal.journal import Damage, Entry, Journal, Run
from central_ingest.keystore import KeyStore, LiveOpener
from central_ingest.lags import Lags
from central_ingest.landing.heat import Rhythm
from central_ingest.landing.lander import Lander
from central_ingest.landing.objects import Objects
from central_ingest.ledger.ledger import Ledger
from central_ingest.metrics import Metrics
from central_ingest.quarantine import Quarantine
from central_ingest.receipts import Credit, Receipts
from central_ingest.receiver import CentreVoice, Receiver
from central_ingest.reception import Reception
from central_ingest.restart import restore
from central_ingest.roster import Roster
from central_ingest.safekeeping import KeptLedger, Safe
from protocol import topics
from protocol.enrolment import Token
from protocol.errors import Transient
from protocol.keys import to_base64
from protocol.signing import SUITE_1, SUITES
from tests.unit.central_ingest.journal.small_journal import flip

from .clock import loop
from .link import Air
from .machine import Machine
from .moments import around_commits
from .stores import Disk, Lake, LockedOpener, Locks, Shelves
from .witness import Witness

SITE = "440100-7"
TICK_SECONDS = 0.01
RETRY_SECONDS = 1.0
SEGMENT_BYTES_MAX = 64 << 10
BACKLOG_BYTES_MAX = 256 << 10
CREDIT_BYTES = 64 << 20
INVITATION_MICROS = 10**9


class Compiled(UserDict[Any, Any]):
    """Of every statement of the ledger, its text: compiling them anew for each world would take a tenth of the time.

    SQLAlchemy's key begins with the dialect, an object of each engine; here all are SQLite's.
    """

    def __contains__(self, key: object) -> bool:
        return isinstance(key, tuple) and key[1:] in self.data

    def __getitem__(self, key: Any) -> Any:
        return self.data[key[1:]]

    def __setitem__(self, key: Any, item: Any) -> None:
        self.data[key[1:]] = item


COMPILED = Compiled()


class WatchedJournal:
    """A `Journal` that tells the witness what counts as written."""

    def __init__(self, journal: Journal, witness: Witness) -> None:
        self._journal = journal
        self._witness = witness
        witness.reopened(journal.read())

    @property
    def start(self) -> int:
        return self._journal.start

    @property
    def end(self) -> int:
        return self._journal.end

    @property
    def damage(self) -> Sequence[Damage]:
        return self._journal.damage

    def append(self, received: int, envelopes: Sequence[bytes]) -> list[int]:
        offsets = self._journal.append(received, envelopes)
        self._witness.journaled(offsets, envelopes)
        return offsets

    def repair(self, start: int, stop: int, received: int, envelopes: Sequence[bytes]) -> bool:
        if not self._journal.repair(start, stop, received, envelopes):
            return False
        self._witness.repaired(self._journal.read(), envelopes)
        return True

    def read(self, start: int = 0) -> Iterator[Entry]:
        return self._journal.read(start)

    def outline(self) -> Iterator[Entry | Run]:
        return self._journal.outline()

    def close(self) -> None:
        self._journal.close()


def _look_at_all(lander: Lander, ledger: Ledger) -> None:
    """What is older than the ledger is said once; then everything was looked at."""
    for record in ledger.lake_tables():
        with suppress(Transient):
            lander.look_at(record.path)


class Centre(Machine):
    def __init__(
        self,
        root: Path,
        air: Air,
        rng: random.Random,
        note: Callable[[str], None],
        quarantine_bytes_max: int = 1 << 30,
    ) -> None:
        super().__init__("centre", air, rng, note)
        self.root = root
        self.disk = Disk(self.moment)
        self.lake = Lake(self.moment)
        self.locks = Locks()
        self.quarantine_bytes_max = quarantine_bytes_max
        self.quarantine: Quarantine | None = None
        self.backup: tuple[Path, Lake] | None = None
        self._starts = 0
        self.completions = 0
        """How often a start found the ledger older than its copies."""
        root.mkdir()
        self._keys = KeyStore(root / "keys")
        self._keys.create()
        self._keys.create_site(SITE)
        self.witness = Witness(self._keys.openers())
        self.journal: Journal | None = None
        self.ledger: Ledger | None = None
        self._engine: sa.Engine | None = None
        self.roster: Roster | None = None
        self.lander: Lander | None = None
        self._reception: Reception | None = None

    @property
    def shelves(self) -> Path:
        return self.root / "quarantine"

    def _wall(self) -> int:
        self.moment()
        return loop().wall()

    def open_ledger(self) -> Ledger:
        path = self.root / "ledger.sqlite"
        if self._engine is None or not path.exists():
            self._engine = Ledger.open(path)._engine.execution_options(compiled_cache=COMPILED)
            around_commits(self._engine)
        return KeptLedger(self._engine, self._safe())

    def _safe(self) -> Safe:
        return Safe((self.root / "lake" / "_system", self.root / "journal"), self._keys.signer(), self.disk)

    def invite(self) -> Token:
        secret = secrets.token_bytes(32)
        ledger, now = self.open_ledger(), loop().wall()
        ledger.add_site(SITE, "", now)
        ledger.invite(secret_hash(secret), SITE, now + INVITATION_MICROS)
        ledger.close()
        return Token(
            broker="mqtt://memory",
            site=SITE,
            centre_signing=to_base64(self._keys.signer().public),
            centre_sealing=to_base64(self._keys.sealing().public),
            site_sealing=to_base64(self._keys.create_site(SITE).public),
            secret=secret.hex(),
        )

    # the process

    async def main(self) -> None:
        signer, opener, metrics = self._keys.signer(), LiveOpener(self._keys), Metrics(Lags(loop().time))
        files = FileJournal.open(self.root / "journal", segment_bytes_max=SEGMENT_BYTES_MAX, disk=self.disk)
        journal = self.journal = WatchedJournal(files, self.witness)
        ledger = self.ledger = self.open_ledger()
        self.completions += safekeeping.restore(Ledger(ledger._engine), self._safe(), journal)
        roster = self.roster = restore(ledger, journal, SUITES)
        self.witness.restored(roster)
        credit = Credit(CREDIT_BYTES)
        grants = Grants(ledger, roster, signer, SUITE_1)
        reception = self._reception = Reception(
            roster=roster,
            admission=Admission(roster, SUITES),
            journal=journal,
            ledger=ledger,
            receipts=Receipts(signer, credit),
            grants=grants,
            enrolment=Enrolment(ledger, roster, grants, signer, opener, SUITE_1),
            opener=opener,
            suite=SUITE_1,
            metrics=metrics,
            wall=self._wall,
            control=Control(ledger.commands, signer),
            again=Again(journal, ledger, roster, signer, SUITES),
        )
        shelves = Shelves(self.shelves, self.disk)
        quarantine = self.quarantine = Quarantine(ledger.quarantine, shelves)
        lander = self.lander = Lander(
            journal=journal,
            lake=self.lake,
            ledger=ledger,
            objects=Objects(self.root / "files"),
            opener=LockedOpener(opener, self.locks),
            suites=SUITES,
            metrics=metrics,
            rhythm=Rhythm(0.25, 2.0),
            pending_bytes_max=256 << 10,
            quarantine=quarantine,
            quarantine_bytes_max=self.quarantine_bytes_max,
            now=loop().time,
            wall=self._wall,
        )
        voice = CentreVoice(signer, self._wall)
        journaled = asyncio.Event()
        await asyncio.to_thread(lander.recover)
        self._starts += 1
        if self._starts % 2:  # else tables are looked at as they are touched
            await asyncio.to_thread(_look_at_all, lander, ledger)
            self.witness.recovered(self.lake, ledger, self.shelves)
        receiver = Receiver(
            self.air.link(self.client_id, [topics.ALL_UP, topics.ALL_STATES], voice.will()),
            reception,
            voice,
            inbox=Inbox(64 << 20, metrics),
            tick_seconds=TICK_SECONDS,
            journaled=journaled.set,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(receiver.run())
            group.create_task(self._land(lander, credit, journaled))

    async def _land(self, lander: Lander, credit: Credit, journaled: asyncio.Event) -> None:
        while True:
            journaled.clear()
            try:
                pause = await asyncio.to_thread(lander.step)
                lander.fault = None
                self._is_within_limit()
            except Transient as fault:
                lander.fault, pause = fault, RETRY_SECONDS
            credit.closed = lander.backlog_bytes > BACKLOG_BYTES_MAX
            if pause:
                try:
                    await asyncio.wait_for(journaled.wait(), pause)
                except TimeoutError:
                    continue

    def reads(self, source: str) -> None:
        raise AssertionError(f"the centre reads {source}")

    def _is_within_limit(self) -> None:
        """After a step: what has outgrown the limit was dropped, unless it is just being retried."""
        assert self.quarantine is not None
        assert self.ledger is not None
        for place in self.quarantine.places():
            held = self.quarantine.held(place)
            if held is not None and held.bytes > self.quarantine_bytes_max:
                asked = {(one.held, one.what) for one in self.ledger.quarantine.open_requests()}
                assert (held.id, "retry") in asked, f"{place} holds {held.bytes} bytes"

    def leave(self) -> None:
        if self.lander is not None and self._reception is not None:
            try:
                self.lander.step(everything=True)
            except Transient as fault:
                self.note(f"the last step failed: {fault.code}")
            self._reception.remember()

    # its death

    def cut_off(self) -> None:
        if self.journal is not None:
            self.journal.close()
        if self.ledger is not None:
            self.ledger.close()
        if self.quarantine is not None:
            self.quarantine.close()
        self.disk.close_all()
        self.journal = self.ledger = self.roster = self.lander = self._reception = None
        self.quarantine = None
        if self._power_cut:
            self._power_cut = False
            self.power_cuts += 1
            self.disk.power_cut(self.rng.choice([0, 0, 1, 30, 1000, 1 << 20]))
            mask = self.rng.getrandbits(5)
            self.lake.cut_power(lambda path, version: bool(mask >> version % 5 & 1))
            for part in (self.root / "files").rglob("*.part"):
                part.unlink()

    # while it is down: what becomes of its disk

    def back_up(self, to: Path) -> Lake:
        """Journal, ledger and files as they are now; returns the lake of that hour."""
        shutil.copytree(self.root, to)
        return self.lake.copy()

    def restore(self, backup: Path, lake: Lake) -> None:
        """Journal, ledger, files and lake as they were, all of one hour."""
        shutil.rmtree(self.root)
        shutil.copytree(backup, self.root)
        self._engine = None
        self.lake = lake
        self.lose_journal(backup / "journal")

    def lose_journal(self, backup: Path | None = None) -> None:
        """The journal alone is lost, or as old as `backup`."""
        shutil.rmtree(self.root / "journal")
        if backup is not None:
            shutil.copytree(backup, self.root / "journal")
        self.disk = Disk(self.moment)
        self.witness.rolled_back()

    def rot(self) -> None:
        """One byte of the journal is another one, anywhere in it."""
        segments = [path for path in sorted((self.root / "journal").glob("*.gcj")) if path.stat().st_size]
        if segments:
            path = self.rng.choice(segments)
            content = bytearray(path.read_bytes())
            content[self.rng.randrange(len(content))] ^= 1 << self.rng.randrange(8)
            path.write_bytes(content)
            self.disk = Disk(self.moment)
            self.witness.rotted()

    def rot_at(self, share: float) -> None:
        """One record is damaged, so far into the journal."""
        directory = self.root / "journal"
        reader = FileJournal.open(directory, read_only=True)
        entries = list(reader.read())
        reader.close()
        offset = entries[int(len(entries) * share)].offset
        base = max(int(path.stem) for path in directory.glob("*.gcj") if int(path.stem) <= offset)
        flip(directory / f"{base:020d}.gcj", HEADER_BYTES + offset - base)
        self.disk = Disk(self.moment)
        self.witness.rotted()

    def lose_ledger(self, backup: Path | None = None) -> None:
        """The ledger alone is lost, or as old as `backup`."""
        for ending in ("", "-wal", "-shm"):
            name = f"ledger.sqlite{ending}"
            (self.root / name).unlink(missing_ok=True)
            if backup is not None and (backup / name).exists():
                shutil.copy2(backup / name, self.root / name)
        self._engine = None

    def lose_lake(self, backup: Lake | None = None) -> None:
        """The lake alone is lost, or as old as `backup`."""
        self.lake = backup or Lake(self.moment)
