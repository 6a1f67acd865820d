"""What a value of a DICOM element is, as a member of the DICOM JSON model (PS3.18 annex F): exactly, or as its bytes.

Numbers that a file writes as text (DS, IS) stay that text, and 64-bit integers are text, as the model permits: 1.50
is not 1.5. Of a value only the padding at its end is dropped, which means nothing (PS3.5 §6.2). What has no exact form
in the model is its bytes as they stand in the file, in base64: binary values, text that is none of its character set,
numbers of an odd length or that JSON has no word for, person names of more than three groups. Pure.
"""

from __future__ import annotations

import base64
import math
import struct
from dataclasses import dataclass
from typing import Any

from edge_agent.sources.kinds.dicomcharset import Charset
from protocol.limits import KIB, MIB

BINARY_BYTES_MAX = 4 * KIB
"""A longer binary value is named by its place: a colour table and a small icon fit."""
VALUE_BYTES_MAX = 1 * MIB
"""A longer text or array of numbers is named by its place."""

_IN_DECLARED_SET = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_TEXT_OF_ONE = frozenset({"LT", "ST", "UT", "UR"})
_TEXT = _IN_DECLARED_SET | _TEXT_OF_ONE | frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI"})
_NUMBERS = {"FD": "d", "FL": "f", "SL": "l", "SS": "h", "SV": "q", "UL": "L", "US": "H", "UV": "Q"}
_LARGE = frozenset({"SV", "UV"})
_AMBIGUOUS = {"US or SS": "US", "OB or OW": "OW", "US or OW": "OW", "US or SS or OW": "OW"}

_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_SIGN_BIT = 0x80
_DEFAULT = Charset()


def limit_of(vr: str) -> int:
    return VALUE_BYTES_MAX if vr in _TEXT or vr in _NUMBERS or vr in ("AT", "US or SS") else BINARY_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Setting:
    """What a data set says of the values in it. `declared`: the character set; `believed`: the one that a rule names,
    of every text. `is_signed`: by (0028,0103), where it is told."""

    declared: Charset = _DEFAULT
    believed: Charset | None = None
    is_signed: bool | None = None

    def charset(self, vr: str) -> Charset:
        return self.believed or (self.declared if vr in _IN_DECLARED_SET else _DEFAULT)


@dataclass(frozen=True, slots=True)
class Told:
    """`member`: of the JSON model. `text`: of a text, all of it; `number`: of a single integer. `problem`: what it is
    that does not decode."""

    member: dict[str, Any]
    text: str | None = None
    number: int | None = None
    problem: str | None = None


_NO_TEXT = "text that is not of its character set (`dicom_charset` in the rule can name another)"
_ODD_LENGTH = "numbers of an odd length"
_MANY_GROUPS = "a name of more than three groups"


def told(vr: str, raw: bytes, is_little: bool, setting: Setting) -> Told:
    vr = _resolved(vr, raw, is_little, setting)
    if vr in _TEXT:
        return _text(vr, raw, setting.charset(vr))
    if not raw:
        return Told({"vr": vr})
    if vr in _NUMBERS or vr == "AT":
        return _numbers(vr, raw, is_little)
    return _binary(vr, raw)


def _resolved(vr: str, raw: bytes, is_little: bool, setting: Setting) -> str:
    """One of several representations that a dictionary leaves open."""
    if vr != "US or SS":
        return _AMBIGUOUS.get(vr, vr)
    if setting.is_signed is None and any(byte & _SIGN_BIT for byte in raw[1 if is_little else 0 :: 2]):
        return "UN"
    return "SS" if setting.is_signed else "US"


def _binary(vr: str, raw: bytes, problem: str | None = None, text: str | None = None) -> Told:
    return Told({"vr": vr, "InlineBinary": base64.b64encode(raw).decode()}, text=text, problem=problem)


def _text(vr: str, raw: bytes, charset: Charset) -> Told:
    resets = b"\\^=" if vr == "PN" else b"" if vr in _TEXT_OF_ONE else b"\\"
    text = charset.decoded(raw.rstrip(b" \0"), resets)
    if text is None:
        return _binary(vr, raw, _NO_TEXT)
    if not text:
        return Told({"vr": vr}, text="")
    values = [text] if vr in _TEXT_OF_ONE else text.split("\\")
    if vr != "PN":
        return Told({"vr": vr, "Value": [value or None for value in values]}, text=text)
    names = [value.split("=") for value in values]
    if any(len(groups) > len(_NAME_GROUPS) for groups in names):
        return _binary(vr, raw, _MANY_GROUPS, text)
    return Told({"vr": vr, "Value": [_name(groups) for groups in names]}, text=text)


def _name(groups: list[str]) -> dict[str, str] | None:
    return dict(zip(_NAME_GROUPS, groups, strict=False)) if groups != [""] else None


def _numbers(vr: str, raw: bytes, is_little: bool) -> Told:
    order = "<" if is_little else ">"
    form = "HH" if vr == "AT" else _NUMBERS[vr]
    size = struct.calcsize(order + form)
    if len(raw) % size:
        return _binary(vr, raw, _ODD_LENGTH)
    numbers = struct.unpack(
        f"{order}{form * (len(raw) // size) if vr == 'AT' else f'{len(raw) // size}{form}'}", raw
    )
    if vr == "AT":
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        return Told({"vr": vr, "Value": [f"{group:04X}{element:04X}" for group, element in pairs]})
    if not all(map(math.isfinite, numbers)):
        return _binary(vr, raw)
    if vr in _LARGE:
        return Told({"vr": vr, "Value": [str(number) for number in numbers]})
    single = numbers[0] if len(numbers) == 1 and isinstance(numbers[0], int) else None
    return Told({"vr": vr, "Value": list(numbers)}, number=single)
