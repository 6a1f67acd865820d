"""Every statement of a dialect for a set of tables, as text: what a server would be sent, without a server.

`python -m tests.unit.edge_agent.sources.golden_statements` writes the files anew; what changed in them is
what has to be read and believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge_agent.sources.columns import Carrier
from edge_agent.sources.dialects import dialect as statements
from edge_agent.sources.dialects import dm, mssql, oracle
from edge_agent.sources.dialects.dialect import Dialect, Fetch, Statement, TableFacts, choose_key
from protocol.schema import Column
from tests.unit.edge_agent.sources import dm_answers, mssql_answers, oracle_answers

FOLDER = Path(__file__).parent / "golden"
DIALECTS: dict[str, tuple[Callable[[], Dialect], Fetch]] = {
    "oracle": (oracle_answers.dialect, oracle_answers.fetch),
    "dm": (dm_answers.dialect, dm_answers.fetch),
    "mssql": (mssql_answers.dialect, mssql_answers.fetch),
}
"""A dialect, and the answers to its catalogue's questions."""

SESSIONS = {"oracle": oracle.SESSION, "dm": dm.SESSION, "mssql": (mssql.SESSION,)}

SAMPLES: dict[str, tuple[Any, Any]] = {
    "string": ("a'张", "z"),
    "decimal128": (-1, 5),
    "integer": (-1, 5),
    "timestamp": (0, 1_700_000_000_120_000),
    "date": (0, 19_000),
    "binary": (b"\x00\xff", b"ab"),
    "bool": (False, True),
}


def samples(key: list[Column]) -> tuple[list[Any], list[Any]]:
    pairs = []
    for column in key:
        kind = str(column.wire).split("[")[0].split("(")[0]
        kind = "date" if kind == "date32" else "integer" if "int" in kind else kind
        pairs.append(SAMPLES[kind])
    return [low for low, _ in pairs], [high for _, high in pairs]


def _of_table(dialect: Dialect, facts: TableFacts) -> Iterator[tuple[str, Statement]]:
    choice = choose_key(facts, None, dialect)
    assert choice is not None
    yield "whole", (statements.select_whole(dialect, facts.name, facts.columns), ())
    by_name = {c.name: c for c in facts.columns}
    key = [by_name[name] for name in choice.columns]
    if not key:
        return
    low, high = samples(key)
    for name, after, until in (("first page", [], []), ("page after", low, []), ("page until", [], high)):
        yield name, statements.select_page(dialect, facts.name, facts.columns, key, after, until, 1_000)
    yield "page between", statements.select_page(dialect, facts.name, key, key, low, high, 7)
    yield "present, one", statements.select_present(dialect, facts.name, key, [low])
    yield "present, two", statements.select_present(dialect, facts.name, key, [low, high])
    yield "null key", (statements.select_null_key(dialect, facts.name, key), ())
    yield "ties", statements.select_ties(dialect, facts.name, key, low)


def compose(name: str) -> dict[str, str]:
    """The files of a dialect, by name."""
    make, answers = DIALECTS[name]
    dialect = make()
    asked: list[Statement] = []

    def fetch(sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        asked.append((sql, values))
        return answers(sql, values)

    tables = dialect.catalogue(fetch, None)
    files = {"catalogue of all": _file(("", s) for s in asked)}
    asked.clear()
    dialect.catalogue(fetch, tables[0].name)
    files["catalogue of one"] = _file(("", s) for s in asked)
    asked.clear()
    dialect.comments(fetch, tables[0].name)
    files["comments"] = _file(("", s) for s in asked)
    files["transaction"] = _file(("", (sql, ())) for sql in (*SESSIONS[name], dialect.begin))
    for facts in tables:
        files[facts.name.name] = _file(_of_table(dialect, facts))
    return files


def types(name: str) -> str:
    """Column by column: what the database declares, and what it becomes."""
    make, answers = DIALECTS[name]
    dialect = make()
    lines = []
    for facts in dialect.catalogue(answers, None):
        for column in facts.columns:
            carrier = dialect.carrier(column)
            how = carrier.value if isinstance(carrier, Carrier) else f"text of {carrier.charset}"
            keys = "a key" if dialect.comparable(column) else "no key"
            lines.append(f"{facts.name} · {column.source_type} · {column.wire} · {how} · {keys}")
        if facts.refused:
            lines.append(f"{facts.name} · refused: {facts.refused}")
    return "\n".join(lines) + "\n"


def _file(entries: Any) -> str:
    parts = []
    for title, (sql, values) in entries:
        head = f"-- {title}\n" if title else ""
        tail = "".join(f"\n-- {value!r}" for value in values)
        parts.append(f"{head}{sql.strip()};{tail}\n")
    return "\n".join(parts)


def file_of(dialect: str, name: str) -> Path:
    safe = "".join(c if c.isalnum() or c in "-_" else "-" for c in name)
    return FOLDER / dialect / f"{safe}.sql"


def main() -> None:
    for dialect in DIALECTS:
        (FOLDER / dialect).mkdir(parents=True, exist_ok=True)
        for name, text in compose(dialect).items():
            file_of(dialect, name).write_text(text, encoding="utf-8")
        (FOLDER / dialect / "types.txt").write_text(types(dialect), encoding="utf-8")


if __name__ == "__main__":
    main()
