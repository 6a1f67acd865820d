"""What an operator may set about a source: the tables [sources.<slug>] of the agent's configuration.

Unknown keys are refused, so that a misspelt one does not silently leave a default in force. Nothing is
read from disk or environment here; secrets are fetched by the registry.
"""

from __future__ import annotations

import codecs
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

_STRICT = ConfigDict(extra="forbid", frozen=True)
_DELIMITER_CHARS_REFUSED = "\r\n"


class TableSettings(BaseModel):
    """[sources.<slug>.tables."<table>"]: what one table needs beyond its source's settings."""

    model_config = _STRICT

    key: tuple[str, ...] | None = Field(
        None, description="Columns that tell its rows apart; [] for none (a multiset); absent: its own key."
    )


class _Common(BaseModel):
    model_config = _STRICT

    name: str = Field("", description="Display name, in any language.")
    include: tuple[str, ...] = Field(
        (), description="Tables to capture, as patterns with * and ?; empty: nothing."
    )
    exclude: tuple[str, ...] = Field((), description="Tables to leave out although included.")
    scan_interval_seconds: float = Field(10.0, gt=0, description="Pause between two scans of a table.")
    duty_share_max: float = Field(0.3, gt=0, le=1, description="Share of time that our reads may run.")
    page_rows: int = Field(10_000, ge=1, le=1_000_000, description="Rows that one statement reads at most.")
    deletion_share_max: float = Field(
        0.3, ge=0, le=1, description="Share of a table that may vanish at once before a person must confirm."
    )
    deletion_rows_min: int = Field(
        1_000, ge=0, description="Vanished rows below which nobody needs to confirm."
    )
    tables: dict[str, TableSettings] = Field(
        default_factory=dict, description="Settings of single tables, by exact name."
    )
    timezone: str = Field(
        "Asia/Shanghai", description="Time zone of the source's wall-clock times (kept as metadata)."
    )

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (OSError, ValueError, KeyError):
            raise ValueError("not a known time zone") from None
        return value


class SqlSettings(_Common):
    """kind = "sql": a database that SQLAlchemy reaches."""

    kind: Literal["sql"] = "sql"
    url: SecretStr | None = Field(None, description="Address, as in sqlite:////data/his.db.")
    url_file: str | None = Field(None, description="File that holds the address, for one with a password.")
    url_env: str | None = Field(None, description="Environment variable that holds the address.")
    statement_seconds_max: float = Field(
        1.0,
        gt=0,
        description="Longest that one statement may run where it makes the database's writers wait.",
    )

    answer_seconds_max: float = Field(
        600.0,
        ge=1,
        description="Longest that an answer of the database may take before its connection is given up.",
    )

    @model_validator(mode="after")
    def _one_address(self) -> SqlSettings:
        if sum(value is not None for value in (self.url, self.url_file, self.url_env)) != 1:
            raise ValueError("exactly one of url, url_file and url_env must be set")
        return self


class FileRule(BaseModel):
    """[[sources.<slug>.rules]]: how files are read. The first rule that matches a file counts."""

    model_config = _STRICT

    glob: str = Field(description="Path below the folder: * within a name, **/ across folders; case ignored.")
    table: str | None = Field(
        None, min_length=1, description="Read all matching files as this one table; absent: a table a file."
    )
    encoding: str = Field("utf-8", description="Character encoding; a byte order mark is accepted.")
    delimiter: str = Field(",", min_length=1, max_length=1, description="Between two values.")
    quote: str = Field('"', max_length=1, description="Around a value that needs it; empty: none.")
    header: bool = Field(True, description="The first line names the columns; else they are c1, c2, ….")
    key: tuple[str, ...] = Field((), description="Columns that tell rows apart; empty: a multiset.")

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            b"".decode(codecs.lookup(value).name)
        except LookupError:
            raise ValueError("not a known character encoding") from None
        return value

    @field_validator("delimiter", "quote")
    @classmethod
    def _usable(cls, value: str) -> str:
        if value and value in _DELIMITER_CHARS_REFUSED:
            raise ValueError("a line break cannot serve here")
        return value


class FilesSettings(_Common):
    """kind = "files": a folder of CSV files."""

    kind: Literal["files"] = "files"
    folder: str = Field(min_length=1, description="Folder, read with its subfolders.")
    rules: tuple[FileRule, ...] = Field((FileRule(glob="**/*.csv"),), description="How its files are read.")
    stable_seconds: float = Field(
        2.0, ge=0, description="How long a file must have rested before it is read."
    )

    @model_validator(mode="after")
    def _tables_once(self) -> FilesSettings:
        names = [rule.table for rule in self.rules if rule.table is not None]
        if len(names) != len(set(names)):
            raise ValueError("two rules name the same table")
        return self


SourceSettings = Annotated[SqlSettings | FilesSettings, Field(discriminator="kind")]
