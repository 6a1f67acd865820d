"""Inventory marks: every table and column is in one of them, and each fits an envelope's header."""

from __future__ import annotations

import pytest

from edge_agent.capture.inventory import inventory_marks
from edge_agent.sources.source import TableInfo
from protocol.batch import MarkHeader, decode_mark, encode_mark
from protocol.change import MarkKind
from protocol.names import TableName


def info(name: str, columns: int, name_chars: int = 3) -> TableInfo:
    made = tuple((f"{i}".zfill(name_chars), "varchar(255)") for i in range(columns))
    return TableInfo(TableName("his", "dbo", name), made, columns * 10, ("000",))


def told(marks: list[MarkHeader]) -> dict[str, list[list[str]]]:
    columns: dict[str, list[list[str]]] = {}
    for mark in marks:
        for line in mark.facts["tables"]:
            columns.setdefault(line["table"][2], []).extend(line["columns"])
    return columns


@pytest.mark.parametrize(
    "infos",
    [
        [],
        [info("a", 0)],
        [info("a", 2), info("b", 3)],
        [info(f"t{i}", 60, 30) for i in range(120)],
        [info("a", 1), info("wide", 4_096, 200), info("z", 1)],
    ],
    ids=["none", "no columns", "two", "many", "one too wide for a mark"],
)
def test_all_of_it_is_told_in_marks_that_travel(infos: list[TableInfo]) -> None:
    marks = [decode_mark(encode_mark(m)) for m in inventory_marks(infos, frozenset(), 7)]
    assert marks
    assert [(m.facts["part"], m.facts["parts"]) for m in marks] == [
        (number, len(marks)) for number in range(1, len(marks) + 1)
    ]
    assert {(m.mark, m.table, m.captured) for m in marks} == {(MarkKind.INVENTORY, None, 7)}
    assert told(marks) == {i.name.name: [list(column) for column in i.columns] for i in infos}


def test_what_is_not_captured_has_a_reason() -> None:
    a, b = info("a", 1), info("b", 1)
    (mark,) = inventory_marks([a, b], frozenset({a.name}), 7)
    first, second = mark.facts["tables"]
    assert (first["captured"], first["reason"], first["rows"], first["key"]) == (True, "", 10, ["000"])
    assert (second["captured"], second["reason"]) == (False, "not in include")
