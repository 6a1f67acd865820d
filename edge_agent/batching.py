"""Batching and sealing: changes of one group become the envelopes of one spool transaction.

Batches are cut where their plain bytes reach the target, values too long for an envelope go ahead of their
rows as pieces, a schema goes ahead of its first use in the epoch. The last envelope of the group carries the
flag. It seals but does not store: what comes out enters the spool in one transaction with the position.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from protocol.batch import MarkHeader, PieceHeader, encode_batch, encode_mark, encode_piece, with_flags
from protocol.canonical import Aside
from protocol.change import ASIDE, ASIDE_LARGE, KEY, OP_CODES, WIRE_EXTRAS, Op
from protocol.envelope import Kind
from protocol.errors import Rejected
from protocol.limits import (
    BATCH_EXPANDED_BYTES_MAX,
    BATCH_PLAIN_BYTES_TARGET,
    BATCH_ROWS_MAX,
    ENVELOPE_BYTES_MAX,
    HEADER_BYTES_MAX,
    PIECE_BYTES,
    VALUE_INLINE_BYTES_MAX,
)
from protocol.names import Stream
from protocol.schema import TableSchema
from protocol.sealing import Place, Recipient, Sealed, entropy_bytes, seal
from protocol.signing import Signer

from .changes import Changes
from .sources.source import Rows

DICTIONARY_ROWS_MIN = 64
"""Below it a dictionary costs more than it saves."""
DICTIONARY_SAMPLE_ROWS = 512
DISTINCT_SHARE_MAX = 0.9
"""Of the values in the sample; from there on the column is not looked at further."""
FLAGS_BYTES_MAX = 4_096
"""What the flags and the position of a group's last envelope may add to it."""
SURELY_FITS_BYTES = ENVELOPE_BYTES_MAX - ENVELOPE_BYTES_MAX // 128 - 2 * HEADER_BYTES_MAX - FLAGS_BYTES_MAX
"""Inner bytes that fit an envelope even if zstd makes them longer, which it does by less than a 256th."""


@dataclass(frozen=True, slots=True)
class Seal:
    """How this agent seals for its centre. `random` gives fresh random bytes."""

    signer: Signer
    recipient: Recipient
    random: Callable[[int], bytes]
    level: int = 1


@dataclass(frozen=True, slots=True)
class Group:
    """The envelopes of one spool transaction, and what is sent with them for the first time in the epoch."""

    envelopes: list[Sealed]
    schemas: list[tuple[bytes, bytes]]
    objects: list[bytes]
    pieces: dict[bytes, int]
    """Of objects whose last piece is still to come: bytes that went."""


@dataclass(slots=True)
class _Draft:
    """The envelope that is next: without flags, and perhaps sealed already, to see that it fits."""

    kind: Kind
    inner: bytes
    sealed: Sealed | None = None


class GroupBuilder:
    """Builds one group. `schema_sent` and `object_sent` ask the spool what the epoch holds already."""

    def __init__(
        self,
        seal: Seal,
        place: Place,
        *,
        captured: int,
        schema_sent: Callable[[bytes], bool],
        object_sent: Callable[[bytes], bool],
    ) -> None:
        self._seal = seal
        self._place = place
        self._captured = captured
        self._schema_sent = schema_sent
        self._object_sent = object_sent
        self._sealed: list[Sealed] = []
        self._schemas: dict[bytes, bytes] = {}
        self._objects: dict[bytes, None] = {}
        self._pieces: dict[bytes, int] = {}
        self._pending: _Draft | None = None
        self._batches = 0

    @property
    def batches(self) -> int:
        """Batches so far."""
        return self._batches

    @property
    def any(self) -> bool:
        """Whether there is anything to send yet."""
        return bool(self._sealed) or self._pending is not None

    def add(self, changes: Changes) -> None:
        """Rejected GC-2013 where one row alone does not fit an envelope."""
        if not changes.count:
            return
        self.schema(changes.schema)
        changes = self._without_large(changes)
        repeating = _repeating(changes.rows)
        for part in _cut(changes):
            self._add_batch(part, repeating)

    def schema(self, schema: TableSchema) -> None:
        """Send the schema now, unless the epoch has it."""
        fingerprint = schema.fingerprint
        if fingerprint in self._schemas or self._schema_sent(fingerprint):
            return
        self._schemas[fingerprint] = schema.content
        self._push(_Draft(Kind.SCHEMA, schema.content))

    def mark(self, header: MarkHeader) -> None:
        """A mark; its own flags are overridden by those of the group."""
        plain = header.model_copy(update={"group_end": False, "cut": False, "position": None})
        self._push(_Draft(Kind.MARK, encode_mark(plain)))

    def finish(self, position: str | None = None, cut: bool = False) -> Group:
        """Seal the last envelope with the group's flag, and give everything."""
        draft = self._pending
        if draft is not None and draft.kind is not Kind.SCHEMA:
            inner = with_flags(draft.inner, group_end=True, cut=cut, position=position)
            self._pending = _Draft(draft.kind, inner)
        self._seal_pending()
        return Group(self._sealed, list(self._schemas.items()), list(self._objects), self._pieces)

    # pieces

    def piece(self, sha256: bytes, size: int, offset: int, data: bytes) -> None:
        """A piece of an object that goes ahead by itself, as long as PIECE_BYTES but for the last."""
        self._push_piece(sha256.hex(), size, offset, data)
        end = offset + len(data)
        self._pieces.pop(sha256, None)
        if end < size:
            self._pieces[sha256] = end
        else:
            self._objects[sha256] = None

    def begin_anew(self, sha256: bytes) -> None:
        """What went of this object will not be ended: should it come again, then from its beginning."""
        self._pieces[sha256] = 0

    def _without_large(self, changes: Changes) -> Changes:
        """Send long values ahead and leave their hashes in their rows."""
        columns, asides = list(changes.rows.columns), changes.rows.asides
        for index, column in enumerate(changes.schema.columns):
            array = columns[index]
            long = _long_values(array)
            if not long:
                continue
            asides = [None] * changes.count if asides is None else list(asides)
            keep = pa.array([i not in long for i in range(changes.count)])
            columns[index] = pc.if_else(keep, array, pa.nulls(changes.count, array.type))
            for row, value in long.items():
                entry = self._send_object(column.name, ASIDE_LARGE, value)
                asides[row] = [*(asides[row] or []), entry]
        if asides is not None:
            asides = [self._without_long_originals(entries) for entries in asides]
        return replace(changes, rows=Rows(columns, asides))

    def _without_long_originals(self, entries: list[Aside] | None) -> list[Aside] | None:
        """What stands aside for another reason may be long as well."""
        return entries and [
            self._send_object(one["column"], one["reason"], one["original"])
            if one["original"] is not None and len(one["original"]) > VALUE_INLINE_BYTES_MAX
            else one
            for one in entries
        ]

    def _send_object(self, column: str, reason: str, value: bytes) -> Aside:
        digest = hashlib.sha256(value)
        key = digest.digest()
        if key not in self._objects and not self._object_sent(key):
            self._objects[key] = None
            for offset in range(0, len(value), PIECE_BYTES):
                self._push_piece(digest.hexdigest(), len(value), offset, value[offset : offset + PIECE_BYTES])
        return {
            "column": column,
            "reason": reason,
            "original": None,
            "sha256": key,
            "bytes": len(value),
        }

    def _push_piece(self, sha256: str, size: int, offset: int, data: bytes) -> None:
        header = PieceHeader(captured=self._captured, sha256=sha256, size=size, offset=offset)
        self._push(_Draft(Kind.PIECE, encode_piece(header, data)))

    # batches

    def _add_batch(self, changes: Changes, repeating: frozenset[int]) -> None:
        """`repeating`: the columns to try as dictionaries."""
        system = {
            "_gc_op": _op_codes(changes.ops),
            "_gc_key": _key_column(changes.keys),
        }
        asides = changes.rows.asides
        if asides is not None and any(asides):
            system["_gc_aside"] = pa.array(asides, ASIDE)
        system |= _from_the_log(changes)
        columns = [
            _compact(column) if i in repeating else column for i, column in enumerate(changes.rows.columns)
        ]
        inner = encode_batch(changes.schema, system, columns, captured=self._captured)
        self._seal_pending()
        draft = _Draft(Kind.BATCH, inner)
        if self._fits(draft):
            self._push(draft)
            self._batches += 1
        else:
            self._halve(changes, repeating)

    def _push(self, draft: _Draft) -> None:
        self._seal_pending()
        self._pending = draft

    def _fits(self, draft: _Draft) -> bool:
        """Whether the batch surely fits an envelope, flags and all. Only one that might not, were it not to compress
        at all, is sealed on trial, and keeps what came of it: where another envelope follows, that is its seal."""
        if len(draft.inner) <= SURELY_FITS_BYTES:
            return True
        try:
            draft.sealed = self._seal_now(Kind.BATCH, draft.inner)
        except Rejected:
            return False
        return len(draft.sealed.data) + FLAGS_BYTES_MAX <= ENVELOPE_BYTES_MAX

    def _halve(self, changes: Changes, repeating: frozenset[int]) -> None:
        halves = changes.halves()
        if halves is None:
            raise Rejected("GC-2013", table=str(changes.schema.table), bytes=changes.rows.nbytes)
        for half in halves:
            self._add_batch(half, repeating)

    # sealing

    def _seal_pending(self) -> None:
        if (draft := self._pending) is None:
            return
        self._pending = None
        sealed = draft.sealed or self._seal_now(draft.kind, draft.inner)
        self._sealed.append(sealed)
        self._place = Place(self._place.stream, self._place.epoch, sealed.last_seq + 1, sealed.hash)

    def _seal_now(self, kind: Kind, inner: bytes) -> Sealed:
        entropy = self._seal.random(entropy_bytes(self._seal.signer.suite))
        return seal(
            kind,
            inner,
            self._place,
            signer=self._seal.signer,
            recipient=self._seal.recipient,
            entropy=entropy,
            level=self._seal.level,
        )


def place_after(stream: Stream, epoch: int, head_seq: int, head_hash: bytes) -> Place:
    """Where the envelope behind a stream's head stands."""
    return Place(stream, epoch, head_seq + 1, head_hash)


def _cut(changes: Changes) -> Iterator[Changes]:
    """Parts of about BATCH_PLAIN_BYTES_TARGET plain bytes."""
    row_bytes = max(1, changes.rows.nbytes // changes.count + 24)
    rows = min(BATCH_ROWS_MAX, max(1, BATCH_PLAIN_BYTES_TARGET // row_bytes))
    start = 0
    while start < changes.count:
        end = min(start + rows, changes.count)
        end = changes.parts_at(end) if changes.parts_at(end) > start else min(end + 1, changes.count)
        yield from _evened(changes.slice(start, end - start))
        start = end


def _evened(part: Changes) -> Iterator[Changes]:
    """A part whose rows are much longer than the others' is halved: a receiver bounds what a batch expands to."""
    halves = part.halves() if part.rows.nbytes > BATCH_EXPANDED_BYTES_MAX // 4 else None
    if halves is None:
        yield part
        return
    for half in halves:
        yield from _evened(half)


def _repeating(rows: Rows) -> frozenset[int]:
    """The columns of text of which a sample says that their values come again."""
    return frozenset(i for i, column in enumerate(rows.columns) if _repeats(column))


def _repeats(array: pa.Array) -> bool:
    if not pa.types.is_string(array.type):
        return False
    sample = array.slice(0, DICTIONARY_SAMPLE_ROWS)
    values: int = len(sample) - sample.null_count
    distinct: int = pc.count_distinct(sample).as_py()
    return distinct < values * DISTINCT_SHARE_MAX  # else numbers, or free text


def _compact(array: pa.Array) -> pa.Array:
    """Low-cardinality text as a dictionary: smaller on the wire, and faster (design.md §4)."""
    if len(array) < DICTIONARY_ROWS_MIN:
        return array
    encoded = array.dictionary_encode()
    return encoded if len(encoded.dictionary) * 2 < len(array) else array


def _op_codes(ops: list[Op]) -> pa.Array:
    """A column of one byte each; a snapshot or a diff mostly has but one operation."""
    first = ops[0]
    if ops.count(first) == len(ops):
        return pa.repeat(pa.scalar(OP_CODES[first], pa.uint8()), len(ops))
    return pa.array([OP_CODES[op] for op in ops], pa.uint8())


def _key_column(keys: list[bytes]) -> pa.Array:
    joined = b"".join(keys)
    assert len(joined) == len(keys) * KEY.byte_width
    return pa.Array.from_buffers(KEY, len(keys), [None, pa.py_buffer(joined)])


def _from_the_log(changes: Changes) -> dict[str, pa.Array]:
    """The extra columns that some row needs."""
    extras: dict[str, pa.Array] = {}
    if changes.old_keys is not None and any(changes.old_keys):
        extras["_gc_old_key"] = pa.array(changes.old_keys, KEY)
    if changes.times is not None:
        extras["_gc_source_time"] = changes.times
    if changes.unchanged is not None and any(changes.unchanged):
        extras["_gc_unchanged"] = pa.array(changes.unchanged, WIRE_EXTRAS["_gc_unchanged"].type)
    return extras


def _long_values(array: pa.Array) -> dict[int, bytes]:
    """Row → value of the strings and binaries longer than VALUE_INLINE_BYTES_MAX."""
    kind = array.type
    if not (pa.types.is_string(kind) or pa.types.is_binary(kind)) or array.nbytes <= VALUE_INLINE_BYTES_MAX:
        return {}
    lengths = pc.binary_length(array)
    if (pc.max(lengths).as_py() or 0) <= VALUE_INLINE_BYTES_MAX:
        return {}
    rows = pc.indices_nonzero(pc.greater(lengths, VALUE_INLINE_BYTES_MAX)).to_pylist()
    return {row: bytes(array[row].as_buffer()) for row in rows}
