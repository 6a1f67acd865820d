"""What stands in a table, by replaying its `changes` in plain Python (landing.md §5).

State is kept and swept as the marks come by, in version order. Faults that need no source to be seen are
noted on the way: a snapshot whose end mark tells another number of rows or another set hash than landed, an
update of a table without key, more rows taken away than there were.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from protocol import canonical

from .catalogue import Sent
from .changes import Changes


class Image(NamedTuple):
    """A row that stands: its last change, and where the columns that this change did not carry come from."""

    row: int
    held: Mapping[str, int | None] | None = None

    def origin(self, column: str) -> int | None:
        """The change that carries the column's value; None where none does."""
        return self.row if self.held is None else self.held.get(column, self.row)


@dataclass(slots=True)
class Snapshot:
    """The one begun last."""

    id: str | None
    epoch: int
    begin: int
    reads: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands in the table: its rows, each as often as it counts, and what is wrong with its changes."""

    images: list[tuple[Image, int]]
    faults: list[str]
    keys: list[tuple[int, tuple[str, ...]]]
    """From which row on which key was in force."""


def replay(changes: Changes, key: tuple[str, ...], schemas: Mapping[str, Sent]) -> Standing:
    """`key` is the catalogue's, which counts where the lake tells none; `schemas` are those that marks may name.

    Rows of two keys never stand beside each other: when another key comes the table stands still as it is, until a
    snapshot that began since has ended, or the table was emptied."""
    eras = changes.keys or [((-1, 0), key)]
    table = _table(changes, eras[0][1])
    still: list[tuple[Image, int]] | None = None
    since = 0
    faults: list[str] = []
    snapshot: Snapshot | None = None
    baseline = False
    keys: list[tuple[int, tuple[str, ...]]] = []
    ops, texts, epochs = (changes.system(name) for name in ("_gc_op", "_gc_mark", "_gc_epoch"))
    places = list(zip(epochs, changes.system("_gc_seq"), strict=True))
    for row, op in enumerate(ops):
        if len(eras) > 1 and places[row] >= eras[1][0]:
            still = table.images() if still is None else still
            faults += table.faults
            eras = eras[1:]
            table, since = _table(changes, eras[0][1]), row
        if op != "m":
            if op == "r":
                if snapshot is None or snapshot.epoch != epochs[row]:
                    faults.append("a row was read outside any snapshot")
                else:
                    snapshot.reads.append(row)
            table.change(row, op)
            continue
        mark = json.loads(texts[row])
        sent = schemas.get(mark.get("schema") or "")
        if sent is not None and mark["mark"] == "snapshot_begin":
            keys.append((row, sent.key))
        match mark["mark"]:
            case "snapshot_begin":
                snapshot = Snapshot(mark.get("snapshot"), epochs[row], row)
                table.begin()
            case "snapshot_end":
                found = _faults_of_end(changes, mark, snapshot, epochs[row], sent)
                faults += found.faults
                if found.counts and snapshot is not None:
                    table.sweep(snapshot.begin)
                    baseline = True
                    still = None if snapshot.begin >= since else still
                snapshot = None
            case "truncate" | "drop":
                table.clear()
                baseline, still = True, None
    if not baseline:
        faults.append("no snapshot of it has ended")
    images = table.images() if still is None else still
    return Standing(images, faults + table.faults, keys or [(0, key)])


def _table(changes: Changes, key: tuple[str, ...]) -> _Keyed | _Counted:
    return (_Keyed if key else _Counted)(changes)


class _End(NamedTuple):
    counts: bool
    faults: list[str]


def _faults_of_end(
    changes: Changes, mark: dict[str, Any], snapshot: Snapshot | None, epoch: int, sent: Sent | None
) -> _End:
    """Whether the end takes effect, and what is wrong with it."""
    if (
        snapshot is None
        or snapshot.id is None
        or snapshot.id != mark.get("snapshot")
        or snapshot.epoch != epoch
    ):
        return _End(False, ["a snapshot ended that was not the one begun last"])
    facts = mark.get("facts", {})
    faults = []
    counts = facts.get("rows") == len(snapshot.reads)
    if not counts:
        faults.append(f"a snapshot's end tells {facts.get('rows')} rows, {len(snapshot.reads)} landed")
    columns = changes.sources if sent is None else sent.columns
    total = canonical.add_to_set_hash(0, changes.digests(columns, snapshot.reads))
    if facts.get("set_hash") != f"{total:032x}":
        faults.append("a snapshot's set hash is not that of the rows that landed")
    return _End(counts, faults)


class _Keyed:
    """By `_gc_key`, the last version wins."""

    def __init__(self, changes: Changes) -> None:
        self.faults: list[str] = []
        self._keys = changes.system("_gc_key")
        self._old_keys = changes.system("_gc_old_key")
        self._unchanged = changes.system("_gc_unchanged")
        self._live: dict[bytes, Image] = {}
        self._dead: dict[bytes, Image] = {}

    def change(self, row: int, op: str) -> None:
        key = self._keys[row]
        if op == "d":
            if (image := self._live.pop(key, None)) is not None:
                self._dead[key] = image
            return
        held = None
        if self._unchanged[row]:
            before = self._live.get(key) if op == "u" else self._dead.get(self._old_keys[row])
            held = {name: None if before is None else before.origin(name) for name in self._unchanged[row]}
        self._live[key] = Image(row, held)

    def begin(self) -> None:
        """A snapshot says nothing before its end."""

    def sweep(self, begin: int) -> None:
        self._live = {key: image for key, image in self._live.items() if image.row > begin}

    def clear(self) -> None:
        self._live, self._dead = {}, {}

    def images(self) -> list[tuple[Image, int]]:
        return [(image, 1) for image in self._live.values()]


class _Counted:
    """A multiset: `r` and `c` count one row more, `d` one less. What a snapshot reads counts from its end on."""

    def __init__(self, changes: Changes) -> None:
        self.faults: list[str] = []
        self._keys = changes.system("_gc_key")
        self._counts: Counter[bytes] = Counter()
        self._since: Counter[bytes] | None = None
        self._rows: dict[bytes, int] = {}

    def change(self, row: int, op: str) -> None:
        key = self._keys[row]
        step = -1 if op == "d" else 1
        if op == "u":
            self.faults.append("an update of a table without key")
        elif op != "d":
            self._rows[key] = row
        if self._since is not None:
            self._since[key] += step
        if op != "r":
            self._counts[key] += step

    def begin(self) -> None:
        self._since = Counter()

    def sweep(self, begin: int) -> None:
        self._counts, self._since = self._since or Counter(), None

    def clear(self) -> None:
        self._counts.clear()
        self._since = None if self._since is None else Counter()

    def images(self) -> list[tuple[Image, int]]:
        if any(count < 0 for count in self._counts.values()):
            self.faults.append("more rows were taken away than there were")
        return [(Image(self._rows[key]), count) for key, count in self._counts.items() if count > 0]
