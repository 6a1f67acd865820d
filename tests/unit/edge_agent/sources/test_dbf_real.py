"""Real DBF files, value by value against two readers that are not ours, and what becomes of them when they are damaged.

Where the others differ, this says why; in all else each value of each row is the same.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from typing import Any

import dbf
import dbfread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds.dbf import DbfKind
from edge_agent.sources.kinds.kind import FileTable, Opened
from protocol.errors import Rejected
from tests.servers import SHARED, require_dataset
from tests.unit.edge_agent.sources.dbf_writer import rows_of

NET = "dbf-dbasenet/dBASE.NET.Tests/fixtures/"
READ = "dbf-dbfread/"
FILES = {
    NET + "03/dbase_03.dbf": 14,
    NET + "30/dbase_30.dbf": 34,
    NET + "31/dbase_31.dbf": 77,
    NET + "83/dbase_83.dbf": 67,
    NET + "83/dbase_83_missing_memo.dbf": 67,
    NET + "8b/dbase_8b.dbf": 10,
    NET + "CP866/SPXXXX0159.dbf": 1,
    NET + "cp1251.dbf": 4,
    NET + "f5/dbase_f5.dbf": 975,
    NET + "fields/POST986.dbf": 0,
    NET + "foxprodb/calls.dbf": 16,
    NET + "foxprodb/contacts.dbf": 5,
    NET + "foxprodb/setup.dbf": 3,
    NET + "foxprodb/types.dbf": 2,
    READ + "examples/files/invalid_value.dbf": 2,
    READ + "examples/files/people.dbf": 2,
    READ + "tests/cases/memotest.dbf": 2,
    READ + "tests/cases/no_memofile.dbf": 2,
}
"""Every DBF file of the data sets, and how many rows it has."""
ENCODINGS = {NET + "CP866/SPXXXX0159.dbf": "cp866", NET + "f5/dbase_f5.dbf": "cp850"}
"""Of files that do not say theirs, and hold neither Chinese nor ASCII alone."""
WITHOUT_MEMOS = {NET + "83/dbase_83_missing_memo.dbf": "DESC", READ + "tests/cases/no_memofile.dbf": "MEMO"}


@cache
def contents(name: str) -> tuple[bytes, dict[str, bytes]]:
    """A file, and those beside it."""
    path = require_dataset(SHARED / name)
    beside = {
        one.suffix.lower(): one.read_bytes()
        for one in path.parent.iterdir()
        if one.stem == path.stem and one.suffix.lower() in DbfKind.companions
    }
    return path.read_bytes(), beside


def table(data: bytes, beside: dict[str, bytes], encoding: str = "auto") -> FileTable:
    streams = {suffix: io.BytesIO(content) for suffix, content in beside.items()}
    opened = Opened("f.dbf", io.BytesIO(data), len(data), streams)
    (found,) = DbfKind().tables(opened, FileRule(glob="*", kind="dbf", encoding=encoding))
    return found


def real(name: str) -> FileTable:
    return table(*contents(name), encoding=ENCODINGS.get(name, "auto"))


def charset(one: FileTable) -> str:
    (found,) = {c.meta["charset"] for c in one.columns if "charset" in c.meta}
    return found


def test_all_of_them_are_compared() -> None:
    require_dataset(SHARED)
    found = {p.relative_to(SHARED).as_posix() for p in SHARED.rglob("*") if p.suffix.lower() == ".dbf"}
    assert found == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_all_rows_are_there_and_only_what_is_damaged_stands_aside(name: str) -> None:
    found = rows_of(real(name))
    assert len(found) == FILES[name]
    asides = [aside for _, aside in found if aside]
    if name in WITHOUT_MEMOS:
        assert all(list(a) == [WITHOUT_MEMOS[name]] for a in asides)
        assert [a[WITHOUT_MEMOS[name]][0] for a in asides] == ["type"] * FILES[name]
    elif name.endswith("invalid_value.dbf"):
        assert asides == [{"BIRTHDATE": ("range", b"NotAYear")}]
    else:
        assert asides == []


class Lenient(dbfread.FieldParser):  # type: ignore[misc]
    """Where dbfread stops at a value that is none, it reads on."""

    def parse(self, field: Any, data: bytes) -> Any:
        try:
            return super().parse(field, data)
        except ValueError:
            return None


def by_dbfread(name: str, encoding: str) -> list[list[Any]]:
    read = dbfread.DBF(
        SHARED / name, encoding=encoding, parserclass=Lenient, ignore_missing_memofile=True, recfactory=list
    )
    shown = [i for i, field in enumerate(read.fields) if field.type != "0"]
    return [[record[i][1] for i in shown] for record in read]


@pytest.mark.parametrize("name", FILES)
def test_dbfread_reads_the_same(name: str) -> None:
    one = real(name)
    ours, theirs = rows_of(one), by_dbfread(name, charset(one))
    assert len(theirs) == len(ours)
    for (row, _), other in zip(ours, theirs, strict=True):
        for column, value, its in zip(one.columns, row, other, strict=True):
            if name.endswith("dbase_8b.dbf") and column.name == "MEMO" and value is not None:
                # It reads eight bytes more than the memo has, among them the rest of one that was longer.
                assert its.startswith(value)
            elif isinstance(its, float):
                assert float(value) == its  # the nearest float to our decimal
            else:
                assert (column.name, value) == (column.name, its)


def test_memos_of_dbase_4_are_as_long_as_they_say() -> None:
    memos = [row[5] for row, _ in rows_of(real(NET + "8b/dbase_8b.dbf"))]
    ordinals = ["Second", "Thierd", "Fourth", "Fifth", "Sixth", "Seventh", "Eigth", "Nineth"]
    assert memos == ["First memo\r\n", *(f"{one} memo" for one in ordinals), None]


def by_dbf(name: str, encoding: str) -> Iterator[list[Any]]:
    page = {"gb18030": "cp936"}.get(encoding, encoding)
    with closing(dbf.Table(str(SHARED / name), codepage=page)) as read:
        read.open(dbf.READ_ONLY)
        for record in read:
            if not dbf.is_deleted(record):
                yield [_plain(record[i]) for i in range(len(read.field_names))]


def _plain(value: Any) -> Any:
    if isinstance(value, dbf.Date):
        return value.date() if value else None
    if isinstance(value, dbf.DateTime):
        return value.datetime() if value else None
    return None if value is dbf.Null else value


REFUSED_BY_DBF = {
    NET + "03/dbase_03.dbf": "two fields have the same name",
    NET + "8b/dbase_8b.dbf": "it knows no memos of dBase IV",
    **dict.fromkeys(WITHOUT_MEMOS, "the memo file is missing"),
    READ + "examples/files/invalid_value.dbf": "a date is none",
}


@pytest.mark.parametrize("name", [name for name in FILES if name not in REFUSED_BY_DBF])
def test_the_reader_dbf_reads_the_same(name: str) -> None:
    one = real(name)
    ours, theirs = rows_of(one), list(by_dbf(name, charset(one)))
    assert len(theirs) == len(ours)
    for (row, _), other in zip(ours, theirs, strict=True):
        for column, value, its in zip(one.columns, row, other, strict=True):
            if column.source_type == "M":
                assert (value or "") == its  # to it, where there is no memo is an empty one
            elif isinstance(its, str):
                assert value == its.rstrip(" \0")  # it keeps the padding
            elif isinstance(its, float):
                assert float(value) == its
            else:
                assert (column.name, value) == (column.name, its)


@pytest.mark.parametrize("name", REFUSED_BY_DBF)
def test_what_the_reader_dbf_refuses(name: str) -> None:
    require_dataset(SHARED / name)
    with pytest.raises((dbf.DbfError, ValueError)):
        list(by_dbf(name, "cp1252"))


def test_a_field_that_has_the_name_of_another_is_kept() -> None:
    columns = real(NET + "03/dbase_03.dbf").columns
    assert [c.name for c in columns if c.name.startswith("Point_ID")] == ["Point_ID", "Point_ID_2"]


def test_text_of_an_unknown_code_page_is_set_aside_and_not_guessed() -> None:
    one = table(*contents(NET + "f5/dbase_f5.dbf"))
    found = rows_of(one)
    assert charset(one) == "ascii"
    declared = rows_of(real(NET + "f5/dbase_f5.dbf"))
    for (row, aside), (right, _) in zip(found, declared, strict=True):
        for column, value, text in zip(one.columns, row, right, strict=True):
            if isinstance(text, str) and not text.isascii():
                reason, original = aside[column.name]
                assert (value, reason, original.decode("cp850").rstrip()) == (None, "charset", text.rstrip())
            else:
                assert value == text
                assert column.name not in aside


SMALL = [name for name in FILES if name not in (NET + "30/dbase_30.dbf", NET + "f5/dbase_f5.dbf")]


@st.composite
def damaged(draw: st.DrawFn) -> tuple[bytes, dict[str, bytes]]:
    """A real file, with bytes changed, left out or doubled in it or beside it."""
    data, beside = contents(draw(st.sampled_from(SMALL)))
    parts = {"": bytearray(data), **{suffix: bytearray(content) for suffix, content in beside.items()}}
    for _ in range(draw(st.integers(1, 4))):
        part = parts[draw(st.sampled_from(sorted(parts)))]
        # Half of the damage is where the structure is.
        place = draw(st.integers(0, len(part)) | st.integers(0, min(len(part), 700)))
        match draw(st.sampled_from(["change", "cut", "lose", "add"])):
            case "change":
                new = draw(
                    st.binary(min_size=1, max_size=4) | st.sampled_from([b"\0", b"\xff" * 4, b"\x7f\xff"])
                )
                part[place : place + len(new)] = new
            case "cut":
                del part[place:]
            case "lose":
                del part[place : place + draw(st.integers(1, 40))]
            case "add":
                part[place:place] = draw(st.binary(min_size=1, max_size=40))
    return bytes(parts.pop("")), {suffix: bytes(part) for suffix, part in parts.items()}


@given(damaged())
def test_a_damaged_file_gives_rows_or_a_refusal(files: tuple[bytes, dict[str, bytes]]) -> None:
    try:
        rows_of(table(*files))
    except Rejected as refusal:
        code, facts = refusal.code, set(refusal.facts)
    else:
        return
    assert (code, facts) == ("GC-2008", {"file", "problem", "line"})
