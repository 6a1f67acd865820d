"""The book of orders: durable or not at all, whoever paused decides, and old commands stay known."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent import orders as module
from edge_agent.orders import Book, Orders, Outcome, Pause
from protocol.errors import Permanent, Transient
from protocol.names import TableName

VISIT, ODD = TableName("his", None, "visit"), TableName(None, "模式", "\ud800 odd")


def full(book: Book) -> Book:
    book = book.pausing("his", Pause(7, "centre")).wanting("his", [VISIT, ODD]).confirming("lis", [ODD])
    return book.remembering("a" * 32, Outcome(5, False, "GC-4013", {"tables": "2"}))


def test_what_was_taken_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    orders = Orders(path)
    orders.take(full)
    again = Orders(path)
    assert again.book == orders.book
    assert again.pause_of("his") == Pause(7, "centre")
    assert again.wanted("his", ODD) == orders.wanted("his", ODD) is not None
    assert again.is_confirmed("lis", ODD)
    again.begun("his", ODD)
    again.passed_on("lis", ODD)
    last = Orders(path)
    assert (last.wanted("his", ODD), last.is_confirmed("lis", ODD)) == (None, False)
    assert last.wanted("his", VISIT) == orders.wanted("his", VISIT)
    assert path.stat().st_mode & 0o077 == 0


def test_what_cannot_be_written_was_not_taken(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the directory should be")
    told: list[None] = []
    orders = Orders(None, lambda: told.append(None))
    orders._path = tmp_path / "state" / "orders.json"
    with pytest.raises(Transient) as caught:
        orders.take(full)
    assert (caught.value.code, orders.book, told) == ("GC-4016", Book(), [])


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"7", b'{"format": 2}', b'{"format": 1}', b"\xff", b"[" * 100_000],
)
def test_a_damaged_file_stops_the_agent(tmp_path: Path, content: bytes) -> None:
    """Were it taken for empty, what a person paused would run again."""
    path = tmp_path / "orders.json"
    path.write_bytes(content)
    with pytest.raises(Permanent) as caught:
        Orders(path)
    assert caught.value.code == "GC-4017"
    assert path.read_bytes() == content


def test_a_pause_of_a_person_here_is_above_one_of_the_centre() -> None:
    book = Book().pausing("his", Pause(1, "centre")).pausing("his", Pause(2, "local"))
    assert book.pauses == {"his": Pause(1, "local")}, "since the first"
    assert book.pausing("his", Pause(3, "centre")) == book
    assert book.resuming("his", "centre") == book
    assert book.resuming("his", "local").pauses == {}
    centres = Book().pausing("his", Pause(1, "centre"))
    assert centres.resuming("his", "centre").pauses == centres.resuming("his", "local").pauses == {}


def test_a_snapshot_that_is_wanted_twice_is_one() -> None:
    once = Book().wanting("his", [VISIT])
    assert once.wanting("his", [VISIT]) == once
    assert once.wanting("lis", [VISIT]).snapshots.keys() == {("his", VISIT), ("lis", VISIT)}


def test_old_answers_are_forgotten_but_not_that_they_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWERS_MAX", 3)
    book = Book()
    for issued in (4, 1, 5, 3, 2):
        book = book.remembering(f"{issued:032x}", Outcome(issued, True))
    assert sorted(one.issued for one in book.outcomes.values()) == [3, 4, 5]
    assert book.forgotten == 2
