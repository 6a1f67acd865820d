"""What capture has to tell of itself, for `status`: of each table, and of the source as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.errors import Fault
from protocol.names import TableName

from .phases import Phase


@dataclass(slots=True)
class TableReport:
    """What `status` says of a table."""

    phase: str = Phase.NEW.value
    rows: int = 0
    rows_estimate: int | None = None
    fault: Fault | None = None


@dataclass(slots=True)
class Report:
    """What `status` says of a source's capture."""

    tables: dict[TableName, TableReport] = field(default_factory=dict)
    fault: Fault | None = None
    unmatched: list[Fault] = field(default_factory=list)
    """One for each pattern of `include` that fits nothing."""
    last_pass: int | None = None
