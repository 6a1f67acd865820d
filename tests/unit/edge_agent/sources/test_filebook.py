"""The book of a folder: what was read and decided comes back, over processes, damage and questions from outside."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.filebook import ROWS_BYTES_MAX, Chosen, FileBook, Known
from edge_agent.sources.folder import FileState
from protocol.errors import Transient

whole = st.integers(-(1 << 62), 1 << 62)
states = st.builds(FileState, st.integers(0, 1 << 50), whole, whole, st.integers(0, (1 << 64) - 1))
values = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 63), (1 << 63) - 1), st.text(st.characters(codec=None))
)
STATE = FileState(3, 1, 2, (1 << 64) - 1)


def known(name: str, **more: Any) -> Known:
    facts: dict[str, Any] = {"state": STATE, "reader": "r", "sha256": b"s", "rows": [], "problem": None}
    return Known(name=name, **facts | {"read_at": 1.5} | more)


@given(
    st.text(), states, st.none() | st.lists(st.lists(values, max_size=3), max_size=3), st.none() | st.text()
)
def test_what_was_read_comes_back(
    name: str, state: FileState, rows: list[list[Any]] | None, problem: str | None
) -> None:
    book = FileBook(None)
    name = name.encode("utf-8", "backslashreplace").decode()
    problem = problem and problem.encode("utf-8", "backslashreplace").decode()
    one = known(name, state=state, rows=rows, problem=problem)
    book.put(one)
    assert book.known(name) == one
    assert book.named(b"s") == [(name, state)]
    book.forget(name)
    assert book.known(name) is None
    book.close()


def test_too_many_rows_are_not_kept() -> None:
    book = FileBook(None)
    book.put(known("a", rows=[["x" * ROWS_BYTES_MAX]]))
    found = book.known("a")
    assert found is not None
    assert found.rows is None


def test_another_process_finds_it_and_may_ask_for_it_again(tmp_path: Path) -> None:
    path = tmp_path / "files" / "his.sqlite"
    first = FileBook(path)
    chosen = Chosen("a.csv", "csv", {"encoding": "gb18030"}, 0.9, "frequent characters", 2.0)
    first.choose(chosen)
    first.put(known("a.csv"))
    first.put(known("b"))
    first.refuse("a.csv", "", STATE, "a ragged line")
    first.note_table("files", "file")
    first.note_parts("b.xlsx", ["Sheet1", "#2"])
    second = FileBook(path)
    assert second.chosen("a.csv") == chosen
    assert second.all_chosen() == [chosen]
    assert second.refusals() == {"a.csv": {"": (STATE, "a ragged line")}}
    assert second.tables() == {"files": "file"}
    assert (second.parts("b.xlsx"), second.parts("a.csv")) == (("Sheet1", "#2"), ())
    assert [one.name for one in second.all_known()] == ["a.csv", "b"]
    before = first.generation
    second.again(["a.csv"])
    assert first.generation == before + 1
    assert (first.chosen("a.csv"), first.known("a.csv"), first.refusals()) == (None, None, {})
    assert first.known("b") is not None
    second.close()
    first.close()
    assert path.stat().st_mode & 0o077 == 0


def test_what_is_gone_is_forgotten_and_what_was_decided_of_it_later() -> None:
    book = FileBook(None)
    for name, chosen_at in (("a", 1.0), ("b", 1.0), ("c", 9.0)):
        book.put(known(name))
        book.choose(Chosen(name, "csv", {}, 1.0, "", chosen_at))
        book.refuse(name, "", STATE, "no")
    kept, gone = book.put_mark("a", "1"), book.put_mark("b", "1")
    book.prune({"a"}, {"a"}, 5.0)
    assert (book.mark("a", kept), book.mark("b", gone)) == ("1", None)
    assert [one.name for one in book.all_known()] == ["a"]
    assert [one.name for one in book.all_chosen()] == ["a", "c"]
    assert set(book.refusals()) == {"a", "c"}
    book.refuse("a", "Sheet1", STATE, "no")
    book.accept("a", "")
    assert book.refusals()["a"] == {"Sheet1": (STATE, "no")}


@pytest.mark.parametrize("content", [b"no database" * 100, b""], ids=["another file", "empty"])
def test_a_damaged_book_is_moved_aside_and_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "his.sqlite"
    path.write_bytes(content)
    book = FileBook(path)
    book.put(known("a"))
    assert book.known("a") is not None
    book.close()
    aside = tmp_path / "his.sqlite.damaged"
    assert (aside.read_bytes() if aside.exists() else b"") == content


def test_a_book_of_another_version_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "his.sqlite"
    book = FileBook(path)
    book.put(known("a"))
    book._db.execute("PRAGMA user_version = 99")
    book.close()
    again = FileBook(path)
    assert again.known("a") is None
    again.close()


def test_a_book_that_turns_out_damaged_fails_once_and_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "his.sqlite"
    book = FileBook(path)
    for number in range(2_000):
        book.put(known(f"{number:05}", rows=[["x" * 300]]))
    book.close()
    content = bytearray(path.read_bytes())
    content[8_192:] = b"\xa5" * (len(content) - 8_192)
    path.write_bytes(content)
    book = FileBook(path)
    with pytest.raises(Transient) as caught:
        book.all_known()
    assert caught.value.code == "GC-3002"
    assert book.all_known() == []
    book.put(known("a"))
    assert book.known("a") is not None
    book.close()


def test_a_disk_that_cannot_be_written_is_a_fault_of_ours(tmp_path: Path) -> None:
    (tmp_path / "files").write_bytes(b"no folder")
    with pytest.raises(Transient) as caught:
        FileBook(tmp_path / "files" / "his.sqlite")
    assert caught.value.code == "GC-3002"


def test_a_row_of_it_that_is_damaged_is_read_anew(tmp_path: Path) -> None:
    """SQLite has no checksums of its pages."""
    book = FileBook(tmp_path / "his.sqlite")
    for name, rows in (("a", b"no zlib"), ("b", zlib.compress(b"no json"))):
        book.put(known(name))
        book._db.execute("UPDATE files SET rows = ? WHERE name = ?", (rows, name))
        assert book.known(name) is None
        book.choose(Chosen(name, "csv", {}, 1.0, "", 1.0))
        book.note_parts(name, ["s"])
        book.refuse(name, "", STATE, "no")
    for change in ("choices SET said = 'x'", "parts SET parts = 'x'", "refusals SET inode = 'x'"):
        book._db.execute(f"UPDATE {change}")
    assert (book.chosen("a"), book.all_chosen(), book.parts("a"), book.refusals()) == (None, [], (), {})
    book.put(known("a"))
    assert book.known("a") == known("a")
    book.close()


def test_whoever_is_not_its_owner_leaves_a_damaged_book_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "his.sqlite"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(Transient) as caught:
        FileBook(path, is_owner=False)
    assert caught.value.code == "GC-3002"
    assert path.read_bytes() == b"no database" * 100


def test_of_marks_the_last_few_are_kept_and_one_is_what_it_was(tmp_path: Path) -> None:
    book = FileBook(tmp_path / "book.sqlite")
    ids = [book.put_mark("a", f"up to {number}") for number in range(5)]
    assert [book.mark("a", id) for id in ids] == [None, None, "up to 2", "up to 3", "up to 4"]
    book.close()
    with sqlite3.connect(tmp_path / "book.sqlite") as db:
        db.execute("UPDATE marks SET said = zeroblob(9) WHERE number = 4")
        db.execute("UPDATE marks SET said = (SELECT said FROM marks WHERE number = 3) WHERE number = 5")
    book = FileBook(tmp_path / "book.sqlite")
    assert [book.mark("a", id) for id in ids[2:]] == ["up to 2", None, None]
    book.close()
