"""What a comparison found, table by table, and how it is printed. Values appear only where asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

DIFFERENCES_KEPT = 1_000
"""Of each table; all of them are counted."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One key (or row, without key). `kind`: missing or extra in the lake, different, duplicate, or query (what
    the centre's own `current` says differs from the replay). `values`: (column, source, lake), if asked for."""

    kind: str
    key_hash: str
    columns: tuple[str, ...] = ()
    values: tuple[tuple[str, str, str], ...] = ()


@dataclass(slots=True)
class TableReport:
    """One table. `query`: equal, different or not checked."""

    site: str
    source: str
    table: str
    rows_source: int = 0
    rows_lake: int = 0
    columns: int = 0
    gone: bool = False
    query: str = "not checked"
    counts: Counter[str] = field(default_factory=Counter)
    """Differences by kind."""
    differences: list[Difference] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, difference: Difference) -> None:
        self.counts[difference.kind] += 1
        if len(self.differences) < DIFFERENCES_KEPT:
            self.differences.append(difference)

    @property
    def differing(self) -> int:
        return self.counts.total()

    @property
    def equal(self) -> bool:
        return not self.counts and not self.problems


@dataclass(slots=True)
class Report:
    """All tables. `problems` concern none of them alone."""

    tables: list[TableReport] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    query_checked: bool = False

    @property
    def equal(self) -> bool:
        return bool(self.tables) and not self.problems and all(table.equal for table in self.tables)

    def table(self, name: str) -> TableReport:
        """The table of this name; KeyError where there is none."""
        return {one.table: one for one in self.tables}[name]


def show(report: Report, console: Console, limit: int = 20) -> None:
    """Print the differences (`limit` of each table), the table of tables and one closing line."""
    for line in _details(report, limit):
        console.print(Text(line), soft_wrap=True)
    console.print(_overview(report))
    if not report.query_checked:
        console.print(
            "`query` was NOT checked: no --query-command was given  未核对 query 的结果", soft_wrap=True
        )
    console.print(Text(closing(report)), soft_wrap=True)


def closing(report: Report) -> str:
    """The verdict in one line."""
    rows = sum(table.rows_source for table in report.tables)
    tables = len(report.tables)
    if report.equal:
        return f"EQUAL 一致: {tables} tables, {rows} rows, every key and every column"
    bad = sum(not table.equal for table in report.tables)
    differing = sum(table.differing for table in report.tables)
    problems = len(report.problems) + sum(len(table.problems) for table in report.tables)
    return (
        f"DIFFERENT 不一致: {bad} of {tables} tables, {differing} differing keys, {problems} other problems"
        if tables
        else "NOTHING COMPARED 无可核对: no table matches"
    )


def _details(report: Report, limit: int) -> Iterator[str]:
    yield from (f"problem: {text}" for text in report.problems)
    for table in report.tables:
        name = f"{table.site}/{table.source} {table.table}"
        yield from (f"{name}: problem: {text}" for text in table.problems)
        for one in table.differences[:limit]:
            columns = f" columns {', '.join(one.columns)}" if one.columns else ""
            yield f"{name}: {one.kind} {one.key_hash}{columns}"
            yield from (f"    {column}: source {ours}, lake {lake}" for column, ours, lake in one.values)
        if table.differing > limit:
            yield f"{name}: … and {table.differing - min(limit, len(table.differences))} more"


def _overview(report: Report) -> Table:
    overview = Table("Source\n来源")
    overview.add_column("Table\n表", overflow="fold")
    headings = ("Rows in source\n源行数", "Rows in lake\n湖行数", "Columns\n列", "Differing keys\n差异键")
    for heading in headings:
        overview.add_column(heading, justify="right")
    overview.add_column("Query\n查询")
    overview.add_column("Verdict\n结论")
    words = {"equal": "equal 一致", "different": "different 不一致", "not checked": "not checked 未核对"}
    for one in report.tables:
        verdict = "equal 一致" if one.equal else "different 不一致"
        if one.gone:
            verdict = "gone, allowed 源已删除" if one.equal else "gone 源已删除"
        numbers = (one.rows_source, one.rows_lake, one.columns, one.differing)
        cells = (f"{one.site}/{one.source}", one.table, *map(str, numbers), words[one.query], verdict)
        overview.add_row(*map(Text, cells))
    return overview
