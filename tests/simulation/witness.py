"""The witness: hears what the machines say and write, and holds it against the promises.

It keeps its own book of what counts as journaled, from the journal's own answers and from what stands there
after each death. Checked as things happen: every epoch is admitted in sequence, gapless, once; no receipt
names what is not journaled; nothing has left a spool without such a receipt; nothing below a low-water mark
is missing in the lake. At the end every table holds exactly what its envelopes say.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from central_ingest.journal.files import FileJournal
from central_ingest.journal.journal import Entry
from central_ingest.landing.lake import Lake
from central_ingest.ledger.ledger import Ledger
from central_ingest.ledger.quarantine import Gap, Held
from central_ingest.roster import Roster
from edge_agent.spool.spool import Spool
from protocol import batch as batches
from protocol import messages
from protocol.batch import MarkHeader, decode_batch, decode_mark
from protocol.change import MarkKind
from protocol.envelope import Envelope, Header, Kind, parse
from protocol.messages import MessageType, Receipt
from protocol.names import Stream, TableName
from protocol.schema import TableSchema
from protocol.sealing import open_inner
from protocol.signing import SUITE_1, Opener

Version = tuple[int, int, int]
"""Epoch, sequence, ordinal."""
Place = tuple[Stream, TableName]
Named = tuple[Stream, int, int]
"""Stream, epoch, sequence."""


@dataclass(frozen=True)
class Journaled:
    """An envelope in the journal, and the rows that it must become."""

    offset: int
    named: Named
    digest: bytes
    table: TableName | None
    rows: int


@dataclass
class Book:
    """What stands in the journal, in order."""

    entries: list[Journaled] = field(default_factory=list)
    digests: dict[Named, bytes] = field(default_factory=dict)
    heads: dict[Stream, Named] = field(default_factory=dict)
    schemas: dict[bytes, TableSchema] = field(default_factory=dict)
    begun: set[tuple[Stream, int, str | None]] = field(default_factory=set)


class Aside:
    """What does not land: on the shelves of the quarantine, read from the disk, or given up in a recorded gap."""

    def __init__(self, ledger: Ledger, shelves: Path) -> None:
        self._held: dict[tuple[Stream, str], set[tuple[int, int]]] = {}
        self._spans: list[Gap | Held] = list(ledger.quarantine.gaps())
        for held in ledger.quarantine.held():
            found = _on_shelf(shelves / f"{held.id:08d}")
            self._held[held.stream, held.path] = found
            if len(found) < held.envelopes:
                self._spans.append(held)  # its shelf is not whole: GC-6022 tells whoever asks for it

    def has(self, stream: Stream, path: str, at: tuple[int, int]) -> bool:
        return any(at in self._held.get((stream, place), ()) for place in ("", path)) or any(
            one.stream == stream and one.path in ("", path) and one.first <= at <= one.last
            for one in self._spans
        )


def _on_shelf(directory: Path) -> set[tuple[int, int]]:
    if not directory.exists():
        return set()
    journal = FileJournal.open(directory, read_only=True)
    headers = [parse(entry.envelope).header for entry in journal.read()]
    journal.close()
    return {(header.epoch, header.seq) for header in headers}


class Witness:
    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self.book = Book()
        self.receipts = 0
        self.rows_checked = 0
        self._lost: dict[Named, set[bytes]] = {}
        """What the centre had before it was restored from a backup."""
        self.beside: Witness | None = None
        """Of another daemon with the same keys."""
        self._had: dict[Named, set[bytes]] = {}
        """What stood in the journal before it rotted."""
        self.repairs = 0
        """Envelopes that were sent again into what had rotted."""
        self._holed: set[tuple[Stream, int]] = set()
        """Epochs of which a part may have rotted: what stands in them is told by the final comparison alone."""

    # the journal

    def journaled(self, offsets: Sequence[int], envelopes: Sequence[bytes]) -> None:
        """The journal has said that these are safe."""
        for offset, data in zip(offsets, envelopes, strict=True):
            self._take(offset, data)

    def _take(self, offset: int, data: bytes) -> None:
        envelope, book = parse(data), self.book
        header = envelope.header
        named = (header.stream, header.epoch, header.seq)
        stream, epoch, seq = book.heads.get(header.stream, (header.stream, 0, 0))
        before = (epoch, seq) if header.epoch == epoch else (header.epoch, 0)
        if (stream, header.epoch) not in self._holed:
            assert header.epoch >= epoch, f"{named} follows {(stream, epoch, seq)}"
            assert header.seq == before[1] + 1, f"{named} follows {before}"
            assert header.previous == (book.digests[stream, *before] if before[1] else b""), (
                f"chain at {named}"
            )
        table, rows = self._content(envelope)
        digest = envelope.digest(SUITE_1)
        book.entries.append(Journaled(offset, named, digest, table, rows))
        book.digests[named] = digest
        book.heads[stream] = named

    def _content(self, envelope: Envelope) -> tuple[TableName | None, int]:
        inner = open_inner(envelope, SUITE_1, self._opener)
        match envelope.header.kind:
            case Kind.SCHEMA:
                schema = TableSchema.from_bytes(inner)
                self.book.schemas[schema.fingerprint] = schema
            case Kind.BATCH:
                return batches.table_of(inner), decode_batch(inner, self.book.schemas.get).rows.num_rows
            case Kind.MARK:
                mark = decode_mark(inner)
                if mark.mark is MarkKind.SNAPSHOT_BEGIN:
                    self._begins(envelope.header, mark)
                return mark.table_name, int(mark.table_name is not None)
        return None, 0

    def _begins(self, header: Header, mark: MarkHeader) -> None:
        """An ordered snapshot has the id that it was ordered under, wherever its agent died: it begins once."""
        begun = header.stream, header.epoch, mark.snapshot
        assert begun not in self.book.begun, f"snapshot {begun} begins again"
        self.book.begun.add(begun)

    def reopened(self, entries: Iterable[Entry]) -> None:
        """After a death: all that was safe is there. What follows it was written and not yet answered."""
        found = list(entries)
        last = self.book.entries[-1].offset if self.book.entries else 0
        written = [e for e in found if e.offset < last and self._named(e.envelope) not in self.book.digests]
        self.repaired(written, [e.envelope for e in written])
        known = self.book.entries
        assert len(found) >= len(known), "the journal lost its end"
        for one, entry in zip(known, found, strict=False):
            digest = parse(entry.envelope).digest(SUITE_1)
            assert (entry.offset, digest) == (one.offset, one.digest), one.named
        for entry in found[len(known) :]:
            self._take(entry.offset, entry.envelope)

    def repaired(self, entries: Iterable[Entry], envelopes: Sequence[bytes]) -> None:
        """The journal has said that these stand where a part of it had rotted."""
        names = {self._named(data) for data in envelopes}
        for entry in entries:
            if (named := self._named(entry.envelope)) in names:
                envelope = parse(entry.envelope)
                digest = envelope.digest(SUITE_1)
                assert digest in self._had.get(named, ()), f"{named} is not what was journaled"
                assert named not in self.book.digests, f"{named} stands there twice"
                one = Journaled(entry.offset, named, digest, *self._content(envelope))
                insort(self.book.entries, one, key=lambda known: known.offset)
                self.book.digests[named] = digest
                self.repairs += 1

    @staticmethod
    def _named(data: bytes) -> Named:
        header = parse(data).header
        return header.stream, header.epoch, header.seq

    def rolled_back(self) -> None:
        """The centre was restored from a backup: what it has now is read at its next start."""
        for one in self.book.entries:
            self._lost.setdefault(one.named, set()).add(one.digest)
        self.book = Book(schemas=self.book.schemas)

    def rotted(self) -> None:
        """A part of the journal is lost; which one its next reader finds."""
        self._holed |= {one.named[:2] for one in self.book.entries}
        for one in self.book.entries:
            self._had.setdefault(one.named, set()).add(one.digest)
        self.rolled_back()

    def without_the_other(self) -> None:
        """The other daemon is gone with all that it had."""
        assert self.beside is not None
        for one in self.beside.book.entries:
            self._lost.setdefault(one.named, set()).add(one.digest)
        self.beside = None

    def restored(self, roster: Roster) -> None:
        """The centre knows again where each stream stood."""
        for stream, (_, epoch, seq) in self.book.heads.items():
            if (stream, epoch) in self._holed:
                continue
            tenure = roster.tenure(stream)
            assert tenure is not None, stream
            head = tenure.head
            if head.epoch == epoch:
                assert (head.seq, head.hash) == (seq, self.book.digests[stream, epoch, seq]), stream
            else:
                assert (head.epoch > epoch, head.seq) == (True, 0), stream

    # what is said

    def hear(self, client_id: str, topic: str, payload: bytes) -> None:
        if client_id != "centre" or not messages.is_message(payload):
            return
        message = messages.parse(payload)
        if message.type is MessageType.RECEIPT:
            self.receipts += 1
            self._is_true(messages.read(message, Receipt))

    def _is_true(self, said: Receipt, *, once: bool = False) -> None:
        """`once`: it need only have been true before the centre was restored."""
        named = (Stream(said.site, said.source), said.epoch, said.seq)
        if not said.seq:
            return
        digest = bytes.fromhex(said.hash)
        if once and digest in self._lost.get(named, ()):
            return
        if named[:2] in self._holed and digest in self._had.get(named, ()):
            return  # a head that the centre knows, though its own record has rotted
        if self.beside is not None and self.beside.book.digests.get(named) == digest:
            return
        assert self.book.digests.get(named) == digest, f"a receipt for {named}, which is not journaled"

    # the spool

    def look_into(self, spool: Spool, streams: Iterable[Stream]) -> None:
        """Whatever has no receipt is there; whatever has one, has it from the journal."""
        for stream in streams:
            state = spool.stream(stream)
            if state is None:
                continue
            for seq in range(state.receipted_seq + 1, state.head_seq + 1):
                assert spool.hash_at(stream, seq), f"{stream} {seq} is gone"
            if (said := spool.last_receipt(stream)) is not None and state.receipted_seq:
                receipt = messages.read(messages.parse(said), Receipt)
                assert (receipt.epoch, receipt.seq) == (state.epoch, state.receipted_seq)
                self._is_true(receipt, once=True)

    # the lake

    def recovered(self, lake: Lake, ledger: Ledger, shelves: Path) -> None:
        """Right after a start, all that was not durable is cut: what lies below the marks is there."""
        marks = {record.stream: record.low_water for record in ledger.streams()}
        self._is_there(lake, ledger, Aside(ledger, shelves), lambda e: e.offset < marks.get(e.named[0], 0))

    def rests(self, lake: Lake, ledger: Ledger, shelves: Path) -> None:
        """Nothing waits to land: whatever is parked, no other table is behind."""
        self._is_there(lake, ledger, Aside(ledger, shelves), lambda e: True)

    def _is_there(self, lake: Lake, ledger: Ledger, aside: Aside, which: Callable[[Journaled], bool]) -> None:
        """Each such row stands in its table, on a shelf or in a recorded gap; and each table in its order."""
        paths = {(r.stream, r.table): r.path for r in ledger.lake_tables()}
        for (stream, table), expected in self._by_table(e for e in self.book.entries if which(e)).items():
            path = paths.get((stream, table))
            there = versions(lake, path)
            missing = [
                v
                for v in set(expected) - set(there)
                if (stream, v[0]) not in self._holed and not aside.has(stream, path or "", v[:2])
            ]
            assert not missing, f"{table} of {stream} lacks {sorted(missing)}"
            known = self._known(stream, there)
            assert known == sorted(set(known)), f"{table} of {stream}: out of order"

    def check_lake(self, lake: Lake, ledger: Ledger, shelves: Path) -> None:
        """Every row that was journaled stands in its table, once, in order, and no other but those that a lake
        kept of what the journal lost; what was dropped stands in a record of the gap instead."""
        paths = {(r.stream, r.table): r.path for r in ledger.lake_tables()}
        aside, expected = Aside(ledger, shelves), self._by_table(self.book.entries)
        for (stream, table), path in paths.items():
            there = versions(lake, path)
            twice = [version for version, count in Counter(there).items() if count > 1]
            assert not twice, f"{table} of {stream}: {twice} stand more than once"
            landed = set(there)
            wanted = [
                v
                for v in expected.pop((stream, table), [])
                if v in landed or not aside.has(stream, path, v[:2])
            ]
            assert self._known(stream, there) == self._known(stream, wanted), f"{table} of {stream}"
            self.rows_checked += len(there)
        for (stream, table), rows in expected.items():
            assert all(aside.has(stream, "", v[:2]) for v in rows), f"{table} of {stream} is nowhere"

    def _known(self, stream: Stream, found: list[Version]) -> list[Version]:
        """Without those that were lost once: it is not told in which order they came back."""
        return [
            v for v in found if (stream, v[0], v[1]) not in self._lost and (stream, v[0]) not in self._holed
        ]

    def _rows_of(self, stream: Stream) -> list[Journaled]:
        return [e for e in self.book.entries if e.named[0] == stream]

    def _by_table(self, entries: Iterable[Journaled]) -> dict[Place, list[Version]]:
        found: dict[Place, list[Version]] = {}
        for e in entries:
            if e.table is not None:
                stream, epoch, seq = e.named
                rows = [(epoch, seq, ordinal) for ordinal in range(e.rows)]
                found.setdefault((stream, e.table), []).extend(rows)
        return found


def versions(lake: Lake, path: str | None) -> list[Version]:
    """Of a table's rows, as they were committed."""
    if path is None or lake.schema(path) is None:
        return []
    columns = lake.read(path, ["_gc_epoch", "_gc_seq", "_gc_ord"]).to_pydict()
    return list(zip(columns["_gc_epoch"], columns["_gc_seq"], columns["_gc_ord"], strict=True))
