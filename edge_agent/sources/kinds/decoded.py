"""Text of a file, piece by piece: which encoding its first bytes tell, and strict decoding in bounded memory.

What is no text of the encoding either ends the text there (`Undecoded`, after all that stands before it), or with
errors="surrogateescape" stands in it as lone surrogates, one a byte, so that the rest can still be read. A byte order
mark is no part of the text. Knows no format.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from edge_agent.sources import charsets
from protocol.limits import KIB

PIECE_BYTES = 64 * KIB

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark begins this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    ("\ufeff".encode("gb18030"), "gb18030"),
)

_MARK = "\ufeff"

_NO_CHARSETS = frozenset(
    {"utf-7", "unicode-escape", "raw-unicode-escape", "idna", "punycode", "undefined", "mbcs", "oem"}
)
"""Codecs of Python that make text of bytes, but are no way in which a document is written."""


class Undecoded(Exception):
    """Here stand bytes that are no text of the encoding."""


def marked(head: bytes) -> str | None:
    """The encoding that a byte order mark at the beginning tells, as `pieces` wants it."""
    return next((encoding for mark, encoding in _MARKS if head.startswith(mark)), None)


def charset(name: str) -> str | None:
    """Python's name of the charset that a document calls `name`; None: not known."""
    try:
        found = codecs.lookup(name).name
        b"<".decode(found)  # LookupError: zip and the like
    except UnicodeError:
        pass  # half a character, where each has two bytes or more
    except (LookupError, ValueError):
        return None
    return None if found.replace("_", "-") in _NO_CHARSETS else found


def detected(stream: BinaryIO, size: int) -> str | None:
    """The charset that the bytes seem to be in; None: no text at all."""
    found = charsets.of_stream(stream, size)
    return found.encoding if found.confidence else None


def spoken(encoding: str) -> str:
    """How an encoding stands in a column."""
    return encoding.removesuffix("-sig")


def pieces(stream: BinaryIO, encoding: str, errors: str = "strict") -> Iterator[str]:
    """The whole text of `stream`, from its beginning. Raises Undecoded."""
    mark = _MARK
    for text in _texts(stream, encoding, errors):
        if sound := text.removeprefix(mark):
            yield sound
        mark = ""


def _texts(stream: BinaryIO, encoding: str, errors: str) -> Iterator[str]:
    stream.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    while data := stream.read(PIECE_BYTES):
        yield from _decoded(decoder, data, final=False)
    yield from _decoded(decoder, b"", final=True)


def _decoded(decoder: codecs.IncrementalDecoder, data: bytes, final: bool) -> Iterator[str]:
    state = decoder.getstate()
    try:
        text = decoder.decode(data, final)
    except UnicodeDecodeError as error:
        # What it found begins with the bytes that the decoder held back before `data`.
        sound = max(0, error.start - (len(error.object) - len(data)))
        decoder.setstate(state)
        yield from _decoded(decoder, data[:sound], final=False)
        raise Undecoded from None
    except UnicodeError:
        raise Undecoded from None  # UTF-16 and UTF-32 without a byte order mark
    if text:
        yield text
