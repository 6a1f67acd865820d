"""How a DICOM file is written: where its elements begin, and by its transfer syntax in which form they are.

Files without preamble, or without any header, are told by their first element. What a transfer syntax says is believed
but for one thing: whether the first element names its representation is seen in it (PS3.5 §7.1).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import product
from string import ascii_uppercase
from typing import BinaryIO

from edge_agent.sources.kinds.dicomdictionary import is_standard

LONG = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
"""Of explicit representations, those whose length takes four bytes."""
_SHORT = frozenset("AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())  # noqa: SIM905
KNOWN = LONG | _SHORT
_POSSIBLE = frozenset(f"{first}{second}".encode() for first, second in product(ascii_uppercase, repeat=2))

_IMPLICIT = frozenset({"1.2.840.10008.1.2", "1.2.840.113619.5.2"})
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})

_PREAMBLE_BYTES = 128
_MAGIC = b"DICM"
_FIRST_GROUPS = frozenset({2, 4, 8})
_FIRST_VALUE_BYTES_MAX = 1024

FIRST_BYTES = 6
"""Of the first element, those that tell its form."""


def begins(stream: BinaryIO, size: int) -> int | None:
    """Where the elements of a DICOM file begin; None where it is none. Leaves the stream at its beginning."""
    head = stream.read(_PREAMBLE_BYTES + len(_MAGIC))
    stream.seek(0)
    if head[_PREAMBLE_BYTES:] == _MAGIC:
        return len(head)
    if head.startswith(_MAGIC):
        return len(_MAGIC)
    return 0 if len(head) > 8 and _is_first(head[:8], size) else None


def _is_first(header: bytes, size: int) -> bool:
    """Whether a file without preamble may begin so."""
    is_explicit = header[4:6].decode("latin-1") in KNOWN
    for order in "<>":
        group, element, length = struct.unpack(f"{order}HHL", header)
        if group in _FIRST_GROUPS and (element == 0 or is_standard(group << 16 | element)):
            return is_explicit or (order == "<" and length <= min(size - 8, _FIRST_VALUE_BYTES_MAX))
    return False


def is_deflated(syntax: str | None) -> bool:
    return syntax in _DEFLATED


@dataclass(frozen=True, slots=True)
class Form:
    is_implicit: bool
    is_little: bool

    @classmethod
    def of(cls, syntax: str | None, first: bytes) -> Form:
        """By the transfer syntax, if there is one, and the FIRST_BYTES of the data set."""
        is_explicit = is_representation(first[4:6])
        is_big = is_explicit and first[:1] == b"\0" if syntax is None else syntax == _BIG_ENDIAN
        return cls(not is_explicit if len(first) == FIRST_BYTES else syntax in _IMPLICIT, not is_big)


def is_representation(code: bytes) -> bool:
    """Whether it can be one; not every one is known."""
    return code in _POSSIBLE
