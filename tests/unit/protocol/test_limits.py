"""The agreed bounds fit into each other."""

from __future__ import annotations

from protocol import limits
from protocol.envelope import Header, Kind
from protocol.names import Stream

MQTT_PACKET_BYTES = 2_000_000
"""The packet size at which mosquitto 2.1 begins to refuse by default."""
SIGNATURE_BYTES_MAX = 65_535


def test_envelopes_fit_brokers_and_contents_fit_envelopes() -> None:
    assert limits.ENVELOPE_BYTES_MAX + 1024 < MQTT_PACKET_BYTES
    assert limits.MESSAGE_BYTES_MAX < limits.ENVELOPE_BYTES_MAX
    overhead = limits.HEADER_BYTES_MAX + SIGNATURE_BYTES_MAX + limits.BATCH_HEADER_BYTES_MAX + 64 * limits.KIB
    assert limits.PIECE_BYTES + overhead < limits.ENVELOPE_BYTES_MAX


def test_plain_bounds_rise() -> None:
    assert limits.BATCH_PLAIN_BYTES_TARGET <= limits.PLAIN_BYTES_MAX <= limits.GROUP_BYTES_MAX
    assert limits.SCHEMA_BYTES_MAX <= limits.PLAIN_BYTES_MAX
    assert limits.PIECE_BYTES + limits.BATCH_HEADER_BYTES_MAX <= limits.PLAIN_BYTES_MAX
    assert limits.VALUE_INLINE_BYTES_MAX <= limits.PIECE_BYTES
    assert limits.CREDIT_WINDOW_BYTES_MIN >= limits.ENVELOPE_BYTES_MAX


def test_the_longest_header_of_suite_1_leaves_room_for_other_suites() -> None:
    header = Header(
        suite=1,
        kind=Kind.BATCH,
        stream=Stream("a" * limits.SITE_CHARS_MAX, "a" * limits.SOURCE_CHARS_MAX),
        epoch=limits.SEQ_MAX,
        seq=limits.SEQ_MAX,
        previous=bytes(64),
        plain_bytes=limits.PLAIN_BYTES_MAX,
        cipher_bytes=limits.ENVELOPE_BYTES_MAX,
        signing_key=bytes(32),
        sealing_key=bytes(32),
        capsule=bytes(1_650),
    )
    assert len(header.to_bytes()) <= limits.HEADER_BYTES_MAX


def test_sequences_fit_signed_64_bits_and_lengths_their_fields() -> None:
    assert limits.SEQ_MAX < 2**63
    assert limits.ENVELOPE_BYTES_MAX < 2**32
    assert limits.HEADER_BYTES_MAX < 2**16
    assert max(limits.SITE_CHARS_MAX, limits.SOURCE_CHARS_MAX) < 2**8
