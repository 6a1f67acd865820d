"""The replication stream of a psycopg2 connection, by libpq's own functions.

psycopg2's `read_message` answers for us: at a keepalive it confirms what it has been sent, as soon as its cursor knows
no message beyond what was confirmed, and at the beginning it knows none (psycopg2 2.9, `pq_read_replication_message`).
What is confirmed the server forgets, so nobody but us may say it (promise 1). Therefore psycopg2 logs in and begins the
stream, and its library, found through psycopg2's own module, does the rest. Knows no message.
"""

from __future__ import annotations

import ctypes
from typing import Any

_SQLSTATE = ord("C")
"""PQresultErrorField's name of it."""


class Unavailable(Exception):
    """This build of psycopg2 shows no libpq."""


class Ended(Exception):
    """The stream is over; `pgcode` is the server's SQLSTATE, None where it said none or the line broke."""

    def __init__(self, pgcode: str | None) -> None:
        self.pgcode = pgcode


class Stream:
    """`connection` has begun to replicate. One thread at a time; none once it is closed."""

    def __init__(self, connection: Any) -> None:
        quick, patient = _libraries()
        self._get, self._consume, self._free = quick.PQgetCopyData, quick.PQconsumeInput, quick.PQfreemem
        self._result, self._field, self._clear = quick.PQgetResult, quick.PQresultErrorField, quick.PQclear
        self._put, self._flush = patient.PQputCopyData, patient.PQflush
        self._at = ctypes.c_void_p(connection.pgconn_ptr)
        self._buffer = ctypes.c_void_p()
        self._reference = ctypes.byref(self._buffer)

    def take(self) -> bytes | None:
        """The next message that has come, None if none has yet. Raises Ended."""
        length = self._get(self._at, self._reference, 1)
        if length > 0:
            found = ctypes.string_at(self._buffer.value or 0, length)
            self._free(self._buffer)
            return found
        if length == 0:
            return None
        raise Ended(self._state())

    def consume(self) -> None:
        """Read what the socket has, without waiting. Raises Ended."""
        if not self._consume(self._at):
            raise Ended(None)

    def put(self, message: bytes) -> None:
        """Raises Ended."""
        if self._put(self._at, message, len(message)) <= 0 or self._flush(self._at):
            raise Ended(None)

    def _state(self) -> str | None:
        result = self._result(self._at)
        if not result:
            return None
        state = self._field(result, _SQLSTATE)
        self._clear(result)
        return None if state is None else str(state.decode())


def available() -> bool:
    try:
        _libraries()
    except Unavailable:
        return False
    return True


def _libraries() -> tuple[Any, Any]:
    """Functions that never wait, called with Python's lock held, and those that may wait."""
    from psycopg2 import _psycopg

    quick, patient = ctypes.PyDLL(_psycopg.__file__), ctypes.CDLL(_psycopg.__file__)
    connection, text = ctypes.c_void_p, ctypes.c_char_p
    try:
        for library, name, gives, *takes in (
            (quick, "PQgetCopyData", ctypes.c_int, connection, ctypes.c_void_p, ctypes.c_int),
            (quick, "PQconsumeInput", ctypes.c_int, connection),
            (quick, "PQfreemem", None, ctypes.c_void_p),
            (quick, "PQgetResult", ctypes.c_void_p, connection),
            (quick, "PQresultErrorField", text, ctypes.c_void_p, ctypes.c_int),
            (quick, "PQclear", None, ctypes.c_void_p),
            (patient, "PQputCopyData", ctypes.c_int, connection, text, ctypes.c_int),
            (patient, "PQflush", ctypes.c_int, connection),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = gives, takes
    except AttributeError:
        raise Unavailable from None
    return quick, patient
