"""Arrow IPC without its schema message, and a check of it that inflates nothing.

A batch travels as the dictionary messages and the one record-batch message of an Arrow stream: the schema is
known by its fingerprint. Before pyarrow sees foreign bytes, `check` walks the messages' flatbuffers (Arrow
columnar format, "Encapsulated message format" and Message.fbs) and refuses what we never send: body
compression (2 KB become 64 MiB, measured), delta dictionaries, other kinds of message, trailing bytes, buffers
that overlap (thousands of columns may all name one buffer, and each is validated) or are not aligned (Arrow
reads them in place, and what processors do then differs).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pyarrow as pa

from .errors import Rejected

_CONTINUATION = b"\xff\xff\xff\xff"
_END = _CONTINUATION + b"\x00\x00\x00\x00"
_DICTIONARY, _RECORD_BATCH = 2, 3
_ALIGNMENT = 8
_OPTIONS = pa.ipc.IpcWriteOptions(compression=None, use_threads=False)


def encode(batch: pa.RecordBatch) -> bytes:
    """The stream messages of `batch` after the schema message, without the end-of-stream marker."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_OPTIONS) as writer:
        writer.write_batch(batch)
    stream = sink.getvalue()
    start = len(_schema_message(batch.schema))
    return bytes(stream.slice(start, stream.size - start - len(_END)))


def decode(data: memoryview | bytes, schema: pa.Schema) -> pa.RecordBatch:
    """The batch that `encode` wrote under `schema`, fully validated. Raises Rejected GC-5006/5007.

    Its buffers are views of one copy of `data`; nothing is inflated.
    """
    dictionaries = sum(pa.types.is_dictionary(f.type) for f in schema)
    try:
        check(bytes(data), dictionaries)
        stream = pa.py_buffer(b"".join((_schema_message(schema), data, _END)))
        with pa.ipc.open_stream(stream) as reader:
            batch = reader.read_next_batch()
            batch.validate(full=True)
    except (pa.ArrowException, OSError, StopIteration, struct.error, IndexError, OverflowError, MemoryError):
        raise Rejected("GC-5006", reason="Arrow batch") from None
    if batch.nbytes > 2 * len(data) + 4096 * max(1, batch.num_columns):
        raise Rejected("GC-5007", reason="Arrow batch")
    return batch


def _schema_message(schema: pa.Schema) -> bytes:
    return bytes(schema.serialize())


def check(data: bytes, dictionaries: int) -> None:
    """Raises Rejected unless `data` is at most `dictionaries` dictionary messages and then one record batch."""
    offset, seen, batches = 0, 0, 0
    while offset < len(data):
        if batches or data[offset : offset + 4] != _CONTINUATION:
            raise Rejected("GC-5006", reason="Arrow framing")
        (size,) = struct.unpack_from("<i", data, offset + 4)
        start = offset + 8
        if size <= 0 or size % _ALIGNMENT or start + size > len(data):
            raise Rejected("GC-5006", reason="Arrow framing")
        kind, body = _check_message(data[start : start + size])
        seen, batches = seen + (kind == _DICTIONARY), batches + (kind == _RECORD_BATCH)
        offset = start + size + body
        if offset > len(data) or seen > dictionaries:
            raise Rejected("GC-5006", reason="Arrow framing")
    if batches != 1:
        raise Rejected("GC-5006", reason="Arrow framing")


def _check_message(metadata: bytes) -> tuple[int, int]:
    """Kind and body length of one message. Fields of Message: version, header_type, header, bodyLength, custom."""
    message = _Table.root(metadata)
    kind, body = message.scalar(1, "<B"), message.scalar(3, "<q")
    header = message.table(2)
    if kind not in (_DICTIONARY, _RECORD_BATCH) or header is None or body < 0 or body % _ALIGNMENT:
        raise Rejected("GC-5006", reason="Arrow message")
    if message.has(4):
        raise Rejected("GC-5006", reason="Arrow message")
    if kind == _DICTIONARY:  # DictionaryBatch: id, data, isDelta
        if header.scalar(2, "<B"):
            raise Rejected("GC-5006", reason="Arrow message")
        header = header.table(1)
    if header is None or header.has(3):  # RecordBatch: length, nodes, buffers, compression
        raise Rejected("GC-5006", reason="Arrow compression")
    _check_layout(header, body)
    return kind, body


def _check_layout(batch: _Table, body: int) -> None:
    """Buffers stand in the body one behind the other, and no array is longer than what the body can hold."""
    rows_max = 8 * body + 8
    if not 0 <= batch.scalar(0, "<q") <= rows_max:
        raise Rejected("GC-5006", reason="Arrow length")
    for length, nulls in batch.pairs(1):
        if not 0 <= nulls <= length <= rows_max:
            raise Rejected("GC-5006", reason="Arrow length")
    end = 0
    for offset, length in batch.pairs(2):
        if offset % _ALIGNMENT or offset < end or not 0 <= length <= body - offset:
            raise Rejected("GC-5006", reason="Arrow buffers")
        end = offset + length


class _Table:
    """A flatbuffers table, read with every offset checked by Python's own slicing."""

    def __init__(self, data: bytes, position: int) -> None:
        if not 0 <= position < len(data):
            raise Rejected("GC-5006", reason="Arrow message")
        self._data, self._position = data, position
        self._vtable = position - struct.unpack_from("<i", data, position)[0]
        if self._vtable < 0:
            raise Rejected("GC-5006", reason="Arrow message")
        (self._vtable_bytes,) = struct.unpack_from("<H", data, self._vtable)

    @classmethod
    def root(cls, data: bytes) -> _Table:
        return cls(data, struct.unpack_from("<I", data, 0)[0])

    def _field(self, index: int) -> int | None:
        slot = 4 + 2 * index
        if slot + 2 > self._vtable_bytes:
            return None
        (relative,) = struct.unpack_from("<H", self._data, self._vtable + slot)
        return self._position + relative if relative else None

    def scalar(self, index: int, layout: str) -> int:
        position = self._field(index)
        return 0 if position is None else int(struct.unpack_from(layout, self._data, position)[0])

    def has(self, index: int) -> bool:
        return self._field(index) is not None

    def pairs(self, index: int) -> Iterator[tuple[int, int]]:
        """A vector of structs of two signed 64-bit integers, which is what FieldNode and Buffer are."""
        position = self._field(index)
        if position is None:
            return
        start = position + struct.unpack_from("<I", self._data, position)[0]
        (count,) = struct.unpack_from("<I", self._data, start)
        if start + 4 + 16 * count > len(self._data):
            raise Rejected("GC-5006", reason="Arrow message")
        yield from struct.iter_unpack("<qq", self._data[start + 4 : start + 4 + 16 * count])

    def table(self, index: int) -> _Table | None:
        position = self._field(index)
        if position is None:
            return None
        return _Table(self._data, position + struct.unpack_from("<I", self._data, position)[0])
