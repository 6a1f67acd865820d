"""Polls, windows, scans and snapshots of one table, over random histories and deaths at any moment.

Keys change case, rows move between shards, commit out of the cursor's order, change without moving it, leave the
window and come back. After every step the stream must make sense (nothing is created that stands, changed that
does not, deleted twice or sent without a difference), and nothing of the table's may stand between a snapshot's marks.
After a full scan it must give exactly what the source holds, and so must index and overlay together.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from edge_agent.sources.memory import Row
from edge_agent.sources.settings import TableSettings
from protocol import canonical
from protocol.change import MarkKind, Op, Version
from protocol.names import TableName
from protocol.schema import Column, TableSchema

from ..keys import STREAM
from ..reading import Change, Mark
from .replay import TableLog
from .stage import Stage, crash

VISIT = TableName(None, None, "visit")
COLUMNS = (
    Column("id", pa.string()),
    Column("moved", pa.int64()),
    Column("day", pa.int32()),
    Column("v", pa.string()),
)
SCHEMA = TableSchema(VISIT, COLUMNS, ("id",))
KEYS = ["a", "A", "c ", "c", "张"]
WAYS = TableSettings(
    scan_interval_seconds=100,
    cursor="moved",
    poll_seconds=5,
    overlap=2,
    window="day",
    window_span=3,
    window_seconds=10,
)

keys = st.sampled_from(KEYS)
edits = st.tuples(
    st.sampled_from(["put", "put", "put", "delete", "rekey"]),
    keys,
    st.sampled_from(["next", "next", "same", "late", "null"]),
    st.integers(0, 5),
    st.sampled_from("xyz"),
)
Edit = tuple[str, str, str, int, str]


class Centre:
    """What stands at the centre, change by change, and what may follow it."""

    def __init__(self) -> None:
        self.rows: dict[bytes, tuple[Version, bytes]] = {}
        self.begun: Version | None = None

    def take(self, event: Change | Mark) -> None:
        if isinstance(event, Mark):
            self._mark(event)
            return
        before = self.rows.get(event.key)
        match event.op:
            case Op.READ:
                assert self.begun is not None, "read outside of a snapshot"
            case Op.CREATE:
                assert self.begun is None, "between the marks"
                assert before is None, "created although it stands"
            case Op.UPDATE:
                assert self.begun is None, "between the marks"
                assert before is not None, "updated although nothing stands"
                assert before[1] != event.row, "sent without a difference"
            case Op.DELETE:
                assert before is not None, "deleted although nothing stands"
        if event.op is Op.DELETE:
            del self.rows[event.key]
        else:
            self.rows[event.key] = event.version, event.row

    def _mark(self, mark: Mark) -> None:
        if mark.header.mark is MarkKind.SNAPSHOT_BEGIN:
            self.begun = mark.version
        elif mark.header.mark is MarkKind.SNAPSHOT_END:
            begun = self.begun
            assert begun is not None
            self.rows = {key: row for key, row in self.rows.items() if row[0] > begun}
            self.begun = None


class WaysMachine(RuleBasedStateMachine):
    @initialize(page_rows=st.integers(1, 4), first=st.lists(edits, max_size=12))
    def begin(self, page_rows: int, first: list[Edit]) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.stage = Stage(self.directory, page_rows=page_rows, deletion_rows_min=1_000)
        self.stage.settings = self.stage.settings.model_copy(update={"tables": {"visit": WAYS}})
        self.stage.reopen()
        self.stage.replay.tables[VISIT] = TableLog(keyed=True)
        self.stage.source.create(SCHEMA)
        self.counter = 0
        self.centre = Centre()
        for edit in first:
            self.edit(edit)

    @rule(several=st.lists(edits, min_size=1, max_size=6))
    def change(self, several: list[Edit]) -> None:
        for edit in several:
            self.edit(edit)

    def edit(self, edit: Edit) -> None:
        what, key, cursor, day, value = edit
        source = self.stage.source
        old = next((row for row in source.rows(VISIT) if row[0] == key), None)
        self.counter += 1
        moved = {
            "next": self.counter,
            "same": old[1] if old else self.counter,
            "late": max(0, self.counter - 5),
            "null": None,
        }[cursor]
        if what == "put":
            source.put(VISIT, (key, moved, day, value))
        elif old is not None:
            source.delete(VISIT, old)
            if what == "rekey":
                other = KEYS[(KEYS.index(key) + day + 1) % len(KEYS)]
                source.put(VISIT, (other, moved, old[2], old[3]))

    @rule(
        seconds=st.sampled_from([0, 5, 5, 10, 10, 100]),
        turns=st.integers(1, 8),
        storm=st.dictionaries(st.integers(1, 25), edits, max_size=4),
        death=st.none() | st.none() | st.integers(1, 25),
    )
    def work(self, seconds: int, turns: int, storm: dict[int, Edit], death: int | None) -> None:
        self.stage.seconds += seconds
        plan: dict[int, Callable[[], None]] = {m: partial(self.edit, edit) for m, edit in storm.items()}
        if death is not None:
            plan[death] = crash
        assert self.stage.work(plan, turns) is None
        self.read()

    @rule()
    def want_snapshot(self) -> None:
        self.stage.runner.want_snapshot(VISIT)

    @rule()
    def scan(self) -> None:
        """A full scan, and nothing changes meanwhile."""
        self.stage.settle()
        self.read()
        self.stage.check()
        standing = {key: row for key, (_, row) in self.centre.rows.items()}
        assert standing == self.source_rows()
        assert self.known() == set(standing)

    def read(self) -> None:
        for event in self.stage.read():
            if not isinstance(event, Mark) or event.header.table_name == VISIT:
                self.centre.take(event)

    def source_rows(self) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        rows: list[Row] = self.stage.source.rows(VISIT)
        for row in rows:
            arrays = [pa.array([value], c.wire) for value, c in zip(row, COLUMNS, strict=True)]
            key = canonical.digest(canonical.encode_rows(arrays[:1])[0])
            found[key] = canonical.encode_rows(arrays)[0]
        return found

    def known(self) -> set[bytes]:
        """Digests of the keys that index and overlay together have."""
        spool, files = self.stage.spool, self.stage.files
        known: set[bytes] = set()
        for shard in spool.shards(STREAM, VISIT):
            known |= files.read_keyed(shard.file).keys()
        everything = [canonical.encode_rows([pa.array([key])])[0] for key in KEYS]
        overlaid = spool.overlaid(STREAM, VISIT, everything)
        known = (known | overlaid.keys()) - {key for key, one in overlaid.items() if not one.digest}
        assert spool.rows_indexed(STREAM, VISIT) == len(known)
        return {canonical.digest(key) for key in known}

    def teardown(self) -> None:
        if hasattr(self, "stage"):
            try:
                self.scan()
            finally:
                self.stage.close()
                shutil.rmtree(self.directory)


TestWays = WaysMachine.TestCase
TestWays.settings = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
