"""The contract of a SQL dialect, and the statements that follow from it.

All that differs between databases stands behind `Dialect`: names, placeholders, collations, the catalogue,
the type map, how to connect so that nothing is written and nobody waits. The statements are composed here
once. A dialect decides on text and values; only its `connect` and `identity` touch the outside. It knows
no engine, no retry and no row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from sqlalchemy import URL

from edge_agent.sources.columns import Carrier, Encoded, Layout
from edge_agent.sources.comments import Comments
from edge_agent.sources.streams import Records, Stream
from protocol.names import TableName
from protocol.schema import Column

Statement = tuple[str, tuple[Any, ...]]
"""SQL of the driver's own placeholder style, and its parameters."""

Fetch = Callable[[str, tuple[Any, ...]], list[tuple[Any, ...]]]
"""Runs a catalogue query; text comes as str."""

COLLATION = "collation"
"""Column metadata of a key: the collation by which the database must compare it, where not its default."""


CONNECT_SECONDS_MAX = 10
"""How long it may take until a server has let us in."""

REFUSED = "GC-2040"
"""The code of a source that does not let our account in."""


@dataclass(frozen=True, slots=True)
class UniqueIndex:
    """Columns no two rows of which are equal, under `collations` (by column; absent: the column's own). `identity`:
    what the database's log says of an old row, where it is not the primary key."""

    columns: tuple[str, ...]
    collations: Mapping[str, str] = field(default_factory=dict)
    primary: bool = False
    identity: bool = False


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What the catalogue says of a table."""

    name: TableName
    columns: tuple[Column, ...]
    never_null: frozenset[str]
    indexes: tuple[UniqueIndex, ...]
    rows_estimate: int | None = None
    collates: bool = False
    """Columns may compare otherwise than by their bytes."""
    refused: str | None = None
    """Why it cannot be read whole and exactly, in a few words; None if it can."""
    comments: Comments = field(default_factory=Comments)
    """Where the catalogue tells them with the rest."""


@dataclass(frozen=True, slots=True)
class KeyChoice:
    """The key that rows are told apart by; `certain` where the database itself enforces it."""

    columns: tuple[str, ...]
    collations: Mapping[str, str]
    certain: bool


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a driver's error means: the whole source (retry) or this table; `expired`: our own time limit."""

    reason: str
    everywhere: bool = False
    expired: bool = False
    code: str = "GC-2003"
    """What befell this table: GC-2002, GC-2003, GC-2010, GC-2041, GC-2042; of the whole source only REFUSED
    counts."""


class Dialect(ABC):
    """One database product."""

    name: str
    engine: str
    """SQLAlchemy's address of the driver, without a place."""
    engine_options: Mapping[str, Any] = {}
    row_values: bool
    """`(a, b) > (?, ?)` compares in key order and uses the index."""
    exact_collation: str
    """Compares text by its bytes."""
    begin: str
    """Opens a transaction in which all reads see one state."""
    version_sql: str | None
    """One value that changes whenever a table's definition does; None: the definition is read every time."""
    token_sql: str | None
    """One value, good within a connection, that changes whenever any data does."""

    @abstractmethod
    def check(self, url: URL) -> str | None:
        """What is wrong with the address, in a few words without the address; None if nothing."""

    @abstractmethod
    def identity(self, url: URL) -> str | None:
        """Changes when the database was put in another's place, so that connections must be made anew.
        OSError where it is not there."""

    @abstractmethod
    def connect(self, url: URL) -> Any:
        """A DB-API connection, usable from any thread; `prepare` follows before anything is read."""

    def prepare(self, connection: Any, seconds: float) -> None:
        """What is asked of a new connection before it serves: after it the connection cannot write. `seconds`
        are for one statement, where the server bounds that; `break_off` ends a silence that is longer."""
        return

    def break_off(self, connection: Any) -> None:
        """From another thread: make whatever waits on the connection fail soon, and the connection useless.
        Never blocks. Where a driver cannot do that, its own timeouts must."""
        return

    def usable(self, connection: Any) -> bool:
        """Whether the connection can serve once more."""
        return True

    def cursor(self, connection: Any, sql: str, values: tuple[Any, ...]) -> Any:
        """A DB-API cursor that has run a statement and holds little of its result in memory."""
        cursor = connection.cursor()
        cursor.execute(sql, values)
        return cursor

    def stream(self, connection: Any, sql: str, values: tuple[Any, ...], layout: Layout) -> Stream:
        """The rows of a statement whose result may be large."""
        return Records(self.cursor(connection, sql, values), layout, lambda: self.usable(connection))

    def holding(self, table: TableName) -> str | None:
        """Run first in the transaction: from there on the table's definition stays what it is."""
        return None

    @abstractmethod
    def blocks_writers(self, fetch: Fetch, table: TableName | None) -> bool:
        """Whether a long read (of this table) makes writers wait."""

    @abstractmethod
    def arm(self, connection: Any, expired: Callable[[], bool] | None) -> None:
        """Break off the statement that runs when `expired` says so; None disarms."""

    @abstractmethod
    def trouble(self, error: BaseException) -> Trouble: ...

    @abstractmethod
    def catalogue(self, fetch: Fetch, table: TableName | None) -> list[TableFacts]:
        """That table (or none), or all tables."""

    def comments(self, fetch: Fetch, table: TableName) -> Comments:
        """What only a query of its own tells. May fail; `fetch` gives text as the driver does."""
        return Comments()

    @abstractmethod
    def carrier(self, column: Column) -> Carrier | Encoded: ...

    @abstractmethod
    def comparable(self, column: Column) -> bool:
        """Whether equal values of the column have equal canonical bytes, and the reverse."""

    @abstractmethod
    def quote(self, name: str) -> str: ...

    @abstractmethod
    def placeholder(self, position: int) -> str: ...

    @abstractmethod
    def table(self, table: TableName) -> str:
        """The table in FROM, with the alias `t`."""

    @abstractmethod
    def limited(self, sql: str, rows: int) -> str:
        """`sql`, ended by ORDER BY, cut after `rows` rows."""

    @abstractmethod
    def collated(self, expression: str, collation: str) -> str: ...

    def parameter(self, column: Column, position: int) -> str:
        """The placeholder of a value that is compared with the column, made of the column's type."""
        return self.placeholder(position)

    def bound(self, column: Column, value: Any) -> Any:
        """A decoded canonical value of the column, as the driver's parameter that compares with it exactly."""
        return value

    def selected(self, column: Column) -> str:
        """The column as it is read."""
        return self.column(column)

    def column(self, column: Column) -> str:
        """Qualified: SQLite reads a bare "name" that no longer exists as the text 'name'."""
        return f"t.{self.quote(column.name)}"

    def operator(self, column: Column, sign: str) -> str:
        """`sign` (`=`, `<` …) as it compares the column in its key's own order."""
        return sign

    def compared(self, column: Column) -> str:
        """The column as its key compares it."""
        collation = column.meta.get(COLLATION)
        return self.collated(self.column(column), collation) if collation else self.column(column)


def choose_key(facts: TableFacts, configured: Sequence[str] | None, dialect: Dialect) -> KeyChoice | None:
    """The key of a table: the configured one, else its primary key if that tells rows apart for certain.

    `()` is none (a multiset); None says that the configured key cannot be one (unknown or floating column).
    """
    by_name = {c.name: c for c in facts.columns}
    if configured is None:
        primary = [i for i in facts.indexes if i.primary and set(i.columns) <= facts.never_null]
        if not primary or not all(dialect.comparable(by_name[n]) for n in primary[0].columns):
            return KeyChoice((), {}, True)
        return KeyChoice(primary[0].columns, primary[0].collations, True)
    if not all(name in by_name and dialect.comparable(by_name[name]) for name in configured):
        return None
    for index in facts.indexes:
        if set(index.columns) == set(configured):
            certain = set(configured) <= facts.never_null
            return KeyChoice(tuple(configured), index.collations, certain)
    # No index decides what is equal here, so bytes do.
    texts = [name for name in configured if facts.collates and pa.types.is_string(by_name[name].wire)]
    return KeyChoice(tuple(configured), dict.fromkeys(texts, dialect.exact_collation), not configured)


class _Parameters:
    """Collects values and hands out their placeholders."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.values: list[Any] = []

    def add(self, column: Column, value: Any) -> str:
        self.values.append(self._dialect.bound(column, value))
        return self._dialect.parameter(column, len(self.values) - 1)


def key_range(
    dialect: Dialect, key: Sequence[Column], after: Sequence[Any], until: Sequence[Any]
) -> Statement:
    """The condition `after < key <= until`, empty sequences being unbounded; "" if both are."""
    parameters = _Parameters(dialect)
    parts = []
    if after:
        parts.append(_beyond(dialect, key, after, (">", ">"), parameters))
    if until:
        parts.append(_beyond(dialect, key, until, ("<", "<="), parameters))
    return " AND ".join(parts), tuple(parameters.values)


def _beyond(
    dialect: Dialect,
    key: Sequence[Column],
    values: Sequence[Any],
    signs: tuple[str, str],
    parameters: _Parameters,
) -> str:
    """`key` beyond `values`: `signs` are that of every leading column and that of the last."""
    names = [dialect.compared(c) for c in key]
    if len(names) == 1:
        return f"{names[0]} {dialect.operator(key[0], signs[1])} {parameters.add(key[0], values[0])}"
    # SQLite uses the index for row values only as long as no collation is spelt out.
    if dialect.row_values and not any(COLLATION in c.meta or _has_own(dialect, c) for c in key):
        marks = ", ".join(map(parameters.add, key, values))
        return f"({', '.join(names)}) {signs[1]} ({marks})"
    return _expanded(dialect, key, values, signs, parameters)


def _expanded(
    dialect: Dialect,
    key: Sequence[Column],
    values: Sequence[Any],
    signs: tuple[str, str],
    parameters: _Parameters,
) -> str:
    """The same as OR of ANDs; the bound on the first column in front lets any planner use the index."""
    names = [dialect.compared(c) for c in key]
    signed = dialect.operator(key[0], f"{signs[0]}=")
    lead = f"{names[0]} {signed} {parameters.add(key[0], values[0])}"
    cases = []
    for last in range(len(names)):
        sign = dialect.operator(key[last], signs[1] if last == len(names) - 1 else signs[0])
        terms = [_equals(dialect, key[i], values[i], parameters) for i in range(last)]
        terms.append(f"{names[last]} {sign} {parameters.add(key[last], values[last])}")
        cases.append(f"({' AND '.join(terms)})")
    return f"{lead} AND ({' OR '.join(cases)})"


def select_page(
    dialect: Dialect,
    table: TableName,
    columns: Sequence[Column],
    key: Sequence[Column],
    after: Sequence[Any],
    until: Sequence[Any],
    rows: int,
) -> Statement:
    """The first `rows` rows of a key range in key order."""
    condition, values = key_range(dialect, key, after, until)
    order = ", ".join(dialect.compared(c) for c in key)
    where = f" WHERE {condition}" if condition else ""
    sql = f"{select_whole(dialect, table, columns)}{where} ORDER BY {order}"
    return dialect.limited(sql, rows), values


def select_ordered(
    dialect: Dialect,
    table: TableName,
    columns: Sequence[Column],
    order: Sequence[Column],
    after: Sequence[Any],
    rows: int,
) -> Statement:
    """The first `rows` rows behind `after` (values of all of `order`, or of its first column alone) in that order;
    nothing where the first column is null."""
    condition, values = key_range(dialect, order[: len(after)], after, ())
    condition = condition or f"{dialect.column(order[0])} IS NOT NULL"
    names = ", ".join(dialect.compared(c) for c in order)
    sql = f"{select_whole(dialect, table, columns)} WHERE {condition} ORDER BY {names}"
    return dialect.limited(sql, rows), values


def select_latest(dialect: Dialect, table: TableName, column: Column, rows: int) -> str:
    """The greatest values of a column, the greatest first."""
    name = dialect.column(column)
    sql = f"{select_whole(dialect, table, [column])} WHERE {name} IS NOT NULL"
    return dialect.limited(f"{sql} ORDER BY {dialect.compared(column)} DESC", rows)


def select_whole(dialect: Dialect, table: TableName, columns: Sequence[Column]) -> str:
    """All rows in no order."""
    names = ", ".join(dialect.selected(c) for c in columns)
    return f"SELECT {names} FROM {dialect.table(table)}"  # noqa: S608 (quoted names, bound values)


def select_present(
    dialect: Dialect,
    table: TableName,
    key: Sequence[Column],
    wanted: Sequence[Sequence[Any]],
    columns: Sequence[Column] | None = None,
) -> Statement:
    """The keys, or these columns, of the rows whose keys the database takes to be equal to one of `wanted`."""
    parameters = _Parameters(dialect)
    if len(key) == 1 and not _has_own(dialect, key[0]):
        marks = ", ".join(parameters.add(key[0], values[0]) for values in wanted)
        condition = f"{dialect.compared(key[0])} IN ({marks})"
    else:
        condition = " OR ".join(_equal(dialect, key, values, parameters) for values in wanted)
    return f"{select_whole(dialect, table, columns or key)} WHERE {condition}", tuple(parameters.values)


def _equal(dialect: Dialect, key: Sequence[Column], values: Sequence[Any], parameters: _Parameters) -> str:
    terms = (_equals(dialect, column, value, parameters) for column, value in zip(key, values, strict=True))
    return f"({' AND '.join(terms)})"


def _equals(dialect: Dialect, column: Column, value: Any, parameters: _Parameters) -> str:
    return f"{dialect.compared(column)} {dialect.operator(column, '=')} {parameters.add(column, value)}"


def _has_own(dialect: Dialect, column: Column) -> bool:
    """Whether the column is compared by operators of its own, which neither row values nor IN know."""
    return dialect.operator(column, "=") != "="


def select_null_key(dialect: Dialect, table: TableName, key: Sequence[Column]) -> str:
    """A row if any key column is null anywhere."""
    condition = " OR ".join(f"{dialect.column(c)} IS NULL" for c in key)
    first = dialect.compared(key[0])
    return dialect.limited(f"{select_whole(dialect, table, key)} WHERE {condition} ORDER BY {first}", 1)


def select_ties(
    dialect: Dialect, table: TableName, key: Sequence[Column], values: Sequence[Any]
) -> Statement:
    """Two rows if the database takes more than one to have this key."""
    parameters = _Parameters(dialect)
    condition = _equal(dialect, key, values, parameters)
    first = dialect.compared(key[0])
    sql = f"{select_whole(dialect, table, key)} WHERE {condition} ORDER BY {first}"
    return dialect.limited(sql, 2), tuple(parameters.values)
