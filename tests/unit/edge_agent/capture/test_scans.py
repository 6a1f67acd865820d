"""Capture as a whole, over random histories: changes between and during scans, crashes at any moment, full disks,
damaged files, new epochs, new columns, dropped tables, mass deletions.

After quiet rounds the stream, read as the centre reads it, must give exactly what the source holds; and what
one quiet step changes must be all that the next scan sends.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from protocol import canonical
from protocol.change import Op
from protocol.errors import Fault
from protocol.names import TableName

from ..keys import STREAM
from ..reading import Change
from . import tables
from .replay import TableLog
from .stage import Stage, crash

names = st.sampled_from(tables.ALL)
picks = st.lists(
    st.tuples(st.integers(0, tables.KEYS - 1), st.integers(0, len(tables.VALUES) - 1)),
    min_size=1,
    max_size=10,
)
Edit = tuple[TableName, str, list[tuple[int, int]]]
edits: st.SearchStrategy[Edit] = st.tuples(names, st.sampled_from(["put", "put", "delete", "clear"]), picks)
moments = st.integers(1, 60)


class CaptureMachine(RuleBasedStateMachine):
    @initialize(page_rows=st.integers(1, 4), first=st.lists(edits, max_size=5))
    def begin(self, page_rows: int, first: list[Edit]) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.stage = Stage(self.directory, page_rows=page_rows)
        self.stage.replay.tables |= {name: TableLog(keyed) for name, keyed in tables.KEYED.items()}
        self.altered: set[TableName] = set()
        self.existing = set(tables.ALL)
        self.settled = self.damaged = False
        for name in tables.ALL:
            self.stage.source.create(tables.schema(name))
        for edit in first:
            self.edit(edit)

    # what happens at the source

    def edit(self, edit: Edit) -> None:
        name, what, picked = edit
        source = self.stage.source
        if name not in self.existing:
            return
        present = source.rows(name)
        match what:
            case "put":
                for key, value in picked:
                    source.put(name, tables.row(name, key, value, name in self.altered))
            case "clear":
                source.delete(name, *present)
            case "delete" if present:
                source.delete(name, *(present[i] for i in {key % len(present) for key, _ in picked}))

    @rule(several=st.lists(edits, min_size=1, max_size=4))
    def change(self, several: list[Edit]) -> None:
        self.settled = False
        for edit in several:
            self.edit(edit)

    @rule(name=names, keep=st.booleans())
    def alter(self, name: TableName, keep: bool) -> None:
        if name not in self.existing:
            return
        self.settled = False
        self.altered ^= {name}
        width = len(tables.schema(name).columns)
        rows = [row[:width] for row in self.stage.source.rows(name)] if keep else []
        extra = ("e",) if name in self.altered else ()
        self.stage.source.create(tables.schema(name, name in self.altered), [(*row, *extra) for row in rows])

    @rule(name=names)
    def drop_or_create(self, name: TableName) -> None:
        if name in self.existing and self.stage.spool.table(STREAM, name) is None:
            return  # nobody could miss it
        self.settled = False
        if name in self.existing:
            self.stage.source.drop(name)
        else:
            self.stage.source.create(tables.schema(name, name in self.altered))
        self.existing ^= {name}

    # what happens to the agent

    @rule(storm=st.dictionaries(moments, edits, max_size=6), death=st.none() | moments)
    def go_round(self, storm: dict[int, Edit], death: int | None) -> None:
        self.settled = False
        plan: dict[int, Callable[[], None]] = {m: partial(self.edit, edit) for m, edit in storm.items()}
        if death is not None:
            plan[death] = crash
        assert self.stage.go_round(plan) is None

    @rule(name=names)
    def confirm(self, name: TableName) -> None:
        self.stage.runner.confirm(name)

    @rule(name=st.none() | names)
    def want_snapshot(self, name: TableName | None) -> None:
        self.settled = False
        self.stage.runner.want_snapshot(name)

    @rule(room=st.integers(0, 5_000))
    def run_out_of_room(self, room: int) -> None:
        self.settled = False
        state = self.stage.spool.stream(STREAM)
        assert state is not None
        self.stage.reopen(bytes_max=state.head_offset + room)
        fault: Fault | None = self.stage.go_round()
        assert fault is None or fault.code == "GC-3001"
        if fault is not None:
            self.stage.go_round()
            self.stage.check_files()  # each attempt would leave some, and fill the disk
        self.stage.reopen()

    @rule(stopped=st.booleans())
    def new_epoch(self, stopped: bool) -> None:
        self.settled = False
        self.stage.new_epoch(stopped=stopped)

    @rule(which=st.integers(0, 20), content=st.none() | st.binary(max_size=60))
    def damage(self, which: int, content: bytes | None) -> None:
        self.settled = False
        files = sorted(self.stage.index_names())
        if not files:
            return
        path = self.stage.index_path(files[which % len(files)])
        path.unlink() if content is None else path.write_bytes(content)
        self.damaged = True

    # what must hold

    @rule()
    def settle(self) -> None:
        if self.damaged:  # a new process looks at quiet tables, too
            self.stage.reopen()
            self.damaged = False
        self.stage.settle()
        self.stage.check()
        self.settled = True

    @precondition(lambda self: self.settled)
    @rule(several=st.lists(edits, min_size=1, max_size=3))
    def step(self, several: list[Edit]) -> None:
        """What the scan after one step sends is the step's net changes, no less and no more."""
        before = {name: self.rows_by_key(name) for name in self.existing}
        for edit in several:
            self.edit(edit)
        self.stage.settle()
        sent: dict[TableName, Counter[tuple[Op, bytes, bytes]]] = {name: Counter() for name in tables.ALL}
        for change in self.stage.read():
            assert isinstance(change, Change), "nothing but changes"
            sent[change.table][change.op, change.key, change.row] += 1
        for name in self.existing:
            after = self.rows_by_key(name)
            expected: Counter[tuple[Op, bytes, bytes]] = Counter()
            for key in before[name].keys() | after.keys():
                expected += net(before[name][key], after[key], key, tables.KEYED[name])
            assert set(sent[name]) == set(expected), name
            doubled = sent[name] - expected
            assert not doubled or (tables.KEYED[name] and {op for op, *_ in doubled} == {Op.DELETE})
        self.stage.check()

    def rows_by_key(self, name: TableName) -> dict[bytes, Counter[bytes]]:
        """`_gc_key` → canonical rows."""
        schema = self.stage.source.describe(name)
        state = self.stage.spool.stream(STREAM)
        assert state is not None
        found: dict[bytes, Counter[bytes]] = {}
        counted: Counter[bytes] = Counter()
        for rows in self.stage.source.whole(schema):
            lines = canonical.encode_rows(rows.columns, [c.name for c in schema.columns], rows.asides)
            if schema.key:
                keys = canonical.digests(
                    canonical.encode_rows([rows.columns[i] for i in schema.key_positions])
                )
            else:
                keys = canonical.digests(lines, state.secret)
            for key, line in zip(keys, lines, strict=True):
                found.setdefault(key, Counter())[line] += 1
                counted[line] += 1
        return _Defaulting(found)

    def teardown(self) -> None:
        if hasattr(self, "stage"):
            try:
                self.settle()
            finally:
                self.stage.close()
                shutil.rmtree(self.directory)


class _Defaulting(dict[bytes, Counter[bytes]]):
    def __missing__(self, key: bytes) -> Counter[bytes]:
        return Counter()


def net(
    before: Counter[bytes], after: Counter[bytes], key: bytes, keyed: bool
) -> Counter[tuple[Op, bytes, bytes]]:
    """What one key's change is, as events."""
    if keyed and before and after:
        return Counter({(Op.UPDATE, key, row): 1 for row in after if row not in before})
    more, less = after - before, before - after
    sent = Counter({(Op.CREATE, key, row): count for row, count in more.items()})
    if less:
        sent[Op.DELETE, key, b""] = less.total()
    return sent


TestCapture = CaptureMachine.TestCase
TestCapture.settings = settings(
    max_examples=6,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
