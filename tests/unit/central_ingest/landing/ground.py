"""What a lander stands on, with faults to order: journal, lake, ledger and files outlive every lander.

`FaultyLake` is the lake in memory whose next calls fail before or after they did their work (so that the
outcome is unknown), and which refuses tables for good while it is told to.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from central_ingest.journal.journal import Journal
from central_ingest.journal.memory import MemoryJournal, MemoryStore
from central_ingest.lags import Lags
from central_ingest.landing.heat import Rhythm
from central_ingest.landing.lake import Recovery, Txn
from central_ingest.landing.lander import Lander
from central_ingest.landing.memory import MemoryLake
from central_ingest.landing.objects import Objects
from central_ingest.ledger.ledger import Ledger, TableRecord
from central_ingest.metrics import Metrics
from central_ingest.quarantine import MemoryShelves, Quarantine
from protocol.envelope import parse
from protocol.errors import Permanent, Transient
from protocol.keys import PrivateKey, opener
from protocol.names import Stream, TableName
from protocol.signing import SUITES

from ..ledgers import memory_ledger
from ..sender import LOST_KEY, SITE_KEY, Sender

RECEIVED = 1_700_000_100_000_000
Version = tuple[int, int, int]


class FaultyLake(MemoryLake):
    """`plan` holds one word for each of the next calls: "" (works), "before" or "after" (fails)."""

    def __init__(self) -> None:
        super().__init__()
        self.plan: list[str] = []
        self.refused: set[str] = set()
        self.broken: set[str] = set()
        self.unreadable = False

    def read(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        self._fail_if(self.unreadable, path)
        return super().read(path, columns)

    def append(self, path: str, rows: pa.Table, txns: Sequence[Txn]) -> int:
        if path in self.refused:
            raise Permanent("GC-6004", table=path)
        word = self._word(path)
        version = super().append(path, rows, txns)
        self._fail_if(word == "after", path)
        return version

    def make_durable(self, path: str, version: int) -> None:
        word = self._word(path)
        super().make_durable(path, version)
        self._fail_if(word == "after", path)

    def recover(self, path: str, synced_version: int) -> Recovery:
        word = self._word(path)
        found = super().recover(path, synced_version)
        self._fail_if(word == "after", path)
        return found

    def _word(self, path: str) -> str:
        word = self.plan.pop(0) if self.plan else ""
        self._fail_if(word == "before" or path in self.broken, path)
        return word

    def _fail_if(self, fails: bool, path: str) -> None:
        if fails:
            raise Transient("GC-6005", path=path, reason="ordered")


class FullShelves(MemoryShelves):
    """While `full`, no shelf takes anything."""

    full = False

    def open(self, number: int) -> Journal:
        journal = super().open(number)
        self.stores[number].full = self.full
        return journal

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "full":
            for store in self.stores.values():
                store.full = self.full


class Ground:
    def __init__(
        self, root: Path, pending_bytes_max: int = 1 << 20, rhythm: Rhythm = Rhythm(0.25, 2.0)
    ) -> None:
        self.store = MemoryStore()
        self.journal = MemoryJournal.open(self.store)
        self.lake = FaultyLake()
        self.ledger: Ledger = memory_ledger()
        self.files = root
        self.objects = Objects(root)
        self.metrics = Metrics(Lags(lambda: self.clock))
        self.shelves = FullShelves()
        self.quarantine_bytes_max = 1 << 30
        self.clock = 0.0
        self.keys: tuple[PrivateKey, ...] = (SITE_KEY,)
        self.offsets: list[int] = []
        self._pending_bytes_max = pending_bytes_max
        self._rhythm = rhythm
        self.lander: Lander

    def begin(self, sender: Sender) -> None:
        """The sender's epoch is used in a hello."""
        self.ledger.begin_epoch(sender.stream, sender.epoch, sender.agent, 0, self.journal.end)

    def write(self, *envelopes: bytes) -> int:
        """Journal envelopes, and return the offset of the first."""
        return self.journal.append(RECEIVED, envelopes)[0]

    def start(self) -> Lander:
        """A new lander, as after a crash: the one before is thrown away."""
        self.lander = Lander(
            journal=self.journal,
            lake=self.lake,
            ledger=self.ledger,
            objects=self.objects,
            opener=opener(*self.keys),
            suites=SUITES,
            metrics=self.metrics,
            rhythm=self._rhythm,
            pending_bytes_max=self._pending_bytes_max,
            quarantine=Quarantine(self.ledger.quarantine, self.shelves),
            quarantine_bytes_max=self.quarantine_bytes_max,
            now=lambda: self.clock,
            wall=lambda: RECEIVED + int(self.clock * 1e6),
        )
        self.lander.recover()
        return self.lander

    def look(self) -> None:
        """At every table, as the lander does with the time."""
        for record in self.ledger.lake_tables():
            self.lander.look_at(record.path)

    def land(self) -> None:
        """Steps until all is read and committed."""
        self.clock += 10.0
        while self.lander.step(everything=True) == 0.0:
            self.clock += 10.0
        self.clock += 10.0
        self.lander.step(everything=True)

    def ask(self, what: str, who: str = "wang") -> None:
        """Retry or drop everything that is parked."""
        for held in self.ledger.quarantine.held():
            self.ledger.quarantine.ask(held.id, what, who, 1)

    def retry(self) -> None:
        self.ask("retry")
        self.land()

    def all_keys(self) -> None:
        self.keys = (SITE_KEY, LOST_KEY)

    def record(self, stream: Stream, table: TableName) -> TableRecord | None:
        for one in self.ledger.lake_tables():
            if (one.stream, one.table) == (stream, table):
                return one
        return None

    def versions(self, stream: Stream, table: TableName) -> list[Version]:
        """(epoch, sequence, ordinal) of the table's rows, in the order in which they were committed."""
        record = self.record(stream, table)
        if record is None or self.lake.schema(record.path) is None:
            return []
        rows = self.lake.read(record.path, ["_gc_epoch", "_gc_seq", "_gc_ord"]).to_pylist()
        return [(r["_gc_epoch"], r["_gc_seq"], r["_gc_ord"]) for r in rows]

    def low_water(self, stream: Stream) -> int:
        return next(r.low_water for r in self.ledger.streams() if r.stream == stream)

    def set_aside(self, stream: Stream) -> set[tuple[int, int]]:
        """(epoch, sequence) of what the quarantine has of a stream on its disk."""
        found = set()
        for held in self.ledger.quarantine.held():
            if held.stream == stream and held.id in self.shelves.stores:
                headers = [parse(e.envelope).header for e in self.shelves.stores[held.id].entries]
                found |= {(header.epoch, header.seq) for header in headers}
        return found

    def parked(self) -> dict[tuple[Stream, str], str]:
        return {(p.stream, p.path): p.code for p in self.ledger.parked()}
