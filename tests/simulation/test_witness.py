"""The simulator convicts: a product that is broken on purpose does not get through its histories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from central_ingest import restart
from central_ingest.landing.lander import Lander
from central_ingest.receipts import Receipts
from edge_agent.spool.spool import Spool
from protocol.delivery import Head

from .centre import Disk, Lake
from .history import Failed, run

SEEDS = (93, *range(20))
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
