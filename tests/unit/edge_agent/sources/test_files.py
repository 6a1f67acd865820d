"""A folder of CSV files: exact text, refusals with their line, and outages that look like deletions."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.csvtext import CsvForm, CsvRecords
from edge_agent.sources.filerule import FileRule
from edge_agent.sources.files import FilesSource
from edge_agent.sources.folder import glob_matcher
from edge_agent.sources.registry import open_source
from edge_agent.sources.settings import FilesSettings, SqlSettings, TableSettings
from edge_agent.sources.sql import SqlSource
from protocol.errors import Fault, Permanent, Rejected, Transient
from protocol.names import TableName


def name(text: str) -> TableName:
    return TableName(None, None, text)


def fault(call: Callable[[], object]) -> Fault:
    with pytest.raises(Fault) as caught:
        call()
    return caught.value


def records(data: bytes, **form: object) -> list[list[str]]:
    """The header and the records of a file with this content."""
    found = CsvRecords(io.BytesIO(data), CsvForm(**form), "f.csv")  # type: ignore[arg-type]
    return [list(found.columns), *(list(r) for r in found)]


class Clock:
    """Seconds since 1970 that stand still until moved; new files are young to it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def values(source: FilesSource, table: str) -> list[tuple[str, ...]]:
    schema = source.describe(name(table))
    columns: list[list[str]] = [[] for _ in schema.columns]
    for rows in source.whole(schema):
        for column, array in zip(columns, rows.columns, strict=True):
            column.extend(array.to_pylist())
    return list(zip(*columns, strict=True))


cell = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ['"', "\n", "\r\n", "\r", ",", "", " a ", '""', "\0", "\ufeff", "\u2028", "张,三"]
)


@given(
    st.integers(1, 4).flatmap(lambda width: st.lists(st.tuples(*[cell] * width), min_size=1, max_size=8)),
    st.sampled_from(["\r\n", "\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "gb18030"]),
    st.booleans(),
)
def test_what_a_csv_writer_wrote_reads_back_exactly(
    rows: list[tuple[str, ...]], line_break: str, encoding: str, all_quoted: bool
) -> None:
    header = [f"列{i}" for i in range(len(rows[0]))]
    text = io.StringIO(newline="")
    if all_quoted:
        writer = csv.writer(text, lineterminator=line_break, quoting=csv.QUOTE_ALL)
    else:  # before 3.13 a writer quotes only the line breaks that it writes itself
        writer = csv.writer(text, lineterminator="\r\n")
    writer.writerows([header, *rows])
    content = text.getvalue().encode(encoding)
    assert records(content, encoding=encoding.removesuffix("-sig")) == [header, *map(list, rows)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a,b\n1,2\n\n3,4\n\n", [["a", "b"], ["1", "2"], ["3", "4"]]),
        (b"a\n1\n\n2", [["a"], ["1"], [""], ["2"]]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfx", [["a"], ["\ufeffx"]]),
        (b'a,b\r1,"x\r\ny"\r', [["a", "b"], ["1", "x\r\ny"]]),
        (b'a\n5" pipe\n', [["a"], ['5" pipe']]),
        (b"a\n007 \n", [["a"], ["007 "]]),
        (b"\n\na\n1", [["a"], ["1"]]),
    ],
)
def test_a_line_means_what_it_says(data: bytes, expected: list[list[str]]) -> None:
    assert records(data) == expected


def test_a_file_without_header_or_quotes() -> None:
    assert records(b'1|"x\n2|y', header=False, delimiter="|", quote="") == [
        ["c1", "c2"],
        ["1", '"x'],
        ["2", "y"],
    ]


@pytest.mark.parametrize(
    ("data", "problem", "line"),
    [
        (b"", "it is empty", 1),
        (b"a,,c\n", "a column has no name", 1),
        (b"a,b,a\n", "two columns have the same name", 1),
        (b"a" * 1_100 + b"\n", "a column name is too long", 1),
        (b"a,b\n1,2\n3\n", "1 values instead of 2", 3),
        (b'a,b\n1,"x\ny"\n3,4,5\n', "3 values instead of 2", 4),
        (b'a,b\n1,"secret"x\n', "text after a closing quote", 2),
        (b'a,b\n1,"secret\n', "a quoted value does not end", 2),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(data: bytes, problem: str, line: int) -> None:
    found = fault(lambda: records(data))
    assert (type(found), found.code) == (Rejected, "GC-2008")
    assert found.facts == {"file": "f.csv", "problem": problem, "line": line}


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_header_in_another_encoding_is_refused(encoding: str) -> None:
    found = fault(lambda: records("张\na".encode("gbk"), encoding=encoding))
    assert (found.code, found.facts) == ("GC-2011", {"file": "f.csv", "encoding": encoding})


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("*.csv", ["a.csv", "A.CSV"], ["x/a.csv", "a.csv.gz"]),
        ("**/*.csv", ["a.csv", "x/y/a.csv"], ["a.txt"]),
        ("20??/visit[!0].csv", ["2024/visit1.csv"], ["2024/visit0.csv", "20241/visit1.csv"]),
        ("门诊/**", ["门诊/a", "门诊/b/c.csv"], ["住院/a"]),
    ],
)
def test_a_glob_matches_whole_names(glob: str, yes: list[str], no: list[str]) -> None:
    matches = glob_matcher(glob)
    assert [text for text in [*yes, *no] if matches(text)] == yes


def test_each_file_is_a_table_named_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "门诊").mkdir()
    (tmp_path / "门诊" / "visit.csv").write_text("id,name\n1,张\n", "utf-8")
    for ignored in (".hidden.csv", "x.csv.tmp", "~$y.csv", "note.txt"):
        (tmp_path / ignored).write_text("a\n")
    os.mkfifo(tmp_path / "pipe.csv") if hasattr(os, "mkfifo") else None
    source = FilesSource("f", tmp_path, stable_seconds=0)
    infos = source.inventory()
    assert [(str(i.name), i.columns) for i in infos] == [
        ("门诊/visit.csv", (("id", "text"), ("name", "text")))
    ]
    assert values(source, "门诊/visit.csv") == [("1", "张")]


def test_a_name_that_is_no_utf8_is_still_a_table(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode("门诊.csv".encode("gbk"))).write_text("a\n1\n")
    except (OSError, UnicodeError):
        pytest.skip("this file system takes no such name")
    source = FilesSource("f", tmp_path, stable_seconds=0)
    assert values(source, r"\xc3\xc5\xd5\xef.csv") == [("1",)]


def test_a_set_of_files_reads_as_one_table(tmp_path: Path) -> None:
    rules = [FileRule(glob="visit-*.csv", table="visit", key=("id",)), FileRule(glob="*.csv")]
    for part, rows in {"visit-02": "3\n", "visit-01": "1\n2\n", "other": "x\n"}.items():
        (tmp_path / f"{part}.csv").write_text(f"id\n{rows}")
    source = FilesSource("f", tmp_path, rules, stable_seconds=0)
    assert [(str(i.name), i.key) for i in source.inventory()] == [("other.csv", ()), ("visit", ("id",))]
    assert values(source, "visit") == [("1",), ("2",), ("3",)]
    before = source.token(name("visit")), source.token(name("other.csv"))
    (tmp_path / "visit-03.csv").write_text("id\n4\n")
    assert source.token(name("visit")) != before[0]
    assert source.token(name("other.csv")) == before[1]
    (tmp_path / "visit-04.csv").write_text("id,name\n")
    found = fault(lambda: source.describe(name("visit")))
    assert (found.code, found.facts["file"]) == ("GC-2008", "visit-04.csv")
    (tmp_path / "visit").write_text("a\n")
    clash = FilesSource("f", tmp_path, [*rules, FileRule(glob="*")], stable_seconds=0)
    assert isinstance(fault(clash.inventory), Permanent)


def test_a_key_must_be_in_the_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    source = FilesSource("f", tmp_path, stable_seconds=0, keys={"a.csv": ("nr",)})
    assert fault(lambda: source.describe(name("a.csv"))).code == "GC-2008"
    keys = {info.name.name: info.key for info in source.inventory()}
    assert keys == {"a.csv": (), "files": ("path", "number")}, "its bytes land"


def _touch(path: Path, text: str, seconds: float) -> None:
    path.write_text(text)
    os.utime(path, (seconds, seconds))


def test_a_file_counts_when_it_rests_by_our_own_watching(tmp_path: Path) -> None:
    clock = Clock()  # so far in the past that the files' own times say nothing
    source = FilesSource("f", tmp_path, stable_seconds=2, clock=clock)
    _touch(tmp_path / "a.csv", "id\n1\n", 50)
    assert source.inventory() == []
    clock.now = 1.9
    assert source.inventory() == []
    clock.now = 2.0
    assert [str(i.name) for i in source.inventory()] == ["a.csv"]
    _touch(tmp_path / "a.csv", "id\n1\n2\n", 60)
    assert [str(i.name) for i in source.inventory()] == ["a.csv"]
    found = fault(lambda: values(source, "a.csv"))
    assert (type(found), found.code) == (Rejected, "GC-2014")
    clock.now = 4.0
    assert values(source, "a.csv") == [("1",), ("2",)]


def test_a_file_that_rested_long_counts_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    clock = Clock()
    clock.now = (tmp_path / "a.csv").stat().st_ctime + 2.1
    source = FilesSource("f", tmp_path, stable_seconds=2, clock=clock)
    assert values(source, "a.csv") == [("1",)]


@pytest.mark.parametrize("replace", [True, False])
def test_a_file_that_changes_while_it_is_read_is_read_later(tmp_path: Path, replace: bool) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id\n" + "1\n" * 20_000)
    source = FilesSource("f", tmp_path, stable_seconds=0)
    slices = source.whole(source.describe(name("a.csv")))
    next(slices)
    if replace:
        (tmp_path / "new").write_text("id\n7\n")
        (tmp_path / "new").replace(path)
    else:
        path.write_text("id\n1,2,3\n")
    found = fault(lambda: list(slices))
    assert (type(found), found.code) == (Rejected, "GC-2014")


def test_a_deleted_file_is_gone_but_a_vanished_folder_is_an_outage(tmp_path: Path) -> None:
    root = tmp_path / "share"
    root.mkdir()
    source = FilesSource("f", root, stable_seconds=0)
    assert (source.inventory(), source.identity) == ([], None)
    for file in ("a.csv", "b.csv"):
        (root / file).write_text("id\n1\n")
    assert len(source.inventory()) == 2
    schema = source.describe(name("a.csv"))
    (root / "a.csv").unlink()
    assert fault(lambda: source.describe(name("a.csv"))).code == "GC-2002"
    (root / "b.csv").rename(tmp_path / "b.csv")
    calls: list[Callable[[], object]] = [
        source.inventory,
        lambda: source.describe(name("b.csv")),
        lambda: source.token(name("b.csv")),
        lambda: list(source.whole(schema)),
    ]
    for call in calls:
        found = fault(call)
        assert (type(found), found.code) == (Transient, "GC-2009")
    root.rmdir()
    assert fault(source.inventory).code == "GC-2009"
    root.write_text("no folder")
    assert fault(source.inventory).code == "GC-2009"


def test_another_folder_in_its_place_is_an_outage_across_processes(tmp_path: Path) -> None:
    root = tmp_path / "share"
    root.mkdir()
    (root / "a.csv").write_text("id\n1\n")
    source = FilesSource("f", root, stable_seconds=0)
    source.inventory()
    root.rename(tmp_path / "old")
    root.mkdir()
    (root / "b.csv").write_text("id\n1\n")
    later = FilesSource("f", root, stable_seconds=0, identity=source.identity)
    assert fault(later.inventory).code == "GC-2045"
    same = FilesSource("f", tmp_path / "old", stable_seconds=0, identity=source.identity)
    assert [str(i.name) for i in same.inventory()] == ["a.csv"]


def test_a_person_accepts_another_folder_or_an_empty_one(tmp_path: Path) -> None:
    root = tmp_path / "share"
    root.mkdir()
    (root / "a.csv").write_text("id\n1\n")
    source = FilesSource("f", root, stable_seconds=0, identity="another:1")
    assert fault(source.inventory).code == "GC-2045"
    source.accept()
    assert [str(i.name) for i in source.inventory()] == ["a.csv"]
    assert source.identity not in (None, "another:1")
    (root / "a.csv").unlink()
    assert fault(source.inventory).code == "GC-2009"
    source.accept()
    assert source.inventory() == []


def test_the_registry_opens_by_kind(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    files = open_source(
        "f", FilesSettings(folder=str(tmp_path), tables={"a.csv": TableSettings(key=("id",))})
    )
    assert isinstance(files, FilesSource)
    (tmp_path / "url").write_text(f"sqlite:///{tmp_path}/x.db\n")
    for settings in (SqlSettings(url_file=str(tmp_path / "url")), SqlSettings(url_env="URL")):
        sql = open_source("s", settings, environ={"URL": "sqlite:///x.db"})
        assert isinstance(sql, SqlSource)
        sql.close()
    credential = SqlSettings(url_file="url")
    open_source("s", credential, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}).close()
    for settings in (SqlSettings(url_file=str(tmp_path / "none")), SqlSettings(url_env="NONE")):
        with pytest.raises(Permanent) as caught:
            open_source("s", settings)
        assert caught.value.code == "GC-1004"


@pytest.mark.parametrize(
    "make",
    [
        SqlSettings,
        lambda: SqlSettings.model_validate({"url": "sqlite:///x", "url_env": "Y"}),
        lambda: SqlSettings.model_validate({"url": "sqlite:///x", "pagerows": 1}),
        lambda: SqlSettings.model_validate({"url": "sqlite:///x", "timezone": "Asia/Nowhere"}),
        lambda: FileRule(glob="*", encoding="gb2313"),
        lambda: FileRule(glob="*", delimiter="\n"),
        lambda: FilesSettings(
            folder="x", rules=(FileRule(glob="a", table="t"), FileRule(glob="b", table="t"))
        ),
    ],
)
def test_wrong_settings_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        make()


def test_an_address_is_never_shown() -> None:
    assert "pass-word" not in repr(SqlSettings.model_validate({"url": "mysql://u:pass-word@h/d"}))
