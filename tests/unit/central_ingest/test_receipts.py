"""Receipts say what stands in a tenure; credit is its bytes and a fair share."""

from __future__ import annotations

from central_ingest.receipts import Credit, Receipts
from central_ingest.roster import Tenure
from protocol import messages
from protocol.delivery import Head
from protocol.limits import CREDIT_WINDOW_BYTES_MIN
from protocol.messages import Expected, Payload, Receipt, Refusal
from protocol.signing import SUITE_1

from .sender import CENTRE, SESSION, STREAM, Sender

AGENT = Sender().agent


def tenure() -> Tenure:
    return Tenure(STREAM, AGENT, Head(3, 7, b"\x0a\x0b"), admitted_bytes=5_000)


def heard(data: bytes, model: type[Payload]) -> dict[str, object]:
    message = messages.parse(data)
    messages.verify(message, SUITE_1, CENTRE.public)
    return messages.read(message, model).model_dump()


def test_credit_is_shared_and_never_less_than_one_envelope() -> None:
    credit = Credit(100 * CREDIT_WINDOW_BYTES_MIN)
    whole = 100 * CREDIT_WINDOW_BYTES_MIN
    assert credit.offset(tenure(), 0) == 5_000 + whole
    assert credit.offset(tenure(), 1) == 5_000 + whole
    assert credit.offset(tenure(), 4) == 5_000 + whole // 4
    assert credit.offset(tenure(), 1_000) == 5_000 + CREDIT_WINDOW_BYTES_MIN


def test_a_closed_window_gives_nothing_beyond_what_was_admitted() -> None:
    credit = Credit(1 << 30)
    credit.closed = True
    assert credit.offset(tenure(), 1) == 5_000


def test_a_receipt_names_the_head_by_hash() -> None:
    receipts = Receipts(CENTRE, Credit(1 << 30))
    said = heard(receipts.receipt(tenure(), SESSION, 1), Receipt)
    assert said == {
        "agent": AGENT,
        "session": SESSION,
        "site": "h1",
        "source": "his",
        "epoch": 3,
        "seq": 7,
        "hash": "0a0b",
        "credit": 5_000 + (1 << 30),
    }


def test_after_a_gap_the_receipt_names_what_the_agent_knows() -> None:
    """The lost envelope's hash, which the next header carries: the gap's own hash stands in no spool row."""
    one = tenure()
    one.head = Head(3, 9, b"gap", b"lost")
    receipts = Receipts(CENTRE, Credit(1 << 30))
    assert heard(receipts.receipt(one, SESSION, 1), Receipt)["hash"] == b"lost".hex()


def test_what_is_expected_follows_the_head() -> None:
    receipts = Receipts(CENTRE, Credit(1 << 30))
    said = heard(receipts.expected(tenure(), SESSION, 2), Expected)
    assert (said["epoch"], said["seq"], said["credit"]) == (3, 8, 5_000 + (1 << 29))


def test_a_refusal_names_stream_and_code() -> None:
    receipts = Receipts(CENTRE, Credit(1 << 30))
    said = heard(receipts.refusal(AGENT, SESSION, STREAM, 0, "GC-5004"), Refusal)
    assert (said["site"], said["source"], said["epoch"], said["code"]) == ("h1", "his", 0, "GC-5004")
