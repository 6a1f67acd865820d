"""Suites of cryptography, and the two seams that hold private keys: `Signer` and `Opener`.

A suite fixes the algorithms and the lengths of everything that an envelope or message leaves open, so that
SM2/SM3/SM4 or a hardware module is one more class here and no change of any format. Suite 1 is Ed25519,
X25519 sealed box, XChaCha20-Poly1305 and BLAKE2b-256. Randomness comes in as bytes; a suite never makes any.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Protocol

import nacl.bindings as sodium
from nacl.exceptions import CryptoError

from .errors import Rejected


class Suite(Protocol):
    """One set of algorithms. All methods are pure."""

    @property
    def number(self) -> int:
        """1-255, on the wire."""
        ...

    @property
    def content_key_bytes(self) -> int: ...

    @property
    def entropy_bytes(self) -> int:
        """Fresh random bytes that `encapsulate` consumes."""
        ...

    def digest(self, *parts: bytes) -> bytes:
        """The suite's hash H over the concatenation of `parts`."""
        ...

    def key_id(self, public: bytes) -> bytes:
        """The short name of a public key, as it stands in headers."""
        ...

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """Whether `signature` over `message` is by `public`. False for anything malformed."""
        ...

    def encrypt(self, key: bytes, plain: bytes, aad: bytes) -> bytes:
        """Authenticated encryption under a key that is used once, so the nonce is fixed."""
        ...

    def decrypt(self, key: bytes, cipher: bytes, aad: bytes) -> bytes:
        """Raises Rejected GC-5005."""
        ...

    def encapsulate(self, recipient: bytes, content_key: bytes, entropy: bytes) -> bytes:
        """The capsule: `content_key` sealed to the public key `recipient`."""
        ...


class Signer(Protocol):
    """Holds one private signing key: a file now, a hardware module later."""

    @property
    def suite(self) -> Suite: ...

    @property
    def public(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes: ...


class Opener(Protocol):
    """Holds private sealing keys."""

    def open_capsule(self, key_id: bytes, capsule: bytes) -> bytes:
        """The content key in a capsule sealed to the key named `key_id`. Raises Rejected GC-5005."""
        ...


class Suite1:
    """Ed25519, X25519 sealed box, XChaCha20-Poly1305 (zero nonce: every key is used once), BLAKE2b-256."""

    number = 1
    content_key_bytes = 32
    entropy_bytes = 32

    _NONCE = bytes(24)

    def digest(self, *parts: bytes) -> bytes:
        h = hashlib.blake2b(digest_size=32)
        for part in parts:
            h.update(part)
        return h.digest()

    def key_id(self, public: bytes) -> bytes:
        """BLAKE2b-64 of the public key."""
        return hashlib.blake2b(public, digest_size=8).digest()

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        if len(public) != 32 or len(signature) != 64:
            return False
        try:
            sodium.crypto_sign_open(signature + message, public)
        except CryptoError:
            return False
        return True

    def encrypt(self, key: bytes, plain: bytes, aad: bytes) -> bytes:
        return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, aad, self._NONCE, key)

    def decrypt(self, key: bytes, cipher: bytes, aad: bytes) -> bytes:
        try:
            return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(cipher, aad, self._NONCE, key)
        except (CryptoError, ValueError, TypeError):  # ValueError: shorter than its authenticator
            raise Rejected("GC-5005", reason="authentication") from None

    def encapsulate(self, recipient: bytes, content_key: bytes, entropy: bytes) -> bytes:
        """libsodium's crypto_box_seal with the ephemeral key made from `entropy` instead of drawn inside."""
        public, private = sodium.crypto_box_seed_keypair(entropy)
        nonce = hashlib.blake2b(public + recipient, digest_size=24).digest()
        return public + sodium.crypto_box(content_key, nonce, recipient, private)


SUITE_1 = Suite1()
SUITES: Mapping[int, Suite] = {1: SUITE_1}


class Ed25519Signer:
    """A signer of suite 1 from its 32-byte seed."""

    def __init__(self, seed: bytes) -> None:
        self.public, self._private = sodium.crypto_sign_seed_keypair(seed)
        self.suite: Suite = SUITE_1

    def sign(self, message: bytes) -> bytes:
        return sodium.crypto_sign(message, self._private)[:64]


class X25519Opener:
    """Opens capsules of suite 1 for any of the sealing keys it was given (32-byte private keys)."""

    def __init__(self, privates: Mapping[bytes, bytes]) -> None:
        """`privates` maps key id to private key."""
        self._pairs = {
            key_id: (sodium.crypto_scalarmult_base(private), private) for key_id, private in privates.items()
        }

    def open_capsule(self, key_id: bytes, capsule: bytes) -> bytes:
        pair = self._pairs.get(key_id)
        if pair is None:
            raise Rejected("GC-5005", reason="unknown sealing key")
        try:
            return sodium.crypto_box_seal_open(capsule, *pair)
        except (CryptoError, ValueError, TypeError):
            raise Rejected("GC-5005", reason="capsule") from None
