"""Where a step of the hospital's life is written down: the open transaction, its serial numbers, its count by table.

Deletions keep to an allowance, since no hospital loses a tenth of its visits in a minute, and an agent would
rightly wait for a person. Knows nothing of what happens: that is `life`.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from demo.dictionaries import PricedDrug
from demo.founding import TABLES, VISIT_ID_FIRST, insert
from demo.patients import Patient, patient_id
from demo.visits import Visit

DELETED_SHARE_MAX = 0.02  # of a table's rows, in each stretch of STRETCH_STEPS
STRETCH_STEPS = 200
RECENT_VISITS = 400


@dataclass
class Count:
    """Statements' effects on one table, in rows; a key change counts as a delete and an insert."""

    inserts: int = 0
    updates: int = 0
    deletes: int = 0

    def add(self, other: "Count") -> None:
        """Add another count to this one."""
        self.inserts += other.inserts
        self.updates += other.updates
        self.deletes += other.deletes


@dataclass
class Serials:
    """The next free number of each kind."""

    visit: int
    patient: int
    lab: int
    admission: int
    image: int

    @classmethod
    def read(cls, db: sqlite3.Connection) -> "Serials":
        """Continue after the highest numbers in the database."""

        def after(table: str, column: str, digits_from: int) -> int:
            (highest,) = db.execute(f"SELECT max({column}) FROM {table}").fetchone()
            return int(str(highest)[digits_from:]) + 1 if highest is not None else 1

        return cls(
            visit=max(VISIT_ID_FIRST, after("outpatient_visit", "visit_id", 0)),
            patient=after("patient_info", "patient_id", 1),
            lab=after("lab_result", "lab_no", 2),
            admission=after("admission_record", "admission_id", 2),
            image=after("scan_image", "image_id", 0),
        )


@dataclass
class Allowance:
    """How many rows may still be deleted in this stretch, by table."""

    room: dict[str, int] = field(default_factory=dict)

    def renew(self, db: sqlite3.Connection) -> None:
        """Begin a new stretch; at least one row of each table may go."""
        for table in TABLES:
            (rows,) = db.execute(f'SELECT count(*) FROM "{table}"').fetchone()
            self.room[table] = max(1, int(rows * DELETED_SHARE_MAX))


@dataclass
class Desk:
    """Where events are written down: the open transaction, chance and time of this step, and the count by table."""

    db: sqlite3.Connection
    serials: Serials
    drugs: list[PricedDrug]
    allowance: Allowance
    rng: Random
    now: datetime
    tally: dict[str, Count] = field(default_factory=dict)

    def count(self, table: str) -> Count:
        """This step's count of a table."""
        return self.tally.setdefault(table, Count())

    def insert(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        """Insert whole rows."""
        if rows:
            self.count(table).inserts += insert(self.db, table, rows, len(rows[0]))

    def update(self, table: str, change: str, *values: object) -> int:
        """`change` is what follows UPDATE table SET; returns rows."""
        rows = self.db.execute(f'UPDATE "{table}" SET {change}', values).rowcount
        if rows:
            self.count(table).updates += rows
        return rows

    def delete(self, table: str, where: str, *values: object) -> None:
        """Delete rows and use up the allowance."""
        rows = self.db.execute(f'DELETE FROM "{table}" WHERE {where}', values).rowcount
        self.allowance.room[table] -= rows
        if rows:
            self.count(table).deletes += rows

    def some_visit(self) -> Visit | None:
        """A visit, mostly of late; None if chance hit a gap at the end."""
        oldest = max(VISIT_ID_FIRST, self.serials.visit - RECENT_VISITS)
        if self.rng.random() < 0.1:
            oldest = VISIT_ID_FIRST
        at = self.rng.randrange(oldest, self.serials.visit) if oldest < self.serials.visit else oldest
        sql = "SELECT * FROM outpatient_visit WHERE visit_id >= ? ORDER BY visit_id LIMIT 1"
        row = self.db.execute(sql, (at,)).fetchone()
        return Visit(*row) if row else None

    def some_patient(self) -> Patient | None:
        """A patient; None if chance hit a gap at the end."""
        at = patient_id(self.rng.randrange(1, self.serials.patient))
        sql = "SELECT * FROM patient_info WHERE patient_id >= ? ORDER BY patient_id LIMIT 1"
        row = self.db.execute(sql, (at,)).fetchone()
        return Patient(*row) if row else None
