"""Names, values and what other readers see of the lake on disk."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder
from hypothesis import given
from hypothesis import strategies as st

from central_ingest.landing.columns import exact_name, stored_names
from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.lake import Recovery, Txn
from protocol.errors import Permanent, Transient

from .delta_tables import APP, DAY, PATH, ids, log, rows

# --- names

NAMES = [
    "中文名",
    "a b",
    *(f"a{char}b" for char in ",;{}()\n\t=.\"'`\\/%"),
    " a",
    "a ",
    "",
    "x" * 300,
    "中" * 341,
    "é",
    "e\u0301",
    "_metadata",
    "_gc_op",
    "a.b.c",
]


def test_every_name_lands_and_reads_back_and_stands_as_it_is(lake: DeltaLake, root: Path) -> None:
    values = {name: pa.array([f"value {at}"]) for at, name in enumerate(NAMES)}
    lake.append(PATH, pa.table({**values, "_gc_date": [DAY]}), [])
    lake.append(PATH, pa.table({**values, "new, too": [1], "_gc_date": [DAY]}), [])
    expected = {name: f"value {at}" for at, name in enumerate(NAMES)}
    again = DeltaLake(root)
    for row in again.read(PATH, NAMES).to_pylist():
        assert row == expected
    assert again.schema(PATH).names == [*NAMES, "_gc_date", "new, too"]  # type: ignore[union-attr]
    opened = DeltaTable(root / PATH)
    query = pa.table(QueryBuilder().register("t", opened).execute("select * from t"))
    assert {name: query[name].to_pylist() for name in NAMES} == {name: [expected[name]] * 2 for name in NAMES}


def test_names_that_differ_in_case_alone_and_nul_are_stored_under_others(lake: DeltaLake, root: Path) -> None:
    lake.append(PATH, rows(1, name=pa.array(["a"])), [])
    lake.append(PATH, rows(2, NAME=pa.array([True]), ΣÉ=pa.array([1]), σé=pa.array([2])), [])
    lake.append(PATH, rows(3, name=pa.array(["b"]), Name=pa.array([3]), **{"x\0y": pa.array([4.5])}), [])
    again = DeltaLake(root)
    found = {row["id"]: row for row in again.read(PATH).to_pylist()}
    assert {n: v for n, v in found[1].items() if v is not None} == {"id": 1, "name": "a", "_gc_date": DAY}
    assert (found[2]["NAME"], found[2]["ΣÉ"], found[2]["σé"], found[2]["name"]) == (True, 1, 2, None)
    assert (found[3]["Name"], found[3]["name"], found[3]["x\0y"]) == (3, "b", 4.5)
    assert again.read(PATH, ["Name", "x\0y"]).schema.names == ["Name", "x\0y"]
    stored = pa.schema(DeltaTable(root / PATH).schema().to_arrow()).names
    assert stored[:4] == ["id", "name", "_gc_date", "_gc_as_^n^a^m^e"]
    again.append(PATH, rows(4, NAME=pa.array([False])), [])
    assert {row["id"]: row["NAME"] for row in again.read(PATH).to_pylist()}[4] is False


@given(
    st.lists(st.text() | st.sampled_from(["a", "A", "ß", "ẞ", "SS", "K", "ς", "_gc_as_^a", "^"]), unique=True)
)
def test_stored_names_are_apart_in_any_case_and_give_the_exact_ones_back(names: list[str]) -> None:
    stored = stored_names(names, {})
    assert [exact_name(stored[name]) for name in names] == names
    assert (
        len({name.casefold() for name in stored.values()})
        == len({n.lower() for n in stored.values()})
        == len(names)
    )
    assert stored_names([*names, "later"], stored).items() >= stored.items()


# --- values

ASIDE = pa.list_(
    pa.struct(
        [
            ("column", pa.string()),
            ("reason", pa.string()),
            ("original", pa.binary()),
            ("sha256", pa.binary()),
            ("bytes", pa.int64()),
        ]
    )
)
CLOCK = [-(2**63) + 1, 0, None, 253_402_300_799_999_999, 2**63 - 1]
VALUES: dict[str, pa.Array] = {
    "bool": pa.array([True, None, False]),
    **{f"int{n}": pa.array([-(2 ** (n - 1)), None, 2 ** (n - 1) - 1], f"int{n}") for n in (8, 16, 32, 64)},
    "float32": pa.array([1.1, None, -0.0, float("inf")], pa.float32()),
    "float64": pa.array([5e-324, None, -0.0, float("-inf"), 0.1], pa.float64()),
    "decimal(38,0)": pa.array([Decimal("9" * 38), None, Decimal("-" + "9" * 38)], pa.decimal128(38, 0)),
    "decimal(38,38)": pa.array(
        [Decimal("0." + "9" * 38), None, Decimal("-0." + "1" * 38)], pa.decimal128(38, 38)
    ),
    "decimal(20,0)": pa.array([Decimal(2**64 - 1), None], pa.decimal128(20, 0)),
    "decimal(7,2)": pa.array([Decimal("-99999.99"), None, Decimal("0.01")], pa.decimal128(7, 2)),
    "text": pa.array(["", None, "\0王𠀀", "x" * 1_000_000]),
    "binary": pa.array([b"", None, b"\0\xff"], pa.binary()),
    "date": pa.array([-(2**31), None, 0, 2**31 - 1], pa.int32()).cast(pa.date32()),
    "clock": pa.array(CLOCK, pa.int64()).cast(pa.timestamp("us")),
    "instant": pa.array(CLOCK, pa.int64()).cast(pa.timestamp("us", "UTC")),
    "list": pa.array([[1, None], None, []], pa.list_(pa.field("element", pa.int16()))),
    "struct": pa.array([{"a b": 1}, None, {"a b": None}], pa.struct([("a b", pa.int8())])),
    "aside": pa.array(
        [
            [{"column": "病 历", "reason": "large", "original": None, "sha256": b"\0" * 32, "bytes": 5}],
            None,
            [],
            [{"column": "b", "reason": "text", "original": b"\xff", "sha256": None, "bytes": None}] * 2,
        ],
        ASIDE,
    ),
}


def bits(values: Any) -> list[str]:
    """Python's datetime ends at the year 9999, so dates and times are compared as the numbers they are."""
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    if pa.types.is_date32(values.type):
        values = values.cast(pa.int32())
    return [repr(value) for value in values.to_pylist()]


@pytest.mark.parametrize("name", VALUES)
def test_values_come_back_as_they_were(lake: DeltaLake, root: Path, name: str) -> None:
    values = VALUES[name]
    table = pa.table({"v": values, "_gc_date": [DAY] * len(values)})
    lake.append(PATH, table, [])
    lake.append(PATH, table.slice(0, 1), [])
    got = DeltaLake(root).read(PATH, ["v"])["v"]
    first_two_files = {tuple(bits(chunk)) for chunk in got.chunks}
    assert first_two_files == {tuple(bits(values)), tuple(bits(values.slice(0, 1)))}
    kind = got.type
    assert kind == (ASIDE_HELD if name == "aside" else values.type)


ASIDE_HELD = pa.list_(pa.field("element", ASIDE.value_type))


@pytest.mark.parametrize(
    ("given_as", "held_as"),
    [
        (pa.array(["a", "b", None]).dictionary_encode(), pa.array(["a", "b", None])),
        (pa.array(["a", None], pa.large_string()), pa.array(["a", None])),
        (pa.array([b"a", None], pa.large_binary()), pa.array([b"a", None], pa.binary())),
        (pa.array([b"ab", None], pa.binary(2)), pa.array([b"ab", None], pa.binary())),
        (
            pa.array([1], pa.int64()).cast(pa.timestamp("us", "Asia/Shanghai")),
            pa.array([1], pa.int64()).cast(pa.timestamp("us", "UTC")),
        ),
    ],
)
def test_other_arrow_layouts_of_the_same_values_fit_one_column(
    lake: DeltaLake, given_as: pa.Array, held_as: pa.Array
) -> None:
    lake.append(PATH, pa.table({"v": held_as, "_gc_date": [DAY] * len(held_as)}), [])
    lake.append(PATH, pa.table({"v": given_as, "_gc_date": [DAY] * len(given_as)}), [])
    got = lake.read(PATH, ["v"])["v"]
    assert (got.type, bits(got)) == (held_as.type, bits(held_as) * 2)


def test_fields_of_a_struct_that_delta_cannot_tell_apart_park_the_table(lake: DeltaLake) -> None:
    twin = pa.array([{"a": 1, "A": 2}], pa.struct([("a", pa.int8()), ("A", pa.int8())]))
    with pytest.raises(Permanent, match="GC-6004"):
        lake.append(PATH, rows(1, twin=twin), [])


def test_a_source_cannot_instruct_delta_by_metadata(lake: DeltaLake, root: Path) -> None:
    kept = pa.field("v", pa.string(), False, {"type": "uuid", "delta.generationExpression": "1"})
    table = pa.table({"v": ["x"], "_gc_date": [DAY]}).cast(pa.schema([kept, ("_gc_date", pa.date32())]))
    lake.append(PATH, table, [])
    found = DeltaLake(root).schema(PATH).field("v")  # type: ignore[union-attr]
    assert (found.metadata, found.nullable) == ({b"type": b"uuid"}, True)


# --- what readers see


def test_a_commit_is_one_entry_partitioned_by_received_date_and_without_values(
    lake: DeltaLake, root: Path
) -> None:
    other = DAY + dt.timedelta(days=1)
    patient = pa.table(
        {
            "name": ["王小明", "李四"],
            "_gc_seq": pa.array([7, 9]),
            "_gc_date": pa.array([DAY, other], pa.date32()),
        }
    )
    assert lake.append(PATH, patient, [Txn(APP, 9)]) == 0
    opened = DeltaTable(root / PATH)
    assert sorted(one["_gc_date"] for one in opened.partitions()) == [str(DAY), str(other)]
    assert opened.to_pyarrow_table(filters=[("_gc_date", "=", other)])["name"].to_pylist() == ["李四"]
    adds = pa.table(opened.get_add_actions(flatten=True))
    assert sorted(adds["num_records"].to_pylist()) == [1, 1]
    assert sorted(adds["min._gc_seq"].to_pylist()) == [7, 9]
    assert "王小明" not in log(root, 0).read_text()
    assert opened.transaction_version(APP) == 9


def test_deltalake_can_compact_what_we_wrote_and_we_go_on(lake: DeltaLake, root: Path) -> None:
    for one in range(4):
        lake.append(PATH, rows(one, clock=pa.array([dt.datetime(2026, 1, 1)])), [Txn(APP, one)])
    DeltaTable(root / PATH).optimize.compact()
    with pytest.raises(Transient, match="GC-6005"):  # the version is taken: look again, then go on
        lake.append(PATH, rows(4), [Txn(APP, 4)])
    assert lake.txn(PATH, APP) == 3
    assert lake.append(PATH, rows(4), [Txn(APP, 4)]) == 5
    lake.make_durable(PATH, 5)
    again = DeltaLake(root)
    assert (ids(again), again.recover(PATH, -1)) == ([0, 1, 2, 3, 4], Recovery(5, ()))


def test_a_checkpoint_holds_every_transaction_and_hides_nothing(root: Path) -> None:
    lake = DeltaLake(root)
    assert lake.checkpoint(PATH) is None
    for one in range(3):
        lake.append(PATH, rows(one), [Txn(APP, one)])
    lake.append(PATH, rows(3), [Txn("h1/his/2", 1)])
    assert lake.checkpoint(PATH) == 3
    assert lake.checkpoint(PATH) is None
    lake.append(PATH, rows(4), [Txn("h1/his/2", 2)])
    assert len(list((root / PATH / "_delta_log").glob("*.json"))) == 5
    again = DeltaLake(root)
    assert (ids(again), again.txn(PATH, APP), again.txn(PATH, "h1/his/2")) == ([0, 1, 2, 3, 4], 2, 2)
