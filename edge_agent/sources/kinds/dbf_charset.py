"""In which encoding the text of a DBF file is.

Four may say it, and the first that does counts: the rule (people know of files that lie, as those that say Windows ANSI
and hold GBK), a `.cpg` file beside it, the header's language driver, and last the text itself (`charsets`): Chinese in
GBK, as in China whatever names no code page, in UTF-8 or Big5. Where it looks like none, only ASCII is read and all
else stands aside, for a guess would be carried without a word. dbfread's table of the drivers is used; but its "ascii"
of a missing one is not, and its GBK is read as GB18030: the same characters wherever Python's GBK has one, and those of
users (EUDC) as Windows has them.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from dbfread.codepages import codepages

from edge_agent.sources import charsets
from edge_agent.sources.filerule import AUTO, FileRule
from edge_agent.sources.kinds.dbf_header import Header
from edge_agent.sources.kinds.kind import Opened
from protocol.limits import KIB

CHINESE = "gb18030"
UTF_8 = "utf-8"
ASCII = "ascii"
_OF_WINDOWS = {"65001": UTF_8, "936": CHINESE, "20936": CHINESE, "54936": CHINESE}
_GBK = frozenset({"gbk", "gb2312"})
_PLAIN = bytes(range(0x20, 0x7F)).replace(b"\\", b"").replace(b"~", b"")
"""What every code page has in common; Shift-JIS has its own mind about the other two."""
_NO_LANGUAGE = frozenset({0, 0x57})
"""0x57 is what Delphi's and ArcView's programs write: Windows' own code page, whatever it was, in China GBK."""
_CPG_BYTES_MAX = 256
_EVERYDAY = "gb2312"
_SAMPLE_BYTES = 256 * KIB
_FOUND_OUT = frozenset({UTF_8, CHINESE, "big5", "cp950", "big5hkscs"})
"""What text may be found to be in. Of code pages of one byte a character, each reads the bytes of every other."""


def charset(opened: Opened, rule: FileRule, header: Header) -> str:
    """Python's name of it. Rejected GC-2008 where what is declared is none of a DBF file."""
    if rule.encoding != AUTO and "encoding" in rule.model_fields_set:
        return _usable(opened, rule.encoding, "its rule names an encoding that no DBF file has")
    named = opened.companions.get(".cpg")
    if named is not None:
        named.seek(0)
        text = named.read(_CPG_BYTES_MAX).decode("ascii", "replace").strip("\0\ufeff \r\n\t")
        if text:
            return _usable(
                opened, _of_cpg(text), "its .cpg file names no code page that is known; declare `encoding`"
            )
    if header.language in codepages and header.language not in _NO_LANGUAGE:
        return _usable(opened, codepages[header.language][0], "")
    return _of_text(opened, header)


def _of_cpg(text: str) -> str:
    """As ArcGIS, QGIS and others write it: UTF-8, 65001, 936, ANSI 1251, OEM 866, 88591, ISO 8859-1, GBK, …"""
    name = text.lower().replace("windows-", "").replace("iso 8859", "iso8859")
    number = re.fullmatch(r"(?:ansi|oem|cp|ms)?[ _-]?(\d{3,5})", name)
    if number is None:
        return name
    digits = number[1]
    if digits in _OF_WINDOWS:
        return _OF_WINDOWS[digits]
    return f"iso8859-{digits[4:]}" if digits.startswith("8859") else f"cp{digits}"


def _usable(opened: Opened, name: str, problem: str) -> str:
    try:
        found = codecs.lookup(name).name
        if _PLAIN.decode(found).encode(found) != _PLAIN:
            raise LookupError
    except (LookupError, ValueError):
        raise opened.refused(problem) from None
    return CHINESE if found in _GBK else found


def _of_text(opened: Opened, header: Header) -> str:
    texts = [text for text in _sample(opened, header) if not text.isascii()]
    if not texts:
        return CHINESE
    found = charsets.detect(b"\n".join(texts)).encoding
    likely = sum(_is_likely(text, found) for text in texts)
    return found if found in _FOUND_OUT and 2 * likely >= len(texts) else ASCII


def _sample(opened: Opened, header: Header) -> Iterator[bytes]:
    """Texts of the first records."""
    opened.stream.seek(header.length)
    size = header.record_bytes
    first = opened.stream.read(max(1, min(_SAMPLE_BYTES // size, header.records)) * size)
    for at in range(0, len(first) - size + 1, size):
        for field in header.fields:
            if field.letter == "C" and not field.is_binary:
                yield first[at + field.start : at + field.stop].rstrip(b" \0")


def _is_likely(text: bytes, encoding: str) -> bool:
    """Whether these bytes are of the encoding, and if it is GB18030, mostly of its everyday characters: `charsets`
    takes a few words of Russian for rare ones."""
    try:
        # What the end of the field cuts in two is no sign against the encoding.
        beyond = [c for c in codecs.getincrementaldecoder(encoding)().decode(text) if not c.isascii()]
    except UnicodeError:
        return False
    everyday = sum(bool(c.encode(_EVERYDAY, "ignore")) for c in beyond)
    return encoding != CHINESE or 2 * everyday >= len(beyond)
