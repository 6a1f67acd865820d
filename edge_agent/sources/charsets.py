"""What charset bytes are in, with a stated confidence: by a mark, the shape of UTF-16, strict decoding, or likelihood.

UTF-8 proves itself: text of another charset decodes as UTF-8 by accident only where it is a word or two. GB18030 and
Big5 decode much of each other's bytes, and Latin-1 decodes all, so among these the likelihood of the characters decides
(`likelihood`). GBK and GB2312 are called gb18030, which reads them alike. A few bytes that do not decode do not turn
the choice; what they are is for the reader to set aside.

What it cannot tell: one single-byte charset from another (Cyrillic or Western, it says latin-1 or cp1252); Japanese and
Korean, which it takes for GB18030 or Big5; GB18030 from Big5 in a word or two; cp950 or Big5-HKSCS from Big5 where no
character is of theirs alone; UTF-32, UTF-7 and what escapes shift; text in several charsets; the charset of bytes that
were not among the samples. charset-normalizer is not used: see docs/files.md, "Character sets", for what was measured.
"""

from __future__ import annotations

import codecs
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from edge_agent.sources import hanzi, likelihood
from protocol.limits import KIB, MIB

WHOLE_BYTES_MAX = MIB
"""A file up to this is judged by all its bytes."""
HEAD_BYTES = 256 * KIB
SAMPLE_BYTES = 64 * KIB
SAMPLES = 8
"""Further samples of a larger file, evenly spread; the last is its end."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    ("\ufeff".encode("gb18030"), "gb18030"),
)
_NO_TEXT_SHARE = 0.05
"""Of control characters, from which on bytes are no text."""
_CONTROLS = bytes(set(range(0x20)) - set(b"\t\n\v\f\r\x1a\x1b\x1c\x1d\x1e\x1f"))
_NUL_SHARE = 0.02
"""Of the units of UTF-16 that are below 256; tables have more of them by their separators alone."""
_UTF8_PROOF = 10
"""Characters that must decode for each byte that does not."""
_LONE_CHARACTER = re.compile(rb"(?<![\x80-\xff])[\x80-\xff]{2}(?![\x80-\xff])")
_CONFIDENCE_MAX = 0.99
_DAMAGED_MAX = 0.9
_WESTERN = ("latin-1", "cp1252")
_WESTERN_MAX = 0.8
"""Every byte is a character there, so that nothing but likelihood speaks for it."""
_NATS_DAMPED = 4.0
"""Characters of a text are not independent, as naive Bayes has it: measured, its odds are that many times too sure."""


@dataclass(frozen=True, slots=True)
class Charset:
    """`encoding`: Python's name. `confidence`: 0 (no text) to 1. `why`: in a few words, without content."""

    encoding: str
    confidence: float
    why: str


def of_stream(stream: BinaryIO, size: int) -> Charset:
    """Of a file that can seek, by at most WHOLE_BYTES_MAX of it; its place is 0 afterwards."""
    stream.seek(0)
    if size <= WHOLE_BYTES_MAX:
        found = detect(stream.read(WHOLE_BYTES_MAX))
    else:
        head = stream.read(HEAD_BYTES)
        found = detect(head, [_sample(stream, place) for place in _places(size)], is_whole=False)
    stream.seek(0)
    return found


def _places(size: int) -> Iterable[int]:
    last = size - SAMPLE_BYTES
    return (HEAD_BYTES + (last - HEAD_BYTES) * i // SAMPLES for i in range(1, SAMPLES + 1))


def _sample(stream: BinaryIO, place: int) -> bytes:
    """From the first line break on: no character of GB18030, Big5 or UTF-8 holds that byte."""
    stream.seek(place)
    return stream.read(SAMPLE_BYTES).partition(b"\n")[2]


def detect(head: bytes, further: Sequence[bytes] = (), *, is_whole: bool = True) -> Charset:
    """Of a file's first bytes, and of samples that begin with a character. `is_whole`: `head` is the file; else the
    character at the end of each may be cut."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return Charset(encoding, 1.0, "a byte order mark")
    found = _utf16(head)
    if found is not None:
        return found
    samples = (head, *further)
    count = sum(map(len, samples))
    if sum(len(s) - len(s.translate(None, _CONTROLS)) for s in samples) > _NO_TEXT_SHARE * count:
        return Charset("latin-1", 0.0, "no text")
    if all(map(bytes.isascii, samples)):
        sure = 1.0 if is_whole else 0.8
        return Charset("utf-8", sure, "ASCII alone" if is_whole else "ASCII alone as far as it was read")
    return _utf8(samples, is_whole) or _likeliest(samples, is_whole)


def _decoded(samples: Sequence[bytes], encoding: str, is_whole: bool) -> Counter[str]:
    """How often each character beyond ASCII stands there; a byte that does not decode is a surrogate."""
    counted: Counter[str] = Counter()
    for sample in samples:
        decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
        counted.update(decoder.decode(sample, final=is_whole))
    return Counter({char: times for char, times in counted.items() if char > "\x7f"})


def _bad(counted: Counter[str]) -> int:
    return sum(times for char, times in counted.items() if "\udc80" <= char <= "\udcff")


def _utf16(head: bytes) -> Charset | None:
    units = len(head) // 2
    if units < 2:
        return None
    for order, high in (("le", head[1::2]), ("be", head[0::2])):
        if high.count(0) < _NUL_SHARE * units:
            continue
        text = head[: units * 2].decode(f"utf-16-{order}", "replace")
        if sum(map(_is_usual, text)) > 0.95 * len(text):
            return Charset(f"utf-16-{order}", 0.95, "zeros where UTF-16 has them")
    return None


def _is_usual(char: str) -> bool:
    return (
        " " <= char <= "~"
        or char in "\t\r\n"
        or "\xa0" <= char <= "\u017f"
        or "\u2010" <= char <= "\u22ff"
        or "\u3000" <= char <= "\u303f"
        or "\u4e00" <= char <= "\u9fff"
        or "\uff01" <= char <= "\uffe5"
    )


def _utf8(samples: Sequence[bytes], is_whole: bool) -> Charset | None:
    counted = _decoded(samples, "utf-8", is_whole)
    bad = _bad(counted)
    if not counted or counted.total() - bad < _UTF8_PROOF * bad:
        return None
    if bad:
        return Charset("utf-8", 0.8, "UTF-8 but for some bytes")
    if max(counted) < "\u0800" and _is_everyday_chinese(samples, is_whole):
        return Charset("gb18030", 0.6, "everyday characters, although it were UTF-8, too")
    return Charset("utf-8", _CONFIDENCE_MAX, "UTF-8 without a fault")


def _is_everyday_chinese(samples: Sequence[bytes], is_whole: bool) -> bool:
    """Whether it is words of everyday characters; a single one stands for an accented letter as often."""
    has_letters = any(_LONE_CHARACTER.search(sample) for sample in samples)
    return not has_letters and _decoded(samples, "gb18030", is_whole).keys() <= hanzi.EVERYDAY


def _likeliest(samples: Sequence[bytes], is_whole: bool) -> Charset:
    gb = _decoded(samples, "gb18030", is_whole)
    big5, big5_counted = _big5(samples, is_whole)
    windows = likelihood.western(samples, is_windows=True)
    latin = likelihood.western(samples, is_windows=False)
    ranked = sorted(
        [
            (likelihood.chinese(gb, likelihood.GB_LEVELS), "gb18030", _bad(gb)),
            (likelihood.chinese(big5_counted, likelihood.BIG5_LEVELS), big5, _bad(big5_counted)),
            (max(latin, windows), "latin-1" if latin >= windows else "cp1252", 0),
        ],
        reverse=True,
    )
    (best, encoding, bad), (second, _, _) = ranked[:2]
    sure = 1 / (1 + math.exp(-min(best - second, 100.0) / _NATS_DAMPED))
    if encoding in _WESTERN:
        return Charset(encoding, round(min(sure, _WESTERN_MAX), 2), "letters as Western European has them")
    if bad:
        return Charset(encoding, round(min(sure, _DAMAGED_MAX), 2), "common characters but for some bytes")
    return Charset(encoding, round(min(sure, _CONFIDENCE_MAX), 2), "common characters")


def _big5(samples: Sequence[bytes], is_whole: bool) -> tuple[str, Counter[str]]:
    """The first of its forms that decodes all, or else the one that decodes most."""
    best: tuple[str, Counter[str]] | None = None
    for name in ("big5", "cp950", "big5hkscs"):
        counted = _decoded(samples, name, is_whole)
        if best is None or _bad(counted) < _bad(best[1]):
            best = name, counted
        if not _bad(counted):
            break
    assert best is not None
    return best
