"""What an operator may set about a source: the tables [sources.<slug>] of the agent's configuration.

Unknown keys are refused, so that a misspelt one does not silently leave a default in force. Nothing is
read from disk or environment here; secrets are fetched by the registry.
"""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from edge_agent.sources.filerule import FileRule
from edge_agent.timetable import Timetable

_STRICT = ConfigDict(extra="forbid", frozen=True)


class TableSettings(BaseModel):
    """[sources.<slug>.tables."<table>"]: what one table needs beyond its source's settings."""

    model_config = _STRICT

    key: tuple[str, ...] | None = Field(
        None, description="Columns that tell its rows apart; [] for none (a multiset); absent: its own key."
    )
    scan_interval_seconds: float | None = Field(
        None, gt=0, description="Pause between two scans of this table; absent: as its source has it."
    )
    cursor: str | None = Field(
        None,
        min_length=1,
        description="Column that moves whenever a row is created or updated: it is polled.",
    )
    poll_seconds: float = Field(5.0, gt=0, description="Pause between two polls.")
    overlap_seconds: float = Field(
        60.0, ge=0, description="How far back a poll of times reads again: rows may commit out of order."
    )
    overlap: int = Field(1_000, ge=0, description="The same for a cursor of numbers.")
    window: str | None = Field(
        None, min_length=1, description="Column whose recent range is read again and again: it is the window."
    )
    window_days: float | None = Field(
        None, gt=0, description="How far back a window of dates or times reaches."
    )
    window_span: int | None = Field(
        None, gt=0, description="How far below its greatest value a window of numbers reaches."
    )
    window_seconds: float = Field(30.0, gt=0, description="Pause between two looks at the window.")

    @model_validator(mode="after")
    def _ways_agree(self) -> TableSettings:
        for owner, names in _OWNED.items():
            given = sorted(self.model_fields_set.intersection(names))
            if given and getattr(self, owner) is None:
                raise ValueError(f"`{given[0]}` needs `{owner}`")
        if self.window_days is not None and self.window_span is not None:
            raise ValueError("`window_days` is for dates and times, `window_span` for numbers: one of them")
        if self.window is not None and self.window_days is None and self.window_span is None:
            raise ValueError("`window` needs `window_days` (dates and times) or `window_span` (numbers)")
        if self.key == () and (self.cursor or self.window):
            raise ValueError("without a key (`key = []`) there is neither `cursor` nor `window`")
        return self


_OWNED = {
    "cursor": ("poll_seconds", "overlap_seconds", "overlap"),
    "window": ("window_days", "window_span", "window_seconds"),
}
"""What makes sense only beside another key."""


class _Common(BaseModel):
    model_config = _STRICT

    name: str = Field("", description="Display name, in any language.")
    include: tuple[str, ...] = Field(
        (), description="Tables to capture, as patterns with * and ?; empty: nothing."
    )
    exclude: tuple[str, ...] = Field((), description="Tables to leave out although included.")
    scan_interval_seconds: float = Field(10.0, gt=0, description="Pause between two scans of a table.")
    duty_share_max: float = Field(0.3, gt=0, le=1, description="Share of time that our reads may run.")
    rows_per_second_max: int = Field(
        0, ge=0, description="Rows that we read a second, on average; 0: no limit."
    )
    scan_hours: tuple[str, ...] = Field(
        (), description='When scans and snapshots may run, as in "Mon-Fri 20:00-06:00"; empty: always.'
    )
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

    @field_validator("scan_hours")
    @classmethod
    def _known_hours(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Timetable.parse(value)
        return value

    def of(self, table: str) -> TableSettings:
        """What holds for one table, by the name that `check` prints."""
        return self.tables.get(table, _NOTHING)

    def scan_seconds(self, table: str) -> float:
        """Pause between two scans of one table."""
        return self.of(table).scan_interval_seconds or self.scan_interval_seconds

    @property
    def scan_seconds_max(self) -> float:
        """The longest pause between two scans of any table."""
        return max(self.scan_interval_seconds, *(self.scan_seconds(name) for name in self.tables), 0.0)


_NOTHING = TableSettings()


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


class PostgresSettings(SqlSettings):
    """kind = "postgres": a PostgreSQL database by its log where that can be had, and by SQL for all other tables."""

    kind: Literal["postgres"] = "postgres"  # type: ignore[assignment] # another kind of the same
    slot: str | None = Field(
        None,
        pattern=r"^[a-z0-9_]{1,63}$",
        description="Replication slot; absent: guicang_ and the source's name. We make it, and drop it, ourselves.",
    )
    publications: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Publications that a DBA made for us; absent: one of the slot's default name.",
    )

    wal_keep_bytes_max: int = Field(
        10 << 30,
        ge=1 << 20,
        description="Log that the server may keep for us; beyond it we drop our slot and read everything anew.",
    )
    wal_keep_seconds_max: float = Field(
        7 * 86_400.0,
        gt=0,
        description="How old what we have not read of it may become; beyond it the same.",
    )

    def slot_of(self, slug: str) -> str:
        return self.slot or f"guicang_{slug.replace('-', '_')}"

    def publications_of(self, slug: str) -> tuple[str, ...]:
        return self.publications or (f"guicang_{slug.replace('-', '_')}",)

    def inserts_of(self, slug: str) -> str | None:
        """The publication, where there is one, of what is created in tables that may not publish more."""
        return None if self.publications else f"{self.publications_of(slug)[0]}_inserts"


class FilesSettings(_Common):
    """kind = "files": a folder of CSV files."""

    kind: Literal["files"] = "files"
    folder: str = Field(min_length=1, description="Folder, read with its subfolders.")
    rules: tuple[FileRule, ...] = Field((FileRule(glob="**/*.csv"),), description="How its files are read.")
    stable_seconds: float = Field(
        2.0, ge=0, description="How long a file must have rested before it is read."
    )
    vanish_share_max: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Share of the files that may vanish at once before a person must confirm; 1: all.",
    )
    vanish_files_min: int = Field(
        20, ge=0, description="Vanished files up to which nobody needs to confirm, unless none is left."
    )
    reread_hours: float = Field(
        168.0,
        ge=0,
        description="After so long a file is read again although nothing tells that it was touched; 0: never.",
    )

    @model_validator(mode="after")
    def _scanned_only(self) -> FilesSettings:
        if any(table.cursor or table.window for table in self.tables.values()):
            raise ValueError('files are scanned: `cursor` and `window` are for databases (kind = "sql")')
        return self

    @model_validator(mode="after")
    def _tables_once(self) -> FilesSettings:
        names = [rule.table for rule in self.rules if rule.table is not None]
        if len(names) != len(set(names)):
            raise ValueError("two rules name the same table")
        return self


SourceSettings = Annotated[SqlSettings | PostgresSettings | FilesSettings, Field(discriminator="kind")]
