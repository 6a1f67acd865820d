"""The SQL for databases that the tests cannot start: as it was read and believed, and as a parser reads it."""

from __future__ import annotations

import re

import pytest
import sqlglot
from sqlglot import exp

from edge_agent.sources.dialects.dialect import select_present
from tests.unit.edge_agent.sources.golden_statements import DIALECTS, FOLDER, compose, file_of, samples, types

PARSERS = {"oracle": "oracle", "mssql": "tsql", "dm": "oracle"}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_statements_are_those_that_were_read(dialect: str) -> None:
    files = {file_of(dialect, name): text for name, text in compose(dialect).items()}
    assert {path: path.read_text("utf-8") for path in files} == files
    assert set((FOLDER / dialect).glob("*.sql")) == set(files)
    assert (FOLDER / dialect / "types.txt").read_text("utf-8") == types(dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_another_parser_reads_each_query_as_one_query(dialect: str) -> None:
    for name, text in compose(dialect).items():
        if name == "transaction":
            continue  # not SQL of the kind that parsers agree on
        for parsed in sqlglot.parse(_simpler(text), read=PARSERS[dialect]):
            if not isinstance(parsed, exp.Semicolon):  # comments after the last one
                assert isinstance(parsed, exp.Query), text


@pytest.mark.parametrize("dialect", DIALECTS)
def test_two_hundred_keys_are_one_query(dialect: str) -> None:
    make, answers = DIALECTS[dialect]
    facts = next(f for f in make().catalogue(answers, None) if f.name.name.startswith("Mi"))
    key = [c for c in facts.columns if c.name in facts.indexes[0].columns]
    low, _ = samples(key)
    sql, values = select_present(make(), facts.name, key, [low] * 200)
    assert len(values) == 600
    assert isinstance(sqlglot.parse_one(_simpler(sql), read=PARSERS[dialect]), exp.Query)


def _simpler(text: str) -> str:
    """Without what the parser does not know: numbered places, Oracle's XMLSERIALIZE and JSON_SERIALIZE."""
    text = re.sub(r":(\d)", r":p\1", text)
    text = re.sub(r"XMLSERIALIZE\(CONTENT (.*?) AS CLOB\)", r"XMLSERIALIZE(\1)", text)
    return text.replace(" RETURNING CLOB)", ")")
