"""A PostgreSQL source that stops between the steps of a chunk, so that a test can let others write there.

It reads as the product's own source does, and does nothing but call whoever waits for a moment. Moments, in order:
"begin" before the chunk's transaction; "locked" once it has begun and holds its table, before anything took a snapshot;
"seen" once its snapshot is taken; "read" with its rows in hand, in its transaction; "ended" after that, and "fenced"
behind the fence.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_agent.sources.dialects.dialect import Statement
from edge_agent.sources.included import is_included
from edge_agent.sources.log import Chunk, Snapshot
from edge_agent.sources.pg.source import PostgresSource
from edge_agent.sources.reading import Reading
from edge_agent.sources.settings import PostgresSettings
from edge_agent.sources.source import PageLimits, Source
from protocol.names import TableName
from protocol.schema import TableSchema
from tests.integration.capturing import Settings

MOMENTS = ("begin", "locked", "seen", "read", "ended", "fenced")
AtMoment = Callable[[str, TableName], None]


class StepwiseSource(PostgresSource):
    """Calls `at` with each moment and the chunk's table."""

    at: AtMoment
    _reads: TableName | None = None

    def _moment(self, moment: str) -> None:
        if self._reads is not None:
            self.at(moment, self._reads)

    def _begin(self, raw: Any, table: TableName | None) -> None:
        super()._begin(raw, table)
        if table is not None and table == self._reads:
            self._moment("locked")

    def _snapshot(self, reading: Reading) -> Snapshot:
        found = super()._snapshot(reading)
        self._moment("seen")
        return found

    def _read_chunk(self, schema: TableSchema, statement: Statement, limits: PageLimits) -> Chunk:
        self._reads = schema.table
        try:
            self._moment("begin")
            chunk = super()._read_chunk(schema, statement, limits)
            self._moment("ended")
            return chunk
        except BaseException:
            self._reads = None
            raise

    def _read_page(self, *arguments: Any) -> Any:
        found = super()._read_page(*arguments)
        self._moment("read")
        return found

    def fence(self) -> str:
        token = super().fence()
        self._moment("fenced")
        self._reads = None
        return token


def address(settings: PostgresSettings) -> str:
    if settings.url is not None:
        return settings.url.get_secret_value()
    assert settings.url_file is not None
    return Path(settings.url_file).read_text("utf-8")


def stepwise(at: AtMoment) -> Callable[[str, Settings], Source]:
    """Opens such a source from its settings."""

    def opened(slug: str, settings: Settings) -> Source:
        assert isinstance(settings, PostgresSettings)
        keys = {name: table.key for name, table in settings.tables.items() if table.key is not None}
        source = StepwiseSource(
            slug,
            lambda: address(settings),
            lambda table: is_included(settings, table),
            settings.slot_of(slug),
            settings.publications_of(slug),
            keys,
        )
        source.at = at
        return source

    return opened
