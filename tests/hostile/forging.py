"""Content that no end of ours makes, sealed and signed as any other: lying zstd frames, Arrow words, headers."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from functools import cache
from typing import Any

import pyarrow as pa
import zstandard

from protocol import ipc
from protocol.batch import BatchHeader
from protocol.change import KEY
from protocol.delivery import Head
from protocol.envelope import Envelope, Header, Kind, join
from protocol.schema import TableSchema, canonical_json
from protocol.signing import SUITE_1
from tests.unit.central_ingest.sender import CAPTURED, SITE_KEY, Sender

CONTENT_KEY, ENTROPY = b"k" * 32, b"e" * 32


def send_frame(sender: Sender, kind: Kind, frame: bytes, declared: int) -> bytes:
    """The next envelope around any bytes where a zstd frame should be, and any declared size."""
    header = Header(
        suite=1,
        kind=kind,
        stream=sender.stream,
        epoch=sender.epoch,
        seq=sender.head.seq + 1,
        previous=sender.head.chain,
        plain_bytes=declared,
        cipher_bytes=len(frame) + 16,
        signing_key=SUITE_1.key_id(sender.signer.public),
        sealing_key=SITE_KEY.key_id,
        capsule=SUITE_1.encapsulate(SITE_KEY.public, CONTENT_KEY, ENTROPY),
    )
    header_bytes = header.to_bytes()
    envelope = Envelope(header, header_bytes, SUITE_1.encrypt(CONTENT_KEY, frame, header_bytes), b"")
    sender.head = Head(sender.epoch, header.seq, envelope.digest(SUITE_1))
    return join(header_bytes, envelope.cipher, sender.signer.sign(envelope.signed_bytes(SUITE_1)))


@cache
def zeros(size: int) -> bytes:
    """One frame of so many zeros, which declares them: a few thousand times smaller."""
    return zstandard.ZstdCompressor(level=1, write_content_size=True).compress(bytes(size))


def inner(head: Mapping[str, Any] | bytes, body: bytes = b"") -> bytes:
    """u32 length ‖ JSON ‖ body, whatever the JSON says."""
    text = head if isinstance(head, bytes) else canonical_json(dict(head))
    return struct.pack(">I", len(text)) + text + body


def head_of(data: bytes) -> dict[str, Any]:
    (length,) = struct.unpack_from(">I", data)
    head: dict[str, Any] = json.loads(data[4 : 4 + length])
    return head


def body_of(data: bytes) -> bytes:
    (length,) = struct.unpack_from(">I", data)
    return data[4 + length :]


def batch_of(of: TableSchema, arrow: pa.RecordBatch, **changes: Any) -> bytes:
    """A batch around any Arrow columns that follow the two of the system."""
    rows = arrow.num_rows
    dictionaries = [i for i, field in enumerate(arrow.schema) if pa.types.is_dictionary(field.type)]
    columns = {
        "_gc_op": pa.array([ord("c")] * rows, pa.uint8()),
        "_gc_key": pa.array([b"k" * 16] * rows, KEY),
    }
    columns |= dict(zip(arrow.schema.names, arrow.columns, strict=True))
    system = pa.RecordBatch.from_pydict(columns)
    head = BatchHeader(
        captured=CAPTURED,
        table=(of.table.database, of.table.schema, of.table.name),
        schema_=of.fingerprint.hex(),
        rows=min(rows, 65_536),
        dictionaries=tuple(dictionaries),
    )
    document = head.model_dump(mode="json", by_alias=True, exclude_defaults=True) | changes
    return inner(document, ipc.encode(_exact(system)))


def _exact(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The system's columns are never null."""
    fields = [field.with_nullable(i > 1) for i, field in enumerate(batch.schema)]
    return pa.RecordBatch.from_arrays(batch.columns, schema=pa.schema(fields))


def word(data: bytes, at: int, value: int, layout: str = "<i") -> bytes:
    return data[:at] + struct.pack(layout, value) + data[at + struct.calcsize(layout) :]
