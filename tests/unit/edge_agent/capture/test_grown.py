"""A file that only grows: what came is sent once, whatever dies meanwhile, and nothing of before is read again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from edge_agent.capture import whole
from edge_agent.sources.filerule import FileRule
from edge_agent.sources.files import FilesSource
from edge_agent.sources.memory import MemorySource
from edge_agent.sources.source import Rows
from protocol.change import Op
from protocol.names import TableName
from protocol.schema import TableSchema

from ..reading import Change
from .replay import TableLog
from .stage import Stage, crash

LOG = TableName(None, None, "log.csv")
FILES = TableName(None, None, "files")
"""Where a file lands that is no table."""


class Counting(FilesSource):
    """Counts the rows that are read of it."""

    rows = 0

    def whole(self, schema: TableSchema) -> Iterator[Rows]:
        return self._counted(super().whole(schema))

    def since(self, schema: TableSchema, mark: str) -> Iterator[Rows] | None:
        slices = super().since(schema, mark)
        return None if slices is None else self._counted(slices)

    def _counted(self, slices: Iterator[Rows]) -> Iterator[Rows]:
        for rows in slices:
            self.rows += rows.count
            yield rows

    def taken(self) -> int:
        taken, self.rows = self.rows, 0
        return taken


class Ward:
    """A folder with one growing file, captured on a stage."""

    def __init__(self, directory: Path, *key: str) -> None:
        (directory / "share").mkdir()
        self.path = directory / "share" / LOG.name
        self.stage = Stage(directory)
        rule = FileRule(glob="*.csv", key=key)
        self.source = Counting("his", self.path.parent, (rule,), stable_seconds=0)
        self.stage.source = cast(MemorySource, self.source)
        self.stage.replay.tables[LOG] = TableLog(bool(key))

    def append(self, *rows: str) -> None:
        with self.path.open("a") as file:
            file.writelines(f"{row}\n" for row in rows)

    def sent(self) -> Counter[Op]:
        events = (event for event in self.stage.read() if isinstance(event, Change))
        return Counter(event.op for event in events if event.table == LOG)

    def check(self) -> None:
        self.stage.check()
        self.source.taken()


@pytest.fixture(params=["multiset", "keyed"])
def ward(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    monkeypatch.setattr("edge_agent.sources.kinds.csvfile.SLICE_ROWS", 2)
    monkeypatch.setattr("edge_agent.sources.kinds.csvfile.PIECE_ROWS", 1)
    monkeypatch.setattr(whole, "DELETES_PER_STEP", 2)
    made = Ward(tmp_path, *(["id"] if request.param == "keyed" else []))
    made.append("id,v", *(f"{number},a" for number in range(6)))
    made.stage.settle()
    assert (made.sent(), made.source.taken()) == ({Op.READ: 6}, 6)
    yield made
    made.source.close()
    made.stage.close()


def test_only_what_came_is_read_and_sent(ward: Ward) -> None:
    for first in (6, 9):
        ward.append(*(f"{first + number},a" for number in range(3)))
        ward.stage.settle()
        assert (ward.source.taken(), ward.sent()) == (3, {Op.CREATE: 3})
        ward.check()
    ward.stage.reopen()
    ward.path.touch()
    ward.stage.settle()
    assert (ward.source.taken(), ward.sent()) == (0, {}), "touched, in a new process"


@pytest.mark.parametrize("moment", range(1, 26, 2))
def test_a_pass_that_dies_goes_on_without_counting_twice(ward: Ward, moment: int) -> None:
    ward.append(*(f"{6 + number},b" for number in range(5)))
    assert ward.stage.go_round({moment: crash}) is None
    ward.append("99,b")
    ward.stage.settle()
    ward.stage.settle()
    assert ward.sent() == {Op.CREATE: 6}
    ward.check()
    assert ward.stage.index_names() == ward.stage.spool.files()


def test_after_another_change_all_is_compared_again(ward: Ward) -> None:
    ward.append("6,a")
    ward.stage.settle()
    ward.sent()
    ward.path.write_text("id,v\n0,a\n1,b\n6,a\n7,a\n")
    ward.stage.settle()
    changed = (
        {Op.UPDATE: 1, Op.CREATE: 1, Op.DELETE: 4}
        if ward.stage.replay.tables[LOG].keyed
        else {Op.CREATE: 2, Op.DELETE: 5}
    )
    assert ward.sent() == changed
    ward.source.taken()
    ward.append("8,a")
    ward.stage.settle()
    assert (ward.source.taken(), ward.sent()) == (1, {Op.CREATE: 1})
    ward.check()


@pytest.mark.parametrize("rows", [["0,a", "0,a"], ["0,a"]])
def test_equal_rows_that_come_count(ward: Ward, rows: list[str]) -> None:
    ward.append(*rows)
    if ward.stage.replay.tables[LOG].keyed:
        assert ward.stage.go_round() is None
        assert ward.stage.faults() == {LOG: "GC-2005"}
    else:
        ward.stage.settle()
        assert ward.sent() == {Op.CREATE: len(rows)}
        ward.check()


def test_a_line_that_is_no_record_is_told_with_its_number(ward: Ward) -> None:
    ward.stage.replay.tables[FILES] = TableLog(True)
    ward.append("6,a", "7")
    assert ward.stage.go_round() is None
    (fault,) = [
        report.fault for report in ward.stage.runner.report.tables.values() if report.fault is not None
    ]
    assert (fault.code, fault.facts["line"]) == ("GC-2008", 9)
    assert ward.sent() == {}
    ward.path.write_text("id,v\n" + "".join(f"{number},a\n" for number in range(8)))
    ward.stage.settle()
    assert ward.sent() == {Op.CREATE: 2}


def test_a_damaged_index_has_all_read_again(ward: Ward) -> None:
    ward.append("6,a")
    (shard,) = ward.stage.spool.files()
    ward.stage.index_path(shard).write_bytes(b"")
    assert ward.stage.go_round() is None
    ward.stage.settle()
    assert ward.source.taken() >= 7
    ward.check()
