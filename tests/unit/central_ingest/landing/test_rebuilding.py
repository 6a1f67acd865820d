"""Tables made anew from the journal are those that stood there, row by row; or they are refused and stay as they were.

The ground is real but for the ledger in memory: journal files, archives, a Delta lake, large values.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from central_ingest.journal.archive import Notary
from central_ingest.journal.files import FileJournal
from central_ingest.journal.frames import HEADER_BYTES
from central_ingest.lags import Lags
from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.heat import Rhythm
from central_ingest.landing.lander import Lander
from central_ingest.landing.localstore import LocalStore
from central_ingest.landing.objects import Objects
from central_ingest.landing.rebuilding import Rebuilding, Rebuilt, Refused
from central_ingest.landing.replay import replay
from central_ingest.ledger.ledger import StreamRecord
from central_ingest.metrics import Metrics
from central_ingest.quarantine import MemoryShelves, Quarantine
from protocol.batch import MarkHeader, encode_batch, encode_mark
from protocol.canonical import digest
from protocol.change import KEY, OP_CODES, MarkKind, Op
from protocol.envelope import Kind
from protocol.errors import Permanent, Transient
from protocol.keys import opener
from protocol.names import Stream
from protocol.schema import Column, TableSchema
from protocol.signing import SUITES

from ..journal.small_journal import segments
from ..ledgers import memory_ledger
from ..sender import CAPTURED, CENTRE, OTHER_STREAM, SITE_KEY, STREAM, VISITS, Sender, a_batch, a_piece, table

WIDE = table("visits", "name", "ward")
TYPED = TableSchema(VISITS.table, (Column("id", pa.int64()), Column("name", pa.int64())), ("id",))
"""The same column with another type: a further generation."""
DRUGS = table("drugs", "name")
STRANGE = table("strange", "name")
CONTENT = b"large " * 5_000
SHA = hashlib.sha256(CONTENT).hexdigest()
DAY = 86_400_000_000
Rows = list[dict[str, Any]]


class Ground:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.ledger = memory_ledger()
        self.shelves = MemoryShelves()
        self.senders = {s: Sender(n, s) for n, s in enumerate((STREAM, OTHER_STREAM), start=1)}
        self.time = 1_700_000_000_000_000
        self.open()
        for one in self.senders.values():
            self.ledger.begin_epoch(one.stream, 1, one.agent, 1, 0)

    def open(self) -> None:
        self.journal = FileJournal.open(
            self.root / "journal", segment_bytes_max=HEADER_BYTES + 4_000, notary=Notary.of(CENTRE, SUITES)
        )
        self.lake = DeltaLake(self.root / "lake")
        self.objects = Objects(self.root / "files")

    def send(self, stream: Stream, *inner: tuple[Kind, bytes]) -> None:
        """Each is journaled a day after the one before."""
        one = self.senders[stream]
        for kind, content in inner:
            self.time += DAY
            self.journal.append(self.time, [one.send(kind, content)])
        self.know()

    def know(self) -> None:
        records = [StreamRecord(one.stream, one.agent, one.head, 0) for one in self.senders.values()]
        self.ledger.save_heads(records, self.journal.end)

    def begin(self, stream: Stream, epoch: int) -> None:
        one = self.senders[stream]
        one.begin(epoch)
        self.ledger.begin_epoch(stream, epoch, one.agent, 1, self.journal.end)

    def land(self) -> None:
        lander = Lander(
            journal=self.journal,
            lake=self.lake,
            ledger=self.ledger,
            objects=self.objects,
            opener=opener(SITE_KEY),
            suites=SUITES,
            metrics=Metrics(Lags(lambda: 0.0)),
            rhythm=Rhythm(0.25, 2.0),
            pending_bytes_max=1 << 20,
            quarantine=Quarantine(self.ledger.quarantine, self.shelves),
            quarantine_bytes_max=1 << 30,
            now=lambda: 0.0,
            wall=lambda: self.time,
        )
        lander.recover()
        while lander.step(everything=True) == 0 or lander.pending_rows:
            pass

    def archive(self, share: float) -> None:
        """The oldest segments become archives, the first of them in one of its own."""
        entries = list(self.journal.read())
        for before in (entries[len(entries) // 5].offset, entries[int((len(entries) - 1) * share)].offset):
            self.journal.archive(before, 2**62, keys={}, made=1, is_settled=lambda _: False)

    def rebuild(
        self, *streams: Stream, paths: set[str] | None = None, **more: bool
    ) -> list[Rebuilt | Refused]:
        self.lake = DeltaLake(LocalStore(self.root / "lake"))
        return list(self.rebuilding().run(streams or tuple(self.senders), paths, **more))

    def rebuilding(self) -> Rebuilding:
        return Rebuilding(
            journal=self.journal,
            lake=self.lake,
            ledger=self.ledger,
            objects=self.objects,
            opener=opener(SITE_KEY),
            suites=SUITES,
            scratch=self.root / "scratch",
            pending_bytes_max=1 << 20,
            now=lambda: 0.0,
            wall=lambda: self.time,
        )

    def path(self, schema: TableSchema, stream: Stream = STREAM) -> str:
        return next(
            one.path for one in self.ledger.lake_tables() if (one.stream, one.table) == (stream, schema.table)
        )

    def rows(self) -> dict[str, Rows]:
        """By table, all rows of `changes` by their version, but for when they landed."""
        lake = DeltaLake(self.root / "lake")
        return {
            one.path: sorted_rows(lake.read(one.path))
            for one in self.ledger.lake_tables()
            if lake.schema(one.path) is not None
        }


def definitions(ground: Ground) -> dict[str, tuple[pa.Schema, dict[bytes, bytes] | None]]:
    """Columns by name with what is known of each, and of the table; in which order they stand is nobody's concern."""
    lake, found = DeltaLake(ground.root / "lake"), {}
    for one in ground.ledger.lake_tables():
        if (there := lake.schema(one.path)) is not None:
            found[one.path] = (pa.schema(sorted(there, key=lambda field: field.name)), there.metadata)
    return found


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        one[path][0].equals(other[path][0], check_metadata=True) and one[path][1] == other[path][1]
        for path in one
    )


def sorted_rows(rows: pa.Table) -> Rows:
    listed = rows.drop_columns("_gc_landed").to_pylist()
    return sorted(listed, key=lambda row: (row["_gc_epoch"], row["_gc_seq"], row["_gc_ord"]))


def schema(of: TableSchema) -> tuple[Kind, bytes]:
    return Kind.SCHEMA, of.content


def batch(of: TableSchema, *ids: int, op: Op = Op.CREATE) -> tuple[Kind, bytes]:
    return Kind.BATCH, a_batch(of, list(ids), op)


def typed(id: int) -> tuple[Kind, bytes]:
    system = {
        "_gc_op": pa.array([OP_CODES[Op.CREATE]], pa.uint8()),
        "_gc_key": pa.array([digest(str(id).encode())], KEY),
    }
    columns = [pa.array([id], pa.int64()), pa.array([id * 10], pa.int64())]
    return Kind.BATCH, encode_batch(TYPED, system, columns, captured=CAPTURED)


def mark(of: TableSchema, kind: MarkKind, rows: int = 0) -> tuple[Kind, bytes]:
    name = of.table
    facts = {"rows": rows} if kind is MarkKind.SNAPSHOT_END else {}
    header = MarkHeader(
        captured=CAPTURED,
        mark=kind,
        table=(name.database, name.schema, name.name),
        schema_=of.fingerprint.hex(),
        snapshot="a" * 32,
        facts=facts,
    )
    return Kind.MARK, encode_mark(header)


def snapshot(of: TableSchema, *ids: int) -> list[tuple[Kind, bytes]]:
    begin, end = MarkKind.SNAPSHOT_BEGIN, MarkKind.SNAPSHOT_END
    return [mark(of, begin), batch(of, *ids, op=Op.READ), mark(of, end, len(ids))]


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """Two streams, two epochs of one; a table that grew a column, one that is parked, a large value."""
    one = Ground(tmp_path)
    one.send(
        STREAM,
        schema(VISITS),
        *snapshot(VISITS, 1, 2, 3),
        batch(VISITS, 4),
        schema(DRUGS),
        *snapshot(DRUGS, 7),
    )
    one.send(
        OTHER_STREAM, schema(VISITS), *snapshot(VISITS, 1), batch(VISITS, 2), batch(VISITS, 1, op=Op.DELETE)
    )
    one.send(
        STREAM, batch(STRANGE, 1), schema(STRANGE), batch(STRANGE, 2)
    )  # the first cannot land: no schema
    half = len(CONTENT) // 2
    for at in (0, half):
        piece = a_piece(SHA, len(CONTENT), at, CONTENT[at : at + half])
        one.send(STREAM, (Kind.PIECE, piece))
    one.land()
    one.send(STREAM, schema(WIDE), batch(WIDE, 5, 6), batch(WIDE, 1, op=Op.DELETE), batch(DRUGS, 8))
    one.send(STREAM, schema(TYPED), typed(12))
    one.begin(STREAM, 2)
    one.send(STREAM, schema(WIDE), *snapshot(WIDE, 2, 3, 4, 9), schema(DRUGS), *snapshot(DRUGS, 7, 8))
    one.send(OTHER_STREAM, batch(VISITS, 3), batch(VISITS, 4))
    one.land()
    yield one
    one.journal.close()


def codes(found: list[Rebuilt | Refused]) -> dict[str, str]:
    return {one.record.path: one.fault.code for one in found if isinstance(one, Refused)}


@pytest.mark.parametrize("archived", [0.0, 0.8])
def test_all_tables_are_as_they_were_row_by_row(ground: Ground, archived: float) -> None:
    before, records, columns = ground.rows(), ground.ledger.lake_tables(), definitions(ground)
    if archived:
        ground.archive(archived)
    found = ground.rebuild()
    assert codes(found) == {}
    assert ground.rows() == before
    assert same(definitions(ground), columns)
    assert {one.record.path for one in found if isinstance(one, Rebuilt) and one.lacks} == set()
    assert {one.first for one in found if isinstance(one, Rebuilt)} == {(1, 1)}
    after = {one.path: one for one in ground.ledger.lake_tables()}
    for one in records:
        new = after[one.path]
        assert (new.key, new.fingerprint, new.rows) == (one.key, one.fingerprint, one.rows)
        assert new.synced_version == DeltaLake(ground.root / "lake").tables().get(one.path, -1)
    assert not list((ground.root / "scratch").iterdir())


def test_what_landed_lands_no_second_time_and_what_comes_goes_on(ground: Ground) -> None:
    ground.rebuild()
    before = ground.rows()
    ground.ledger.save_low_water({STREAM: 0, OTHER_STREAM: 0})
    ground.send(STREAM, batch(WIDE, 10))
    ground.land()
    added = {path: rows for path, rows in ground.rows().items() if rows != before[path]}
    assert {path: len(rows) - len(before[path]) for path, rows in added.items()} == {ground.path(VISITS): 1}


def test_one_table_is_made_anew_and_no_other_is_touched(ground: Ground) -> None:
    before, versions = ground.rows(), dict(ground.lake.tables())
    path = ground.path(VISITS)
    (found,) = ground.rebuild(STREAM, paths={path})
    assert isinstance(found, Rebuilt)
    assert ground.rows() == before
    now = dict(DeltaLake(ground.root / "lake").tables())
    assert {one for one in now if now[one] != versions[one]} == {path}
    assert [one.path for one in ground.ledger.materialised.news() if one.rebuild] == [path]


@pytest.mark.parametrize("harm", ["file", "log", "tail", "lake"])
def test_whatever_happened_to_the_lake_it_is_whole_again(ground: Ground, harm: str) -> None:
    before, columns = ground.rows(), definitions(ground)
    place = ground.root / "lake" / ground.path(VISITS)
    data = sorted(place.rglob("*.parquet"))
    match harm:
        case "file":
            data[0].unlink()
        case "log":
            (sorted((place / "_delta_log").glob("*.json"))[0]).write_bytes(b"{ torn")
        case "tail":  # of a daemon that was killed: zero bytes under the next version
            last = sorted((place / "_delta_log").glob("*.json"))[-1]
            (last.parent / f"{int(last.stem) + 1:020d}.json").write_bytes(b"")
        case "lake":
            shutil.rmtree(ground.root / "lake")
    found = ground.rebuild() if harm == "lake" else ground.rebuild(STREAM, paths={ground.path(VISITS)})
    assert codes(found) == {}
    assert ground.rows() == before
    assert same(definitions(ground), columns)
    ground.land()
    assert ground.rows() == before


def test_large_values_come_again_with_their_pieces(ground: Ground) -> None:
    shutil.rmtree(ground.root / "files")
    ground.rebuild(STREAM)
    assert ground.objects.read(STREAM.site, SHA) == CONTENT


def test_what_was_dropped_stays_dropped_and_what_is_parked_stays_parked(ground: Ground) -> None:
    (held,) = ground.ledger.quarantine.held()
    assert held.path == ground.path(STRANGE)
    before = ground.rows()
    ground.rebuild(STREAM)
    assert (ground.rows(), ground.ledger.quarantine.held()) == (before, [held])
    ground.ledger.quarantine.ask(held.id, "drop", "wang", 1)
    ground.land()
    ground.send(STREAM, schema(STRANGE), batch(STRANGE, 3))
    ground.land()
    before = ground.rows()
    assert [row["_gc_epoch"] for row in before[held.path]] == [2]
    ground.rebuild(STREAM)
    assert ground.rows() == before


def test_what_was_retried_is_there_as_if_it_had_never_waited(ground: Ground) -> None:
    (held,) = ground.ledger.quarantine.held()
    ground.ledger.quarantine.ask(held.id, "retry", "wang", 1)
    ground.land()
    before = ground.rows()
    assert [row["id"] for row in before[held.path]] == [1, 2]
    assert codes(ground.rebuild()) == {}
    assert ground.rows() == before


def damaged(ground: Ground, stream: Stream, epoch: int, seq: int) -> None:
    """The record of this envelope rots."""
    from protocol.envelope import parse

    for entry in ground.journal.read():
        header = parse(entry.envelope).header
        if (header.stream, header.epoch, header.seq) == (stream, epoch, seq):
            place = entry.offset
    ground.journal.close()
    path = [one for one in segments(ground.root / "journal") if int(one.stem) <= place][-1]
    content = bytearray(path.read_bytes())
    content[HEADER_BYTES + place - int(path.stem) + 40] ^= 1
    path.write_bytes(content)
    ground.open()


def test_a_journal_damaged_in_its_middle_is_refused_by_name_and_nothing_changes(ground: Ground) -> None:
    before, versions = ground.rows(), dict(ground.lake.tables())
    damaged(ground, STREAM, 1, 5)
    with pytest.raises(Permanent) as refusal:
        ground.rebuild()
    assert refusal.value.code == "GC-6073"
    assert refusal.value.facts["stream"] == str(STREAM)
    assert "1/5 to 5 are missing" in str(refusal.value.facts["reason"])
    assert (ground.rows(), dict(ground.lake.tables())) == (before, versions)
    assert codes(ground.rebuild(OTHER_STREAM)) == {}, "it has all of its own"
    assert ground.rows() == before


@pytest.mark.parametrize(
    ("epoch", "seq", "says"),
    [(1, 1, "1/1 to 1"), (1, 20, "the end of epoch 1"), (2, 8, "2/8 to 8 are missing at its end")],
)
def test_damage_at_a_beginning_or_an_end_is_seen_too(ground: Ground, epoch: int, seq: int, says: str) -> None:
    assert ground.senders[STREAM].head.seq == 8
    damaged(ground, STREAM, epoch, seq)
    with pytest.raises(Permanent) as refusal:
        ground.rebuild(STREAM)
    assert says in str(refusal.value.facts["reason"])


def test_a_journal_that_begins_later_serves_from_a_full_snapshot_on_and_says_so(ground: Ground) -> None:
    before = ground.rows()
    ground.archive(0.75)
    while ground.journal.give_up(2**62) is not None:
        pass
    assert ground.journal.start > 0
    with pytest.raises(Permanent) as refusal:
        ground.rebuild(STREAM)
    assert refusal.value.code == "GC-6073"
    assert "the journal begins at offset" in str(refusal.value.facts["reason"])
    assert ground.rows() == before
    shutil.rmtree(ground.root / "lake" / ground.path(VISITS))
    found = {one.record.path: one for one in ground.rebuild(from_snapshot=True)}
    assert codes(list(found.values())) == {
        ground.path(VISITS, OTHER_STREAM): "GC-6074",
        ground.path(STRANGE): "GC-6074",
    }
    now = ground.rows()
    for path in (ground.path(VISITS), ground.path(DRUGS)):
        one = found[path]
        assert isinstance(one, Rebuilt)
        assert one.lacks
        assert one.first[0] in (1, 2)
        kept = [row for row in before[path] if (row["_gc_epoch"], row["_gc_seq"]) >= one.first]
        assert now[path] == kept
        assert current(now[path]) == current(before[path])
    assert now[ground.path(VISITS, OTHER_STREAM)] == before[ground.path(VISITS, OTHER_STREAM)]
    ground.land()
    assert ground.rows() == now


def current(rows: Rows) -> list[int]:
    table = pa.Table.from_pylist([row | {"_gc_landed": None} for row in rows])
    return sorted(row["id"] for row in replay(table, keyed=True))


def test_a_table_that_holds_more_than_the_journal_is_not_made_less(ground: Ground) -> None:
    """An older copy of the journal: its ledger's heads went back with it, the lake did not."""
    ground.journal.close()
    shutil.copytree(ground.root / "journal", ground.root / "older")
    ground.open()
    known = ground.senders[STREAM].head
    ground.send(STREAM, batch(WIDE, 11))
    ground.land()
    before = ground.rows()
    ground.journal.close()
    shutil.rmtree(ground.root / "journal")
    shutil.copytree(ground.root / "older", ground.root / "journal")
    ground.open()
    ground.senders[STREAM].head = known
    ground.know()
    assert codes(ground.rebuild(STREAM)) == {ground.path(VISITS): "GC-6075"}
    assert ground.rows() == before


def test_what_lands_no_more_is_refused_and_stands(ground: Ground) -> None:
    before = ground.rows()
    rebuilding = ground.rebuilding()
    rebuilding._opener = opener()  # the site's key is lost
    found = list(rebuilding.run([OTHER_STREAM], None))
    assert codes(found) == {ground.path(VISITS, OTHER_STREAM): "GC-6077"}
    assert ground.rows() == before


class Dying(BaseException):
    pass


class DyingStore(LocalStore):
    """The process dies before the n-th call that changes anything, or after it."""

    left = -1
    after = False

    def _count(self) -> bool:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Dying
        return self.left == 0

    def put(self, name: str, content: bytes) -> None:
        dies = self._count()
        super().put(name, content)
        if dies:
            raise Dying

    def create(self, name: str, content: bytes) -> None:
        dies = self._count()
        super().create(name, content)
        if dies:
            raise Dying

    def sync(self, names: Any) -> None:
        dies = self._count()
        super().sync(names)
        if dies:
            raise Dying


def test_wherever_it_dies_the_table_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    ground.send(STREAM, schema(VISITS), *snapshot(VISITS, 1, 2, 3), batch(VISITS, 4))
    ground.land()
    before, died = ground.rows(), 0
    for calls in range(1, 150, 3):
        store = DyingStore(ground.root / "lake")
        store.left, store.after = calls, calls % 2 == 0
        ground.lake = DeltaLake(store)
        try:
            list(ground.rebuilding().run([STREAM], None))
        except (Dying, Transient):
            died += 1
        assert ground.rows() == before
        if store.left > 0:
            break
    assert 2 < died < 50
    ground.lake = DeltaLake(ground.root / "lake")
    ground.ledger.save_low_water({STREAM: 0})
    ground.land()
    assert ground.rows() == before
    ground.journal.close()
