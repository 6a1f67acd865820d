"""Workbooks: every cell as two other readers have it, columns that carry every cell, and refusals."""

from __future__ import annotations

import io
import math
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
import python_calamine
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900, from_excel
from xlrd.xldate import xldate_as_datetime

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds import excel, xls, xlsx, xlsxpackage, xlsxquick
from edge_agent.sources.kinds.carrying import OddCell
from edge_agent.sources.kinds.cells import Cell, Shown, dated, number, shown_by
from edge_agent.sources.kinds.excel import ExcelKind
from edge_agent.sources.kinds.sheets import Extras
from protocol.errors import Rejected
from tests.servers import SHARED, require_dataset
from tests.unit.edge_agent.sources.workbooks import (
    MAIN,
    Held,
    asides,
    opened,
    package,
    records,
    sheet_data,
    tables,
    text_cell,
)

FOLDER = SHARED / "excel-calamine"
FILES = sorted(p.name for p in FOLDER.glob("*.xls*"))
Cells = dict[tuple[int, int], Any]
REFUSED = {
    "issue252.xlsx": "the workbook is damaged",
    "pass_protected.xlsx": "it is encrypted",
    "too_small.xls": "neither an .xlsx nor an .xls",
}
NOT_BY_OPENPYXL = {
    "empty_s_attribute.xlsx",
    "issue_419.xlsx",
    "issue_530.xlsx",
    "pivots.xlsx",
    "issue_174.xlsx",
}
"""It raises on these, or takes seconds."""
NOT_BY_CALAMINE = {"sheet_name_parsing.xls"}
"""It reads UTF-16 there a byte at a time."""


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(Rejected) as caught:
        call()
    assert caught.value.code == "GC-2008"
    return str(caught.value)


def all_cells(data: bytes) -> dict[str, Cells]:
    """Every cell of every sheet, by name and (row from 1, column from 0)."""
    return {
        sheet.name: {
            (row, column): value for row, cells in sheet.rows(Extras()) for column, value in cells.items()
        }
        for sheet in excel._workbook(opened(data)).sheets()
    }


def by_openpyxl(data: bytes) -> dict[str, Cells]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        book = openpyxl.load_workbook(io.BytesIO(data), data_only=True)
    return {
        sheet.title: {(c.row, c.column - 1): c.value for c in sheet._cells.values() if c.value is not None}
        for sheet in book.worksheets
    }


def by_calamine(data: bytes) -> dict[str, Cells]:
    book = python_calamine.load_workbook(io.BytesIO(data))
    found = {}
    for about in book.sheets_metadata:
        if about.typ is not python_calamine.SheetTypeEnum.WorkSheet:
            continue
        sheet = book.get_sheet_by_name(about.name)
        top, left = sheet.start or (0, 0)
        found[about.name] = {
            (row, column): value
            for row, values in enumerate(sheet.to_python(), top + 1)
            for column, value in enumerate(values, left)
            if value != ""
        }
    return found


def as_openpyxl(value: Cell | None) -> object:
    """What it makes of a cell as we read it: an error is its text, and so is a line break that is spelt."""
    if isinstance(value, OddCell):
        return value.text
    return value.replace("\r", "_x000D_") if isinstance(value, str) else value


def as_calamine(value: Cell | None) -> object:
    """What it makes of a cell as we read it: an error is nothing, and white space around a text is cut."""
    if isinstance(value, OddCell):
        return None
    return value.strip() or None if isinstance(value, str) else value


def at_midnight(value: object) -> object:
    return datetime.combine(value, time()) if type(value) is date else value


@pytest.mark.parametrize("file", FILES)
def test_every_cell_of_a_real_file_is_as_two_other_readers_have_it(file: str) -> None:
    data = require_dataset(FOLDER / file).read_bytes()
    if file in REFUSED:
        assert REFUSED[file] in refusal(lambda: tables(ExcelKind(), data))
        return
    ours = all_cells(data)
    compared = 0
    if file.endswith(".xlsx") and file not in NOT_BY_OPENPYXL:
        theirs = by_openpyxl(data)
        assert theirs.keys() == ours.keys()
        for name, cells in ours.items():
            for place in cells.keys() | theirs[name].keys():
                value = cells.get(place)
                other = at_midnight(theirs[name].get(place))
                assert as_openpyxl(value) == other or (value == "" and other is None), (name, place)
        compared += 1
    if file not in NOT_BY_CALAMINE:
        theirs = by_calamine(data)
        assert theirs.keys() == ours.keys()
        for name, cells in ours.items():
            for place in cells.keys() | theirs[name].keys():
                other = at_midnight(theirs[name].get(place))
                other = other.strip() or None if isinstance(other, str) else other
                assert as_calamine(cells.get(place)) == other, (name, place)
        compared += 1
    assert compared or file in NOT_BY_CALAMINE


def test_the_files_are_there() -> None:
    require_dataset(FOLDER)
    assert len(FILES) >= 50


@pytest.mark.parametrize("file", FILES)
def test_rows_of_a_real_file_are_its_cells(file: str) -> None:
    """The rows below the header, against the cells that the test above has compared."""
    data = require_dataset(FOLDER / file).read_bytes()
    try:
        found = ExcelKind().tables(opened(data), FileRule(glob="*", kind="excel"))
    except Rejected:
        return
    cells = all_cells(data)
    for table in found:
        try:
            width = len(table.columns)
        except Rejected:
            continue
        places = sorted(column for row, column in cells[table.part] if row == 1)
        assert len(places) == width
        below = sorted({row for row, _ in cells[table.part] if row > 1})
        read = Held(list(table.rows()))
        values = records(read)
        assert len(values) == len(below)
        aside = {(row, column) for row, column, *_ in asides(read)}
        for i, (row, record) in enumerate(zip(below, values, strict=True)):
            for column, place, value in zip(table.columns, places, record, strict=True):
                cell = cells[table.part].get((row, place))
                if isinstance(cell, OddCell):
                    assert value is None
                    assert (i, column.name) in aside
                elif column.source_type == "mixed":
                    assert (value is None) == (cell is None)
                else:
                    assert value == cell


def made(*rows: list[Any], formats: dict[str, str] | None = None) -> bytes:
    """A workbook of openpyxl's."""
    book = openpyxl.Workbook()
    sheet = book.active
    for row in rows:
        sheet.append(row)
    for place, code in (formats or {}).items():
        sheet[place].number_format = code
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def one(data: bytes, **rule: object) -> Any:
    (table,) = tables(ExcelKind(), data, **rule).values()
    return table


def test_a_column_has_the_type_of_all_its_cells() -> None:
    table = one(
        made(
            ["id", "code", "price", "alive", "born", "at", "took", "any", "none"],
            [1, "007", 1.5, True, date(1990, 2, 3), time(8, 30), timedelta(hours=30), 7],
            [
                2.0,
                "008",
                2,
                False,
                datetime(2021, 1, 2, 3, 4, 5, 678000),
                time(0),
                timedelta(minutes=-1),
                "x",
            ],
            [None, "", None, None, None, None, None, True],
            [None, None, 0.1, None, None, None, None, datetime(2020, 1, 1)],
        )
    )
    assert [(c.name, c.wire, c.source_type) for c in table.columns] == [
        ("id", pa.int64(), "integer"),
        ("code", pa.string(), "text"),
        ("price", pa.float64(), "number"),
        ("alive", pa.bool_(), "boolean"),
        ("born", pa.timestamp("us"), "date"),
        ("at", pa.string(), "time"),
        ("took", pa.string(), "duration"),
        ("any", pa.string(), "mixed"),
        ("none", pa.string(), "text"),
    ]
    assert records(table) == [
        (1, "007", 1.5, True, datetime(1990, 2, 3), "08:30:00", "30:00:00", "7", None),
        (2, "008", 2.0, False, datetime(2021, 1, 2, 3, 4, 5, 678000), "00:00:00", "-0:01:00", "x", None),
        (None, None, None, None, None, None, None, "TRUE", None),
        (None, None, 0.1, None, None, None, None, "2020-01-01 00:00:00", None),
    ]


def test_an_error_and_a_day_that_never_was_stand_aside() -> None:
    styles = '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs>'
    data = package(
        {
            "S": sheet_data(
                text_cell("n") + text_cell("d"),
                '<c t="e"><v>#N/A</v></c><c s="1"><v>60</v></c>',
                '<c><v>5</v></c><c s="1"><v>59</v></c>',
                '<c><v>0.12345678901234567891</v></c><c s="1"><v>-1</v></c>',
                '<c><v>six</v></c><c s="1"><v>61</v></c>',
            )
        },
        styles=styles,
    )
    table = one(data)
    assert [c.wire for c in table.columns] == [pa.int64(), pa.timestamp("us")]
    assert records(table) == [
        (None, None),
        (5, datetime(1900, 2, 28)),
        (None, None),
        (None, datetime(1900, 3, 1)),
    ]
    assert asides(table) == [
        (0, "n", "type", b"#N/A"),
        (0, "d", "range", b"60"),
        (2, "n", "range", b"0.12345678901234567891"),
        (2, "d", "range", b"-1"),
        (3, "n", "type", b"six"),
    ]


def test_an_integer_beside_fractions_is_exact_or_aside() -> None:
    big = 110101199001011234
    table = one(
        package(
            {"S": sheet_data(text_cell("n"), f"<c><v>{big}</v></c>", "<c><v>0.5</v></c>", "<c><v>4</v></c>")}
        )
    )
    assert records(table) == [(None,), (0.5,), (4.0,)]
    assert asides(table) == [(0, "n", "range", str(big).encode())]
    assert records(one(package({"S": sheet_data(text_cell("n"), f"<c><v>{big}</v></c>")}))) == [(big,)]


def test_sheets_hidden_ones_too_are_tables_and_charts_and_empty_ones_none() -> None:
    book = openpyxl.Workbook()
    book.active.title = "有值"
    book.active.append(["a"])
    book.create_sheet("empty")
    hidden = book.create_sheet("hidden")
    hidden.append(["b"])
    hidden.append([1])
    hidden.sheet_state = "veryHidden"
    book.create_chartsheet("chart")
    stream = io.BytesIO()
    book.save(stream)
    found = tables(ExcelKind(), stream.getvalue())
    assert list(found) == ["有值", "hidden"]
    assert records(found["有值"]) == []
    assert records(found["hidden"]) == [(1,)]


def test_header_row_names_the_columns_and_nothing_above_it_is_data() -> None:
    data = made(["a title"], [], ["x", None, "y"], [1, None, 2], [], [3, None, None])
    table = one(data, header_row=3)
    assert [c.name for c in table.columns] == ["x", "y"]
    assert records(table) == [(1, 2), (3, None)]
    problem = refusal(lambda: one(data, header_row=2).columns)
    assert "is empty" in problem


def merged(place: str, *rows: list[Any]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.active.merge_cells(place)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (merged("A1:B1", ["a", None], [1, 2]), "merged headers"),
        (merged("A1:A2", ["a", "b"], [None, 2]), "merged headers"),
        (made(["a", "a"], [1, 2]), "two columns have the same name"),
        (made(["a", None], [1, 2]), "a column without a name has values"),
        (made(["a", "n" * 1025], [1, 2]), "a column name is too long"),
    ],
)
def test_what_names_no_columns_is_refused(data: bytes, problem: str) -> None:
    assert problem in refusal(lambda: one(data).columns)
    assert problem in refusal(lambda: list(one(data).rows()))


def test_cells_merged_below_the_header_are_rows() -> None:
    assert records(one(merged("A2:A3", ["a", "b"], [1, 2], [None, 3]))) == [(1, 2), (None, 3)]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('<sheetData><row r="2"/><row r="1"/></sheetData>', "out of order"),
        ('<sheetData><row r="1048577"/></sheetData>', "out of order"),
        ('<sheetData><row r="1"><c r="A1"><v>1</v></c><c r="A1"/></row></sheetData>', "twice"),
        ('<sheetData><row r="1"><c r="B2"/></row></sheetData>', "another row"),
        ('<sheetData><row r="1"><c r="XFE1"/></row></sheetData>', "last column"),
        ('<sheetData><row r="1"><c t="s"><v>-1</v></c></row></sheetData>', "damaged"),
        ("<a>" * 100 + "</a>" * 100, "too deep"),
        ("<v>" * 100 + "</v>" * 100, "too deep"),
        ("<c/>", "outside a row"),
        (sheet_data(text_cell("x" * 1_100_000)), "a million characters"),
    ],
)
def test_a_sheet_that_no_program_writes_is_refused(content: str, problem: str) -> None:
    assert problem in refusal(lambda: one(package({"S": content})).columns)


def test_bounds_of_a_workbook(monkeypatch: pytest.MonkeyPatch) -> None:
    data = package({"S": sheet_data(text_cell("a"))}, texts="<si><t>long enough</t></si>" * 9)
    monkeypatch.setattr(xlsxpackage, "TEXTS_BYTES_MAX", 100)
    assert "more text" in refusal(lambda: tables(ExcelKind(), data))
    monkeypatch.undo()
    assert one(data).columns
    monkeypatch.setattr(xlsxpackage, "EXPANDED_BYTES_MAX", 100)
    assert "expands to more" in refusal(lambda: tables(ExcelKind(), data))
    monkeypatch.undo()
    attribute = package({"S": f'<a b="{"x" * 5_000_000}"/>'})
    assert "tag without an end" in refusal(lambda: one(attribute).columns)
    old = require_dataset(FOLDER / "issue444.xls").read_bytes()
    monkeypatch.setattr(xls, "CELLS_MAX", 30)
    assert "more than 3 million cells" in refusal(lambda: one(old).columns)
    monkeypatch.setattr(xls, "XLS_BYTES_MAX", 1000)
    assert "more than 32 MiB" in refusal(lambda: tables(ExcelKind(), old))


def test_a_directory_that_tells_less_than_is_there_is_refused() -> None:
    """The bound on what a workbook expands to stands on this: zipfile never gives more than the directory says."""
    data = bytearray(package({"S": sheet_data(text_cell("a"))}))
    size = zipfile.ZipFile(io.BytesIO(data)).getinfo("xl/worksheets/sheet1.xml").file_size
    place = data.rindex(size.to_bytes(4, "little"))
    data[place : place + 4] = (size - 20).to_bytes(4, "little")
    assert "damaged" in refusal(lambda: one(bytes(data)).columns)


def test_a_short_stream_that_leads_back_to_itself_is_refused() -> None:
    """Header, allocation table, directory, short streams and their table: a book of two short sectors in a circle."""
    end, free = 0xFFFFFFFE, 0xFFFFFFFF
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<IIIIIIIIII", 0, 1, 1, 0, 4096, 3, 1, end, 0, 0) + struct.pack("<I", free) * 108
    table = struct.pack("<128I", 0xFFFFFFFD, end, end, end, *[free] * 124)

    def entry(name: str, kind: int, child: int, first: int, size: int) -> bytes:
        text = name.encode("utf-16-le")
        head = text.ljust(64, b"\0") + struct.pack("<HBBIII", len(text) + 2, kind, 1, free, free, child)
        return head + bytes(36) + struct.pack("<III", first, size, 0)

    directory = entry("Root Entry", 5, 1, 2, 512) + entry("Workbook", 2, free, 0, 600) + bytes(256)
    for following in (1, 0):
        short = struct.pack("<128I", 1, 0 if following else end, *[free] * 126)
        data = header + table + directory + bytes(512) + short
        assert len(data) == 512 * 5
        assert "damaged" in refusal(lambda data=data: tables(ExcelKind(), data))  # type: ignore[misc]


def test_a_document_type_is_refused() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("_rels/.rels", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>')
    assert "document type" in refusal(lambda: tables(ExcelKind(), stream.getvalue()))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "neither"),
        (b"<html><table><tr><td>1</td></tr></table></html>", "neither"),
        (b"PK\x03\x04" + bytes(50), "damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "damaged"),
    ],
)
def test_what_is_no_workbook_is_refused(data: bytes, problem: str) -> None:
    assert problem in refusal(lambda: tables(ExcelKind(), data))


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("General", Shown.NUMBER),
        ("0.00E+00", Shown.NUMBER),
        ('0.0" days"', Shown.NUMBER),
        ("[Red]#,##0", Shown.NUMBER),
        ("0%", Shown.NUMBER),
        ("@", Shown.NUMBER),
        (r"0\d", Shown.NUMBER),
        ("yyyy-mm-dd", Shown.MOMENT),
        ('yyyy"年"m"月"d"日"', Shown.MOMENT),
        ("[$-804]yyyy/m/d h:mm;@", Shown.MOMENT),
        ("mmm", Shown.MOMENT),
        ("h:mm AM/PM", Shown.TIME),
        ("mm:ss.0", Shown.TIME),
        ("[h]:mm:ss", Shown.DURATION),
        ("[mm]:ss", Shown.DURATION),
    ],
)
def test_what_a_format_shows(code: str, shown: Shown) -> None:
    assert shown_by(164, code) is shown


@given(st.integers(61, 2_958_465), st.integers(0, 86_399_999), st.booleans())
def test_moments_are_those_of_two_other_readers(day: int, milliseconds: int, is_1904: bool) -> None:
    day = min(day, 2_957_003)
    serial = day + milliseconds / 86_400_000
    ours = dated(serial, Shown.MOMENT, is_1904)
    assert ours == from_excel(serial, CALENDAR_MAC_1904 if is_1904 else CALENDAR_WINDOWS_1900)
    assert ours == xldate_as_datetime(serial, int(is_1904))


@given(st.floats(70, 2_900_000))
def test_a_moment_between_milliseconds_is_its_nearest_microsecond(serial: float) -> None:
    ours = dated(serial, Shown.MOMENT, False)
    assert isinstance(ours, datetime)
    back = (ours - datetime(1899, 12, 30)) / timedelta(days=1)
    assert abs(back - serial) * 86_400e6 <= 5 + 5 * math.ulp(serial) * 86_400e6


@given(st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False)))
def test_a_number_is_exact_or_aside(value: int | float) -> None:
    found = number(repr(value))
    if isinstance(found, OddCell):
        assert found.text == repr(value)
        assert not -(2**63) <= value < 2**63
    else:
        assert found == value


@pytest.mark.parametrize("text", ["", "nan", "inf", "1_0", " 1", "1e", "0x1", "１", "--1", "."])
def test_what_is_no_number(text: str) -> None:
    assert number(text) is None


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    name = draw(st.sampled_from(["date_1904.xlsx", "inventory-table.xlsx", "issue444.xls", "issue343.xls"]))
    data = bytearray(require_dataset(FOLDER / name).read_bytes())
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(data) - 1))
        match draw(st.sampled_from(["set", "cut", "copy"])):
            case "set":
                data[place] = draw(st.integers(0, 255))
            case "cut":
                del data[place : place + draw(st.integers(1, 64))]
            case _:
                data[place:place] = data[: draw(st.integers(1, 64))]
        if not data:
            break
    return bytes(data)


@settings(max_examples=60, deadline=None)
@given(mutations())
def test_damage_gives_rows_asides_or_a_refusal(data: bytes) -> None:
    with suppress(Rejected):
        for table in tables(ExcelKind(), data).values():
            with suppress(Rejected):
                records(table)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_damaged_xml_gives_rows_asides_or_a_refusal(data: st.DataObject) -> None:
    """Within the archive, where a checksum would else stop nearly all damage."""
    content = bytearray(
        sheet_data(
            text_cell("a") + text_cell("b"), '<c r="A2" s="1"><v>44197.5</v></c><c t="s"><v>0</v></c>'
        ).encode()
    )
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.sampled_from(b"0129<>/\"'=&; ArstcvEe-.\x00\xff"))
    stream = package({"S": content.decode("latin-1")}, texts="<si><t>x</t></si>")
    with suppress(Rejected):
        for table in tables(ExcelKind(), stream).values():
            records(table)


def rows_and_merged(data: bytes) -> object:
    found = []
    for sheet in excel._workbook(opened(data)).sheets():
        extras = Extras()
        try:
            rows = [(number, list(cells.items())) for number, cells in sheet.rows(extras)]
        except Exception as error:  # which of several faults comes first is the same, too
            rows = [type(error)]  # type: ignore[list-item]
        found.append((sheet.name, rows, extras.merged))
    return found


@pytest.mark.parametrize("file", [f for f in FILES if f.endswith("x") and f not in REFUSED])
def test_quick_rows_are_those_of_the_parser(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = require_dataset(FOLDER / file).read_bytes()
    quick = rows_and_merged(data)
    monkeypatch.setattr(xlsxquick, "CELL", re.compile(rb"(?!)" + rb"(x)?" * 6))
    assert rows_and_merged(data) == quick


PLAIN = sheet_data(
    '<c r="A1" t="inlineStr"><is><t>a</t></is></c><c r="B1" s="1"><v>44197.5</v></c>',
    '<c r="A2" t="s"><v>0</v></c><c r="B2" t="str"><f>A1&amp;"x"</f><v>ax</v></c>',
    '<c r="A3" t="b"><v>1</v></c><c r="C3" t="e"><f/><v>#N/A</v></c>',
    behind='<mergeCells><mergeCell ref="A5:B6"/></mergeCells>',
)
PIECES = [
    "<!-- ",
    " -->",
    "</row>",
    '<row r="4"><c r="A4"><v>9</v></c></row>',
    "<![CDATA[",
    "]]>",
    "<x>",
    "</x>",
    "&amp;",
    " ",
]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from([*PIECES, "1", "<", '"', "\x01", "é"])), max_size=4),
    st.integers(1, 90),
)
def test_quick_rows_are_those_of_the_parser_whatever_stands_between(
    inserted: list[tuple[float, str]], piece: int
) -> None:
    """Comments and sections that begin in one row and end in another, and pieces that end anywhere."""
    text = PLAIN
    for share, what in inserted:
        place = int(share * len(text))
        if len(what) > 1:  # between two tags, where it may mean something
            place = max(text.rfind(">", 0, place) + 1, 0)
        text = text[:place] + what + text[place:]
    data = package(
        {"S": text}, texts="<si><t>x</t></si>", styles='<cellXfs><xf/><xf numFmtId="22"/></cellXfs>'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xlsxpackage, "_PIECE_BYTES", piece)
        quick = rows_and_merged(data)
        patch.setattr(xlsxquick, "CELL", re.compile(rb"(?!)" + rb"(x)?" * 6))
        assert rows_and_merged(data) == quick


def test_plain_rows_are_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the two tests above compare is two things."""
    taken: list[int] = []
    real = xlsx._Reader.quick_row

    def counted(self: xlsx._Reader, number: int, letters: list[bytes], cells: Any) -> bool:
        taken.append(number)
        return real(self, number, letters, cells)

    monkeypatch.setattr(xlsx._Reader, "quick_row", counted)
    rows_and_merged(package({"S": PLAIN}, texts="<si><t>x</t></si>"))
    assert taken == [1, 2, 3]


_ROW_2 = '<row r="2"><c r="A2"><v>2</v></c></row>'


@pytest.mark.parametrize(
    "text",
    [
        f"<sheetData><!-- {_ROW_2} --></sheetData>",
        f'<sheetData><row r="1"><c r="A1"><v>1</v></c></row><!-- </row>{_ROW_2} --></sheetData>',
        f"<!-- <sheetData>{_ROW_2} -->",
        f'<sheetData><row r="1"/><!-- </row>{_ROW_2} --></sheetData>',
        f'<sheetData><row r="1"><c r="A1"/></row ><!-- </row>{_ROW_2} --></sheetData>',
        f'<sheetData><row r="1"><c r="A1"><v><![CDATA[</row>{_ROW_2}]]></v></c></row></sheetData>',
        f"<x><sheetData><y>{_ROW_2}</y></sheetData></x>",
        f"<sheetData/><a><!-- <sheetData>{_ROW_2} --></a>",
    ],
)
@pytest.mark.parametrize("piece", [7, 4096])
def test_a_row_within_something_else_is_no_quick_row(
    text: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = package({"S": text})
    monkeypatch.setattr(xlsxpackage, "_PIECE_BYTES", piece)
    quick = rows_and_merged(data)
    monkeypatch.setattr(xlsxquick, "CELL", re.compile(rb"(?!)" + rb"(x)?" * 6))
    assert rows_and_merged(data) == quick


def test_only_sheets_in_utf_8_are_quick() -> None:
    content = sheet_data(text_cell("a"), '<c r="A2" t="str"><v>é</v></c>')
    text = f'<?xml version="1.0" encoding="ISO-8859-1"?><worksheet xmlns="{MAIN}">{content}</worksheet>'
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package({"S": ""}))) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            new.writestr(name, text.encode("latin-1") if "sheet1" in name else old.read(name))
    assert records(one(stream.getvalue())) == [("é",)]
