"""The courier against a centre on a link in memory: order, receipts, credit, refusals, forks, and what it survives."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_agent.batching import GroupBuilder, place_after
from edge_agent.courier import Courier
from edge_agent.identity import Grants
from edge_agent.obeying import refuse_all
from edge_agent.spool.records import Work
from edge_agent.spool.spool import Spool
from protocol import messages, topics
from protocol.batch import MarkHeader
from protocol.change import MarkKind
from protocol.link.memory import Faults, MemoryBroker
from protocol.messages import AgentState, Answer, CentreState, Command
from protocol.signing import SUITE_1

from . import keys
from .centre import AGENT, Centre, grant
from .keys import CENTRE, CENTRE_OPENER, EPOCH_SECRET, IDENTITY, SEAL, STREAM

PATIENCE_SECONDS = 3.0


@dataclass
class Ground:
    """A spool, a broker, a centre and a courier between them; its clock goes a hundred times as fast."""

    directory: Path
    broker: MemoryBroker = field(default_factory=lambda: MemoryBroker(seed=1, reconnect_seconds=0.01))

    def __post_init__(self) -> None:
        self.spool = Spool.open(self.directory / "spool", bytes_max=1 << 30, keep_receipted_bytes=1 << 20)
        self.grants = Grants(self.directory, IDENTITY, CENTRE)
        self.centre = Centre(self.broker)
        self.courier = Courier(
            link=self.broker.link(AGENT, [topics.down(AGENT), topics.CENTRE_STATE]),
            spool=self.spool,
            identity=IDENTITY,
            centre=CENTRE,
            grants=self.grants,
            sources=[STREAM.source],
            now=lambda: asyncio.get_running_loop().time() * 100,
            wall=lambda: 7,
            rng=random.Random(1),
        )
        self.task = asyncio.create_task(self.courier.run())

    def open_epoch(self, epoch: int) -> None:
        self.spool.open_epoch(STREAM, epoch, grant(epoch), EPOCH_SECRET)
        self.courier.epoch_opened()

    def write(self, count: int, bytes_each: int = 0) -> None:
        """`count` envelopes, one a commit."""
        for _ in range(count):
            state = self.spool.stream(STREAM)
            assert state is not None
            place = place_after(STREAM, state.epoch, state.head_seq, state.head_hash)
            group = GroupBuilder(
                SEAL, place, captured=1, schema_sent=lambda _: False, object_sent=lambda _: False
            )
            facts = {"noise": random.Random(state.head_seq).randbytes(bytes_each // 2).hex()}
            group.mark(MarkHeader(captured=1, mark=MarkKind.INVENTORY, table=None, facts=facts))
            self.spool.commit(Work(STREAM, state.epoch, state.head_seq, group.finish().envelopes))

    @property
    def receipted(self) -> int:
        state = self.spool.stream(STREAM)
        return 0 if state is None else state.receipted_seq

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                assert not self.task.done(), self.task
                await asyncio.sleep(0.005)

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.centre.close()
        await self.broker.aclose()
        self.spool.close()


@pytest.fixture
async def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ground]:
    monkeypatch.setattr("edge_agent.courier.TICK_SECONDS", 0.01)
    monkeypatch.setattr("edge_agent.courier.RETURN_JITTER_SECONDS", 0.01)
    made = Ground(tmp_path)
    yield made
    await made.close()


def in_order(count: int, epoch: int = 1) -> list[tuple[int, int]]:
    return [(epoch, seq) for seq in range(1, count + 1)]


async def test_everything_arrives_in_order_and_is_receipted(ground: Ground) -> None:
    ground.open_epoch(1)
    ground.write(5)
    ground.centre.online()
    await ground.until(lambda: ground.receipted == 5)
    ground.write(5)  # the commit itself wakes the courier
    await ground.until(lambda: ground.receipted == 10)
    assert ground.centre.admitted == in_order(10)
    assert ground.courier.connected
    assert ground.courier.centre_online
    receipt = ground.spool.last_receipt(STREAM)
    assert receipt is not None
    messages.verify(messages.parse(receipt), SUITE_1, keys.CENTRE_KEY.public)


async def test_nothing_is_said_while_the_centre_is_away(ground: Ground) -> None:
    ground.open_epoch(1)
    ground.write(1)
    await ground.until(lambda: ground.courier.connected)
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert ground.centre.hellos == []
    ground.centre.online()
    await ground.until(lambda: ground.receipted == 1)
    ground.centre.online(False)
    await ground.until(lambda: not ground.courier.centre_online)
    ground.write(1)
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert ground.centre.admitted == in_order(1)
    ground.centre.restart()
    await ground.until(lambda: ground.receipted == 2)


async def test_a_lying_ack_deletes_nothing(ground: Ground) -> None:
    """The broker acknowledges everything; only the receipt counts (invariant 2)."""
    ground.open_epoch(1)
    ground.write(3)
    ground.centre.silent = True
    ground.centre.online()
    await ground.until(lambda: ground.centre.admitted)
    assert ground.receipted == 0
    assert ground.spool.backlog(STREAM).envelopes == 3
    ground.centre.silent = False
    await ground.until(lambda: ground.receipted == 3)
    assert ground.centre.admitted == in_order(3)


async def test_credit_bounds_what_is_sent(ground: Ground) -> None:
    ground.open_epoch(1)
    ground.write(6, 1_000)
    ends = [stored.end_offset for stored in ground.spool.window(STREAM, 1, 1 << 20)]
    ground.centre.credit = ends[3]
    ground.centre.online()
    await ground.until(lambda: ground.receipted >= 4)
    sent_at_credit = len(ground.centre.admitted)
    assert sent_at_credit in (4, 5), "at most one probe beyond the credit"
    ground.centre.credit = ends[-1]
    ground.centre.receipt(1)
    await ground.until(lambda: ground.receipted == 6)
    assert ground.centre.admitted == in_order(6)


@pytest.mark.parametrize("seed", range(4))
async def test_a_bad_line_loses_and_doubles_nothing(ground: Ground, seed: int) -> None:
    ground.broker._random.seed(seed)
    ground.broker.faults = Faults(drop=0.05, repeat=0.1, reorder=0.1, disconnect=0.02)
    ground.open_epoch(1)
    ground.write(40)
    ground.centre.online()
    for _ in range(60):
        await asyncio.sleep(0.01)
        ground.centre.online()
    ground.broker.faults = Faults()
    ground.centre.online()
    await ground.until(lambda: ground.receipted == 40)
    assert ground.centre.admitted == in_order(40)


async def test_a_lost_connection_begins_with_a_new_hello(ground: Ground) -> None:
    ground.open_epoch(1)
    ground.write(2)
    ground.centre.online()
    await ground.until(lambda: ground.receipted == 2)
    ground.broker.cut(AGENT)
    await ground.until(lambda: not ground.courier.connected)
    assert ground.courier.link_fault is not None
    assert ground.courier.link_fault.code == "GC-4001"
    ground.write(2)
    await ground.until(lambda: ground.receipted == 4)
    assert ground.courier.link_fault is None
    assert len({hello.session for hello in ground.centre.hellos}) == len(ground.centre.hellos) >= 2


async def test_a_hello_shows_heads_grants_and_wants(ground: Ground) -> None:
    ground.open_epoch(3)
    ground.write(2)
    ground.centre.online()
    await ground.until(lambda: ground.receipted == 2)
    state = ground.spool.stream(STREAM)
    assert state is not None
    hello = ground.centre.hellos[0]
    (head,) = hello.streams
    assert (hello.agent, hello.wants) == (AGENT, (STREAM.source,))
    assert (head.site, head.source, head.epoch) == (STREAM.site, STREAM.source, 3)
    assert (head.seq, head.hash) == (2, state.head_hash.hex())


async def test_a_wanted_grant_is_asked_for_until_it_comes_and_kept(ground: Ground) -> None:
    ground.centre.online()
    await ground.until(lambda: len(ground.centre.hellos) >= 2)
    assert {hello.wants for hello in ground.centre.hellos} == {(STREAM.source,)}
    ground.centre.send(grant(4))
    await ground.until(lambda: ground.grants.spare(STREAM.source))
    assert ground.grants.spare(STREAM.source) == (4, grant(4))


async def test_a_grant_that_comes_twice_is_no_spare(ground: Ground) -> None:
    """The second copy arrives when the epoch has used the first: another one must still be asked for."""
    ground.open_epoch(4)
    ground.grants.keep(grant(4))
    ground.centre.online()
    await ground.until(lambda: len(ground.centre.hellos) >= 2)
    assert {hello.wants for hello in ground.centre.hellos} == {(STREAM.source,)}
    ground.grants.keep(grant(5))
    count = len(ground.centre.hellos)
    ground.courier.epoch_opened()
    await ground.until(lambda: len(ground.centre.hellos) > count)
    assert ground.centre.hellos[-1].wants == ()


async def test_an_epoch_opened_on_another_thread_is_announced(ground: Ground) -> None:
    ground.grants.keep(grant(9))  # nothing is wanted, so only the epoch is a reason to speak
    ground.centre.online()
    await ground.until(lambda: ground.centre.hellos)
    await asyncio.to_thread(ground.open_epoch, 1)
    ground.write(1)
    await ground.until(lambda: ground.receipted == 1)


async def test_another_history_at_the_centre_ends_the_epoch(ground: Ground) -> None:
    ground.open_epoch(1)
    ground.write(2)
    ground.centre.online()
    await ground.until(lambda: ground.receipted == 2)
    ground.centre.receipt(1, 2, b"x" * 32)
    await ground.until(lambda: _stopped(ground) == "GC-3006")
    ground.open_epoch(2)
    ground.write(1)
    await ground.until(lambda: ground.receipted == 1)
    assert ground.centre.admitted == [*in_order(2), (2, 1)]


async def test_a_receipt_above_our_head_is_a_fork(ground: Ground) -> None:
    ground.open_epoch(1)
    ground.write(1)
    ground.centre.online()
    await ground.until(lambda: ground.receipted == 1)
    ground.centre.receipt(1, 7, b"x" * 32)
    await ground.until(lambda: _stopped(ground) == "GC-3006")


def _stopped(ground: Ground) -> str | None:
    state = ground.spool.stream(STREAM)
    return None if state is None else state.stopped


@pytest.mark.parametrize("code", ["GC-3006", "GC-3007"])
async def test_a_fence_ends_the_epoch(ground: Ground, code: str) -> None:
    ground.open_epoch(1)
    ground.centre.on_hello = lambda _: ground.centre.refuse(code)
    ground.centre.online()
    await ground.until(lambda: _stopped(ground) == code)
    assert ground.courier.refused == {STREAM.source: code}


async def test_what_is_said_of_an_epoch_that_has_ended_does_not_end_the_next(ground: Ground) -> None:
    """Its grant would be used up here and not at the centre, which would give the same one for ever."""
    ground.open_epoch(1)
    ground.open_epoch(2)
    ground.write(1)
    ground.centre.online()
    await ground.until(lambda: ground.receipted == 1)
    ground.centre.refuse("GC-3010", epoch=1)
    ground.write(1)
    await ground.until(lambda: ground.receipted == 2)
    assert _stopped(ground) is None
    assert ground.courier.refused == {}
    ground.centre.refuse("GC-3010", epoch=2)
    await ground.until(lambda: _stopped(ground) == "GC-3010")


async def test_a_fence_of_a_stream_that_has_no_epoch_changes_nothing(ground: Ground) -> None:
    ground.centre.on_hello = lambda _: ground.centre.refuse("GC-3007")
    ground.centre.online()
    await ground.until(lambda: ground.courier.refused)
    assert ground.spool.stream(STREAM) is None


async def test_a_refusal_is_shown_and_asked_about_again(ground: Ground) -> None:
    """An administrator at the centre may take it back; nobody restarts the agent for that."""
    ground.open_epoch(1)
    ground.grants.keep(grant(2))
    ground.write(1)
    ground.centre.on_hello = lambda _: ground.centre.refuse("GC-5003")
    ground.centre.online()
    await ground.until(lambda: ground.courier.refused == {STREAM.source: "GC-5003"})
    assert _stopped(ground) is None
    ground.centre.on_hello = None
    await ground.until(lambda: ground.receipted == 1)
    assert ground.courier.refused == {}


async def test_a_damaged_envelope_ends_the_epoch(ground: Ground) -> None:
    ground.open_epoch(1)
    ground.write(2)
    with ground.spool._database.write() as db:
        db.execute("UPDATE bodies SET data = zeroblob(10)")
    ground.centre.online()
    await ground.until(lambda: _stopped(ground) == "GC-3003")
    assert ground.centre.admitted == []


async def test_what_nobody_signed_changes_nothing(ground: Ground) -> None:
    ground.open_epoch(1)
    ground.write(1)
    forged = CentreState(online=True, instance="2" * 32, time=1)
    ground.centre.send(messages.write(forged, IDENTITY.signer))
    ground.centre.send(b"GCMS garbage")
    ground.centre.send(b"")
    ground.centre.online()
    await ground.until(lambda: ground.receipted == 1)


ASK: dict[str, Any] = {
    "id": "a" * 32,
    "name": "pause",
    "arguments": {"source": "his"},
    "issued": 1,
    "expires": 2,
}


async def test_a_command_is_answered(ground: Ground) -> None:
    """Each time that it comes; by whoever obeys (`obeying`), and nobody does here."""
    ground.centre.online()
    await ground.until(lambda: ground.centre.hellos)
    for _ in range(2):
        ground.centre.say(Command(agent=AGENT, **ASK))
    await ground.until(lambda: len(ground.centre.answers) == 2)
    for answer in ground.centre.answers:
        assert (answer.id, answer.done, answer.code) == ("a" * 32, False, "GC-4012")


async def test_forged_foreign_and_altered_commands_are_counted_and_nobody_is_asked(ground: Ground) -> None:
    asked: list[Command] = []

    def obey(command: Command) -> Answer:
        asked.append(command)
        return refuse_all(command)

    ground.courier._obey = obey
    ground.centre.online()
    await ground.until(lambda: ground.centre.hellos)
    command = Command(agent=AGENT, **ASK)
    genuine = messages.write(command, keys.CENTRE_KEY.signer())
    ground.centre.send(messages.write(command, keys.AGENT_KEY.signer()))
    ground.centre.send(genuine.replace(b'"pause"', b'"resum"'))
    ground.centre.say(Command(agent="f" * 32, **ASK))
    await ground.until(lambda: ground.courier.messages_refused.total() == 3)
    assert ground.courier.messages_refused == {"GC-5002": 2, "GC-4010": 1}
    assert (asked, ground.centre.answers) == ([], [])
    ground.centre.send(genuine)
    await ground.until(lambda: ground.centre.answers)
    assert asked == [command]


async def test_the_state_is_sealed_to_the_centre(ground: Ground) -> None:
    await ground.courier.publish_state({"healthy": False})
    await ground.until(lambda: ground.courier.connected)
    await ground.courier.publish_state({"healthy": True, "name": "门诊"})
    await ground.until(lambda: ground.centre.states)
    message = messages.parse(ground.centre.states[0])
    messages.verify(message, SUITE_1, IDENTITY.signer.public)
    assert "门诊".encode() not in ground.centre.states[0]
    state = messages.read_sealed(message, AgentState, SUITE_1, CENTRE_OPENER)
    assert (state.agent, state.time, state.status) == (AGENT, 7, {"healthy": True, "name": "门诊"})
    await ground.courier.publish_state({"too": "long" * 100_000})  # told shorter next time
