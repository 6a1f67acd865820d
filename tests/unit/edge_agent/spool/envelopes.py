"""Envelopes for the spool's tests: right in all that the spool looks at, and in nothing else."""

from __future__ import annotations

import hashlib

from protocol.envelope import Gap, Header, Kind, join
from protocol.names import Stream
from protocol.sealing import Sealed

STREAM = Stream("hospital", "his")
OTHER = Stream("hospital", "lis")
SECRET = b"s" * 32


def envelope(seq: int, size: int = 300, epoch: int = 1, salt: int = 0) -> Sealed:
    """Bytes and hash follow from the arguments, so that any process can tell what must be there."""
    label = f"{epoch}/{seq}/{salt}".encode()
    data = (hashlib.sha256(label).digest() * (size // 32 + 1))[:size]
    return Sealed(seq, seq, Kind.BATCH, hashlib.blake2b(label, digest_size=32).digest(), data)


def group(after_seq: int, count: int, size: int = 300, epoch: int = 1) -> list[Sealed]:
    return [envelope(after_seq + 1 + i, size, epoch) for i in range(count)]


def gap(seq: int, through: int, resume: bytes, epoch: int = 1) -> Sealed:
    header = Header(
        suite=1,
        kind=Kind.GAP,
        stream=STREAM,
        epoch=epoch,
        seq=seq,
        previous=b"" if seq == 1 else b"p" * 32,
        plain_bytes=1,
        cipher_bytes=1,
        signing_key=b"k" * 8,
        sealing_key=b"k" * 8,
        capsule=b"c" * 80,
        extension=Gap(through, resume).to_bytes(),
    )
    data = join(header.to_bytes(), b"x", b"s" * 64)
    return Sealed(seq, through, Kind.GAP, hashlib.blake2b(data, digest_size=32).digest(), data)
