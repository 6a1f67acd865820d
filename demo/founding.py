"""How the hospital comes to be: three years of patients, visits, orders, results and papers, in one go.

Everything follows from the seed, the size and the time of founding. Rows are written in one transaction, in chunks that
keep memory small; an interrupted founding leaves no hospital, and the next one starts again.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from demo import medicine
from demo.dictionaries import DOCTORS, PricedDrug, drug_rows, lab_item_rows
from demo.patients import Patient, new_patient
from demo.records import log_row, new_result
from demo.texts import admission_text, clock_text, pick, scan_bytes
from demo.visits import Visit, new_orders, new_visit

# Table and its key as a reader has to find them; None: the table has no key.
TABLES: dict[str, tuple[str, ...] | None] = {
    "patient_info": ("patient_id",),
    "outpatient_visit": ("visit_id",),
    "medical_order": ("visit_id", "order_no"),
    "lab_result": ("lab_no",),
    "drug_dict": ("drug_code",),
    "operation_log": None,
    "检验项目字典": ("项目代码",),
    "admission_record": ("admission_id",),
    "scan_image": ("image_id",),
}
VISIT_ID_FIRST = 1_000_001
HISTORY = timedelta(days=3 * 365)
VISITS_CHUNK = 2_000
_ASKED, _DONE = timedelta(minutes=20), timedelta(minutes=95)

# Bytes of text and of scans: some small, some above 64 KiB, one scan of 1.5 MB, more than one envelope holds.
ADMISSION_BYTES = (400, 1_500, 2_000, 6_000, 9_000, 20_000, 40_000, 66_000, 70_000, 120_000, 260_000)
SCAN_BYTES = (3_000, 4_200, 7_777, 12_000, 20_000, 64_000, 1_500_000)

_SQL = Path(__file__).with_name("hospital.sql").read_text(encoding="utf-8")
_TABLES_SQL, *_INDEXES = _SQL.split("CREATE INDEX")  # executescript would commit before the indexes


@dataclass(frozen=True)
class Size:
    """How many rows a new hospital has; dictionaries, admissions and scans have their own fixed size."""

    patients: int = 5_000
    visits: int = 20_000
    orders: int = 60_000
    lab_results: int = 40_000
    log_rows: int = 8_000


def insert(db: sqlite3.Connection, table: str, rows: Iterable[Sequence[object]], width: int) -> int:
    """Insert rows of `width` columns; returns how many."""
    marks = ",".join("?" * width)
    return db.executemany(f'INSERT INTO "{table}" VALUES ({marks})', rows).rowcount


def found(db: sqlite3.Connection, rng: Random, size: Size, now: datetime) -> None:
    """Fill an empty database whose connection is in autocommit mode."""
    db.execute("PRAGMA cache_size = -65536")  # KiB: the whole founding, so that each page is written once
    db.executescript("BEGIN;\n" + _TABLES_SQL)
    start = now - HISTORY
    insert(db, "drug_dict", drug_rows(rng, start), 10)
    insert(db, "检验项目字典", lab_item_rows(), 10)
    joined = (start - timedelta(minutes=int(rng.random() * 2_000_000)) for _ in range(size.patients))
    patients = [new_patient(rng, serial, at) for serial, at in enumerate(joined, 1)]
    insert(db, "patient_info", patients, len(Patient._fields))
    _found_visits(db, rng, size, read_drugs(db), patients, start)
    _found_log(db, rng, size.log_rows, now)
    _found_papers(db, rng, size.visits, patients, now)
    for index in _INDEXES:
        db.execute("CREATE INDEX" + index)
    db.execute("COMMIT")


def read_drugs(db: sqlite3.Connection) -> list[PricedDrug]:
    """The drugs at the database's prices."""
    by_name = {drug.name: drug for drug in medicine.DRUGS}
    rows = db.execute("SELECT drug_code, price, drug_name FROM drug_dict ORDER BY drug_code")
    return [PricedDrug(code, round(price * 10_000), by_name[name]) for code, price, name in rows]


def _spread(rng: Random, total: int, over: int) -> list[int]:
    """`total` things dealt at random to `over` places: how many each got."""
    counts = [0] * over
    for _ in range(total):
        counts[int(rng.random() * over)] += 1
    return counts


def _found_visits(
    db: sqlite3.Connection,
    rng: Random,
    size: Size,
    drugs: list[PricedDrug],
    patients: list[Patient],
    start: datetime,
) -> None:
    orders_of, results_of = (
        _spread(rng, size.orders, size.visits),
        _spread(rng, size.lab_results, size.visits),
    )
    gap = (HISTORY - timedelta(days=1)) / size.visits
    lab_serial = 0
    for chunk in range(0, size.visits, VISITS_CHUNK):
        visits, orders, results = [], [], []
        for i in range(chunk, min(chunk + VISITS_CHUNK, size.visits)):
            patient, at = patients[int(rng.random() * len(patients))], start + gap * (i + rng.random())
            visit_id = VISIT_ID_FIRST + i
            asked, done = clock_text(at + _ASKED), clock_text(at + _DONE)
            ordered, fen = new_orders(rng, visit_id, orders_of[i], drugs, asked, done)
            orders.extend(ordered)
            status = "已完成" if i < size.visits * 0.98 else pick(rng, ("已挂号", "就诊中", "已完成"))
            visits.append(new_visit(rng, visit_id, patient, at, fen, status))
            for _ in range(results_of[i]):
                lab_serial += 1
                results.append(new_result(rng, lab_serial, visit_id, patient.patient_id, done))
        insert(db, "outpatient_visit", visits, len(Visit._fields))
        insert(db, "medical_order", orders, 17)
        insert(db, "lab_result", results, 11)


def _found_log(db: sqlite3.Connection, rng: Random, rows: int, now: datetime) -> None:
    first, gap = now - timedelta(seconds=12 * rows), timedelta(seconds=12)
    insert(db, "operation_log", (log_row(rng, first + gap * i) for i in range(rows)), 6)


def _found_papers(
    db: sqlite3.Connection, rng: Random, visits: int, patients: list[Patient], now: datetime
) -> None:
    def admission(serial: int, size_bytes: int) -> tuple[object, ...]:
        at = now - timedelta(days=40 + serial)
        visit_id = VISIT_ID_FIRST + int(rng.random() * visits)
        text = admission_text(rng, at, size_bytes)
        return admission_row(rng, serial, visit_id, pick(rng, tuple(patients)).patient_id, text, at)

    insert(db, "admission_record", [admission(*pair) for pair in enumerate(ADMISSION_BYTES, 1)], 8)
    scans = [
        scan_row(rng, i, VISIT_ID_FIRST + int(rng.random() * visits), size_bytes, now)
        for i, size_bytes in enumerate(SCAN_BYTES, 1)
    ]
    insert(db, "scan_image", scans, 6)


def admission_row(
    rng: Random, serial: int, visit_id: int, patient_id: str, text: str | None, at: datetime
) -> tuple[object, ...]:
    """A row of `admission_record`."""
    ward = f"{pick(rng, ('一', '二', '三', '十二'))}病区"
    bed = f"{rng.randrange(1, 60):02d}{pick(rng, ('', '+1'))}"
    signed_by = pick(rng, DOCTORS)[1] if rng.random() < 0.8 else None
    return f"ZY{serial:08d}", visit_id, patient_id, ward, bed, text, signed_by, clock_text(at)


def scan_row(rng: Random, image_id: int, visit_id: int, size_bytes: int, at: datetime) -> tuple[object, ...]:
    """A row of `scan_image` with a picture of `size_bytes`."""
    kind = pick(rng, ("手术知情同意书", "外院检查报告", "身份证复印件"))
    return image_id, visit_id, kind, "image/jpeg", scan_bytes(rng, size_bytes), clock_text(at)
