"""The elements of a DICOM file, in its order, with the raw bytes of those that are short enough.

Read by PS3.5 §7 and PS3.10 §7, forwards and without recursion, and tolerant where pydicom is: no preamble, no header,
no transfer syntax, elements that turn out to be implicit. pydicom's own reader does not serve here (3.0.2, seen): of a
file that is cut off it gives shortened values without a word, or a `struct.error` and nothing; a 64 MiB value within a
sequence takes 64 MiB though `defer_size` is 1 KiB, and 130 KB of a deflated file take 269 MB; it tells of odd files by
warnings, which are the process's. Bounded by `ELEMENTS_MAX`, `VALUES_BYTES_MAX`, `DEPTH_MAX` and what `limit_of` says
of a value; what goes wrong ends up in `problems`. Knows no meaning of a value but of those that tell how to read on.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import BinaryIO, TypeAlias

from edge_agent.sources.kinds.dicombytes import Ended, ForwardBytes, Inflating
from edge_agent.sources.kinds.dicomdictionary import UNKNOWN, creator_tag, is_creator, is_standard, vr_of
from edge_agent.sources.kinds.dicomform import FIRST_BYTES, KNOWN, LONG, Form, is_deflated, is_representation
from protocol.limits import MIB

ELEMENTS_MAX = 250_000
"""Elements, items and fragments of a file that are looked at: about five seconds of work."""
VALUES_BYTES_MAX = 16 * MIB
"""Of all values that are read: as text of escape sequences they take a second a MiB, and leave nothing behind."""
DEPTH_MAX = 32
"""Sequences within each other. Structured reports have about ten."""

PIXEL_DATA = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
TRANSFER_SYNTAX = 0x00020010
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DELIMITER_BYTES = 8
_UNDEFINED = 0xFFFFFFFF

_CREATOR_BYTES_MAX = 64


@dataclass(frozen=True, slots=True)
class Element:
    """`vr` as the file has it or the dictionaries know it. `raw` None: longer than its limit, or in fragments; then
    `length` bytes from `offset` on, of the file or (`is_deflated`) of its inflated data set."""

    tag: int
    vr: str
    raw: bytes | None
    offset: int
    length: int
    is_little: bool
    is_deflated: bool


@dataclass(frozen=True, slots=True)
class Opening:
    """A sequence begins; its items follow."""

    tag: int


class Turn(Enum):
    ITEM = "an item begins"
    ITEM_END = "it ends"
    SEQUENCE_END = "the sequence ends"


Event: TypeAlias = Element | Opening | Turn


class _Broken(Exception):
    """The message says in plain words what is wrong."""


class _TooMany(Exception):
    """So does this one."""


@dataclass(slots=True)
class _Level:
    """A data set, or (`is_sequence`) a sequence of them. `end` None: a delimiter or the file's end ends it.
    `within`: what neither it nor anything in it reaches beyond."""

    is_sequence: bool
    end: int | None
    within: int | None
    is_implicit: bool
    creators: dict[int, str] = field(default_factory=dict)


class Elements:
    """`limit_of(vr)`: bytes of the longest value that is read."""

    def __init__(self, stream: BinaryIO, size: int, start: int, limit_of: Callable[[str], int]) -> None:
        self._stream = stream
        self._bytes = ForwardBytes(stream, size)
        self._start = start
        self._limit_of = limit_of
        self._left = ELEMENTS_MAX
        self._bytes_left = VALUES_BYTES_MAX
        self._is_little = True
        self._levels = [_Level(is_sequence=False, end=None, within=None, is_implicit=False)]
        self._syntax: str | None = None
        self.problems: list[str] = []
        self._is_deflated = False

    def __iter__(self) -> Iterator[Event]:
        """Once. Where a file breaks off, what is open then has no end."""
        try:
            self._bytes.skip(self._start)
            yield from self._header()
            self._arrange()
            yield from self._body()
        except (Ended, _Broken, _TooMany) as end:
            self._note(str(end))

    def _header(self) -> Iterator[Event]:
        """Group 0002, which is explicit and little-endian whatever follows."""
        level = self._levels[0]
        while self._bytes.peek(2) == b"\x02\x00":
            for event in self._element(level):
                if isinstance(event, Element) and event.tag == TRANSFER_SYNTAX and event.raw is not None:
                    self._syntax = event.raw.rstrip(b" \0").decode("latin-1")
                yield event

    def _arrange(self) -> None:
        """Finds out how the data set is written, by its transfer syntax and what its first element looks like."""
        if is_deflated(self._syntax):
            self._stream.seek(self._bytes.position)
            self._bytes = ForwardBytes(Inflating(self._stream), None)
            self._is_deflated = True
        form = Form.of(self._syntax, self._bytes.peek(FIRST_BYTES))
        self._is_little = form.is_little
        self._levels[0].is_implicit = form.is_implicit

    def _body(self) -> Iterator[Event]:
        while True:
            level = self._levels[-1]
            if level.end is not None and self._bytes.position >= level.end:
                yield self._closed()
                continue
            if len(self._levels) == 1 and not self._bytes.peek(8).strip(b"\0"):
                return  # the end, or zeros that fill the last block
            try:
                yield from self._item(level) if level.is_sequence else self._element(level)
            except _Broken as broken:
                self._note(str(broken))
                if not any(level.end is not None for level in self._levels):
                    return
                while self._levels[-1].end is None:
                    yield self._closed()
                end = self._levels[-1].end
                assert end is not None
                self._bytes.skip(end - self._bytes.position)
                if not self._goes_on():
                    return

    def _goes_on(self) -> bool:
        """Whether behind what is broken there is something that can be an element or an item."""
        ahead = self._bytes.peek(8)
        if not ahead or ahead[4:6].decode("latin-1") in KNOWN:
            return True
        group, element = self._unpacked("HH", ahead[:4].ljust(4, b"\0"))
        return group == _ITEM >> 16 or is_standard(group << 16 | element)

    def _closed(self) -> Turn:
        return Turn.SEQUENCE_END if self._levels.pop().is_sequence else Turn.ITEM_END

    def _item(self, level: _Level) -> Iterator[Event]:
        tag, length = self._item_header(level)
        if tag == _SEQUENCE_END and level.end is None:
            yield self._closed()
            return
        if tag != _ITEM:
            raise _Broken("something else than an item stands in a sequence")
        end = self._end(level, length)
        is_implicit = level.is_implicit or not is_representation(self._bytes.peek(6)[4:6])
        if self._bytes.peek(2) in (b"\xfe\xff", b"\xff\xfe"):
            is_implicit = level.is_implicit
        within = level.within if end is None else end
        self._levels.append(_Level(False, end, within, is_implicit))
        yield Turn.ITEM

    def _item_header(self, level: _Level) -> tuple[int, int]:
        group, element, length = self._unpacked("HHL", self._taken(level, 8))
        self._count()
        return group << 16 | element, length

    def _end(self, level: _Level, length: int) -> int | None:
        if length == _UNDEFINED:
            return None
        end = self._bytes.position + length
        if level.within is not None and end > level.within:
            raise _Broken("the lengths of elements do not fit into each other")
        return end

    def _element(self, level: _Level) -> Iterator[Event]:
        tag, vr, length = self._element_header(level)
        if tag == _ITEM_END and len(self._levels) > 1 and level.end is None:
            yield self._closed()
            return
        if tag in (_ITEM_END, _SEQUENCE_END) and length == 0:
            return  # some writers end what has a length, too
        vr = self._vr(level, tag, vr)
        offset = self._bytes.position
        if length == _UNDEFINED:
            if vr == "SQ" or (vr == UNKNOWN and tag not in PIXEL_DATA):
                yield self._opened(level, tag, None)
                return
            self._skip_fragments(level)
            length = self._bytes.position - offset - _DELIMITER_BYTES
            vr = "OB" if vr == "OB or OW" else vr  # of what is encapsulated (PS3.5 A.4)
            yield Element(tag, vr, None, offset, length, self._is_little, self._is_deflated)
            return
        end = self._end(level, length)
        if vr == "SQ":
            yield self._opened(level, tag, end)
            return
        raw = self._value(level, tag, vr, length)
        yield Element(tag, vr, raw, offset, length, self._is_little, self._is_deflated)

    def _element_header(self, level: _Level) -> tuple[int, str | None, int]:
        header = self._taken(level, 8)
        self._count()
        group, element, length = self._unpacked("HHL", header)
        tag = group << 16 | element
        # An element that has no representation is implicit, in whatever data set it stands.
        if level.is_implicit or not is_representation(header[4:6]):
            return tag, None, length
        vr = header[4:6].decode("latin-1")
        if vr in LONG:
            return tag, vr, self._unpacked("L", self._taken(level, 4))[0]
        return tag, vr, self._unpacked("HHHH", header)[3]

    def _vr(self, level: _Level, tag: int, vr: str | None) -> str:
        if vr is not None and vr != UNKNOWN:
            return vr
        place = creator_tag(tag)
        return vr_of(tag, None if place is None else level.creators.get(place))

    def _opened(self, level: _Level, tag: int, end: int | None) -> Opening:
        if len(self._levels) > 2 * DEPTH_MAX:
            raise _Broken(f"sequences stand more than {DEPTH_MAX} deep in each other")
        within = level.within if end is None else end
        self._levels.append(_Level(True, end, within, level.is_implicit))
        return Opening(tag)

    def _value(self, level: _Level, tag: int, vr: str, length: int) -> bytes | None:
        try:
            if tag in PIXEL_DATA or length > self._limit_of(vr):
                self._bytes.skip(length)
                return None
            self._bytes_left -= length
            if self._bytes_left < 0:
                raise _TooMany(
                    f"more than {VALUES_BYTES_MAX // MIB} MiB of values; the rest stands in the file alone"
                )
            raw = self._bytes.take(length)
        except Ended as ended:
            raise Ended(f"{ended}, in element {spelt(tag)}") from None
        if is_creator(tag) and length <= _CREATOR_BYTES_MAX:
            level.creators[tag] = raw.rstrip(b" \0").decode("latin-1")
        return raw

    def _skip_fragments(self, level: _Level) -> None:
        while True:
            tag, length = self._item_header(level)
            if tag == _SEQUENCE_END:
                return
            if tag != _ITEM or self._end(level, length) is None:
                raise _Broken("something else than a fragment stands among those of a value")
            self._bytes.skip(length)

    def _taken(self, level: _Level, count: int) -> bytes:
        if level.within is not None and self._bytes.position + count > level.within:
            raise _Broken("the lengths of elements do not fit into each other")
        return self._bytes.take(count)

    def _unpacked(self, form: str, data: bytes) -> tuple[int, ...]:
        return struct.unpack(f"{'<' if self._is_little else '>'}{form}", data)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _TooMany(f"more than {ELEMENTS_MAX} elements; those behind stand in the file alone")

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def spelt(tag: int) -> str:
    """As the standard writes it."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
