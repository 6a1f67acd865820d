"""Tables of files that only grew: what was read of each file, and reading on from there.

Whoever appends to an export does not say so. So of each file that was read the digest of its bytes is kept; where the
file still begins with them, and they end in a line break, what stands behind them is all that came (its kind must be
one of lines, and say where the first record ends: `LineKind`). Of a table of several files, those that were not touched
are passed over, and new ones are read. Whatever else changed, all is read: a digest costs a fifteenth of reading
(measured), and nobody has to be believed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any, BinaryIO

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.filetables import Reading, TabularTable, other_columns, states_of
from edge_agent.sources.folder import FoundFile
from edge_agent.sources.kinds.kind import Head, LineKind, Opened, TabularKind
from edge_agent.sources.source import Rows
from edge_agent.sources.spliced import spliced
from protocol.limits import MIB
from protocol.schema import TableSchema

_BLOCK_BYTES = MIB
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class _Read:
    """A file whose rows were all read. `states`: of it and of those beside it. `size` bytes have this digest (hex);
    "": it cannot be read on from there. Of its first record `head` bytes, in which `head_rows` rows stand."""

    states: str
    size: int = 0
    digest: str = ""
    encoding: str = ""
    head: int = 0
    head_rows: int = 0


@dataclass(frozen=True, slots=True)
class Grown:
    """What came since a mark: its rows, and the mark behind them."""

    rows: Iterator[Rows]
    mark: str


class Growing:
    """Of one folder. A mark is text that outlives processes; "" says nothing."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def mark(self, table: TabularTable, turn: str) -> str:
        """Of files whose rows were just read. `turn`: another one asks for all to be read. Faults as
        `Reading.opened`."""
        if not isinstance(table.kind, LineKind) and table.rule.table is None:
            return ""
        return _as_mark(table, turn, {file.name: self._read(file, table) for file in table.files})

    def _read(self, file: FoundFile, table: TabularTable) -> _Read:
        states = _states(file, table.kind)
        if isinstance(table.kind, LineKind):
            with self._reading.opened(file, table.rule, table.kind) as opened:
                if (head := table.kind.head(opened, table.rule)) is not None:
                    _, digest = _digests(opened.stream, 0, opened.size)
                    if digest is not None:
                        return _Read(states, opened.size, digest, head.encoding, head.end, head.rows)
        return _Read(states)

    def since(self, table: TabularTable, schema: TableSchema, mark: str, turn: str) -> Grown | None:
        """None where anything but growth may have happened. Faults as `Reading.opened`, and what its kind raises; then,
        too, all must be read, so that a fault says the line."""
        before = _from_mark(table, turn, mark)
        if before is None or before.keys() - {file.name for file in table.files}:
            return None
        after: dict[str, _Read] = {}
        parts: list[Iterator[Rows]] = []
        # None of them opens its file before it is asked for rows.
        for file in table.files:
            known = before.get(file.name)
            if known is None:
                after[file.name] = self._read(file, table)
                parts.append(self._reading.rows_of(file, table, schema))
            elif known.states == _states(file, table.kind):
                after[file.name] = known
            else:
                now = self._grown(file, table, known)
                if now is None:
                    return None
                after[file.name] = now
                if now.size > known.size:
                    parts.append(self._behind(file, table, schema, known))
        return Grown(chain.from_iterable(parts), _as_mark(table, turn, after))

    def _grown(self, file: FoundFile, table: TabularTable, known: _Read) -> _Read | None:
        """What is to be known of it now; None where it does not begin with what was read."""
        if not isinstance(table.kind, LineKind) or not known.digest:
            return None
        with self._reading.opened(file, table.rule, table.kind) as opened:
            head = table.kind.head(opened, table.rule)
            size = opened.size
            if size < known.size or head != Head(known.encoding, known.head, known.head_rows):
                return None
            before, after = _digests(opened.stream, known.size, size)
        if before != known.digest:
            return None
        return replace(known, states=_states(file, table.kind), size=size, digest=after or "")

    def _behind(
        self, file: FoundFile, table: TabularTable, schema: TableSchema, known: _Read
    ) -> Iterator[Rows]:
        """The rows behind what was read: its kind reads the first record, and goes on there."""
        rule = table.rule.model_copy(update={"encoding": known.encoding})
        with self._reading.opened(file, table.rule, table.kind) as opened:
            stream = spliced(opened.stream, known.head, known.size, opened.size)
            size = known.head + opened.size - known.size
            (one,) = table.kind.tables(Opened(opened.name, stream, size, opened.companions), rule)
            if tuple(one.columns) != tuple(schema.columns):
                raise other_columns(file)
            passed = known.head_rows
            for rows in one.rows():
                begin, passed = min(passed, rows.count), max(0, passed - rows.count)
                if begin < rows.count:
                    yield rows.slice(begin, rows.count - begin) if begin else rows


def _states(file: FoundFile, kind: TabularKind) -> str:
    return hashlib.blake2b(repr(states_of(file, kind)).encode(), digest_size=16).hexdigest()


def _rule_digest(rule: FileRule) -> str:
    return hashlib.blake2b(rule.model_dump_json().encode(), digest_size=16).hexdigest()


def _as_mark(table: TabularTable, turn: str, files: dict[str, _Read]) -> str:
    said = {name: asdict(one) for name, one in files.items()}
    return json.dumps({"rule": _rule_digest(table.rule), "turn": turn, "files": said})


def _from_mark(table: TabularTable, turn: str, mark: str) -> dict[str, _Read] | None:
    if not mark:
        return None
    said: dict[str, Any] = json.loads(mark)
    if (said["rule"], said["turn"]) != (_rule_digest(table.rule), turn):
        return None
    with suppress(TypeError):  # of another version
        return {name: _Read(**one) for name, one in said["files"].items()}
    return None


def _digests(stream: BinaryIO, first: int, size: int) -> tuple[str, str | None]:
    """Of the first bytes, and of `size` bytes; of these None where they do not end in a line break."""
    hashed = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    stream.seek(0)
    _hash(hashed, stream, first)
    before = hashed.hexdigest()
    _hash(hashed, stream, size - first)
    stream.seek(max(0, size - 1))
    ends = stream.read(1) == b"\n"
    return before, hashed.hexdigest() if ends else None


def _hash(hashed: hashlib.blake2b, stream: BinaryIO, count: int) -> None:
    while count and (data := stream.read(min(count, _BLOCK_BYTES))):
        hashed.update(data)
        count -= len(data)
