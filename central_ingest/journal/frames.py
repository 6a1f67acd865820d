"""The bytes of a segment file: its header, and one frame for each record. Integers are big-endian.

A segment is named by its base offset, `%020d.gcj`; the byte at file position p has offset base + p - 8192.
Its header stands at 0 and again at 4096 (two sectors of any disk), padded with zeros to 8192:

    at  bytes  header                            at  bytes  frame
     0    8    magic "GCJRNL" 0x1a 0x0a            0    8    marker, as in the segment's header
     8    4    version, 1                          8    4    length of the envelope, at most 1 MiB
    12    8    base offset                        12    8    received, microseconds since 1970 UTC
    20    8    marker                             20   16    BLAKE2b-128 of offset u64 ‖ length ‖ received ‖ envelope
    28   16    BLAKE2b-128 of bytes 0 to 27       36    …    envelope

The marker is random, drawn for each segment (as Avro's sync marker is): whoever writes an envelope cannot
know it, so no envelope can hold a frame of its own for a reader to find who looks for the next record behind
a damaged one. The offset within the hash makes a record valid only where it was written.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

from protocol.limits import ENVELOPE_BYTES_MAX

MARKER_BYTES = 8
HASH_BYTES = 16
HEADER_COPY_BYTES = 4096
HEADER_BYTES = 2 * HEADER_COPY_BYTES

_MAGIC = b"GCJRNL\x1a\n"
_VERSION = 1
_HEADER = struct.Struct(f">8sIQ{MARKER_BYTES}s")
_FRAME = struct.Struct(f">{MARKER_BYTES}sIQ{HASH_BYTES}s")
_HASHED = struct.Struct(">QIQ")

FRAME_HEADER_BYTES = _FRAME.size


def segment_header(base: int, marker: bytes) -> bytes:
    """The HEADER_BYTES that open the segment of offset `base`."""
    head = _HEADER.pack(_MAGIC, _VERSION, base, marker)
    copy = head + blake2b(head, digest_size=HASH_BYTES).digest()
    return copy.ljust(HEADER_COPY_BYTES, b"\0") * 2


def segment_marker(header: bytes, base: int) -> bytes | None:
    """The marker out of the first intact copy; None where neither is one of the segment of offset `base`."""
    if len(header) < HEADER_BYTES:
        return None
    for start in (0, HEADER_COPY_BYTES):
        head = header[start : start + _HEADER.size]
        check = header[start + _HEADER.size : start + _HEADER.size + HASH_BYTES]
        if blake2b(head, digest_size=HASH_BYTES).digest() == check:
            magic, version, claimed, marker = _HEADER.unpack(head)
            if (magic, version, claimed) == (_MAGIC, _VERSION, base):
                return bytes(marker)
    return None


def frame_header(marker: bytes, offset: int, received: int, envelope: bytes) -> bytes:
    """The bytes that precede `envelope`. Raises ValueError for one above ENVELOPE_BYTES_MAX."""
    if len(envelope) > ENVELOPE_BYTES_MAX:
        raise ValueError(f"an envelope of {len(envelope)} bytes")
    return _FRAME.pack(marker, len(envelope), received, _hash(offset, received, envelope))


def frame_length(header: bytes, marker: bytes) -> int | None:
    """The length of the envelope that this frame header announces; None where it is none of this segment."""
    if len(header) < FRAME_HEADER_BYTES:
        return None
    found, length, _, _ = _FRAME.unpack(header)
    return length if found == marker and length <= ENVELOPE_BYTES_MAX else None


def frame_received(header: bytes, offset: int, envelope: bytes) -> int | None:
    """When the record of `offset` was received; None where `header` and `envelope` are not what was written."""
    _, length, received, check = _FRAME.unpack(header)
    intact = len(envelope) == length and _hash(offset, received, envelope) == check
    return int(received) if intact else None


def _hash(offset: int, received: int, envelope: bytes) -> bytes:
    digest = blake2b(_HASHED.pack(offset, len(envelope), received), digest_size=HASH_BYTES)
    digest.update(envelope)
    return digest.digest()
