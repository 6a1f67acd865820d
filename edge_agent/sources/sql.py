"""Kind `sql`: a database behind SQLAlchemy, read by short statements in the key's own order.

The engine gives the connection and the rows' raw values; what differs between products is the dialect's.
Each call is one read transaction that first sees whether the table is still what the schema says, so a page
is of one state and of one definition. One connection serves all calls, because a database tells only on the
same connection that nothing changed; it is made anew when the file behind it was replaced.
Driver errors never leave this module: their texts can hold values.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from edge_agent.sources.address import bad_address, read_address
from edge_agent.sources.columns import Layout, join, weight
from edge_agent.sources.comments import Comments, commented
from edge_agent.sources.dialects import dialect as statements
from edge_agent.sources.dialects.dialect import COLLATION, REFUSED, KeyChoice, TableFacts, choose_key
from edge_agent.sources.ordered import order_of, page_of
from edge_agent.sources.patience import Patience, Silent
from edge_agent.sources.reading import Expired, Reading, cause_of
from edge_agent.sources.slicing import prefix, slices
from edge_agent.sources.source import Page, PageLimits, Rows, TableInfo, Way
from protocol.canonical import decode, encode_rows
from protocol.errors import Fault, Rejected, Transient
from protocol.limits import MIB, VALUE_INLINE_BYTES_MAX
from protocol.names import TableName
from protocol.schema import Column, TableSchema

SLICE_ROWS = 5_000
SLICE_BYTES = 4 * MIB
HELD_BYTES_MAX = 32 * MIB
"""Read ahead of the consumer of `whole`, so that the statement ends when reading does, not when it does."""

SILENCE_FACTOR = 1.1
"""The server is given the time to break a long statement off itself, which spares the connection."""

PRESENT_KEYS_MAX = 200
"""Keys per statement: SQLite bounds an expression's depth to 1,000 and Oracle a list to 1,000."""

LATEST_ROWS = 100
"""Among so many rows at its end the greatest value of a column is looked for: some may stand aside."""


class SqlSource:
    """One database. `keys` overrides the key of tables by `str(TableName)`; `()` makes a multiset. `url` may be
    a function, asked anew for each connection: a password that was changed takes effect by itself.

    Raises Permanent GC-1003 for an address that no dialect reads.
    """

    def __init__(
        self,
        slug: str,
        url: str | Callable[[], str],
        keys: Mapping[str, tuple[str, ...]] | None = None,
        statement_seconds_max: float = 1.0,
        timezone: str = "Asia/Shanghai",
        clock: Callable[[], float] = time.monotonic,
        answer_seconds_max: float = 600.0,
    ) -> None:
        self._slug = slug
        self._ask_url = url if callable(url) else lambda: url
        self._url, self._dialect = read_address(slug, self._ask_url())
        self._patience = Patience(answer_seconds_max * SILENCE_FACTOR, time.monotonic)
        self._answer_seconds_max = answer_seconds_max
        self._keys = dict(keys or {})
        self._seconds_max = statement_seconds_max
        self._timezone = timezone
        self._clock = clock
        self._identity: str | None = None
        self._generation = 0
        self._known: dict[bytes, tuple[object, bool]] = {}
        self._row_bytes: dict[bytes, int] = {}
        self._engine = sqlalchemy.create_engine(
            self._dialect.engine,
            creator=self._connect,
            poolclass=StaticPool,
            **self._dialect.engine_options,
        )
        self._driver_error: type[Exception] = self._engine.dialect.loaded_dbapi.Error

    def _connect(self) -> Any:
        self._generation += 1
        url, dialect = read_address(self._slug, self._ask_url())
        if type(dialect) is not type(self._dialect):
            raise bad_address(self._slug, "it is of another database product than before: restart the agent")
        self._url = url
        raw = self._dialect.connect(url)
        try:
            with self._patience.with_(lambda: self._dialect.break_off(raw)):
                self._dialect.prepare(raw, self._answer_seconds_max)
        except BaseException:
            raw.close()
            raise
        return raw

    def interrupt(self) -> None:
        self._patience.end()

    def close(self) -> None:
        self._patience.end()
        self._engine.dispose()

    # What exists.

    def inventory(self) -> list[TableInfo]:
        with self._reading(None) as reading:
            facts = self._dialect.catalogue(reading.fetch, None)
        infos = [
            TableInfo(
                f.name,
                tuple((c.name, c.source_type) for c in f.columns),
                f.rows_estimate,
                key.columns if (key := self._key(f)) is not None else (),
            )
            for f in facts
            if _travels(str(f.name), *(c.name for c in f.columns))
        ]
        return sorted(infos, key=lambda info: str(info.name))

    def describe(self, table: TableName) -> TableSchema:
        with self._reading(table) as reading:
            schema = self._describe(reading, table)[0]
            told = reading.spared(lambda: self._dialect.comments(reading.rows, table), Comments())
            return commented(schema, told)

    def _describe(self, reading: Reading, table: TableName) -> tuple[TableSchema, bool]:
        """The schema, and whether the database itself enforces its key."""
        found = self._dialect.catalogue(reading.fetch, table)
        if not found:
            raise Rejected("GC-2002", table=str(table), source=self._slug)
        if found[0].refused is not None:
            raise Rejected("GC-2030", table=str(table), reason=found[0].refused)
        facts, key = found[0], self._key(found[0])
        if key is None:
            raise Rejected("GC-2005", table=str(table))
        if not _travels(*(c.name for c in facts.columns)):
            raise Rejected("GC-2003", table=str(table), reason="a column name is no UTF-8")
        columns = tuple(_with_collation(c, key) for c in facts.columns)
        meta = {"dialect": self._dialect.name, "timezone": self._timezone}
        return commented(TableSchema(table, columns, key.columns, meta), facts.comments), key.certain

    def _key(self, facts: TableFacts) -> KeyChoice | None:
        return choose_key(facts, self._keys.get(str(facts.name)), self._dialect)

    def way(self, schema: TableSchema) -> Way:
        return Way.RANGES if schema.key else Way.WHOLE

    def token(self, table: TableName) -> str | None:
        if self._dialect.token_sql is None:
            return None
        with self._reading(table) as reading:
            value = reading.fetch(self._dialect.token_sql, ())[0][0]
            return f"{self._generation}.{value}"

    # What it holds.

    def page(self, schema: TableSchema, after: bytes, until: bytes, limits: PageLimits) -> Page:
        key = [schema.columns[i] for i in schema.key_positions]
        with self._reading(schema.table) as reading:
            certain = self._check_definition(reading, schema)
            if not certain and not after and self._has_null_key(reading, schema, key):
                raise Rejected("GC-2005", table=str(schema.table))
            sql, values = statements.select_page(
                self._dialect, schema.table, schema.columns, key, decode(after), decode(until), limits.rows
            )
            rows, full = self._read_page(reading, schema, (sql, values), limits)
            keys = self._keys_of(schema, rows)
            last = keys[-1] if keys else b""
        if not certain and (len(set(keys)) != len(keys) or (full and self._tied(schema, key, last))):
            raise Rejected("GC-2005", table=str(schema.table))
        return Page(rows, last, full)

    def _read_page(
        self, reading: Reading, schema: TableSchema, statement: statements.Statement, limits: PageLimits
    ) -> tuple[Rows, bool]:
        """The rows up to the first limit (rows, bytes, time), and whether one was met."""
        layout = self._layout(schema)
        taken: list[Rows] = []
        rows_left, bytes_left = limits.rows, limits.bytes
        bounds = (min(limits.rows, SLICE_ROWS), max(1, limits.bytes // 4))
        # Where time runs out, what was taken in small pieces before is a page; a large first one would be nothing.
        row_bytes = None if reading.limited else self._row_bytes.get(schema.fingerprint)
        try:
            with reading.stream(*statement, layout) as fetch:
                for piece in slices(fetch, *bounds, row_bytes):
                    count = prefix(piece, bytes_left)
                    count = count if taken else max(1, count)
                    if count:
                        taken.append(piece.slice(0, count))
                    rows_left -= count
                    size = weight(piece)
                    bytes_left -= size
                    self._row_bytes[schema.fingerprint] = size // piece.count
                    if count < piece.count or not rows_left or bytes_left <= 0 or reading.expired():
                        return join(taken), True
        except Expired:
            if not taken:
                raise
            return join(taken), True
        return join(taken) if taken else layout.rows([]), False

    def _keys_of(self, schema: TableSchema, rows: Rows) -> list[bytes]:
        """The canonical keys. Raises Rejected where one has no canonical form or is null."""
        names = set(schema.key)
        if any(entry["column"] in names for entries in rows.asides or () for entry in entries or ()):
            raise Rejected("GC-2004", table=str(schema.table))
        columns = [rows.columns[i] for i in schema.key_positions]
        if any(c.null_count for c in columns):
            raise Rejected("GC-2005", table=str(schema.table))
        if any(_longest(c) > VALUE_INLINE_BYTES_MAX for c in columns):
            raise Rejected("GC-2004", table=str(schema.table))
        return encode_rows(columns)

    def _has_null_key(self, reading: Reading, schema: TableSchema, key: Sequence[Column]) -> bool:
        # No range ever finds a null, so such rows would be missing without a word.
        return bool(reading.fetch(statements.select_null_key(self._dialect, schema.table, key), ()))

    def _tied(self, schema: TableSchema, key: Sequence[Column], last: bytes) -> bool:
        # The next page begins beyond this key, and with it beyond every other row that has it then. Asked anew:
        # where a page was left early the connection may be gone.
        sql, values = statements.select_ties(self._dialect, schema.table, key, decode(last))
        with self._reading(schema.table) as reading:
            return len(reading.rows(sql, values)) > 1

    def present(self, schema: TableSchema, keys: Sequence[bytes]) -> set[bytes]:
        key = [schema.columns[i] for i in schema.key_positions]
        layout = self._layout_of(key)
        found: set[bytes] = set()
        for start in range(0, len(keys), PRESENT_KEYS_MAX):
            wanted = [decode(k) for k in keys[start : start + PRESENT_KEYS_MAX]]
            with self._reading(schema.table) as reading:
                self._check_definition(reading, schema)
                sql, values = statements.select_present(self._dialect, schema.table, key, wanted)
                rows = layout.rows(reading.rows(sql, values))
            found.update(encode_rows(rows.columns, schema.key, rows.asides))
        return found.intersection(keys)

    def changed(self, schema: TableSchema, column: str, after: bytes, limits: PageLimits) -> Page:
        order = order_of(schema, column)
        with self._reading(schema.table) as reading:
            self._check_definition(reading, schema)
            statement = statements.select_ordered(
                self._dialect, schema.table, schema.columns, order, decode(after), limits.rows
            )
            rows, full = self._read_page(reading, schema, statement, limits)
        self._keys_of(schema, rows)
        return page_of(schema, column, rows, full)

    def latest(self, schema: TableSchema, column: str) -> bytes:
        one = order_of(schema, column)[0]
        with self._reading(schema.table) as reading:
            self._check_definition(reading, schema)
            sql = statements.select_latest(self._dialect, schema.table, one, LATEST_ROWS)
            rows = self._layout_of([one]).rows(reading.rows(sql, ()))
        carried = rows.columns[0].drop_null()
        return encode_rows([carried.slice(0, 1)])[0] if len(carried) else b""

    def whole(self, schema: TableSchema) -> Iterator[Rows]:
        held: deque[Rows] = deque()
        with self._reading(schema.table) as reading:
            self._check_definition(reading, schema)
            sql = statements.select_whole(self._dialect, schema.table, schema.columns)
            with reading.stream(sql, (), self._layout(schema)) as fetch:
                weights = 0
                for piece in slices(fetch, SLICE_ROWS, SLICE_BYTES):
                    if reading.expired():
                        raise self._too_long(schema.table)
                    held.append(piece)
                    weights += weight(piece)
                    while weights > HELD_BYTES_MAX:
                        weights -= weight(held[0])
                        yield held.popleft()
        while held:
            yield held.popleft()

    def _layout(self, schema: TableSchema) -> Layout:
        return self._layout_of(schema.columns)

    def _layout_of(self, columns: Sequence[Column]) -> Layout:
        return Layout(
            tuple(c.name for c in columns),
            tuple(c.wire for c in columns),
            tuple(self._dialect.carrier(c) for c in columns),
        )

    def _check_definition(self, reading: Reading, schema: TableSchema) -> bool:
        """Raise Rejected GC-2002/2010 unless the table is still as `schema` says; whether its key is certain."""
        version: object = None
        if self._dialect.version_sql is not None:
            version = (self._generation, reading.fetch(self._dialect.version_sql, ())[0][0])
            known = self._known.get(schema.fingerprint)
            if known is not None and known[0] == version:
                return known[1]
        current, certain = self._describe(reading, schema.table)
        if current.shape != schema.shape:
            raise Rejected("GC-2010", table=str(schema.table))
        self._known[schema.fingerprint] = (version, certain)
        return certain

    # How it is reached.

    @contextmanager
    def _reading(self, table: TableName | None) -> Iterator[Reading]:
        """One read transaction, whose driver errors become faults of ours."""
        try:
            self._renew()
            with self._engine.connect() as connection:
                raw: Any = connection.connection.dbapi_connection

                def waiting() -> AbstractContextManager[None]:
                    return self._patience.with_(lambda: self._dialect.break_off(raw))

                reading = Reading(connection, raw, self._dialect, self._driver_error, self._clock, waiting)
                try:
                    with waiting():
                        self._begin(raw, table)
                    if self._dialect.blocks_writers(reading.fetch, table):
                        reading.limit(self._seconds_max)
                    yield reading
                finally:
                    if self._dialect.usable(raw):
                        self._dialect.arm(raw, None)
                    elif not connection.invalidated:
                        connection.invalidate()
                    with waiting():
                        connection.close()
        except Silent:
            ended, seconds = self._patience.ended, self._patience.seconds
            reason = "it is being closed" if ended else f"no answer within {seconds:g} s"
            raise Transient("GC-2001", source=self._slug, reason=reason) from None
        except Expired:
            raise self._too_long(table) from None
        except (DBAPIError, self._driver_error, OSError) as error:
            raise self._fault(error, table) from None

    def _begin(self, raw: Any, table: TableName | None) -> None:
        holding = None if table is None else self._dialect.holding(table)
        cursor = raw.cursor()
        for statement in (self._dialect.begin, holding):
            if statement is not None:
                cursor.execute(statement)
        cursor.close()

    def _renew(self) -> None:
        identity = self._dialect.identity(self._url)
        if identity != self._identity:
            self._engine.dispose()
            self._identity = identity

    def _fault(self, error: BaseException, table: TableName | None) -> Fault:
        trouble = self._dialect.trouble(cause_of(error))
        if trouble.expired:
            return self._too_long(table)
        if trouble.everywhere or table is None:
            code = REFUSED if trouble.code == REFUSED else "GC-2001"
            return Transient(code, source=self._slug, reason=trouble.reason)
        return Rejected(trouble.code, table=str(table), source=self._slug, reason=trouble.reason)

    def _too_long(self, table: TableName | None) -> Fault:
        return Rejected("GC-2007", table=str(table or self._slug), seconds=f"{self._seconds_max:g}")


def _with_collation(column: Column, key: KeyChoice) -> Column:
    collation = key.collations.get(column.name) if column.name in key.columns else None
    if collation is None:
        return column
    return Column(column.name, column.wire, column.source_type, {**column.meta, COLLATION: collation})


def _travels(*names: str) -> bool:
    return not any("\udc80" <= char <= "\udcff" for name in names for char in name)


def _longest(column: pa.Array) -> int:
    if not (pa.types.is_string(column.type) or pa.types.is_binary(column.type)):
        return 0
    return pc.max(pc.binary_length(column)).as_py() or 0
