"""Where capture is tested: a source in memory, a state directory, and an agent's capture that can die.

A crash throws all of its objects away; spool and index files are opened again. Between any two things that
capture does there is a *moment*, at which a test may change the source or let capture die.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from edge_agent.capture import snapshot
from edge_agent.capture.index import IndexFiles
from edge_agent.capture.runner import Paused, Runner
from edge_agent.orders import Orders
from edge_agent.sources.memory import MemorySource
from edge_agent.sources.settings import SqlSettings
from edge_agent.spool.spool import Spool
from protocol import canonical
from protocol.errors import Fault
from protocol.names import TableName

from ..keys import EPOCH_SECRET, SEAL, STREAM
from ..reading import Change, Mark, Reader
from .replay import Replay

PLENTY_BYTES = 1 << 30


class Crash(BaseException):
    """The process is gone."""


def crash() -> None:
    raise Crash


class Stage:
    def __init__(
        self, directory: Path, *, page_rows: int = 3, deletion_rows_min: int = 3, share: float = 0.3
    ) -> None:
        self.settings = SqlSettings(
            url=SecretStr("sqlite://"),
            include=("*",),
            page_rows=page_rows,
            duty_share_max=1.0,
            deletion_rows_min=deletion_rows_min,
            deletion_share_max=share,
        )
        self.source = MemorySource(before=lambda *_: self._moment())
        self._directory = directory
        self._loop = asyncio.Runner()
        self._plan: dict[int, Callable[[], None]] = {}
        self._moments = 0
        self._time = 0
        self._keys: dict[bytes, bytes] = {}
        self.seconds = 0.0
        """What the runner's clock shows; only a test moves it."""
        self._commits: set[int] = set()
        self._of_older_epochs: set[str] = set()
        self.open()
        self.epoch = 1
        self.spool.open_epoch(STREAM, 1, b"grant", EPOCH_SECRET)
        self._reader = Reader(EPOCH_SECRET)
        self.replay = Replay({})

    # the agent's life

    def open(self, bytes_max: int = PLENTY_BYTES) -> None:
        self.spool = Spool.open(self._directory / "spool", bytes_max=bytes_max, keep_receipted_bytes=0)
        self.spool.subscribe(self._committed)
        self.files = IndexFiles(self._directory / "index")
        self.files.sweep(self.spool.files())
        self.orders = Orders(self._directory / "orders.json")
        self.runner = Runner(
            slug=STREAM.source,
            settings=self.settings,
            open_source=lambda: self.source,
            spool=self.spool,
            stream=STREAM,
            seal=replace(SEAL, random=self._random),
            files=self.files,
            wall=self._wall,
            orders=self.orders,
            clock=lambda: self.seconds,
        )

    def reopen(self, bytes_max: int = PLENTY_BYTES) -> None:
        self.spool.close()
        self.open(bytes_max)

    def begin_at(self, moment: datetime) -> None:
        """What the agent's clock shows from now on; it goes on with each look at it."""
        self._time = int(moment.timestamp()) * 1_000_000

    @property
    def now(self) -> int:
        """What the agent's clock showed last."""
        return self._time

    def later(self, span: timedelta) -> None:
        self._time += span // timedelta(microseconds=1)

    def close(self) -> None:
        self.spool.close()
        self._loop.close()

    def new_epoch(self, *, stopped: bool = True) -> None:
        """The stream's epoch ends under the running agent, and a new one is granted."""
        if stopped:
            self.spool.stop(STREAM, 1, "GC-3006")
        self.read()
        self._of_older_epochs |= self.index_names()  # until the next start
        self.epoch += 1
        secret = bytes([self.epoch % 256]) * 32
        self.spool.open_epoch(STREAM, self.epoch, b"grant", secret, snapshot.carried)
        self._reader.begin_epoch(self.epoch, secret)
        self._commits.clear()

    def index_names(self) -> set[str]:
        return {path.name for path in (self._directory / "index").iterdir()}

    def index_path(self, name: str) -> Path:
        return self._directory / "index" / name

    # moments

    def _moment(self) -> None:
        self._moments += 1
        if (action := self._plan.pop(self._moments, None)) is not None:
            action()

    def _random(self, count: int) -> bytes:
        self._moment()
        return secrets.token_bytes(count)

    def _wall(self) -> int:
        self._moment()
        self._time += 1
        return self._time

    def _committed(self) -> None:
        state = self.spool.stream(STREAM)
        assert state is not None
        self._commits.add(state.head_seq)
        self._moment()

    # rounds

    def go_round(self, plan: Mapping[int, Callable[[], None]] | None = None) -> Fault | None:
        """One pass over all tables, with what happens at its moments; the source's fault, if it ended so. After a
        crash a new process is there; a pause ends it without a word."""
        self.runner.hint()
        return self.work(plan)

    def work(
        self, plan: Mapping[int, Callable[[], None]] | None = None, turns: int | None = None
    ) -> Fault | None:
        """As many turns, or until nothing is due; otherwise as `go_round`."""
        self._plan, self._moments = dict(plan or {}), 0
        try:
            while turns != 0 and self._loop.run(self.runner.turn()) == 0:
                turns = None if turns is None else turns - 1
        except Fault as fault:
            return fault
        except Paused:
            return None
        except Crash:
            self.reopen()
        finally:
            self._plan = {}
        return None

    def faults(self) -> dict[TableName, str]:
        return {n: t.fault.code for n, t in self.runner.report.tables.items() if t.fault is not None}

    def settle(self, rounds_max: int = 6) -> None:
        """Quiet rounds, in which a person confirms what capture asks about, until one is complete."""
        for _ in range(rounds_max):
            before = self._time
            assert self.go_round() is None
            if (self.runner.report.last_pass or 0) > before:
                return
            for name, code in self.faults().items():
                assert code in ("GC-2002", "GC-2006"), code
                self.runner.confirm(name)
        raise AssertionError(f"not complete after {rounds_max} quiet rounds: {self.faults()}")

    # what is in the spool

    def read(self) -> list[Change | Mark]:
        """What came since it was read last. Each commit is a group, flagged at its end and only there."""
        data: list[bytes] = []
        while window := self.spool.window(STREAM, self._reader.head.seq + 1 + len(data), 64 << 20):
            data += [stored.data for stored in window]
        taken = self.replay.take(self._reader.read(data))
        assert self._reader.group_ends == self._commits
        return taken

    def keys_ever(self, name: TableName) -> dict[bytes, bytes]:
        """Canonical key to `_gc_key`, of every row that the source has had when this was asked."""
        schema = self.source.describe(name)
        for rows in self.source.whole(schema):
            keys = canonical.encode_rows([rows.columns[i] for i in schema.key_positions])
            self._keys |= dict(zip(keys, canonical.digests(keys), strict=True))
        return self._keys

    def expected(self, name: TableName) -> Counter[bytes]:
        """Canonical rows of the source."""
        schema = self.source.describe(name)
        counted: Counter[bytes] = Counter()
        for rows in self.source.whole(schema):
            counted.update(canonical.encode_rows(rows.columns, [c.name for c in schema.columns], rows.asides))
        return counted

    def check(self) -> None:
        """The replayed state is the source's, key by key, row by row."""
        self.read()
        existing = {info.name for info in self.source.inventory()}
        for name, table in self.replay.tables.items():
            expected = self.expected(name) if name in existing else Counter()
            assert table.standing() == expected, name
        self.check_files()

    def check_files(self) -> None:
        """No file lies there that nothing names."""
        assert self.index_names() - self._of_older_epochs <= self.spool.files()
