"""Landing apart from the lake: what a rebuild of tables reads, where it lands, and in which book it writes.

`Part` is the journal with some streams alone, each from an offset of its own; `Chosen` is a lake in which all other
tables seem to hold everything, so that nothing of them is decoded; the book is a ledger of its own that knows what
the centre's does of these streams: paths, what is parked, what was dropped. So the lander lands what it once landed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from protocol.envelope import parse
from protocol.limits import SEQ_MAX
from protocol.names import Stream
from protocol.schema import TableSchema

from ..journal.files import FileJournal
from ..journal.journal import Damage, Entry, Run
from ..ledger.engine import empty_engine
from ..ledger.ledger import Ledger
from .lake import Lake, Recovery, Txn


class Part:
    """A `Journal` for reading. Its damage is not the lander's to judge here: whoever made it has."""

    def __init__(self, journal: FileJournal, since: Mapping[Stream, int]) -> None:
        self._journal = journal
        self._since = since
        self.start = min(since.values())
        self.damage: Sequence[Damage] = ()

    @property
    def end(self) -> int:
        return self._journal.end

    def read(self, start: int = 0) -> Iterator[Entry]:
        for entry in self._journal.read(max(start, self.start)):
            since = self._since.get(parse(entry.envelope).header.stream)
            if since is not None and since <= entry.offset:
                yield entry

    def outline(self) -> Iterator[Entry | Run]:
        yield from self.read()

    def append(self, received: int, envelopes: Sequence[bytes]) -> list[int]:
        raise ValueError("it is for reading")

    def repair(self, start: int, stop: int, received: int, envelopes: Sequence[bytes]) -> bool:
        raise ValueError("it is for reading")

    def close(self) -> None:
        """The journal is its owner's."""


class Chosen:
    """A `Lake` that is `staged`, but for schemas: those belong to the lake itself. `paths` are the tables that land;
    None: all."""

    def __init__(self, staged: Lake, lake: Lake, paths: Collection[str] | None) -> None:
        self._staged = staged
        self._lake = lake
        self._paths = paths

    def append(self, path: str, rows: pa.Table, txns: Sequence[Txn]) -> int:
        return self._staged.append(path, rows, txns)

    def make_durable(self, path: str, version: int) -> None:
        """What is staged need not survive anything."""

    def recover(self, path: str, synced_version: int) -> Recovery:
        return self._staged.recover(path, synced_version)

    def recover_all(self, synced: Mapping[str, int]) -> Mapping[str, Recovery]:
        return self._staged.recover_all(synced)

    def txn(self, path: str, app: str) -> int | None:
        is_chosen = self._paths is None or path in self._paths
        return self._staged.txn(path, app) if is_chosen else SEQ_MAX

    def schema(self, path: str) -> pa.Schema | None:
        return self._staged.schema(path)

    def tables(self) -> Mapping[str, int]:
        return self._staged.tables()

    def keep_schema(self, fingerprint: bytes, content: bytes) -> None:
        self._lake.keep_schema(fingerprint, content)

    def kept_schema(self, fingerprint: bytes) -> bytes | None:
        return self._lake.kept_schema(fingerprint)

    def read(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        return self._staged.read(path, columns)


class Book(Ledger):
    """A ledger in memory that finds schemas wherever they are kept: they may have come before what is read."""

    def __init__(self, ledger: Ledger, lake: Lake, journal: FileJournal) -> None:
        super().__init__(empty_engine())
        self._kept = (ledger.schema, lake.kept_schema, journal.kept_schema)

    def schema(self, fingerprint: bytes) -> bytes | None:
        found = super().schema(fingerprint)
        for kept in self._kept if found is None else ():
            content = kept(fingerprint)
            if content is not None and TableSchema.from_bytes(content).fingerprint == fingerprint:
                return content
        return found

    def copy(self, ledger: Ledger, since: Mapping[Stream, int]) -> None:
        """What `ledger` knows of these streams, none of whose tables has landed yet."""
        for one in ledger.streams():
            if one.stream in since:
                self.begin_epoch(one.stream, one.head.epoch, one.agent, 0, since[one.stream])
                self.save_heads([one], 0)
        for record in ledger.lake_tables():
            if record.stream in since:
                self.save_table(replace(record, synced_version=-1, landed=None, rows=0))
        for held in ledger.quarantine.held():
            if held.stream in since:
                new = self.quarantine.park(
                    held.stream, held.path, held.code, held.reason, held.first, held.since
                )
                self.quarantine.note([replace(held, id=new.id, end=0)])
        for gap in ledger.quarantine.gaps():
            if gap.stream in since and gap.envelopes:  # without any it tells of rows that the lake lost
                self.quarantine.lose(replace(gap, command=None, healed=None), None)
