"""JSON without a guess: numbers keep the digits that they are written with, and a key that stands twice is no object.

Python's decoder reads it. Left alone it rounds 0.10 and 1e400, takes NaN for a number and the last of two equal keys
for the only one; none of that happens here. Bounded in depth and in the number of values, which take some thirty times
the memory of their text. Messages of the decoder are not passed on, since they can hold content.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

DEPTH_MAX = 200
"""Lists and objects within each other."""
VALUES_MAX = 500_000
"""Values of one text, by its commas and brackets: they take about 50 MB."""


class Malformed(Exception):
    """Why a text cannot be read, in plain words without content."""


class Number(str):
    """A number, by its text."""

    __slots__ = ()


def decode(text: str, depth: int) -> Any:
    """The value: None, bool, str, Number, list or dict. `depth`: how deep brackets stand in it. Raises Malformed."""
    if depth > DEPTH_MAX:
        raise Malformed(f"lists and objects stand more than {DEPTH_MAX} deep in each other")
    if text.count(",") + text.count("[") + text.count("{") > VALUES_MAX:
        raise Malformed(f"it has more than {VALUES_MAX:,} values")
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError, MemoryError):
        raise Malformed("it is not JSON") from None


def encode(value: Any) -> str:
    """The JSON text of what `decode` gave: no spaces, keys in their order, each number as it was written."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_string(k)}:{encode(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(encode, value)) + "]"
    return _string(value) if isinstance(value, str) else json.dumps(value)


def _string(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def slices(text: str) -> dict[str, str]:
    """The members of an object that `decode` took, each value as it is written."""
    found: dict[str, str] = {}
    at = 0
    if text[_after_space(text, 1)] == "}":
        return found
    while text[at] != "}":
        key, at = _SKIPPING.raw_decode(text, _after_space(text, at + 1))
        begin = _after_space(text, _after_space(text, at) + 1)
        _, at = _SKIPPING.raw_decode(text, begin)
        found[key] = text[begin:at]
        at = _after_space(text, at)
    return found


def _after_space(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]


def is_text(value: str) -> bool:
    """Whether it can be carried: half a surrogate pair is no text."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(members)
    if len(made) != len(members):
        raise Malformed("a key stands twice in one object")
    return made


def _constant(name: str) -> NoReturn:
    raise Malformed("it is not JSON")


_SKIPPING = json.JSONDecoder(parse_float=str, parse_int=str)
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=Number, parse_int=Number, parse_constant=_constant
)
