"""A centre of which something can be broken: real journal and ledger, lake and files in any store, and a sender."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from central_ingest.checkup import Checkup
from central_ingest.journal.files import FileJournal
from central_ingest.lags import Lags
from central_ingest.landing import checkpoints
from central_ingest.landing.commits import data_files, decode
from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.heat import Rhythm
from central_ingest.landing.lander import Lander
from central_ingest.landing.localstore import LocalStore
from central_ingest.landing.objects import Objects
from central_ingest.landing.recovery import log_entry
from central_ingest.landing.refetching import Refetching
from central_ingest.landing.scrub import GLANCE_SECONDS, IDLE_SECONDS, Pace, Scrub
from central_ingest.landing.soundness import Verdict
from central_ingest.landing.store import Store
from central_ingest.ledger.ledger import Ledger
from central_ingest.metrics import Metrics
from central_ingest.quarantine import FileShelves, Quarantine
from protocol.envelope import Kind
from protocol.errors import Transient
from protocol.keys import opener
from protocol.signing import SUITES

from .sender import SITE, SITE_KEY, VISITS, Sender, a_batch, a_piece, table

OTHER = table("beds", "ward")
LARGE = b"a large value, of which there are two pieces"
SHA256 = hashlib.sha256(LARGE).hexdigest()
RECEIVED = 1_700_000_100_000_000
COMMITS = 4


def _look(lander: Lander, path: str) -> None:
    """As the lander does with the time. A table that is older than it was is landed again by the steps behind."""
    try:
        lander.look_at(path)
    except Transient as fault:
        if fault.code != "GC-6052":
            raise


@dataclass(frozen=True)
class Place:
    """A name in a store, with the verbs of a path: what breaks one breaks the other."""

    store: Store
    name: str

    def read_bytes(self) -> bytes:
        return self.store.get(self.name)

    def write_bytes(self, content: bytes) -> None:
        self.store.put(self.name, content)

    def unlink(self) -> None:
        self.store.delete(self.name)

    def exists(self) -> bool:
        return self.store.size(self.name) is not None


class Region:
    def __init__(
        self,
        root: Path,
        *,
        segment_bytes: int = 1 << 20,
        lake: Store | None = None,
        files: Store | None = None,
    ) -> None:
        """Below `root` as a data directory of the daemon's; `lake` and `files` where they lie elsewhere."""
        self.root = root
        self.lake_store = lake or LocalStore(root / "lake")
        self.sender = Sender()
        self.journal: FileJournal
        self.ledger: Ledger
        self._files_store = files or LocalStore(root / "files")
        self._segment_bytes = segment_bytes
        root.mkdir(parents=True, exist_ok=True)

    @property
    def lake_dir(self) -> Path:
        return self.root / "lake"

    def table(self, name: str = "visits") -> Path:
        """On the disk."""
        return self.lake_dir / self.path_of(name)

    @property
    def path(self) -> str:
        return self.path_of("visits")

    def path_of(self, name: str) -> str:
        tables = {one.table.name: one.table for one in (VISITS, OTHER)}
        return f"changes/{SITE}/his/{tables[name].directory()}"

    def entry(self, version: int, name: str = "visits") -> Place:
        return Place(self.lake_store, log_entry(self.path_of(name), version))

    def data_file(self, version: int, name: str = "visits") -> Place:
        ((file, _, _),) = data_files(decode(self.entry(version, name).read_bytes()) or [])
        return Place(self.lake_store, f"{self.path_of(name)}/{file}")

    @property
    def checkpoint(self) -> Place:
        """At the last version of a table that lived."""
        return Place(self.lake_store, checkpoints.name(self.path, COMMITS - 1))

    @property
    def large(self) -> Place:
        return Place(self._files_store, f"{SITE}/{SHA256}")

    @property
    def objects(self) -> Objects:
        return Objects(self.root / "files", self._files_store)

    def live(self, commits: int = COMMITS) -> None:
        """A schema, a large value, and so many commits of each of two tables, one row each."""
        with self.running() as lander:
            self.ledger.begin_epoch(self.sender.stream, 1, self.sender.agent, 0, 0)
            half = len(LARGE) // 2
            self.send(
                *((Kind.SCHEMA, one.content) for one in (VISITS, OTHER)),
                (Kind.PIECE, a_piece(SHA256, len(LARGE), 0, LARGE[:half])),
                (Kind.PIECE, a_piece(SHA256, len(LARGE), half, LARGE[half:])),
            )
            for number in range(commits):
                self.send((Kind.BATCH, a_batch(VISITS, [number])), (Kind.BATCH, a_batch(OTHER, [number])))
                lander.step(everything=True)

    def send(self, *inners: tuple[Kind, bytes]) -> None:
        self.journal.append(RECEIVED, [self.sender.send(kind, inner) for kind, inner in inners])

    # a daemon's life

    def running(self) -> Running:
        return Running(self)

    def land(self) -> None:
        """A start, every table looked at, everything landed, an orderly stop."""
        with self.running() as lander:
            for record in self.ledger.lake_tables():
                _look(lander, record.path)
            while lander.step(everything=True) == 0.0:
                pass
            lander.step(everything=True)

    # what there is

    def rows(self) -> Counter[tuple[str, int, int]]:
        """(table, sequence, id) of every row in the lake."""
        lake, found = DeltaLake(self.lake_store), Counter[tuple[str, int, int]]()
        for path in lake.tables():
            rows = lake.read(path, ["_gc_seq", "id"]).to_pylist()
            found.update((path, r["_gc_seq"], r["id"]) for r in rows)
        return found

    def files(self) -> dict[str, bytes]:
        """Every file below the root but SQLite's own beside the ledger."""
        found = (one for one in self.root.rglob("*") if one.is_file())
        return {
            str(one.relative_to(self.root)): one.read_bytes()
            for one in found
            if not one.name.endswith(("-shm", "-wal"))
        }

    # fsck

    def check(self, *, deep: bool = True) -> list[Verdict]:
        return self._checkup(deep, repair=False)

    def repair(self) -> list[Verdict]:
        return self._checkup(True, repair=True)

    def _checkup(self, deep: bool, *, repair: bool) -> list[Verdict]:
        journal = FileJournal.open(self.root / "journal", read_only=not repair)
        place = self.root / "ledger.sqlite"
        ledger = Ledger.open(place) if repair else Ledger.as_it_is(place)
        checkup = Checkup(
            lake=DeltaLake(self.lake_store),
            ledger=ledger,
            journal=journal,
            objects=self.objects,
            quarantine_dir=self.root / "quarantine",
            deep=deep,
        )
        found = list(checkup.mend("wang", 5) if repair else checkup.verdicts())
        ledger.close()
        journal.close()
        return found


class Scrubbing:
    """A running centre's scrub."""

    def __init__(self, region: Region, *, days: float = 30.0, rate: float = 1_000.0) -> None:
        self.now = RECEIVED
        self._running = region.running()
        self.lander = self._running.__enter__()
        self.book = region.ledger.damage
        self.objects = region.objects
        self.scrub = Scrub(
            lake=DeltaLake(region.lake_store),
            objects=self.objects,
            ledger=region.ledger,
            refetching=Refetching(region.journal, self.objects, opener(SITE_KEY), SUITES),
            pace=Pace(rate, days),
            wall=lambda: self.now,
        )

    def __enter__(self) -> Scrubbing:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.__exit__()

    def until_idle(self) -> list[float]:
        """What it wanted to rest after each file."""
        rests = []
        while (rest := self.scrub.step()) != IDLE_SECONDS:
            rests += [rest] if rest != GLANCE_SECONDS else []
            self.now += int(rest * 1e6)
        return rests

    def found(self) -> list[tuple[str, str]]:
        return [(one.name, one.code) for one in self.book.all()]


class Running:
    """The lander and what it stands on, from a start to an orderly stop."""

    def __init__(self, region: Region) -> None:
        self._region = region

    def __enter__(self) -> Lander:
        region, clock = self._region, iter(range(0, 1_000_000, 10))
        region.journal = FileJournal.open(region.root / "journal", segment_bytes_max=region._segment_bytes)
        region.ledger = Ledger.open(region.root / "ledger.sqlite")
        self._quarantine = Quarantine(region.ledger.quarantine, FileShelves(region.root / "quarantine"))
        now = lambda: float(next(clock))  # noqa: E731
        lander = Lander(
            journal=region.journal,
            lake=DeltaLake(region.lake_store),
            ledger=region.ledger,
            objects=region.objects,
            opener=opener(SITE_KEY),
            suites=SUITES,
            metrics=Metrics(Lags(now)),
            rhythm=Rhythm(0.25, 2.0),
            pending_bytes_max=1 << 20,
            quarantine=self._quarantine,
            quarantine_bytes_max=1 << 30,
            now=now,
            wall=lambda: RECEIVED,
        )
        lander.recover()
        return lander

    def __exit__(self, *_: object) -> None:
        self._quarantine.close()
        self._region.journal.close()
        self._region.ledger.close()
