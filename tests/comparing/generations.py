"""The generations of a column, as a third reading of docs/decisions/0023: what stands in `changes`, what is shown.

Nothing of the product's reading is used. A *label* is the source's name of a column or, for a generation that stands
beside it in `current`, that name with the generation's number behind U+0000.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

from protocol.names import unescape_column

_CLASHING = "_gc_as_"
_SPELT = re.compile(r"\^(?:([a-z])|([0-9]+);)")
_NUMBERED = re.compile(r"_gc_gen([0-9]+)_(.*)", re.DOTALL)
_PLAIN_TYPES = {
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}


def plain(kind: pa.DataType) -> pa.DataType:
    return _PLAIN_TYPES.get(kind, kind)


def name_and_number(stored: str) -> tuple[str, int]:
    """The source's name of a column as the lake stores it, and the number of its generation."""
    if stored.startswith(_CLASHING):
        letters = stored[len(_CLASHING) :]
        stored = _SPELT.sub(lambda m: m[1].upper() if m[1] else chr(int(m[2])), letters)
    numbered = _NUMBERED.fullmatch(stored)
    if numbered:
        return unescape_column(numbered[2]), int(numbered[1])
    return unescape_column(stored), 1


def beside(name: str, number: int) -> str:
    return f"{name}\0{number}"


def of_label(label: str) -> str:
    """The source's name of the column."""
    name, _, number = label.rpartition("\0")
    return name if name and number.isdecimal() else label


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands under a label: the stored columns whose values it shows, and the type in which."""

    kind: pa.DataType
    stored: tuple[str, ...]


def shown(fields: Iterable[pa.Field]) -> dict[str, Shown]:
    """By label: of the columns of `changes` that are the source's."""
    columns: dict[str, dict[int, pa.Field]] = {}
    for field in fields:
        name, number = name_and_number(field.name)
        columns.setdefault(name, {})[number] = field
    labels: dict[str, Shown] = {}
    for name, numbered in columns.items():
        last = numbered[int((numbered[1].metadata or {}).get(b"guicang.newest", b"1"))]
        alike = [field for field in numbered.values() if field is last or _is_held_by(field, last)]
        labels[name] = Shown(plain(last.type), tuple(field.name for field in alike))
        for number, field in numbered.items():
            if field not in alike:
                labels[beside(name, number)] = Shown(plain(field.type), (field.name,))
    return labels


def answered(names: Iterable[tuple[str, pa.DataType]]) -> dict[str, Shown]:
    """By label: of the columns of an answer of `current`."""
    labels = {}
    for stored, kind in names:
        name, number = name_and_number(stored)
        label = beside(name, number) if _is_numbered(stored) else name
        labels[label] = Shown(plain(kind), (stored,))
    return labels


def _is_numbered(stored: str) -> bool:
    """A source's name that looks so is escaped."""
    return stored.startswith(("_gc_gen", f"{_CLASHING}_gc_gen"))


def _is_held_by(old: pa.Field, new: pa.Field) -> bool:
    """Whether the newer type has every value of the older."""
    a, b = plain(old.type), plain(new.type)
    if pa.types.is_decimal128(a) and pa.types.is_decimal128(b):
        return bool(b.scale >= a.scale and 10 ** (b.precision - b.scale) >= 10 ** (a.precision - a.scale))
    if not pa.types.is_integer(a):
        return bool(a == pa.float32() and b == pa.float64())
    greatest = 1 << (a.bit_width - 1)
    if pa.types.is_integer(b):
        return bool(greatest <= 1 << (b.bit_width - 1))
    if pa.types.is_decimal128(b):
        return bool(greatest < 10 ** (b.precision - b.scale))
    if pa.types.is_floating(b):
        return bool(greatest <= 1 << (24 if b == pa.float32() else 53))
    padded = b"zerofill" in (old.metadata or {}).get(b"guicang.source_type", b"").lower()
    return bool(b == pa.string() and not padded)


def converted(values: pa.ChunkedArray, kind: pa.DataType) -> list[Any]:
    """The values as those of `kind`, by Python's own numbers."""
    return [None if value is None else _converted(value, kind) for value in values.to_pylist()]


def _converted(value: Any, kind: pa.DataType) -> Any:
    if pa.types.is_string(kind) and isinstance(value, int):
        return str(value)
    if pa.types.is_decimal128(kind):
        return Decimal(value)
    return float(value) if pa.types.is_floating(kind) else value
