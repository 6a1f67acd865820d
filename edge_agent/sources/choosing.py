"""What a file is, for kind `auto`: by its first bytes, and where these say nothing, by its name.

In this order: what binary formats begin with (`signs`), XML, JSON, HL7, then tables of text by their delimiter
(`separated`); everything else is a `file`. It is careful with tables: what is taken for one by mistake is refused later
or, worse, becomes rows, while a table that was taken for a file still lands as bytes. Fixed widths are never found out.
Pure: it sees the first 64 KiB, the name and the size, and nothing else; the caller keeps what was chosen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from edge_agent.sources import charsets, jsonhead, separated, signs
from edge_agent.sources.charsets import Charset
from edge_agent.sources.filerule import AUTO

NDJSON_SUFFIXES = (".ndjson", ".jsonl")
JSON_SUFFIXES = (".json", *NDJSON_SUFFIXES)
_OF_NO_TEXT = {
    ".dcm": "dicom",
    ".dbf": "dbf",
    ".xls": "excel",
    ".xlsx": "excel",
    ".parquet": "parquet",
}
"""What bytes without any sign are by their name, so that their kind says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class Choice:
    """`kind`, and how it is to be read, as a FileRule has it; `encoding` "auto": the kind finds out. `confidence` is
    0 where there is nothing to go by yet, as in an empty file; else up to 1. `why`: without content."""

    kind: str
    confidence: float
    why: str
    encoding: str = AUTO
    delimiter: str = ","
    quote: str = '"'
    header: bool = True


def choose(name: str, head: bytes, size: int) -> Choice:
    """`name`: the path below the folder. `head`: the first 64 KiB of `size` bytes."""
    suffix = _suffix(name)
    if not head:
        return Choice("file", 0.0, "it is empty")
    if sign := signs.of(head, suffix):
        return Choice(sign.kind, sign.confidence, sign.why)
    charset = charsets.detect(head, is_whole=size <= len(head))
    if not charset.confidence:
        if suffix in _OF_NO_TEXT:
            return Choice(_OF_NO_TEXT[suffix], 0.5, "by its name alone")
        return Choice("file", 0.9, "no text, and no format that is known here")
    text = _text(head, charset)
    if charset.encoding == "utf-8" and head.isascii():
        # What comes behind, or is appended tomorrow, may be in any charset.
        charset = replace(charset, encoding=AUTO)
    return _by_text(text, suffix, charset, is_whole=size <= len(head))


def _suffix(name: str) -> str:
    place = name.rfind(".")
    return name[place:].lower() if place > name.rfind("/") else ""


def _text(head: bytes, charset: Charset) -> str:
    """Without a mark; what is cut at the end is left out."""
    return head.decode(charset.encoding, "ignore").removeprefix("\ufeff")


_HL7 = re.compile(r"[\s\x0b]*(MSH|FHS|BHS)[^\w\s\x00-\x1f](?=[^\w\s])")
_HL7_LINE = re.compile(r"^MSH[^\w\s\x00-\x1f](?=[^\w\s])", re.MULTILINE)
_XML_ROOT = re.compile(
    r"\s*+(?:(?:<\?[^>]*>|<!--(?:(?!-->).)*+-->|<!DOCTYPE[^>\[]*+(?:\[[^\]]*+\]\s*+)?>)\s*+)*+<(?:[\w.-]+:)?([\w.-]+)",
    re.DOTALL,
)


def _by_text(text: str, suffix: str, charset: Charset, *, is_whole: bool) -> Choice:
    if _HL7.match(text):
        return Choice("hl7", 0.99, "it begins as an HL7 message, batch or file")
    if suffix == ".hl7" and _HL7_LINE.search(text):
        return Choice("hl7", 0.6, "an HL7 message behind something else, and its name")
    if text.lstrip()[:1] == "<":
        return _xml(text)
    found = jsonhead.of(text, is_whole=is_whole)
    if found and (found.is_sound or suffix in JSON_SUFFIXES):
        return _json(found, suffix, charset)
    table = separated.of(text, suffix, is_whole=is_whole)
    if table is None:
        return Choice("file", 0.8, "text, and no table of any delimiter", charset.encoding)
    return Choice(
        "csv",
        round(min(table.confidence, charset.confidence), 2),
        f"{table.why}; {charset.why}",
        charset.encoding,
        table.delimiter,
        table.quote,
        table.header,
    )


def _xml(text: str) -> Choice:
    root = _XML_ROOT.match(text)
    if root and root[1] == "ClinicalDocument":
        return Choice("cda", 0.99, "XML whose root is ClinicalDocument")
    return Choice("file", 0.9, "XML or HTML that is no clinical document")


def _json(found: jsonhead.JsonHead, suffix: str, charset: Charset) -> Choice:
    said = (0.95, "JSON") if found.is_sound else (0.6, "JSON up to some place, and its name")
    if found.is_fhir:
        return Choice("fhir", said[0], f"{said[1]}, with a resourceType", charset.encoding)
    if found.is_lines or suffix in NDJSON_SUFFIXES:
        return Choice("ndjson", said[0], f"{said[1]}, an object a line", charset.encoding)
    return Choice("json", *said, charset.encoding)
