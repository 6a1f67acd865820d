"""Suite 254: toy algorithms with lengths unlike suite 1's, so that no length is ever taken for granted.

It protects nothing: whoever has a public key can sign and open with it. The vectors and tests use it to show
that hash, key id, capsule, signature and authenticator may have any length. make_vectors.py writes the same
algorithms down a second time.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from protocol.errors import Rejected
from protocol.signing import Suite


class DummySuite:
    """Hash 20, public key 40, key id 5, signature 70, content key 16, capsule 52, authenticator 32 bytes."""

    number = 254
    content_key_bytes = 16
    entropy_bytes = 24

    def digest(self, *parts: bytes) -> bytes:
        return hashlib.blake2b(b"".join(parts), digest_size=20, person=b"guicang-dummy").digest()

    def key_id(self, public: bytes) -> bytes:
        return hashlib.blake2b(public, digest_size=5).digest()

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(toy_signature(public, message), signature)

    def encrypt(self, key: bytes, plain: bytes, aad: bytes) -> bytes:
        cipher = _mask(key, plain)
        return cipher + hmac.digest(key, aad + cipher, "sha256")

    def decrypt(self, key: bytes, cipher: bytes, aad: bytes) -> bytes:
        body, tag = cipher[:-32], cipher[-32:]
        if len(cipher) < 32 or not hmac.compare_digest(hmac.digest(key, aad + body, "sha256"), tag):
            raise Rejected("GC-5005", reason="authentication")
        return _mask(key, body)

    def encapsulate(self, recipient: bytes, content_key: bytes, entropy: bytes) -> bytes:
        masked = _mask(recipient + entropy, content_key)
        return entropy + masked + _check(recipient, entropy, masked)


DUMMY_SUITE = DummySuite()


class DummySigner:
    def __init__(self, public: bytes) -> None:
        self.public = public
        self.suite: Suite = DUMMY_SUITE

    def sign(self, message: bytes) -> bytes:
        return toy_signature(self.public, message)


class DummyOpener:
    def __init__(self, keys: Mapping[bytes, bytes]) -> None:
        """`keys` maps key id to key."""
        self._keys = dict(keys)

    def open_capsule(self, key_id: bytes, capsule: bytes) -> bytes:
        key = self._keys.get(key_id)
        entropy, masked, check = capsule[:24], capsule[24:40], capsule[40:]
        if key is None or _check(key, entropy, masked) != check:
            raise Rejected("GC-5005", reason="capsule")
        return _mask(key + entropy, masked)


def toy_signature(public: bytes, message: bytes) -> bytes:
    return hmac.digest(public, message, "sha512") + b"dummy!"


def _mask(key: bytes, data: bytes) -> bytes:
    stream = hashlib.shake_256(key).digest(len(data))
    return bytes(a ^ b for a, b in zip(data, stream, strict=True))


def _check(recipient: bytes, entropy: bytes, masked: bytes) -> bytes:
    return hashlib.blake2b(recipient + entropy + masked, digest_size=12).digest()
