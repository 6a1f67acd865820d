"""What capture says of itself for `status`: plain records that the runner fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from protocol.errors import Fault
from protocol.names import TableName

from .phases import Phase
from .rhythm import Task


@dataclass(slots=True)
class TableReport:
    """What `status` says of a table. `done`: when each kind of work last read all that it reads (microseconds UTC)."""

    phase: str = Phase.NEW.value
    rows: int = 0
    rows_estimate: int | None = None
    faults: dict[Task, Fault] = field(default_factory=dict)
    done: dict[Task, int] = field(default_factory=dict)
    alarm: Fault | None = None
    """What has happened to it that a person should know of, though it is captured."""
    follows: tuple[Task, ...] = ()
    """How it is read besides its scans: polled, or by a window."""

    @property
    def followed(self) -> bool:
        return bool(self.follows)

    @property
    def fault(self) -> Fault | None:
        """The first of its faults: that of its scans, where they have one."""
        faults = self.faults
        return next((faults[work] for work in Task if work in faults), None)

    def note(self, work: Task, fault: Fault | None) -> bool:
        """Keep the fault of this kind of work (None: it has none now); whether that is news. Whoever looks from
        another thread sees what was there before or what is there now, and nothing between."""
        before = self.faults.get(work)
        others = {other: kept for other, kept in self.faults.items() if other is not work}
        self.faults = others if fault is None else others | {work: fault}
        return fault is not None and (before is None or before.code != fault.code)


@dataclass(slots=True)
class Report:
    """What `status` says of a source's capture. `closed`: scans wait for their hours."""

    tables: dict[TableName, TableReport] = field(default_factory=dict)
    fault: Fault | None = None
    log: Fault | None = None
    """Why its log cannot be followed, where its tables are scanned for that."""
    log_waits: bool = False
    """Or why it cannot be begun for now: they are not scanned."""
    unmatched: list[Fault] = field(default_factory=list)
    """One for each pattern of `include` that fits nothing."""
    alarms: Sequence[Fault] = ()
    """One for each part of the source that is out of reach while the rest is read."""
    closed: bool = False
    last_pass: int | None = None
