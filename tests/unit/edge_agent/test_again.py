"""Receipted envelopes that the centre asks for again: exactly those bytes, or the word that they are gone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from edge_agent import again
from protocol.delivery import Verdict
from protocol.messages import Gone

from .centre import grant
from .keys import STREAM
from .test_courier import Ground, in_order

COUNT = 6


@pytest.fixture
async def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ground]:
    """Six envelopes have their receipts and are still in the spool."""
    monkeypatch.setattr("edge_agent.courier.TICK_SECONDS", 0.01)
    made = Ground(tmp_path)
    made.open_epoch(1)
    made.grants.keep(grant(2))  # without a spare it would ask for one, in a new session each time
    made.write(COUNT, bytes_each=200)
    made.centre.online()
    await made.until(lambda: made.receipted == COUNT)
    assert made.centre.again == []
    yield made
    await made.close()


def sent(ground: Ground, *seqs: int) -> list[bytes]:
    found = [ground.spool.peek(STREAM, seq) for seq in seqs]
    return [one.data for one in found if one is not None]


def digest(ground: Ground, seq: int) -> bytes:
    known = ground.spool.hash_at(STREAM, seq)
    assert known
    return known


async def test_exactly_what_is_asked_for_comes_the_last_first(ground: Ground) -> None:
    ground.centre.ask_again(2, 5, digest(ground, 5))
    await ground.until(lambda: len(ground.centre.again) == 4)
    assert ground.centre.again == sent(ground, 5, 4, 3, 2)
    ground.centre.ask_again(1, 1, digest(ground, 1))
    await ground.until(lambda: len(ground.centre.again) == 5)
    assert ground.centre.again[4:] == sent(ground, 1)
    assert ground.centre.gone == []


async def test_an_answer_has_a_length_and_the_rest_is_asked_for(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(again, "AGAIN_BYTES", max(map(len, sent(ground, 2, 3, 4, 5))) + 1)
    ground.centre.ask_again(2, 5, digest(ground, 5))
    await ground.until(lambda: len(ground.centre.again) == 2)
    ground.centre.ask_again(2, 3, digest(ground, 3))
    await ground.until(lambda: len(ground.centre.again) == 4)
    assert ground.centre.again == sent(ground, 5, 4, 3, 2)


async def test_what_is_new_goes_on_meanwhile(ground: Ground) -> None:
    ground.centre.ask_again(1, 6, digest(ground, 6))
    ground.write(4)
    await ground.until(lambda: ground.receipted == COUNT + 4 and len(ground.centre.again) == 6)
    assert ground.centre.admitted == in_order(COUNT + 4)
    assert set(ground.centre.verdicts) == {Verdict.NEXT, Verdict.SEEN}


def forgotten(ground: Ground) -> None:
    with ground.spool._database.write() as db:
        db.execute("DELETE FROM envelopes WHERE seq <= 3")


def damaged(ground: Ground) -> None:
    with ground.spool._database.write() as db:
        db.execute("UPDATE bodies SET data = x'00' WHERE id = (SELECT body FROM envelopes WHERE seq = 3)")


@pytest.mark.parametrize("suffer", [forgotten, damaged])
async def test_what_is_no_longer_there_is_said_to_be_gone(
    ground: Ground, suffer: Callable[[Ground], None]
) -> None:
    suffer(ground)
    ground.centre.ask_again(2, 5, digest(ground, 5))
    await ground.until(lambda: ground.centre.gone and len(ground.centre.again) == 2)
    assert ground.centre.again == sent(ground, 5, 4)
    (said,) = ground.centre.gone
    assert said == Gone(
        agent=said.agent,
        session=ground.centre.session,
        site=STREAM.site,
        source=STREAM.source,
        epoch=1,
        seq=3,
    )
    state = ground.spool.stream(STREAM)
    assert state is not None
    assert (state.stopped, state.receipted_seq) == (None, COUNT)


async def test_another_hash_than_ours_is_not_answered_with_ours(ground: Ground) -> None:
    ground.centre.ask_again(2, 5, b"x" * 32)
    await ground.until(lambda: ground.centre.gone)
    assert ground.centre.again == []


async def test_questions_of_another_session_or_epoch_are_refused(ground: Ground) -> None:
    ground.centre.ask_again(2, 5, digest(ground, 5), session="0" * 32)
    ground.centre.ask_again(2, 5, digest(ground, 5), epoch=2)
    ground.centre.ask_again(2, 5, digest(ground, 5), source="other")
    ground.centre.ask_again(2, 5, digest(ground, 5), agent="f" * 32)
    await ground.until(lambda: ground.courier.messages_refused.total() == 4)
    assert ground.courier.messages_refused == {"GC-3012": 3, "GC-5003": 1}
    ground.centre.ask_again(6, 6, digest(ground, 6))
    await ground.until(lambda: ground.centre.again)
    assert ground.centre.again == sent(ground, 6)
    assert ground.centre.gone == []
