"""Both ends in one process: real capture, spool, courier, admission, journal and landing over a faulty link.

The memory link drops, repeats, reorders, delays and cuts by seed; the source changes meanwhile. At the end the
lake's current state equals the source per key, every version stands once, and a failing seed can be run again.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import sqlite3
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from central_ingest.admission import Admission
from central_ingest.control import Control
from central_ingest.enrolment import Enrolment, secret_hash
from central_ingest.grants import Grants as CentreGrants
from central_ingest.inbox import Inbox
from central_ingest.journal.memory import MemoryJournal, MemoryStore
from central_ingest.keystore import KeyStore, LiveOpener
from central_ingest.lags import Lags
from central_ingest.landing.heat import Rhythm
from central_ingest.landing.lander import Lander
from central_ingest.landing.memory import MemoryLake
from central_ingest.landing.objects import Objects
from central_ingest.landing.replay import replay
from central_ingest.ledger.address import Address
from central_ingest.ledger.ledger import Ledger
from central_ingest.metrics import Metrics
from central_ingest.quarantine import MemoryShelves, Quarantine
from central_ingest.receipts import Credit, Receipts
from central_ingest.receiver import CentreVoice, Receiver
from central_ingest.reception import Reception
from central_ingest.restart import restore
from edge_agent.batching import Seal
from edge_agent.capture.index import IndexFiles
from edge_agent.capture.runner import Runner
from edge_agent.courier import Courier
from edge_agent.enrolment import enrol
from edge_agent.epochs import Epochs
from edge_agent.identity import Grants, StateDir
from edge_agent.sources.settings import SqlSettings
from edge_agent.sources.sql import SqlSource
from edge_agent.spool.spool import Spool
from protocol import topics
from protocol.enrolment import Token
from protocol.keys import to_base64
from protocol.link.memory import Faults, MemoryBroker
from protocol.names import Stream
from protocol.signing import SUITE_1, SUITES
from tests.ledgers import new_place

SITE, SOURCE = "440100-7", "his"
STREAM = Stream(SITE, SOURCE)
HASTE = 10.0
"""Clocks of delivery run this much faster, so that lost messages are missed soon."""
SETTLE_SECONDS = 60.0


def wall() -> int:
    return time.time_ns() // 1000


def hasty() -> float:
    return time.monotonic() * HASTE


class Centre:
    def __init__(self, root: Path, broker: MemoryBroker, place: Address | None = None) -> None:
        self.keys = KeyStore(root / "keys")
        self.keys.create()
        self.keys.create_site(SITE)
        self.ledger = Ledger.open(place or root / "ledger.sqlite")
        self.journal = MemoryJournal.open(MemoryStore())
        self.lake = MemoryLake()
        signer, opener, metrics = self.keys.signer(), LiveOpener(self.keys), Metrics(Lags(time.monotonic))
        roster = restore(self.ledger, self.journal, SUITES)
        grants = CentreGrants(self.ledger, roster, signer, SUITE_1)
        reception = Reception(
            roster=roster,
            admission=Admission(roster, SUITES),
            journal=self.journal,
            ledger=self.ledger,
            receipts=Receipts(signer, Credit(64 << 20)),
            grants=grants,
            enrolment=Enrolment(self.ledger, roster, grants, signer, opener, SUITE_1),
            opener=opener,
            suite=SUITE_1,
            metrics=metrics,
            wall=wall,
            control=Control(self.ledger.commands, signer),
        )
        self.lander = Lander(
            journal=self.journal,
            lake=self.lake,
            ledger=self.ledger,
            objects=Objects(root / "files"),
            opener=opener,
            suites=SUITES,
            metrics=metrics,
            rhythm=Rhythm(0.05, 0.1),
            pending_bytes_max=64 << 20,
            quarantine=Quarantine(self.ledger.quarantine, MemoryShelves()),
            quarantine_bytes_max=1 << 30,
            now=time.monotonic,
            wall=wall,
        )
        voice = CentreVoice(signer, wall)
        link = broker.link("centre", [topics.ALL_UP, topics.ALL_STATES], voice.will())
        inbox = Inbox(1 << 28, metrics)
        self.receiver = Receiver(
            link, reception, voice, inbox=inbox, tick_seconds=0.005, journaled=lambda: None
        )

    def token(self) -> Token:
        secret = secrets.token_bytes(32)
        self.ledger.add_site(SITE, "", wall())
        self.ledger.invite(secret_hash(secret), SITE, wall() + 10**9)
        return Token(
            broker="mqtt://memory",
            site=SITE,
            centre_signing=to_base64(self.keys.signer().public),
            centre_sealing=to_base64(self.keys.sealing().public),
            site_sealing=to_base64(self.keys.create_site(SITE).public),
            secret=secret.hex(),
        )

    async def land(self) -> None:
        while True:
            await asyncio.to_thread(self.lander.step)
            await asyncio.sleep(0.02)


class Hospital:
    """A small database with a keyed table, a composite key and a table without one."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self.path, self._rng = path, rng
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode=WAL;"
            "CREATE TABLE 患者 (id INTEGER PRIMARY KEY, 姓名 TEXT, fee DECIMAL(12,2));"
            "CREATE TABLE orders (visit INTEGER NOT NULL, no TEXT NOT NULL, note TEXT, PRIMARY KEY (visit, no));"
            "CREATE TABLE log (who TEXT, what TEXT);"
        )
        for _ in range(200):
            self.live()

    def live(self) -> None:
        n = self._rng.randrange(60)
        name = self._rng.choice(["张三", "李四", "𠮷田", "", None, "长" * 30_000])
        match self._rng.randrange(6):
            case 0 | 1:
                self._db.execute("INSERT OR REPLACE INTO 患者 VALUES (?, ?, ?)", (n, name, n / 4))
            case 2:
                self._db.execute("DELETE FROM 患者 WHERE id = ?", (n,))
            case 3:
                self._db.execute("INSERT OR REPLACE INTO orders VALUES (?, ?, ?)", (n % 9, f"n{n}", name))
            case 4:
                self._db.execute("INSERT INTO log VALUES (?, ?)", (f"u{n % 3}", name))
            case 5:
                self._db.execute("DELETE FROM log WHERE rowid = (SELECT min(rowid) FROM log)")

    def rows(self, table: str) -> Counter[tuple[object, ...]]:
        return Counter(self._db.execute(f'SELECT * FROM "{table}"').fetchall())

    def close(self) -> None:
        self._db.close()


def _plain(row: dict[str, object], columns: list[str]) -> tuple[object, ...]:
    values = []
    asides = {a["column"]: a for a in (row["_gc_aside"] or [])}  # type: ignore[attr-defined]
    for column in columns:
        value = row[column]
        if column in asides:
            assert asides[column]["reason"] == "large"
            value = "长" * 30_000
            assert asides[column]["bytes"] == len(value.encode())
        values.append(float(str(value)) if column == "fee" and value is not None else value)
    return tuple(values)


def landed(centre: Centre, table: str, columns: list[str], keyed: bool) -> Counter[tuple[object, ...]]:
    """What stands in the lake now, by the oracle; also: no version of the table stands twice."""
    (path,) = (r.path for r in centre.ledger.lake_tables() if r.table.name == table)
    changes = centre.lake.read(path)
    versions = Counter(
        zip(*(changes[c].to_pylist() for c in ("_gc_epoch", "_gc_seq", "_gc_ord")), strict=True)
    )
    assert max(versions.values()) == 1
    return Counter(_plain(row, columns) for row in replay(changes, keyed))


async def _play(root: Path, seed: int, faults: Faults, place: Address | None = None) -> None:
    rng = random.Random(seed)
    broker = MemoryBroker(seed)
    centre = Centre(root / "centre", broker, place)
    hospital = Hospital(root / "his.db", rng)
    state = StateDir(root / "edge")
    state.root.mkdir()
    identity = state.make_identity()
    token = centre.token()
    edge_centre = state.draft_centre(token)
    grants = Grants(state.root, identity, edge_centre)
    subscriptions = [topics.down(identity.agent), topics.CENTRE_STATE]
    spool = Spool.open(root / "spool", bytes_max=1 << 30, keep_receipted_bytes=1 << 20)
    courier = Courier(
        link=broker.link("edge", subscriptions),
        spool=spool,
        identity=identity,
        centre=edge_centre,
        grants=grants,
        sources=[SOURCE],
        now=hasty,
        wall=wall,
        rng=random.Random(seed),
    )
    url = f"sqlite:///{hospital.path}"
    runner = Runner(
        slug=SOURCE,
        settings=SqlSettings(
            url=url, include=("*",), scan_interval_seconds=0.05, duty_share_max=1.0, page_rows=7
        ),
        open_source=lambda: SqlSource(SOURCE, url, {}, 1.0, "Asia/Shanghai"),
        spool=spool,
        stream=STREAM,
        seal=Seal(identity.signer, edge_centre.for_envelopes, secrets.token_bytes),
        files=IndexFiles(root / "index"),
        wall=wall,
    )
    epochs = Epochs(spool, grants, [SOURCE], courier, hasty)
    async with AsyncExitStack() as stack:
        stack.callback(spool.close)
        stack.callback(hospital.close)
        stack.push_async_callback(runner.close)
        tasks = [asyncio.create_task(t) for t in (centre.receiver.run(), centre.land())]
        for grant in await enrol(
            broker.link("edge", subscriptions), identity, edge_centre, token, [SOURCE], wall(), 20
        ):
            grants.keep(grant)
        broker.faults = faults
        tasks += [asyncio.create_task(t) for t in (courier.run(), epochs.run(), runner.run())]
        try:
            for _ in range(120):
                hospital.live()
                if rng.random() < 0.05:
                    broker.cut(rng.choice(["edge", "centre"]))
                if rng.random() < 0.02:
                    broker.stop()
                    await asyncio.sleep(0.1)
                    broker.start()
                await asyncio.sleep(0.02)
            broker.faults = Faults()
            await _settled(spool, centre, tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for table, columns, keyed in (
            ("患者", ["id", "姓名", "fee"], True),
            ("orders", ["visit", "no", "note"], True),
            ("log", ["who", "what"], False),
        ):
            assert landed(centre, table, columns, keyed) == hospital.rows(table), f"{table}, seed {seed}"
        await broker.aclose()
        centre.ledger.close()


async def _settled(spool: Spool, centre: Centre, tasks: list[asyncio.Task[None]]) -> None:
    """Wait until a scan that began after now is receipted whole and has landed."""
    since = wall()
    async with asyncio.timeout(SETTLE_SECONDS):
        while True:
            for task in tasks:
                if task.done():
                    task.result()
            fresh = spool.fresh_as_of(STREAM) or 0
            if fresh > since and not centre.lander.backlog_bytes and not centre.lander.pending_rows:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(("seed", "kind"), [(0, "sqlite"), (1, "sqlite"), (2, "postgresql")])
async def test_what_is_there_arrives_over_a_faulty_link(tmp_path: Path, seed: int, kind: str) -> None:
    faults = Faults(drop=0.05, repeat=0.05, reorder=0.05, delay=0.1, delay_seconds_max=0.2, disconnect=0.01)
    with new_place(kind, tmp_path) as place:
        await _play(tmp_path, seed, faults, place)


async def test_what_is_there_arrives_over_a_faultless_link(tmp_path: Path) -> None:
    await _play(tmp_path, 99, Faults())
