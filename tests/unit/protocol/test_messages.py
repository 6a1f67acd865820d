"""Messages: every type round-trips; no truncation, bit or foreign byte gets past framing and signature."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import messages
from protocol.errors import Rejected
from protocol.limits import MESSAGE_BYTES_MAX, SEQ_MAX
from protocol.messages import AgentState, MessageType, Payload, Receipt
from protocol.sealing import Recipient, entropy_bytes
from tests.vectors import make_vectors

from .test_signing import KITS, Kit, each_kit

VECTORS = json.loads(Path(make_vectors.__file__).with_name("messages.json").read_text(encoding="utf-8"))
MODELS = {model.type: model for model in Payload.__subclasses__()}
AGENT, SESSION = "0" * 32, "1" * 32
RECEIPT = Receipt(agent=AGENT, session=SESSION, site="H1", source="his", epoch=1, seq=0, hash="", credit=0)


def receive(kit: Kit, data: bytes, model: type[Payload] = Receipt) -> Payload:
    message = messages.parse(data)
    messages.verify(message, kit.suite, kit.signer.public)
    return messages.read(message, model)


def test_each_type_has_one_model() -> None:
    assert set(MODELS) == set(MessageType)
    assert len(Payload.__subclasses__()) == len(MessageType)


@each_kit
@pytest.mark.parametrize("case", [c for c in VECTORS["good"] if c["suite"] == 1], ids=lambda c: c["name"])
def test_round_trip(kit: Kit, case: dict[str, Any]) -> None:
    model = MODELS[MessageType(case["type"])]
    payload = model.model_validate_json(json.dumps(case["payload"]))
    data = messages.write(payload, kit.signer)
    assert messages.is_message(data)
    assert receive(kit, data, model) == payload
    for other in set(MODELS.values()) - {model}:
        with pytest.raises(Rejected):
            receive(kit, data, other)


@each_kit
def test_every_truncation_is_refused(kit: Kit) -> None:
    data = messages.write(RECEIPT, kit.signer)
    for end in range(len(data)):
        with pytest.raises(Rejected):
            receive(kit, data[:end])
    with pytest.raises(Rejected):
        receive(kit, data + b"\x00")


@each_kit
def test_a_flip_of_any_bit_is_refused(kit: Kit) -> None:
    data = messages.write(RECEIPT, kit.signer)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Rejected) as refused:
            receive(kit, bytes(flipped))
        assert refused.value.code in {"GC-4004", "GC-5002"}, bit


@settings(max_examples=300)
@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda b: b"GCMS\x01\x01\x02\x08" + b))
def test_any_bytes_are_refused_or_framed(data: bytes) -> None:
    try:
        message = messages.parse(data)
    except Rejected:
        return
    with pytest.raises(Rejected):
        messages.verify(message, KITS[0].suite, KITS[0].signer.public)


MEMBERS = st.sampled_from([*Receipt.model_fields, "other"])
JSON = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=2)
)


@settings(max_examples=150)
@given(MEMBERS, JSON)
def test_any_member_is_right_or_refused(member: str, value: Any) -> None:
    document = RECEIPT.model_dump(mode="json") | {member: value}
    message = messages.parse(messages.write(RECEIPT, KITS[0].signer))
    forged = messages.Message(1, MessageType.RECEIPT, b"", json.dumps(document).encode(), b"", b"")
    try:
        read = messages.read(forged, Receipt)
    except Rejected as rejected:
        assert rejected.code == "GC-4004"  # noqa: PT017 - a value may also happen to be right
    else:
        assert read.model_dump(mode="json") == document
    assert messages.read(message, Receipt) == RECEIPT


def test_bounds() -> None:
    with pytest.raises(Rejected) as refused:
        messages.parse(bytes(MESSAGE_BYTES_MAX + 1))
    assert refused.value.code == "GC-5007"
    huge = AgentState(agent=AGENT, time=0, status={"a": "x" * MESSAGE_BYTES_MAX})
    with pytest.raises(Rejected) as refused:
        messages.write(huge, KITS[0].signer)
    assert refused.value.code == "GC-5007"
    assert messages.parse(messages.write(RECEIPT.model_copy(update={"seq": SEQ_MAX}), KITS[0].signer))


@each_kit
def test_sealed_payloads_open_for_the_recipient_under_their_type(kit: Kit) -> None:
    state = AgentState(agent=AGENT, time=0, status={"lag": 1})
    entropy = bytes(range(entropy_bytes(kit.suite)))
    message = messages.parse(messages.write_sealed(state, kit.signer, Recipient(kit.recipient), entropy))
    messages.verify(message, kit.suite, kit.signer.public)
    assert messages.read_sealed(message, AgentState, kit.suite, kit.opener) == state
    assert b"lag" not in message.payload
    with pytest.raises(Rejected):
        messages.read_sealed(message, messages.Enrol, kit.suite, kit.opener)
    with pytest.raises(Rejected):
        messages.read(message, AgentState)
    other = next(k for k in KITS if k is not kit)
    with pytest.raises(Rejected):
        messages.read_sealed(message, AgentState, kit.suite, other.opener)


def test_vectors_cover_every_type() -> None:
    assert {c["type"] for c in VECTORS["good"]} == set(MessageType)
    assert all(base64.b64decode(c["message"])[6] == c["type"] for c in VECTORS["good"])
