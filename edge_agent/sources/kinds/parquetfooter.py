"""What a Parquet file says of its column chunks and their pages, read here.

pyarrow 26 was seen to end the process ("terminate called after throwing an instance of 'parquet::ParquetException'")
when it is asked for a column chunk of a damaged footer, so it is not asked: its readers give such a footer as an
exception. And it takes a page header's word for its sizes: a damaged one in a file of 2 kB took 2 GiB and 7 seconds.
Footer and headers are structs of Thrift's compact protocol (parquet.thrift, FileMetaData, PageHeader); of them only
encodings, paths, places, sizes and counts are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO

from protocol.limits import KIB, MIB

DEPTH_MAX = 16

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)
_ROW_GROUPS, _COLUMNS, _META_DATA = 4, 1, 3
_ENCODINGS, _PATH, _NUM_VALUES, _COMPRESSED, _DATA_PLACE, _DICTIONARY_PLACE = 2, 3, 5, 7, 9, 11
_PAGE_EXPANDED, _PAGE_COMPRESSED = 2, 3
_HEADER_BYTES = 4 * KIB
_HEADER_BYTES_MAX = 16 * MIB
"""A page header may hold the least and the greatest value of its page."""

DICTIONARY = frozenset({2, 8})
"""PLAIN_DICTIONARY, RLE_DICTIONARY"""
IN_A_DICTIONARY = DICTIONARY | {0, 3, 4}
"""What pyarrow reads as a dictionary: beside them PLAIN, and RLE and BIT_PACKED of levels."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A column in a row group; `values` has its nulls, and every item of its lists."""

    path: tuple[str, ...]
    encodings: frozenset[int]
    values: int
    start: int
    size: int
    """Of all its pages, in bytes."""


def chunks(footer: bytes) -> list[Chunk]:
    """Of all row groups. Raises ValueError, IndexError or TypeError where it is damaged."""
    found = []
    for group in _Compact(footer).struct(0).get(_ROW_GROUPS, []):
        for column in group.get(_COLUMNS, []):
            about = column.get(_META_DATA)
            if about is None:
                raise ValueError("columns in other files, or encrypted")
            path = tuple(name.decode() for name in about[_PATH])
            start = min(about.get(_DICTIONARY_PLACE) or about[_DATA_PLACE], about[_DATA_PLACE])
            found.append(
                Chunk(path, frozenset(about[_ENCODINGS]), about[_NUM_VALUES], start, about[_COMPRESSED])
            )
    return found


def largest_page(stream: BinaryIO, chunk: Chunk, end: int) -> int:
    """Bytes of the chunk's largest page once it is expanded. Raises as `chunks`, also where a page goes beyond `end`,
    where the file's pages do."""
    place, largest = chunk.start, 0
    while place < chunk.start + chunk.size:
        header, length = _header(stream, place, end)
        compressed, expanded = header[_PAGE_COMPRESSED], header[_PAGE_EXPANDED]
        if min(place, compressed, expanded) < 0 or place + length + compressed > end:
            raise ValueError("a page is not within the file")
        largest = max(largest, expanded)
        place += length + compressed
    return largest


def _header(stream: BinaryIO, place: int, end: int) -> tuple[dict[int, Any], int]:
    """A page header and its length."""
    size = _HEADER_BYTES
    while True:
        stream.seek(place)
        compact = _Compact(stream.read(min(size, end - place)))
        try:
            return compact.struct(0), compact.place
        except (ValueError, IndexError):
            if size >= min(end - place, _HEADER_BYTES_MAX):
                raise
        size *= 16


class _Compact:
    """Thrift's compact protocol; structs as dicts by field number."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def struct(self, depth: int) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while header := self._byte():
            number = number + (header >> 4) if header >> 4 else self._zigzag()
            kind = header & 15
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise ValueError("too deep")
        if kind in _INTEGERS:
            return self._zigzag()
        if kind in (_BYTE, _TRUE, _FALSE):
            return self._byte()
        if kind == _BINARY:
            return self._take(self._varint())
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind == _DOUBLE:
            return self._take(8)
        if kind in (_LIST, _SET):
            header = self._byte()
            count = header >> 4 if header >> 4 < 15 else self._varint()
            self._check(count)
            return [self._value(header & 15, depth + 1) for _ in range(count)]
        if kind == _MAP and (count := self._varint()):
            self._check(count)
            kinds = self._byte()
            return [
                (self._value(kinds >> 4, depth + 1), self._value(kinds & 15, depth + 1)) for _ in range(count)
            ]
        if kind == _MAP:
            return []
        raise ValueError("no type of Thrift")

    def _byte(self) -> int:
        self.place += 1
        return self._data[self.place - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError("too long a number")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _take(self, count: int) -> bytes:
        self._check(count)
        self.place += count
        return self._data[self.place - count : self.place]

    def _check(self, count: int) -> None:
        """Nothing takes less than a byte."""
        if count > len(self._data) - self.place:
            raise ValueError("more than there is")
