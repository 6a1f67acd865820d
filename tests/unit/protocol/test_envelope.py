"""Framing: what is written is read, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.envelope import Gap, Header, Kind, Rotation, join, parse
from protocol.errors import Rejected
from protocol.limits import ENVELOPE_BYTES_MAX, HEADER_BYTES_MAX, PLAIN_BYTES_MAX, SEQ_MAX
from protocol.names import Stream

SHORT = st.binary(max_size=255)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    kind, seq = draw(st.sampled_from(Kind)), draw(st.integers(1, SEQ_MAX))
    extension = b""
    if kind is Kind.GAP:
        extension = Gap(draw(st.integers(seq, SEQ_MAX)), draw(SHORT)).to_bytes()
    if kind is Kind.ROTATION:
        extension = Rotation(draw(SHORT), draw(SHORT)).to_bytes()
    return Header(
        suite=draw(st.integers(0, 255)),
        kind=kind,
        stream=Stream(draw(st.sampled_from(["H1", "9" * 32])), draw(st.sampled_from(["his", "a" * 32]))),
        epoch=draw(st.integers(1, SEQ_MAX)),
        seq=seq,
        previous=b"" if seq == 1 else draw(st.binary(min_size=1, max_size=255)),
        plain_bytes=draw(st.integers(0, PLAIN_BYTES_MAX)),
        cipher_bytes=draw(st.integers(0, 40)),
        signing_key=draw(SHORT),
        sealing_key=draw(SHORT),
        capsule=draw(st.binary(max_size=300)),
        extension=extension,
    )


@given(headers(), st.binary(max_size=100), st.data())
def test_round_trip(header: Header, signature: bytes, data: st.DataObject) -> None:
    cipher = data.draw(st.binary(min_size=header.cipher_bytes, max_size=header.cipher_bytes))
    envelope = parse(join(header.to_bytes(), cipher, signature))
    assert envelope.header == header
    assert (envelope.header_bytes, envelope.cipher, envelope.signature) == (
        header.to_bytes(),
        cipher,
        signature,
    )
    assert header.last_seq >= header.seq


@settings(max_examples=30, deadline=None)
@given(headers())
def test_every_truncation_is_refused(header: Header) -> None:
    data = join(header.to_bytes(), bytes(header.cipher_bytes), b"signature")
    for end in range(len(data)):
        with pytest.raises(Rejected) as refused:
            parse(data[:end])
        assert refused.value.code == "GC-5001"
    with pytest.raises(Rejected):
        parse(data + b"\x00")


@settings(max_examples=100)
@given(headers(), st.data())
def test_mutated_bytes_are_refused_or_read_as_they_stand(header: Header, data: st.DataObject) -> None:
    mutated = bytearray(join(header.to_bytes(), bytes(header.cipher_bytes), b"signature"))
    for _ in range(data.draw(st.integers(1, 3))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    try:
        envelope = parse(bytes(mutated))
    except Rejected:
        return
    assert join(envelope.header_bytes, envelope.cipher, envelope.signature) == mutated
    assert envelope.header.to_bytes() == envelope.header_bytes


@settings(max_examples=100)
@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda b: b"GCEV\x01\x01\x02\x00" + b))
def test_any_bytes_are_refused_or_framed(data: bytes) -> None:
    try:
        envelope = parse(data)
    except Rejected:
        return
    assert join(envelope.header_bytes, envelope.cipher, envelope.signature) == data


@given(st.binary(max_size=40))
def test_extensions_of_any_bytes(data: bytes) -> None:
    for model in (Gap, Rotation):
        try:
            assert model.from_bytes(data).to_bytes() == data
        except Rejected as rejected:
            assert rejected.code == "GC-5001"  # noqa: PT017 - both answers are right, depending on the bytes


def small(**changes: Any) -> Header:
    members: dict[str, Any] = {
        "suite": 1,
        "kind": Kind.BATCH,
        "stream": Stream("H1", "his"),
        "epoch": 1,
        "seq": 1,
        "previous": b"",
        "plain_bytes": 1,
        "cipher_bytes": 0,
        "signing_key": b"k",
        "sealing_key": b"k",
        "capsule": b"",
    }
    return Header(**{**members, **changes})


def test_an_envelope_is_at_most_its_bound() -> None:
    empty = join(small().to_bytes(), b"", b"s")
    room = ENVELOPE_BYTES_MAX - len(empty)
    fitting = join(small(cipher_bytes=room).to_bytes(), bytes(room), b"s")
    assert len(parse(fitting).cipher) == room
    with pytest.raises(Rejected) as refused:
        parse(join(small(cipher_bytes=room + 1).to_bytes(), bytes(room + 1), b"s"))
    assert refused.value.code == "GC-5007"


def test_a_header_is_at_most_its_bound() -> None:
    room = HEADER_BYTES_MAX - len(small().to_bytes())
    assert len(parse(join(small(capsule=bytes(room)).to_bytes(), b"", b"")).header_bytes) == HEADER_BYTES_MAX
    with pytest.raises(AssertionError):
        small(capsule=bytes(room + 1)).to_bytes()


def test_a_rotation_is_bound_to_its_place() -> None:
    places = {
        Rotation.proof_bytes(Stream(site, source), epoch, seq, public)
        for site in ("H1", "H2")
        for source in ("his", "lis")
        for epoch in (1, 11)
        for seq in (1, 11)
        for public in (b"a", b"b")
    }
    assert len(places) == 32
