"""A folder whose files are of many kinds: which tables there are, what lands as bytes, what is decided once."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import openpyxl
import pyarrow as pa
import pytest

from edge_agent.sources import deciding, records
from edge_agent.sources.filebook import FileBook
from edge_agent.sources.filerule import FileRule
from edge_agent.sources.files import FilesSource
from edge_agent.sources.source import PageLimits, Way
from protocol.canonical import encode_rows
from protocol.errors import Permanent, Rejected
from protocol.limits import NAME_BYTES_MAX
from protocol.names import TableName
from tests.unit.edge_agent.sources.workbooks import package, sheet_data, text_cell

AUTO = FileRule(glob="**", kind="auto", encoding="auto")
ADT = b"MSH|^~\\&|HIS|H1|LIS|H1|20240229||ADT^A01|1|P|2.4\rPID|1||77^^^HIS^MR||Zhang^San\r"
Make = Callable[..., FilesSource]


def name(text: str) -> TableName:
    return TableName(None, None, text)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    (tmp_path / "share").mkdir()
    made: list[FilesSource] = []

    def source(*rules: FileRule, book: str = "book.sqlite") -> FilesSource:
        rules = rules or (AUTO,)
        one = FilesSource("f", tmp_path / "share", rules, stable_seconds=0, book=FileBook(tmp_path / book))
        made.append(one)
        return one

    yield source
    for one in made:
        one.close()


@pytest.fixture
def share(tmp_path: Path) -> Path:
    return tmp_path / "share"


def tables(source: FilesSource) -> list[str]:
    return [info.name.name for info in source.inventory()]


def rows(source: FilesSource, table: str) -> list[dict[str, Any]]:
    schema = source.describe(name(table))
    if source.way(schema) is Way.WHOLE:
        pieces = [piece.columns for piece in source.whole(schema)]
    else:
        source.token(schema.table)
        pieces = [source.page(schema, b"", b"", PageLimits(1_000, 1 << 30)).rows.columns]
    names = [column.name for column in schema.columns]
    return [
        dict(zip(names, values, strict=True))
        for columns in pieces
        for values in zip(*(column.to_pylist() for column in columns), strict=True)
    ]


def workbook(path: Path, *sheets: str) -> None:
    book = openpyxl.Workbook()
    for number, title in enumerate(sheets):
        sheet = book.active if number == 0 else book.create_sheet()
        assert sheet is not None
        sheet.title = title
        sheet.append(["id", "名"])
        sheet.append([number, title])
    book.save(path)


def test_each_file_is_a_table_a_sheet_or_a_row_of_its_kind(make: Make, share: Path) -> None:
    (share / "a.csv").write_text("id,名\n1,张\n2,李\n", "utf-8")
    workbook(share / "b.xlsx", "一", "#2")
    (share / "c").write_bytes(ADT)
    (share / "d.json").write_text(json.dumps({"resourceType": "Patient", "id": "p1"}))
    (share / "e.pdf").write_bytes(b"%PDF-1.7\n...")
    source = make()
    assert tables(source) == ["a.csv", "b.xlsx##2", "b.xlsx#一", "fhir", "files", "hl7"]
    assert rows(source, "a.csv") == [{"id": "1", "名": "张"}, {"id": "2", "名": "李"}]
    assert rows(source, "b.xlsx##2") == [{"id": 1, "名": "#2"}]
    (message,) = rows(source, "hl7")
    assert (message["path"], message["message_type"], message["problem"]) == ("c", "ADT^A01", None)
    assert [(r["path"], r["resource_id"]) for r in rows(source, "fhir")] == [("d.json", "p1")]
    assert [(r["path"], r["media_type"]) for r in rows(source, "files")] == [("e.pdf", "application/pdf")]


def test_what_is_no_table_lands_as_bytes_until_it_is_one(make: Make, share: Path) -> None:
    rule = FileRule(glob="**", kind="csv")
    (share / "a.csv").write_text("id,v\n1\n")
    source = make(rule)
    with pytest.raises(Rejected):
        rows(source, "a.csv")
    (row,) = rows(source, "files")
    assert (row["path"], row["problem"]) == ("a.csv", "1 values instead of 2")
    assert source.read_object(bytes.fromhex(row["sha256"]), 2, 3) == b",v\n"
    (share / "a.csv").write_text("id,v\n1,x\n")
    assert rows(source, "a.csv") == [{"id": "1", "v": "x"}]
    assert rows(source, "files") == []
    assert "files" in tables(source), "a table that had files is empty, not gone"
    with pytest.raises(Rejected) as caught:
        source.read_object(bytes.fromhex(row["sha256"]), 0, 1)
    assert caught.value.code == "GC-2014"


def test_a_table_without_its_key_lands_as_bytes_until_it_has_it(make: Make, share: Path) -> None:
    (share / "a.csv").write_text("no,v\n1,x\n")
    source = make(FileRule(glob="**", kind="csv", key=("id",)))
    with pytest.raises(Rejected) as caught:
        rows(source, "a.csv")
    (row,) = rows_after_a_look(source, "files")
    assert (row["path"], row["problem"]) == ("a.csv", caught.value.facts["problem"])
    (share / "a.csv").write_text("id,v\n1,x\n")
    assert rows(source, "a.csv") == [{"id": "1", "v": "x"}]
    assert rows_after_a_look(source, "files") == []


def test_a_workbook_that_goes_bad_keeps_its_tables(make: Make, share: Path) -> None:
    workbook(share / "b.xlsx", "一", "二")
    assert tables(make()) == ["b.xlsx#一", "b.xlsx#二"]
    (share / "b.xlsx").write_bytes(b"PK\x03\x04 no workbook any more" * 9)
    source = make()  # another process
    assert tables(source) == ["b.xlsx#一", "b.xlsx#二", "files"]
    with pytest.raises(Rejected) as caught:
        source.describe(name("b.xlsx#一"))
    assert caught.value.code == "GC-2008"
    assert [r["path"] for r in rows(source, "files")] == ["b.xlsx"]


def test_another_rule_makes_a_table_of_what_was_none(make: Make, share: Path) -> None:
    """The file is as it was: nothing but the configuration has changed."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "s"
    for row in (["a title"], ["id", "名"], [1, "张"]):
        sheet.append(row)
    book.save(share / "b.xlsx")
    (share / "c.csv").write_text("id;v\n1;x,y\n")
    before = make(FileRule(glob="*.xlsx", kind="excel"), FileRule(glob="*.csv"))
    for table in ("b.xlsx#s", "c.csv"):
        with pytest.raises(Rejected):
            rows(before, table)
    assert [r["path"] for r in rows_after_a_look(before, "files")] == ["b.xlsx", "c.csv"]
    after = make(FileRule(glob="*.xlsx", kind="excel", header_row=2), FileRule(glob="*.csv", delimiter=";"))
    assert rows(after, "b.xlsx#s") == [{"id": 1, "名": "张"}]
    assert rows(after, "c.csv") == [{"id": "1", "v": "x,y"}]
    assert rows_after_a_look(after, "files") == []


def test_bytes_of_tables_are_kept_where_their_rule_says_so(make: Make, share: Path) -> None:
    (share / "a.csv").write_text("id\n1\n")
    (share / "b.csv").write_text("id\n2\n")
    source = make(FileRule(glob="a*", keep_bytes=True), FileRule(glob="b*"))
    assert tables(source) == ["a.csv", "b.csv", "files"]
    assert [(r["path"], r["problem"]) for r in rows(source, "files")] == [("a.csv", None)]


def test_what_auto_decided_holds_until_somebody_asks_for_it_anew(
    make: Make, share: Path, tmp_path: Path
) -> None:
    (share / "a.txt").write_bytes("编号,姓名\n1,张三\n2,李四\n3,王五\n".encode("gb18030") * 3)
    assert tables(make()) == ["a.txt"]
    (share / "a.txt").write_bytes(b'"' + ADT)
    source = make()
    with pytest.raises(Rejected):
        rows(source, "a.txt")
    assert [r["problem"] is not None for r in rows(source, "files")] == [True]
    (share / "a.txt").write_bytes(ADT)
    token = source.token(name("files"))
    other = FileBook(tmp_path / "book.sqlite")
    other.again(["a.txt"])
    other.close()
    assert source.token(name("files")) != token
    assert [r["path"] for r in rows(source, "hl7")] == ["a.txt"]
    assert rows(source, "files") == []


def test_an_empty_file_is_decided_on_once_there_is_something_in_it(make: Make, share: Path) -> None:
    (share / "a.csv").write_bytes(b"")
    source = make()
    assert [(r["path"], r["content"]) for r in rows_after_a_look(source, "files")] == [("a.csv", b"")]
    (share / "a.csv").write_text("id,v\n1,x\n2,y\n")
    assert tables(source) == ["a.csv", "files"]
    assert rows(source, "files") == []


def rows_after_a_look(source: FilesSource, table: str) -> list[dict[str, Any]]:
    source.inventory()
    return rows(source, table)


def test_a_file_gives_way_to_the_shared_table_of_its_name(make: Make, share: Path) -> None:
    (share / "hl7").write_text("id,v\n1,x\n2,y\n")
    (share / "m").write_bytes(ADT)
    source = make(FileRule(glob="hl7"), FileRule(glob="m", kind="hl7"))
    assert tables(source) == ["hl7"]
    assert [r["path"] for r in rows(source, "hl7")] == ["m"]
    assert tables(source) == ["files", "hl7"]
    ((path, problem),) = [(r["path"], r["problem"]) for r in rows(source, "files")]
    assert path == "hl7"
    assert problem.startswith("a table that files share has its name")


def test_a_file_that_is_called_as_a_sheet_stops_no_other(make: Make, share: Path) -> None:
    """One of the two is a table; the other lands as bytes until it has a name of its own."""
    workbook(share / "b.xlsx", "一", "二")
    (share / "b.xlsx#一").write_text("id;v;w\n" + "1;x;y\n" * 6)
    (share / "c.csv").write_text("id,v\n3,z\n4,z\n")
    source = make()
    tables(source)
    assert tables(source) == ["b.xlsx#一", "b.xlsx#二", "c.csv", "files"]
    assert rows(source, "b.xlsx#一") == [{"id": "1", "v": "x", "w": "y"}] * 6
    assert rows(source, "b.xlsx#二") == [{"id": 1, "名": "二"}]
    ((path, problem),) = [(r["path"], r["problem"]) for r in rows_after_a_look(source, "files")]
    assert (path, problem.partition(":")[0]) == ("b.xlsx", "another table has its name")
    (share / "b.xlsx#一").unlink()
    assert tables(source) == ["b.xlsx#一", "b.xlsx#二", "c.csv", "files"]
    assert rows(source, "b.xlsx#一") == [{"id": 0, "名": "一"}]
    assert rows_after_a_look(source, "files") == []


def test_a_sheet_whose_name_is_too_long_for_a_table_stops_no_other(make: Make, share: Path) -> None:
    """Of 1,024 bytes of a table's name a path may take nearly all, and who writes a workbook what he likes."""
    title = "九" * 400
    (share / "b.xlsx").write_bytes(package({title: sheet_data(text_cell("id"), text_cell("x"))}))
    deep = share / ("一" * 80) / ("二" * 80) / ("三" * 80) / ("四" * 80)
    deep.mkdir(parents=True)
    workbook(deep / ("五" * 10 + ".xlsx"), "一二三四五六七八九十" * 3)
    (share / "c.csv").write_text("id,v\n3,z\n4,z\n")
    source = make()
    found = tables(source)
    assert len(found) == 3
    assert "c.csv" in found
    assert all(len(table.encode()) <= NAME_BYTES_MAX for table in found)
    assert [rows(source, table) for table in found] == [
        [{"id": "x"}],
        [{"id": "3", "v": "z"}, {"id": "4", "v": "z"}],
        [{"id": 0, "名": "一二三四五六七八九十" * 3}],
    ]


def test_files_of_two_kinds_share_no_table_unless_the_first_are_gone(make: Make, share: Path) -> None:
    (share / "a").write_bytes(b"%PDF-1.7")
    (share / "m").write_bytes(ADT)
    both = make(FileRule(glob="a", kind="file", table="t"), FileRule(glob="m", kind="hl7", table="t"))
    with pytest.raises(Permanent) as caught:
        both.inventory()
    assert caught.value.code == "GC-1003"
    changed = make(FileRule(glob="m", kind="hl7", table="t"))
    assert tables(changed) == ["t"]
    assert [r["message_type"] for r in rows(changed, "t")] == ["ADT^A01"]


def test_one_file_that_cannot_be_read_is_told_and_tried_again(make: Make, share: Path) -> None:
    """Nothing about it changes when it can be read again: nobody may be content with the last look."""
    (share / "m").write_bytes(ADT)
    (share / "n").write_bytes(ADT)
    source = make()
    source.inventory()
    broken = share / "m"

    def unreadable(path: Path) -> BinaryIO:
        if path == broken:
            raise OSError(errno.EIO, "Input/output error")
        return path.open("rb")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(records, "open_shared", unreadable)
        assert [r["path"] for r in rows(source, "hl7")] == ["n"]
        assert [(one.code, one.facts["folder"]) for one in source.alarms] == [("GC-2142", "m")]
        token = source.token(name("hl7"))
    assert [r["path"] for r in rows(source, "hl7")] == ["m", "n"]
    assert source.alarms == []
    assert source.token(name("hl7")) != token, "it is not quiet"


def test_what_nobody_could_decide_on_yet_is_not_gone(make: Make, share: Path, tmp_path: Path) -> None:
    (share / "m").write_bytes(ADT)
    source = make()
    (row,) = rows_after_a_look(source, "hl7")
    key = encode_rows([pa.array([row["path"]]), pa.array([row["number"]])])
    other = FileBook(tmp_path / "book.sqlite")
    other.again(["m"])
    other.close()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(deciding, "open_shared", refusing)
        assert rows_after_a_look(source, "hl7") == []
        assert source.present(source.describe(name("hl7")), key) == set(key)
    assert rows_after_a_look(source, "hl7") == [row]


def refusing(path: Path) -> BinaryIO:
    raise PermissionError


def test_a_sheet_that_is_no_table_stops_no_other(make: Make, share: Path) -> None:
    book = openpyxl.Workbook()
    good, bad = book.active, book.create_sheet("bad")
    assert good is not None
    good.title = "good"
    for row in (["id"], [1]):
        good.append(row)
    for row in (["id", "id"], [1, 2]):
        bad.append(row)
    book.save(share / "b.xlsx")
    source = make()
    assert tables(source) == ["b.xlsx#bad", "b.xlsx#good"]
    assert rows(source, "b.xlsx#good") == [{"id": 1}]
    with pytest.raises(Rejected) as caught:
        rows(source, "b.xlsx#bad")
    assert caught.value.code == "GC-2008"
    assert [(r["path"], r["problem"]) for r in rows_after_a_look(source, "files")] == [
        ("b.xlsx", caught.value.facts["problem"])
    ]
    assert rows(source, "b.xlsx#good") == [{"id": 1}]
