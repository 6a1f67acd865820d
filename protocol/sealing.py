"""Seal and open: compress, encrypt, sign; verify, decrypt, inflate. In that order, never another.

Invariant 5: nothing is parsed before it is verified, or inflated beyond its bound. `zstandard` ignores
`max_output_size` when a frame declares its size (measured: 1,000 bytes became 64 MiB), so the declared size
is read and compared first, and frames without one or with bytes behind them are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import zstandard

from .envelope import Envelope, Header, Kind, join, parse
from .errors import Rejected
from .limits import ENVELOPE_BYTES_MAX, PLAIN_BYTES_MAX
from .names import Stream
from .signing import Opener, Signer, Suite

LEVEL = 1
_FRAME_MAGIC = b"\x28\xb5\x2f\xfd"
_EMPTY_FRAME = bytes.fromhex("28b52ffd2000010000")
_BLOB_MAGIC = b"GCSB"
_spare: dict[int, zstandard.ZstdCompressor] = {}
"""By level one that nobody uses now: to make its tables anew takes a third of the time. Never two threads on one."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """The public sealing key of a site's centre."""

    public: bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """An envelope as it travels, and what the next one must name."""

    seq: int
    last_seq: int
    kind: Kind
    hash: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where in its stream an envelope stands."""

    stream: Stream
    epoch: int
    seq: int
    previous: bytes


def entropy_bytes(suite: Suite) -> int:
    """Fresh random bytes that `seal` wants for one envelope."""
    return suite.content_key_bytes + suite.entropy_bytes


def compress(plain: bytes, level: int = LEVEL) -> bytes:
    """One zstd frame that declares its size."""
    compressor = _spare.pop(level, None) or zstandard.ZstdCompressor(level=level, write_content_size=True)
    frame: bytes = compressor.compress(plain)
    _spare[level] = compressor
    return frame


def inflate(frame: bytes, declared: int) -> bytes:
    """The content of exactly one frame of exactly `declared` bytes. Raises Rejected GC-5006/5007."""
    if frame[:4] != _FRAME_MAGIC:
        raise Rejected("GC-5006", reason="zstd frame")
    try:
        parameters = zstandard.get_frame_parameters(frame)
        if parameters.content_size != declared or declared > PLAIN_BYTES_MAX or parameters.dict_id:
            raise Rejected("GC-5007", reason="declared size")
        if not declared and frame != _EMPTY_FRAME:  # zstandard looks no further than a declared size of 0
            raise Rejected("GC-5006", reason="zstd frame")
        plain = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError:
        raise Rejected("GC-5006", reason="zstd frame") from None
    if len(plain) != declared:
        raise Rejected("GC-5007", reason="declared size")
    return plain


def seal(
    kind: Kind,
    inner: bytes,
    place: Place,
    *,
    signer: Signer,
    recipient: Recipient,
    entropy: bytes,
    extension: bytes = b"",
    level: int = LEVEL,
) -> Sealed:
    """Make an envelope. `entropy` is `entropy_bytes(signer.suite)` fresh random bytes, never used twice.

    Raises Rejected GC-5007 where the content does not fit an envelope: the caller cuts it smaller.
    """
    suite = signer.suite
    if len(inner) > PLAIN_BYTES_MAX:
        raise Rejected("GC-5007", reason="plain length")
    assert len(entropy) == entropy_bytes(suite)
    content_key, rest = entropy[: suite.content_key_bytes], entropy[suite.content_key_bytes :]
    frame = compress(inner, level)
    draft = Header(
        suite=suite.number,
        kind=kind,
        stream=place.stream,
        epoch=place.epoch,
        seq=place.seq,
        previous=place.previous,
        plain_bytes=len(inner),
        cipher_bytes=0,
        signing_key=suite.key_id(signer.public),
        sealing_key=suite.key_id(recipient.public),
        capsule=suite.encapsulate(recipient.public, content_key, rest),
        extension=extension,
    )
    overhead = len(suite.encrypt(content_key, b"", b""))
    header = replace(draft, cipher_bytes=len(frame) + overhead)
    header_bytes = header.to_bytes()
    cipher = suite.encrypt(content_key, frame, header_bytes)
    envelope = Envelope(header, header_bytes, cipher, b"")
    data = join(header_bytes, cipher, signer.sign(envelope.signed_bytes(suite)))
    if len(data) > ENVELOPE_BYTES_MAX:
        raise Rejected("GC-5007", reason="envelope")
    return Sealed(header.seq, header.last_seq, kind, envelope.digest(suite), data)


def verify(envelope: Envelope, suite: Suite, public: bytes) -> None:
    """Raises Rejected GC-5002 unless `public` signed exactly these bytes under `suite`."""
    if envelope.header.suite != suite.number or envelope.header.signing_key != suite.key_id(public):
        raise Rejected("GC-5002")
    if not suite.verify(public, envelope.signed_bytes(suite), envelope.signature):
        raise Rejected("GC-5002")


def open_inner(envelope: Envelope, suite: Suite, opener: Opener) -> bytes:
    """The inner bytes of a verified envelope. Raises Rejected GC-5005/5006/5007."""
    header = envelope.header
    content_key = opener.open_capsule(header.sealing_key, header.capsule)
    if len(content_key) != suite.content_key_bytes:
        raise Rejected("GC-5005", reason="content key")
    frame = suite.decrypt(content_key, envelope.cipher, envelope.header_bytes)
    return inflate(frame, header.plain_bytes)


def seal_blob(suite: Suite, recipient: Recipient, plain: bytes, entropy: bytes, context: bytes) -> bytes:
    """Encrypt a small message to a public key: magic ‖ u8 suite ‖ u8+key id ‖ u16+capsule ‖ cipher.

    `context` must be the same at opening, so that a blob never stands for another kind of message.
    """
    content_key, rest = entropy[: suite.content_key_bytes], entropy[suite.content_key_bytes :]
    capsule = suite.encapsulate(recipient.public, content_key, rest)
    key_id = suite.key_id(recipient.public)
    head = b"".join(
        (
            _BLOB_MAGIC,
            bytes((suite.number, len(key_id))),
            key_id,
            len(capsule).to_bytes(2, "big"),
            capsule,
        )
    )
    return head + suite.encrypt(content_key, plain, context + head)


def open_blob(suite: Suite, opener: Opener, blob: bytes, context: bytes) -> bytes:
    """Raises Rejected GC-5001/5005."""
    if blob[:5] != _BLOB_MAGIC + bytes((suite.number,)) or len(blob) < 8:
        raise Rejected("GC-5001", reason="sealed message")
    key_end = 6 + blob[5]
    capsule_end = key_end + 2 + int.from_bytes(blob[key_end : key_end + 2], "big")
    if capsule_end >= len(blob):
        raise Rejected("GC-5001", reason="sealed message")
    content_key = opener.open_capsule(blob[6:key_end], blob[key_end + 2 : capsule_end])
    return suite.decrypt(content_key, blob[capsule_end:], context + blob[:capsule_end])


__all__ = [
    "Place",
    "Recipient",
    "Sealed",
    "compress",
    "entropy_bytes",
    "inflate",
    "open_blob",
    "open_inner",
    "parse",
    "seal",
    "seal_blob",
    "verify",
]
