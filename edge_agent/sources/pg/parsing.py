"""The messages of pgoutput that are no row, read field by field with every length checked (protocol version 1).

Numbers are big endian, strings end with a NUL (PostgreSQL's manual, "Logical Replication Message Formats"). Pure.
"""

from __future__ import annotations

import struct

from .events import Identity, LogColumn, Message, Relation
from .messages import Torn

EPOCH_MICROS = 946_684_800_000_000
"""PostgreSQL's clock begins with the year 2000; ours, in microseconds UTC, with 1970."""

_RELATION_HEAD = struct.Struct(">BH")
_COLUMN_TAIL = struct.Struct(">Ii")
_BEGIN = struct.Struct(">xQqI")
_COMMIT = struct.Struct(">xBQQq")
_TRUNCATE = struct.Struct(">xIx")
"""Of its options (whether it cascaded, whether sequences began anew) nobody needs to know."""
_MESSAGE = struct.Struct(">xB8x")
"""Its flags; where its record stands is of no use."""
_TRANSACTIONAL = 1


def begin(data: bytes) -> tuple[int, int, int]:
    """Where the commit record begins, its time, and the transaction's number."""
    commit, time, xid = _exactly(_BEGIN, data)
    return commit, time + EPOCH_MICROS, xid


def commit(data: bytes) -> tuple[int, int]:
    """Where the commit record begins, and where the next may."""
    _, lsn, end, _ = _exactly(_COMMIT, data)
    return lsn, end


def relation(data: bytes, charset: str = "utf-8") -> Relation:
    (oid,) = _at(_U32, data, 1)
    schema, at = _string(data, 5, charset)
    name, at = _string(data, at, charset)
    identity, count = _at(_RELATION_HEAD, data, at)
    at += _RELATION_HEAD.size
    columns = []
    for _ in range(count):
        (flags,) = _at(_U8, data, at)
        column, at = _string(data, at + 1, charset)
        type_oid, modifier = _at(_COLUMN_TAIL, data, at)
        at += _COLUMN_TAIL.size
        columns.append(LogColumn(column, bool(flags & 1), type_oid, modifier))
    if at != len(data) or identity not in _IDENTITIES:
        raise Torn
    # The server sends an empty name for its own catalogue.
    return Relation(oid, schema or "pg_catalog", name, Identity(identity), tuple(columns))


def truncate(data: bytes) -> tuple[int, ...]:
    """The relations that were emptied."""
    (count,) = _at(_TRUNCATE, data, 0)
    if len(data) != _TRUNCATE.size + 4 * count:
        raise Torn
    return struct.unpack_from(f">{count}I", data, _TRUNCATE.size)


def message(data: bytes) -> Message:
    (flags,) = _at(_MESSAGE, data, 0)
    prefix, at = _string(data, _MESSAGE.size)
    (length,) = _at(_U32, data, at)
    if len(data) != at + 4 + length:
        raise Torn
    return Message(prefix, data[at + 4 :], bool(flags & _TRANSACTIONAL))


_U8, _U32 = struct.Struct(">B"), struct.Struct(">I")
_IDENTITIES = frozenset(Identity)


def _exactly(form: struct.Struct, data: bytes) -> tuple[int, ...]:
    if len(data) != form.size:
        raise Torn
    return form.unpack(data)


def _at(form: struct.Struct, data: bytes, at: int) -> tuple[int, ...]:
    if len(data) < at + form.size:
        raise Torn
    return form.unpack_from(data, at)


def _string(data: bytes, at: int, charset: str = "utf-8") -> tuple[str, int]:
    """A string, and where it ends."""
    end = data.find(b"\0", at)
    if end < 0:
        raise Torn
    try:
        return data[at:end].decode(charset), end + 1
    except UnicodeDecodeError:
        raise Torn from None
