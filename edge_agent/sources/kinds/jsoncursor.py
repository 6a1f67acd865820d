"""Walks through JSON text as it streams by: where each value ends is found by brackets and strings alone, in one pass,
so that a list of any length is read value by value, and each value is a slice of the text as it stands. What a value
holds is for `jsonexact` to say: a broken value whose brackets match costs that value, not the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from edge_agent.sources.kinds.jsonexact import Malformed, decode

KEY_CHARS_MAX = 1_024
NESTING_MAX = 10_000
"""Where nobody looks any further for the end of a value. What is decoded has a lower bound of its own."""

_SPACE = re.compile(r"[ \t\r\n]*")
_REST = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
"""What is left of a string, up to its end or as far as it is in sight."""
_STRINGS = re.compile(rf'(?:[^"{{}}\[\]]*"{_REST.pattern}")*[^"{{}}\[\]]*', re.DOTALL)
"""All up to the next bracket outside a string, or to a string whose end is not in sight."""
_PLAIN_END = re.compile(r'[\s,:"{}\[\]]')


@dataclass(frozen=True, slots=True)
class Extent:
    """A value: its text, or None where it is longer than was asked for, and how deep brackets stand in it."""

    text: str | None
    depth: int


class Cursor:
    """A place in the text that `pieces` make up. `lines`: how many line breaks stand before it."""

    def __init__(self, pieces: Iterator[str]) -> None:
        self._pieces = pieces
        self._text = ""
        self._at = 0
        self._lines = 0

    @property
    def lines(self) -> int:
        return self._lines + self._text.count("\n", 0, self._at)

    def peek(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, char: str) -> None:
        if self.peek() != char:
            raise Malformed("it breaks off" if not self.peek() else "it is not JSON")
        self._at += 1

    def items(self) -> Iterator[None]:
        """Once an element of the list that stands here; whoever asks must take its value."""
        self.take("[")
        if self.peek() != "]":
            yield
            while self.peek() == ",":
                self.take(",")
                yield
        self.take("]")

    def keys(self) -> Iterator[str]:
        """The key of each member of the object that stands here; whoever asks must take its value."""
        self.take("{")
        if self.peek() != "}":
            yield self._key()
            while self.peek() == ",":
                self.take(",")
                yield self._key()
        self.take("}")

    def _key(self) -> str:
        if self.peek() != '"':
            self.take('"')
        text = self.value(KEY_CHARS_MAX).text
        if text is None:
            raise Malformed("a key is too long")
        self.take(":")
        return str(decode(text, 0))

    def value(self, chars_max: int) -> Extent:
        """The value that stands here, and goes behind it."""
        ends = _Ends() if self.peek() in tuple('{["') else None
        kept: list[str] = []
        chars = 0
        while True:
            at, is_done = self._plain() if ends is None else ends.look(self._text, self._at)
            chars += at - self._at
            if chars <= chars_max:
                kept.append(self._text[self._at : at])
            else:
                kept.clear()
            self._at = at
            if is_done or not self._more():
                break
        if ends is not None and not is_done:
            raise Malformed("it breaks off")
        return Extent("".join(kept) if chars <= chars_max else None, 0 if ends is None else ends.deepest)

    def _plain(self) -> tuple[int, bool]:
        found = _PLAIN_END.search(self._text, self._at)
        return (len(self._text), False) if found is None else (found.start(), True)

    def _more(self) -> bool:
        """Appends the next piece to what is not yet behind the cursor."""
        piece = next(self._pieces, None)
        if piece is None:
            return False
        self._lines += self._text.count("\n", 0, self._at)
        self._text, self._at = self._text[self._at :] + piece, 0
        return True


class _Ends:
    """Looks for the end of a list, object or string, through as many pieces as it takes."""

    def __init__(self) -> None:
        self.deepest = 0
        self._depth = 0
        self._is_within_string = False

    def look(self, text: str, at: int) -> tuple[int, bool]:
        """How far `text` belongs to it, and whether it ends there."""
        if not self._depth and not self._is_within_string and text.startswith('"', at):
            at, self._is_within_string = at + 1, True
        if self._is_within_string:
            at = _REST.match(text, at).end()  # type: ignore[union-attr]
            if text[at : at + 1] != '"':
                return at, False  # at the end of the text, or before a backslash that ends it
            at += 1
            self._is_within_string = False
            if not self._depth:
                return at, True
        while True:
            at = _STRINGS.match(text, at).end()  # type: ignore[union-attr]
            char = text[at : at + 1]
            if char == '"':
                self._is_within_string = True
                return _REST.match(text, at + 1).end(), False  # type: ignore[union-attr]
            if not char:
                return at, False
            at += 1
            if char in "{[":
                self._depth += 1
                if self._depth > self.deepest:
                    self.deepest = self._depth
                    if self._depth > NESTING_MAX:
                        raise Malformed("lists and objects stand too deep in each other")
            else:
                self._depth -= 1
                if not self._depth:
                    return at, True
