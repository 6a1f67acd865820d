"""Reads all of a folder as capture does, through the real source, and keeps what it gave by the file that gave it.

All that is said of it meanwhile (faults, alarms, lines of logs, warnings, reasons) is kept, too. Knows nothing of what
should come out.
"""

from __future__ import annotations

import hashlib
import logging
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from edge_agent.capture.diff import encode, index_of
from edge_agent.capture.inventory import inventory_marks
from edge_agent.sources.filebook import FileBook
from edge_agent.sources.filerule import FileRule
from edge_agent.sources.files import FilesSource
from edge_agent.sources.source import PageLimits, Rows, Way
from protocol import canonical
from protocol.batch import decode_batch, decode_mark, encode_batch, encode_mark
from protocol.change import OP_CODES, Op
from protocol.errors import Fault, Rejected
from protocol.limits import KIB
from protocol.names import TableName
from protocol.schema import TableSchema

SHARED = ("hl7", "cda", "fhir", "dicom", "files", "t")
"""Tables that several files share."""
_LIMITS = PageLimits(5, 64 * KIB)
_SECRET = b"e" * 32
_ROUNDS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Landed:
    """A row of a shared table: its SHA-256, size, problem and canonical bytes."""

    sha256: str
    size: int
    problem: str | None
    line: bytes


@dataclass(slots=True)
class Seen:
    """`tables`: the rows of tables that files are, by name. `records`: by shared table and path. `faults`: by table."""

    tables: dict[str, Counter[bytes]] = field(default_factory=dict)
    records: dict[str, dict[str, list[Landed]]] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)


class ReadWrong(AssertionError):
    """The source gave what no source may give."""


class FolderReading:
    """One folder through one book, by one process after another."""

    def __init__(self, folder: Path, book: Path, rules: Sequence[FileRule]) -> None:
        self._folder, self._book, self._rules = folder, book, rules
        self._identity: str | None = None
        self._marks: dict[TableName, tuple[TableSchema, str, Counter[bytes]]] = {}
        self._keys: dict[TableName, set[bytes]] = {}
        self._quiet: dict[str, tuple[str, Counter[bytes] | dict[str, list[Landed]]]] = {}
        self._source = self._opened()

    def _opened(self) -> FilesSource:
        self._known = FileBook(self._book)
        return FilesSource("f", self._folder, self._rules, 0, self._identity, book=self._known)

    def kind(self, path: str) -> str | None:
        """What `auto` took it for."""
        chosen = self._known.chosen(path)
        return None if chosen is None else chosen.kind

    def again(self) -> None:
        """As another process does after this one."""
        self.close()
        self._source = self._opened()

    def close(self) -> None:
        self._quiet.clear()
        self._identity = self._source.identity
        self._source.close()

    def read(self) -> Seen:
        """Everything once. What is found to be no table is among the bytes with the next."""
        seen = Seen()
        with _heard(seen.said):
            infos = self._source.inventory()
            for header in inventory_marks(infos, frozenset(), 1):
                decode_mark(encode_mark(header))
            for info in infos:
                try:
                    self._read_table(info.name, seen)
                except Rejected as fault:
                    seen.faults[info.name.name] = fault
                    seen.said.append(_without(info.name.name, fault))
            for alarm in self._source.alarms:
                seen.faults[str(alarm.facts.get("folder"))] = alarm
                seen.said.append(_without("", alarm))
        return seen

    def _read_table(self, name: TableName, seen: Seen) -> None:
        if name.name not in SHARED:
            seen.tables[name.name] = Counter()  # also where a fault ends it
        token = self._source.token(name)
        was, known = self._quiet.pop(name.name, (None, None))
        if known is None or token != was:
            known = self._all_of(name, seen)
        if isinstance(known, Counter):
            seen.tables[name.name] = known
        else:
            seen.records[name.name] = known
        if token is not None:
            self._quiet[name.name] = token, known

    def _all_of(self, name: TableName, seen: Seen) -> Counter[bytes] | dict[str, list[Landed]]:
        schema = self._source.describe(name)
        if TableSchema.from_bytes(schema.content) != schema:
            raise ReadWrong("another schema")
        return self._whole(schema) if self._source.way(schema) is Way.WHOLE else self._pages(schema, seen)

    def _whole(self, schema: TableSchema) -> Counter[bytes]:
        """All of it; what only came since must be the difference."""
        grown = self._since(schema)
        lines: list[bytes] = []
        keys: list[bytes] = []
        for rows in self._source.whole(schema):
            encoded = encode(schema, rows, _SECRET)
            _travels(schema, rows)
            lines += encoded.rows
            keys += encoded.keys
        if len(set(keys)) != len(keys):
            raise Rejected("GC-2005", table=str(schema.table))
        found = Counter(lines)
        if grown is not None and grown != found:
            raise ReadWrong("what was read on is not what is there")
        if mark := self._source.mark(schema.table):
            self._marks[schema.table] = schema, mark, found
        return found

    def _since(self, schema: TableSchema) -> Counter[bytes] | None:
        before, mark, known = self._marks.pop(schema.table, (None, "", Counter()))
        if before != schema:
            return None
        with suppress(Rejected):  # all is read then
            slices = self._source.since(schema, mark)
            if slices is not None:
                return known + Counter(line for rows in slices for line in encode(schema, rows, _SECRET).rows)
        return None

    def _pages(self, schema: TableSchema, seen: Seen) -> dict[str, list[Landed]]:
        found: dict[str, list[Landed]] = defaultdict(list)
        after, keys = b"", set[bytes]()
        for _ in range(_ROUNDS_MAX):
            page = self._source.page(schema, after, b"", _LIMITS)
            encoded = encode(schema, page.rows, _SECRET)
            index_of(schema, encoded)
            if keys & set(encoded.keys) or any(
                canonical.decode(after) >= canonical.decode(k) for k in encoded.keys if after
            ):
                raise ReadWrong("a page goes back")
            keys |= set(encoded.keys)
            _travels(schema, page.rows)
            columns = {c.name: page.rows.columns[i].to_pylist() for i, c in enumerate(schema.columns[:6])}
            for i, line in enumerate(encoded.rows):
                path, problem = columns["path"][i], columns["problem"][i]
                found[path].append(Landed(columns["sha256"][i], columns["size"][i], problem, line))
                seen.said.append(problem or "")
            if not page.full:
                break
            after = page.last
        else:
            raise ReadWrong("pages without end")
        gone = self._keys.get(schema.table, set()) - keys
        for key in self._source.present(schema, sorted(gone)):
            seen.said.append("held back")
            if key not in gone:
                raise ReadWrong("a key that nobody asked for")
        self._keys[schema.table] = keys
        return dict(found)

    def object(self, sha256: str, size: int) -> bytes:
        """Rejected GC-2014 where it is not to be had."""
        step = max(1, size // 3)
        return b"".join(
            self._source.read_object(bytes.fromhex(sha256), at, min(step, size - at))
            for at in range(0, size, step)
        )


def _travels(schema: TableSchema, rows: Rows) -> None:
    """Sound arrays of the schema's types, that a batch carries."""
    if not rows.count:
        return
    for array, column in zip(rows.columns, schema.columns, strict=True):
        array.validate(full=True)
        if array.type != column.wire or len(array) != rows.count:
            raise ReadWrong("another type or length than the schema says")
    if rows.asides is not None and len(rows.asides) != rows.count:
        raise ReadWrong("asides of other rows")
    names = {column.name for column in schema.columns}
    if any(entry["column"] not in names for entries in rows.asides or () for entry in entries or ()):
        raise ReadWrong("an aside of no column")
    system = {
        "_gc_op": pa.array([OP_CODES[Op.READ]] * rows.count, pa.int8()),
        "_gc_key": pa.array([hashlib.blake2b(digest_size=16).digest()] * rows.count, pa.binary(16)),
    }
    inner = encode_batch(schema, system, rows.columns, captured=1)
    decode_batch(inner, {schema.fingerprint: schema}.get)


def _without(table: str, fault: Fault) -> str:
    """All that it says, but for names of tables and files: they are the hospital's to choose."""
    text = f"{fault} {fault.as_json()} {fault.facts} {fault.__cause__}"
    return text.replace(table, "") if table else text


class _Listening(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        self._said.append(f"log: {record.getMessage()} {trace}")


@contextmanager
def _heard(said: list[str]) -> Iterator[None]:
    """Every line of a log and every warning is in `said`, and nowhere else."""
    root, ours, handler = logging.getLogger(), logging.getLogger("edge"), _Listening(said)
    level, propagates, handlers = ours.level, ours.propagate, list(root.handlers)
    root.handlers[:] = [handler]
    ours.setLevel(logging.DEBUG)
    ours.propagate = True
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield
        said += [f"warning: {one.message}" for one in warned]
    finally:
        root.handlers[:] = handlers
        ours.setLevel(level)
        ours.propagate = propagates
