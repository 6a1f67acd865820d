"""The values of one field of a DBF file, a block of records at a time: bytes of fixed width to an Arrow column.

No Python object is made of a value that is as it should be: Arrow cuts a field out of all records at once, trims it,
reads numbers as decimals and dates, and refuses what is none without rounding; text of a code page is decoded joined,
with line breaks between the values. Only where that fails does each value count for itself. What the column does not
carry is null in it and stands aside as the bytes of its field, padding included (promise 7).

dbfread is not used for it: it makes floats of decimals, one Python object of each value, and stops at the first date
that is none. Knows no memo file and no records but the block it is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation

import pyarrow as pa
import pyarrow.compute as pc

from edge_agent.sources import spelt
from edge_agent.sources.columns import Carrier, Encoded, build
from edge_agent.sources.kinds.dbf_charset import UTF_8
from edge_agent.sources.kinds.dbf_header import Field
from edge_agent.sources.kinds.dbf_memo import Memo
from edge_agent.sources.spelt import Odd
from protocol.change import ASIDE_RANGE, ASIDE_TYPE
from protocol.schema import DECIMAL_DIGITS_MAX

Reading = tuple[pa.Array, dict[int, Odd] | None]
"""A column, null where a value stands aside, and the asides by row (None: none)."""
Read = Callable[[pa.Array], Reading]
"""Of the field's bytes, one value of `pa.binary(width)` a record."""

_PADDING = " \0"
_STATEFUL = ("hz", "iso2022", "utf-7")
"""In these a line break may mean something else than the end of a value."""
_NUMERAL = r"^[+-]?(\d+\.?\d*|\.\d+)$"
_EXPONENT = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")
_JULIAN_1970 = 2_440_588
_JULIAN_MIN, _JULIAN_MAX = 1_721_426, 5_373_484
"""Of 0001-01-01 and 9999-12-31."""
_DAY_MS = 86_400_000
_POINTER_BYTES, _POINTER_OF_SPACES = 4, 0x20202020
MONEY = pa.decimal128(19, 4)
_TRUE, _FALSE, _UNSAID = (
    pa.array(list(marks), pa.binary(1))
    for marks in ([b"T", b"t", b"Y", b"y"], [b"F", b"f", b"N", b"n"], [b" ", b"?", b"\0"])
)
_NO_MOMENT = pa.array([b"\0" * 8, b" " * 8], pa.binary(8))


def cut(records: pa.Array, start: int, stop: int) -> pa.Array:
    """These bytes of every record."""
    return pc.binary_slice(records, start, stop)


def as_fixed(wire: pa.DataType, raw: pa.Array) -> pa.Array:
    """Bytes that are the machine's own form of `wire`; little-endian, as every machine is that we run on."""
    return pa.Array.from_buffers(wire, len(raw), [None, raw.buffers()[1]], offset=raw.offset)


def trimmed(raw: pa.Array, trim: Callable[..., pa.Array] = pc.ascii_rtrim) -> pa.Array:
    """As `pa.string()`, though it may be no UTF-8 yet, without the spaces and NULs that fill the field."""
    values = raw.cast(pa.binary())
    return trim(pa.Array.from_buffers(pa.string(), len(values), values.buffers()), characters=_PADDING)


def _bytes(texts: pa.Array) -> pa.Array:
    return pa.Array.from_buffers(pa.binary(), len(texts), texts.buffers(), offset=texts.offset)


def raw_bytes(raw: pa.Array) -> Reading:
    return raw.cast(pa.binary()), None


def text(charset: str) -> Read:
    def read(raw: pa.Array) -> Reading:
        texts = trimmed(raw)
        if pc.all(pc.string_is_ascii(texts)).as_py():
            return texts, None
        decoded = _at_once(_bytes(texts), charset)
        if decoded is not None:
            return decoded, None
        array, odd = build(Encoded(charset), pa.string(), _bytes(texts).to_pylist())
        return array, _originals(raw, odd)

    return read


def _at_once(values: pa.Array, charset: str) -> pa.Array | None:
    """Decoded together; None where one is no text, or must be looked at for itself."""
    if charset == UTF_8:
        try:
            return values.cast(pa.string())
        except pa.ArrowInvalid:
            return None
    if charset.startswith(_STATEFUL):
        return None
    column = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)
    joined = pc.binary_join(column, b"\n")[0].as_py()
    try:
        whole = joined.decode(charset)
        if whole.encode(charset) != joined:
            return None
    except UnicodeError:
        return None
    parts = pc.split_pattern(pa.array([whole]), "\n").flatten()
    return parts if len(parts) == len(values) else None


def _originals(raw: pa.Array, odd: dict[int, Odd] | None) -> dict[int, Odd] | None:
    return odd and {row: (reason, raw[row].as_py()) for row, (reason, _) in odd.items()}


def number(field: Field) -> tuple[pa.DataType, Read]:
    """N and F: a decimal in which every number of the field's width fits, or its text where none is so wide."""
    digits = field.length + field.decimals
    if digits > DECIMAL_DIGITS_MAX:
        return pa.string(), _number_text
    wire = pa.decimal128(digits, field.decimals)

    def read(raw: pa.Array) -> Reading:
        values = _numerals(raw)
        if not _may_have_exponents(values):
            try:
                return values.cast(pa.string()).cast(wire), None
            except pa.ArrowInvalid:
                pass
        values, odd = _plain_numerals(raw, values, lambda spelling: _plain(wire, spelling))
        array, unfit = spelt.read(wire, values)
        return array, (odd | (_originals(raw, unfit) or {})) or None

    return wire, read


def _number_text(raw: pa.Array) -> Reading:
    values, odd = _plain_numerals(raw, _numerals(raw), lambda spelling: spelling)
    return values.cast(pa.string()), odd or None


def _numerals(raw: pa.Array) -> pa.Array:
    """As they stand there; null where nothing does."""
    texts = _bytes(trimmed(raw, pc.ascii_trim))
    return pc.if_else(pc.equal(texts, b""), None, texts)


def _may_have_exponents(values: pa.Array) -> bool:
    """Arrow never sees one: it takes `1e+-8` for a number, and some end its process (26.0.1)."""
    content = values.buffers()[2]
    letters = b"" if content is None else content.to_pybytes()
    return b"e" in letters or b"E" in letters


def _plain_numerals(
    raw: pa.Array, values: pa.Array, plain: Callable[[bytes], bytes | None]
) -> tuple[pa.Array, dict[int, Odd]]:
    """Those that are numbers, and what is none; `plain` says how one with an exponent is spelt, if it fits."""
    is_odd = pc.invert(pc.match_substring_regex(values, _NUMERAL)).fill_null(False)
    kept = values.to_pylist()
    odd: dict[int, Odd] = {}
    for row in pc.indices_nonzero(is_odd).to_pylist():
        spelling, kept[row] = kept[row], None
        is_number = _EXPONENT.fullmatch(spelling) is not None
        if is_number:
            kept[row] = plain(spelling)
        if kept[row] is None:
            # One that did not fit its field is asterisks: what it was is lost.
            odd[row] = (ASIDE_RANGE if is_number or b"*" in spelling else ASIDE_TYPE, raw[row].as_py())
    return pa.array(kept, pa.binary()), odd


def _plain(wire: pa.DataType, spelling: bytes) -> bytes | None:
    """Without its exponent; None where the number does not fit."""
    try:
        number = Decimal(spelling.decode("ascii"))
    except InvalidOperation:
        return None
    if not number:
        return b"0"
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    while digits[-1] == 0:
        digits, exponent = digits[:-1], exponent + 1
    if exponent < -wire.scale or len(digits) + exponent > wire.precision - wire.scale:
        return None
    return f"{number:f}".encode()


def date(raw: pa.Array) -> Reading:
    values = raw.cast(pa.binary())
    blank = pc.equal(_bytes(trimmed(raw)), b"")
    parts = [pc.binary_slice(values, start, stop) for start, stop in ((0, 4), (4, 6), (6, 8))]
    array, odd = spelt.read(pa.date32(), pc.if_else(blank, None, pc.binary_join_element_wise(*parts, b"-")))
    return array, _originals(raw, odd)


def logical(raw: pa.Array) -> Reading:
    yes, no, unsaid = (pc.is_in(raw, value_set=marks) for marks in (_TRUE, _FALSE, _UNSAID))
    array = pc.if_else(yes, True, pc.if_else(no, False, pa.scalar(None, pa.bool_())))
    return array, _odd(raw, pc.or_(array.is_valid(), unsaid), ASIDE_TYPE)


def moment(raw: pa.Array) -> Reading:
    """Day and millisecond, as whole numbers: no time zone, and nothing rounded."""
    day = as_fixed(pa.int32(), cut(raw, 0, 4)).cast(pa.int64())
    ms = as_fixed(pa.int32(), cut(raw, 4, 8)).cast(pa.int64())
    fits = pc.and_(
        pc.and_(pc.greater_equal(day, _JULIAN_MIN), pc.less_equal(day, _JULIAN_MAX)),
        pc.and_(pc.greater_equal(ms, 0), pc.less(ms, _DAY_MS)),
    )
    since = pc.add(pc.multiply(pc.subtract(day, _JULIAN_1970), _DAY_MS), ms)
    array = pc.multiply(pc.if_else(fits, since, None), 1000).cast(pa.timestamp("us"))
    return array, _odd(raw, pc.or_(fits, pc.is_in(raw, value_set=_NO_MOMENT)), ASIDE_RANGE)


def fixed(wire: pa.DataType) -> Read:
    return lambda raw: (as_fixed(wire, raw), None)


def money(raw: pa.Array) -> Reading:
    """Ten-thousandths as a whole number of 64 bits."""
    whole = as_fixed(pa.int64(), raw).cast(pa.decimal128(19, 0))
    return pa.Array.from_buffers(MONEY, len(whole), whole.buffers(), offset=whole.offset), None


def _odd(raw: pa.Array, fine: pa.Array, reason: str) -> dict[int, Odd] | None:
    rows = pc.indices_nonzero(pc.invert(fine)).to_pylist()
    return {row: (reason, raw[row].as_py()) for row in rows} or None


def varying(raw: pa.Array, is_shorter: pa.Array, charset: str | None) -> Reading:
    """V and Q of Visual FoxPro: whole, or as long as their last byte says. `charset` None: bytes."""
    kept: list[bytes | None] = []
    odd: dict[int, Odd] = {}
    for row, (value, shorter) in enumerate(zip(raw.to_pylist(), is_shorter.to_pylist(), strict=True)):
        length = value[-1] if shorter else len(value)
        if shorter and length >= len(value):
            odd[row] = (ASIDE_TYPE, value)
        kept.append(None if row in odd else value[:length])
    if charset is None:
        return build(Carrier.BINARY, pa.binary(), kept)[0], odd or None
    array, unread = build(Encoded(charset), pa.string(), kept)
    return array, (odd | (_originals(raw, unread) or {})) or None


def pointers(raw: pa.Array) -> list[int | None]:
    """Blocks of memos, as a number of 32 bits or as digits. None: there is no memo. 0: it leads nowhere."""
    if raw.type.byte_width == _POINTER_BYTES:
        numbers = as_fixed(pa.uint32(), raw).to_pylist()
        return [None if number in (0, _POINTER_OF_SPACES) else number for number in numbers]
    texts = _bytes(trimmed(raw, pc.ascii_trim)).to_pylist()
    return [(int(text) if text.isdigit() else 0) if text.strip(b"0") else None for text in texts]


def memo(raw: pa.Array, memos: Sequence[Memo | None], charset: str | None) -> Reading:
    """Their contents. What is no text in a column of texts stands aside, and so does a pointer into nowhere."""
    kept: list[bytes | None] = []
    odd: dict[int, Odd] = {}
    for row, (block, found) in enumerate(zip(pointers(raw), memos, strict=True)):
        if block is not None and found is None:
            odd[row] = (ASIDE_TYPE, raw[row].as_py())
        elif charset is not None and found is not None and not found.is_text:
            odd[row] = (ASIDE_TYPE, found.content)
        kept.append(None if found is None or row in odd else found.content)
    if charset is None:
        return build(Carrier.BINARY, pa.binary(), kept)[0], odd or None
    array, unread = build(Encoded(charset), pa.string(), kept)
    return array, (odd | (unread or {})) or None


def bit(flags: pa.Array, number: int) -> pa.Array:
    """Whether this bit of the null flags is set."""
    byte = as_fixed(pa.uint8(), cut(flags, number // 8, number // 8 + 1))
    return pc.not_equal(pc.bit_wise_and(byte, pa.scalar(1 << number % 8, pa.uint8())), 0)


def nulled(reading: Reading, is_null: pa.Array) -> Reading:
    """As the null flags have it: what the field of a null holds is a leftover."""
    array, odd = reading
    if not pc.any(is_null).as_py():
        return reading
    kept = {row: entry for row, entry in (odd or {}).items() if not is_null[row].as_py()}
    return pc.if_else(is_null, pa.scalar(None, array.type), array), kept or None
