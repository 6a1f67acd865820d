"""JSON text, value by value: what is read of a document at once is one element of its array.

Python's decoder wants a whole text. So it is given what has come, and more of it, twice as much every time, while what
has come is no whole value; a value longer than a bound is refused, and so is a document that is broken, at latest
there. Knows nothing of columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from edge_agent.sources.kinds.jsonvalues import DECODER, JsonValue, NotExactError
from edge_agent.sources.kinds.kind import Opened
from protocol.errors import Rejected
from protocol.limits import MIB

VALUE_CHARS_MAX = 8 * MIB
"""Of one row: an element of an array, a line, or an object that is one row. Python's objects take up to ten times."""

_PIECE_CHARS = 64 * 1024
_SPACE = " \t\r\n"
_NUMERIC = frozenset("0123456789+-.eE")
_TOO_LONG = "it is not JSON, or a value that is one row has more than 8 million characters"


def decoded(opened: Opened, text: str, line: int) -> JsonValue:
    """One value that is all of `text`."""
    try:
        value, end = DECODER.raw_decode(text, len(text) - len(text.lstrip(_SPACE)))
    except NotExactError as error:
        raise opened.refused(str(error), line) from None
    except RecursionError:
        raise opened.refused("values lie too deep within each other", line) from None
    except ValueError:
        raise opened.refused("it is not JSON", line) from None
    if text[end:].strip(_SPACE):
        raise opened.refused("more than one value on a line", line)
    result: JsonValue = value
    return result


class JsonReader:
    """A document at its beginning."""

    def __init__(self, opened: Opened, text: TextIO) -> None:
        self._opened = opened
        self._text = text
        self._buffer = ""
        self._place = 0
        self._is_whole = False
        self._line = 1
        self.passed = 0
        """Characters."""

    def refused(self, problem: str) -> Rejected:
        return self._opened.refused(problem, self._line)

    def next(self) -> str:
        """The next character that is no white space, which is passed over; "" at the end."""
        while True:
            place = self._place
            while place < len(self._buffer) and self._buffer[place] in _SPACE:
                place += 1
            self._pass(place)
            if place < len(self._buffer):
                return self._buffer[place]
            if not self._fill():
                return ""

    def _pass(self, place: int) -> None:
        self._line += self._buffer.count("\n", self._place, place)
        self.passed += place - self._place
        self._place = place

    def _fill(self, least: int = 0) -> bool:
        """More text behind what is not passed, which then begins at 0; whether there was any."""
        piece = self._text.read(max(least, _PIECE_CHARS))
        self._buffer = self._buffer[self._place :] + piece
        self._place = 0
        self._is_whole = not piece
        return bool(piece)

    def take(self, character: str) -> None:
        if self.next() != character:
            raise self.refused("it is not JSON")
        self._pass(self._place + 1)

    def value(self) -> JsonValue:
        self.next()
        while True:
            try:
                value, end = DECODER.raw_decode(self._buffer, self._place)
                if self._is_whole or not self._may_go_on(end):
                    if end - self._place > VALUE_CHARS_MAX:
                        raise self.refused(_TOO_LONG)
                    self._pass(end)
                    result: JsonValue = value
                    return result
            except NotExactError as error:
                raise self.refused(str(error)) from None
            except RecursionError:
                raise self.refused("values lie too deep within each other") from None
            except ValueError:
                if self._is_whole:
                    raise self.refused("it is not JSON, or cut off") from None
            has = len(self._buffer) - self._place
            if has > VALUE_CHARS_MAX:
                raise self.refused(_TOO_LONG)
            self._fill(has)

    def _may_go_on(self, end: int) -> bool:
        """Whether a number may be cut: `-1.25e` is read as -1.25, although 3 comes next."""
        while end < len(self._buffer) and self._buffer[end] in _NUMERIC:
            end += 1
        return end == len(self._buffer)

    def elements(self) -> Iterator[JsonValue]:
        """Of the array whose `[` was taken, to its end."""
        if self.next() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.next() == "]":
                self.take("]")
                return
            self.take(",")

    def rest(self) -> list[JsonValue]:
        """The elements of an array that is one value."""
        found, first = [], self.passed
        for element in self.elements():
            found.append(element)
            if self.passed - first > VALUE_CHARS_MAX:
                raise self.refused(_TOO_LONG)
        return found

    def end(self) -> None:
        if self.next():
            raise self.refused("more than one value in the file")
