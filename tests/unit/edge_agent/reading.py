"""Reads a stream as a centre would: every envelope verified, judged, opened and decoded, in sequence.

What must hold of any stream is asserted on the way: the chain of hashes, no schema used before it was sent in
the epoch, pieces before the row that needs them and whole, `_gc_key` what it says it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from protocol import canonical, envelope
from protocol.batch import Batch, MarkHeader, decode_batch, decode_mark, decode_piece
from protocol.change import OP_CODES, Op, Version
from protocol.delivery import Head, Verdict, advance, judge
from protocol.envelope import Kind
from protocol.names import TableName
from protocol.schema import TableSchema
from protocol.sealing import open_inner, verify
from protocol.signing import SUITE_1

from .keys import AGENT_KEY, SITE_OPENER

OPS = {code: op for op, code in OP_CODES.items()}


@dataclass(frozen=True)
class Change:
    """One row of a batch. `row` is canonical; a deletion has none. The rest only a log knows."""

    version: Version
    table: TableName
    op: Op
    key: bytes
    row: bytes
    old_key: bytes | None = None
    unchanged: tuple[int, ...] = ()
    """Places of the columns that it did not carry."""
    time: int | None = None


@dataclass(frozen=True)
class Mark:
    version: Version
    header: MarkHeader


@dataclass(frozen=True)
class BatchSeen:
    """A batch as a whole, before its changes."""

    version: Version
    table: TableName


Event = Change | Mark | BatchSeen


@dataclass
class Reader:
    """Reads one epoch after the other, each from its first envelope on."""

    secret: bytes
    head: Head = field(default_factory=lambda: Head(1))
    schemas: dict[bytes, TableSchema] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    group_ends: set[int] = field(default_factory=set)
    kinds: list[Kind] = field(default_factory=list)

    def begin_epoch(self, epoch: int, secret: bytes) -> None:
        self.secret, self.head = secret, Head(epoch)
        self.schemas, self.objects, self.group_ends, self.kinds = {}, {}, set(), []

    def read(self, envelopes: Iterable[bytes]) -> Iterator[Event]:
        for data in envelopes:
            yield from self._envelope(data)

    def _envelope(self, data: bytes) -> Iterator[Event]:
        parsed = envelope.parse(data)
        verify(parsed, SUITE_1, AGENT_KEY.public)
        digest = parsed.digest(SUITE_1)
        verdict = judge(self.head, parsed.header, digest, lambda _: None)
        assert (verdict, parsed.header.seq) == (Verdict.NEXT, self.head.seq + 1)
        self.head = advance(parsed.header, digest)
        version = Version(self.head.epoch, self.head.seq)
        inner = open_inner(parsed, SUITE_1, SITE_OPENER)
        self.kinds.append(parsed.header.kind)
        match parsed.header.kind:
            case Kind.SCHEMA:
                schema = TableSchema.from_bytes(inner)
                assert schema.fingerprint not in self.schemas, "a schema was sent twice"
                self.schemas[schema.fingerprint] = schema
            case Kind.BATCH:
                batch = decode_batch(inner, self.schemas.get)
                self._flag(batch.header.group_end)
                yield BatchSeen(version, batch.header.table_name)
                yield from self._changes(version, batch)
            case Kind.MARK:
                header = decode_mark(inner)
                assert header.schema_ is None or bytes.fromhex(header.schema_) in self.schemas
                self._flag(header.group_end)
                yield Mark(version, header)
            case Kind.PIECE:
                self._piece(inner)
            case kind:
                raise AssertionError(f"{kind} is not sent by capture")

    def _flag(self, group_end: bool) -> None:
        if group_end:
            self.group_ends.add(self.head.seq)

    def _piece(self, inner: bytes) -> None:
        header, data = decode_piece(inner)
        self._flag(header.group_end)
        before = self.objects.get(header.sha256, b"")
        if header.offset == 0:  # what began and was not to be had to its end
            assert len(before) < header.size or not before, "an object was sent twice"
            before = b""
        assert header.offset == len(before), "pieces come in order, once"
        self.objects[header.sha256] = before + data

    def _changes(self, version: Version, batch: Batch) -> Iterator[Change]:
        schema = batch.schema
        columns: dict[str, Any] = dict(zip(batch.rows.schema.names, batch.rows.columns, strict=True))
        names = [c.name for c in schema.columns]
        arrays = batch.rows.columns[-len(names) :]
        asides = columns["_gc_aside"].to_pylist() if "_gc_aside" in columns else None
        for entries in asides or ():
            for entry in entries or ():
                self._check_large(entry)
        lines = canonical.encode_rows(arrays, names, asides)
        keys = columns["_gc_key"].to_pylist()
        ops = [OPS[code] for code in columns["_gc_op"].to_pylist()]
        nothing = pa.nulls(len(ops))
        olds = columns.get("_gc_old_key", nothing).to_pylist()
        unchanged = columns.get("_gc_unchanged", nothing).to_pylist()
        times = columns.get("_gc_source_time", nothing).cast(pa.int64()).to_pylist()
        for i in (i for i, old in enumerate(olds) if old is not None):
            assert (ops[i], i and (ops[i - 1], keys[i - 1])) == (Op.CREATE, (Op.DELETE, olds[i])), (
                "a key change"
            )
        key_lines = canonical.encode_rows([arrays[i] for i in schema.key_positions]) if schema.key else lines
        secret = b"" if schema.key else self.secret
        for i, (op, key, line, key_line) in enumerate(zip(ops, keys, lines, key_lines, strict=True)):
            if schema.key or op is not Op.DELETE:
                assert key == canonical.digest(key_line, secret), "_gc_key"
            place = Version(version.epoch, version.seq, i)
            row = b"" if op is Op.DELETE else line
            left_out = tuple(names.index(name) for name in unchanged[i] or ())
            yield Change(place, schema.table, op, key, row, olds[i], left_out, times[i])

    def _check_large(self, entry: dict[str, Any]) -> None:
        if entry["reason"] == "large":
            data = self.objects[entry["sha256"].hex()]
            assert entry["original"] is None
            assert (len(data), hashlib.sha256(data).digest()) == (entry["bytes"], entry["sha256"])
