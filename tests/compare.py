"""Compare sources with what the centre holds: every table, every key, every column, in canonical form.

    python -m tests.compare SOURCE [SLUG=SOURCE …] --data-dir DIR [--site SITE] [--include PATTERN …]

SOURCE is an SQLAlchemy URL (sqlite:////data/his.db) or a folder of CSV files. Exit 0 only if all is equal, 1
if anything differs, 64 if nothing could be compared. It is made to convict capture and landing, so it reads
lake, ledger and sources by itself and shares only `protocol.canonical` and the spelling of names with them.
The sources must stand still while it runs, and all they sent must have landed.
"""

from __future__ import annotations

import argparse
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
from rich.console import Console

from protocol.errors import Fault

from .comparing import catalogue, integrity
from .comparing.asked import Asked
from .comparing.catalogue import Catalogue, Catalogued, ComparisonError, Name, shown
from .comparing.changes import Changes, read
from .comparing.csvfolder import CsvRule
from .comparing.matching import Lake, Match, compare_query
from .comparing.replay import Standing, replay
from .comparing.report import Report, TableReport, show
from .comparing.source import Source, open_source

USAGE = 64
PRINTED_CHARS = 140
_SLUG = re.compile(r"([a-z0-9-]{1,32})=(.+)", re.DOTALL)


def compare(
    sources: str | Path | Mapping[str, str | Source],
    data_dir: Path,
    *,
    site: str | None = None,
    include: Sequence[str] = ("*",),
    exclude: Sequence[str] = (),
    keys: Mapping[str, tuple[str, ...]] | None = None,
    csv_rules: Sequence[CsvRule] = (),
    allow_gone: bool = False,
    query_command: str | None = None,
    require_query: bool = False,
    show_values: bool = False,
) -> Report:
    """Compare `sources` (by slug; a single one needs none where the centre has no other; closed in the end) with the
    centre below `data_dir`. `include` and `exclude` are patterns of table names with * and ?, `keys` overrides by what
    columns rows are matched. Raises ComparisonError where nothing can be compared at all."""
    given = sources if isinstance(sources, Mapping) else {"": str(sources)}
    known = catalogue.read(data_dir)
    report = Report(query_checked=query_command is not None)
    if require_query and query_command is None:
        report.problems.append("query was not checked")
    with ExitStack() as stack:
        asked = None if query_command is None else stack.enter_context(Asked(query_command))
        for slug, place in given.items():
            source = open_source(place, csv_rules) if isinstance(place, str) else place
            try:
                one = _Comparison(data_dir, known, source, dict(keys or {}), asked, allow_gone, show_values)
                report.tables += one.run(site, slug, _Wanted(include, exclude))
            finally:
                source.close()
    return report


class _Wanted:
    """Which tables are compared: those that a pattern includes and none excludes."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self._include, self._exclude = [[_pattern(p) for p in several] for several in (include, exclude)]

    def __call__(self, name: Name) -> bool:
        text = shown(name)
        return any(p.fullmatch(text) for p in self._include) and not any(
            p.fullmatch(text) for p in self._exclude
        )


def _pattern(glob: str) -> re.Pattern[str]:
    special = {"*": ".*", "?": "."}
    return re.compile("".join(special.get(char) or re.escape(char) for char in glob), re.DOTALL)


class _Comparison:
    """One source against its tables in the lake."""

    def __init__(
        self,
        data_dir: Path,
        known: Catalogue,
        source: Source,
        keys: dict[str, tuple[str, ...]],
        asked: Asked | None,
        allow_gone: bool,
        show_values: bool,
    ) -> None:
        self._data_dir = data_dir
        self._known = known
        self._source = source
        self._keys = keys
        self._asked = asked
        self._allow_gone = allow_gone
        self._show_values = show_values

    def run(self, site: str | None, slug: str, wanted: _Wanted) -> list[TableReport]:
        held = {table.name: table for table in self._known.of(site, slug)}
        there = {name for name in self._source.tables() if wanted(name)}
        names = sorted(there | {name for name in held if wanted(name)}, key=lambda n: (shown(n), str(n)))
        some = next(iter(held.values()), None)
        label = (some.site, some.source) if some else (site or "?", slug or "?")
        return [
            self._table(TableReport(*label, shown(name)), name, held.get(name), name in there)
            for name in names
        ]

    def _table(self, report: TableReport, name: Name, line: Catalogued | None, there: bool) -> TableReport:
        report.gone = not there
        try:
            if line is None:
                report.problems.append("not in the lake")
                report.rows_source = _count(self._source, name)
                return report
            lake = self._lake(report, line)
            if there:
                match = Match(self._source, name, lake, report, self._show_values)
                match.run(self._keys.get(report.table, line.key))
        except ComparisonError as error:
            report.problems.append(f"cannot be compared: {error}")
        except (Fault, sqlite3.Error, pa.ArrowException, OSError, ValueError) as error:
            # Its own words may quote what stands in a row.
            report.problems.append(f"cannot be compared: {type(error).__name__}")
        if not there and not self._allow_gone:
            report.problems.append("gone at the source")
        return report

    def _lake(self, report: TableReport, line: Catalogued) -> Lake:
        """What stands in the table; all that is wrong with it, or with what `query` says of it, is reported."""
        path = self._data_dir / "lake" / line.path
        changes = Changes(read(path))
        standing: Standing = replay(changes, line.key, self._known.schemas)
        report.problems += [_times(text, count) for text, count in Counter(standing.faults).items()]
        report.problems += integrity.faults(
            changes, path, self._data_dir / "files" / line.site, standing.keys
        )
        lake = Lake(changes, standing)
        report.rows_lake = lake.rows
        report.columns = len(changes.columns)
        if self._asked is not None:
            self._ask(report, line, lake, self._asked)
        return lake

    def _ask(self, report: TableReport, line: Catalogued, lake: Lake, asked: Asked) -> None:
        try:
            said = Changes(asked.ask(line), ordered=False)
        except (ComparisonError, pa.ArrowException) as error:
            report.query = "different"
            report.problems.append(str(error))
            return
        compare_query(lake, said, bool(line.key), report)


def _times(text: str, count: int) -> str:
    return text if count == 1 else f"{text} ({count} times)"


def _count(source: Source, name: Name) -> int:
    return sum(len(batch[0]) for batch in source.rows(name, {}))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else PRINTED_CHARS)
    try:
        report = compare(
            _sources(options.source, options.slug),
            options.data_dir,
            site=options.site,
            include=options.include or ("*",),
            exclude=options.exclude,
            keys=dict(_key(text) for text in options.keys),
            csv_rules=[CsvRule.parse(text) for text in options.csv],
            allow_gone=options.allow_gone,
            query_command=options.query_command,
            require_query=options.require_query,
            show_values=options.show_values,
        )
    except ComparisonError as error:
        console.print(f"compare: {error}", soft_wrap=True, markup=False)
        return USAGE
    show(report, console, options.limit)
    return 0 if report.equal else 1


def _sources(given: Sequence[str], slug: str | None) -> dict[str, str]:
    sources = {}
    for text in given:
        named = _SLUG.fullmatch(text)
        sources[named[1] if named else slug or ""] = named[2] if named else text
    if len(sources) != len(given):
        raise ComparisonError("several sources need a slug each: SLUG=URL_OR_FOLDER")
    return sources


def _key(text: str) -> tuple[str, tuple[str, ...]]:
    table, _, columns = text.rpartition("=")
    return table, tuple(column for column in columns.split(",") if column)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.compare", description="Compare sources with the centre."
    )
    add = parser.add_argument
    add("source", nargs="+", metavar="[SLUG=]URL_OR_FOLDER")
    add("--data-dir", type=Path, required=True, help="the centre's data_dir")
    add("--site", help="needed where several sites have such a source")
    add("--source", dest="slug", metavar="SLUG", help="slug of the only source given")
    add("--include", nargs="+", action="extend", default=[], metavar="PATTERN", help="tables, with * and ?")
    add("--exclude", nargs="+", action="extend", default=[], metavar="PATTERN")
    add(
        "--keys", nargs="+", action="extend", default=[], metavar="TABLE=COLUMN,…", help="match rows by these"
    )
    add(
        "--csv",
        nargs="+",
        action="extend",
        default=[],
        metavar="GLOB:encoding=…,delimiter=…,table=…,header=no",
    )
    add("--allow-gone", action="store_true", help="tables that the source no longer has are no difference")
    add(
        "--query-command",
        metavar="COMMAND",
        help="with {sql} and {out}, or one that answers line by line: what `current` says must be the same",
    )
    add("--require-query", action="store_true", help="fail where no --query-command is given")
    add("--show-values", action="store_true", help="print differing values: patient data")
    add("--limit", type=int, default=20, help="differences printed of each table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
