"""How likely bytes are as text of a charset: the logarithm, by which GB18030, Big5 and Latin-1 are weighed.

A naive Bayes over classes of characters: each class has a share of the text and spreads it over its characters. The
shares are rounded from the Chinese text of public data sets (half of it a list of diagnoses) and from Western European
letters. Only bytes beyond ASCII count, and ASCII that a two-byte character would swallow. Pure; decides nothing.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from edge_agent.sources import hanzi

_EVERYDAY = math.log(0.55 / 700)
_LEVEL_1 = math.log(0.32 / 4_000)
_LEVEL_2 = math.log(0.02 / 3_000)
_PUNCTUATION = math.log(0.09 / 80)
_SYMBOL = math.log(0.01 / 700)
_RARE = math.log(0.002 / 14_000)
_UNDECODABLE = -25.0

_SMALL_LETTER = math.log(0.7 / 30)
_LARGE_LETTER = math.log(0.1 / 30)
_SIGN = math.log(0.2 / 34)
_WINDOWS_SIGN = math.log(0.05 / 27)
_NO_CHARACTER = -15.0
_HIGH_AFTER_HIGH = math.log(0.04)
_LETTER_AFTER_HIGH = math.log(1 / 20)
_OTHER_AFTER_HIGH = math.log(1 / 400)

_HIGH_PAIR = re.compile(rb"[\x80-\xff](?=[\x80-\xff])")
_BEFORE_LETTER = re.compile(rb"[\x80-\xff](?=[a-z])")
_BEFORE_OTHER = re.compile(rb"[\x80-\xff](?=[\x40-\x60\x7b-\x7e])")  # a second byte in GB18030 and Big5

GB_LEVELS = (hanzi.GB_LEVEL_1, hanzi.GB_LEVEL_2)
BIG5_LEVELS = (hanzi.BIG5_LEVEL_1, hanzi.BIG5_LEVEL_2)


def chinese(counted: Counter[str], levels: tuple[frozenset[str], frozenset[str]]) -> float:
    """Of characters beyond ASCII, as often as they stand there; a byte that does not decode is a surrogate."""
    return sum(times * _of(char, *levels) for char, times in counted.items())


def _of(char: str, level_1: frozenset[str], level_2: frozenset[str]) -> float:
    if char in hanzi.EVERYDAY:
        return _EVERYDAY
    if char in level_1:
        return _LEVEL_1
    if char in level_2:
        return _LEVEL_2
    if char in hanzi.PUNCTUATION:
        return _PUNCTUATION
    if "\udc80" <= char <= "\udcff":
        return _UNDECODABLE
    return _SYMBOL if char < "\u3400" or char > "\uff00" else _RARE


def _western_bytes(is_windows: bool) -> Mapping[int, float]:
    found = dict.fromkeys(range(0xE0, 0x100), _SMALL_LETTER)
    found |= dict.fromkeys(range(0xC0, 0xE0), _LARGE_LETTER)
    found |= dict.fromkeys((*range(0xA0, 0xC0), 0xD7, 0xF7), _SIGN)
    found |= dict.fromkeys(range(0x80, 0xA0), _WINDOWS_SIGN if is_windows else _NO_CHARACTER)
    return found | dict.fromkeys((0x81, 0x8D, 0x8F, 0x90, 0x9D), _NO_CHARACTER)


_LATIN_1, _WINDOWS = _western_bytes(is_windows=False), _western_bytes(is_windows=True)


def western(samples: Sequence[bytes], *, is_windows: bool) -> float:
    """As Latin-1, or as the code page 1252 of Windows."""
    shares = _WINDOWS if is_windows else _LATIN_1
    counted = Counter(byte for sample in samples for byte in sample if byte >= 0x80)
    letters = sum(times * shares[byte] for byte, times in counted.items())
    return letters + sum(
        len(_HIGH_PAIR.findall(sample)) * _HIGH_AFTER_HIGH
        + len(_BEFORE_LETTER.findall(sample)) * _LETTER_AFTER_HIGH
        + len(_BEFORE_OTHER.findall(sample)) * _OTHER_AFTER_HIGH
        for sample in samples
    )
