"""A file that should be a table and is none: the others' freshness goes on, and is never told before its bytes are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import openpyxl
import pytest

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.files import FilesSource
from edge_agent.sources.memory import MemorySource
from protocol.names import TableName

from ..reading import Change
from .replay import TableLog
from .stage import Stage

RULES = (
    FileRule(glob="*.bin", kind="file"),
    FileRule(glob="of-many/*.csv", kind="csv", table="of-many/2.csv"),
    FileRule(glob="*.csv", kind="csv"),
    FileRule(glob="*.xlsx", kind="excel"),
)
STABLE_SECONDS = 3_600.0
FILES = TableName(None, None, "files")
TABLES = ("a.csv", "z.csv", "of-many/2.csv", "b.xlsx#S", "b.xlsx#T")


class Office:
    def __init__(self, directory: Path) -> None:
        self.share = directory / "share"
        (self.share / "of-many").mkdir(parents=True)
        (self.share / "c.bin").write_bytes(b"\0")
        for name in ("a.csv", "z.csv"):
            (self.share / name).write_text("id,v\n1,x\n")
        self.stage = Stage(directory)
        self.clock = time.time() + 2 * STABLE_SECONDS
        self.source = FilesSource("his", self.share, RULES, STABLE_SECONDS, clock=lambda: self.clock)
        self.stage.source = cast(MemorySource, self.source)
        self.stage.replay.tables |= {TableName(None, None, name): TableLog(False) for name in TABLES}
        self.stage.replay.tables[FILES] = TableLog(True)
        self.landed: list[bytes] = []

    def goes_on(self, rounds: int = 6) -> bool:
        """Whether freshness comes beyond now; what it says has been captured by then."""
        begun = self.stage.now
        for _ in range(rounds):
            self.stage.runner.hint()
            for _ in range(40):
                assert self.stage.work(turns=1) is None
                self._take()
                if (self.stage.runner.report.last_pass or 0) > begun:
                    return True
        return False

    def _take(self) -> None:
        for event in self.stage.read():
            if isinstance(event, Change) and event.table == FILES:
                self.landed.append(event.row)

    def has_bytes_of(self, name: str) -> bool:
        return any(name.encode() in row for row in self.landed)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    assert made.goes_on()
    yield made
    made.source.close()
    made.stage.close()


@pytest.mark.parametrize("name", ["a.csv", "z.csv"], ids=["scanned before its refuge", "scanned after"])
def test_a_file_that_is_no_table_holds_nobody_up_once_its_bytes_are_there(office: Office, name: str) -> None:
    (office.share / name).write_text("id,v\n1\n")
    assert office.goes_on()
    assert office.has_bytes_of(name)
    assert office.goes_on(), "and again, while nothing changes"
    (office.share / name).write_text("id,v\n2,y\n")
    assert office.goes_on()


def test_a_sheet_and_a_workbook_that_are_none_hold_nobody_up(office: Office) -> None:
    book = openpyxl.Workbook()
    (sheet,) = book.worksheets
    sheet.title = "S"
    sheet.append(["id", "id"])
    book.create_sheet("T").append(["id"])
    book.save(office.share / "b.xlsx")
    assert office.goes_on()
    assert office.has_bytes_of("b.xlsx")
    office.landed.clear()
    (office.share / "b.xlsx").write_bytes(b"PK\x03\x04" + bytes(100))
    assert office.goes_on()
    assert office.has_bytes_of("b.xlsx")


def test_a_table_of_many_files_of_which_one_is_none_holds_up(office: Office) -> None:
    (office.share / "of-many" / "1.csv").write_text("id,v\n1,x\n")
    (office.share / "of-many" / "2.csv").write_text("id,v\n1\n")
    assert not office.goes_on(), "the rows of the other file are nowhere"


def test_a_refused_file_that_is_being_written_holds_up(office: Office) -> None:
    (office.share / "a.csv").write_text("id,v\n1\n")
    assert office.goes_on()
    (office.share / "a.csv").write_text("id,v\n1,")
    office.clock = time.time()
    assert not office.goes_on(), "its bytes are those of before"
    assert office.stage.faults() == {TableName(None, None, "a.csv"): "GC-2014"}
    office.clock += 2 * STABLE_SECONDS
    assert office.goes_on()
