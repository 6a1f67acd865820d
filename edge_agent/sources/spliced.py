"""Parts of a stream as one stream, for readers of formats that know only whole files."""

from __future__ import annotations

import io
import os
from typing import Any, BinaryIO, cast

from protocol.limits import KIB

_BUFFER_BYTES = 256 * KIB


def spliced(stream: BinaryIO, head: int, start: int, end: int) -> BinaryIO:
    """The first `head` bytes of a stream, and behind them its bytes from `start` to `end`. The stream stays open, and
    nobody else reads of it meanwhile."""
    return cast(BinaryIO, io.BufferedReader(_Spliced(stream, head, start, end), _BUFFER_BYTES))


class _Spliced(io.RawIOBase):
    def __init__(self, stream: BinaryIO, head: int, start: int, end: int) -> None:
        self._stream = stream
        self._head = head
        self._gap = start - head
        self._size = head + end - start
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        is_head = self._place < self._head
        until = self._head if is_head else self._size
        self._stream.seek(self._place if is_head else self._place + self._gap)
        data = self._stream.read(min(len(buffer), max(0, until - self._place)))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = begin + offset
        return self._place

    def tell(self) -> int:
        return self._place
