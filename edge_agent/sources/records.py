"""The table of one record kind: a row a message, document or object, and the bytes of its file beside it.

Rows come in the order of (path, number). Each file is read once and hashed; what it gave stands in the book, so that
a scan of a hundred thousand files reads only those that were touched. Rows name their file's bytes by SHA-256 and do
not hold them; whoever sends the row asks for the bytes then. A file that is being written, or that cannot be read just
now, keeps the rows that it had. What cannot be parsed is a row with a problem, and its bytes land all the same.
"""

from __future__ import annotations

import hashlib
import logging
import os
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from itertools import chain, islice
from typing import Any, BinaryIO

import pyarrow as pa

from edge_agent.sources.columns import Carrier, aside, build, named
from edge_agent.sources.filebook import FileBook, Known
from edge_agent.sources.filerule import FileRule
from edge_agent.sources.folder import FileState, FoundFile
from edge_agent.sources.kinds.kind import Opened, Record, RecordKind
from edge_agent.sources.opening import open_shared
from edge_agent.sources.rereading import Rereading
from edge_agent.sources.source import Page, PageLimits, Rows
from protocol.canonical import Aside, decode, encode_rows
from protocol.errors import Rejected
from protocol.limits import MIB
from protocol.names import TableName
from protocol.schema import Column, TableSchema

READ_BYTES = 64 * MIB
"""A page ends once so much of files was read for it."""
_CHUNK = MIB
HEAD_ROWS = 512
"""A file of fewer records has its rows in the book; of one with more they are read again."""

COMMON = (
    Column("path", pa.string(), "path"),
    Column("number", pa.int64(), "place in the file, from 0"),
    Column("size", pa.int64(), "bytes"),
    Column("modified", pa.timestamp("us", tz="UTC"), "time"),
    Column("sha256", pa.string(), "sha256"),
    Column("problem", pa.string(), "problem"),
    Column("content", pa.binary(), "file"),
)
KEY = ("path", "number")
_CARRIERS = {
    pa.string(): Carrier.TEXT,
    pa.int64(): Carrier.INTEGER,
    pa.float64(): Carrier.FLOAT,
    pa.binary(): Carrier.BINARY,
}


log = logging.getLogger("edge.files")

Row = list[Any]


class Touched(Exception):
    """The file is not as it was found: it is being written, or gone."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the table, the rule as it holds for it, and why it is here although it should be a table."""

    file: FoundFile
    rule: FileRule
    problem: str | None = None


class RecordTable:
    """`name`: of the kind."""

    def __init__(
        self,
        name: str,
        kind: RecordKind,
        book: FileBook,
        clock: Callable[[], float],
        rereading: Rereading | None = None,
    ) -> None:
        self.name = name
        self._kind = kind
        self._book = book
        self._clock = clock
        self._rereading = rereading or Rereading(0, clock)
        self._run: _Run | None = None
        self._counts: dict[str, tuple[FileState, int]] = {}
        """Records of files that are not kept in the book, once they were read to their end."""
        self.left_out: dict[str, str | None] = {}
        """Files whose rows of now are still to come; why, unless they are being written."""
        self.columns = (*COMMON, *kind.columns)

    def schema(self, table: TableName) -> TableSchema:
        return TableSchema(table, self.columns, KEY, {"dialect": self.name})

    def close(self) -> None:
        if self._run is not None:
            self._run.stream.close()
        self._run = None

    def page(self, members: Sequence[Member], after: bytes, until: bytes, limits: PageLimits) -> Page:
        """`members` sorted by name. Rows with `after` < (path, number) <= `until`, both canonical."""
        low, high = decode(after), decode(until)
        first = bisect_left(members, low[0], key=_name) if low else 0
        if not low:
            here = {_name(member) for member in members}
            self.left_out = {name: why for name, why in self.left_out.items() if name in here}
        taken: list[Row] = []
        weight, budget, full, lacking = 0, _Budget(), False, 0.0
        for member in islice(members, first, None):
            name = _name(member)
            if full or (high and name > high[0]):
                break
            begin = low[1] + 1 if low and name == low[0] else 0
            end = high[1] if high and name == high[0] else None
            mine: list[Row] = []
            try:
                for row in self._rows(member, begin, budget):
                    if end is not None and row[1] > end:
                        self._push_back(row)
                        break
                    mine.append(row)
                    weight += _weight(row)
                    full = len(taken) + len(mine) >= limits.rows or weight >= limits.bytes
                    if full:
                        break
            except (Touched, OSError) as fault:
                mine, full = [], False
                lacking += self._leave_out(name, fault)
            else:
                self.left_out.pop(name, None)
            taken += mine
            full = full or (bool(taken) and budget.read >= READ_BYTES)
        if not full and not until:
            self.close()
        rows = self._as_rows(taken)
        last = encode_rows([column.slice(len(taken) - 1) for column in rows.columns[:2]])[0] if taken else b""
        return Page(rows, last, full, lacking)

    def _leave_out(self, name: str, fault: Exception) -> float:
        """It comes with a later scan. How many rows were known of it."""
        why = None if isinstance(fault, Touched) else _words(fault)
        self.left_out[name] = why
        self.close()
        known = self._book.known(name)
        return 0.0 if known is None else float("inf") if known.rows is None else len(known.rows)

    def _push_back(self, row: Row) -> None:
        run = self._run
        if run is not None and run.known.name == row[0] and run.number == row[1] + 1:
            run.push_back(row)

    def present(self, keys: Sequence[bytes], look: Callable[[str], FoundFile | None]) -> set[bytes]:
        """Those whose file is there, unless it is as it was read and has no such record."""
        found: set[bytes] = set()
        for key in keys:
            name, number = decode(key)
            file = look(name)
            if file is not None and number < self._count(name, file.state):
                found.add(key)
        return found

    def _count(self, name: str, state: FileState) -> float:
        known = self._book.known(name)
        if known is not None and known.state == state and known.rows is not None:
            return len(known.rows)
        counted = self._counts.get(name)
        return counted[1] if counted is not None and counted[0] == state else float("inf")

    def _rows(self, member: Member, begin: int, budget: _Budget) -> Iterator[Row]:
        """Of one file, from record `begin` on: what stands in the book, or what it is now. Raises Touched."""
        file, known = member.file, self._book.known(member.file.name)
        reader = self._reader(member)
        if known is not None and known.reader != reader:
            known = None
        is_current = known is not None and known.rows is not None and self._is_as_read(known, file)
        if is_current or (known is not None and known.rows is not None and not file.resting):
            assert known is not None
            yield from islice(self._restored(known), begin, None)
        elif file.resting:
            yield from self._read(member, reader, begin, budget)
        else:
            raise Touched

    def _is_as_read(self, known: Known, file: FoundFile) -> bool:
        """Over a network a state says less: now and then such a file is read although it seems to be the same."""
        is_due = not file.is_surely_local and self._rereading.is_due(file.name, known.read_at)
        return known.state == file.state and not is_due

    def _reader(self, member: Member) -> str:
        """Whatever bears on the rows of a file, but for the file."""
        rule = member.rule
        said = (self.name, self._kind.version, rule.encoding, rule.dicom_charset, member.problem)
        return f"{said!r} {len(self.columns)}"

    def _read(self, member: Member, reader: str, begin: int, budget: _Budget) -> Iterator[Row]:
        """Raises Touched, also behind the last row: what came before is none of a file then."""
        run = self._run
        if run is None or run.member != member or run.number > begin:
            self.close()
            run = self._run = self._begun(member, reader)
            budget.read += member.file.state.size
        while (row := run.next()) is not None:
            if row[1] >= begin:
                yield row
        self._counts[member.file.name] = (member.file.state, run.number)
        self.close()
        _compare(member.file, member.file.path)

    def _begun(self, member: Member, reader: str) -> _Run:
        """Hashed, and noted in the book; with its rows where they are few."""
        file = member.file
        try:
            stream = open_shared(file.path)
        except (FileNotFoundError, NotADirectoryError):
            raise Touched from None
        try:
            _compare(file, stream.fileno())
            sha256 = _hash(stream)
            stream.seek(0)
            records = _guarded(self._kind, Opened(file.name, stream, file.state.size), member)
            head = list(islice(records, HEAD_ROWS))
            _compare(file, stream.fileno())
            known = Known(file.name, file.state, reader, sha256, None, None, self._clock())
            if len(head) < HEAD_ROWS:
                problem = next((record.problem for record in head if record.problem), None)
                kept = [[*_plain(record.values), record.problem] for record in head]
                self._book.put(replace(known, rows=kept, problem=problem))
            else:
                self._book.put(known)
            return _Run(member, stream, known, chain(head, records))
        except BaseException:
            stream.close()
            raise

    def _restored(self, known: Known) -> Iterator[Row]:
        wires = [column.wire for column in self._kind.columns]
        for number, (*values, problem) in enumerate(known.rows or ()):
            own = [_exact(value, wire) for value, wire in zip(values, wires, strict=True)]
            yield _row(known, number, problem, own)

    def _as_rows(self, taken: list[Row]) -> Rows:
        by_column = list(zip(*taken, strict=True)) if taken else [()] * len(self.columns)
        columns: list[pa.Array] = []
        asides: list[list[Aside] | None] = [_content_of(row) for row in taken]
        for column, values in zip(self.columns, by_column, strict=True):
            carrier = _CARRIERS.get(column.wire)
            if carrier is None:
                columns.append(pa.array(values, column.wire))
                continue
            array, odd = build(carrier, column.wire, values)
            columns.append(array)
            for row, (reason, original) in (odd or {}).items():
                asides[row] = [*(asides[row] or []), aside(column.name, reason, original)]
        return Rows(columns, asides if any(asides) else None)


@dataclass(slots=True)
class _Budget:
    """Bytes that were read for a page."""

    read: int = 0


@dataclass(slots=True)
class _Run:
    """A file of which records are still to come. `number`: of the next one."""

    member: Member
    stream: BinaryIO
    known: Known
    records: Iterator[Record]
    number: int = 0
    _again: Row | None = None

    def push_back(self, row: Row) -> None:
        """It was not taken yet."""
        self.number, self._again = row[1], row

    def next(self) -> Row | None:
        if (row := self._again) is not None:
            self.number, self._again = row[1] + 1, None
            return row
        record = next(self.records, None)
        if record is None:
            return None
        self.number += 1
        return _row(self.known, self.number - 1, record.problem, record.values)


def _guarded(kind: RecordKind, opened: Opened, member: Member) -> Iterator[Record]:
    """Its records, or one that says why there are none: no file may stop the others, whatever is wrong with it."""
    nothing = [None] * len(kind.columns)
    if member.problem is not None:
        yield Record(nothing, member.problem)
        return
    try:
        yield from kind.records(opened, member.rule)
    except Rejected as fault:
        yield Record(nothing, str(fault.facts.get("problem", fault.code)))
    except OSError:
        raise Touched from None
    except Exception as error:
        log.warning("a file of kind %s could not be read (%s)", member.rule.kind, type(error).__name__)
        yield Record(nothing, f"it cannot be read ({type(error).__name__})")


def _words(fault: Exception) -> str:
    return "no permission" if isinstance(fault, PermissionError) else "read error"


def _name(member: Member) -> str:
    return member.file.name


def _compare(file: FoundFile, now: Any) -> None:
    try:
        if FileState.of(os.stat(now)) == file.state:
            return
    except OSError:
        pass
    raise Touched


def _hash(stream: BinaryIO) -> bytes:
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return digest.digest()


def _row(known: Known, number: int, problem: str | None, values: Sequence[Any]) -> Row:
    state = known.state
    content = b"" if not state.size else None
    micros = state.modified_ns // 1_000
    return [known.name, number, state.size, micros, known.sha256.hex(), problem, content, *values]


def _content_of(row: Row) -> list[Aside] | None:
    """Where its bytes are: an empty file has none that could be sent."""
    if not row[2]:
        return None
    return [named("content", bytes.fromhex(row[4]), row[2])]


def _weight(row: Row) -> int:
    return 64 + sum(len(value) for value in row if isinstance(value, str | bytes))


def _plain(values: Sequence[Any]) -> list[Any]:
    """As JSON has them."""
    return [
        value.isoformat()
        if isinstance(value, date)
        else value.hex()
        if isinstance(value, bytes)
        else str(value)
        if isinstance(value, Decimal)
        else value
        for value in values
    ]


def _exact(value: Any, wire: pa.DataType) -> Any:
    """What `_plain` made of a value of this type."""
    if value is None:
        return None
    if pa.types.is_timestamp(wire):
        return datetime.fromisoformat(value)
    if pa.types.is_date(wire):
        return date.fromisoformat(value)
    if pa.types.is_binary(wire):
        return bytes.fromhex(value)
    return Decimal(value) if pa.types.is_decimal(wire) else value
