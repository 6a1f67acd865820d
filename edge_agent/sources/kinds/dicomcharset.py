"""Character sets of DICOM text: what (0008,0005) declares, and text by it, or none at all.

A text is decoded by PS3.5 §6.1.2: one code that stands alone (ISO_IR 192, GB18030, GBK), or ISO 2022 with the sets in
G0 and G1 that its escape sequences call, which are forgotten at a delimiter. pydicom does not serve here: it reads
undeclared bytes above 7F as Latin-1 and puts U+FFFD for what does not decode, with a warning, where nothing may be
guessed (promise 7); its strict mode is a switch of the whole process. An escape sequence counts by its registration,
declared or not; spellings such as `ISO-IR 100` are taken for what they can only mean. Pure, and knows no file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_STAND_ALONE = {"ISOIR192": "utf-8", "UTF8": "utf-8", "GB18030": "gb18030", "GBK": "gbk", "ISO2022GBK": "gbk"}

_ASCII = "ascii"
_ROMAJI = "jis x 0201 romaji"
_KATAKANA = "jis x 0201 katakana"
_JIS_0208 = "jis x 0208"
_JIS_0212 = "jis x 0212"

_RIGHT_HALVES = {
    "6": None,
    "13": _KATAKANA,
    "58": "gb2312",
    "87": None,
    "100": "iso8859_1",
    "101": "iso8859_2",
    "109": "iso8859_3",
    "110": "iso8859_4",
    "126": "iso8859_7",
    "127": "iso8859_6",
    "138": "iso8859_8",
    "144": "iso8859_5",
    "148": "iso8859_9",
    "149": "euc_kr",
    "159": None,
    "166": "tis_620",
    "203": "iso8859_15",
}
"""What stands in G1 where this registered set is the first: PS3.3 tables C.12-2 to C.12-4."""

_CALLS_G0 = {b"(B": _ASCII, b"(J": _ROMAJI, b"$B": _JIS_0208, b"$(D": _JIS_0212}
_CALLS_G1 = {
    b")I": _KATAKANA,
    b"$)A": "gb2312",
    b"$)C": "euc_kr",
    b"-A": "iso8859_1",
    b"-B": "iso8859_2",
    b"-C": "iso8859_3",
    b"-D": "iso8859_4",
    b"-F": "iso8859_7",
    b"-G": "iso8859_6",
    b"-H": "iso8859_8",
    b"-L": "iso8859_5",
    b"-M": "iso8859_9",
    b"-T": "tis_620",
    b"-b": "iso8859_15",
}

_TERM = re.compile(r"ISO(?:2022)?IR(\d+)|ISO2022(58)")
_PAIRED = frozenset({_JIS_0208, _JIS_0212})
_ROMAJI_CHARACTERS = str.maketrans("\\~", "¥‾")  # 5C and 7E of ISO-IR 14
_C1_END = 0xA0


@dataclass(frozen=True, slots=True)
class Charset:
    """`codec` of a text that is one code, else the sets that stand in G0 and G1 at its beginning. `is_known`: whether
    all that was declared has a meaning; what has none counts as ASCII."""

    codec: str | None = None
    g0: str = _ASCII
    g1: str | None = None
    is_known: bool = True

    @classmethod
    def of(cls, declared: str) -> Charset:
        """The meaning of (0008,0005), its values parted by backslashes."""
        terms = [re.sub(r"[ _\-]", "", term.upper()) for term in declared.split("\\")]
        if terms[0] in _STAND_ALONE:
            return cls(codec=_STAND_ALONE[terms[0]])
        first = _registered(terms[0])
        is_known = all(_registered(term) is not None for term in terms)
        if first is None:
            return cls(is_known=False)
        return cls(g0=_ROMAJI if first == "13" else _ASCII, g1=_RIGHT_HALVES[first], is_known=is_known)

    def decoded(self, raw: bytes, resets: bytes = b"") -> str | None:
        """`raw` as text, or None where it is none of this set. `resets`: delimiters of the value beside line ends."""
        try:
            if self.codec is not None:
                return raw.decode(self.codec)
            if self.g0 == _ASCII and raw.isascii() and b"\x1b" not in raw:
                return raw.decode("ascii")
            return self._extended(raw, resets)
        except UnicodeError:
            return None

    def _extended(self, raw: bytes, resets: bytes) -> str:
        """By ISO 2022. Raises UnicodeError."""
        out: list[str] = []
        g0, g1 = self.g0, self.g1
        at = 0
        while at < len(raw):
            token = _tokens(g0 in _PAIRED, resets).match(raw, at)
            if token is None:
                raise UnicodeError
            at = token.end()
            match token.lastgroup:
                case "call":
                    g0, g1 = _called(token["call"], g0, g1)
                case "right":
                    out.append(_right(g1, token["right"]))
                case "left":
                    out.append(_left(g0, token["left"]))
                case "reset":
                    out.append(token["reset"].decode("ascii"))
                    g0, g1 = self.g0, self.g1
                case _:
                    out.append(token[0].decode("ascii"))
        return "".join(out)


@lru_cache(maxsize=16)
def _tokens(is_paired: bool, resets: bytes) -> re.Pattern[bytes]:
    """What stands together in a text. Within pairs of bytes only a line end can be a delimiter."""
    ends = re.escape(b"\t\n\f\r" + (b"" if is_paired else resets))
    left = rb"[\x21-\x7e]+" if is_paired else rb"[^\x1b\x80-\xff" + ends + rb"]+"
    return re.compile(
        rb"\x1b(?P<call>\$?[()\-]?[A-Za-z])|(?P<right>[\x80-\xff]+)|(?P<left>" + left + rb")"
        rb"|(?P<reset>[" + ends + rb"])|(?P<blank>[\x00-\x1a\x1c-\x20\x7f])",
    )


def _called(sequence: bytes, g0: str, g1: str | None) -> tuple[str, str | None]:
    if sequence in _CALLS_G0:
        return _CALLS_G0[sequence], g1
    if sequence in _CALLS_G1:
        return g0, _CALLS_G1[sequence]
    raise UnicodeError


def _registered(term: str) -> str | None:
    if not term:
        return "6"
    found = _TERM.fullmatch(term)
    number = found and (found[1] or found[2])
    return number if number in _RIGHT_HALVES else None


def _left(g0: str, raw: bytes) -> str:
    if g0 not in _PAIRED:
        text = raw.decode("ascii")
        return text.translate(_ROMAJI_CHARACTERS) if g0 == _ROMAJI else text
    if len(raw) % 2:
        raise UnicodeError
    code = bytes(byte | 0x80 for byte in raw)
    if g0 == _JIS_0212:
        code = b"".join(b"\x8f" + code[i : i + 2] for i in range(0, len(code), 2))
    return code.decode("euc_jp")


def _right(g1: str | None, raw: bytes) -> str:
    # C1 controls stand in no text of DICOM: they are the first halves of a code that was not declared.
    if g1 is None or min(raw) < _C1_END:
        raise UnicodeError
    return raw.decode("shift_jis" if g1 == _KATAKANA else g1)
