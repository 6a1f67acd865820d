"""Where the messages of an HL7 v2 file begin and end, in bytes and in bounded memory.

A message begins at a line that opens with MSH and declares its delimiters there, with or without the bytes that MLLP
puts around it (VT before, FS CR behind) or a byte order mark; FHS, BHS, BTS and FTS stand between messages. No byte of
these is ever the second one of a character in the encodings that begin with ASCII, so it needs no encoding. A file in
UTF-16 or UTF-32 is read as if it stood in UTF-8. Knows no segment but these five and nothing of what is in a message.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from protocol.limits import KIB, MIB

MESSAGE_BYTES_MAX = 8 * MIB
"""A message with a scanned report in it takes a few MiB; as bytes, text and JSON it takes up to ten times that."""
KEPT_BYTES = MIB
"""Of a longer message, from its beginning: header and patient stand there."""
HEAD_BYTES_MAX = 64 * KIB
"""Within so many bytes the first message begins, or the file holds none."""

STRAY = ""
"""What stands outside of all messages and is more than framing."""

_READ_BYTES = MIB
_MARGIN_BYTES = 64
"""More than a boundary and what it is recognized by take."""
_FRAMING = b" \t\r\n\x00\x0b\x1a\x1c\xef\xbb\xbf"
_PADDING = b" \t\r\n\x00\x1a"
_PUNCTUATION = rb"!-/:-@\[-`{-~"

_BOUNDARY = re.compile(
    rb"[\r\n\x0b\x1c](?:\xef\xbb\xbf)?[ \t]{0,16}(MSH|FHS|BHS|BTS|FTS)(?![A-Za-z0-9 ])"
    rb"|\x1c(?=[\r\n\x0b]|\Z)"
)
_DECLARED = re.compile(rb"\||([%b])[%b]{1,5}(?:\1|[\r\n]|\Z)" % (_PUNCTUATION, _PUNCTUATION))
"""Behind MSH, FHS or BHS. With the usual separator what follows may be amiss; with another one it proves the header."""
_HEADERS = frozenset({b"MSH", b"FHS", b"BHS"})
_ENDED = re.compile(rb"[\r\n\x1c]|\Z")

_WIDE = (
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_WIDE_HEAD = re.compile(r"[\s\x0b]*(?:MSH|FHS|BHS)")
_UNDECODED = "\udc80"
"""Stands for bytes that are no character: half a surrogate pair, which no encoding takes for text."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the file without the line break at its end: `kind` is the segment it begins with, or STRAY. Not
    `whole`: only its first lines."""

    kind: str
    data: bytes
    whole: bool = True


class Pieces:
    """The parts of a stream in their order. `wide`: the encoding of the file, if its characters have two or four
    bytes; pieces are UTF-8 then. `marked`: it begins with the mark of UTF-8. `head`: a message, batch or file header
    stands where the first one must."""

    def __init__(self, stream: BinaryIO) -> None:
        start = stream.read(HEAD_BYTES_MAX)
        self.wide = _wide_encoding(start)
        self._stream: BinaryIO | _Narrowed = stream
        if self.wide is not None:
            self._stream = _Narrowed(stream, self.wide)
            start = self._stream.narrowed(start).removeprefix(codecs.BOM_UTF8)
        self.marked = start.startswith(codecs.BOM_UTF8)
        self._buffer = b"\n" + start
        self._separator = b"|"
        self.head = any(m[1] in _HEADERS and self._is_start(m) for m in _BOUNDARY.finditer(self._buffer))

    def __iter__(self) -> Iterator[Piece]:
        kind, kept, scanned, final = STRAY, b"", 0, False
        while not final:
            read = self._stream.read(_READ_BYTES)
            final = not read
            self._buffer += read
            limit = len(self._buffer) - (0 if final else _MARGIN_BYTES)
            begin = 0
            for match in _BOUNDARY.finditer(self._buffer, scanned):
                if match.start() >= limit:
                    break
                if match[1] and not self._is_start(match):
                    continue
                yield from _pieces(kind, kept, self._buffer[begin : match.start()])
                kind, kept = (match[1] or b"").decode(), b""
                begin = match.start(1) if match[1] else match.end()
            self._buffer, scanned = self._buffer[begin:], max(0, limit - begin)
            if kept or len(self._buffer) > MESSAGE_BYTES_MAX:
                kept = kept or self._buffer[:KEPT_BYTES]
                self._buffer, scanned = self._buffer[scanned:], 0
        yield from _pieces(kind, kept, self._buffer)

    def _is_start(self, match: re.Match[bytes]) -> bool:
        """Whether this is a header or trailer, and not text that only begins like one."""
        if not match[1]:
            return False
        end = match.end()
        if match[1] in {b"BTS", b"FTS"}:
            following = self._buffer[end : end + 1]
            return following in {b"|", self._separator} or _ENDED.match(self._buffer, end) is not None
        declared = _DECLARED.match(self._buffer, end)
        if declared is not None:
            self._separator = self._buffer[end : end + 1]
        return declared is not None


def _pieces(kind: str, kept: bytes, data: bytes) -> Iterator[Piece]:
    """What a boundary ends: `kept` is the beginning of more than `data` where it became too long."""
    if kept or len(data) > MESSAGE_BYTES_MAX:
        kept = kept or data[:KEPT_BYTES]
        lines = max(kept.rfind(b"\r"), kept.rfind(b"\n"))
        yield Piece(kind, kept[: max(lines, 0)], whole=False)
    elif kind != STRAY or data.strip(_FRAMING):
        yield Piece(kind, _without_end(data))


def _without_end(data: bytes) -> bytes:
    """Up to the last line break, if behind it stands nothing, or what pads a file."""
    end = len(data.rstrip(_PADDING))
    breaks = [at for at in (data.find(b"\r", end), data.find(b"\n", end)) if at >= 0]
    return data[: min(breaks, default=len(data))]


def _wide_encoding(start: bytes) -> str | None:
    for mark, encoding in _WIDE:
        if start.startswith(mark):
            return encoding
    for encoding in ("utf-16-le", "utf-16-be"):
        if _WIDE_HEAD.match(start[:_MARGIN_BYTES].decode(encoding, "replace")):
            return encoding
    return None


def _marked(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return _UNDECODED, error.end


codecs.register_error("guicang.marked", _marked)


class _Narrowed:
    """A stream of wide characters as UTF-8, with something that is none where they are no characters."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("guicang.marked")

    def read(self, size: int) -> bytes:
        while data := self._stream.read(size):
            if narrowed := self.narrowed(data):
                return narrowed
        return self.narrowed(b"", final=True)

    def narrowed(self, data: bytes, final: bool = False) -> bytes:
        return self._decoder.decode(data, final).encode("utf-8", "surrogatepass")
