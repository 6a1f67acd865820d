"""A source with a meter: how long its statements ran and how many rows they gave, since it was read last.

What a step does besides (sealing, our own disk) is no load for the hospital, and is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from protocol.names import TableName
from protocol.schema import TableSchema

from ..sources.source import (
    GrowingSource,
    ObjectSource,
    Page,
    PageLimits,
    RefusingSource,
    Rows,
    Source,
    TableInfo,
    Way,
)


class Metered:
    """A source like the one that it wraps."""

    def __init__(self, source: Source, clock: Callable[[], float]) -> None:
        self._source = source
        self._clock = clock
        self._seconds = 0.0
        self._rows = 0

    def read_meter(self) -> tuple[float, int]:
        """Seconds and rows since the last time; both begin anew."""
        seconds, rows = self._seconds, self._rows
        self._seconds, self._rows = 0.0, 0
        return seconds, rows

    @contextmanager
    def _measured(self) -> Iterator[None]:
        begun = self._clock()
        try:
            yield
        finally:
            self._seconds += self._clock() - begun

    def inventory(self) -> list[TableInfo]:
        with self._measured():
            return self._source.inventory()

    def describe(self, table: TableName) -> TableSchema:
        with self._measured():
            return self._source.describe(table)

    def way(self, schema: TableSchema) -> Way:
        return self._source.way(schema)

    def token(self, table: TableName) -> str | None:
        with self._measured():
            return self._source.token(table)

    def page(self, schema: TableSchema, after: bytes, until: bytes, limits: PageLimits) -> Page:
        with self._measured():
            page = self._source.page(schema, after, until, limits)
        self._rows += page.rows.count
        return page

    def present(self, schema: TableSchema, keys: Sequence[bytes]) -> set[bytes]:
        with self._measured():
            return self._source.present(schema, keys)

    def changed(self, schema: TableSchema, column: str, after: bytes, limits: PageLimits) -> Page:
        with self._measured():
            page = self._source.changed(schema, column, after, limits)
        self._rows += page.rows.count
        return page

    def latest(self, schema: TableSchema, column: str) -> bytes:
        with self._measured():
            return self._source.latest(schema, column)

    def whole(self, schema: TableSchema) -> Iterator[Rows]:
        return self._counted(self._source.whole(schema))

    def mark(self, table: TableName) -> str:
        return self._source.mark(table) if isinstance(self._source, GrowingSource) else ""

    def since(self, schema: TableSchema, mark: str) -> Iterator[Rows] | None:
        with self._measured():
            slices = cast(GrowingSource, self._source).since(schema, mark)
        return None if slices is None else self._counted(slices)

    def _counted(self, slices: Iterator[Rows]) -> Iterator[Rows]:
        while True:
            with self._measured():
                rows = next(slices, None)
            if rows is None:
                return
            self._rows += rows.count
            yield rows

    def refuge(self, table: TableName) -> TableName | None:
        return self._source.refuge(table) if isinstance(self._source, RefusingSource) else None

    def read_object(self, sha256: bytes, offset: int, count: int) -> bytes:
        with self._measured():
            return cast(ObjectSource, self._source).read_object(sha256, offset, count)

    def forget_object(self, sha256: bytes) -> None:
        cast(ObjectSource, self._source).forget_object(sha256)

    def interrupt(self) -> None:
        self._source.interrupt()

    def close(self) -> None:
        self._source.close()
