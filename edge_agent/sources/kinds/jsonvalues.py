"""Values of JSON, exactly: numbers as they are spelt, and what column carries all of a column's.

Python's json reads 1.10 as 1.1 and 1e400 as infinity, takes NaN for a number and the last of two equal names for the
only one. Here a number that is no integer of 64 bits keeps its text, and the other two are refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import pyarrow as pa

from edge_agent.sources.kinds.carrying import OddCell
from protocol.change import ASIDE_CHARSET


@dataclass(frozen=True, slots=True)
class Numeral:
    """A number that keeps its text: with a fraction or an exponent, beyond 64 bits, or -0."""

    text: str


JsonValue: TypeAlias = str | int | bool | Numeral | dict[str, Any] | list[Any] | None


class NotExactError(Exception):
    """What Python would read and JSON does not mean. Its text is a problem in plain words."""


def _integer(text: str) -> int | Numeral:
    if len(text) > 20 or text == "-0":
        return Numeral(text)
    value = int(text)
    return value if -(1 << 63) <= value < 1 << 63 else Numeral(text)


def _constant(_: str) -> NoReturn:
    raise NotExactError("NaN and Infinity are no numbers of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotExactError("an object has the same name twice")
    return found


DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=Numeral, parse_int=_integer, parse_constant=_constant
)
"""Gives values of JsonValue. Raises ValueError, NotExactError, RecursionError."""


def canonical(value: JsonValue) -> str:
    """The one spelling of a value: members sorted by name, no spaces, characters themselves, numbers as in the file."""
    match value:
        case Numeral(text):
            return text
        case dict():
            inner = ",".join(f"{_quoted(name)}:{canonical(value[name])}" for name in sorted(value))
            return f"{{{inner}}}"
        case list():
            return f"[{','.join(map(canonical, value))}]"
        case str():
            return _quoted(value)
    return json.dumps(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _spelt(value: JsonValue) -> str | None:
    return value if value is None or isinstance(value, str) else canonical(value)


@dataclass(frozen=True, slots=True)
class JsonColumn:
    """What carries every value of a column: a wire type, and a word for what its values are."""

    wire: pa.DataType
    source_type: str

    def build(self, values: Sequence[JsonValue]) -> tuple[pa.Array, dict[int, OddCell]]:
        if not pa.types.is_string(self.wire):
            return pa.array(values, self.wire), {}
        texts = list(map(_spelt, values))
        try:
            return pa.array(texts, self.wire), {}
        except UnicodeEncodeError:
            odd = {i: OddCell(ASIDE_CHARSET, text) for i, text in enumerate(texts) if text and has_half(text)}
            return pa.array([None if i in odd else text for i, text in enumerate(texts)], self.wire), odd


def has_half(text: str) -> bool:
    """Whether half a character (an unpaired surrogate) stands in it, which no UTF-8 has."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


_TEXT = JsonColumn(pa.string(), "text")
_MIXED = JsonColumn(pa.string(), "mixed")
_NUMBER = JsonColumn(pa.string(), "number")
_JSON = JsonColumn(pa.string(), "json")
_OF_ONE = {
    str: _TEXT,
    int: JsonColumn(pa.int64(), "integer"),
    bool: JsonColumn(pa.bool_(), "boolean"),
    Numeral: _NUMBER,
    dict: _JSON,
    list: _JSON,
}


def column_of(types: frozenset[type]) -> JsonColumn:
    """By the types of all its values, nulls aside."""
    if len(types) == 1:
        return _OF_ONE[next(iter(types))]
    if not types:
        return _TEXT
    return {frozenset({int, Numeral}): _NUMBER, frozenset({dict, list}): _JSON}.get(types, _MIXED)
