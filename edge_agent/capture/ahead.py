"""Sending ahead: the bytes that rows only name go piece by piece, each step a transaction, before the rows themselves.

A file of gigabytes passes so in the memory of a few pieces, and goes on at its piece after a restart. What was sent is
hashed on the way: of bytes that are no longer what the row says the last piece never leaves, and the row stays out of
this pass, as if it had not been read. The spool knows what of an object has gone, and what went whole goes once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import cast

from protocol.canonical import Aside
from protocol.change import ASIDE_LARGE, Op
from protocol.errors import Rejected
from protocol.limits import MIB, PIECE_BYTES

from ..batching import GroupBuilder
from ..sources.source import ObjectSource, Rows
from .diff import encode_keys
from .scan import Pass

STEP_BYTES = 4 * MIB


class Ahead:
    """Of one pass."""

    def __init__(self, one: Pass) -> None:
        self._pass = one
        self._sent: set[bytes] = set()
        self._lost: set[bytes] = set()
        self._hashed: tuple[bytes, int] = (b"", 0)
        """Of which object the hash is, and of how many of its bytes."""
        self._hash = hashlib.sha256()

    def without_lost(self, rows: Rows) -> tuple[Rows, set[bytes]]:
        """Rows whose bytes can be had, and the canonical keys of the others."""
        if not self._lost or rows.asides is None:
            return rows, set()
        lost = [any(one in self._lost for one, _ in _named(entries)) for entries in rows.asides]
        if not any(lost):
            return rows, set()
        kept = rows.take([i for i, is_lost in enumerate(lost) if not is_lost])
        left = rows.take([i for i, is_lost in enumerate(lost) if is_lost])
        return kept, set(encode_keys(self._pass.schema, left))

    def step(self, rows: Rows, ops: Sequence[Op | None]) -> bool:
        """Send some of what the changed rows name; False where nothing is left to be sent."""
        wanted = {
            sha256: size
            for entries, op in zip(rows.asides or (), ops, strict=False)
            if op is not None
            for sha256, size in _named(entries)
            if not self._is_done(sha256)
        }
        if not wanted:
            return False
        one, room = self._pass, STEP_BYTES
        group = one.writer.group()
        for sha256, size in wanted.items():
            if room <= 0:
                break
            room -= self._send(group, sha256, size, room)
        one.writer.commit(group, table=one.state())
        return True

    def _is_done(self, sha256: bytes) -> bool:
        writer = self._pass.writer
        if sha256 in self._lost or sha256 in self._sent:
            return True
        if writer.spool.object_sent(writer.stream, sha256):
            self._sent.add(sha256)
            return True
        return False

    def _send(self, group: GroupBuilder, sha256: bytes, size: int, room: int) -> int:
        """How many bytes of it went."""
        writer = self._pass.writer
        begun = offset = writer.spool.bytes_sent(writer.stream, sha256)
        try:
            self._hash_up_to(sha256, offset)
            while offset < size and offset - begun < room:
                data = self._read(sha256, offset, min(PIECE_BYTES, size - offset))
                offset += len(data)
                if offset == size and self._hash.digest() != sha256:
                    raise self._other(sha256)
                group.piece(sha256, size, offset - len(data), data)
        except Rejected:  # it is no longer there, or no longer what it was
            self._lost.add(sha256)
            group.begin_anew(sha256)
        return offset - begun

    def _hash_up_to(self, sha256: bytes, offset: int) -> None:
        """After a restart: what an earlier process sent."""
        if self._hashed != (sha256, offset):
            self._hashed, self._hash = (sha256, 0), hashlib.sha256()
            while self._hashed[1] < offset:
                self._read(sha256, self._hashed[1], min(PIECE_BYTES, offset - self._hashed[1]))

    def _read(self, sha256: bytes, offset: int, count: int) -> bytes:
        data = cast(ObjectSource, self._pass.source).read_object(sha256, offset, count)
        if len(data) != count:
            raise self._other(sha256)
        self._hash.update(data)
        self._hashed = (sha256, offset + count)
        return data

    def _other(self, sha256: bytes) -> Rejected:
        cast(ObjectSource, self._pass.source).forget_object(sha256)
        return Rejected("GC-2014", file=str(self._pass.schema.table))


def _named(entries: Sequence[Aside] | None) -> Iterator[tuple[bytes, int]]:
    """SHA-256 and size of what a row names and does not hold."""
    for one in entries or ():
        if one["reason"] == ASIDE_LARGE and one["original"] is None:
            yield one["sha256"], one["bytes"]
