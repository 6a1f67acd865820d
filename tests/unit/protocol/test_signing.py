"""Suites keep their contract: what is encrypted opens, what is changed by one bit does not."""

from __future__ import annotations

from dataclasses import dataclass

import nacl.public
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import Rejected
from protocol.keys import KeyKind, PrivateKey, opener
from protocol.signing import SUITE_1, SUITES, Ed25519Signer, Opener, Signer, Suite, X25519Opener
from tests.vectors.dummy_suite import DUMMY_SUITE, DummyOpener, DummySigner


@dataclass(frozen=True)
class Kit:
    suite: Suite
    signer: Signer
    stranger: Signer
    recipient: bytes
    opener: Opener


_SEALING = PrivateKey(KeyKind.SEALING, b"s" * 32)
KITS = [
    Kit(SUITE_1, Ed25519Signer(b"a" * 32), Ed25519Signer(b"b" * 32), _SEALING.public, opener(_SEALING)),
    Kit(
        DUMMY_SUITE,
        DummySigner(b"a" * 40),
        DummySigner(b"b" * 40),
        b"s" * 40,
        DummyOpener({DUMMY_SUITE.key_id(b"s" * 40): b"s" * 40}),
    ),
]
each_kit = pytest.mark.parametrize("kit", KITS, ids=["suite 1", "dummy suite"])


def test_numbers() -> None:
    assert {number: suite.number for number, suite in SUITES.items()} == {1: 1}


@each_kit
@settings(max_examples=25)
@given(message=st.binary(max_size=50), bit=st.integers(0, 8 * 64 - 1))
def test_signatures(kit: Kit, message: bytes, bit: int) -> None:
    signature = kit.signer.sign(message)
    public = kit.signer.public
    flipped = bytearray(signature)
    flipped[bit // 8] ^= 1 << bit % 8
    assert kit.suite.verify(public, message, signature)
    assert not kit.suite.verify(public, message + b"x", signature)
    assert not kit.suite.verify(kit.stranger.public, message, signature)
    assert not kit.suite.verify(public, message, bytes(flipped))
    assert not kit.suite.verify(public, message, signature[:-1])
    assert not kit.suite.verify(public, message, b"")
    assert not kit.suite.verify(public, message, signature + b"\x00")


@pytest.mark.parametrize("public", [b"", b"x", bytes(32), b"\xff" * 32, bytes(33)])
def test_malformed_public_keys_verify_nothing(public: bytes) -> None:
    assert not SUITE_1.verify(public, b"m", Ed25519Signer(b"a" * 32).sign(b"m"))


@each_kit
@settings(max_examples=25)
@given(plain=st.binary(max_size=50), aad=st.binary(max_size=20), at=st.integers(0), bit=st.integers(0, 7))
def test_encryption(kit: Kit, plain: bytes, aad: bytes, at: int, bit: int) -> None:
    suite, key = kit.suite, b"k" * kit.suite.content_key_bytes
    cipher = suite.encrypt(key, plain, aad)
    assert len(cipher) == len(plain) + len(suite.encrypt(key, b"", b""))
    assert suite.decrypt(key, cipher, aad) == plain
    flipped = bytearray(cipher)
    flipped[at % len(cipher)] ^= 1 << bit
    for wrong in (
        (key, bytes(flipped), aad),
        (key, cipher, aad + b"x"),
        (b"j" * len(key), cipher, aad),
        (key, cipher[:-1], aad),
        (key, cipher[:5], aad),
        (key, b"", aad),
    ):
        with pytest.raises(Rejected) as refused:
            suite.decrypt(*wrong)
        assert refused.value.code == "GC-5005"


@each_kit
@settings(max_examples=25)
@given(at=st.integers(0), bit=st.integers(0, 7))
def test_capsules(kit: Kit, at: int, bit: int) -> None:
    suite = kit.suite
    content_key = b"k" * suite.content_key_bytes
    capsule = suite.encapsulate(kit.recipient, content_key, b"e" * suite.entropy_bytes)
    key_id = suite.key_id(kit.recipient)
    assert kit.opener.open_capsule(key_id, capsule) == content_key
    assert capsule != suite.encapsulate(kit.recipient, content_key, b"f" * suite.entropy_bytes)
    flipped = bytearray(capsule)
    flipped[at % len(capsule)] ^= 1 << bit
    for wrong in ((key_id, bytes(flipped)), (b"nobody", capsule), (key_id, capsule[:-1]), (key_id, b"")):
        with pytest.raises(Rejected) as refused:
            kit.opener.open_capsule(*wrong)
        assert refused.value.code == "GC-5005"


def test_capsules_of_suite_1_are_libsodium_sealed_boxes() -> None:
    capsule = SUITE_1.encapsulate(_SEALING.public, b"k" * 32, b"e" * 32)
    assert nacl.public.SealedBox(nacl.public.PrivateKey(_SEALING.secret)).decrypt(capsule) == b"k" * 32
    other = nacl.public.SealedBox(nacl.public.PublicKey(_SEALING.public)).encrypt(b"j" * 32)
    assert X25519Opener({b"id": _SEALING.secret}).open_capsule(b"id", other) == b"j" * 32


@each_kit
def test_digest_is_over_the_concatenation(kit: Kit) -> None:
    assert kit.suite.digest(b"ab", b"c") == kit.suite.digest(b"abc") == kit.suite.digest(b"", b"a", b"bc")
    assert kit.suite.digest(b"abd") != kit.suite.digest(b"abc")
