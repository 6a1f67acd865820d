"""Private keys as text, and the public halves that the other end knows.

A private key is one line, `guicang-<kind>-1:<base64url of 32 bytes>`, so that a key file says what it is and a
sealing key is never taken for a signing key. Where the text is kept is the caller's business.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from enum import StrEnum

import nacl.bindings as sodium

from .errors import Rejected
from .signing import SUITE_1, Ed25519Signer, X25519Opener

KEY_BYTES = 32


class KeyKind(StrEnum):
    SIGNING = "sign"
    SEALING = "seal"


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """32 secret bytes of suite 1. `repr` and `str` never show them."""

    kind: KeyKind
    secret: bytes

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise Rejected("GC-5001", reason="key length")

    def __repr__(self) -> str:
        return f"PrivateKey({self.kind.value}, {self.key_id.hex()})"

    __str__ = __repr__

    @property
    def public(self) -> bytes:
        if self.kind is KeyKind.SIGNING:
            return sodium.crypto_sign_seed_keypair(self.secret)[0]
        return sodium.crypto_scalarmult_base(self.secret)

    @property
    def key_id(self) -> bytes:
        return SUITE_1.key_id(self.public)

    def to_text(self) -> str:
        return f"guicang-{self.kind.value}-1:{to_base64(self.secret)}\n"

    @classmethod
    def from_text(cls, text: str, kind: KeyKind) -> PrivateKey:
        """Raises Rejected GC-5001, which names no byte of the text."""
        prefix = f"guicang-{kind.value}-1:"
        if not text.startswith(prefix):
            raise Rejected("GC-5001", reason="key kind")
        return cls(kind, from_base64(text[len(prefix) :].strip()))

    def signer(self) -> Ed25519Signer:
        if self.kind is not KeyKind.SIGNING:
            raise Rejected("GC-5001", reason="key kind")
        return Ed25519Signer(self.secret)


def opener(*keys: PrivateKey) -> X25519Opener:
    """Opens what is sealed to any of these sealing keys."""
    return X25519Opener({k.key_id: k.secret for k in keys if k.kind is KeyKind.SEALING})


def to_base64(data: bytes) -> str:
    """URL-safe base64 without padding: survives a shell, a chat window and a double click."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64(text: str) -> bytes:
    """Raises Rejected GC-5001 for anything that is not URL-safe base64."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        data = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError):
        raise Rejected("GC-5001", reason="base64") from None
    if to_base64(data) != text:  # `validate` lets `+`, `/`, padding and loose last bits pass
        raise Rejected("GC-5001", reason="base64")
    return data
