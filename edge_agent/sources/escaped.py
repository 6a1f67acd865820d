"""Decodes text so that bytes which are none survive in it: as surrogates, which no text holds, and lead back to them.

PEP 383 (`surrogateescape`) does most of it; the rest is ours, since each was seen to lose bytes: an incremental decoder
drops what follows a bad byte in the last bytes of a stream; UTF-16 has no escape for an odd byte at the end; Big5 has
codes that are read but never written, whose text would lead to other bytes. Encodings that shift (ISO-2022, HZ, UTF-7)
have no escape: there a bad byte is a UnicodeError. Knows no lines, values or files.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

from protocol.limits import KIB

BLOCK_BYTES = 64 * KIB

_WIDE = {
    "utf-16": (codecs.BOM_UTF16_BE, "utf-16-be", "utf-16-le"),
    "utf-32": (codecs.BOM_UTF32_BE, "utf-32-be", "utf-32-le"),
}
"""What a byte order mark decides: the mark of the one order, and both orders; without a mark it is little-endian."""
_WIDE_EXACT = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_SHIFTING = re.compile(r"utf-7|hz|iso2022_.*|punycode|idna|(raw-)?unicode.escape|raw_unicode_escape")
_REVERSIBLE = {"utf-8", "gb18030", "gbk", "iso8859-1", "ascii", "cp1252", *_WIDE_EXACT}
"""Whose text, escapes included, always leads back to its bytes; the others are compared."""
_ODD_END = re.compile("\ud800[\udc00-\udcff]\\Z")
"""An odd byte at the end of UTF-16: two halves that decoding would have joined."""


def exact(encoding: str, head: bytes) -> str:
    """`encoding` by Python's name, with the byte order that `head` says and no mark of its own."""
    name = codecs.lookup(encoding).name
    if name in _WIDE:
        mark, big, little = _WIDE[name]
        return big if head.startswith(mark) else little
    return name.removesuffix("-sig")


def is_shifting(encoding: str) -> bool:
    """Whether what bytes mean depends on bytes long before them."""
    return _SHIFTING.fullmatch(encoding) is not None


def breaks_lines_plainly(encoding: str) -> bool:
    """Whether the bytes CR and LF are line breaks wherever they stand, and what is behind one means the same alone."""
    name = codecs.lookup(encoding).name.removesuffix("-sig")
    return not is_shifting(name) and "\r\n".encode(name) == b"\r\n"


class Escaped:
    """Of one stream from where it stands, in an encoding as `exact` gives it."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._stream = stream
        self._encoding = encoding
        is_strict = is_shifting(encoding)
        self._errors = (
            "strict" if is_strict else "surrogatepass" if encoding in _WIDE_EXACT else "surrogateescape"
        )
        self._is_compared = not is_strict and encoding not in _REVERSIBLE

    def blocks(self) -> Iterator[str]:
        """The text, in pieces. UnicodeError where the encoding has no escape."""
        decoder = codecs.getincrementaldecoder(self._encoding)(self._errors)
        pending = b""
        for block in iter(partial(self._stream.read, BLOCK_BYTES), b""):
            text = decoder.decode(block)
            if self._is_compared:
                before, pending = pending, decoder.getstate()[0]
                read = before + block
                text = self._compared(text, read[: len(read) - len(pending)])
            if text:
                yield text
        if end := self._end(decoder):
            yield end

    def _end(self, decoder: codecs.IncrementalDecoder) -> str:
        if self._errors == "strict":
            return decoder.decode(b"", final=True)
        pending = decoder.getstate()[0]
        if self._errors == "surrogateescape":
            return pending.decode("ascii", "surrogateescape")
        if self._encoding.startswith("utf-32") and len(pending) % 4:
            raise UnicodeError
        odd = pending[-1:] if len(pending) % 2 else b""
        text = pending[: len(pending) - len(odd)].decode(self._encoding, "surrogatepass")
        return text + "".join(f"\ud800{chr(0xDC00 + byte)}" for byte in odd)

    def original(self, text: str) -> bytes:
        """The bytes that `text`, a part of what was decoded, was made of."""
        if self._errors == "surrogatepass" and (odd := _ODD_END.search(text)):
            byte = ord(text[-1]) - 0xDC00
            return text[: odd.start()].encode(self._encoding, self._errors) + bytes([byte])
        return text.encode(self._encoding, self._errors)

    def _compared(self, text: str, original: bytes) -> str:
        if self._leads_back(text, original):
            return text
        return "".join(self._stepwise(line) for line in original.splitlines(keepends=True))

    def _stepwise(self, line: bytes) -> str:
        """Character by character; one that would not lead back to its bytes is escaped."""
        text = line.decode(self._encoding, self._errors)
        if self._leads_back(text, line):
            return text
        decoder: Callable[[bytes], str] = codecs.getincrementaldecoder(self._encoding)(self._errors).decode
        found, start = [], 0
        for place in range(len(line)):
            if char := decoder(line[place : place + 1]):
                part = line[start : place + 1]
                found.append(
                    char if self._leads_back(char, part) else part.decode("ascii", "surrogateescape")
                )
                start = place + 1
        return "".join(found) + line[start:].decode("ascii", "surrogateescape")

    def _leads_back(self, text: str, original: bytes) -> bool:
        try:
            return text.encode(self._encoding, self._errors) == original
        except UnicodeError:
            return False
