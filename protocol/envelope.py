"""The outer header and framing of an envelope: all that may be read before anything is verified.

docs/protocol.md §2 has the byte tables. Integers are big-endian. Everything whose length depends on the suite
carries its length. Parsing touches no key and allocates nothing that the bytes themselves do not hold.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum

from .errors import Rejected
from .limits import ENVELOPE_BYTES_MAX, HEADER_BYTES_MAX, PLAIN_BYTES_MAX, SEQ_MAX
from .names import Stream
from .signing import Suite

MAGIC = b"GCEV"
FORMAT = 1
DOMAIN = b"guicang/envelope/1\x00"

_FIXED = struct.Struct(">4sBBBB")
_NUMBERS = struct.Struct(">QQ")
_LENGTHS = struct.Struct(">II")
_U16 = struct.Struct(">H")


class Kind(IntEnum):
    """What an envelope holds (landing.md §1a)."""

    SCHEMA = 1
    BATCH = 2
    MARK = 3
    PIECE = 4
    GAP = 5
    ROTATION = 6


@dataclass(frozen=True, slots=True)
class Header:
    """The outer header. `previous` is empty in the first envelope of an epoch; `extension` belongs to the kind
    (gap: see `Gap`, rotation: see `Rotation`, else empty)."""

    suite: int
    kind: Kind
    stream: Stream
    epoch: int
    seq: int
    previous: bytes
    plain_bytes: int
    cipher_bytes: int
    signing_key: bytes
    sealing_key: bytes
    capsule: bytes
    extension: bytes = b""

    @property
    def last_seq(self) -> int:
        """The last sequence number for which this envelope stands: its own, but for a gap."""
        return Gap.from_bytes(self.extension).through if self.kind is Kind.GAP else self.seq

    def to_bytes(self) -> bytes:
        site, source = self.stream.site.encode(), self.stream.source.encode()
        data = b"".join(
            (
                _FIXED.pack(MAGIC, FORMAT, self.suite, self.kind, 0),
                _short(site),
                _short(source),
                _NUMBERS.pack(self.epoch, self.seq),
                _short(self.previous),
                _LENGTHS.pack(self.plain_bytes, self.cipher_bytes),
                _short(self.signing_key),
                _short(self.sealing_key),
                _long(self.capsule),
                _long(self.extension),
            )
        )
        assert len(data) <= HEADER_BYTES_MAX
        return data


@dataclass(frozen=True, slots=True)
class Envelope:
    """A parsed, not yet verified envelope. `header_bytes` are the exact bytes that were signed."""

    header: Header
    header_bytes: bytes
    cipher: bytes
    signature: bytes
    _hashes: dict[int, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    def digest(self, suite: Suite) -> bytes:
        """The envelope's hash H(H(header) ‖ H(ciphertext)): receipts name it, the next header carries it."""
        return suite.digest(self._both_hashes(suite))

    def signed_bytes(self, suite: Suite) -> bytes:
        return DOMAIN + self._both_hashes(suite)

    def _both_hashes(self, suite: Suite) -> bytes:
        """H(header) ‖ H(ciphertext), made once: an envelope is always both signed and named."""
        known = self._hashes.get(suite.number)
        if known is None:
            known = suite.digest(self.header_bytes) + suite.digest(self.cipher)
            self._hashes[suite.number] = known
        return known


def join(header_bytes: bytes, cipher: bytes, signature: bytes) -> bytes:
    """The bytes that travel."""
    return b"".join((header_bytes, cipher, _long(signature)))


def parse(data: bytes) -> Envelope:
    """Read framing and outer header. Raises Rejected GC-5001/5007; nothing is verified yet."""
    if len(data) > ENVELOPE_BYTES_MAX:
        raise Rejected("GC-5007", reason="envelope")
    reader = _Reader(data)
    header = _parse_header(reader)
    header_bytes = data[: reader.offset]
    if len(header_bytes) > HEADER_BYTES_MAX:
        raise Rejected("GC-5007", reason="header")
    cipher = reader.take(header.cipher_bytes)
    signature = reader.long()
    if reader.offset != len(data):
        raise Rejected("GC-5001", reason="trailing bytes")
    return Envelope(header, bytes(header_bytes), bytes(cipher), signature)


def _parse_header(reader: _Reader) -> Header:
    magic, version, suite, kind, flags = _FIXED.unpack(reader.take(_FIXED.size))
    if magic != MAGIC or version != FORMAT or flags:
        raise Rejected("GC-5001", reason="magic or version")
    if kind not in Kind.__members__.values():
        raise Rejected("GC-5001", reason="kind")
    site, source = reader.short(), reader.short()
    try:
        stream = Stream(site.decode("ascii"), source.decode("ascii"))
    except (UnicodeDecodeError, Rejected):
        raise Rejected("GC-5001", reason="stream") from None
    epoch, seq = _NUMBERS.unpack(reader.take(_NUMBERS.size))
    previous = reader.short()
    plain_bytes, cipher_bytes = _LENGTHS.unpack(reader.take(_LENGTHS.size))
    header = Header(
        suite=suite,
        kind=Kind(kind),
        stream=stream,
        epoch=epoch,
        seq=seq,
        previous=previous,
        plain_bytes=plain_bytes,
        cipher_bytes=cipher_bytes,
        signing_key=reader.short(),
        sealing_key=reader.short(),
        capsule=reader.long(),
        extension=reader.long(),
    )
    _check(header)
    return header


def _check(header: Header) -> None:
    if not (1 <= header.epoch <= SEQ_MAX and 1 <= header.seq <= SEQ_MAX):
        raise Rejected("GC-5001", reason="epoch or sequence")
    if header.plain_bytes > PLAIN_BYTES_MAX:
        raise Rejected("GC-5007", reason="plain length")
    if (header.seq == 1) != (header.previous == b""):
        raise Rejected("GC-5001", reason="chain")
    match header.kind:
        case Kind.GAP:
            if Gap.from_bytes(header.extension).through < header.seq:
                raise Rejected("GC-5001", reason="gap")
        case Kind.ROTATION:
            Rotation.from_bytes(header.extension)
        case _:
            if header.extension:
                raise Rejected("GC-5001", reason="extension")


@dataclass(frozen=True, slots=True)
class Gap:
    """Extension of a gap: it stands for sequences seq..through, and `resume` is the hash that the header of
    through+1 carries as its previous one (the hash of the lost envelope `through`, as the agent knows it)."""

    through: int
    resume: bytes

    def to_bytes(self) -> bytes:
        return struct.pack(">Q", self.through) + _short(self.resume)

    @classmethod
    def from_bytes(cls, data: bytes) -> Gap:
        reader = _Reader(data)
        (through,) = struct.unpack(">Q", reader.take(8))
        gap = cls(through, reader.short())
        if reader.offset != len(data) or through > SEQ_MAX:
            raise Rejected("GC-5001", reason="gap")
        return gap


@dataclass(frozen=True, slots=True)
class Rotation:
    """Extension of a rotation: from the next sequence on this key signs. `proof` is the new key's signature over
    ROTATION_DOMAIN ‖ stream ‖ epoch ‖ seq ‖ public, so that nobody rotates to a key that he does not hold."""

    public: bytes
    proof: bytes

    def to_bytes(self) -> bytes:
        return _long(self.public) + _long(self.proof)

    @classmethod
    def from_bytes(cls, data: bytes) -> Rotation:
        reader = _Reader(data)
        rotation = cls(reader.long(), reader.long())
        if reader.offset != len(data):
            raise Rejected("GC-5001", reason="rotation")
        return rotation

    @staticmethod
    def proof_bytes(stream: Stream, epoch: int, seq: int, public: bytes) -> bytes:
        """What the new key signs."""
        return b"guicang/rotation/1\x00" + f"{stream}\x00{epoch}\x00{seq}\x00".encode() + public


def _short(data: bytes) -> bytes:
    assert len(data) < 1 << 8
    return bytes((len(data),)) + data


def _long(data: bytes) -> bytes:
    return _U16.pack(len(data)) + data


class _Reader:
    """Takes bytes off the front; the end of the data is a refusal, never a short answer."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.offset = 0

    def take(self, count: int) -> bytes:
        end = self.offset + count
        if end > len(self._data):
            raise Rejected("GC-5001", reason="truncated")
        piece = self._data[self.offset : end]
        self.offset = end
        return piece

    def short(self) -> bytes:
        return self.take(self.take(1)[0])

    def long(self) -> bytes:
        return self.take(int(_U16.unpack(self.take(2))[0]))
