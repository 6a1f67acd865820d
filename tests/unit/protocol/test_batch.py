"""Batches, marks and pieces: every wire type comes back, and no old memory travels under a null."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import batch
from protocol.batch import MarkHeader, PieceHeader
from protocol.change import ASIDE, TIME, MarkKind
from protocol.errors import Rejected
from protocol.limits import BATCH_ROWS_MAX, PIECE_BYTES
from protocol.names import TableName
from protocol.schema import Column, TableSchema

from .strategies import Rows, rows

TABLE = TableName("his", "dbo", "门诊")
SCHEMA = TableSchema(TABLE, (Column("id", pa.int64()), Column("科室", pa.string())), ("id",))


def system_columns(count: int, op: str = "r") -> dict[str, pa.Array]:
    return {
        "_gc_op": pa.array([ord(op)] * count, pa.uint8()),
        "_gc_key": pa.array([i.to_bytes(16, "big") for i in range(count)], pa.binary(16)),
    }


def canonical_text(array: pa.Array) -> str:
    """For comparing values where NaN equals NaN and a dictionary equals its text."""
    plain = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    if pa.types.is_timestamp(plain.type):
        plain = plain.cast(pa.int64())
    return repr(
        plain.view(pa.binary(16)).to_pylist() if pa.types.is_fixed_size_binary(plain.type) else str(plain)
    )


@settings(max_examples=40, deadline=None)
@given(rows(), st.booleans(), st.none() | st.text(max_size=20), st.text(max_size=20))
def test_flags_change_nothing_but_themselves(
    sample: Rows, cut: bool, position: str | None, fact: str
) -> None:
    flags: dict[str, Any] = {"group_end": True, "cut": cut, "position": position}
    none: dict[str, Any] = {"group_end": False, "cut": False, "position": None}
    mark = MarkHeader(captured=5, mark=MarkKind.DROP, table=None, facts={"é": fact, "n": [1.5, None]})
    piece = PieceHeader(captured=5, sha256="0" * 64, size=9, offset=0)
    encoders: list[Callable[[dict[str, Any]], bytes]] = [
        lambda said: batch.encode_batch(
            sample.schema, system_columns(sample.count), sample.arrays, captured=5, **said
        ),
        lambda said: batch.encode_mark(mark.model_copy(update=said)),
        lambda said: batch.encode_piece(piece.model_copy(update=said), b"bytes"),
    ]
    for encode in encoders:
        assert batch.with_flags(encode(none), **flags) == encode(flags)
        assert batch.with_flags(encode(flags), **none) == encode(none)


@settings(max_examples=20, deadline=None)
@given(rows())
def test_round_trip_of_every_wire_type(sample: Rows) -> None:
    inner = batch.encode_batch(
        sample.schema,
        system_columns(sample.count),
        sample.arrays,
        captured=5,
        group_end=True,
        cut=True,
        position="p",
    )
    known = {sample.schema.fingerprint: sample.schema}
    decoded = batch.decode_batch(inner, known.get)
    header = decoded.header
    assert header.table_name == sample.schema.table
    assert (header.captured, header.group_end, header.cut, header.position) == (5, True, True, "p")
    assert header.rows == decoded.rows.num_rows == sample.count
    for name, array in system_columns(sample.count).items():
        assert decoded.rows.column(name).equals(array)
    for sent, arrived in zip(sample.arrays, decoded.rows.columns[2:], strict=True):
        assert arrived.type == sent.type
        assert canonical_text(arrived) == canonical_text(sent)


def test_round_trip_of_extras() -> None:
    aside = {"column": "科室", "reason": "charset", "original": b"\xd0", "sha256": None, "bytes": None}
    extras = {
        "_gc_unchanged": pa.array([["科室"], None], pa.list_(pa.string())),
        "_gc_aside": pa.array([None, [aside]], ASIDE),
        "_gc_source_time": pa.array([1, None], TIME),
        "_gc_old_key": pa.array([None, bytes(16)], pa.binary(16)),
    }
    inner = batch.encode_batch(
        SCHEMA, system_columns(2) | extras, [pa.array([1, 2]), pa.array(["a", None])], captured=1
    )
    decoded = batch.decode_batch(inner, {SCHEMA.fingerprint: SCHEMA}.get)
    assert set(decoded.header.extras) == set(extras)
    for name, array in extras.items():
        assert decoded.rows.column(name).equals(array)


@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.float64(), pa.decimal128(38, 0), pa.timestamp("us"), pa.date32()]
)
def test_null_slots_are_zeroed(kind: pa.DataType) -> None:
    width = kind.bit_width // 8
    memory = bytes(width) + b"SECRET!!" * width
    validity = pa.py_buffer(b"\x01\x00")
    masked = pa.Array.from_buffers(kind, 9, [validity, pa.py_buffer(memory)], 8)
    dictionary = pa.DictionaryArray.from_arrays(
        pa.Array.from_buffers(pa.int32(), 2, [validity, pa.py_buffer(b"\0\0\0\0\1\0\0\0")], 1),
        pa.array(["a", "b"]),
    )
    zeroed = batch.zero_null_slots(masked)
    assert zeroed.equals(masked)
    assert not any(zeroed.buffers()[1].to_pybytes()[: 9 * width])
    assert not any(batch.zero_null_slots(dictionary).indices.buffers()[1].to_pybytes()[:8])


@settings(max_examples=20, deadline=None)
@given(rows())
def test_zeroing_changes_no_value(sample: Rows) -> None:
    for array in sample.arrays:
        zeroed = batch.zero_null_slots(array)
        zeroed.validate(full=True)
        assert zeroed.null_count == array.null_count
        assert canonical_text(zeroed) == canonical_text(array)


def test_ops_that_are_no_rows_are_refused() -> None:
    columns = [pa.array([1]), pa.array(["a"])]
    for op in "rcud":
        inner = batch.encode_batch(SCHEMA, system_columns(1, op), columns, captured=1)
        assert batch.decode_batch(inner, {SCHEMA.fingerprint: SCHEMA}.get).rows.column(0)[0].as_py() == ord(
            op
        )
    for op in "mx\x00":
        inner = batch.encode_batch(SCHEMA, system_columns(1, op), columns, captured=1)
        with pytest.raises(Rejected):
            batch.decode_batch(inner, {SCHEMA.fingerprint: SCHEMA}.get)


def test_as_many_rows_as_a_batch_may_have() -> None:
    count = BATCH_ROWS_MAX
    columns = [pa.array(range(count), pa.int64()), pa.array(["内科"] * count).dictionary_encode()]
    inner = batch.encode_batch(SCHEMA, system_columns(count), columns, captured=1)
    assert batch.decode_batch(inner, {SCHEMA.fingerprint: SCHEMA}.get).rows.num_rows == count


def test_marks_round_trip() -> None:
    for kind in MarkKind:
        header = MarkHeader(
            captured=1,
            mark=kind,
            table=("a", None, "b"),
            schema_="0" * 64,
            snapshot="1" * 32,
            facts={"rows": 3},
        )
        assert batch.decode_mark(batch.encode_mark(header)) == header
    inventory = MarkHeader(
        captured=1, mark=MarkKind.INVENTORY, table=None, facts={"tables": [[None, None, "a"]]}
    )
    assert batch.decode_mark(batch.encode_mark(inventory)).table_name is None


@given(st.binary(min_size=1, max_size=20), st.integers(0, 10), st.integers(0, 10))
def test_pieces_round_trip(data: bytes, offset: int, more: int) -> None:
    header = PieceHeader(captured=1, sha256="a" * 64, size=offset + len(data) + more, offset=offset)
    assert batch.decode_piece(batch.encode_piece(header, data)) == (header, data)


def test_piece_bounds() -> None:
    header = PieceHeader(captured=1, sha256="a" * 64, size=PIECE_BYTES + 1, offset=0)
    assert len(batch.decode_piece(batch.encode_piece(header, bytes(PIECE_BYTES)))[1]) == PIECE_BYTES
    for data in (b"", bytes(PIECE_BYTES + 1)):
        with pytest.raises(Rejected) as refused:
            batch.encode_piece(header, data)
        assert refused.value.code == "GC-5007"


INNER = batch.encode_batch(
    SCHEMA, system_columns(2), [pa.array([1, None]), pa.array(["a", "b"]).dictionary_encode()], captured=1
)
MARK = batch.encode_mark(MarkHeader(captured=1, mark=MarkKind.DROP, table=(None, None, "a")))
PIECE = batch.encode_piece(PieceHeader(captured=1, sha256="a" * 64, size=9, offset=1), b"abc")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_mutated_content_is_refused_or_valid(data: st.DataObject) -> None:
    inner = bytearray(data.draw(st.sampled_from([INNER, MARK, PIECE])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(inner) - 1))
        inner[at : at + 1] = data.draw(st.binary(max_size=4))
        if not inner:
            break
    for decode in (
        lambda b: batch.decode_batch(b, {SCHEMA.fingerprint: SCHEMA}.get),
        batch.decode_mark,
        batch.decode_piece,
    ):
        try:
            decode(bytes(inner))
        except Rejected:
            continue


def test_truncated_batches_are_refused() -> None:
    for end in range(len(INNER)):
        with pytest.raises(Rejected):
            batch.decode_batch(INNER[:end], {SCHEMA.fingerprint: SCHEMA}.get)
