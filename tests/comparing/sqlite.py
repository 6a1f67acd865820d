"""SQLite as it stands, read by this test's own rules; nothing of the agent's reading is used.

The lake's wire type says what a column is meant to hold. A value of that kind is compared as such; any other
must stand aside with its exact original: reason `type`, or `range` for a number that a decimal column cannot
hold exactly, or `charset` for text that is no UTF-8. Text comes as _Text, so that it is never taken for a blob.
Whether a text column stands for numbers without declared digits (NUMERIC) is decided by its declared type.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation, localcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import URL

from protocol import canonical

from .catalogue import ComparisonError, Name, shown

BATCH_ROWS = 5_000

_NUMBER = re.compile(r"\s*(DECIMAL|NUMERIC|DEC|NUMBER)\s*(\([\d\s,]*\))?\s*", re.IGNORECASE)
_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
_REAL_TABLES = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
_COLUMNS = "SELECT name, type FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid"


class _Text(bytes):
    """A value that SQLite calls text."""


Odd = tuple[str, bytes]
"""(reason, original) of what stands aside."""

Rule = Callable[[Any, pa.DataType], Any]
"""A value that is not null, as the wire type holds it, or an Odd."""


class SqliteDatabase:
    """One file, in one read transaction from the first question on."""

    def __init__(self, url: URL) -> None:
        if not url.database or not Path(url.database).is_file():
            raise ComparisonError("there is no such database")
        path = Path(url.database).absolute()
        self._connection = sqlite3.connect(
            f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=30
        )
        self._connection.text_factory = _Text
        self._connection.execute("BEGIN").close()

    def close(self) -> None:
        self._connection.close()

    def tables(self) -> list[Name]:
        real = set(self._texts(_REAL_TABLES))
        return [(None, None, name) for name in sorted(real.intersection(self._texts(_TABLES)))]

    def columns(self, table: Name) -> tuple[str, ...]:
        return tuple(self._declared(table))

    def rows(self, table: Name, wires: Mapping[str, pa.DataType | None]) -> Iterator[list[list[bytes]]]:
        """Batches of the table's rows: for every column of `columns` its cells. `wires` are the lake's types;
        what the lake does not have is not read, and its cells are empty."""
        declared = self._declared(table)
        names = ", ".join(f"t.{_quoted(name)}" for name in declared)
        cursor = self._connection.execute(f"SELECT {names} FROM main.{_quoted(shown(table))} AS t")
        try:
            while records := cursor.fetchmany(BATCH_ROWS):
                by_column = zip(*records, strict=True)
                yield [
                    _cells(values, wires.get(name), kind)
                    for (name, kind), values in zip(declared.items(), by_column, strict=True)
                ]
        finally:
            cursor.close()

    def _texts(self, sql: str) -> list[str]:
        return [bytes(name).decode() for (name,) in self._connection.execute(sql).fetchall()]

    def _declared(self, table: Name) -> dict[str, str]:
        found = self._connection.execute(_COLUMNS, (shown(table),)).fetchall()
        return {bytes(name).decode(): bytes(kind or b"").decode() for name, kind in found}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _cells(values: Sequence[Any], wire: pa.DataType | None, declared: str) -> list[bytes]:
    if wire is None:
        return [b""] * len(values)
    rule, held = _rule(wire, declared)
    kept: list[Any] = []
    odd: dict[int, Odd] = {}
    for place, value in enumerate(values):
        result = None if value is None else rule(value, wire)
        if isinstance(result, tuple):
            odd[place] = result
            result = None
        kept.append(result)
    cells = canonical.encode_column(pa.array(kept, held))
    for place, (reason, original) in odd.items():
        cells[place] = canonical.aside_cell(
            {"column": "", "reason": reason, "original": original, "sha256": None, "bytes": len(original)}
        )
    return cells


def _rule(wire: pa.DataType, declared: str) -> tuple[Rule, pa.DataType]:
    """How to judge values, and the widest type of that kind: a lake that rounds does not get its own rounding."""
    if pa.types.is_integer(wire):
        return _integer, pa.int64()
    if pa.types.is_floating(wire):
        return _float, pa.float64()
    if pa.types.is_decimal128(wire):
        return _decimal, wire
    if pa.types.is_string(wire):
        return (_number_text if _NUMBER.fullmatch(declared) else _text), pa.string()
    if pa.types.is_binary(wire):
        return _binary, pa.binary()
    return (lambda value, _: _aside(value)), pa.null()


def _aside(value: Any, reason: str = "type") -> Odd:
    if isinstance(value, _Text):
        return ("type" if _is_utf8(value) else "charset"), bytes(value)
    if isinstance(value, bytes):
        return reason, value
    return reason, repr(value).encode()


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _integer(value: Any, _: pa.DataType) -> Any:
    return value if isinstance(value, int) else _aside(value)


def _float(value: Any, _: pa.DataType) -> Any:
    return value if isinstance(value, float) else _aside(value)


def _text(value: Any, _: pa.DataType) -> Any:
    return value.decode() if isinstance(value, _Text) and _is_utf8(value) else _aside(value)


def _binary(value: Any, _: pa.DataType) -> Any:
    return value if isinstance(value, bytes) and not isinstance(value, _Text) else _aside(value)


def _number_text(value: Any, _: pa.DataType) -> Any:
    return repr(value) if isinstance(value, int | float) else _aside(value)


def _decimal(value: Any, wire: pa.DataType) -> Any:
    """The shortest text of a number says which decimal is meant; it must fit without losing a digit."""
    if not isinstance(value, int | float):
        return _aside(value)
    with localcontext() as context:
        context.prec = wire.precision
        context.Emax, context.Emin = 999_999, -999_999
        context.traps[InvalidOperation] = True
        try:
            meant = Decimal(repr(value))
            held = meant.quantize(Decimal(1).scaleb(-wire.scale))
        except InvalidOperation:
            return _aside(value, "range")
    return held if held == meant else _aside(value, "range")
