"""Arrow without its schema message: what we write comes back; what we never write is refused before pyarrow."""

from __future__ import annotations

import random
import struct

import pyarrow as pa
import pytest

from protocol import ipc
from protocol.errors import Rejected

BATCH = pa.RecordBatch.from_pydict(
    {
        "n": pa.array([1, None, 3], pa.int64()),
        "text": pa.array(["a", None, "归仓"]),
        "code": pa.array(["x", "y", "x"]).dictionary_encode(),
        "list": pa.array([["a"], None, []], pa.list_(pa.string())),
        "decimal": pa.array([None, 1, 2]).cast(pa.decimal128(22, 2)),
    }
)
DATA = ipc.encode(BATCH)


def test_round_trip() -> None:
    assert ipc.decode(DATA, BATCH.schema).equals(BATCH)
    assert ipc.decode(memoryview(DATA), BATCH.schema).equals(BATCH)
    assert ipc.decode(ipc.encode(BATCH.slice(1, 1)), BATCH.schema).equals(BATCH.slice(1, 1))


def test_neither_schema_nor_end_marker_travels() -> None:
    schema_bytes = BATCH.schema.serialize().to_pybytes()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, BATCH.schema) as writer:
        writer.write_batch(BATCH)
    assert schema_bytes + DATA + b"\xff\xff\xff\xff\x00\x00\x00\x00" == sink.getvalue().to_pybytes()


def test_every_truncation_is_refused() -> None:
    for end in range(len(DATA)):
        with pytest.raises(Rejected):
            ipc.decode(DATA[:end], BATCH.schema)


def test_a_bomb_in_the_body_is_never_inflated() -> None:
    zeros = pa.RecordBatch.from_pydict({"a": pa.array(bytes(1 << 22), pa.uint8())})
    for codec in ("zstd", "lz4"):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(
            sink, zeros.schema, options=pa.ipc.IpcWriteOptions(compression=codec)
        ) as writer:
            writer.write_batch(zeros)
        body = sink.getvalue().to_pybytes()[zeros.schema.serialize().size : -8]
        assert len(body) < 40_000
        with pytest.raises(Rejected) as refused:
            ipc.check(body, 0)
        assert "compression" in str(refused.value)


def test_another_schema_is_refused() -> None:
    for wrong in (BATCH.schema.remove(0), BATCH.schema.set(0, pa.field("n", pa.string()))):
        with pytest.raises(Rejected):
            ipc.decode(DATA, wrong)


@pytest.mark.parametrize("seed", range(40))
def test_mutated_bytes_give_rejected_or_a_valid_batch(seed: int) -> None:
    chance = random.Random(seed)
    extremes = [b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", struct.pack("<q", -1)]
    for _ in range(25):
        data = bytearray(DATA)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(data) - 8)
            if chance.random() < 0.5:
                data[at] ^= 1 << chance.randrange(8)
            else:
                word = chance.choice(extremes)
                data[at : at + len(word)] = word
        try:
            batch = ipc.decode(bytes(data), BATCH.schema)
        except Rejected:
            continue
        batch.validate(full=True)


def test_check_of_random_bytes_raises_nothing_else() -> None:
    chance = random.Random(1)
    for _ in range(300):
        head = struct.pack("<i", chance.choice([8, 16, 64, 200, -1, 0, 2**31 - 1]))
        data = b"\xff\xff\xff\xff" + head + chance.randbytes(chance.randrange(260))
        with pytest.raises(Rejected):
            ipc.decode(data, BATCH.schema)


def words(data: bytes, layout: str = "<qq") -> list[tuple[int, int, int]]:
    """Position and the two words of whatever could be a buffer or a node of the messages."""
    return [(at, *struct.unpack_from(layout, data, at)) for at in range(0, len(data) - 15, 8)]


def test_buffers_that_overlap_are_refused() -> None:
    """Thousands of columns may name one buffer: each would be validated for what one envelope carries."""
    text = pa.array(["x" * 100] * 50)
    batch = pa.RecordBatch.from_pydict({f"c{i}": text for i in range(20)})
    data = ipc.encode(batch)
    _, first, length = next(w for w in words(data) if w[2] == 5_000)
    same = data
    for there, _, size in words(data):
        if size == length:
            same = same[:there] + struct.pack("<qq", first, length) + same[there + 16 :]
    assert same != data
    assert ipc.decode(data, batch.schema).equals(batch)
    with pytest.raises(Rejected) as refused:
        ipc.decode(same, batch.schema)
    assert "buffers" in str(refused.value)


@pytest.mark.parametrize("by", [1, 2, 4, -8])
def test_buffers_that_are_not_where_ours_are_refused(by: int) -> None:
    data = ipc.encode(pa.RecordBatch.from_pydict({"a": pa.array(["x" * 100] * 50), "b": pa.array([1] * 50)}))
    at, offset, length = next(w for w in words(data) if w[2] == 5_000)
    moved = data[:at] + struct.pack("<qq", offset + by, length) + data[at + 16 :]
    with pytest.raises(Rejected) as refused:
        ipc.check(moved, 0)
    assert "buffers" in str(refused.value)


@pytest.mark.parametrize("padding", range(1, 8))
def test_a_message_of_odd_length_is_refused(padding: int) -> None:
    """All behind it would be read out of alignment."""
    (size,) = struct.unpack_from("<i", DATA, 4)
    odd = (
        DATA[:4] + struct.pack("<i", size + padding) + DATA[8 : 8 + size] + bytes(padding) + DATA[8 + size :]
    )
    with pytest.raises(Rejected, match="framing"):
        ipc.decode(odd, BATCH.schema)


@pytest.mark.parametrize(("length", "nulls"), [(2**62, 0), (-1, 0), (50, 51), (50, -1)])
def test_a_node_of_an_impossible_length_is_refused(length: int, nulls: int) -> None:
    data = ipc.encode(pa.RecordBatch.from_pydict({"a": pa.array([1] * 50)}))
    at = next(w for w in words(data) if w[1:] == (50, 0))[0]
    with pytest.raises(Rejected, match="length"):
        ipc.check(data[:at] + struct.pack("<qq", length, nulls) + data[at + 16 :], 0)
