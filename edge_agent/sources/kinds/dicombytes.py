"""Bytes of a DICOM file, forwards only: of the file itself, or inflated from it.

What is asked for is there, whole, or `Ended` is raised. A value that nobody wants is passed over without being read
where the stream can seek. Inflating is bounded, since a small file may hold a data set without end.
"""

from __future__ import annotations

import zlib
from typing import BinaryIO, Protocol

from protocol.limits import KIB, MIB

INFLATED_BYTES_MAX = 512 * MIB
"""Of a deflated data set; about a second of work. Images that are sent so are far smaller."""

_PIECE_BYTES = 64 * KIB


class Ended(Exception):
    """The bytes end before what was asked for. The message says so in plain words."""

    def __init__(self, words: str = "the file ends in the middle") -> None:
        super().__init__(words)


class _Readable(Protocol):
    def read(self, count: int, /) -> bytes: ...


class ForwardBytes:
    """`size` None: not known, and the stream cannot seek."""

    def __init__(self, stream: BinaryIO | _Readable, size: int | None, position: int = 0) -> None:
        self._stream = stream
        self._size = size
        self._ahead = b""
        self.position = position

    def peek(self, count: int) -> bytes:
        """The next bytes, fewer at the end."""
        while len(self._ahead) < count:
            piece = self._stream.read(count - len(self._ahead))
            if not piece:
                break
            self._ahead += piece
        return self._ahead[:count]

    def take(self, count: int) -> bytes:
        taken = b"" if self._ahead else self._stream.read(count)
        if len(taken) < count:
            self._ahead += taken
            taken = self.peek(count)
            if len(taken) < count:
                raise Ended
            self._ahead = self._ahead[count:]
        self.position += count
        return taken

    def skip(self, count: int) -> None:
        if self._size is not None:
            if self.position + count > self._size:
                raise Ended
            self.position += count
            self._ahead = b""
            self._stream.seek(self.position)  # type: ignore[union-attr]
            return
        while count:
            count -= len(self.take(min(count, _PIECE_BYTES)))


class Inflating:
    """The raw deflated bytes of a stream, inflated. Raises Ended where they are damaged or too many."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._left = INFLATED_BYTES_MAX

    def read(self, count: int, /) -> bytes:
        """At least one byte, unless it is the end, or none is wanted: to zlib 0 is no bound."""
        while count and not self._inflater.eof:
            rest = self._inflater.unconsumed_tail
            piece = rest or self._stream.read(_PIECE_BYTES)
            try:
                inflated = self._inflater.decompress(piece, count)
            except zlib.error:
                raise Ended("the deflated data set is damaged") from None
            self._left -= len(inflated)
            if self._left < 0:
                raise Ended(f"the deflated data set is longer than {INFLATED_BYTES_MAX // MIB} MiB")
            if inflated:
                return inflated
            if not piece:
                raise Ended("the deflated data set ends before its end")
        return b""
