"""Files that only grow: what came is read from where the last reading ended, and only where nothing else happened."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.sources.filebook import FileBook
from edge_agent.sources.filerule import FileRule
from edge_agent.sources.files import FilesSource
from edge_agent.sources.source import Rows
from protocol.errors import Rejected
from protocol.names import TableName

Make = Callable[..., FilesSource]
CSV = FileRule(glob="*.csv", kind="csv")
MANY = FileRule(glob="*.csv", kind="csv", table="all")


def name(text: str) -> TableName:
    return TableName(None, None, text)


@pytest.fixture
def share(tmp_path: Path) -> Path:
    (tmp_path / "share").mkdir()
    return tmp_path / "share"


@pytest.fixture
def make(tmp_path: Path, share: Path) -> Iterator[Make]:
    made: list[FilesSource] = []

    def source(rule: FileRule = CSV, **said: object) -> FilesSource:
        book = FileBook(tmp_path / "book.sqlite")
        one = FilesSource("f", share, (rule,), stable_seconds=0, book=book, **said)  # type: ignore[arg-type]
        made.append(one)
        return one

    yield source
    for one in made:
        one.close()


def texts(slices: Iterator[Rows]) -> list[tuple[object, ...]]:
    return [row for rows in slices for row in zip(*(c.to_pylist() for c in rows.columns), strict=True)]


def whole(source: FilesSource, table: str) -> tuple[list[tuple[object, ...]], str]:
    found = texts(source.whole(source.describe(name(table))))
    return found, source.mark(name(table))


def since(source: FilesSource, table: str, mark: str) -> tuple[list[tuple[object, ...]], str] | None:
    slices = source.since(source.describe(name(table)), mark)
    return None if slices is None else (texts(slices), source.mark(name(table)))


cell = st.text(st.sampled_from('aé张"\n,; 1'), max_size=4)
records = st.lists(st.tuples(cell, cell, st.just("x")), max_size=4)


@settings(max_examples=30)
@given(
    parts=st.lists(records, min_size=2, max_size=4),
    line_break=st.sampled_from(["\r\n", "\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "gb18030"]),
    header=st.booleans(),
)
def test_what_was_appended_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    parts: list[list[tuple[str, str, str]]],
    line_break: str,
    encoding: str,
    header: bool,
) -> None:
    folder = tmp_path_factory.mktemp("share")
    rule = FileRule(glob="*.csv", encoding=encoding.removesuffix("-sig"), header=header)
    source = FilesSource("f", folder, (rule,), stable_seconds=0)
    path = folder / "a.csv"

    def append(rows: list[tuple[str, str, str]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator=line_break, quoting=csv.QUOTE_ALL).writerows(rows)
        fresh = not path.exists()
        with path.open("ab") as file:
            file.write(text.getvalue().encode(encoding if fresh else encoding.removesuffix("-sig")))

    first = parts[0] or [("", "", "x")]
    append([*([("c1", "c2", "c3")] if header else []), *first])
    found, mark = whole(source, "a.csv")
    assert found == first
    for part in parts[1:]:
        append(part)
        grown = since(source, "a.csv", mark)
        assert grown is not None
        assert grown[0] == part
        mark = grown[1]
    assert whole(source, "a.csv")[0] == [*first, *(row for part in parts[1:] for row in part)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(b"a,b\n1,2\n", b"a,b\n1,3\n4,5\n", id="what was there changed"),
        pytest.param(b"a,b\n1,2\n3,4\n", b"a,b\n1,2\n", id="shorter"),
        pytest.param(b"a,b\n1,2", b"a,b\n1,23\n4,5\n", id="the last line had no end"),
        pytest.param(b"a,b\r1,2\r", b"a,b\r1,2\r3,4\r", id="lines that end in a carriage return"),
        pytest.param(
            b"a,b\n1,2\n", "a,b\n1,2\n3,张三李四王五\n".encode("gb18030"), id="the encoding shows now"
        ),
        pytest.param(
            "a,b\n1,2\n".encode("utf-16"), "a,b\n1,2\n3,4\n".encode("utf-16"), id="two bytes a line break"
        ),
    ],
)
def test_of_anything_but_growth_all_is_read(make: Make, share: Path, before: bytes, after: bytes) -> None:
    (share / "a.csv").write_bytes(before)
    source = make(CSV.model_copy(update={"encoding": "auto"}))
    _, mark = whole(source, "a.csv")
    (share / "a.csv").write_bytes(after)
    assert not mark or since(source, "a.csv", mark) is None
    assert whole(source, "a.csv")[0]


def test_a_mark_outlives_its_process_and_not_its_rule(make: Make, share: Path) -> None:
    (share / "a.csv").write_bytes(b"a,b\n1,2\n")
    _, mark = whole(make(), "a.csv")
    with (share / "a.csv").open("ab") as file:
        file.write(b"3,4\n")
    assert since(make(CSV.model_copy(update={"quote": "'"})), "a.csv", mark) is None
    assert since(make(), "a.csv", "00" * 16) is None
    grown = since(make(), "a.csv", mark)
    assert grown is not None
    assert grown[0] == [("3", "4")]


def test_a_file_that_is_due_or_was_asked_for_is_read_again_whole(
    make: Make, share: Path, tmp_path: Path
) -> None:
    (share / "a.csv").write_bytes(b"a\n1\n")
    now = [share.stat().st_mtime + 100]
    source = make(reread_hours=1.0, clock=lambda: now[0])
    _, mark = whole(source, "a.csv")
    assert since(source, "a.csv", mark) == ([], mark)
    other = FileBook(tmp_path / "book.sqlite")
    other.again(["a.csv"])
    other.close()
    assert since(source, "a.csv", mark) is None
    _, mark = whole(source, "a.csv")
    assert since(source, "a.csv", mark) == ([], mark)
    now[0] += 3_600
    assert since(source, "a.csv", mark) is None


def test_lines_of_fixed_width_are_read_on(make: Make, share: Path) -> None:
    for header, content in ((True, b"ab c \n"), (False, b"")):
        rule = FileRule(glob="*.txt", kind="fixed", widths=(3, 2), header=header)
        path = share / "a.txt"
        path.write_bytes(content + b"1  2 \n")
        source = make(rule)
        _, mark = whole(source, "a.txt")
        with path.open("ab") as file:
            file.write(b"3  4 \n5  6 ")
        grown = since(source, "a.txt", mark)
        assert grown is not None
        assert grown[0] == [("3  ", "4 "), ("5  ", "6 ")]
        with path.open("ab") as file:
            file.write(b"\n")
        assert since(source, "a.txt", grown[1]) is None, "the last line had no end"


def test_of_a_table_of_many_files_only_what_came_is_read(make: Make, share: Path) -> None:
    for number in (1, 2):
        (share / f"{number}.csv").write_text(f"n\n{number}\n")
    source = make(MANY)
    found, mark = whole(source, "all")
    assert sorted(found) == [("1",), ("2",)]
    (share / "1.csv").touch()
    (share / "3.csv").write_text("n\n3\n")
    with (share / "2.csv").open("a") as file:
        file.write("22\n")
    grown = since(source, "all", mark)
    assert grown is not None
    assert sorted(grown[0]) == [("22",), ("3",)]
    (share / "1.csv").unlink()
    assert since(source, "all", grown[1]) is None


def test_files_of_other_kinds_are_passed_over_while_they_rest(make: Make, share: Path) -> None:
    rule = FileRule(glob="*.json", kind="json", table="all")
    (share / "1.json").write_text('[{"n": 1}]')
    source = make(rule)
    _, mark = whole(source, "all")
    (share / "2.json").write_text('[{"n": 2}]')
    grown = since(source, "all", mark)
    assert grown is not None
    assert grown[0] == [(2,)]
    (share / "1.json").write_text('[{"n": 1}, {"n": 3}]')
    assert since(source, "all", grown[1]) is None


def test_what_is_appended_and_no_record_is_a_fault_of_the_table(make: Make, share: Path) -> None:
    path = share / "a.csv"
    path.write_bytes(b"a,b\n1,2\n")
    source = make()
    _, mark = whole(source, "a.csv")
    with path.open("ab") as file:
        file.write(b"3\n")
    slices = source.since(source.describe(name("a.csv")), mark)
    assert slices is not None
    with pytest.raises(Rejected, match="GC-2008"):
        list(slices)
    assert source.mark(name("a.csv")) == ""


def test_a_file_that_is_written_while_it_is_read_leaves_no_mark(make: Make, share: Path) -> None:
    path = share / "a.csv"
    path.write_bytes(b"a,b\n1,2\n")
    source = make()
    _, mark = whole(source, "a.csv")
    with path.open("ab") as file:
        file.write(b"3,4\n")
    slices = source.since(source.describe(name("a.csv")), mark)
    assert slices is not None
    with path.open("ab") as file:
        file.write(b"5,6\n")
        os.fsync(file.fileno())
    with pytest.raises(Rejected, match="GC-2014"):
        list(slices)
    assert source.mark(name("a.csv")) == ""


GROWING = CSV.model_copy(update={"append_only": True})


def test_a_file_that_never_rests_is_read_up_to_its_last_line_break(share: Path) -> None:
    now = share.stat().st_mtime
    source = FilesSource("f", share, (GROWING,), stable_seconds=3_600.0, clock=lambda: now)
    path = share / "a.csv"
    path.write_bytes(b"a,b\n1,2\n3,")
    assert [info.name.name for info in source.inventory()] == ["a.csv"]
    found, mark = whole(source, "a.csv")
    assert found == [("1", "2")]
    with path.open("ab") as file:
        file.write(b"4\n5")
    token = source.token(name("a.csv"))
    grown = since(source, "a.csv", mark)
    assert grown is not None
    assert grown[0] == [("3", "4")]
    assert source.token(name("a.csv")) == token, "what came was read"


def test_a_file_that_grows_while_it_is_read_is_no_other_file(make: Make, share: Path) -> None:
    path = share / "a.csv"
    path.write_bytes(b"a\n" + b"1\n" * 20_000)
    source = make(GROWING)
    slices = source.whole(source.describe(name("a.csv")))
    first = next(slices).count
    with path.open("ab") as file:
        file.write(b"2\n")
    assert first + sum(rows.count for rows in slices) == 20_000
    grown = since(source, "a.csv", source.mark(name("a.csv")))
    assert grown is not None
    assert grown[0] == [("2",)]
    path.write_bytes(b"a\n3\n")
    assert since(source, "a.csv", grown[1]) is None
    assert whole(source, "a.csv")[0] == [("3",)]


@pytest.mark.parametrize("content", [b"", b"a,b"])
def test_a_file_without_a_line_is_not_there_yet(make: Make, share: Path, content: bytes) -> None:
    (share / "a.csv").write_bytes(content)
    source = make(GROWING)
    with pytest.raises(Rejected, match="GC-2014"):
        source.describe(name("a.csv"))


@pytest.mark.parametrize(
    "said",
    [
        {"kind": "json"},
        {"kind": "auto"},
        {"encoding": "auto"},
        {"encoding": "utf-16"},
        {"encoding": "hz"},
        {"keep_bytes": True},
    ],
)
def test_what_cannot_be_read_while_it_grows_is_refused_in_the_rule(said: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="append_only"):
        FileRule.model_validate({"glob": "*", "append_only": True, **said})


@pytest.mark.parametrize("how", ["cut short", "replaced"])
def test_a_growing_file_that_becomes_another_is_not_taken_for_itself(
    make: Make, share: Path, tmp_path: Path, how: str
) -> None:
    path = share / "a.csv"
    path.write_bytes(b"a\n" + b"1\n" * 20_000)
    source = make(GROWING)
    slices = source.whole(source.describe(name("a.csv")))
    next(slices)
    if how == "replaced":
        (tmp_path / "other").write_bytes(b"a\n" + b"2\n" * 30_000)
        (tmp_path / "other").replace(path)
    else:
        os.truncate(path, 2_000)
    with pytest.raises(Rejected, match="GC-2014"):
        list(slices)
