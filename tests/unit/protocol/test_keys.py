"""Keys as text: a round trip, no confusion of kinds, and no byte of a secret in any text of ours."""

from __future__ import annotations

import traceback

import nacl.public
import nacl.signing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Rejected
from protocol.keys import KeyKind, PrivateKey, from_base64, opener, to_base64
from protocol.signing import SUITE_1

SECRETS = st.binary(min_size=32, max_size=32)


@given(SECRETS, st.sampled_from(KeyKind))
def test_round_trip(secret: bytes, kind: KeyKind) -> None:
    key = PrivateKey(kind, secret)
    text = key.to_text()
    assert PrivateKey.from_text(text, kind) == key
    assert PrivateKey.from_text(text.strip() + "\r\n", kind) == key
    assert text.startswith(f"guicang-{kind.value}-1:")
    assert key.key_id == SUITE_1.key_id(key.public)


@given(st.binary(max_size=70))
def test_base64_round_trip(data: bytes) -> None:
    assert from_base64(to_base64(data)) == data
    assert not set(to_base64(data)) & set("+/=\n")


@given(st.text(max_size=12))
def test_base64_has_one_spelling(text: str) -> None:
    try:
        data = from_base64(text)
    except Rejected:
        return
    assert to_base64(data) == text


@pytest.mark.parametrize("text", ["A", "+/+/", "AA==", "AB", "A A", "AAAA\n", "中", "AAAAA"])
def test_other_spellings_of_base64_are_refused(text: str) -> None:
    with pytest.raises(Rejected):
        from_base64(text)


def test_public_halves_are_those_of_the_standards() -> None:
    secret = bytes(range(32))
    assert PrivateKey(KeyKind.SIGNING, secret).public == bytes(nacl.signing.SigningKey(secret).verify_key)
    assert PrivateKey(KeyKind.SEALING, secret).public == bytes(nacl.public.PrivateKey(secret).public_key)


def test_kinds_are_never_confused() -> None:
    sealing = PrivateKey(KeyKind.SEALING, bytes(32))
    with pytest.raises(Rejected):
        PrivateKey.from_text(sealing.to_text(), KeyKind.SIGNING)
    with pytest.raises(Rejected):
        sealing.signer()
    signing = PrivateKey(KeyKind.SIGNING, bytes(32))
    with pytest.raises(Rejected):
        opener(signing).open_capsule(signing.key_id, bytes(80))


@pytest.mark.parametrize(
    "text", ["", "guicang-sign-1:", "guicang-sign-1:AAAA", "guicang-sign-2:" + "A" * 43, "A" * 43]
)
def test_broken_texts_are_refused(text: str) -> None:
    with pytest.raises(Rejected) as refused:
        PrivateKey.from_text(text, KeyKind.SIGNING)
    assert refused.value.code == "GC-5001"


def test_no_text_shows_the_secret() -> None:
    key = PrivateKey(KeyKind.SIGNING, b"S3CRET" * 5 + b"!!")
    shown = [repr(key), str(key), f"{key}", f"{[key]}"]
    with pytest.raises(Rejected) as refused:
        PrivateKey.from_text(key.to_text(), KeyKind.SEALING)
    shown += [
        str(refused.value),
        refused.value.what_zh,
        "".join(traceback.format_exception_only(refused.value)),
    ]
    for text in shown:
        assert "S3CRET" not in text
        assert to_base64(key.secret) not in text
