"""Envelopes that are not what they claim: refused, counted, nothing moved, nobody else delayed."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from protocol import topics
from protocol.envelope import Kind, join, parse
from protocol.limits import ENVELOPE_BYTES_MAX, MIB, PLAIN_BYTES_MAX
from protocol.names import Stream
from protocol.sealing import Place
from protocol.signing import SUITE_1, Ed25519Signer
from tests.unit.central_ingest.sender import Sender

from .centre import EVIL, HONEST, Centre, bounded


def resigned(sender: Sender, data: bytes, **changes: object) -> bytes:
    """The envelope with other words in its header, signed by the sender all the same."""
    envelope = parse(data)
    header_bytes = replace(envelope.header, **changes).to_bytes()  # type: ignore[arg-type]
    changed = replace(envelope, header_bytes=header_bytes)
    return join(header_bytes, envelope.cipher, sender.signer.sign(changed.signed_bytes(SUITE_1)))


def test_unknown_agent(centre: Centre) -> None:
    stranger = Sender(9, EVIL)
    assert centre.refuses((topics.up(stranger.agent), stranger.mark()), code="GC-5003") == []


def test_revoked_agent(centre: Centre) -> None:
    centre.roster.enrol(centre.evil.member(revoked=True))
    assert centre.refuses(*centre.up(centre.evil.mark()), code="GC-5003") == []


def test_wrong_signature(centre: Centre) -> None:
    envelope = parse(centre.evil.mark())
    other = Ed25519Signer(b"o" * 32).sign(envelope.signed_bytes(SUITE_1))
    forged = [
        join(envelope.header_bytes, envelope.cipher, signature)
        for signature in (other, bytes(64), b"", b"x" * 65_535, envelope.signature[::-1])
    ]
    assert centre.refuses(*centre.up(*forged), code="GC-5002") == []


def test_wrong_suite(centre: Centre) -> None:
    data = centre.evil.mark()
    suites = [resigned(centre.evil, data, suite=number) for number in (0, 2, 254, 255)]
    assert centre.refuses(*centre.up(*suites), code="GC-5001") == []


def test_envelope_moved_to_another_agents_topic(centre: Centre) -> None:
    """It carries the name of the stream and its signer's key: on no other topic is it anybody's."""
    theft = (topics.up(centre.evil.agent), Sender(2, HONEST).mark())
    assert centre.refuses(theft, code="GC-5002") == []
    assert centre.refuses((topics.up(centre.honest.agent), centre.evil.mark()), code="GC-5002") == []


def test_envelope_moved_to_another_stream(centre: Centre) -> None:
    """By its own sender, who signs it anew: the stream is the honest agent's, or nobody's."""
    data = centre.evil.mark()
    answers = centre.refuses(*centre.up(resigned(centre.evil, data, stream=HONEST)), code="GC-5004")
    assert answers == [(centre.evil.agent, "Refusal", "GC-5004")]
    other = resigned(centre.evil, data, stream=Stream(EVIL.site, "nobody-s"))
    assert centre.refuses(*centre.up(other), code="GC-5004") == [(centre.evil.agent, "Refusal", "GC-5004")]


def test_envelope_moved_to_another_sites_stream(centre: Centre) -> None:
    moved = resigned(centre.evil, centre.evil.mark(), stream=Stream("h2", EVIL.source))
    assert centre.refuses(*centre.up(moved), code="GC-5003") == []


def test_replay_within_an_epoch(centre: Centre) -> None:
    """Receipted again, and written once."""
    data = [centre.evil.mark(i) for i in range(3)]
    centre.tick(centre.evil, *data)
    centre.before = centre.book()
    honest = centre.honest_batch()
    answers = centre.arrive(*centre.up(*data, *reversed(data)), (topics.up(centre.honest.agent), honest))
    assert centre.unmoved(answers, honest) == [(centre.evil.agent, "Receipt", 3)]
    assert centre.metrics.envelopes_repeated == 6


def test_replay_across_epochs(centre: Centre) -> None:
    old = [centre.evil.mark(i) for i in range(2)]
    centre.tick(centre.evil, *old)
    centre.evil.begin(2)
    centre.greet(centre.evil)
    centre.before = centre.book()
    honest = centre.honest_batch()
    answers = centre.arrive(*centre.up(*old, *old), (topics.up(centre.honest.agent), honest))
    assert centre.unmoved(answers, honest) == [(centre.evil.agent, "Refusal", "GC-3007")]
    assert centre.refuses(*centre.up(Sender(1, EVIL, epoch=3).mark()), code="GC-5004") == [
        (centre.evil.agent, "Refusal", "GC-5004")
    ]


def test_another_history_under_the_same_numbers(centre: Centre) -> None:
    centre.tick(centre.evil, centre.evil.mark(1))
    centre.before = centre.book()
    honest = centre.honest_batch()
    answers = centre.arrive(*centre.up(Sender(1, EVIL).mark(2)), (topics.up(centre.honest.agent), honest))
    assert centre.unmoved(answers, honest) == [(centre.evil.agent, "Refusal", "GC-3006")]


def test_reordering_and_gaps(centre: Centre) -> None:
    """What is not next is not written, and the missing one is asked for once."""
    data = [centre.evil.mark(i) for i in range(5)]
    honest = centre.honest_batch()
    answers = centre.arrive(*centre.up(data[4], data[2], data[1]), (topics.up(centre.honest.agent), honest))
    assert centre.unmoved(answers, honest) == [(centre.evil.agent, "Expected", 1)]
    centre.tick(centre.evil, *data)
    assert [e.envelope for e in centre.journal.read()][-5:] == data


def test_duplicates_in_one_tick(centre: Centre) -> None:
    data = centre.evil.mark()
    assert centre.tick(centre.evil, data, data, data) == [(centre.evil.agent, "Receipt", 1)]
    assert [e.envelope for e in centre.journal.read()].count(data) == 1


def test_truncation_at_every_byte(centre: Centre) -> None:
    data = centre.evil.mark()
    assert centre.refuses(*centre.up(*(data[:end] for end in range(len(data)))), code="GC-5001") == []


def test_a_bit_flipped_anywhere(centre: Centre) -> None:
    """Whatever the bit was for: framing, name, key, size, cipher or signature."""
    data = centre.evil.mark()
    honest = centre.honest_batch()
    flips = [
        data[: at // 8] + bytes((data[at // 8] ^ 1 << at % 8,)) + data[at // 8 + 1 :]
        for at in range(8 * len(data))
    ]
    answers = centre.arrive(*centre.up(*flips), (topics.up(centre.honest.agent), honest))
    assert centre.unmoved(answers, honest) == []
    assert sum(centre.metrics.refused.values()) == len(flips)
    assert set(centre.metrics.refused) <= {"GC-5001", "GC-5002", "GC-5003", "GC-5007"}
    assert centre.tick(centre.evil, data) == [(centre.evil.agent, "Receipt", 1)]


@pytest.mark.parametrize("plain", [PLAIN_BYTES_MAX + 1, 2**31, 2**32 - 1])
def test_declared_plain_size_that_no_envelope_has(centre: Centre, plain: int) -> None:
    lie = resigned(centre.evil, centre.evil.mark(), plain_bytes=plain)
    with bounded():
        assert centre.refuses(*centre.up(lie), code="GC-5007") == []


@pytest.mark.parametrize("cipher", [0, 1, 2**31, 2**32 - 1])
def test_declared_cipher_size_that_lies(centre: Centre, cipher: int) -> None:
    lie = resigned(centre.evil, centre.evil.mark(), cipher_bytes=cipher)
    with bounded():
        assert centre.refuses(*centre.up(lie), code="GC-5001") == []


def test_every_length_of_the_framing_that_lies(centre: Centre) -> None:
    """Each byte of the header as an extreme: whatever counts something counts wrong."""
    data = centre.evil.mark()
    header = len(parse(data).header_bytes)
    lies = [
        data[:at] + byte + data[at + 1 :]
        for at in range(header)
        for byte in (b"\0", b"\xff")
        if data[at : at + 1] != byte
    ]
    honest = centre.honest_batch()
    with bounded():
        answers = centre.arrive(*centre.up(*lies), (topics.up(centre.honest.agent), honest))
    assert centre.unmoved(answers, honest) == []
    assert sum(centre.metrics.refused.values()) == len(lies)


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64, 65, 255])
def test_a_gap_whose_hash_is_none(centre: Centre, length: int) -> None:
    """Receipts carry it as the hash of the head: one that no receipt can carry would end the daemon."""
    gap = centre.evil.gap(4, b"r" * length)
    assert centre.refuses(*centre.up(gap), code="GC-5001") == []


def test_a_gap_that_goes_backwards_or_beyond_all_numbers(centre: Centre) -> None:
    data = centre.evil.gap(4, b"r" * 32)
    wrong = [
        resigned(centre.evil, data, extension=struct.pack(">Q", through) + b"\x20" + b"r" * 32)
        for through in (0, 2**63, 2**64 - 1)
    ]
    assert centre.refuses(*centre.up(*wrong), code="GC-5001") == []


def test_a_gap_to_the_last_number_ends_the_epoch_and_nothing_else(centre: Centre) -> None:
    last = 2**63 - 1
    assert centre.tick(centre.evil, centre.evil.gap(last, b"r" * 32)) == [
        (centre.evil.agent, "Receipt", last)
    ]
    centre.before = centre.book()
    honest = centre.honest_batch()
    again = centre.evil.seal(Kind.MARK, b"", place=Place(EVIL, 1, last, b"r" * 32)).data
    answers = centre.arrive(*centre.up(again), (topics.up(centre.honest.agent), honest))
    assert centre.unmoved(answers, honest) == [(centre.evil.agent, "Refusal", "GC-3006")]


def test_a_rotation_to_a_key_that_nobody_holds(centre: Centre) -> None:
    new = Ed25519Signer(b"n" * 32)
    forged = centre.evil.rotation(new, prover=Ed25519Signer(b"m" * 32))
    assert centre.refuses(*centre.up(forged), code="GC-5002") == []


@pytest.mark.parametrize("size", [ENVELOPE_BYTES_MAX + 1, 100 * MIB])
def test_messages_of_100_mb(centre: Centre, size: int) -> None:
    """Of any beginning: none is looked into, copied or decoded."""
    huge = bytearray(size)
    for start in (b"GCEV", b"GCMS", centre.evil.mark()):
        huge[: len(start)] = start
        data = bytes(huge)
        with bounded():
            assert centre.refuses(*centre.up(data), code="GC-5007") == []
