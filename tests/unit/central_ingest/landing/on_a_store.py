"""A lander whose lake and large values stand on a real store, a hospital that sends, and what must be there at last."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.objects import Objects
from central_ingest.landing.store import Store
from protocol.envelope import Kind
from protocol.errors import Transient
from protocol.names import Stream, TableName
from protocol.schema import TableSchema

from ..sender import OTHER_STREAM, STREAM, VISITS, Sender, a_batch, a_piece, table
from .ground import FaultyLake, Ground, Version

TABLES = (VISITS, table("drugs", "name"), table("beds", "name"))
PIECE_BYTES = 3_000


class OnAStore(Ground):
    """`open_store` gives the store below a folder, as a process that starts sees it."""

    def __init__(self, parts: Path, open_store: Callable[[str], Store], pending_bytes_max: int) -> None:
        super().__init__(parts, pending_bytes_max)
        self._parts, self._open_store = parts, open_store
        self.senders = [Sender(stream=STREAM), Sender(seed=2, stream=OTHER_STREAM)]
        self.due: dict[tuple[Stream, TableName], list[Version]] = {}
        self.values: list[tuple[str, str, bytes]] = []
        self._ids = 0
        self.restart()
        for sender in self.senders:
            self.begin(sender)
            for one in TABLES:
                self.write(sender.send(Kind.SCHEMA, one.content))
                self.due[sender.stream, one.table] = []

    def restart(self) -> None:
        """A new process, which may find that the store is away: then it tries again."""
        self.lake = cast(FaultyLake, DeltaLake(self._open_store("lake")))
        self.objects = Objects(self._parts, self._open_store("files"))
        with suppress(Transient):
            self.start()

    def send(self, sender: Sender, one: TableSchema, rows: int) -> None:
        ids = list(range(self._ids, self._ids + rows))
        self._ids += rows
        self.write(sender.send(Kind.BATCH, a_batch(one, ids)))
        self.due[sender.stream, one.table] += [(sender.epoch, sender.head.seq, ord_) for ord_ in range(rows)]

    def send_value(self, sender: Sender, content: bytes) -> None:
        sha = hashlib.sha256(content).hexdigest()
        for at in range(0, len(content), PIECE_BYTES):
            part = content[at : at + PIECE_BYTES]
            self.write(sender.send(Kind.PIECE, a_piece(sha, len(content), at, part)))
        self.values.append((sender.stream.site, sha, content))

    def step(self, everything: bool = True) -> Transient | None:
        """One turn of the lander's thread; what it fails with, if it does."""
        self.clock += 1.0
        try:
            self.lander.step(everything)
        except Transient as fault:
            return fault
        return None

    def check_all(self) -> None:
        """Everything that was sent is there, each version once, and the journal may be forgotten."""
        found = {key: sorted(self.versions(*key)) for key in self.due}
        assert found == self.due
        for site, sha, content in self.values:
            assert self.objects.read(site, sha) == content
        for sender in self.senders:
            assert self.low_water(sender.stream) == self.journal.end
        assert self.lander.backlog_bytes == 0
        assert self.parked() == {}
