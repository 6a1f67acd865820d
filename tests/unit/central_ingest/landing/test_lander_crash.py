"""Whatever fails and whenever it is killed, every version stands in its table exactly once and in order.

Random streams of sealed envelopes, a lake whose calls fail before or after their work, power cuts that take
any commits that were not durable, landers thrown away between any two steps. After each start, what the
low-water marks say is compared with what is there.
"""

from __future__ import annotations

import copy
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.batch import encode_mark
from protocol.envelope import Kind
from protocol.errors import Transient
from protocol.names import Stream, TableName
from protocol.schema import TableSchema

from ..sender import LOST_KEY, OTHER_STREAM, SITE_KEY, STREAM, Sender, a_batch, a_mark, a_piece, table
from .ground import Ground, Version

NAMES = ("visits", "drugs")
SCHEMAS = {(name, wide): table(name, "name", *("ward",) * wide) for name in NAMES for wide in (0, 1)}
UNKNOWN = {name: table(name, "name", "never-sent") for name in NAMES}
PIECES = 3

Op = tuple[object, ...]
streams = st.integers(0, 1)
names = st.sampled_from(NAMES)
sending = st.one_of(
    st.tuples(st.just("batch"), streams, names, st.integers(0, 1), st.integers(1, 3)),
    st.tuples(st.just("batch"), streams, names, st.just(0), st.just(1)),
    st.tuples(st.just("mark"), streams, names, st.booleans()),
    st.tuples(st.just("piece"), streams),
    st.tuples(st.just("epoch"), streams),
)
seconds = st.sampled_from([0.1, 0.5, 5.0])
faults = st.sampled_from([(), ("before",), ("after",), ("", "before"), ("", "after"), ("after", "after")])
working = st.tuples(st.just("step"), st.booleans(), seconds, faults)
failing = st.one_of(
    st.tuples(st.just("crash"), faults, st.booleans()),
    st.tuples(st.just("power"), st.integers(0, 31), st.booleans()),
)
restoring = st.sampled_from([("backup",), ("restored", True), ("restored", False)])
"""The lake is replaced by an older copy of it."""
asking = st.tuples(st.just("ask"), st.sampled_from(["retry", "drop"]), st.booleans())
"""Whether all causes are gone before."""
shelving = st.tuples(st.just("shelves"), st.booleans())
parking = st.one_of(
    st.tuples(st.just("refuse"), streams, names),
    st.tuples(st.just("unknown"), streams, names),
    st.tuples(st.just("unopened"), streams, names),
)


class Centre:
    """The ground, its two streams, and what was sent: the oracle is a plain list for each table."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.ground = Ground(root, pending_bytes_max=3_000)
        self.senders = [Sender(1, STREAM), Sender(2, OTHER_STREAM)]
        self.sent: dict[tuple[Stream, TableName], list[tuple[int, Version]]] = {}
        self.objects: list[tuple[Stream, str, bytes]] = []
        self._known: set[tuple[Stream, int, bytes]] = set()
        self._pieces: dict[int, Iterator[bytes]] = {}
        self._ids = iter(range(1 << 30))
        self._backup: dict[str, Any] = {}
        self._refuse: set[tuple[Stream, TableName]] = set()
        self.spoilt: set[tuple[Stream, TableName | None]] = set()
        for sender in self.senders:
            self.ground.begin(sender)
        self.start()

    def do(self, op: Op) -> None:
        match op:
            case ("batch", int(i), str(name), int(wide), int(count)):
                self.batch(self.senders[i], SCHEMAS[name, wide], count)
            case ("mark", int(i), str(name), bool(with_schema)):
                self.mark(self.senders[i], SCHEMAS[name, 0], with_schema)
            case ("piece", int(i)):
                self.piece(i)
            case ("epoch", int(i)):
                self.senders[i].begin(self.senders[i].epoch + 1)
                self._pieces.pop(i, None)
                self.ground.begin(self.senders[i])
            case ("step", bool(everything), float(seconds), tuple(plan)):
                self.ground.clock += seconds
                self.ground.lake.plan = list(plan)
                self.step(everything)
            case ("crash", tuple(plan), bool(look)):
                self.ground.lake.plan = list(plan)
                self.start(look)
            case ("power", int(mask), bool(look)):
                self.ground.lake.cut_power(lambda path, version: bool(mask >> version % 5 & 1))
                for part in self._root.rglob("*.part"):  # they were never synced
                    part.unlink()
                self.start(look)
            case ("refuse", int(i), str(name)):
                self._refuse.add((self.senders[i].stream, SCHEMAS[name, 0].table))
                self.spoilt.add((self.senders[i].stream, SCHEMAS[name, 0].table))
            case ("unknown", int(i), str(name)):
                self.batch(self.senders[i], UNKNOWN[name], 1, announced=False)
                self.spoilt.add((self.senders[i].stream, UNKNOWN[name].table))
            case ("ask", *_) | ("shelves", *_) | ("backup",) | ("restored", _):
                self.operate(op)
            case ("unopened", int(i), str(name)):
                self.batch(self.senders[i], SCHEMAS[name, 0], 1, opens=False)
                self.spoilt.add((self.senders[i].stream, None))

    def operate(self, op: Op) -> None:
        match op:
            case ("ask", str(what), bool(mended)):
                if mended:
                    self.mend()
                self.ground.ask(what)
            case ("shelves", bool(full)):
                self.ground.shelves.full = full
            case ("backup",):
                self.ground.lake.cut_power()
                self.start()
                self._backup = copy.deepcopy(self.ground.lake.commits)
            case ("restored", bool(look)):
                self.ground.lake.commits = copy.deepcopy(self._backup)
                self.start(look)

    # sending

    def batch(
        self, sender: Sender, schema: TableSchema, count: int, announced: bool = True, opens: bool = True
    ) -> None:
        if announced:
            self.announce(sender, schema)
        inner = a_batch(schema, [next(self._ids) for _ in range(count)])
        data = sender.send(Kind.BATCH, inner, key=SITE_KEY if opens else LOST_KEY)
        self.note(sender, schema.table, range(count), self.ground.write(data))

    def mark(self, sender: Sender, schema: TableSchema, with_schema: bool) -> None:
        if with_schema:
            self.announce(sender, schema)
        mark = a_mark(schema.table, next(self._ids), schema=schema if with_schema else None)
        offset = self.ground.write(sender.send(Kind.MARK, encode_mark(mark)))
        self.note(sender, schema.table, range(1), offset)

    def announce(self, sender: Sender, schema: TableSchema) -> None:
        known = (sender.stream, sender.epoch, schema.fingerprint)
        if known not in self._known:
            self._known.add(known)
            self.ground.write(sender.send(Kind.SCHEMA, schema.content))

    def note(self, sender: Sender, table: TableName, ordinals: range, offset: int) -> None:
        versions = [(offset, (sender.epoch, sender.head.seq, ordinal)) for ordinal in ordinals]
        self.sent.setdefault((sender.stream, table), []).extend(versions)

    def piece(self, i: int) -> None:
        if i not in self._pieces:
            self._pieces[i] = self._object(self.senders[i])
        self.ground.write(next(self._pieces[i]))

    def _object(self, sender: Sender) -> Iterator[bytes]:
        while True:
            content = f"{sender.stream} {next(self._ids)} ".encode() * 100
            sha, part = hashlib.sha256(content).hexdigest(), len(content) // PIECES
            for at in range(PIECES):
                begin, end = at * part, len(content) if at == PIECES - 1 else (at + 1) * part
                data = sender.send(Kind.PIECE, a_piece(sha, len(content), begin, content[begin:end]))
                if at == PIECES - 1:
                    self.objects.append((sender.stream, sha, content))
                yield data

    # working

    def step(self, everything: bool = True) -> None:
        for key in self._refuse:
            if (record := self.ground.record(*key)) is not None:
                self.ground.lake.refused.add(record.path)
        with suppress(Transient):
            self.ground.lander.step(everything)

    def start(self, look: bool = True) -> None:
        """`look`: at every table, and at what the low-water marks say. Else each is looked at when it is touched."""
        while True:
            try:
                self.ground.start()
                if look:
                    self.ground.look()
                break
            except Transient:
                continue
        if look:
            self.check_low_water()

    def land(self) -> None:
        """What is older than the ledger is told once for each stream; then the journal is read again."""
        for _ in range(len(self.senders) + 1):
            with suppress(Transient):
                return self.ground.land()
        raise AssertionError("landing goes on")

    def mend(self) -> None:
        """All causes are gone."""
        self.ground.lake.plan.clear()
        self.ground.lake.refused.clear()
        self._refuse.clear()
        self.ground.all_keys()
        for schema in (*UNKNOWN.values(), *SCHEMAS.values()):
            self.ground.ledger.save_schema(schema.fingerprint, schema.content)

    # checking

    def check_low_water(self) -> None:
        """Whatever stands below a mark is durable, in its table or behind it in the quarantine: a start has just
        cut everything that was not."""
        for (stream, name), sent in self.sent.items():
            mark = self.ground.low_water(stream)
            below = [v for offset, v in sent if offset < mark and not self.is_dropped(stream, name, v)]
            there = self.ground.versions(stream, name)
            aside = [v for _, v in sent if v not in there and v[:2] in self.ground.set_aside(stream)]
            assert [*there, *aside][: len(below)] == below

    def is_dropped(self, stream: Stream, name: TableName, version: Version) -> bool:
        """Whether the ledger has it that somebody gave this up."""
        record = self.ground.record(stream, name)
        paths = {"", record.path if record else ""}
        return any(
            gap.stream == stream and gap.path in paths and gap.first <= version[:2] <= gap.last
            for gap in self.ground.ledger.quarantine.gaps()
        )

    def check(self, parked: set[tuple[Stream, TableName | None]]) -> None:
        """Every table that is not parked holds all, the others a beginning of it."""
        for (stream, name), sent in self.sent.items():
            expected = [v for _, v in sent if not self.is_dropped(stream, name, v)]
            there = self.ground.versions(stream, name)
            if parked & {(stream, None), (stream, name)}:
                assert there == expected[: len(there)]
            else:
                assert there == expected
            assert len(set(there)) == len(there)

    def parked(self) -> set[tuple[Stream, TableName | None]]:
        by_path = {r.path: r.table for r in self.ground.ledger.lake_tables()}
        return {(stream, by_path[path] if path else None) for stream, path in self.ground.parked()}

    def check_objects(self) -> None:
        for stream, sha, content in self.objects:
            assert self.ground.objects.read(stream.site, sha) == content


@settings(max_examples=15, deadline=None)
@given(st.lists(st.one_of(sending, sending, working, working, failing, restoring), min_size=10, max_size=40))
def test_every_version_lands_exactly_once_and_in_order(ops: list[Op]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        centre = Centre(Path(directory) / "files")
        for op in ops:
            centre.do(op)
            if op[0] == "step":
                centre.check({(stream, None) for stream in (STREAM, OTHER_STREAM)})
        for i, sender in enumerate(centre.senders):
            centre.do(("epoch", i))
            centre.announce(sender, SCHEMAS["visits", 0])
        centre.ground.lake.plan.clear()
        centre.land()
        assert centre.ground.parked() == {}
        centre.check(set())
        centre.check_objects()
        for sender in centre.senders:
            assert centre.ground.low_water(sender.stream) == centre.ground.journal.end
        centre.ground.lake.cut_power()
        centre.start()
        centre.check(set())


@settings(max_examples=15, deadline=None)
@given(st.lists(st.one_of(sending, sending, working, working, failing, parking), min_size=10, max_size=40))
def test_what_cannot_land_is_set_aside_alone_and_lands_later_in_its_place(ops: list[Op]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        centre = Centre(Path(directory) / "files")
        for op in ops:
            centre.do(op)
        centre.ground.lake.plan.clear()
        centre.step()
        centre.land()
        assert centre.parked() <= centre.spoilt
        centre.check(centre.parked())
        centre.mend()
        centre.start()
        for i, sender in enumerate(centre.senders):  # what large values lack never comes
            centre.do(("epoch", i))
            centre.announce(sender, SCHEMAS["visits", 0])
        while centre.ground.parked():
            centre.ground.retry()
        centre.check(set())
        centre.check_objects()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.one_of(sending.filter(lambda op: op[0] != "piece"), working, failing, parking, asking, shelving),
        min_size=10,
        max_size=40,
    )
)
def test_whoever_asks_for_what_and_whenever_each_version_lands_once_or_is_recorded_as_dropped(
    ops: list[Op],
) -> None:
    """Retries and drops at any time, with a lake and a quarantine that fail, power cuts and landers thrown away."""
    with tempfile.TemporaryDirectory() as directory:
        centre = Centre(Path(directory) / "files")
        for op in ops:
            centre.do(op)
            if op[0] == "step":
                centre.check({(stream, None) for stream in (STREAM, OTHER_STREAM)})
        centre.mend()
        centre.ground.shelves.full = False
        centre.start()
        centre.land()
        for _ in range(4):
            centre.ground.retry()
        assert centre.ground.parked() == {}
        centre.check(set())
        for sender in centre.senders:
            assert centre.ground.low_water(sender.stream) == centre.ground.journal.end
        assert centre.ground.shelves.stores == {}
