"""Whether text is a table whose values a delimiter separates, and how it is written.

For each delimiter the csv module reads the text; the first under which all records have equally many values is it. That
much is true of dumps, logs and source code, too, so a text that looks like one of them is no table unless its name says
so. Under a name that says so a few ragged lines are suffered, for the kind to refuse them with their number. Pure.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".psv")
NO_TABLE_SUFFIXES = frozenset(
    {
        *(
            ".sql",
            ".log",
            ".md",
            ".rst",
            ".tex",
            ".html",
            ".htm",
            ".xhtml",
            ".css",
            ".js",
            ".ts",
            ".py",
            ".java",
        ),
        *(
            ".c",
            ".h",
            ".cpp",
            ".hpp",
            ".cs",
            ".go",
            ".rs",
            ".rb",
            ".php",
            ".pl",
            ".sh",
            ".bat",
            ".cmd",
            ".ps1",
        ),
        *(".vbs", ".ini", ".conf", ".cfg", ".properties", ".toml", ".yaml", ".yml", ".eml", ".rtf", ".xml"),
        *(".json", ".license", ".notice"),
    }
)

_DELIMITERS = "\t|^;,"
"""The rarer within values first."""
_RAGGED_SHARE_MAX = 0.2
_RECORDS_MIN = 2
_CELL_CHARS_MAX = 200
"""Of the median: longer values are prose."""


@dataclass(frozen=True, slots=True)
class Separated:
    delimiter: str
    quote: str
    header: bool
    confidence: float
    why: str


@dataclass(frozen=True, slots=True)
class _Reading:
    delimiter: str
    quote: str
    records: Sequence[Sequence[str]]
    width: int
    even_share: float
    """Of records that have that many values."""


def of(text: str, suffix: str, *, is_whole: bool) -> Separated | None:
    """None where it is no table. `is_whole`: the last record is not cut off."""
    is_named = suffix in TABLE_SUFFIXES
    if suffix in NO_TABLE_SUFFIXES or (not is_named and _is_something_else(text)):
        return None
    readings = [reading for one in _DELIMITERS if (reading := _best_quote(text, one, is_whole=is_whole))]
    even = [one for one in readings if one.even_share == 1]
    if even:
        best = even[0]
        if is_named or _is_plausible(best):
            return _found(best, 0.95 if is_named else 0.85, "equally many values in each record")
        return None
    if not is_named:
        return None
    if ragged := [one for one in readings if one.even_share >= 1 - _RAGGED_SHARE_MAX]:
        best = max(ragged, key=lambda one: (one.even_share, one.width))
        return _found(best, 0.6, "equally many values in most records, and its name")
    return _single(text, is_whole=is_whole)


def _found(reading: _Reading, confidence: float, why: str) -> Separated:
    return Separated(reading.delimiter, reading.quote, _has_header(reading.records), confidence, why)


def _single(text: str, *, is_whole: bool) -> Separated | None:
    """A table of one column, which only its name can tell."""
    if any(delimiter in text for delimiter in _DELIMITERS):
        return None
    records = _records(text, ",", '"', is_whole=is_whole)
    return Separated(",", '"', _has_header(records), 0.6, "one column, by its name") if records else None


def _best_quote(text: str, delimiter: str, *, is_whole: bool) -> _Reading | None:
    if delimiter not in text:
        return None
    tried = [
        _read(text, delimiter, quote, is_whole=is_whole) for quote in ('"', "") if not quote or quote in text
    ]
    readings = [one for one in tried if one is not None]
    if not readings:
        return None
    best = max(readings, key=lambda one: one.even_share)
    if '"' not in text:  # a quote that is not needed yet may be tomorrow
        best = _Reading(delimiter, '"', best.records, best.width, best.even_share)
        if _is_single_quoted(best) and (single := _read(text, delimiter, "'", is_whole=is_whole)):
            return single if single.even_share >= best.even_share else best
    return best


def _read(text: str, delimiter: str, quote: str, *, is_whole: bool) -> _Reading | None:
    records = _records(text, delimiter, quote, is_whole=is_whole)
    if not records or len(records) < _RECORDS_MIN:
        return None
    (width, times), *_ = Counter(map(len, records)).most_common(1)
    if width < 2:
        return None
    return _Reading(delimiter, quote, records, width, times / len(records))


def _records(text: str, delimiter: str, quote: str, *, is_whole: bool) -> list[list[str]] | None:
    """As strictly as the kind reads them; None where it would refuse them for their quotes."""
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        strict=True,
    )
    records: list[list[str]] = []
    try:
        records.extend(record for record in reader if record)
    except csv.Error as error:
        if is_whole or "unexpected end of data" not in str(error):
            return None
        return records
    return records if is_whole else records[:-1]


_NUMBER = re.compile(r"(?=[^0-9]{0,3}[0-9])[-+\d.,:/ TZ%]{1,40}")
"""Or a date or time."""
_SQL = re.compile(
    r"^[ \t]*(?:INSERT\s+INTO|CREATE\s+(?:TABLE|INDEX|VIEW|DATABASE)|DROP\s+TABLE|ALTER\s+TABLE|UPDATE\s+\S+\s+SET"
    r"|DELETE\s+FROM|SELECT\s.+\sFROM|REPLACE\s+INTO|COPY\s[^\n]*\sFROM\s+stdin)\b",
    re.IGNORECASE | re.MULTILINE,
)
_LOG_LINE = re.compile(r"^.{0,60}\b(?:TRACE|DEBUG|INFO|WARN|WARNING|ERROR|FATAL|CRITICAL)\b", re.MULTILINE)
_TIME_LINE = re.compile(r"^\W{0,2}\d{4}[-/]\d\d[-/]\d\d[ T]\d\d:\d\d:\d\d,\d{3}\s", re.MULTILINE)
_CODE_LINE = re.compile(
    r"^.*[;{}][ \t]*\r?$|^[ \t]*(?:#include|import|from \S+ import|def|class|function|return)\b", re.MULTILINE
)


def _is_something_else(text: str) -> bool:
    """A dump, a log or source code."""
    lines = max(1, sum(1 for line in text.splitlines() if line.strip()))
    code = sum(1 for _ in _CODE_LINE.finditer(text))
    logged = sum(1 for _ in _LOG_LINE.finditer(text)) + sum(1 for _ in _TIME_LINE.finditer(text))
    return _SQL.search(text) is not None or code > lines / 3 or logged > lines / 2


def _is_plausible(reading: _Reading) -> bool:
    """Whether what nobody named a table may be one: values that are no sentences, and not just a few of them."""
    cells = [cell for record in reading.records for cell in record if cell]
    if not cells or sorted(map(len, cells))[len(cells) // 2] > _CELL_CHARS_MAX:
        return False
    if reading.delimiter in "\t|^":
        return True
    if len(reading.records) * (reading.width - 1) < 4:
        return False
    behind = [cell for record in reading.records for cell in record[1:]]
    sentences = sum(cell.startswith(" ") and " " in cell.strip() for cell in behind)
    ends = sum(record[-1].rstrip().endswith((".", "。", "!", "?")) for record in reading.records)
    return sentences < len(behind) / 4 and ends < len(reading.records) / 4


def _is_single_quoted(reading: _Reading) -> bool:
    cells = [cell for record in reading.records for cell in record if cell]
    return sum(len(cell) > 1 and cell[0] == cell[-1] == "'" for cell in cells) > len(cells) / 3


def _has_header(records: Sequence[Sequence[str]]) -> bool:
    """Whether the first record names columns: each cell once, none empty or a number, and none again below itself."""
    first, rest = records[0], records[1:]
    if not all(map(str.strip, first)) or len(set(first)) != len(first):
        return False
    if any(map(_NUMBER.fullmatch, first)):
        return False
    return not any(
        cell == record[place] for record in rest for place, cell in enumerate(first) if place < len(record)
    )
