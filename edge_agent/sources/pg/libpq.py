"""The replication stream of a psycopg2 connection, by libpq's own functions.

psycopg2's `read_message` answers for us: at a keepalive it confirms what it has been sent, as soon as its cursor knows
no message beyond what was confirmed, and at the beginning it knows none (psycopg2 2.9, `pq_read_replication_message`).
What is confirmed the server forgets, so nobody but us may say it (promise 1). Therefore psycopg2 logs in and begins the
stream, and its library, found through psycopg2's own module, does the rest. Knows no message.
"""

from __future__ import annotations

import ctypes
import secrets
import threading
from array import array
from typing import Any

_SQLSTATE = ord("C")
"""PQresultErrorField's name of it."""
_ODD_BYTES = 4096


class Unavailable(Exception):
    """This build of psycopg2 shows no libpq."""


class Ended(Exception):
    """The stream is over; `pgcode` is the server's SQLSTATE, None where it said none or the line broke."""

    def __init__(self, pgcode: str | None) -> None:
        self.pgcode = pgcode


class Memory:
    """Where messages are put, one behind another; `padding` bytes behind them are nobody's. It grows with a message
    that it has no room for."""

    def __init__(self, size: int, padding: int) -> None:
        # A message just as long as its room is taken for the beginning of a longer one. What follows it then makes no
        # sense; the next connection reads it into another room.
        self._padding = padding
        self._lie_in(bytearray(size + padding + secrets.randbelow(_ODD_BYTES)))

    def _lie_in(self, data: bytearray) -> None:
        self.data = data
        self.room = len(data) - self._padding
        self._first = ctypes.c_char.from_buffer(data)
        self.address = ctypes.addressof(self._first)

    def grow(self) -> None:
        self._lie_in(self.data + bytes(len(self.data)))


class Stream:
    """`connection` has begun to replicate. One thread reads; any may `put`. None once it is closed."""

    def __init__(self, connection: Any) -> None:
        quick, patient = _libraries()
        self._line, self._get, self._consume = quick.PQgetlineAsync, quick.PQgetCopyData, quick.PQconsumeInput
        self._result, self._field, self._clear = quick.PQgetResult, quick.PQresultErrorField, quick.PQclear
        self._put, self._flush = patient.PQputCopyData, patient.PQflush
        self._lock = threading.Lock()
        """libpq knows one thread at a time."""
        self._at = ctypes.c_void_p(connection.pgconn_ptr)
        self._reference = ctypes.byref(ctypes.c_void_p())

    def take(self, memory: Memory, end: int, stop: int, kind: int, ends: array[int]) -> tuple[int, int]:
        """Put messages that have come behind `end`, until they reach `stop`, and note where each ends. Gives where the
        last ends, and how long one is that begins with another byte than `kind`: it lies behind them, unnoted, and no
        further one is taken; 0 where there is none. Raises Ended."""
        with self._lock:
            return self._take(memory, end, stop, kind, ends)

    def _take(self, memory: Memory, end: int, stop: int, kind: int, ends: array[int]) -> tuple[int, int]:
        line, at, length = self._line, self._at, 0
        while end < stop:
            length = line(at, memory.address + end, memory.room - end)
            if length <= 0:
                break
            if length == memory.room - end:
                length = self._rest(memory, end, length)
            if memory.data[end] != kind:
                return end, length
            end += length
            ends.append(end)
        if length < 0:
            self._get(self._at, self._reference, 1)  # which leaves the mode of copying, and tells why
            raise Ended(self._state())
        return end, 0

    def _rest(self, memory: Memory, end: int, length: int) -> int:
        """The length of a message that may go on."""
        while length == memory.room - end:
            memory.grow()
            length += max(0, self._line(self._at, memory.address + end + length, memory.room - end - length))
        return length

    def consume(self) -> None:
        """Read what the socket has, without waiting. Raises Ended."""
        with self._lock:
            if not self._consume(self._at):
                raise Ended(None)

    def put(self, message: bytes) -> None:
        """Raises Ended."""
        with self._lock:
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
            (quick, "PQgetlineAsync", ctypes.c_int, connection, ctypes.c_void_p, ctypes.c_int),
            (quick, "PQgetCopyData", ctypes.c_int, connection, ctypes.c_void_p, ctypes.c_int),
            (quick, "PQconsumeInput", ctypes.c_int, connection),
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
