"""Files that fail: exact values or one clear error with its code in `status`, and the other files go on."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from edge_agent.sources.columns import aside
from edge_agent.sources.filerule import FileRule
from edge_agent.sources.files import FilesSource
from edge_agent.sources.registry import open_source
from edge_agent.sources.settings import FilesSettings
from edge_agent.sources.slicing import slices
from edge_agent.sources.source import Rows
from protocol.canonical import encode_rows
from protocol.errors import Rejected
from protocol.names import TableName
from tests.comparing.csvfolder import CsvFolder, CsvRule
from tests.integration.capturing import Capturing
from tests.servers import SHARED, require_dataset

SPECTRUM = SHARED / "csv-spectrum"
CLEVER = SHARED / "csv-clevercsv" / "example"
HEADER = "编号,姓名\r\n"
GOOD = {("1", "张三"): 1, ("2", "李 四, 五"): 1}
GOOD_TEXT = HEADER + '1,张三\r\n2,"李 四, 五"\r\n'
NOBODY = 65_534

RULES = (
    FileRule(glob="gb18030/*", encoding="gb18030"),
    FileRule(glob="gbk/*", encoding="gbk"),
    FileRule(glob="utf16/*", encoding="utf-16"),
    FileRule(glob="big5/*", encoding="big5"),
    FileRule(glob="**/*.csv"),
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Below it an export that is well. Not pytest's own place: there nobody but its owner may go."""
    root = Path(tempfile.mkdtemp(prefix="guicang-files-"))
    (root / "share").mkdir()
    (root / "share" / "good.csv").write_bytes(GOOD_TEXT.encode())
    yield root / "share"
    shutil.rmtree(root)


def _settings(folder: Path, *rules: FileRule) -> FilesSettings:
    return FilesSettings(
        folder=str(folder), include=("*",), rules=rules or RULES, stable_seconds=0, duty_share_max=1.0
    )


@pytest.fixture
async def capturing(folder: Path) -> AsyncIterator[Capturing]:
    made = Capturing(folder.parent / "state", {"files": _settings(folder)})
    yield made
    await made.close()


@pytest.fixture
def unprivileged(folder: Path) -> Iterator[None]:
    """As an account to which rights mean something; root may read all."""
    if os.geteuid() != 0:
        yield
        return
    for path in [folder.parent, *folder.parent.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def put(folder: Path, name: str, data: bytes) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


AWKWARD = HEADER + '1,"行一\r\n行二\n行三"\r\n2,"说""好"", 逗号"\r\n3,\x00零\x00\r\n4,𠮷野家\r\n5,\r\n'
AWKWARD_ROWS = {
    ("1", "行一\r\n行二\n行三"): 1,
    ("2", '说"好", 逗号'): 1,
    ("3", "\x00零\x00"): 1,
    ("4", "𠮷野家"): 1,
    ("5", ""): 1,
}
PLAIN = AWKWARD.replace("4,𠮷野家\r\n", "")
PLAIN_ROWS = {row: 1 for row in AWKWARD_ROWS if row[0] != "4"}

EXACT: dict[str, tuple[str, bytes, dict[tuple[str, str], int]]] = {
    "utf-8": ("a.csv", AWKWARD.encode(), AWKWARD_ROWS),
    "utf-8 with a byte order mark": ("a.csv", AWKWARD.encode("utf-8-sig"), AWKWARD_ROWS),
    "gb18030": ("gb18030/a.csv", AWKWARD.encode("gb18030"), AWKWARD_ROWS),
    "gbk": ("gbk/a.csv", PLAIN.encode("gbk"), PLAIN_ROWS),
    "utf-16 with a byte order mark": ("utf16/a.csv", AWKWARD.encode("utf-16"), AWKWARD_ROWS),
    "header only": ("a.csv", HEADER.encode(), {}),
    "header again in the middle": (
        "a.csv",
        (HEADER + "1,张\r\n" + HEADER + "1,张\r\n").encode(),
        {("1", "张"): 2, ("编号", "姓名"): 1},
    ),
    "no line break at the end": ("a.csv", (HEADER + "1,张").encode(), {("1", "张"): 1}),
    "blank lines": ("a.csv", (HEADER + "\r\n1,张\r\n\r\n").encode(), {("1", "张"): 1}),
    "numbers as they are spelt": (
        "a.csv",
        b"a,b\n007,1e3\n 1 ,+5\n",
        {("007", "1e3"): 1, (" 1 ", "+5"): 1},
    ),
}


@pytest.mark.parametrize("case", EXACT)
async def test_what_a_file_says_arrives_exactly(folder: Path, capturing: Capturing, case: str) -> None:
    name, data, rows = EXACT[case]
    put(folder, name, data)
    await capturing.until("files", None)
    assert capturing.standing("files") == {"good.csv": Counter(GOOD), name: Counter(rows)}


ODD: dict[str, tuple[str, bytes, str, bytes]] = {
    "cut in the middle of a character": ("b.csv", (HEADER + "1,张").encode()[:-1], "1", b"\xe5\xbc"),
    "gb18030 that was declared as gbk": (
        "gbk/b.csv",
        AWKWARD.encode("gb18030"),
        "4",
        "𠮷野家".encode("gb18030"),
    ),
    "gbk among utf-8": ("b.csv", (HEADER + "1,").encode() + "张".encode("gbk"), "1", b"\xd5\xc5"),
}


@pytest.mark.parametrize("case", ODD)
async def test_bytes_that_are_no_text_arrive_aside(folder: Path, capturing: Capturing, case: str) -> None:
    name, data, number, original = ODD[case]
    put(folder, name, data)
    await capturing.until("files", None)
    values = [pa.array([number]), pa.array([None], pa.string())]
    (odd,) = encode_rows(values, ["编号", "姓名"], [[aside("姓名", "charset", original)]])
    rows = capturing.cells("files")[TableName(None, None, name)]
    assert rows[odd] == 1
    assert rows.total() == (5 if name.startswith("gbk/") else 1)


REFUSED: dict[str, tuple[str, bytes, str]] = {
    "a line that is too short": ("b.csv", (HEADER + "1,张\r\n2\r\n").encode(), "GC-2008"),
    "a line that is too long": ("b.csv", (HEADER + "1,张,男\r\n").encode(), "GC-2008"),
    "empty": ("b.csv", b"", "GC-2008"),
    "nothing but a byte order mark": ("b.csv", b"\xef\xbb\xbf", "GC-2008"),
    "two columns of one name": ("b.csv", "编号,编号\r\n1,2\r\n".encode(), "GC-2008"),
    "a column without a name": ("b.csv", "编号,\r\n1,2\r\n".encode(), "GC-2008"),
    "a quote that never ends": ("b.csv", (HEADER + '1,"张\r\n2,李\r\n').encode(), "GC-2008"),
    "text behind a quote": ("b.csv", (HEADER + '1,"张"三\r\n').encode(), "GC-2008"),
    "gbk that was declared as utf-8": ("b.csv", GOOD_TEXT.encode("gbk"), "GC-2011"),
    "utf-16 that was declared as utf-8": ("b.csv", GOOD_TEXT.encode("utf-16"), "GC-2011"),
    "utf-8 that was declared as utf-16": ("utf16/b.csv", GOOD_TEXT.encode(), "GC-2011"),
    "no file of text at all": ("b.csv", bytes(range(256)), "GC-2008"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_no_table_is_one_clear_error_and_heals(
    folder: Path, capturing: Capturing, case: str
) -> None:
    name, data, code = REFUSED[case]
    put(folder, name, data)
    assert await capturing.once("files") == {name: code}
    assert capturing.standing("files")["good.csv"] == Counter(GOOD)
    encoding = {"gbk": "gbk", "utf16": "utf-16"}.get(name.partition("/")[0], "utf-8")
    put(folder, name, GOOD_TEXT.encode(encoding))
    await capturing.until("files", None)
    await capturing.until("files", None)
    standing = capturing.standing("files")
    assert not standing.pop("files"), "it landed as bytes until it was a table"
    assert standing == {"good.csv": Counter(GOOD), name: Counter(GOOD)}


async def test_a_file_that_goes_bad_deletes_nothing(folder: Path, capturing: Capturing) -> None:
    await capturing.until("files", None)
    for data, code in [(data, code) for name, data, code in REFUSED.values() if name == "b.csv"]:
        put(folder, "good.csv", data)
        assert await capturing.once("files") == {"good.csv": code}
        assert capturing.deleted("files") == 0
    assert capturing.standing("files")["good.csv"] == Counter(GOOD)
    put(folder, "good.csv", (HEADER + "2,李\r\n").encode())
    await capturing.until("files", None)
    assert capturing.standing("files")["good.csv"] == Counter({("2", "李"): 1})


def _appends(folder: Path) -> None:
    with (folder / "big.csv").open("ab") as file:
        file.write("\r\n9999999,晚".encode())


def _vanishes(folder: Path) -> None:
    (folder / "big.csv").unlink(missing_ok=True)


def _is_cut(folder: Path) -> None:
    os.truncate(folder / "big.csv", 1_000)


def _is_replaced(folder: Path) -> None:
    (folder / "new").write_bytes(GOOD_TEXT.encode())
    os.replace(folder / "new", folder / "big.csv")


@pytest.mark.parametrize("change", [_appends, _vanishes, _is_cut, _is_replaced])
@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
async def test_a_file_that_changes_while_it_is_read(
    folder: Path,
    capturing: Capturing,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    known: bool,
) -> None:
    """Half of a file is never taken for the file."""
    rows = {(str(i), f"病人{i}"): 1 for i in range(1_500)}
    text = HEADER + "".join(f"{i},{name}\r\n" for i, name in rows)
    if known:
        put(folder, "big.csv", text.replace("病人7", "患者7").encode())
        await capturing.until("files", None)
        capturing.standing("files")
    put(folder, "big.csv", text.encode())

    def changed_behind_the_first(*arguments: Any) -> Iterator[Rows]:
        pieces = slices(*arguments)
        yield next(pieces)
        change(folder)
        yield from pieces

    with monkeypatch.context() as patch:
        patch.setattr("edge_agent.sources.kinds.csvfile.SLICE_ROWS", 500)
        patch.setattr("edge_agent.sources.kinds.csvfile.slices", changed_behind_the_first)
        assert await capturing.once("files") == {"big.csv": "GC-2014"}
    assert capturing.deleted("files") == 0
    put(folder, "big.csv", (text + "1500,晚\r\n").encode())
    await capturing.until("files", None)
    assert capturing.standing("files")["big.csv"] == Counter(rows | {("1500", "晚"): 1})


async def test_a_file_that_may_not_be_read(folder: Path, unprivileged: None, capturing: Capturing) -> None:
    put(folder, "b.csv", GOOD_TEXT.encode())
    await capturing.until("files", None)
    put(folder, "b.csv", (HEADER + "3,王\r\n").encode())
    os.chmod(folder / "b.csv", 0)
    assert await capturing.once("files") == {"b.csv": "GC-2003"}
    assert capturing.deleted("files") == 0
    os.chmod(folder / "b.csv", 0o600)
    await capturing.until("files", None)
    assert capturing.standing("files") == {"good.csv": Counter(GOOD), "b.csv": Counter({("3", "王"): 1})}


async def test_a_folder_that_may_not_be_read_is_an_outage(
    folder: Path, unprivileged: None, capturing: Capturing
) -> None:
    await capturing.until("files", None)
    os.chmod(folder, 0)
    assert await capturing.once("files") == {"": "GC-2001"}
    os.chmod(folder, 0o700)
    await capturing.until("files", None)
    assert (capturing.deleted("files"), capturing.standing("files")) == (0, {"good.csv": Counter(GOOD)})


async def test_a_folder_below_that_is_closed_stays_as_it_was_and_stops_no_other(
    folder: Path, unprivileged: None
) -> None:
    """Also for an agent that is started meanwhile."""
    capturing = Capturing(folder.parent / "state", {"files": _settings(folder)})
    put(folder, "below/a.csv", GOOD_TEXT.encode())
    put(folder, "gbk/c.csv", GOOD_TEXT.encode("gbk"))
    await capturing.until("files", None)
    before = capturing.standing("files")
    assert set(before) == {"good.csv", "below/a.csv", "gbk/c.csv"}
    os.chmod(folder / "below", 0)
    put(folder, "gbk/c.csv", (HEADER + "3,王\r\n").encode("gbk"))
    await capturing.until_said("files", {"below/": "GC-2142"})
    rest = {"good.csv": Counter(GOOD), "gbk/c.csv": Counter({("3", "王"): 1})}
    assert capturing.standing("files") == {**rest, "below/a.csv": Counter(GOOD)}
    deleted = capturing.deleted("files")
    source = capturing.runners["files"].source
    assert isinstance(source, FilesSource)
    identity = source.identity
    await capturing.close()
    again = Capturing(
        folder.parent / "state",
        {"files": _settings(folder)},
        former=capturing,
        opening=lambda slug, one: open_source(slug, one, identity),
    )
    try:
        await again.until_said("files", {"below/": "GC-2142", "below/a.csv": "GC-2142"})
        os.chmod(folder / "below", 0o700)
        await again.until("files", None)
        assert (again.deleted("files"), again.standing("files")) == (
            deleted,
            {**rest, "below/a.csv": Counter(GOOD)},
        )
    finally:
        await again.close()


async def test_a_record_file_that_may_not_be_read_is_told_and_stops_no_other(
    folder: Path, unprivileged: None
) -> None:
    settings = _settings(folder, FileRule(glob="**", kind="file"))
    capturing = Capturing(folder.parent / "state", {"files": settings})
    put(folder, "a.pdf", b"%PDF-1.7 a")
    os.chmod(folder / "a.pdf", 0)
    await capturing.until_said("files", {"a.pdf": "GC-2142"})
    assert [row[0] for row in capturing.standing("files")["files"]] == ["good.csv"]
    os.chmod(folder / "a.pdf", 0o600)  # which changes neither size nor content
    await capturing.until("files", None)
    assert sorted(row[0] for row in capturing.standing("files")["files"]) == ["a.pdf", "good.csv"]
    await capturing.close()


async def test_a_table_of_several_files_waits_while_some_may_be_out_of_reach(
    folder: Path, unprivileged: None
) -> None:
    rules = (FileRule(glob="**/*.csv", table="visit"),)
    for name in ("a/1.csv", "b/2.csv"):
        put(folder, name, GOOD_TEXT.encode())
    first = FilesSource("files", folder, rules, stable_seconds=0)
    schema = first.describe(TableName(None, None, "visit"))
    assert sum(rows.count for rows in first.whole(schema)) == 6
    os.chmod(folder / "b", 0)
    later = FilesSource("files", folder, rules, stable_seconds=0, identity=first.identity)
    for source, code in ((first, "GC-2003"), (later, "GC-2142")):
        assert [str(info.name) for info in source.inventory()] == ["visit"]
        with pytest.raises(Rejected) as caught:
            list(source.whole(schema))
        assert (caught.value.code, [a.code for a in source.alarms]) == (code, ["GC-2142"])


async def test_a_folder_that_is_empty_or_another_waits_for_a_person(
    folder: Path, capturing: Capturing
) -> None:
    await capturing.until("files", None)
    os.rename(folder, folder.with_name("away"))
    assert await capturing.once("files") == {"": "GC-2009"}
    os.mkdir(folder)
    assert await capturing.once("files") == {"": "GC-2045"}
    put(folder, "good.csv", GOOD_TEXT.encode())
    assert await capturing.once("files") == {"": "GC-2045"}
    source = capturing.runners["files"].source
    assert isinstance(source, FilesSource)
    source.accept()
    await capturing.until("files", None)
    os.unlink(folder / "good.csv")
    assert await capturing.once("files") == {"": "GC-2009"}
    assert (capturing.deleted("files"), capturing.standing("files")) == (0, {"good.csv": Counter(GOOD)})


@pytest.mark.parametrize("name", sorted(path.stem for path in (SPECTRUM / "csvs").glob("*.csv")) or ["none"])
async def test_csv_spectrum_arrives_as_its_own_json_says(
    folder: Path, capturing: Capturing, name: str
) -> None:
    data = require_dataset(SPECTRUM / "csvs" / f"{name}.csv").read_bytes()
    if name.endswith("_crlf"):  # as published; where it is kept its line breaks were made plain
        data = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    put(folder, "a.csv", data)
    said: list[dict[str, str]] = json.loads((SPECTRUM / "json" / f"{name}.json").read_text("utf-8"))
    await capturing.until("files", None)
    assert capturing.standing("files")["a.csv"] == Counter(tuple(row.values()) for row in said)


async def test_real_exports_arrive_as_another_reader_reads_them(folder: Path, capturing: Capturing) -> None:
    """Of three public files one escapes commas by backslashes and one is split by tabs, which nobody declared."""
    for name in ("airedale", "imdb", "milk"):
        shutil.copyfile(require_dataset(CLEVER / f"{name}.csv"), folder / f"{name}.csv")
    assert await capturing.once("files") == {"imdb.csv": "GC-2008", "milk.csv": "GC-2008"}
    batches = CsvFolder(folder, [CsvRule()]).rows((None, None, "airedale.csv"), {})
    expected = Counter(b"".join(row) for batch in batches for row in zip(*batch, strict=True))
    assert expected.total() == 54
    assert capturing.cells("files")[TableName(None, None, "airedale.csv")] == expected
