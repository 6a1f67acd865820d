"""A folder of CSV files as it stands, read by the csv module: every value is text, an empty one is ''.

A file is a table named by its path below the folder; a rule may give several files as one table, and says how
they are written. Reads no settings of the agent: what it must know is told on the command line.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from protocol import canonical

from .catalogue import ComparisonError, Name, shown

BATCH_ROWS = 5_000
_PASSED_OVER = (".", "~$")
_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload")
_FIELD_CHARS_MAX = 1 << 26


@dataclass(frozen=True, slots=True)
class CsvRule:
    """How the files that match `glob` are written. The first rule that matches counts."""

    glob: str = "**/*.csv"
    table: str | None = None
    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'
    header: bool = True

    @classmethod
    def parse(cls, text: str) -> CsvRule:
        """`GLOB` or `GLOB:member=value,…`, a tab being `\\t` and a comma `comma`. Raises ComparisonError."""
        glob, _, rest = text.partition(":")
        given: dict[str, Any] = dict(part.partition("=")[::2] for part in rest.split(",") if part)
        words = {"comma": ",", "\\t": "\t", "tab": "\t"}
        if not set(given) <= {"table", "encoding", "delimiter", "quote", "header"}:
            raise ComparisonError(f"not a rule for CSV files: {text}")
        if "delimiter" in given:
            given["delimiter"] = words.get(given["delimiter"], given["delimiter"])
        if "header" in given:
            given["header"] = given["header"] not in ("no", "false", "0")
        return cls(glob, **given)

    def matches(self, name: str) -> bool:
        pieces = re.findall(r"\*\*/|\*|\?|.", self.glob, re.DOTALL)
        known = {"**/": "(?:[^/]*/)*", "*": "[^/]*", "?": "[^/]"}
        pattern = "".join(known.get(piece) or re.escape(piece) for piece in pieces)
        return re.fullmatch(pattern, name, re.IGNORECASE | re.DOTALL) is not None


class CsvFolder:
    """The tables below `root`."""

    def __init__(self, root: Path, rules: Sequence[CsvRule] = ()) -> None:
        if not root.is_dir():
            raise ComparisonError("there is no such folder")
        self._tables: dict[str, tuple[CsvRule, list[Path]]] = {}
        for name, path in sorted(_files(root)):
            rule = next((rule for rule in rules or (CsvRule(),) if rule.matches(name)), None)
            if rule is not None:
                self._tables.setdefault(rule.table or name, (rule, []))[1].append(path)

    def close(self) -> None:
        """Nothing is held open."""

    def tables(self) -> list[Name]:
        return [(None, None, name) for name in sorted(self._tables)]

    def columns(self, table: Name) -> tuple[str, ...]:
        rule, paths = self._tables[shown(table)]
        with _Records(paths[0], rule) as records:
            return records.columns

    def rows(self, table: Name, wires: Mapping[str, pa.DataType | None]) -> Iterator[list[list[bytes]]]:
        """As SqliteDatabase.rows: cells by column, batch by batch."""
        rule, paths = self._tables[shown(table)]
        columns = self.columns(table)
        for path in paths:
            with _Records(path, rule) as records:
                if records.columns != columns:
                    raise ComparisonError(f"{path.name} has other columns than {paths[0].name}")
                while batch := list(islice(records, BATCH_ROWS)):
                    yield [
                        canonical.encode_column(pa.array(values, pa.string()))
                        for values in zip(*batch, strict=True)
                    ]


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(_PASSED_OVER)]
        for name in names:
            path = Path(folder, name)
            if not name.startswith(_PASSED_OVER) and not name.lower().endswith(_UNFINISHED):
                yield path.relative_to(root).as_posix(), path


class _Records:
    """The records of one file. Raises ComparisonError for what is no table."""

    def __init__(self, path: Path, rule: CsvRule) -> None:
        encoding = (
            "utf-8-sig" if rule.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else rule.encoding
        )
        csv.field_size_limit(_FIELD_CHARS_MAX)
        self._path = path
        self._file = path.open(encoding=encoding, newline="")
        self._reader = csv.reader(
            self._file,
            delimiter=rule.delimiter,
            quotechar=rule.quote or None,
            quoting=csv.QUOTE_MINIMAL if rule.quote else csv.QUOTE_NONE,
            strict=True,
        )
        first = next(self._guarded(), [])
        numbered = tuple(f"c{place}" for place in range(1, max(1, len(first)) + 1))
        self.columns = tuple(first) if rule.header else numbered
        self._ahead = [] if rule.header else [first]

    def __enter__(self) -> _Records:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[list[str]]:
        width = len(self.columns)
        for record in chain(self._ahead, self._guarded()):
            if not record and width == 1:
                yield [""]
            elif len(record) == width:
                yield record
            elif record:
                raise ComparisonError(f"line {self._reader.line_num} of {self._path.name} has another width")

    def _guarded(self) -> Iterator[list[str]]:
        try:
            yield from self._reader
        except (csv.Error, UnicodeError) as error:
            # The reader's own words may quote what stands in the file.
            raise ComparisonError(f"{self._path.name} is not CSV: {type(error).__name__}") from None
