"""The rows of PostgreSQL's COPY … TO STDOUT, pulled as columns of the server's own text.

The driver pushes rows until the statement ends, so it runs on a thread of its own that waits whenever one
block lies untaken: memory stays bounded. The server's own timeout would count such waits, so it is off, and
whoever hears nothing for as long cancels. A savepoint around it all lets a statement be left
early within the transaction's one view of the data. CSV tells null (nothing) from empty text (`""`) and
needs no types; rows are counted as they arrive and again when parsed. Knows no table and no meaning of a text.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from itertools import chain
from queue import Empty, Queue
from typing import Any

import pyarrow as pa
from pyarrow import csv

from edge_agent.sources.columns import Layout
from edge_agent.sources.source import Rows
from edge_agent.sources.spelt import in_utf8

BLOCK_BYTES = 512 * 1024
"""Rows handed over at once; with one block waiting, three of them, or three rows, are in memory at most."""

TAKE_BYTES_MAX = 4 * 1024 * 1024
"""What is taken at once has no further block behind so much."""

_BEGIN = "SAVEPOINT guicang; SET LOCAL statement_timeout = 0"
_END = "ROLLBACK TO SAVEPOINT guicang"
_CANCEL = """
SELECT pg_catalog.pg_cancel_backend(a.pid) FROM pg_catalog.pg_stat_activity a
WHERE a.pid = %s AND a.usename = current_user
    AND a.application_name = pg_catalog.current_setting('application_name')
"""
"""Ours alone: a server that was restarted, or another one, may have somebody else's process of that number."""

CANCEL_SECONDS_MAX = 5
"""How long a server may take to hear that a statement is to end."""


class _Left(Exception):
    """Nobody wants further rows."""


class CopyStream:
    """One COPY that runs. `query` is its SELECT, complete, in the connection's encoding; it is cancelled where
    it sends nothing for so many `seconds`. `raw`: its texts come as they are stored, in `charset`."""

    def __init__(
        self,
        connection: Any,
        query: bytes,
        layout: Layout,
        seconds: float,
        charset: str | None = None,
        *,
        raw: bool = False,
    ) -> None:
        self._connection = connection
        self._seconds = seconds
        self._layout = layout
        self._charset = charset
        self._handover: Queue[list[bytes] | None] = Queue(1)
        self._block: list[bytes] = []
        self._block_bytes = 0
        self._left = False
        self._error: BaseException | None = None
        self._pending: list[bytes] = []
        self._ended = False
        self._cut = False
        with connection.cursor() as cursor:
            cursor.execute(_BEGIN)
        encoding = b", ENCODING 'SQL_ASCII'" if raw else b""
        statement = b"COPY (%b) TO STDOUT (FORMAT csv%b)" % (query, encoding)
        self._thread = threading.Thread(target=self._run, args=(statement,), name="copy", daemon=True)
        self._thread.start()

    # On the thread.

    def _run(self, statement: bytes) -> None:
        try:
            with self._connection.cursor() as cursor:
                cursor.copy_expert(statement, self)
            self._hand_over()
        except _Left:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self._handover.put(None)

    def write(self, row: bytes) -> None:
        """What the driver calls, once a row."""
        self._block.append(row)
        self._block_bytes += len(row)
        if self._block_bytes >= BLOCK_BYTES or self._left:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._left:
            raise _Left
        self._handover.put(self._block)
        self._block, self._block_bytes = [], 0

    # On the reader's.

    def take(self, count: int) -> Rows:
        held = sum(map(len, self._pending))
        # Rows may become a thousand times as long as those before, by which the caller reckons.
        while len(self._pending) < count and held < TAKE_BYTES_MAX and not self._ended:
            held += self._receive()
        rows, self._pending = self._pending[:count], self._pending[count:]
        count = len(rows)
        texts = parse(rows, len(self._layout.names))
        return self._layout.columns([in_utf8(text, self._charset) for text in texts], count)

    def _receive(self) -> int:
        """Bytes that came."""
        try:
            block = self._handover.get(timeout=self._seconds)
        except Empty:
            self._cancel()
            block = self._handover.get()
        if block is not None:
            self._pending += block
            return sum(map(len, block))
        self._ended = True
        if self._error is not None:
            raise self._error
        return 0

    def _cancel(self) -> None:
        """End the statement; its connection too, where the server does not even hear of it in time."""
        if self._cut:
            return
        heard = threading.Event()
        asking = threading.Thread(target=ask_to_cancel, args=(self._connection, heard), daemon=True)
        asking.start()
        asking.join(CANCEL_SECONDS_MAX)
        if not heard.is_set():
            self._cut = True
            cut(self._connection)

    def close(self) -> None:
        self._left = True
        if not self._ended:
            self._cancel()
        while not self._ended:
            self._ended = self._handover.get() is None
        self._thread.join()
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(_END)
        except Exception:
            # Whoever needs the connection again will hear of it.
            self._connection.close()


def ask_to_cancel(connection: Any, heard: threading.Event) -> None:
    """By a session of its own. The driver's own `cancel` keeps all threads of the process waiting for the server's
    answer, for ever where the line carries nothing (measured, psycopg2 2.9)."""
    import psycopg2

    with contextlib.suppress(Exception):
        place = connection.info.dsn_parameters | {"connect_timeout": str(CANCEL_SECONDS_MAX)}
        with contextlib.closing(psycopg2.connect(**place, password=connection.info.password)) as other:
            other.autocommit = True
            with other.cursor() as cursor:
                cursor.execute(_CANCEL, (connection.info.backend_pid,))
                if cursor.fetchall():
                    heard.set()


def cut(connection: Any) -> None:
    """From any thread: whatever waits on the connection fails, and it is lost. Never blocks."""
    with contextlib.suppress(Exception):
        broken = socket.socket(fileno=connection.fileno())
        try:
            broken.shutdown(socket.SHUT_RDWR)
        finally:
            broken.detach()  # it is the driver's to close


def parse(rows: list[bytes], columns: int) -> list[pa.Array]:
    """The texts of each column. `rows` are complete lines of COPY's CSV; they are given up, for one may be as large as
    all that is made of it."""
    if not rows:
        return [pa.nulls(0, pa.binary())] * columns
    # A line in front: the parser takes away a byte order mark at the beginning, which may be a value's own.
    count, data = len(rows), b"".join(chain((b"\n",), rows))
    rows.clear()
    names = [str(i) for i in range(columns)]
    table = csv.read_csv(
        pa.BufferReader(data),
        csv.ReadOptions(use_threads=False, block_size=len(data) + 1, skip_rows=1, column_names=names),
        csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        csv.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(names, pa.binary()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    if table.num_rows != count:
        raise RuntimeError("COPY sent one row a message, and the parser sees other rows")
    return [
        column.combine_chunks() if column.num_chunks != 1 else column.chunk(0) for column in table.columns
    ]
