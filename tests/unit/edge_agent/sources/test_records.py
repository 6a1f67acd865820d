"""The table of a record kind: by path, each file read once, and nothing lost to a file that is being written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.sources import records
from edge_agent.sources.filebook import FileBook
from edge_agent.sources.filerule import FileRule
from edge_agent.sources.found import FileState, FoundFile, Mount
from edge_agent.sources.kinds.kind import Opened, Record
from edge_agent.sources.records import Member, RecordTable
from edge_agent.sources.rereading import Rereading
from edge_agent.sources.source import PageLimits
from protocol.canonical import encode_rows
from protocol.names import TableName
from protocol.schema import Column

TABLE = TableName(None, None, "lines")
RULE = FileRule(glob="**", kind="file")
ALL = PageLimits(1_000, 1 << 20)


class Lines:
    """A record a line, of several types; `!` ends in a refusal, `?` in an error nobody foresaw."""

    columns = (
        Column("line", pa.string()),
        Column("length", pa.int64()),
        Column("day", pa.date32()),
        Column("at", pa.timestamp("us")),
        Column("raw", pa.binary()),
    )
    version = 1

    def __init__(self) -> None:
        self.read: list[str] = []

    def records(self, opened: Opened, rule: FileRule) -> Iterator[Record]:
        self.read.append(opened.name)
        for line in opened.stream:
            if line.startswith(b"!"):
                raise opened.refused("it is no such file")
            if line.startswith(b"?"):
                raise ZeroDivisionError
            text = line.decode("utf-8", "surrogateescape").rstrip("\n")
            yield Record((text, len(line), date(2024, 2, 29), datetime(2024, 2, 29, 1, 2, 3, 4), line))


@pytest.fixture
def kind() -> Lines:
    return Lines()


@pytest.fixture
def table(kind: Lines, tmp_path: Path) -> Iterator[RecordTable]:
    book = FileBook(tmp_path / "book.sqlite")
    yield RecordTable("lines", kind, book, lambda: 5.0)
    book.close()


def mount(path: Path, *, on_network: bool | None = False) -> Mount:
    return Mount("", str(path.parent), 1, 1, on_network)


def member(
    path: Path, content: bytes | None = None, *, resting: bool = True, problem: str | None = None
) -> Member:
    if content is not None:
        path.write_bytes(content)
    state = FileState.of(path.stat())
    return Member(FoundFile.at(path.name, str(path), state, resting, mount(path)), RULE, problem)


def values(table: RecordTable, members: Sequence[Member], limits: PageLimits = ALL) -> list[dict[str, Any]]:
    """All rows, page by page."""
    found: list[dict[str, Any]] = []
    after = b""
    while True:
        page = table.page(members, after, b"", limits)
        names = [column.name for column in table.columns]
        arrays = page.rows.columns
        for row in range(page.rows.count):
            one = {name: array[row].as_py() for name, array in zip(names, arrays, strict=True)}
            asides = page.rows.asides[row] if page.rows.asides else None
            found.append(one | {"asides": {a["column"]: a for a in asides or ()}})
        if not page.full:
            return found
        assert page.last > after or not after
        after = page.last


def test_a_row_says_what_the_file_is_and_names_its_bytes(table: RecordTable, tmp_path: Path) -> None:
    content = "甲\n乙\n".encode()
    first, second = values(table, [member(tmp_path / "a", content)])
    sha256 = hashlib.sha256(content)
    assert [(r["path"], r["number"], r["line"], r["length"]) for r in (first, second)] == [
        ("a", 0, "甲", 4),
        ("a", 1, "乙", 4),
    ]
    assert (first["size"], first["sha256"], first["problem"]) == (8, sha256.hexdigest(), None)
    assert (first["content"], first["day"], first["at"]) == (
        None,
        date(2024, 2, 29),
        datetime(2024, 2, 29, 1, 2, 3, 4),
    )
    aside = first["asides"]["content"]
    assert (aside["reason"], aside["sha256"], aside["bytes"]) == ("large", sha256.digest(), 8)


def test_a_file_is_read_once_and_what_it_gave_comes_back_equal(
    table: RecordTable, kind: Lines, tmp_path: Path
) -> None:
    members = [member(tmp_path / name, content) for name, content in (("a", b"1\n2\n"), ("b", b"\xff\n"))]
    before = values(table, members)
    assert values(table, members, PageLimits(1, 1 << 20)) == before
    assert kind.read == ["a", "b"]
    assert before[2]["line"] is None
    assert before[2]["asides"]["line"]["reason"] == "charset"
    touched = [members[0], member(tmp_path / "b", b"3\n")]
    assert [row["raw"] for row in values(table, touched)] == [b"1\n", b"2\n", b"3\n"]
    assert kind.read == ["a", "b", "b"]


def test_an_empty_file_holds_its_bytes_itself(table: RecordTable, tmp_path: Path) -> None:
    class Whole(Lines):
        def records(self, opened: Opened, rule: FileRule) -> Iterator[Record]:
            yield Record((None,) * 5)

    one = RecordTable("whole", Whole(), FileBook(None), lambda: 5.0)
    (row,) = values(one, [member(tmp_path / "a", b"")])
    assert (row["size"], row["content"], row["asides"]) == (0, b"", {})


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"1\n!\n", "it is no such file"), (b"?\n", "it cannot be read (ZeroDivisionError)")],
    ids=["refused", "unforeseen"],
)
def test_what_cannot_be_parsed_lands_with_the_reason_and_stops_nobody(
    table: RecordTable, tmp_path: Path, content: bytes, problem: str
) -> None:
    members = [member(tmp_path / "a", content), member(tmp_path / "b", b"1\n")]
    *_, bad, good = values(table, members)
    assert (bad["path"], bad["problem"], bad["asides"]["content"]["bytes"]) == ("a", problem, len(content))
    assert (good["path"], good["line"], good["problem"]) == ("b", "1", None)


def test_a_file_that_should_be_a_table_lands_with_its_problem(
    table: RecordTable, kind: Lines, tmp_path: Path
) -> None:
    (row,) = values(table, [member(tmp_path / "a", b"1\n2\n", problem="a ragged line")])
    assert (row["problem"], row["line"], kind.read) == ("a ragged line", None, [])
    (again, _) = values(table, [member(tmp_path / "a")])
    assert (again["problem"], again["line"]) == (None, "1")


def test_a_file_that_is_being_written_keeps_what_it_had(table: RecordTable, tmp_path: Path) -> None:
    members = [member(tmp_path / "a", b"1\n"), member(tmp_path / "b", b"2\n")]
    values(table, members)
    writing = [member(tmp_path / "a", b"1\n1", resting=False), member(tmp_path / "new", b"n", resting=False)]
    assert [row["line"] for row in values(table, writing)] == ["1"]
    stale = member(tmp_path / "b")
    (tmp_path / "b").write_bytes(b"other\n")  # between the look and the reading
    assert [row["line"] for row in values(table, [stale])] == ["2"], "the book has the state that was seen"
    stale = member(tmp_path / "b")
    (tmp_path / "b").write_bytes(b"another\n")
    page = table.page([stale], b"", b"", ALL)
    assert (page.rows.count, page.lacking, table.left_out) == (0, 1, {"b": None})
    assert table.present(encode_rows([pa.array(["b"]), pa.array([0])]), {"b": stale.file}.get), "it is there"
    assert [row["line"] for row in values(table, [member(tmp_path / "b")])] == ["another"]
    assert table.left_out == {}
    stale = member(tmp_path / "gone", b"1\n")
    (tmp_path / "gone").unlink()
    assert values(table, [stale]) == []


def test_a_file_of_many_records_is_read_page_by_page_and_not_kept(
    kind: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "HEAD_ROWS", 3)
    table = RecordTable("lines", kind, FileBook(None), lambda: 5.0)
    many = member(tmp_path / "many", b"".join(b"%d\n" % n for n in range(20)))
    members = [many, member(tmp_path / "next", b"x\n")]
    found = values(table, members, PageLimits(4, 1 << 20))
    assert [row["line"] for row in found] == [*map(str, range(20)), "x"]
    assert kind.read == ["many", "next"], "one reading, over all pages"
    place = [found[7][name] for name in records.KEY]
    after = encode_rows([pa.array([place[0]]), pa.array([place[1]])])[0]
    page = table.page(members, after, b"", ALL)
    assert page.rows.columns[7].to_pylist() == [*map(str, range(8, 20)), "x"]
    keys = encode_rows([pa.array(["many"] * 2), pa.array([19, 20])])
    assert table.present(keys, lambda name: many.file) == {keys[0]}


def test_what_is_present_is_what_the_file_has(table: RecordTable, tmp_path: Path) -> None:
    one = member(tmp_path / "a", b"1\n2\n")
    values(table, [one])
    keys = encode_rows([pa.array(["a", "a", "b"]), pa.array([1, 2, 0])])
    assert table.present(keys, {"a": one.file}.get) == {keys[0]}
    touched = member(tmp_path / "a", b"1\n2\n3\n")
    assert table.present(keys, {"a": touched.file}.get) == {keys[0], keys[1]}, "nobody has counted yet"


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(st.sampled_from(["a", "a0", "b", "é", "甲", "\\xff"]), st.integers(0, 5)),
    bounds=st.tuples(st.integers(0, 30), st.integers(0, 30)),
    rows=st.integers(1, 4),
    head=st.integers(1, 4),
)
def test_pages_of_any_range_hold_each_row_once_in_order(
    tmp_path: Path, files: dict[str, int], bounds: tuple[int, int], rows: int, head: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(records, "HEAD_ROWS", head)
        table = RecordTable("lines", Lines(), FileBook(None), lambda: 5.0)
        for old in tmp_path.iterdir():
            os.unlink(old)
        members = [member(tmp_path / name, b"x\n" * count) for name, count in sorted(files.items())]
        places = [(name, number) for name, count in sorted(files.items()) for number in range(count)]
        keys = encode_rows(
            [pa.array([p[0] for p in places], pa.string()), pa.array([p[1] for p in places], pa.int64())]
        )
        low, high = sorted(min(one, len(keys)) for one in bounds)
        until = keys[high - 1] if 0 < high < len(keys) else b""
        found, after = [], keys[low - 1] if low else b""
        while True:
            page = table.page(members, after, until, PageLimits(rows, 1 << 20))
            found += list(zip(*(column.to_pylist() for column in page.rows.columns[:2]), strict=True))
            if not page.full:
                break
            after = page.last
        table.close()
        assert found == places[low : high if until else None]


def test_over_a_network_a_file_is_read_again_although_it_seems_to_be_the_same(tmp_path: Path) -> None:
    now, kind = 1_000.0, Lines()
    table = RecordTable("lines", kind, FileBook(None), lambda: now, Rereading(1, lambda: now))
    state = FileState.of((tmp_path / "a").stat()) if (tmp_path / "a").write_bytes(b"1\n") else None
    assert state is not None
    for on_network, times in ((False, 1), (True, 3), (None, 4)):
        file = FoundFile.at(
            "a", str(tmp_path / "a"), state, True, mount(tmp_path / "a", on_network=on_network)
        )
        one = Member(file, RULE)
        values(table, [one])
        now += 3_700
        values(table, [one])
        assert len(kind.read) == times
