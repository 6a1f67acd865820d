"""One replication connection to a PostgreSQL primary: slots, and the log from a position on, in gulps.

Reading waits for the first byte, then a few milliseconds more, and takes all that has come by then: many small reads
cost more than any decoder. The server hears of a position from `confirm` alone. It gives up a reader that says nothing
(`wal_sender_timeout`), so a thread of ours says the last position again while whoever reads is elsewhere: as long as a
statement of ours runs there, else for a few seconds, for a server that shuts down waits for a reader that seems alive.
One other thread at a time; `interrupt` breaks off a wait from any. Faults are Transient: GC-2001 and GC-2040 as of any
source, GC-2051 to GC-2058 with a reason of their own. Knows no table and no meaning of a message.
"""

from __future__ import annotations

import contextlib
import select
import struct
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL

from edge_agent.sources.copying import cut
from edge_agent.sources.dialects.dialect import REFUSED
from edge_agent.sources.dialects.postgres import SESSION, STORED, Postgres, connected
from protocol.errors import Transient

from .libpq import Ended, Memory, Stream, Unavailable, available
from .messages import PADDING_BYTES, Messages
from .naming import quoted
from .parsing import EPOCH_MICROS
from .statements import HOLDING

PLUGIN = "pgoutput"

COALESCE_SECONDS = 0.004
"""How long more is waited for once something has come."""

TRICKLE_BYTES = 4 * 1024
"""A look that brings more may have left something behind: libpq's buffer has 16 KiB, of which at least half is free."""

RESTS_MAX = 8
"""Of one gulp: in a flood a decoder costs less the more comes at once."""

ROOM_BYTES = 1 << 20
"""For the message that exceeds a gulp; one that is longer costs a copy of what was read."""

TELL_SECONDS = 0.3
"""How often the server hears of us at least."""

ALIVE_SECONDS = 5.0
"""How long after it last read a reader that runs no statement counts as alive."""

LOOK_SECONDS = 0.2
"""How often an idle stream is looked at."""

MESSAGES_VERSION_MIN = 140_000
"""From here on pgoutput passes logical messages, which fences are."""

_WAIT = "SET lock_timeout = 0; SET statement_timeout = 0"
_WAIT_FOR_WRITERS = "SET lock_timeout = '20s'"
"""A slot's creation waits for the transactions that have written, but not for ever: it holds up everything else."""

_SLOT = """
SELECT plugin, database, active, restart_lsn, confirmed_flush_lsn, {status}
FROM pg_catalog.pg_replication_slots WHERE slot_name = %s
"""
_STATUS_VERSION_MIN = 130_000
_PUBLICATIONS = "SELECT pubname FROM pg_catalog.pg_publication"
_RIGHT = """
SELECT rolreplication OR rolsuper, senders.used >= current_setting('max_wal_senders')::int,
    current_setting('max_wal_senders')
FROM pg_catalog.pg_roles, (SELECT count(*) AS used FROM pg_catalog.pg_stat_replication) senders
WHERE rolname = current_user
"""

_DATA, _KEEPALIVE = ord("w"), ord("k")
_HEAD_BYTES = 25
"""Of data: its kind, its position, the log's end, the time."""
_KEEPALIVE_FORM = struct.Struct(">xQqB")
_STATUS_FORM = struct.Struct(">cQQQqB")
_UNDEFINED = "42704"
_NO_SLOT_FREE = "53400"
_LOCK_TIMEOUT = "55P03"
_REFUSALS = frozenset([_UNDEFINED, "55000", "55006", "0A000", "58P01"])
"""Of a statement about a slot: why is asked of the server, whose words are in its own language."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Of the server: its system's number, its timeline, where its log stands."""

    system: str
    timeline: int
    lsn: int


@dataclass(frozen=True, slots=True)
class Slot:
    """`restart`: from where the server keeps its log; `confirmed`: below it no commit is sent again. `status` as
    pg_replication_slots.wal_status, None before PostgreSQL 13; `lost` is beyond use."""

    plugin: str
    database: str | None
    active: bool
    restart: int | None
    confirmed: int | None
    status: str | None


@dataclass(frozen=True, slots=True)
class Gulp:
    """Messages of pgoutput, good until the next are read. All that was committed below `wal_end` has come by now, in
    this gulp or before, says the server's last keepalive, sent at `server_time` (microseconds UTC); both 0 before
    the first."""

    messages: Messages
    wal_end: int
    server_time: int


class LogConnection:
    """Logs in at once; `source` is named in faults."""

    def __init__(self, url: URL, source: str) -> None:
        self._url = url
        self._source = source
        self._dialect = Postgres()
        self._stream: Stream | None = None
        self._confirmed = 0
        self._wal_end = 0
        self._server_time = 0
        self._memory: Memory | None = None
        self._told_at = self._read_at = 0.0
        self._elsewhere = False
        self._over = threading.Event()
        self._telling = threading.Thread(target=self._tell_until_over, name="log-alive", daemon=True)
        if not available():
            raise Transient("GC-2058", source=source)
        with self._faults():
            self._connection = self._connect()
            self._connection.set_client_encoding("UTF8")
            self._encoding = self._connection.get_parameter_status("server_encoding")
            self._execute(SESSION)
            self._execute(_WAIT)

    @property
    def charset(self) -> str | None:
        """In which the stream is (Python's name); None: UTF-8."""
        return STORED.get(self._encoding)

    def identify(self) -> Identity:
        system, timeline, lsn, _ = self._rows("IDENTIFY_SYSTEM")[0]
        return Identity(str(system), int(timeline), parse_lsn(lsn))

    def slot(self, name: str) -> Slot | None:
        with self._faults():
            return self._slot(name)

    def create_slot(self, name: str) -> None:
        """What commits from its consistent point on is sent. Waits for the transactions that run now, GC-2079 where one
        of them does not end."""
        self.execute(_WAIT_FOR_WRITERS)
        command = f"CREATE_REPLICATION_SLOT {quoted(name)} LOGICAL {PLUGIN} NOEXPORT_SNAPSHOT"
        self._about_slot(name, command)
        self.execute(_WAIT)

    def drop_slot(self, name: str) -> None:
        """Waits for nobody: GC-2052 where it is in use."""
        self._about_slot(name, f"DROP_REPLICATION_SLOT {quoted(name)}")

    def execute(self, statement: str) -> None:
        """A statement that changes something, for good once this returns."""
        self._rows(statement)

    def start(self, slot: str, from_lsn: int, publications: Sequence[str]) -> None:
        """Begin the stream with the first commit at or beyond `from_lsn`, or what was confirmed if that is more."""
        missing = set(publications) - {name for (name,) in self._rows(_PUBLICATIONS)}
        if missing:
            raise Transient("GC-2054", source=self._source)
        names = ", ".join(map(quoted, publications)).replace("'", "''")
        options = f"proto_version '1', publication_names '{names}', messages 'true'"
        if self._encoding in STORED:
            self._connection.set_client_encoding("SQL_ASCII")
        place = f"{from_lsn >> 32:X}/{from_lsn & 0xFFFFFFFF:X}"
        command = f"START_REPLICATION SLOT {quoted(slot)} LOGICAL {place} ({options})"
        self._about_slot(slot, command, streams=True)
        try:
            self._stream = Stream(self._connection)
        except Unavailable:
            raise Transient("GC-2058", source=self._source) from None
        self._telling.start()

    def read(self, bytes_max: int, seconds: float) -> Gulp:
        """What has come, until it exceeds so many bytes; waits so long for the first of it."""
        assert self._stream is not None, "the stream has not begun"
        ends = array("q")
        deadline = time.monotonic() + seconds
        memory = self._memory_of(bytes_max)
        with self._faults():
            size = self._drain(memory, ends, bytes_max)
            since, rests = 0, 0
            while size < bytes_max:
                self._stream.consume()
                gained = self._drain(memory, ends, bytes_max)
                size += gained
                since += gained
                if not ends:
                    if time.monotonic() >= deadline:
                        break
                    self._wait(deadline)
                elif gained > TRICKLE_BYTES:
                    continue
                elif rests == 0 or (since > TRICKLE_BYTES and rests < RESTS_MAX):
                    since, rests = 0, rests + 1
                    time.sleep(COALESCE_SECONDS)
                else:
                    break
        self._read_at = time.monotonic()
        found = Messages.behind_heads(memory.data, ends, _HEAD_BYTES)
        return Gulp(found, self._wal_end, self._server_time)

    def confirm(self, lsn: int) -> None:
        """The server may forget every commit below `lsn`. Positions only rise."""
        self._confirmed = max(self._confirmed, lsn)
        self._tell()

    def ask(self) -> None:
        """For a keepalive, and with it for `wal_end`: it comes in a later gulp."""
        self._tell(ask=True)

    @contextlib.contextmanager
    def elsewhere(self) -> Iterator[None]:
        """While a statement of ours runs, which a server that shuts down ends."""
        self._elsewhere = True
        try:
            yield
        finally:
            self._elsewhere, self._read_at = False, time.monotonic()

    def _tell_until_over(self) -> None:
        with contextlib.suppress(Transient):  # whoever reads on meets it
            while not self._over.wait(TELL_SECONDS):
                now = time.monotonic()
                alive = self._elsewhere or now - self._read_at < ALIVE_SECONDS
                if alive and now - self._told_at >= TELL_SECONDS:
                    self._tell()

    def interrupt(self) -> None:
        """From any thread: whatever waits fails, and the connection is lost."""
        cut(self._connection)

    def close(self) -> None:
        self._over.set()
        if self._telling.ident is not None:
            self._telling.join()
        self._stream = None
        with contextlib.suppress(Exception):
            self._connection.close()

    # The stream.

    def _wait(self, deadline: float) -> None:
        """Until something has come, or a look is due: what TLS holds back no socket shows."""
        remaining = max(deadline - time.monotonic(), 0)
        select.select([self._connection.fileno()], [], [], min(remaining, LOOK_SECONDS))

    def _memory_of(self, bytes_max: int) -> Memory:
        """With room for so many bytes and another message; what a long message made of it is given up again."""
        size = bytes_max + ROOM_BYTES
        if self._memory is None or not size <= self._memory.room < size + ROOM_BYTES:
            self._memory = Memory(size, PADDING_BYTES)
        return self._memory

    def _drain(self, memory: Memory, ends: array[int], bytes_max: int) -> int:
        """Take what the library holds; how many bytes that were."""
        assert self._stream is not None
        before = end = ends[-1] if ends else 0
        while True:
            end, length = self._stream.take(memory, end, bytes_max, _DATA, ends)
            if not length:
                return end - before
            if memory.data[end] != _KEEPALIVE or length != _KEEPALIVE_FORM.size:
                raise Transient("GC-2050", source=self._source)
            self._alive(*_KEEPALIVE_FORM.unpack_from(memory.data, end))

    def _alive(self, wal_end: int, server_time: int, reply: int) -> None:
        self._wal_end = max(self._wal_end, wal_end)
        self._server_time = server_time + EPOCH_MICROS
        if reply:
            self._tell()

    def _tell(self, *, ask: bool = False) -> None:
        if self._stream is None:
            return
        self._told_at = time.monotonic()
        now = time.time_ns() // 1_000 - EPOCH_MICROS
        confirmed = self._confirmed
        with self._faults():
            self._stream.put(_STATUS_FORM.pack(b"r", confirmed, confirmed, confirmed, now, ask))

    # Statements, and what their failure means.

    def _connect(self) -> Any:
        from psycopg2 import OperationalError
        from psycopg2.extras import LogicalReplicationConnection

        try:
            return connected(self._url, LogicalReplicationConnection)
        except OperationalError:
            # A login that may not replicate is refused without a code, in the server's language.
            with contextlib.closing(connected(self._url)) as ordinary, ordinary.cursor() as cursor:
                cursor.execute(_RIGHT)
                ((may, full, limit),) = cursor.fetchall()
                if not may:
                    raise Transient("GC-2057", source=self._source) from None
                if full:
                    raise Transient("GC-2083", source=self._source, limit=limit) from None
            raise

    def _execute(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return [] if cursor.description is None else list(cursor.fetchall())

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self._faults():
            return self._execute(sql)

    def _about_slot(self, name: str, command: str, *, streams: bool = False) -> None:
        with self._faults():
            try:
                if streams:
                    self._cursor = self._connection.cursor()
                    self._cursor.start_replication_expert(command)
                else:
                    self._execute(command)
            except Exception as error:
                refusal = getattr(error, "pgcode", None)
                if refusal == _NO_SLOT_FREE:
                    ((limit,),) = self._execute("SHOW max_replication_slots")
                    raise Transient("GC-2082", source=self._source, limit=limit) from None
                if refusal == _LOCK_TIMEOUT:
                    session = next((pid for (pid,) in self._execute(HOLDING)), "?")
                    raise Transient("GC-2079", source=self._source, session=session) from None
                if refusal in _REFUSALS and (code := self._why(name)):
                    raise Transient(code, source=self._source, slot=name) from None
                raise

    def _why(self, name: str) -> str | None:
        """What hinders a slot's use."""
        if self._execute("SELECT pg_catalog.pg_is_in_recovery()") == [(True,)]:
            return "GC-2055"
        if self._execute("SHOW wal_level") != [("logical",)]:
            return "GC-2056"
        slot = self._slot(name)
        if slot is None:
            return "GC-2051"
        if slot.status == "lost" or slot.restart is None:
            return "GC-2053"
        return "GC-2052" if slot.active else None

    def _slot(self, name: str) -> Slot | None:
        status = "wal_status" if self._connection.server_version >= _STATUS_VERSION_MIN else "NULL::text"
        for plugin, database, active, restart, confirmed, wal_status in self._execute(
            _SLOT.format(status=status), (name,)
        ):
            return Slot(plugin, database, active, _lsn_or_none(restart), _lsn_or_none(confirmed), wal_status)
        return None

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Errors of the driver become faults."""
        import psycopg2

        try:
            yield
        except Ended as ended:
            raise self._ended(ended) from None
        except (psycopg2.Error, OSError, ValueError) as error:
            trouble = self._dialect.trouble(error)
            raise Transient(self._code(trouble.code), source=self._source, reason=trouble.reason) from None

    def _ended(self, ended: Ended) -> Transient:
        if ended.pgcode == _UNDEFINED:
            return Transient("GC-2054", source=self._source)
        reason = "the connection broke" if ended.pgcode is None else self._dialect.trouble(ended).reason
        return Transient("GC-2001", source=self._source, reason=reason or f"SQLSTATE {ended.pgcode}")

    def _code(self, code: str) -> str:
        return REFUSED if code == REFUSED else "GC-2001"


def parse_lsn(text: str) -> int:
    """From PostgreSQL's form, two halves in hexadecimal."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def _lsn_or_none(text: str | None) -> int | None:
    return None if text is None else parse_lsn(text)
