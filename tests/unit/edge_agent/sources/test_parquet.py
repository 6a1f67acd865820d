"""Parquet files: every type exact or aside, and refusals."""

from __future__ import annotations

import io
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.sources.kinds import parquet
from edge_agent.sources.kinds.parquet import ParquetKind
from edge_agent.sources.kinds.parquetcolumns import NoExactReadingError, carried
from edge_agent.sources.kinds.parquetfooter import chunks
from protocol.canonical import encode_rows
from protocol.errors import Rejected
from protocol.schema import wire_from_json, wire_to_json
from tests.unit.edge_agent.sources.workbooks import asides, opened, records, tables

D = Decimal
BIG = D("12345678901234567890123456789012345678901234567890.5")


def written(table: pa.Table, **how: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, **how)
    return stream.getvalue()


def one(data: bytes) -> Any:
    (table,) = tables(ParquetKind(), data).values()
    return table


def refusal(data: bytes) -> str:
    with pytest.raises(Rejected) as caught:
        records(one(data))
    assert caught.value.code == "GC-2008"
    return str(caught.value)


CASES: list[tuple[pa.DataType, list[Any], pa.DataType, list[Any]]] = [
    (pa.bool_(), [True, False], pa.bool_(), [True, False]),
    (pa.int8(), [-128], pa.int8(), [-128]),
    (pa.uint8(), [255], pa.int16(), [255]),
    (pa.uint16(), [65535], pa.int32(), [65535]),
    (pa.uint32(), [2**32 - 1], pa.int64(), [2**32 - 1]),
    (pa.uint64(), [2**64 - 1], pa.decimal128(20, 0), [D(2**64 - 1)]),
    (pa.int64(), [-(2**63)], pa.int64(), [-(2**63)]),
    (pa.float32(), [0.5], pa.float32(), [0.5]),
    (pa.float64(), [0.1], pa.float64(), [0.1]),
    (pa.decimal128(38, 10), [D("0.0000000001")], pa.decimal128(38, 10), [D("0.0000000001")]),
    (pa.decimal256(38, 2), [D("1.50")], pa.decimal128(38, 2), [D("1.50")]),
    (pa.decimal256(60, 9), [BIG, D("1E-9")], pa.string(), [f"{BIG}00000000", "0.000000001"]),
    (pa.string(), ["007", "张", ""], pa.string(), ["007", "张", ""]),
    (pa.large_string(), ["x"], pa.string(), ["x"]),
    (pa.binary(), [b"\xff\x00"], pa.binary(), [b"\xff\x00"]),
    (pa.binary(3), [b"a\x00\x00"], pa.binary(), [b"a\x00\x00"]),
    (pa.dictionary(pa.int32(), pa.string()), ["a", "b", "a"], pa.string(), ["a", "b", "a"]),
    (pa.date32(), [date(1, 1, 1), date(9999, 12, 31)], pa.date32(), [date(1, 1, 1), date(9999, 12, 31)]),
    (pa.date64(), [date(2020, 2, 29)], pa.date32(), [date(2020, 2, 29)]),
    (pa.timestamp("ms"), [datetime(2020, 1, 1)], pa.timestamp("us"), [datetime(2020, 1, 1)]),
    (pa.timestamp("us"), [datetime(9999, 12, 31)], pa.timestamp("us"), [datetime(9999, 12, 31)]),
    (pa.time32("ms"), [time(1, 2, 3, 4000)], pa.string(), ["01:02:03.004"]),
    (pa.time64("us"), [time(23, 59, 59, 999999)], pa.string(), ["23:59:59.999999"]),
    (pa.duration("us"), [timedelta(microseconds=-5)], pa.string(), ["-5"]),
    (pa.list_(pa.uint16()), [[1], []], pa.list_(pa.int32()), [[1], []]),
    (pa.list_(pa.time64("us")), [[time(1)]], pa.list_(pa.string()), [["01:00:00.000000"]]),
    (
        pa.struct([("a", pa.uint8()), ("b", pa.list_(pa.string()))]),
        [{"a": 1, "b": ["x"]}],
        pa.struct([("a", pa.int16()), ("b", pa.list_(pa.string()))]),
        [{"a": 1, "b": ["x"]}],
    ),
    (
        pa.map_(pa.string(), pa.int64()),
        [[("a", 1), ("b", 2)]],
        pa.list_(pa.struct([("key", pa.string()), ("value", pa.int64())])),
        [[{"key": "a", "value": 1}, {"key": "b", "value": 2}]],
    ),
]


@pytest.mark.parametrize(("stored", "values", "wire", "expected"), CASES, ids=lambda v: str(v)[:30])
def test_a_type_is_carried_exactly(
    stored: pa.DataType, values: list[Any], wire: pa.DataType, expected: list[Any]
) -> None:
    table = one(written(pa.table({"c": pa.array([*values, None], stored)})))
    (column,) = table.columns
    assert column.wire == wire
    assert column.source_type
    assert wire_from_json(wire_to_json(wire)) == wire
    assert records(table) == [(value,) for value in [*expected, None]]
    assert asides(table) == []
    for rows in table.rows():
        assert len(encode_rows(rows.columns)) == rows.count


def test_moments_in_utc_keep_their_zone_as_their_type() -> None:
    moment = pa.array([0], pa.timestamp("us", tz="Asia/Shanghai"))
    table = one(written(pa.table({"c": moment})))
    assert table.columns[0].wire == pa.timestamp("us", tz="UTC")
    assert table.columns[0].source_type == "timestamp[us, tz=Asia/Shanghai]"
    (rows,) = table.rows()
    assert rows.columns[0].cast(pa.int64()).to_pylist() == [0]


def test_what_a_wire_type_does_not_hold_stands_aside() -> None:
    table = one(
        written(
            pa.table(
                {
                    "ns": pa.array([1_000, 1_001, -1], pa.timestamp("ns")),
                    "us": pa.array([0, 253_402_300_800_000_000, -62_135_596_800_000_001], pa.timestamp("us")),
                    "ms": pa.array([2**62, 0, None], pa.timestamp("ms")),
                    "day": pa.array([-719_163, -719_162, 2_932_897], pa.int32()).cast(pa.date32()),
                    "text": pa.array([b"\xff", b"x", None]).cast(pa.binary()).view(pa.string()),
                }
            )
        )
    )
    assert records(table) == [
        (datetime(1970, 1, 1, 0, 0, 0, 1), datetime(1970, 1, 1), None, None, None),
        (None, None, datetime(1970, 1, 1), date(1, 1, 1), "x"),
        (None, None, None, None, None),
    ]
    assert sorted(asides(table)) == [
        (0, "day", "range", b"-719163"),
        (0, "ms", "range", str(2**62).encode()),
        (0, "text", "charset", b"\xff"),
        (1, "ns", "range", b"1001"),
        (1, "us", "range", b"253402300800000000"),
        (2, "day", "range", b"2932897"),
        (2, "ns", "range", b"-1"),
        (2, "us", "range", b"-62135596800000001"),
    ]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-9_223_372_036, 9_223_372_035), max_size=5), st.integers(0, 999))
def test_int96_is_exact_in_nanoseconds_and_far_away(seconds: list[int], rest: int) -> None:
    counts = [second * 10**9 + rest for second in seconds]
    table = one(
        written(
            pa.table(
                {
                    "a": pa.array(counts, pa.timestamp("ns")),
                    "b": pa.array([str(c) for c in counts], pa.string()),
                }
            ),
            use_deprecated_int96_timestamps=True,
        )
    )
    assert table.columns[0].source_type == "INT96"
    for rows in table.rows():
        whole = rows.columns[0].cast(pa.int64()).to_pylist()
        assert whole == [c // 1000 if rest == 0 else None for c in counts]
    assert [entry[3] for entry in asides(table)] == ([str(c).encode() for c in counts] if rest else [])


def test_int96_beyond_what_nanoseconds_reach() -> None:
    far = pa.array([datetime(9999, 12, 31, 23, 59, 59, 999999), datetime(1, 1, 1)], pa.timestamp("us"))
    data = written(pa.table({"a": far}), use_deprecated_int96_timestamps=True)
    assert records(one(data)) == [(datetime(9999, 12, 31, 23, 59, 59, 999999),), (datetime(1, 1, 1),)]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(), st.text(st.characters(codec="utf-8")), st.floats(allow_nan=False)),
        max_size=20,
    )
)
def test_what_polars_writes_is_read_as_it_wrote(written_rows: list[tuple[int, str, float]]) -> None:
    rows = [(i % 2**64, text, number) for i, text, number in written_rows]
    frame = polars.DataFrame(
        rows, schema={"u": polars.UInt64, "t": polars.String, "f": polars.Float64}, orient="row"
    )
    stream = io.BytesIO()
    frame.write_parquet(stream, row_group_size=7)
    assert records(one(stream.getvalue())) == [(D(u), t, f) for u, t, f in rows]


def test_row_groups_and_slices_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "SLICE_BYTES", 4_000)
    values = [f"{i:0{50 + i % 50}d}" for i in range(3_000)]
    table = one(written(pa.table({"c": values}), row_group_size=700))
    slices = list(table.rows())
    assert len(slices) > 10
    assert all(rows.nbytes <= 8_000 for rows in slices)
    assert [v for rows in slices for v in rows.columns[0].to_pylist()] == values


@pytest.mark.parametrize("is_declared", [True, False])
def test_a_dictionary_that_repeats_a_long_text_is_written_out_by_pieces(is_declared: bool) -> None:
    """A file of a few kilobytes says 400 MB; so do honest ones, of notes that are all alike."""
    long = "长" * 100_000
    indices = pa.array([0, 1] * 700, pa.int32())
    column = pa.DictionaryArray.from_arrays(indices, pa.array([long, "short"]))
    data = written(pa.table({"c": column, "n": range(1400)}), store_schema=is_declared)
    assert len(data) < 100_000
    table = one(data)
    assert table.columns[0].wire == pa.string()
    before, lengths = pa.total_allocated_bytes(), []
    for rows in table.rows():
        assert rows.nbytes < 8_000_000
        assert pa.total_allocated_bytes() - before < 64_000_000
        lengths += [len(value) for value in rows.columns[0].to_pylist()]
        assert rows.columns[1].to_pylist() == list(range(len(lengths) - rows.count, len(lengths)))
    assert lengths == [100_000, 5] * 700


@given(st.integers(1, 3), st.booleans(), st.sampled_from(["1.0", "2.6"]))
@settings(max_examples=12, deadline=None)
def test_the_footer_is_read_as_pyarrow_reads_it(groups: int, has_dictionary: bool, version: str) -> None:
    table = pa.table(
        {"a": range(30), "b": ["x", None, "y"] * 10, "c": [[1, 2]] * 30, "d": [{"e": 1, "f": "g"}] * 30}
    )
    data = written(table, row_group_size=-(-30 // groups), use_dictionary=has_dictionary, version=version)
    about = pq.ParquetFile(io.BytesIO(data)).metadata
    leaves = [
        about.row_group(g).column(c) for g in range(about.num_row_groups) for c in range(about.num_columns)
    ]
    found = chunks(parquet._footer(opened(data)))
    assert [(".".join(c.path), c.values) for c in found] == [
        (leaf.path_in_schema, leaf.num_values) for leaf in leaves
    ]
    names = {0: "PLAIN", 2: "PLAIN_DICTIONARY", 3: "RLE", 4: "BIT_PACKED", 8: "RLE_DICTIONARY"}
    for chunk, leaf in zip(found, leaves, strict=True):
        assert {names[e] for e in chunk.encodings} == set(leaf.encodings)


def test_damage_of_the_footer_ends_no_process() -> None:
    """Every byte of it, one way each: pyarrow is not asked for what it cannot answer without ending the process."""
    start = len(SAMPLE) - 8 - int.from_bytes(SAMPLE[-8:-4], "little")
    for place in range(start, len(SAMPLE) - 8, 3):
        content = bytearray(SAMPLE)
        content[place] ^= 1 + place % 7
        with suppress(Rejected):
            records(one(bytes(content)))


def test_a_page_that_claims_two_gigabytes_is_refused_before_they_are_taken() -> None:
    """Zigzag of 2,147,483,605 where the size of the first page stands: Arrow would allocate them, and then look."""
    data = written(pa.table({"a": pa.array([1, 2, 3], pa.int64())}), use_dictionary=False, compression="none")
    (chunk,) = chunks(parquet._footer(opened(data)))
    assert records(one(data)) == [(1,), (2,), (3,)]
    place = chunk.start + data[chunk.start : chunk.start + 12].index(
        b"\x15", 3
    )  # a field of 32 bits: compressed size
    claimed = data[: place + 1] + b"\xaa\xff\xff\xff\x0f" + data[place + 2 :]
    before = pa.default_memory_pool().max_memory()
    assert "damaged" in refusal(claimed)
    assert pa.default_memory_pool().max_memory() < before + 2**30


def test_pages_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(pa.table({"a": ["x" * 9_000, "y" * 90_000]}), use_dictionary=False)
    assert len(records(one(data))) == 2
    monkeypatch.setattr(parquet, "PAGE_BYTES_MAX", 50_000)
    assert "a page of more than 256 MiB" in refusal(data)


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY", "PLAIN"])
def test_texts_of_every_encoding(encoding: str) -> None:
    values = [f"文本{i}" for i in range(500)]
    data = written(pa.table({"c": values}), use_dictionary=False, column_encoding={"c": encoding})
    assert [value for (value,) in records(one(data))] == values


def test_lists_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(pa.table({"c": [[1] * 50, [2] * 60]}))
    assert len(records(one(data))) == 2
    monkeypatch.setattr(parquet, "NESTED_VALUES_MAX", 100)
    assert "64 million" in refusal(data)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "no Parquet file"),
        (b"a,b\n1,2\n", "no Parquet file"),
        (b"PAR1" + bytes(20) + b"\xff\xff\xff\x7fPAR1", "its footer is larger than 16"),
        (b"PAR1" + bytes(20) + b"\x08\x00\x00\x00PAR1", "no Parquet file"),
        (b"PARE" + bytes(20) + b"\x08\x00\x00\x00PARE", "encrypted"),
        (written(pa.table({"a": [1]}))[:-5], "no Parquet file"),
        (written(pa.Table.from_arrays([pa.array([1])] * 2, ["a", "a"])), "same name"),
        (written(pa.table({"": [1]})), "has no name"),
    ],
)
def test_what_is_no_table_is_refused(data: bytes, problem: str) -> None:
    assert problem in refusal(data)


def test_a_type_without_an_exact_reading_is_refused() -> None:
    with pytest.raises(NoExactReadingError):
        carried(pa.struct([]))
    deep = pa.int64()
    for _ in range(20):
        deep = pa.list_(deep)
    with pytest.raises(NoExactReadingError):
        carried(deep)


def test_the_stream_stays_open() -> None:
    file = opened(written(pa.table({"a": [1]})))
    (table,) = ParquetKind().tables(file, None)  # type: ignore[arg-type]
    list(table.rows())
    assert not file.stream.closed


SAMPLE = written(
    pa.table(
        {
            "a": [1, 2, 3],
            "b": ["x", "y", None],
            "c": [[1], [], None],
            "d": pa.array([1, 2, 3], pa.timestamp("ns")),
        }
    )
)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damage_gives_rows_asides_or_a_refusal(data: st.DataObject) -> None:
    content = bytearray(SAMPLE)
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(4, len(content) - 9))] = data.draw(st.integers(0, 255))
    with suppress(Rejected):
        records(one(bytes(content)))
