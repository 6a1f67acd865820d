"""A read transaction of a SQL source: queries in it, and how long they may hold up the database's writers.

Rows come as the dialect streams them; SQLAlchemy's own row objects would cost as much again.
It knows no table, no schema and no fault: `SqlSource` turns the driver's errors into ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy.exc import DBAPIError

from edge_agent.sources.columns import Layout
from edge_agent.sources.dialects.dialect import Dialect
from edge_agent.sources.patience import Silent
from edge_agent.sources.source import Rows

_FETCH_ROWS = 200

T = TypeVar("T")


class Expired(Exception):
    """The statement ran as long as it may."""


class Reading:
    """A read transaction: queries in it, and its time limit if it has one."""

    def __init__(
        self,
        connection: sqlalchemy.Connection,
        raw: Any,
        dialect: Dialect,
        driver_error: type[Exception],
        clock: Callable[[], float],
        waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`waiting()` bounds how long an answer of the server may take."""
        self._connection = connection
        self._raw = raw
        self._dialect = dialect
        self._driver_error = driver_error
        self._clock = clock
        self._waiting = waiting
        self._deadline: float | None = None

    def limit(self, seconds: float) -> None:
        self._deadline = self._clock() + seconds
        self._dialect.arm(self._raw, self.expired)

    @property
    def limited(self) -> bool:
        return self._deadline is not None

    def expired(self) -> bool:
        return self._deadline is not None and self._clock() > self._deadline

    def fetch(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """All rows of a catalogue query; text as str."""
        result = self._translated(lambda: self._connection.exec_driver_sql(sql, values))
        return [tuple(_decoded(v) for v in row) for row in self._translated(result.fetchall)]

    def rows(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """All rows of a small query, as the driver gives them."""
        cursor = self._translated(lambda: self._dialect.cursor(self._raw, sql, values))
        try:
            found: list[tuple[Any, ...]] = []
            while more := self._translated(lambda: cursor.fetchmany(_FETCH_ROWS)):
                found += more
            return found
        finally:
            if self._dialect.usable(self._raw):
                self._translated(cursor.close)

    def spared(self, ask: Callable[[], T], otherwise: T) -> T:
        """What `ask` reads, or `otherwise` where the database refuses or fails it. Only as the last of a
        transaction: SQL Server ends one at such a failure."""
        try:
            return ask()
        except (DBAPIError, self._driver_error, OSError, UnicodeError, Expired, Silent):
            return otherwise

    def commit(self) -> None:
        """What else it did takes effect; a transaction that only read needs none."""
        self._translated(self._raw.commit)

    @contextmanager
    def stream(self, sql: str, values: tuple[Any, ...], layout: Layout) -> Iterator[Callable[[int], Rows]]:
        """The rows of a statement, so many at a time."""
        stream = self._translated(lambda: self._dialect.stream(self._raw, sql, values, layout))
        try:
            yield lambda count: self._translated(lambda: stream.take(count))
        finally:
            try:
                self._translated(stream.close)
            except Silent:
                stream.close()
                raise

    def _translated(self, call: Callable[[], T]) -> T:
        try:
            with self._waiting():
                return call()
        except (DBAPIError, self._driver_error) as error:
            if self._dialect.trouble(cause_of(error)).expired:
                raise Expired from None
            raise


def cause_of(error: BaseException) -> BaseException:
    """The driver's own error behind SQLAlchemy's."""
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _decoded(value: Any) -> Any:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytearray) else value
