"""How files of a folder are read: the tables [[sources.<slug>.rules]] of the agent's configuration."""

from __future__ import annotations

import codecs
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edge_agent.sources.escaped import breaks_lines_plainly
from edge_agent.sources.kinds.dicomcharset import Charset

_BREAKS = "\r\n"

KindName = Literal[
    "auto", "csv", "fixed", "dbf", "excel", "parquet", "json", "ndjson", "hl7", "cda", "fhir", "dicom", "file"
]
AUTO = "auto"


class FileRule(BaseModel):
    """[[sources.<slug>.rules]]: how files are read. The first rule that matches a file counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    glob: str = Field(description="Path below the folder: * within a name, **/ across folders; case ignored.")
    kind: KindName = Field("csv", description='What the files are; "auto": found out by content, and kept.')
    table: str | None = Field(
        None,
        min_length=1,
        description="Read all matching files as this one table; absent: as the kind has it.",
    )
    encoding: str = Field(
        "utf-8",
        description='Character encoding of text; a byte order mark is accepted; "auto": found out, and kept.',
    )
    delimiter: str = Field(",", min_length=1, max_length=1, description="csv: between two values.")
    quote: str = Field('"', max_length=1, description="csv: around a value that needs it; empty: none.")
    header: bool = Field(True, description="The first line names the columns; else they are c1, c2, ….")
    header_row: int = Field(1, ge=1, description="excel: the row that names the columns.")
    widths: tuple[int, ...] = Field((), description="fixed: width of each column, in bytes of the encoding.")
    names: tuple[str, ...] = Field((), description="fixed: names of the columns, if no line has them.")
    key: tuple[str, ...] = Field((), description="Columns that tell rows apart; empty: a multiset.")
    append_only: bool = Field(
        False,
        description="csv, fixed: a file is only appended to, and read up to its last line break while it grows.",
    )
    keep_bytes: bool = Field(False, description="Tables: the file itself lands, too.")
    dicom_charset: str | None = Field(
        None, description="dicom: specific character set to believe instead of the file's own, as in GB18030."
    )

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "<".encode("utf-8" if value == AUTO else codecs.lookup(value).name)
        except LookupError:
            raise ValueError("not a known character encoding") from None
        return value

    @field_validator("dicom_charset")
    @classmethod
    def _known_charset(cls, value: str | None) -> str | None:
        if value is not None and not Charset.of(value).is_known:
            raise ValueError("not a known character set of DICOM")
        return value

    @field_validator("delimiter", "quote")
    @classmethod
    def _usable(cls, value: str) -> str:
        if value and value in _BREAKS:
            raise ValueError("a line break cannot serve here")
        return value

    @field_validator("widths")
    @classmethod
    def _wide(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(width < 1 for width in value):
            raise ValueError("a column is at least one byte wide")
        return value

    def _problem_of_appending(self) -> str | None:
        if self.kind not in ("csv", "fixed"):
            return 'needs kind = "csv" or "fixed"'
        if self.encoding == AUTO or not breaks_lines_plainly(self.encoding):
            return "needs an `encoding` by its name, in which a line break is one byte"
        return "and `keep_bytes` do not go together: the file is never whole" if self.keep_bytes else None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> FileRule:
        if (self.kind == "fixed") != bool(self.widths):
            raise ValueError('`widths` and kind = "fixed" belong together')
        if self.kind == AUTO and self.table is not None:
            raise ValueError('`table` needs a `kind` other than "auto": files of one table are of one kind')
        if self.append_only and (problem := self._problem_of_appending()):
            raise ValueError(f"`append_only` {problem}")
        if self.names and len(self.names) != len(self.widths):
            raise ValueError("`names` and `widths` are equally many")
        return self
