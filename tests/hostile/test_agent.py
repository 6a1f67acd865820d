"""What comes down to an agent and is not its centre's word to it: the real courier refuses and counts it; nothing
leaves the spool, no epoch ends or opens, and the real centre's word is heard all the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from protocol import messages
from protocol.errors import Rejected
from protocol.keys import KeyKind, PrivateKey
from protocol.limits import MESSAGE_BYTES_MAX, MIB
from protocol.messages import Again, Answer, CentreState, Command, Enrolled, Expected, Grant, Receipt, Refusal
from protocol.signing import SUITE_1
from tests.unit.edge_agent.centre import AGENT, grant
from tests.unit.edge_agent.keys import AGENT_KEY, CENTRE_KEY, STREAM
from tests.unit.edge_agent.test_courier import Ground

from .centre import bounded

FORGER = PrivateKey(KeyKind.SIGNING, b"f" * 32)
ENVELOPES = 3


@pytest.fixture
async def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ground]:
    """An agent whose centre has taken its hello and says nothing about its envelopes."""
    monkeypatch.setattr("edge_agent.courier.TICK_SECONDS", 0.01)
    monkeypatch.setattr("edge_agent.courier.RETURN_JITTER_SECONDS", 0.01)
    made = Ground(tmp_path)
    made.open_epoch(1)
    made.write(ENVELOPES)
    made.grants.keep(grant(2))
    made.centre.silent = True
    made.centre.online()
    await made.until(lambda: made.centre.admitted)
    yield made
    await made.close()


def said(ground: Ground, kind: type[Any], **changes: Any) -> Any:
    """What the centre might say to this agent now, but for the changes."""
    head = ground.centre.heads[1]
    place = {"site": STREAM.site, "source": STREAM.source, "epoch": 1, "agent": AGENT}
    session = {"session": ground.centre.session}
    facts: dict[type[Any], dict[str, Any]] = {
        Receipt: place | session | {"seq": head.seq, "hash": head.hash.hex(), "credit": 1 << 40},
        Expected: place | session | {"seq": 1, "credit": 1 << 40},
        Refusal: place | session | {"code": "GC-3007"},
        Grant: place | {"epoch": 9, "key_id": SUITE_1.key_id(AGENT_KEY.public).hex(), "issued": 1},
        Command: {
            "agent": AGENT,
            "id": "a" * 32,
            "name": "pause",
            "arguments": {},
            "issued": 1,
            "expires": 2**62,
        },
        Again: place | session | {"first": 1, "last": head.seq, "before": "", "hash": head.hash.hex()},
        CentreState: {"online": False, "instance": "9" * 32, "time": 1},
    }
    return kind(**(facts[kind] | changes))


async def unmoved(ground: Ground, *hostile: bytes, refused: dict[str, int]) -> None:
    """They are refused as told and change nothing; then the centre speaks, and is heard."""
    before = dict(ground.courier.messages_refused)
    for data in hostile:
        ground.centre.send(data)
    ground.centre.send(b"GCMS the last")
    codes = {code: before.get(code, 0) + count for code, count in refused.items()}
    codes["GC-4004"] = codes.get("GC-4004", before.get("GC-4004", 0)) + 1
    await ground.until(lambda: sum(ground.courier.messages_refused.values()) >= sum(codes.values()))
    assert ground.courier.messages_refused == codes
    state = ground.spool.stream(STREAM)
    assert state is not None
    assert (state.epoch, state.stopped, state.receipted_seq) == (1, None, 0)
    assert ground.spool.backlog(STREAM).envelopes == ENVELOPES
    assert ground.grants.spare(STREAM.source) == (2, grant(2))
    assert ground.courier.centre_online
    assert ground.courier.refused == {}
    ground.centre.silent = False
    ground.centre.receipt(1)
    await ground.until(lambda: ground.receipted == ENVELOPES)


async def test_forged_receipts_grants_commands_and_states(ground: Ground) -> None:
    """Signed by somebody: by a stranger, or by the agent's own key."""
    kinds = (Receipt, Expected, Refusal, Grant, Command, CentreState, Again)
    forged = [
        messages.write(said(ground, kind), key.signer()) for kind in kinds for key in (FORGER, AGENT_KEY)
    ]
    await unmoved(ground, *forged, refused={"GC-5002": len(forged)})
    assert ground.centre.answers == []


async def test_words_changed_after_signing(ground: Ground) -> None:
    receipt = messages.write(said(ground, Receipt), CENTRE_KEY.signer())
    at = receipt.index(b'"seq":') + 6
    changed = [receipt[:at] + b"3" + receipt[at + 1 :], receipt[:-1] + bytes((receipt[-1] ^ 1,))]
    as_grant = receipt[:6] + bytes((messages.MessageType.GRANT,)) + receipt[7:]
    await unmoved(ground, *changed, as_grant, refused={"GC-5002": 3})


async def test_foreign_receipts_and_grants(ground: Ground) -> None:
    """The centre's own word, to another agent."""
    signer = CENTRE_KEY.signer()
    other = "f" * 32
    foreign = [messages.write(said(ground, kind, agent=other), signer) for kind in (Receipt, Expected, Again)]
    grants = [
        grant(9, agent=other),
        grant(9, site="H2"),
        messages.write(said(ground, Grant, key_id="00" * 8), signer),
    ]
    ignored = [messages.write(said(ground, kind, agent=other), signer) for kind in (Refusal, Command)]
    await unmoved(ground, *foreign, *grants, *ignored, refused={"GC-5003": 3, "GC-5004": 3, "GC-4010": 1})
    assert ground.centre.answers == []


async def test_old_receipts_and_grants(ground: Ground) -> None:
    """The centre's own word to this agent, of an earlier session, epoch or grant: heard, and nothing follows."""
    signer = CENTRE_KEY.signer()
    earlier = {"session": "0" * 32}
    old = [messages.write(said(ground, kind, **earlier), signer) for kind in (Receipt, Expected, Refusal)]
    old += [messages.write(said(ground, kind, epoch=7), signer) for kind in (Receipt, Expected)]
    old += [messages.write(said(ground, Receipt, source="other"), signer), grant(1)]
    await unmoved(ground, *old, refused={})


async def test_old_questions_for_envelopes(ground: Ground) -> None:
    """The centre's own word to this agent, said in an earlier session or of an earlier epoch: nothing is sent."""
    signer = CENTRE_KEY.signer()
    old = [
        messages.write(said(ground, Again, **changes), signer)
        for changes in ({"session": "0" * 32}, {"epoch": 7})
    ]
    await unmoved(ground, *old, *old, refused={"GC-3012": 4})
    assert (ground.centre.again, ground.centre.gone) == ([], [])


async def test_a_receipt_for_bytes_that_are_not_ours_ends_the_epoch_and_deletes_nothing(
    ground: Ground,
) -> None:
    """Only the centre can say it, and then it knows another history: a fork, never a reason to forget."""
    ground.centre.send(messages.write(said(ground, Receipt, hash="00" * 32), CENTRE_KEY.signer()))
    await ground.until(lambda: ground.courier._outbound == {})
    state = ground.spool.stream(STREAM)
    assert state is not None
    assert (state.stopped, state.receipted_seq) == ("GC-3006", 0)


async def test_words_that_are_not_the_centres_to_say(ground: Ground) -> None:
    signer = CENTRE_KEY.signer()
    wrong = [
        messages.write(Answer(agent=AGENT, id="a" * 32, done=True), signer),
        messages.write(Enrolled(agent=AGENT, site=STREAM.site, accepted=True), signer),
        messages._frame(messages.MessageType.RECEIPT, b"{}", signer),
        messages._frame(messages.MessageType.RECEIPT, b"[" * 10_000, signer),
    ]
    await unmoved(ground, *wrong, refused={"GC-4004": 4})


async def test_bytes_that_are_no_message(ground: Ground) -> None:
    good = messages.write(said(ground, Receipt, seq=0, hash=""), CENTRE_KEY.signer())
    cut = [good[:end] for end in range(0, len(good), 7)]
    await unmoved(ground, *cut, b"\0" * 500, refused={"GC-4004": len(cut) + 1})


async def test_messages_of_100_mb(ground: Ground) -> None:
    """A link drops them before (see test_broker.py); what comes all the same is not looked into."""
    huge = b"GCMS" + bytes(100 * MIB)
    with pytest.raises(Rejected), bounded():
        messages.parse(huge)
    await unmoved(ground, b"GCMS" + bytes(MESSAGE_BYTES_MAX), refused={"GC-5007": 1})
