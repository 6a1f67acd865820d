"""Results of MySQL and MariaDB that pymysql does not buffer: as records, and as columns from the line's own bytes.

The driver sends the statement and reads the description of its columns; the rows it would read in Python one
value at a time, so they are taken from its stream of bytes here. The protocol cannot stop a result: to
leave one early the connection is closed. It relies on what pymysql keeps to itself (`_rfile`, `_result`,
`_next_seq_id`), which a test with a real server would miss.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import pymysql
from pymysql.constants import CR

from edge_agent.sources.columns import Layout
from edge_agent.sources.packets import Packets, Torn
from edge_agent.sources.source import Rows

RECEIVE_BYTES = 256 * 1024


class RecordResult:
    """The records of an unbuffered cursor."""

    def __init__(self, connection: Any, cursor: Any) -> None:
        self._connection = connection
        self._cursor = cursor
        self._ended = False

    def fetchmany(self, count: int) -> Sequence[Sequence[Any]]:
        try:
            rows: Sequence[Sequence[Any]] = self._cursor.fetchmany(count)
        except BaseException:
            forget(self._cursor)
            raise
        self._ended = self._ended or not rows
        return rows

    def close(self) -> None:
        if self._ended or not self.fetchmany(1):
            self._cursor.close()
        else:
            forget(self._cursor)
            self._connection.close()


class ColumnResult:
    """The rows of an unbuffered cursor, as columns (a `Stream`)."""

    def __init__(self, connection: Any, cursor: Any, layout: Layout) -> None:
        self._connection = connection
        self._cursor = cursor  # which would read the result to its end if nobody held it
        self._layout = layout
        self._packets = Packets(self._receive, len(layout.names), connection._next_seq_id)

    def _receive(self) -> bytes:
        received: bytes = self._connection._rfile.read1(RECEIVE_BYTES)
        return received

    def take(self, count: int) -> Rows:
        try:
            texts = self._packets.take(count)
        except (Torn, OSError, ValueError):  # ValueError: the stream was closed by another thread
            forget(self._cursor)
            self._connection._force_close()
            lost = "Lost connection to MySQL server during query"
            raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, lost) from None
        if self._packets.ended:
            forget(self._cursor)
        if self._packets.error is not None:
            pymysql.err.raise_mysql_exception(self._packets.error)
        return self._layout.columns(texts, len(texts[0]))

    def close(self) -> None:
        if not self._connection.open:
            return
        # A result that was limited has but its end to read.
        with contextlib.suppress(pymysql.Error):
            if self._packets.ended or not self.take(1).count:
                return
        forget(self._cursor)
        self._connection.close()


def forget(cursor: Any) -> None:
    """Else pymysql reads the rest of the result, when the cursor is closed or collected: the rest of a large table,
    or of a connection that is lost."""
    if cursor._result is not None:
        cursor._result.unbuffered_active = False
    cursor.connection = None
