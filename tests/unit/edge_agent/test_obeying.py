"""Commands from the centre: obeyed once, within what the hospital allows, answered in any case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_agent import orders as module
from edge_agent.obeying import CLOCK_MICROS, Obeying, refuse_all
from edge_agent.orders import Orders, Pause
from protocol.errors import Rejected
from protocol.messages import Command
from protocol.names import TableName

from .keys import IDENTITY

VISIT, ODD = TableName("his", None, "visit"), TableName(None, None, "his.visit")
LOG = TableName("his", None, "log")
TABLES = {"his": [VISIT, ODD, LOG], "lis": []}
EVERYTHING = ("snapshot", "pause", "resume")
NOW = 1_800_000_000_000_000


class Ground:
    def __init__(self, root: Path) -> None:
        self.path = root / "orders.json"
        self.now = NOW
        self.allow: tuple[str, ...] = EVERYTHING
        self.start()

    def start(self) -> None:
        """The agent, as after a kill."""
        self.orders = Orders(self.path)
        self.obeying = Obeying(
            agent=IDENTITY.agent,
            allow=self.allow,
            orders=self.orders,
            tables=TABLES.get,
            wall=lambda: self.now,
        )

    def ask(self, name: str, number: int = 1, **arguments: str) -> str | None:
        """The answer's code, None where it was done."""
        answer = self.obeying.answer(command(name, number, **arguments))
        assert (answer.agent, answer.id) == (IDENTITY.agent, f"{number:032x}")
        assert answer.done is (answer.code is None)
        return answer.code


def command(name: str, number: int = 1, **arguments: str) -> Command:
    facts: dict[str, Any] = {"arguments": arguments, "issued": NOW + number, "expires": NOW + 10}
    return Command(agent=IDENTITY.agent, id=f"{number:032x}", name=name, **facts)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def test_pause_and_resume(ground: Ground) -> None:
    assert ground.ask("pause", 1, source="his") is None
    ground.start()
    assert ground.orders.pause_of("his") == Pause(NOW, "centre")
    assert ground.orders.pause_of("lis") is None
    assert ground.ask("resume", 2, source="his") is None
    assert ground.ask("resume", 3, source="lis") is None, "it runs, as was asked"
    ground.start()
    assert ground.orders.book.pauses == {}


def test_snapshots_of_a_table_and_of_a_source(ground: Ground) -> None:
    assert ground.ask("snapshot", 1, source="his", table="his.log") is None
    assert ground.orders.book.snapshots.keys() == {("his", LOG)}
    assert ground.ask("snapshot", 2, source="his", table="his.visit") is None
    assert ground.orders.book.snapshots.keys() == {("his", t) for t in TABLES["his"]}, "both so printed"
    answer = ground.obeying.answer(command("snapshot", 3, source="lis"))
    assert (answer.done, answer.facts) == (True, {"tables": "0"})


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("snapshot", {"source": "nis"}, "GC-4013"),
        ("snapshot", {"source": "his", "table": "visit"}, "GC-4013"),
        ("pause", {"source": "nis"}, "GC-4013"),
        ("resume", {"source": "nis"}, "GC-4013"),
        ("snapshot", {}, "GC-4015"),
        ("snapshot", {"source": "his", "tables": "x"}, "GC-4015"),
        ("pause", {"source": "his", "table": "his.visit"}, "GC-4015"),
        ("resume", {}, "GC-4015"),
    ],
)
def test_what_cannot_be_done_is_answered_with_its_code(
    ground: Ground, name: str, arguments: dict[str, str], code: str
) -> None:
    assert ground.ask(name, 1, **arguments) == code
    assert (ground.orders.book.snapshots, ground.orders.book.pauses) == ({}, {})


@pytest.mark.parametrize("name", [*EVERYTHING, "format-disk"])
def test_only_what_is_allowed(ground: Ground, name: str) -> None:
    ground.allow = tuple(one for one in EVERYTHING if one != name)
    ground.start()
    assert ground.ask(name, source="his") == "GC-4012"
    ground.allow = (*EVERYTHING, "format-disk")
    ground.start()
    assert ground.ask(name, source="his") == "GC-4012", "as it was answered before"
    assert ground.ask("format-disk", 2, source="his") == "GC-4015"


def test_what_a_person_here_paused_the_centre_cannot_resume(ground: Ground) -> None:
    assert ground.ask("pause", 1, source="his") is None
    ground.orders.take(lambda book: book.pausing("his", Pause(NOW, "local")))
    assert ground.ask("resume", 2, source="his") == "GC-4014"
    assert ground.orders.pause_of("his") == Pause(NOW, "local")


def test_a_command_for_another_agent_is_not_even_answered(ground: Ground) -> None:
    foreign = command("pause", source="his").model_copy(update={"agent": "f" * 32})
    with pytest.raises(Rejected) as caught:
        ground.obeying.answer(foreign)
    assert caught.value.code == "GC-4010"
    assert not ground.path.exists()


def test_a_clock_may_be_a_day_wrong_and_no_more(ground: Ground) -> None:
    ground.now = NOW + 10 + CLOCK_MICROS
    assert ground.ask("pause", 1, source="his") is None
    ground.now += 1
    assert ground.ask("pause", 1, source="his") is None, "it was obeyed before"
    assert ground.ask("pause", 2, source="lis") == "GC-4011"
    ground.now = 0
    assert ground.ask("pause", 3, source="lis") is None, "a clock that is behind refuses nothing"


def test_a_repeat_is_answered_again_and_not_obeyed_again(ground: Ground) -> None:
    """The link repeats, and an answer may be lost; also behind a kill."""
    assert ground.ask("pause", 1, source="his") is None
    assert ground.ask("resume", 2, source="his") is None
    for _ in range(2):
        assert ground.ask("pause", 1, source="his") is None
        assert ground.orders.book.pauses == {}
        ground.start()
    assert ground.ask("snapshot", 3, source="his", table="his.log") is None
    ground.orders.begun("his", LOG)
    ground.start()
    assert ground.ask("snapshot", 3, source="his", table="his.log") is None
    assert ground.orders.book.snapshots == {}


def test_a_replay_of_what_was_forgotten_is_refused(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWERS_MAX", 2)
    assert ground.ask("pause", 1, source="his") is None
    assert ground.ask("resume", 2, source="his") is None
    assert ground.ask("resume", 3, source="his") is None
    ground.start()
    assert ground.ask("pause", 1, source="his") == "GC-4011"
    assert ground.orders.book.pauses == {}


def test_without_anybody_who_obeys_all_is_refused() -> None:
    answer = refuse_all(command("pause", source="his"))
    assert (answer.done, answer.code) == (False, "GC-4012")
