"""Index and scratch files: what was written comes back, what was damaged does not, what the disk refuses is told."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.capture.index import IndexDamaged, IndexFiles
from edge_agent.sources.columns import aside
from edge_agent.sources.source import Rows
from protocol.errors import Transient
from protocol.names import TableName
from protocol.schema import Column, TableSchema

SCHEMA = TableSchema(TableName(None, None, "t"), (Column("id", pa.int64()), Column("名", pa.string())))
digests = st.binary(min_size=16, max_size=16)


@pytest.fixture
def files(tmp_path: Path) -> IndexFiles:
    return IndexFiles(tmp_path / "index")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    keyed=st.dictionaries(st.binary(max_size=40), digests),
    counts=st.dictionaries(digests, st.integers(1, 2**64 - 1)),
)
def test_indexes_come_back(files: IndexFiles, keyed: dict[bytes, bytes], counts: dict[bytes, int]) -> None:
    assert files.read_keyed(files.write_keyed(keyed)) == keyed
    assert files.read_counts(files.write_counts(Counter(counts))) == Counter(counts)


def test_an_index_without_a_name_is_empty(files: IndexFiles) -> None:
    assert files.read_keyed("") == {}
    assert files.read_counts("") == Counter()


def test_counts_of_nothing_are_not_kept(files: IndexFiles) -> None:
    gone = Counter({b"a" * 16: 0, b"b" * 16: 2})
    assert files.read_counts(files.write_counts(gone)) == Counter({b"b" * 16: 2})


def test_no_damage_goes_unseen(files: IndexFiles, tmp_path: Path) -> None:
    name = files.write_keyed({b"key": b"d" * 16})
    path = tmp_path / "index" / name
    good = path.read_bytes()
    damaged = [good[:-1], good + b"x", b"", *(_flipped(good, at) for at in range(len(good)))]
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(IndexDamaged):
            files.read_keyed(name)
    path.unlink()
    with pytest.raises(IndexDamaged):
        files.read_keyed(name)


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_a_scratch_gives_its_slices_in_order(files: IndexFiles) -> None:
    plain = Rows([pa.array([1, 2]), pa.array(["a", None])])
    odd = Rows([pa.array([3]), pa.nulls(1, pa.string())], [[aside("名", "charset", b"\xff\x00")]])
    scratch = files.new_scratch(SCHEMA)
    scratch.add(plain)
    scratch.add(odd)
    scratch.close()
    first, second = files.read_scratch(scratch.name, SCHEMA)
    assert [c.to_pylist() for c in first.columns] == [[1, 2], ["a", None]]
    assert first.asides is None
    assert (second.columns[0].to_pylist(), second.asides) == ([3], odd.asides)


def test_a_scratch_that_is_not_whole_or_of_another_table_is_damaged(
    files: IndexFiles, tmp_path: Path
) -> None:
    scratch = files.new_scratch(SCHEMA)
    scratch.add(Rows([pa.array([1]), pa.array(["a"])]))
    scratch.close()
    other = TableSchema(SCHEMA.table, (Column("id", pa.int32()),))
    with pytest.raises(IndexDamaged):
        list(files.read_scratch(scratch.name, other))
    path = tmp_path / "index" / scratch.name
    path.write_bytes(path.read_bytes()[:-20])
    for name in (scratch.name, "missing.scratch"):
        with pytest.raises(IndexDamaged):
            list(files.read_scratch(name, SCHEMA))


def test_sweeping_leaves_what_is_named(files: IndexFiles, tmp_path: Path) -> None:
    kept, swept = files.write_keyed({}), files.write_keyed({})
    scratch = files.new_scratch(SCHEMA)
    scratch.discard()
    files.sweep({kept})
    assert [path.name for path in (tmp_path / "index").iterdir()] == [kept]
    files.remove(kept, swept, "")
    assert not list((tmp_path / "index").iterdir())


def test_a_disk_that_refuses_is_an_outage(files: IndexFiles, tmp_path: Path) -> None:
    (tmp_path / "index").rmdir()
    with pytest.raises(Transient, match="GC-3002"):
        files.write_keyed({b"k": b"d" * 16})
    with pytest.raises(Transient, match="GC-3002"):
        files.new_scratch(SCHEMA)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps rights in the folder's list, not in mode bits")
def test_rows_on_their_way_are_readable_by_the_agent_alone(tmp_path: Path) -> None:
    IndexFiles(tmp_path / "index")
    assert (tmp_path / "index").stat().st_mode & 0o077 == 0
