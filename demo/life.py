"""What happens in the hospital, one short transaction a step: arrivals, results, cancellations, corrections.

`EVENTS` says which event comes every how many steps; each event is one function that changes rows through a `Desk`,
which counts what it did by table. Knows nothing of files, threads or the time of day.
"""

from collections.abc import Callable

from demo import medicine, names
from demo.desk import STRETCH_STEPS, Count, Desk
from demo.founding import admission_row, scan_row
from demo.patients import new_patient, patient_id
from demo.records import log_row, new_result
from demo.texts import clock_text, diagnosis_text, fen_text, pick, present_illness, price_text, progress_note
from demo.visits import REGISTRATION_FEE_FEN, fees, new_order, new_orders, new_visit


def arrive(desk: Desk) -> None:
    """One or two people register; some are new; the doctor's first orders come with it."""
    for _ in range(1 + desk.rng.randrange(2)):
        patient = desk.some_patient()
        if patient is None or desk.rng.random() < 0.25:
            patient = new_patient(desk.rng, desk.serials.patient, desk.now)
            desk.serials.patient += 1
            desk.insert("patient_info", [patient])
        visit_id = desk.serials.visit
        desk.serials.visit += 1
        orders, fen = new_orders(desk.rng, visit_id, desk.rng.randrange(6), desk.drugs, clock_text(desk.now))
        desk.insert("outpatient_visit", [new_visit(desk.rng, visit_id, patient, desk.now, fen, "已挂号")])
        desk.insert("medical_order", orders)


def amend(desk: Desk) -> None:
    """A visit goes on: it is seen, then finished; or a finished one gets another diagnosis or remark."""
    visit = desk.some_visit()
    if visit is None:
        return
    rng, now = desk.rng, clock_text(desk.now)
    values: tuple[str | None, ...]
    illness = pick(rng, medicine.DIAGNOSES)
    if visit.status == "已挂号":
        change = (
            "status='就诊中', visit_time=?, icd10_code=?, icd10_name=?, present_illness=?, diagnosis_text=?"
        )
        told = present_illness(rng, visit.chief_complaint or illness.complaint)
        values = (now, illness.code, illness.name, told, diagnosis_text(rng, illness.name))
    elif visit.status == "就诊中":
        change, values = "status='已完成', discharge_time=?", (now,)
        done = "status='已执行', executed_at=? WHERE visit_id=? AND status='已开立'"
        desk.update("medical_order", done, now, visit.visit_id)
    elif rng.random() < 0.5:
        change = "icd10_code=?, icd10_name=?, diagnosis_text=?"
        values = (illness.code, illness.name, diagnosis_text(rng, illness.name))
    else:
        change, values = "remark=?", (pick(rng, (None, *medicine.REMARKS)),)
    desk.update("outpatient_visit", f"{change}, updated_at=? WHERE visit_id=?", *values, now, visit.visit_id)


def charge(desk: Desk) -> None:
    """One more order; the bill follows, to the fen."""
    visit = desk.some_visit()
    if visit is None:
        return
    sql = "SELECT coalesce(max(order_no), 0), coalesce(sum(round(amount * 100)), 0) FROM medical_order WHERE visit_id=?"
    order_no, ordered_fen = desk.db.execute(sql, (visit.visit_id,)).fetchone()
    order, fen = new_order(desk.rng, visit.visit_id, order_no + 1, desk.drugs, clock_text(desk.now))
    desk.insert("medical_order", [order])
    bill = fees(desk.rng, REGISTRATION_FEE_FEN + int(ordered_fen) + fen, visit.payment_code)
    change = "total_fee=?, insurance_fee=?, self_fee=?, updated_at=? WHERE visit_id=?"
    desk.update("outpatient_visit", change, *bill, clock_text(desk.now), visit.visit_id)


def report(desk: Desk) -> None:
    """The laboratory reports on a visit of late, and now and then corrects a result."""
    visit = desk.some_visit()
    if visit is None:
        return
    now = clock_text(desk.now)
    serials = range(desk.serials.lab, desk.serials.lab + 1 + desk.rng.randrange(6))
    desk.serials.lab = serials.stop
    desk.insert(
        "lab_result", [new_result(desk.rng, s, visit.visit_id, visit.patient_id, now) for s in serials]
    )
    reported = "status='已报告' WHERE visit_id=? AND order_type='检验' AND status<>'已报告'"
    desk.update("medical_order", reported, visit.visit_id)
    if desk.rng.random() < 0.3:
        wrong = f"LR{desk.rng.randrange(1, desk.serials.lab):010d}"
        corrected = "result_value=?, result_text='复核更正', abnormal_flag=NULL WHERE lab_no=?"
        desk.update("lab_result", corrected, desk.rng.random() * 100, wrong)


def cancel(desk: Desk) -> None:
    """A registration is withdrawn; its orders and results go with it, once those fit the allowance."""
    visit = desk.some_visit()
    if visit is None:
        return
    gone = ("medical_order", "lab_result", "outpatient_visit")
    for table in gone:
        sql = f"SELECT count(*) FROM {table} WHERE visit_id=?"
        (rows,) = desk.db.execute(sql, (visit.visit_id,)).fetchone()
        if rows > desk.allowance.room[table]:
            return
    for table in gone:
        desk.delete(table, "visit_id=?", visit.visit_id)


def correct_number(desk: Desk) -> None:
    """A patient was filed under a wrong number: the key changes, and with it the visits, results and admissions."""
    patient = desk.some_patient()
    if patient is None or desk.allowance.room["patient_info"] < 1:
        return
    old, new = patient.patient_id, patient_id(desk.serials.patient)
    desk.serials.patient += 1
    desk.allowance.room["patient_info"] -= 1
    sql = "UPDATE patient_info SET patient_id=?, updated_at=? WHERE patient_id=?"
    desk.db.execute(sql, (new, clock_text(desk.now), old))
    desk.count("patient_info").add(Count(inserts=1, deletes=1))
    for table in ("outpatient_visit", "lab_result", "admission_record"):
        desk.update(table, "patient_id=? WHERE patient_id=?", new, old)


def correct_patient(desk: Desk) -> None:
    """Somebody moved, or the clerk filled in what was missing, or emptied it."""
    patient = desk.some_patient()
    if patient is None:
        return
    region_code, region = pick(desk.rng, names.REGIONS)
    address = pick(desk.rng, (None, "", f"{region}（地址待补）", f"{region}𠮷祥里{desk.rng.randrange(99)}號"))
    change = "address=?, region_code=?, height_cm=?, updated_at=? WHERE patient_id=?"
    height = round(desk.rng.gauss(163, 9), 1)
    desk.update(
        "patient_info", change, address, region_code, height, clock_text(desk.now), patient.patient_id
    )


def reprice(desk: Desk) -> None:
    """A drug costs some per mille more or less."""
    i = desk.rng.randrange(len(desk.drugs))
    drug = desk.drugs[i]
    price = max(1, drug.price * desk.rng.randrange(950, 1_051) // 1_000)
    desk.drugs[i] = drug._replace(price=price)
    change = "price=?, updated_at=? WHERE drug_code=?"
    desk.update("drug_dict", change, price_text(price), clock_text(desk.now), drug.code)


def revise_item(desk: Desk) -> None:
    """The laboratory changes the price of an item and notes why."""
    item = pick(desk.rng, medicine.LAB_ITEMS)
    price = fen_text(item.price // 100 + desk.rng.randrange(-99, 500))
    note = f"{desk.now:%Y年%m月}调价；原价{fen_text(item.price // 100)}元"
    desk.update("检验项目字典", '"收费价格"=?, "备注"=? WHERE "项目代码"=?', price, note, item.code)


def work(desk: Desk) -> None:
    """The log grows; the terminal's heartbeat comes twice within its minute."""
    rows = [log_row(desk.rng, desk.now) for _ in range(1 + desk.rng.randrange(4))]
    heartbeat = (f"{desk.now:%Y-%m-%d %H:%M}:00", 0, "TERM-01", "系统", "心跳", None)
    desk.insert("operation_log", [*rows, heartbeat, heartbeat])


def purge_log(desk: Desk) -> None:
    """The oldest rows of the log are cleared away."""
    rows = min(desk.rng.randrange(5, 16), desk.allowance.room["operation_log"])
    if rows > 0:
        oldest = "rowid IN (SELECT rowid FROM operation_log ORDER BY rowid LIMIT ?)"
        desk.delete("operation_log", oldest, rows)


def admit(desk: Desk) -> None:
    """Somebody is admitted."""
    visit = desk.some_visit()
    if visit is None:
        return
    note = progress_note(desk.rng, desk.now, 0)
    row = admission_row(desk.rng, desk.serials.admission, visit.visit_id, visit.patient_id, note, desk.now)
    desk.serials.admission += 1
    desk.insert("admission_record", [row])


def write_progress(desk: Desk) -> None:
    """The course of an admission gets another day, be its record short or far above 64 KiB."""
    admission_id = f"ZY{desk.rng.randrange(1, desk.serials.admission):08d}"
    note = progress_note(desk.rng, desk.now, 0)
    change = "record_text=coalesce(record_text, '') || ?, updated_at=? WHERE admission_id=?"
    desk.update("admission_record", change, note, clock_text(desk.now), admission_id)


def scan(desk: Desk) -> None:
    """A paper is scanned, 2 to 40 KB."""
    visit = desk.some_visit()
    if visit is None:
        return
    size_bytes = desk.rng.randrange(2_000, 40_000)
    desk.insert("scan_image", [scan_row(desk.rng, desk.serials.image, visit.visit_id, size_bytes, desk.now)])
    desk.serials.image += 1


# Every how many steps, and what; the first time after as many steps.
EVENTS: tuple[tuple[int, Callable[[Desk], None]], ...] = (
    (1, arrive),
    (1, amend),
    (2, amend),
    (2, charge),
    (2, report),
    (2, work),
    (5, purge_log),
    (5, correct_patient),
    (7, cancel),
    (11, reprice),
    (13, correct_number),
    (17, write_progress),
    (23, scan),
    (29, revise_item),
    (31, admit),
)


def live_step(desk: Desk, step: int) -> None:
    """Everything that happens in step `step` (from 1), within the caller's transaction."""
    if step % STRETCH_STEPS == 1 or not desk.allowance.room:
        desk.allowance.renew(desk.db)
    for every, event in EVENTS:
        if step % every == 0:
            event(desk)
