"""Workbooks made by hand, so that tests can say what no spreadsheet program would write."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds.kind import FileTable, Opened, TabularKind
from edge_agent.sources.source import Rows

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"


def opened(data: bytes) -> Opened:
    return Opened("f", io.BytesIO(data), len(data))


def tables(kind: TabularKind, data: bytes, **rule: object) -> dict[str, FileTable]:
    found = kind.tables(opened(data), FileRule.model_validate({"glob": "*", **rule}))
    return {table.part: table for table in found}


@dataclass(frozen=True)
class Held:
    """The rows of a table that were read once."""

    slices: list[Rows]

    def rows(self) -> list[Rows]:
        return self.slices


def records(table: FileTable | Held) -> list[tuple[object, ...]]:
    """All rows as Python values."""
    return [
        row
        for rows in table.rows()
        for row in zip(*(column.to_pylist() for column in rows.columns), strict=True)
    ]


def asides(table: FileTable | Held) -> list[tuple[int, str, str, bytes]]:
    """(row, column, reason, original)"""
    found, first = [], 0
    for rows in table.rows():
        for row, entries in enumerate(rows.asides or (), first):
            found += [(row, e["column"], e["reason"], e["original"]) for e in entries or ()]
        first += rows.count
    return found


def package(sheets: Mapping[str, str], **more: str) -> bytes:
    """A workbook whose sheets have this content of `worksheet`. `more`: `styles`, `texts` (content of those parts),
    `properties` (attributes of workbookPr)."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_rels/.rels", _relations({"r1": ("officeDocument", "xl/workbook.xml")}))
        entries = "".join(
            f'<sheet name="{name}" sheetId="{i}" r:id="s{i}"/>' for i, name in enumerate(sheets, 1)
        )
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{MAIN}" xmlns:r="{_OFFICE}"><workbookPr {more.get("properties", "")}/>'
            f"<sheets>{entries}</sheets></workbook>",
        )
        related = {f"s{i}": ("worksheet", f"worksheets/sheet{i}.xml") for i, _ in enumerate(sheets, 1)}
        related |= {"t": ("sharedStrings", "sharedStrings.xml"), "f": ("styles", "styles.xml")}
        archive.writestr("xl/_rels/workbook.xml.rels", _relations(related))
        archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{MAIN}">{more.get("texts", "")}</sst>')
        archive.writestr("xl/styles.xml", f'<styleSheet xmlns="{MAIN}">{more.get("styles", "")}</styleSheet>')
        for i, content in enumerate(sheets.values(), 1):
            archive.writestr(
                f"xl/worksheets/sheet{i}.xml", f'<worksheet xmlns="{MAIN}">{content}</worksheet>'
            )
    return stream.getvalue()


def _relations(of: Mapping[str, tuple[str, str]]) -> str:
    inner = "".join(
        f'<Relationship Id="{identity}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for identity, (kind, target) in of.items()
    )
    return f'<Relationships xmlns="{_RELATIONS}">{inner}</Relationships>'


def sheet_data(*rows: str, behind: str = "") -> str:
    """Content of a worksheet: each row is its cells' XML."""
    inner = "".join(f'<row r="{i}">{cells}</row>' for i, cells in enumerate(rows, 1))
    return f"<sheetData>{inner}</sheetData>{behind}"


def text_cell(text: str) -> str:
    return f'<c t="inlineStr"><is><t>{text}</t></is></c>'
