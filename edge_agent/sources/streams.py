"""A statement's result as rows of Arrow columns, pulled: so many at a time, left whenever the reader has enough.

How a result comes is its dialect's matter: as a driver's records (`Records`, which any driver gives), or as
the server's own text in whole columns, several times as fast. Both mean the same, value for value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from edge_agent.sources.columns import Layout
from edge_agent.sources.source import Rows


class Stream(Protocol):
    """The rows of one statement that runs."""

    def take(self, count: int) -> Rows:
        """At most that many further rows; none at the end. The driver's error where the statement fails."""
        ...

    def close(self) -> None:
        """Ends the statement without reading its rest, whatever became of the connection, and perhaps once
        more. If the connection is usable afterwards, so is its transaction."""
        ...


class Records:
    """The records of a DB-API cursor, value by value."""

    def __init__(self, cursor: Any, layout: Layout, usable: Callable[[], bool]) -> None:
        self._cursor = cursor
        self._layout = layout
        self._usable = usable

    def take(self, count: int) -> Rows:
        return self._layout.rows(self._cursor.fetchmany(count))

    def close(self) -> None:
        if self._usable():
            self._cursor.close()
