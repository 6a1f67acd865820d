"""The synthetic hospital is what the demonstration claims: reproducible, plausible, awkward, alive and harmless."""

import asyncio
import csv
import sqlite3
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo import exports, names
from demo.desk import DELETED_SHARE_MAX, STRETCH_STEPS
from demo.hospital import TABLES, Hospital, Size, main
from demo.patients import check_character, id_card

SMALL = Size(patients=150, visits=400, orders=1_200, lab_results=800, log_rows=600)
STEPS = 130

Table = dict[tuple[object, ...], tuple[object, ...]]


def rows_of(db: sqlite3.Connection, table: str) -> list[tuple[object, ...]]:
    return list(db.execute(f'SELECT * FROM "{table}" ORDER BY rowid'))


def by_key(db: sqlite3.Connection, table: str) -> Table:
    key = TABLES[table]
    assert key is not None
    columns = ", ".join(f'"{c}"' for c in key)
    return {row[: len(key)]: row[len(key) :] for row in db.execute(f'SELECT {columns}, * FROM "{table}"')}


def contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    db = sqlite3.connect(path)
    try:
        return {table: rows_of(db, table) for table in TABLES}
    finally:
        db.close()


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    with Hospital(tmp_path / "his.db", tmp_path / "exports", seed=7, size=SMALL) as made:
        yield made


@pytest.fixture
def reader(hospital: Hospital) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(f"file:{hospital.path}?mode=ro", uri=True)
    yield db
    db.close()


def live(hospital: Hospital, steps: int = STEPS) -> None:
    for step in range(hospital.step + 1, hospital.step + steps + 1):
        hospital.live(step)


# The standard's own example (GB 11643-1999).
def test_check_character_of_the_standards_example() -> None:
    assert check_character("11010519491231002") == "X"


@given(
    region=st.sampled_from([code for code, _ in names.REGIONS]),
    birth=st.dates(date(1900, 1, 1), date(2099, 12, 31)),
    sequence=st.integers(0, 999),
)
def test_identity_numbers_satisfy_mod_11_2(region: str, birth: date, sequence: int) -> None:
    number = id_card(region, birth, sequence)
    digits = [10 if c == "X" else int(c) for c in number]
    assert len(number) == 18
    assert sum(d * 2 ** (17 - i) for i, d in enumerate(digits)) % 11 == 1
    assert (number[:6], number[6:14]) == (region, birth.isoformat().replace("-", ""))


def test_patients_documents_agree_with_their_rows(reader: sqlite3.Connection) -> None:
    sql = (
        "SELECT patient_id, id_card, sex_code, birth_date, region_code FROM patient_info WHERE id_card <> ''"
    )
    for patient, number, sex_code, birth, region in reader.execute(sql):
        assert check_character(number[:17]) == number[17], patient
        assert number[:6] == region, patient
        assert birth is None or number[6:14] == birth.replace("-", ""), patient
        assert sex_code not in "12" or int(number[16]) % 2 == int(sex_code) % 2, patient


def test_same_seed_same_hospital_same_life(tmp_path: Path) -> None:
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        with Hospital(tmp_path / f"{name}.db", tmp_path / name, seed, SMALL) as hospital:
            live(hospital, 40)
        found.append((contents(tmp_path / f"{name}.db"), files(tmp_path / name)))
    a, b, c = found
    for table in TABLES:
        assert a[0][table] == b[0][table], table
    assert a[1] == b[1]
    for table in TABLES:
        if table != "检验项目字典":  # a dictionary, the same in each hospital
            assert a[0][table] != c[0][table], table


def test_sizes_are_exact(reader: sqlite3.Connection) -> None:
    wanted = {
        "patient_info": SMALL.patients,
        "outpatient_visit": SMALL.visits,
        "medical_order": SMALL.orders,
        "lab_result": SMALL.lab_results,
        "operation_log": SMALL.log_rows,
    }
    assert {table: len(rows_of(reader, table)) for table in wanted} == wanted


def test_tables_and_keys_are_as_told(reader: sqlite3.Connection) -> None:
    listed = {name for (name,) in reader.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert listed == set(TABLES)
    for table, key in TABLES.items():
        columns = reader.execute('SELECT name, pk, "notnull" FROM pragma_table_info(?)', (table,)).fetchall()
        marked = sorted((pk, name) for name, pk, _ in columns if pk)
        assert tuple(name for _, name in marked) == (key or ()), table
        assert all(notnull for _, pk, notnull in columns if pk), table


def test_values_are_as_awkward_as_in_life(hospital: Hospital, reader: sqlite3.Connection) -> None:
    live(hospital)
    cells = [cell for table in TABLES for row in rows_of(reader, table) for cell in row]
    texts = [cell for cell in cells if isinstance(cell, str)]
    assert all(text == text.encode().decode() for text in texts)
    assert any(ord(c) > 0xFFFF for text in texts for c in text)
    assert any(len(text.encode()) > 64 * 1024 for text in texts)
    assert any("\n" in text for text in texts)
    assert any("，" in text for text in texts)
    assert "" in texts
    assert None in cells
    assert any(isinstance(cell, float) for cell in cells)
    assert max(len(cell) for cell in cells if isinstance(cell, bytes)) == 1_500_000


def test_each_table_has_nulls_where_it_may(reader: sqlite3.Connection) -> None:
    for table, column in (
        ("patient_info", "id_card"),
        ("outpatient_visit", "insurance_fee"),
        ("medical_order", "dose"),
        ("lab_result", "result_value"),
        ("operation_log", "detail"),
        ("检验项目字典", "参考下限"),
    ):
        (nulls,) = reader.execute(f'SELECT count(*) FROM "{table}" WHERE "{column}" IS NULL').fetchone()
        assert nulls, (table, column)


def test_log_has_exact_duplicates(reader: sqlite3.Connection) -> None:
    log = rows_of(reader, "operation_log")
    assert len(set(log)) < len(log)


def test_bills_add_up_before_and_after(hospital: Hospital, reader: sqlite3.Connection) -> None:
    sql = """
    SELECT v.visit_id, v.total_fee, coalesce(v.insurance_fee, 0), v.self_fee, coalesce(sum(round(o.amount * 100)), 0)
    FROM outpatient_visit v LEFT JOIN medical_order o USING (visit_id) GROUP BY v.visit_id"""
    for steps in (0, STEPS):
        live(hospital, steps)
        for visit_id, total, insured, self_paid, ordered_fen in reader.execute(sql):
            assert round(total * 100) == 1_500 + ordered_fen, visit_id
            assert round(total * 100) == round(insured * 100) + round(self_paid * 100), visit_id


def test_every_kind_of_change_occurs_and_is_counted(hospital: Hospital, reader: sqlite3.Connection) -> None:
    keyed = [table for table, key in TABLES.items() if key]
    before = {table: by_key(reader, table) for table in keyed}
    log_before = len(rows_of(reader, "operation_log"))
    live(hospital)
    after = {table: by_key(reader, table) for table in keyed}
    happened = {
        table: (
            bool(after[table].keys() - before[table].keys()),
            any(after[table].get(key, row) != row for key, row in before[table].items()),
            bool(before[table].keys() - after[table].keys()),
        )
        for table in keyed
    }
    assert happened == {
        "patient_info": (True, True, True),
        "outpatient_visit": (True, True, True),
        "medical_order": (True, True, True),
        "lab_result": (True, True, True),
        "drug_dict": (False, True, False),
        "检验项目字典": (False, True, False),
        "admission_record": (True, True, False),
        "scan_image": (True, False, False),
    }
    for table in keyed:
        count = hospital.totals[table]
        assert count.inserts - count.deletes == len(after[table]) - len(before[table]), table
    log = hospital.totals["operation_log"]
    assert log.inserts > 0
    assert log.deletes > 0
    assert len(rows_of(reader, "operation_log")) == log_before + log.inserts - log.deletes


def test_a_corrected_number_takes_its_papers_along(hospital: Hospital, reader: sqlite3.Connection) -> None:
    before = {row[4]: row[0] for row in rows_of(reader, "patient_info") if row[4]}
    live(hospital)
    after = {row[4]: row[0] for row in rows_of(reader, "patient_info") if row[4]}
    assert any(after[number] != key for number, key in before.items())
    assert before.keys() <= after.keys()
    known = set(reader.execute("SELECT patient_id FROM patient_info"))
    for table in ("outpatient_visit", "lab_result", "admission_record"):
        assert set(reader.execute(f"SELECT patient_id FROM {table}")) <= known, table


def test_deletions_stay_within_their_share(hospital: Hospital, reader: sqlite3.Connection) -> None:
    for _ in range(2):
        rows = {table: len(rows_of(reader, table)) for table in TABLES}
        deleted = dict.fromkeys(TABLES, 0)
        for step in range(hospital.step + 1, hospital.step + STRETCH_STEPS + 1):
            for name, count in hospital.live(step).items():
                if name in deleted:
                    deleted[name] += count.deletes
        for table in TABLES:
            assert deleted[table] <= max(1, rows[table] * DELETED_SHARE_MAX), table


def test_orders_leave_with_their_visit(hospital: Hospital, reader: sqlite3.Connection) -> None:
    live(hospital)
    visits = set(reader.execute("SELECT visit_id FROM outpatient_visit"))
    for table in ("medical_order", "lab_result"):
        assert set(reader.execute(f"SELECT visit_id FROM {table}")) <= visits, table


def test_an_open_read_neither_blocks_nor_sees_life(hospital: Hospital, reader: sqlite3.Connection) -> None:
    assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    reader.execute("BEGIN")
    seen = rows_of(reader, "outpatient_visit")
    live(hospital, 5)
    assert rows_of(reader, "outpatient_visit") == seen
    reader.execute("COMMIT")
    assert rows_of(reader, "outpatient_visit") != seen


def test_reports_are_whole_csv_of_both_encodings(hospital: Hospital) -> None:
    live(hospital, 160)
    reports = sorted(hospital.folder.glob("检验报告_*.csv"))
    assert len(reports) == 11
    assert {path.read_bytes().startswith(b"\xef\xbb\xbf") for path in reports} == {True, False}
    cells = []
    for path in reports:
        assert path.stem.rsplit("_", 1)[0] == "检验报告_20260302"
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = list(csv.reader(file, strict=True))
        assert tuple(header) == exports.REPORT_HEADER
        assert rows
        for row in rows:
            assert len(row) == len(header), path.name
            cells.extend(row)
    for awkward in ("", ", ", "\n", '"'):
        assert any(awkward in cell if awkward else cell == "" for cell in cells), awkward
    assert not [path.name for path in hospital.folder.iterdir() if path.name.startswith(".")]


def test_device_list_is_rewritten_with_all_kinds_of_change(hospital: Hospital) -> None:
    path = hospital.folder / exports.DEVICE_LIST

    def devices() -> dict[str, list[str]]:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file, strict=True))
        assert tuple(header) == exports.DEVICE_HEADER
        assert len({row[0] for row in rows}) == len(rows)
        return {row[0]: row for row in rows}

    before = devices()
    live(hospital, 30)
    after = devices()
    count = hospital.totals[exports.DEVICE_LIST]
    assert len(before.keys() - after.keys()) == count.deletes > 0
    assert len(after.keys() - before.keys()) == count.inserts > 0
    assert sum(after.get(key, row) != row for key, row in before.items()) == count.updates > 0


def test_an_opened_hospital_goes_on(tmp_path: Path) -> None:
    path, folder = tmp_path / "his.db", tmp_path / "exports"
    with Hospital(path, folder, 3, SMALL) as hospital:
        live(hospital, 30)
    before = contents(path)
    with Hospital(path, folder, 3, SMALL) as hospital:
        assert contents(path) == before
        live(hospital, 30)
    after = contents(path)
    assert len(after["outpatient_visit"]) > len(before["outpatient_visit"])
    assert len(after["lab_result"]) > len(before["lab_result"])


def test_a_failed_step_changes_nothing(hospital: Hospital, reader: sqlite3.Connection) -> None:
    before = rows_of(reader, "outpatient_visit")
    blocker = sqlite3.connect(hospital.path)
    blocker.execute("DROP TABLE drug_dict")
    blocker.commit()
    blocker.close()
    with pytest.raises(sqlite3.OperationalError):
        live(hospital, 11)
    assert rows_of(reader, "outpatient_visit") == before


async def test_run_lives_until_told_to_stop(tmp_path: Path) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    told: list[int] = []

    def clock() -> datetime:
        told.append(len(told))
        if len(told) == 5:
            loop.call_soon_threadsafe(stop.set)
        return datetime(2026, 1, 1) + timedelta(seconds=len(told))

    with Hospital(tmp_path / "his.db", tmp_path / "exports", 1, SMALL, clock) as hospital:
        await hospital.run(stop, rate=1_000)
        assert hospital.step >= 1
        assert hospital.totals["outpatient_visit"].inserts >= hospital.step
        lived = hospital.step
        await hospital.run(stop, rate=1_000)
        assert hospital.step == lived


def test_stands_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Hospital(tmp_path / "x.db", tmp_path / "f", 1, SMALL):
        pass
    main(
        [
            "--db",
            str(tmp_path / "x.db"),
            "--folder",
            str(tmp_path / "f"),
            "--seconds",
            "0.05",
            "--rate",
            "200",
        ]
    )
    assert "outpatient_visit: +" in capsys.readouterr().out
