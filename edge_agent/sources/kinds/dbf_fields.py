"""What each field of a DBF file is to the lake: its column, and how its values are read.

    C            text; bytes where it is binary        N F        decimal, or text where it is too wide for one
    D            date32                                L          bool
    T @          timestamp without zone                I +        int32
    Y            decimal(19, 4)                        O          float64
    B            float64 (Visual FoxPro, 8 bytes), else the bytes of a memo
    M            text of a memo; bytes where it is binary          G P W      the bytes of a memo
    V Q          text and bytes of varying length (Visual FoxPro)

Whatever else stands there, or has another length than its letter has, is carried as the bytes of its field. A name is
text of the file's encoding (FoxPro cuts names at ten bytes, be it within a character); the second field of a name is
called NAME_2, and its metadata has the name that the file gives it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from edge_agent.sources.kinds import dbf_values as values
from edge_agent.sources.kinds.dbf_header import Field, Header
from edge_agent.sources.kinds.dbf_memo import Memo
from edge_agent.sources.kinds.dbf_values import Read, Reading
from edge_agent.sources.kinds.kind import Opened
from protocol.schema import Column

CHARSET = "charset"
NAME_IN_FILE = "name_in_file"
"""Metadata of a column: the encoding of its text; the name that another field of the file has, too."""

_POINTER_BYTES = (4, 10)


@dataclass(frozen=True, slots=True)
class Plan:
    """One column. `charset` is None where it is not text; `read` is None of memos and of varying lengths. `null` and
    `shorter` are bits of the null flags, from the first of their first byte on."""

    column: Column
    field: Field
    charset: str | None
    read: Read | None
    is_memo: bool
    null: int | None
    shorter: int | None

    def raw(self, records: pa.Array) -> pa.Array:
        return values.cut(records, self.field.start, self.field.stop)


@dataclass(frozen=True, slots=True)
class _Form:
    wire: pa.DataType
    read: Read | None = None
    charset: str | None = None
    is_memo: bool = False


def planned(opened: Opened, header: Header, encoding: str) -> tuple[Plan, ...]:
    """Of every field that is shown. Rejected GC-2008 where the null flags have not a bit for each that needs one."""
    plans = []
    names = list(_names(opened, header.fields, encoding))
    bits = 0
    for field, name in zip(header.fields, names, strict=True):
        form = _form(field, header, encoding)
        null = shorter = None
        if header.nulls is not None and field.letter in "VQ":
            shorter, bits = bits, bits + 1
        if header.nulls is not None and field.is_nullable:
            null, bits = bits, bits + 1
        column = _column(name, field, form, encoding)
        plans.append(Plan(column, field, form.charset, form.read, form.is_memo, null, shorter))
    if header.nulls is not None and bits > header.nulls.length * 8:
        raise opened.refused("its null flags are fewer than the fields that need one")
    return tuple(plans)


def _column(name: str, field: Field, form: _Form, encoding: str) -> Column:
    meta = {} if form.charset is None else {CHARSET: form.charset}
    in_file = _decoded(field.name, encoding)
    if name != in_file:
        meta[NAME_IN_FILE] = in_file
    size = (
        f"{field.length},{field.decimals}" if field.letter in "NF" and field.decimals else f"{field.length}"
    )
    sized = f"({size})" if field.letter in "CNFVQ" or form.read is values.raw_bytes else ""
    binary = " NOCPTRANS" if field.is_binary and field.letter in "CMV" else ""
    return Column(name, form.wire, f"{field.letter}{sized}{binary}", meta)


def _form(field: Field, header: Header, encoding: str) -> _Form:
    is_pointer = field.length in _POINTER_BYTES
    match field.letter, field.length:
        case "C", _ if not field.is_binary:
            return _Form(pa.string(), values.text(encoding), encoding)
        case "N" | "F", _:
            wire, read = values.number(field)
            return _Form(wire, read)
        case "D", 8:
            return _Form(pa.date32(), values.date)
        case "L", 1:
            return _Form(pa.bool_(), values.logical)
        case "T" | "@", 8:
            return _Form(pa.timestamp("us"), values.moment)
        case "I" | "+", 4:
            return _Form(pa.int32(), values.fixed(pa.int32()))
        case "Y", 8:
            return _Form(values.MONEY, values.money)
        case ("O", 8) | ("B", 8) if field.letter == "O" or header.is_visual:
            return _Form(pa.float64(), values.fixed(pa.float64()))
        case "M", _ if is_pointer and not field.is_binary:
            return _Form(pa.string(), None, encoding, is_memo=True)
        case "M" | "G" | "P" | "W" | "B", _ if is_pointer:
            return _Form(pa.binary(), None, is_memo=True)
        case "V" | "Q", _ if header.nulls is not None:
            is_text = field.letter == "V" and not field.is_binary
            return _Form(pa.string(), None, encoding) if is_text else _Form(pa.binary())
    return _Form(pa.binary(), values.raw_bytes)


def _names(opened: Opened, fields: Sequence[Field], encoding: str) -> Iterator[str]:
    given = {_decoded(field.name, encoding) for field in fields}
    seen: set[str] = set()
    for field in fields:
        name = plain = _decoded(field.name, encoding)
        if not plain:
            raise opened.refused("a field of its header has no name")
        number = 1
        while name in seen or (number > 1 and name in given):
            number += 1
            name = f"{plain}_{number}"
        seen.add(name)
        yield name


def _decoded(name: bytes, encoding: str) -> str:
    return name.decode(encoding, "backslashreplace")


def column_of(plan: Plan, records: pa.Array, flags: pa.Array | None, memos: Sequence[Memo | None]) -> Reading:
    """The plan's column of these records; `flags` are their null flags, `memos` what their pointers lead to."""
    raw = plan.raw(records)
    if plan.is_memo:
        reading = values.memo(raw, memos, plan.charset)
    elif plan.read is not None:
        reading = plan.read(raw)
    else:
        assert flags is not None
        assert plan.shorter is not None
        reading = values.varying(raw, values.bit(flags, plan.shorter), plan.charset)
    if plan.null is None or flags is None:
        return reading
    return values.nulled(reading, values.bit(flags, plan.null))
