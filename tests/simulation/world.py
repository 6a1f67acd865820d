"""The simulated world: a hospital, its agent, the air, the centre, and the witness of it all."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from types import TracebackType

from central_ingest import fleet
from central_ingest.landing.replay import replay
from central_ingest.ledger.broken import broken_epochs
from protocol import messages
from protocol.link.memory import NO_FAULTS
from protocol.messages import MessageType
from protocol.names import Stream, TableName

from .centre import SITE, Centre
from .clock import loop
from .edge import COMMANDS, Edge
from .hospital import Hospital, Plain
from .link import Air
from .moments import around_files
from .obedience import Obedience

SETTLE_SECONDS = 4 * 3600.0
GRACE_SECONDS = 5.0
MEMORY = Path("/dev/shm")


class World:
    """Use it as a context: its files vanish at the end."""

    def __init__(
        self,
        seed: int | str,
        slugs: tuple[str, ...] = ("his", "lis"),
        *,
        spool_bytes_max: int = 1 << 30,
        keep_receipted_bytes: int = 1 << 20,
        allow: Sequence[str] = COMMANDS,
        quarantine_bytes_max: int = 1 << 30,
        mends: bool = True,
    ) -> None:
        self.seed = seed
        self.trace = blake2b(digest_size=16)
        self.root = Path(tempfile.mkdtemp(prefix="guicang-", dir=MEMORY if MEMORY.is_dir() else None))
        self.air = Air(random.Random(f"{seed} air").getrandbits(32))
        self.air.ear = self._hear
        self.hospital = Hospital(random.Random(f"{seed} hospital"), slugs)
        self.centre = Centre(
            self.root / "centre",
            self.air,
            random.Random(f"{seed} centre"),
            self.note,
            quarantine_bytes_max=quarantine_bytes_max,
        )
        self._mends = mends
        self._tried: set[int] = set()
        self.witness = self.centre.witness
        self._spool_bytes_max = spool_bytes_max
        self._keep_receipted_bytes = keep_receipted_bytes
        self._allow = allow
        self.obedience = Obedience()
        self._numbers = 0
        self._orphans: set[TableName] = set()
        self._edge_rng = random.Random(f"{seed} edge")
        self.retired: list[Edge] = []
        """Machines that were replaced."""
        self.edge = self.another_edge("edge")
        self.edge.opened = self.witness.look_into
        self._watched = around_files(self.root / "centre" / "journal")

    def number(self) -> int:
        """Another one with each call, for names."""
        self._numbers += 1
        return self._numbers

    def another_edge(self, name: str) -> Edge:
        """A machine of the hospital, new, neither enrolled nor running."""
        name = f"{name} {self.number()}"
        return Edge(
            self.root / name,
            self.hospital,
            self.air,
            self._edge_rng,
            self.note,
            spool_bytes_max=self._spool_bytes_max,
            keep_receipted_bytes=self._keep_receipted_bytes,
            allow=self._allow,
            obedience=self.obedience,
            client_id=name,
        )

    def forget(self) -> None:
        """The agent's memory is lost, or older. A table that vanishes before it is read again it never knew: it cannot
        say that it is gone, and the table stands in the lake as it last was: the centre itself must name it."""
        self._orphans |= {name for _, name in self.hospital.tables()}

    def retire(self, successor: Edge) -> None:
        """The hospital's machine is another one from now on."""
        self.retired.append(self.edge)
        self.edge.opened = lambda spool, streams: None
        self.edge = successor
        self.edge.opened = self.witness.look_into

    def __enter__(self) -> World:
        self._watched.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watched.__exit__(kind, error, trace)
        shutil.rmtree(self.root)

    def note(self, what: str) -> None:
        self.trace.update(f"{loop().time():.6f} {what}\n".encode())

    def _hear(self, client_id: str, topic: str, payload: bytes) -> None:
        self.note(f"{client_id} {topic} {blake2b(payload, digest_size=8).hexdigest()}")
        self.witness.hear(client_id, topic, payload)
        if messages.is_message(payload) and messages.parse(payload).type is MessageType.COMMAND:
            self.obedience.said.append((topic, payload))

    # its course

    async def begin(self) -> None:
        """The centre is there, and the agent is enrolled and runs."""
        token = self.centre.invite()
        self.centre.start()
        await self.edge.enrol(token)
        self.edge.start()

    async def let(self, seconds: float) -> None:
        """Time passes."""
        await asyncio.sleep(seconds)
        self.check()

    def check(self) -> None:
        """What must hold at every moment."""
        for machine in (self.centre, self.edge):
            if machine.error is not None:
                raise machine.error
        if self.edge.spool is not None:
            self.witness.look_into(self.edge.spool, self.edge.streams)

    async def settle(self, seconds: float = SETTLE_SECONDS) -> None:
        """No fault any more, nothing changes, a person answers what capture asks: all must arrive."""
        self.mend()
        since, until = loop().wall(), loop().time() + seconds
        while not self._settled(since):
            assert loop().time() < until, f"not settled after {seconds} s: {self.plight()}"
            self.edge.confirm()
            self._clear_quarantine()
            for slug in self.edge.slugs:
                self.edge.resume(slug)
            await self.let(GRACE_SECONDS)

    def mend(self) -> None:
        self.air.faults = NO_FAULTS
        self.air.start()
        self.hospital.away.clear()
        self.hospital.quiet = True
        self.mend_disk()
        self.centre.lake.plan.clear()
        self.centre.lake.refused.clear()
        if self._mends:
            self.centre.lake.mend()
            self.centre.locks.mend()

    def mend_disk(self) -> None:
        self.centre.disk.room = None
        self.centre.disk.sync_failures = self.centre.disk.truncate_failures = 0
        self.centre.disk.directory_sync_failures = 0

    def _clear_quarantine(self) -> None:
        """A person has what is parked land, or drops it; a snapshot that the hospital does not allow he asks for
        there."""
        ledger, now = self.centre.ledger, loop().wall()
        if ledger is None:
            return
        book = ledger.quarantine
        asked = {one.held for one in book.open_requests()}
        for held in book.held():
            if held.id not in asked:
                book.ask(
                    held.id, "retry" if self._mends and held.id not in self._tried else "drop", "wang", now
                )
                self._tried.add(held.id)
        orders = {one.id: one for one in ledger.commands.all()}
        for gap in book.gaps():
            order = orders.get(gap.command or "")
            if gap.healed is None and gap.path and (order is None or order.state(now) != "done"):
                self.edge.want_snapshot()

    def _settled(self, since: int) -> bool:
        spool, lander = self.edge.spool, self.centre.lander
        if spool is None or lander is None:
            return False
        fresh = all((spool.fresh_as_of(stream) or 0) > since for stream in self.edge.streams)
        return fresh and not (
            lander.backlog_bytes
            or lander.streams_behind
            or lander.pending_rows
            or self._unanswered()
            or self._unhealed()
        )

    def _unhealed(self) -> list[str]:
        """What is parked, or was dropped and is not made good yet; epochs that lost a part and are not replaced yet."""
        ledger = self.centre.ledger
        if ledger is None:
            return []
        held = [f"parked {one.path or one.stream}: {one.code}" for one in ledger.quarantine.held()]
        broken = broken_epochs(ledger)
        held += [f"broken {r.stream}" for r in ledger.streams() if r.head.epoch <= broken.get(r.stream, 0)]
        return held + [
            f"gap {one.path or one.stream} {one.last}"
            for one in ledger.quarantine.gaps()
            if one.healed is None
        ]

    def _unanswered(self) -> list[str]:
        """Commands to the agent that is there, and what it was told to read and did not begin to."""
        agent, orders = self.edge.state.identity().agent, self.edge.orders
        ledger = self.centre.ledger
        waiting = ledger.commands.open(loop().wall()) if ledger is not None else []
        wanted = orders.book.snapshots if orders is not None else {}
        said = [f"command {one.name}" for one in waiting if one.agent == agent]
        return said + [f"snapshot of {t}" for _, t in wanted if t not in self.hospital.dropped]

    def plight(self) -> str:
        """Why it does not come to rest."""
        spool, lander = self.edge.spool, self.centre.lander
        said: list[object] = []
        if spool is not None:
            said += [
                (s.stream.source, s.epoch, s.head_seq, s.receipted_seq, s.stopped) for s in spool.streams()
            ]
        for slug, runner in self.edge.runners.items():
            said += [(slug, runner.report.fault), runner.report.tables]
        if lander is not None:
            said += [lander.backlog_bytes, lander.streams_behind, lander.pending_rows, lander.fault]
        said += self._unanswered() + self._unhealed()
        return repr(said)

    async def end(self) -> None:
        """Both ends stop in order; then source and lake are compared."""
        await self.edge.stop()
        await self.centre.stop()
        await self.air.aclose()
        ledger = self.centre.open_ledger()
        try:
            assert ledger.parked() == []
            self.witness.check_lake(self.centre.lake, ledger, self.centre.shelves)
            paths = {(r.stream, r.table): (r.path, bool(r.key)) for r in ledger.lake_tables()}
            for slug, name in self.hospital.tables():
                found = paths.get((Stream(SITE, slug), name))
                if name in self._orphans and name in self.hospital.dropped:
                    assert found is None or found[0] in fleet.unlisted(ledger), name
                    continue
                landed = self._landed(*found) if found else Counter()
                assert landed == self.hospital.standing(slug, name), name
                self.witness.rows_checked += landed.total()
        finally:
            ledger.close()

    async def abandon(self) -> None:
        """After a failure."""
        for machine in (self.edge, self.centre):
            with suppress(BaseException):
                await machine.stop()
        await self.air.aclose()

    def _landed(self, path: str, keyed: bool) -> Counter[Plain]:
        """As `Hospital.standing` gives it."""
        changes = self.centre.lake.read(path)
        rows = replay(changes, keyed)
        columns = sorted(name for name in changes.column_names if not name.startswith("_gc_"))
        values = ([(c, _value(row, c)) for c in columns] for row in rows)
        return Counter(tuple(pair for pair in one if pair[1] is not None) for one in values)


def _value(row: dict[str, object], column: str) -> object:
    for entry in row["_gc_aside"] or []:  # type: ignore[attr-defined]
        if entry["column"] == column:
            large = entry["reason"] == "large"
            return entry["reason"], entry["sha256"] if large else entry["original"]
    return row[column]
