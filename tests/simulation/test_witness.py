"""The simulator convicts: a product that is broken on purpose does not get through its histories."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from central_ingest import restart
from central_ingest.landing.lander import Lander
from central_ingest.landing.parking import Parking
from central_ingest.receipts import Receipts
from edge_agent.capture.runner import Runner
from edge_agent.obeying import Obeying
from edge_agent.orders import Book, Orders
from edge_agent.spool.spool import Spool
from protocol.delivery import Head
from protocol.messages import Answer, Command

from . import test_commands, test_parking
from .history import Failed, innermost, run
from .stores import Disk, Lake

SEEDS = (93, 113, *range(20))
"""93 loses what a lake that syncs nothing had promised; the others are the first that come."""


def no_sync(disk: Disk, fd: int) -> None:
    disk.calls.append("sync")


def mark_whatever_was_read(lander: Lander, everything: bool) -> None:
    marks = dict.fromkeys(lander._low_water, lander.position)
    lander._ledger.save_low_water(marks)


def forget_one_more(spool: Spool, stream: Any, epoch: int, seq: int, *_: Any) -> None:
    with spool._database.write() as db:
        db.execute("UPDATE streams SET receipted_seq = ? WHERE epoch = ?", (seq, epoch))
        db.execute("DELETE FROM envelopes WHERE seq <= ?", (seq + 1,))


def receipt_one_more(receipts: Receipts, tenure: Any, *rest: Any) -> bytes:
    head: Head = tenure.head
    tenure.head = Head(head.epoch, head.seq + 1, head.hash)
    try:
        return _receipt(receipts, tenure, *rest)
    finally:
        tenure.head = head


_receipt = Receipts.receipt


def obey_again(obeying: Obeying, command: Command) -> Answer:
    outcome = obeying._obey(command)
    return Answer(
        agent=command.agent, id=command.id, done=outcome.done, code=outcome.code, facts=outcome.facts
    )


def keep_in_mind(orders: Orders, change: Callable[[Book], Book]) -> None:
    orders._book = change(orders._book)


@pytest.mark.parametrize(
    ("room", "name", "broken"),
    [
        (Disk, "sync", no_sync),
        (Lake, "make_durable", lambda lake, path, version: None),
        (Lander, "_note_low_water", mark_whatever_was_read),
        (Lander, "_holds", lambda lander, landing, header: False),
        (Spool, "receipt", forget_one_more),
        (Receipts, "receipt", receipt_one_more),
        (restart, "_follows", lambda head, header: False),
    ],
)
def test_what_is_broken_is_found(
    monkeypatch: pytest.MonkeyPatch, room: object, name: str, broken: Callable[..., Any]
) -> None:
    monkeypatch.setattr(room, name, broken)
    with pytest.raises(Failed, match=r"python -m tests\.simulation --seed"):
        live_through_all()


def live_through_all() -> None:
    for seed in SEEDS:
        run(seed)


@pytest.mark.parametrize(
    ("room", "name", "broken", "script", "said"),
    [
        (
            Obeying,
            "_check",
            lambda obeying, command: None,
            test_commands.test_what_the_hospital_does_not_allow_has_no_effect,
            "does what it may not",
        ),
        (
            Obeying,
            "answer",
            obey_again,
            test_commands.test_what_was_said_in_an_older_epoch_or_by_an_older_ledger_does_nothing_again,
            "again",
        ),
        (
            Orders,
            "_write",
            keep_in_mind,
            test_commands.test_what_the_hospital_does_not_allow_has_no_effect,
            "is answered and not remembered",
        ),
        (
            Parking,
            "hold",
            lambda *_: None,
            partial(test_parking.test_a_retry_lands_all_of_it_in_order_once_it_can, test_parking.an_envelope),
            "lacks",
        ),
        (
            Runner,
            "_stop_if_paused",
            lambda runner: None,
            test_commands.test_a_paused_source_rests_over_restarts_and_a_lost_spool,
            "reads his, paused",
        ),
    ],
)
def test_what_chance_meets_seldom_a_script_finds(
    monkeypatch: pytest.MonkeyPatch,
    room: object,
    name: str,
    broken: Callable[..., Any],
    script: Callable[[], None],
    said: str,
) -> None:
    monkeypatch.setattr(room, name, broken)
    with pytest.raises(BaseException) as caught:  # noqa: PT011 (a group, or what is in it)
        script()
    assert said in innermost(caught.value)
